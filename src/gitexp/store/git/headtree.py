"""The tree of the commit that is checked out, read only where it is asked for."""

from __future__ import annotations

from gitexp.store.git.database import MissingObject, ObjectDatabase
from gitexp.store.git.objects import MODE_TREE, TREE, decode_tree
from gitexp.store.git.paths import folders_down_to

Entry = tuple[int, bytes]
"""Mode and id."""


class HeadTree:
    """Args:
    tree: its id, None where there is no commit.
    """

    def __init__(self, objects: ObjectDatabase, tree: bytes | None) -> None:
        self._objects = objects
        self._root = tree
        self._folders: dict[bytes, dict[bytes, Entry]] = {}

    def tree(self, path: bytes) -> bytes | None:
        """The id of the tree of a folder, whose path ends in `/`."""
        if not path:
            return self._root
        mode, oid = self._entry(path[:-1]) or (0, b"")
        return oid if mode == MODE_TREE else None

    def blob(self, path: bytes) -> bytes | None:
        """The id that a path has, None where nothing or a folder is there."""
        mode, oid = self._entry(path) or (MODE_TREE, b"")
        return None if mode == MODE_TREE else oid

    def entries(self, path: bytes) -> dict[bytes, Entry]:
        """What is in a folder, by name; empty where there is no such folder."""
        found = self._folders.get(path)
        if found is None:
            # From the top, as a path may have more parts than Python may nest calls.
            for folder in folders_down_to(path):
                found = self._folders.get(folder)
                if found is None:
                    found = self._folders[folder] = self._read(self.tree(folder))
        return found or {}

    def _entry(self, path: bytes) -> Entry | None:
        cut = path.rfind(b"/") + 1
        return self.entries(path[:cut]).get(path[cut:])

    def _read(self, oid: bytes | None) -> dict[bytes, Entry]:
        if oid is None:
            return {}
        try:
            kind, data = self._objects.read(oid)
        except MissingObject:  # a damaged repository: then nothing is known to be there
            return {}
        return {name: (mode, oid) for name, mode, oid in decode_tree(data)} if kind == TREE else {}
