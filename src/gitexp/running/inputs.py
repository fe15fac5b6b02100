"""Inputs of a command: the files and folders that it is said to read, by the content that they have when it begins."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from gitexp.domain.keys import shorten
from gitexp.errors import NotFound, UsageError
from gitexp.running.globs import Glob
from gitexp.store.git.wildmatch import GLOB_SPECIAL
from gitexp.store.hashes import FileHashes, Stopped
from gitexp.store.manifests import ReadInput, read_file, read_folder

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

    def read(self, folder: str, is_stopped: Callable[[], bool]) -> tuple[ReadInput, ...]:
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

    def _read(self, place: _Place, folder: str, is_stopped: Callable[[], bool]) -> ReadInput:
        hashes = FileHashes(folder, f"{place.path}\0{place.name}" if place.matched else place.path, is_stopped)
        if place.matched or stat.S_ISDIR(os.stat(place.path).st_mode):
            read = read_folder(place.name, place.path, hashes, place.matched or None, top=self._name(place.path))
        else:
            read = read_file(place.name, place.path, hashes)
        hashes.save()
        return read
