"""How a search expression may go on where somebody is typing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gitexp.domain.matching import ATTRIBUTES, FALSE, TRUE, Cell
from gitexp.domain.query_tokens import Token, tokens
from gitexp.errors import QueryError

MOST = 30

_OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in", "like", "is")
_BARE = re.compile(r"[\w./:+\-]+\Z")
_PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What may stand instead of `text[start:end]`: each option as it is written, and what it is ("metric", "value")."""

    start: int
    end: int
    options: tuple[tuple[str, str], ...]


def complete(text: str, cursor: int, keys: Sequence[str], values: Callable[[str, str], Sequence[Cell]]) -> Completion:
    """How `text` may go on at `cursor`.

    Args:
        keys: known fields such as "params.lr".
        values: gives frequent values of a field, those that begin with a text where that is not empty.
    """
    try:
        before = [token for token in tokens(text[:cursor]) if token.kind != "end"]
    except QueryError:  # inside a quoted text
        return Completion(start=cursor, end=cursor, options=())
    typing = before.pop() if before and before[-1].kind == "word" and not text[:cursor][-1:].isspace() else None
    start, begin = (typing.start, typing.text) if typing else (cursor, "")
    options = _options(before, begin, keys, values)
    return Completion(start=start, end=cursor, options=tuple(options[:MOST]))


def _options(
    before: list[Token], begin: str, keys: Sequence[str], values: Callable[[str, str], Sequence[Cell]]
) -> list[tuple[str, str]]:
    last = before[-1] if before else None
    if last is None or (last.kind == "(" and not _is_list(before)) or last.keyword in ("and", "or", "not"):
        return _fields(begin, keys)
    field = _field_before(before)
    if last.kind in ("=", "!=", "<", "<=", ">", ">=") or last.keyword in ("like", "ilike") or _is_list(before):
        return _values(field, begin, values) if field else []
    if last.keyword == "is":
        return [(word, "word") for word in ("null", "not null") if word.startswith(begin)]
    if len(before) >= 2 and (before[-2].kind in ("=", "!=", "<", "<=", ">", ">=") or last.keyword == "null"):
        return [(word, "word") for word in ("and", "or") if word.startswith(begin)]
    if last.kind == ")" or (len(before) >= 2 and before[-2].keyword in ("like", "ilike")):
        return [(word, "word") for word in ("and", "or") if word.startswith(begin)]
    return [(word, "operator") for word in _OPERATORS if word.startswith(begin)]


def _fields(begin: str, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Fields that begin with what is typed first, then those that hold it anywhere."""
    wanted = begin.lower()
    known = [*keys, *(f"run.{name}" for name in ATTRIBUTES)]
    found = [name for name in known if name.lower().startswith(wanted)]
    found += [name for name in known if wanted in name.lower() and not name.lower().startswith(wanted)]
    return [(_as_written(name), name.partition(".")[0].removesuffix("s")) for name in found]


def _values(field: str, begin: str, values: Callable[[str, str], Sequence[Cell]]) -> list[tuple[str, str]]:
    found = []
    for cell in values(field, begin if begin and not _PLAIN_NUMBER.match(begin) else ""):
        shown = "true" if cell == TRUE else "false" if cell == FALSE else cell
        if isinstance(shown, bytes) or shown is None:
            continue
        written = str(shown) if not isinstance(cell, str) else _quoted(cell)
        if str(shown).startswith(begin):
            found.append((written, "value"))
    return found


def _as_written(name: str) -> str:
    family, _, key = name.partition(".")
    return name if _BARE.match(key) else f"{family}.`{key.replace('`', '``')}`"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _is_list(before: list[Token]) -> bool:
    """Whether the next token is an item of `in (`."""
    for token in reversed(before):
        if token.kind == ")":
            return False
        if token.kind == "(":
            at = before.index(token)
            return at > 0 and before[at - 1].keyword == "in"
    return False


def _field_before(before: list[Token]) -> str:
    for token in reversed(before):
        if token.kind == "field":
            return token.text + token.key
        if token.kind == "word" and "." in token.text and not _PLAIN_NUMBER.match(token.text):
            return token.text
    return ""
