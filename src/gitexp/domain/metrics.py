"""Metrics: last values as strict JSON, histories as CSV."""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gitexp.domain.values import Number
from gitexp.errors import CorruptData

HEADER = "step,time,value"

SYSTEM = "system/"
"""What the keys of metrics of the machine begin with: not about the training, and shown apart."""

_ROWS_AT_ONCE = 512
_CHARACTERS_AT_ONCE = 1 << 15
"""Pieces of a history that stay in the processor's cache while they become text or numbers."""

_NUMBER = r"(?:NaN|-?(?:Infinity|(?:0|[1-9]\d*)(?:\.\d+)?(?:e[-+]?\d+)?))"
_ROW = re.compile(rf"(-?(?:0|[1-9]\d{{0,18}})),{_NUMBER},{_NUMBER}\Z")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Point(NamedTuple):
    """One logged value. `time` is in seconds since 1970, UTC."""

    step: int
    time: float
    value: Number


class History:
    """Every point of one metric, in the order logged; behaves as a sequence of `Point`.

    The columns are arrays: `steps` (int64), `times` (float64, seconds since 1970, UTC) and `values` (float64).
    `exact` holds the values that a float64 cannot: integers, by position.
    """

    __slots__ = ("exact", "steps", "times", "values")

    def __init__(
        self, steps: array[int], times: array[float], values: array[float], exact: dict[int, int] | None = None
    ) -> None:
        self.steps = steps
        self.times = times
        self.values = values
        self.exact = exact or {}

    @classmethod
    def of(cls, points: Iterable[tuple[int, float, Number]]) -> History:
        history = cls(array("q"), array("d"), array("d"))
        for step, time, value in points:
            history.append(step, time, value)
        return history

    def append(self, step: int, time: float, value: Number) -> None:
        if type(value) is int:
            self.exact[len(self.values)] = value
        self.steps.append(step)
        self.times.append(time)
        self.values.append(to_float(value))

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Point:
        position = range(len(self.steps))[index]
        value = self.exact.get(position) if self.exact else None
        return Point(self.steps[position], self.times[position], self.values[position] if value is None else value)

    def __iter__(self) -> Iterator[Point]:
        return map(Point._make, zip(self.steps, self.times, self.numbers(), strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and dump_history(self) == dump_history(other)

    __hash__ = None  # type: ignore[assignment]

    def numbers(self) -> Sequence[Number]:
        """Every value as it was logged, integers as integers."""
        if not self.exact:
            return self.values
        return _with_exact(self.values.tolist(), self.exact.items())

    def __repr__(self) -> str:
        return f"History({len(self)} points)" if self else "History(empty)"

    @property
    def last(self) -> Number:
        """The value logged last at the highest step. Raises IndexError where there are no points."""
        return self[self.last_position].value

    @property
    def last_position(self) -> int:
        """Where the last value is: the last point of the highest step. Raises IndexError where there are no points."""
        if not self.steps:
            raise IndexError("the history has no points")
        highest = max(self.steps)
        position = len(self.steps) - 1
        while self.steps[position] != highest:
            position -= 1
        return position


def dump_metrics(metrics: Mapping[str, Number]) -> str:
    """The text of `metrics.json`: a flat object, keys sorted, one a line; NaN and infinities as strings."""
    if not metrics:
        return "{}\n"
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return "{\n" + ",\n".join(f" {encode(key)}: {_json_number(metrics[key])}" for key in sorted(metrics)) + "\n}\n"


def load_metrics(text: str | bytes) -> dict[str, Number]:
    """What `dump_metrics` was given.

    Raises:
        CorruptData: the text is not such an object; the message names the key.
    """
    try:
        loaded = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise CorruptData(f"metrics.json: {error}.") from error
    if not isinstance(loaded, dict):
        raise CorruptData("metrics.json: expected an object.")
    metrics: dict[str, Number] = {}
    for key, value in loaded.items():
        if isinstance(value, str) and value in _SPECIAL:
            value = _SPECIAL[value]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise CorruptData(f"metrics.json: {key!r}: expected a number, found {json.dumps(value)[:40]}.")
        metrics[key] = value
    return metrics


def dump_history(history: History) -> str:
    """The text of `history/<key>.csv`."""
    numbers = history.numbers()
    pieces = [HEADER + "\n"]
    for first in range(0, len(history), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        steps = history.steps[rows]
        cells: list[Number] = [0] * (3 * len(steps))
        cells[0::3], cells[1::3], cells[2::3] = steps, history.times[rows], numbers[rows]
        text = "%d,%.3f,%r\n" * len(steps) % tuple(cells)  # one format for many rows: the fastest by far
        if "n" in text:
            text = text.replace("nan", "NaN").replace("inf", "Infinity")
        pieces.append(text)
    return "".join(pieces)


def load_history(text: str) -> History:
    """What `dump_history` was given.

    Raises:
        CorruptData: a line is not `step,time,value`; the message says which.
    """
    if not text.startswith(HEADER + "\n"):
        raise CorruptData(f"A history begins with the line {HEADER!r}, not {text[: len(HEADER)]!r}.")
    history = History.of(())
    begin = len(HEADER) + 1
    while begin < len(text):
        end = text.find("\n", begin + _CHARACTERS_AT_ONCE) + 1 or len(text)
        _load_rows(history, text[begin:end])
        begin = end
    return history


def dump_points(histories: Mapping[str, History]) -> str:
    """The text of `points.csv`: one point of each metric, sorted by metric."""
    rows = [f"{dump_history(histories[key]).splitlines()[1]},{key}\n" for key in sorted(histories)]
    return "".join([f"{HEADER},metric\n", *rows])


def load_points(text: str) -> dict[str, History]:
    """What `dump_points` was given.

    Raises:
        CorruptData: a line is not `step,time,value,metric`.
    """
    head, *lines = text.removesuffix("\n").split("\n")
    if head != f"{HEADER},metric":
        raise CorruptData(f"points.csv begins with '{HEADER},metric', not {head[:40]!r}.")
    found = {}
    for line in lines:
        cells = line.split(",", 3)
        if len(cells) != 4:
            raise CorruptData(f"A line of points.csv is not '{HEADER},metric': {line[:40]!r}.")
        found[cells[3]] = load_history(f"{HEADER}\n{','.join(cells[:3])}\n")
    return found


def _load_rows(history: History, rows: str) -> None:
    """Append whole lines. Their numbers are written as JSON's, and its parser is the fastest there is."""
    try:
        if rows[-1] != "\n" or "u" in rows or "l" in rows:  # null, true and false are not numbers
            raise ValueError
        cells = json.loads("[" + rows[:-1].replace("\n", ",") + "]")
        if len(cells) != 3 * rows.count("\n"):
            raise ValueError
        values = cells[2::3]
        exact = _integers(values, len(history))
        if exact:
            values = list(map(to_float, values))
        columns = array("q", cells[0::3]), array("d", cells[1::3]), array("d", values)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        lines = rows.split("\n")
        wrong = next((i for i, line in enumerate(lines) if not _is_row(line)), len(lines) - 1)
        number = len(history) + wrong + 2
        raise CorruptData(f"A history's line {number} is not {HEADER!r} but {lines[wrong][:60]!r}.") from error
    history.exact.update(exact)
    history.steps += columns[0]
    history.times += columns[1]
    history.values += columns[2]


def _is_row(line: str) -> bool:
    match = _ROW.match(line)
    return match is not None and -(1 << 63) <= int(match[1]) < 1 << 63


def _integers(values: list[Number], first: int) -> Mapping[int, int]:
    """The integers among values, by position; that of the first value is given."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return dict(zip(range(first, first + len(values)), values, strict=True))  # type: ignore[arg-type]
    if int in kinds:
        return {position: value for position, value in enumerate(values, first) if type(value) is int}
    return {}


def _with_exact(numbers: list[Number], exact: Iterable[tuple[int, int]]) -> list[Number]:
    for position, number in exact:
        numbers[position] = number
    return numbers


def _json_number(value: Number) -> str:
    if type(value) is float:
        if value != value:
            return '"NaN"'
        if value in (math.inf, -math.inf):
            return '"Infinity"' if value > 0 else '"-Infinity"'
        return repr(value)
    return str(value)


def to_float(value: Number) -> float:
    """The nearest float; infinity for integers beyond all floats."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
