"""gitexp on a machine that has no git executable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = """
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
args = parser.parse_args()
json.dump({"rmse": 5 + args.lr}, open("metrics.json", "w"))
"""

PYTHON = """
import gitexp
with gitexp.start_run(name="python", params={"lr": 0.3}):
    gitexp.log_metric("rmse", 5.3, step=0)
assert gitexp.get_run("python").history("rmse")[0].value == 5.3
assert [run.record.name for run in gitexp.search_runs("metrics.rmse < 5.25", sort="metrics.rmse")] == ["one", "two"]
"""


@pytest.fixture
def gitexp(tmp_path: Path):
    """Runs gitexp in a new folder, with a PATH that holds nothing."""
    (tmp_path / "empty").mkdir()
    project = tmp_path / "project"
    project.mkdir()

    def run(*arguments: str, program: str = "from gitexp.cli import main; main()") -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=project,
            env={**os.environ, "PATH": str(tmp_path / "empty")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"gitexp {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.mark.slow
def test_everything_works_without_a_git_executable(gitexp, tmp_path: Path, git) -> None:
    """Without git on the PATH a repository is made, runs are recorded, read, compared, changed, checked and removed.

    And the real git finds nothing to complain about in what came of it.
    """
    project = tmp_path / "project"
    gitexp("init", "--yes")
    (project / "train.py").write_text(TRAIN)
    gitexp("run", "-n", "one", "train.py")
    gitexp("run", "-n", "two", "train.py", "--lr", "0.2")
    gitexp(program=PYTHON)

    assert "two" in gitexp("ls", "--where", "params.lr = 0.2")
    assert "5.1" in gitexp("show", "one")
    assert "0.2" in gitexp("diff", "one", "two")
    assert "one" in gitexp("log", "one")
    gitexp("tag", "one", "stage=candidate")
    gitexp("note", "one", "as good as any")
    gitexp("rename", "two", "other")
    gitexp("rm", "other")
    gitexp("restore", "other")
    gitexp("fsck")
    gitexp("gc")

    git("fsck", "--full", "--strict", cwd=project)
    assert len(git("for-each-ref", "refs/gitexp/runs", cwd=project).splitlines()) == 3
