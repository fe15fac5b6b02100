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
    return head + _gap(begin - len(head)) + tail


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


class OutputTail:
    """What is appended to the kept output of a run: from its end, or from its beginning, on."""

    def __init__(self, folder: str, *, last_bytes: int | None = None) -> None:
        """`last_bytes`: begin so many bytes before the present end; None: at the beginning."""
        self._folder = folder
        self._at = 0
        self._head_size = 0
        if last_bytes is not None:
            end = max((begin + size for begin, size, _ in self._pieces()), default=0)
            self._at = max(end - last_bytes, 0)

    def read_new(self) -> bytes:
        """What was printed since the last call; a line says how much was left out where the rest was not kept."""
        found = []
        for begin, size, path in self._pieces():
            if begin > self._at:
                found.append(_gap(begin - self._at))
                self._at = begin
            if begin + size > self._at:
                data = _read_piece(path, begin, self._at - begin)
                found.append(data)
                self._at += len(data)
                if not data:  # begun anew just now: the next call finds it
                    break
        return b"".join(found)

    def rest_of(self, whole: bytes) -> bytes:
        """What of the kept output of the ended run, `whole`, has not been read yet."""
        mark, end, _ = whole[self._head_size :].partition(b" bytes left out ...\n")
        missing = mark.removeprefix(b"\n... ").replace(b",", b"")
        if not (end and self._head_size and mark[:5] == b"\n... " and missing.isdigit()):
            return whole[self._at :]
        begin = self._head_size + int(missing)
        gap = _gap(begin - self._at) if begin > self._at else b""
        return gap + whole[self._head_size + len(_gap(int(missing))) + max(self._at - begin, 0) :]

    def _pieces(self) -> list[tuple[int, int, str]]:
        """Where in the whole output each file begins, how many bytes it holds, and its path; in that order."""
        head = os.path.join(self._folder, _HEAD)
        self._head_size = _size(head) or self._head_size
        pieces = [(0, self._head_size, head)]
        for path in (os.path.join(self._folder, name) for name in _TAILS):
            begin = _begin_of_tail(path)
            if begin is not None:
                pieces.append((begin, max(_size(path) - _TAIL_HEADER.size, 0), path))
        return sorted(pieces)


def _gap(size: int) -> bytes:
    return f"\n... {size:,} bytes left out ...\n".encode()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _begin_of_tail(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            header = file.read(_TAIL_HEADER.size)
    except FileNotFoundError:
        return None
    return _TAIL_HEADER.unpack(header)[0] if len(header) == _TAIL_HEADER.size else None


def _read_piece(path: str, begin: int, skip: int) -> bytes:
    """The bytes behind the first `skip` of a piece; none where the file has been begun anew meanwhile."""
    is_tail = not path.endswith(_HEAD)
    try:
        with open(path, "rb") as file:
            file.seek(skip + (_TAIL_HEADER.size if is_tail else 0))
            data = file.read()
    except FileNotFoundError:
        return b""
    return data if not is_tail or _begin_of_tail(path) == begin else b""
