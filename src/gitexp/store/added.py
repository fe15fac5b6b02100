"""The paths whose content is to be kept with the runs that read it: what `gitexp add` was given.

One file a path, `<gitexp dir>/added/<name>.json`, so that two who add at once do not disturb each other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress

from gitexp.domain.pointer import Pointer
from gitexp.store.git import durable


class AddedPaths:
    """What was added in one repository.

    Args:
        folder: `<gitexp dir>/added`.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def put(self, path: str, contents: Sequence[Pointer]) -> None:
        """Note that a path, seen from the root, was added with these contents. Raises StorageFailed."""
        said = {"path": path, "contents": [[pointer.sha256, pointer.size_bytes] for pointer in contents]}
        durable.replace(self._file(path), json.dumps(said).encode())

    def list(self) -> dict[str, tuple[Pointer, ...]]:
        """The contents of each path when it was added last; a file that cannot be read is left out."""
        found = {}
        names: list[str] = []
        with suppress(FileNotFoundError):
            names = sorted(name for name in os.listdir(self._folder) if name.endswith(".json"))
        for name in names:
            with suppress(OSError, ValueError, KeyError, TypeError):
                with open(os.path.join(self._folder, name), "rb") as file:
                    said = json.load(file)
                found[str(said["path"])] = tuple(Pointer(sha256=sha, size_bytes=size) for sha, size in said["contents"])
        return dict(sorted(found.items()))

    def remove(self, path: str) -> bool:
        """Whether it had been added."""
        try:
            os.unlink(self._file(path))
        except FileNotFoundError:
            return False
        return True

    def _file(self, path: str) -> str:
        return os.path.join(self._folder, hashlib.sha256(os.fsencode(path)).hexdigest()[:32] + ".json")
