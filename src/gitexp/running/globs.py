"""Patterns for files, as people write them in settings and options: `models/**`, `*.pt`, `data/train.csv`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from gitexp.errors import UsageError
from gitexp.store.git.wildmatch import GLOB_SPECIAL, can_match, compile_pattern
from gitexp.store.manifests import SKIPPED

_Match = Callable[[bytes], object]


class Glob:
    """A pattern in the syntax of `.gitignore`, seen from a folder; what it matches stands for all that is below.

    One that holds no `/` but a wildcard is found at any depth; one without wildcards is a path. Folders that symlinks
    lead to are not searched, but the part before the first wildcard may be such a link.

    Args:
        pattern: relative to `folder`, or absolute.

    Attributes:
        folder: the part before the first wildcard, absolute: where everything lies that it can match.
        is_path: whether it has no wildcard.
    """

    def __init__(self, pattern: str, folder: str) -> None:
        if "/" not in pattern.rstrip("/") and not GLOB_SPECIAL.isdisjoint(os.fsencode(pattern)):
            pattern = f"**/{pattern}"
        whole = os.path.normpath(os.path.join(folder, pattern.rstrip("/") or "."))
        parts = os.fsencode(whole).strip(b"/").split(b"/")
        plain = next((at for at, part in enumerate(parts) if not GLOB_SPECIAL.isdisjoint(part)), len(parts))
        self.is_path = plain == len(parts)
        self.folder = os.fsdecode(b"/" + b"/".join(parts[:plain]))
        self._parts: list[_Match | None] = [
            None if part == b"**" else compile_pattern(part, path=True) for part in parts[plain:]
        ]

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Each file or symlink it matches, and how it looks; what cannot be listed is left out. In no special order."""
        try:
            status = os.lstat(self.folder)
            if stat.S_ISLNK(status.st_mode) and os.path.isdir(self.folder):
                status = os.stat(self.folder)
        except OSError:
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self._below(self.folder, self._closed({0}))
        elif self.is_path:
            yield self.folder, status

    def matches(self, path: str) -> bool:
        """Whether it matches an absolute path or a folder above it."""
        if path == self.folder:
            return self.is_path
        if not path.startswith(self.folder.rstrip("/") + "/"):
            return False
        if self.is_path:
            return True
        at = self._closed({0})
        for name in os.fsencode(path)[len(os.fsencode(self.folder)) :].strip(b"/").split(b"/"):
            at = self._after(at, name)
            if len(self._parts) in at:
                return True
        return False

    def _below(self, folder: str, at: set[int]) -> Iterator[tuple[str, os.stat_result]]:
        try:
            with os.scandir(folder) as listed:
                entries = list(listed)
        except OSError:
            return
        everything = len(self._parts) in at
        if not self.is_path and any(entry.name == "pyvenv.cfg" for entry in entries):
            return
        for entry in entries:
            if entry.name in SKIPPED:
                continue
            after = at if everything else self._after(at, os.fsencode(entry.name))
            if not after:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from self._below(entry.path, after)
                elif len(self._parts) in after:
                    yield entry.path, entry.stat(follow_symlinks=False)
            except OSError:  # it went a moment ago
                continue

    def _after(self, at: set[int], name: bytes) -> set[int]:
        """Which parts may come next, once `name` was met where those of `at` might."""
        found: set[int] = set()
        for part in at:
            if part == len(self._parts):
                found.add(part)
                continue
            match = self._parts[part]
            if match is None:
                found.add(part + 1 if part + 1 == len(self._parts) else part)
            elif match(name):
                found.add(part + 1)
        return self._closed(found)

    def _closed(self, at: set[int]) -> set[int]:
        """`**` may stand for no folder at all; at the end of a pattern it wants something below."""
        while True:
            more = {part + 1 for part in at if part + 1 < len(self._parts) and self._parts[part] is None} - at
            if not more:
                return at
            at = at | more


def check_pattern(pattern: str, *, what: str) -> None:
    """See that a pattern can match a file.

    Args:
        what: what gave the pattern, as "The option --output".

    Raises:
        UsageError: it is empty, or has a class that matches nothing.
    """
    plain = pattern.removeprefix("!")
    if not plain.strip():
        raise UsageError(f"{what} is empty.", hint="Write a path or pattern like 'models/**'.")
    if not all(map(can_match, os.fsencode(plain).split(b"/"))):
        raise UsageError(
            f"{what} is '{pattern}', which no file can match.",
            hint="A '[' begins a class of characters like '[0-9]'; write '\\[' where you mean the character.",
        )


class Globs:
    """Several patterns; one that begins with `!` takes back what those before it match.

    Args:
        patterns: relative to any of `folders`, or absolute.
    """

    def __init__(self, patterns: tuple[str, ...], folders: tuple[str, ...]) -> None:
        self._globs = [
            (Glob(pattern.removeprefix("!"), folder), not pattern.startswith("!"))
            for pattern in patterns
            for folder in dict.fromkeys(folders)
        ]

    def __bool__(self) -> bool:
        return bool(self._globs)

    def files(self) -> dict[str, os.stat_result]:
        """Each file or symlink that is matched, by its absolute path, and how it looks; sorted."""
        found: dict[str, os.stat_result] = {}
        for glob, adds in self._globs:
            if adds:
                found.update(glob.files())
            else:
                found = {path: status for path, status in found.items() if not glob.matches(path)}
        return dict(sorted(found.items()))

    def matches(self, path: str) -> bool:
        """Whether an absolute path is matched."""
        matched = False
        for glob, adds in self._globs:
            if matched != adds and glob.matches(path):
                matched = adds
        return matched
