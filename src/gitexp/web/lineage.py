"""Lineage: what went into what, drawn from left to right. The picture is made here; nothing of it needs a script."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitexp.domain.layers import layers
from gitexp.tracing import Lineage, Node, lineage
from gitexp.web.colours import colour_of
from gitexp.web.finding import view_of
from gitexp.web.workspace import workspace_of

WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 210, 44, 70, 14, 16
_LONGEST = 27


def page(request: Request) -> Response:
    """The graph around one run, or of all that hang together."""
    workspace, name = workspace_of(request), request.query_params.get("run", "")
    with workspace.lock:
        run = view_of(workspace, name) if name else None
        found = lineage(workspace.repository, workspace.browser, run=str(run.id) if run else None)
        values = {"title": f"Lineage of {run.name}" if run else "Lineage", "run": run, "found": found}
        return workspace.page("lineage.html", values | {"picture": picture(found, str(run.id) if run else "")})


def picture(found: Lineage, focus: str) -> dict[str, Any]:
    """Boxes and lines with their places, in pixels."""
    nodes = {node.key: node for node in found.nodes}
    columns = layers(nodes, found.edges)
    tallest = max((len(column) for column in columns), default=0)
    high = 2 * EDGE + tallest * (HEIGHT + GAP_Y)
    places = {}
    for at, column in enumerate(columns):
        top = (high - len(column) * (HEIGHT + GAP_Y)) / 2
        for row, key in enumerate(column):
            places[key] = (EDGE + at * (WIDTH + GAP_X), round(top + row * (HEIGHT + GAP_Y)))
    return {
        "width": 2 * EDGE + len(columns) * (WIDTH + GAP_X),
        "height": high,
        "boxes": [_box(nodes[key], x, y, focus) for key, (x, y) in places.items()],
        "lines": [_line(places[one], places[other]) for one, other in found.edges],
    }


def _box(node: Node, x: float, y: float, focus: str) -> dict[str, Any]:
    return {
        "x": x,
        "y": y,
        "kind": node.kind,
        "name": node.name if len(node.name) <= _LONGEST else f"{node.name[: _LONGEST - 1]}…",
        "whole": f"{node.kind} {node.name} {node.detail}".strip(),
        "detail": node.detail,
        "address": f"/runs/{node.run}" if node.kind != "data" and node.run else "",
        "colour": colour_of(node.run) if node.kind == "run" else None,
        "is_focus": node.kind == "run" and node.run == focus,
    }


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A line from the right of one box to the left of another, as a path."""
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT / 2, end[0], end[1] + HEIGHT / 2
    bend = max((x2 - x1) / 2, 24)
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"


ROUTES = [Route("/lineage", page)]
