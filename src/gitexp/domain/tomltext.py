"""Where the values of a TOML text stand (TOML 1.0). What is written is read again with `tomllib` before it counts."""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from typing import Any

from gitexp.domain.spans import Item, Node, Path, Style

_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\r\n]*")
_REST_OF_LINE = re.compile(r"[^\n]*\n?")
_QUOTES = (  # as TOML reads them: up to two quotes may stand right before the closing three
    re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{1,2}(?!"))?', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{1,2}(?!'))?", re.DOTALL),
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"'[^']*'"),
)
_LITERAL = re.compile(r"'[^'\x00-\x1f\x7f]*'")
_MOMENTS = (datetime.datetime, datetime.date, datetime.time)


class TomlText:
    """The `Format` of TOML."""

    name = "TOML"

    def load(self, text: str) -> dict[str, Any]:
        return tomllib.loads(text)

    def tree(self, text: str) -> Node:
        return _Scanner(text).document()

    def adapt(self, value: Any, old: Any) -> Any:
        if _holds_none(value):
            raise ValueError("TOML has no null")
        if isinstance(old, _MOMENTS) and isinstance(value, str):
            try:
                moment = tomllib.loads(f"value = {value}")["value"]
            except tomllib.TOMLDecodeError:
                return value
            return moment if isinstance(moment, _MOMENTS) else value
        return value

    def write(self, value: Any, *, old: str, is_flow: bool) -> str:  # noqa: ARG002
        if (
            isinstance(value, str)
            and old[:1] == "'"
            and not old.startswith("'''")
            and not re.search(r"['\x00-\x1f\x7f]", value)
        ):
            return f"'{value}'"
        return _write(value)

    def write_item(self, path: Path, value: Any, *, is_flow: bool) -> str:  # noqa: ARG002
        return f"{'.'.join(map(_write_key, path))} = {_write(value)}"


class _Scanner:
    """Goes once through a text that is known to be TOML."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> Node:
        root = table = Node(start=0, end=0, style=Style.BLOCK, insert_at=0)
        while self._skip(_BLANK_LINES) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header(root)
            else:
                start = self._at
                keys = self._keys()
                self._skip(_BLANK)
                into = table
                for key in keys[:-1]:
                    into = _child(into, key, start)
                into.items[keys[-1]] = Item(start=start, node=self._value())
            self._skip(_REST_OF_LINE)
            table.insert_at = self._at
        return root

    def _header(self, root: Node) -> Node:
        start = self._at
        is_list = self._text.startswith("[[", self._at)
        self._at += 2 if is_list else 1
        keys = self._keys(closing="]")
        self._at += is_list
        node = root
        for key in keys[:-1]:
            node = _newest(_child(node, key, start))
        node = _child(node, keys[-1], start)
        node.style = Style.BLOCK
        if not is_list:
            return node
        node.is_list = True
        item = Node(start=start, end=start, style=Style.BLOCK)
        node.items[str(len(node.items))] = Item(start=start, node=item)
        return item

    def _keys(self, closing: str = "=") -> list[str]:
        """A dotted key and the character that closes it."""
        keys = []
        while True:
            self._skip(_BLANK)
            if self._text[self._at] in "\"'":
                quoted = self._string()
                keys.append(next(iter(tomllib.loads(f"{quoted} = 0"))))
            else:
                start = self._at
                keys.append(self._text[start : self._skip(_BARE_KEY)])
            self._skip(_BLANK)
            self._at += 1
            if self._text[self._at - 1] == closing:
                return keys

    def _value(self) -> Node:
        start = self._at
        first = self._text[start]
        if first in "\"'":
            self._string()
            return Node(start=start, end=self._at)
        if first not in "[{":
            bare = self._text[start : self._skip(_BARE_VALUE)].rstrip()
            self._at = start + len(bare)
            return Node(start=start, end=self._at)
        node = Node(start=start, end=start, style=Style.FLOW, is_list=first == "[")
        self._at += 1
        self._skip(_BLANK_LINES)
        while self._text[self._at] not in "]}":
            begin = self._at
            into, key = node, str(len(node.items))
            if first == "{":
                *outer, key = self._keys()
                self._skip(_BLANK)
                for name in outer:
                    into = _child(into, name, begin)
            into.items[key] = Item(start=begin, node=self._value())
            self._skip(_BLANK_LINES)
            if self._text[self._at] == ",":
                self._at += 1
                self._skip(_BLANK_LINES)
        self._at += 1
        node.end = self._at
        return node

    def _string(self) -> str:
        for quotes in _QUOTES:
            match = quotes.match(self._text, self._at)
            if match:
                self._at = match.end()
                return match.group()
        raise ValueError("a text is not closed")

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return self._at


def _child(node: Node, key: str, start: int) -> Node:
    """The table `key` of a table, which may have no line of its own."""
    if key not in node.items:
        node.items[key] = Item(start=start, node=Node(start=start, end=start, style=Style.IMPLIED))
    return node.items[key].node


def _newest(node: Node) -> Node:
    return node.items[str(len(node.items) - 1)].node if node.is_list else node


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, _MOMENTS):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(_write, value))}]"
    if isinstance(value, dict):
        items = ", ".join(f"{_write_key(key)} = {_write(item)}" for key, item in value.items())
        return f"{{{items}}}"
    return repr(value)


def _write_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _write(key)


def _holds_none(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_none, value))
    if isinstance(value, dict):
        return any(map(_holds_none, value.values()))
    return value is None
