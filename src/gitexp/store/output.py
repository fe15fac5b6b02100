"""What a run printed: the beginning and the end, in bounded space (docs/format.md, 3)."""

from __future__ import annotations

import os
import struct
import threading

_HEAD = "output.head"
_TAILS = ("output.tail.0", "output.tail.1")
_TAIL_HEADER = struct.Struct("<QQ")
"""Where in the whole output the file begins, and how many bytes of the end are to be shown."""


class OutputLog:
    """Keeps the first and the last half of `limit_bytes` of what is written to it. Plain appends: a kill loses nothing.

    The end lies in two files that take turns, each half the limit: the older one is emptied when the newer one is full.
    Threads may share it. A disk that refuses does not raise: what it refused counts as left out.

    Attributes:
        trouble: what the operating system said when it refused; empty where it never did.
    """

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self.trouble = ""
        self._lock = threading.Lock()
        self._folder = folder
        self._half = limit_bytes // 2
        self._position = 0
        self._room = self._half
        self._next_tail = 0
        self._fd = -1

    def write(self, data: bytes) -> None:
        with self._lock:
            rest = memoryview(data)
            while rest and self._half:
                taken = self._append(rest[: self._room])
                self._position += taken
                rest = rest[taken:]

    def close(self) -> None:
        with self._lock:
            self._close()

    def _append(self, data: memoryview) -> int:
        """Write some of `data`, which fits into the file; gives how much is done with, written or refused."""
        try:
            if self._fd < 0:
                self._open()
            taken = os.write(self._fd, data)
        except OSError as error:
            self.trouble = error.strerror or str(error)
            taken = len(data)
            self._room = 0  # what comes after the gap belongs into a file that says where it begins
        else:
            self._room -= taken
        if not self._room:
            self._close()
            self._room = self._half
        return taken

    def _open(self) -> None:
        if not self._position:
            self._fd = _create(os.path.join(self._folder, _HEAD))
            return
        fd = _create(os.path.join(self._folder, _TAILS[self._next_tail]))
        try:
            os.write(fd, _TAIL_HEADER.pack(self._position, self._half))
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        self._next_tail = 1 - self._next_tail

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_output(folder: str) -> bytes | None:
    """What was kept, with a line in the middle that says how much was left out; None where nothing was captured."""
    head = _read(os.path.join(folder, _HEAD))
    tails = sorted(filter(None, map(_read_tail, (os.path.join(folder, name) for name in _TAILS))))
    if not tails:
        return head
    head = head or b""
    begin, half, tail = tails[-1]
    if len(tails) == 2 and tails[0][0] + len(tails[0][2]) == begin:
        begin, tail = tails[0][0], tails[0][2] + tail
    begin, tail = begin + max(len(tail) - half, 0), tail[-half:]
    if begin == len(head):
        return head + tail
    return head + f"\n... {begin - len(head):,} bytes left out ...\n".encode() + tail


def _create(path: str) -> int:
    return os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o666)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _read_tail(path: str) -> tuple[int, int, bytes] | None:
    data = _read(path)
    if data is None or len(data) <= _TAIL_HEADER.size:
        return None
    begin, half = _TAIL_HEADER.unpack_from(data)
    return begin, half, data[_TAIL_HEADER.size :]
