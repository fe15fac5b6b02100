"""What there is to draw: panels with lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gitexp.charts.scale import Kind, Scale, fitted

Numbers = Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve; a value that is not finite is a gap in it.

    Attributes:
        xs: ascending.
        raw: the values before they were smoothed, of the same length; None where nothing was.
    """

    name: str
    xs: Numbers
    ys: Numbers
    raw: Numbers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines over one pair of axes.

    Attributes:
        low, high: where the y axis begins and ends; None: where the lines do.
        log: whether the y axis is logarithmic; values that are not above 0 are gaps then.
    """

    title: str
    lines: tuple[Line, ...]
    x_title: str
    x_kind: Kind = Kind.NUMBER
    log: bool = False
    low: float | None = None
    high: float | None = None

    def x_scale(self) -> Scale:
        return fitted([line.xs for line in self.lines], kind=self.x_kind, margin=0)

    def y_scale(self) -> Scale:
        return fitted([line.ys for line in self.lines], log=self.log, low=self.low, high=self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Panels under one title. `notes` are sentences about what could not be drawn."""

    title: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()
