"""Nested runs in a list: each below the run that it is nested in, or only counted there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gitexp.domain.identity import RunId
from gitexp.domain.matching import And, Equal, Field, Not
from gitexp.domain.query import parse
from gitexp.domain.summary import RunSummary
from gitexp.repo import Repository, Runs

_AT_ONCE = 10_000
"""Ids that one search may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nesting:
    """How the runs of a list are nested.

    Attributes:
        depths: of those that are shown below another.
        counts: how many runs are nested in each directly, shown or not; without those that have none.
    """

    depths: Mapping[RunId, int] = field(default_factory=dict)
    counts: Mapping[RunId, int] = field(default_factory=dict)


def only_outer(where: str) -> str:
    """The search for runs that match and are nested in none.

    Raises:
        QueryError: `where` cannot be read.
    """
    parse(where, now=0.0)  # what is wrong is told in the words that were typed
    return f"({where}) and run.parent is null" if where.strip() else "run.parent is null"


def with_parents(repository: Repository, runs: Runs, *, experiments: Sequence[str], deleted: str) -> list[RunSummary]:
    """The runs and, after them, those that they are nested in, however old."""
    found = list(runs)
    known = {run.record.id for run in found}
    while missing := sorted({run.record.parent for run in found if run.record.parent} - known)[:_AT_ONCE]:
        named = ", ".join(f"'{identity}'" for identity in missing)
        found += repository.search(f"run.id in ({named})", experiments=experiments, deleted=deleted)
        known.update(missing)
    return found


def outline(runs: Sequence[RunSummary]) -> tuple[list[RunSummary], dict[RunId, int]]:
    """The runs with those nested in each below it, where the first of them stood; and how deep each is."""
    by_id = {run.record.id: run for run in runs}
    tops: dict[RunId, RunSummary] = {}
    inner: dict[RunId, dict[RunId, RunSummary]] = {}
    for run in runs:
        node, seen = run, {run.record.id}
        while (above := by_id.get(node.record.parent or RunId(""))) is not None and above.record.id not in seen:
            inner.setdefault(above.record.id, {}).setdefault(node.record.id, node)
            seen.add(above.record.id)
            node = above
        tops.setdefault(node.record.id, node)
    ordered: list[RunSummary] = []
    depths: dict[RunId, int] = {}
    waiting = [(run, 0) for run in reversed(tops.values())]
    while waiting:
        run, depth = waiting.pop()
        if run.record.id in depths:
            continue
        depths[run.record.id] = depth
        ordered.append(run)
        waiting += [(nested, depth + 1) for nested in reversed(inner.get(run.record.id, {}).values())]
    return ordered, {identity: depth for identity, depth in depths.items() if depth}


def nested_counts(repository: Repository, runs: Sequence[RunSummary]) -> dict[RunId, int]:
    """How many runs are nested in each of `runs` directly, live ones too."""
    wanted = {run.record.id for run in runs}
    parent = Field("run", "parent")
    counts: dict[RunId, int] = {}
    running = repository.live_summaries()
    goes_on = Equal(Field("run", "id"), tuple(run.record.id for run in running))  # resumed, it is in the index too
    ids = sorted(wanted)
    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        for group in repository.index.groups(
            parent, query=And((Equal(parent, tuple(some)), Not(goes_on))), limit=len(some)
        ):
            counts[RunId(str(group.cell))] = group.count
    for run in running:
        if run.record.parent in wanted:
            counts[run.record.parent] = counts.get(run.record.parent, 0) + 1
    return counts
