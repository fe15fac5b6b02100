"""Which of several places a metric comes from: what stands before its name."""

from __future__ import annotations

import os
import re

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval", "evaluation"})

_TIMESTAMP = re.compile(r"\d{9,}(\.\d+)?")


class Prefixes:
    """What stands before the names of metrics that come from one of several places, as TensorBoard shows it.

    Nothing, where there is only one place; else where it lies, seen from the folder that they share. A place called
    `train` or the like always gives its name, one whose name is a time never. What a place was given it keeps.
    """

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._root = ""

    def add(self, places: set[str]) -> None:
        """Decide about new places, absolute paths, all at once."""
        new = sorted(places - self._given.keys())
        if not new:
            return
        if not self._root:
            self._root = os.path.commonpath(new)
            if len(new) == 1 and os.path.basename(self._root).lower() in SPLITS:
                self._root = os.path.dirname(self._root)
        for place in new:
            path = os.path.relpath(place, os.path.commonpath([place, self._root]))
            parts = [part for part in path.split("/") if part != "." and not _TIMESTAMP.fullmatch(part)]
            self._given[place] = "".join(f"{part}/" for part in parts)

    def __getitem__(self, place: str) -> str:
        return self._given[place]
