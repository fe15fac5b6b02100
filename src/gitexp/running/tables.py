"""Metrics that a script writes as text, row by row: CSV and TSV with a header, and JSON lines; read as they grow."""

from __future__ import annotations

import csv
import json
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

from gitexp.domain.values import Number

STEPS = ("step", "global_step", "_step", "trainer/global_step", "iteration", "iter", "round", "epoch", "batch")
"""Names of columns that say the step, the one that counts before the others first; none of them is a metric."""

TIMES = ("timestamp", "_timestamp", "wall_time", "walltime", "datetime", "date", "time", "created_at")
"""Names of columns that may say when: seconds or milliseconds since 1970, or ISO 8601. Other numbers are metrics."""

LONGEST_LINE = 1 << 20

_JSON_LINES = (".jsonl", ".ndjson")
_SECONDS, _MILLISECONDS = (1e9, 1e11), (1e12, 1e14)
_DELIMITERS = ("\t", ",", ";", "|")


class Row(NamedTuple):
    """One row: its step (its place in the file where no column says it), its time where it says it, and its numbers."""

    step: int
    time: float | None
    values: dict[str, Number]


class Table:
    """One such file, from which can be read on whenever it has grown or was written anew."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.written = 0.0
        self._is_json = path.endswith(_JSON_LINES)
        self._seen: tuple[int, int, int] | None = None
        self._offset = 0
        self._inode = 0
        self._head = b""
        self._tail = b""
        self._columns: list[str] = []
        self._delimiter = "," if not path.endswith(".tsv") else "\t"
        self._rows: array[int] = array("q")
        self._passed = 0
        self._place = 0
        self._step = 0

    def has_grown(self, *, is_over: bool) -> bool:
        """Whether there may be something to read."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return _look_of(status) != self._seen or (is_over and status.st_size > self._offset)

    def pass_over(self) -> None:
        """Leave out what stands in it now. Should the file be written anew, all of it counts."""
        with suppress(OSError):
            for _ in self.read(is_over=False):
                pass
        self._passed = len(self._rows)
        self._rows = array("q")

    def read(self, *, is_over: bool) -> Iterator[Row]:
        """The rows that were written since the last call.

        A file that was written anew, as loggers do to add a column, begins with the rows that are known already.

        Args:
            is_over: nobody writes to it any more, so a last line without an end counts.

        Raises:
            OSError: it cannot be read.
        """
        status = os.stat(self.path)
        if _look_of(status) == self._seen and not (is_over and status.st_size > self._offset):
            return
        is_same_size = self._seen is not None and self._seen[0] == status.st_size == self._offset
        self._seen = _look_of(status)
        self.written = status.st_mtime
        with open(self.path, "rb") as file:
            if not self._goes_on(file, status) or (self._passed and is_same_size):
                self._offset = self._place = self._step = self._passed = 0
                self._columns = []
            self._inode = status.st_ino
            file.seek(self._offset)
            while line := file.readline(LONGEST_LINE):
                if not line.endswith(b"\n") and not is_over:
                    break
                if self._offset == 0:
                    self._head = line
                self._offset += len(line)
                self._tail = line
                yield from self._line(
                    line.decode("utf-8-sig" if self._head is line else "utf-8", "replace").strip("\r\n")
                )

    def _goes_on(self, file: BinaryIO, status: os.stat_result) -> bool:
        """Whether what was read of it is still there."""
        if status.st_ino != self._inode or status.st_size < self._offset or not self._offset:
            return False
        if file.readline(LONGEST_LINE) != self._head:
            return False
        file.seek(self._offset - len(self._tail))
        return file.read(len(self._tail)) == self._tail

    def _line(self, line: str) -> Iterator[Row]:
        if not line.strip():
            return
        if self._is_json:
            cells = _json_cells(line)
        elif not self._columns:
            self._delimiter = max(_DELIMITERS, key=line.count)
            self._columns = [name.strip() for name in self._split(line)]
            return
        else:
            pairs = zip(self._columns, self._split(line), strict=False)
            cells = {name: cell for name, text in pairs if name and (cell := text.strip())}
        if cells is None or all(cells[name] == name for name in cells):  # a header once more, where two runs append
            return
        mark = hash(tuple(sorted((name, str(cell)) for name, cell in cells.items())))
        place, self._place = self._place, self._place + 1
        known = place - self._passed
        if known < len(self._rows):
            if self._rows[known] == mark:
                self._step = self._step_in(cells, place)
                return
            del self._rows[known:]
        self._rows.append(mark)
        self._step = self._step_in(cells, place)
        moment = _moment(cells)
        values = {name: value for name, cell in cells.items() if (value := self._value(name, cell)) is not None}
        if values:
            yield Row(self._step, moment, values)

    def _split(self, line: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=self._delimiter))
        except (csv.Error, StopIteration):
            return []

    def _step_in(self, cells: Mapping[str, Any], place: int) -> int:
        """Where the column is empty in a row, the step of the row before."""
        lower = {name.lower(): name for name in (self._columns or cells)}
        for name in STEPS:
            if name in lower:
                number = _number(cells.get(lower[name]))
                return int(number) if number is not None and abs(number) < 2**63 else self._step
        return place

    def _value(self, name: str, cell: Any) -> Number | None:
        lower = name.lower()
        if lower in STEPS or lower.startswith("unnamed:"):
            return None
        if lower in TIMES and _as_time(cell) is not None:
            return None
        return _number(cell)


def flat_numbers(mapping: Mapping[str, Any], separator: str = ".", prefix: str = "") -> Iterator[tuple[str, Number]]:
    """The numbers in nested mappings; truth values are none."""
    for name, value in mapping.items():
        if isinstance(value, dict):
            yield from flat_numbers(value, separator, f"{prefix}{name}{separator}")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield prefix + str(name), value


def _look_of(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _json_cells(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    texts = {str(name): text for name, text in found.items() if isinstance(text, str)}
    return {**texts, **dict(flat_numbers(found))}


def _number(cell: Any) -> Number | None:
    if isinstance(cell, (int, float)):
        return cell
    if not isinstance(cell, str):
        return None
    try:
        return int(cell)
    except ValueError:
        try:
            return float(cell)
        except ValueError:
            return None


def _moment(cells: Mapping[str, Any]) -> float | None:
    lower = {name.lower(): cell for name, cell in cells.items()}
    return next((moment for name in TIMES if name in lower and (moment := _as_time(lower[name])) is not None), None)


def _as_time(cell: Any) -> float | None:
    """Seconds since 1970, UTC; a text without an offset is local time."""
    number = _number(cell)
    if number is not None:
        if _SECONDS[0] <= number < _SECONDS[1]:
            return float(number)
        return number / 1000 if _MILLISECONDS[0] <= number < _MILLISECONDS[1] else None
    with suppress(ValueError, TypeError, OverflowError):
        return datetime.fromisoformat(cell).timestamp()
    return None


__all__ = ["STEPS", "TIMES", "Row", "Table", "flat_numbers"]
