"""Odd repositories: in each, the snapshot's tree is what `git add -A && git write-tree` gives."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Git
from gitexp.domain.pointer import Pointer
from gitexp.store.content import ContentStore
from gitexp.store.git.index_file import read_index
from gitexp.store.git.snapshot import SnapshotRules
from snapshots import ALL_FILES, content_of, files_of, let_times_settle, snapshot, tree_of_git

pytestmark = pytest.mark.slow

Write = Callable[[str, bytes | str], Path]


@pytest.fixture
def write(repo_dir: Path) -> Write:
    """Writes a file of the repository, with the folders above it."""

    def run(name: str, data: bytes | str) -> Path:
        path = repo_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return run


def agree(folder: Path) -> str:
    """The tree that git and we make: with no memory, with one, and once the files look old enough to be remembered."""
    expected = tree_of_git(folder)
    assert expected is not None
    got = [snapshot(folder).tree, snapshot(folder).tree]
    let_times_settle(folder)
    got += [snapshot(folder).tree, snapshot(folder).tree]
    assert set(got) == {expected}, _difference(folder, expected, got)
    return expected


def _difference(folder: Path, expected: str, got: list[str]) -> str:
    other = next(tree for tree in got if tree != expected)
    command = ["git", "diff-tree", "-r", expected, other]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


# Where repositories are


def test_linked_worktree(repo_dir: Path, tmp_path: Path, git: Git) -> None:
    """A linked worktree has its own index and HEAD, and a cache of its own."""
    linked = tmp_path / "linked"
    git("worktree", "add", "-q", str(linked), "-b", "side", cwd=repo_dir)
    (linked / "only-here.py").write_text("x")
    (repo_dir / "only-there.py").write_text("y")
    agree(linked)
    agree(repo_dir)
    assert snapshot(linked).head.branch == "side"


def test_worktree_inside_the_worktree(repo_dir: Path, git: Git) -> None:
    """Git takes a linked worktree below the work tree for a nested repository."""
    git("worktree", "add", "-q", "inside", "-b", "side", cwd=repo_dir)
    agree(repo_dir)


def test_submodule(repo_dir: Path, tmp_path: Path, git: Git) -> None:
    """A submodule is the commit that is checked out in it, if any; else the one in the index; and it can go."""
    library = tmp_path / "library"
    library.mkdir()
    git("init", "-q", ".", cwd=library)
    git("commit", "-q", "--allow-empty", "-m", "one", cwd=library)
    allow = ("-c", "protocol.file.allow=always")
    git(*allow, "submodule", "add", "-q", str(library), "lib", cwd=repo_dir)
    agree(repo_dir)
    git("commit", "-q", "--allow-empty", "-m", "two", cwd=repo_dir / "lib")
    agree(repo_dir)
    git("pack-refs", "--all", cwd=repo_dir / "lib")
    git("checkout", "-q", "-b", "other/branch", cwd=repo_dir / "lib")
    git("commit", "-q", "--allow-empty", "-m", "three", cwd=repo_dir / "lib")
    agree(repo_dir)
    git("commit", "-q", "-m", "with it", cwd=repo_dir)
    git("submodule", "deinit", "-f", "lib", cwd=repo_dir)
    agree(repo_dir)
    (repo_dir / "lib" / "stray.txt").write_text("not in the submodule")
    agree(repo_dir)
    shutil.rmtree(repo_dir / "lib")
    agree(repo_dir)
    (repo_dir / "lib").write_text("a file now")
    agree(repo_dir)


def test_nested_repository(repo_dir: Path, write: Write, git: Git) -> None:
    """A repository in the work tree is its commit, one with a broken .git a folder, an ignored one nothing."""
    for name in ("nested", "ignored"):
        (repo_dir / name).mkdir()
        git("init", "-q", ".", cwd=repo_dir / name)
        git("commit", "-q", "--allow-empty", "-m", "x", cwd=repo_dir / name)
    write("nested/file.py", "x")
    write("broken/.git/HEAD", "nonsense")
    write("broken/file.py", "x")
    write("gitfile/.git", "gitdir: ../nowhere\n")
    write("gitfile/file.py", "x")
    write(".gitignore", "ignored/\n")
    agree(repo_dir)
    git("commit", "-q", "--allow-empty", "-m", "y", cwd=repo_dir / "nested")
    agree(repo_dir)


def test_nested_repository_without_a_commit(repo_dir: Path, write: Write, git: Git) -> None:
    """Git refuses it; its files are captured, and once it has a commit, that."""
    (repo_dir / "nested").mkdir()
    git("init", "-q", ".", cwd=repo_dir / "nested")
    write("nested/file.py", "x")
    let_times_settle(repo_dir)
    assert "nested/file.py" in files_of(repo_dir, snapshot(repo_dir).tree)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=repo_dir / "nested")
    agree(repo_dir)


def test_git_dir_elsewhere(repo_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIT_DIR and GIT_WORK_TREE; the git directory itself is never captured."""
    (repo_dir / "new.py").write_text("x")
    moved = tmp_path / "elsewhere.git"
    (repo_dir / ".git").rename(moved)
    monkeypatch.setenv("GIT_DIR", str(moved))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo_dir))
    agree(repo_dir)
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_WORK_TREE")
    inside = repo_dir / "kept.git"
    moved.rename(inside)
    monkeypatch.setenv("GIT_DIR", str(inside))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo_dir))
    assert set(files_of(repo_dir, snapshot(repo_dir).tree)) == {"train.py", "params.yaml", "new.py"}


def test_index_elsewhere(repo_dir: Path, tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIT_INDEX_FILE says what is tracked."""
    (repo_dir / ".gitignore").write_text("*.log\n")
    (repo_dir / "run.log").write_text("x")
    shutil.copy2(repo_dir / ".git/index", tmp_path / "index")
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    git("add", "-f", "run.log", cwd=repo_dir)
    assert "run.log" in files_of(repo_dir, snapshot(repo_dir).tree)
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert "run.log" not in files_of(repo_dir, snapshot(repo_dir).tree)


def test_shallow_clone_and_alternates(repo_dir: Path, tmp_path: Path, git: Git) -> None:
    """Objects may be missing behind HEAD, or lie in another repository."""
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=repo_dir)
    git("clone", "-q", "--depth=1", f"file://{repo_dir}", str(tmp_path / "shallow"), cwd=tmp_path)
    git("clone", "-q", "--shared", str(repo_dir), str(tmp_path / "shared"), cwd=tmp_path)
    for name in ("shallow", "shared"):
        (tmp_path / name / "new.py").write_text(name)
        agree(tmp_path / name)


def test_detached_and_unborn_head(repo_dir: Path, tmp_path: Path, git: Git) -> None:
    """A detached HEAD has a commit and no branch; an unborn one a branch and no commit, and all files are new."""
    git("checkout", "-q", "--detach", cwd=repo_dir)
    (repo_dir / "new.py").write_text("x")
    agree(repo_dir)
    assert snapshot(repo_dir).head.branch is None
    unborn = tmp_path / "unborn"
    unborn.mkdir()
    git("init", "-q", ".", cwd=unborn)
    empty = snapshot(unborn)
    assert (empty.dirty, empty.head.commit, empty.head.branch) == (False, None, "main")
    assert empty.tree == tree_of_git(unborn)
    (unborn / "new.py").write_text("x")
    agree(unborn)
    assert snapshot(unborn).dirty


# What the index may hold


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_index_versions(repo_dir: Path, write: Write, git: Git, version: str) -> None:
    """The index is read as git reads it, with long and with similar names."""
    for name in ("a", "ab", "abc/d", "abc/de", "x" * 200, "deep/" * 50 + "file", "é\n\t\"'"):
        write(name, name)
    git("add", "-A", cwd=repo_dir)
    git("add", "-N", "-f", "x" * 200, cwd=repo_dir)
    write("ita", "later")
    git("add", "-N", "ita", cwd=repo_dir)
    git("update-index", "--index-version", version, cwd=repo_dir)
    listed = git("ls-files", "--stage", "-z", cwd=repo_dir).split("\0")[:-1]
    entries = read_index(str(repo_dir / ".git/index")).entries
    assert [f"{e.mode:06o} {e.oid.hex()} {e.stage}\t{os.fsdecode(e.path)}" for e in entries] == listed
    agree(repo_dir)


def test_split_index(repo_dir: Path, write: Write, git: Git) -> None:
    """An index in two files: what was added, replaced and deleted since is joined with the shared part."""
    for number in range(200):
        write(f"file{number:03}.py", str(number))
    git("add", "-A", cwd=repo_dir)
    git("update-index", "--split-index", cwd=repo_dir)
    git("config", "splitIndex.maxPercentChange", "100", cwd=repo_dir)
    for number in range(0, 200, 3):
        write(f"file{number:03}.py", f"changed {number}")
    write("added.py", "x")
    git("rm", "-q", "-f", "--cached", *(f"file{number:03}.py" for number in range(70, 140, 2)), cwd=repo_dir)
    git("add", "file000.py", "file003.py", "added.py", cwd=repo_dir)
    assert list((repo_dir / ".git").glob("sharedindex.*"))
    listed = git("ls-files", "--stage", "-z", cwd=repo_dir).split("\0")[:-1]
    entries = read_index(str(repo_dir / ".git/index")).entries
    assert [f"{e.mode:06o} {e.oid.hex()} {e.stage}\t{os.fsdecode(e.path)}" for e in entries] == listed
    agree(repo_dir)


def test_untracked_cache_and_fsmonitor_extensions(repo_dir: Path, git: Git) -> None:
    """Extensions that only speed git up are passed over."""
    git("update-index", "--untracked-cache", cwd=repo_dir)
    (repo_dir / "new.py").write_text("x")
    git("status", cwd=repo_dir)
    agree(repo_dir)


def test_intent_to_add(repo_dir: Path, write: Write, git: Git) -> None:
    """`git add -N` makes a file tracked, even an ignored one, without content."""
    write(".gitignore", "*.log\n")
    write("run.log", "x")
    write("gone.log", "x")
    git("add", "-N", "-f", "run.log", "gone.log", cwd=repo_dir)
    (repo_dir / "gone.log").unlink()
    agree(repo_dir)


def test_merge_conflict(repo_dir: Path, write: Write, git: Git) -> None:
    """In the middle of a merge the files count as they lie there, also those deleted on one side."""
    for branch, text in (("one", "1\n"), ("two", "2\n")):
        git("checkout", "-q", "-b", branch, "main", cwd=repo_dir)
        write("train.py", text)
        write("both.py", text)
        if branch == "one":
            git("rm", "-q", "params.yaml", cwd=repo_dir)
        else:
            write("params.yaml", text)
        git("add", "-A", cwd=repo_dir)
        git("commit", "-q", "-m", branch, cwd=repo_dir)
    subprocess.run(["git", "merge", "-q", "one"], cwd=repo_dir, capture_output=True, check=False)
    assert len(read_index(str(repo_dir / ".git/index")).entries) == 7
    agree(repo_dir)
    (repo_dir / "both.py").unlink()
    agree(repo_dir)


def test_sparse_checkout(repo_dir: Path, write: Write, git: Git) -> None:
    """What a sparse checkout left out is as the index has it: with a cone, with patterns, and with a sparse index."""
    for folder in ("a", "b", "c/d", "c/e"):
        write(f"{folder}/one.py", folder)
        write(f"{folder}/two.py", folder)
    write(".gitignore", "*.log\n")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "many", cwd=repo_dir)
    for options, what in (
        (("--cone",), ("a", "c/d")),
        (("--no-cone",), ("/a/", "!/a/two.py", "/*.py")),
        (("--cone", "--sparse-index"), ("a",)),
    ):
        git("sparse-checkout", "set", *options, *what, cwd=repo_dir)
        git("checkout", "-q", "-f", "HEAD", cwd=repo_dir)
        git("clean", "-qfd", cwd=repo_dir)
        assert not snapshot(repo_dir).dirty
        write("a/one.py", " ".join(options))
        write("a/new.py", "new")
        agree(repo_dir)
    assert read_index(str(repo_dir / ".git/index")).is_sparse
    write("b/left.log", "ignored files often stay behind")
    agree(repo_dir)
    git("sparse-checkout", "disable", cwd=repo_dir)
    agree(repo_dir)


def test_skip_worktree_and_assume_unchanged(repo_dir: Path, write: Write, git: Git) -> None:
    """A file marked skip-worktree counts as git has it; one marked assume-unchanged as it is, unlike in git."""
    git("update-index", "--skip-worktree", "train.py", cwd=repo_dir)
    write("train.py", "hidden")
    agree(repo_dir)
    write(".gitignore", "a.log\n")
    git("add", ".gitignore", cwd=repo_dir)
    git("update-index", "--skip-worktree", ".gitignore", cwd=repo_dir)
    for name in "abc":
        write(f"{name}.log", name)
    for rules in ("b.log\n", "c.log\n", "\n"):
        write(".gitignore", rules)
        agree(repo_dir)
    git("update-index", "--assume-unchanged", "params.yaml", cwd=repo_dir)
    write("params.yaml", "hidden")
    assert content_of(repo_dir, snapshot(repo_dir).tree, "params.yaml") == b"hidden"


def test_force_added_files_in_ignored_folders(repo_dir: Path, write: Write, git: Git) -> None:
    """In an ignored folder only what git tracks counts; the rest is not even looked at."""
    write(".gitignore", "data/\n!data/sub/keep\n")
    for name in ("data/tracked.csv", "data/sub/tracked.csv", "data/other.csv", "data/sub/keep", "data/more/x"):
        write(name, name)
    git("add", "-f", "data/tracked.csv", "data/sub/tracked.csv", cwd=repo_dir)
    agree(repo_dir)
    write("data/tracked.csv", "changed")
    write("data/another.csv", "still ignored")
    agree(repo_dir)
    (repo_dir / "data/sub/tracked.csv").unlink()
    agree(repo_dir)
    write("data/sub/tracked.csv", "back")
    agree(repo_dir)


# What the work tree may hold


def test_symlinks(repo_dir: Path, write: Write, git: Git) -> None:
    """Links are stored as links: dangling, to folders, out of the repository, in place of files and folders."""
    write("folder/file.py", "x")
    write("was/file.py", "x")
    git("add", "-A", cwd=repo_dir)
    for name, target in (
        ("to-file", "train.py"),
        ("to-folder", "folder"),
        ("dangling", "no/such/file"),
        ("absolute", "/etc/passwd"),
        ("up", "../../.."),
        ("loop", "loop"),
    ):
        (repo_dir / name).symlink_to(target)
    agree(repo_dir)
    (repo_dir / "train.py").unlink()
    (repo_dir / "train.py").symlink_to("params.yaml")
    shutil.rmtree(repo_dir / "was")
    (repo_dir / "was").symlink_to("folder")
    agree(repo_dir)
    (repo_dir / "up").unlink()
    (repo_dir / "up").symlink_to("elsewhere")
    agree(repo_dir)


def test_symlinks_as_files(repo_dir: Path, write: Write, git: Git) -> None:
    """With core.symlinks = false a link lies there as a file and stays a link in git."""
    (repo_dir / "link").symlink_to("train.py")
    git("add", "-A", cwd=repo_dir)
    git("config", "core.symlinks", "false", cwd=repo_dir)
    (repo_dir / "link").unlink()
    write("link", "params.yaml")
    agree(repo_dir)


def test_exec_bits(repo_dir: Path, write: Write, git: Git) -> None:
    """The owner's exec bit counts, unless core.fileMode is off: then the index's, and none for new files."""
    write("run.sh", "x").chmod(0o755)
    write("group.sh", "x").chmod(0o654)
    (repo_dir / "train.py").chmod(0o744)
    agree(repo_dir)
    git("add", "run.sh", cwd=repo_dir)
    git("config", "core.fileMode", "false", cwd=repo_dir)
    (repo_dir / "run.sh").chmod(0o644)
    write("new.sh", "x").chmod(0o755)
    agree(repo_dir)


def test_files_and_folders_change_places(repo_dir: Path, write: Write, git: Git) -> None:
    """A file where a folder was, a folder where a file was, empty folders, and names that sort around `/`."""
    for name in ("a/b", "a.b", "a-b", "a0", "c/d/e"):
        write(name, name)
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "x", cwd=repo_dir)
    shutil.rmtree(repo_dir / "a")
    write("a", "now a file")
    (repo_dir / "a.b").unlink()
    write("a.b/c", "now in a folder")
    (repo_dir / "empty" / "inside").mkdir(parents=True)
    shutil.rmtree(repo_dir / "c")
    agree(repo_dir)
    (repo_dir / "a").unlink()
    write("a/b", "a folder again")
    agree(repo_dir)


def test_every_kind_of_name(repo_dir: Path, write: Write, git: Git) -> None:
    """Spaces, line ends, quotes, bytes that are no text, backslashes, dots, dashes, and very long paths."""
    names = [b"with space", b" lead", b"trail ", b"new\nline", b"\"quo'te", b"\xff\xfe\x80", b"back\\slash", b"..."]
    names += [b"\xc3\xa9", b"e\xcc\x81", b"tab\t", b"\x01\x7f", b"glob[*]?", b"con", b".gitx", b"git", b"a:b", b"%41"]
    root = os.fsencode(repo_dir)
    for name in names:
        os.makedirs(root + b"/" + name)
        with open(root + b"/" + name + b"/" + name, "wb") as file:
            file.write(name)
    write("/".join(["long" * 20] * 12), "deep")
    agree(repo_dir)
    git("add", "-A", cwd=repo_dir)
    os.unlink(root + b"/\xff\xfe\x80/\xff\xfe\x80")
    agree(repo_dir)


def test_names_that_git_refuses(repo_dir: Path, write: Write, git: Git) -> None:
    """Names that some file system takes for .git are left out and told, so the tree is one that git accepts."""
    for name in (".GIT", "git~1", ".git ", ".git.", "sub/.Git", ".g\u200cit"):
        write(name, "x")
    (repo_dir / ".gitmodules").symlink_to("train.py")
    taken = snapshot(repo_dir)
    assert set(files_of(repo_dir, taken.tree)) == {"train.py", "params.yaml"}
    assert {file.reason for file in taken.skipped} == {"unreadable"}
    assert len(taken.skipped) == 7
    assert git("fsck", "--strict", "--no-dangling", cwd=repo_dir) == ""


def test_what_is_no_file(repo_dir: Path) -> None:
    """Pipes and sockets do not count; one in place of a tracked file leaves git's version and is told."""
    os.mkfifo(repo_dir / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(repo_dir)
        server.bind("socket")
        os.chdir(here)
        agree(repo_dir)
    (repo_dir / "train.py").unlink()
    os.mkfifo(repo_dir / "train.py")
    taken = snapshot(repo_dir)
    assert content_of(repo_dir, taken.tree, "train.py") == b"print('training')\n"
    assert [(file.path, file.reason) for file in taken.skipped] == [("train.py", "unreadable")]


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Without root's right to read everything, in a folder that belongs to somebody who has none."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.lchown(path, 65534, 65534)
    for above in folder.parents:
        if above.stat().st_mode & 0o005 != 0o005:
            above.chmod(above.stat().st_mode | 0o055)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_unreadable_files_and_folders(repo_dir: Path, write: Write, git: Git) -> None:
    """What nobody may read stays as git has it, or is left out, and is told; later it is captured."""
    for name in ("open/a.py", "shut/b.py", "shut/in/c.py", "listed/d.py"):
        write(name, name)
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "x", cwd=repo_dir)
    git("config", "--global", "safe.directory", "*", cwd=repo_dir)
    committed = tree_of_git(repo_dir)
    write("open/new.py", "new").chmod(0)
    write("open/a.py", "changed").chmod(0)
    write("shut/new.py", "new")
    with as_nobody(repo_dir):
        (repo_dir / "shut").chmod(0)
        (repo_dir / "listed").chmod(0o444)
        taken = snapshot(repo_dir)
        assert taken.tree == committed
        told = {file.path for file in taken.skipped if file.reason == "unreadable"}
        assert {"open/a.py", "open/new.py", "shut/", "listed/d.py"} <= told
        for name in ("shut", "listed"):
            (repo_dir / name).chmod(0o755)
        for name in ("open/a.py", "open/new.py"):
            (repo_dir / name).chmod(0o644)
        after = snapshot(repo_dir)
    assert after.skipped == ()
    assert after.tree == tree_of_git(repo_dir)


# What git makes of contents


TEXTS = (
    b"", b"a\nb\n", b"a\r\nb\r\n", b"a\r\nb\n", b"a\rb\r\n", b"\0\r\n", b"a\r\n" * 100 + b"\x1a", b"\x01" * 9 + b"\r\n",
)  # fmt: skip


def test_line_ends(repo_dir: Path, write: Write, git: Git) -> None:
    """autocrlf, text, eol and their older spelling, for texts and for what looks binary, new and already committed."""
    attributes = ("", "text", "-text", "text=auto", "eol=crlf", "eol=lf", "text=auto eol=crlf", "crlf", "-crlf")
    lines = []
    for number, attribute in enumerate(attributes):
        lines.append(f"/{number}/** {attribute}\n")
        for at, text in enumerate(TEXTS):
            write(f"{number}/before{at}", text)
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "as they are", cwd=repo_dir)
    for number in range(len(attributes)):
        for at, text in enumerate(TEXTS):
            write(f"{number}/before{at}", text + b"more\r\n")
            write(f"{number}/after{at}", text)
    for value in ("false", "true", "input"):
        git("config", "core.autocrlf", value, cwd=repo_dir)
        for written in ("", "".join(lines)):
            write(".gitattributes", written)
            agree(repo_dir)


def test_ident(repo_dir: Path, write: Write) -> None:
    """`$Id: ...$` becomes `$Id$`, but not across lines."""
    write(".gitattributes", "*.c ident\n*.d -ident\n*.e ident=yes\n")
    texts = ("$Id$", "$Id: x $ $Id: y$", "$Id: x\n$ $Id:$", "$$Id:a$$", "$Id:", "$Idx: a$", "$id: a$")
    for number, text in enumerate(texts):
        for suffix in "cde":
            write(f"{number}.{suffix}", text)
    agree(repo_dir)


ENCODINGS = (
    "UTF-16", "utf16", "UTF-16LE", "UTF-16BE", "UTF-16LE-BOM", "UTF-32", "UTF-32LE", "UTF-8", "utf8", "ISO-8859-1",
    "latin-1", "ISO-8859-15", "CP1252", "WINDOWS-1251", "KOI8-R", "SHIFT-JIS", "EUC-JP", "GBK", "GB18030", "BIG5",
    "MACINTOSH", "US-ASCII",
)  # fmt: skip


def test_working_tree_encoding(repo_dir: Path, write: Write) -> None:
    """Files in other encodings are UTF-8 in git."""
    texts = {
        "KOI8-R": "привет\r\n",
        "WINDOWS-1251": "привет",
        "SHIFT-JIS": "日本 \\ ~",
        "EUC-JP": "日本",
        "US-ASCII": "a",
    }
    python_names = {"UTF-16LE-BOM": "utf-16", "MACINTOSH": "mac-roman", "latin-1": "latin-1"}
    lines = []
    for number, encoding in enumerate(ENCODINGS):
        lines.append(f"f{number} text working-tree-encoding={encoding}\n")
        text = texts.get(encoding, "中文" if encoding in ("GBK", "GB18030", "BIG5") else "déjà vu\r\n")
        write(f"f{number}", text.encode(python_names.get(encoding, encoding)))
    write(".gitattributes", "".join(lines))
    agree(repo_dir)


def test_wrong_encodings_do_not_stop_a_snapshot(repo_dir: Path, write: Write) -> None:
    """Git refuses to add such a file; here it is captured as it is."""
    lines = ("a working-tree-encoding=UTF-16", "b working-tree-encoding=no-such", "c working-tree-encoding")
    write(".gitattributes", "\n".join(lines))
    for name in "abc":
        write(name, "no BOM")
    assert tree_of_git(repo_dir) is None
    taken = snapshot(repo_dir)
    assert [content_of(repo_dir, taken.tree, name) for name in "abc"] == [b"no BOM"] * 3


FILTER = """
import sys
source, sink = sys.stdin.buffer, sys.stdout.buffer
def receive():
    packets = []
    while size := int(source.read(4) or sys.exit(), 16):
        packets.append(source.read(size - 4))
    return packets
def send(packets):
    for packet in packets:
        sink.write(b"%04x" % (len(packet) + 4) + packet)
    sink.write(b"0000")
    sink.flush()
receive(); send([b"git-filter-server\\n", b"version=2\\n"]); receive(); send([b"capability=clean\\n"])
while True:
    head, data = receive(), b"".join(receive())
    if b"refuse" in data:
        send([b"status=error\\n"])
        continue
    if b"die" in data:
        sys.exit(1)
    send([b"status=success\\n"])
    data = head[1] + data[::-1]
    send([data[at : at + 60000] for at in range(0, len(data), 60000)])
    send([])
"""


def test_custom_filters(repo_dir: Path, write: Write, tmp_path: Path, git: Git) -> None:
    """Clean commands and filter processes run as in git; one that fails and is not required changes nothing."""
    (tmp_path / "filter.py").write_text(FILTER)
    for name, command in (("up.clean", "tr a-z A-Z"), ("named.clean", "cat; echo %f 100%%"), ("bad.clean", "exit 3")):
        git("config", f"filter.{name}", command, cwd=repo_dir)
    git("config", "filter.long.process", f"{sys.executable} {tmp_path}/filter.py", cwd=repo_dir)
    git("config", "filter.gone.process", "no-such-program", cwd=repo_dir)
    git("config", "filter.smudge-only.smudge", "cat", cwd=repo_dir)
    lines = [f"{name}/* filter={name}\n" for name in ("up", "named", "bad", "long", "gone", "smudge-only", "unknown")]
    write(".gitattributes", "".join(lines) + "up/*.txt text\n")
    for name in ("up", "named", "bad", "long", "gone", "smudge-only", "unknown"):
        write(f"{name}/it's a.txt", "text\r\n")
        write(f"{name}/refuse", "refuse")
        write(f"{name}/large", os.urandom(200_000))
        write(f"{name}/empty", "")
    agree(repo_dir)
    write("long/x-die", "die")
    agree(repo_dir)


def test_a_required_filter_that_fails(repo_dir: Path, write: Write, git: Git) -> None:
    """Git refuses the file. What such a filter hides must not be captured in the clear, so it is left out and told."""
    git("config", "filter.crypt.clean", "exit 1", cwd=repo_dir)
    git("config", "filter.crypt.required", "true", cwd=repo_dir)
    write("key.txt", "in the clear")
    git("add", "key.txt", cwd=repo_dir)
    write(".gitattributes", "*.txt filter=crypt\n")
    write("key.txt", "changed")
    write("new.txt", "secret")
    assert tree_of_git(repo_dir) is None
    taken = snapshot(repo_dir)
    assert [file.path for file in taken.skipped if file.reason == "unreadable"] == ["key.txt", "new.txt"]
    assert content_of(repo_dir, taken.tree, "key.txt") == b"in the clear"
    assert "new.txt" not in files_of(repo_dir, taken.tree)


def lfs(repo_dir: Path, write: Write, git: Git) -> None:
    """Configures git-lfs as `git lfs install` does."""
    for name, value in (("clean", "git-lfs clean -- %f"), ("process", "git-lfs filter-process"), ("required", "true")):
        git("config", f"filter.lfs.{name}", value, cwd=repo_dir)
    write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")


def test_lfs_without_git_lfs(repo_dir: Path, write: Write, git: Git) -> None:
    """The pointer is computed, the content goes to the object store; empty files and pointers stay as they are."""
    lfs(repo_dir, write, git)
    data = b"weights\r\n" * 100
    pointer = Pointer(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    write("model.bin", data)
    write("large.bin", data * 100)
    write("empty.bin", b"")
    write("pointer.bin", pointer.to_bytes())
    taken = snapshot(repo_dir, SnapshotRules(max_file=10_000))
    assert content_of(repo_dir, taken.tree, "model.bin") == pointer.to_bytes()
    assert content_of(repo_dir, taken.tree, "empty.bin") == b""
    assert content_of(repo_dir, taken.tree, "pointer.bin") == pointer.to_bytes()
    assert taken.pointers == ("large.bin", "model.bin")
    with ContentStore(str(repo_dir / ".git/gitexp/objects")).open(pointer) as stored:
        assert stored.read() == data


def test_lfs_content_that_git_lfs_has_is_not_stored_twice(repo_dir: Path, write: Write, git: Git) -> None:
    """Content in .git/lfs/objects is git-lfs's to keep."""
    lfs(repo_dir, write, git)
    data = b"weights" * 5000
    name = hashlib.sha256(data).hexdigest()
    write("model.bin", data)
    write(f".git/lfs/objects/{name[:2]}/{name[2:4]}/{name}", data)
    for max_file in (1000, 1_000_000):
        taken = snapshot(repo_dir, SnapshotRules(max_file=max_file))
        assert taken.pointers == ()
        assert name.encode() in content_of(repo_dir, taken.tree, "model.bin")


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_lfs_as_git_lfs_does_it(repo_dir: Path, write: Write, git: Git) -> None:
    """Where git-lfs is installed, git and we make the same tree, also of odd pointers."""
    lfs(repo_dir, write, git)
    oid = hashlib.sha256(b"x").hexdigest()
    texts = (b"", b"x", b"x" * 5000, f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 1\n".encode())
    odd = (
        texts[3].rstrip(),
        texts[3] + b"\n\n",
        texts[3].replace(b"\n", b"\r\n"),
        b"version http://git-media.io/v/2\n",
    )
    for number, text in enumerate((*texts, *odd)):
        write(f"{number}.bin", text)
    agree(repo_dir)
    git("add", "-A", cwd=repo_dir)
    write("1.bin", "y")
    agree(repo_dir)


def test_filters_that_hide_content_also_run_on_large_files(repo_dir: Path, write: Write, git: Git) -> None:
    """A large file under a filter is stored as the filter makes it, never as it lies in the work tree."""
    git("config", "filter.hide.clean", "tr a-z '*'", cwd=repo_dir)
    write(".gitattributes", "*.key filter=hide\n")
    write("large.key", "secret" * 1000)
    snapshot(repo_dir, SnapshotRules(max_file=1000, secrets=()))
    stored = list(ContentStore(str(repo_dir / ".git/gitexp/objects")).list())
    assert [content.sha256 for content in stored] == [hashlib.sha256(b"*" * 6000).hexdigest()]


def test_attributes_in_every_place(repo_dir: Path, write: Write, git: Git, tmp_path: Path) -> None:
    """Nested files, macros, quoted patterns, negations, info/attributes, the user's file and broken lines."""
    text = "a\r\nb\r\n"
    names = ("a.txt", "b.md", "sub/a.txt", "sub/deep/a.txt", "sub/b.md", "with space.txt", "sub/deep/x y.md", "é.txt")
    for name in names:
        write(name, text)
    (tmp_path / "attributes").write_text("*.md text\n[attr]user text\n*.rst user\n")
    git("config", "core.attributesFile", str(tmp_path / "attributes"), cwd=repo_dir)
    for root, sub, info in (
        ("*.txt text\n", "", ""),
        ("* text\n", "*.txt -text\n", ""),
        ("* text\n", "a.txt !text\n", ""),
        ("[attr]mine text\n[attr]other -text\n* mine\nsub/** other\n", "b.md mine\n", ""),
        ('"with space.txt" text\n"\\303\\251.txt" text\n', '"deep/x y.md" text\n', ""),
        ("* binary\n", "* text\n", "deep/a.txt text\n"),
        ("*.txt text -text\n*.md -text text\n", "[attr]no text\n* no\n", "sub/deep/ text\n"),
        ("!*.txt text\n*.md =text\n* te,xt\n# * text\n  *.txt\ttext\r\n", "/a.txt text\n", ""),
        ("a.txt text\n/b.md text\nsub text\nsub/ text\ndeep/*.txt text\n", "**/x* text\n", "*.txt text=auto\n"),
    ):
        write(".gitattributes", root)
        write("sub/.gitattributes", sub)
        write(".git/info/attributes", info)
        agree(repo_dir)


# Anything at all


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(st.sampled_from([b"a", b"\r\n", b"\n", b"\r", b"\0", b"$Id", b": x", b"$", b"\x1a", b"\x7f"])),
    attribute=st.sampled_from(["", "text", "text=auto", "-text", "eol=crlf", "ident", "text ident", "crlf=input"]),
    autocrlf=st.sampled_from(["true", "false", "input"]),
)
def test_any_content_becomes_the_blob_that_git_makes(
    repo_dir: Path, git: Git, text: list[bytes], attribute: str, autocrlf: str
) -> None:
    """Line ends and keywords in any mixture."""
    (repo_dir / ".gitattributes").write_text(f"file {attribute}\n")
    (repo_dir / "file").write_bytes(b"".join(text) * 3)
    git("config", "core.autocrlf", autocrlf, cwd=repo_dir)
    assert snapshot(repo_dir).tree == tree_of_git(repo_dir)


NAMES = ("a", "b.py", "c.log", "data", "build", "A", "x y", "-d", "é")
RULES = ("*.log", "build/", "/a", "!c.log", "data", "**/b.py", "a/", "*", "!*/", "data/*", "!data/a", "/build", "[ax]*")
COMMANDS = (
    ("add", "-A"), ("add", "-f", "."), ("commit", "-q", "--allow-empty", "-m", "x"), ("commit", "-qam", "x"),
    ("reset", "-q"), ("stash", "-q"), ("stash", "pop", "-q"), ("rm", "-rq", "--cached", "--ignore-unmatch", "data"),
    ("checkout", "-q", "-f", "-B", "side"), ("checkout", "-q", "-f", "main"), ("merge", "-q", "-m", "m", "side"),
    ("gc", "-q", "--prune=now"), ("update-index", "--split-index"), ("update-index", "--no-split-index"),
    ("update-index", "--index-version", "4"), ("update-index", "--skip-worktree", "a"), ("add", "-N", "-f", "data"),
    ("update-index", "--no-skip-worktree", "a"), ("config", "core.autocrlf", "true"), ("status",),
    ("config", "core.fileMode", "false"),
)  # fmt: skip


def disturb(folder: Path, choose: random.Random) -> str:
    """One random change of the work tree or by a git command; says what it did."""
    inside = [path for path in folder.rglob("*") if ".git" not in path.relative_to(folder).parts]
    folders = [folder, *(path for path in inside if path.is_dir() and not path.is_symlink())]
    path = choose.choice(folders) / choose.choice(NAMES)
    kind = choose.randrange(8)
    if kind < 3 and not path.exists() and not path.is_symlink():
        if kind == 0:
            path.mkdir()
        elif choose.random() < 0.2:
            path.symlink_to(choose.choice(["a", "..", "/etc", "nowhere"]))
        else:
            path.write_bytes(choose.choice(TEXTS))
    elif kind == 3 and inside:
        path = choose.choice(sorted(inside))
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif kind == 4 and path.is_file() and not path.is_symlink():
        path.write_bytes(choose.choice(TEXTS))
        path.chmod(choose.choice([0o644, 0o755]))
    elif kind == 5:
        path = choose.choice(folders) / choose.choice([".gitignore", ".gitignore", ".gitattributes"])
        lines = RULES if path.name == ".gitignore" else ("* text=auto", "a text", "*.py -text", "b.py eol=crlf")
        path.write_text("\n".join(choose.sample(lines, 2)))
    elif kind > 5:
        command = choose.choice(COMMANDS)
        subprocess.run(["git", *command], cwd=folder, capture_output=True, check=False)
        return " ".join(command)
    return str(path.relative_to(folder))


def wander(folder: Path, seed: int, steps: int) -> None:
    """Random changes, and after each the question whether git and we see the same."""
    choose = random.Random(seed)
    done = []
    for _ in range(steps):
        done += [disturb(folder, choose) for _ in range(choose.randrange(1, 4))]
        expected = tree_of_git(folder)
        if choose.random() < 0.2:
            let_times_settle(folder)
        got = snapshot(folder, ALL_FILES).tree
        if expected not in (None, got):
            expected = tree_of_git(folder, read_all=True)
        assert expected in (None, got), (seed, done, _difference(folder, str(expected), [got]))


@pytest.mark.parametrize("seed", range(4))
def test_any_repository_at_any_time(repo_dir: Path, seed: int) -> None:
    """Through random changes of files, rules and index, every snapshot is git's tree and complete."""
    wander(repo_dir, seed, 12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_any_repository_at_any_time_and_for_longer(repo_dir: Path, seed: int) -> None:
    """The same, for longer."""
    wander(repo_dir, seed, 40)
