"""A value from PyYAML's events, with the bounds of docs/format.md and the scalars of YAML 1.2.

`1e-3` is a number; `yes`, `12:30` and `2026-01-01` are text. Merge keys (`<<`) work. Built from events and a stack
because PyYAML's own composer recurses: a deeply nested text makes the one written in C overflow the stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from gitexp.domain.keys import shorten
from gitexp.errors import CorruptData

MOST_ALIASED_NODES = 100_000
"""How many nodes aliases may add when they are written out."""

DEEPEST = 100

_INTEGER = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"([-+]?)\.(?:(inf|Inf|INF)|nan|NaN|NAN)\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_CORE = "tag:yaml.org,2002:"
_TAGGED: dict[str, tuple[type, ...]] = {
    _CORE + "int": (int,),
    _CORE + "float": (int, float),
    _CORE + "bool": (bool,),
    _CORE + "null": (type(None),),
}
_LONGEST_DECIMAL = 4000
_MERGE = object()


def build_value(text: str, what: str, on_duplicate: Callable[[str], None] | None) -> Any:
    """The value of the one document in `text`; see `yamlfile.load_yaml`."""
    return _Builder(what, on_duplicate).build(text)


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet. `size` counts its nodes with aliases written out."""

    value: Any
    anchor: str | None
    line: int
    size: int = 1
    key: Any = None
    has_key: bool = False
    merged: list[dict[Any, Any]] = field(default_factory=list)


class _Builder:
    def __init__(self, what: str, on_duplicate: Callable[[str], None] | None) -> None:
        self._what = what
        self._on_duplicate = on_duplicate
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0
        self._root: Any = None
        self._documents = 0

    def build(self, text: str) -> Any:
        try:
            for event in _events(text):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._refuse(error.problem or error.context or "it cannot be read", mark.line if mark else None)
        except yaml.YAMLError as error:
            self._refuse(str(error).splitlines()[0], None)
        except UnicodeError:
            self._refuse("it holds a lone surrogate", None)
        return self._root

    def _take(self, event: yaml.Event) -> None:
        line = event.start_mark.line if event.start_mark else 0
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, line)
            if event.anchor is not None:
                self._anchors[event.anchor] = (value, 1)
            self._put(value, 1, line)
        elif isinstance(event, yaml.AliasEvent):
            value, size = self._aliased_value(event.anchor, line)
            self._put(value, size, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start([] if isinstance(event, yaml.SequenceStartEvent) else {}, event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse("a second document starts; one is expected", line)

    def _start(self, value: Any, event: yaml.CollectionStartEvent, line: int) -> None:
        if event.tag is not None and event.tag not in (_CORE + "seq", _CORE + "map"):
            self._refuse(f"the tag {shorten(event.tag)} is not read", line)
        if len(self._open) >= DEEPEST:
            self._refuse(f"it is nested deeper than {DEEPEST} levels", line)
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
        self._open.append(_Open(value, event.anchor, line))

    def _end(self) -> None:
        done = self._open.pop()
        for inherited in done.merged:
            for key, value in inherited.items():
                done.value.setdefault(key, value)
        if done.anchor is not None:
            self._anchors[done.anchor] = (done.value, done.size)
        self._put(done.value, done.size, done.line)

    def _put(self, value: Any, size: int, line: int) -> None:
        if not self._open:
            self._root = value
            return
        into = self._open[-1]
        into.size += size
        if isinstance(into.value, list):
            into.value.append(value)
        elif not into.has_key:
            self._check_key(into.value, value, line)
            into.key, into.has_key = value, True
        else:
            into.has_key = False
            if into.key is _MERGE:
                self._merge(into, value, line)
            else:
                into.value[into.key] = value

    def _check_key(self, mapping: dict[Any, Any], key: Any, line: int) -> None:
        if isinstance(key, (list, dict)):
            self._refuse("a list or mapping is used as a key", line)
        if key is not _MERGE and key in mapping:
            if self._on_duplicate is None:
                self._refuse(f"the key {shorten(str(key))} stands twice", line)
            self._on_duplicate(
                f"{self._what}: line {line + 1}: the key {shorten(str(key))} stands twice; the last counts."
            )

    def _merge(self, into: _Open, value: Any, line: int) -> None:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            self._refuse("'<<' expects a mapping or a list of mappings", line)
        into.merged += sources

    def _aliased_value(self, anchor: str | None, line: int) -> tuple[Any, int]:
        if anchor is None or anchor not in self._anchors:
            self._refuse(f"the alias {shorten(str(anchor))} has no anchor before it, or holds itself", line)
        value, size = self._anchors[anchor]
        self._aliased += size
        if self._aliased > MOST_ALIASED_NODES:
            self._refuse(f"its aliases expand to more than {MOST_ALIASED_NODES:,} nodes", line)
        return value, size

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Any:
        text: str = event.value
        plain, _quoted = event.implicit
        if event.tag not in (None, "!", _CORE + "str"):
            return self._tagged(event.tag, text, line)
        if event.tag is not None or not plain:
            return text
        if text == "<<" and self._open and isinstance(self._open[-1].value, dict) and not self._open[-1].has_key:
            return _MERGE
        return _plain(text)

    def _tagged(self, tag: str, text: str, line: int) -> Any:
        value: Any = _plain(text)
        wanted = _TAGGED.get(tag)
        if wanted is None:
            self._refuse(f"the tag {shorten(tag)} is not read", line)
        if type(value) not in wanted:
            self._refuse(f"{shorten(text)} is not what its tag says", line)
        return float(value) if tag.endswith("float") else value

    def _refuse(self, problem: str, line: int | None) -> NoReturn:
        place = "" if line is None else f" line {line + 1}:"
        raise CorruptData(f"{self._what}:{place} {problem}.")


def _events(text: str) -> Iterator[yaml.Event]:
    return yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _plain(text: str) -> Any:
    """What an unquoted scalar means in YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789+-.":
        return text
    if _INTEGER.match(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)) if len(text) <= _LONGEST_DECIMAL else text
    if _FLOAT.match(text):
        return float(text)
    special = _SPECIAL_FLOAT.match(text)
    if special:
        sign, infinite = special.groups()
        return float(f"{sign}inf") if infinite else float("nan")
    return text
