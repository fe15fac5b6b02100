"""The append-only record of a live run: each process appends what it logs to files of its own (docs/format.md, 3).

What is written here is read in `playback.py`.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import threading
import time as clock
import weakref
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain, count, islice
from json import JSONEncoder
from typing import Any, Final

from gitexp.domain.values import Number
from gitexp.errors import StorageFailed, UsageError
from gitexp.store.git.durable import sync_folder

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
_BATCH: Final = 1000
_COLUMN: Final = 1 << 14
"""Points of a column that are made and written at once."""
_LOW: Final = 0 if sys.byteorder == "little" else 1
_RETIRED: Final = 16

_pack_point = struct.Struct("<IIqdd").pack
_pack_u32 = struct.Struct("<I").pack
_pack_event = struct.Struct("<IB").pack
_unpack_bodies = struct.Struct(f"{POINT_SIZE - 4}s4x").iter_unpack
_pack_frame = struct.Struct("<II").pack
_encode = JSONEncoder(separators=(",", ":")).encode


class JournalWriter:
    """Appends what one process logs about one run. Threads may share it; a fork continues in files of its own.

    A call returns when the operating system has the record. While the disk refuses, records wait in memory in their
    order, and go out with the next record that it takes, with the sync thread, or at `close`.

    Args:
        folder: the run's live folder.
        on_trouble: told in a sentence when the disk begins to refuse, when records are dropped, when the folder is
            gone, and when something is logged after `close`. Called from any thread; it may log.
        on_gone: called instead when the folder is gone, with the time of the last write, in seconds since 1970.
        source: who speaks, as `gitexp.domain.source.Source` counts them; of metrics and params.
    """

    point: Callable[[str, int, float | None, Number], None]
    """`point(key, step, time, value)`: one metric value; `time` is in seconds since 1970, None for now.

    Raises UsageError where the step does not fit into 64 bits.
    """

    def __init__(
        self,
        folder: str,
        *,
        on_trouble: Callable[[str], None],
        on_gone: Callable[[float], None] | None = None,
        source: int = 0,
    ) -> None:
        self.folder = folder
        self._source = {"source": int(source)} if source else {}
        self._on_trouble = on_trouble
        self._on_gone = on_gone
        self._closed = False
        self.lost = 0
        """How many records the disk had not taken when the journal was closed."""
        self._numbers: dict[str, int] = {}
        self.point, self._attach_point = self._fast_point()
        self._begin()
        with suppress(OSError):  # told when something is logged
            self._open(self._events)
            self._open(self._points)
            self._attach_point(self._points.fd)
        with _syncing:
            _writers.add(self)
        _keep_synced()

    def points(self, items: Iterable[tuple[str, int, float | None, Number]]) -> None:
        """Several metric values (key, step, time, value) in one write."""
        with self._lock:
            now = clock.time()
            records = [self._record(key, step, now if at is None else at, value) for key, step, at, value in items]
            self._append(self._points, records)

    def column(self, key: str, steps: array[int], times: array[float], values: array[float] | array[int]) -> None:
        """Many values of one metric, in few writes.

        Args:
            steps: int64. times: float64, seconds since 1970, UTC. values: float64 or int64. All of one length.
        """
        if values.typecode == "q" and values and not -_EXACT <= min(values) <= max(values) <= _EXACT:
            self.points((key, *point) for point in zip(steps, times, values, strict=True))
            return
        kind = INTEGER if values.typecode == "q" else FLOAT
        with self._lock:
            number = self._numbers.get(key)
            code = kind | (self._name(key) if number is None else number)
            for first in range(0, len(steps), _COLUMN):
                rows = slice(first, first + _COLUMN)
                floats: array[float] = array("d", values[rows])
                self._append_points(self._records(code, steps[rows], times[rows], floats))

    def event(self, kind: str, **payload: Any) -> None:
        """Anything but a metric value. The payload is JSON; `time` is added where it is absent."""
        body = _encode_head(kind, {**payload, **self._source} if kind == "params" else payload)
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

    def close(self, *, durable: bool = True) -> None:
        """Sync and stop. Closing twice is fine; what is logged afterwards is not recorded.

        Args:
            durable: sync first. Whoever seals the run next does without: the seal is durable itself.
        """
        with _syncing:
            _writers.discard(self)
        with self._lock:
            if self._closed:
                return
            self._flush()
            self.lost = len(self._points.waiting) + len(self._events.waiting) + self._dropped
            if self.lost:
                self._on_trouble(f"{self.lost:,} records could not be written to {self.folder!r} and are lost.")
                self._flush()
            self._closed = True
            self._attach_point(-1)
        if durable:
            self._sync_files(os.fsync)
        with self._lock:
            self._events.close()
            _retire(self._points)

    def __del__(self) -> None:
        if hasattr(self, "_points"):
            self._close_files()

    def _begin(self) -> None:
        """A state without files: in a forked child, and where they could not be made, the first record opens them."""
        self._lock = threading.RLock()
        self._events = _File(EVENTS)
        self._points = _File(POINTS)
        self._stem = ""
        self._numbers.clear()
        self._next_number = count().__next__
        self._point_sequence = count(1)
        self._next_point = self._point_sequence.__next__
        self._event_sequence = 0
        self._waiting_bytes = 0
        self._dropped = 0
        self._is_flushing = False
        self._in_trouble = False
        self._has_told = False
        self._synced = (0, 0)
        self._attach_point(-1)

    def _fast_point(self) -> tuple[Callable[[str, int, float | None, Number], None], Callable[[int], None]]:
        """`point` as a closure over locals, half a method's cost; and what gives it a file, or -1 for the slow way.

        Every call that cannot be one plain write ends in an exception and goes the slow way: an unknown name, a disk
        that refuses, no file yet, a closed journal, a step that does not fit. So the usual way tests for none of them.
        It takes no lock: a dict, a counter and a write are safe alone, and records may stand in any order.
        """
        fd = -1
        next_point: Callable[[], int] = int
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
                body = pack(number, next_point(), step, time, value)
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
                self._append(self._points, [record])

        def attach(new_fd: int) -> None:
            nonlocal fd, next_point
            fd = new_fd
            next_point = self._next_point

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
            kind, plain = TEXT, float(self._append_event(JSON, _encode_head("number", payload)))
        body = _pack_point(kind | number, self._next_point(), step, time, plain)
        return body + _pack_u32(zlib.crc32(body))

    def _records(self, code: int, steps: array[int], times: array[float], values: array[float]) -> bytes:
        """Points as they are written, made a column at a time: several times as fast as one by one."""
        number = len(steps)
        words = array("I", bytes(number * POINT_SIZE))
        width = POINT_SIZE // 4
        words[0::width] = array("I", [code]) * number
        words[1::width] = array("I", islice(self._point_sequence, number))
        for place, column in ((2, steps), (4, times), (6, values)):
            halves = array("I", column.tobytes())
            words[place::width] = halves[_LOW::2]
            words[place + 1 :: width] = halves[1 - _LOW :: 2]
        bodies = _little_endian(words).tobytes()
        checks = array("I", map(zlib.crc32, chain.from_iterable(_unpack_bodies(bodies))))
        words[8::width] = checks
        return _little_endian(words).tobytes()

    def _append_points(self, data: bytes) -> None:
        """Append whole points."""
        if self._points.fd >= 0 and not self._waiting_bytes and not self._closed:
            taken = 0
            with suppress(OSError):
                taken = os.write(self._points.fd, data)
            data = data[taken - taken % POINT_SIZE :]
        if data:
            self._append(self._points, [data[at : at + POINT_SIZE] for at in range(0, len(data), POINT_SIZE)])

    def _name(self, key: str) -> int:
        number = self._next_number()
        if number > NAME:
            raise UsageError(f"One process cannot log more than {NAME:,} metrics.")
        self._append_event(JSON, _encode_head("metric", {"id": number, "key": key, **self._source}))
        self._numbers[key] = number
        return number

    def _append_event(self, kind: int, payload: bytes) -> int:
        """Append an event; gives its sequence number."""
        self._event_sequence += 1
        sequence = self._event_sequence
        body = _pack_event(sequence, kind) + payload
        self._append(self._events, [_pack_frame(len(body), zlib.crc32(body)) + body])
        return sequence

    def _append(self, file: _File, records: list[bytes]) -> None:
        if self._closed:
            self._tell_once("Something was logged after the run had ended; it is not recorded.")
            return
        if file.fd >= 0 and not self._waiting_bytes:
            with suppress(OSError):
                records = file.write(records)
            if not records:
                return
        self._wait(file, records)
        self._flush()

    def _wait(self, file: _File, records: list[bytes]) -> None:
        size = _memory(records)
        if self._in_trouble and self._waiting_bytes + size > PENDING_BYTES:
            is_first = not self._dropped
            number = len(records)
            self._dropped += number
            if is_first:
                self._on_trouble("The memory for records that the disk refuses is full: what is logged now is lost.")
            return
        file.waiting.extend(records)
        self._waiting_bytes += size

    def _flush(self) -> None:
        """Write what waits, events first: a point's name must be known before it.

        A signal handler that logs in the middle of this leaves its records to the flush that it interrupted.
        """
        if self._is_flushing:
            return
        self._is_flushing = True
        try:
            for file in (self._events, self._points):
                while file.waiting:
                    if file.fd < 0:
                        self._open(file)
                        _keep_synced()
                    written = file.write_waiting()
                    self._waiting_bytes -= written
        except OSError as error:
            self._attach_point(-1)
            if not self._in_trouble:
                self._in_trouble = True
                reason = error.strerror or error
                self._on_trouble(f"Records wait in memory: the journal {self.folder!r} cannot be written ({reason}).")
        else:
            self._in_trouble = False
            self._attach_point(-1 if self._closed else self._points.fd)
        finally:
            self._is_flushing = False

    def _open(self, file: _File) -> None:
        if self._stem:
            file.create(os.path.join(self.folder, self._stem))
            return
        for n in count():
            stem = f"{os.getpid()}-{n}"
            try:
                file.create(os.path.join(self.folder, stem))
            except FileExistsError:
                continue
            self._stem = stem
            return

    def _sync_files(self, sync: Callable[[int], None]) -> None:
        """Events first, so no point becomes durable before its name.

        It takes long: on duplicates of the descriptors, so others may log or close meanwhile.
        """
        fds: list[int] = []
        try:
            with self._lock:
                fds += [os.dup(file.fd) for file in (self._events, self._points) if file.fd >= 0]
            for fd in fds:
                sync(fd)
            if fds and not os.path.isdir(self.folder):
                self._tell_gone(max(os.fstat(fd).st_mtime for fd in fds))
            else:
                sync_folder(self.folder)
        except (OSError, StorageFailed) as error:
            reason = getattr(error, "strerror", None) or error
            self._on_trouble(f"The journal {self.folder!r} may not be on the disk yet ({reason}).")
        finally:
            for fd in fds:
                os.close(fd)

    def _tell_gone(self, last_written: float) -> None:
        if self._on_gone is None:
            self._tell_once(f"The journal {self.folder!r} was deleted or moved while the run was recorded.")
        else:
            self._on_gone(last_written)

    def _tell_once(self, message: str) -> None:
        if not self._has_told:
            self._has_told = True
            self._on_trouble(message)

    def _sync_soon(self) -> None:
        """What the sync thread does about once a second."""
        with self._lock:
            if self._closed:
                return
            if self._waiting_bytes:
                self._flush()
            sizes = self._events.size(), self._points.size()
        if sizes != self._synced:
            self._sync_files(_fdatasync)
            self._synced = sizes

    def _after_fork(self) -> None:
        """In the child: the parent's files, names and waiting records are the parent's."""
        self._close_files()
        self._begin()

    def _close_files(self) -> None:
        self._events.close()
        self._points.close()


class _File:
    """One of the two files, opened when it is first needed, and the records that wait for it."""

    __slots__ = ("fd", "suffix", "waiting")

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix
        self.fd = -1
        self.waiting: deque[bytes] = deque()

    def create(self, stem: str) -> None:
        path = stem + self.suffix
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o666)
        header = MAGIC[self.suffix] + VERSION.to_bytes(2, "little")
        try:
            if os.write(fd, header) < HEADER_SIZE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            os.close(fd)
            os.unlink(path)
            raise
        self.fd = fd

    def write(self, records: list[bytes]) -> list[bytes]:
        """Write whole records in one go; gives those that the disk did not take.

        One of which it took a part is among them: another thread's record may follow that part, and a reader looks for
        whole ones.
        """
        data = records[0] if len(records) == 1 else b"".join(records)
        taken = os.write(self.fd, data)
        if taken == len(data):
            return []
        for index, record in enumerate(records):
            taken -= len(record)
            if taken < 0:
                return records[index:]
        return []

    def write_waiting(self) -> int:
        """Write some of the records that wait; gives the memory they took."""
        batch = [self.waiting.popleft() for _ in range(min(len(self.waiting), _BATCH))]
        left = batch
        try:
            left = self.write(batch)
        finally:
            self.waiting.extendleft(reversed(left))
        return _memory(batch) - _memory(left)

    def size(self) -> int:
        return os.fstat(self.fd).st_size if self.fd >= 0 else 0

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


_retired: deque[int] = deque()


def _retire(file: _File) -> None:
    """Close a file that `point` may just be about to write to, in a thread that has read its descriptor already.

    The descriptor leads nowhere from now on, and its number is free for another file only many journals later.
    """
    if file.fd < 0:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, file.fd, inheritable=False)
    os.close(nowhere)
    _retired.append(file.fd)
    file.fd = -1
    if len(_retired) > _RETIRED:
        os.close(_retired.popleft())


# One thread a process syncs the journals of all runs.

_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()
_sync_thread: threading.Thread | None = None
_syncing = threading.Lock()
"""Guards the two names above."""
_fdatasync = getattr(os, "fdatasync", os.fsync)


def _keep_synced() -> None:
    global _sync_thread
    with _syncing:
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
        with _syncing:
            writers = list(_writers)
            if not writers:
                _sync_thread = None
                return
        while writers:
            with suppress(Exception):  # one run's trouble must not end the syncing of the others
                writers.pop()._sync_soon()


def _after_fork() -> None:
    global _sync_thread, _syncing
    _sync_thread = None
    _syncing = threading.Lock()
    for writer in list(_writers):
        writer._after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _memory(records: list[bytes]) -> int:
    """What records in a queue take: a bytes object has 33 bytes of its own, a reference 8."""
    return sum(map(len, records)) + 41 * len(records)


def _little_endian(words: array[int]) -> array[int]:
    if sys.byteorder == "big":
        words = words[:]
        words.byteswap()
    return words


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
