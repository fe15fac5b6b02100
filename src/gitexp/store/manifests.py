"""What a file or folder holds, as inputs are recorded: by the SHA-256 of each file (docs/format.md, 1.4)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from gitexp.domain.manifest import manifest_digest
from gitexp.domain.pointer import SMALL, Pointer
from gitexp.domain.run import Input
from gitexp.store.git.objects import BLOB, object_id
from gitexp.store.hashes import FileHashes

SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", "node_modules", ".tox", ".nox", ".DS_Store"}
)
"""Names that programs leave behind by themselves; neither they nor what is below them counts."""

MOST_LINEAGE = 1_000
"""Files of one input by which the run that made it is looked for."""

_LEAST_TELLING = 16
"""Bytes; shorter files, and empty ones, are alike without having come from the same run."""


class FileDigest(NamedTuple):
    """One file: its path in the folder ("" where it is the input itself), its SHA-256 and its size in bytes."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadInput:
    """An input whose content was looked at.

    Attributes:
        path: where it is now, absolute; of files that a pattern matched, the folder they are in.
        top: the same as `input` names it: from the repository's root where it is inside.
        files: sorted by the bytes of their path.
        blobs: the git blobs (hex ids) that the first of them would be as artifacts of a run.
    """

    input: Input
    path: str = ""
    top: str = ""
    files: tuple[FileDigest, ...] = ()
    blobs: tuple[str, ...] = ()

    @property
    def contents(self) -> Iterator[tuple[str, str, Pointer]]:
        """Each file: its path from the repository's root, where it is now, and its content."""
        for file in self.files:
            name = os.path.normpath(os.path.join(self.top, file.path))
            place = os.path.join(self.path, file.path) if file.path else self.path
            yield name, place, Pointer(sha256=file.sha256, size_bytes=file.size_bytes)


def read_file(name: str, path: str, hashes: FileHashes) -> ReadInput:
    """The file at `path` as the input `name`. Raises OSError, and Stopped as `hashes` does."""
    file = FileDigest("", hashes.sha256(path), os.stat(path).st_size)
    return ReadInput(
        input=Input(kind="file", name=storable(name), digest=f"sha256:{file.sha256}"),
        path=path,
        top=name,
        files=(file,),
        blobs=_blobs(path, (file,)),
    )


def read_folder(
    name: str, folder: str, hashes: FileHashes, paths: Iterable[str] | None = None, *, top: str | None = None
) -> ReadInput:
    """The folder as the input `name`; raises as `read_file`.

    Args:
        paths: the files that count, by their whole path; None for all that `files_below` gives.
        top: see `ReadInput`, where that is not the name.
    """
    counting = files_below(folder) if paths is None else paths
    found = [(os.fsencode(os.path.relpath(path, folder)), path) for path in counting]
    files = tuple(
        FileDigest(os.fsdecode(short), hashes.sha256(path), os.stat(path).st_size) for short, path in sorted(found)
    )
    return ReadInput(
        input=Input(kind="folder", name=storable(name), digest=f"sha256:{digest_of(files)}"),
        path=folder,
        top=name if top is None else top,
        files=files,
        blobs=_blobs(folder, files),
    )


def digest_of(files: Iterable[FileDigest]) -> str:
    """The digest, in hex, of a folder that holds these files."""
    return manifest_digest((file.path, file.sha256) for file in files)


def files_below(folder: str) -> Iterator[str]:
    """Every file in a folder, links followed; without what programs leave behind by themselves. Raises OSError."""
    yield from _below(folder, {os.path.realpath(folder)})


def storable(name: str) -> str:
    """A path as text that can be UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def artifact_blob(path: str, file: FileDigest) -> str | None:
    """The git blob (hex id) that a file is as an artifact; None where it has changed meanwhile."""
    pointer = Pointer(sha256=file.sha256, size_bytes=file.size_bytes)
    if file.size_bytes > SMALL:
        return object_id(BLOB, pointer.to_bytes()).hex()
    with suppress(OSError), open(path, "rb", buffering=0) as opened:
        data = opened.read(SMALL + 1)
        if hashlib.sha256(data).hexdigest() == file.sha256:
            return object_id(BLOB, data).hex()
    return None


def _blobs(place: str, files: tuple[FileDigest, ...]) -> tuple[str, ...]:
    telling = [file for file in files if file.size_bytes >= _LEAST_TELLING][:MOST_LINEAGE]
    blobs = (artifact_blob(os.path.join(place, file.path) if file.path else place, file) for file in telling)
    return tuple(blob for blob in blobs if blob is not None)


def _below(folder: str, above: set[str]) -> Iterator[str]:
    with os.scandir(folder) as listed:
        entries = list(listed)
    for entry in entries:
        if entry.name in SKIPPED:
            continue
        if entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in above:  # a link that leads upwards
                yield from _below(entry.path, above | {real})
        elif entry.is_file():
            yield entry.path
