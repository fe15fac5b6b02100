"""Trials of a hyperparameter search: each a run of its own below the run of the search, and a row of `trials.csv`.

A run of its own costs some milliseconds, mostly for making it durable. The first trials have one whatever they take;
later ones as long as all of that together is a small share of the time that the trials took.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from gitexp.domain.source import Source
from gitexp.domain.values import flatten
from gitexp.integrations.patching import apart, guarded, plain_params

if TYPE_CHECKING:
    from gitexp.activerun import ActiveRun

ALWAYS = 100
"""So many trials of a search have a run of their own in any case."""

SHARE = 0.02
"""How much of the time of the trials their runs may cost beyond that."""


class Trial:
    """One trial while it is under way.

    Attributes:
        run: where to log what it does; None where it has no run of its own (any more).
        status: what its run ends as, unless an exception says it.
        row: of `trials.csv`.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self.status = "finished"
        self.row: dict[str, Any] = {}
        self._nested: ActiveRun | None = None
        self._apart = ExitStack()

    @property
    def run(self) -> ActiveRun | None:
        nested = self._nested
        if nested is None or nested._recorder.ended:  # the script joined it with `start_run`, and ended it
            return None
        return nested.beside(Source.AUTOLOG)

    def start(self, name: str) -> None:
        """Give the trial a run of its own, if that does not cost too much: the active one from here to its end.

        Trainings in it are recorded there; without a run of its own they are only a part of the search.
        """
        if not self.search._may_start():
            return
        from gitexp import session as runs  # only where there is a search

        began = time.perf_counter()
        with guarded(self.search.framework):
            parent = self.search.run
            runs.stack.set((*runs.stack.get(), parent))  # a thread of a pool has no stack, nor has a launched script
            self._nested = runs.start_child(name, experiment=parent.experiment)
            self._nested._is_implicit = True  # a script that starts a run for each trial itself joins this one
            self._apart.enter_context(apart())
            self.row["run"] = self._nested.id
            self.search._spent(time.perf_counter() - began)

    def log_params(self, params: Mapping[str, Any]) -> None:
        plain = flatten(plain_params(params))
        self.row.update({f"params.{key}": value for key, value in plain.items()})
        run = self.run
        if run is not None:
            run.log_params(plain)


class Search:
    """A search that is under way.

    Args:
        framework: as users name it.
        run: of the search.
    """

    def __init__(self, framework: str, run: ActiveRun) -> None:
        self.framework = framework
        self.run = run
        self.rows: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._started = 0
        self._spent_s = 0.0
        self._trials_s = 0.0

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """A trial begins and ends here, in this thread; `Trial.start` gives it a run."""
        from gitexp import session as runs  # only where there is a search
        from gitexp.activerun import status_of

        trial = Trial(self)
        outer = runs.stack.get()
        token = current.set(trial)
        began = time.perf_counter()
        try:
            yield trial
        except BaseException as error:
            trial.status = status_of(error).value
            raise
        finally:
            duration_s = time.perf_counter() - began
            current.reset(token)
            with guarded(self.framework):
                trial.row["duration_s"] = round(duration_s, 6)
                self._end(trial)
            trial._apart.close()
            runs.stack.set(outer)
            with self._lock:
                self.rows.append(trial.row)
                self._trials_s += duration_s

    def finish(self) -> None:
        """Keep the table of all trials."""
        if self.rows:
            columns = list(dict.fromkeys(key for row in self.rows for key in row))
            self.run.log_table([{key: row.get(key) for key in columns} for row in self.rows], "trials.csv")
        without = sum("run" not in row for row in self.rows)
        if without:
            self.run.set_tag("trials_without_run", without)

    def _end(self, trial: Trial) -> None:
        nested = trial._nested
        if nested is not None and not nested._recorder.ended:
            began = time.perf_counter()
            nested.end(trial.status)
            self._spent(time.perf_counter() - began)

    def _may_start(self) -> bool:
        with self._lock:
            if self._started >= ALWAYS:
                each = self._spent_s / self._started
                if self._spent_s + each > SHARE * self._trials_s:
                    return False
            self._started += 1
            return True

    def _spent(self, duration_s: float) -> None:
        with self._lock:
            self._spent_s += duration_s


current: contextvars.ContextVar[Trial | None] = contextvars.ContextVar("gitexp_trial", default=None)
"""The trial that is under way in this context."""
