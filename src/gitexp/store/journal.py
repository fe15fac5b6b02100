"""The append-only record of a live run: each process appends what it logs to files of its own (docs/format.md, 3).

What is written here is read in `playback.py`.
"""

from __future__ import annotations

import os
import struct
import threading
import time as clock
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count, islice
from json import JSONEncoder
from typing import Any, Final

from gitexp.domain.values import Number
from gitexp.errors import UsageError

VERSION: Final = 1
EVENTS: Final = ".events"
POINTS: Final = ".points"
HEADER_SIZE: Final = 16
MAGIC: Final = {EVENTS: b"gitexpevents\0\0", POINTS: b"gitexppoints\0\0"}

POINT_SIZE: Final = 36
FLOAT: Final = 1 << 24
INTEGER: Final = 2 << 24
TEXT: Final = 3 << 24
"""A point whose value is the sequence number of the event that holds the value: an integer beyond 2^53."""
NAME: Final = (1 << 24) - 1

JSON: Final = 1
FILE: Final = 2
HUGE_KEY: Final = "\0int"
"""Python refuses to write integers of more than 4300 digits in decimal: they are a mapping of this key to hex."""

PENDING_BYTES: Final = 64 << 20
"""What a writer keeps in memory while the disk refuses it."""

_EXACT: Final = 1 << 53
_HUGE_BITS: Final = 13_000
_SYNC_S: Final = 1.0

_pack_point = struct.Struct("<IIqdd").pack
_pack_u32 = struct.Struct("<I").pack
_pack_event = struct.Struct("<IB").pack
_pack_frame = struct.Struct("<II").pack
_encode = JSONEncoder(separators=(",", ":")).encode


class JournalWriter:
    """Appends what one process logs about one run. Threads may share it; a fork continues in files of its own.

    A call returns when the operating system has the record. While the disk refuses, records wait in memory in their
    order, and go out with the next record that it takes, with the sync thread, or at `close`.

    Args:
        folder: the run's live folder.
        on_trouble: told in a sentence when the disk begins to refuse, when values are dropped, and when the folder is
            gone; from any thread.
    """

    point: Callable[[str, int, float | None, Number], None]
    """`point(key, step, time, value)`: one metric value; `time` is in seconds since 1970, None for now.

    Raises UsageError where the step does not fit into 64 bits or the journal is closed.
    """

    def __init__(self, folder: str, *, on_trouble: Callable[[str], None]) -> None:
        self.folder = folder
        self._on_trouble = on_trouble
        self._closed = False
        self._numbers: dict[str, int] = {}
        self.point, self._attach_points = self._fast_point()
        self._begin()
        _writers.add(self)

    def points(self, items: Iterable[tuple[str, int, float | None, Number]]) -> None:
        """Several metric values (key, step, time, value) in one write."""
        with self._lock:
            now = clock.time()
            records = [self._record(key, step, now if at is None else at, value) for key, step, at, value in items]
            self._append_points(records)

    def event(self, kind: str, **payload: Any) -> None:
        """Anything but a metric value. The payload is JSON; `time` is added where it is absent."""
        body = _encode_head(kind, payload)
        with self._lock:
            self._append_event(JSON, body)

    def file(self, path: str, data: bytes) -> None:
        """A small artifact with its content."""
        head = _encode_head("file", {"path": path})
        with self._lock:
            self._append_event(FILE, b"".join((_pack_u32(len(head)), head, data)))

    def sync(self) -> None:
        """Make everything logged so far durable, as far as the disk allows."""
        with self._lock:
            self._flush()
        self._sync_files(os.fsync)

    def close(self) -> None:
        """Sync and stop. Closing twice is fine; logging afterwards raises UsageError."""
        _writers.discard(self)
        with self._lock:
            if self._closed:
                return
            self._flush()
            self._closed = True
            self._attach_points(-1)
        self._sync_files(os.fsync)
        with self._lock:
            left = len(self._pending_points) + len(self._pending_events) + self._dropped
            if left:
                self._on_trouble(f"{left:,} records could not be written to {self.folder!r} and are lost.")
            self._close_files()

    def __del__(self) -> None:
        if hasattr(self, "_points_fd"):
            self._close_files()

    def _begin(self) -> None:
        """A state without files: they are opened by the first record."""
        self._lock = threading.RLock()
        self._events_fd = self._points_fd = -1
        self._stem = ""
        self._numbers.clear()
        self._event_sequence = 0
        self._point_sequence = count(1).__next__
        self._pending_events: deque[bytes] = deque()
        self._pending_points: deque[bytes] = deque()
        self._pending_bytes = 0
        self._dropped = 0
        self._in_trouble = False
        self._gone = False
        self._synced: tuple[int, ...] = (0, 0)
        self._attach_points(-1)

    def _fast_point(self) -> tuple[Callable[[str, int, float | None, Number], None], Callable[[int], None]]:
        """`point` as a closure over locals, half a method's cost; and what gives it a file, or -1 for the slow way.

        Every call that cannot be one plain write ends in an exception and goes the slow way: an unknown name, a disk
        that refuses, no file yet, a closed journal, a step that does not fit. So the usual way tests for none of them.
        """
        fd = -1
        next_sequence: Callable[[], int] = int
        numbers, now, write, crc32 = self._numbers, clock.time, os.write, zlib.crc32
        pack, pack_u32 = _pack_point, _pack_u32

        def point(key: str, step: int, time: float | None, value: Number) -> None:
            if time is None:
                time = now()
            try:
                number = numbers[key]
                if type(value) is float:
                    number |= FLOAT
                elif type(value) is int and -_EXACT <= value <= _EXACT:
                    number |= INTEGER
                else:
                    raise KeyError
                body = pack(number, next_sequence(), step, time, value)
            except (KeyError, struct.error):
                self.points([(key, step, time, value)])
                return
            record = body + pack_u32(crc32(body))
            try:
                if write(fd, record) == POINT_SIZE:
                    return
            except OSError:
                pass
            with self._lock:
                self._append_points([record])

        def attach(new_fd: int) -> None:
            nonlocal fd, next_sequence
            fd = new_fd
            next_sequence = self._point_sequence

        return point, attach

    def _record(self, key: str, step: int, time: float, value: Number) -> bytes:
        number = self._numbers.get(key)
        if number is None:
            number = self._name(key)
        if not -(1 << 63) <= step < 1 << 63:
            raise UsageError(f"A step of the metric {key!r} does not fit into 64 bits.")
        if isinstance(value, float):
            kind, plain = FLOAT, value
        elif -_EXACT <= value <= _EXACT:
            kind, plain = INTEGER, float(value)
        else:
            payload = {"key": key, "step": step, "time": time, "value": hex(value)}
            self._append_event(JSON, _encode_head("number", payload))
            kind, plain = TEXT, float(self._event_sequence)
        body = _pack_point(kind | number, self._point_sequence(), step, time, plain)
        return body + _pack_u32(zlib.crc32(body))

    def _name(self, key: str) -> int:
        number = len(self._numbers)
        if number > NAME:
            raise UsageError(f"One process cannot log more than {NAME:,} metrics.")
        self._append_event(JSON, _encode_head("metric", {"id": number, "key": key}))
        self._numbers[key] = number
        return number

    def _append_event(self, kind: int, payload: bytes) -> None:
        self._refuse_closed()
        self._event_sequence += 1
        body = _pack_event(self._event_sequence, kind) + payload
        self._append(self._pending_events, [_pack_frame(len(body), zlib.crc32(body)) + body])

    def _append_points(self, records: list[bytes]) -> None:
        self._refuse_closed()
        self._append(self._pending_points, records)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise UsageError("The run has ended: nothing more can be logged to it.")

    def _append(self, queue: deque[bytes], records: list[bytes]) -> None:
        size = sum(map(len, records))
        if self._pending_bytes + size > PENDING_BYTES and self._in_trouble:
            if not self._dropped:
                self._on_trouble("The memory for values that the disk refuses is full: what is logged now is lost.")
            self._dropped += len(records)
        else:
            queue.extend(records)
            self._pending_bytes += size
        self._flush()

    def _flush(self) -> None:
        """Write what waits, events first: a point's name must be known before it."""
        try:
            if self._pending_events:
                if self._events_fd < 0:
                    self._open_files()
                self._drain(self._events_fd, self._pending_events)
            if self._pending_points:
                if self._points_fd < 0:
                    self._points_fd = self._create(self._stem, POINTS)
                self._drain(self._points_fd, self._pending_points)
        except OSError as error:
            self._attach_points(-1)
            if not self._in_trouble:
                self._in_trouble = True
                self._on_trouble(
                    f"Values wait in memory: the journal {self.folder!r} cannot be written ({error.strerror or error})."
                )
            return
        self._in_trouble = False
        self._attach_points(-1 if self._closed else self._points_fd)

    def _drain(self, fd: int, queue: deque[bytes]) -> None:
        """Write the queue's records. A record of which the disk took only a part is written again, whole:
        another thread's may have come between, and readers look for whole records."""
        while queue:
            taken = os.write(fd, b"".join(islice(queue, 1000)))
            while queue and taken >= len(queue[0]):
                size = len(queue.popleft())
                taken -= size
                self._pending_bytes -= size

    def _open_files(self) -> None:
        for n in count():
            stem = f"{os.getpid()}-{n}"
            try:
                self._events_fd = self._create(stem, EVENTS)
            except FileExistsError:
                continue
            self._stem = stem
            _keep_synced()
            return

    def _create(self, stem: str, suffix: str) -> int:
        path = os.path.join(self.folder, stem + suffix)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o666)
        header = MAGIC[suffix] + VERSION.to_bytes(2, "little")
        try:
            if os.write(fd, header) == HEADER_SIZE:
                return fd
            raise OSError("the disk is full")
        except OSError:
            os.close(fd)
            os.unlink(path)
            raise

    def _sync_files(self, sync: Callable[[int], None]) -> None:
        """Events first, so no point becomes durable before its name. It takes long: on duplicates of the descriptors,
        so that others may log or close meanwhile."""
        with self._lock:
            try:
                fds = [os.dup(fd) for fd in (self._events_fd, self._points_fd) if fd >= 0]
            except OSError:
                return
        try:
            for fd in fds:
                sync(fd)
            if not all(os.fstat(fd).st_nlink for fd in fds):
                self._say_gone()
        except OSError as error:
            with self._lock:
                if not self._in_trouble:
                    self._in_trouble = True
                    self._on_trouble(f"The disk under {self.folder!r} failed: {error.strerror or error}.")
        finally:
            for fd in fds:
                os.close(fd)

    def _say_gone(self) -> None:
        if not self._gone:
            self._gone = True
            self._on_trouble(f"The journal {self.folder!r} was deleted while the run was recorded.")

    def _sync_soon(self) -> None:
        """What the sync thread does about once a second."""
        with self._lock:
            if self._closed:
                return
            if self._pending_bytes:
                self._flush()
            sizes = tuple(os.fstat(fd).st_size if fd >= 0 else 0 for fd in (self._events_fd, self._points_fd))
        if sizes != self._synced:
            self._sync_files(_fdatasync)
            self._synced = sizes

    def _after_fork(self) -> None:
        """In the child: the parent's files, names and waiting records are the parent's."""
        self._lock = threading.RLock()
        self._close_files()
        self._begin()

    def _close_files(self) -> None:
        for fd in (self._events_fd, self._points_fd):
            if fd >= 0:
                os.close(fd)
        self._events_fd = self._points_fd = -1


_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()
_sync_thread: threading.Thread | None = None
_sync_start = threading.Lock()
_fdatasync = getattr(os, "fdatasync", os.fsync)


def _keep_synced() -> None:
    global _sync_thread
    with _sync_start:
        if _sync_thread is None:
            _sync_thread = threading.Thread(target=_sync_all, name="gitexp-sync", daemon=True)
            try:
                _sync_thread.start()
            except RuntimeError:  # no more threads, or the interpreter is ending: `close` syncs
                _sync_thread = None


def _sync_all() -> None:
    global _sync_thread
    while True:
        clock.sleep(_SYNC_S)
        with _sync_start:
            writers = list(_writers)
            if not writers:
                _sync_thread = None
                return
        for writer in writers:
            writer._sync_soon()
        del writers, writer


def _after_fork() -> None:
    global _sync_thread, _sync_start
    _sync_thread = None
    _sync_start = threading.Lock()
    for writer in list(_writers):
        writer._after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _encode_head(kind: str, payload: dict[str, Any]) -> bytes:
    head = {"kind": kind, "time": clock.time(), **payload}
    try:
        return _encode(head).encode()
    except ValueError:  # Python writes integers of more than 4300 digits only in hex
        return _encode(_hide_huge(head)).encode()


def _hide_huge(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hide_huge(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hide_huge(item) for item in value]
    if isinstance(value, int) and value.bit_length() > _HUGE_BITS:
        return {HUGE_KEY: hex(value)}
    return value
