"""Runs that plain git brought from another clone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import Git
from gitexp import Repository

RUNS = "refs/gitexp/runs/*:refs/gitexp/runs/*"
RECORD = "import gitexp; gitexp.start_run(name='baseline', params={'lr': 0.1}).end()"


def test_fetched_runs_are_listed_and_indexed(repo_dir: Path, tmp_path: Path, git: Git) -> None:
    """A clone that fetched runs and recorded none lists them, and keeps its index as if they were its own."""
    subprocess.run([sys.executable, "-c", RECORD], cwd=repo_dir, check=True)
    clone = tmp_path / "clone"
    git("clone", "-q", str(repo_dir), str(clone), cwd=tmp_path)
    git("fetch", "-q", "origin", RUNS, cwd=clone)
    [run] = Repository.open(clone).search("params.lr = 0.1")
    assert run.record.name == "baseline"
    assert (clone / ".git/gitexp/index.sqlite").exists()


def test_looking_leaves_nothing_where_there_are_no_runs(repo_dir: Path) -> None:
    """Listing and searching in a repository without runs creates no file in it."""
    assert not Repository.open(repo_dir).search("params.lr = 0.1")
    assert not (repo_dir / ".git/gitexp").exists()
