"""Metrics: last values as strict JSON, histories as CSV."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gitexp.domain.values import Number
from gitexp.errors import CorruptData

HEADER = "step,time,value"

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
        self.values.append(_to_float(value))

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Point:
        position = range(len(self.steps))[index]
        value = self.exact.get(position) if self.exact else None
        return Point(self.steps[position], self.times[position], self.values[position] if value is None else value)

    def __iter__(self) -> Iterator[Point]:
        if not self.exact:
            return map(Point._make, zip(self.steps, self.times, self.values, strict=True))
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and dump_history(self) == dump_history(other)

    __hash__ = None  # type: ignore[assignment]

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
    exact = history.exact
    values: Iterable[str] = map(repr, history.values)
    if exact:
        values = (str(exact[i]) if i in exact else text for i, text in enumerate(values))
    rows = ["%d,%.3f,%s" % row for row in zip(history.steps, history.times, values, strict=True)]  # noqa: UP031 (fastest)
    return "\n".join([HEADER, *rows, ""])


def load_history(text: str) -> History:
    """What `dump_history` was given.

    Raises:
        CorruptData: a line is not `step,time,value`.
    """
    head, _, body = text.partition("\n")
    if head != HEADER:
        raise CorruptData(f"A history begins with {HEADER!r}, not {head[:40]!r}.")
    if not body:
        return History(array("q"), array("d"), array("d"))
    cells = body.replace("\n", ",").split(",")
    try:
        if cells.pop() or len(cells) % 3:
            raise ValueError("a line is cut")
        raw = cells[2::3]
        values = array("d", map(float, raw))
        exact = {
            i: int(cell) for i, cell in enumerate(raw) if cell.isdigit() or (cell[0] == "-" and cell[1:].isdigit())
        }
        return History(array("q", map(int, cells[0::3])), array("d", map(float, cells[1::3])), values, exact)
    except (ValueError, OverflowError) as error:
        raise CorruptData(f"A history line is not {HEADER!r}: {error}.") from error


def _json_number(value: Number) -> str:
    if type(value) is float:
        if value != value:
            return '"NaN"'
        if value in (math.inf, -math.inf):
            return '"Infinity"' if value > 0 else '"-Infinity"'
        return repr(value)
    return str(value)


def _to_float(value: Number) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
