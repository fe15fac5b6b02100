"""One line on a terminal that says how much has travelled, and how fast."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

from gitexp.cli.terminal import look
from gitexp.cli.values import size
from gitexp.sharing.exchange import Listener

EVERY_S = 0.1
FIRST_AFTER_S = 0.3
"""What is done sooner draws nothing."""

BAR = 24


class Progress:
    """Shows bytes and rate on stderr while it is entered, and nothing where that is no terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._terminal = look(sys.stderr)
        self._lock = threading.Lock()
        self._began = self._drawn = time.monotonic()
        self._total = self._done = 0
        self._is_shown = False

    def __enter__(self) -> Listener:
        return Listener(on_total=self._add_total, on_bytes=self._add)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _add_total(self, size_bytes: int) -> None:
        with self._lock:
            self._total += size_bytes

    def _add(self, size_bytes: int) -> None:
        with self._lock:
            self._done += size_bytes
            now = time.monotonic()
            if self._terminal.is_pipe or now - self._drawn < EVERY_S or now - self._began < FIRST_AFTER_S:
                return
            self._drawn = now
            self._is_shown = True
            sys.stderr.write(f"\r\x1b[K{self._line(now)[: self._terminal.width - 1]}")
            sys.stderr.flush()

    def _line(self, now: float) -> str:
        rate = f"{size(int(self._done / max(now - self._began, 1e-3)))}/s"
        if self._done > self._total:
            return f"{self._what} {size(self._done)}, {rate}"
        share = self._done / self._total
        full, empty = self._terminal.glyph("━", "#"), self._terminal.glyph("─", "-")
        bar = full * int(share * BAR) + empty * (BAR - int(share * BAR))
        return f"{self._what} {bar} {share:4.0%}  {size(self._done)} of {size(self._total)}, {rate}"
