"""One run: everything about it, a page for each side of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitexp.codediff import uncommitted
from gitexp.comparing import history, machine_of, origins, packages_of
from gitexp.domain.direction import direction
from gitexp.domain.identity import is_run_id
from gitexp.domain.metrics import SYSTEM
from gitexp.domain.run import Status
from gitexp.errors import NotFound
from gitexp.previewing import preview
from gitexp.reading import RunView
from gitexp.web import texts
from gitexp.web.colours import colour_of, dash_of
from gitexp.web.finding import view_of
from gitexp.web.workspace import Workspace, answer, embedded, workspace_of
from gitexp.wording import number

MOST_VALUES = 2_000
MOST_OUTPUT = 1_000_000
"""Bytes of the end of an output that a page shows; the rest is a click away."""

TABS = {
    "": "Overview",
    "charts": "Charts",
    "system": "System",
    "artifacts": "Artifacts",
    "output": "Output",
    "code": "Code",
    "environment": "Environment",
    "history": "History",
}
_COMMIT_LENGTH = 40


def page(request: Request) -> Response:
    """One side of a run."""
    workspace, tab = workspace_of(request), request.path_params.get("tab", "")
    if tab not in TABS:
        raise NotFound("There is no such page.")
    with workspace.lock:
        view = view_of(workspace, request.path_params["run"])
        values = _head(view, request.path_params["run"], tab)
        values |= _SIDES[tab](workspace, view, request)
        return workspace.page(f"run_{tab or 'overview'}.html", values)


def output(request: Request) -> Response:
    """What a run has printed from a place on, and where to ask from the next time."""
    workspace = workspace_of(request)
    with workspace.lock:
        view = view_of(workspace, request.path_params["run"])
        data = view.output or b""
        status = view.status
    start = int(request.query_params.get("from", "0") or 0)
    end = data.rfind(b"\n") + 1 if status is Status.RUNNING else len(data)
    part = data[start:end][-MOST_OUTPUT:] if 0 <= start < end else b""
    lines = texts.terminal_lines(part.decode("utf-8", "replace"))
    return answer({"next": max(start, end), "lines": lines, "live": status is Status.RUNNING})


def whole_output(request: Request) -> Response:
    """All that a run has printed, as text."""
    workspace = workspace_of(request)
    with workspace.lock:
        view = view_of(workspace, request.path_params["run"])
        data = view.output or b""
    headers = {"content-disposition": f'attachment; filename="{view.id}.log"'}
    return Response(data, media_type="text/plain; charset=utf-8", headers=headers)


def facts(request: Request) -> Response:
    """What of a live run's page moves: its status and the last values of its metrics."""
    workspace = workspace_of(request)
    with workspace.lock:
        view = view_of(workspace, request.path_params["run"])
        values = {
            "status": view.status.value,
            "metrics": {key: number(value) for key, value in view.metrics.items()},
        }
    return answer(values)


def _head(view: RunView, asked: str, tab: str) -> dict[str, Any]:
    """What every side shows above itself."""
    machine = [key for key in view.metrics if key.startswith(SYSTEM)]
    counts = {"charts": len(view.metrics) - len(machine), "system": len(machine), "artifacts": len(view.artifacts)}
    shown = [name for name in TABS if name not in counts or counts[name]]
    if tab not in shown:
        shown = list(TABS)
    is_then = len(asked) == _COMMIT_LENGTH and not is_run_id(asked)
    return {
        "title": view.name,
        "view": view,
        "record": view.record,
        "base": f"/runs/{asked if is_then else view.id}",
        "is_then": is_then,
        "tab": tab,
        "tabs": [(name, TABS[name], counts.get(name)) for name in shown],
        "colour": colour_of(view.id),
        "is_live": view.status is Status.RUNNING,
        "state": embedded({"id": view.id, "name": view.name, "live": view.status is Status.RUNNING}),
        "note_text": embedded(view.record.note or ""),
    }


def _overview(workspace: Workspace, view: RunView, _: Request) -> dict[str, Any]:
    record = view.record
    return {
        "note": texts.markdown(record.note) if record.note else "",
        "params": sorted(view.params.items())[:MOST_VALUES],
        "metrics": _metrics(view),
        "commands": _commands(view),
        "origins": _origins(workspace, view),
        "users": _users(workspace, view),
        "children": workspace.repository.search(f'run.parent = "{record.id}"', limit=200),
    }


def _metrics(view: RunView) -> list[dict[str, Any]]:
    """The last, lowest and highest value of each metric that is not the machine's."""
    keys = sorted(key for key in view.metrics if not key.startswith(SYSTEM))[:MOST_VALUES]
    rows = []
    for key, found in view.each_history(keys):
        finite = [value for value in found.values if value - value == 0]
        way = direction(key)
        low, high = (min(finite), max(finite)) if finite else (None, None)
        best = None if way is None or len(finite) < 2 else low if way == "lower" else high
        rows.append(
            {
                "key": key,
                "last": view.metrics[key],
                "low": low,
                "high": high,
                "points": len(found),
                "best": best,
                "best_step": found.steps[found.values.index(best)] if best is not None else None,
            }
        )
    return rows


def _commands(view: RunView) -> list[tuple[str, str]]:
    name = str(view.id)
    found = [("Show it in the terminal", f"gitexp show {name}")]
    if view.code.tree is not None:
        found.append(("Run it again, and compare the results", f"gitexp reproduce {name}"))
        found.append(("Bring its code back into the work tree", f"gitexp apply {name}"))
        found.append(("Begin a branch with its code", f"gitexp branch {name}"))
    if view.artifacts:
        found.append(("Write its artifacts into a folder", f"gitexp get {name}"))
    if view.commit:
        found.append(("All of it with plain git", f"git worktree add ../{name} {view.commit[:12]}"))
    return found


def _origins(workspace: Workspace, view: RunView) -> list[dict[str, Any]]:
    """What the run came from; where that is a run of ours, a link to it."""
    found = []
    for origin in origins(workspace.repository, view):
        target = origin.text if origin.kind == "parent" else None
        name = origin.text
        if origin.kind == "run" and origin.commit:
            runs = workspace.repository.index.by_commit_prefix(origin.commit)
            if runs and runs[0].commit == origin.commit:
                target, name = str(runs[0].record.id), runs[0].record.name
            else:
                target = origin.commit
        elif target:
            runs = workspace.repository.index.by_id_prefix(target)
            name = runs[0].record.name if runs else name
        found.append({"kind": origin.kind, "commit": origin.commit, "text": name, "run": target})
    return found


def _users(workspace: Workspace, view: RunView) -> list[tuple[str, str]]:
    """The runs nearby that used what this one made."""
    near = workspace.repository.search(limit=500)
    users = [run.record for run in near if any(item.run == view.id for item in run.record.inputs)]
    return [(str(record.id), record.name) for record in users]


def _charts(_: Workspace, view: RunView, request: Request) -> dict[str, Any]:
    return {
        "curves": _curves(view, lambda key: not key.startswith(SYSTEM)),
        "axis": request.query_params.get("x", "step"),
    }


def _system(_: Workspace, view: RunView, request: Request) -> dict[str, Any]:
    return {
        "curves": _curves(view, lambda key: key.startswith(SYSTEM)),
        "axis": request.query_params.get("x", "relative"),
    }


def _curves(view: RunView, wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    keys = sorted(filter(wanted, view.metrics))[:MOST_VALUES]
    return [{"key": key, "last": number(view.metrics[key]), "runs": [_line(view)]} for key in keys]


def _line(view: RunView) -> dict[str, Any]:
    return {"id": view.id, "name": view.name, "colour": colour_of(view.id), "dash": dash_of(view.id)}


def _artifacts(_: Workspace, view: RunView, request: Request) -> dict[str, Any]:
    paths = list(view.artifacts)
    chosen = request.query_params.get("path", "")
    if chosen and chosen not in view.artifacts:
        raise NotFound(f"The run has no artifact '{chosen}'.")
    if not chosen and paths:
        chosen = min(paths, key=lambda path: (_PREFERENCE.get(PurePosixPath(path).suffix.lower(), 9), path))
    values: dict[str, Any] = {"tree": _tree(view, paths), "chosen": chosen, "artifact": None, "shown": None, "body": ""}
    if chosen:
        artifact = view.artifacts[chosen]
        shown = preview(artifact)
        values |= {"artifact": artifact, "shown": shown, "body": _body(shown)}
    return values


_PREFERENCE = {".png": 0, ".svg": 0, ".jpg": 0, ".csv": 1, ".parquet": 1, ".json": 2, ".md": 2, ".txt": 3}


def _body(shown: Any) -> Any:
    if shown.kind == "markdown":
        return texts.markdown(shown.text)
    if shown.kind == "text":
        return texts.highlighted(shown.text, shown.language)
    if shown.kind == "notebook":
        return [_cell(cell) for cell in shown.cells]
    return ""


def _cell(cell: Any) -> dict[str, Any]:
    source = texts.markdown(cell.text) if cell.kind == "markdown" else texts.highlighted(cell.text, "py")
    outputs: list[tuple[str, str]] = []
    for kind, text in cell.outputs:
        if kind == "html":
            outputs.append(("html", texts.clean(text)))
        elif kind == "image/png":
            outputs.append(("image", f"data:image/png;base64,{text}"))
        else:
            outputs.append(("text", texts.terminal(text)))
    return {"kind": cell.kind, "source": source, "outputs": outputs}


def _tree(view: RunView, paths: list[str]) -> dict[str, Any]:
    """Folders as mappings, files as artifacts."""
    root: dict[str, Any] = {}
    for path in paths:
        *folders, name = path.split("/")
        place = root
        for folder in folders:
            place = place.setdefault(f"{folder}/", {})
        place[name] = view.artifacts[path]
    return root


def _output(_: Workspace, view: RunView, __: Request) -> dict[str, Any]:
    data = view.output or b""
    end = data.rfind(b"\n") + 1 if view.status is Status.RUNNING else len(data)
    shown = data[max(end - MOST_OUTPUT, 0) : end]
    return {
        "output": texts.terminal(shown.decode("utf-8", "replace")) if shown else "",
        "next": end,
        "is_cut": len(shown) < end,
        "size_bytes": len(data),
    }


def _code(workspace: Workspace, view: RunView, request: Request) -> dict[str, Any]:
    changed = uncommitted(workspace.repository, view)
    files = sorted(view.code.files()) if view.code.tree else []
    chosen = request.query_params.get("path", "")
    text: Any = ""
    if chosen:
        data = view.code.read(chosen)
        is_text = b"\0" not in data[:8000]
        text = (
            texts.highlighted(data[:400_000].decode("utf-8", "replace"), PurePosixPath(chosen).suffix[1:])
            if is_text
            else ""
        )
    return {
        "changed": changed,
        "files": [path.encode("utf-8", "replace").decode() for path in files[:5_000]],
        "file_count": len(files),
        "chosen": chosen,
        "text": text,
        "layout": request.query_params.get("layout", "split"),
        "skipped": view.record.code.skipped if view.record.code else (),
    }


def _environment(_: Workspace, view: RunView, __: Request) -> dict[str, Any]:
    return {
        "machine": sorted(machine_of(view.environment).items()),
        "packages": sorted(packages_of(view.environment).items()),
    }


def _history(workspace: Workspace, view: RunView, _: Request) -> dict[str, Any]:
    return {"entries": history(workspace.repository, view)}


_SIDES: dict[str, Callable[[Workspace, RunView, Request], dict[str, Any]]] = {
    "": _overview,
    "charts": _charts,
    "system": _system,
    "artifacts": _artifacts,
    "output": _output,
    "code": _code,
    "environment": _environment,
    "history": _history,
}

ROUTES = [
    Route("/runs/{run}", page),
    Route("/runs/{run}/output.log", whole_output),
    Route("/runs/{run}/{tab}", page),
    Route("/api/runs/{run}/output", output),
    Route("/api/runs/{run}/facts", facts),
]
