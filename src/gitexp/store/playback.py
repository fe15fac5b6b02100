"""Reading journals back: what all processes of a run logged, as far as it is whole (docs/format.md, 3)."""

from __future__ import annotations

import math
import os
import re
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from heapq import merge
from json import loads
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple, TypeVar

from gitexp.domain.metrics import History, Point, to_float
from gitexp.domain.values import Number
from gitexp.errors import UnknownFormat
from gitexp.store.journal import (
    EVENTS,
    FILE,
    FLOAT,
    HEADER_SIZE,
    HUGE_KEY,
    INTEGER,
    JSON,
    MAGIC,
    NAME,
    POINT_SIZE,
    POINTS,
    TEXT,
    VERSION,
)

_Item = TypeVar("_Item", int, float)

_BLOCK: Final = 1 << 14
"""Points read at once."""
_KINDS: Final = frozenset((FLOAT, INTEGER, TEXT))
_RESIDUE: Final = 0x2144DF1C
"""CRC-32 of anything followed by its own CRC-32."""
_LOW: Final = 0 if sys.byteorder == "little" else 1

_unpack_frame = struct.Struct("<IIIB").unpack_from
_FRAME: Final = 13
_unpack_u32 = struct.Struct("<I").unpack_from
_MAYBE_POINT = re.compile(rb"(?s)(?=...[\x01-\x03].{32})")
_MAYBE_EVENT = re.compile(rb'(?s)(?=.{12}(?:\x01|\x02....)\{"kind":")')


class _Name(NamedTuple):
    """A metric as one source names it."""

    key: str
    source: int


class Event(NamedTuple):
    """One record of an events file. `data` is a small file's content."""

    kind: str
    time: float
    process: str
    sequence: int
    payload: dict[str, Any]
    data: bytes | None = None


class Journals(NamedTuple):
    """What all processes of a run logged.

    Attributes:
        events: merged by time, each process's in its own order.
        histories: every point by metric; merged by time where several processes logged one metric. Empty in a summary.
        metrics: the last value of each metric.
        last_time: the time of the last event or point; None where there are none.
        lost: for each damaged file, how many bytes could not be read.
    """

    events: list[Event]
    histories: dict[str, History]
    metrics: dict[str, Number]
    last_time: float | None
    lost: dict[str, int]


def read_journals(folder: str) -> Journals:
    """Everything logged to a run, as far as it can be read.

    Raises:
        UnknownFormat: a newer gitexp writes there.
        FileNotFoundError: the folder is gone.
    """
    parts: dict[_Name, list[History]] = {}
    processes = []
    for process in _processes(folder):
        with process:
            for name, history in process.histories().items():
                parts.setdefault(name, []).append(history)
        processes.append(process)
    for name in _repeated(processes):
        parts.pop(name, None)
    histories = _choose({name: found[0] if len(found) == 1 else _merge(found) for name, found in parts.items()})
    times = [history.times[-1] for history in histories.values()]
    return _journals(processes, histories, {key: history.last for key, history in histories.items()}, times)


def read_events(folder: str) -> list[Event]:
    """The events of all processes of a run, merged by time; without points.

    Raises:
        UnknownFormat: a newer gitexp writes there.
        FileNotFoundError: the folder is gone.
    """
    processes = []
    for process in _processes(folder):
        with process:
            processes.append(process)
    return _merged(processes)


def read_summary(folder: str) -> Journals:
    """The same without histories, quick on long ones: points are read from the end until every metric was seen.

    A last value is then that of the highest step among the points read.

    Raises:
        UnknownFormat: a newer gitexp writes there.
        FileNotFoundError: the folder is gone.
    """
    last: dict[_Name, Point] = {}
    processes = []
    for process in _processes(folder):
        with process:
            for name, point in process.last_points().items():
                if name not in last or last[name][:2] <= point[:2]:
                    last[name] = point
        processes.append(process)
    for name in _repeated(processes):
        last.pop(name, None)
    times = [point.time for point in last.values()]
    chosen = {name.key: last[name].value for name in sorted(last, key=attrgetter("source"), reverse=True)}
    return _journals(processes, {}, chosen, times)


class JournalTail:
    """What is appended to the points of a run, from the beginning or from where it was read last."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}

    def read_new(self) -> dict[tuple[str, int], History]:
        """The points since the last call, by metric and source, each process's in its own order.

        Raises:
            FileNotFoundError: the folder is gone: the run is sealed.
        """
        parts: dict[tuple[str, int], list[History]] = {}
        for process in _processes(self._folder):
            start = self._read.get(process.stem, HEADER_SIZE)
            if process.size() - start < POINT_SIZE:
                continue
            with process:
                for name, history in process.histories(start).items():
                    parts.setdefault(name, []).append(history)
                self._read[process.stem] = process.read_to
        return {name: found[0] if len(found) == 1 else _merge(found) for name, found in parts.items()}


def _journals(
    processes: list[_Process], histories: dict[str, History], metrics: dict[str, Number], times: list[float]
) -> Journals:
    events = _merged(processes)
    times += [event.time for event in events]
    lost = {name: size for process in processes for name, size in process.lost.items()}
    return Journals(events, histories, metrics, max(times, default=None), lost)


def _merged(processes: list[_Process]) -> list[Event]:
    return list(merge(*(process.events for process in processes), key=attrgetter("time", "process", "sequence")))


def _repeated(processes: Iterable[_Process]) -> list[_Name]:
    """The metrics that are left out, because another says the same."""
    events = (event for process in processes for event in process.events if event.kind == "repeated")
    return [_Name(key, source) for event in events for key, source in event.payload.get("metrics", ())]


def _merge(histories: list[History]) -> History:
    return History.of(merge(*histories, key=itemgetter(1)))


def _choose(histories: Mapping[_Name, History]) -> dict[str, History]:
    """One history a metric: that of the lowest source; where it is a single point, it ends another's history."""
    chosen: dict[str, History] = {}
    for name in sorted(histories, key=attrgetter("source")):
        history = histories[name]
        first = chosen.get(name.key)
        if first is None:
            chosen[name.key] = history
        elif len(first) == 1 < len(history):
            final = first[0]
            ended = final._replace(step=max(final.step, *history.steps))
            chosen[name.key] = History.of((*history, ended))
    return chosen


def _processes(folder: str) -> Iterator[_Process]:
    for name in sorted(os.listdir(folder)):
        if name.endswith(EVENTS):
            yield _Process(folder, name.removesuffix(EVENTS))


class _Process:
    """What one process logged. The points are readable while it is used as a context.

    Attributes:
        read_to: as far as `histories` has read the points; what follows is no whole one yet.
    """

    def __init__(self, folder: str, stem: str) -> None:
        self.stem = stem
        self.path = os.path.join(folder, stem)
        self.lost: dict[str, int] = {}
        self.read_to = HEADER_SIZE

    def __enter__(self) -> None:
        # The length of the points is taken before the events are read: so the name of each point is among them.
        self._fd = _open(self.path + POINTS)
        self._end = os.fstat(self._fd).st_size if self._fd >= 0 else 0
        try:
            self.events = list(self._read_events())
            if self._end:
                _check_version(os.pread(self._fd, HEADER_SIZE, 0), POINTS, self.stem)
        except BaseException:
            self.__exit__()
            raise
        self._names = {
            e.payload["id"]: _Name(e.payload["key"], e.payload.get("source", 0))
            for e in self.events
            if e.kind == "metric"
        }
        self._exact = {e.sequence: int(e.payload["value"], 16) for e in self.events if e.kind == "number"}

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def size(self) -> int:
        """The bytes in the file of points; it need not be open."""
        with suppress(OSError):
            return os.stat(self.path + POINTS).st_size
        return 0

    def histories(self, start: int = HEADER_SIZE) -> dict[_Name, History]:
        """The points from the byte `start` on, by metric."""
        histories: dict[_Name, History] = {}
        for data in self._blocks(start):
            self._sort_in(histories, data)
        return histories

    def last_points(self) -> dict[_Name, Point]:
        """For each metric the point of the highest step among the last ones of the file."""
        last: dict[_Name, Point] = {}
        wanted = dict(self._names)
        end = max(self._end - HEADER_SIZE, 0) // POINT_SIZE
        size = _BLOCK // 4
        while end and wanted:
            first = max(end - size, 0)
            data = os.pread(self._fd, (end - first) * POINT_SIZE, HEADER_SIZE + first * POINT_SIZE)
            if len(wanted) == len(self._names) or _mentions(data, wanted):
                if len(data) % POINT_SIZE or not _all_good(data):
                    return {name: _last_point(history) for name, history in self.histories().items()}
                found: dict[_Name, History] = {}
                self._sort_in(found, data)
                for name, history in found.items():
                    point = _last_point(history)
                    if name not in last or last[name].step < point.step:
                        last[name] = point
                wanted = {number: name for number, name in wanted.items() if name not in last}
            end, size = first, _BLOCK
        return last

    def _lose(self, suffix: str, size: int) -> None:
        if size:
            name = self.stem + suffix
            self.lost[name] = self.lost.get(name, 0) + size

    def _read_events(self) -> Iterator[Event]:
        with open(self.path + EVENTS, "rb") as file:
            data = file.read()
        _check_version(data[:HEADER_SIZE], EVENTS, self.stem)
        position = HEADER_SIZE
        while position < len(data):
            event, size = _event_at(data, position, self.stem)
            if event is not None:
                yield event
            else:
                size = _next_event(data, position, self.stem) - position
                if not _is_rewritten(data, position, size):
                    self._lose(EVENTS, size)
            position += size

    def _blocks(self, start: int) -> Iterator[bytes]:
        """The file's whole points, in pieces."""
        position = start
        while self._end - position >= POINT_SIZE:
            data = os.pread(self._fd, min(_BLOCK * POINT_SIZE, self._end - position), position)
            whole = len(data) - len(data) % POINT_SIZE
            if not whole:
                break
            size = whole if _all_good(data[:whole]) else _good_prefix(data[:whole])
            if size:
                yield data[:size]
            else:
                size = _next_point(data)
                if not (_is_point(data[size : size + POINT_SIZE]) and _is_rewritten(data, 0, size)):
                    self._lose(POINTS, size)
            position += size
        self.read_to = position
        self._lose(POINTS, max(self._end - position, 0))

    def _sort_in(self, histories: dict[_Name, History], data: bytes) -> None:
        """Append the points of `data` to the history of each one's metric."""
        codes, steps, times, values = _columns(data)
        for number, chosen in _positions(codes).items():
            own_codes, own_values = _pick(codes, chosen), _pick(values, chosen)
            history = self._history(histories, number, len(own_codes))
            if set(own_codes) != {FLOAT | number}:
                self._add_exact(history, own_codes, own_values)
            history.steps += _pick(steps, chosen)
            history.times += _pick(times, chosen)
            history.values += own_values

    def _history(self, histories: dict[_Name, History], number: int, points: int) -> History:
        name = self._names.get(number)
        if name is None:  # its name was in a part of the events that is damaged
            self._lose(POINTS, points * POINT_SIZE)
            return History.of(())
        history = histories.get(name)
        if history is None:
            history = histories[name] = History.of(())
        return history

    def _add_exact(self, history: History, codes: array[int], values: array[float]) -> None:
        """Note the integers among points that are about to be appended."""
        base = len(history)
        for position, (code, value) in enumerate(zip(codes, values, strict=True)):
            kind = code & ~NAME
            if kind == FLOAT:
                continue
            exact = int(value) if kind == INTEGER else self._exact.get(int(value))
            if exact is not None:
                history.exact[base + position] = exact
                values[position] = to_float(exact)
            else:  # the event with the value is damaged
                self._lose(POINTS, POINT_SIZE)
                values[position] = math.nan


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _check_version(header: bytes, suffix: str, stem: str) -> None:
    if len(header) < HEADER_SIZE:
        return  # killed while the file was made: there is nothing in it
    version = int.from_bytes(header[-2:], "little")
    if header[:-2] == MAGIC[suffix] and version > VERSION:
        raise UnknownFormat(
            f"{stem}{suffix}: journal version {version} is newer than {VERSION}, the newest this gitexp reads.",
            hint="Upgrade gitexp.",
        )


def _all_good(points: bytes) -> bool:
    """Whether every point passes its CRC, by one CRC over all of them.

    A CRC is linear: that of n whole points in a row depends on n alone, so it is compared with that of n zero points.
    """
    number = len(points) // POINT_SIZE
    return zlib.crc32(points) == _crc_of_good(number) and {code & ~NAME for code in set(_codes(points))} <= _KINDS


@lru_cache(maxsize=8)
def _crc_of_good(number: int) -> int:
    zero = bytes(POINT_SIZE - 4)
    return zlib.crc32((zero + zlib.crc32(zero).to_bytes(4, "little")) * number)


def _good_prefix(points: bytes) -> int:
    """How many bytes at the start of `points` are good ones."""
    good = 0
    for (point,) in struct.iter_unpack(f"{POINT_SIZE}s", points):
        if not _is_point(point):
            break
        good += POINT_SIZE
    return good


def _next_point(data: bytes) -> int:
    """Where the first good point in `data` begins, or as far as none can."""
    for match in _MAYBE_POINT.finditer(data):
        if _is_point(data[match.start() : match.start() + POINT_SIZE]):
            return match.start()
    return len(data) - POINT_SIZE + 1


def _is_point(data: bytes) -> bool:
    return zlib.crc32(data) == _RESIDUE and len(data) == POINT_SIZE and 1 <= data[3] <= 3


def _is_rewritten(data: bytes, position: int, size: int) -> bool:
    """Whether unreadable bytes are the beginning of the next record: the disk was full, and it was written again."""
    return data[position : position + size] == data[position + size : position + 2 * size]


def _mentions(points: bytes, numbers: Mapping[int, _Name]) -> bool:
    return any(code & NAME in numbers for code in set(_codes(points)))


def _positions(codes: array[int]) -> Mapping[int, slice | list[int]]:
    """Where the points of each name stand: slices where the names recur in one order, as in most training loops."""
    if len(set(codes)) == 1:
        return {codes[0] & NAME: slice(None)}
    with suppress(ValueError):
        period = codes.index(codes[0], 1)
        names = [code & NAME for code in codes[:period]]
        if len(set(names)) == period and codes[period:].tobytes() == codes[:-period].tobytes():
            return {name: slice(first, None, period) for first, name in enumerate(names)}
    positions: dict[int, list[int]] = {code & NAME: [] for code in set(codes)}
    for position, code in enumerate(codes):
        positions[code & NAME].append(position)
    return positions


def _pick(column: array[_Item], chosen: slice | list[int]) -> array[_Item]:
    if isinstance(chosen, slice):
        return column[chosen]
    return array(column.typecode, map(column.__getitem__, chosen))


def _codes(points: bytes) -> array[int]:
    words = array("I", points)
    if sys.byteorder == "big":
        words.byteswap()
    return words[:: POINT_SIZE // 4]


def _columns(points: bytes) -> tuple[array[int], array[int], array[float], array[float]]:
    """Kinds and names, steps, times and values of whole points."""
    words = array("I", points)
    if sys.byteorder == "big":
        words.byteswap()
    width = POINT_SIZE // 4
    pair = array("I", bytes(len(words) // width * 8))
    columns: list[bytes] = []
    for first in (2, 4, 6):
        pair[_LOW::2] = words[first::width]
        pair[1 - _LOW :: 2] = words[first + 1 :: width]
        columns.append(pair.tobytes())
    return words[::width], array("q", columns[0]), array("d", columns[1]), array("d", columns[2])


def _event_at(data: bytes, position: int, process: str) -> tuple[Event | None, int]:
    """The event that begins there and its size in bytes, None where there is no whole one."""
    if len(data) - position < _FRAME:
        return None, 0
    length, crc, sequence, kind = _unpack_frame(data, position)
    end = position + 8 + length
    if end > len(data) or length < _FRAME - 8 or zlib.crc32(memoryview(data)[position + 8 : end]) != crc:
        return None, 0
    try:
        return _decode(kind, sequence, data[position + _FRAME : end], process), 8 + length
    except (ValueError, KeyError, TypeError, struct.error, RecursionError):
        return None, 0


def _decode(kind: int, sequence: int, body: bytes, process: str) -> Event:
    content = None
    if kind == FILE:
        (length,) = _unpack_u32(body)
        content = body[4 + length :]
        body = body[4 : 4 + length]
    elif kind != JSON:
        raise ValueError(kind)
    payload = loads(body, object_hook=_show_huge) if b"\\u0000int" in body else loads(body)
    return Event(payload.pop("kind"), payload["time"], process, sequence, payload, content)


def _show_huge(found: dict[str, Any]) -> Any:
    return int(found[HUGE_KEY], 16) if found.keys() == {HUGE_KEY} else found


def _next_event(data: bytes, position: int, process: str) -> int:
    """Where the next whole event begins, or the end."""
    for match in _MAYBE_EVENT.finditer(data, position + 1):
        if _event_at(data, match.start(), process)[0] is not None:
            return match.start()
    return len(data)


def _last_point(history: History) -> Point:
    return history[history.last_position]
