"""Where metrics go that were read from files: into the run, each but once, less what the settings leave out."""

from __future__ import annotations

import fnmatch
import math
import time
from functools import cached_property
from typing import Any

from gitexp.domain.keys import parse_key
from gitexp.domain.source import Source
from gitexp.domain.values import Number
from gitexp.errors import GitexpError
from gitexp.recording import Recorder


class MetricSink:
    """The way from files into one run.

    Args:
        ignore: patterns of metrics that are left out.
    """

    def __init__(self, recorder: Recorder, ignore: tuple[str, ...]) -> None:
        self._owner = recorder
        self._ignore = ignore
        self._wanted: dict[str, bool] = {}
        self._last: dict[str, tuple[int, Number]] = {}
        self.warn = recorder.warn

    @cached_property
    def _recorder(self) -> Recorder:
        return self._owner.beside(Source.FILE)  # costs two files, which most runs do not need

    def point(self, key: str, step: int, moment: float, value: Number) -> None:
        """One value of a metric. A key that cannot be stored is trouble."""
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = self._is_wanted(key)
        if not wanted:
            return
        self._recorder.point(key, step, moment, value)
        last = self._last.get(key)
        if last is None or step >= last[0]:
            self._last[key] = step, value

    def final(self, key: str, value: Number, step: int = 0) -> None:
        """The value that a summary says a metric has in the end: nothing new where its history ends with it.

        A summary that nests its names with dots may mean a metric whose name has slashes.
        """
        for name in (key, key.replace(".", "/")):
            if name in self._last and _is_same(self._last[name][1], value):
                return
        if key in self._last:
            step = max(step, self._last[key][0])
        self.point(key, step, time.time(), value)

    def params(self, values: dict[str, Any]) -> None:
        self._recorder.log_params(values)

    def artifact(self, data: bytes, path: str) -> None:
        """Keep `data` under a path; one that cannot be is trouble."""
        try:
            self._recorder.add_bytes(data, path)
        except GitexpError as error:
            self._owner.trouble(error)

    def _is_wanted(self, key: str) -> bool:
        if any(fnmatch.fnmatchcase(key, pattern) for pattern in self._ignore):
            return False
        try:
            parse_key(key, what="metric")
        except GitexpError as error:
            self._owner.trouble(error)
            return False
        return True


def _is_same(one: Number, other: Number) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
