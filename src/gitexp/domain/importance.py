"""How much each param has to do with a metric, over many runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FEWEST = 5
"""Runs with a number below which nothing can be said."""

BINS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much one param tells about a metric.

    Attributes:
        share: of the spread of the metric's ranks, how much lies between runs with different values: 0 to 1, without
            what as many groups would have by chance (epsilon squared).
        correlation: Spearman's, -1 to 1: whether the metric rises with the param; None where that is no number.
        count: the runs that have both.
    """

    name: str
    share: float
    correlation: float | None
    count: int


def importances(target: Sequence[float | None], params: Mapping[str, Sequence[object]]) -> list[Importance]:
    """What params tell about a metric, the most telling first; those that do not differ are left out.

    Args:
        target: the metric of each run; None or NaN where it has none.
        params: values of each param, one a run; None where a run has none. Many different numbers are put into groups
            of neighbours.
    """
    there = [at for at, goal in enumerate(target) if goal is not None and goal - goal == 0]
    goals = [goal for goal in target if goal is not None and goal - goal == 0]
    whole = ranks(goals)
    found = []
    for name, given in params.items():
        values, places = [given[at] for at in there], whole
        if None in values:
            known = [at for at, value in enumerate(values) if value is not None]
            values, places = [values[at] for at in known], ranks([goals[at] for at in known])
        if len(values) >= FEWEST and any(_group_name(value) != _group_name(values[0]) for value in values):
            found.append(_importance(name, values, places))
    return sorted(found, key=lambda one: (-one.share, one.name))


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 1; equal ones share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for at in order[start : end + 1]:
            found[at] = (start + end) / 2 + 1
        start = end + 1
    return found


def _importance(name: str, values: Sequence[object], goals: Sequence[float]) -> Importance:
    numbers = [float(value) for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len(values) or not all(number - number == 0 for number in numbers):
        share = _share(list(map(_group_name, values)), goals)
        return Importance(name=name, share=share, correlation=None, count=len(values))
    places = ranks(numbers)
    several = len(set(numbers)) > BINS
    groups = [min(int((place - 1) * BINS / len(values)), BINS - 1) if several else place for place in places]
    correlation = _correlation(places, goals)
    return Importance(name=name, share=_share(groups, goals), correlation=correlation, count=len(values))


def _share(groups: Sequence[object], goals: Sequence[float]) -> float:
    """Epsilon squared: the share of the variance between groups, without what chance would give."""
    by_group: dict[object, list[float]] = {}
    for group, goal in zip(groups, goals, strict=True):
        by_group.setdefault(group, []).append(goal)
    count = len(goals)
    total = _spread(goals)
    within = sum(map(_spread, by_group.values()))
    free = count - len(by_group)
    if total == 0 or free <= 0:
        return 0.0
    return max(0.0, 1 - (within / free) / (total / (count - 1)))


def _spread(goals: Sequence[float]) -> float:
    """The sum of the squares of how far each is from the mean."""
    mean = sum(goals) / len(goals)
    return sum((goal - mean) ** 2 for goal in goals)


def _correlation(places: Sequence[float], goals: Sequence[float]) -> float | None:
    mean = (len(places) + 1) / 2
    together = sum((place - mean) * (goal - mean) for place, goal in zip(places, goals, strict=True))
    spread = _spread(places) * _spread(goals)
    return together / spread**0.5 if spread > 0 else None


def _group_name(value: object) -> object:
    """Values as what can be counted: 1 and True apart, lists by their text."""
    return (type(value).__name__, value if isinstance(value, (int, float, str)) else repr(value))
