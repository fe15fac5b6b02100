"""Threads beside a training: they call when it is time, and are gone while the process forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gitexp.store.background import Background, go_on
from launching import PATIENCE_S, SOURCES

FORKS = """
import os, threading, warnings

def names():
    return sorted(thread.name for thread in threading.enumerate())

while_forking = []
os.register_at_fork(before=lambda: while_forking.append(names()))
warnings.simplefilter("error")

import gitexp

with gitexp.start_run("forks", system_metrics=True):
    gitexp.log_metric("loss", 0.5)
    before = names()
    for number in range(5):
        pid = os.fork()
        if pid == 0:
            gitexp.log_metric("loss", 0.25)
            os._exit(len(names()) - 2)
        assert os.waitpid(pid, 0)[1] == 0
    gitexp.log_metric("loss", 0.125)
    assert names() == before == ["MainThread", "gitexp-sync", "gitexp-system"], (before, names())
assert while_forking == [["MainThread"]] * 5, while_forking
assert len(gitexp.get_run("forks").history("loss")) == 7
"""


@pytest.mark.slow
def test_no_thread_of_ours_is_there_when_a_script_forks(repo_dir: Path) -> None:
    """So Python, which warns of forks beside threads from 3.12 on, does not; when the script logs next, all go on."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        cwd=repo_dir,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_calls_until_it_is_stopped() -> None:
    """Starting twice is starting once; after `stop` nothing is called, and a fork brings nothing back."""
    calls: list[int] = []
    enough = threading.Event()

    def tick() -> float:
        calls.append(threading.get_ident())
        if len(calls) == 3:
            enough.set()
        return 0.0 if len(calls) < 3 else 3600.0

    background = Background("test", tick, first_s=0.0)
    background.start()
    background.start()
    assert enough.wait(PATIENCE_S)
    background.stop()
    _fork()
    go_on()
    assert len(calls) == 3
    assert len(set(calls)) == 1
    assert all(thread.name != "test" for thread in threading.enumerate())


def test_a_fork_does_not_change_when_it_calls() -> None:
    """What was due while the process forked is done after it, by another thread."""
    threads: list[int | None] = []
    first, second = threading.Event(), threading.Event()

    def tick() -> float:
        threads.append(threading.current_thread().native_id)
        (second if first.is_set() else first).set()
        return 0.2

    background = Background("test", tick, first_s=0.0)
    background.start()
    assert first.wait(PATIENCE_S)
    _fork()
    go_on()
    assert second.wait(PATIENCE_S)
    background.stop()
    assert threads[0] != threads[1]


def test_it_ends_when_it_is_not_needed_and_begins_again() -> None:
    """No thread is left that has nothing to do."""
    called = threading.Event()
    is_needed = True

    def tick() -> float:
        nonlocal is_needed
        is_needed = False
        called.set()
        return 0.0

    background = Background("test", tick, first_s=0.0, is_needed=lambda: is_needed)
    for _ in range(2):
        is_needed = True
        called.clear()
        background.start()
        thread = next(thread for thread in threading.enumerate() if thread.name == "test")
        assert called.wait(PATIENCE_S)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
