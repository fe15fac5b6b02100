"""What a command reads is recorded by its content, before the command begins."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitexp.domain.run import Input
from gitexp.errors import NotFound, UsageError
from gitexp.repo import Repository
from gitexp.running.inputs import Inputs
from gitexp.store.hashes import FileHashes, Stopped
from launching import PATIENCE_S, SOURCES


def run(folder: Path, *options: str, script: str = "pass") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gitexp", "run", *options, "--", sys.executable, "-c", script]
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    return subprocess.run(
        command, check=False, cwd=folder, env=environ, capture_output=True, text=True, timeout=PATIENCE_S
    )


def inputs_of(folder: Path) -> tuple[Input, ...]:
    return Repository.open(folder).get_run("@").record.inputs


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read(folder: Path, *said: str, cache: Path | None = None) -> dict[str, str | None]:
    inputs = Inputs(said, (), str(folder), str(folder))
    return {i.input.name: i.input.digest for i in inputs.read(str(cache or folder / ".cache"), lambda: False)}


def age(path: Path) -> None:
    """Make a file look as if it had been written long ago, which only its ctime can deny."""
    os.utime(path, (1_000_000_000, 1_000_000_000))


def test_inputs_are_recorded_as_they_were_before_the_command(repo_dir: Path, tmp_path: Path) -> None:
    """By option seen from here, by setting from the root, outside by the whole path; what the script does is later."""
    (repo_dir / "data").mkdir()
    (repo_dir / "data" / "train.csv").write_bytes(b"1,2")
    (repo_dir / "data" / "test.csv").write_bytes(b"3")
    (tmp_path / "outside").write_bytes(b"out")
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text("inputs: ['data/t*.csv', gone.txt]\n")
    options = ["--input", "train.csv", "--input", str(tmp_path / "outside"), "--input", ".."]
    done = run(repo_dir / "data", *options, script="open('train.csv', 'w').write('changed')")
    assert done.returncode == 0, done.stderr
    found = {(i.kind, i.name): i.digest for i in inputs_of(repo_dir)}
    assert found.pop(("folder", "."), None)
    assert found == {
        ("file", "data/train.csv"): digest(b"1,2"),
        ("file", "data/test.csv"): digest(b"3"),
        ("file", str(tmp_path / "outside")): digest(b"out"),
    }
    warnings = Repository.open(repo_dir).get_run("@").record.warnings
    assert any("'gone.txt'" in warning for warning in warnings)
    assert "'gone.txt'" in done.stderr


def test_a_missing_input_is_told_before_anything_happens(repo_dir: Path) -> None:
    """Exit code 3, and neither a run nor a process."""
    for missing in ("no.csv", "no/*.csv"):
        done = run(repo_dir, "--input", missing, script="print('began')")
        assert (done.returncode, done.stdout) == (3, "")
        assert missing in done.stderr
    with pytest.raises(NotFound):
        Repository.open(repo_dir).get_run("@")


def test_the_digest_of_a_folder_is_that_of_what_sha256sum_prints(tmp_path: Path) -> None:
    """Lines of digest and path, sorted by path as bytes; links are followed, junk and loops are not."""
    folder = tmp_path / "data"
    (folder / "b" / "__pycache__").mkdir(parents=True)
    (folder / "b" / "2").write_bytes(b"two")
    (folder / "b" / "__pycache__" / "x.pyc").touch()
    (folder / "b-1").write_bytes(b"one")
    (folder / "ä").write_bytes(b"")
    (folder / "b" / "loop").symlink_to(folder)
    (folder / "broken").symlink_to("nothing")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "3").write_bytes(b"three")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    command = (
        "find -L . -type f ! -path '*__pycache__*' -printf '%P\\0' 2>/dev/null | LC_ALL=C sort -z | xargs -0 sha256sum"
    )
    (folder / "b" / "loop").unlink()
    printed = subprocess.run(command, shell=True, check=True, cwd=folder, capture_output=True).stdout
    (folder / "b" / "loop").symlink_to(folder)
    assert printed.count(b"\n") == 4
    assert read(tmp_path, "data") == {"data": digest(printed)}


def test_a_pattern_of_many_files_is_one_input(tmp_path: Path) -> None:
    """Few files are inputs one by one; hundreds would fill the record."""
    for number in range(150):
        (tmp_path / f"{number}.txt").write_text(str(number))
    assert len(read(tmp_path, "1?.txt")) == 10
    assert set(read(tmp_path, "*.txt")) == {"*.txt"}
    before = read(tmp_path, "*.txt")
    (tmp_path / "7.txt").write_text("seven")
    assert read(tmp_path, "*.txt") != before


def test_a_name_with_a_wildcard_in_it_is_a_path_first(tmp_path: Path) -> None:
    """`data[1].csv` may be a file."""
    (tmp_path / "data[1].csv").write_bytes(b"x")
    assert read(tmp_path, "data[1].csv") == {"data[1].csv": digest(b"x")}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A fifo would wait for ever."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="fifo"):
        read(tmp_path, "fifo")


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """The cache is the same after a second look; another content is noticed though times and size were put back."""
    path = tmp_path / "data"
    path.write_bytes(b"x" * 100)
    age(path)
    wait_for_ctime(path)
    hashes = FileHashes(str(tmp_path / "hashes"), "data")
    first = hashes.sha256(str(path))
    hashes.save()
    stored = list((tmp_path / "hashes").iterdir())
    assert len(stored) == 1
    kept = stored[0].read_bytes()
    again = FileHashes(str(tmp_path / "hashes"), "data")
    assert again.sha256(str(path)) == first == hashlib.sha256(b"x" * 100).hexdigest()
    again.save()
    assert stored[0].read_bytes() == kept
    path.write_bytes(b"y" * 100)
    age(path)
    assert FileHashes(str(tmp_path / "hashes"), "data").sha256(str(path)) == hashlib.sha256(b"y" * 100).hexdigest()


def test_the_cache_answers_where_a_file_looks_the_same(tmp_path: Path) -> None:
    """A stopped reader is never asked for a file that is known."""
    path = tmp_path / "data"
    path.write_bytes(b"x")
    wait_for_ctime(path)
    hashes = FileHashes(str(tmp_path / "hashes"), "data")
    known = hashes.sha256(str(path))
    hashes.save()
    assert FileHashes(str(tmp_path / "hashes"), "data", lambda: True).sha256(str(path)) == known
    with pytest.raises(Stopped):
        FileHashes(str(tmp_path / "other"), "data", lambda: True).sha256(str(path))


@pytest.mark.parametrize("damage", [b"", b"junk", b"gitexp hashes\0"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    """It is a cache: anything else costs time, never an answer."""
    path = tmp_path / "data"
    path.write_bytes(b"x")
    wait_for_ctime(path)
    for _ in range(2):
        hashes = FileHashes(str(tmp_path / "hashes"), "data")
        assert hashes.sha256(str(path)) == hashlib.sha256(b"x").hexdigest()
        hashes.save()
        next((tmp_path / "hashes").iterdir()).write_bytes(damage)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="where /proc shows which files are open")
def test_ctrl_c_while_inputs_are_read_ends_the_run(repo_dir: Path) -> None:
    """The command does not begin, and the run is killed."""
    with open(repo_dir / "huge", "wb") as file:
        file.truncate(40 << 30)  # a minute and more to read
    (repo_dir / ".gitignore").write_text("huge\n")
    command = [sys.executable, "-m", "gitexp", "run", "--input", "huge", "--", "touch", "began"]
    process = subprocess.Popen(command, cwd=repo_dir, env={**os.environ, "PYTHONPATH": str(SOURCES)})
    deadline = time.monotonic() + PATIENCE_S
    while not is_open(process.pid, repo_dir / "huge"):
        assert time.monotonic() < deadline
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_S)
    assert not (repo_dir / "began").exists()
    assert Repository.open(repo_dir).get_run("@").status.value == "killed"


def is_open(pid: int, path: Path) -> bool:
    try:
        return any(os.path.realpath(entry) == str(path) for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def wait_for_ctime(path: Path) -> None:
    """Until a change of the file would show in its times for sure."""
    while time.time_ns() - path.stat().st_ctime_ns < 60_000_000:
        pass
