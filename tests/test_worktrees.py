"""Worktrees of our own: git likes them, they hold what the tree says, and they never outlive their maker."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conftest import Git
from gitexp.domain.pointer import Pointer
from gitexp.domain.run import Status
from gitexp.errors import NotFound
from gitexp.recording import Recorder, RunRequest
from gitexp.repo import Repository
from gitexp.store.git.objects import decode_commit
from gitexp.worktrees import environ_inside, worktree

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is left behind is seen."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def tree_of(repository: Repository, commit: str) -> str:
    return decode_commit(repository.objects.read(bytes.fromhex(commit))[1]).tree


def head(repo_dir: Path, git: Git) -> str:
    return git("rev-parse", "HEAD", cwd=repo_dir).strip()


def left(repo_dir: Path) -> list[str]:
    """All that there is of worktrees."""
    found = [str(path) for path in Path(tempfile.gettempdir()).iterdir()]
    for folder in (repo_dir / ".git/worktrees", repo_dir / ".git/gitexp/worktrees", repo_dir / ".git/gitexp/tmp"):
        found += [str(path) for path in folder.iterdir()] if folder.exists() else []
    return found


def test_git_sees_a_clean_worktree(repo_dir: Path, git: Git) -> None:
    """`git worktree list`, `status`, `fsck` and `prune` take it for one that git made, with HEAD detached."""
    (repo_dir / "run.sh").write_text("#!/bin/sh\n")
    (repo_dir / "run.sh").chmod(0o755)
    (repo_dir / "sub dir/ä").mkdir(parents=True)
    (repo_dir / "sub dir/ä/file").write_text("x")
    (repo_dir / "link").symlink_to("train.py")
    (repo_dir / "empty").write_text("")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-qm", "second", cwd=repo_dir)
    commit = head(repo_dir, git)
    repository = Repository.open(repo_dir)
    with worktree(repository, commit=commit, tree=tree_of(repository, commit)) as name:
        folder = Path(name)
        assert folder.name == "project"
        assert f"{folder} {commit[:7]} (detached HEAD)" in git("worktree", "list", cwd=repo_dir).replace("  ", " ")
        assert git("status", "--porcelain=v2", "--branch", cwd=folder) == (
            f"# branch.oid {commit}\n# branch.head (detached)\n"
        )
        git("worktree", "prune", "--expire", "now", cwd=repo_dir)
        assert git("rev-parse", "--show-toplevel", cwd=folder).strip() == str(folder)
        assert git("fsck", "--strict", cwd=repo_dir) == ""
        assert git("diff-files", cwd=folder) == "", "the index knows the files as they lie there"
        assert os.access(folder / "run.sh", os.X_OK)
        assert os.readlink(folder / "link") == "train.py"
        (folder / "train.py").write_text("print('other')\n")
        assert git("status", "--short", cwd=folder) == " M train.py\n"
        assert git("status", "--short", cwd=repo_dir) == ""
    assert not left(repo_dir)
    assert git("worktree", "list", cwd=repo_dir).count("\n") == 1


def test_a_state_that_no_commit_has_is_a_change_in_the_worktree(repo_dir: Path, git: Git) -> None:
    """The files are those of the tree, the index that of the commit: as it was for the user."""
    commit = head(repo_dir, git)
    (repo_dir / "train.py").write_text("print('changed')\n")
    (repo_dir / "params.yaml").unlink()
    (repo_dir / "new.py").write_text("pass\n")
    git("add", "-A", cwd=repo_dir)
    tree = git("write-tree", cwd=repo_dir).strip()
    with worktree(Repository.open(repo_dir), commit=commit, tree=tree) as name:
        assert git("status", "--short", cwd=Path(name)) == " D params.yaml\n M train.py\n?? new.py\n"


def test_a_snapshot_of_a_worktree_is_the_tree_it_was_made_of(repo_dir: Path, git: Git) -> None:
    """A run that is recorded there has the code, the commit and the large files of the one it was made from."""
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp/config.yaml").write_text("snapshot:\n  max_file: 100KiB\n")
    (repo_dir / "large.bin").write_bytes(os.urandom(200 * 1024))
    (repo_dir / "train.py").write_text("changed = True\n")
    (repo_dir / "tool").write_text("#!/bin/sh\n")
    (repo_dir / "tool").chmod(0o755)
    repository = Repository.open(repo_dir)
    first = record(repository, repo_dir)
    pointers = {
        path.removeprefix("code/"): pointer for path, pointer in repository.runs.pointers(repository.tips()[first])
    }
    assert list(pointers) == ["large.bin"]
    view = repository.get_run("@")
    assert view.code.tree
    with worktree(repository, commit=head(repo_dir, git), tree=view.code.tree, pointers=pointers) as name:
        assert (Path(name) / "large.bin").read_bytes() == (repo_dir / "large.bin").read_bytes()
        inside = Repository.open(name)
        assert inside.git.common_dir == repository.git.common_dir
        record(inside, Path(name))
    again = repository.get_run("@")
    assert again.id != view.id
    assert again.code.tree == view.code.tree
    assert again.record.code
    assert again.record.code.commit == head(repo_dir, git)


def record(repository: Repository, folder: Path) -> str:
    recorder = Recorder.begin(repository, RunRequest(directory=str(folder)), on_trouble=pytest.fail)
    commit = recorder.end(Status.FINISHED)
    return next(ref for ref, tip in repository.tips().items() if tip == commit)


def test_content_that_is_nowhere_is_said_before_anything_is_made(repo_dir: Path, git: Git) -> None:
    """A pointer whose content nobody has is an error, and no worktree is left."""
    commit = head(repo_dir, git)
    repository = Repository.open(repo_dir)
    nowhere = {"data.bin": Pointer(sha256="0" * 64, size_bytes=3)}
    with (
        pytest.raises(NotFound),
        worktree(repository, commit=commit, tree=tree_of(repository, commit), pointers=nowhere),
    ):
        pass
    assert not left(repo_dir)


def test_no_commit_gives_a_branch_that_is_not_born(repo_dir: Path, git: Git) -> None:
    """Code that was based on no commit, or on one that is not here, has a worktree all the same."""
    repository = Repository.open(repo_dir)
    tree = tree_of(repository, head(repo_dir, git))
    for commit in (None, "1" * 40):
        with worktree(repository, commit=commit, tree=tree) as name:
            assert git("status", "--short", cwd=Path(name)) == "?? params.yaml\n?? train.py\n"
            assert Repository.open(name).git.head().commit is None
    git("fsck", "--strict", cwd=repo_dir)


def test_before_the_first_commit_the_branch_is_the_users(tmp_path: Path, git: Git) -> None:
    """What is recorded there says the same branch as what was recorded in the user's own work tree."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    git("init", "-q", "-b", "trunk", cwd=folder)
    (folder / "train.py").write_text("pass\n")
    repository = Repository.open(folder)
    record(repository, folder)
    tree = repository.get_run("@").code.tree
    assert tree
    with worktree(repository, commit=None, tree=tree) as name:
        record(Repository.open(name), Path(name))
        git("fsck", "--strict", cwd=folder)
    code = repository.get_run("@").record.code
    assert code
    assert (code.commit, code.branch) == (None, "trunk")


def test_line_ends_are_converted_as_git_does(repo_dir: Path, git: Git) -> None:
    """What `.gitattributes` say of a file counts, and git sees no change."""
    (repo_dir / ".gitattributes").write_text("*.bat eol=crlf\n")
    (repo_dir / "a.bat").write_bytes(b"echo\r\n")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-qm", "second", cwd=repo_dir)
    repository, commit = Repository.open(repo_dir), head(repo_dir, git)
    with worktree(repository, commit=commit, tree=tree_of(repository, commit)) as name:
        assert (Path(name) / "a.bat").read_bytes() == b"echo\r\n"
        assert git("status", "--short", cwd=Path(name)) == ""


def test_submodules_come_along(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """Their files are there as they were at that commit, nested ones too; where a commit is nowhere, it is told."""
    inner, innermost = tmp_path / "inner", tmp_path / "innermost"
    for folder in (innermost, inner):
        folder.mkdir()
        git("init", "-q", cwd=folder)
        (folder / "code.py").write_text(f"name = '{folder.name}'\n")
        git("add", "-A", cwd=folder)
        git("commit", "-qm", "first", cwd=folder)
    local = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
    git(*local, "add", str(innermost), "deep", cwd=inner)
    git("commit", "-qm", "second", cwd=inner)
    git(*local, "add", str(inner), "lib", cwd=repo_dir)
    git(*local, "update", "--init", "--recursive", cwd=repo_dir)
    git("commit", "-qm", "second", cwd=repo_dir)
    repository, commit = Repository.open(repo_dir), head(repo_dir, git)
    record(repository, repo_dir)
    view = repository.get_run("@")
    assert view.code.tree
    told: list[str] = []
    with worktree(repository, commit=commit, tree=view.code.tree, on_trouble=told.append) as name:
        assert (Path(name) / "lib/code.py").read_text() == "name = 'inner'\n"
        assert (Path(name) / "lib/deep/code.py").read_text() == "name = 'innermost'\n"
        assert git("status", "--short", cwd=Path(name)) == ""
        record(Repository.open(name), Path(name))
    assert repository.get_run("@").code.tree == view.code.tree
    assert told == []

    git("submodule", "--quiet", "deinit", "-f", "lib", cwd=repo_dir)
    shutil.rmtree(repo_dir / ".git/modules")
    with worktree(repository, commit=commit, tree=view.code.tree, on_trouble=told.append) as name:
        assert list((Path(name) / "lib").iterdir()) == []
    assert told == ["Submodules are empty, as their commits are not here: 'lib'."]


def test_an_exception_takes_the_worktree_with_it(repo_dir: Path, git: Git) -> None:
    """Also where what ran there left folders that may not be written."""
    repository, commit = Repository.open(repo_dir), head(repo_dir, git)
    with (
        pytest.raises(KeyboardInterrupt),
        worktree(repository, commit=commit, tree=tree_of(repository, commit)) as name,
    ):
        locked = Path(name) / "cache"
        locked.mkdir()
        (locked / "file").write_text("x")
        locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
        raise KeyboardInterrupt
    assert not left(repo_dir)


def test_a_links_target_is_not_removed(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """What a program linked into the worktree stays where it is."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "precious").write_text("x")
    repository, commit = Repository.open(repo_dir), head(repo_dir, git)
    with worktree(repository, commit=commit, tree=tree_of(repository, commit)) as name:
        (Path(name) / "data").symlink_to(data)
    assert (data / "precious").read_text() == "x"


HOLDING = """
import subprocess, sys
from gitexp.repo import Repository
from gitexp.store.git.objects import decode_commit
from gitexp.worktrees import worktree
repository = Repository.open(sys.argv[1])
commit = repository.git.head().commit
tree = decode_commit(repository.objects.read(bytes.fromhex(commit))[1]).tree
with worktree(repository, commit=commit, tree=tree) as folder:
    print(folder, flush=True)
    sys.stdin.read()
print("went on", flush=True)
"""


def hold(repo_dir: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(repo_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_takes_the_worktree_with_it(repo_dir: Path, number: signal.Signals) -> None:
    """The process dies of the signal, and nothing is left."""
    process, folder = hold(repo_dir)
    assert (folder / "train.py").is_file()
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == -number
    assert "went on" not in output
    assert not left(repo_dir)


def test_what_a_killed_process_left_goes_with_the_next_command(repo_dir: Path, git: Git) -> None:
    """After kill -9 opening the repository removes the worktree; one whose maker lives stays."""
    killed, left_behind = hold(repo_dir)
    living, in_use = hold(repo_dir)
    killed.kill()
    killed.communicate()
    assert left_behind.is_dir()
    Repository.open(repo_dir)
    assert not left_behind.parent.exists()
    assert (in_use / "train.py").is_file()
    assert git("worktree", "list", cwd=repo_dir).count("\n") == 2
    living.communicate("")
    assert living.returncode == 0
    assert not left(repo_dir)


def test_a_copy_of_a_repository_takes_nothing_away(repo_dir: Path, tmp_path: Path) -> None:
    """Locks are not copied with the files that name them; the copy's first command leaves the worktree alone."""
    process, folder = hold(repo_dir)
    shutil.copytree(repo_dir, tmp_path / "copy", symlinks=True)
    Repository.open(tmp_path / "copy")
    assert (folder / "train.py").is_file()
    process.communicate("")
    assert not left(repo_dir)


def test_it_works_without_a_git_executable(repo_dir: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a plain worktree needs git."""
    commit = head(repo_dir, git)
    monkeypatch.setenv("PATH", "/nowhere")
    repository = Repository.open(repo_dir)
    with worktree(repository, commit=commit, tree=tree_of(repository, commit)) as name:
        assert (Path(name) / "train.py").is_file()


def test_variables_that_lead_git_elsewhere_are_left_out() -> None:
    """With GIT_DIR set, what works in a worktree would record into the user's own."""
    assert environ_inside({"GIT_DIR": "/x", "GIT_INDEX_FILE": "y", "GIT_AUTHOR_NAME": "Ann"}) == {
        "GIT_AUTHOR_NAME": "Ann"
    }
