"""Threads beside a training, which are gone while its process forks.

A child gets copies of the locks that other threads held, and Python warns of that since 3.12. The threads here end
before a fork, so neither happens because of them. They go on in the parent: at once, but where Python counts threads
only after the last hook, when somebody calls `go_on`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

LONGEST_PAUSE_S = 1.0
"""How long a fork waits for what a thread is doing, as writing to a slow disk."""

COUNTED_LATE = sys.version_info >= (3, 13)
"""Whether threads that go on in a hook after the fork are counted."""

_GONE_S = 0.02
_LOOK_S = 0.0001

_running: set[Background] = set()


class Background:
    """Calls a function again and again in a daemon thread.

    Args:
        tick: gives the seconds after which to call it again.
        is_needed: asked before each call; the thread ends where it says no.
    """

    def __init__(
        self, name: str, tick: Callable[[], float], *, first_s: float, is_needed: Callable[[], bool] = lambda: True
    ) -> None:
        self._name = name
        self._tick = tick
        self._first_s = first_s
        self._is_needed = is_needed
        self._due: float | None = None
        self._thread: threading.Thread | None = None
        self._forget()

    def start(self) -> None:
        """Begin, unless it is going on already; the first call comes `first_s` later.

        Where there can be no more threads, or the interpreter is ending, nothing is called.
        """
        with self._lock:
            if self._thread is not None:
                return
            self._is_stopped = False
            self._over = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._over,), name=self._name, daemon=True)
            if self._due is None:
                self._due = time.monotonic() + self._first_s
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = self._due = None
                return
            _running.add(self)

    def stop(self) -> None:
        """End; nothing is called after this. In a forked child there is nothing to end."""
        self._is_stopped = True
        thread = self._thread
        self._over.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, over: threading.Event) -> None:
        while not over.wait(max((self._due or 0.0) - time.monotonic(), 0.0)):
            with self._lock:
                if not self._is_needed():
                    break
            self._due = time.monotonic() + self._tick()
        with self._lock:
            if self._over is over:
                self._thread = None
                if not self._is_paused:
                    self._due = None
                    _running.discard(self)

    def _forget(self) -> None:
        """A state without a thread, as in a forked child."""
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = None
        self._is_paused = self._is_stopped = False

    def _pause(self) -> None:
        with self._lock:
            thread = self._thread
            if thread is None or thread is threading.current_thread():
                return
            self._is_paused = True
        self._over.set()
        thread.join(LONGEST_PAUSE_S)
        until = time.monotonic() + _GONE_S
        while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < until:
            time.sleep(_LOOK_S)  # it is counted until the system has cleaned up after it

    def _go_on(self) -> None:
        with self._lock:
            if not self._is_paused:
                return
            self._is_paused = False
            self._thread = None
            if self._is_stopped:
                _running.discard(self)
                return
        self.start()


def go_on() -> None:
    """What a fork stopped goes on."""
    for background in list(_running):
        background._go_on()


def _before_fork() -> None:
    for background in list(_running):
        background._pause()


def _after_fork_in_child() -> None:
    for background in _running:
        background._forget()
        background._due = None
    _running.clear()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
if not COUNTED_LATE:
    os.register_at_fork(after_in_parent=go_on)
