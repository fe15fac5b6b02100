"""The code of a run: the work tree as a git tree.

The tree is what `git add -A && git write-tree` makes with a copy of the user's index, less untracked files that look
like credentials, less untracked files that `.gitexpignore` names, and with pointers in place of large files.

It differs on purpose where git would give less than the code as it is: files marked `assume-unchanged` are taken as
they are, and so are untracked files outside a sparse checkout. What makes git stop (an unreadable file, a filter, a
wrong encoding) does not stop the rest. Nothing of the user's is ever written.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitexp.domain.config import GIB, MIB, SECRET_FILES
from gitexp.domain.run import SkippedFile
from gitexp.errors import CorruptData, NotARepository
from gitexp.store.content import ContentStore
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.headtree import HeadTree
from gitexp.store.git.objects import decode_commit
from gitexp.store.git.refresh import Refresh, limit_untracked, mark
from gitexp.store.git.repository import GitRepository, Head
from gitexp.store.git.settings import Settings
from gitexp.store.git.tracked import TrackedFiles
from gitexp.store.git.tree_cache import TreeCache
from gitexp.store.git.trees import EMPTY_TREE, NewObjects, make_trees
from gitexp.store.git.worktree import UNREADABLE, File, Folder, Kept

if TYPE_CHECKING:
    from gitexp.store.git.blobs import Blobs
    from gitexp.store.git.filters import Filters


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRules:
    """What is captured.

    Attributes:
        max_file: bytes; a larger file becomes a pointer, unless HEAD has exactly it.
        max_total: bytes that untracked files may have together; of more, the largest are left out.
        secrets: patterns of untracked files that are left out, as in `.gitignore`, upper and lower case being the same.
    """

    max_file: int = 10 * MIB
    max_total: int = GIB
    secrets: tuple[str, ...] = SECRET_FILES


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The work tree at one moment.

    Attributes:
        tree: hex id.
        head: what is checked out.
        dirty: whether the tree differs from HEAD's.
        new_objects: kind and content of what the tree needs and neither HEAD's tree reaches nor a kept pack of ours
            holds. Whoever uses the tree must write them first, in one pack.
        pointers: paths of files whose content is in the object store: those larger than `max_file`, and those under an
            LFS filter whose content git-lfs does not have.
        skipped: what was left out, and why.
    """

    tree: str
    head: Head
    dirty: bool
    new_objects: list[tuple[str, bytes]]
    pointers: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]


def take(
    repository: GitRepository, objects: ObjectDatabase, content: ContentStore, rules: SnapshotRules | None = None
) -> Snapshot:
    """The work tree as it is now. Large files go to `content`; nothing else is written but a cache of our own.

    Raises:
        NotARepository: it has no work tree.
        CorruptData: git's index, HEAD or configuration is damaged.
        StorageFailed: a large file cannot be stored.
    """
    if repository.work_tree is None:
        raise NotARepository("A bare repository has no files to capture.", hint="Type: git worktree add <folder>")
    for trusting in (True, True, False):
        try:
            return _take(repository, objects, content, rules or SnapshotRules(), trusting=trusting)
        except _Lost:
            continue
    raise CorruptData("The files change faster than they can be captured.", hint="Type: git status")


class _Lost(Exception):
    """The content of a blob is nowhere: what is remembered of its file is not true any more."""


def _take(
    repository: GitRepository,
    objects: ObjectDatabase,
    content: ContentStore,
    rules: SnapshotRules,
    *,
    trusting: bool,
) -> Snapshot:
    """One attempt; `trusting` what is known of the work tree from earlier. Raises _Lost."""
    looked_ns = time.time_ns()
    settings = Settings(repository, rules.secrets)
    cache_file = f"{repository.gitexp_dir}/trees/{_worktree_name(repository)}"
    place = [settings.root, repository.index_file, repository.object_dir]
    remembered = TreeCache.load(cache_file) if trusting else TreeCache()
    if remembered.facts.get("place") != place:
        remembered = TreeCache()
    facts = dict(remembered.facts)
    head = repository.head()
    head_id = _tree_of(head.commit, facts, objects)
    head_tree = HeadTree(objects, head_id)
    tracked = TrackedFiles(repository.index_file, settings.root, objects, remembered, facts.get("index"))
    stored = _Stored(objects, repository.object_dir, head_id)
    was_stored = stored.holds(facts.get("stored"), remembered.tree(b""))

    now = Refresh(
        settings=settings,
        tracked=tracked,
        content=content,
        remembered=remembered,
        head=head_id,
        limits=(rules.max_file, rules.max_total),
        trusting=trusting,
    ).run()
    with closing(_Contents(repository, rules, settings, tracked, objects, content, head_tree)) as contents:
        limit_untracked(now, rules.max_total)
        for path in now.changed:
            contents.settle(now.cache.folder(path))
        tree = make_trees(now)
        new_objects = NewObjects(now, objects, head_tree, contents.data).find(before_is_stored=was_stored)
    mark(now, rules.max_file)
    now.cache.facts.update(
        place=place,
        index=tracked.signature,
        head=(head.commit, head_id),
        drivers={**facts.get("drivers", {}), **settings.drivers},
        stored=stored.after(tree, new_objects),
    )
    if now.changed or now.cache.facts != facts:
        now.cache.save(cache_file, looked_ns)
    return Snapshot(
        tree=tree.hex(),
        head=head,
        dirty=tree != (head_id or EMPTY_TREE),
        new_objects=new_objects,
        pointers=now.pointers(),
        skipped=now.skipped(),
    )


class _Contents:
    """Finds the blobs of files. What that takes is imported where a file has to be read, mostly few or none."""

    def __init__(
        self,
        repository: GitRepository,
        rules: SnapshotRules,
        settings: Settings,
        tracked: TrackedFiles,
        objects: ObjectDatabase,
        content: ContentStore,
        head_tree: HeadTree,
    ) -> None:
        self._lfs = os.path.join(repository.common_dir, repository.config("lfs", "storage") or "lfs")
        self._max_file = rules.max_file
        self._settings = settings
        self._tracked = tracked
        self._objects = objects
        self._content = content
        self._head_tree = head_tree
        self._filters: Filters | None = None
        self._made: Blobs | None = None

    def settle(self, folder: Folder | None) -> None:
        """Finds the blob of each file in a folder; what cannot be read stays as git has it."""
        for file in folder.files if folder is not None else ():
            if file.reason or file.oid is not None:
                continue
            if file.unchanged is not None and file.size <= self._max_file:
                file.oid = file.unchanged
                continue
            assert folder is not None
            self._blobs.settle(folder.path + file.name, file)
            if file.reason == UNREADABLE and file.tracked:
                entry = self._tracked.of(folder.path).entries[file.name]
                folder.kept.append(Kept(file.name, entry.mode, entry.oid))

    def data(self, path: bytes, file: File) -> bytes:
        """The content of a file's blob, which is in no pack of ours. Raises _Lost."""
        assert file.oid is not None
        data = self._made.fresh.get(file.oid) if self._made is not None else None
        if data is not None:
            return data
        if self._objects.contains(file.oid):
            return self._objects.read(file.oid)[1]
        again = File(file.name, file.signature, file.mode, file.tracked)
        self._blobs.settle(path, again)
        if again.oid != file.oid:
            raise _Lost
        return self._blobs.fresh.get(file.oid) or self._objects.read(file.oid)[1]

    def close(self) -> None:
        if self._filters is not None:
            self._filters.close()

    @property
    def _blobs(self) -> Blobs:
        if self._made is None:
            from gitexp.store.git.blobs import BlobRules, Blobs  # slow to import, see above

            rules = BlobRules(
                root=self._settings.root, max_file=self._max_file, symlinks=self._settings.symlinks, lfs=self._lfs
            )
            self._filters = self._settings.filters(self._tracked.stored_content, self._tracked.content)
            self._made = Blobs(rules, self._filters, self._content, self._head_tree.blob, self._objects.write)
        return self._made


class _Stored:
    """Whether everything that a tree needs is in HEAD's tree or in packs that we keep, without looking at each object.

    That is so if it was so before, HEAD's tree is the same, and all packs that were there then still are.
    """

    def __init__(self, objects: ObjectDatabase, object_dir: str, head: bytes | None) -> None:
        self._objects = objects
        self._folder = f"{object_dir}/pack"
        self._head = head

    def holds(self, known: Any, tree: bytes | None) -> bool:
        """Whether it is so for `tree`, which `known` (from `after`) may be about."""
        if known is None or tree is None:
            return False
        head, known_tree, packs = known
        return (
            head == self._head
            and known_tree == tree
            and set(packs) <= set(self._packs())
            and (tree == head or self._objects.keeps(tree))
        )

    def after(self, tree: bytes, new_objects: list[tuple[str, bytes]]) -> Any:
        """What to remember: it will be so once `new_objects` are in one pack, which shows in `tree` being there."""
        if new_objects and self._objects.keeps(tree):
            return None
        return (self._head, tree, self._packs())

    def _packs(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._folder) if name.endswith(".keep"))
        except OSError:
            return []


def _tree_of(commit: str | None, facts: dict[str, Any], objects: ObjectDatabase) -> bytes | None:
    """The id of a commit's tree."""
    if commit is None:
        return None
    known_commit, known_tree = facts.get("head", (None, None))
    if known_commit == commit:
        return known_tree  # type: ignore[no-any-return]
    return bytes.fromhex(decode_commit(objects.read(bytes.fromhex(commit))[1]).tree)


def _worktree_name(repository: GitRepository) -> str:
    """The name of the cache's file: linked work trees have one each."""
    linked = repository.git_dir != repository.common_dir
    return f"linked-{os.path.basename(repository.git_dir)}" if linked else "main"
