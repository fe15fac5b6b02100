"""Tables that fit: columns chosen and cells cut to the width of the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gitexp.cli.terminal import Terminal

GAP = 2


class Cell(NamedTuple):
    """Text that is safe to print, and its style ("bold green"). Kept apart, so cutting never cuts a colour's code."""

    text: str
    style: str = ""


@dataclass(slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        title: its heading, empty where it explains itself.
        cells: one a row.
        right: whether the cells end at the right edge, as numbers do.
        rank: 0 is always shown; of the others the lowest come first where not all fit.
        widest: cells wider than this are cut.
        narrowest: how far the column may shrink where even the columns of rank 0 do not fit.
    """

    title: str
    cells: list[Cell] = field(default_factory=list)
    right: bool = False
    rank: int = 0
    widest: int = 40
    narrowest: int = 40

    def width(self) -> int:
        content = max((width(cell.text) for cell in self.cells), default=0)
        title = min(width(self.title), max(content, self.longest_title()))
        return min(max(content, title), self.widest)

    def longest_title(self) -> int:
        """Titles may be this wide even over narrower cells."""
        return 14


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def cut(text: str, columns: int, ellipsis: str = "…") -> str:
    """`text` in at most `columns`, its end replaced by an ellipsis where it does not fit."""
    if width(text) <= columns:
        return text
    room = columns - width(ellipsis)
    if room < 0:
        return ""
    kept = 0
    for position, character in enumerate(text):
        kept += _character_width(character)
        if kept > room:
            return text[:position] + ellipsis
    return text


def cut_middle(text: str, columns: int, ellipsis: str = "…") -> str:
    """`text` in at most `columns`, the middle left out: keys tell themselves apart at both ends."""
    if width(text) <= columns:
        return text
    room = columns - width(ellipsis)
    if room < 4 or not text.isascii():
        return cut(text, columns, ellipsis)
    tail = (room + 1) // 2
    return text[: room - tail] + ellipsis + text[-tail:]


def pad(text: str, columns: int, *, right: bool = False) -> str:
    space = " " * (columns - width(text))
    return space + text if right else text + space


def choose(columns: Sequence[Column], room: int) -> list[Column]:
    """The columns that fit into `room`, in their own order: rank 0 always, then by rank while there is room."""
    chosen = {id(column) for column in columns if column.rank == 0}
    used = sum(column.width() + GAP for column in columns if column.rank == 0) - GAP
    for column in sorted((column for column in columns if column.rank), key=lambda column: column.rank):
        needed = column.width() + GAP
        if used + needed <= room:
            chosen.add(id(column))
            used += needed
    return [column for column in columns if id(column) in chosen]


def render(columns: Sequence[Column], terminal: Terminal, *, indent: int = 0, titles: bool = True) -> list[str]:
    """The lines of a table no wider than the terminal. Give it what `choose` chose."""
    widths = _shrunk(columns, terminal.width - indent)
    lines = []
    if titles and any(column.title for column in columns):
        heads = [
            _drawn(Cell(cut_middle(column.title, columns_, terminal.ellipsis), "bold"), column, columns_, terminal)
            for column, columns_ in zip(columns, widths, strict=True)
        ]
        lines.append(_line(heads, indent))
    drawn = (
        [_drawn(cell, column, columns_, terminal) for cell in column.cells]
        for column, columns_ in zip(columns, widths, strict=True)
    )
    lines += (_line(cells, indent) for cells in zip(*drawn, strict=True))
    return lines


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]) -> str:
    """A Markdown table; `right` says which columns are numbers."""
    from tabulate import tabulate  # costs more than the rest of the command, and only Markdown needs it

    escaped = [[_markdown_cell(cell) for cell in row] for row in [titles, *rows]]
    align = ["right" if is_right else "left" for is_right in right]
    return tabulate(escaped[1:], headers=escaped[0], tablefmt="pipe", colalign=align, disable_numparse=True)


def _markdown_cell(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    for mark in "*_`[":
        text = text.replace(mark, "\\" + mark)
    return text


def _drawn(cell: Cell, column: Column, columns: int, terminal: Terminal) -> str:
    text = cut(cell.text, columns, terminal.ellipsis)
    space = " " * (columns - width(text))
    painted = terminal.paint(text, cell.style)
    return space + painted if column.right else painted + space


def _line(parts: Sequence[str], indent: int) -> str:
    return (" " * indent + (" " * GAP).join(parts)).rstrip()


def _shrunk(columns: Sequence[Column], room: int) -> list[int]:
    widths = [column.width() for column in columns]
    too_much = sum(widths) + GAP * (len(widths) - 1) - room
    while too_much > 0:
        spare = [w - min(w, column.narrowest) for w, column in zip(widths, columns, strict=True)]
        most = max(range(len(spare)), key=spare.__getitem__, default=None)
        if most is None or spare[most] <= 0:
            break
        widths[most] -= 1
        too_much -= 1
    return widths


def _character_width(character: str) -> int:
    if character < "\u0300":
        return 1
    import unicodedata  # a library of its own, seldom needed

    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1
