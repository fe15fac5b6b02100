"""What the last snapshot of a work tree found, so that the next one reads only what changed since.

One file a work tree, `<gitexp dir>/trees/<work tree>`: marshal behind a checksum. It is a cache: damaged, foreign or
gone, it is made anew, and of two writers the last one wins. Each folder is one row whose details are decoded when asked
for.
"""

from __future__ import annotations

import marshal
import os
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

from gitexp.errors import StorageFailed
from gitexp.store.git import durable
from gitexp.store.git.worktree import NEVER, File, Folder, Kept, Signature, State, signature_of

_MAGIC = b"gitexp trees\0%d.%d\n" % (2, marshal.version)
_SIGNATURE = struct.Struct("=4Q")
_WIDTH = _SIGNATURE.size
_MASK = (1 << 64) - 1
_GONE = b"\xff" * _WIDTH

# A file that changed so shortly before it was looked at may change again without its times showing it; the second
# number is for file systems that keep whole seconds.
_RACY_NS = 50_000_000
_RACY_COARSE_NS = 2_000_000_000


class _Row(NamedTuple):
    """A folder as it is stored; `details` holds what a check for changes does not need."""

    path: bytes
    state: str
    signature: bytes
    listing: bytes | None
    names: bytes
    signatures: bytes
    tree: bytes | None
    untracked_size: int
    has_untracked: bool
    tracked: bytes
    details: bytes


class Listed(NamedTuple):
    """A folder as it was listed: see `Folder`; `has_untracked` is about files that count."""

    path: bytes
    signature: Signature
    listing: bytes
    has_untracked: bool


class TreeCache:
    """The folders of one work tree as a snapshot found them.

    Attributes:
        facts: plain values about the whole tree, kept with it.
    """

    def __init__(self, rows: Iterable[_Row] = (), facts: dict[str, Any] | None = None) -> None:
        self._rows = {row.path: row for row in rows}
        self._decoded: dict[bytes, Folder] = {}
        self._changed: set[bytes] = set()
        self.facts = facts or {}

    @classmethod
    def load(cls, path: str) -> TreeCache:
        """What is stored at `path`; nothing where that cannot be used."""
        with suppress(OSError, ValueError, EOFError, TypeError):
            with open(path, "rb", buffering=0) as file:
                data = file.read()
            body = memoryview(data)[len(_MAGIC) + 4 :]
            if data.startswith(_MAGIC) and zlib.crc32(body) == int.from_bytes(data[len(_MAGIC) :][:4], "little"):
                facts, rows = marshal.loads(body)
                return cls(map(_Row._make, rows), facts)
        return cls()

    def save(self, path: str, looked_ns: int) -> None:
        """Stores it; where that cannot be, the next snapshot is slower.

        Args:
            looked_ns: when the snapshot began to look at files.
        """
        for folder in self._changed:
            self._rows[folder] = _encode(self._decoded[folder], looked_ns)
        body = marshal.dumps((self.facts, [tuple(row) for row in self._rows.values()]))
        with suppress(StorageFailed):
            durable.replace(path, _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body, durable=False)

    def __contains__(self, path: bytes) -> bool:
        return path in self._rows or path in self._decoded

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._rows.keys() | self._decoded.keys()))

    def folder(self, path: bytes) -> Folder | None:
        """A folder with its details. Whoever changes it calls `put`."""
        folder = self._decoded.get(path)
        if folder is None and path in self._rows:
            folder = self._decoded[path] = _decode(self._rows[path])
        return folder

    def put(self, folder: Folder) -> None:
        self._decoded[folder.path] = folder
        self._changed.add(folder.path)

    def drop(self, path: bytes) -> None:
        """Forgets a folder and all below it."""
        waiting = [path]
        while waiting:
            path = waiting.pop()
            folder = self.folder(path)
            if folder is not None:
                waiting += [path + name + b"/" for name in folder.folders]
            self._rows.pop(path, None)
            self._decoded.pop(path, None)
            self._changed.discard(path)

    def state(self, path: bytes) -> State | None:
        if path in self._decoded:
            return self._decoded[path].state
        return State(self._rows[path].state) if path in self._rows else None

    def tree(self, path: bytes) -> bytes | None:
        """The id of a folder's tree, None where it is empty or not known."""
        if path in self._decoded:
            return self._decoded[path].tree
        return self._rows[path].tree if path in self._rows else None

    def tracked(self, path: bytes) -> bytes:
        """What git tracked in a folder, as `Tracked.encode` writes it."""
        if path in self._decoded:
            return self._decoded[path].tracked
        return self._rows[path].tracked if path in self._rows else b""

    def untracked_size(self) -> int:
        """Bytes of all untracked files that count."""
        rows = sum(row.untracked_size for path, row in self._rows.items() if path not in self._decoded)
        return rows + sum(folder.untracked_size() for folder in self._decoded.values())

    def listed(self) -> Iterator[Listed]:
        """The folders that were listed, as they are stored."""
        for row in self._rows.values():
            if row.listing is not None:
                yield Listed(row.path, _unpack(row.signature), row.listing, row.has_untracked)

    def stale(self, root: bytes) -> set[bytes]:
        """The folders of which something changed on the disk since they were stored."""
        rows = [row for row in self._rows.values() if row.state in (State.OPEN, State.IGNORED)]
        folders = [root + b"/" + row.path[:-1] if row.path else root for row in rows]
        stale = set(_different([row.path for row in rows], [row.signature for row in rows], _signatures(folders)))
        paths: list[bytes] = []
        for folder, row in zip(folders, rows, strict=True):
            if row.names:
                start = folder + b"/"
                paths += [start + name for name in row.names.split(b"\0")]
        stale.update(_different([row.path for row in rows], [row.signatures for row in rows], _signatures(paths)))
        for folder, row in zip(folders, rows, strict=True):
            if row.listing is not None and row.path not in stale and not _lists_the_same(folder, row.listing):
                stale.add(row.path)
        return stale


def _different(paths: list[bytes], before: list[bytes], now: bytes) -> Iterator[bytes]:
    if b"".join(before) == now:
        return
    at = 0
    for path, signatures in zip(paths, before, strict=True):
        if now[at : at + len(signatures)] != signatures:
            yield path
        at += len(signatures)


def _signatures(paths: list[bytes]) -> bytes:
    """The signatures of files one after the other; in C where all are there, as most of a snapshot's time is here."""
    with suppress(OSError, OverflowError):
        return array("Q", chain.from_iterable(map(signature_of, map(os.lstat, paths)))).tobytes()
    return b"".join(map(_signature_at, paths))


def _signature_at(path: bytes) -> bytes:
    try:
        return _pack(signature_of(os.lstat(path)))
    except OSError:
        return _GONE


def _unpack(signature: bytes) -> Signature:
    modified, changed, size, inode = _SIGNATURE.unpack(signature)
    return modified, changed, size, inode


def _pack(signature: Signature) -> bytes:
    return _SIGNATURE.pack(*[number & _MASK for number in signature])


def _lists_the_same(folder: bytes, listing: bytes) -> bool:
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return b"\0".join(names) == listing or sorted(names) == sorted(listing.split(b"\0"))


def _encode(folder: Folder, looked_ns: int) -> _Row:
    files = [(file.mode, file.oid, file.tracked, file.reason, file.pointer) for file in folder.files]
    return _Row(
        path=folder.path,
        state=folder.state.value,
        signature=_pack(trusted(folder.signature, looked_ns)),
        listing=folder.listing,
        names=b"\0".join([file.name for file in folder.files]),
        signatures=b"".join([_pack(trusted(file.signature, looked_ns)) for file in folder.files]),
        tree=folder.tree,
        untracked_size=folder.untracked_size(),
        has_untracked=any(file.counts_untracked for file in folder.files),
        tracked=folder.tracked,
        details=marshal.dumps((files, [tuple(kept) for kept in folder.kept], folder.folders, folder.nested)),
    )


def _decode(row: _Row) -> Folder:
    files, kept, folders, nested = marshal.loads(row.details)
    folder = Folder(row.path, State(row.state))
    folder.signature = _unpack(row.signature)
    folder.listing = row.listing
    folder.kept = [Kept(*entry) for entry in kept]
    folder.folders = folders
    folder.nested = nested
    folder.tracked = row.tracked
    folder.tree = row.tree
    names = row.names.split(b"\0") if files else []
    for name, signature, (mode, oid, tracked, reason, pointer) in zip(
        names, _SIGNATURE.iter_unpack(row.signatures), files, strict=True
    ):
        file = File(name, signature, mode, tracked, reason)
        file.oid, file.pointer = oid, pointer
        folder.files.append(file)
    return folder


def trusted(signature: Signature, looked_ns: int) -> Signature:
    """The signature; NEVER where a change after `looked_ns` might leave it as it is."""
    modified, changed, _, _ = signature
    coarse = modified % 1_000_000_000 == 0 and changed % 1_000_000_000 == 0
    since = looked_ns - (_RACY_COARSE_NS if coarse else _RACY_NS)
    return signature if modified < since and changed < since else NEVER
