"""A live run followed from another process: its points, its output and its end, as they come."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gitexp.domain.identity import RunId
from gitexp.domain.metrics import History
from gitexp.domain.summary import RunSummary
from gitexp.errors import GitexpError, NotFound
from gitexp.repo import Repository
from gitexp.store.output import OutputTail
from gitexp.store.playback import JournalTail


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What became of a run since it was looked at last.

    Attributes:
        run: as it is now.
        points: new ones, by metric; of a resumed run only those since then.
        output: what it printed.
        is_over: it records no more; nothing further will come.
    """

    run: RunSummary
    points: dict[str, History]
    output: bytes
    is_over: bool


class Follower:
    """Looks at one live run again and again, reading only what is new.

    Args:
        last_bytes: of what the run has printed already, the first look gives so much of the end; None: all.
    """

    def __init__(self, repository: Repository, run_id: RunId, *, last_bytes: int | None = None) -> None:
        self._repository = repository
        self._run_id = run_id
        folder = os.path.join(repository.live.folder, run_id)
        self._journal = JournalTail(folder)
        self._output = OutputTail(folder, last_bytes=last_bytes)
        self._sources: dict[str, int] = {}
        self._seen = self._points_before()
        self._is_resumed = bool(self._seen)

    def look(self) -> Progress:
        """What is new. A run whose process was killed is sealed on the way, as any command does that meets one.

        Raises:
            NotFound: the run is gone: it ended before it began, or was removed.
        """
        held = next((entry.held for entry in self._repository.live.list() if entry.run_id == self._run_id), None)
        try:
            points, output = self._new_points(), self._output.read_new()
        except FileNotFoundError:  # sealed just now
            held, points, output = None, {}, b""
        if held:
            run = self._live_summary()
            if run is not None:
                return Progress(run=run, points=points, output=output, is_over=False)
        elif held is False:
            self._repository.recover()
        run = self._repository.resolve(self._run_id)
        if run.commit is not None:
            self._add_rest(run, points)
            output += self._rest_of_output(run)
        return Progress(run=run, points=points, output=output, is_over=True)

    def _live_summary(self) -> RunSummary | None:
        return next((run for run in self._repository.live_summaries() if run.record.id == self._run_id), None)

    def _new_points(self) -> dict[str, History]:
        """The new points of each metric by the source that counts; one that counts more replaces what was seen."""
        found: dict[str, History] = {}
        for (key, source), history in sorted(self._journal.read_new().items()):
            known = self._sources.setdefault(key, source)
            if source < known:
                self._sources[key], self._seen[key] = source, 0
            if source <= known and key not in found:
                found[key] = history
                self._seen[key] = self._seen.get(key, 0) + len(history)
        return found

    def _points_before(self) -> dict[str, int]:
        """How many points each metric of a resumed run had before."""
        resumption = self._repository.live.resumption(self._run_id)
        if resumption is None:
            return {}
        before = self._repository.runs.read(resumption.commit)
        return {key: len(history) for key, history in before.histories.items()}

    def _add_rest(self, run: RunSummary, points: dict[str, History]) -> None:
        """What was logged between the last look and the seal."""
        view = self._repository.view(run)
        for key in run.metrics:
            try:
                history = view.history(key)
            except GitexpError:  # damaged: 'gitexp show' tells
                continue
            seen = self._seen.get(key, 0)
            if len(history) > seen:
                part = points.setdefault(key, History.of(()))
                for position in range(seen, len(history)):
                    part.append(*history[position])
                self._seen[key] = len(history)

    def _rest_of_output(self, run: RunSummary) -> bytes:
        whole = self._repository.view(run).output
        return b"" if whole is None or self._is_resumed else self._output.rest_of(whole)


def newest_live(repository: Repository) -> RunSummary:
    """The live run that began last.

    Raises:
        NotFound: no run is live.
    """
    runs = repository.live_summaries()
    if not runs:
        raise NotFound("No run is live.", hint="gitexp run train.py")
    return max(runs, key=lambda run: (run.record.start, run.record.id))
