"""Where each value of a text stands, and changing one of them without touching a character of the others.

The formats (JSON, TOML, YAML, Python) differ in how a text becomes a tree of `Node` and in how a value is written;
what is done with the tree is the same for all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

Path = tuple[str, ...]

_QUOTED = re.compile(r"""(?:^|\.)(?:"[^"]*"|'[^']*')(?=\.|$)""")
_PART = re.compile(r"""(?:^|(?<=\.))(?:(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')(?=\.|$)|(?P<bare>[^.]*))""")
_WHOLE = "\0"
"""Before a part of a key that stood in quotes."""


class Style(Enum):
    SCALAR = "scalar"
    FLOW = "flow"
    """A list or mapping in brackets."""
    BLOCK = "block"
    """A list or mapping of which each item has lines of its own."""
    IMPLIED = "implied"
    """A mapping that only the names of its items speak of, as `a` in TOML's `[a.b]`."""


@dataclass(slots=True, kw_only=True)
class Node:
    """A value's place in a text, in characters.

    Attributes:
        start, end: the value's own text. Those of a block reach from its first item to its last.
        items: by key; those of a list by "0", "1", ...
        insert_at: where a line for a new item goes, for formats in which that is not after the last item.
        is_list: whether it is a list, which takes no new items.
    """

    start: int
    end: int
    style: Style = Style.SCALAR
    items: dict[str, Item] = field(default_factory=dict)
    insert_at: int | None = None
    is_list: bool = False


@dataclass(slots=True, kw_only=True)
class Item:
    """`start`: where its key begins, or the value of a list's item."""

    start: int
    node: Node


class Format(Protocol):
    """How one kind of file holds values."""

    name: str

    def load(self, text: str) -> dict[str, Any]:
        """All values. Raises ValueError where the text makes no sense."""

    def tree(self, text: str) -> Node:
        """Where they stand; called with what `load` could read."""

    def adapt(self, value: Any, old: Any) -> Any:
        """`value` as this kind of file would hold it in the place of `old`. Raises ValueError where it cannot."""

    def write(self, value: Any, *, old: str, is_flow: bool) -> str:
        """The text of a value in the place of the text `old`; `is_flow`: inside brackets."""

    def write_item(self, path: Path, value: Any, *, is_flow: bool) -> str:
        """The text of a new item; a `path` of several keys makes the mappings between."""


def find(values: Mapping[str, Any], key: str) -> Path | None:
    """The path that the flat `key` names in nested values; keys may hold dots themselves, lists count from 0.

    A part in quotes, as in `data."train.csv".size`, is one key.
    """
    return _find(values, key.split(".")) or (_find(values, _parts(key)) if _QUOTED.search(key) else None)


def split_key(key: str) -> Path:
    """The path of a flat key of which nothing is there yet; a part in quotes is one key."""
    return tuple(part.removeprefix(_WHOLE) for part in _parts(key))


def value_at(values: Any, path: Path) -> Any:
    """Raises LookupError where there is none."""
    for part in path:
        values = values[int(part)] if isinstance(values, (list, tuple)) else values[part]
    return values


def with_value(values: Any, path: Path, value: Any) -> Any:
    """A copy with another value at `path`, whose last keys may be new."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(values, (list, tuple)):
        copy = list(values)
        copy[int(first)] = with_value(copy[int(first)], rest, value)
        return tuple(copy) if isinstance(values, tuple) else copy
    return {**values, first: with_value(values.get(first, {}), rest, value)}


def without_value(values: Any, path: Path) -> Any:
    """A copy without the item at `path`."""
    if len(path) == 1:
        return {key: value for key, value in values.items() if key != path[0]}
    return with_value(values, path[:1], without_value(values[path[0]], path[1:]))


def replace_value(text: str, root: Node, path: Path, value: Any, form: Format) -> str:
    """The text with another value at `path`, all else as it is. Raises LookupError where nothing stands there."""
    node, parent = root, root
    is_flow = False
    for part in path:
        parent, node = node, node.items[part].node
        is_flow = is_flow or parent.style is Style.FLOW
    old = text[node.start : node.end]
    new = form.write(value, old=old if node.style is Style.SCALAR else "", is_flow=is_flow)
    if node.style is Style.BLOCK:  # on lines of its own, which have to stand further right than the key
        new = "  " + new
    elif not old and text[node.start - 1 : node.start].strip():
        new = " " + new
    return text[: node.start] + new + text[_last(node, text) :]


def add_value(text: str, root: Node, path: Path, value: Any, form: Format) -> str:
    """The text with a new item at `path`. Raises LookupError where it cannot have one."""
    node, at, is_flow = root, 0, False
    while at < len(path) - 1 and path[at] in node.items and node.items[path[at]].node.style is not Style.SCALAR:
        is_flow = is_flow or node.style is Style.FLOW
        node, at = node.items[path[at]].node, at + 1
    if node.is_list or node.style is Style.SCALAR or path[at] in node.items:
        raise LookupError(path)
    if node.style is Style.FLOW:
        return _add_in_brackets(text, node, form.write_item(path[at:], value, is_flow=True))
    while node.style is Style.IMPLIED:
        at -= 1
        node = _descend(root, path[:at])
    item = form.write_item(path[at:], value, is_flow=is_flow)
    newline = "\r\n" if "\r\n" in text else "\n"
    if node.insert_at is not None:
        place, indent = node.insert_at, ""
    else:
        first = min(child.start for child in node.items.values())
        indent = " " * (first - _line_start(text, first))
        place = _line_end(text, max(_last(child.node, text) for child in node.items.values()))
    before = newline if place and text[place - 1] not in "\r\n" else ""
    return f"{text[:place]}{before}{indent}{item}{newline}{text[place:]}"


def remove_value(text: str, root: Node, path: Path) -> str:
    """The text without the item at `path`. Raises LookupError where there is none."""
    node = _descend(root, path[:-1])
    item = node.items[path[-1]]
    if node.style is Style.BLOCK:
        return text[: _line_start(text, item.start)] + text[_line_end(text, _last(item.node, text)) :]
    items = list(node.items.values())
    at = next(number for number, other in enumerate(items) if other is item)
    if at + 1 < len(items):
        return text[: item.start] + text[items[at + 1].start :]
    start = items[at - 1].node.end if at else item.start
    return text[:start] + text[item.node.end :]


def _parts(key: str) -> list[str]:
    """The parts of a key; those that were in quotes are marked as whole keys."""
    return [
        match["bare"] if match["bare"] is not None else _WHOLE + (match["double"] or match["single"] or "")
        for match in _PART.finditer(key)
    ]


def _find(values: Any, parts: list[str]) -> Path | None:
    if not parts:
        return ()
    if parts[0].startswith(_WHOLE):
        whole = parts[0].removeprefix(_WHOLE)
        if not isinstance(values, Mapping) or whole not in values:
            return None
        rest = _find(values[whole], parts[1:])
        return None if rest is None else (whole, *rest)
    if isinstance(values, (list, tuple)):
        if not re.fullmatch(r"[0-9]{1,9}", parts[0]) or int(parts[0]) >= len(values):
            return None
        rest = _find(values[int(parts[0])], parts[1:])
        return None if rest is None else (str(int(parts[0])), *rest)
    if not isinstance(values, Mapping):
        return None
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        if name in values and (rest := _find(values[name], parts[length:])) is not None:
            return (name, *rest)
    return None


def _descend(root: Node, path: Path) -> Node:
    for part in path:
        root = root.items[part].node
    return root


def _add_in_brackets(text: str, node: Node, item: str) -> str:
    if not node.items:
        place = node.start + 1
        return text[:place] + item + text[place:]
    last = max(node.items.values(), key=lambda other: other.start)
    blank = re.search(r"\s*\Z", text[: last.start])
    gap = blank.group() if blank and "\n" in blank.group() else " "
    place = last.node.end
    return f"{text[:place]},{gap}{item}{text[place:]}"


def _last(node: Node, text: str) -> int:
    """Where the text of a value ends, without blank lines after it."""
    end = max((_last(item.node, text) for item in node.items.values()), default=node.end)
    if node.style is Style.FLOW:
        end = node.end
    while end > node.start and text[end - 1] in " \t\r\n":
        end -= 1
    return end


def _line_start(text: str, at: int) -> int:
    return max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1


def _line_end(text: str, at: int) -> int:
    """Where the line after the one of `at` begins."""
    match = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)").match(text, at)
    return match.end() if match else len(text)
