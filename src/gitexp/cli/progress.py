"""One line on a terminal that says how much has travelled, how fast, and how long the rest will take."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from gitexp.cli.table import cut
from gitexp.cli.terminal import look
from gitexp.cli.values import duration, size
from gitexp.sharing.exchange import Listener

EVERY_S = 0.1
FIRST_AFTER_S = 0.3
"""What is done sooner draws nothing."""

RATE_OVER_S = 5.0
WIDEST_BAR, NARROWEST_BAR = 24, 6


class Progress:
    """Shows bytes and rate on stderr while it is entered, and nothing where that is no terminal.

    Args:
        what: is done, like "Pushing".
        clock: the time in seconds.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._terminal = look(sys.stderr)
        self._lock = threading.Lock()
        self._began = self._drawn = clock()
        self._stage = ""
        self._total = self._done = 0
        self._seen: deque[tuple[float, int]] = deque([(self._began, 0)])
        self._is_shown = False

    def __enter__(self) -> Listener:
        return Listener(on_stage=self._turn_to, on_total=self._add_total, on_bytes=self._add)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, for others to write; it comes again when more travels."""
        with self._lock:
            if self._is_shown:
                self._is_shown = False
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def _turn_to(self, stage: str) -> None:
        with self._lock:
            if stage != self._stage:
                self._stage = stage
                self._total = self._done = 0
                self._seen = deque([(self._clock(), 0)])

    def _add_total(self, size_bytes: int) -> None:
        with self._lock:
            self._total += size_bytes

    def _add(self, size_bytes: int) -> None:
        with self._lock:
            self._done += size_bytes
            now = self._clock()
            if self._terminal.is_pipe or now - self._drawn < EVERY_S or now - self._began < FIRST_AFTER_S:
                return
            self._drawn = now
            self._is_shown = True
            sys.stderr.write(f"\r\x1b[K{cut(self._line(now), self._terminal.width - 1, self._terminal.ellipsis)}")
            sys.stderr.flush()

    def _line(self, now: float) -> str:
        rate = self._rate(now)
        head = f"{self._what} {self._stage}".rstrip()
        speed = f"{size(int(rate))}/s"
        if not 0 < self._done <= self._total:
            return f"{head}  {size(max(self._done, 0))}, {speed}"
        share = self._done / self._total
        left = f", {duration((self._total - self._done) / rate)} left" if rate > 0 and share < 1 else ""
        facts = f"{share:4.0%}  {size(self._done)} of {size(self._total)}, {speed}{left}"
        room = self._terminal.width - 1 - len(f"{head}   {facts}")
        if room < NARROWEST_BAR:
            return f"{head} {facts}"
        columns = min(room, WIDEST_BAR)
        done = int(share * columns)
        bar = self._terminal.glyph("━", "#") * done + self._terminal.glyph("─", "-") * (columns - done)
        return f"{head}  {bar} {facts}"

    def _rate(self, now: float) -> float:
        """Bytes a second over the last few seconds."""
        self._seen.append((now, self._done))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        then, had = self._seen[0]
        return max(self._done - had, 0) / max(now - then, 1e-3)
