"""Reading git's index, versions 2 to 4, split and sparse ones too. It is never written.

Format: gitformat-index(5).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from gitexp.errors import CorruptData
from gitexp.store.git.objects import MODE_TREE

ASSUME_UNCHANGED = 0x8000
SKIP_WORKTREE = 0x4000 << 16
INTENT_TO_ADD = 0x2000 << 16

_EXTENDED = 0x4000
_STAGE = 0x3000
_LENGTH = 0xFFF
_KEPT_FLAGS = ASSUME_UNCHANGED | _STAGE | SKIP_WORKTREE | INTENT_TO_ADD
_ENTRY = struct.Struct(">24xI12x20sH")
_STAT = struct.Struct(">10I")
_KNOWN_EXTENSIONS = (b"link", b"sdir")
_NO_BASE = bytes(20)
_EMPTY_BLOB = bytes.fromhex("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")


class IndexEntry(NamedTuple):
    """What git knows about one path.

    Attributes:
        flags: of ASSUME_UNCHANGED, SKIP_WORKTREE, INTENT_TO_ADD, and the stage of a merge conflict; see `stage`.
        stat: the file as it was when its id was taken, for `is_unchanged`.
    """

    path: bytes
    mode: int
    oid: bytes
    flags: int
    stat: bytes

    @property
    def stage(self) -> int:
        """0, or 1 to 3 for the sides of a merge conflict."""
        return (self.flags & _STAGE) >> 12

    def is_unchanged(self, found: os.stat_result, written_s: int) -> bool:
        """Whether git takes the file for unchanged without reading it.

        Args:
            found: the file as it is now.
            written_s: when the index was written; what changed since then, or in that second, has to be read.
        """
        changed_s, changed_ns, modified_s, modified_ns, _, inode, _, user, group, size = _STAT.unpack(self.stat)
        return (
            modified_s == found.st_mtime_ns // 1_000_000_000 & 0xFFFFFFFF
            and size == found.st_size & 0xFFFFFFFF
            and inode == found.st_ino & 0xFFFFFFFF
            and changed_s == found.st_ctime_ns // 1_000_000_000 & 0xFFFFFFFF
            and modified_ns in (0, found.st_mtime_ns % 1_000_000_000)
            and changed_ns in (0, found.st_ctime_ns % 1_000_000_000)
            and user == found.st_uid & 0xFFFFFFFF
            and group == found.st_gid & 0xFFFFFFFF
            and modified_s < written_s
            and (size > 0 or self.oid == _EMPTY_BLOB)  # git writes size 0 to say "look again"
            and not self.flags & INTENT_TO_ADD
            and self.stage == 0
        )


# Twice as fast as calling the class, and an index may have a hundred thousand entries.
_make_entry: Callable[[tuple[bytes, int, bytes, int, bytes]], IndexEntry] = partial(tuple.__new__, IndexEntry)


class Index(NamedTuple):
    """One state of the index.

    Attributes:
        entries: sorted by path, then stage.
        written_s: when it was written, seconds since 1970.
        is_sparse: whether an entry may stand for a whole folder: its path ends in `/`, its mode is that of a tree.
    """

    entries: list[IndexEntry]
    written_s: int
    is_sparse: bool


def read_index(path: str) -> Index:
    """The index at `path`; empty where there is none.

    Raises:
        CorruptData: it is damaged, or needs a newer git than this reader knows.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            written_s = int(os.fstat(file.fileno()).st_mtime)
            data = file.read()
    except FileNotFoundError:
        return Index([], 0, False)
    except OSError as error:
        raise CorruptData(f"The git index '{path}' cannot be read: {error.strerror}.") from error
    try:
        entries, extensions = _parse(data)
        if b"link" in extensions:
            entries = _join(entries, extensions[b"link"], os.path.dirname(path))
    except (ValueError, IndexError, struct.error) as error:
        raise CorruptData(
            f"The git index '{path}' is damaged: {error}.", hint="Type: git status, to hear what git says about it."
        ) from error
    is_sparse = b"sdir" in extensions or any(entry.mode == MODE_TREE for entry in entries)
    return Index(entries, written_s, is_sparse)


def _parse(data: bytes) -> tuple[list[IndexEntry], dict[bytes, bytes]]:
    signature, version, count = struct.unpack_from(">4sII", data)
    if signature != b"DIRC":
        raise ValueError("it does not begin as an index does")
    if version not in (2, 3, 4):
        raise ValueError(f"its version is {version}")
    entries, at = (_parse_compressed if version == 4 else _parse_padded)(data, count)
    if at > len(data) - 20:
        raise ValueError("it is cut short")
    return entries, dict(_extensions(data, at))


def _parse_padded(data: bytes, count: int) -> tuple[list[IndexEntry], int]:
    entries: list[IndexEntry] = []
    append, unpack, find, make = entries.append, _ENTRY.unpack_from, data.index, _make_entry
    at = 12
    for _ in range(count):
        mode, oid, flags = unpack(data, at)
        start = at + 62
        if flags & _EXTENDED:
            flags = _with_extended(data, start, flags)
            start += 2
        length = flags & _LENGTH
        end = start + length if length < _LENGTH else find(0, start)
        append(make((data[start:end], mode, oid, flags & _KEPT_FLAGS, data[at : at + 40])))
        at += (end - at + 8) & ~7
    return entries, at


def _parse_compressed(data: bytes, count: int) -> tuple[list[IndexEntry], int]:
    """Version 4: each path without what it shares with the one before."""
    entries = []
    at = 12
    path = b""
    for _ in range(count):
        mode, oid, flags = _ENTRY.unpack_from(data, at)
        stat = data[at : at + 40]
        at += 62
        if flags & _EXTENDED:
            flags = _with_extended(data, at, flags)
            at += 2
        dropped, at = _offset(data, at)
        if dropped > len(path):
            raise ValueError("a path is cut short")
        end = data.index(0, at)
        path = path[: len(path) - dropped] + data[at:end]
        at = end + 1
        entries.append(_make_entry((path, mode, oid, flags & _KEPT_FLAGS, stat)))
    return entries, at


def _with_extended(data: bytes, at: int, flags: int) -> int:
    return flags | (data[at] << 8 | data[at + 1]) << 16


def _offset(data: bytes, at: int) -> tuple[int, int]:
    """A variable-width number as in pack files' offsets."""
    byte = data[at]
    value = byte & 127
    while byte & 128:
        at += 1
        byte = data[at]
        value = (value + 1) << 7 | byte & 127
    return value, at + 1


def _extensions(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    while at + 8 <= len(data) - 20:
        name, size = struct.unpack_from(">4sI", data, at)
        if name[:1].islower() and name not in _KNOWN_EXTENSIONS:
            raise ValueError(f"it has the extension '{name.decode('latin-1')}', which is not known")
        at += 8 + size
        yield name, data[at - size : at]


def _join(own: list[IndexEntry], link: bytes, folder: str) -> list[IndexEntry]:
    """A split index: the shared one, less what was deleted, with what was replaced and added."""
    if link[:20] == _NO_BASE:
        return own
    try:
        with open(f"{folder}/sharedindex.{link[:20].hex()}", "rb", buffering=0) as file:
            base, _ = _parse(file.read())
    except OSError as error:
        raise ValueError(f"its shared part cannot be read: {error.strerror}") from error
    deleted, at = _bitmap(link, 20) if len(link) > 20 else (set(), 20)
    replaced, at = _bitmap(link, at) if len(link) > at else (set(), at)
    anew = iter(own)
    for position in sorted(replaced):
        base[position] = next(anew)._replace(path=base[position].path)
    joined = {(entry.path, entry.stage): entry for at, entry in enumerate(base) if at not in deleted}
    for entry in anew:
        _add(joined, entry)
    return [joined[key] for key in sorted(joined)]


def _add(joined: dict[tuple[bytes, int], IndexEntry], entry: IndexEntry) -> None:
    if entry.stage == 0:
        for stage in (1, 2, 3):
            joined.pop((entry.path, stage), None)
    joined[entry.path, entry.stage] = entry


def _bitmap(data: bytes, at: int) -> tuple[set[int], int]:
    """The positions set in an EWAH bitmap: runs of equal words, each followed by words as they are."""
    _, count = struct.unpack_from(">II", data, at)
    words = struct.unpack_from(f">{count}Q", data, at + 8)
    positions: set[int] = set()
    bit = word = 0
    while word < count:
        marker = words[word]
        run, literals = marker >> 1 & 0xFFFFFFFF, marker >> 33
        if marker & 1:
            positions.update(range(bit, bit + run * 64))
        bit += run * 64
        for literal in words[word + 1 : word + 1 + literals]:
            positions.update(bit + i for i in range(64) if literal >> i & 1)
            bit += 64
        word += 1 + literals
    return positions, at + 8 + count * 8 + 4


ByFolder = dict[bytes, list[IndexEntry]]


def by_folder(index: Index, expand: Callable[[IndexEntry], list[IndexEntry]]) -> ByFolder:
    """The entries by the folder (ending in `/`, the root empty) that they are in.

    Args:
        expand: what a sparse index's folder stands for; empty to leave it as one entry of the folder above.
    """
    folders: ByFolder = {}
    entries = index.entries
    if index.is_sparse:
        entries = []
        for entry in index.entries:
            entries += (entry.mode == MODE_TREE and expand(entry)) or [entry]
    for entry in entries:
        path = entry.path
        folder = path[: path.rfind(b"/", 0, -1) + 1]
        if folder in folders:
            folders[folder].append(entry)
        else:
            folders[folder] = [entry]
    return folders
