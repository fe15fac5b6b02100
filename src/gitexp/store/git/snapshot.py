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
from gitexp.store.git.changes import Seen
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.headtree import HeadTree
from gitexp.store.git.objects import decode_commit
from gitexp.store.git.refresh import Refresh, Refreshed, limit_untracked, mark
from gitexp.store.git.repository import GitRepository, Head
from gitexp.store.git.settings import Settings
from gitexp.store.git.tracked import TrackedFiles
from gitexp.store.git.tree_cache import TreeCache
from gitexp.store.git.trees import EMPTY_TREE, NewObjects, make_trees
from gitexp.store.git.worktree import UNREADABLE, File, Folder, Kept

if TYPE_CHECKING:
    from gitexp.store.content import ContentStore
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
        seen: the work tree, to find out later what came to be in it since.
    """

    tree: str
    head: Head
    dirty: bool
    new_objects: list[tuple[str, bytes]]
    pointers: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    seen: Seen


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
            with closing(_Taking(repository, objects, content, rules or SnapshotRules(), trusting=trusting)) as taking:
                return taking.take()
        except _Lost:
            continue
    raise CorruptData("The files change faster than they can be captured.", hint="Type: git status")


class _Lost(Exception):
    """The content of a blob is nowhere: what is remembered of its file is not true any more."""


class _Taking:
    """One attempt to take a snapshot.

    Args:
        trusting: whether what is known of the work tree from earlier is believed.
    """

    def __init__(
        self,
        repository: GitRepository,
        objects: ObjectDatabase,
        content: ContentStore,
        rules: SnapshotRules,
        *,
        trusting: bool,
    ) -> None:
        self._looked_ns = time.time_ns()
        self._repository = repository
        self._objects = objects
        self._content = content
        self._rules = rules
        self._trusting = trusting
        self._settings = Settings(repository, rules.secrets)
        self._remembered = self._load()
        self._facts = dict(self._remembered.facts)
        self._head = repository.head()
        self._head_tree = HeadTree(objects, self._tree_of(self._head.commit))
        self._tracked = TrackedFiles(
            repository.index_file, self._settings.root, objects, self._remembered, self._facts.get("index")
        )
        self._filters: Filters | None = None
        self._made: Blobs | None = None

    def take(self) -> Snapshot:
        """Raises _Lost."""
        head = self._head_tree.tree(b"")
        stored = _Stored(self._objects, self._repository.object_dir, head)
        was_stored = stored.holds(self._facts.get("stored"), self._remembered.tree(b""))
        now = Refresh(
            settings=self._settings,
            tracked=self._tracked,
            content=self._content,
            remembered=self._remembered,
            head=head,
            limits=(self._rules.max_file, self._rules.max_total),
            trusting=self._trusting,
        ).run()
        limit_untracked(now, self._rules.max_total)
        for path in now.changed:
            self._settle(now.cache.folder(path))
        tree = make_trees(now)
        new_objects = NewObjects(now, self._objects, self._head_tree, self._data).find(before_is_stored=was_stored)
        mark(now, self._rules.max_file)
        self._save(now, head, stored.after(tree, new_objects))
        return Snapshot(
            tree=tree.hex(),
            head=self._head,
            dirty=tree != (head or EMPTY_TREE),
            new_objects=new_objects,
            pointers=now.pointers(),
            skipped=now.skipped(),
            seen=Seen(self._settings, self._objects, now.cache, self._repository.index_file),
        )

    def close(self) -> None:
        """Ends filter processes."""
        if self._filters is not None:
            self._filters.close()

    def _settle(self, folder: Folder | None) -> None:
        """Finds the blob of each file in a folder; what cannot be read stays as git has it."""
        for file in folder.files if folder is not None else ():
            if file.reason or file.oid is not None:
                continue
            if file.unchanged is not None and file.size <= self._rules.max_file:
                file.oid = file.unchanged
                continue
            assert folder is not None
            self._blobs.settle(folder.path + file.name, file)
            if file.reason == UNREADABLE and file.tracked:
                entry = self._tracked.of(folder.path).entries[file.name]
                folder.kept.append(Kept(file.name, entry.mode, entry.oid))

    def _data(self, path: bytes, file: File) -> bytes:
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

    @property
    def _blobs(self) -> Blobs:
        if self._made is None:
            from gitexp.store.git.blobs import BlobRules, Blobs  # slow to import, and often no file has to be read

            storage = self._repository.config("lfs", "storage") or "lfs"
            rules = BlobRules(
                root=self._settings.root,
                max_file=self._rules.max_file,
                symlinks=self._settings.symlinks,
                lfs=os.path.join(self._repository.common_dir, storage),
            )
            self._filters = self._settings.filters(self._tracked.stored_content, self._tracked.content)
            self._made = Blobs(rules, self._filters, self._content, self._head_tree.blob, self._objects.write)
        return self._made

    def _tree_of(self, commit: str | None) -> bytes | None:
        """The id of a commit's tree."""
        if commit is None:
            return None
        known_commit, known_tree = self._facts.get("head", (None, None))
        if known_commit == commit:
            return known_tree  # type: ignore[no-any-return]
        return bytes.fromhex(decode_commit(self._objects.read(bytes.fromhex(commit))[1]).tree)

    @property
    def _cache_file(self) -> str:
        """Linked work trees have one each."""
        git_dir = self._repository.git_dir
        name = "main" if git_dir == self._repository.common_dir else f"linked-{os.path.basename(git_dir)}"
        return f"{self._repository.gitexp_dir}/trees/{name}"

    @property
    def _place(self) -> list[Any]:
        """What the remembered belongs to."""
        return [self._settings.root, self._repository.index_file, self._repository.object_dir]

    def _load(self) -> TreeCache:
        remembered = TreeCache.load(self._cache_file) if self._trusting else TreeCache()
        return remembered if remembered.facts.get("place") == self._place else TreeCache()

    def _save(self, now: Refreshed, head: bytes | None, stored: Any) -> None:
        now.cache.facts.update(
            place=self._place,
            index=self._tracked.signature,
            head=(self._head.commit, head),
            drivers={**self._facts.get("drivers", {}), **self._settings.drivers},
            stored=stored,
        )
        if now.changed or now.cache.facts != self._facts:
            now.cache.save(self._cache_file, self._looked_ns)


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
