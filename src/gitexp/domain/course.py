"""The course of a metric in bounded space, however many points come."""

from __future__ import annotations

import math
from array import array

from gitexp.domain.metrics import History, Point

_MOST = 128


class Course:
    """Takes in points as they come, and keeps means of equally many consecutive values.

    Attributes:
        points: how many there were.
        last: the last one of the highest step; None before the first.
        low, high: the ends of the finite values; infinities the other way round before the first.
    """

    def __init__(self) -> None:
        self.points = 0
        self.last: Point | None = None
        self.low, self.high = math.inf, -math.inf
        self._means: list[float] = []
        self._each = 1
        self._rest: array[float] = array("d")

    def add(self, history: History) -> None:
        """Take in further points."""
        if not len(history):
            return
        self.points += len(history)
        last = history[history.last_position]
        if self.last is None or last.step >= self.last.step:
            self.last = last
        values = history.values
        if not math.isfinite(sum(values)):
            values = array("d", filter(math.isfinite, values))
        if values:
            self.low, self.high = min(self.low, *_ends(values)), max(self.high, *_ends(values))
        self._rest += values
        self._condense()

    def means(self) -> list[float]:
        """At most 128 values that show the whole course."""
        return [*self._means, *([_mean(self._rest)] if self._rest else [])]

    def _condense(self) -> None:
        while len(self._rest) >= self._each * _MOST:  # many at once: make steps as large as they will have to be
            self._halve()
        full = len(self._rest) - len(self._rest) % self._each
        self._means += [_mean(self._rest[first : first + self._each]) for first in range(0, full, self._each)]
        del self._rest[:full]
        while len(self._means) > _MOST:
            self._halve()

    def _halve(self) -> None:
        """From now on each mean is of twice as many values."""
        if len(self._means) % 2:
            self._rest = array("d", [self._means.pop()] * self._each) + self._rest
        pairs = zip(self._means[0::2], self._means[1::2], strict=True)
        self._means = [one / 2 + other / 2 for one, other in pairs]
        self._each *= 2


def _ends(values: array[float]) -> tuple[float, float]:
    return min(values), max(values)


def _mean(values: array[float]) -> float:
    return sum(values) / len(values)
