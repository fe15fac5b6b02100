"""What a run printed: the beginning and the end, in bounded space (docs/format.md, 3)."""

from __future__ import annotations

import os

_TAILS = ("output.tail.0", "output.tail.1")
_HEAD = "output.head"
_OFFSET = 8


class OutputLog:
    """Keeps the first and the last half of `limit_bytes` of what is written to it. Plain appends: a kill loses nothing.

    The end lies in two files that take turns, each half the limit: the older one is emptied when the newer one is full.
    A disk that refuses does not raise: what it refused counts as left out, and `trouble` says why.

    Attributes:
        trouble: what the operating system said when it refused; empty where it did not.
    """

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self.trouble = ""
        self._folder = folder
        self._half = limit_bytes // 2
        self._position = 0
        self._head_left = self._half
        self._tail_left = 0
        self._tail = 0
        self._fd = -1

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self._half:
            if self._fd < 0 and not self._open():
                self._position += len(rest)
                return
            room = self._head_left or self._tail_left
            taken = self._append(rest[:room])
            rest = rest[taken:]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> bool:
        try:
            if self._head_left:
                self._fd = _create(os.path.join(self._folder, _HEAD))
            else:
                self._fd = _create(os.path.join(self._folder, _TAILS[self._tail]))
                self._tail = 1 - self._tail
                self._tail_left = self._half
                os.write(self._fd, self._position.to_bytes(_OFFSET, "little"))
        except OSError as error:
            self._refused(error)
            return False
        return True

    def _append(self, data: memoryview) -> int:
        try:
            taken = os.write(self._fd, data)
        except OSError as error:
            self._refused(error)
            taken = len(data)
        else:
            if self._head_left:
                self._head_left -= taken
            else:
                self._tail_left -= taken
        self._position += taken
        if not (self._head_left or self._tail_left):
            self.close()
        return taken

    def _refused(self, error: OSError) -> None:
        """What comes later belongs into a new tail that says where it begins."""
        self.trouble = error.strerror or str(error)
        self._head_left = self._tail_left = 0
        self.close()


def read_output(folder: str) -> bytes | None:
    """What was kept, with a line in the middle that says how much was left out; None where nothing was captured."""
    head = _read(os.path.join(folder, _HEAD))
    if head is None:
        return None
    tails = []
    for name in _TAILS:
        data = _read(os.path.join(folder, name)) or b""
        if len(data) > _OFFSET:
            tails.append((int.from_bytes(data[:_OFFSET], "little"), data[_OFFSET:]))
    if not tails:
        return head
    tails.sort()
    begin, tail = tails[-1]
    if len(tails) == 2 and tails[0][0] + len(tails[0][1]) == begin:
        begin, tail = tails[0][0], tails[0][1] + tail
    half = max(len(head), 1)
    begin, tail = begin + max(len(tail) - half, 0), tail[-half:]
    left_out = begin - len(head)
    return head + tail if not left_out else head + b"\n... %s bytes left out ...\n" % f"{left_out:,}".encode() + tail


def _create(path: str) -> int:
    return os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o666)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
