"""Which runs are known to have their artifacts at a remote: a cache, one file for each remote, safe to delete."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

_COMMIT, _SHA256 = 40, 64


class SentRuns:
    """Commits of runs all of whose artifacts were seen at one place, whatever text names it.

    A line of the file is a commit; or a commit and the SHA-256 of content of its that was neither there nor here.
    """

    def __init__(self, gitexp_dir: str, place: str) -> None:
        digest = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._path = os.path.join(gitexp_dir, "sent", digest)
        self._whole: set[str] = set()
        self._lost: dict[str, set[str]] = {}
        self._load()

    def __contains__(self, commit: str) -> bool:
        return commit in self._whole

    def lost(self, commit: str) -> Collection[str]:
        """The SHA-256s of what was nowhere when a run was sent."""
        return self._lost.get(commit, ())

    def add(self, commits: Iterable[str]) -> None:
        """Remember more of them; a disk that refuses only costs time later."""
        new = [commit for commit in commits if commit not in self._whole]
        self._whole.update(new)
        self._append(new)

    def add_lost(self, lost: Mapping[str, Iterable[str]]) -> None:
        """Remember what of some runs was neither there nor here."""
        new = [(run, sha256) for run, found in lost.items() for sha256 in found if sha256 not in self.lost(run)]
        for commit, sha256 in new:
            self._lost.setdefault(commit, set()).add(sha256)
        self._append([f"{commit} {sha256}" for commit, sha256 in new])

    def _append(self, lines: Collection[str]) -> None:
        if not lines:
            return
        with suppress(OSError):
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(self._path, "a", encoding="ascii") as file:
                file.write("".join(f"{line}\n" for line in lines))

    def _load(self) -> None:
        try:
            with open(self._path, encoding="ascii") as file:
                lines = file.read().split("\n")
        except (OSError, UnicodeDecodeError):
            return
        self._whole = {line for line in lines if len(line) == _COMMIT}
        for line in lines:
            if len(line) == _COMMIT + 1 + _SHA256:
                self._lost.setdefault(line[:_COMMIT], set()).add(line[_COMMIT + 1 :])
