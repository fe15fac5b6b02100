"""Mappings, lists and histograms as text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from gitexp.domain import yamltext
from gitexp.domain.values import plain_value
from gitexp.errors import UsageError
from gitexp.media.arrays import as_list, suffix_of

MOST_BINS = 10_000


def encode_dict(value: Any, name: str) -> bytes:
    """A mapping or list: YAML for .yaml and .yml, JSON for everything else."""
    plain = plain_value(value)
    if suffix_of(name) in (".yaml", ".yml"):
        if not isinstance(plain, dict):
            plain = {"items": plain} if isinstance(plain, list) else {"value": plain}
        return yamltext.dump(plain).encode()
    return _json(plain)


def encode_histogram(values: Any, bins: int | Sequence[float] = 64) -> bytes:
    """How values are distributed, as JSON: `counts` (n), `edges` (n + 1), and `count`, `mean`, `min`, `max` of all.

    Args:
        values: numbers in any shape: an array, a tensor, nested lists; or a pair (counts, edges) as
            `numpy.histogram` gives it. NaN and infinities are counted apart, as `not_finite`.
        bins: how many of equal width from the least to the greatest value, or their edges.

    Raises:
        UsageError: there are no numbers, or the edges do not ascend.
    """
    given = _given(values)
    if given:
        counts, edges = given
        return _json({"counts": counts, "edges": edges, "count": sum(counts)})
    numbers = [float(value) for value in as_list(values)]
    finite = [value for value in numbers if math.isfinite(value)]
    edges = _edges(bins, finite)
    counts = [0] * (len(edges) - 1)
    low, high = edges[0], edges[-1]
    even = (high - low) / len(counts) if isinstance(bins, int) else 0.0
    for value in finite:
        if low <= value <= high:
            place = int((value - low) / even) if even else _place(edges, value)
            counts[min(place, len(counts) - 1)] += 1
    made: dict[str, Any] = {"counts": counts, "edges": edges, "count": len(finite)}
    if finite:
        made |= {"mean": math.fsum(value / len(finite) for value in finite), "min": min(finite), "max": max(finite)}
    if len(numbers) > len(finite):
        made["not_finite"] = len(numbers) - len(finite)
    return _json(made)


def _given(values: Any) -> tuple[list[float], list[float]] | None:
    """Counts and edges, where that is what was given."""
    if not isinstance(values, tuple) or len(values) != 2:
        return None
    counts, edges = as_list(values[0]), as_list(values[1])
    if len(edges) != len(counts) + 1:
        return None
    return [_whole(count) for count in counts], [float(edge) for edge in edges]


def _whole(count: Any) -> float:
    return int(count) if float(count).is_integer() else float(count)


def _edges(bins: int | Sequence[float], values: Sequence[float]) -> list[float]:
    if not isinstance(bins, int):
        edges = [float(edge) for edge in as_list(bins)]
        if len(edges) < 2 or any(one >= other for one, other in pairwise(edges)):
            raise UsageError("The edges of a histogram must ascend, and be two at least.")
        return edges
    if not 1 <= bins <= MOST_BINS:
        raise UsageError(f"A histogram has from 1 to {MOST_BINS:,} bins, not {bins!r}.")
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [low + (high - low) * number / bins for number in range(bins)] + [high]


def _place(edges: Sequence[float], value: float) -> int:
    from bisect import bisect_right  # only where the edges were given

    return max(bisect_right(edges, value) - 1, 0)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
