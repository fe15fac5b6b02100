"""Single files of a git tree, exchanged for others."""

from __future__ import annotations

from collections.abc import Mapping

from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import MODE_TREE, TREE, TreeEntry, decode_tree, encode_tree, object_id

Files = Mapping[bytes, tuple[int, bytes]]
"""Mode and id of each by its path."""


def with_files(objects: ObjectDatabase, tree: bytes | None, files: Files) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A tree that also has `files`, whatever it had at their paths.

    Args:
        tree: its id; None for an empty one.

    Returns:
        Its id, and the objects to write for it.
    """
    entries = {entry.name: entry for entry in decode_tree(objects.read(tree)[1])} if tree else {}
    made: list[tuple[str, bytes]] = []
    inside: dict[bytes, dict[bytes, tuple[int, bytes]]] = {}
    for path, (mode, oid) in files.items():
        name, slash, rest = path.partition(b"/")
        if slash:
            inside.setdefault(name, {})[rest] = (mode, oid)
        else:
            entries[name] = TreeEntry(name, mode, oid)
    for name, inner in inside.items():
        old = entries.get(name)
        oid, new = with_files(objects, old.oid if old and old.mode == MODE_TREE else None, inner)
        entries[name] = TreeEntry(name, MODE_TREE, oid)
        made += new
    data = encode_tree(entries.values())
    return object_id(TREE, data), [*made, (TREE, data)]
