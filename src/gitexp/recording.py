"""Recording one live run: what `start_run` and `gitexp run` share.

A `Recorder` owns a run from its first event to its seal, or joins one that another process owns. Nothing here may end a
training: trouble is told once and goes into the record, unless the run is strict.
"""

from __future__ import annotations

import os
import socket
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gitexp.domain.environment import Environment
from gitexp.domain.identity import RunId, live_ref, parse_name, parse_run_id, readable_name, run_id, run_ref
from gitexp.domain.keys import parse_artifact_path, parse_key
from gitexp.domain.masking import mask_command
from gitexp.domain.pointer import LONGEST_POINTER, SMALL, Pointer, parse_pointer
from gitexp.domain.resuming import Resumption
from gitexp.domain.run import CodeState, Input, ProjectSource, RunRecord, Status, input_to_dict, run_to_dict
from gitexp.domain.source import Source
from gitexp.domain.summary import RunSummary
from gitexp.domain.values import Number, Value, flatten, parse_tags
from gitexp.errors import Conflict, GitexpError, NotFound, StorageFailed, UsageError
from gitexp.repo import Repository
from gitexp.store.git.changes import Seen
from gitexp.store.git.snapshot import Snapshot, SnapshotRules, take
from gitexp.store.journal import JournalWriter
from gitexp.store.live import LiveFolder

if TYPE_CHECKING:
    from gitexp.store.manifests import ReadInput

JOIN = "GITEXP_RUN"
"""The variable through which a launched process finds the live run it belongs to: the run's folder."""

MOST_WARNINGS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a caller says of a run before it starts.

    `command` and `entry_point` are as run, `directory` where (absolute). None means: as the repository's settings say.
    `resume` names a sealed run that is to go on; it keeps its name unless it is given one. `consumed` are the commits
    of runs that it builds on, hex ids.
    """

    name: str | None = None
    experiment: str | None = None
    command: Sequence[str] = ()
    directory: str | None = None
    entry_point: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, object] = field(default_factory=dict)
    note: str | None = None
    parent: RunId | None = None
    reproduces: RunId | None = None
    resume: str | None = None
    strict: bool | None = None
    inputs: Sequence[Input] = ()
    project: ProjectSource | None = None
    consumed: Sequence[str] = ()


class Recorder:
    """Writes one live run; safe to use from several threads and after a fork.

    Args:
        owner: the run's folder, where this process seals the run.
        rank: of several that record one run: those beyond the first give metrics and artifacts, below `rank<n>/`.
    """

    def __init__(
        self,
        repository: Repository,
        identity: RunId,
        folder: str,
        *,
        owner: LiveFolder | None,
        strict: bool,
        source: Source = Source.SCRIPT,
        rank: int = 0,
    ) -> None:
        self.repository = repository
        self.run_id = identity
        self.folder = folder
        self.strict = strict
        self.name = ""
        self.experiment = ""
        self.seen: Seen | None = None
        """The work tree as it was when the run began, where this process looked at it."""
        self._owner = owner
        self._owner_pid = os.getpid()
        self._monotonic = time.monotonic()
        self._told: set[str] = set()
        self._on_trouble: Callable[[str], None] = _tell_nobody
        self._journal = JournalWriter(folder, on_trouble=self.warn, on_gone=self._outlived, source=source)
        self._besides: dict[Source, Recorder] = {}
        self._rank = rank
        self._ranked_keys: dict[str, str] = {}
        self.point = self._ranked_point if rank else self._journal.point
        self._resumption: Resumption | None = None
        self._added: tuple[str, ...] | None = None
        self._ended = False

    @classmethod
    def begin(cls, repository: Repository, request: RunRequest, *, on_trouble: Callable[[str], None]) -> Recorder:
        """Start a run: capture the code, make and lock its folder, write the first event.

        Args:
            on_trouble: told each distinct problem once; recording goes on.

        Raises:
            InvalidName: a name, param or tag that cannot be recorded.
            StorageFailed: nothing can be written anywhere.
            NotFound, Ambiguous: there is no such run to resume.
            Conflict: the run to resume is being recorded.
        """
        given = None if request.name is None else parse_name(request.name)
        params, tags = flatten(request.params), parse_tags(request.tags)
        if request.note is not None and not isinstance(request.note, str):
            raise UsageError(f"A note is text, not {type(request.note).__name__}.")
        before = None if request.resume is None else _resumed(repository, request)
        if before:
            identity, name, experiment = before.record.id, before.record.name, before.record.experiment
            resumption = Resumption(ref=before.ref, commit=before.commit or "", token=run_id(os.urandom(8)))
        else:
            experiment = parse_name(request.experiment or repository.config.experiment, what="experiment name")
            identity = run_id(os.urandom(8))
            name, resumption = given or readable_name(identity), None
        owner = repository.live.create(identity, resumption)
        strict = repository.config.strict if request.strict is None else request.strict
        recorder = cls(repository, identity, owner.folder, owner=owner, strict=strict)
        recorder._on_trouble = on_trouble
        recorder._resumption = resumption
        recorder.name, recorder.experiment = name, experiment
        snapshot = recorder._guard(recorder._capture_code)
        recorder.seen = snapshot and snapshot.seen
        record = RunRecord(
            id=identity,
            name=name,
            experiment=experiment,
            status=Status.RUNNING,
            start=time.time(),
            author=repository.author,
            host=socket.gethostname(),
            command=tuple(mask_command(request.command)),
            directory=_relative(request.directory, repository.git.work_tree),
            entry_point=request.entry_point,
            code=snapshot and _code_state(snapshot),
            parent=request.parent,
            reproduces=request.reproduces,
            inputs=tuple(request.inputs),
            project=request.project,
            note=None if before else request.note,
        )
        recorder._journal.event(
            "start",
            record=run_to_dict(record),
            code_tree=snapshot and snapshot.tree,
            code_pointers=list(snapshot.pointers) if snapshot else [],
            consumed=list(request.consumed),
        )
        if snapshot and snapshot.skipped:
            recorder._warn_of_skipped(snapshot)
        if params:
            recorder._journal.event("params", values=params)
        if tags:
            recorder._journal.event("tags", values=tags)
        if before and given:
            recorder.rename(given)
        if before and request.note is not None:
            recorder.set_note(request.note)
        return recorder

    @classmethod
    def join(cls, repository: Repository, folder: str, *, on_trouble: Callable[[str], None], rank: int = 0) -> Recorder:
        """Take part in a run that another process owns and will seal.

        Raises:
            NotFound: it has ended, or not begun yet.
        """
        identity = parse_run_id(os.path.basename(folder))
        record = repository.live.summary(identity).record
        recorder = cls(repository, identity, folder, owner=None, strict=repository.config.strict, rank=rank)
        recorder._on_trouble = on_trouble
        recorder._resumption = repository.live.resumption(identity)
        recorder.name, recorder.experiment = record.name, record.experiment
        return recorder

    def beside(self, source: Source) -> Recorder:
        """The way into the same run for what is known from `source`; it ends with this one, once for each source."""
        found = self._besides.get(source)
        if found is None:
            found = Recorder(
                self.repository,
                self.run_id,
                self.folder,
                owner=None,
                strict=self.strict,
                source=source,
                rank=self._rank,
            )
            found._on_trouble = self._on_trouble
            found._resumption = self._resumption
            found._told = self._told
            found.name, found.experiment = self.name, self.experiment
            found = self._besides.setdefault(source, found)  # another thread may have been quicker
        return found

    @property
    def owned(self) -> bool:
        """Whether this process is the one that seals the run."""
        return self._owner is not None and self._owner_pid == os.getpid()

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def lock_fd(self) -> int:
        """The descriptor that holds the run's lock; a child that inherits it keeps the run alive."""
        if self._owner is None:
            raise UsageError("A joined run has no lock of its own.")
        return self._owner.lock_fd

    is_silent = False
    """Whether nothing of what is logged is kept."""

    @property
    def is_gone(self) -> bool:
        """Whether the run has ended in the process that owns it."""
        return not os.path.isdir(self.folder)

    def last_step(self, key: str) -> int:
        """The highest step of a metric in the state that the run was resumed from; -1 where it has none."""
        if self._resumption is None:
            return -1
        key = self._ranked_key(key) if self._rank else key
        with suppress(GitexpError):  # the metric is new, or damaged: then its steps begin anew
            return max(self.repository.runs.history(self._resumption.commit, key).steps, default=-1)
        return -1

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record params, nested or flat. One that was logged with another value takes the new one, with a warning."""
        values = self._guard(flatten, params)
        if values and not self._rank:
            self._journal.event("params", values=values)

    def log_number(self, key: str, value: Number, step: int, moment: float) -> None:
        """Record one point whose key and value are known to be good."""
        self.point(key, step, moment, value)

    def log_column(self, key: str, steps: array[int], times: array[float], values: array[float] | array[int]) -> None:
        """Record many points of one metric whose key and values are known to be good, arrays of one length."""
        self._journal.column(self._ranked_key(key) if self._rank else key, steps, times, values)

    def leave_out(self, *, metrics: Sequence[tuple[str, int]] = (), params: Sequence[tuple[str, int]] = ()) -> None:
        """Take back what a source, by its number, said of a metric or param: another says it already."""
        self._journal.event("repeated", metrics=list(map(list, metrics)), params=list(map(list, params)))

    def set_tags(self, tags: Mapping[str, object]) -> None:
        parsed = self._guard(parse_tags, tags)
        if parsed and not self._rank:
            self._journal.event("tags", values=parsed)

    def set_environment(self, environment: Environment) -> None:
        lists = {"requirements": list(environment.requirements)}
        if environment.conda:
            lists["conda"] = list(environment.conda)
        self._journal.event("environment", python=dict(environment.python), **lists)

    def register(self, path: str, model: str) -> None:
        """Let the artifact folder `path` be a version of a registered model, once the run is sealed."""
        if not self._rank:
            self._journal.event("register", path=path, model=model)

    def set_note(self, text: str) -> None:
        if not self._rank:
            self._journal.event("note", text=text)

    def rename(self, name: str) -> None:
        self.name = parse_name(name)
        self._journal.event("name", text=self.name)

    def move(self, experiment: str) -> None:
        """Put the run into another experiment; one that was resumed stays where it is, with a warning."""
        parsed = parse_name(experiment, what="experiment name")
        if self._resumption is None:
            self.experiment = parsed
            self._journal.event("experiment", text=parsed)
        elif parsed != self.experiment:
            self.warn(f"A resumed run stays in its experiment: '{self.experiment}', not '{parsed}'.")

    def add_file(self, source: str, path: str) -> None:
        """Keep the file at `source` as the artifact `path`."""
        path = parse_artifact_path(self._ranked_key(path) if self._rank else path)
        with open(source, "rb", buffering=0) as file:
            data = file.read(SMALL + 1) if os.fstat(file.fileno()).st_size <= SMALL else None
        if data is not None and len(data) <= SMALL:
            self._add_small(data, path)
            return
        pointer = self.repository.content.add_file(source)
        self._journal.event("artifact", path=path, sha256=pointer.sha256, size=pointer.size_bytes)

    def add_bytes(self, data: bytes, path: str) -> None:
        """Keep `data` as the artifact `path`."""
        self._add_small(data, parse_artifact_path(self._ranked_key(path) if self._rank else path))

    def log_inputs(self, inputs: Sequence[ReadInput], *, opened: bool = False) -> None:
        """Record what the run reads; the same again changes nothing. What was added before is kept with the run.

        Args:
            opened: whether the run was only seen to open them; those that are part of another input do not count.
        """
        if not inputs or self._rank:
            return
        kept = {
            path: [pointer.sha256, pointer.size_bytes]
            for read in inputs
            for path, place, pointer in read.contents
            if not os.path.isabs(path) and self._keeps(path, place, pointer)
        }
        self._journal.event(
            "inputs",
            inputs=[input_to_dict(read.input) for read in inputs],
            opened=opened,
            kept=kept,
            blobs={read.input.digest: list(read.blobs) for read in inputs if read.blobs and read.input.run is None},
        )

    def _keeps(self, path: str, place: str, pointer: Pointer) -> bool:
        """Whether the content of an input is kept: it is already, or its path was added."""
        repository = self.repository
        if repository.content.contains(pointer):
            return True
        if self._added is None:
            self._added = tuple(repository.added.list()) if os.path.isdir(repository.added_dir) else ()
        if not any(path == name or path.startswith(f"{name}/") or name == "." for name in self._added):
            return False
        return bool(self._guard(repository.content.add_file, place) == pointer)

    def warn(self, message: str, *, aloud: bool = True) -> None:
        """Put `message` into the record, once, and tell it unless that is not `aloud`."""
        if message in self._told or len(self._told) >= MOST_WARNINGS:
            return
        self._told.add(message)
        with suppress(Exception):
            self._journal.event("warning", text=message)
        if aloud:
            self._on_trouble(message)

    def trouble(self, error: Exception) -> None:
        """What to do with an error of recording: raise it where the run is strict, else warn."""
        if self.strict:
            raise error
        self.warn(explain(error))

    def end(self, status: Status, *, exit_code: int | None = None, signal: str | None = None) -> str | None:
        """Close the run; the owner seals it. Gives the commit, or None where there is none (yet)."""
        if self._ended:
            return None
        self._ended = True
        for beside in self._besides.values():
            beside.end(status)
        if not self.owned:
            self._journal.close()
            return None
        try:
            self._journal.event(
                "end",
                status=status.value,
                time=time.time(),
                duration_s=time.monotonic() - self._monotonic,
                exit_code=exit_code,
                signal=signal,
            )
            self._journal.close(durable=False)
            commit = self.repository.seal(self.run_id)
        except Exception as error:
            if self.strict:
                raise
            self._on_trouble(self._fate(error))
            return None
        else:
            self._tell_hooks(commit)
            return commit
        finally:
            if self._owner is not None:
                self._owner.release()

    def _fate(self, error: Exception) -> str:
        """What becomes of a run that could not be sealed."""
        whole = f"The run '{self.name}'"
        with suppress(GitexpError):
            try:
                self.repository.live.summary(self.run_id)
            except NotFound:
                lost = f"What was logged now of the run '{self.name}'" if self._resumption else whole
                return f"{lost} is lost: not even its beginning could be written."
        kept = f"What could be written of the run '{self.name}'" if self._journal.lost else whole
        return f"{explain(error)} {kept} is kept in '{self.folder}'; the next gitexp command seals it."

    def _tell_hooks(self, commit: str) -> None:
        hooks = self.repository.config.hooks_after
        if not hooks:
            return
        from gitexp.hooks import run_hooks  # most repositories have none

        [run] = self.repository.load([(run_ref(self.experiment, self.run_id), commit)])
        if isinstance(run, RunSummary):
            run = replace(run, ref=run_ref(run.record.experiment, self.run_id))  # the script may have moved it
            environ = {name: value for name, value in os.environ.items() if name != JOIN}
            folder = self.repository.git.work_tree
            run_hooks(hooks, run, directory=folder, environ=environ, on_trouble=self._on_trouble)

    def _add_small(self, data: bytes, path: str) -> None:
        is_pointer = len(data) < LONGEST_POINTER and parse_pointer(data) is not None
        if len(data) <= SMALL and not is_pointer:
            self._journal.file(path, data)
            return
        pointer = self.repository.content.add_bytes(data)
        self._journal.event("artifact", path=path, sha256=pointer.sha256, size=pointer.size_bytes)

    def _ranked_key(self, key: str) -> str:
        return f"rank{self._rank}/{key}"

    def _ranked_point(self, key: str, step: int, time: float | None, value: Number) -> None:
        name = self._ranked_keys.get(key)
        if name is None:
            name = self._ranked_keys[key] = parse_key(self._ranked_key(key), what="metric")
        self._journal.point(name, step, time, value)

    def _outlived(self, last_written: float) -> None:
        """The run's folder is gone. Where another process ended it, only what was written after that is lost."""
        if self.owned:
            self.warn(f"The journal {self.folder!r} was deleted or moved while the run was recorded.")
            return
        with suppress(GitexpError, OSError):
            repository = self.repository
            tips = [(ref, tip) for ref, tip in repository.tips().items() if ref.endswith(f"/{self.run_id}")]
            for found in repository.load(tips):
                if isinstance(found, RunSummary) and found.record.end and last_written <= found.record.end:
                    return
        told = f"The run '{self.name}' has ended in the process that owns it; what was logged since is not recorded."
        if told not in self._told:
            self._told.add(told)
            self._on_trouble(told)

    def _guard(self, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return act(*arguments)
        except (GitexpError, OSError) as error:
            self.trouble(error)
            return None

    def _capture_code(self) -> Snapshot | None:
        repository = self.repository
        if repository.git.work_tree is None:
            return None
        config = repository.config
        rules = SnapshotRules(
            max_file=config.snapshot_max_file_bytes,
            max_total=config.snapshot_max_total_bytes,
            secrets=config.snapshot_secrets,
        )
        snapshot = take(repository.git, repository.objects, repository.content, rules)
        if snapshot.new_objects:
            repository.objects.write(snapshot.new_objects)
        if snapshot.head.commit:
            repository.refs.create(live_ref(self.run_id), snapshot.head.commit, durable_name=False)
        return snapshot

    def _warn_of_skipped(self, snapshot: Snapshot) -> None:
        large = [file for file in snapshot.skipped if file.reason == "too large in total"]
        if large:
            largest = max(large, key=lambda file: file.size_bytes)
            self.warn(
                f"{len(large)} untracked files are recorded by path and size only: together they pass "
                f"snapshot.max_total. The largest is '{largest.path}' ({largest.size_bytes / 2**20:,.0f} MiB); "
                "add it to .gitignore or .gitexpignore."
            )


def _code_state(snapshot: Snapshot) -> CodeState:
    return CodeState(
        commit=snapshot.head.commit, branch=snapshot.head.branch, dirty=snapshot.dirty, skipped=snapshot.skipped
    )


def _resumed(repository: Repository, request: RunRequest) -> RunSummary:
    """The sealed run that is to go on.

    Raises:
        NotFound, Ambiguous: there is no such run.
        Conflict: it is being recorded.
        UsageError: it is removed, or is to go to another experiment.
    """
    if not isinstance(request.resume, str):
        raise UsageError(f"A run to resume is named by text, not {type(request.resume).__name__}.")
    found = repository.resolve(request.resume)
    if found.commit is None and not repository.live.is_held(found.record.id):
        repository.recover()  # its process has died since the repository was opened
        found = repository.resolve(found.record.id)
    record = found.record
    if found.commit is None:
        raise Conflict(f"The run '{record.name}' is being recorded.", hint="Wait until it has ended.")
    if record.deleted is not None:
        raise UsageError(f"The run '{record.name}' is removed.", hint=f"gitexp restore {record.id}")
    if request.experiment and request.experiment != record.experiment:
        raise UsageError(
            f"The run '{record.name}' is of the experiment '{record.experiment}', and stays in it.",
            hint="Leave the experiment out.",
        )
    return found


def _relative(directory: str | None, root: str | None) -> str | None:
    if directory is None or root is None:
        return None
    path = os.path.relpath(os.path.realpath(directory), os.path.realpath(root))
    return None if path.startswith("..") else path.replace(os.sep, "/")


def explain(error: Exception) -> str:
    if isinstance(error, GitexpError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.strerror or error}: '{error.filename}'." if error.filename else f"{error.strerror or error}."
    return f"{type(error).__name__}: {error}."


def _tell_nobody(_message: str) -> None:
    """Until the caller says who is to hear of trouble."""


__all__ = ["JOIN", "Recorder", "RunRequest", "StorageFailed", "Value"]
