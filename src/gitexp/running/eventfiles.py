"""The event files of TensorBoard that a command writes: which they are, and what of them goes into the run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from gitexp.running.metricfiles import CLOCK_LAG_S, MARK
from gitexp.running.metricsink import MetricSink
from gitexp.running.naming import Prefixes
from gitexp.running.tfevents import EventFile, HParams, Media, Scalar

MOST_LISTED = 2_000
"""Entries of folders that are searched, the newest first."""

MOST_MEDIA = 1_000
MOST_MEDIA_BYTES = 256 << 20

MEDIA_FOLDER = "tensorboard"
_SLACK_S = 1.0
"""TensorFlow cuts the time at which it begins a file down to a second."""


class EventFiles:
    """Those of one launch.

    Args:
        started: when the launch was, seconds since 1970, UTC; older files are somebody else's.
    """

    def __init__(self, sink: MetricSink, started: float) -> None:
        self._sink = sink
        self._started = started
        self._files: dict[str, EventFile] = {}
        self._passed: set[str] = set()
        self._prefixes = Prefixes()
        self._media = 0
        self._media_bytes = 0

    def look(self, paths: Iterable[str], *, told: Iterable[str] = ()) -> None:
        """Record what is new in the files that are known and in `paths`, of which only those of this launch count.

        Args:
            told: files that the command's own process said it writes.
        """
        for path in told:
            self._files.setdefault(os.path.realpath(path), EventFile(path))
        for path in paths:
            real = os.path.realpath(path)
            if real not in self._files and real not in self._passed:
                if self._is_of_this_launch(path):
                    self._files[real] = EventFile(path)
                else:
                    self._passed.add(real)
        self._prefixes.add({os.path.dirname(path) for path in self._files})
        for path in sorted(self._files):
            try:
                self._record(self._files[path], self._prefixes[os.path.dirname(path)])
            except OSError as error:
                self._sink.warn(f"The event file '{path}' cannot be read: {error.strerror or error}.")

    def tell_trouble(self) -> None:
        """Once nobody writes any more."""
        for path, file in self._files.items():
            if file.trouble:
                self._sink.warn(f"The event file '{path}' is not read whole. {file.trouble}")

    def _is_of_this_launch(self, path: str) -> bool:
        try:
            if os.stat(path).st_mtime < self._started - CLOCK_LAG_S:
                return False
            began = EventFile(path).first_time()
        except OSError:
            return False
        return began is not None and began >= self._started - _SLACK_S

    def _record(self, file: EventFile, prefix: str) -> None:
        for item in file.read():
            if isinstance(item, Scalar):
                self._sink.point(prefix + item.tag, item.step, item.time, item.value)
            elif isinstance(item, HParams):
                self._sink.params(item.values)
            else:
                self._keep(item, prefix)

    def _keep(self, item: Media, prefix: str) -> None:
        self._media += 1
        self._media_bytes += len(item.data)
        if self._media > MOST_MEDIA or self._media_bytes > MOST_MEDIA_BYTES:
            self._sink.warn(
                f"Of the images, texts and sounds in event files only the first are kept: {MOST_MEDIA:,}, or"
                f" {MOST_MEDIA_BYTES >> 20} MiB."
            )
            return
        self._sink.artifact(item.data, f"{MEDIA_FOLDER}/{prefix}{item.tag}/{item.step:08d}{item.ending}")


def event_files_in(folder: str) -> Iterator[str]:
    """Event files right in a folder; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry.path for entry in entries if MARK in entry.name and entry.is_file())
    except OSError:
        return


def event_files_below(folders: Iterable[str]) -> Iterator[str]:
    """Event files in folders and below, as far as a bounded search among the newest finds them."""
    waiting = list(folders)
    left = MOST_LISTED
    while waiting and left > 0:
        folder = waiting.pop(0)
        try:
            with os.scandir(folder) as listed:
                entries = list(listed)
            left -= len(entries)
            yield from (entry.path for entry in entries if MARK in entry.name and entry.is_file())
            inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
            inner.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_mtime, reverse=True)
        except OSError:
            continue
        waiting += [entry.path for entry in inner]
