"""From folders to git trees, and what of them git does not have for good yet."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.headtree import HeadTree
from gitexp.store.git.objects import BLOB, MODE_GITLINK, MODE_TREE, TREE, decode_tree, object_id
from gitexp.store.git.paths import folder_of
from gitexp.store.git.refresh import Refreshed
from gitexp.store.git.tree_cache import TreeCache
from gitexp.store.git.worktree import File, Folder

EMPTY_TREE = object_id(TREE, b"")


def make_trees(now: Refreshed) -> bytes:
    """Finds the id of each folder's tree that changed, up to the root's, and returns that."""
    cache = now.cache
    waiting = [(-path.count(b"/"), path) for path in now.changed]
    heapq.heapify(waiting)
    while waiting:
        _, path = heapq.heappop(waiting)
        folder = cache.folder(path)
        if path in now.rebuilt or folder is None:
            continue
        now.rebuilt.add(path)
        if path not in now.changed:
            now.before[path] = folder.ids()
        data = encode(cache, folder)
        tree = object_id(TREE, data) if data or not path else None
        if path and (path in now.changed or tree != folder.tree):
            above = folder_of(path)
            heapq.heappush(waiting, (-above.count(b"/"), above))
        folder.tree = tree
        cache.put(folder)
    return cache.tree(b"") or EMPTY_TREE


def encode(cache: TreeCache, folder: Folder) -> bytes:
    """A folder's tree object; empty where nothing is in it."""
    made = []
    for name, (mode, oid) in _entries(cache, folder).items():
        made.append((name + b"/" if mode == MODE_TREE else name, b"%o %s\0%s" % (mode, name, oid)))
    made.sort()
    return b"".join([entry for _, entry in made])


class NewObjects:
    """Finds what a tree needs and git does not have, or may lose.

    Args:
        blob_data: the content of a file, by its path.
    """

    def __init__(
        self, now: Refreshed, objects: ObjectDatabase, head: HeadTree, blob_data: Callable[[bytes, File], bytes]
    ) -> None:
        self._now = now
        self._objects = objects
        self._head = head
        self._blob_data = blob_data

    def find(self, *, before_is_stored: bool) -> list[tuple[str, bytes]]:
        """Kind and content of each object that is neither in HEAD's tree nor in a pack that we keep.

        Args:
            before_is_stored: whether that is known of all that the remembered tree needs.
        """
        found: dict[bytes, tuple[str, bytes]] = {}
        waiting = [b""]
        while waiting:
            path = waiting.pop()
            tree = self._now.cache.tree(path) or EMPTY_TREE
            before = self._now.before.get(path, set()) if before_is_stored else set()
            is_old = before_is_stored and (path not in self._now.rebuilt or tree in before)
            folder = None if is_old or tree == self._head.tree(path) else self._now.cache.folder(path)
            if folder is not None:
                waiting += self._add_folder(found, folder, tree, before)
        return list(found.values())

    def _add_folder(
        self, found: dict[bytes, tuple[str, bytes]], folder: Folder, tree: bytes, before: set[bytes]
    ) -> Iterator[bytes]:
        """Adds a folder's tree and blobs; gives the paths of the folders in it."""
        cache = self._now.cache
        if not self._objects.keeps(tree):
            found[tree] = (TREE, encode(cache, folder))
        files = {file.name: file for file in folder.files if not file.reason}
        committed = self._head.entries(folder.path)
        for name, (mode, oid) in _entries(cache, folder).items():
            if mode == MODE_TREE and folder.path + name + b"/" in cache:
                yield folder.path + name + b"/"
            elif mode == MODE_GITLINK or oid in before or oid in found or committed.get(name, (0, b""))[1] == oid:
                continue
            elif name not in files:
                self._add_stored(found, oid)
            elif not self._objects.keeps(oid):
                found[oid] = (BLOB, self._blob_data(folder.path + name, files[name]))

    def _add_stored(self, found: dict[bytes, tuple[str, bytes]], oid: bytes) -> None:
        """Adds what the index keeps for a path that is not read from the disk, and all below it."""
        if oid in found or self._objects.keeps(oid):
            return
        found[oid] = kind, data = self._objects.read(oid)
        for _, mode, inner in decode_tree(data) if kind == TREE else ():
            if mode != MODE_GITLINK:
                self._add_stored(found, inner)


def _entries(cache: TreeCache, folder: Folder) -> dict[bytes, tuple[int, bytes]]:
    """Mode and id of each name in a folder's tree. What is on the disk comes before what the index keeps."""
    found = {entry.name: (entry.mode, entry.oid) for entry in folder.kept}
    files = {file.name: (file.mode, file.oid) for file in folder.files if file.oid is not None and not file.reason}
    for name in folder.folders:
        inner = folder.path + name + b"/"
        tree = cache.tree(inner)
        if tree is not None and name not in files:
            found[name] = (MODE_TREE, tree)
    found.update(files)
    return found
