"""Writing git's index for a work tree that is new; the user's own index is never written.

Format: gitformat-index(5), version 2.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping

from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import MODE_TREE, decode_tree

_ENTRY = struct.Struct(">10I20sH")
_LONGEST = 0xFFF
_NOTHING_KNOWN = (0,) * 6

Entry = tuple[int, bytes]
"""Mode and id."""


def tree_files(objects: ObjectDatabase, tree: bytes) -> Iterator[tuple[bytes, Entry]]:
    """The path, mode and id of everything in a tree that is no tree itself, in no particular order."""
    todo = [(b"", tree)]
    while todo:
        prefix, oid = todo.pop()
        for entry in decode_tree(objects.read(oid)[1]):
            if entry.mode == MODE_TREE:
                todo.append((prefix + entry.name + b"/", entry.oid))
            else:
                yield prefix + entry.name, (entry.mode, entry.oid)


def encode_index(entries: Mapping[bytes, Entry], states: Mapping[bytes, os.stat_result]) -> bytes:
    """The bytes of an index.

    Args:
        entries: mode and id of each path.
        states: files that hold what their entry says, as they are now; git reads all others again.
    """
    parts = [struct.pack(">4sII", b"DIRC", 2, len(entries))]
    for path in sorted(entries):
        mode, oid = entries[path]
        known = states.get(path)
        if known is None:
            fields = (*_NOTHING_KNOWN, mode, 0, 0, 0)
        else:
            times = (*divmod(known.st_ctime_ns, 10**9), *divmod(known.st_mtime_ns, 10**9))
            fields = (*times, known.st_dev, known.st_ino, mode, known.st_uid, known.st_gid, known.st_size)
        head = _ENTRY.pack(*(field & 0xFFFFFFFF for field in fields), oid, min(len(path), _LONGEST))
        length = len(head) + len(path)
        parts += [head, path, bytes(8 - length % 8)]
    data = b"".join(parts)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()
