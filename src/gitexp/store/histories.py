"""Long histories as columns of numbers: a cache beside git, faster to read than the CSV, which stays the truth.

Each file is named for the git object that holds the CSV: 8 bytes `gitexphs`, u32 CRC-32 of what follows, then the
columns steps (int64), times and values (float64) in this machine's byte order. Safe to delete at any time.
"""

from __future__ import annotations

import os
import time
import zlib
from array import array
from contextlib import suppress

from gitexp.domain.metrics import History

LONG = 50_000
"""Points from which a history is worth a file of its own."""

_MAGIC = b"gitexphs"
_HEAD = len(_MAGIC) + 4
_POINT = 24


class HistoryCache:
    """The files below a folder, made when first needed."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def get(self, csv: bytes) -> History | None:
        """The history whose CSV is the git object `csv`, if it is here and whole."""
        try:
            with open(self._path(csv), "rb") as file:
                data = file.read()
        except OSError:
            return None
        body = memoryview(data)[_HEAD:]
        if data[:_HEAD] != _MAGIC + zlib.crc32(body).to_bytes(4, "little") or len(body) % _POINT:
            return None
        size = len(body) // 3
        steps, times, values = array("q"), array("d"), array("d")
        steps.frombytes(body[:size])
        times.frombytes(body[size : 2 * size])
        values.frombytes(body[2 * size :])
        return History(steps, times, values)

    def put(self, csv: bytes, history: History) -> None:
        """Keep a history, if it is long and a float64 holds each of its values. A disk that refuses is no trouble."""
        if len(history) < LONG or history.exact:
            return
        body = b"".join((history.steps.tobytes(), history.times.tobytes(), history.values.tobytes()))
        path = self._path(csv)
        temporary = f"{path}.{os.getpid()}.tmp"
        with suppress(OSError):
            os.makedirs(self._folder, exist_ok=True)
            try:
                with open(temporary, "wb") as file:
                    file.write(_MAGIC + zlib.crc32(body).to_bytes(4, "little"))
                    file.write(body)
                os.replace(temporary, path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)

    def sweep(self, older_than_s: float) -> int:
        """Remove what was made longer ago than that; gives how many files went."""
        gone = 0
        with suppress(OSError):
            for entry in os.scandir(self._folder):
                if entry.stat().st_mtime < time.time() - older_than_s:
                    os.unlink(entry.path)
                    gone += 1
        return gone

    def _path(self, csv: bytes) -> str:
        return os.path.join(self._folder, csv.hex())
