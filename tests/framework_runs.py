"""Scripts that use real frameworks, run bare, under `gitexp run` and with `gitexp.autolog()`, and what was recorded.

The frameworks live in an interpreter of their own, in which gitexp is not installed: `GITEXP_FRAMEWORKS_PYTHON`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitexp.reading import RunView
from gitexp.repo import Repository

SOURCES = Path(__file__).resolve().parent.parent / "src"
PYTHON = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", "")

needs_frameworks = pytest.mark.skipif(not PYTHON, reason="GITEXP_FRAMEWORKS_PYTHON names no interpreter")

PATIENCE_S = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended, and what it printed."""

    code: int
    out: str
    err: str


class Project:
    """A repository of its own with one script in it, and the machine's environment kept out of it."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder / "project"
        self.folder.mkdir(parents=True)
        (self.folder / "train.py").write_text(script)
        (self.folder / ".gitignore").write_text("out*\n*_logs\ncheckpoints\n*.db\n__pycache__\n")
        home = folder / "home"
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITEXP", "XDG_"))}
        ann = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "a@example.org"}
        ann |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "a@example.org"}
        quiet = {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "NO_COLOR": "1"}
        quiet |= {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
        self.environ = {**kept, **ann, **quiet, "VIRTUAL_ENV": str(Path(PYTHON).parent.parent), "COLUMNS": "120"}
        self.environ.pop("PYTHONPATH", None)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
            subprocess.run(["git", *words], cwd=self.folder, env=self.environ, check=True)

    def bare(self, *, script: str = "train.py") -> Ended:
        return self._run([PYTHON, script], self.environ)

    def bare_with(self, environ: dict[str, str]) -> Ended:
        return self._run([PYTHON, "train.py"], environ)

    def launched(self, *options: str) -> Ended:
        """Under `gitexp run`, in an interpreter that has no gitexp of its own."""
        gitexp = "import sys; sys.path.insert(0, sys.argv.pop(1)); from gitexp.cli import main; sys.exit(main())"
        return self._run([sys.executable, "-c", gitexp, str(SOURCES), "run", *options, "train.py"], self.environ)

    def autologged(self) -> Ended:
        """With `gitexp.autolog()` in its first line, which is empty otherwise."""
        text = "import gitexp; gitexp.autolog()" + (self.folder / "train.py").read_text()
        (self.folder / "autologged.py").write_text(text)
        return self._run([PYTHON, "autologged.py"], {**self.environ, "PYTHONPATH": str(SOURCES)})

    def clean(self) -> None:
        """Take away what the script wrote."""
        for path in self.folder.iterdir():
            if path.name.startswith("out") or path.name.endswith("_logs") or path.name == "checkpoints":
                shutil.rmtree(path)
            elif path.suffix == ".db":
                path.unlink()

    def runs(self) -> list[RunView]:
        """All runs, in the order in which they began."""
        repository = Repository.open(self.folder, environ=self.environ)
        views = [repository.view(summary) for summary in repository.search("")]
        return sorted(views, key=lambda view: view.record.start)

    def only_run(self) -> RunView:
        runs = self.runs()
        assert len(runs) == 1, runs
        return runs[0]

    def _run(self, command: list[str], environ: dict[str, str]) -> Ended:
        done = subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def without(patterns: Iterable[str]) -> Callable[[Ended], Ended]:
    """Takes what a framework measured in time out of what was printed."""

    def blank(text: str) -> str:
        for pattern in patterns:
            text = re.sub(pattern, "~", text)
        return text

    return lambda ended: Ended(code=ended.code, out=blank(ended.out), err=blank(ended.err))


def points(view: RunView, key: str) -> list[tuple[int, float]]:
    """The steps and values of a metric."""
    return [(int(point.step), float(point.value)) for point in view.history(key)]


def warnings_of(view: RunView) -> tuple[str, ...]:
    return view.record.warnings
