"""Live runs: their folders, who holds them, and what their journals say."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from gitexp.domain.environment import Environment
from gitexp.domain.identity import DEFAULT_EXPERIMENT, RunId, is_run_id, readable_name
from gitexp.domain.inputs import merged_inputs, without_clashes
from gitexp.domain.keys import parse_artifact_path, shorten
from gitexp.domain.pointer import Pointer
from gitexp.domain.resuming import Continuation, Resumption
from gitexp.domain.run import Content, Input, Registration, Run, RunRecord, Status, input_from_dict, run_from_dict
from gitexp.domain.values import Value, same_value
from gitexp.errors import Conflict, CorruptData, InvalidName, NotFound
from gitexp.store.git.durable import failure, make_folder, sync_folder
from gitexp.store.journal import POINTS
from gitexp.store.output import read_output
from gitexp.store.playback import Event, Journals, read_journals, read_summary

_LOCK = "lock"
_RESUMES = "resumes"
_ADOPT_TRIES = 4


class LiveFolder:
    """A live run's folder, held by this process until it is released; a context manager.

    Attributes:
        lock_fd: the descriptor that holds it. A child that inherits it (`pass_fds`) holds the run too.
    """

    def __init__(self, run_id: RunId, folder: str, lock_fd: int) -> None:
        self.run_id = run_id
        self.folder = folder
        self.lock_fd = lock_fd
        self._pid = os.getpid()

    def release(self) -> None:
        """Let go, for a child that inherited the lock too; in a fork of the owner only the descriptor is closed."""
        if self.lock_fd < 0:
            return
        if os.getpid() == self._pid:
            fcntl.flock(self.lock_fd, fcntl.LOCK_UN)
        os.close(self.lock_fd)
        self.lock_fd = -1

    def __enter__(self) -> LiveFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEntry:
    """A live run as a listing finds it. `held`: some process still records it."""

    run_id: RunId
    folder: str
    held: bool


class LiveRuns:
    """The live runs below a folder.

    Args:
        gitexp_dir: `<git dir>/gitexp`, or what stands in for it where that cannot be written.
    """

    def __init__(self, gitexp_dir: str) -> None:
        self.folder = os.path.join(gitexp_dir, "live")
        self._temporary = os.path.join(gitexp_dir, "tmp")

    def create(self, run_id: RunId, resumes: Resumption | None = None) -> LiveFolder:
        """Make the run's folder. It appears with its lock held, so no other process takes it for an abandoned one.

        Args:
            resumes: the sealed run that goes on.

        Raises:
            Conflict: there is such a run already.
            StorageFailed
        """
        final = os.path.join(self.folder, run_id)
        made = self._temporary_name("live", run_id)
        try:
            make_folder(self.folder)
            make_folder(self._temporary)
            os.mkdir(made)
            shared = os.stat(self._temporary).st_mode
            if shared & stat.S_IWGRP:  # a repository that a group shares
                os.chmod(made, shared & 0o7777)
            fd = os.open(os.path.join(made, _LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if resumes is not None:
                    _write_durably(os.path.join(made, _RESUMES), resumes.to_line())
                os.rename(made, final)
                sync_folder(self.folder)
            except BaseException:
                os.close(fd)
                shutil.rmtree(made, ignore_errors=True)
                raise
        except OSError as error:
            if os.path.exists(final):
                raise Conflict(f"The run '{run_id}' is being recorded already.") from error
            raise failure("make", final, error) from error
        return LiveFolder(run_id, final, fd)

    def list(self) -> list[LiveEntry]:
        """Every live run, held or not, by id."""
        try:
            names = sorted(filter(is_run_id, os.listdir(self.folder)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        entries = []
        for name in names:
            held = _is_held(os.path.join(self.folder, name))
            if held is not None:
                entries.append(LiveEntry(run_id=RunId(name), folder=os.path.join(self.folder, name), held=held))
        return entries

    def is_held(self, run_id: RunId) -> bool:
        """Whether some process still records the run."""
        return bool(_is_held(os.path.join(self.folder, run_id)))

    def adopt(self, run_id: RunId) -> LiveFolder | None:
        """Hold a run that nobody holds, as one of several callers; None for the others, and where it is gone."""
        folder = os.path.join(self.folder, run_id)
        path = os.path.join(folder, _LOCK)
        try:
            fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError:  # gone, another user's, or on a disk we cannot write
            return None
        if _lock(fd) and _is_same_file(fd, path):
            return LiveFolder(run_id, folder, fd)
        os.close(fd)
        return None

    def read(self, run_id: RunId, *, is_over: bool = False) -> Run:
        """The run as its journals say, with everything logged; of a resumed one what was logged since.

        Args:
            is_over: nobody records it any more: without an end of its own, it crashed after its last record.

        Raises:
            NotFound: there is no such run, or it never began.
            UnknownFormat, CorruptData
        """
        _, run = _assemble(run_id, self._journals(run_id, read_journals), is_over=is_over)
        return replace(run, output=read_output(os.path.join(self.folder, run_id)))

    def summary(self, run_id: RunId) -> Run:
        """The run without histories and output, quick where there are millions of points.

        Raises:
            NotFound: there is no such run, or it never began.
            UnknownFormat, CorruptData
        """
        return _assemble(run_id, self._journals(run_id, read_summary), is_over=False)[1]

    def continuation(self, run_id: RunId, *, is_over: bool = False, in_full: bool = True) -> Continuation | None:
        """What was logged since a sealed run was resumed; None where the live run began by itself.

        Args:
            is_over: as for `read`.
            in_full: with histories and output.

        Raises:
            NotFound: there is no such run, or it never began.
            UnknownFormat, CorruptData
        """
        resumption = self.resumption(run_id)
        if resumption is None:
            return None
        journals = self._journals(run_id, read_journals if in_full else read_summary)
        assembly, run = _assemble(run_id, journals, is_over=is_over)
        if in_full:
            run = replace(run, output=read_output(os.path.join(self.folder, run_id)))
        changes = assembly.changes
        note = (changes["note"] or "") if "note" in changes else None
        return Continuation(resumption=resumption, added=run, name=changes.get("name"), note=note)

    def resumption(self, run_id: RunId) -> Resumption | None:
        """What the live run goes on with; None where it began by itself.

        Raises:
            CorruptData
        """
        try:
            with open(os.path.join(self.folder, run_id, _RESUMES), encoding="ascii") as file:
                return Resumption.from_line(file.read())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise CorruptData(f"What the live run '{run_id}' goes on with cannot be read: {error}.") from error

    def remove(self, run_id: RunId) -> None:
        """Remove the run's folder at once for others; nothing there is fine."""
        make_folder(self._temporary)
        gone = self._temporary_name("gone", run_id)
        try:
            os.rename(os.path.join(self.folder, run_id), gone)
        except FileNotFoundError:
            return
        except OSError as error:
            raise failure("remove", os.path.join(self.folder, run_id), error) from error
        shutil.rmtree(gone, ignore_errors=True)

    def _temporary_name(self, what: str, run_id: RunId) -> str:
        return os.path.join(self._temporary, f"{what}-{run_id}-{os.urandom(4).hex()}")

    def _journals(self, run_id: RunId, read: Callable[[str], Journals]) -> Journals:
        try:
            return read(os.path.join(self.folder, run_id))
        except FileNotFoundError as error:
            raise NotFound(f"There is no live run '{run_id}'.") from error


def _write_durably(path: str, text: str) -> None:
    with open(path, "x", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _lock(fd: int) -> bool:
    """Take the lock, or say that somebody holds it: for longer than a listing, which only looks."""
    for attempt in range(_ADOPT_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.002 * attempt)
    return False


def _is_held(folder: str) -> bool | None:
    """None where the folder has just gone."""
    try:
        fd = os.open(os.path.join(folder, _LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False if os.path.isdir(folder) else None
    except PermissionError:  # another user's: not ours to find abandoned
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def _is_same_file(fd: int, path: str) -> bool:
    """Whether `path` still is the file that was opened: another process may have sealed the run and removed it."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


class _Assembly:
    """A run as its events tell it, one after the other. Each kind of event has a method of its name."""

    def __init__(self) -> None:
        self.record: RunRecord | None = None
        self.changes: dict[str, Any] = {}
        self.params: dict[str, Value] = {}
        self.tags: dict[str, str] = {}
        self.artifacts: dict[str, Content] = {}
        self.environment: Environment | None = None
        self.code_tree: str | None = None
        self.code_pointers: tuple[str, ...] = ()
        self.consumed: dict[str, None] = {}
        self.inputs: list[Input] = []
        self.opened: list[Input] = []
        self.kept_inputs: dict[str, Pointer] = {}
        self.input_blobs: dict[str, tuple[str, ...]] = {}
        self.registrations: dict[Registration, None] = {}
        self.warnings: dict[str, None] = {}
        self._folders: set[str] = set()
        self._param_sources: dict[str, int] = {}

    def start(self, event: Event) -> None:
        payload = event.payload
        self.record = run_from_dict(payload["record"])
        self.code_tree = payload.get("code_tree")
        self.code_pointers = tuple(payload.get("code_pointers") or ())
        self._consume(payload.get("consumed") or ())

    def params_(self, event: Event) -> None:
        source = event.payload.get("source", 0)
        for key, value in event.payload["values"].items():
            before = self._param_sources.get(key, source)
            if before < source:
                continue
            if before == source and key in self.params and not same_value(self.params[key], value):
                old, new = _shown(self.params[key]), _shown(value)
                self.warn(f"The param {shorten(key)} was {old} and became {new}.")
            self.params[key] = value
            self._param_sources[key] = source

    def repeated(self, event: Event) -> None:
        for key, source in event.payload.get("params", ()):
            if self._param_sources.get(key) == source:
                del self.params[key], self._param_sources[key]

    def tags_(self, event: Event) -> None:
        self.tags.update(event.payload["values"])

    def artifact(self, event: Event) -> None:
        payload = event.payload
        self._keep(payload["path"], Pointer(sha256=payload["sha256"], size_bytes=payload["size"]))

    def file(self, event: Event) -> None:
        self._keep(event.payload["path"], event.data or b"")

    def environment_(self, event: Event) -> None:
        payload = event.payload
        self.environment = Environment(
            python=payload["python"],
            requirements=tuple(payload["requirements"]),
            conda=tuple(payload.get("conda", ())),
        )

    def note(self, event: Event) -> None:
        self.changes["note"] = event.payload["text"] or None

    def name(self, event: Event) -> None:
        self.changes["name"] = event.payload["text"]

    def register(self, event: Event) -> None:
        from gitexp.domain.registry import parse_model_name  # few runs log models

        model, path = parse_model_name(event.payload["model"]), parse_artifact_path(event.payload["path"])
        self.registrations[Registration(model=model, path=path)] = None

    def experiment(self, event: Event) -> None:
        self.changes["experiment"] = event.payload["text"]

    def warning(self, event: Event) -> None:
        self.warn(event.payload["text"])

    def inputs_(self, event: Event) -> None:
        payload = event.payload
        found = self.opened if payload.get("opened") else self.inputs
        found += [input_from_dict(item) for item in payload["inputs"]]
        for path, (sha256, size) in payload.get("kept", {}).items():
            with suppress(InvalidName):  # no path that a git tree can have
                self.kept_inputs[parse_artifact_path(path)] = Pointer(sha256=sha256, size_bytes=size)
        for digest, blobs in payload.get("blobs", {}).items():
            self.input_blobs[digest] = tuple(blobs)
        self._consume(payload.get("consumed") or ())

    def end(self, event: Event) -> None:
        payload = event.payload
        self.changes.update(status=Status(payload["status"]), end=event.time)
        for key in ("duration_s", "exit_code", "signal"):
            if payload.get(key) is not None:
                self.changes[key] = payload[key]

    def warn(self, text: str) -> None:
        self.warnings[text] = None

    def _keep(self, path: str, content: Content) -> None:
        path = parse_artifact_path(path)
        above = {path[:end] for end, character in enumerate(path) if character == "/"}
        if path in self._folders or not above.isdisjoint(self.artifacts):
            self.warn(f"The artifact {shorten(path)} is left out: one is a file, another in a folder of the same name.")
            return
        self._folders |= above
        self.artifacts[path] = content

    def _consume(self, commits: Iterable[str]) -> None:
        self.consumed.update(dict.fromkeys(commits))


_TELL: Mapping[str, Callable[[_Assembly, Event], None]] = {
    "start": _Assembly.start,
    "params": _Assembly.params_,
    "repeated": _Assembly.repeated,
    "tags": _Assembly.tags_,
    "artifact": _Assembly.artifact,
    "file": _Assembly.file,
    "environment": _Assembly.environment_,
    "note": _Assembly.note,
    "name": _Assembly.name,
    "experiment": _Assembly.experiment,
    "register": _Assembly.register,
    "warning": _Assembly.warning,
    "inputs": _Assembly.inputs_,
    "end": _Assembly.end,
}


def _assemble(run_id: RunId, journals: Journals, *, is_over: bool) -> tuple[_Assembly, Run]:
    assembly = _Assembly()
    for event in journals.events:
        tell = _TELL.get(event.kind)
        if tell is None:
            continue
        try:
            tell(assembly, event)
        except (KeyError, TypeError, ValueError, AttributeError, InvalidName) as error:
            assembly.warn(f"A record of the journal {event.process} ('{event.kind}') makes no sense: {error!r}.")
    for name, size in journals.lost.items():
        assembly.warn(f"{size:,} bytes of the journal {name} could not be read.")
    record = assembly.record or _salvaged_record(run_id, journals)
    if assembly.record is None:
        assembly.warn("How the run began could not be read; its name and experiment are made up.")
    record = replace(
        record,
        inputs=merged_inputs((*record.inputs, *assembly.inputs), assembly.opened),
        warnings=tuple(dict.fromkeys((*record.warnings, *assembly.warnings))),
        **assembly.changes,
    )
    if is_over and record.status is Status.RUNNING:
        record = _crashed(record, journals.last_time)
    return assembly, Run(
        record=record,
        params=assembly.params,
        tags=assembly.tags,
        metrics=journals.metrics,
        histories=journals.histories,
        artifacts=assembly.artifacts,
        environment=assembly.environment,
        code_tree=assembly.code_tree,
        code_pointers=assembly.code_pointers,
        consumed=tuple(assembly.consumed),
        inputs=without_clashes(assembly.kept_inputs),
        input_blobs=assembly.input_blobs,
        registrations=tuple(assembly.registrations),
    )


def _salvaged_record(run_id: RunId, journals: Journals) -> RunRecord:
    """A record for a run whose first event is damaged, so that the rest of it is kept.

    Raises:
        NotFound: there is no rest: it was killed before or in its first event.
    """
    has_events = any(event.kind != "warning" for event in journals.events)
    if not (has_events or journals.metrics or any(name.endswith(POINTS) for name in journals.lost)):
        raise NotFound(f"The live run '{run_id}' has not begun.")
    start = min((event.time for event in journals.events), default=0.0)
    name = readable_name(run_id)
    return RunRecord(id=run_id, name=name, experiment=DEFAULT_EXPERIMENT, status=Status.RUNNING, start=start)


def _crashed(record: RunRecord, last_time: float | None) -> RunRecord:
    end = max(record.start, last_time or record.start)
    return replace(record, status=Status.CRASHED, end=end, duration_s=end - record.start)


def _shown(value: Value) -> str:
    return shorten(value) if isinstance(value, str) else str(value)[:60]
