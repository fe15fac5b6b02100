"""Push and pull between clones of one repository: nothing is lost, both end with the same runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Git

pytestmark = pytest.mark.slow

Gitexp = Callable[..., subprocess.CompletedProcess[str]]

PATHS_WITHOUT_GIT = "/nonexistent"


@pytest.fixture(params=["dulwich", pytest.param("git", marks=pytest.mark.slow)])
def gitexp(request: pytest.FixtureRequest) -> Gitexp:
    """Runs a gitexp command in a folder, with each way of talking to a remote in its turn."""

    def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gitexp", *words],
            check=False,
            cwd=folder,
            env={**os.environ, "GITEXP_TRANSPORT": request.param, **environ},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def clones(repo_dir: Path, git: Git) -> tuple[Path, Path, Path]:
    """A bare remote and two clones of it."""
    remote = repo_dir.parent / "remote.git"
    git("clone", "-q", "--bare", str(repo_dir), str(remote), cwd=repo_dir)
    folders = []
    for name in ("ann", "bob"):
        folder = repo_dir.parent / name
        git("clone", "-q", str(remote), str(folder), cwd=repo_dir)
        folders.append(folder)
    return remote, folders[0], folders[1]


def record(folder: Path, name: str, text: str = "") -> None:
    script = f"import gitexp\nwith gitexp.start_run({name!r}, params={{'lr': 0.1}}) as run:\n"
    script += "    run.log_metric('loss', 0.5)\n"
    subprocess.run([sys.executable, "-c", script + text], check=True, cwd=folder)


def names(gitexp: Gitexp, folder: Path, *more: str) -> set[str]:
    found = json.loads(gitexp(folder, "ls", "--json", "--all", *more).stdout)["runs"]
    return {run["name"] for run in found}


def sound(git: Git, *folders: Path) -> None:
    for folder in folders:
        assert "missing" not in git("fsck", "--full", "--strict", cwd=folder)


def test_runs_travel_through_a_remote(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """What one pushes, the other has after a pull, to the same commit; a second push or pull moves nothing."""
    remote, ann, bob = clones
    (ann / "train.py").write_text("print('changed, not committed')\n")
    record(ann, "first")
    record(ann, "second")
    done = gitexp(ann, "push")
    assert (done.returncode, done.stdout) == (0, "Pushed 2 new runs to origin.\n"), done.stderr
    assert gitexp(ann, "push").stdout == "Everything is there already: origin.\n"
    assert gitexp(bob, "pull").stdout == "Pulled 2 new runs from origin.\n"
    assert gitexp(bob, "pull").stdout == "Nothing new at origin.\n"
    assert names(gitexp, bob) == {"first", "second"}
    refs = [git("for-each-ref", "refs/gitexp", cwd=folder) for folder in (remote, ann, bob)]
    assert refs[0] == refs[1] == refs[2]
    sound(git, remote, ann, bob)


def test_an_unpushed_commit_travels_with_its_run(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """The code that a run stands on need not be on any branch of the remote."""
    remote, ann, bob = clones
    (ann / "new.py").write_text("x = 1\n")
    git("add", "-A", cwd=ann)
    git("commit", "-q", "-m", "mine", cwd=ann)
    record(ann, "one")
    assert gitexp(ann, "push").returncode == 0
    record(ann, "two")
    assert gitexp(ann, "push").returncode == 0
    assert gitexp(bob, "pull").returncode == 0
    assert names(gitexp, bob) == {"one", "two"}
    sound(git, remote, bob)


def test_named_runs_and_experiments(gitexp: Gitexp, clones: tuple[Path, Path, Path]) -> None:
    """Only what was named travels."""
    _, ann, bob = clones
    record(ann, "wanted")
    record(ann, "other")
    record(ann, "third", "")
    assert gitexp(ann, "push", "origin", "wanted").returncode == 0
    assert gitexp(bob, "pull").returncode == 0
    assert names(gitexp, bob) == {"wanted"}
    assert gitexp(ann, "push", "origin", "-e", "nothing").stdout == "Everything is there already: origin.\n"
    missing = gitexp(ann, "push", "origin", "nobody")
    assert missing.returncode == 3
    assert "There is no run 'nobody'." in missing.stderr
    identity = json.loads(gitexp(ann, "show", "other", "--json").stdout)["id"]
    assert gitexp(ann, "push").returncode == 0
    assert gitexp(bob, "pull", "origin", identity[:7]).stdout == "Pulled 1 new run from origin.\n"
    assert names(gitexp, bob) == {"wanted", "other"}


def test_what_both_changed_is_merged(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """Two people tag and note one run at once: both pushes succeed, and both end with all of it."""
    remote, ann, bob = clones
    record(ann, "shared")
    gitexp(ann, "push")
    gitexp(bob, "pull")
    gitexp(ann, "tag", "shared", "stage=dev", "who=ann")
    gitexp(bob, "tag", "shared", "data=v2", "who=bob")
    gitexp(bob, "note", "shared", "looks good")
    assert gitexp(ann, "push").returncode == 0
    pushed = gitexp(bob, "push")
    assert (pushed.returncode, pushed.stdout) == (0, "Pushed 1 merged run to origin.\n"), pushed.stderr
    assert gitexp(ann, "pull").stdout == "Pulled 1 changed run from origin.\n"
    runs = [json.loads(gitexp(folder, "show", "shared", "--json").stdout) for folder in (ann, bob)]
    assert runs[0]["commit"] == runs[1]["commit"]
    assert runs[0]["tags"] == {"stage": "dev", "who": runs[0]["tags"]["who"], "data": "v2"}
    assert runs[0]["note"] == "looks good"
    sound(git, remote, ann, bob)


def test_clones_that_merge_by_themselves_agree(gitexp: Gitexp, clones: tuple[Path, Path, Path]) -> None:
    """Each pulls what the other pushed and merges it: the same commit comes out, and nothing is left to push."""
    _, ann, bob = clones
    record(ann, "shared")
    gitexp(ann, "push")
    gitexp(bob, "pull")
    gitexp(ann, "tag", "shared", "a=1")
    gitexp(bob, "tag", "shared", "b=2")
    gitexp(ann, "push")
    assert gitexp(bob, "pull").stdout == "Pulled 1 merged run from origin.\n"
    assert gitexp(bob, "push").stdout == "Pushed 1 changed run to origin.\n"
    assert gitexp(ann, "pull").stdout == "Pulled 1 changed run from origin.\n"
    assert gitexp(ann, "push").stdout == "Everything is there already: origin.\n"


def test_a_removed_run_is_removed_for_all(gitexp: Gitexp, clones: tuple[Path, Path, Path]) -> None:
    """A removal travels like any change, and so does its taking back."""
    _, ann, bob = clones
    record(ann, "gone")
    gitexp(ann, "push")
    gitexp(bob, "pull")
    gitexp(ann, "rm", "gone")
    gitexp(ann, "push")
    gitexp(bob, "pull")
    assert names(gitexp, bob) == set()
    gitexp(bob, "restore", "gone")
    gitexp(bob, "push")
    gitexp(ann, "pull")
    assert names(gitexp, ann) == {"gone"}


def test_artifacts_travel_in_the_remote_itself(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """Large artifacts come when they are asked for, whole, and leave no copy among git's objects here."""
    remote, ann, bob = clones
    text = (
        "    import os\n"
        "    for size in (70_000, 3_000_000, 9_000_000):\n"
        "        open('data.bin', 'wb').write(os.urandom(size))\n"
        "        run.log_artifact('data.bin', str(size))\n"
        "    os.unlink('data.bin')\n"
    )
    record(ann, "large", text)
    done = gitexp(ann, "push")
    assert done.stdout == "Pushed 1 new run, 3 artifacts (12.1 MB) to origin.\n", done.stderr
    assert len(git("for-each-ref", "refs/gitexp/data/", cwd=remote).splitlines()) == 3
    assert gitexp(bob, "pull").stdout == "Pulled 1 new run from origin.\n"
    assert not list((bob / ".git" / "gitexp").glob("objects/*/*/*"))
    assert gitexp(bob, "pull", "--artifacts").stdout == "Pulled 3 artifacts (12.1 MB) from origin.\n"
    kept = [sorted(p.name for p in (folder / ".git" / "gitexp").glob("objects/*/*/*")) for folder in (ann, bob)]
    assert kept[0] == kept[1]
    assert gitexp(bob, "fsck", "--full").returncode == 0
    assert int(git("count-objects", "-v", cwd=bob).split("size-pack: ")[1].split()[0]) < 1000
    sound(git, remote, ann, bob)


def test_without_its_artifacts_a_run_is_pushed_when_asked(gitexp: Gitexp, clones: tuple[Path, Path, Path]) -> None:
    """`--no-artifacts` sends the record; a later push sends the rest."""
    _, ann, _ = clones
    record(ann, "large", "    run.log_text('x' * 70_000, 'x.txt')\n")
    assert gitexp(ann, "push", "--no-artifacts").stdout == "Pushed 1 new run to origin.\n"
    assert gitexp(ann, "push").stdout == "Pushed 1 artifact (70.0 kB) to origin.\n"


def test_a_refused_push_says_which_and_why(gitexp: Gitexp, clones: tuple[Path, Path, Path]) -> None:
    """A hook of the remote's that rejects is quoted; the exit code is not 0, and nothing here has changed."""
    remote, ann, _ = clones
    hook = remote / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho 'only on Mondays' >&2\nexit 1\n")
    hook.chmod(0o755)
    record(ann, "refused")
    done = gitexp(ann, "push")
    assert done.returncode == 8
    assert "refs/gitexp/runs/default/" in done.stderr
    assert "hook declined" in done.stderr
    assert "only on Mondays" in done.stderr
    hook.unlink()
    assert gitexp(ann, "push").returncode == 0


def test_a_push_says_what_it_brought(gitexp: Gitexp, clones: tuple[Path, Path, Path]) -> None:
    """A run that only the other side changed is here after a push, which says so; a pull has nothing left to do."""
    _, ann, bob = clones
    record(ann, "run")
    gitexp(ann, "push")
    gitexp(bob, "pull")
    assert gitexp(bob, "rm", "run", "--remote").returncode == 0
    done = gitexp(ann, "push")
    assert (done.returncode, done.stderr) == (0, "1 run was changed there alone, and is so here now.\n")
    assert names(gitexp, ann) == set()
    assert gitexp(ann, "pull").stdout == "Nothing new at origin.\n"


def test_what_a_remote_has_under_a_wrong_name_is_not_taken_in_silence(
    gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git
) -> None:
    """A pull and a clone name such refs, say why, leave with 8, and bring what is sound."""
    remote, ann, bob = clones
    record(ann, "run")
    gitexp(ann, "push")
    wrong = "refs/gitexp/runs/default/abcdefghjkmn"
    git("update-ref", wrong, "HEAD", cwd=remote)
    told = f"Not taken: {wrong}: It leads to a commit that is no run."
    for done in (gitexp(bob, "pull"), gitexp(bob, "pull"), gitexp(bob, "clone", str(remote), str(bob.parent / "eve"))):
        assert (done.returncode, told in done.stderr.splitlines()) == (8, True)
    for folder in (bob, bob.parent / "eve"):
        assert names(gitexp, folder) == {"run"}


def test_a_host_that_hides_its_refs(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """The refusal says what to type, for records and for artifacts; that brings all of it."""
    remote, ann, bob = clones
    git("config", "receive.hideRefs", "refs/gitexp", cwd=remote)
    command = ("remote", "set", "origin", "--refs", "heads")
    for name, more in (("small", ""), ("large", "    run.log_text('x' * 70_000, 'x.txt')\n")):
        record(ann, name, more)
        done = gitexp(ann, "push")
        assert (done.returncode, f"gitexp {' '.join(command)}" in done.stderr) == (8, True), done.stderr
    for folder, act in ((ann, "push"), (bob, "pull")):
        gitexp(folder, *command)
        assert gitexp(folder, act).returncode == 0
    assert names(gitexp, bob) == {"small", "large"}


def test_a_remote_that_is_not_there(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """The message names the remote; without any remote it says how to add one."""
    _, ann, _ = clones
    git("remote", "set-url", "origin", str(ann.parent / "nowhere.git"), cwd=ann)
    done = gitexp(ann, "pull")
    assert done.returncode == 8
    assert "nowhere.git" in done.stderr
    git("remote", "remove", "origin", cwd=ann)
    done = gitexp(ann, "push")
    assert done.returncode == 3
    assert "git remote add origin URL" in done.stderr


def test_without_a_git_executable(clones: tuple[Path, Path, Path], git: Git) -> None:
    """Path remotes work where no git is installed."""
    remote, ann, bob = clones
    record(ann, "alone")
    for folder, word in ((ann, "push"), (bob, "pull")):
        done = subprocess.run(
            [sys.executable, "-m", "gitexp", word],
            check=False,
            cwd=folder,
            env={**os.environ, "PATH": PATHS_WITHOUT_GIT},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert git("for-each-ref", "refs/gitexp", cwd=remote) == git("for-each-ref", "refs/gitexp", cwd=bob)
    sound(git, remote, bob)
