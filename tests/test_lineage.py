"""What a run read is traced to the run that made it, by its content alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Git
from gitexp.domain.run import Input
from gitexp.reading import RunView
from gitexp.repo import Repository
from launching import PATIENCE_S, SOURCES

pytestmark = pytest.mark.slow


def run(folder: Path, name: str, script: str, *options: str) -> RunView:
    command = [sys.executable, "-m", "gitexp", "run", "--name", name, *options, "--", sys.executable, "-c", script]
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        command, check=False, cwd=folder, env=environ, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return Repository.open(folder).get_run(name)


def inputs_of(view: RunView) -> dict[str, Input]:
    return {item.name: item for item in view.record.inputs}


def test_an_input_that_a_run_made_becomes_lineage(repo_dir: Path, git: Git) -> None:
    """Small and large files, the run's tip as a further parent of the seal, and git sees nothing wrong."""
    script = "open('big.txt', 'w').write('x' * 100_000); open('small.txt', 'w').write('some more words here')"
    made = run(repo_dir, "prepare", script)
    used = run(repo_dir, "train", "pass", "--input", "big.txt", "--input", "small.txt")
    assert {name: item.run for name, item in inputs_of(used).items()} == {"big.txt": made.id, "small.txt": made.id}
    assert used.parents()[-1] == made.commit
    git("fsck", "--full", "--strict", cwd=repo_dir)


def test_a_folder_is_traced_by_its_files(repo_dir: Path) -> None:
    """A folder whose files two runs made has both as parents, and the one that made most of it as its run."""
    (repo_dir / "data").mkdir()
    first = run(repo_dir, "first", "open('data/a', 'w').write('the first of the files')")
    most = run(repo_dir, "most", "[open(f'data/{n}', 'w').write(f'another of the files {n}') for n in 'bc']")
    used = run(repo_dir, "train", "pass", "--input", "data")
    assert inputs_of(used)["data"].run == most.id
    assert {first.commit, most.commit} <= set(used.parents())


def test_what_is_alike_by_chance_or_only_passed_on_is_no_lineage(repo_dir: Path) -> None:
    """Empty and tiny files, and a run that kept a copy of what it had read itself."""
    (repo_dir / "given.txt").write_text("given by somebody else")
    copy = "open('copy.txt', 'w').write(open('given.txt').read())"
    small = "open('none.txt', 'w'); open('tiny.txt', 'w').write('1')"
    run(repo_dir, "copied", f"{copy}; {small}", "--input", "given.txt")
    used = run(repo_dir, "train", "pass", *(f"--input={name}" for name in ("given.txt", "none.txt", "tiny.txt")))
    assert {item.run for item in used.record.inputs} == {None}


def test_the_first_run_that_made_it_counts_and_removed_ones_do_not(repo_dir: Path) -> None:
    """Two runs made the same file; after the first is removed, the second is the one."""
    script = "open('out.txt', 'w').write('always the same words')"
    first = run(repo_dir, "first", script)
    (repo_dir / "out.txt").unlink()
    second = run(repo_dir, "second", script)
    assert inputs_of(run(repo_dir, "third", "pass", "--input", "out.txt"))["out.txt"].run == first.id
    repository = Repository.open(repo_dir)
    repository.remove(repository.resolve("first"))
    assert inputs_of(run(repo_dir, "fourth", "pass", "--input", "out.txt"))["out.txt"].run == second.id


def test_a_damaged_index_is_made_anew(repo_dir: Path) -> None:
    """The lookup is derived: without its file it finds the same."""
    made = run(repo_dir, "prepare", "open('out.txt', 'w').write('always the same words')")
    (repo_dir / ".git" / "gitexp" / "index.sqlite").write_bytes(b"nonsense")
    assert inputs_of(run(repo_dir, "train", "pass", "--input", "out.txt"))["out.txt"].run == made.id
