"""Metrics in the files that a command writes: `metrics.json`, event files, DVCLive, and tables that are declared."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from gitexp.running.child import ChildResult
from gitexp.running.globs import Globs
from gitexp.running.metricsink import MetricSink
from gitexp.running.naming import Prefixes
from gitexp.running.outputs import Outputs
from gitexp.running.projectfiles import MetricsFile
from gitexp.running.reports import FOLDER
from gitexp.running.watching import Launch, Watcher

if TYPE_CHECKING:  # imported where there is such a file, for they cost more than all the rest of a launch
    from gitexp.running.dvclive import DvcLive
    from gitexp.running.eventfiles import EventFiles
    from gitexp.running.tables import Table

FIRST_LOOK_S = 3.0
EVERY_S = 5.0
"""How often a command that lasts is looked at, so that its metrics are seen, and safe, while it runs."""

DVCLIVE = "dvclive"
"""Where `Live()` of DVCLive writes that names no other folder."""

MARK = "tfevents"
"""In the name of every event file."""

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
"""How declared files end that are read row by row; one in `.json` is read as a whole, in the end."""

USUAL = ("runs", "logs", "lightning_logs", "tb_logs", "tensorboard")
"""Folders that are searched for event files where no writer tells of itself."""

CLOCK_LAG_S = 0.05
"""The clock of file systems may lag some milliseconds."""

_WRITERS = "writers-"


class MetricFiles(Watcher):
    """All files of one launch that hold metrics.

    Args:
        outputs: knows which files are new, and keeps those that belong to metrics, too.
    """

    def __init__(self, here: Launch, outputs: Outputs) -> None:
        recorder = here.recorder
        config = recorder.repository.config
        self._outputs = outputs
        self._warn = recorder.warn
        self._reports = os.path.join(recorder.folder, FOLDER)
        self._folders = tuple(dict.fromkeys(map(os.path.realpath, (here.directory, here.root or here.directory))))
        self._started = time.time()
        self._sink = MetricSink(recorder, config.metrics_ignore)
        self._summary = MetricsFile(self._folders)
        self._declared = Globs(config.metrics_files, self._folders)
        self._tables: dict[str, Table] = {}
        self._prefixes = Prefixes()
        self._events: EventFiles | None = None
        self._dvclives: dict[str, DvcLive] = {}
        self._fresh: set[str] = set()
        self._failure: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gitexp-metric-files", daemon=True)
        self._remember()

    def started(self) -> None:
        self._thread.start()

    def over(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def finish(self, child: ChildResult) -> None:  # noqa: ARG002
        self._look(is_over=True)
        if self._events is not None:
            self._events.tell_trouble()
        for dvclive in self._dvclives.values():
            self._outputs.add(dvclive.plots())
        self._look_at_summaries()
        if self._failure is not None:
            raise self._failure

    def _remember(self) -> None:
        """What is there before the command begins is not its own."""
        for path in self._declared.files():
            if self._is_table(path):
                self._table(path).pass_over()
        for folder in (*(os.path.join(folder, DVCLIVE) for folder in self._folders), *self._declared_dvclives()):
            if _is_dvclive(folder):
                self._add_dvclive(folder, is_known=True)

    def _watch(self) -> None:
        pause = FIRST_LOOK_S
        while not self._over.wait(pause):
            try:
                self._look(is_over=False)
            except Exception as error:
                self._failure = error  # told at the end
                return
            pause = EVERY_S

    def _look(self, *, is_over: bool) -> None:
        told = list(self._told())
        self._look_at_events(told, is_over=is_over)
        for kind, path in told:
            if kind == "dvclive" and path not in self._fresh:  # it removes what was there
                self._fresh.add(path)
                self._add_dvclive(path)
        folders = {path for kind, path in told if kind == "dvclive-resumed"}
        folders |= {os.path.join(folder, DVCLIVE) for folder in self._folders}
        for folder in sorted({*folders, *self._declared_dvclives()}):
            if folder not in self._dvclives and os.path.isdir(folder):
                self._add_dvclive(folder)
        for dvclive in self._dvclives.values():
            dvclive.look(is_over=is_over)
        self._look_at_tables(is_over=is_over)

    def _told(self) -> Iterator[tuple[str, str]]:
        """What writers in the command's processes told of themselves: kind and path."""
        try:
            names = sorted(name for name in os.listdir(self._reports) if name.startswith(_WRITERS))
        except OSError:
            return
        for name in names:
            with suppress(OSError), open(os.path.join(self._reports, name), "rb") as file:
                for line in file.read().split(b"\n")[:-1]:
                    kind, _, path = line.partition(b"\t")
                    yield kind.decode("ascii", "replace"), os.fsdecode(path)

    def _look_at_events(self, told: list[tuple[str, str]], *, is_over: bool) -> None:
        files = [path for kind, path in told if kind == "file"]
        folders = {path for kind, path in told if kind == "folder"}
        declared = [path for path in self._declared.files() if MARK in os.path.basename(path)]
        usual = [] if told else [os.path.join(above, name) for above in self._folders for name in USUAL]
        usual = [folder for folder in usual if os.path.isdir(folder)]
        changed = []
        if is_over and not told:
            changed = [change.path for change in self._outputs.changes() if MARK in os.path.basename(change.path)]
        if not (files or folders or declared or usual or changed or self._events):
            return
        from gitexp.running.eventfiles import EventFiles, event_files_below, event_files_in  # few commands write any

        if self._events is None:
            self._events = EventFiles(self._sink, self._started)
        found = [*declared, *(os.path.join(self._folders[-1], path) for path in changed)]
        for folder in sorted(folders):
            found += event_files_in(folder)
        found += event_files_below(usual)
        self._events.look(found, told=files)

    def _declared_dvclives(self) -> list[str]:
        """The folders of DVCLive of which a pattern names at least the summary or a history."""
        found = set()
        for path in self._declared.files():
            folder, name = os.path.split(path)
            if name == "metrics.json" and _is_dvclive(folder):
                found.add(folder)
        return sorted(found)

    def _add_dvclive(self, folder: str, *, is_known: bool = False) -> None:
        from gitexp.running.dvclive import DvcLive

        self._dvclives[folder] = DvcLive(folder, self._sink, self._started, is_known=is_known)

    def _table(self, path: str) -> Table:
        from gitexp.running.tables import Table

        return self._tables.setdefault(path, Table(path))

    def _is_table(self, path: str) -> bool:
        return path.endswith(TABLES) and MARK not in os.path.basename(path) and not self._is_dvclives(path)

    def _is_dvclives(self, path: str) -> bool:
        return path.startswith(tuple(f"{folder}{os.sep}" for folder in self._dvclives))

    def _look_at_tables(self, *, is_over: bool) -> None:
        for path in filter(self._is_table, self._declared.files()):
            self._table(path)
        grown = {path: table for path, table in self._tables.items() if table.has_grown(is_over=is_over)}
        self._prefixes.add({_place(path) for path in grown})
        for path, table in grown.items():
            prefix = self._prefixes[_place(path)]
            try:
                for row in table.read(is_over=is_over):
                    for name, value in row.values.items():
                        self._sink.point(prefix + name, row.step, row.time or table.written, value)
            except OSError as error:
                self._warn(f"The metrics of '{path}' are not recorded: {error.strerror}.")

    def _look_at_summaries(self) -> None:
        for path, status in self._declared.files().items():
            is_new = status.st_mtime >= self._started - CLOCK_LAG_S
            if path.endswith(".json") and is_new and not self._is_dvclives(path):
                self._summary.add(path)
        for key, value in self._summary.read(self._warn).items():
            self._sink.final(key, value)


def _is_dvclive(folder: str) -> bool:
    """Whether a folder looks like one that DVCLive wrote."""
    return os.path.isdir(os.path.join(folder, "plots", "metrics"))


def _place(table: str) -> str:
    """What tells a table from others: its path without its ending."""
    return os.path.splitext(table)[0]
