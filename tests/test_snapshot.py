"""The code snapshot: what it holds, what it leaves out and leaves alone, and when it looks again."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from conftest import Git
from gitexp.domain.pointer import parse_pointer
from gitexp.errors import CorruptData, NotARepository
from gitexp.store.content import ContentStore
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import BLOB, object_id
from gitexp.store.git.repository import discover
from gitexp.store.git.snapshot import SnapshotRules, take
from gitexp.store.git.tree_cache import TreeCache, trusted
from gitexp.store.git.worktree import NEVER
from snapshots import (
    ALL_FILES,
    assert_complete,
    content_of,
    files_of,
    let_times_settle,
    snapshot,
    tree_of_git,
)

RULES = SnapshotRules(max_file=1000, max_total=10_000)


def state_of(folder: Path) -> dict[str, object]:
    """Everything of a repository that is the user's: bytes and times, without our own folder."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith((".git/gitexp", ".git/objects/pack")):
            continue
        status = path.lstat()
        found[name] = (
            path.read_bytes() if path.is_file() else None,
            0 if name in (".git", ".git/objects") else status.st_mtime_ns,
        )
    return found


def test_a_clean_checkout_is_heads_tree(repo_dir: Path, git: Git) -> None:
    """Nothing changed: the tree is HEAD's, it is not dirty, and nothing has to be stored."""
    taken = snapshot(repo_dir)
    assert taken.tree == git("rev-parse", "HEAD^{tree}", cwd=repo_dir).strip()
    assert (taken.dirty, taken.new_objects, taken.skipped) == (False, [], ())
    assert (taken.head.commit, taken.head.branch) == (git("rev-parse", "HEAD", cwd=repo_dir).strip(), "main")


def test_changed_new_and_deleted_files_are_captured(repo_dir: Path, git: Git) -> None:
    """The tree is what `git add -A` would record, and git can read all of it."""
    (repo_dir / "train.py").write_text("print('changed')\n")
    (repo_dir / "params.yaml").unlink()
    (repo_dir / "new" / "deep").mkdir(parents=True)
    (repo_dir / "new" / "deep" / "model.py").write_text("class Model: ...\n")
    (repo_dir / "empty").mkdir()
    taken = snapshot(repo_dir)
    assert taken.dirty
    assert taken.tree == tree_of_git(repo_dir)
    assert set(files_of(repo_dir, taken.tree)) == {"train.py", "new/deep/model.py"}
    assert git("fsck", "--full", "--strict", "--no-dangling", cwd=repo_dir) == ""


def test_only_what_git_lacks_has_to_be_stored(repo_dir: Path) -> None:
    """One changed file makes one blob and the trees above it; the same snapshot again makes nothing."""
    (repo_dir / "a" / "b").mkdir(parents=True)
    (repo_dir / "a" / "b" / "c.py").write_text("1\n")
    assert [kind for kind, _ in snapshot(repo_dir).new_objects] == ["tree", "tree", "tree", "blob"]
    assert snapshot(repo_dir).new_objects == []
    (repo_dir / "train.py").write_text("2\n")
    assert sorted(kind for kind, _ in snapshot(repo_dir).new_objects) == ["blob", "tree"]


def test_nothing_of_the_users_changes(repo_dir: Path, git: Git) -> None:
    """Index, HEAD, branches, reflogs and the work tree keep bytes and times."""
    (repo_dir / "train.py").write_text("changed\n")
    (repo_dir / "new.py").write_text("new\n")
    git("add", "new.py", cwd=repo_dir)
    before = state_of(repo_dir)
    snapshot(repo_dir)
    snapshot(repo_dir)
    assert state_of(repo_dir) == before


def test_untracked_credentials_are_left_out_and_told(repo_dir: Path) -> None:
    """A new .env or key is not captured at any depth, whatever its case; examples and public keys are."""
    kept = ("sub/.env.example", "sub/id_rsa.pub", "sub/keys.py", "credentials.py")
    secret = (".env", ".env.local", "sub/id_ed25519", "sub/SERVER.PEM", "sub/.aws/credentials", "credentials-prod.json")
    for name in (*kept, *secret):
        (repo_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (repo_dir / name).write_text("hunter2")
    taken = snapshot(repo_dir, SnapshotRules())
    assert set(files_of(repo_dir, taken.tree)) == {"train.py", "params.yaml", *kept}
    assert [(file.path, file.size_bytes, file.reason) for file in taken.skipped] == [
        (name, 7, "secret") for name in sorted(secret)
    ]


def test_committed_credentials_are_captured(repo_dir: Path, git: Git) -> None:
    """What is in git already is no secret to git; leaving it out would only make the code incomplete."""
    (repo_dir / ".env").write_text("A=1\n")
    git("add", "-f", ".env", cwd=repo_dir)
    (repo_dir / ".env").write_text("A=2\n")
    taken = snapshot(repo_dir, SnapshotRules())
    assert content_of(repo_dir, taken.tree, ".env") == b"A=2\n"
    assert taken.skipped == ()


def test_gitexpignore_leaves_untracked_files_out(repo_dir: Path) -> None:
    """.gitexpignore reads like .gitignore, in any folder, and does not touch what git tracks."""
    (repo_dir / ".gitexpignore").write_text("*.csv\n/outputs/\n*.yaml\n")
    (repo_dir / "outputs").mkdir()
    (repo_dir / "data").mkdir()
    (repo_dir / "data" / ".gitexpignore").write_text("!keep.csv\nscratch*\n")
    for name in ("a.csv", "outputs/model.txt", "data/b.csv", "data/keep.csv", "data/scratch.py"):
        (repo_dir / name).write_text("x")
    taken = snapshot(repo_dir)
    own = {".gitexpignore", "data/.gitexpignore", "data/keep.csv"}
    assert set(files_of(repo_dir, taken.tree)) == {"train.py", "params.yaml", *own}


def test_a_large_file_becomes_a_pointer(repo_dir: Path) -> None:
    """A file over max_file goes to the object store; the tree holds a pointer that any LFS tool reads."""
    data = bytes(range(256)) * 10
    (repo_dir / "model.bin").write_bytes(data)
    taken = snapshot(repo_dir, RULES)
    pointer = parse_pointer(content_of(repo_dir, taken.tree, "model.bin"))
    assert taken.pointers == ("model.bin",)
    assert pointer is not None
    with ContentStore(str(repo_dir / ".git/gitexp/objects")).open(pointer) as stored:
        assert stored.read() == data
    assert snapshot(repo_dir, RULES).tree == taken.tree


def test_lost_content_of_a_pointer_is_stored_again(repo_dir: Path) -> None:
    """If the object store lost a large file, the next snapshot brings it back although the file did not change."""
    (repo_dir / "model.bin").write_bytes(b"x" * 2000)
    let_times_settle(repo_dir)
    taken = snapshot(repo_dir, RULES)
    content = ContentStore(str(repo_dir / ".git/gitexp/objects"))
    [stored] = content.list()
    content.remove(stored.sha256)
    assert snapshot(repo_dir, RULES).tree == taken.tree
    assert len(list(content.list())) == 1


def test_a_large_file_stays_a_blob_only_while_head_has_it(repo_dir: Path, git: Git) -> None:
    """Committed and unchanged: git's own blob. Staged, or changed: a pointer. As HEAD moves, so does the answer."""
    big = repo_dir / "big.txt"
    big.write_text("committed\n" * 1000)
    git("add", "-A", cwd=repo_dir)
    assert snapshot(repo_dir, RULES).pointers == ("big.txt",)
    git("commit", "-q", "-m", "big", cwd=repo_dir)
    clean = snapshot(repo_dir, RULES)
    assert (clean.dirty, clean.pointers) == (False, ())
    os.utime(big)
    assert not snapshot(repo_dir, RULES).dirty
    big.write_text("changed\n" * 1000)
    assert snapshot(repo_dir, RULES).pointers == ("big.txt",)
    big.write_text("committed\n" * 1000)
    git("add", "-A", cwd=repo_dir)
    assert not snapshot(repo_dir, RULES).dirty
    git("reset", "-q", "--soft", "HEAD~1", cwd=repo_dir)
    assert snapshot(repo_dir, RULES).pointers == ("big.txt",)


def test_of_too_much_untracked_data_the_largest_files_are_left_out(repo_dir: Path, git: Git) -> None:
    """Over max_total, the code stays and the big files are told by path and size; tracked ones do not count."""
    (repo_dir / "tracked.txt").write_text("t" * 900)
    git("add", "-A", cwd=repo_dir)
    rules = SnapshotRules(max_file=10_000, max_total=5500)
    (repo_dir / "data").mkdir()
    for name, size in (("data/a.csv", 3000), ("data/b.csv", 4000), ("model.py", 500), ("z.py", 700)):
        (repo_dir / name).write_text("x" * size)
    taken = snapshot(repo_dir, rules)
    assert {"data/a.csv", "model.py", "z.py", "tracked.txt"} <= set(files_of(repo_dir, taken.tree))
    assert [(file.path, file.size_bytes, file.reason) for file in taken.skipped] == [
        ("data/b.csv", 4000, "too large in total")
    ]
    assert snapshot(repo_dir, rules).skipped == taken.skipped
    (repo_dir / "data" / "a.csv").unlink()
    after = snapshot(repo_dir, rules)
    assert after.skipped == ()
    assert after.tree == tree_of_git(repo_dir)


def test_files_that_did_not_change_are_not_read_again(repo_dir: Path) -> None:
    """The second snapshot trusts stat(2): a file whose times and size stayed has the id that is remembered."""
    (repo_dir / "new.py").write_text("one\n")
    let_times_settle(repo_dir)
    snapshot(repo_dir)
    path = str(repo_dir / ".git/gitexp/trees/main")
    cache = TreeCache.load(path)
    assert cache.stale(os.fsencode(repo_dir)) == set()
    folder = cache.folder(b"")
    assert folder is not None
    for file in folder.files:
        file.oid = object_id(BLOB, b"remembered\n")
    cache.put(folder)
    cache.save(path, time.time_ns())
    (repo_dir / "other.py").write_text("two\n")
    repository = discover(repo_dir, os.environ)
    objects = ObjectDatabase(repository.object_dir)
    objects.write([(BLOB, b"remembered\n")])
    taken = snapshot(repo_dir)
    assert content_of(repo_dir, taken.tree, "new.py") == b"remembered\n"
    assert content_of(repo_dir, taken.tree, "other.py") == b"two\n"


def test_a_file_rewritten_right_after_the_snapshot_is_seen(repo_dir: Path) -> None:
    """Same size and, within the clock's tick, the same times: files that are so new are always read again."""
    path = repo_dir / "new.py"
    for number in range(60):
        path.write_text(f"{number:4}\n")
        assert content_of(repo_dir, snapshot(repo_dir).tree, "new.py") == f"{number:4}\n".encode()


def test_times_are_trusted_only_when_they_are_old_enough() -> None:
    """50 ms, or two seconds where the file system seems to keep whole seconds only."""
    second = 1_000_000_000
    assert trusted((5, 5, 1, 1), looked_ns=second) == (5, 5, 1, 1)
    assert trusted((second - 10_000_000, 5, 1, 1), looked_ns=second) is NEVER
    assert trusted((5, second - 10_000_000, 1, 1), looked_ns=second) is NEVER
    assert trusted((9 * second, 9 * second, 1, 1), looked_ns=10 * second) is NEVER
    assert trusted((7 * second, 7 * second, 1, 1), looked_ns=10 * second) == (7 * second, 7 * second, 1, 1)


@pytest.mark.parametrize("damage", [b"", b"nonsense", "cut", "flip"])
def test_a_damaged_cache_is_made_anew(repo_dir: Path, damage: bytes | str) -> None:
    """Whatever is in the cache's file, the snapshot is right."""
    (repo_dir / "new.py").write_text("new\n")
    let_times_settle(repo_dir)
    taken = snapshot(repo_dir)
    cache = repo_dir / ".git/gitexp/trees/main"
    data = bytearray(cache.read_bytes())
    if damage == "cut":
        data = data[:-10]
    elif damage == "flip":
        data[len(data) // 2] ^= 1
    else:
        data = bytearray(damage.encode() if isinstance(damage, str) else damage)
    cache.write_bytes(data)
    assert snapshot(repo_dir).tree == taken.tree
    assert len(cache.read_bytes()) > 100


def test_another_work_tree_does_not_use_this_ones_cache(repo_dir: Path, tmp_path: Path) -> None:
    """A repository that was copied or moved starts anew."""
    (repo_dir / "new.py").write_text("new\n")
    let_times_settle(repo_dir)
    snapshot(repo_dir)
    moved = tmp_path / "moved"
    repo_dir.rename(moved)
    (moved / "new.py").write_text("NEW\n")
    assert snapshot(moved).tree == tree_of_git(moved)


def test_no_cache_can_be_written_and_the_snapshot_is_the_same(repo_dir: Path) -> None:
    """Where the cache's folder cannot be made, everything works, only slower."""
    (repo_dir / ".git" / "gitexp").mkdir()
    (repo_dir / ".git" / "gitexp" / "trees").write_text("in the way")
    (repo_dir / "new.py").write_text("new\n")
    assert snapshot(repo_dir).tree == tree_of_git(repo_dir)


def test_rules_that_change_take_effect_at_once(repo_dir: Path, git: Git) -> None:
    """.gitignore, .gitattributes, info/exclude, the configuration: each is noticed although no other file changed."""
    (repo_dir / "a.log").write_text("a\r\n")
    (repo_dir / "sub").mkdir()
    (repo_dir / "sub" / "b.log").write_text("b\r\n")
    let_times_settle(repo_dir)
    snapshot(repo_dir)
    for path, text in (
        (".gitignore", "a.log\n"),
        (".gitignore", "sub/\n"),
        (".gitattributes", "*.log text\n"),
        (".gitignore", "\n"),
        ("sub/.gitignore", "b.log\n.gitignore\n"),
        ("sub/.gitignore", ".gitignore\n"),
        (".git/info/exclude", ".gitattributes\n"),
        (".gitattributes", "*.log -text\n"),
        (".git/info/attributes", "*.log text\n"),
    ):
        (repo_dir / path).write_text(text)
        assert snapshot(repo_dir).tree == tree_of_git(repo_dir), (path, text)
    (repo_dir / ".git/info/attributes").unlink()
    (repo_dir / ".gitattributes").unlink()
    for value in ("true", "false", "input"):
        git("config", "core.autocrlf", value, cwd=repo_dir)
        assert snapshot(repo_dir).tree == tree_of_git(repo_dir), value
    (repo_dir / "ignored-by-user").write_text("a.log\n")
    git("config", "core.excludesFile", str(repo_dir / "ignored-by-user"), cwd=repo_dir)
    assert snapshot(repo_dir).tree == tree_of_git(repo_dir)


def test_several_rules_that_change_at_once_all_take_effect(repo_dir: Path, git: Git) -> None:
    """A new .gitignore above, attributes below, and a commit that takes a large file: one snapshot sees them all."""
    (repo_dir / "big.txt").write_text("x" * 2000)
    (repo_dir / "sub").mkdir()
    (repo_dir / "sub" / "a.txt").write_text("a\r\n")
    git("add", "big.txt", cwd=repo_dir)
    let_times_settle(repo_dir)
    assert snapshot(repo_dir, RULES).pointers == ("big.txt",)
    (repo_dir / ".gitignore").write_text("*.log\n")
    (repo_dir / "sub" / ".gitattributes").write_text("*.txt text\n")
    git("commit", "-q", "-m", "big", cwd=repo_dir)
    taken = snapshot(repo_dir, RULES)
    assert (taken.tree, taken.pointers) == (tree_of_git(repo_dir), ())


def test_what_the_user_does_with_git_in_between_is_followed(repo_dir: Path, git: Git) -> None:
    """Staging, committing, unstaging, another branch and a garbage collection: every snapshot is right and complete."""
    (repo_dir / ".gitignore").write_text("*.log\n")
    (repo_dir / "run.log").write_text("log\n")
    (repo_dir / "new.py").write_text("new\n")
    let_times_settle(repo_dir)
    for command in (
        ("status", "-s"),
        ("add", "-f", "run.log"),
        ("add", "-A"),
        ("commit", "-q", "-m", "second"),
        ("rm", "-q", "--cached", "run.log"),
        ("gc", "-q", "--prune=now"),
        ("checkout", "-q", "-f", "HEAD~1"),
        ("checkout", "-q", "-f", "main"),
        ("reset", "-q", "--hard", "HEAD~1"),
        ("reflog", "expire", "--expire=now", "--all"),
        ("gc", "-q", "--prune=now"),
        ("stash", "-u", "-q"),
    ):
        git(*command, cwd=repo_dir)
        (repo_dir / "own.py").write_text(" ".join(command))
        assert snapshot(repo_dir).tree == tree_of_git(repo_dir), command


def test_objects_that_git_lost_meanwhile_are_stored_again(repo_dir: Path, git: Git) -> None:
    """A staged file whose blob was pruned, and a kept pack that went: the snapshot brings its own content."""
    (repo_dir / "staged.py").write_text("staged\n")
    git("add", "staged.py", cwd=repo_dir)
    let_times_settle(repo_dir)
    snapshot(repo_dir)
    for path in (repo_dir / ".git/objects/pack").iterdir():
        path.unlink()
    blob = git("hash-object", "staged.py", cwd=repo_dir).strip()
    (repo_dir / ".git/objects" / blob[:2] / blob[2:]).unlink()
    snapshot(repo_dir)
    assert git("cat-file", "-p", blob, cwd=repo_dir) == "staged\n"


def test_snapshots_at_the_same_time_are_all_right(repo_dir: Path) -> None:
    """Several runs that start together take the same tree."""
    for number in range(50):
        (repo_dir / f"module{number}.py").write_text(str(number))
    trees: list[str] = []
    threads = [threading.Thread(target=lambda: trees.append(snapshot(repo_dir).tree)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(trees) == {tree_of_git(repo_dir)}
    assert len(trees) == 4


def test_files_that_come_and_go_do_not_hurt(repo_dir: Path) -> None:
    """While files appear, change and vanish, each snapshot is a complete tree."""
    stop = threading.Event()

    def disturb() -> None:
        number = 0
        while not stop.is_set():
            path = repo_dir / f"temporary{number % 20}.txt"
            path.write_text(str(number) * 100)
            (repo_dir / f"temporary{(number + 7) % 20}.txt").unlink(missing_ok=True)
            number += 1

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(30):
            snapshot(repo_dir)
    finally:
        stop.set()
        thread.join()
    assert snapshot(repo_dir).tree == tree_of_git(repo_dir)


def test_much_new_content_does_not_pile_up_in_memory(repo_dir: Path) -> None:
    """Beyond 64 MiB, blobs are stored while the snapshot is taken instead of being handed over."""
    for number in range(9):
        (repo_dir / f"data{number}.bin").write_bytes(bytes([number]) * (8 << 20))
    repository = discover(repo_dir, os.environ)
    objects = ObjectDatabase(repository.object_dir)
    taken = take(repository, objects, ContentStore(f"{repository.gitexp_dir}/objects"), ALL_FILES)
    assert sum(len(data) for _, data in taken.new_objects) < 10 << 20
    objects.write(taken.new_objects)
    assert_complete(objects, taken)


def test_a_bare_repository_has_nothing_to_capture(tmp_path: Path, git: Git) -> None:
    """There the error says so."""
    git("init", "-q", "--bare", ".", cwd=tmp_path)
    with pytest.raises(NotARepository, match="bare"):
        snapshot(tmp_path)


def test_a_damaged_index_is_reported(repo_dir: Path) -> None:
    """The error names the index."""
    (repo_dir / ".git/index").write_bytes(b"DIRC\0\0\0\2\0\0\0\5 and no more")
    with pytest.raises(CorruptData, match="index"):
        snapshot(repo_dir)
