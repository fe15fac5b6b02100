"""The Pareto front: what nothing else beats in every respect."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import groupby
from operator import le

Vector = tuple[float, ...]


def front(vectors: Sequence[Vector]) -> list[int]:
    """The positions of the vectors that no other one dominates, in their order; lower is better in every coordinate.

    One vector dominates another if it is nowhere higher and somewhere lower; so equal vectors stay together. Up to
    three coordinates cost n log n, more cost n times the size of the front.

    Args:
        vectors: of one length, at least 1, without NaN.
    """
    order = sorted(range(len(vectors)), key=vectors.__getitem__)
    kept: list[int] = []
    covered = _Staircase() if not vectors or len(vectors[0]) <= 3 else _Pile()
    for vector, positions in groupby(order, key=vectors.__getitem__):
        rest = vector[1:]  # whatever comes before in the order is not higher in the first coordinate
        if not covered.covers(rest):
            kept += positions
            covered.add(rest)
    return sorted(kept)


class _Pile:
    """Points of any number of coordinates; each is looked at."""

    def __init__(self) -> None:
        self._points: list[Vector] = []

    def covers(self, point: Vector) -> bool:
        """Whether some point is nowhere higher."""
        return any(all(map(le, other, point)) for other in self._points)

    def add(self, point: Vector) -> None:
        self._points.append(point)


class _Staircase:
    """Points of at most two coordinates: as the first one rises, the second one falls."""

    def __init__(self) -> None:
        self._firsts: list[float] = []
        self._seconds: list[float] = []

    def covers(self, point: Vector) -> bool:
        """Whether some point is nowhere higher."""
        first, second = (*point, 0.0, 0.0)[:2]
        at = bisect_right(self._firsts, first)
        return at > 0 and self._seconds[at - 1] <= second

    def add(self, point: Vector) -> None:
        """Take in a point that none covers, and drop those that it covers."""
        first, second = (*point, 0.0, 0.0)[:2]
        begin = end = bisect_left(self._firsts, first)
        while end < len(self._seconds) and self._seconds[end] >= second:
            end += 1
        self._firsts[begin:end] = [first]
        self._seconds[begin:end] = [second]
