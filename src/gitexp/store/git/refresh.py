"""Bringing what is remembered of a work tree up to date: looks again only at what changed since."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from gitexp.domain.run import SkippedFile
from gitexp.store.git.nested import checked_out
from gitexp.store.git.settings import Settings
from gitexp.store.git.tracked import TrackedFiles
from gitexp.store.git.tree_cache import TreeCache
from gitexp.store.git.worktree import TOO_LARGE, Folder, Scanner, State

if TYPE_CHECKING:
    from gitexp.store.content import ContentStore


class _RulesChanged(Exception):
    """A rule file in the work tree is not as it was, so every decision has to be taken anew."""

    def __init__(self, before: Folder, now: Folder) -> None:
        super().__init__()
        self.files = {name for name, _ in before.rules().items() ^ now.rules().items()}
        self.only_ignores = b".gitattributes" not in self.files


class Marks(NamedTuple):
    """What of a folder has to be checked or told each time, although nothing in it changed.

    Attributes:
        nested: repositories in it, see `Folder.nested`.
        skipped: path, size and reason of each file that was left out.
        pointers: names of files whose content is in the object store, with its SHA-256.
        large: names of tracked files that stay blobs only while HEAD has them.
    """

    nested: dict[bytes, bytes | None]
    skipped: list[tuple[bytes, int, str]]
    pointers: dict[bytes, str]
    large: list[bytes]


class Refreshed:
    """The work tree as it is now.

    Attributes:
        cache: every folder.
        changed: paths of the folders that were looked at.
        rebuilt: paths of the folders whose trees were made anew.
        before: the ids that such folders had before, see `Folder.ids`.
    """

    def __init__(self, cache: TreeCache, before: dict[bytes, set[bytes]] | None = None) -> None:
        self.cache = cache
        self.changed: set[bytes] = set()
        self.rebuilt: set[bytes] = set()
        self.before = {} if before is None else before

    def skipped(self) -> tuple[SkippedFile, ...]:
        """What was left out and a user wants to know of."""
        files = [file for values in self._marks().values() for file in Marks(*values).skipped]
        return tuple(
            SkippedFile(path=path.decode("utf-8", "backslashreplace"), size_bytes=size, reason=reason)
            for path, size, reason in sorted(files)
        )

    def pointers(self) -> tuple[str, ...]:
        """Paths of the files whose content is in the object store."""
        found = (path + name for path, values in self._marks().items() for name in Marks(*values).pointers)
        return tuple(os.fsdecode(path) for path in sorted(found))

    def _marks(self) -> dict[bytes, Any]:
        marks: dict[bytes, Any] = self.cache.facts.get("marks", {})
        return marks


class Refresh(NamedTuple):
    """Looks at one work tree.

    Attributes:
        remembered: what an earlier snapshot found, empty if it is not to be believed.
        head: the id of HEAD's tree.
        limits: `max_file` and `max_total` of the SnapshotRules.
        trusting: whether the `stat` in git's index is believed.
    """

    settings: Settings
    tracked: TrackedFiles
    content: ContentStore
    remembered: TreeCache
    head: bytes | None
    limits: tuple[int, int]
    trusting: bool

    def run(self) -> Refreshed:
        """Looks at what changed, or at everything where the rules did."""
        facts = self.remembered.facts
        convert_key = repr((self.settings.convert_key, self.limits))
        ids_stay = facts.get("convert_key") == convert_key and self.settings.still_drives(facts.get("drivers", {}))
        rules_stay = facts.get("ignore_key") == repr(self.settings.ignore_key)
        now = Refreshed(self.remembered)
        doubtful = self._doubtful()
        if ids_stay and rules_stay:
            try:
                self._look_at(now, self._stale() | doubtful, ids_stay=True, everything=False)
                return now
            except _RulesChanged as rules:
                ids_stay = rules.only_ignores
        try:
            now = self._look_at_everything(now, ids_stay=ids_stay)
        except _RulesChanged:
            now = self._look_at_everything(now, ids_stay=False)
        now.cache.facts.update(ignore_key=repr(self.settings.ignore_key), convert_key=convert_key)
        return now

    def _look_at_everything(self, now: Refreshed, *, ids_stay: bool) -> Refreshed:
        anew = Refreshed(TreeCache(facts=dict(self.remembered.facts)), before=now.before)
        self._look_at(anew, {b"": State.OPEN}, ids_stay=ids_stay, everything=True)
        return anew

    def _stale(self) -> dict[bytes, State]:
        return self._with_states(self.remembered.stale(self.settings.root) | self.tracked.changed_folders())

    def _with_states(self, paths: set[bytes]) -> dict[bytes, State]:
        states = ((path, self.remembered.state(path)) for path in paths)
        return {path: state for path, state in states if state is not None}

    def _doubtful(self) -> dict[bytes, State]:
        """The folders of which something changed elsewhere; makes what is known of the files in question doubtful."""
        facts = self.remembered.facts
        head_moved = facts.get("head", (None, None))[1] != self.head
        stale = set()
        for path, values in facts.get("marks", {}).items():
            marks = Marks(*values)
            root = b"%s/%s" % (self.settings.root, path)
            lost = [name for name, sha256 in marks.pointers.items() if not self.content.contains(sha256)]
            if head_moved:
                lost += marks.large
            self._forget(path, lost)
            if lost or any(checked_out(root + name) != commit for name, commit in marks.nested.items()):
                stale.add(path)
        return self._with_states(stale)

    def _forget(self, path: bytes, names: Iterable[bytes]) -> None:
        folder = self.remembered.folder(path) if names else None
        for file in folder.files if folder is not None else ():
            if file.name in names:
                file.oid = None

    def _look_at(self, now: Refreshed, folders: dict[bytes, State], *, ids_stay: bool, everything: bool) -> None:
        """Looks at folders and at those in them that turn up, the upper ones first.

        Args:
            ids_stay: whether files that look the same have the ids they had.
            everything: whether all folders are looked at.

        Raises:
            _RulesChanged: what is remembered was decided by other rules.
        """
        if not folders:
            return
        rules = self.settings.scan_rules(self.tracked.stored_content)
        scanner = Scanner(rules, self.tracked.of, self.tracked.written_s if self.trusting else lambda: 0)
        waiting = [(path.count(b"/"), path) for path in folders]
        heapq.heapify(waiting)
        while waiting:
            _, path = heapq.heappop(waiting)
            if path in now.changed or path not in folders:
                continue
            old = self.remembered.folder(path)
            folder, inside = scanner.scan(path, folders[path], old if ids_stay else None)
            if old is not None:
                now.before.setdefault(path, old.ids())
                change = _RulesChanged(old, folder)
                if change.files and (not everything or (ids_stay and not change.only_ignores)):
                    raise change
            gone = () if everything or old is None else [path + name + b"/" for name in old.folders]
            now.cache.put(folder)
            now.changed.add(path)
            for inner in gone:
                if inner not in inside:
                    now.cache.drop(inner)
                    folders.pop(inner, None)
            for inner, state in inside.items():
                if now.cache.state(inner) is not state:
                    folders[inner] = state
                    heapq.heappush(waiting, (inner.count(b"/"), inner))
        now.changed = {path for path in now.changed if path in now.cache}


def limit_untracked(now: Refreshed, max_total: int) -> None:
    """Leaves out the largest untracked files where all of them together are more than `max_total` bytes."""
    cache = now.cache
    if not now.changed or (cache.untracked_size() <= max_total and not cache.facts.get("limited")):
        return
    folders = [folder for path in cache if (folder := cache.folder(path)) is not None]
    files = [
        (file.size, folder.path + file.name, folder, file)
        for folder in folders
        for file in folder.files
        if file.counts_untracked
    ]
    total = 0
    for size, _, folder, file in sorted(files, key=lambda found: found[:2]):
        total += size
        reason = TOO_LARGE if total > max_total else ""
        if file.reason != reason:
            file.reason = reason
            cache.put(folder)
            now.changed.add(folder.path)
    cache.facts["limited"] = total > max_total


def mark(now: Refreshed, max_file: int) -> None:
    """Notes what of the folders that changed has to be checked or told each time."""
    cache = now.cache
    marks: dict[bytes, Any] = {path: kept for path, kept in cache.facts.get("marks", {}).items() if path in cache}
    for path in now.changed:
        folder = cache.folder(path)
        found = _marks(folder, max_file) if folder is not None else None
        if found is not None and any(found):
            marks[path] = tuple(found)
        else:
            marks.pop(path, None)
    cache.facts["marks"] = marks


def _marks(folder: Folder, max_file: int) -> Marks:
    skipped = [(folder.path + file.name, file.size, file.reason) for file in folder.files if file.is_told]
    if folder.unreadable:
        skipped.append((folder.path or b".", 0, "unreadable"))
    return Marks(
        nested=folder.nested,
        skipped=skipped,
        pointers={file.name: file.pointer for file in folder.files if file.pointer and not file.reason},
        large=[file.name for file in folder.files if file.tracked and not file.reason and file.size > max_file],
    )
