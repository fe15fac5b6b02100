"""Which runs are known to have their artifacts at a remote: a cache, one file for each remote, safe to delete."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress

_DIGITS = 40


class SentRuns:
    """Commits of runs all of whose artifacts were seen at one place, whatever text names it."""

    def __init__(self, gitexp_dir: str, place: str) -> None:
        digest = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._path = os.path.join(gitexp_dir, "sent", digest)
        self._known = self._load()

    def __contains__(self, commit: str) -> bool:
        return commit in self._known

    def add(self, commits: Iterable[str]) -> None:
        """Remember more of them; a disk that refuses only costs time later."""
        new = [commit for commit in commits if commit not in self._known]
        if not new:
            return
        self._known.update(new)
        with suppress(OSError):
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(self._path, "a", encoding="ascii") as file:
                file.write("".join(f"{commit}\n" for commit in new))

    def _load(self) -> set[str]:
        try:
            with open(self._path, encoding="ascii") as file:
                return {line for line in file.read().split("\n") if len(line) == _DIGITS}
        except (OSError, UnicodeDecodeError):
            return set()
