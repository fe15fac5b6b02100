"""The list of runs: its page, and what the page asks for."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitexp.browsing import Browser, ColumnOf, Deleted, Selection, group_key
from gitexp.domain.direction import Direction, direction
from gitexp.domain.matching import FALSE, NAN, TRUE, Cell
from gitexp.domain.metrics import SYSTEM
from gitexp.domain.summary import RunSummary
from gitexp.domain.values import Number
from gitexp.errors import QueryError
from gitexp.sparks import SPARK_POINTS, spark
from gitexp.viewing import views
from gitexp.web import wording
from gitexp.web.colours import colour_of, dash_of
from gitexp.web.workspace import answer, embedded, workspace_of
from gitexp.wording import ago, number, numbers, plain, size, took

FIRST_ROWS = 40
MOST_ROWS = 500
MOST_SHOWN = 60
MOST_METRICS, MOST_PARAMS = 6, 8
ATTRIBUTE_TITLES = {
    "run.name": "Name",
    "run.experiment": "Experiment",
    "run.status": "Status",
    "run.start": "Started",
    "run.duration": "Took",
    "run.author": "Author",
    "run.host": "Host",
    "run.branch": "Branch",
    "run.commit": "Code",
    "run.command": "Command",
    "run.note": "Note",
    "run.parent": "Parent",
    "run.id": "Id",
    "run.artifact_bytes": "Artifacts",
}
SPARK = "spark."
TAGS = "tags"
_WIDTHS = {
    "name": (230, 230),
    "number": (92, 190),
    "text": (92, 190),
    "tags": (180, 180),
    "spark": (130, 130),
    "run.command": (280, 280),
    "run.note": (240, 240),
    "run.experiment": (120, 120),
}
_NUMERIC_ATTRIBUTES = ("run.duration", "run.artifact_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as the page draws it. `kind` is "name", "text", "number", "tags" or "spark"; `sort` what sorts by it."""

    name: str
    title: str
    kind: str
    sort: str
    better: str = ""

    @property
    def width(self) -> int:
        """In pixels, as long as nobody has chosen another."""
        least, most = _WIDTHS.get(self.name) or _WIDTHS[self.kind]
        return min(max(least, 34 + 7 * len(self.title)), most)

    def as_json(self) -> dict[str, str | int]:
        return {
            "width": self.width,
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "sort": self.sort,
            "better": self.better,
        }


def selection_of(query: Mapping[str, str], experiments: Sequence[str]) -> Selection:
    """What the address of a list asks for."""
    asked = query.get("deleted", "no")
    deleted: Deleted = "only" if asked == "only" else "yes" if asked == "yes" else "no"
    return Selection(
        where=query.get("where", ""),
        sort=query.get("sort", ""),
        experiments=tuple(experiments),
        deleted=deleted,
        by=query.get("by", ""),
        group=query.get("group", ""),
    )


def page(request: Request) -> Response:
    """The list, its first rows in place."""
    workspace, query = workspace_of(request), request.query_params
    chosen = selection_of(query, query.getlist("e"))
    offset = _count(query.get("offset"), 0, 10**9)
    with workspace.lock:
        browser = workspace.browser
        trouble: QueryError | None = None
        try:
            found = browser.page(replace(chosen, group=""), offset=offset, limit=FIRST_ROWS)
        except QueryError as error:
            trouble = error
            chosen = replace(chosen, where="") if error.text == chosen.where else replace(chosen, sort="")
            found = browser.page(replace(chosen, group=""), offset=offset, limit=FIRST_ROWS)
        known = browser.columns(replace(chosen, group=""))
        several = len(browser.experiments()) > 1 and len(chosen.experiments) != 1
        columns = shown_columns(query.get("cols", ""), known, several=several)
        rows = rows_of(browser, found.runs, columns, known)
        state = {
            "total": found.total,
            "version": found.version,
            "columns": [column.as_json() for column in columns],
            "rows": rows,
            "offset": offset,
            "readOnly": workspace.read_only,
            "trouble": _told(trouble),
            "pinned": query.get("pin", ""),
        }
        values = {
            "title": "Runs",
            "chosen": chosen,
            "query": query,
            "where": query.get("where", ""),
            "trouble": trouble,
            "page": found,
            "offset": offset,
            "rows": rows,
            "columns": columns,
            "known": known,
            "experiments": browser.experiments(),
            "sorted_by": _sorted_by(chosen.sort),
            "state": embedded(state),
            "step": FIRST_ROWS,
            "views": views(workspace.repository),
        }
    return workspace.page("runs.html", values)


def listing(request: Request) -> Response:
    """Some rows of a list."""
    workspace, query = workspace_of(request), request.query_params
    chosen = selection_of(query, query.getlist("e"))
    offset, limit = _count(query.get("offset"), 0, 10**9), _count(query.get("limit"), 100, MOST_ROWS)
    with workspace.lock:
        browser = workspace.browser
        try:
            found = browser.page(chosen, offset=offset, limit=limit)
        except QueryError as error:  # what somebody is typing: no failure of the request
            return answer({"trouble": _told(error)})
        known = browser.columns(replace(chosen, group="") if chosen.by else chosen)
        several = len(browser.experiments()) > 1 and len(chosen.experiments) != 1
        columns = shown_columns(query.get("cols", ""), known, several=several)
        data = {
            "total": found.total,
            "version": found.version,
            "offset": offset,
            "columns": [column.as_json() for column in columns],
            "rows": rows_of(browser, found.runs, columns, known),
        }
    return answer(data)


def grouping(request: Request) -> Response:
    """The groups of a list, with the spread of the metrics shown."""
    workspace, query = workspace_of(request), request.query_params
    chosen = selection_of(query, query.getlist("e"))
    with workspace.lock:
        browser = workspace.browser
        known = browser.columns(chosen)
        columns = shown_columns(query.get("cols", ""), known, several=False)
        measured = [column.name for column in columns if column.name.startswith("metrics.")]
        groups = browser.groups(chosen, measured)
        names = _run_names(browser, [group.cell for group in groups]) if chosen.by == "run.parent" else {}
        data = {
            "version": browser.version(),
            "groups": [
                {
                    "key": group_key(group.cell),
                    "label": names.get(group.cell, _label(group.cell)),
                    "count": group.count,
                    "cells": {
                        name: None if found is None else _measure(*found)
                        for name, found in zip(measured, group.measures, strict=True)
                    },
                }
                for group in groups
            ],
        }
    return answer(data)


def all_columns(request: Request) -> Response:
    """Every column that the list may have."""
    workspace, query = workspace_of(request), request.query_params
    chosen = selection_of(query, query.getlist("e"))
    with workspace.lock:
        known = workspace.browser.columns(chosen)
    found = [{"name": name, "title": title, "differs": True} for name, title in ATTRIBUTE_TITLES.items()]
    found.append({"name": TAGS, "title": "Tags", "differs": True})
    for column in known:
        found.append({"name": column.name, "title": column.name.partition(".")[2], "differs": column.differs})
        if column.name.startswith("metrics."):
            name = column.name.removeprefix("metrics.")
            found.append({"name": SPARK + name, "title": f"{name} curve", "differs": True})
    return answer({"columns": found})


def completing(request: Request) -> Response:
    """How a search expression may go on."""
    workspace, query = workspace_of(request), request.query_params
    text = query.get("text", "")[:10_000]
    with workspace.lock:
        found = workspace.browser.complete(text, _count(query.get("cursor"), len(text), len(text)))
    options = [{"text": option, "kind": kind} for option, kind in found.options]
    return answer({"start": found.start, "end": found.end, "options": options})


def shown_columns(asked: str, known: Sequence[ColumnOf], *, several: bool) -> list[Column]:
    """The columns that an address names, as a JSON list; else those that tell most."""
    named = _names(asked)
    if not named:
        named = ["run.name", *(["run.experiment"] if several else [])]
        metrics = [column for column in known if column.name.startswith("metrics.")]
        metrics = [column for column in metrics if not column.name.startswith(f"metrics.{SYSTEM}")]
        metrics.sort(key=lambda column: (direction(column.name[8:]) is None, "train" in column.name, -column.count))
        named += [column.name for column in metrics[:MOST_METRICS]]
        params = [column for column in known if column.name.startswith("params.") and column.differs]
        params.sort(key=lambda column: (_is_incidental(column.name), -column.count))
        named += [column.name for column in params[:MOST_PARAMS]]
        named += ["run.start", "run.duration", TAGS]
    numeric = {column.name for column in known if column.numeric}
    found = [made for name in named[:MOST_SHOWN] if (made := _column(name, numeric)) is not None]
    titles = Counter(column.title for column in found)
    return [column if titles[column.title] == 1 else replace(column, title=column.name) for column in found]


def rows_of(
    browser: Browser, runs: Sequence[RunSummary], columns: Sequence[Column], known: Iterable[ColumnOf]
) -> list[dict[str, Any]]:
    """Rows as the page draws them: texts, and of a spark column numbers."""
    spans = {column.name: column for column in known}
    now = time.time()
    cells = [_cells(browser, runs, column, spans.get(column.name), now) for column in columns]
    rows = []
    for position, run in enumerate(runs):
        record = run.record
        best = [at for at, column in enumerate(columns) if _is_best(run, column, spans.get(column.name))]
        row: dict[str, Any] = {
            "id": record.id,
            "name": record.name,
            "status": record.status.value,
            "colour": colour_of(record.id),
            "dash": dash_of(record.id),
            "cells": [column[position] for column in cells],
            "best": best,
            "deleted": record.deleted is not None,
        }
        rows.append(row)
    return rows


def _cells(
    browser: Browser, runs: Sequence[RunSummary], column: Column, span: ColumnOf | None, now: float
) -> list[Any]:
    if column.kind == "spark":
        return [spark(browser.repository, run, column.name[len(SPARK) :], SPARK_POINTS) for run in runs]
    if column.name == TAGS:
        return [[[key, value] for key, value in sorted(run.tags.items())] for run in runs]
    family, _, key = column.name.partition(".")
    if family == "metrics":
        ends = [_number_of(span.low), _number_of(span.high)] if span else [None, None]
        return numbers([*ends, *(run.metrics.get(key) for run in runs)])[2:]
    if family == "params":
        return [plain(run.params[key]) if key in run.params else "" for run in runs]
    if family == "tags":
        return [run.tags.get(key) or ("yes" if key in run.tags else "") for run in runs]
    return [_attribute(run, key, now) for run in runs]


def _attribute(run: RunSummary, key: str, now: float) -> str:
    record = run.record
    match key:
        case "start":
            return ago(record.start, now)
        case "duration":
            return took(record, now)
        case "author":
            return wording.person(record.author)
        case "command":
            return wording.typed(record.command)
        case "commit":
            return ((record.code.commit or "")[:10] + ("+" if record.code.dirty else "")) if record.code else ""
        case "branch":
            return (record.code.branch or "") if record.code else ""
        case "note":
            return (record.note or "").partition("\n")[0]
        case "artifact_bytes":
            return size(record.artifact_bytes) if record.artifact_count else ""
        case "status":
            return record.status.value
    found = getattr(record, key, None)
    return "" if found is None else str(found)


def _column(name: str, numeric: set[str]) -> Column | None:
    family, _, key = name.partition(".")
    if name == "run.name":
        return Column(name=name, title="Name", kind="name", sort=name)
    if name in ATTRIBUTE_TITLES:
        kind = "number" if name in _NUMERIC_ATTRIBUTES else "text"
        return Column(name=name, title=ATTRIBUTE_TITLES[name], kind=kind, sort=name)
    if name == TAGS:
        return Column(name=name, title="Tags", kind="tags", sort="")
    if name.startswith(SPARK) and key:
        return Column(name=name, title=f"{key} ∿", kind="spark", sort="")
    if family == "metrics" and key:
        return Column(name=name, title=key, kind="number", sort=sort_name(name), better=direction(key) or "")
    if family in ("params", "tags") and key:
        return Column(name=name, title=key, kind="number" if name in numeric else "text", sort=sort_name(name))
    return None


def sort_name(name: str) -> str:
    """A column's name as the language of `sort` has it."""
    family, _, key = name.partition(".")
    plain_key = all(character.isalnum() or character in "_./:+-" for character in key)
    return name if plain_key else f"{family}.`{key.replace('`', '``')}`"


def _is_best(run: RunSummary, column: Column, span: ColumnOf | None) -> bool:
    if not column.better or span is None or not span.differs or span.low == span.high:
        return False
    return run.metrics.get(column.name[8:]) == (span.low if column.better == Direction.LOWER else span.high)


def _names(asked: str) -> list[str]:
    try:
        found = json.loads(asked) if asked else []
    except ValueError:
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _sorted_by(sort: str) -> dict[str, str]:
    """Each column in the order asked for, and "ascending" or "descending"."""
    found = {}
    for part in sort.split(","):
        name = part.strip()
        if name:
            found[name.removeprefix("-")] = "descending" if name.startswith("-") else "ascending"
    return found


def _is_incidental(name: str) -> bool:
    return "seed" in name.lower() or "random_state" in name.lower()


def _number_of(cell: Cell) -> Number | None:
    return cell if isinstance(cell, (int, float)) else None


def _label(cell: Cell) -> str:
    if cell is None:
        return "none"
    if isinstance(cell, bytes):
        return {TRUE: "true", FALSE: "false", NAN: "NaN"}.get(cell, "")
    return plain(cell)


def _measure(low: Number, mean: float, high: Number) -> list[str]:
    return [number(mean, 4), number(low, 4), number(high, 4)]


def _run_names(browser: Browser, ids: Iterable[Cell]) -> dict[Cell, str]:
    names: dict[Cell, str] = {}
    for found in ids:
        if isinstance(found, str):
            runs = browser.repository.index.by_id_prefix(found)
            names[found] = runs[0].record.name if runs else found
    return names


def _told(trouble: QueryError | None) -> dict[str, Any] | None:
    if trouble is None:
        return None
    return {"error": str(trouble), "hint": trouble.hint, "position": trouble.position, "text": trouble.text}


def _count(text: str | None, usual: int, most: int) -> int:
    try:
        return min(max(int(text or usual), 0), most)
    except ValueError:
        return usual


ROUTES = [
    Route("/runs", page),
    Route("/api/runs", listing),
    Route("/api/groups", grouping),
    Route("/api/columns", all_columns),
    Route("/api/complete", completing),
]
