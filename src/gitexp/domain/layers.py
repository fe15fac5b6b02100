"""A graph without circles as columns from left to right, few lines crossing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

_SWEEPS = 6


def layers(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The columns of a graph: every edge leads to the right, each node as far left as that allows.

    Edges that close a circle, and those of unknown nodes, are left out of the count.
    """
    order = list(dict.fromkeys(nodes))
    before: dict[str, list[str]] = {node: [] for node in order}
    after: dict[str, list[str]] = {node: [] for node in order}
    for one, other in dict.fromkeys(edges):
        if one in after and other in after and one != other:
            after[one].append(other)
            before[other].append(one)
    depth = _depths(order, before, after)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in order:
        columns[depth[node]].append(node)
    for sweep in range(_SWEEPS):
        _straighten(columns, before if sweep % 2 == 0 else after, backwards=sweep % 2 == 1)
    return columns


def _depths(
    order: Sequence[str], before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    depth = dict.fromkeys(order, 0)
    waiting = {node: len(before[node]) for node in order}
    ready = [node for node in order if not waiting[node]]
    for node in ready:
        for other in after[node]:
            depth[other] = max(depth[other], depth[node] + 1)
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    return depth


def _straighten(columns: list[list[str]], neighbours: Mapping[str, Sequence[str]], *, backwards: bool) -> None:
    """Put the nodes of each column where those they hang together with are on the mean."""
    places = {node: at / max(len(column), 1) for column in columns for at, node in enumerate(column)}
    for column in reversed(columns) if backwards else columns:

        def mean(node: str) -> float:
            found = [places[other] for other in neighbours[node]]
            return sum(found) / len(found) if found else places[node]

        column.sort(key=mean)
        places.update({node: at / len(column) for at, node in enumerate(column)})
