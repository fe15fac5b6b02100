"""A long curve in as many pieces as there are pixels, so that no spike is lost however far one looks from."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import le


@dataclass(frozen=True, slots=True)
class Buckets:
    """A curve along x: for each piece its middle on the x axis, the lowest, mean and highest value, how many points.

    Pieces without a finite value are left out; `points` counts the finite ones.
    """

    xs: array[float]
    lows: array[float]
    means: array[float]
    highs: array[float]
    points: int
    first: float
    last: float


def ascending(xs: Sequence[float], ys: array[float]) -> tuple[Sequence[float], array[float]]:
    """The points in the order of x, NaN on that axis left out; of equal x in the order given."""
    if all(map(le, xs, islice(xs, 1, None))) and (len(xs) != 1 or xs[0] == xs[0]):
        return xs, ys
    order = sorted((at for at in range(len(xs)) if xs[at] == xs[at]), key=xs.__getitem__)
    return array("d", [xs[at] for at in order]), array("d", [ys[at] for at in order])


def bucketed(
    xs: Sequence[float], ys: array[float], count: int, low: float | None = None, high: float | None = None
) -> Buckets:
    """At most `count` pieces of the curve between two places on the x axis, whole where they are None.

    Args:
        xs: ascending, as `ascending` gives them.

    A curve with no more points than pieces comes as it is. One point on either side is kept, so that a line reaches
    the edge of the picture.
    """
    begin = 0 if low is None else max(bisect_left(xs, low) - 1, 0)
    end = len(xs) if high is None else min(bisect_right(xs, high) + 1, len(xs))
    columns = tuple(array("d") for _ in range(4))
    middles, lows, means, highs = columns
    points = 0
    for a, b in _edges(xs, begin, end, count):
        piece = ys[a:b]
        total = sum(piece)
        if total - total != 0:  # NaN or infinity among them
            piece = array("d", [value for value in piece if value - value == 0])
            total = math.fsum(piece)
        if piece:
            points += len(piece)
            middles.append(xs[a] if b - a == 1 else (xs[a] + xs[b - 1]) / 2)
            lows.append(min(piece))
            means.append(total / len(piece))
            highs.append(max(piece))
    first, last = (xs[0], xs[-1]) if len(xs) else (0.0, 0.0)
    return Buckets(middles, lows, means, highs, points, first, last)


def _edges(xs: Sequence[float], begin: int, end: int, count: int) -> list[tuple[int, int]]:
    """Where each piece begins and ends: of one width along x, empty ones left out."""
    if end - begin <= count:
        return [(at, at + 1) for at in range(begin, end)]
    low, high = xs[begin], xs[end - 1]
    width = (high - low) / count
    if not 0 < width < math.inf:
        return [(begin, end)]
    edges, start = [], begin
    for number in range(1, count + 1):
        stop = end if number == count else bisect_left(xs, low + number * width, start, end)
        if stop > start:
            edges.append((start, stop))
            start = stop
    return edges
