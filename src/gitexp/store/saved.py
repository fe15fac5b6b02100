"""States of a work tree that were put aside before something was written over them (docs/format.md, 1.12).

A commit below `refs/gitexp/saved/`, built as a run's is: the files under `code/`, and `.gitattributes` that name the
pointers among them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from gitexp.domain.identity import SAVED
from gitexp.errors import Conflict
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import (
    BLOB,
    COMMIT,
    MODE_FILE,
    MODE_TREE,
    TREE,
    TreeEntry,
    decode_commit,
    encode_commit,
    encode_tree,
    object_id,
)
from gitexp.store.git.refs import RefStore
from gitexp.store.runs import Signature, pointer_attributes

ATTEMPTS = 100


class SavedStates:
    """Those of one repository."""

    def __init__(self, objects: ObjectDatabase, refs: RefStore) -> None:
        self._objects = objects
        self._refs = refs

    def add(self, tree: bytes, pointers: Iterable[str], *, head: str | None, reason: str, signature: Signature) -> str:
        """Keep a state; gives its ref.

        Args:
            tree: of the files; everything it needs must be written already.
            pointers: the paths in it whose content is in the object store.
            head: the commit that is checked out.
            reason: what is about to be done, for people.

        Raises:
            StorageFailed: the disk is full, read-only or failing.
        """
        attributes = pointer_attributes(f"code/{path}" for path in pointers).encode("utf-8", "surrogateescape")
        root = encode_tree(
            [
                TreeEntry(b".gitattributes", MODE_FILE, object_id(BLOB, attributes)),
                TreeEntry(b"code", MODE_TREE, tree),
            ]
        )
        commit = encode_commit(
            tree=object_id(TREE, root).hex(),
            parents=[head] if head else [],
            author=signature.author,
            time=int(signature.time),
            message=f"The files before {reason}\n",
        )
        self._objects.write([(BLOB, attributes), (TREE, root), (COMMIT, commit)])
        stem = SAVED + time.strftime("%Y%m%d-%H%M%S", time.gmtime(signature.time))
        for number in range(ATTEMPTS):
            ref = f"{stem}-{number + 1}" if number else stem
            if self._refs.create(ref, object_id(COMMIT, commit).hex()):
                return ref
        raise Conflict("Too many states were put aside within one second.", hint="Try again.")

    def tips(self) -> dict[str, str]:
        """The commit of each, by its ref."""
        return self._refs.list(SAVED)

    def forget(self, before: float) -> None:
        """Remove those put aside before a time, in seconds since 1970, UTC."""
        self._refs.delete_all(dict(self._older_than(before)))

    def _older_than(self, limit: float) -> Iterator[tuple[str, str]]:
        for ref, commit in self.tips().items():
            if decode_commit(self._objects.read(bytes.fromhex(commit))[1]).time < limit:
                yield ref, commit
