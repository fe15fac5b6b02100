"""What pages change: tags, notes, names, deleting and restoring. `Guard` has refused whoever may not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitexp.browsing import Selection, pages
from gitexp.domain.summary import RunSummary
from gitexp.errors import GitexpError, NotFound, UsageError
from gitexp.exporting import run_table, write_table
from gitexp.repo import Repository
from gitexp.web.runs import rows_of, selection_of, shown_columns
from gitexp.web.workspace import Workspace, answer, parsed_id, workspace_of
from gitexp.wording import plural

LARGEST_BODY = 1_000_000
MOST_RUNS = 5_000
MOST_PROBLEMS = 5
_PAGE = 2_000
_KINDS = {"csv": ("csv", "text/csv"), "json": ("json", "application/json"), "md": ("md", "text/markdown")}


async def changed(request: Request) -> Response:
    """Do one thing to several runs; those it cannot be done to are told apart."""
    told = await told_by(request)
    workspace, action = workspace_of(request), text_of(told, "action")
    ids = told.get("ids")
    if not isinstance(ids, list) or not 0 < len(ids) <= MOST_RUNS:
        raise UsageError(f"'ids' names 1 to {MOST_RUNS:,} runs.")
    act, past = _action(action, told)

    def change() -> tuple[int, list[str]]:
        done, problems = 0, []
        for given in ids:
            with workspace.lock:
                try:
                    act(workspace.repository, sealed_or_live(workspace, parsed_id(str(given))))
                    done += 1
                except GitexpError as error:
                    problems.append(str(error))
        return done, problems

    done, problems = await run_in_threadpool(change)
    return answer({"done": f"{past} {plural(done, 'run')}", "problems": problems[:MOST_PROBLEMS]})


def exported(request: Request) -> Response:
    """The runs that are listed, or those with the ids given, as a file."""
    workspace, query = workspace_of(request), request.query_params
    form = request.path_params["form"]
    if form not in _KINDS:
        raise NotFound(f"There is no export as '{form}'.")
    chosen = selection_of(query, query.getlist("e"))
    with workspace.lock:
        ids = query.getlist("id")
        if ids:
            runs = [sealed_or_live(workspace, parsed_id(found)) for found in ids]
        else:
            runs = list(pages(lambda offset, limit: workspace.browser.page(chosen, offset=offset, limit=limit), _PAGE))
        kind, media_type = _KINDS[form]
        if kind == "md":
            data = _markdown(workspace, runs, chosen, query.get("cols", "")).encode("utf-8", "replace")
        else:
            stream = io.BytesIO()
            write_table(run_table(runs), kind, stream)
            data = stream.getvalue()
    headers = {"content-disposition": f'attachment; filename="runs.{form}"'}
    return Response(data, media_type=media_type, headers=headers)


async def told_by(request: Request) -> Mapping[str, Any]:
    """The JSON object that a request holds. Raises UsageError."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > LARGEST_BODY:
            raise UsageError("The request is too large.")
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The request is no JSON: {error}.") from error
    if not isinstance(told, dict):
        raise UsageError("The request is no JSON object.")
    return told


def text_of(told: Mapping[str, Any], key: str) -> str:
    found = told.get(key, "")
    if not isinstance(found, str):
        raise UsageError(f"'{key}' is no text.")
    return found


def sealed_or_live(workspace: Workspace, run_id: str) -> RunSummary:
    """The run with exactly this id, removed ones too. Raises NotFound."""
    live = [run for run in workspace.browser.live() if run.record.id == run_id]
    found = live or workspace.repository.index.by_id_prefix(run_id)
    if not found:
        workspace.repository.index.refresh()
        found = workspace.repository.index.by_id_prefix(run_id)
    if not found:
        raise NotFound(f"There is no run '{run_id}'.")
    return found[0]


def _action(action: str, told: Mapping[str, Any]) -> tuple[Callable[[Repository, RunSummary], object], str]:
    match action:
        case "tag":
            tags, gone = told.get("set", {}), told.get("remove", [])
            if not isinstance(tags, dict) or not isinstance(gone, list) or not (tags or gone):
                raise UsageError("There is nothing to tag with.")
            return (lambda repository, run: repository.tag(run, tags, remove=map(str, gone))), "Tagged"
        case "note":
            text = text_of(told, "text")
            return (lambda repository, run: repository.note(run, text)), "Noted"
        case "rename":
            name = text_of(told, "name")
            return (lambda repository, run: repository.rename(run, name)), "Renamed"
        case "remove":
            return (lambda repository, run: repository.remove(run)), "Deleted"
        case "restore":
            return (lambda repository, run: repository.restore(run)), "Restored"
    raise UsageError(f"'{action}' is nothing that can be done to runs.")


def _markdown(workspace: Workspace, runs: list[RunSummary], chosen: Selection, asked: str) -> str:
    known = workspace.browser.columns(chosen)
    columns = [column for column in shown_columns(asked, known, several=False) if column.kind != "spark"]
    lines = [[_plain(column.title) for column in columns], [_rule(column.kind) for column in columns]]
    rows = rows_of(workspace.browser, runs, columns, known)
    lines += [[_plain(_words(cell)) for cell in row["cells"]] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _words(cell: Any) -> str:
    if isinstance(cell, list):
        return ", ".join(f"{key}={value}" if value else key for key, value in cell)
    return str(cell)


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _rule(kind: str) -> str:
    return "---:" if kind == "number" else "---"


ROUTES = [
    Route("/api/change", changed, methods=["POST"]),
    Route("/export/runs.{form}", exported),
]
