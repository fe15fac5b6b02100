"""A run: its record, the text of `run.yaml`, and everything a run's commit holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from gitexp.domain import yamltext
from gitexp.domain.environment import Environment
from gitexp.domain.identity import RunId, is_run_id, parse_run_id
from gitexp.domain.metrics import History
from gitexp.domain.pointer import Pointer
from gitexp.domain.values import Number, Value, storable
from gitexp.errors import CorruptData, UnknownFormat

FORMAT = 1

__all__ = [
    "FORMAT",
    "CodeState",
    "Content",
    "Input",
    "ProjectSource",
    "Run",
    "RunRecord",
    "SkippedFile",
    "Status",
    "input_from_dict",
    "input_to_dict",
    "run_from_dict",
    "run_to_dict",
]


class Status(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFile:
    """A file the snapshot left out. `reason` is "secret", "too large in total" or "unreadable"."""

    path: str
    size_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeState:
    """Where a run's code came from. `tree` is the git tree under `code/`; it is not part of `run.yaml`."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool = False
    skipped: tuple[SkippedFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Something a run consumed.

    Attributes:
        kind: "file", "folder", "dataset" (made in memory), "run" or "model".
        name: of a file or folder its path from the repository's root, or all of it.
        digest: of its content, as "sha256:..." (docs/format.md, 1.4).
        run: the run that made it.
        context: what it was used for, like "training".
        rows, schema: of a dataset; the type of each column or array by its name.
        size_bytes, modified: of what was too large to have a digest; seconds since 1970, UTC.
    """

    kind: str
    name: str
    digest: str | None = None
    run: RunId | None = None
    context: str | None = None
    rows: int | None = None
    schema: tuple[tuple[str, str], ...] = ()
    size_bytes: int | None = None
    modified: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSource:
    """Which entry point of which project a run is of.

    Attributes:
        address: where the project came from, without passwords; None where it is the repository's own.
        commit: the hex id of what came from there.
        folder: where in its repository the project is; "." for the root.
    """

    entry: str
    folder: str = "."
    address: str | None = None
    commit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What `run.yaml` says.

    Times are seconds since 1970, UTC; `duration_s` is from a monotonic clock where one process saw both ends.
    """

    id: RunId
    name: str
    experiment: str
    status: Status
    start: float
    end: float | None = None
    duration_s: float | None = None
    author: str | None = None
    host: str | None = None
    command: tuple[str, ...] = ()
    directory: str | None = None
    entry_point: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    code: CodeState | None = None
    parent: RunId | None = None
    reproduces: RunId | None = None
    inputs: tuple[Input, ...] = ()
    project: ProjectSource | None = None
    note: str | None = None
    warnings: tuple[str, ...] = ()
    artifact_count: int = 0
    artifact_bytes: int = 0
    deleted: float | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the same format version that this gitexp does not know; kept when the record is written again."""


Content = bytes | Pointer
"""A stored file: its bytes where it is small, else the pointer to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The artifact folder `path` of a run is to be a version of the registered model `model`."""

    model: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything a run's commit holds, as one value.

    `code_tree` is the hex id of the git tree under `code/`; whoever creates the run must have made it readable before.
    `consumed` are the commits of the runs this one built on: the further parents of the seal.
    """

    record: RunRecord
    params: Mapping[str, Value] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Number] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)
    artifacts: Mapping[str, Content] = field(default_factory=dict)
    environment: Environment | None = None
    output: bytes | None = None
    code_tree: str | None = None
    code_pointers: tuple[str, ...] = ()
    """Paths under `code/` that are pointers to large files of the snapshot."""
    consumed: tuple[str, ...] = ()
    inputs: Mapping[str, Pointer] = field(default_factory=dict)
    """Inputs whose content is kept, file by file, by their path from the repository's root: the tree `inputs/`."""
    input_blobs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By an input's digest, the git blobs (hex ids) that its files would be as artifacts, by which the run that made
    them is found when this one is sealed. No part of the commit."""
    registrations: tuple[Registration, ...] = ()
    """What is to be registered when the run is sealed. No part of the commit."""

    def changed(self, **changes: Any) -> Run:
        """The run with fields of its record replaced."""
        return replace(self, record=replace(self.record, **changes))


FARTHEST_TIME = 62_135_596_800.0
"""Seconds before and after 1970 beyond which nothing is a time; the years 1 to 3938 remain."""


def format_time(seconds: float) -> str:
    """UTC with milliseconds: `2026-11-21T02:32:44.123Z`."""
    return datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> float:
    """Seconds since 1970, UTC. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def run_to_dict(record: RunRecord) -> dict[str, Any]:
    """The record as `run.yaml` has it, keys in the file's order, absent where unknown; every text can be UTF-8."""
    code, project = record.code, record.project
    made: dict[str, Any] = {
        "format": FORMAT,
        "id": str(record.id),
        "name": record.name,
        "experiment": record.experiment,
        "status": record.status.value,
        "start": format_time(record.start),
        "end": None if record.end is None else format_time(record.end),
        "duration": None if record.duration_s is None else round(record.duration_s, 3),
        "author": record.author,
        "host": record.host,
        "command": list(record.command) or None,
        "directory": record.directory,
        "entry_point": record.entry_point,
        "exit_code": record.exit_code,
        "signal": record.signal,
        "code": None if code is None else _code_to_dict(code),
        "parent": record.parent,
        "reproduces": record.reproduces,
        "inputs": [input_to_dict(item) for item in record.inputs] or None,
        "project": None if project is None else _project_to_dict(project),
        "artifacts": {"count": record.artifact_count, "bytes": record.artifact_bytes}
        if record.artifact_count
        else None,
        "note": record.note,
        "warnings": list(record.warnings) or None,
        "deleted": None if record.deleted is None else format_time(record.deleted),
        **record.unknown,
    }
    return {key: storable(value) for key, value in made.items() if value is not None}


def run_from_dict(data: Mapping[str, Any]) -> RunRecord:
    """The record that `run.yaml` holds.

    Raises:
        UnknownFormat: a newer gitexp wrote it.
        CorruptData: something in it is not as docs/format.md says; the message names the key.
    """
    check_format(data, "run.yaml")
    try:
        code = data.get("code")
        artifacts = data.get("artifacts", {})
        identity = data["id"]
        return RunRecord(
            id=RunId(identity) if is_run_id(identity) else parse_run_id(identity),
            name=_text(data, "name"),
            experiment=_text(data, "experiment"),
            status=Status(data["status"]),
            start=parse_time(data["start"]),
            end=_time(data, "end"),
            duration_s=_number(data, "duration"),
            author=data.get("author"),
            host=data.get("host"),
            command=tuple(map(str, data.get("command", ()))),
            directory=data.get("directory"),
            entry_point=data.get("entry_point"),
            exit_code=data.get("exit_code"),
            signal=data.get("signal"),
            code=None if code is None else _code_from_dict(code),
            parent=data.get("parent"),
            reproduces=data.get("reproduces"),
            inputs=tuple(input_from_dict(item) for item in data.get("inputs", ())),
            project=None if data.get("project") is None else _project_from_dict(data["project"]),
            note=data.get("note"),
            warnings=tuple(map(str, data.get("warnings", ()))),
            artifact_count=int(artifacts.get("count", 0)),
            artifact_bytes=int(artifacts.get("bytes", 0)),
            deleted=_time(data, "deleted"),
            unknown={key: data[key] for key in data.keys() - _KNOWN},
        )
    except KeyError as error:
        raise CorruptData(f"run.yaml: {error.args[0]!r} is missing.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CorruptData(f"run.yaml: {error}.") from error


def input_to_dict(item: Input) -> dict[str, Any]:
    """An input as `run.yaml` and the journal have it."""
    return _without_none(
        kind=item.kind,
        name=item.name,
        digest=item.digest,
        run=item.run,
        context=item.context,
        rows=item.rows,
        schema=dict(item.schema) or None,
        size=item.size_bytes,
        modified=None if item.modified is None else format_time(item.modified),
    )


def input_from_dict(data: Mapping[str, Any]) -> Input:
    """Raises KeyError, TypeError, ValueError or AttributeError."""
    return Input(
        kind=data["kind"],
        name=data["name"],
        digest=data.get("digest"),
        run=data.get("run"),
        context=data.get("context"),
        rows=data.get("rows"),
        schema=tuple((str(name), str(kind)) for name, kind in data.get("schema", {}).items()),
        size_bytes=data.get("size"),
        modified=_time(data, "modified"),
    )


def dump_run(record: RunRecord) -> str:
    return yamltext.dump(run_to_dict(record))


def check_format(data: object, file: str) -> None:
    """Refuse what is not a mapping of this format version.

    Raises:
        UnknownFormat, CorruptData
    """
    if not isinstance(data, Mapping):
        raise CorruptData(f"{file}: expected a mapping.")
    version = data.get("format")
    if version == FORMAT and type(version) is int:
        return
    if type(version) is int and version > FORMAT:
        raise UnknownFormat(
            f"{file}: format version {version} is newer than {FORMAT}, the newest this gitexp reads.",
            hint="Upgrade gitexp.",
        )
    raise CorruptData(f"{file}: 'format': expected {FORMAT}, found {version!r}.")


_KNOWN = frozenset(
    "format id name experiment status start end duration author host command directory entry_point exit_code signal "
    "code parent reproduces inputs project artifacts note warnings deleted".split()
)


def _code_to_dict(code: CodeState) -> dict[str, Any]:
    skipped = [{"path": file.path, "size": file.size_bytes, "reason": file.reason} for file in code.skipped]
    return _without_none(commit=code.commit, branch=code.branch, dirty=code.dirty, skipped=skipped or None)


def _code_from_dict(data: Mapping[str, Any]) -> CodeState:
    return CodeState(
        commit=data.get("commit"),
        branch=data.get("branch"),
        dirty=bool(data.get("dirty", False)),
        skipped=tuple(
            SkippedFile(path=item["path"], size_bytes=item["size"], reason=item["reason"])
            for item in data.get("skipped", ())
        ),
    )


def _project_to_dict(project: ProjectSource) -> dict[str, Any]:
    return _without_none(address=project.address, commit=project.commit, folder=project.folder, entry=project.entry)


def _project_from_dict(data: Mapping[str, Any]) -> ProjectSource:
    return ProjectSource(
        entry=data["entry"], folder=data.get("folder", "."), address=data.get("address"), commit=data.get("commit")
    )


def _without_none(**items: Any) -> dict[str, Any]:
    return {key: value for key, value in items.items() if value is not None}


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data[key]
    if not isinstance(value, str):
        raise CorruptData(f"run.yaml: {key!r}: expected text, found {value!r}.")
    return value


def _time(data: Mapping[str, Any], key: str) -> float | None:
    value = data.get(key)
    return None if value is None else parse_time(value)


def _number(data: Mapping[str, Any], key: str) -> float | None:
    value = data.get(key)
    return None if value is None else float(value)
