"""Curves as numbers: what a chart of so many pixels can show of a metric, as it is zoomed and panned."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitexp.domain.buckets import ascending, bucketed
from gitexp.domain.metrics import History
from gitexp.errors import UsageError
from gitexp.web.changing import sealed_or_live
from gitexp.web.workspace import Workspace, parsed_id, workspace_of

MOST_PIXELS = 4_000
MOST_REMEMBERED_POINTS = 4_000_000
AXES = ("step", "time", "relative")


def series(request: Request) -> Response:
    """Float64, little-endian: the number of pieces, of finite points, first and last x; xs, lows, means, highs."""
    workspace, query = workspace_of(request), request.query_params
    run_id, key = parsed_id(request.path_params["run"]), query.get("key", "")
    axis = query.get("x", "step")
    if axis not in AXES:
        raise UsageError(f"'{axis}' is no axis.", hint=f"There are {', '.join(AXES)}.")
    count = min(max(int(_number(query.get("px")) or 600), 2), MOST_PIXELS)
    with workspace.lock:
        xs, ys = _curve(workspace, run_id, key, axis)
        found = bucketed(xs, ys, count, _number(query.get("from")), _number(query.get("to")))
    head = struct.pack("<4d", len(found.xs), found.points, found.first, found.last)
    body = b"".join(column.tobytes() for column in (found.xs, found.lows, found.means, found.highs))
    return Response(head + body, media_type="application/octet-stream")


def _curve(workspace: Workspace, run_id: str, key: str, axis: str) -> tuple[Sequence[float], array[float]]:
    run = sealed_or_live(workspace, run_id)
    known, curves = (run.commit, run_id, key, axis), workspace.curves
    if run.commit is None or known not in curves:
        history = workspace.repository.view(run).history(key)
        curve = ascending(_along(history, axis, run.record.start), history.values)
        if run.commit is None:
            return curve
        curves[known] = curve
        while len(curves) > 1 and sum(len(xs) for xs, _ in curves.values()) > MOST_REMEMBERED_POINTS:
            curves.popitem(last=False)
    curves.move_to_end(known)
    return curves[known]


def _along(history: History, axis: str, start: float) -> Sequence[float]:
    if axis == "step":
        return history.steps
    if axis == "time":
        return history.times
    return array("d", [moment - start for moment in history.times])


def _number(text: str | None) -> float | None:
    try:
        found = float(text) if text else None
    except ValueError:
        return None
    return found if found is not None and found - found == 0 else None


ROUTES = [Route("/api/runs/{run}/series", series)]
