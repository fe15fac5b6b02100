"""What a program prints, read as metrics: bytes in, points out. The rules are in docs/metrics.md.

Most lines of a training look like the ones before. So a line is studied once for each shape, and the numbers of the
others of that shape are cut out as they were of the first.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitexp.domain.keys import LONGEST
from gitexp.domain.printed_code import begins_code, goes_on, sets_a_number
from gitexp.domain.printed_counters import Rank
from gitexp.domain.printed_lines import read_line
from gitexp.domain.printed_patterns import PrintedPattern
from gitexp.domain.printed_shapes import (
    HIGHEST_STEP,
    NOTHING,
    Shape,
    counter_at,
    number_at,
    shape_of,
    shapes_of,
    split_at_numbers,
    value_at,
)
from gitexp.domain.printed_steps import Steps
from gitexp.domain.printed_tables import Columns, Header, is_ruler, read_header, read_row
from gitexp.domain.values import Number

LONGEST_LINE = 8192
MOST_KEYS = 1000
MOST_IN_A_DUMP = 64
"""New names on lines that follow each other; where there are more, they are a dump of something and no metrics."""

_LONGEST_RAW = 1 << 16
_MOST_SHAPES = 8192
_BELOW = 2
"""How far below a counter that stands alone, or below a line that belongs to it, a line is taken to belong to it."""

_CONTROL = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00\x08]+")
_LINE_ENDS = re.compile(rb"\r+\n")
_WITHOUT_DIGITS = re.compile(r"\b(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_TRACEBACK = "Traceback (most recent call last)"
_ERROR = re.compile(r"(?:\w*[A-Z]\w*|\w+(?:\.\w+)+)(?::\s|\s*$)")
_MOST_AMONG_A_TRACEBACK = 100
"""Lines of stdout that come between those of a traceback on stderr, which are read as ever."""
_REPEATED = re.compile(r"[Bb]est iteration(?: is)?:\s*$")


class PrintedPoint(NamedTuple):
    """A metric's value; `time` is that of the bytes it was printed in."""

    key: str
    step: int
    time: float
    value: Number


class _Shown(NamedTuple):
    """What a progress bar or a growing row of a table shows of a metric now."""

    rank: Rank
    n: int
    total: int | None
    time: float
    value: Number


class PrintedMetrics:
    """Reads one stream of output. `feed` may get it in any pieces; the points are the same.

    Args:
        patterns: tried on each line before the built-in rules.
        ignore: patterns of keys that are left out, as "*time*".

    Attributes:
        trouble: sentences about what was left out; whoever has told them empties the list.
    """

    def __init__(self, *, patterns: Sequence[PrintedPattern] = (), ignore: Iterable[str] = ()) -> None:
        self.trouble: list[str] = []
        self._patterns = tuple(patterns)
        self._ignored = [re.compile(fnmatch.translate(pattern)) for pattern in ignore]
        self._is_allowed: dict[str, bool] = {}
        self._told: set[str] = set()
        self._rest = b""
        self._shapes: dict[bytes, Shape] = {}
        self._steps = Steps()
        self._points: list[PrintedPoint] = []
        self._line = 0
        self._counter_line = -_BELOW
        self._bare: dict[str, str] = {}
        self._shown: dict[str, _Shown] = {}
        self._full: set[str] = set()
        self._bar_is_over = False
        self._bars_name_epochs = False
        self._fresh: list[PrintedPoint] = []
        self._is_dump = False
        self._may_be_code = False
        self._in_code = False
        self._header: Header | None = None
        self._columns: Columns | None = None
        self._in_traceback = 0
        self._skip_next = False
        self._looks = bool(patterns)

    def feed(self, data: bytes, moment: float) -> list[PrintedPoint]:
        """What is new with these bytes; `moment` is when they came, in seconds since 1970."""
        data = self._rest + data if self._rest else data
        end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
        self._rest = data[end:]
        if len(self._rest) > _LONGEST_RAW:
            self._rest = b"x" * (LONGEST_LINE + 1)  # enough to know that the line is too long to be read
        if end:
            self._read(data[:end], moment)
        return self._take()

    def finish(self, moment: float) -> list[PrintedPoint]:
        """What is left at the end of the output."""
        if self._rest:
            self._read(self._rest + b"\n", moment)
        self._rest = b""
        self._end_columns(moment)
        self._end_fresh()
        self._end_shown()
        return self._take()

    def _take(self) -> list[PrintedPoint]:
        points, self._points = self._points, []
        return points

    def _read(self, block: bytes, moment: float) -> None:
        """Read whole lines. A carriage return ends a line too, which keeps it: something is printed over that line."""
        if b"\x1b" in block or b"\x08" in block or b"\0" in block:
            block = _CONTROL.sub(b"", block)
        if b"\r" in block:
            block = _LINE_ENDS.sub(b"\n", block).replace(b"\r", b"\r\n")
        known = self._shapes
        for like, line in zip(shapes_of(block).split(b"\n")[:-1], block.split(b"\n"), strict=False):
            self._line += 1
            shape = known.get(like)
            if shape is None or self._looks:
                self._look(line, like, moment)
                self._looks = bool(
                    self._patterns
                    or self._header
                    or self._columns
                    or self._fresh
                    or self._is_dump
                    or self._in_traceback
                    or self._in_code
                    or self._skip_next
                )
            elif shape is not NOTHING and len(line) <= LONGEST_LINE:
                self._apply(shape, line, moment)

    def _look(self, line: bytes, like: bytes, moment: float) -> None:
        """Read a line of which not only the shape matters, or of a new shape."""
        text = line.decode("latin-1")
        is_read = (
            len(line) > LONGEST_LINE
            or self._match(line, moment)
            or self._pass_traceback(text)
            or self._pass_code(text)
            or self._read_table(text, moment)
        )
        shape = NOTHING if is_read else self._shapes.get(like) or self._study(line, like, text)
        if self._skip_next and text.strip():
            self._skip_next = False
            return
        self._skip_next = self._skip_next or ("teration" in text and _REPEATED.search(text) is not None)
        if shape.counts or not (shape.measures or (self._fresh and self._may_be_code and goes_on(text))):
            self._end_fresh()
            self._is_dump = False
        if shape is not NOTHING:
            if shape.measures:
                self._may_be_code = sets_a_number(text) and (self._may_be_code or not self._fresh)
            self._apply(shape, line, moment)

    def _match(self, line: bytes, moment: float) -> bool:
        """Whether a pattern of the user's takes the line."""
        if not self._patterns:
            return False
        text = line.decode("utf-8", "replace").rstrip("\r")
        for pattern in self._patterns:
            found = pattern.read(text)
            if found is not None:
                step, values = found
                if step is not None:
                    step = min(max(step, -HIGHEST_STEP), HIGHEST_STEP)
                    self._steps.enter(Rank.STEP, step)
                for key, value in values:
                    self._add(key, value, moment, None if step is None else Rank.STEP, step)
                return True
        return False

    def _pass_traceback(self, text: str) -> bool:
        """Whether the line belongs to a traceback, of which the line with the error is the last."""
        if _TRACEBACK in text:
            self._in_traceback = _MOST_AMONG_A_TRACEBACK
        elif not self._in_traceback:
            return False
        elif text.strip() and text[0] not in " \t":
            is_last = bool(_ERROR.match(text))
            self._in_traceback = 0 if is_last else self._in_traceback - 1
            return is_last
        return True

    def _pass_code(self, text: str) -> bool:
        """Whether the line is source code, which takes the values above it with it if they may be its top."""
        if begins_code(text):
            if not self._in_code and self._may_be_code:
                self._forget_fresh()
            self._in_code = True
        elif self._in_code:
            self._in_code = goes_on(text)
        return self._in_code

    def _read_table(self, text: str, moment: float) -> bool:
        """Whether the line belongs to a table."""
        text = text.rstrip("\r")
        if "|" in text or "\xe2\x94" in text:
            columns = self._columns or Columns()
            if columns.take(text):
                self._columns = columns
                return True
        if self._columns is not None:
            if is_ruler(text) and not self._columns.rows:
                return True
            self._end_columns(moment)
        row = None if self._header is None else read_row(self._header, text)
        if self._header is not None and row is not None:
            step, values = row
            rank = None if step is None else Rank.EPOCH if self._header.is_epochs else Rank.STEP
            if step is not None and rank is not None:
                self._enter(rank, step, of_bar=False)
            for key, value in values:
                if step is None or rank is None:
                    self._add(key, value, moment)
                else:
                    self._show(key, _Shown(rank, step, None, moment, value))
            return True
        header = read_header(text)
        if header is not None:
            self._header = header
        return header is not None

    def _end_columns(self, moment: float) -> None:
        columns, self._columns = self._columns, None
        if columns is not None:
            rank = None if columns.step is None else Rank.STEP
            for key, value in columns.metrics():
                self._add(key, value, moment, rank, columns.step)

    def _study(self, line: bytes, like: bytes, text: str) -> Shape:
        reading = read_line(text.rstrip("\r")) if b"0" in like or _WITHOUT_DIGITS.search(text) else None
        if reading is not None and text.endswith("\r") and not reading.is_bar and not reading.counters:
            reading = None  # printed over before anybody could read it
        shape = NOTHING if reading is None else shape_of(reading, line)
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        if shape.is_common:
            self._shapes[like] = shape
        return shape

    def _apply(self, shape: Shape, line: bytes, moment: float) -> None:
        pieces = split_at_numbers(line)
        rank: Rank | None = None
        n: int | None = None
        total: int | None = None
        for at, field, of in shape.counts:
            counted = counter_at(pieces, field)
            if counted is None:
                if number_at(pieces, field) is None:
                    return
                rank = at if rank is None else rank  # a fraction of an epoch
                continue
            self._enter(at, counted, of_bar=shape.is_bar)
            if n is None or rank is None or at > rank:
                rank, n, total = at, counted, None if of is None else counter_at(pieces, of)
        if shape.is_bar:
            if n is not None:
                self._show_bar(shape, pieces, rank or Rank.STEP, n, total, moment)
            return
        measures = shape.measures
        if not measures and shape.counts:
            self._counter_line = self._line
        elif self._line - self._counter_line <= _BELOW and not shape.counts:
            self._counter_line = self._line
            measures = measures or shape.below
        for measure in measures:
            value = value_at(pieces, measure)
            if value is not None:
                key = measure.key if rank is not None else self._bare.get(measure.key, measure.key)
                if shape.is_summary and self._steps.counts_steps(key):
                    key = f"summary_{key}"
                self._add(key, value, moment, rank, n, total)
        if measures:
            self._bare = shape.bare

    def _enter(self, rank: Rank, n: int, *, of_bar: bool) -> None:
        if rank is Rank.EPOCH:
            self._bars_name_epochs = of_bar
        if self._steps.enter(rank, n):
            self._end_shown()
            self._full.clear()
            self._bar_is_over = False

    def _show_bar(
        self, shape: Shape, pieces: list[bytes], rank: Rank, n: int, total: int | None, moment: float
    ) -> None:
        """A bar of an epoch counts when it is full; any other at each of its numbers, as it was shown last there."""
        keys = {measure.key for measure in shape.measures}
        epoch = self._steps.epoch
        names_epoch = any(count.rank is Rank.EPOCH for count in shape.counts)
        if epoch is not None and rank is Rank.STEP and (names_epoch or not self._bars_name_epochs):
            is_full = total is not None and n >= total
            if not names_epoch and self._full and keys and not (is_full and keys > self._full):
                self._bar_is_over = True  # of what comes after the epochs, as of an evaluation
            if not is_full or (self._bar_is_over and not names_epoch):
                return
            rank, n, total = Rank.EPOCH, epoch, None
            self._full |= keys
        for measure in shape.measures:
            value = value_at(pieces, measure)
            if value is not None:
                self._show(measure.key, _Shown(rank, n, total, moment, value))

    def _show(self, key: str, shown: _Shown) -> None:
        """Keep a value until its step is over: another may be shown in its place."""
        before = self._shown.get(key)
        if before is not None and before.n != shown.n:
            self._end_shown()
        self._shown[key] = shown

    def _end_shown(self) -> None:
        shown, self._shown = self._shown, {}
        for key, (rank, n, total, time, value) in shown.items():
            self._add(key, value, time, rank, n, total)

    def _end_fresh(self) -> None:
        if self._fresh:
            self._points += self._fresh
            self._fresh = []

    def _add(
        self,
        key: str,
        value: Number,
        moment: float,
        rank: Rank | None = None,
        n: int | None = None,
        total: int | None = None,
    ) -> None:
        if self._shown and key not in self._shown:
            self._end_shown()
        is_new = key not in self._steps
        if is_new and not self._allows(key):
            return
        step = self._steps.place(key, value, rank, n, total)
        if step is None:
            return
        point = PrintedPoint(key, step, moment, value)
        if is_new and rank is None:
            self._add_fresh(point)
        else:
            self._end_fresh()
            self._points.append(point)

    def _add_fresh(self, point: PrintedPoint) -> None:
        """Keep the first value of a metric without a counter until it is clear that it is no line of a dump."""
        self._looks = True
        self._fresh.append(point)
        if self._is_dump or len(self._fresh) > MOST_IN_A_DUMP:
            self._is_dump = True
            self._tell("Many numbers were printed one below the other, each with another name: they are no metrics.")
            self._forget_fresh()

    def _forget_fresh(self) -> None:
        for point in self._fresh:
            self._steps.forget(point.key)
        self._fresh = []

    def _allows(self, key: str) -> bool:
        """Whether a new metric may have this key."""
        allowed = self._is_allowed.get(key)
        if allowed is None:
            allowed = (
                0 < len(key.encode("utf-8", "replace")) <= LONGEST
                and key.isprintable()
                and not any(pattern.match(key) for pattern in self._ignored)
            )
            if allowed and len(self._is_allowed) >= MOST_KEYS:
                self._tell(f"More than {MOST_KEYS:,} metrics were printed; the others are not recorded.")
                return False
            if len(self._is_allowed) < MOST_KEYS:
                self._is_allowed[key] = allowed
        return allowed

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self.trouble.append(message)
