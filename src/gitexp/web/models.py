"""Registered models: their versions, where each is, who moved it and why, and how one compares with what is in use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitexp.comparing import compare
from gitexp.domain.comparison import Change, FileChange, Kind, changes, metric_changes
from gitexp.domain.direction import direction
from gitexp.domain.metrics import SYSTEM
from gitexp.domain.mlmodel import FILE, ModelFile
from gitexp.domain.registry import ModelVersion, RegisteredModel, Stage, parse_address, parse_stage
from gitexp.domain.signature import Column, Schema, Tensor
from gitexp.errors import GitexpError, NotFound, UsageError
from gitexp.reading import RunView
from gitexp.registry import Registry, concerns, said_by, stage_event, version_of
from gitexp.store.modelstore import ModelEvent
from gitexp.web import texts
from gitexp.web.changing import sealed_or_live, text_of, told_by
from gitexp.web.colours import colour_of
from gitexp.web.workspace import Workspace, answer, embedded, link, parsed_id, workspace_of
from gitexp.wording import number, plain, size

MOST_VERSIONS = 100
"""On one page; older ones are a click away."""

MOST_METRICS = 3
MOST_ROWS = 500
MOST_FILES = 1_000

_LONGEST_SUMMARY = 200
_MARKS = re.compile(r"[*_`#\[<>&|~]")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_STAGES = (Stage.PRODUCTION, Stage.STAGING)


def listed(request: Request) -> Response:
    """All models, or those that hold what is searched for."""
    workspace, query = workspace_of(request), request.query_params
    wanted, with_removed = query.get("q", "").strip(), query.get("removed") == "yes"
    with workspace.lock:
        everything = Registry(workspace.repository).models(deleted=True)
        models = [model for model in everything if with_removed or model.deleted is None]
        values = {
            "title": "Models",
            "models": [_line(model) for model in models if _holds(model, wanted)],
            "count": len(models),
            "removed": sum(model.deleted is not None for model in everything),
            "with_removed": with_removed,
            "wanted": wanted,
        }
        return workspace.page("models.html", values)


def model_page(request: Request) -> Response:
    """A model with its versions; under `NAME@ALIAS` the version that the alias means."""
    if "@" in request.path_params["name"]:
        return version_page(request)
    workspace = workspace_of(request)
    with workspace.lock:
        registry = Registry(workspace.repository)
        head = _head(registry, request)
        model: RegisteredModel = head["model"]
        newest_first = list(reversed(model.versions))
        skipped = _count(request.query_params.get("skip", "0"))
        shown = newest_first[skipped : skipped + MOST_VERSIONS]
        runs = {version.number: _run_or_none(registry, version) for version in shown}
        keys = _telling(registry, runs.values())
        values = {
            **head,
            "tab": "",
            "places": _places(model, head["events"]),
            "versions": [_row(workspace, model, version, runs[version.number], keys) for version in shown],
            "metrics": keys,
            "skipped": skipped,
            "older": len(newest_first) - skipped - len(shown),
            "step": MOST_VERSIONS,
        }
        return workspace.page("models_model.html", values)


def log_page(request: Request) -> Response:
    """Every change of a model, newest first."""
    workspace = workspace_of(request)
    with workspace.lock:
        head = _head(Registry(workspace.repository), request)
        return workspace.page("models_log.html", {**head, "tab": "log", "changes": _told(head["events"])})


def version_page(request: Request) -> Response:
    """One version: where it came from, what its run measured, what it takes, how to use it."""
    workspace = workspace_of(request)
    with workspace.lock:
        registry = Registry(workspace.repository)
        head = _head(registry, request)
        model: RegisteredModel = head["model"]
        version = _asked(model, request)
        run, now = _run_or_none(registry, version), _rival(model, version, "")
        beside = _run_or_none(registry, now) if now else None
        files, trouble = _files(registry, version)
        values = {
            **head,
            **_of_version(model, version),
            "run": run,
            "run_address": _run_address(workspace, version),
            "artifact": _first_file(run, version),
            "colour": colour_of(version.run),
            "now": now,
            "metrics": _beside(run, beside),
            "files": files,
            "files_trouble": trouble,
            "about": _about(registry, version) if not trouble else None,
            "gates": [] if head["is_then"] or version.deleted else _gates(registry, model, version),
            "uses": _uses(head["name"], version, is_model=any(path == FILE for path, *_ in files)),
            "changes": _told(event for event in head["events"] if concerns(event, version.number)),
        }
        return workspace.page("models_version.html", values)


def compare_page(request: Request) -> Response:
    """One version beside another: what is in production, unless another is asked for."""
    workspace = workspace_of(request)
    with workspace.lock:
        registry = Registry(workspace.repository)
        head = _head(registry, request)
        model: RegisteredModel = head["model"]
        after = _asked(model, request)
        before = _rival(model, after, request.query_params.get("with", ""))
        if before is None:
            raise NotFound(
                f"The model '{model.name}' has no other version in production.", hint="Choose one to compare with."
            )
        values = {
            **head,
            **_of_version(model, after),
            "other": before,
            "others": [version for version in reversed(model.present) if version.number != after.number],
            **_comparison(workspace, registry, before, after),
            "command": shlex.join(
                ["gitexp", "models", "diff", *(f"{model.name}/{each.number}" for each in (before, after))]
            ),
        }
        return workspace.page("models_compare.html", values)


def register_page(request: Request) -> Response:
    """What asks for a name, before an artifact of a run is registered."""
    workspace, query = workspace_of(request), request.query_params
    with workspace.lock:
        view = workspace.repository.view(sealed_or_live(workspace, parsed_id(query.get("run", ""))))
        choices = _choices(view, query.get("path", ""))
        if not choices:
            raise NotFound(f"The run '{view.name}' has no artifact '{query.get('path', '')}'.")
        names = [model.name for model in Registry(workspace.repository).models()]
        chosen = next((path for path, *_, is_model in choices if is_model), choices[-1][0])
        values = {
            "title": "Register a model",
            "view": view,
            "colour": colour_of(view.id),
            "choices": choices,
            "chosen": chosen,
            "names": names,
            "command": shlex.join(
                ["gitexp", "models", "register", f"{view.id}:{chosen}" if chosen else f"runs:/{view.id}", "NAME"]
            ),
            "state": embedded({"run": view.id}),
        }
        return workspace.page("models_register.html", values)


async def changed(request: Request) -> Response:
    """Do one thing to a model or a version, with the reason that goes into its history."""
    told = await told_by(request)
    workspace = workspace_of(request)
    act = _action(told)

    def change() -> str:
        with workspace.lock:
            return act(Registry(workspace.repository))

    return answer({"address": await run_in_threadpool(change)})


# What is done


def _action(told: Any) -> Callable[[Registry], str]:
    """What a request asks for; gives the address of the page that shows it then."""
    address, reason = text_of(told, "address"), text_of(told, "reason")

    def shown(act: Callable[[Registry], object]) -> Callable[[Registry], str]:
        def acting(registry: Registry) -> str:
            act(registry)
            return address_of(*_parts(address))

        return acting

    match text_of(told, "action"):
        case "register":
            return lambda registry: _registered(registry, told, reason)
        case "alias":
            return shown(lambda registry: registry.set_alias(address, text_of(told, "alias"), reason=reason))
        case "unalias":
            return shown(lambda registry: registry.remove_alias(address, text_of(told, "alias"), reason=reason))
        case "stage":
            stage, archives = parse_stage(text_of(told, "stage")), told.get("archive_others") is True
            return shown(lambda registry: registry.set_stage(address, stage, archive_others=archives, reason=reason))
        case "describe":
            return shown(lambda registry: registry.describe(address, text_of(told, "text"), reason=reason))
        case "tag":
            tags, gone = told.get("set", {}), told.get("remove", [])
            if not isinstance(tags, dict) or not isinstance(gone, list) or not (tags or gone):
                raise UsageError("There is nothing to tag with.")
            return shown(lambda registry: registry.tag(address, tags, remove=tuple(map(str, gone)), reason=reason))
        case "remove":
            return shown(lambda registry: registry.remove(address, reason=reason))
        case "restore":
            return shown(lambda registry: registry.restore(address, reason=reason))
    raise UsageError(f"'{text_of(told, 'action')}' is nothing that can be done to models.")


def _registered(registry: Registry, told: Any, reason: str) -> str:
    tags = told.get("tags", {})
    if not isinstance(tags, dict):
        raise UsageError("'tags' is no mapping.")
    source = f"runs:/{parsed_id(text_of(told, 'run'))}/{text_of(told, 'path')}"
    description = text_of(told, "description")
    made = registry.register(source, text_of(told, "name"), description=description, tags=tags, reason=reason)
    return address_of(made.model.name, str(made.version.number))


def _parts(address: str) -> tuple[str, str]:
    parsed = parse_address(address)
    return parsed.name, parsed.which


def address_of(name: str, which: str = "") -> str:
    """The address of the page of a model, or of one version of it."""
    return link(f"/models/{name}{which if which.startswith('@') or not which else f'/{which}'}")


# What is shown


def _head(registry: Registry, request: Request) -> dict[str, Any]:
    """What every page of a model shows above itself; with `at`, the model as it was at that commit."""
    name = parse_address(request.path_params["name"]).name
    at = request.query_params.get("at", "")
    if at and not _COMMIT.match(at):
        raise NotFound(f"'{at}' is no commit.", hint="Say all 40 digits of its name.")
    model = registry.model_at(name, at) if at else registry.model(name)
    events = registry.events(name)
    if at:
        place = next((place for place, event in enumerate(events) if event.commit == at), 0)
        events = events[place:]
    commit = at or registry.commit_of(name)
    writable = not at and not workspace_of(request).read_only
    return {
        "title": name,
        "name": name,
        "model": model,
        "note": texts.markdown(model.description) if model.description else "",
        "commit": commit,
        "is_then": bool(at) and commit != registry.commit_of(name),
        "at": at,
        "base": address_of(name),
        "base_path": f"/models/{name}",
        "events": events,
        "state": embedded(_state(registry, model) if writable else {"name": name}),
        "writable": writable,
    }


def _state(registry: Registry, model: RegisteredModel) -> dict[str, Any]:
    """What the page's module has to know of a model."""
    return {
        "name": model.name,
        "description": model.description or "",
        "tags": dict(model.tags),
        "aliases": dict(model.aliases),
        "deleted": model.deleted is not None,
        "gates": {target: list(conditions) for target, conditions in registry.gates.items()},
        "versions": {
            str(version.number): {
                "stage": version.stage.value,
                "description": version.description or "",
                "tags": dict(version.tags),
                "deleted": version.deleted is not None,
            }
            for version in model.versions
        },
    }


def _asked(model: RegisteredModel, request: Request) -> ModelVersion:
    """The version that an address names: a removed one too, where it says the number."""
    name, which = request.path_params["name"], request.path_params.get("which", "")
    return version_of(model, parse_address(f"{name}/{which}" if which else name))


def _rival(model: RegisteredModel, version: ModelVersion, which: str) -> ModelVersion | None:
    """What a version is compared with: `which`, else what is in production, where that is another."""
    if which:
        return model.find(which)
    found = [other for other in model.present if other.stage is Stage.PRODUCTION and other.number != version.number]
    return found[-1] if found else None


def _line(model: RegisteredModel) -> dict[str, Any]:
    newest = model.present[-1] if model.present else None
    return {
        "model": model,
        "address": address_of(model.name),
        "count": len(model.present),
        "summary": _summary(model.description),
        "stages": {
            stage.value: [version.number for version in model.present if version.stage is stage] for stage in _STAGES
        },
        "newest": newest,
    }


def _summary(text: str | None) -> str:
    """The first line of a description, without its marks."""
    line = (text or "").strip().partition("\n")[0][:_LONGEST_SUMMARY]
    return texts.markdown(line).striptags() if _MARKS.search(line) else line


def _holds(model: RegisteredModel, wanted: str) -> bool:
    """Whether each word that is wanted is somewhere in what is said of a model."""
    said = [
        model.name,
        model.description or "",
        *model.aliases,
        *(f"{key}={value}" for key, value in model.tags.items()),
    ]
    text = "\n".join(said).lower()
    return all(word in text for word in wanted.lower().split())


def _places(model: RegisteredModel, events: Sequence[ModelEvent]) -> list[dict[str, Any]]:
    """The stages and aliases that mean a version now, each with the change that said so."""
    found = []
    for stage in _STAGES:
        for version in reversed([version for version in model.present if version.stage is stage]):
            event = stage_event(events, version.number)
            found.append({"stage": stage.value, "name": stage.value, "version": version, "event": event})
    for alias, target in sorted(model.aliases.items()):
        said = [event for event in events if event.before is None or event.before.aliases.get(alias) != target]
        event = next((event for event in said if event.after.aliases.get(alias) == target), None)
        found.append({"stage": "", "name": f"@{alias}", "version": model.version(target), "event": event})
    return found


def _told(events: Iterable[ModelEvent]) -> list[dict[str, Any]]:
    return [{"event": event, "said": said_by(event)} for event in events]


def _row(
    workspace: Workspace, model: RegisteredModel, version: ModelVersion, run: RunView | None, keys: Sequence[str]
) -> dict[str, Any]:
    return {
        **_of_version(model, version),
        "run": run,
        "run_address": _run_address(workspace, version),
        "colour": colour_of(version.run),
        "summary": _summary(version.description),
        "metrics": [None if run is None or key not in run.metrics else number(run.metrics[key]) for key in keys],
    }


def _of_version(model: RegisteredModel, version: ModelVersion) -> dict[str, Any]:
    return {
        "version": version,
        "address": address_of(model.name, str(version.number)),
        "aliases": model.aliases_of(version.number),
        "version_note": texts.markdown(version.description) if version.description else "",
    }


def _telling(registry: Registry, runs: Any) -> list[str]:
    """The metrics that tell most of the versions: those that gates ask for, then those with a known direction."""
    asked = " ".join(text for conditions in registry.gates.values() for text in conditions)
    counts: dict[str, int] = {}
    for run in runs:
        for key in run.metrics if run else ():
            if not key.startswith(SYSTEM):
                counts[key] = counts.get(key, 0) + 1
    ordered = sorted(counts, key=lambda key: (key not in asked, direction(key) is None, -counts[key], key))
    return ordered[:MOST_METRICS]


def _run_or_none(registry: Registry, version: ModelVersion) -> RunView | None:
    try:
        return registry.run_of(version)
    except NotFound:
        return None


def _run_address(workspace: Workspace, version: ModelVersion) -> str:
    """The page of a version's run; where the run itself is gone, of what it was when it was registered."""
    is_here = bool(workspace.repository.index.by_id_prefix(version.run))
    return f"/runs/{version.run if is_here else version.commit}"


def _first_file(run: RunView | None, version: ModelVersion) -> str:
    """The path of an artifact that belongs to a version: of the `MLmodel` file where there is one."""
    if run is None or version.path in run.artifacts:
        return version.path
    inside = [path for path in run.artifacts if _is_in(path, version.path)]
    return min(inside, key=lambda path: (not path.endswith(f"/{FILE}"), path), default="")


def _beside(run: RunView | None, other: RunView | None) -> list[dict[str, Any]]:
    """The metrics of a version's run, beside those of the one in production where there is one."""
    if run is None:
        return []
    mine = {key: value for key, value in run.metrics.items() if not key.startswith(SYSTEM)}
    theirs = {key: value for key, value in other.metrics.items() if not key.startswith(SYSTEM)} if other else {}
    return [_metric(change) for change in metric_changes(theirs, mine)][:MOST_ROWS]


def _metric(change: Any) -> dict[str, Any]:
    percent = "" if change.ratio is None else f"{change.ratio:+.1%}"
    moved = "" if change.delta is None else f"{'+' if change.delta > 0 else ''}{number(change.delta)}"
    return {
        "key": change.key,
        "before": None if change.before is None else number(change.before),
        "after": None if change.after is None else number(change.after),
        "delta": "" if change.kind is Kind.SAME else moved,
        "percent": "" if change.kind is Kind.SAME else percent,
        "better": change.better,
        "same": change.kind is Kind.SAME,
        "direction": direction(change.key) or "",
    }


def _files(registry: Registry, version: ModelVersion) -> tuple[list[tuple[str, int, str, bool]], str]:
    """Path, size, SHA-256 and whether it is here of each file; and what is wrong with them."""
    try:
        found = registry.files_of(version)
    except GitexpError as error:
        return [], f"{error} {error.hint}".strip()
    files = [(path, file.size_bytes, file.sha256, file.is_here) for path, file in sorted(found.items())]
    return files[:MOST_FILES], ""


def _about(registry: Registry, version: ModelVersion) -> dict[str, Any] | None:
    """What the `MLmodel` file says; None where there is none."""
    try:
        file = registry.file_of(version)
    except GitexpError as error:
        return {"trouble": f"{error} {error.hint}".strip(), "flavors": [], "parts": []}
    return None if file is None else {"trouble": "", "flavors": sorted(file.flavors), "parts": _signature(file)}


def _signature(file: ModelFile) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Inputs, outputs and params: a name, a type and a remark for each."""
    signature = file.signature
    if signature is None:
        return []
    parts = [("Takes", _fields(signature.inputs)), ("Gives", _fields(signature.outputs))]
    params = [
        (param.name, f"{param.type}{' list' if param.shape else ''}", f"default {plain(param.default)}")
        for param in signature.params or ()
    ]
    return [(title, rows[:MOST_ROWS]) for title, rows in [*parts, ("Params", params)] if rows]


def _fields(schema: Schema | None) -> list[tuple[str, str, str]]:
    return [_field(item) for item in schema or ()]


def _field(item: Column | Tensor) -> tuple[str, str, str]:
    if isinstance(item, Tensor):
        shape = " × ".join("any" if length < 0 else str(length) for length in item.shape)
        return (item.name or "–", item.dtype, shape)
    return (item.name or "–", str(item.type), "" if item.required else "optional")


def _gates(registry: Registry, model: RegisteredModel, version: ModelVersion) -> list[dict[str, Any]]:
    """Each gate that the settings have, and which of its conditions hold for a version."""
    found: list[dict[str, Any]] = []
    for target in registry.gates:
        is_stage = target in list(Stage)
        is_there = version.stage == target if is_stage else model.aliases.get(target) == version.number
        entry: dict[str, Any] = {"target": target, "is_there": is_there, "conditions": [], "trouble": ""}
        try:
            checked = registry.conditions(model, version, Stage(target) if is_stage else target)
            entry["conditions"] = [(each.text, each.failure) for each in checked]
        except GitexpError as error:
            entry["trouble"] = str(error)
        found.append(entry)
    return found


def _uses(name: str, version: ModelVersion, *, is_model: bool) -> list[tuple[str, str]]:
    """How to get at a version: what it is for, and what to type."""
    address = f"{name}/{version.number}"
    shown = shlex.quote(address)
    quoted = repr(f"models:/{address}")
    if is_model:
        return [
            ("Load it in Python", f"import gitexp\n\nmodel = gitexp.pyfunc.load_model({quoted})\nmodel.predict(data)"),
            ("Ask it about a file", f"gitexp models predict {shown} -i data.csv"),
            ("Let it answer over HTTP", f"gitexp models serve {shown}"),
            ("Write its files into a folder", f"gitexp models export {shown} -o model"),
            ("Show it in the terminal", f"gitexp models show {shown}"),
        ]
    return [
        (
            "Read its files in Python",
            "from gitexp.registry import Registry\nfrom gitexp.repo import Repository\n\n"
            f"registry = Registry(Repository.open())\nfiles = registry.files_of(registry.find({address!r}).version)",
        ),
        (
            "Write its run's files into a folder",
            shlex.join(["gitexp", "get", f"{version.run}:{version.path}" if version.path else version.run]),
        ),
        ("Show it in the terminal", f"gitexp models show {shown}"),
    ]


def _choices(view: RunView, path: str) -> list[tuple[str, int, int, bool]]:
    """What can be registered around an artifact: the folders that it is in, and itself.

    Each with its number of files, their size, and whether it is a saved model.
    """
    if path and path not in view.artifacts and not any(name.startswith(f"{path}/") for name in view.artifacts):
        return []
    parts = path.split("/") if path else []
    found = []
    for count in range(0 if not path else 1, len(parts) + 1):
        place = "/".join(parts[:count])
        inside = [file for name, file in view.artifacts.items() if name == place or _is_in(name, place)]
        is_model = (f"{place}/{FILE}" if place else FILE) in view.artifacts
        found.append((place, len(inside), sum(file.size_bytes for file in inside), is_model))
    return found if view.artifacts else []


def _is_in(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/") if folder else True


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0


# Two versions


def _comparison(workspace: Workspace, registry: Registry, before: ModelVersion, after: ModelVersion) -> dict[str, Any]:
    old, new = _run_or_none(registry, before), _run_or_none(registry, after)
    files_before, files_after = (
        {path: (count, sha256) for path, count, sha256, _ in _files(registry, version)[0]}
        for version in (before, after)
    )
    files = [_file(change) for change in changes(files_before, files_after)]
    values: dict[str, Any] = {
        "runs": (old, new),
        "colours": (colour_of(before.run), colour_of(after.run)),
        "files": files,
        "same_files": before.digest == after.digest,
        "missing": [version for version, run in ((before, old), (after, new)) if run is None],
        "metrics": [],
        "sections": [],
        "code": None,
        "score": (0, 0),
    }
    if old is None or new is None:
        return values
    found = compare(workspace.repository, old, new)
    metrics = [_metric(change) for change in found.metrics if not change.key.startswith(SYSTEM)]
    better = sum(row["better"] is True for row in metrics)
    worse = sum(row["better"] is False for row in metrics)
    return values | {
        "metrics": metrics[:MOST_ROWS],
        "score": (better, worse),
        "sections": [
            _section("Params", found.params),
            _section("Packages", found.packages),
            _section("Python and machine", found.python),
        ],
        "code": None if found.code is None else [_code(change) for change in found.code[:MOST_ROWS]],
    }


def _code(change: FileChange) -> dict[str, Any]:
    path = change.path.encode("utf-8", "replace").decode()
    return {"path": path, "kind": change.kind.value, "added": change.added, "removed": change.removed}


def _section(title: str, found: Sequence[Change]) -> dict[str, Any]:
    rows = [
        (change.key, _or_none(change.before), _or_none(change.after))
        for change in found
        if change.kind is not Kind.SAME
    ]
    return {"title": title, "rows": rows[:MOST_ROWS], "same": sum(change.kind is Kind.SAME for change in found)}


def _or_none(value: Any) -> str | None:
    return None if value is None else plain(value)


def _file(change: Change) -> dict[str, Any]:
    def told(state: Any) -> str | None:
        return None if state is None else f"{size(state[0])} · {state[1][:8]}"

    return {
        "key": change.key,
        "before": told(change.before),
        "after": told(change.after),
        "same": change.kind is Kind.SAME,
    }


ROUTES = [
    Route("/models", listed),
    Route("/register", register_page),
    Route("/models/{name}", model_page),
    Route("/models/{name}/log", log_page),
    Route("/models/{name}/{which}", version_page),
    Route("/models/{name}/{which}/compare", compare_page),
    Route("/api/models/change", changed, methods=["POST"]),
]
