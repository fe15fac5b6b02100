"""Artifacts that are not where they should be: records travel nevertheless, and it is said which content is nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Git
from gitexp import Repository
from gitexp.domain.pointer import Pointer
from places import LfsHost
from sealed_runs import seal

pytestmark = pytest.mark.slow


class Team:
    """A remote by path, and two clones."""

    def __init__(self, folder: Path, repo_dir: Path, git: Git) -> None:
        self.git = git
        self.remote, self.ann, self.bob = folder / "remote.git", folder / "ann", folder / "bob"
        git("clone", "-q", "--bare", str(repo_dir), str(self.remote), cwd=repo_dir)
        for clone in (self.ann, self.bob):
            git("clone", "-q", str(self.remote), str(clone), cwd=folder)

    def gitexp(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gitexp", *words]
        return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)

    def record(self, name: str) -> Pointer:
        """A run of ann's with `model.bin`; gives the pointer."""
        pointer = Repository.open(self.ann).content.add_bytes(os.urandom(100_000))
        seal(self.ann, name, artifacts={"model.bin": pointer})
        return pointer

    def lose(self, folder: Path, pointer: Pointer) -> bytes:
        content = Repository.open(folder).content
        with content.open(pointer) as file:
            data = file.read()
        content.remove(pointer.sha256)
        return data

    def runs_there(self) -> int:
        return self.git("for-each-ref", "refs/gitexp/runs", cwd=self.remote).count("\n")

    def data_there(self) -> str:
        return self.git("for-each-ref", "--format=%(refname)", "refs/gitexp/data", cwd=self.remote)


@pytest.fixture
def team(tmp_path: Path, repo_dir: Path, git: Git) -> Team:
    folder = tmp_path / "team"
    folder.mkdir()
    return Team(folder, repo_dir, git)


def test_what_is_nowhere_is_said_once(team: Team) -> None:
    """The records and all other artifacts arrive, a warning names the run and the path, and later pushes are quiet."""
    lost, kept = team.record("lost"), team.record("kept")
    team.lose(team.ann, lost)
    done = team.gitexp(team.ann, "push")
    assert (done.returncode, team.runs_there()) == (0, 2), done.stderr
    assert "warning: 1 artifact is neither on this machine nor at origin:\n  lost:model.bin (" in done.stderr
    assert "kept:" not in done.stderr
    assert team.data_there() == f"refs/gitexp/data/{kept.sha256}/0\n"
    again = team.gitexp(team.ann, "push")
    assert (again.returncode, again.stdout) == (0, "Everything is there already: origin.\n")
    assert "warning" not in again.stderr


def test_what_is_nowhere_and_was_asked_for(team: Team) -> None:
    """Of a run that is named, missing content is a failure each time, for programs too."""
    team.lose(team.ann, team.record("lost"))
    for _ in range(2):
        done = team.gitexp(team.ann, "push", "origin", "lost", "--json")
        [missing] = json.loads(done.stdout)["artifacts"]["missing"]
        assert (done.returncode, team.runs_there()) == (8, 1)
        assert (missing["name"], missing["path"]) == ("lost", "artifacts/model.bin")


def test_what_was_lost_and_is_found(team: Team) -> None:
    """Content that comes back to this machine travels with the next push."""
    lost = team.record("lost")
    data = team.lose(team.ann, lost)
    team.gitexp(team.ann, "push")
    Repository.open(team.ann).content.add_bytes(data)
    done = team.gitexp(team.ann, "push")
    assert (done.returncode, done.stdout) == (0, "Pushed 1 artifact (100 kB) to origin.\n"), done.stderr
    assert lost.sha256 in team.data_there()


def test_a_clone_of_records_pushes_elsewhere(team: Team, git: Git) -> None:
    """It has no content to send, and says so, once for each run that it brings there."""
    team.record("one")
    team.gitexp(team.ann, "push")
    team.gitexp(team.bob, "pull")
    git("clone", "-q", "--bare", str(team.bob), str(team.remote.with_name("other.git")), cwd=team.bob)
    git("remote", "add", "other", str(team.remote.with_name("other.git")), cwd=team.bob)
    done = team.gitexp(team.bob, "push", "other")
    assert done.returncode == 0
    assert "one:model.bin" in done.stderr and "gitexp push other RUN" in done.stderr
    assert "warning" not in team.gitexp(team.bob, "push", "other").stderr
    assert "warning" not in team.gitexp(team.bob, "push", "origin").stderr  # which has the artifact


@pytest.mark.parametrize("place", ["folder", "lfs"])
def test_a_place_that_lacks_what_the_remote_has(team: Team, place: str, tmp_path: Path) -> None:
    """What the artifacts' place has not is looked for in the remote itself; pushing, it does not count as missing."""
    early = team.record("early")
    team.gitexp(team.ann, "push")
    with LfsHost() as host:
        if place == "folder":
            (tmp_path / "shared").mkdir()
            for folder in (team.ann, team.bob):
                team.gitexp(folder, "remote", "set", "origin", "--artifacts", str(tmp_path / "shared"))
        else:
            for folder in (team.ann, team.bob):
                team.git("config", "lfs.url", host.base, cwd=folder)
        team.lose(team.ann, early)
        late = team.record("late")
        pushed = team.gitexp(team.ann, "push")
        assert (pushed.returncode, "warning" in pushed.stderr) == (0, False), pushed.stderr
        assert late.sha256 not in team.data_there()
        pulled = team.gitexp(team.bob, "pull", "--artifacts")
    assert pulled.returncode == 0, pulled.stderr
    assert {stored.sha256 for stored in Repository.open(team.bob).content.list()} == {early.sha256, late.sha256}
    assert "origin itself" in pulled.stdout + pulled.stderr or "from origin" in pulled.stdout


def test_a_pull_that_misses_an_artifact(team: Team) -> None:
    """It names the run and the path and leaves with 8; what else there is has come."""
    gone, kept = team.record("gone"), team.record("kept")
    team.gitexp(team.ann, "push")
    team.git("update-ref", "-d", f"refs/gitexp/data/{gone.sha256}/0", cwd=team.remote)
    done = team.gitexp(team.bob, "pull", "--artifacts")
    assert done.returncode == 8
    assert "1 artifact is not at origin:\n  gone:model.bin (100 kB)" in done.stderr
    assert [stored.sha256 for stored in Repository.open(team.bob).content.list()] == [kept.sha256]
