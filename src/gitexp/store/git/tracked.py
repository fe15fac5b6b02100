"""What git tracks, folder by folder; the index is parsed only where what is remembered of it does not do."""

from __future__ import annotations

import os
import time

from gitexp.store.git.database import MissingObject, ObjectDatabase
from gitexp.store.git.index_file import SKIP_WORKTREE, Index, IndexEntry, by_folder, read_index
from gitexp.store.git.objects import MODE_TREE, decode_tree
from gitexp.store.git.tree_cache import TreeCache, trusted
from gitexp.store.git.worktree import NEVER, NOTHING_TRACKED, Signature, Tracked, signature_of, tracked_folders


class TrackedFiles:
    """The index of one work tree.

    Args:
        path: of the index.
        root: the work tree.
        cache: what is remembered, if the index looks as it did when it was written.
        remembered: how the index looked then.
    """

    def __init__(
        self, path: str, root: bytes, objects: ObjectDatabase, cache: TreeCache, remembered: Signature | None
    ) -> None:
        self._path = path
        self._root = root
        self._objects = objects
        self._cache = cache
        self._looked_ns = time.time_ns()
        self._now = _signature(path)
        self.is_remembered = self._now is not None and self._now == remembered
        self._index: Index | None = None
        self._folders: dict[bytes, Tracked] = {}

    @property
    def signature(self) -> Signature | None:
        """How the index looks; None where that says nothing about its content."""
        if self._now is None or (self._index is not None and self._index.is_sparse):
            return None
        return None if trusted(self._now, self._looked_ns) is NEVER else self._now

    def of(self, folder: bytes, precise: bool = False) -> Tracked:
        """What git tracks in a folder; its entries have their `stat` where `precise` asks for it."""
        if self.is_remembered and self._index is None and not precise:
            return Tracked.decode(self._cache.tracked(folder))
        return self._parsed().get(folder, NOTHING_TRACKED)

    def written_s(self) -> int:
        """When the index was written, seconds since 1970."""
        self._parsed()
        return self._index.written_s if self._index is not None else 0

    def changed_folders(self) -> set[bytes]:
        """The remembered folders in which git tracks something else now."""
        if self.is_remembered:
            return set()
        now = self._parsed()
        return {path for path in self._cache if now.get(path, NOTHING_TRACKED).encode() != self._cache.tracked(path)}

    def content(self, path: bytes) -> bytes | None:
        """The content that the index has for a path; of a merge conflict, ours."""
        entry = self._entry(path)
        return self._blob(entry) if entry is not None and entry.stage in (0, 2) else None

    def stored_content(self, path: bytes) -> bytes | None:
        """The same for a file that a sparse checkout left out of the work tree; None for others."""
        entry = self._entry(path)
        return self._blob(entry) if entry is not None and entry.flags & SKIP_WORKTREE else None

    def _entry(self, path: bytes) -> IndexEntry | None:
        cut = path.rfind(b"/") + 1
        return self.of(path[:cut]).entries.get(path[cut:])

    def _blob(self, entry: IndexEntry) -> bytes | None:
        try:
            return self._objects.read(entry.oid)[1]
        except MissingObject:
            return None

    def _parsed(self) -> dict[bytes, Tracked]:
        if self._index is None:
            self._index = read_index(self._path)
            self._folders = tracked_folders(by_folder(self._index, self._expand))
        return self._folders

    def _expand(self, entry: IndexEntry) -> list[IndexEntry]:
        """The files of a folder that a sparse index has as one entry, where the folder is there all the same."""
        if not os.path.isdir(b"%s/%s" % (self._root, entry.path)):
            return []
        expanded = []
        for name, mode, oid in decode_tree(self._objects.read(entry.oid)[1]):
            if mode == MODE_TREE:
                inner = IndexEntry(entry.path + name + b"/", mode, oid, SKIP_WORKTREE, b"")
                expanded += self._expand(inner) or [inner]
            else:
                expanded.append(IndexEntry(entry.path + name, mode, oid, SKIP_WORKTREE, b""))
        return expanded


def _signature(path: str) -> Signature | None:
    try:
        return signature_of(os.stat(path))
    except OSError:
        return None
