"""The folder that DVCLive writes: its metrics with their histories, its params, its plots."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from gitexp.errors import CorruptData
from gitexp.running.metricfiles import CLOCK_LAG_S
from gitexp.running.metricsink import MetricSink
from gitexp.running.tables import Table, flat_numbers
from gitexp.store.yamlfile import load_yaml

_HISTORIES = os.path.join("plots", "metrics")
_LARGEST = 10 << 20


class DvcLive:
    """One such folder.

    Args:
        started: when the launch was, seconds since 1970, UTC; what was written before is not recorded.
        is_known: whether it could be there before the launch; what stands in its histories now is then not this one's.
    """

    def __init__(self, folder: str, sink: MetricSink, started: float, *, is_known: bool) -> None:
        self._folder = folder
        self._sink = sink
        self._started = started
        self._tables: dict[str, Table] = {}
        self._steps = 0
        if is_known:
            for name, table in self._histories():
                table.pass_over()
                self._tables[name] = table

    def look(self, *, is_over: bool) -> None:
        """Record the points that are new in the histories, and when it is over all the rest."""
        for name, found in self._histories():
            table = self._tables.setdefault(name, found)
            for row in table.read(is_over=is_over):
                self._steps = max(self._steps, row.step)
                for value in list(row.values.values())[-1:]:
                    self._sink.point(name, row.step, row.time or table.written, value)
        if is_over:
            self._record_summary()
            self._record_params()

    def plots(self) -> Iterator[str]:
        """The files that it drew, in this launch."""
        for path in _files_below(os.path.join(self._folder, "plots")):
            if not path.startswith(os.path.join(self._folder, _HISTORIES) + os.sep) and self._is_new(path):
                yield path

    def _histories(self) -> Iterator[tuple[str, Table]]:
        folder = os.path.join(self._folder, _HISTORIES)
        for path in sorted(_files_below(folder)):
            if path.endswith(".tsv"):
                yield os.path.relpath(path, folder).removesuffix(".tsv"), Table(path)

    def _record_summary(self) -> None:
        path = os.path.join(self._folder, "metrics.json")
        if not self._is_new(path):
            return
        try:
            summary = json.loads(_read(path))
            numbers = dict(flat_numbers(summary, separator="/"))
        except (OSError, ValueError, RecursionError, AttributeError) as error:
            self._sink.warn(f"The metrics of '{path}' are not recorded: {error}.")
            return
        step = numbers.pop("step", self._steps)
        for name, value in numbers.items():
            self._sink.final(name, value, int(step))

    def _record_params(self) -> None:
        path = os.path.join(self._folder, "params.yaml")
        if not self._is_new(path):
            return
        try:
            params = load_yaml(_read(path).decode("utf-8-sig"), what=path, on_duplicate=self._sink.warn)
        except (OSError, ValueError, CorruptData) as error:
            self._sink.warn(f"The params of '{path}' are not recorded: {error}.")
            return
        if isinstance(params, dict):
            self._sink.params({str(name): value for name, value in params.items()})

    def _is_new(self, path: str) -> bool:
        try:
            return os.stat(path).st_mtime >= self._started - CLOCK_LAG_S
        except OSError:
            return False


def _files_below(folder: str) -> Iterator[str]:
    for above, _, names in os.walk(folder):
        yield from (os.path.join(above, name) for name in names)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LARGEST)
