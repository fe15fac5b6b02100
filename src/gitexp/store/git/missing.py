"""Which objects another repository lacks: the commits that it has not, and what differs in their trees.

A walk over the whole of both sides would cost what `git pack-objects` costs. Here trees are only compared with those
that the other side must have at the same place, because runs differ little from the commits they stand on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush

from gitexp.store.git.database import MissingObject, ObjectDatabase
from gitexp.store.git.objects import COMMIT, MODE_GITLINK, MODE_TREE, TAG, Commit, TreeEntry, decode_commit, decode_tree

CODE = b"code"
"""The entry of a run's tree that holds the tree of its first parent, changed."""


class MissingObjects:
    """The objects to send for `tips` to somebody who has everything that `known` reaches, each once.

    Commits come first, then each one's trees and blobs, so that a reader who wants commits finds them together.

    Args:
        tips, known: ids of commits, tags or (tips only) any object; `known` ones that are not here are passed over.
        shallow: commits whose parents are not here.
        read: commits that were read already.
    """

    def __init__(
        self,
        objects: ObjectDatabase,
        tips: Iterable[bytes],
        known: Iterable[bytes],
        *,
        shallow: Iterable[bytes] = (),
        read: Mapping[bytes, Commit] | None = None,
    ) -> None:
        self._objects = objects
        self._shallow = frozenset(shallow)
        self._seen: set[bytes] = set()
        self._commits = dict(read or {})
        self._trees: dict[bytes, dict[bytes, TreeEntry]] = {}
        self.ids = list(self._find(list(tips), list(known)))

    def __len__(self) -> int:
        return len(self.ids)

    def _find(self, tips: Sequence[bytes], known: Sequence[bytes]) -> Iterator[bytes]:
        commits: list[bytes] = []
        others: list[bytes] = []
        for oid in tips:
            yield from self._peel(oid, commits, others)
        had: list[bytes] = []
        for oid in known:
            if self._objects.contains(oid):
                list(self._peel(oid, had, []))
        wanted = self._unknown_commits(commits, had)
        yield from wanted
        for oid in self._parents_first(wanted):
            yield from self._contents(oid)
        for oid in others:
            yield from self._tree(oid, ()) if self._objects.read(oid)[0] == "tree" else self._once(oid)

    def _peel(self, oid: bytes, commits: list[bytes], others: list[bytes]) -> Iterator[bytes]:
        """Sort a tip in: a commit, or another object; tags on the way are to be sent."""
        while True:
            if oid in self._commits:
                commits.append(oid)
                return
            kind, data = self._objects.read(oid)
            if kind == COMMIT:
                self._commits[oid] = decode_commit(data)
                commits.append(oid)
                return
            if kind != TAG:
                others.append(oid)
                return
            yield from self._once(oid)
            oid = bytes.fromhex(data[len(b"object ") : len(b"object ") + 40].decode())

    def _unknown_commits(self, tips: Sequence[bytes], known: Sequence[bytes]) -> list[bytes]:
        """The commits that `tips` reach and `known` do not, newest first.

        Both walk back in time together; a commit that both reach ends the walk there. Clocks that went backwards can
        make it send too much, never too little.
        """
        is_known: dict[bytes, bool] = {}
        queue: list[tuple[int, bytes]] = []
        queued: set[bytes] = set()
        unknown_queued = 0
        order: list[bytes] = []
        marks = [*((oid, True) for oid in known), *((oid, False) for oid in reversed(tips))]
        while marks or unknown_queued:
            while marks:
                oid, mark = marks.pop()
                before = is_known.get(oid)
                if before is None:
                    is_known[oid] = mark
                    heappush(queue, (-self._commit(oid).time, oid))
                    queued.add(oid)
                    unknown_queued += not mark
                elif mark and not before:
                    is_known[oid] = True
                    if oid in queued:
                        unknown_queued -= 1
                    else:  # passed already, by a clock that went backwards
                        marks += [(parent, True) for parent in self._parents(oid)]
            if not unknown_queued:
                break
            _, oid = heappop(queue)
            queued.discard(oid)
            mark = is_known[oid]
            if not mark:
                unknown_queued -= 1
                order.append(oid)
            marks = [(parent, mark) for parent in self._parents(oid)]
        return [oid for oid in order if not is_known[oid]]

    def _parents_first(self, commits: Sequence[bytes]) -> Iterator[bytes]:
        """No commit before a parent of its own, whatever their clocks say.

        Or what a state had, its child had not and its grandchild has again would be left out for all three.
        """
        left = set(commits)
        for start in reversed(commits):
            waiting = [start]
            while waiting:
                oid = waiting[-1]
                first = [parent for parent in self._parents(oid) if parent in left and parent != oid]
                if oid in left and first:
                    waiting += first
                    continue
                waiting.pop()
                if oid in left:
                    left.remove(oid)
                    yield oid

    def _parents(self, oid: bytes) -> Iterator[bytes]:
        if oid not in self._shallow:
            for parent in self._commit(oid).parents:
                yield bytes.fromhex(parent)

    def _commit(self, oid: bytes) -> Commit:
        found = self._commits.get(oid)
        if found is None:
            found = self._commits[oid] = decode_commit(self._objects.read(oid)[1])
        return found

    def _contents(self, oid: bytes) -> Iterator[bytes]:
        """What a commit's tree has that its parents' have not. The parents' are there or were sent."""
        before = []
        for parent in self._parents(oid):
            try:
                before.append(bytes.fromhex(self._commit(parent).tree))
            except MissingObject:
                continue
        tree = bytes.fromhex(self._commit(oid).tree)
        code = self._entries(tree).get(CODE)
        if code is not None and code.mode == MODE_TREE:
            yield from self._tree(code.oid, [*before, *self._below(before, CODE)])
        yield from self._tree(tree, before)

    def _tree(self, oid: bytes, before: Sequence[bytes]) -> Iterator[bytes]:
        if oid in self._seen or oid in before:
            return
        self._seen.add(oid)
        yield oid
        known = {(e.name, e.oid) for tree in before for e in self._entries(tree).values()}
        for entry in self._entries(oid).values():
            if (entry.name, entry.oid) in known or entry.mode == MODE_GITLINK:
                continue
            if entry.mode == MODE_TREE:
                yield from self._tree(entry.oid, self._below(before, entry.name))
            else:
                yield from self._once(entry.oid)

    def _below(self, trees: Sequence[bytes], name: bytes) -> list[bytes]:
        found = [self._entries(tree).get(name) for tree in trees]
        return [entry.oid for entry in found if entry is not None and entry.mode == MODE_TREE]

    def _entries(self, tree: bytes) -> dict[bytes, TreeEntry]:
        found = self._trees.get(tree)
        if found is None:
            try:
                found = {entry.name: entry for entry in decode_tree(self._objects.read(tree)[1])}
            except MissingObject:  # of a parent in a shallow or partial clone
                found = {}
            self._trees[tree] = found
        return found

    def _once(self, oid: bytes) -> Iterator[bytes]:
        if oid not in self._seen:
            self._seen.add(oid)
            yield oid
