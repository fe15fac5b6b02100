"""Git's wildmatch as regular expressions over bytes.

Follows `wildmatch.c` byte for byte, its odd corners too: an unclosed or unknown class never matches, `**` only spans
folders as a whole part of the path, and `/` is never matched by a class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set

GLOB_SPECIAL = frozenset(b"*?[\\")

_CLASSES: dict[bytes, bytes] = {
    b"alnum": b"0-9A-Za-z",
    b"alpha": b"A-Za-z",
    b"blank": b" \t",
    b"cntrl": b"\x00-\x1f\x7f",
    b"digit": b"0-9",
    b"graph": b"!-~",
    b"lower": b"a-z",
    b"print": b" -~",
    b"punct": b"!-/:-@\\[-`{-~",
    b"space": b" \t\n\r",
    b"upper": b"A-Z",
    b"xdigit": b"0-9A-Fa-f",
}
_NOTHING = rb"(?!)"


def compile_pattern(pattern: bytes, *, path: bool, fold: bool = False) -> Callable[[bytes], object]:
    """A function that says whether a name matches the whole pattern.

    Args:
        path: `*`, `?` and classes stop at `/`, and `**` spans folders (git's WM_PATHNAME).
        fold: upper and lower case of ASCII are the same; the function then wants names in lower case.
    """
    return re.compile(translate(pattern, path=path, fold=fold), re.DOTALL).fullmatch


def translate(pattern: bytes, *, path: bool, fold: bool = False) -> bytes:
    """The regular expression for a pattern; see `compile_pattern`."""
    parts = []
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == b"*":
            part, at = _stars(pattern, at, path)
        elif byte == b"?":
            part, at = (b"[^/]" if path else b"."), at + 1
        elif byte == b"[":
            try:
                members, at = _bracket(pattern, at + 1, fold)
            except ValueError:
                return _NOTHING
            part = _set_of(members - {ord("/")} if path else members)
        elif byte == b"\\":
            if at + 1 == len(pattern):
                return _NOTHING
            part, at = re.escape(pattern[at + 1 : at + 2]), at + 2
        else:
            part, at = re.escape(byte.lower() if fold else byte), at + 1
        parts.append(part)
    return b"".join(parts)


def can_match(pattern: bytes) -> bool:
    """Whether there is any name that a pattern matches: an unclosed class matches none."""
    return _NOTHING not in translate(pattern, path=True)


def _stars(pattern: bytes, at: int, path: bool) -> tuple[bytes, int]:
    end = at
    while pattern[end : end + 1] == b"*":
        end += 1
    if not path:
        return b".*", end
    is_part = at == 0 or pattern[at - 1 : at] == b"/"
    if end - at == 1 or not is_part:
        return b"[^/]*", end
    if pattern[end : end + 1] == b"/":
        return b"(?:.*/)?", end + 1
    if end == len(pattern) or pattern[end : end + 2] == b"\\/":
        return b".*", end
    return b"[^/]*", end


def _bracket(pattern: bytes, at: int, fold: bool) -> tuple[Set[int], int]:
    """The bytes a class matches, and where the pattern goes on. Raises ValueError where it never matches anything."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    before = 0
    while True:
        byte = _byte(pattern, at)
        if byte == ord("\\"):
            at += 1
            before = _byte(pattern, at)
            members.add(before)
        elif byte == ord("-") and before and pattern[at + 1 : at + 2] not in (b"", b"]"):
            at += 1
            if _byte(pattern, at) == ord("\\"):
                at += 1
            members |= _range(before, _byte(pattern, at), fold)
            before = 0
        elif byte == ord("[") and pattern[at + 1 : at + 2] == b":":
            end = pattern.find(b"]", at + 2)
            if end < 0:
                raise ValueError("an unclosed class")
            if end > at + 2 and pattern[end - 1 : end] == b":":
                members |= _named(pattern[at + 2 : end - 1], fold)
                at, before = end, 0
            else:
                members.add(byte)
                before = byte
        else:
            members.add(byte)
            before = byte
        at += 1
        if pattern[at : at + 1] == b"]":
            return (set(range(256)) - members if negated else members), at + 1


def _byte(pattern: bytes, at: int) -> int:
    if at >= len(pattern):
        raise ValueError("an unclosed class")
    return pattern[at]


def _range(low: int, high: int, fold: bool) -> set[int]:
    members = set(range(low, high + 1))
    if fold:
        members |= {byte + 32 for byte in members if 65 <= byte <= 90}
    return members


def _named(name: bytes, fold: bool) -> set[int]:
    if name not in _CLASSES:
        raise ValueError("an unknown class")
    matches = re.compile(b"[" + _CLASSES[name] + (b"a-z]" if fold and name == b"upper" else b"]")).match
    return {byte for byte in range(256) if matches(bytes((byte,)))}


def _set_of(members: Set[int]) -> bytes:
    if not members:
        return _NOTHING
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(members)) + b"]"
