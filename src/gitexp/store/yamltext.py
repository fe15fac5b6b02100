"""Where the values of a YAML text stand, by the marks of PyYAML's events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from gitexp.domain.spans import Item, Node, Path, Style
from gitexp.domain.yamltext import dump_scalar
from gitexp.errors import CorruptData
from gitexp.store.yamlfile import load_yaml

_PROPERTIES = re.compile(r"(?:(?:&\S+|!\S*)(?:\s+|\Z))*")
_ANCHOR = re.compile(r"&\S+")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9:.]+(?:Z|[-+][0-9:]+)?)?")

_SWITCH = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")


class YamlText:
    """The `Format` of YAML. What it writes means the same to readers of YAML 1.1 and 1.2."""

    name = "YAML"

    def load(self, text: str) -> dict[str, Any]:
        try:
            values = load_yaml(text, what="YAML", on_duplicate=_take_the_last)
        except CorruptData as error:
            raise ValueError(str(error).removeprefix("YAML: ").rstrip(".")) from error
        if values is None:
            return {}
        if not isinstance(values, dict):
            raise ValueError("expected a mapping")
        return {str(key): value for key, value in values.items()}

    def tree(self, text: str) -> Node:
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        node = Node(start=len(text), end=len(text), style=Style.BLOCK, insert_at=_end_of_content(text))
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                found = _node(text, event, events)
                return node if found.style is Style.SCALAR else found  # the document is empty
        return node

    def adapt(self, value: Any, old: Any) -> Any:  # noqa: ARG002
        return value

    def write(self, value: Any, *, old: str, is_flow: bool) -> str:
        properties = _properties(old)
        anchor = _ANCHOR.search(properties)
        kept = f"{anchor.group()} " if anchor else ""
        return kept + _write(value, old[len(properties) :], is_flow)

    def write_item(self, path: Path, value: Any, *, is_flow: bool) -> str:
        for key in reversed(path[1:]):
            value = {key: value}
        return f"{_write(path[0], '', is_flow)}: {_write(value, '', is_flow)}"


def _node(text: str, event: yaml.Event, events: Iterator[yaml.Event]) -> Node:
    start, end = _start(event), _end(event)
    if isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent)):
        raw = text[start:end]
        return Node(start=start, end=start + len(raw.rstrip()) if raw.strip() else start)
    is_list = isinstance(event, yaml.SequenceStartEvent)
    is_flow = isinstance(event, yaml.CollectionStartEvent) and bool(event.flow_style)
    node = Node(start=start, end=end, style=Style.FLOW if is_flow else Style.BLOCK, is_list=is_list)
    node.start += len(_properties(text[start:]))
    for inner in events:
        if isinstance(inner, yaml.CollectionEndEvent):
            node.end = _end(inner)
            break
        begin = _start(inner)
        if is_list:
            node.items[str(len(node.items))] = Item(start=begin, node=_node(text, inner, events))
            continue
        key = _key(inner) if isinstance(inner, yaml.ScalarEvent) else None
        _skip(inner, events)
        child = _node(text, next(events), events)
        if key is not None:
            node.items.pop(key, None)
            node.items[key] = Item(start=begin, node=child)
    return node


def _start(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark else 0


def _end(event: yaml.Event) -> int:
    return event.end_mark.index if event.end_mark else 0


def _skip(event: yaml.Event, events: Iterator[yaml.Event]) -> None:
    """Goes over the rest of a key that is no text."""
    depth = int(isinstance(event, yaml.CollectionStartEvent))
    while depth:
        inner = next(events)
        depth += isinstance(inner, yaml.CollectionStartEvent) - isinstance(inner, yaml.CollectionEndEvent)


def _key(event: yaml.ScalarEvent) -> str | None:
    if not event.implicit[0]:
        return str(event.value)
    if event.value == "<<":
        return None
    values = load_yaml(f"? {event.value}\n: 0\n", what="key") if event.value else {None: 0}
    return str(next(iter(values)))


def _properties(raw: str) -> str:
    """The anchor and the tag before a value, with the space after them."""
    match = _PROPERTIES.match(raw)
    return match.group() if match else ""


def _write(value: Any, old: str, is_flow: bool) -> str:
    if not isinstance(value, str):
        return dump_scalar(value)
    plain = dump_scalar(value)
    if old[:1] == "'" and value.isprintable():
        quoted = value.replace("'", "''")
        return f"'{quoted}'"
    if old[:1] == '"' and plain[:1] != '"':
        return json.dumps(value, ensure_ascii=False)
    if _MOMENT.fullmatch(value) and _MOMENT.fullmatch(old):  # a date to those who read YAML 1.1, as the old one
        return value
    if _SWITCH.fullmatch(value) and _SWITCH.fullmatch(old):  # so are these booleans to them
        return value
    return json.dumps(value, ensure_ascii=False) if is_flow and plain[:1] != '"' and re.search("[,:]", value) else plain


def _end_of_content(text: str) -> int:
    """Where a line may be added to a document without values: before `...`, if that ends it."""
    match = re.search(r"^\.\.\.\s*(?:#.*)?$", text, re.MULTILINE)
    return match.start() if match else len(text)


def _take_the_last(_problem: str) -> None:
    """Of a key that stands twice the last counts, for the script too."""
