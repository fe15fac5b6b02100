"""The course of one metric in as many points as a small picture has."""

from __future__ import annotations

from gitexp.domain.buckets import ascending, bucketed
from gitexp.domain.summary import RunSummary
from gitexp.errors import GitexpError
from gitexp.repo import Repository

SPARK_POINTS = 40


def spark(repository: Repository, run: RunSummary, key: str, points: int) -> list[float]:
    """The mean values of at most `points` pieces of a metric's course, scaled to 0 to 1; empty where nothing moves."""
    if key not in run.metrics:
        return []
    try:
        history = repository.view(run).history(key)
    except GitexpError:  # damaged: 'gitexp fsck' tells
        return []
    found = bucketed(*ascending(history.steps, history.values), points)
    if len(found.means) < 2:
        return []
    low, high = min(found.means), max(found.means)
    return [round((value - low) / (high - low), 3) if high > low else 0.5 for value in found.means]
