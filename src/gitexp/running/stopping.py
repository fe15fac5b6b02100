"""Ending a command before its own end: by a condition on its metrics, or because its time is up."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from gitexp.running.watching import Launch, Watcher
from gitexp.store.playback import JournalTail

if TYPE_CHECKING:
    import psutil

    from gitexp.domain.stopping import StopRule

EVERY_S = 0.25
"""How often new metrics are looked at."""

GRACE_S = 10.0
"""What a command gets between SIGTERM and SIGKILL to save its work."""


class Stopper:
    """Ends a command and all that it started: with SIGTERM, and what is left after a while with SIGKILL.

    Attributes:
        reason: why it was ended, a sentence; empty where it was not.
    """

    def __init__(self, child: Callable[[], int | None], tell: Callable[[str], None]) -> None:
        self.reason = ""
        self._child = child
        self._tell = tell
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._killer = threading.Thread(target=self._kill_later, name="gitexp-stop", daemon=True)
        self._family: list[psutil.Process] = []

    def stop(self, reason: str) -> None:
        """End the command; only the first reason counts. Does not wait for its end."""
        with self._lock:
            pid = self._child()
            if self.reason or pid is None:
                return
            self.reason = reason
            self._tell(reason)
            self._family = _family(pid)
            for process in self._family:
                _send(process, signal.SIGTERM)
            self._killer.start()

    def over(self) -> None:
        """The command has ended; what it left behind follows at once."""
        self._ended.set()
        if self._killer.is_alive():
            self._killer.join()

    def _kill_later(self) -> None:
        if not self._ended.wait(GRACE_S):
            self._family += [child for process in self._family for child in _children(process)]
        for process in self._family:
            _send(process, signal.SIGKILL)


class TimeLimit(Watcher):
    """Ends a command that takes too long."""

    def __init__(self, here: Launch, limit_s: float) -> None:
        self._stop = here.stop
        self._limit_s = limit_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="gitexp-timeout", daemon=True)

    def started(self) -> None:
        self._thread.start()

    def over(self) -> None:
        self._over.set()

    def _wait(self) -> None:
        if not self._over.wait(self._limit_s):
            self._stop(f"Stopped because it took longer than {self._limit_s:g} s.")


class StopRules(Watcher):
    """Ends a command when one of the rules about its metrics has come true, whoever logs them."""

    def __init__(self, here: Launch, rules: Sequence[StopRule]) -> None:
        from gitexp.domain.stopping import StopWatch  # most runs have no rule

        recorder = here.recorder
        self._stop = here.stop
        self._tail = JournalTail(recorder.folder)
        self._watch = StopWatch(rules, recorder.repository.live.summary(recorder.run_id).record)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="gitexp-stop-when", daemon=True)

    def started(self) -> None:
        self._thread.start()

    def over(self) -> None:
        self._over.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._over.wait(EVERY_S):
            reason = self._look()
            if reason:
                self._stop(reason)
                return

    def _look(self) -> str:
        with suppress(OSError):
            found = self._tail.read_new()
            points = [
                (point.time, key, point.step, point.value)
                for (key, _), history in found.items()
                if key in self._watch.metrics
                for point in history
            ]
            for moment, key, step, value in sorted(points, key=lambda point: point[0]):
                reason = self._watch.see(key, step, moment, value)
                if reason:
                    return reason
        return self._watch.look(time.time())


def _family(pid: int) -> list[psutil.Process]:
    """The process and all that it started, as far as they are still its descendants."""
    import psutil  # only where a command is ended

    try:
        process = psutil.Process(pid)
    except psutil.Error:
        return []
    return [process, *_children(process)]


def _children(process: psutil.Process) -> list[psutil.Process]:
    import psutil

    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    import psutil

    with suppress(psutil.Error, OSError):  # psutil knows it from another that got its number
        process.send_signal(number)
