"""The refs of another repository, as git's programs tell them: protocol versions 0 and 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitexp.store.git.connections import Connection, NoGit


def advertisement(connection: Connection) -> list[bytes]:
    """The packets with which a program begins, up to the first flush.

    Raises:
        NoGit, EOFError
    """
    lines = connection.packets()
    if lines and lines[0].startswith(b"ERR "):
        raise NoGit(lines[0][4:].decode("utf-8", "replace").strip())
    return lines


def refs_of(lines: Sequence[bytes]) -> dict[bytes, bytes]:
    """Id by name, of an advertisement of version 0 or 1, or of the answer to `ls-refs`."""
    found = {}
    for line in lines:
        oid, space, name = line.rstrip(b"\n").partition(b"\0")[0].partition(b" ")
        if space and oid not in (b"unborn", b"version"):
            found[name] = oid
    found.pop(b"capabilities^{}", None)
    return found


def list_refs(connection: Connection, prefixes: Sequence[str]) -> dict[bytes, bytes]:
    """What `upload-pack` has; where it can, it only tells what begins with one of the prefixes.

    Raises:
        NoGit, EOFError
    """
    lines = advertisement(connection)
    if not lines or lines[0].rstrip(b"\n") != b"version 2":
        connection.write(b"0000")
        return refs_of(lines)
    command = _packet("command=ls-refs\n") + _packet("agent=gitexp\n")
    if any(line.startswith(b"object-format=") for line in lines):
        command += _packet("object-format=sha1\n")
    arguments = b"".join(_packet(f"ref-prefix {prefix}\n") for prefix in prefixes)
    connection.write(command + b"0001" + arguments + b"0000")
    answer = advertisement(connection)
    connection.write(b"0000")
    return refs_of([line.partition(b" symref-target:")[0] for line in answer])


def decoded(refs: Mapping[bytes, bytes | None], prefixes: Sequence[str]) -> dict[str, str]:
    """Names and ids as text, of those that begin with one of the prefixes; what tags lead to is left out."""
    wanted = tuple(prefix.encode() for prefix in prefixes)
    return {
        name.decode("utf-8", "replace"): value.decode("ascii", "replace")
        for name, value in refs.items()
        if value is not None and name.startswith(wanted) and not name.endswith(b"^{}")
    }


def _packet(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return b"%04x%s" % (len(data) + 4, data)
