"""Where models come from and what data went into them: data, runs and model versions as one graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gitexp.browsing import Browser, Selection
from gitexp.domain.run import Input
from gitexp.domain.summary import RunSummary
from gitexp.errors import GitexpError
from gitexp.registry import Registry
from gitexp.repo import Repository

MOST_RUNS = 2_000
"""Of the newest runs, which are looked through for what they consumed."""

MOST_NODES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Something in the graph.

    Attributes:
        key: names it in edges.
        kind: "data", "run" or "model".
        name: what a person calls it; `detail` says which one exactly, or how it went.
        run: the run's id; of a model the one that made it.
    """

    key: str
    kind: str
    name: str
    detail: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Nodes and, as pairs of their keys, what went into what. `is_cut`: there was more than is shown."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    is_cut: bool = False


def lineage(repository: Repository, browser: Browser, *, run: str | None = None) -> Lineage:
    """What went into what: around one run, or among the newest runs that consumed something or were consumed.

    Args:
        run: an id; what it came from and what came from it, however far.
    """
    page = browser.page(Selection(deleted="no"), limit=MOST_RUNS)
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str], None] = {}
    known = {str(found.record.id): found for found in page.runs}
    older = [] if run is None else _ancestors(repository, known, run)
    for found in (*page.runs, *older):
        _add_run(found, nodes, edges)
    _add_models(repository, nodes, edges)
    for one, other in list(edges):
        for key in (one, other):
            if key not in nodes and key.startswith("run:"):
                nodes[key] = _run_node(repository, key.removeprefix("run:"))
    linked = {key for edge in edges for key in edge}
    shown = linked if run is None else _around(f"run:{run}", edges)
    chosen = [node for node in nodes.values() if node.key in shown or node.key == f"run:{run}"]
    is_cut = len(chosen) > MOST_NODES or page.total > len(page.runs)
    kept = {node.key for node in chosen[:MOST_NODES]}
    return Lineage(
        nodes=tuple(chosen[:MOST_NODES]),
        edges=tuple(edge for edge in edges if edge[0] in kept and edge[1] in kept),
        is_cut=is_cut,
    )


def _add_run(found: RunSummary, nodes: dict[str, Node], edges: dict[tuple[str, str], None]) -> None:
    record, key = found.record, f"run:{found.record.id}"
    nodes[key] = Node(key=key, kind="run", name=record.name, detail=record.status.value, run=str(record.id))
    for item in record.inputs:
        if item.run:
            edges[f"run:{item.run}", key] = None
        else:
            data = _data(item)
            nodes[data.key] = data
            edges[data.key, key] = None


def _data(item: Input) -> Node:
    digest = (item.digest or "").removeprefix("sha256:")
    return Node(key=f"data:{item.kind}:{item.name}:{digest}", kind="data", name=item.name, detail=digest[:12])


def _add_models(repository: Repository, nodes: dict[str, Node], edges: dict[tuple[str, str], None]) -> None:
    for model in Registry(repository).models():
        aliases: dict[int, list[str]] = {}
        for alias, number in model.aliases.items():
            aliases.setdefault(number, []).append(f"@{alias}")
        for version in model.versions:
            if version.deleted is None:
                key = f"model:{model.name}/{version.number}"
                said = ", ".join(aliases.get(version.number, []))
                nodes[key] = Node(
                    key=key, kind="model", name=f"{model.name}/{version.number}", detail=said, run=str(version.run)
                )
                edges[f"run:{version.run}", key] = None


def _ancestors(repository: Repository, known: dict[str, RunSummary], run: str) -> Iterable[RunSummary]:
    """The runs that a run came from which are not among the newest."""
    waiting, seen = [run], set[str]()
    while waiting and len(seen) < MOST_NODES:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        found = known.get(name) or next(iter(repository.index.by_id_prefix(name)), None)
        if found is not None:
            if name not in known:
                yield found
            waiting += [str(item.run) for item in found.record.inputs if item.run]


def _run_node(repository: Repository, run: str) -> Node:
    try:
        found = repository.index.by_id_prefix(run)
    except GitexpError:
        found = []
    name = found[0].record.name if found else run
    detail = found[0].record.status.value if found else "not here"
    return Node(key=f"run:{run}", kind="run", name=name, detail=detail, run=run if found else "")


def _around(start: str, edges: Iterable[tuple[str, str]]) -> set[str]:
    """Everything that leads to a node, and everything it leads to."""
    found = {start}
    for forwards in (True, False):
        following: dict[str, list[str]] = {}
        for one, other in edges:
            following.setdefault(one if forwards else other, []).append(other if forwards else one)
        waiting = [start]
        while waiting:
            for node in following.get(waiting.pop(), ()):
                if node not in found:
                    found.add(node)
                    waiting.append(node)
    return found
