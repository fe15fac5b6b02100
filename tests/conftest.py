"""What every test may ask for: a clean environment, a repository, the real git."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

Git = Callable[..., str]

settings.register_profile("gitexp", deadline=None)  # a busy machine is no failure
settings.load_profile("gitexp")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts in the background
for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(ending, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No variable or configuration of this machine reaches a test."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("GIT_", "GITEXP", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ann Lee\n\temail = ann@example.org\n[init]\n\tdefaultBranch = main\n"
    )


@pytest.fixture
def git() -> Git:
    """Runs the real git: `git("status", "-s", cwd=folder)` gives its stdout; a failure raises with its stderr."""

    def run(*arguments: str, cwd: Path, **environ: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            check=False,
            cwd=cwd,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            errors="surrogateescape",
        )
        if done.returncode:
            raise AssertionError(f"git {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    return run


@pytest.fixture
def repo_dir(tmp_path: Path, git: Git) -> Path:
    """A repository with one commit that holds `train.py` and `params.yaml`."""
    folder = tmp_path / "project"
    folder.mkdir()
    git("init", "-q", cwd=folder)
    (folder / "train.py").write_text("print('training')\n")
    (folder / "params.yaml").write_text("lr: 0.1\n")
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "first", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install gitexp` would fetch, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, check=True, cwd=Path(__file__).parent.parent, capture_output=True)
    return next(folder.glob("*.whl"))
