"""A run as one reads it: its values, histories, artifacts and code, fetched when they are asked for."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, Protocol

from gitexp.domain.environment import Environment
from gitexp.domain.identity import RunId
from gitexp.domain.metrics import History
from gitexp.domain.pointer import LONGEST_POINTER, Pointer, parse_pointer
from gitexp.domain.run import Content, Run, RunRecord, Status
from gitexp.domain.summary import RunSummary
from gitexp.domain.values import Number, Value
from gitexp.errors import NotFound
from gitexp.store.content import ContentStore
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import MODE_GITLINK, MODE_TREE, decode_tree
from gitexp.store.runs import RunEvent, RunStore


class RunSource(Protocol):
    """Where the bulk of a run is read from: its commit, or its journal while it is live."""

    def history(self, key: str) -> History: ...
    def histories(self, keys: Iterable[str]) -> Iterator[tuple[str, History]]: ...
    def artifacts(self) -> Mapping[str, Content]: ...
    def environment(self) -> Environment | None: ...
    def output(self) -> bytes | None: ...
    def code_tree(self) -> str | None: ...
    def events(self) -> list[RunEvent]: ...
    def parents(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class SealedSource:
    runs: RunStore
    commit: str

    def history(self, key: str) -> History:
        return self.runs.history(self.commit, key)

    def histories(self, keys: Iterable[str]) -> Iterator[tuple[str, History]]:
        return self.runs.histories(self.commit, keys)

    def artifacts(self) -> Mapping[str, Content]:
        return self.runs.artifacts(self.commit)

    def environment(self) -> Environment | None:
        return self.runs.environment(self.commit)

    def output(self) -> bytes | None:
        return self.runs.output(self.commit)

    def code_tree(self) -> str | None:
        return self.runs.code_tree(self.commit)

    def events(self) -> list[RunEvent]:
        return self.runs.events(self.commit)

    def parents(self) -> tuple[str, ...]:
        return self.runs.parents(self.commit)


@dataclass(frozen=True, slots=True)
class LiveSource:
    run: Run
    resumed: SealedSource | None = None
    """The state that the live run goes on with."""

    def history(self, key: str) -> History:
        if key not in self.run.histories:
            raise NotFound(f"The run has no metric '{key}'.")
        return self.run.histories[key]

    def histories(self, keys: Iterable[str]) -> Iterator[tuple[str, History]]:
        return ((key, self.run.histories[key]) for key in keys if key in self.run.histories)

    def artifacts(self) -> Mapping[str, Content]:
        return self.run.artifacts

    def environment(self) -> Environment | None:
        return self.run.environment

    def output(self) -> bytes | None:
        return self.run.output

    def code_tree(self) -> str | None:
        return self.run.code_tree

    def events(self) -> list[RunEvent]:
        return self.resumed.events() if self.resumed else []

    def parents(self) -> tuple[str, ...]:
        code = self.run.record.code
        known = self.resumed.parents() if self.resumed else ()
        return tuple(dict.fromkeys((*known, *([code.commit] if code and code.commit else []), *self.run.consumed)))


class RunView:
    """A run, sealed or live.

    Attributes:
        summary: everything that a listing knows.
        params: flat, by key. metrics: the last value of each. tags: text by key.
    """

    def __init__(self, summary: RunSummary, source: RunSource, objects: ObjectDatabase, content: ContentStore) -> None:
        self.summary = summary
        self._source = source
        self._objects = objects
        self._content = content

    def __repr__(self) -> str:
        return f"<Run {self.name!r} {self.id} {self.status}>"

    def _repr_html_(self) -> str:
        from gitexp.display import run_html  # only notebooks ask

        return run_html(self.summary, list(self.artifacts))

    @property
    def record(self) -> RunRecord:
        return self.summary.record

    @property
    def id(self) -> RunId:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def experiment(self) -> str:
        return self.record.experiment

    @property
    def status(self) -> Status:
        return self.record.status

    @property
    def commit(self) -> str | None:
        """The hex id of the run's newest commit; None while it is live."""
        return self.summary.commit

    @property
    def ref(self) -> str:
        return self.summary.ref

    @property
    def params(self) -> Mapping[str, Value]:
        return self.summary.params

    @property
    def metrics(self) -> Mapping[str, Number]:
        return self.summary.metrics

    @property
    def tags(self) -> Mapping[str, str]:
        return self.summary.tags

    def history(self, key: str) -> History:
        """Every point of one metric, in the order logged. Raises NotFound."""
        return self._source.history(key)

    def histories(self) -> dict[str, History]:
        return dict(self.each_history(self.metrics))

    def each_history(self, keys: Iterable[str]) -> Iterator[tuple[str, History]]:
        """Every point of several metrics, one after the other; what the run has not is left out."""
        return self._source.histories(keys)

    @cached_property
    def artifacts(self) -> Mapping[str, Artifact]:
        """The run's artifacts by path, sorted."""
        found = self._source.artifacts()
        return {path: Artifact(path, found[path], self._content) for path in sorted(found)}

    @cached_property
    def environment(self) -> Environment | None:
        return self._source.environment()

    @property
    def output(self) -> bytes | None:
        """What the process printed, where it was captured."""
        return self._source.output()

    @cached_property
    def code(self) -> Code:
        """The user's repository as it was when the run began; empty where no code was captured."""
        return Code(self._source.code_tree(), self._objects, self._content)

    def events(self) -> list[RunEvent]:
        """The run's own history, newest first, as far as it is sealed."""
        return self._source.events()

    def parents(self) -> tuple[str, ...]:
        """The commits the run came from: the one its code was based on, and those of the runs it consumed."""
        return self._source.parents()


class Artifact:
    """A file that a run kept."""

    def __init__(self, path: str, content: Content, store: ContentStore) -> None:
        self.path = path
        self._content = content
        self._store = store

    def __repr__(self) -> str:
        return f"<Artifact {self.path!r} {self.size_bytes} bytes>"

    @property
    def size_bytes(self) -> int:
        return self._content.size_bytes if isinstance(self._content, Pointer) else len(self._content)

    @property
    def sha256(self) -> str:
        if isinstance(self._content, Pointer):
            return self._content.sha256
        return hashlib.sha256(self._content).hexdigest()

    @property
    def is_here(self) -> bool:
        """Whether the content is on this machine."""
        return not isinstance(self._content, Pointer) or self._store.contains(self._content)

    def open(self) -> BinaryIO:
        """A stream of the content. Raises NotFound where it is not on this machine."""
        return self._store.open(self._content) if isinstance(self._content, Pointer) else io.BytesIO(self._content)

    def read(self) -> bytes:
        with self.open() as stream:
            return stream.read()


class Code:
    """The tree of a user's repository, paths with `/`."""

    def __init__(self, tree: str | None, objects: ObjectDatabase, content: ContentStore) -> None:
        self.tree = tree
        self._objects = objects
        self._content = content

    def files(self) -> dict[str, tuple[int, str]]:
        """Mode and hex id of every file by path; submodules are files of mode 0o160000."""
        return dict(self._walk(bytes.fromhex(self.tree), "")) if self.tree else {}

    def read(self, path: str) -> bytes:
        """The content of one file. Raises NotFound."""
        entry = self._find(path)
        data = self._objects.read(entry)[1]
        pointer = parse_pointer(data) if len(data) < LONGEST_POINTER else None
        if pointer and self._content.contains(pointer):
            with self._content.open(pointer) as stream:
                return stream.read()
        return data

    def _find(self, path: str) -> bytes:
        oid = bytes.fromhex(self.tree) if self.tree else None
        mode = MODE_TREE
        for part in os.fsencode(path).split(b"/"):
            entries = {e.name: e for e in decode_tree(self._objects.read(oid)[1])} if oid and mode == MODE_TREE else {}
            if part not in entries:
                raise NotFound(f"The run's code has no file '{path}'.")
            oid, mode = entries[part].oid, entries[part].mode
        if oid is None or mode in (MODE_TREE, MODE_GITLINK):
            raise NotFound(f"'{path}' is not a file in the run's code.")
        return oid

    def _walk(self, tree: bytes, prefix: str) -> Iterator[tuple[str, tuple[int, str]]]:
        for entry in decode_tree(self._objects.read(tree)[1]):
            path = prefix + os.fsdecode(entry.name)
            if entry.mode == MODE_TREE:
                yield from self._walk(entry.oid, path + "/")
            else:
                yield path, (entry.mode, entry.oid.hex())
