"""Axes: which values they span, and round numbers along them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

LARGEST = 1e250
"""Beyond this a value counts as infinite, so that differences and margins stay finite."""

_MARGIN = 0.04
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY = 86_400
_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class Kind(StrEnum):
    """What the numbers along an axis are."""

    NUMBER = "number"
    SECONDS = "seconds"
    TIME = "time"
    """Seconds since 1970, UTC, shown as local time."""


class Tick(NamedTuple):
    value: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The values from `low` to `high`, the higher one; above 0 where it is `log`."""

    low: float
    high: float
    log: bool = False
    kind: Kind = Kind.NUMBER

    def place(self, value: float) -> float:
        """Where a value lies: 0 at `low`, 1 at `high`."""
        if self.log:
            low = math.log(self.low)
            return (math.log(value) - low) / (math.log(self.high) - low)
        return (value - self.low) / (self.high - self.low)

    def shows(self, value: float) -> bool:
        """Whether the value has a place at all, inside the axis or beyond its ends."""
        return (1 / LARGEST if self.log else -LARGEST) <= value <= LARGEST

    def ticks(self, most: int) -> list[Tick]:
        """Round values inside the scale, lowest first; about `most`, at least one."""
        most = max(most, 1)
        if self.log and self.high >= self.low * 10:
            values = _powers(self.low, self.high, most)
        elif self.kind is Kind.NUMBER:
            values = _multiples(self.low, self.high, _step((self.high - self.low) / most))
        else:
            offset = time.localtime(self.low).tm_gmtoff if self.kind is Kind.TIME else 0
            step = _time_step((self.high - self.low) / most)
            values = [value - offset for value in _multiples(self.low + offset, self.high + offset, step)]
        values = values or [self.low]
        return [Tick(value, label) for value, label in zip(values, self._labels(values), strict=True)]

    def _labels(self, values: Sequence[float]) -> list[str]:
        if self.kind is Kind.TIME:
            return _moments(values)
        if self.kind is Kind.SECONDS:
            return [_span(value) for value in values]
        return _numbers(values)


def fitted(
    columns: Iterable[Sequence[float]],
    *,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    kind: Kind = Kind.NUMBER,
    margin: float = _MARGIN,
) -> Scale:
    """The scale that shows all values, with a margin at the ends that are not given."""
    least, most = (1 / LARGEST, LARGEST) if log else (-LARGEST, LARGEST)
    lows, highs = [], []
    for values in columns:
        shown = values if _all_between(values, least, most) else [v for v in values if least <= v <= most]
        if len(shown):
            lows.append(float(min(shown)))
            highs.append(float(max(shown)))
    first = min(lows, default=1.0 if log else 0.0) if low is None else low
    last = max(highs, default=first + 1) if high is None else high
    if first >= last:
        first, last = _around(first, last, low, high)
        first = max(first, last / 10) if log and low is None else first
    if log:
        share = math.exp((math.log(last) - math.log(first)) * margin)
        ends = first / share, last * share
    else:
        pad = (last - first) * margin
        ends = first - pad, last + pad
    return Scale(low=ends[0] if low is None else low, high=ends[1] if high is None else high, log=log, kind=kind)


def _all_between(values: Sequence[float], least: float, most: float) -> bool:
    """By sum, min and max, which the interpreter's C code makes."""
    return not values or (math.isfinite(sum(values)) and least <= min(values) and max(values) <= most)


def _around(first: float, last: float, low: float | None, high: float | None) -> tuple[float, float]:
    """Ends for a scale of a single value, or of values that all lie beyond the one end that is given."""
    if low is None and high is not None:
        return last - (abs(last) * 0.1 or 1.0), last
    wide = abs(first) * 0.1 or 1.0
    return (first - wide if low is None else first), first + wide


def _step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    if not 0 < least < math.inf:
        return math.inf
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999)


def _time_step(least: float) -> float:
    if least < 1:
        return _step(least)
    return next((float(step) for step in _SECONDS if step >= least), math.ceil(least / _DAY) * float(_DAY))


def _multiples(low: float, high: float, step: float) -> list[float]:
    if not math.isfinite(step) or step <= 0 or not math.isfinite(low / step) or abs(low / step) > 1e15:
        return []
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _powers(low: float, high: float, most: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, math.ceil((last - first + 1) / most))
    powers = [10.0**exponent for exponent in range(first, last + 1, every)]
    if every > 1 or len(powers) * 3 > most:
        return powers
    between = [10.0**exponent * factor for exponent in range(first - 1, last + 1) for factor in (1, 2, 5)]
    return [value for value in between if low <= value * (1 + 1e-9) and value * (1 - 1e-9) <= high]


def _numbers(values: Sequence[float]) -> list[str]:
    """Labels with as many digits as tell them apart; 20k, 1.5M, 2e-5."""
    largest = max(map(abs, values))
    if not largest:
        return ["0"] * len(values)
    smallest = min(abs(value) for value in values if abs(value) > largest * 1e-9)
    if largest >= 1e15 or smallest < 0.999e-4:
        return [_exponent(value) for value in values]
    return [_decimal(value) if largest < 1e4 else _shortened(value) for value in values]


def _shortened(value: float) -> str:
    size, suffix = next(((size, suffix) for size, suffix in _SUFFIXES if abs(value) >= size * 0.999), (1.0, ""))
    return _decimal(value / size) + suffix


def _decimal(value: float) -> str:
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return text if float(text or 0) else "0"


def _exponent(value: float) -> str:
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}" if float(mantissa) else "0"


def _span(seconds: float) -> str:
    """0 s, 45 s, 2 min, 1h 30, 3 d."""
    size = abs(seconds)
    sign = "-" if seconds < 0 else ""
    if size < 60:
        return f"{sign}{_decimal(size)} s"
    if size < 3600:
        minutes, rest = divmod(round(size), 60)
        return f"{sign}{minutes} min" if not rest else f"{sign}{minutes}m {rest:02}"
    if size < 2 * _DAY:
        hours, rest = divmod(round(size), 3600)
        return f"{sign}{hours} h" if not rest else f"{sign}{hours}h {rest // 60:02}"
    return f"{sign}{_decimal(round(size / _DAY, 2))} d"


def _moments(values: Sequence[float]) -> list[str]:
    """Local times; with the date where a day begins, seconds where they differ."""
    moments = [time.localtime(value) for value in values]
    if all(moment.tm_hour == moment.tm_min == moment.tm_sec == 0 for moment in moments):
        return [time.strftime("%b %d", moment) for moment in moments]
    shape = "%H:%M:%S" if any(moment.tm_sec for moment in moments) else "%H:%M"
    return [time.strftime(shape, moment) for moment in moments]
