"""Several runs side by side: what differs, their curves, how params and metrics hang together, their code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitexp.browsing import ColumnOf, Selection
from gitexp.codediff import between
from gitexp.comparing import compare, content_changes, git_diff_command
from gitexp.domain.comparison import Kind
from gitexp.domain.direction import direction
from gitexp.domain.importance import importances
from gitexp.domain.lineup import ABSENT, Row, Section
from gitexp.domain.matching import FALSE, NAN, TRUE, Cell
from gitexp.domain.metrics import SYSTEM
from gitexp.domain.summary import RunSummary
from gitexp.errors import NotFound, UsageError
from gitexp.lineup import line_up
from gitexp.previewing import IMAGES
from gitexp.reading import RunView
from gitexp.web.changing import sealed_or_live
from gitexp.web.colours import colour_of, dash_of
from gitexp.web.runs import selection_of
from gitexp.web.wording import person, typed
from gitexp.web.workspace import Workspace, answer, embedded, workspace_of
from gitexp.wording import duration, number, plain, plural, size

MOST_CHOSEN = 200
MOST_SIDE_BY_SIDE = 40
MOST_CURVES = 40
MOST_PLOTTED = 10_000
MOST_AXES = 40
MOST_IMPORTANT = 40
MOST_ON_CHARTS = 400

SIDES = {"": "Differences", "charts": "Curves", "plots": "Plots", "code": "Code", "artifacts": "Artifacts"}
_OF_TWO = ("code", "artifacts")
_TITLES = {
    Section.RUN: "About the run",
    Section.PARAMS: "Params",
    Section.METRICS: "Metrics",
    Section.ENVIRONMENT: "Environment",
    Section.PACKAGES: "Packages",
    Section.ARTIFACTS: "Artifacts",
}


def page(request: Request) -> Response:
    """One side of a comparison."""
    workspace, side = workspace_of(request), request.path_params.get("side", "")
    if side not in SIDES:
        raise NotFound("There is no such page.")
    with workspace.lock:
        runs, chosen = _runs(workspace, request)
        if not side and len(runs) > MOST_SIDE_BY_SIDE:
            side = "plots"
        values = {
            "title": f"Compare {plural(len(runs), 'run')}",
            "runs": [tag_of(run) for run in runs],
            "asked": request.url.query,
            "side": side,
            "sides": [(name, text) for name, text in SIDES.items() if _fits(name, len(runs))],
            "pair": _pair(request, runs) if len(runs) > 1 else None,
            "chosen": chosen,
        }
        values |= _SIDES[side](workspace, request, runs)
        return workspace.page(f"compare_{side or 'table'}.html", values)


def plotted(request: Request) -> Response:
    """The params and metrics of the runs as columns, for plots: numbers, or places in a list of texts."""
    workspace = workspace_of(request)
    with workspace.lock:
        data = axes_of(workspace, _selected(workspace, request))
    return answer(data)


def important(request: Request) -> Response:
    """How much each param has to do with a metric."""
    workspace, target = workspace_of(request), request.query_params.get("metric", "")
    with workspace.lock:
        rows = importances_of(workspace, _selected(workspace, request), target)
    return answer({"rows": rows})


def importances_of(workspace: Workspace, chosen: Selection, target: str) -> list[dict[str, Any]]:
    """What each param tells about a metric, as the plots show it. Raises NotFound."""
    names, rows, _ = _cells(workspace, chosen)
    if f"metrics.{target}" not in names:
        raise NotFound(f"No run here has the metric '{target}'.")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
    goals = [cell if isinstance(cell, (int, float)) else None for cell in columns.get(f"metrics.{target}", ())]
    params = {name[7:]: list(map(_value, cells)) for name, cells in columns.items() if name.startswith("params.")}
    found = importances(goals, params)[:MOST_IMPORTANT]
    return [
        {"name": one.name, "share": round(one.share, 4), "correlation": one.correlation, "count": one.count}
        for one in found
    ]


def _runs(workspace: Workspace, request: Request) -> tuple[list[RunSummary], Selection | None]:
    """The runs that an address names: by ids, or as a list does."""
    query = request.query_params
    named = [name for name in query.get("runs", "").split(",") if name]
    if named:
        if len(named) > MOST_CHOSEN:
            raise UsageError(f"At most {MOST_CHOSEN} runs can be chosen one by one.", hint="Compare a search instead.")
        workspace.repository.index.refresh()
        found = [_named(workspace, name) for name in dict.fromkeys(named)]
        return found, None
    chosen = selection_of(query, query.getlist("e"))
    found = workspace.browser.page(chosen, limit=MOST_PLOTTED).runs
    if not found:
        raise NotFound("There are no runs to compare.", hint="Choose some in the list of runs.")
    return found, chosen


def _named(workspace: Workspace, name: str) -> RunSummary:
    try:
        return sealed_or_live(workspace, name)
    except NotFound:
        return workspace.repository.resolve(name)


def _fits(side: str, count: int) -> bool:
    return count <= MOST_SIDE_BY_SIDE if not side else count > 1 or side not in _OF_TWO


def tag_of(run: RunSummary) -> dict[str, Any]:
    """A run as a legend names it."""
    record = run.record
    return {
        "id": str(record.id),
        "name": record.name,
        "status": record.status.value,
        "colour": colour_of(record.id),
        "dash": dash_of(record.id),
    }


def _pair(request: Request, runs: Sequence[RunSummary]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two runs whose code and artifacts are compared: those that are named, else the first two."""
    query = request.query_params
    by_id = {str(run.record.id): run for run in runs}
    one = by_id.get(query.get("a", ""), runs[0])
    other = by_id.get(query.get("b", ""), next((run for run in runs if run is not one), runs[0]))
    return tag_of(one), tag_of(other)


# Differences


def _table(workspace: Workspace, _: Request, runs: Sequence[RunSummary]) -> dict[str, Any]:
    return differences(workspace, runs)


def differences(workspace: Workspace, runs: Sequence[RunSummary]) -> dict[str, Any]:
    """What the template of the table shows."""
    views = [workspace.repository.view(run) for run in runs]
    lineup = line_up(workspace.repository, views)
    sections = []
    for section, title in _TITLES.items():
        rows = lineup.section(section, everything=True)
        differing = [_row(row) for row in rows if row.differs]
        same = [_row(row) for row in rows if not row.differs]
        sections.append({"title": title, "name": section.value, "differing": differing, "same": same})
    return {
        "sections": sections,
        "code": [None if code is None else {"group": code.group, "files": code.files} for code in lineup.code],
        "inputs": _inputs(runs),
    }


def _row(row: Row) -> dict[str, Any]:
    shown = [_shown(row, value) for value in row.values]
    return {"key": row.key, "values": shown, "best": row.best, "numeric": row.section is Section.METRICS}


def _shown(row: Row, value: Any) -> str | None:
    if value is ABSENT:
        return None
    match row.section, row.key:
        case Section.METRICS, _:
            return number(value)
        case Section.ARTIFACTS, _:
            return f"{size(value.size_bytes)} · {value.sha256[:8]}"
        case Section.RUN, "command":
            return typed(value)
        case Section.RUN, "duration":
            return duration(value)
        case Section.RUN, "author":
            return person(value)
    return plain(value)


def _inputs(runs: Sequence[RunSummary]) -> list[dict[str, Any]]:
    """What was consumed: each name, and its digest in each run."""
    found: list[dict[str, str]] = []
    for run in runs:
        said = {}
        for item in run.record.inputs:
            said[f"{item.kind} {item.name}"] = (item.digest or item.run or "").removeprefix("sha256:")[:12] or "used"
        found.append(said)
    names = sorted({name for said in found for name in said})
    rows = [{"key": name, "values": [said.get(name) for said in found]} for name in names]
    return [{**row, "differs": len(set(row["values"])) > 1} for row in rows]


# Curves


def _charts(_: Workspace, __: Request, runs: Sequence[RunSummary]) -> dict[str, Any]:
    shown = runs[:MOST_CURVES]
    keys: dict[str, None] = {}
    for run in shown:
        keys.update(dict.fromkeys(run.metrics))
    ordered = sorted(keys, key=lambda key: (key.startswith(SYSTEM), direction(key) is None, key))[:MOST_ON_CHARTS]
    curves = [{"key": key, "runs": [tag_of(run) for run in shown if key in run.metrics]} for key in ordered]
    return {"curves": curves, "left_out": len(runs) - len(shown)}


# Plots


def _plots(workspace: Workspace, request: Request, _: Sequence[RunSummary]) -> dict[str, Any]:
    return {"axes": embedded(axes_of(workspace, _selected(workspace, request)))}


def _selected(workspace: Workspace, request: Request) -> Selection:
    """The runs that an address names, as a search."""
    query = request.query_params
    named = [name for name in query.get("runs", "").split(",") if name]
    if not named:
        return selection_of(query, query.getlist("e"))
    return those([str(_named(workspace, name).record.id) for name in named[:MOST_CHOSEN]])


def those(ids: Sequence[str]) -> Selection:
    """The runs with these ids, as a search."""
    return Selection(where=f"run.id in ({', '.join(map(repr, ids))})", deleted="yes")


def _cells(workspace: Workspace, chosen: Selection) -> tuple[list[str], list[tuple[Cell, ...]], list[ColumnOf]]:
    """Names of columns that differ, and the cells of each sealed run; the id of the run comes last."""
    known = [column for column in workspace.browser.columns(chosen) if column.differs]
    known = [column for column in known if not column.name.startswith("tags.")]
    known = [column for column in known if not column.name.startswith(f"metrics.{SYSTEM}")]
    known.sort(key=lambda column: (direction(column.name[8:]) is None, "train" in column.name, -column.count))
    half = MOST_AXES // 2
    metrics = [column for column in known if column.name.startswith("metrics.")][:half]
    columns = [column for column in known if column.name.startswith("params.")][:half] + metrics
    names = [*(column.name for column in columns), "run.status", "run.name", "run.id"]
    return names, workspace.browser.values(chosen, names, limit=MOST_PLOTTED), columns


def axes_of(workspace: Workspace, chosen: Selection) -> dict[str, Any]:
    """The params and metrics in which runs differ, as columns of numbers or of places in a list of texts."""
    names, rows, columns = _cells(workspace, chosen)
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    axes = []
    for column, found in zip(columns, cells, strict=False):
        family, _, key = column.name.partition(".")
        axes.append(
            {"name": column.name, "title": key, "family": family, "better": direction(key) or "", **_axis(found)}
        )
    ids = list(map(str, cells[-1]))
    return {
        "ids": ids,
        "names": list(map(str, cells[-2])),
        "states": list(map(str, cells[-3])),
        "colours": list(map(colour_of, ids)),
        "axes": axes,
    }


def _axis(cells: Sequence[Cell]) -> dict[str, Any]:
    """Numbers, or where there are texts the sorted list of them and places in it. NaN is as if it were not there."""
    there = {cell for cell in cells if cell is not None and cell != NAN}
    if all(isinstance(cell, (int, float)) for cell in there):
        return {"values": [_rounded(cell) if isinstance(cell, (int, float)) else None for cell in cells]}
    labels = sorted({_label(cell) for cell in there}, key=_in_order)
    places = {label: at for at, label in enumerate(labels)}
    values = [None if cell is None or cell == NAN else places[_label(cell)] for cell in cells]
    return {"values": values, "labels": labels}


def _rounded(value: float) -> float | None:
    """Seven digits are more than a plot can show, and half the bytes."""
    return float(f"{value:.7g}") if value - value == 0 else None


def _label(cell: Cell) -> str:
    if isinstance(cell, bytes):
        return {TRUE: "true", FALSE: "false"}.get(cell, "")
    return plain(cell)


def _in_order(label: str) -> tuple[bool, float, str]:
    try:
        return (False, float(label), label)
    except ValueError:
        return (True, 0.0, label)


def _value(cell: Cell) -> object:
    return {TRUE: "true", FALSE: "false", NAN: None}.get(cell, cell) if isinstance(cell, bytes) else cell


# Code and artifacts of two


def _two(workspace: Workspace, request: Request, runs: Sequence[RunSummary]) -> tuple[RunView, RunView]:
    if len(runs) < 2:
        raise UsageError("There is only one run to compare.", hint="Choose two in the list of runs.")
    by_id = {str(run.record.id): run for run in runs}
    one, other = _pair(request, runs)
    return workspace.repository.view(by_id[one["id"]]), workspace.repository.view(by_id[other["id"]])


def _code(workspace: Workspace, request: Request, runs: Sequence[RunSummary]) -> dict[str, Any]:
    before, after = _two(workspace, request, runs)
    return {
        "files": between(workspace.repository, before, after),
        "layout": request.query_params.get("layout", "split"),
        "command": git_diff_command(before, after, code=True),
    }


def _artifacts(workspace: Workspace, request: Request, runs: Sequence[RunSummary]) -> dict[str, Any]:
    before, after = _two(workspace, request, runs)
    found = compare(workspace.repository, before, after)
    inside = content_changes(before, after, found)
    rows = []
    for change in found.artifacts:
        is_image = PurePosixPath(change.key).suffix.lower() in IMAGES
        rows.append(
            {
                "path": change.key,
                "kind": change.kind.value,
                "before": size(change.before.size_bytes) if change.before else "",
                "after": size(change.after.size_bytes) if change.after else "",
                "inside": inside[change.key].summary if change.key in inside else "",
                "slides": is_image and change.kind is Kind.CHANGED,
            }
        )
    order = {Kind.CHANGED.value: 0, Kind.ADDED.value: 1, Kind.REMOVED.value: 2, Kind.SAME.value: 3}
    return {"changes": sorted(rows, key=lambda row: (order[row["kind"]], row["path"]))}


_SIDES: dict[str, Callable[[Workspace, Request, Sequence[RunSummary]], dict[str, Any]]] = {
    "": _table,
    "charts": _charts,
    "plots": _plots,
    "code": _code,
    "artifacts": _artifacts,
}

ROUTES = [
    Route("/compare", page),
    Route("/compare/{side}", page),
    Route("/api/plot", plotted),
    Route("/api/importance", important),
]
