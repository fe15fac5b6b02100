"""Steps of the trainings of one run: a second training goes on where the one before ended."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from gitexp.activerun import ActiveRun


class Steps:
    """Turns the steps that one training counts into those of its run.

    A training that begins where the run has no points yet, because it is the first or was resumed, keeps its own.

    Args:
        run: that the training is recorded in.
    """

    def __init__(self, run: ActiveRun) -> None:
        self._run = run
        self._before = _last.get(run, -1)
        self._shift: int | None = None

    def of(self, step: int) -> int:
        if self._shift is None:
            self._shift = 0 if step > self._before else self._before + 1
        step += self._shift
        if step > _last.get(self._run, -1):
            _last[self._run] = step
        return step

    def seen(self, step: int) -> int:
        """The same for something that was found out at a step of the training, like an evaluation after it."""
        return step + (self._shift or 0)


_last: WeakKeyDictionary[ActiveRun, int] = WeakKeyDictionary()
"""The last step of any training in each run."""
