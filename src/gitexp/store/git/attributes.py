"""What `.gitattributes` say about a path; follows git's `attr.c`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from gitexp.store.git.ignore import PathPattern, read_rules
from gitexp.store.git.paths import folders_down_to

Value = bytes | bool | None
"""Set (True), unset (False), a text, or None where nothing is said."""

FILE_NAME = b".gitattributes"

_MACRO = b"[attr]"
_LONGEST_LINE = 2048
_LARGEST_FILE = 100 << 20
_SPACE = re.compile(rb"[ \t\r\n]+")
_NAME = re.compile(rb"(?!-)[-A-Za-z0-9_.]+\Z")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\([abfnrtv\\\"]|[0-3][0-7]{2})")
_ESCAPES = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
    b'"': b'"',
}
_BUILT_IN = b"[attr]binary -diff -merge -text"

_Changes = list[tuple[bytes, Value]]


class _Rules(NamedTuple):
    """One file: what its patterns and its macros set, in its order. `base` is its folder."""

    base: bytes
    patterns: list[tuple[PathPattern, _Changes]]
    macros: dict[bytes, _Changes]


class Attributes:
    """Answers for one work tree what attributes a path has.

    Args:
        work_tree: its root, without a `/` at the end.
        outer: paths of the files of the machine and the user, the weakest first.
        info: path of `info/attributes`, the strongest.
        stored: the content the index has for a `.gitattributes` that a sparse checkout left out of the work tree.
        fold: `core.ignoreCase`.
    """

    def __init__(
        self,
        work_tree: bytes,
        *,
        outer: tuple[bytes, ...] = (),
        info: bytes = b"",
        stored: Callable[[bytes], bytes | None] = lambda _: None,
        fold: bool = False,
    ) -> None:
        self._root = work_tree
        self._stored = stored
        self._fold = fold
        self._info = _parse(read_rules(info) or b"", macros=True, fold=fold) if info else _NO_RULES
        files = (_parse(read_rules(path) or b"", macros=True, fold=fold) for path in outer)
        self._outer = [_parse(_BUILT_IN, macros=True, fold=fold), *files]
        self._folders: dict[bytes, list[_Rules]] = {}

    def of(self, path: bytes) -> Mapping[bytes, Value]:
        """The attributes of a file."""
        cut = path.rfind(b"/") + 1
        stack = self._stack(path[:cut])
        if not any(rules.patterns for rules in stack) and not self._info.patterns:
            return {}
        if self._fold:
            path = path.lower()
        name = path[cut:]
        macros = _Macros([*stack, self._info])
        found: dict[bytes, Value] = {}
        for rules in (self._info, *reversed(stack)):
            inside = path[len(rules.base) :]
            for pattern, changes in reversed(rules.patterns):
                if not pattern.folder_only and pattern.matches(inside, name):
                    _fill(found, changes, macros)
        return found

    def _stack(self, folder: bytes) -> list[_Rules]:
        """The rules for files in a folder, the weakest first."""
        stack = self._folders.get(folder)
        if stack is None:
            stack = self._outer
            for path in folders_down_to(folder):
                above, stack = stack, self._folders.get(path, [])
                if path not in self._folders:
                    own = _parse(self._text(path), base=path, macros=not path, fold=self._fold)
                    stack = self._folders[path] = [*above, own] if own.patterns or own.macros else above
        return stack

    def _text(self, folder: bytes) -> bytes:
        path = folder + FILE_NAME
        text = read_rules(b"%s/%s" % (self._root, path), follow=False)
        if text is None:
            text = self._stored(path)
        return text or b""


class _Macros:
    """The macros that hold for a path; the strongest file's definition counts, and in it the last."""

    def __init__(self, stack: list[_Rules]) -> None:
        self._defined = {name: changes for rules in stack for name, changes in rules.macros.items()}

    def get(self, name: bytes) -> _Changes:
        return self._defined.get(name, [])


def _fill(found: dict[bytes, Value], changes: _Changes, macros: _Macros) -> None:
    """Sets what nothing stronger has set; a macro that is set sets its own attributes right then."""
    for name, value in reversed(changes):
        if name not in found:
            found[name] = value
            if value is True:
                _fill(found, macros.get(name), macros)


def _parse(text: bytes, *, base: bytes = b"", macros: bool, fold: bool) -> _Rules:
    rules = _Rules(base, [], {})
    if len(text) >= _LARGEST_FILE:
        return rules
    for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        line = line.split(b"\0", 1)[0].lstrip(b" \t\r\n")
        if not line or line.startswith(b"#") or len(line) >= _LONGEST_LINE:
            continue
        subject, rest = _subject(line)
        is_macro = len(subject) > len(_MACRO) and subject.startswith(_MACRO)
        if is_macro:
            subject = _SPACE.split(subject[len(_MACRO) :].lstrip(b" \t\r\n"), maxsplit=1)[0]
            if not macros or not _NAME.match(subject):
                continue
        changes = list(_changes(rest))
        if None in changes:
            continue
        valid = [change for change in changes if change is not None]
        if is_macro:
            rules.macros[subject] = valid
        elif not subject.startswith(b"!"):
            rules.patterns.append((PathPattern(subject, fold=fold), valid))
    return rules


def _subject(line: bytes) -> tuple[bytes, bytes]:
    """The pattern, or the macro's head, and what follows."""
    quoted = _QUOTED.match(line)
    if quoted and b"\\" not in _ESCAPE.sub(b"", quoted[1]):
        return _ESCAPE.sub(_unescape, quoted[1]), line[quoted.end() :].lstrip(b" \t\r\n")
    subject, *rest = _SPACE.split(line, maxsplit=1)
    return subject, rest[0] if rest else b""


def _unescape(match: re.Match[bytes]) -> bytes:
    return _ESCAPES.get(match[1]) or bytes((int(match[1], 8),))


def _changes(text: bytes) -> Iterator[tuple[bytes, Value] | None]:
    """What a line sets; None for a word that makes git skip the line."""
    for word in _SPACE.split(text):
        if not word:
            continue
        name, equals, value = word.partition(b"=")
        said: Value = value if equals else True
        if name.startswith((b"-", b"!")):
            said = False if name.startswith(b"-") else None
            name = name[1:]
        yield (name, said) if _NAME.match(name) else None


_NO_RULES = _Rules(b"", [], {})
