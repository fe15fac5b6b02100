"""What git ignores: `.gitignore` in every folder, `info/exclude`, `core.excludesFile`; and our `.gitexpignore`.

An own matcher, because dulwich.ignore costs 30 ms to import and disagrees with git (tests/test_ignore.py has patterns
where it does). Follows `dir.c`; names are bytes, folders end in `/`, and the root is `b""`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gitexp.store.git.paths import folders_down_to
from gitexp.store.git.wildmatch import GLOB_SPECIAL, compile_pattern

_BOM = b"\xef\xbb\xbf"


class PathPattern:
    """One pattern as `.gitignore` and `.gitattributes` write it.

    Attributes:
        negative: it begins with `!`.
        folder_only: it ends in `/`.
        whole_path: it holds a `/` elsewhere, and is compared with the path from its folder; else with the name alone.
    """

    __slots__ = ("_fold", "_literal", "_match", "_suffix", "_text", "folder_only", "negative", "whole_path")

    def __init__(self, text: bytes, *, fold: bool = False) -> None:
        self.negative = text.startswith(b"!")
        text = text[self.negative :]
        self.folder_only = text.endswith(b"/")
        ends_plain = text[:1] == b"*" and GLOB_SPECIAL.isdisjoint(text[1:])
        if self.folder_only:
            text = text[:-1]
        self.whole_path = b"/" in text
        if self.whole_path:
            text = text.removeprefix(b"/")
        self._fold = fold
        self._text = text
        self._match: Callable[[bytes], object] | None = None
        self._literal = GLOB_SPECIAL.isdisjoint(text)
        self._suffix = ends_plain and not self.whole_path
        if fold and (self._literal or self._suffix):
            self._text = text.lower()

    def matches(self, path: bytes, name: bytes) -> bool:
        """Whether it matches `path`, relative to its folder, whose last part is `name`; both in lower case to fold."""
        subject = path if self.whole_path else name
        if self._literal:
            return subject == self._text
        if self._suffix:
            return subject.endswith(self._text[1:])
        if self._match is None:
            self._match = self._compile()
        return self._match(subject) is not None

    def _compile(self) -> Callable[[bytes], object]:
        # Git compares what stands before the first wildcard byte by byte and matches the rest on its own, so `a**/b`
        # spans folders although `**` is only a part of a name there.
        text = self._text
        plain = next((at for at, byte in enumerate(text) if byte in GLOB_SPECIAL), len(text)) if self.whole_path else 0
        head = text[:plain].lower() if self._fold else text[:plain]
        rest = compile_pattern(text[plain:], path=self.whole_path, fold=self._fold)
        return lambda subject: rest(subject[plain:]) if subject.startswith(head) else None


class PatternList:
    """The patterns of one file, which lies in the folder `base`."""

    __slots__ = ("_start", "patterns")

    def __init__(self, patterns: Iterable[PathPattern], base: bytes = b"") -> None:
        self.patterns = tuple(patterns)[::-1]
        self._start = len(base)

    def decide(self, path: bytes, name: bytes, is_folder: bool) -> bool | None:
        """What the last matching pattern says: ignored, not ignored, or None where none matches."""
        inside = path[self._start :]
        for pattern in self.patterns:
            if (is_folder or not pattern.folder_only) and pattern.matches(inside, name):
                return not pattern.negative
        return None


class IgnoreSources(NamedTuple):
    """Where a work tree's ignore rules come from.

    Attributes:
        file_name: the per-folder file: `b".gitignore"` or `b".gitexpignore"`.
        shared: paths of the files for the whole tree, the one that wins first.
        fold: `core.ignoreCase`.
    """

    file_name: bytes
    shared: tuple[bytes, ...] = ()
    fold: bool = False


class IgnoreRules:
    """Answers for one work tree whether git ignores a path.

    Args:
        work_tree: its root, without a `/` at the end.
        stored: the content that the index has for a rule file which a sparse checkout left out of the work tree.
    """

    def __init__(
        self, work_tree: bytes, sources: IgnoreSources, stored: Callable[[bytes], bytes | None] = lambda _: None
    ) -> None:
        self._root = work_tree
        self._sources = sources
        self._stored = stored
        shared = (PatternList(parse_patterns(read_rules(path) or b"", fold=sources.fold)) for path in sources.shared)
        self._shared = tuple(found for found in shared if found.patterns)
        self._folders: dict[bytes, tuple[PatternList, ...]] = {}

    def ignores(self, path: bytes, *, is_folder: bool) -> bool:
        """Whether `path` (without `/` at its end) is ignored, the folders above it being known not to be."""
        cut = path.rfind(b"/") + 1
        lists = self._lists(path[:cut])
        if self._sources.fold:
            path = path.lower()
        name = path[cut:]
        for patterns in lists:
            decision = patterns.decide(path, name, is_folder)
            if decision is not None:
                return decision
        return False

    def _lists(self, folder: bytes) -> tuple[PatternList, ...]:
        lists = self._folders.get(folder)
        if lists is None:
            lists = self._shared
            for path in folders_down_to(folder):
                above, lists = lists, self._folders.get(path, ())
                if path not in self._folders:
                    own = PatternList(parse_patterns(self._text(path), fold=self._sources.fold), path)
                    lists = self._folders[path] = (own, *above) if own.patterns else above
        return lists

    def _text(self, folder: bytes) -> bytes:
        relative = folder + self._sources.file_name
        text = read_rules(b"%s/%s" % (self._root, relative), follow=False)
        if text is None:
            text = self._stored(relative)
        return text or b""


def parse_patterns(text: bytes, *, fold: bool = False) -> list[PathPattern]:
    """The patterns of a file in the syntax of gitignore(5), in its order."""
    found = []
    for line in text.removeprefix(_BOM).split(b"\n"):
        line = _trim(line.removesuffix(b"\r").split(b"\0", 1)[0])
        if line and not line.startswith(b"#"):
            found.append(PathPattern(line, fold=fold))
    return found


def _trim(line: bytes) -> bytes:
    """Without the spaces at its end that no backslash protects."""
    end = len(line.rstrip(b" "))
    if end == len(line):
        return line
    backslashes = end - len(line[:end].rstrip(b"\\"))
    return line[: end + backslashes % 2]


def read_rules(path: bytes, *, follow: bool = True) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except OSError:
        return None
    try:
        return b"".join(iter(lambda: os.read(descriptor, 1 << 16), b""))
    except OSError:  # a folder of that name
        return b""
    finally:
        os.close(descriptor)
