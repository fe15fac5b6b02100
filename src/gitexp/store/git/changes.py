"""What came to be in a work tree since a snapshot: the files that a run made or changed.

Only folders that changed are listed again, and of the files that were there only the untracked ones are looked at, so
that it costs next to nothing in a big work tree where little happened.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.settings import Settings
from gitexp.store.git.tracked import TrackedFiles
from gitexp.store.git.tree_cache import Listed, TreeCache
from gitexp.store.git.worktree import File, Scanner, State, signature_of

_BLOCK = 1 << 20

OURS = frozenset({b".gitexp"})
CACHES = frozenset({b"__pycache__", b".ipynb_checkpoints", b".DS_Store"})
"""What programs leave behind by themselves and nobody means to keep."""


class ChangedFile(NamedTuple):
    """An untracked file as it is now: its path from the root, its size in bytes, and whether it is a symlink."""

    path: str
    size_bytes: int
    is_link: bool


class Seen:
    """A work tree as a snapshot saw it.

    Args:
        cache: every folder, as it was stored after the snapshot.
        index_file: git's index.
    """

    def __init__(self, settings: Settings, objects: ObjectDatabase, cache: TreeCache, index_file: str) -> None:
        self._settings = settings
        self._root = settings.root
        self._objects = objects
        self._cache = cache
        self._index_file = index_file

    def tracked(self, paths: Iterable[str]) -> set[str]:
        """Those of some files, by their paths from the root, that git tracks."""
        tracked = TrackedFiles(self._index_file, self._root, self._objects, self._cache, self._cache.facts.get("index"))
        found = set()
        for path in paths:
            folder, slash, name = os.fsencode(path).rpartition(b"/")
            if name in tracked.of(folder + slash).entries:
                found.add(path)
        return found

    def changed(self) -> list[ChangedFile]:
        """The files that neither git tracks nor git ignores, and that were not there or had another content.

        A folder that cannot be listed, and a file that goes meanwhile, are left out.
        """
        tracked = TrackedFiles(self._index_file, self._root, self._objects, self._cache, self._cache.facts.get("index"))
        found: list[ChangedFile] = []
        for listed in self._cache.listed():
            try:
                now = os.lstat(self._full(listed.path.rstrip(b"/")))
            except OSError:
                continue
            if signature_of(now) != listed.signature:
                found += self._new_in(listed, tracked)
            if listed.has_untracked:
                found += self._changed_in(listed.path, tracked)
        return sorted(found)

    def _new_in(self, listed: Listed, tracked: TrackedFiles) -> Iterator[ChangedFile]:
        """The files in a folder, and in folders in it, whose names were not there."""
        before = {*listed.listing.split(b"\0"), *CACHES, *(OURS if not listed.path else ())}
        try:
            names = set(os.listdir(self._full(listed.path.rstrip(b"/"))))
        except OSError:
            return
        if names <= before:
            return
        scanner = Scanner(self._settings.scan_rules(tracked.stored_content), tracked.of, tracked.written_s)
        waiting = [listed.path]
        while waiting:
            path = waiting.pop()
            folder, inside = scanner.scan(path, State.OPEN, None, but=before if path == listed.path else CACHES)
            for file in folder.files:
                if not file.tracked and not file.reason and not file.name.endswith(b".pyc"):
                    yield _changed(path, file)
            waiting += [inner for inner, state in inside.items() if state is State.OPEN and inner not in self._cache]

    def _changed_in(self, path: bytes, tracked: TrackedFiles) -> Iterator[ChangedFile]:
        """The untracked files that were in a folder and are not as they were."""
        folder = self._cache.folder(path)
        for file in folder.files if folder is not None else ():
            if not file.counts_untracked:
                continue
            full = self._full(path + file.name)
            try:
                status = os.lstat(full)
            except OSError:
                continue
            now = signature_of(status)
            if now == file.signature or not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                continue
            if file.name in tracked.of(path).entries:
                continue
            with suppress(OSError):
                if not _is_as_it_was(full, status, file):
                    yield _changed(path, File(file.name, now, status.st_mode, False))

    def _full(self, path: bytes) -> bytes:
        return b"%s/%s" % (self._root, path) if path else self._root


def _changed(folder: bytes, file: File) -> ChangedFile:
    return ChangedFile(os.fsdecode(folder + file.name), file.size, stat.S_ISLNK(file.mode))


def _is_as_it_was(path: bytes, status: os.stat_result, file: File) -> bool:
    """Whether a file still has the content that the snapshot found, as far as it read it."""
    was_size = file.size if any(file.signature) else None
    if was_size not in (None, status.st_size):
        return False
    if stat.S_ISLNK(status.st_mode):
        return _blob_id(status.st_size, [os.readlink(path)]) == file.oid
    with open(path, "rb", buffering=0) as opened:
        blocks = iter(lambda: opened.read(_BLOCK), b"")
        if not file.pointer:
            return file.oid is not None and _blob_id(status.st_size, blocks) == file.oid
        digest = hashlib.sha256()
        for block in blocks:
            digest.update(block)
        return digest.hexdigest() == file.pointer


def _blob_id(size: int, blocks: Iterator[bytes] | list[bytes]) -> bytes:
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for block in blocks:
        digest.update(block)
    return digest.digest()
