"""Where the values of a JSON text stand."""

from __future__ import annotations

import json
import re
from typing import Any

from gitexp.domain.spans import Item, Node, Path, Style

_BLANK = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[-+.0-9A-Za-z]+')


class JsonText:
    """The `Format` of JSON."""

    name = "JSON"

    def load(self, text: str) -> dict[str, Any]:
        try:
            values = json.loads(text)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        if not isinstance(values, dict):
            raise ValueError("expected an object")
        return values

    def tree(self, text: str) -> Node:
        return _node(text, _skip(text, 0))

    def adapt(self, value: Any, old: Any) -> Any:  # noqa: ARG002
        return value

    def write(self, value: Any, *, old: str, is_flow: bool) -> str:  # noqa: ARG002
        return json.dumps(value, ensure_ascii=False)

    def write_item(self, path: Path, value: Any, *, is_flow: bool) -> str:  # noqa: ARG002
        for key in reversed(path[1:]):
            value = {key: value}
        return f"{json.dumps(path[0], ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"


def _node(text: str, at: int) -> Node:
    first = text[at]
    if first not in "[{":
        return Node(start=at, end=_end(_SCALAR, text, at))
    node = Node(start=at, end=at, style=Style.FLOW, is_list=first == "[")
    at = _skip(text, at + 1)
    while text[at] not in "]}":
        start = at
        key = str(len(node.items))
        if first == "{":
            at = _end(_SCALAR, text, at)
            key = json.loads(text[start:at])
            at = _skip(text, _skip(text, at) + 1)
        item = _node(text, at)
        node.items.pop(key, None)  # of a key that stands twice the last counts
        node.items[key] = Item(start=start, node=item)
        at = _skip(text, item.end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    node.end = at + 1
    return node


def _skip(text: str, at: int) -> int:
    return _end(_BLANK, text, at)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
