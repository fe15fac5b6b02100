"""Which step a printed value belongs to: what its own line counts, or the lines before it."""

from __future__ import annotations

from dataclasses import dataclass

from gitexp.domain.printed_counters import Rank
from gitexp.domain.values import Number

_Level = tuple[int | None, ...]


@dataclass(slots=True)
class _Series:
    """How far one metric's steps have come.

    Attributes:
        rank: of the counter that its steps follow; None while it has none on its own lines.
        first, raw: what that counter was first and last.
        level: the coarser counters when it was last seen.
        offset: what is added to the counter because it began again.
        at: what the counters of other lines said when a value without one came last.
        is_counted: its points are numbered, as no counter tells them apart.
    """

    rank: Rank | None
    first: int
    raw: int
    step: int
    value: Number
    level: _Level
    at: int | None
    offset: int = 0
    is_counted: bool = False


class Steps:
    """The counters of one stream of output, and the steps of all metrics in it.

    Attributes:
        epoch: the last one that was counted.
    """

    def __init__(self) -> None:
        self.epoch: int | None = None
        self._fold: int | None = None
        self._step: int | None = None
        self._levels: tuple[_Level, _Level, _Level] = ((), (None,), (None, None))
        self._series: dict[str, _Series] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._series

    def counts_steps(self, key: str) -> bool:
        """Whether the metric has a value at each of some steps, and not only at epochs."""
        series = self._series.get(key)
        return series is not None and series.rank is Rank.STEP

    def forget(self, key: str) -> None:
        del self._series[key]

    def enter(self, rank: Rank, n: int) -> bool:
        """Note what a counter says; whether that opens a new level, below which finer counters may begin again."""
        if rank is Rank.STEP:
            self._step = n
            return False
        if n == (self.epoch if rank is Rank.EPOCH else self._fold):
            return False
        if rank is Rank.EPOCH:
            self.epoch = n
        else:
            self._fold = n
        self._levels = ((), (self._fold,), (self._fold, self.epoch))
        return True

    def place(self, key: str, value: Number, rank: Rank | None, n: int | None, total: int | None) -> int | None:
        """The step of a value; None where it only says again what was said.

        Args:
            rank: of the finest counter on its line, if there is one.
            n: what that counts; None for a fraction, as of an epoch.
            total: what it counts up to, where it says so.
        """
        series = self._series.get(key)
        if series is None:
            return self._begin(key, value, rank, n)
        step: int | None
        if rank is None or n is None or series.is_counted:
            step = self._without_counter(series, value, is_counted=rank is not None)
            if step is None:
                return None
        elif rank == series.rank:
            level = self._levels[rank]
            if n <= series.raw and (level != series.level or (n <= series.first and n != series.raw)):
                series.offset += total or (series.raw + (0 if series.first else 1))
            series.raw, series.level = n, level
            step = series.offset + n
        elif series.rank is None or rank > series.rank:
            step = n
            series.rank, series.first, series.raw, series.offset, series.level = rank, n, n, 0, self._levels[rank]
        else:
            step = series.step
        if step > series.step:
            series.step = step
        series.value = value
        return step

    def _begin(self, key: str, value: Number, rank: Rank | None, n: int | None) -> int:
        is_fractional = rank is not None and n is None
        known = self._known()
        step = n if n is not None else 1 if is_fractional else known or 0
        self._series[key] = _Series(
            rank=None if n is None else rank,
            first=step,
            raw=step,
            step=step,
            value=value,
            level=self._levels[Rank.STEP if rank is None else rank],
            at=known,
            is_counted=is_fractional,
        )
        return step

    def _known(self) -> int | None:
        """What the lines before say where a line has no counter."""
        return self._step if self.epoch is None else self.epoch

    def _without_counter(self, series: _Series, value: Number, *, is_counted: bool) -> int | None:
        known, before = self._known(), series.at
        series.at = known
        if is_counted or series.is_counted:
            series.is_counted = True
        elif series.rank is not None:  # its steps are counted on other lines
            return None if value == series.value else series.step
        elif known is not None:
            if known != before and known > series.step:
                return known
            if known == before and value == series.value:
                return None
            series.is_counted = True
        return series.step + 1
