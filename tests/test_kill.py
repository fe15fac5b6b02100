"""Death at every step: whatever call a process dies in, nothing acknowledged is lost and git stays clean."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitexp.domain.metrics import History
from gitexp.domain.run import Status
from gitexp.recording import Recorder, RunRequest
from gitexp.repo import Repository
from gitexp.store.git.repository import discover

STEPS = ("open", "write", "fsync", "fdatasync", "link", "rename", "replace", "unlink", "mkdir", "rmdir", "close")
POINTS = 20


def record(folder: Path, acknowledge: Callable[[int], None]) -> None:
    """One run: points, params, a small and a large artifact, a seal, and a tag afterwards."""
    repository = Repository.open(folder, environ=os.environ)
    request = RunRequest(name="killed", params={"lr": 0.1})
    recorder = Recorder.begin(repository, request, on_trouble=print)
    recorder.add_bytes(b"small", "small.txt")
    recorder.add_bytes(b"x" * 100_000, "large.bin")
    for step in range(POINTS):
        recorder.point("loss", step, 1_790_000_000.0 + step, 1.0 / (step + 1))
        acknowledge(step + 1)
    recorder.end(Status.FINISHED)
    acknowledge(POINTS + 1)
    repository.tag(repository.resolve("killed"), {"stage": "dev"})
    acknowledge(POINTS + 2)


def die_at(number: int, acknowledged: int) -> None:
    """Count every call that changes files, and be killed just before (odd) or just after (even) the one chosen."""
    left = [number]

    def wrap(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if name == "write" and arguments[0] == acknowledged:
                return call(*arguments, **options)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            done = call(*arguments, **options)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return counted

    for name in STEPS:
        setattr(os, name, wrap(name, getattr(os, name)))


def run_and_die(folder: Path, number: int) -> tuple[int, bool]:
    """Record in a process that dies at a step; gives how much it had acknowledged, and whether it was killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            die_at(number, writing)
            record(folder, lambda count: os.write(writing, bytes([count])) and None)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        acknowledged = pipe.read()
    _, status = os.waitpid(pid, 0)
    return (acknowledged[-1] if acknowledged else 0), os.WIFSIGNALED(status)


@pytest.mark.slow
def test_death_at_every_step_loses_nothing(repo_dir: Path, git: Callable[..., str]) -> None:
    """At each step of recording, sealing and tagging: what a call returned for is there, once, and fsck is clean."""
    number, killed, recovered = 0, True, 0
    while killed:
        number += 1
        acknowledged, killed = run_and_die(repo_dir, number)
        repository = Repository.open(repo_dir, environ=os.environ)
        assert not any(run.problem for run in repository.recovered), repository.recovered
        assert len(repository.recovered) <= 1
        recovered += len(repository.recovered)
        assert Repository.open(repo_dir, environ=os.environ).recovered == []
        check(repository, acknowledged)
        git("fsck", "--full", "--strict", cwd=repo_dir)
        assert git("for-each-ref", "refs/gitexp/live", cwd=repo_dir) == ""
        for run in repository.search():
            assert run.commit is not None
            assert repository.runs.remove(run.ref, run.commit)
    assert number > 100
    assert recovered > 20


def check(repository: Repository, acknowledged: int) -> None:
    runs = repository.search()
    if not runs:
        assert acknowledged == 0
        return
    [summary] = runs
    run = repository.view(summary)
    history = run.history("loss") if acknowledged else History.of(())
    assert len(history) >= min(acknowledged, POINTS)
    assert [point.value for point in history] == [1.0 / (step + 1) for step in range(len(history))]
    if acknowledged:
        assert run.params == {"lr": 0.1}
        assert run.artifacts["small.txt"].read() == b"small"
        assert run.artifacts["large.bin"].read() == b"x" * 100_000
        assert run.code.read("train.py") == b"print('training')\n"
    assert run.status == (Status.FINISHED if acknowledged > POINTS else run.status)
    if acknowledged > POINTS + 1:
        assert run.tags == {"stage": "dev"}


@pytest.mark.slow
def test_two_processes_seal_one_run(repo_dir: Path, git: Callable[..., str]) -> None:
    """Of many processes that find the same dead runs, all end with the same commits, and each run is sealed once."""
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            repository = Repository(discover(repo_dir, os.environ), os.environ)
            Recorder.begin(repository, RunRequest(), on_trouble=print).point("loss", 0, 0.0, 1.0)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    children = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                found = Repository.open(repo_dir, environ=os.environ).recovered
                os._exit(1 if any(run.problem for run in found) else 0)
            except BaseException:
                os._exit(2)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 8
    repository = Repository.open(repo_dir, environ=os.environ)
    assert repository.recovered == []
    assert [run.record.status for run in repository.search()] == [Status.CRASHED] * 5
    git("fsck", "--full", "--strict", cwd=repo_dir)
