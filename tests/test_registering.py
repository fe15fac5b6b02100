"""Models that are registered when their run is sealed, by whichever process seals it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp.pyfunc
from gitexp.errors import InvalidName
from gitexp.registry import Registry
from gitexp.repo import Repository

pytestmark = pytest.mark.slow

LOG = """
import gitexp, os, signal
run = gitexp.start_run("trained")
gitexp.pyfunc.log_model("model", python_model=len, registered_model_name="taxi")
"""


def versions(folder: Path) -> list[tuple[int, str, str]]:
    repository = Repository.open(folder)
    run = repository.get_run("trained")
    found = Registry(repository).model("taxi").versions
    assert all((version.run, version.commit) == (run.id, run.commit) for version in found)
    return [(version.number, version.path, version.digest) for version in found]


def test_a_model_is_registered_when_its_run_ends(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before; with the digest that `log_model` gave; and the next run's is the next version."""
    monkeypatch.chdir(repo_dir)
    for number in (1, 2):
        with gitexp.start_run(f"run{number}") as run:
            info = gitexp.pyfunc.log_model(python_model=len, registered_model_name="taxi")
            assert len(Registry(Repository.open(repo_dir)).models()) == (number > 1)
        newest = Registry(Repository.open(repo_dir)).find("taxi").version
        assert (newest.number, newest.digest, newest.commit) == (number, info.digest, run.commit)


def test_a_killed_run_is_recovered_with_its_model(repo_dir: Path) -> None:
    """The next command that opens the repository seals it and registers the model, once."""
    script = LOG + "os.kill(os.getpid(), signal.SIGKILL)\n"
    subprocess.run([sys.executable, "-c", script], cwd=repo_dir, check=False)
    first = versions(repo_dir)
    assert [number for number, _, _ in first] == [1]
    assert versions(repo_dir) == first


def test_a_crash_after_registering_registers_nothing_twice(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that outlived the sealing, as when the power goes between, is sealed again to the same end."""
    monkeypatch.chdir(repo_dir)
    run = gitexp.start_run("trained")
    gitexp.pyfunc.log_model("model", python_model=len, registered_model_name="taxi")
    live = Repository.open(repo_dir).live.folder
    shutil.copytree(os.path.join(live, run.id), repo_dir / "kept")
    run.end()
    first = versions(repo_dir)
    shutil.copytree(repo_dir / "kept", os.path.join(live, run.id))
    assert [found.run_id for found in Repository.open(repo_dir).recovered] == [run.id]
    assert versions(repo_dir) == first


def test_a_launched_script_registers_its_model(repo_dir: Path) -> None:
    """Under `gitexp run` it is the launcher that seals the run, and registers."""
    (repo_dir / "train.py").write_text(LOG)
    command = [sys.executable, "-m", "gitexp", "run", "--name", "trained", "train.py"]
    subprocess.run(command, cwd=repo_dir, check=True)
    assert [(number, path) for number, path, _ in versions(repo_dir)] == [(1, "model")]


def test_a_name_that_is_none_is_refused_at_once(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written, not when the run ends."""
    monkeypatch.chdir(repo_dir)
    with gitexp.start_run("trained"), pytest.raises(InvalidName):
        gitexp.pyfunc.log_model(python_model=len, registered_model_name="taxi/7")
    assert not Repository.open(repo_dir).get_run("trained").artifacts
