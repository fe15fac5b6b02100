"""A run's code brought back: into the work tree, or as a branch.

What is in the work tree and kept nowhere else (not in the commit that is checked out, not in a run) is never written
over, unless that is asked for; then it is put aside first.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from gitexp.comparing import tree_pairs
from gitexp.domain import yamltext
from gitexp.domain.identity import SAVED
from gitexp.domain.masking import MASK
from gitexp.domain.pointer import Pointer
from gitexp.domain.values import Value, nest, same_value
from gitexp.errors import Conflict, CorruptData, GitexpError, NotARepository, NotFound, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.sharing.anywhere import fetch_anywhere
from gitexp.sharing.exchange import Listener
from gitexp.store.git.checkout import Checkout
from gitexp.store.git.headtree import HeadTree
from gitexp.store.git.objects import (
    BLOB,
    COMMIT,
    MODE_EXECUTABLE,
    MODE_FILE,
    MODE_GITLINK,
    MODE_SYMLINK,
    decode_commit,
    encode_commit,
    object_id,
)
from gitexp.store.git.packedrefs import is_ref_name
from gitexp.store.git.paths import folder_of
from gitexp.store.git.snapshot import Snapshot, SnapshotRules, take
from gitexp.store.git.treefiles import with_files
from gitexp.store.paramfile import ParamFile
from gitexp.store.runs import Signature
from gitexp.store.userfolder import UserFolder, Write, check_name

PARAMS = "params.yaml"
RUNS_LOOKED_INTO = 200
"""The newest so many runs are asked whether they keep a file as it is."""

NAMED = 5
"""How many files a message names."""

Entry = tuple[int, bytes]
"""Mode and id."""

_REGULAR = (MODE_FILE, MODE_EXECUTABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """Files to bring back.

    Attributes:
        title: where they are from, for people.
        tree: hex id of the tree that holds them.
        pointers: what of them lies beside git, by path.
        absent: paths of files that were there but were not captured, so that nothing is known of them.
        params: those that files got because the run had other values than they said, by key.
    """

    title: str
    tree: str
    pointers: Mapping[str, Pointer] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    params: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of the work tree, paths from its top.

    Attributes:
        saved: the ref of the state before, where something in it was kept nowhere else.
        submodules: those that are at another commit than they were; they stay as they are.
        unconverted: files that were written as git stores them, because what converts them is not installed.
        pointers: files under Git LFS that are pointers, because git-lfs does not have their content here.
    """

    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    saved: str | None = None
    submodules: tuple[str, ...] = ()
    unconverted: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Branched:
    """A new branch: its commit, and the files on it that are pointers to content which git does not hold."""

    commit: str
    pointers: tuple[str, ...]


# What is to be brought back


def code_of(repository: Repository, view: RunView) -> Captured:
    """A run's code, with the params of the run in `params.yaml`.

    Raises:
        NotFound: none was captured.
        UsageError: the run is still being recorded.
    """
    return _with_params(repository, captured_code(repository, view), view)


def captured_code(repository: Repository, view: RunView) -> Captured:
    """A run's code as it was when the run began. Raises as `code_of`."""
    if view.commit is None:
        raise UsageError(f"The run '{view.name}' is still being recorded.", hint="Wait for its end.")
    if view.code.tree is None:
        raise NotFound(f"The run '{view.name}' has no code: none was captured when it was recorded.")
    pointers = {
        path.removeprefix("code/"): pointer
        for path, pointer in repository.runs.pointers(view.commit)
        if path.startswith("code/")
    }
    code = view.record.code
    return Captured(
        title=f"run '{view.name}' ({view.id})",
        tree=view.code.tree,
        pointers=pointers,
        absent=frozenset(file.path for file in code.skipped) if code else frozenset(),
    )


def params_of(repository: Repository, view: RunView) -> tuple[Captured, str]:
    """Only the `params.yaml` of a run, and its path; where its code has none, one with all its params.

    Raises:
        NotFound: it has no params either.
    """
    with suppress(NotFound):
        captured = code_of(repository, view)
        path = _params_path(repository, view)
        if path is not None:
            return captured, path
    if not view.params:
        raise NotFound(f"The run '{view.name}' has no params.")
    data = yamltext.dump(nest(view.params)).encode()
    return _with_file(repository, Captured(title=f"run '{view.name}' ({view.id})", tree=""), PARAMS, data), PARAMS


def saved_state(repository: Repository, ref: str) -> Captured:
    """A state that was put aside.

    Raises:
        NotFound: there is none of that name.
    """
    commit = repository.refs.read(ref)
    tree = repository.runs.code_tree(commit) if commit else None
    if commit is None or tree is None:
        raise NotFound(f"Nothing was put aside as '{ref}'.", hint=f"Type: git for-each-ref {SAVED}")
    pointers = {path.removeprefix("code/"): pointer for path, pointer in repository.runs.pointers(commit)}
    return Captured(title=f"'{ref}'", tree=tree, pointers=pointers)


def _with_params(repository: Repository, captured: Captured, view: RunView) -> Captured:
    path = _params_path(repository, view)
    if path is None:
        return captured
    file, params = ParamFile(path, view.code.read(path)), {}
    try:
        said = list(_leaves(file.values()))
    except CorruptData:
        return captured
    for keys, value in said:
        wanted = view.params.get(".".join(keys), value)
        if wanted == MASK or same_value(wanted, value):
            continue
        with suppress(UsageError):  # it stays as the file has it where it cannot be changed by itself
            file, params[".".join(keys)] = file.with_edit(keys, wanted)[0], wanted
    return replace(_with_file(repository, captured, path, file.content), params=params) if params else captured


def _with_file(repository: Repository, captured: Captured, path: str, data: bytes) -> Captured:
    """The same with another file at `path`; what is new of it is written."""
    old = bytes.fromhex(captured.tree) if captured.tree else None
    tree, made = with_files(repository.objects, old, {os.fsencode(path): (MODE_FILE, object_id(BLOB, data))})
    repository.objects.write([(BLOB, data), *made])
    return replace(captured, tree=tree.hex())


def _params_path(repository: Repository, view: RunView) -> str | None:
    """The `params.yaml` nearest to where the run was started, which is the one it recorded."""
    tree = HeadTree(repository.objects, bytes.fromhex(view.code.tree) if view.code.tree else None)
    parts = [part for part in (view.record.directory or "").split("/") if part not in ("", ".")]
    for count in range(len(parts), -1, -1):
        path = "/".join([*parts[:count], PARAMS])
        if tree.blob(os.fsencode(path)) is not None:
            return path
    return None


def _leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


# As a branch


def make_branch(repository: Repository, view: RunView, name: str) -> Branched:
    """A branch whose one new commit has the run's code, based on the commit the run was based on.

    Raises:
        UsageError: there is such a branch, or the name is none for a branch.
        NotFound: no code was captured.
        CorruptData: the code has names that would leave a work tree.
    """
    ref = f"refs/heads/{name}"
    if not is_ref_name(ref) or name.startswith("-") or name == "HEAD":
        raise UsageError(f"'{name}' is no name for a branch.", hint="Use letters, digits, dashes and slashes.")
    if repository.refs.read(ref) is not None:
        raise UsageError(f"There is a branch '{name}' already.", hint="Choose another name.")
    captured = code_of(repository, view)
    code = view.record.code
    for path in _changed(repository, code.commit if code else None, captured.tree):
        for part in path.split(b"/"):
            check_name(part)
    data = encode_commit(
        tree=captured.tree,
        parents=[code.commit] if code and code.commit else [],
        author=view.record.author or repository.author,
        time=int(view.record.start),
        committer=repository.author,
        committer_time=int(time.time()),
        message=f"{view.name}\n\nThe code of {captured.title}.\n\nGitexp-Code-Of: {view.id}\n",
    )
    repository.objects.write([(COMMIT, data)])
    commit = object_id(COMMIT, data).hex()
    try:
        made = repository.refs.create(ref, commit)
    except Conflict as error:
        raise UsageError(f"A branch of another name is in the way of '{name}'.", hint="Choose another name.") from error
    if not made:
        raise UsageError(f"There is a branch '{name}' already.", hint="Choose another name.")
    return Branched(commit=commit, pointers=tuple(sorted(captured.pointers)))


def _changed(repository: Repository, commit: str | None, tree: str) -> Iterator[bytes]:
    """The paths that a tree has otherwise than a commit; all, where the commit is not here."""
    is_here = commit is not None and repository.objects.contains(bytes.fromhex(commit))
    before = _tree_of(repository, commit) if is_here else None
    pairs = tree_pairs(repository.objects, before.hex() if before else None, tree)
    return (os.fsencode(pair.path) for pair in pairs if pair.after is not None)


# Into the work tree


def apply(
    repository: Repository,
    captured: Captured,
    *,
    only: str | None = None,
    force: bool = False,
    listener: Listener | None = None,
    engine: str = "auto",
) -> Applied:
    """Make the files of the work tree what `captured` says. The index and HEAD stay as they are.

    Files that are neither in HEAD nor in `captured` stay. Content that is not here is fetched first.

    Args:
        only: one path; nothing else is touched.
        force: put aside what is kept nowhere else, and go on.

    Raises:
        UsageError: there is such a file; nothing has changed.
        NotFound, RemoteFailed: content is not here and cannot be fetched; nothing has changed.
        StorageFailed: the disk is full, read-only or failing. The same call again finishes the work.
    """
    plan = _Plan(repository, captured, only)
    if plan.at_risk and not force:
        raise _refusal(plan.at_risk)
    wanted = {captured.pointers[path]: None for path, _ in plan.writes() if path in captured.pointers}
    fetch_anywhere(repository, list(wanted), listener, engine=engine)
    saved = plan.save() if plan.at_risk else None
    checkout = plan.carry_out()
    return Applied(
        written=tuple(path for path, _ in plan.writes()),
        removed=tuple(os.fsdecode(path) for path in plan.removed),
        saved=saved,
        submodules=tuple(os.fsdecode(path) for path in plan.submodules),
        unconverted=tuple(os.fsdecode(path) for path in checkout.unconverted),
        pointers=tuple(os.fsdecode(path) for path in checkout.pointers),
    )


def _refusal(paths: Collection[bytes]) -> UsageError:
    named = ", ".join(f"'{os.fsdecode(path)}'" for path in sorted(paths)[:NAMED])
    more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return UsageError(
        f"What is in {named}{more} is in no commit and in no run, and would be written over.",
        hint="Commit it, or say --force: then it is put aside first.",
    )


class _Plan:
    """What has to change in the work tree. Nothing is changed before `carry_out`.

    Attributes:
        removed: what goes. at_risk: what would be lost.
        submodules: those that differ.
    """

    def __init__(self, repository: Repository, captured: Captured, only: str | None) -> None:
        if repository.git.work_tree is None:
            raise NotARepository("A bare repository has no files.", hint="Type: git worktree add <folder>")
        self._repository = repository
        self._captured = captured
        self._folder = UserFolder(repository.git.work_tree)
        self._now = _present(repository)
        self._present = HeadTree(repository.objects, bytes.fromhex(self._now.tree))
        self._head = HeadTree(repository.objects, _tree_of(repository, self._now.head.commit))
        self._writes: dict[bytes, Entry] = {}
        self._unseen: set[bytes] = set()
        self.removed: set[bytes] = set()
        self.submodules: list[bytes] = []
        for pair in tree_pairs(repository.objects, self._now.tree, captured.tree):
            if only in (None, pair.path):
                self._sort_in(os.fsencode(pair.path), pair.before, pair.after)
        for path in list(self._writes):
            self._clear_way(path)
        self.at_risk = self._not_kept()

    def writes(self) -> list[tuple[str, Entry]]:
        """What is written, in an order in which each file finds the rules for its conversion in place."""
        first = sorted(self._writes, key=lambda path: (not path.endswith(b".gitattributes"), path))
        return [(os.fsdecode(path), self._writes[path]) for path in first]

    def save(self) -> str:
        """Put the present state aside; gives its ref."""
        repository = self._repository
        extra: dict[bytes, Entry] = {}
        pointers = [*self._now.pointers]
        for path in sorted(self._unseen & self.at_risk):
            mode, oid, pointer = self._keep(path)
            extra[path] = (mode, oid)
            pointers += [os.fsdecode(path)] if pointer else []
        tree, made = with_files(repository.objects, bytes.fromhex(self._now.tree), extra)
        repository.objects.write(made)
        return repository.saved.add(
            tree,
            pointers,
            head=self._now.head.commit,
            reason=f"{self._captured.title} was applied",
            signature=Signature(author=repository.author, time=time.time()),
        )

    def carry_out(self) -> Checkout:
        """Raises StorageFailed."""
        checkout = Checkout(self._repository.git, self._repository.objects, self._repository.content)
        links = self._repository.git.config_flag("core", "symlinks", default=True)
        for path in sorted(self.removed):
            self._folder.remove(path)
        for name, (mode, oid) in self.writes():
            path = os.fsencode(name)
            if mode == MODE_SYMLINK and links:
                self._folder.link(path, self._repository.objects.read(oid)[1])
            elif self._has_content(path, mode, oid):
                self._folder.set_executable(path, mode == MODE_EXECUTABLE)
            else:
                pieces = checkout.pieces(path, oid, self._captured.pointers.get(name))
                self._folder.write(path, _writing(pieces), executable=mode == MODE_EXECUTABLE)
        return checkout

    def _sort_in(self, path: bytes, before: tuple[int, str] | None, after: tuple[int, str] | None) -> None:
        if MODE_GITLINK in ((before or (0, ""))[0], (after or (0, ""))[0]):
            self.submodules.append(path)
        elif after is not None:
            for part in path.split(b"/"):
                check_name(part)
            self._writes[path] = (after[0], bytes.fromhex(after[1]))
        elif self._entry(self._head, path) and os.fsdecode(path) not in self._captured.absent:
            self.removed.add(path)

    def _clear_way(self, path: bytes) -> None:
        """Plan to remove what is where a file, or a folder on the way to it, has to be, and is no part of the state."""
        blocking = self._folder.in_the_way(path)
        if blocking is not None:
            self._remove(blocking)
            return
        found = self._folder.status(path)
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
            try:
                for inner in self._folder.files(path):
                    self._remove(inner)
            except CorruptData as error:
                raise UsageError(
                    f"'{os.fsdecode(path)}' is a folder with a repository of its own.", hint="Move it away."
                ) from error
        elif self._entry(self._present, path) is None:
            self._unseen.add(path)

    def _remove(self, path: bytes) -> None:
        self.removed.add(path)
        if self._entry(self._present, path) is None:
            self._unseen.add(path)

    def _not_kept(self) -> set[bytes]:
        """Of what goes or is written over, all that neither HEAD nor a run has."""
        unsure: dict[bytes, Entry | None] = {}
        for path in (*self._writes, *self.removed):
            entry = self._entry(self._present, path)
            if path in self._unseen:
                if not self._is_as_wanted(path):
                    unsure[path] = None
            elif entry is not None and entry != self._entry(self._head, path):
                unsure[path] = entry
        if any(unsure.values()):
            for tree in self._trees_of_runs():
                kept = [path for path, entry in unsure.items() if entry and self._entry(tree, path) == entry]
                for path in kept:
                    del unsure[path]
                if not any(unsure.values()):
                    break
        return set(unsure)

    def _trees_of_runs(self) -> Iterator[HeadTree]:
        """What runs captured, and what they made."""
        runs = self._repository.runs
        for run in self._repository.search(limit=RUNS_LOOKED_INTO):
            if run.commit is not None:
                with suppress(GitexpError):  # a damaged run keeps nothing
                    for tree in (runs.code_tree(run.commit), runs.artifacts_tree(run.commit)):
                        if tree:
                            yield HeadTree(self._repository.objects, bytes.fromhex(tree))

    def _is_as_wanted(self, path: bytes) -> bool:
        """Whether a file that no snapshot sees holds what is to be written there."""
        wanted = self._writes.get(path)
        pointer = self._captured.pointers.get(os.fsdecode(path))
        found = self._folder.status(path)
        if wanted is None or found is None or stat.S_ISLNK(found.st_mode) != (wanted[0] == MODE_SYMLINK):
            return False
        if pointer is not None:
            digest = hashlib.sha256()
        else:
            digest = hashlib.sha1(b"blob %d\0" % found.st_size, usedforsecurity=False)
        for piece in self._folder.read(path):
            digest.update(piece)
        return digest.hexdigest() == (pointer.sha256 if pointer else wanted[1].hex())

    def _has_content(self, path: bytes, mode: int, oid: bytes) -> bool:
        """Whether only the bits of a file's mode differ."""
        present = self._entry(self._present, path)
        return mode in _REGULAR and present is not None and present[0] in _REGULAR and present[1] == oid

    def _keep(self, path: bytes) -> tuple[int, bytes, bool]:
        """Write a file that the snapshot left out into git, or beside it where it is large.

        Returns:
            Its mode, the id of its blob, and whether that is a pointer.
        """
        found = self._folder.status(path)
        if found is None:
            raise Conflict(f"'{os.fsdecode(path)}' was removed meanwhile.", hint="Try again.")
        repository = self._repository
        is_beside = stat.S_ISREG(found.st_mode) and found.st_size > repository.config.snapshot_max_file_bytes
        if is_beside:
            full = os.path.join(os.fsencode(repository.git.work_tree or ""), path)
            data = repository.content.add_file(full).to_bytes()
        else:
            data = b"".join(self._folder.read(path))
        mode = MODE_EXECUTABLE if found.st_mode & stat.S_IXUSR else MODE_FILE
        repository.objects.write([(BLOB, data)])
        return MODE_SYMLINK if stat.S_ISLNK(found.st_mode) else mode, object_id(BLOB, data), is_beside

    def _entry(self, tree: HeadTree, path: bytes) -> Entry | None:
        folder = folder_of(path)
        return tree.entries(folder).get(path[len(folder) :])


def _present(repository: Repository) -> Snapshot:
    """The work tree as it is, everything of it written."""
    config = repository.config
    rules = SnapshotRules(
        max_file=config.snapshot_max_file_bytes,
        max_total=config.snapshot_max_total_bytes,
        secrets=config.snapshot_secrets,
    )
    snapshot = take(repository.git, repository.objects, repository.content, rules)
    repository.objects.write(snapshot.new_objects)
    return snapshot


def _tree_of(repository: Repository, commit: str | None) -> bytes | None:
    if commit is None:
        return None
    return bytes.fromhex(decode_commit(repository.objects.read(bytes.fromhex(commit))[1]).tree)


def _writing(pieces: Iterable[bytes]) -> Callable[[Write], None]:
    def write(add: Write) -> None:
        for piece in pieces:
            add(piece)

    return write
