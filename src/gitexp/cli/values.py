"""Numbers, times, sizes and states in a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from gitexp import wording
from gitexp.cli.table import Cell
from gitexp.cli.terminal import Terminal, printable
from gitexp.domain.run import Status
from gitexp.domain.values import Number
from gitexp.wording import age, ago, duration, moment, number, numbers, plural, size, took

__all__ = [
    "SHORT_COMMIT",
    "SHORT_ID",
    "age",
    "ago",
    "duration",
    "moment",
    "number",
    "numbers",
    "percent",
    "person",
    "plain",
    "plural",
    "signed",
    "size",
    "sparkline",
    "status_cell",
    "took",
]

SHORT_ID = 7
SHORT_COMMIT = 12

_STATUS = {
    Status.RUNNING: ("●", "*", "cyan"),
    Status.FINISHED: ("✓", "+", "green"),
    Status.FAILED: ("✗", "x", "red"),
    Status.KILLED: ("■", "k", "yellow"),
    Status.CRASHED: ("!", "!", "magenta"),
}
_BARS = "▁▂▃▄▅▆▇█"


def plain(value: Any) -> str:
    """A param's value as one would type it, fit for a terminal."""
    return printable(wording.plain(value))


def signed(value: Number, terminal: Terminal) -> str:
    """A difference, with its sign."""
    text = number(abs(value))
    return f"+{text}" if value > 0 else text if value == 0 else f"{terminal.glyph('−', '-')}{text}"


def percent(ratio: float, terminal: Terminal) -> str:
    """0.1234 is "+12.3 %"."""
    amount = abs(ratio) * 100
    if amount >= 1e6:
        return ""
    text = f"{amount:.0f}" if amount >= 100 else f"{amount:.1f}" if amount >= 0.05 else f"{amount:.1g}"
    return f"{'+' if ratio > 0 else terminal.glyph('−', '-')}{text} %"


def status_cell(status: Status, terminal: Terminal, *, word: bool = True) -> Cell:
    unicode, plain_mark, style = _STATUS[status]
    mark = terminal.glyph(unicode, plain_mark)
    return Cell(f"{mark} {status.value}" if word else mark, style)


def person(author: str) -> str:
    """The name in "Name <email>"."""
    return printable(author.partition(" <")[0])


def sparkline(values: Iterable[float], columns: int, terminal: Terminal) -> str:
    """The course of `values` in at most `columns` block characters; empty where there are none, or nothing moves."""
    series = [value for value in values if math.isfinite(value)]
    if len(series) < 2 or not terminal.unicode:
        return ""
    series = _thinned(series, columns)
    low, high = min(series), max(series)
    span = high - low
    if not 0 < span < math.inf:
        return ""
    return "".join(_BARS[min(7, int((value - low) / span * 8))] for value in series)


def _thinned(series: Sequence[float], columns: int) -> list[float]:
    if len(series) <= columns:
        return list(series)
    edges = [len(series) * i // columns for i in range(columns + 1)]
    return [math.fsum(value / (b - a) for value in series[a:b]) for a, b in pairwise(edges)]
