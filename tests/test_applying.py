"""`gitexp apply` and `gitexp branch`: a run's code comes back as it was, and nothing of the user's is lost."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from conftest import Git
from gitexp.applying import apply, code_of, make_branch, params_of, saved_state
from gitexp.domain.run import Status
from gitexp.errors import CorruptData, NotFound, UsageError
from gitexp.recording import Recorder, RunRequest
from gitexp.repo import Repository
from gitexp.store.git.objects import BLOB, MODE_FILE, MODE_TREE, TREE, object_id
from gitexp.upkeep import fsck, gc
from sealed_runs import seal

pytestmark = pytest.mark.slow

LARGE = b"large\n" * 2_000_000
"""More than `snapshot.max_file`."""


@pytest.fixture
def repository(repo_dir: Path) -> Repository:
    return Repository.open(repo_dir, environ=os.environ)


def record(folder: Path, name: str, **request: object) -> Repository:
    """Seal a run with the code as it is now; gives the repository, freshly opened."""
    repository = Repository.open(folder, environ=os.environ)
    recorder = Recorder.begin(repository, RunRequest(name=name, **request), on_trouble=pytest.fail)  # type: ignore[arg-type]
    assert recorder.end(Status.FINISHED)
    return Repository.open(folder, environ=os.environ)


def bring(repository: Repository, name: str, *, force: bool = False) -> str | None:
    """Apply a run; gives the ref of what was put aside."""
    return apply(repository, code_of(repository, repository.get_run(name)), force=force).saved


def everything(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Kind and content of every file of the work tree."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if ".git" in path.parts or (path.is_dir() and not path.is_symlink()):
            continue
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            found[str(path.relative_to(folder))] = ("link", os.fsencode(os.readlink(path)))
        else:
            kind = "program" if status.st_mode & stat.S_IXUSR else "file"
            found[str(path.relative_to(folder))] = (kind, path.read_bytes())
    return found


def test_the_files_come_back_as_they_were(repo_dir: Path, git: Git) -> None:
    """Changes, new files, modes, links, removals, odd names, a file that became a folder, a folder that became one."""
    (repo_dir / "gone.py").write_text("x\n")
    (repo_dir / "tool").write_text("#!/bin/sh\n")
    (repo_dir / "was_file").write_text("x\n")
    (repo_dir / "was_folder").mkdir()
    (repo_dir / "was_folder/inner").write_text("x\n")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "more", cwd=repo_dir)
    head = everything(repo_dir)
    (repo_dir / "train.py").write_text("print('changed')\n")
    (repo_dir / "gone.py").unlink()
    (repo_dir / "tool").chmod(0o755)
    (repo_dir / "deep/er").mkdir(parents=True)
    (repo_dir / "deep/er/new ünicode\n.py").write_bytes(b"\0\xff")
    (repo_dir / "link").symlink_to("deep/er")
    (repo_dir / "was_file").unlink()
    (repo_dir / "was_file").mkdir()
    (repo_dir / "was_file/inner").write_text("y\n")
    (repo_dir / "was_folder/inner").unlink()
    (repo_dir / "was_folder").rmdir()
    (repo_dir / "was_folder").write_text("y\n")
    (repo_dir / "big.bin").write_bytes(LARGE)
    wanted = everything(repo_dir)
    record(repo_dir, "changed")
    git("clean", "-fdq", cwd=repo_dir)
    git("checkout", "-qf", ".", cwd=repo_dir)
    assert everything(repo_dir) == head
    index = (repo_dir / ".git/index").read_bytes()
    repository = Repository.open(repo_dir)
    assert bring(repository, "changed") is None
    assert everything(repo_dir) == wanted
    assert (repo_dir / ".git/index").read_bytes() == index
    assert git("rev-parse", "--abbrev-ref", "HEAD", cwd=repo_dir) == "main\n"
    assert bring(Repository.open(repo_dir), "changed") is None
    assert everything(repo_dir) == wanted


def test_what_a_run_has_may_be_written_over(repo_dir: Path) -> None:
    """From one run to the next and back nothing is refused or put aside: each state is kept by a run."""
    states = {}
    for name in ("one", "two"):
        (repo_dir / "train.py").write_text(f"print({name!r})\n")
        (repo_dir / f"{name}.txt").write_text(name)
        record(repo_dir, name)
        states[name] = (repo_dir / "train.py").read_text()
    for name in ("one", "two", "one"):
        assert bring(Repository.open(repo_dir), name) is None
        assert (repo_dir / "train.py").read_text() == states[name]
        assert (repo_dir / "one.txt").exists()


def test_changes_that_nothing_keeps_are_not_written_over(repo_dir: Path) -> None:
    """The refusal names the files, and not one file has changed."""
    (repo_dir / "train.py").write_text("print('run')\n")
    (repo_dir / "new.py").write_text("run\n")
    record(repo_dir, "run")
    (repo_dir / "train.py").write_text("print('mine')\n")
    (repo_dir / "new.py").unlink()
    before = everything(repo_dir)
    with pytest.raises(UsageError, match=r"What is in 'train.py' is in no commit and in no run") as refused:
        bring(Repository.open(repo_dir), "run")
    assert "--force" in refused.value.hint
    assert everything(repo_dir) == before


@pytest.mark.parametrize("kind", ["tracked", "untracked", "ignored", "secret", "large", "link", "folder", "parent"])
def test_with_force_the_state_before_is_put_aside(repo_dir: Path, git: Git, kind: str) -> None:
    """Whatever is in the way comes back, byte for byte, by the ref that is told; also after git's and our own gc."""
    (repo_dir / ".gitignore").write_text("ignored/\n")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "ignore", cwd=repo_dir)
    place = {"tracked": "train.py", "ignored": "data.csv", "secret": "key.pem"}.get(kind, "new.py")
    (repo_dir / place).write_text("run\n")
    git("add", "-f", place, cwd=repo_dir)  # so that a secret is captured
    record(repo_dir, "run")
    git("rm", "-q", "--cached", "-f", place, cwd=repo_dir)
    git("reset", "-q", cwd=repo_dir)
    path = repo_dir / place
    path.unlink()
    if kind == "ignored":
        (repo_dir / ".git/info/exclude").write_text("data.csv\n")
    if kind == "link":
        path.symlink_to("/nowhere")
    elif kind == "folder":
        path.mkdir()
        (path / "inner").write_text("mine\n")
    elif kind == "parent":
        (repo_dir / place).write_text("run\n")
        (repo_dir / "folder").mkdir()
        (repo_dir / "folder/inner").write_text("run\n")
        record(repo_dir, "run2")
        (repo_dir / "folder/inner").unlink()
        (repo_dir / "folder").rmdir()
        (repo_dir / "folder").write_text("mine\n")
    else:
        path.write_bytes(LARGE if kind == "large" else b"mine\n")
    name = "run2" if kind == "parent" else "run"
    before = everything(repo_dir)
    with pytest.raises(UsageError):
        bring(Repository.open(repo_dir), name)
    assert everything(repo_dir) == before
    saved = bring(Repository.open(repo_dir), name, force=True)
    assert saved is not None
    assert path.read_text() == "run\n"
    repository = Repository.open(repo_dir)
    for content in Path(repository.content.folder).rglob("*"):
        if content.is_file():
            os.utime(content, (1e9, 1e9))
    gc(repository)
    git("gc", "-q", "--prune=now", cwd=repo_dir)
    assert list(fsck(Repository.open(repo_dir), full=True)) == []
    repository = Repository.open(repo_dir)
    apply(repository, saved_state(repository, saved), force=True)
    restored = everything(repo_dir)
    assert {known: restored.get(known) for known in before} == before


def test_gc_forgets_what_was_put_aside_long_ago(repo_dir: Path) -> None:
    """After `gc.keep` the ref goes."""
    (repo_dir / "train.py").write_text("run\n")
    record(repo_dir, "run")
    (repo_dir / "train.py").write_text("mine\n")
    repository = Repository.open(repo_dir)
    assert bring(repository, "run", force=True) in repository.saved.tips()
    gc(repository)
    assert len(repository.saved.tips()) == 1
    gc(repository, keep_s=-10)
    assert repository.saved.tips() == {}


def test_a_file_of_a_later_commit_goes(repo_dir: Path, git: Git) -> None:
    """What HEAD has and the run has not is removed; what neither has stays."""
    record(repo_dir, "run")
    (repo_dir / "later.py").write_text("later\n")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "later", cwd=repo_dir)
    (repo_dir / "notes.txt").write_text("mine\n")
    bring(Repository.open(repo_dir), "run")
    assert not (repo_dir / "later.py").exists()
    assert (repo_dir / "notes.txt").read_text() == "mine\n"
    assert git("status", "--porcelain", cwd=repo_dir) == " D later.py\n?? notes.txt\n"


def test_params_come_as_the_run_had_them(repo_dir: Path) -> None:
    """Values that the run was given otherwise are in params.yaml, and the file's comments stay."""
    (repo_dir / "params.yaml").write_text("# mine\nlr: 0.1  # rate\noptim:\n  name: sgd\nkey: secret\n")
    params = {"lr": 0.3, "optim": {"name": "adam"}, "epochs": 5, "key": "***"}
    repository = record(repo_dir, "run", params=params)
    bring(repository, "run")
    expected = "# mine\nlr: 0.3  # rate\noptim:\n  name: adam\nkey: secret\n"
    assert (repo_dir / "params.yaml").read_text() == expected
    (repo_dir / "params.yaml").write_text("lr: 7\n")
    (repo_dir / "train.py").write_text("mine\n")
    repository = Repository.open(repo_dir)
    captured, only = params_of(repository, repository.get_run("run"))
    with pytest.raises(UsageError):
        apply(repository, captured, only=only)
    apply(repository, captured, only=only, force=True)
    assert (repo_dir / "params.yaml").read_text() == expected
    assert (repo_dir / "train.py").read_text() == "mine\n"


def test_a_run_without_code_or_params_file(repo_dir: Path) -> None:
    """Its params make a new params.yaml; its code cannot be applied, and says why."""
    seal(repo_dir, "bare", params={"lr": 0.5, "optim.name": "sgd"})
    repository = Repository.open(repo_dir)
    with pytest.raises(NotFound, match="has no code"):
        code_of(repository, repository.get_run("bare"))
    captured, only = params_of(repository, repository.get_run("bare"))
    (repo_dir / "params.yaml").unlink()
    apply(repository, captured, only=only)
    assert (repo_dir / "params.yaml").read_text() == "lr: 0.5\noptim:\n  name: sgd\n"
    assert (repo_dir / "train.py").exists()


def test_large_files_of_the_code_are_fetched(repo_dir: Path, git: Git) -> None:
    """In another clone the content behind pointers comes first; where it is nowhere, no file is touched."""
    (repo_dir / "big.bin").write_bytes(LARGE)
    (repo_dir / "train.py").write_text("run\n")
    record(repo_dir, "run")
    git("clone", "-q", "--bare", str(repo_dir), "../remote.git", cwd=repo_dir)
    git("clone", "-q", "../remote.git", "../bob", cwd=repo_dir)
    bob = repo_dir.parent / "bob"
    git("fetch", "-q", str(repo_dir), "refs/gitexp/runs/*:refs/gitexp/runs/*", cwd=bob)
    with pytest.raises(NotFound, match="neither here nor on a remote"):
        bring(Repository.open(bob), "run")
    assert git("status", "--porcelain", cwd=bob) == ""
    from gitexp.sharing.exchange import Sharing
    from gitexp.sharing.selection import Selection

    Sharing(Repository.open(repo_dir), str(repo_dir.parent / "remote.git")).push(Selection())
    bring(Repository.open(bob), "run")
    assert (bob / "big.bin").read_bytes() == LARGE


def test_conversions_are_gits_own(repo_dir: Path, git: Git) -> None:
    """Line ends, encodings and filters come as `git checkout` would make them, by the run's own .gitattributes."""
    git("config", "filter.up.clean", "tr A-Z a-z", cwd=repo_dir)
    git("config", "filter.up.smudge", "tr a-z A-Z", cwd=repo_dir)
    files = {"dos.txt": b"a\r\nb\r\n", "wide.txt": "ü\n".encode("utf-16"), "loud.up": b"LOUD\n"}
    rules = "dos.txt text eol=crlf\nwide.txt text working-tree-encoding=UTF-16\n*.up filter=up\n"
    (repo_dir / ".gitattributes").write_text(rules)
    for name, data in files.items():
        (repo_dir / name).write_bytes(data)
    record(repo_dir, "run")
    for name in (".gitattributes", *files):
        (repo_dir / name).unlink()
    bring(Repository.open(repo_dir), "run")
    assert (repo_dir / "dos.txt").read_bytes() == files["dos.txt"]
    assert (repo_dir / "wide.txt").read_bytes().decode("utf-16") == "ü\n"
    assert (repo_dir / "loud.up").read_bytes() == b"LOUD\n"


def test_submodules_and_nested_repositories_stay(repo_dir: Path, git: Git) -> None:
    """A folder with a repository of its own is never written over."""
    (repo_dir / "inner").write_text("run\n")
    record(repo_dir, "run")
    (repo_dir / "inner").unlink()
    git("init", "-q", "inner", cwd=repo_dir)
    with pytest.raises(UsageError, match=r"'inner' is a folder with a repository of its own"):
        bring(Repository.open(repo_dir), "run", force=True)
    assert (repo_dir / "inner/.git").is_dir()


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"git~1", b"."])
def test_a_hostile_tree_writes_nothing(repo_dir: Path, name: bytes) -> None:
    """A name that would leave the work tree, or reach into .git, is refused before anything is written, and found."""
    repository = Repository.open(repo_dir)
    blob = object_id(BLOB, b"evil\n")
    inner = b"%o evil\0%s" % (MODE_FILE, blob)
    entry = b"%o %s\0%s" % (MODE_TREE, name, object_id(TREE, inner))
    tree = b"%o good.py\0%s" % (MODE_FILE, blob) + entry
    repository.objects.write([(BLOB, b"evil\n"), (TREE, inner), (TREE, tree)])
    seal(repo_dir, "evil", code_tree=object_id(TREE, tree).hex())
    before = everything(repo_dir)
    repository = Repository.open(repo_dir)
    with pytest.raises(CorruptData):
        bring(repository, "evil", force=True)
    with pytest.raises(CorruptData):
        make_branch(repository, repository.get_run("evil"), "evil")
    assert [finding.what for finding in fsck(repository)] == [
        f"The file name {os.fsdecode(name)!r} is refused: nothing sound has it."
    ]
    assert everything(repo_dir) == before
    assert not (repo_dir.parent / "evil").exists()
    assert not (repo_dir / ".git/evil").exists()


def test_a_link_does_not_lead_a_file_out(repo_dir: Path) -> None:
    """Where the work tree has a link and the run has a folder, the link goes; nothing is written through it."""
    (repo_dir / "data").mkdir()
    (repo_dir / "data/x.csv").write_text("run\n")
    record(repo_dir, "run")
    (repo_dir / "data/x.csv").unlink()
    (repo_dir / "data").rmdir()
    outside = repo_dir.parent / "outside"
    outside.mkdir()
    (repo_dir / "data").symlink_to(outside)
    saved = bring(Repository.open(repo_dir), "run", force=True)
    assert saved is not None
    assert (repo_dir / "data/x.csv").read_text() == "run\n"
    assert list(outside.iterdir()) == []


def test_a_branch_has_the_code_for_review(repo_dir: Path, git: Git) -> None:
    """One commit on the run's own: its tree is the code with the params as run; nothing else has changed."""
    base = git("rev-parse", "HEAD", cwd=repo_dir)
    (repo_dir / "train.py").write_text("print('run')\n")
    (repo_dir / "new.py").write_text("new\n")
    record(repo_dir, "run", params={"lr": 0.3})
    git("checkout", "-q", ".", cwd=repo_dir)
    (repo_dir / "new.py").unlink()
    hook = repo_dir / ".git/hooks/reference-transaction"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = everything(repo_dir)
    repository = Repository.open(repo_dir)
    run = repository.get_run("run")
    made = make_branch(repository, run, "review/run")
    assert git("rev-parse", "review/run", cwd=repo_dir) == made.commit + "\n"
    assert git("rev-parse", "review/run^", cwd=repo_dir) == base
    assert git("diff", "--name-only", "main", "review/run", cwd=repo_dir).split() == [
        "new.py",
        "params.yaml",
        "train.py",
    ]
    assert git("show", "review/run:params.yaml", cwd=repo_dir) == "lr: 0.3\n"
    message = git("log", "-1", "--format=%B", "review/run", cwd=repo_dir)
    assert message.startswith("run\n\nThe code of run 'run'")
    assert run.id in message
    assert everything(repo_dir) == before
    assert git("branch", "--show-current", cwd=repo_dir) == "main\n"
    assert git("fsck", "--full", "--strict", cwd=repo_dir) == ""


@pytest.mark.parametrize("name", ["main", "", "-x", "a..b", "a b", "HEAD", "main/x", "refs/../x", ".lock", "x.lock"])
def test_names_that_no_branch_can_have(repo_dir: Path, git: Git, name: str) -> None:
    """A branch that exists, one whose name is in the way, and what git refuses: an error, and no ref."""
    repository = record(repo_dir, "run")
    before = git("for-each-ref", cwd=repo_dir)
    with pytest.raises(UsageError):
        make_branch(repository, repository.get_run("run"), name)
    assert git("for-each-ref", cwd=repo_dir) == before
