"""Inputs of a command: the files and folders that it is said to read, by the content that they have when it begins."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gitexp.domain.keys import shorten
from gitexp.domain.run import Input
from gitexp.errors import NotFound, UsageError
from gitexp.running.globs import SKIPPED, Glob
from gitexp.store.git.wildmatch import GLOB_SPECIAL
from gitexp.store.hashes import FileHashes, Stopped

MOST_FILES = 100
"""That one pattern gives one by one; more are recorded as one input."""


class _Place(NamedTuple):
    """One input: what it is called, where it is, and if it is a pattern, the files that matched."""

    name: str
    path: str
    matched: tuple[str, ...] = ()


class Inputs:
    """What runs read, by options (seen from `directory`) and by settings (seen from `root`).

    Args:
        root: the top of the work tree; None where there is none.

    Attributes:
        missing: what the settings name and is not there.

    Raises:
        NotFound: what an option names is not there.
    """

    def __init__(self, said: tuple[str, ...], configured: tuple[str, ...], directory: str, root: str | None) -> None:
        self._root = os.path.realpath(root or directory)
        self._places: dict[str, _Place] = {}
        self.missing: list[str] = []
        for pattern in said:
            if not self._find(pattern, directory):
                raise NotFound(
                    f"The input {shorten(pattern)} does not exist.",
                    hint="Give the path of a file or folder, seen from here.",
                )
        for pattern in configured:
            if not self._find(pattern, self._root):
                self.missing.append(pattern)

    def read(self, folder: str, is_stopped: Callable[[], bool]) -> tuple[Input, ...]:
        """Each input with the SHA-256 of its content; a file that is as it was when `folder` knew it is not read again.

        Args:
            folder: where hashes are remembered.
            is_stopped: asked now and then; where it says so, there are no inputs.

        Raises:
            UsageError: one of them cannot be read.
        """
        try:
            return tuple(self._read(place, folder, is_stopped) for place in self._places.values())
        except Stopped:
            return ()
        except OSError as error:
            raise UsageError(
                f"The input '{error.filename}' cannot be read: {error.strerror}.",
                hint="Check what it is, and its rights.",
            ) from error

    def _find(self, pattern: str, folder: str) -> bool:
        path = os.path.normpath(os.path.join(folder, pattern))
        if os.path.exists(path):
            self._add(path)
            return True
        if GLOB_SPECIAL.isdisjoint(os.fsencode(pattern)):
            return False
        glob = Glob(pattern, folder)
        files = sorted(path for path, _ in glob.files() if os.path.exists(path))
        if len(files) > MOST_FILES:
            name = self._name(os.path.normpath(os.path.join(folder, pattern)))
            self._places[name] = _Place(name, glob.folder, tuple(files))
        else:
            for file in files:
                self._add(file)
        return bool(files)

    def _add(self, path: str) -> None:
        name = self._name(path)
        self._places[name] = _Place(name, path)

    def _name(self, path: str) -> str:
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        return os.path.relpath(real, self._root) if f"{real}/".startswith(self._root.rstrip("/") + "/") else path

    def _read(self, place: _Place, folder: str, is_stopped: Callable[[], bool]) -> Input:
        hashes = FileHashes(folder, f"{place.path}\0{place.name}" if place.matched else place.path, is_stopped)
        is_folder = place.matched or stat.S_ISDIR(os.stat(place.path).st_mode)
        files = place.matched or (_below(place.path, {os.path.realpath(place.path)}) if is_folder else (place.path,))
        digest = _manifest_digest(place.path, files, hashes) if is_folder else hashes.sha256(place.path)
        hashes.save()
        return Input(kind="folder" if is_folder else "file", name=_storable(place.name), digest=f"sha256:{digest}")


def _manifest_digest(folder: str, files: Iterator[str] | tuple[str, ...], hashes: FileHashes) -> str:
    """Of the lines `<SHA-256>  <path from the folder>`, sorted by path: what `sha256sum` prints for them."""
    names = sorted(os.fsencode(os.path.relpath(path, folder)) for path in files)
    manifest = hashlib.sha256()
    for name in names:
        digest = hashes.sha256(os.path.join(folder, os.fsdecode(name)))
        manifest.update(b"%s  %s\n" % (digest.encode(), name))
    return manifest.hexdigest()


def _below(folder: str, above: set[str]) -> Iterator[str]:
    """Every file in a folder, links followed; without what programs leave behind by themselves. Raises OSError."""
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


def _storable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
