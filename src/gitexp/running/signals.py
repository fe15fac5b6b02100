"""Signals on their way to a launched child: each reaches it exactly once.

The child stays in our process group, so that job control, Ctrl-Z and the background work as without us. What the
terminal or `killpg` sends to the whole group has therefore reached the child already; what `kill` sends to our process
id alone has not and is passed on. The two look alike to us; a *witness* tells them apart: a process in our group that
blocks every signal, so that those sent to all stay pending where /proc shows them. It also sees what batch systems
send to each process of a job in turn.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType

from gitexp.running.streams import CAT

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SETTLE_S = 0.005
"""How long whoever signals several processes may take from the first to the last."""


class SignalRelay:
    """While entered, signals do not end this process: they go to the child, if there is one.

    Signals that were ignored stay ignored, by the child too. Outside the main thread nothing is relayed, because only
    the main thread can handle signals.

    Attributes:
        stopped_by: the last signal that asked us to stop, or None.
        on_resize: called when the terminal has changed its size, before the child is told; or None.
    """

    def __init__(self) -> None:
        self.stopped_by: signal.Signals | None = None
        self.on_resize: Callable[[], None] | None = None
        self._child: int | None = None
        self._arrived: set[int] = set()
        self._is_settling = False
        self._witness: _Witness | None = None
        self._seen_by_former: set[int] = set()
        self._previous: dict[int, object] = {}

    def __enter__(self) -> SignalRelay:
        with suppress(ValueError):  # not the main thread
            for number in PASSED_ON:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._receive)
            self._previous[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resize)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()
        for number, handler in self._previous.items():
            signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]

    def attach(self, child: int) -> None:
        """Send signals to `child` from now on, first those that came before it was there."""
        if self._previous:
            self._witness = _Witness()
        self._child = child
        self._send(self._arrived)
        self._arrived = set()

    def detach(self) -> None:
        """Stop sending: the child has ended. Signals that come later are only noted."""
        self._child = None
        if self._witness:
            self._witness.close()
            self._witness = None

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number in STOPPING:
            self.stopped_by = signal.Signals(number)
        self._arrived.add(number)
        if self._child is None or self._is_settling:
            return
        self._is_settling = True
        try:
            while self._arrived:
                time.sleep(SETTLE_S)
                arrived, self._arrived = self._arrived, set()  # the same signal twice within this time is one, as ever
                self._send(arrived - self._sent_to_all(arrived))
        finally:
            self._is_settling = False

    def _sent_to_all(self, arrived: set[int]) -> set[int]:
        witness = self._witness
        pending = witness.pending() if witness else None
        if witness is None or pending is None:
            return arrived & {signal.SIGINT, signal.SIGQUIT} if _is_in_foreground() else set()
        seen = arrived & (pending | self._seen_by_former)
        self._seen_by_former = set()
        if arrived & pending:  # it cannot see these a second time
            self._witness = _Witness()
            self._seen_by_former = (witness.pending() or set()) - pending
            witness.close()
        return seen

    def _resize(self, number: int, _frame: FrameType | None) -> None:
        if self.on_resize:
            self.on_resize()
            self._send({number})

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


def _is_in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
