"""Git's objects as bytes: ids, trees and commits. No files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gitexp.errors import CorruptData, InvalidName

BLOB = "blob"
TREE = "tree"
COMMIT = "commit"
TAG = "tag"

MODE_FILE = 0o100644
MODE_EXECUTABLE = 0o100755
MODE_SYMLINK = 0o120000
MODE_TREE = 0o040000
MODE_GITLINK = 0o160000

_CRUD = " \t\r\n.,:;<>\"\\'"
_NOT_IN_IDENTITY = re.compile(r"[\x00-\x1f\x7f<>]+")
_SIGNATURE = re.compile(r"(?P<who>.*?) ?(?P<email><[^<>]*>) (?P<time>-?\d+) (?P<zone>[+-]\d+)\Z", re.DOTALL)
_HEX = re.compile(r"[0-9a-f]{40}\Z")
_REFUSED_NAMES = frozenset({b"", b".", b"..", b".git"})


class TreeEntry(NamedTuple):
    """One name in a tree. `oid` is 20 bytes."""

    name: bytes
    mode: int
    oid: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a commit says.

    Attributes:
        tree, parents: hex ids.
        author, committer: "Name <email>".
        author_time, time: author's and committer's, seconds since 1970, UTC.
        message: without git's encoding; ends as it was stored.
    """

    tree: str
    parents: tuple[str, ...]
    author: str
    author_time: int
    committer: str
    time: int
    message: str


def object_id(kind: str, data: bytes) -> bytes:
    """The 20 bytes that name an object in git."""
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.digest()


def encode_tree(entries: Iterable[TreeEntry]) -> bytes:
    """A tree object with the entries in git's order.

    Raises:
        InvalidName: a name that git refuses, or one that occurs twice.
    """
    parts = []
    seen = set()
    for name, mode, oid in sorted(entries, key=_tree_order):
        if name.lower() in _REFUSED_NAMES or b"/" in name or b"\0" in name:
            raise InvalidName(f"The file name {name!r} cannot be stored in git.")
        if name in seen:
            raise InvalidName(f"The file name {name!r} occurs twice in one folder.")
        seen.add(name)
        parts.append(b"%o %s\0%s" % (mode, name, oid))
    return b"".join(parts)


def decode_tree(data: bytes) -> list[TreeEntry]:
    """The entries of a tree object, in its order.

    Raises:
        CorruptData: `data` is not a tree.
    """
    entries = []
    position = 0
    try:
        while position < len(data):
            space = data.index(b" ", position)
            zero = data.index(b"\0", space)
            end = zero + 21
            if end > len(data):
                raise ValueError("cut short")
            entries.append(TreeEntry(data[space + 1 : zero], int(data[position:space], 8), data[zero + 1 : end]))
            position = end
    except ValueError as error:
        raise CorruptData(f"A git tree cannot be read: {error}.") from error
    return entries


def identity(name: str, email: str) -> str:
    """'Name <email>' as a commit may hold it: without the characters that git's format cannot quote."""
    email = _NOT_IN_IDENTITY.sub("", email).strip(_CRUD)
    name = _NOT_IN_IDENTITY.sub(" ", name).strip(_CRUD)
    return f"{name or email or 'unknown'} <{email}>"


def encode_commit(
    *,
    tree: str,
    parents: Sequence[str],
    author: str,
    time: int,
    message: str,
    committer: str | None = None,
    committer_time: int | None = None,
) -> bytes:
    """A commit object; times are in UTC.

    Args:
        tree, parents: hex ids.
        author: as `identity` makes it.
        time: the author's time, seconds since 1970.
        committer, committer_time: the author's, where not given.
        message: UTF-8 text; a line end is added where it is missing.
    """
    committed = time if committer_time is None else committer_time
    lines = [
        f"tree {tree}",
        *(f"parent {parent}" for parent in parents),
        f"author {author} {max(time, 0)} +0000",
        f"committer {committer or author} {max(committed, 0)} +0000",
        "",
        message.replace("\0", "") if message.endswith("\n") else message.replace("\0", "") + "\n",
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def decode_commit(data: bytes) -> Commit:
    """What a commit object says.

    Raises:
        CorruptData: `data` is not a commit.
    """
    head, _, body = data.partition(b"\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.decode("utf-8", "replace").split("\n"):
        key, _, value = line.partition(" ")
        fields.setdefault(key, []).append(value)
    try:
        [tree] = fields["tree"]
        parents = tuple(fields.get("parent", ()))
        author, author_time = _signature(fields["author"][0])
        committer, time = _signature(fields["committer"][0])
    except (KeyError, ValueError) as error:
        raise CorruptData(f"A git commit cannot be read: {error}.") from error
    if not all(_HEX.match(name) for name in (tree, *parents)):
        raise CorruptData("A git commit cannot be read: its tree or a parent is not an object id.")
    return Commit(
        tree=tree,
        parents=parents,
        author=author,
        author_time=author_time,
        committer=committer,
        time=time,
        message=_decode_text(body, fields.get("encoding")),
    )


def _tree_order(entry: TreeEntry) -> bytes:
    return entry[0] + b"/" if entry[1] == MODE_TREE else entry[0]


def _signature(text: str) -> tuple[str, int]:
    found = _SIGNATURE.match(text)
    if found is None:
        raise ValueError(f"no name, email and time in {text!r}")
    return f"{found['who']} {found['email']}".lstrip(), int(found["time"])


def _decode_text(body: bytes, encoding: list[str] | None) -> str:
    try:
        return body.decode(encoding[0] if encoding else "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
