"""The inputs of a run: whether they are still what they were, where their content is, and how it comes back."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from gitexp.domain.pointer import SMALL, Pointer
from gitexp.domain.run import Input
from gitexp.errors import CorruptData, GitexpError, NotFound, RemoteFailed, UsageError
from gitexp.reading import Artifact
from gitexp.repo import Repository
from gitexp.running.globs import Glob
from gitexp.sharing.anywhere import fetch_anywhere
from gitexp.sharing.exchange import Listener
from gitexp.store.git.remotes import remote_names
from gitexp.store.git.wildmatch import GLOB_SPECIAL
from gitexp.store.hashes import FileHashes
from gitexp.store.manifests import FileDigest, ReadInput, digest_of, read_file, read_folder
from gitexp.store.userfolder import UserFolder, Write

__all__ = ["InputState", "Place", "check", "kept_inputs", "restore"]

_PIECE = 1 << 20
_KINDS = ("file", "folder")


class Place(StrEnum):
    """Where the content of an input is."""

    PRESENT = "present"
    """As recorded, where it was."""
    CONTENT = "content"
    """In the content store of this machine."""
    ARTIFACT = "artifact"
    """An artifact of a run, on this machine."""
    REMOTE = "remote"
    """Kept by the run, and not on this machine: a remote may have it."""
    CHANGED = "changed"
    """There, with another content; the recorded one is nowhere."""
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputState:
    """What became of an input.

    Attributes:
        detail: for people: which run has it, or what is wrong.
        sha256_now: of what is in its place now; of a folder, of its manifest; None where nothing is.
    """

    input: Input
    place: Place
    detail: str = ""
    sha256_now: str | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the content of one file can be had."""

    file: FileDigest
    place: Place
    path: str | None = None
    artifact: Artifact | None = None
    run: str = ""


def kept_inputs(repository: Repository, commit: str) -> dict[str, Pointer]:
    """The contents of inputs that a run (its commit) keeps, file by file, by their path from the repository's root."""
    return {
        path.removeprefix("inputs/"): pointer
        for path, pointer in repository.runs.pointers(commit)
        if path.startswith("inputs/")
    }


def check(
    repository: Repository, inputs: Sequence[Input], root: str, *, kept: Mapping[str, Pointer] | None = None
) -> tuple[InputState, ...]:
    """Where each file, folder and run among `inputs` is now; datasets made in memory have no place, and are left out.

    Args:
        root: the top of the work tree that the names of inputs are seen from.
        kept: what `kept_inputs` gives for the run that they are the inputs of.
    """
    finder = _Finder(repository, root, kept or {})
    return tuple(finder.state(item) for item in inputs if item.kind != "dataset")


def restore(
    repository: Repository,
    inputs: Sequence[Input],
    folder: str,
    root: str,
    listener: Listener | None = None,
    *,
    kept: Mapping[str, Pointer] | None = None,
) -> tuple[InputState, ...]:
    """Make the files and folders among `inputs` whose names are relative appear below `folder`, as they were recorded.

    They are copies, which share their blocks with the original where the file system can: whoever changes them changes
    nothing else. Each is compared with its digest. What cannot be had is told by its state, and so are inputs outside
    the repository, which stay where they are. A file that is in `folder` already and right is left alone.

    Args:
        folder: gets the inputs. root: the work tree they were read in, which is never changed.
        listener: told of what has to be fetched from a remote.
        kept: as for `check`.
    """
    finder = _Finder(repository, root, kept or {})
    states = []
    for item in inputs:
        if item.kind == "dataset":
            continue
        state = finder.state(item)
        if item.kind in _KINDS and item.digest and not os.path.isabs(item.name):
            state = _restored(repository, finder, state, folder, listener)
        states.append(state)
    return tuple(states)


class _Finder:
    """Looks for inputs around one work tree."""

    def __init__(self, repository: Repository, root: str, kept: Mapping[str, Pointer]) -> None:
        self._repository = repository
        self._root = root
        self._kept = kept
        self._artifacts: dict[str, Mapping[str, Artifact]] = {}

    def state(self, item: Input) -> InputState:
        if item.kind not in _KINDS:
            return self._run_state(item)
        now, trouble = self._now(item)
        found = now.input.digest if now else None
        state = InputState(input=item, place=Place.MISSING, detail=trouble, sha256_now=_hex(found))
        if item.digest is None:
            status = os.stat(os.path.join(self._root, item.name)) if now or os.path.exists(self._at(item)) else None
            if status is None:
                return replace(state, detail="it was too large to have a digest")
            same = item.size_bytes in (None, status.st_size)
            place = Place.PRESENT if same else Place.CHANGED
            return replace(state, place=place, detail="it was too large to have a digest; compared by its size")
        if found == item.digest:
            return replace(state, place=Place.PRESENT, detail="")
        sources = self.sources(item)
        said = "changed since; " if found else ""
        if sources is None:
            if found:
                return replace(state, place=Place.CHANGED, detail="it has another content now, and the old is not kept")
            return state
        places = {source.place for source in sources}
        for place in (Place.REMOTE, Place.ARTIFACT, Place.CONTENT):  # the one that is hardest to reach
            if place in places:
                run = next((source.run for source in sources if source.run and source.place is place), "")
                return replace(state, place=place, detail=f"{said}{_DETAILS[place]}{f' {run!r}' if run else ''}")
        return replace(state, place=Place.CONTENT, detail=f"{said}an empty folder")

    def sources(self, item: Input) -> list[_Source] | None:
        """Where each file of an input can be had; None where one of them can not, or nobody knows which they are."""
        if item.run is not None:
            self._artifacts_of(item.run)
        for manifest in self._manifests(item):
            found = [self._source(file) for file in manifest]
            sources = [source for source in found if source is not None]
            if len(sources) == len(found):
                return sources
        return None

    def here(self, item: Input) -> list[_Source]:
        """The files of an input that is where it was."""
        now, _ = self._now(item)
        if now is None:
            return []
        return [
            _Source(file, Place.PRESENT, path=os.path.join(now.path, file.path) if file.path else now.path)
            for file in now.files
        ]

    def _at(self, item: Input) -> str:
        return os.path.join(self._root, item.name)

    def _now(self, item: Input) -> tuple[ReadInput | None, str]:
        """What is in its place now, and if nothing is, why."""
        path = self._at(item)
        try:
            hashes = FileHashes(os.path.join(self._repository.git.gitexp_dir, "hashes"), path)
            if os.path.isdir(path):
                read = read_folder(item.name, path, hashes)
            elif os.path.exists(path):
                read = read_file(item.name, path, hashes)
            elif not GLOB_SPECIAL.isdisjoint(os.fsencode(item.name)):
                glob = Glob(item.name, self._root)
                files = sorted(found for found, _ in glob.files() if os.path.exists(found))
                if not files:
                    return None, "it is not there"
                read = read_folder(item.name, glob.folder, hashes, files)
            else:
                return None, "it is not there"
            hashes.save()
        except OSError as error:
            return None, f"it cannot be read: {error.strerror}"
        return read, ""

    def _manifests(self, item: Input) -> Iterator[tuple[FileDigest, ...]]:
        """What the files of an input may be, as far as their digest is the one recorded."""
        wanted = _hex(item.digest) or ""
        if item.kind == "file":
            pointer = self._kept.get(item.name)
            size = pointer.size_bytes if pointer and pointer.sha256 == wanted else -1
            yield (FileDigest("", wanted, size),)
            return
        name = os.path.relpath(Glob(item.name, "/").folder, "/") if _is_pattern(item.name) else item.name
        prefix = "" if name == "." else f"{name}/"
        below = {path: pointer for path, pointer in self._kept.items() if path.startswith(prefix)}
        kept = tuple(FileDigest(p.removeprefix(prefix), q.sha256, q.size_bytes) for p, q in below.items())
        for manifest in (kept, *self._artifact_folders(item, name)):
            if manifest and digest_of(manifest) == wanted:
                yield manifest

    def _artifact_folders(self, item: Input, name: str) -> Iterator[tuple[FileDigest, ...]]:
        if item.run is None:
            return
        made = self._artifacts_of(item.run)
        for top in dict.fromkeys((name, os.path.basename(name))):
            yield tuple(
                FileDigest(path.removeprefix(f"{top}/"), artifact.sha256, artifact.size_bytes)
                for path, artifact in made.items()
                if path.startswith(f"{top}/")
            )

    def _source(self, file: FileDigest) -> _Source | None:
        pointer = self._repository.content.find(file.sha256)
        if pointer is not None:
            return _Source(file._replace(size_bytes=pointer.size_bytes), Place.CONTENT)
        for run, artifacts in self._artifacts.items():
            for artifact in artifacts.values():
                if artifact.is_here and artifact.sha256 == file.sha256:
                    return _Source(file, Place.ARTIFACT, artifact=artifact, run=run)
        if file.size_bytes >= 0 and remote_names(self._repository.git):
            return _Source(file, Place.REMOTE)
        return None

    def _run_state(self, item: Input) -> InputState:
        try:
            view = self._repository.get_run(item.run or item.name)
        except GitexpError as error:
            return InputState(input=item, place=Place.MISSING, detail=str(error))
        return InputState(input=item, place=Place.ARTIFACT, detail=f"the run {view.name!r}")

    def _artifacts_of(self, run: str) -> Mapping[str, Artifact]:
        if run not in self._artifacts:
            self._artifacts[run] = {}
            with suppress(GitexpError):
                self._artifacts[run] = self._repository.get_run(run).artifacts
        return self._artifacts[run]


_DETAILS = {
    Place.REMOTE: "a remote may have its content",
    Place.ARTIFACT: "an artifact of the run",
    Place.CONTENT: "its content is kept on this machine",
}


def _restored(
    repository: Repository, finder: _Finder, state: InputState, folder: str, listener: Listener | None
) -> InputState:
    item = state.input
    sources = finder.here(item) if state.place is Place.PRESENT else finder.sources(item)
    if sources is None:
        return state
    try:
        away = [_pointer(source.file) for source in sources if source.place is Place.REMOTE]
        if away:
            fetch_anywhere(repository, away, listener)
        target = UserFolder(folder)
        top = os.path.relpath(Glob(item.name, "/").folder, "/") if _is_pattern(item.name) else item.name
        for source in sources:
            path = f"{top}/{source.file.path}" if source.file.path else top
            _copy(repository, source, target, os.fsencode(path.removeprefix("./")))
    except (NotFound, RemoteFailed, UsageError) as error:
        return replace(state, place=Place.MISSING, detail=str(error))
    except CorruptData as error:  # changed since we looked, or damaged
        return replace(state, place=Place.CHANGED, detail=str(error))
    return state


def _copy(repository: Repository, source: _Source, target: UserFolder, path: bytes) -> None:
    digest = source.file.sha256
    found = target.status(path)
    if found is not None and stat.S_ISREG(found.st_mode) and found.st_size == source.file.size_bytes:
        there = hashlib.sha256()
        for piece in target.read(path):
            there.update(piece)
        if there.hexdigest() == digest:
            return
    if source.artifact is not None and source.artifact.size_bytes <= SMALL:
        data = source.artifact.read()
        target.write(path, partial(_give, data))
        return
    opened = open(source.path, "rb") if source.path else repository.content.open(_pointer(source.file))  # noqa: SIM115
    with opened:
        target.copy(path, opened, digest)


def _give(data: bytes, add: Write) -> None:
    add(data)


def _pointer(file: FileDigest) -> Pointer:
    return Pointer(sha256=file.sha256, size_bytes=file.size_bytes)


def _is_pattern(name: str) -> bool:
    return not GLOB_SPECIAL.isdisjoint(os.fsencode(name))


def _hex(digest: str | None) -> str | None:
    return None if digest is None else digest.removeprefix("sha256:")
