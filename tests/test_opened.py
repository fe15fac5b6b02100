"""Files that a script opens are its inputs without anybody saying so, and the script notices nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Git
from gitexp.repo import Repository
from launching import PATIENCE_S, SOURCES

pytestmark = pytest.mark.slow


def run(folder: Path, script: str, *options: str) -> dict[str, str | None]:
    """What the run's inputs are, by their names."""
    command = [sys.executable, "-m", "gitexp", "run", *options, "--", sys.executable, "-c", script]
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        command, check=False, cwd=folder, env=environ, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return {item.name: item.digest for item in Repository.open(folder).get_run("@").record.inputs}


def digest(data: str) -> str:
    return "sha256:" + hashlib.sha256(data.encode()).hexdigest()


@pytest.fixture
def data(repo_dir: Path, git: Git) -> Path:
    """The repository's folder `data`, which git ignores, with two files."""
    folder = repo_dir / "data"
    folder.mkdir()
    (folder / "train.csv").write_text("1,2")
    (folder / "test.csv").write_text("3")
    (repo_dir / ".gitignore").write_text("data/\nout/\n")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "ignore", cwd=repo_dir)
    return folder


def test_untracked_files_that_are_read_are_inputs(data: Path) -> None:
    """In text, in bytes, by descriptor, by another path to the same file; tracked files, code and others are not."""
    script = """
import os, pathlib
open("data/train.csv").read()
pathlib.Path("data/../data/train.csv").read_bytes()
os.close(os.open(os.path.abspath("data/test.csv"), os.O_RDONLY))
open("params.yaml").read(); open("train.py").read(); open("/etc/hostname", "a+b") if False else None
"""
    assert run(data.parent, script) == {"data/train.csv": digest("1,2"), "data/test.csv": digest("3")}


def test_what_the_run_wrote_itself_and_secrets_are_no_inputs(data: Path) -> None:
    """A file that it made and read again, one that it changed, one that looks like a credential."""
    (data / "kaggle.json").write_text("secret")
    script = """
import os
os.makedirs("out"); open("out/made", "w").write("x"); open("out/made").read()
open("data/test.csv", "r+").write("4"); open("data/kaggle.json").read(); open("data/train.csv").read()
"""
    assert run(data.parent, script) == {"data/train.csv": digest("1,2")}


def test_a_forked_process_tells_too(data: Path) -> None:
    """As a loader's workers do, which end without any farewell."""
    script = "import os\nif not os.fork():\n    open('data/test.csv').read(); os._exit(0)\nos.wait()"
    assert run(data.parent, script) == {"data/test.csv": digest("3")}


def test_many_files_are_recorded_as_their_folder(data: Path) -> None:
    """The folders that are deepest become one input each; the file above stays one."""
    for kind in ("cat", "dog"):
        (data / "images" / kind).mkdir(parents=True)
        for number in range(60):
            (data / "images" / kind / f"{number}.png").write_text(f"{kind} {number}")
    script = "import glob\nfor path in ['data/train.csv', *glob.glob('data/images/*/*')]:\n    open(path).read()"
    assert set(run(data.parent, script)) == {"data/train.csv", "data/images/cat", "data/images/dog"}


def test_what_is_too_large_is_recorded_without_a_digest(data: Path) -> None:
    """By its size, with a warning; another file is read as ever."""
    os.truncate(data / "train.csv", (1 << 30) + 1)
    script = "open('data/train.csv'); open('data/test.csv')"
    assert run(data.parent, script) == {"data/train.csv": None, "data/test.csv": digest("3")}
    record = Repository.open(data.parent).get_run("@").record
    assert [item.size_bytes for item in record.inputs] == [None, (1 << 30) + 1]
    assert "data/train.csv" in record.warnings[0]


def test_what_is_part_of_a_named_input_is_not_told_twice(data: Path) -> None:
    """A folder that `--input` names stands for the files in it."""
    assert set(run(data.parent, "open('data/train.csv').read()", "--input", "data")) == {"data"}


def test_it_can_be_turned_off(data: Path) -> None:
    """By a setting, beside the patterns of files."""
    (data.parent / ".gitexp").mkdir()
    (data.parent / ".gitexp" / "config.yaml").write_text("inputs:\n  opened: false\n  paths: [data/test.csv]\n")
    assert run(data.parent, "open('data/train.csv').read()") == {"data/test.csv": digest("3")}


def test_the_script_sees_no_difference(data: Path) -> None:
    """Errors of opening read as ever, with no frame of ours."""
    script = "try:\n    open('data/none')\nexcept OSError:\n    import traceback; print(traceback.format_exc())"
    command = [sys.executable, "-c", script]
    bare = subprocess.run(command, check=True, cwd=data.parent, capture_output=True, timeout=PATIENCE_S)
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    recorded = subprocess.run(
        [sys.executable, "-m", "gitexp", "run", "--", *command],
        check=True,
        cwd=data.parent,
        env=environ,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert recorded.stdout == bare.stdout
