"""Watching a live run from another process: nothing is missed, nothing is read twice, and the run does not notice."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gitexp
from gitexp.cli import execute
from gitexp.domain.course import Course
from gitexp.domain.metrics import History
from gitexp.domain.source import Source
from gitexp.errors import NotFound
from gitexp.following import Follower, newest_live
from gitexp.recording import Recorder
from gitexp.repo import Repository
from gitexp.store.output import OutputLog, OutputTail, read_output
from launching import Terminal
from sealed_runs import seal

pytestmark = pytest.mark.slow

TRAIN = """
import sys
print("ready", flush=True)
import gitexp
for line in sys.stdin:
    if line == "log\\n":
        step = getattr(gitexp, "at", 0)
        gitexp.log_metrics({"loss": 1 / (step + 1), "acc": float(step)}, step=step)
        gitexp.at = step + 1
        print(f"epoch {step} done", flush=True)
    else:
        sys.exit(int(line))
"""


class Training:
    """A launched script that logs when it is told to, and leaves with the code it is told."""

    def __init__(self, folder: Path) -> None:
        (folder / "live.py").write_text(TRAIN)
        command = [sys.executable, "-m", "gitexp", "run", "-n", "lively", "live.py"]
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.expect("ready")

    def log(self, times: int = 1) -> None:
        assert self.process.stdin is not None
        for _ in range(times):
            self.process.stdin.write("log\n")
            self.process.stdin.flush()
            self.expect("epoch")

    def leave(self, code: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{code}\n")
        self.process.stdin.flush()
        self.process.wait(30)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def expect(self, begin: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(begin)


@pytest.fixture
def training(repo_dir: Path) -> Iterator[Training]:
    started = Training(repo_dir)
    yield started
    if started.process.poll() is None:
        started.kill()
    for stream in (started.process.stdin, started.process.stdout):
        assert stream is not None
        stream.close()


def watch(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gitexp", "watch", "--interval", "0.05", *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# Following


def test_every_point_comes_once(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look gives what was logged since the last; the one after the end gives the rest and says that it is over."""
    monkeypatch.chdir(repo_dir)
    run = gitexp.start_run("live", params={"lr": 0.1})
    run.log_metric("loss", 0.5, step=0)
    follower = Follower(Repository.open(repo_dir), newest_live(Repository.open(repo_dir)).record.id)
    seen: list[tuple[str, int]] = []

    def look() -> bool:
        progress = follower.look()
        seen.extend((key, step) for key, history in progress.points.items() for step in history.steps)
        return progress.is_over

    assert not look() and not look()
    for step in range(1, 4):
        run.log_metric("loss", 0.5, step=step)
        run.log_metric("late", 2**60 + 1, step=step)
        assert not look()
    run.log_metric("loss", 0.5, step=4)
    run.log_metric("last", 1.0, step=9)
    run.end()
    assert look()
    assert sorted(seen) == sorted([("loss", s) for s in range(5)] + [("late", s) for s in (1, 2, 3)] + [("last", 9)])


def test_a_resumed_run_gives_what_is_new(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points of before the resumption do not come again, not even with the seal."""
    monkeypatch.chdir(repo_dir)
    first = gitexp.start_run("live")
    first.log_metric("loss", 0.5, step=0)
    first.end()
    run = gitexp.start_run(run_id=first.id)
    follower = Follower(Repository.open(repo_dir), run.id)
    run.log_metric("loss", 0.4, step=1)
    assert list(follower.look().points["loss"].steps) == [1]
    run.log_metric("loss", 0.3, step=2)
    run.end()
    progress = follower.look()
    assert progress.is_over and list(progress.points["loss"].steps) == [2]


def test_the_source_that_counts_is_followed(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a printed line says of a metric stops coming when the script itself logs it."""
    monkeypatch.chdir(repo_dir)
    run = gitexp.start_run("live")
    recorder: Recorder = run._recorder
    printed = recorder.beside(Source.OUTPUT)
    follower = Follower(Repository.open(repo_dir), run.id)
    printed.point("loss", 0, 1e9, 0.5)
    assert follower.look().points["loss"].values[0] == 0.5
    run.log_metric("loss", 0.25, step=0)
    printed.point("loss", 1, 1e9, 0.7)
    assert list(follower.look().points["loss"].values) == [0.25]
    run.end()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=30), st.integers(8, 200), st.sets(st.integers(0, 30)))
def test_output_is_followed_as_it_is_kept(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int, looks: set[int]
) -> None:
    """Whenever one looks, all pieces together are what was printed, with a mark for what one came too late for."""
    folder = str(tmp_path_factory.mktemp("output"))
    everything = b"".join(b"%03d," % number for number in range(sum(sizes)))[: sum(sizes)]
    log, tail = OutputLog(folder, limit), OutputTail(folder)
    seen, at = b"", 0
    for number, size in enumerate(sizes):
        log.write(everything[at : at + size])
        at += size
        if number in looks:
            seen += tail.read_new()
    log.close()
    found = seen + tail.rest_of(read_output(folder) or b"")
    expected, position = 0, 0
    for gap in [*re.finditer(rb"\n\.\.\. ([0-9,]+) bytes left out \.\.\.\n", found), None]:
        piece = found[position : gap.start() if gap else None]
        assert piece == everything[expected : expected + len(piece)]
        expected += len(piece)
        if gap:
            expected += int(gap[1].replace(b",", b""))
            position = gap.end()
    assert expected == len(everything)
    assert found == everything or len(everything) > limit // 2 * 2


def test_a_course_of_any_length_is_small() -> None:
    """A course keeps at most 128 means of the right size, and the ends and the last value exactly."""
    course = Course()
    values = array("d", (math.sin(n / 1000) for n in range(300_000)))
    for first in (0, 10, 11, 150_000):
        last = {0: 10, 10: 11, 11: 150_000, 150_000: 300_000}[first]
        steps = array("q", range(first, last))
        course.add(History(steps, array("d", steps), values[first:last]))
    means = course.means()
    assert 32 <= len(means) <= 129 and course.points == 300_000 and course.last is not None
    assert (course.low, course.high, course.last.value) == (min(values), max(values), values[-1])
    assert sum(means) / len(means) == pytest.approx(sum(values) / len(values), abs=0.02)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(), max_size=40), max_size=12))
def test_a_course_takes_anything(parts: list[list[float]]) -> None:
    """However the points come in, and whatever they are, the means are few and lie among the finite values."""
    course = Course()
    for part in parts:
        course.add(History.of([(step, 0.0, value) for step, value in enumerate(part)]))
    finite = [value for part in parts for value in part if math.isfinite(value)]
    assert len(course.means()) <= 129 and course.points == sum(map(len, parts))
    assert (course.low, course.high) == (min(finite, default=math.inf), max(finite, default=-math.inf))


# The command


def test_output_and_metrics_come_as_lines(repo_dir: Path, training: Training) -> None:
    """In a pipe: a head, what is new, and how the run ended, with exit code 0."""
    training.log(2)
    with watch(cwd=repo_dir) as watching:
        assert watching.stdout is not None
        head = watching.stdout.readline()
        assert re.match(r"lively  \w{12}  ● running  ", head)
        while "acc=1" not in watching.stdout.readline():
            pass
        training.log(1)
        training.leave(3)
        rest = watching.stdout.read().splitlines()
        assert watching.wait(30) == 0
    assert "epoch 2 done" in rest and "[2] acc=2  loss=0.33333" in rest
    assert re.match(r"lively  \w{12}  ✗ failed \(exit code 3\)", rest[-1])


def test_events_for_programs(repo_dir: Path, training: Training) -> None:
    """With --from-start all points and all output come, one JSON document a line."""
    training.log(3)
    with watch("lively", "--json", "--from-start", cwd=repo_dir) as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        training.log(2)
        training.leave(0)
        events = [first, *map(json.loads, watching.stdout)]
        assert watching.wait(30) == 0
    assert [event["event"] for event in (events[0], events[-1])] == ["run", "end"]
    assert [run["status"] for run in (events[0]["run"], events[-1]["run"])] == ["running", "finished"]
    points = [point for event in events if event.get("metric") == "loss" for point in event["points"]]
    assert [(step, value) for step, _, value in points] == [(step, 1 / (step + 1)) for step in range(5)]
    output = "".join(event["text"] for event in events if event["event"] == "output")
    assert output == "ready\n" + "".join(f"epoch {step} done\n" for step in range(5))


def test_a_killed_run_is_told_as_crashed(repo_dir: Path, training: Training) -> None:
    """When every process of the run is killed, the watcher seals it, says so and ends."""
    training.log(1)
    with watch(cwd=repo_dir) as watching:
        assert watching.stdout is not None
        watching.stdout.readline()
        training.kill()
        assert "! crashed" in watching.stdout.read().splitlines()[-1]
        assert watching.wait(30) == 0
    assert Repository.open(repo_dir).resolve("lively").metrics["loss"] == 1.0


def test_a_terminal_shows_a_picture_until_the_end(repo_dir: Path, training: Training) -> None:
    """Status, metrics with their course and the output's end, drawn anew; the cursor comes back."""
    training.log(3)
    environ = {**os.environ, "TERM": "xterm", "PYTHONUTF8": "1"}
    environ.pop("COLUMNS", None)
    command = [sys.executable, "-m", "gitexp", "watch", "--interval", "0.05"]
    terminal = Terminal(command, cwd=repo_dir, environ=environ)
    terminal.wait_for(b"epoch 2 done")
    training.log(1)
    terminal.wait_for(b"epoch 3 done")
    training.leave(0)
    assert terminal.wait() == 0
    shown = terminal.shown.decode()
    last = shown.rsplit("\x1b[J", 1)[1]
    assert "✓ finished" in last and re.search(r"loss +0\.25 +3 +0\.25 +1 +█", last) and "epoch 3 done" in last
    assert shown.startswith("\x1b[?25l") and shown.endswith("\x1b[?25h")
    assert len(last.splitlines()) < 24


def test_ctrl_c_leaves_the_run_alone(repo_dir: Path, training: Training) -> None:
    """The watcher leaves with the code of an interruption; the run goes on and ends as it would."""
    environ = {**os.environ, "TERM": "xterm", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "gitexp", "watch", "--interval", "0.05"]
    terminal = Terminal(command, cwd=repo_dir, environ=environ)
    terminal.wait_for(b"running")
    terminal.type(b"\x03")
    assert terminal.wait() == 130
    assert b"'lively' goes on." in terminal.shown and b"\x1b[?25h" in terminal.shown
    training.log(1)
    training.leave(0)
    assert Repository.open(repo_dir).resolve("lively").record.status == "finished"


def test_without_a_live_run_the_last_one_is_told(
    repo_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No live run is no error; a sealed run that is named is told at once, an unknown one is not found."""
    monkeypatch.chdir(repo_dir)

    def cli(*arguments: str) -> tuple[int, str, str]:
        code = execute(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    assert cli("watch") == (0, "", "No run is live. Record the first: gitexp run train.py\n")
    seal(repo_dir, "old")
    code, out, err = cli("watch")
    assert code == 0 and out.startswith("old  ") and "finished" in out and err == "No run is live.\n"
    assert cli("watch", "old")[:2] == (0, out)
    assert cli("watch", "nobody")[0] == 3
    with pytest.raises(NotFound):
        newest_live(Repository.open(repo_dir))
    document: dict[str, Any] = json.loads(cli("watch", "--json")[1])
    assert document["event"] == "end"
