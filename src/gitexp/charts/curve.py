"""A line with as many points as can be seen: first, last, lowest and highest of each column, and its gaps.

The four points of each column of pixels draw the same picture as all points would (M4: Jugel et al., "M4: A
Visualization-Oriented Time Series Data Aggregation", VLDB 2014).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from gitexp.charts.scale import Scale

Point = tuple[float, float]


def visible(xs: Sequence[float], ys: Sequence[float], x: Scale, y: Scale, columns: int) -> list[list[Point]]:
    """The pieces of a line between its gaps, each a list of points.

    Args:
        xs: ascending.
        columns: how many columns of pixels the x scale takes.
    """
    pieces: list[list[Point]] = []
    is_broken = True
    for first, last in _columns(xs, x, columns):
        part = ys[first:last]
        kept = _telling(part, y)
        if not kept or kept[0] > 0:
            is_broken = True
        if kept:
            if is_broken:
                pieces.append([])
            pieces[-1] += [(float(xs[first + position]), float(part[position])) for position in kept]
            is_broken = kept[-1] < len(part) - 1
    return pieces


def _columns(xs: Sequence[float], x: Scale, columns: int) -> Iterator[tuple[int, int]]:
    """Where the points of each column begin and end; where there are few, each is a column of its own."""
    if len(xs) <= 2 * columns:
        yield from ((position, position + 1) for position in range(len(xs)))
        return
    first = 0
    for column in range(1, columns + 1):
        edge = x.low + (x.high - x.low) * (column / columns)
        last = len(xs) if column == columns else bisect_left(xs, edge, first)
        if last > first:
            yield first, last
        first = last


def _telling(part: Sequence[float], y: Scale) -> list[int]:
    """The positions of the first, last, lowest and highest value that can be drawn, ascending."""
    low, high = min(part), max(part)
    if math.isfinite(sum(part)) and y.shows(low) and y.shows(high):
        return sorted({0, len(part) - 1, part.index(low), part.index(high)})
    shown = [position for position, value in enumerate(part) if y.shows(value)]
    if not shown:
        return []
    return sorted({shown[0], shown[-1], min(shown, key=part.__getitem__), max(shown, key=part.__getitem__)})
