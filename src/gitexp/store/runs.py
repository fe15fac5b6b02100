"""Runs as commits: how a run becomes trees, blobs and a commit on its ref, and how it is read back.

`RunStore` is the contract; `GitRunStore` keeps it in a git repository. The layout is in docs/format.md, section 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gitexp.domain import yamltext
from gitexp.domain.environment import Environment
from gitexp.domain.identity import REFS, RUNS, run_ref
from gitexp.domain.keys import file_names, parse_artifact_path
from gitexp.domain.metrics import (
    History,
    dump_history,
    dump_metrics,
    dump_points,
    load_history,
    load_metrics,
    load_points,
)
from gitexp.domain.pointer import LONGEST_POINTER, Pointer, parse_pointer
from gitexp.domain.resuming import Continuation, continued
from gitexp.domain.run import Content, Run, RunRecord, Status, dump_run, run_from_dict
from gitexp.domain.summary import BrokenRun, RunSummary
from gitexp.domain.values import Number, flatten, nest
from gitexp.errors import Conflict, CorruptData, GitexpError, NotFound
from gitexp.store.git.database import MissingObject, ObjectDatabase
from gitexp.store.git.objects import (
    BLOB,
    COMMIT,
    MODE_FILE,
    MODE_TREE,
    TREE,
    Commit,
    TreeEntry,
    decode_commit,
    decode_tree,
    encode_commit,
    encode_tree,
    object_id,
)
from gitexp.store.git.refs import RefStore
from gitexp.store.histories import HistoryCache
from gitexp.store.states import states, trailers
from gitexp.store.yamlfile import load_yaml

ATTEMPTS = 20
MOST_LOOSE_REFS = 100

_RECURRING = ("environment", "inputs", ".gitattributes", "tags.yaml")

_POINTER_LINE = re.compile(r'^(?:"/((?:[^"\\]|\\.)*)"|/(\S+)) filter=lfs ', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One commit of a run's own history. `kind` is the `Gitexp-Event` trailer; `time` seconds since 1970, UTC."""

    kind: str
    commit: str
    author: str
    time: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who changes a run, and when: `author` as "Name <email>", `time` in seconds since 1970, UTC."""

    author: str
    time: float


class RunStore(Protocol):
    """Sealed runs. A ref is a run's place in it, a commit one state of the run; both are text.

    Promises: a run is created once, whoever is first; a state is never changed; a change or a continuation is based on
    the newest state or is not made; what `create`, `extend` and `change` returned can be read until `remove`.
    """

    def create(self, run: Run, signature: Signature) -> str:
        """Store a run and give its commit; where its ref exists already, that commit, and nothing is stored."""
        ...

    def extend(self, continuation: Continuation, signature: Signature) -> str:
        """Put what was recorded of a resumed run into its newest state, and give its commit.

        Doing it twice does it once: the second time gives the tip, and nothing is stored.

        Raises:
            NotFound: the run is gone, and so is the state that was resumed.
            Conflict: others kept changing it.
        """
        ...

    def read(self, commit: str) -> Run:
        """The whole run at once, as `create` was given it; `consumed` is empty."""
        ...

    def tips(self) -> dict[str, str]:
        """The newest commit of every run, by ref."""
        ...

    def load(self, tips: Sequence[tuple[str, str]]) -> Iterator[RunSummary | BrokenRun]:
        """What listing needs of each (ref, commit)."""
        ...

    def history(self, commit: str, key: str) -> History:
        """Every point of one metric. Raises NotFound."""
        ...

    def histories(self, commit: str, keys: Iterable[str]) -> Iterator[tuple[str, History]]:
        """Every point of several metrics, one after the other; what the run has not is left out."""
        ...

    def artifacts(self, commit: str) -> dict[str, Content]:
        """Each artifact by its path: small ones as bytes, others as pointers."""
        ...

    def pointers(self, commit: str) -> Iterator[tuple[str, Pointer]]:
        """Every pointer in the run's tree, artifacts and code, by its path."""
        ...

    def environment(self, commit: str) -> Environment | None: ...

    def output(self, commit: str) -> bytes | None: ...

    def code_tree(self, commit: str) -> str | None:
        """The id of the tree under `code/`, if code was captured."""
        ...

    def events(self, commit: str) -> list[RunEvent]:
        """The run's own history, newest first, down to its seal."""
        ...

    def parents(self, commit: str) -> tuple[str, ...]:
        """The commits the run came from: those its code was based on, and the runs it consumed; the seal's first."""
        ...

    def change(self, ref: str, edit: Callable[[RunSummary], RunSummary], event: str, signature: Signature) -> str:
        """Put a run's record and tags in a new state, and give its commit. The same state again changes nothing.

        Raises:
            NotFound: no such run.
            Conflict: others kept changing it.
        """
        ...

    def remove(self, ref: str, commit: str) -> bool:
        """Forget a run for good, if its newest state is still `commit`."""
        ...


class GitRunStore:
    """Keeps the promises of `RunStore` with refs and packs of a git repository."""

    def __init__(self, objects: ObjectDatabase, refs: RefStore, histories: HistoryCache | None = None) -> None:
        self._objects = objects
        self._refs = refs
        self._histories = histories

    def create(self, run: Run, signature: Signature) -> str:
        ref = run_ref(run.record.experiment, run.record.id)
        found = self._refs.read(ref)
        if found is not None:
            return found
        made = _Objects()
        tree = _write_tree(made, _encode_run(run), {"code": run.code_tree} if run.code_tree else {})
        code = run.record.code
        parents = [code.commit] if code and code.commit else []
        commit = made.add(COMMIT, _commit(tree, [*parents, *run.consumed], run.record, "seal", signature))
        for _ in range(ATTEMPTS):
            self._write(made)
            if not self._refs.create(ref, commit.hex()):
                found = self._refs.read(ref)
                if found is None:
                    continue
                if found != commit.hex():
                    return found
            if self._reads_back(made):
                self._tidy()
                return commit.hex()
        raise Conflict(
            f"The objects of run '{run.record.name}' keep disappearing.", hint="Is 'git gc --prune=now' looping?"
        )

    def extend(self, continuation: Continuation, signature: Signature) -> str:
        resumption = continuation.resumption
        name = continuation.added.record.name
        for _ in range(ATTEMPTS):
            tip = self._refs.read(resumption.ref)
            before = tip or resumption.commit
            if tip is None and not self._objects.contains(bytes.fromhex(before)):
                raise NotFound(f"The run at '{resumption.ref}' is gone.")
            if any(trailers(found).get("Resumption") == resumption.token for _, found in states(self._objects, before)):
                return before
            run = continued(self.read(before), continuation)
            name, code = run.record.name, run.record.code
            made = _Objects()
            tree = _write_tree(made, _encode_run(run), {"code": run.code_tree} if run.code_tree else {}, recurs=True)
            based_on = [code.commit] if code and code.commit and code.commit not in self.parents(before) else []
            parents = [before, *based_on, *run.consumed]
            text = _commit(tree, parents, run.record, "resume", signature, resumption=resumption.token)
            commit = made.add(COMMIT, text)
            self._write(made)
            if not self._swap(resumption.ref, tip, commit.hex()):
                continue
            for _ in range(ATTEMPTS):
                if self._reads_back(made):
                    self._tidy()
                    return commit.hex()
                self._write(made)
        raise Conflict(f"The run '{name}' was changed by others {ATTEMPTS} times in a row.", hint="Try again.")

    def read(self, commit: str) -> Run:
        root = self._root(commit)
        summary = self._summary(None, commit)
        code = self._blob(root, b".gitattributes").decode(errors="surrogateescape")
        return Run(
            record=summary.record,
            params=summary.params,
            tags=summary.tags,
            metrics=summary.metrics,
            histories=dict(self._each_history(root, summary.metrics, summary.metrics)),
            artifacts=self.artifacts(commit),
            environment=self.environment(commit),
            output=self.output(commit),
            code_tree=self.code_tree(commit),
            code_pointers=tuple(
                path.removeprefix("code/") for path in _pointer_paths(code) if path.startswith("code/")
            ),
            inputs={
                path.removeprefix("inputs/"): pointer
                for path, pointer in self.pointers(commit)
                if path.startswith("inputs/")
            },
        )

    def tips(self) -> dict[str, str]:
        return self._refs.list(RUNS)

    def load(self, tips: Sequence[tuple[str, str]]) -> Iterator[RunSummary | BrokenRun]:
        for ref, commit in tips:
            try:
                yield self._summary(ref, commit)
            except GitexpError as error:
                yield BrokenRun(ref=ref, commit=commit, reason=str(error))

    def history(self, commit: str, key: str) -> History:
        root = self._root(commit)
        name = file_names(load_metrics(self._blob(root, b"metrics.json"))).get(key)
        if name is None:
            raise NotFound(f"The run has no metric '{key}'.")
        if b"points.csv" in root:
            single = load_points(self._blob(root, b"points.csv").decode()).get(key)
            if single is not None:
                return single
        return self._long_history(root, name)

    def histories(self, commit: str, keys: Iterable[str]) -> Iterator[tuple[str, History]]:
        root = self._root(commit)
        return self._each_history(root, load_metrics(self._blob(root, b"metrics.json")), keys)

    def artifacts(self, commit: str) -> dict[str, Content]:
        entry = self._root(commit).get(b"artifacts")
        found: dict[str, Content] = {}
        if entry:
            for path, blob in self._walk(entry.oid, ""):
                data = self._objects.read(blob)[1]
                found[parse_artifact_path(path)] = (
                    (parse_pointer(data) or data) if len(data) < LONGEST_POINTER else data
                )
        return found

    def texts(self, commit: str) -> Iterator[tuple[str, bytes]]:
        """Each file of the record itself: all but code, artifacts and what is for git; inputs are pointers."""
        for name, entry in self._root(commit).items():
            if name in (b"code", b"artifacts", b".gitattributes"):
                continue
            if entry.mode == MODE_TREE:
                for path, blob in self._walk(entry.oid, name.decode() + "/"):
                    yield path, self._objects.read(blob)[1]
            else:
                yield name.decode(), self._content(entry)

    def artifact_blobs(self, commit: str) -> Iterator[bytes]:
        """The git blob (id) of each artifact: of the file itself, or of the pointer to it."""
        entry = self._root(commit).get(b"artifacts")
        if entry:
            yield from (blob for _, blob in self._walk(entry.oid, ""))

    def pointers(self, commit: str) -> Iterator[tuple[str, Pointer]]:
        root = self._root(commit)
        paths = _pointer_paths(self._blob(root, b".gitattributes").decode(errors="surrogateescape"))
        return self._pointers_at(root, paths)

    def pointers_in_code(self, tree: str, paths: Sequence[str]) -> Iterator[tuple[str, Pointer]]:
        """The pointers at `paths` of a tree of code (a hex id) that no run's commit holds yet."""
        return self._pointers_at(self._entries(bytes.fromhex(tree)), paths)

    def environment(self, commit: str) -> Environment | None:
        root = self._root(commit)
        if b"environment" not in root:
            return None
        inside = self._entries(root[b"environment"].oid)
        requirements = self._blob(inside, b"requirements.txt").decode()
        conda = self._blob(inside, b"conda.txt").decode() if b"conda.txt" in inside else ""
        return Environment(
            python=_load(self._blob(inside, b"python.yaml"), "python.yaml"),
            requirements=tuple(requirements.splitlines()),
            conda=tuple(conda.splitlines()),
        )

    def output(self, commit: str) -> bytes | None:
        root = self._root(commit)
        return self._blob(root, b"output.log") if b"output.log" in root else None

    def code_tree(self, commit: str) -> str | None:
        entry = self._root(commit).get(b"code")
        return entry.oid.hex() if entry else None

    def artifacts_tree(self, commit: str) -> str | None:
        """The id of the tree under `artifacts/`, if there are any."""
        entry = self._root(commit).get(b"artifacts")
        return entry.oid.hex() if entry else None

    def events(self, commit: str) -> list[RunEvent]:
        return [_event(oid, found) for oid, found in states(self._objects, commit)]

    def parents(self, commit: str) -> tuple[str, ...]:
        *later, (_, seal) = states(self._objects, commit)
        resumed = [found for _, found in reversed(later) if trailers(found).get("Event") == "resume"]
        further = [parent for found in resumed for parent in found.parents[1:]]
        return tuple(dict.fromkeys((*seal.parents, *further)))

    def change(self, ref: str, edit: Callable[[RunSummary], RunSummary], event: str, signature: Signature) -> str:
        for _ in range(ATTEMPTS):
            tip = self._refs.read(ref)
            if tip is None:
                raise NotFound(f"There is no run at '{ref}'.")
            old = self._summary(ref, tip)
            new = edit(old)
            if (new.record, new.tags) == (old.record, old.tags):
                return tip
            made = _Objects()
            entries = self._root(tip)
            for name, text in (("run.yaml", dump_run(new.record)), ("tags.yaml", _dump_tags(new.tags))):
                entries[name.encode()] = TreeEntry(name.encode(), MODE_FILE, made.add(BLOB, text.encode()))
            tree = made.add(TREE, encode_tree(entries.values()))
            commit = made.add(COMMIT, _commit(tree, [tip], new.record, event, signature))
            self._write(made)
            if self._refs.update(ref, tip, commit.hex()) and self._reads_back(made):
                self._tidy()
                return commit.hex()
        raise Conflict(f"The run at '{ref}' was changed by others {ATTEMPTS} times in a row.", hint="Try again.")

    def remove(self, ref: str, commit: str) -> bool:
        return self._refs.delete(ref, commit)

    def _each_history(
        self, root: Mapping[bytes, TreeEntry], metrics: Mapping[str, Number], keys: Iterable[str]
    ) -> Iterator[tuple[str, History]]:
        names = file_names(metrics)
        single = load_points(self._blob(root, b"points.csv").decode()) if b"points.csv" in root else {}
        for key in keys:
            if key in names:
                yield key, single[key] if key in single else self._long_history(root, names[key])

    def _long_history(self, root: Mapping[bytes, TreeEntry], name: str) -> History:
        csv = self._place(root, f"history/{name}.csv")
        known = self._histories and self._histories.get(csv.oid)
        if known:
            return known
        history = load_history(self._content(csv).decode())
        if self._histories:
            self._histories.put(csv.oid, history)
        return history

    def _swap(self, ref: str, old: str | None, new: str) -> bool:
        return self._refs.create(ref, new) if old is None else self._refs.update(ref, old, new)

    def _summary(self, ref: str | None, commit: str) -> RunSummary:
        """The run at `commit`; `ref` is where it was found, None where that is known to be right."""
        root = self._root(commit)
        record = run_from_dict(_load(self._blob(root, b"run.yaml"), "run.yaml"))
        if ref is None:
            ref = run_ref(record.experiment, record.id)
        if not ref.endswith(record.id):
            raise CorruptData(f"run.yaml: 'id': {record.id!r} is not the id in the ref '{ref}'.")
        tags = _load(self._blob(root, b"tags.yaml"), "tags.yaml")
        return RunSummary(
            ref=ref,
            commit=commit,
            record=record,
            params=flatten(_load(self._blob(root, b"params.yaml"), "params.yaml")),
            tags={key: value if isinstance(value, str) else str(value) for key, value in tags.items()},
            metrics=load_metrics(self._blob(root, b"metrics.json")),
        )

    def _root(self, commit: str) -> dict[bytes, TreeEntry]:
        kind, data = self._objects.read(bytes.fromhex(commit))
        if kind != COMMIT:
            raise CorruptData(f"'{commit}' is a {kind}, not a run's commit.")
        return self._entries(bytes.fromhex(decode_commit(data).tree))

    def _entries(self, tree: bytes) -> dict[bytes, TreeEntry]:
        kind, data = self._objects.read(tree)
        if kind != TREE:
            raise CorruptData(f"'{tree.hex()}' is a {kind}, not a tree.")
        return {entry.name: entry for entry in decode_tree(data)}

    def _blob(self, entries: Mapping[bytes, TreeEntry], name: bytes) -> bytes:
        if name not in entries:
            raise CorruptData(f"The run has no '{name.decode()}'.")
        return self._content(entries[name])

    def _content(self, entry: TreeEntry) -> bytes:
        kind, data = self._objects.read(entry.oid)
        if kind != BLOB:
            raise CorruptData(f"'{entry.name.decode()}' is a {kind}, not a file.")
        return data

    def _place(self, root: Mapping[bytes, TreeEntry], path: str) -> TreeEntry:
        """The entry of a file deep in a tree."""
        *folders, name = path.encode("utf-8", "surrogateescape").split(b"/")
        entries = root
        for folder in folders:
            if folder not in entries:
                raise CorruptData(f"The run has no '{path}'.")
            entries = self._entries(entries[folder].oid)
        if name not in entries:
            raise CorruptData(f"The run has no '{path}'.")
        return entries[name]

    def _pointers_at(self, root: Mapping[bytes, TreeEntry], paths: Iterable[str]) -> Iterator[tuple[str, Pointer]]:
        for path in paths:
            pointer = parse_pointer(self._content(self._place(root, path)))
            if pointer:
                yield path, pointer

    def _walk(self, tree: bytes, prefix: str) -> Iterator[tuple[str, bytes]]:
        for name, entry in self._entries(tree).items():
            path = prefix + name.decode(errors="surrogateescape")
            if entry.mode == MODE_TREE:
                yield from self._walk(entry.oid, path + "/")
            else:
                yield path, entry.oid

    def _write(self, made: _Objects) -> None:
        known = {oid for oid in made.recurring if self._objects.keeps(oid)}
        self._objects.write([found for oid, found in made.items() if oid not in known])

    def _tidy(self) -> None:
        """Keep packs and loose refs few; each sixteenth time or so there is something to do."""
        if self._objects.consolidate():
            with suppress(GitexpError):
                self._refs.pack(REFS, keep_loose=MOST_LOOSE_REFS)

    def _reads_back(self, made: _Objects) -> bool:
        self._objects.refresh()
        try:
            return all(self._objects.read(oid, verify=True) == found for oid, found in made.items())
        except MissingObject:
            return False


class _Objects(dict[bytes, tuple[str, bytes]]):
    """Git objects to be written, by id; `recurring` are those that an earlier run is likely to have written."""

    def __init__(self) -> None:
        super().__init__()
        self.recurring: set[bytes] = set()

    def add(self, kind: str, data: bytes, *, recurs: bool = False) -> bytes:
        oid = object_id(kind, data)
        self[oid] = (kind, data)
        if recurs:
            self.recurring.add(oid)
        return oid


def _encode_run(run: Run) -> dict[str, bytes]:
    """The files of a run's tree by path, without `code/`."""
    sizes = [item.size_bytes if isinstance(item, Pointer) else len(item) for item in run.artifacts.values()]
    record = replace(run.record, artifact_count=len(sizes), artifact_bytes=sum(sizes))
    files = {
        "run.yaml": dump_run(record).encode(),
        "tags.yaml": _dump_tags(run.tags).encode(),
        "params.yaml": yamltext.dump(nest(run.params)).encode(),
        "metrics.json": dump_metrics(run.metrics).encode(),
        ".gitattributes": _attributes(run).encode("utf-8", "surrogateescape"),
    }
    names = file_names(run.metrics)
    single = {key: history for key, history in run.histories.items() if len(history) == 1}
    if single:
        files["points.csv"] = dump_points(single).encode()
    for key in run.histories.keys() - single.keys():
        files[f"history/{names[key]}.csv"] = dump_history(run.histories[key]).encode()
    for path, content in run.artifacts.items():
        files[f"artifacts/{path}"] = content.to_bytes() if isinstance(content, Pointer) else content
    for path, pointer in run.inputs.items():
        files[f"inputs/{path}"] = pointer.to_bytes()
    if run.environment is not None:
        files["environment/python.yaml"] = yamltext.dump(run.environment.python).encode()
        files["environment/requirements.txt"] = "".join(f"{line}\n" for line in run.environment.requirements).encode()
        if run.environment.conda:
            files["environment/conda.txt"] = "".join(f"{line}\n" for line in run.environment.conda).encode()
    if run.output is not None:
        files["output.log"] = run.output
    return files


def _write_tree(made: _Objects, files: Mapping[str, bytes], trees: Mapping[str, str], *, recurs: bool = False) -> bytes:
    """Make the blobs and trees of `files`; `trees` are existing trees (hex ids) to put beside them."""
    here = [TreeEntry(name.encode(), MODE_TREE, bytes.fromhex(tree)) for name, tree in trees.items()]
    folders: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        name, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(name, {})[rest] = data
        else:
            blob = made.add(BLOB, data, recurs=recurs or name in _RECURRING)
            here.append(TreeEntry(name.encode(), MODE_FILE, blob))
    for name, inside in folders.items():
        tree = _write_tree(made, inside, {}, recurs=recurs or name in _RECURRING)
        here.append(TreeEntry(name.encode(), MODE_TREE, tree))
    return made.add(TREE, encode_tree(here), recurs=recurs)


def _commit(
    tree: bytes, parents: Sequence[str], record: RunRecord, event: str, signature: Signature, *, resumption: str = ""
) -> bytes:
    message = f"{_subject(record, event)}\n\nGitexp-Run: {record.id}\nGitexp-Event: {event}\n"
    if resumption:
        message += f"Gitexp-Resumption: {resumption}\n"
    return encode_commit(
        tree=tree.hex(),
        parents=list(dict.fromkeys(parents)),
        author=signature.author,
        time=int(signature.time),
        message=message,
    )


def _subject(record: RunRecord, event: str) -> str:
    if event not in ("seal", "resume"):
        return f"{record.name}: {event}"
    took = "" if record.duration_s is None else f" after {record.duration_s:.1f} s"
    if record.status is Status.FAILED and record.exit_code is not None:
        took += f" (exit code {record.exit_code})"
    resumed = "resumed, " if event == "resume" else ""
    return f"{record.name}: {resumed}{record.status}{took}"


def _event(commit: str, found: Commit) -> RunEvent:
    subject = found.message.partition("\n")[0]
    kind = trailers(found).get("Event", "unknown")
    return RunEvent(kind=kind, commit=commit, author=found.author, time=float(found.time), message=subject)


def _attributes(run: Run) -> str:
    lines = ["/artifacts/** -text", "/output.log -text"]
    pointers = [f"artifacts/{path}" for path, content in run.artifacts.items() if isinstance(content, Pointer)]
    pointers += [f"inputs/{path}" for path in run.inputs]
    return "\n".join(lines) + "\n" + pointer_attributes([*pointers, *(f"code/{path}" for path in run.code_pointers)])


def pointer_attributes(paths: Iterable[str]) -> str:
    """The lines of `.gitattributes` that mark these paths, and no others, as pointers."""
    return "".join(f"{_attribute_pattern(path)} filter=lfs diff=lfs merge=lfs -text\n" for path in sorted(paths))


def _attribute_pattern(path: str) -> str:
    """A pattern of gitattributes(5) that matches just this path: globs escaped, quoted as C where it has to be."""
    pattern = "/" + re.sub(r"([\\*?\[])", r"\\\1", path)
    if not re.search(r'[\s"\x00-\x1f\x7f]', pattern):
        return pattern
    return '"' + re.sub(r'[\\"\x00-\x1f\x7f]', lambda found: _c_escape(found.group()), pattern) + '"'


def _pointer_paths(attributes: str) -> list[str]:
    """The paths that `_attributes` marked as pointers."""
    paths = []
    for quoted, plain in _POINTER_LINE.findall(attributes):
        pattern = re.sub(r"\\([0-7]{3}|.)", lambda found: _c_unescape(found[1]), quoted) if quoted else plain
        paths.append(re.sub(r"\\(.)", r"\1", pattern))
    return paths


def _c_escape(character: str) -> str:
    return f"\\{character}" if character in '\\"' else f"\\{ord(character):03o}"


def _c_unescape(escaped: str) -> str:
    return chr(int(escaped, 8)) if len(escaped) == 3 else escaped


def _dump_tags(tags: Mapping[str, str]) -> str:
    return yamltext.dump({key: tags[key] for key in sorted(tags)})


def _load(data: bytes, file: str) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CorruptData(f"{file}: not UTF-8 at byte {error.start}.") from error
    try:
        return yamltext.load(text)
    except yamltext.NotCanonical:
        loaded = load_yaml(text, what=file)
    if not isinstance(loaded, dict):
        raise CorruptData(f"{file}: expected a mapping.")
    return loaded
