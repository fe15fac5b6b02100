"""A chart of characters: braille dots in colour, or a letter for each line where there are no colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from gitexp.charts.curve import Point, visible
from gitexp.charts.figure import Panel
from gitexp.charts.scale import Scale, Tick

STYLES = tuple(
    "cyan,yellow,magenta,green,red,blue,bold cyan,bold yellow,bold magenta,bold green,bold red,bold blue".split(",")
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

_BLANK = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot in a braille character, by row and column (Unicode 15, section 21.1)."""

_ROWS_A_TICK = 3
_UNICODE, _ASCII = ("│", "┤", "└", "─", "┴"), ("|", "+", "+", "-", "+")
"""What axes are made of: beside a row, beside a tick, the corner, under a column, under a tick."""


class Span(NamedTuple):
    """Some characters and their style, such as "bold cyan"."""

    text: str
    style: str = ""


def draw(panel: Panel, *, width: int, height: int, colour: bool, unicode: bool) -> list[list[Span]]:
    """The plot of a panel without title and legend: `height` rows of it, the axis below, and its labels.

    Args:
        width: columns that a row takes at most.
        colour: whether styles will be seen; where not, several lines are told apart by `LETTERS`.
    """
    x, y = panel.x_scale(), panel.y_scale()
    y_ticks = y.ticks(max(2, height // _ROWS_A_TICK))
    margin = max(len(tick.label) for tick in y_ticks)
    columns = max(width - margin - 2, 10)
    canvas = _canvas(columns, height, braille=uses_braille(len(panel.lines), colour=colour, unicode=unicode))
    for number, line in enumerate(panel.lines):
        for piece in visible(line.xs, line.ys, x, y, canvas.across):
            canvas.draw([(x.place(a), y.place(b)) for a, b in piece], number)
    bar, branch, *base = _UNICODE if unicode else _ASCII
    labels = _at_rows(y, y_ticks, height)
    rows = []
    for row, spans in enumerate(canvas.rows()):
        label = labels.get(row)
        axis = f"{label or '':>{margin}} {branch if label is not None else bar}"
        rows.append([Span(axis, "dim"), *spans])
    return [*rows, *_below(x, panel.x_title, columns, margin, base)]


def uses_braille(lines: int, *, colour: bool, unicode: bool) -> bool:
    """Whether the lines are drawn in dots; else each is drawn with the letter of its number."""
    return unicode and (colour or lines < 2)


def style_of(number: int) -> str:
    """The style of the line with that number."""
    return STYLES[number % len(STYLES)]


class _Canvas:
    """Rows of characters, each of `_wide` times `_high` dots; what is drawn later lies above."""

    _wide, _high = 1, 1

    def __init__(self, columns: int, rows: int) -> None:
        self.across, self.down = columns * self._wide, rows * self._high
        self._owners = [[-1] * columns for _ in range(rows)]

    def draw(self, places: list[Point], number: int) -> None:
        """Connect places, each in [0, 1] across and upwards; what lies outside is cut off."""
        last_x, last_y = self.across - 1, self.down - 1
        dots = [(place[0] * last_x, (1 - place[1]) * last_y) for place in places]
        if len(dots) == 1:  # one dot would hardly be seen
            dots.append((dots[0][0] + self._wide - 1, dots[0][1]))
        for start, end in pairwise(dots):
            clipped = _clip(start, end, last_x, last_y)
            if clipped:
                for x, y in _between(*clipped):
                    self._dot(x, y, number)

    def rows(self) -> Iterator[list[Span]]:
        for row, owners in enumerate(self._owners):
            spans: list[Span] = []
            for column, owner in enumerate(owners):
                text = self._character(row, column) if owner >= 0 else " "
                style = style_of(owner) if owner >= 0 else ""
                if spans and spans[-1].style == style:
                    spans[-1] = Span(spans[-1].text + text, style)
                else:
                    spans.append(Span(text, style))
            yield spans

    def _dot(self, x: int, y: int, number: int) -> None:
        self._owners[y][x] = number

    def _character(self, row: int, column: int) -> str:
        return LETTERS[self._owners[row][column] % len(LETTERS)]


class _Braille(_Canvas):
    _wide, _high = 2, 4

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self._bits = [[0] * columns for _ in range(rows)]

    def _dot(self, x: int, y: int, number: int) -> None:
        row, column = y // 4, x // 2
        self._owners[row][column] = number
        self._bits[row][column] |= _DOTS[y % 4][x % 2]

    def _character(self, row: int, column: int) -> str:
        return chr(_BLANK + self._bits[row][column])


def _canvas(columns: int, rows: int, *, braille: bool) -> _Canvas:
    return _Braille(columns, rows) if braille else _Canvas(columns, rows)


def _clip(start: Point, end: Point, right: float, bottom: float) -> tuple[Point, Point] | None:
    """The part of a stroke inside the canvas (Liang and Barsky 1984); None where there is none."""
    (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    enter, leave = 0.0, 1.0
    for step, room in ((-dx, x), (dx, right - x), (-dy, y), (dy, bottom - y)):
        if step == 0:
            if room < -1e-9:
                return None
        elif step < 0:
            enter = max(enter, room / step)
        else:
            leave = min(leave, room / step)
    if enter > leave:
        return None
    return (x + enter * dx, y + enter * dy), (x + leave * dx, y + leave * dy)


def _between(start: Point, end: Point) -> Iterator[tuple[int, int]]:
    """The dots of a stroke."""
    steps = max(1, round(max(abs(end[0] - start[0]), abs(end[1] - start[1]))))
    for step in range(steps + 1):
        part = step / steps
        yield round(start[0] + (end[0] - start[0]) * part), round(start[1] + (end[1] - start[1]) * part)


def _at_rows(y: Scale, ticks: list[Tick], height: int) -> dict[int, str]:
    return {min(height - 1, max(0, round((1 - y.place(tick.value)) * (height - 1)))): tick.label for tick in ticks}


def _below(x: Scale, title: str, columns: int, margin: int, base: Sequence[str]) -> list[list[Span]]:
    """The axis with its ticks, and the labels under them that have room; the title ends the line."""
    corner, rule, foot = base
    axis = [rule] * columns
    room = columns - len(title) - 2
    labels = [" "] * (margin + 2 + columns)
    taken = 0
    for tick in x.ticks(max(2, columns // 14)):
        place = round(x.place(tick.value) * (columns - 1))
        begin = max(margin + 2 + place - len(tick.label) // 2, 0)
        if begin < taken or begin + len(tick.label) > margin + 2 + room:
            continue
        axis[place] = foot
        labels[begin : begin + len(tick.label)] = tick.label
        taken = begin + len(tick.label) + 2
    text = "".join(labels)[: margin + 2 + room].ljust(margin + 2 + room)
    return [
        [Span(" " * (margin + 1) + corner + "".join(axis), "dim")],
        [Span(text, "dim"), Span(f"  {title}", "dim")],
    ]
