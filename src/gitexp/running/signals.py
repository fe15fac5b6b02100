"""Signals on their way to a launched child: each reaches it exactly once.

The child stays in our process group, so that job control, Ctrl-Z and the background work as without us. What the
terminal or `killpg` sends to the whole group has therefore reached the child already; what `kill` sends to our process
id alone has not and is passed on. The two look alike to us; a *witness* tells them apart: a process in our group that
blocks every signal, so that those sent to all stay pending where /proc shows them. It also sees what batch systems
send to each process of a job in turn.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from gitexp.running.streams import CAT

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SETTLE_S = 0.005
"""How long whoever signals several processes may take from the first to the last."""

LOOK_S = 0.05
"""How often to look for the child's end where signals cannot tell."""


class SignalRelay:
    """While entered, signals do not end this process: they go to the child, if there is one.

    Signals that were ignored stay ignored, by the child too. Outside the main thread nothing is relayed, because only
    the main thread can handle signals.

    Attributes:
        on_resize: called when the terminal has changed its size, before the child is told; or None.
    """

    def __init__(self) -> None:
        self.on_resize: Callable[[], None] | None = None
        self._child: int | None = None
        self._stopped_by: int | None = None
        self._stopped_at = 0.0
        self._arrived: set[int] = set()
        self._witness: _Witness | None = None
        self._early: set[int] = set()
        self._previous: dict[int, object] = {}
        self._previous_wakeup = -1
        self._arrivals = -1
        self._wakeup = -1

    def __enter__(self) -> SignalRelay:
        if threading.current_thread() is not threading.main_thread():
            return self
        # The C level writes each signal's number into a pipe: unlike a handler that only runs when a system call is
        # interrupted, this cannot miss the one that comes just before the call.
        self._arrivals, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._arrivals, False)
        self._previous_wakeup = signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        for number in PASSED_ON:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, _leave_it_to_the_pipe)
        for number in (signal.SIGWINCH, signal.SIGCHLD):
            self._previous[number] = signal.signal(number, _leave_it_to_the_pipe)
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()
        if self._arrivals < 0:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._previous_wakeup)
        os.close(self._arrivals)
        os.close(self._wakeup)

    @property
    def child(self) -> int | None:
        """The process that signals go to; None before it is there and after its end."""
        return self._child

    @property
    def stopped_by(self) -> int | None:
        """The last signal that asked us to stop, or None."""
        self._collect()
        return self._stopped_by

    def asked_after(self, moment: float) -> bool:
        """Whether a signal asked us to stop after `moment`, by the monotonic clock."""
        self._collect()
        return self._stopped_at > moment

    def expect_child(self) -> None:
        """Just before the child is started: what came until now is for it, what comes now it may get too."""
        if self._arrivals >= 0:
            self._collect()
            self._early = self._take_arrived()
            self._witness = _Witness()

    def attach(self, child: int) -> None:
        """Send signals to `child` from now on, first those that came before it was there."""
        self._child = child
        self._send(self._early)

    def detach(self) -> None:
        """Stop sending: the child has ended. Signals that come later are only noted."""
        self._child = None
        if self._witness:
            self._witness.close()
            self._witness = None

    def wait(self) -> None:
        """Wait until a signal comes (the child's end and stopping are signals too), and send on what is to be sent."""
        if self._arrivals < 0:
            time.sleep(LOOK_S)
            return
        poller = select.poll()
        poller.register(self._arrivals, select.POLLIN)
        poller.poll()
        self._collect()
        if signal.SIGWINCH in self._arrived and self.on_resize:
            self.on_resize()
            self._send({signal.SIGWINCH})
        if self._arrived & {*PASSED_ON}:
            time.sleep(SETTLE_S)
            former, self._witness = self._witness, _Witness()  # the next signals are seen by the next witness
            self._collect()
            arrived = self._take_arrived()
            self._send(arrived - _sent_to_all(arrived, former))
        else:
            self._arrived.clear()

    def _collect(self) -> None:
        if self._arrivals < 0:
            return
        with suppress(BlockingIOError):
            while numbers := os.read(self._arrivals, 4096):
                self._arrived.update(numbers)
                stopping = [number for number in numbers if number in STOPPING]
                if stopping:
                    self._stopped_by, self._stopped_at = stopping[-1], time.monotonic()

    def _take_arrived(self) -> set[int]:
        """What is to be sent. The same signal twice within `SETTLE_S` is one, as if it had still been pending."""
        arrived, self._arrived = self._arrived & {*PASSED_ON}, set()
        return arrived

    def _send(self, numbers: set[int]) -> None:
        for number in sorted(numbers):
            if self._child is not None:
                with suppress(OSError):  # it became another user's, or is gone
                    os.kill(self._child, number)


class _Witness:
    """`cat` with every signal blocked; it ends when it is closed, or when we die and its input with us."""

    def __init__(self) -> None:
        self._pid = 0
        reading, self._input = os.pipe()
        with suppress(OSError):
            self._pid = os.posix_spawn(
                CAT,
                ["cat"],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reading, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsigmask=signal.valid_signals(),
            )
        os.close(reading)

    def pending(self) -> set[int] | None:
        """The signals sent to it so far; None where the system does not tell."""
        try:
            with open(f"/proc/{self._pid}/status", "rb", buffering=0) as file:
                lines = file.read(8192).splitlines()
        except OSError:
            return None
        masks = [int(line.split()[1], 16) for line in lines if line.startswith((b"SigPnd:", b"ShdPnd:"))]
        return {number for number in PASSED_ON if any(mask >> (number - 1) & 1 for mask in masks)} if masks else None

    def close(self) -> None:
        os.close(self._input)
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _leave_it_to_the_pipe(_number: int, _frame: FrameType | None) -> None:
    """Being handled at all is what keeps a signal from ending us."""


def _sent_to_all(arrived: set[int], witness: _Witness | None) -> set[int]:
    """Those of the signals that others of our group got too."""
    pending = witness.pending() if witness else set()
    if witness:
        witness.close()
    if pending is None:  # not told here; what people type is sent to all
        return arrived & {signal.SIGINT, signal.SIGQUIT} if _is_in_foreground() else set()
    return arrived & pending


def _is_in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
