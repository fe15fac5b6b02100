"""Tables that programs print row by row: progress by epoch, reports by class, names beside values."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitexp.domain.printed_names import Kind, key_of, kind_of

_STEPS = frozenset(
    ("epoch", "epochs", "iter", "iteration", "step", "round", "episode", "trial", "generation", "gen", "ep")
)
_CELLS = re.compile(r" *\| *| *\t *| {2,}| *, *")
_RULER = re.compile(r"[\s|+\-=:_.\x80-\xff]*$")
_NAME = re.compile(r"[A-Za-z_][\w@%./'^+\- ()]*$")
_NUMBER = re.compile(r"(?:[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)|[-+]?(?:nan|inf))$", re.IGNORECASE)
_STEP = re.compile(r"(\d+)(?:/\d+)?$")
_TAIL = re.compile(r":\s+\d+%.*")
_TOTALS = re.compile(
    r"(?P<label>all|accuracy|(?:micro|macro|weighted|samples) avg|avg / total|overall)  +"
    r"(?P<numbers>[\d.eE+\-]+(?: +[\d.eE+\-]+)*)$"
)
_LIKE_A_HEADER = re.compile(
    rf"[\s|#]*(?:(?:{'|'.join(sorted(_STEPS))})[\s|,]|E +# |precision +recall|Class +Images)", re.IGNORECASE
)
_COUNTED = ("support", "images", "instances")
_LONGEST_HEADER = 1000
_TWO_COLUMNS = re.compile(r"\s*\| *(?P<indent> *)(?P<name>[A-Za-z_][\w@%./^+\- ]*?) *\| *(?P<value>[^|]*?) *\|\s*$")
_MOST_ROWS = 256
_COUNTERS = ("total_timesteps", "num_timesteps", "global_step", "step", "iterations", "iteration", "epoch")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a table.

    Attributes:
        keys: of the columns; "" for one that is left out.
        is_report: its rows begin with what they are about; else with a counter.
        is_epochs: that counter is of epochs.
        at: the column of the counter.
    """

    keys: tuple[str, ...]
    is_report: bool = False
    is_epochs: bool = False
    at: int = 0


def read_header(text: str) -> Header | None:
    """What the line says as a table's first line; None where it is none."""
    if not _LIKE_A_HEADER.match(text) or len(text) > _LONGEST_HEADER:
        return None
    text = _TAIL.sub("", text.strip(" \t|"))
    cells = _CELLS.split(text)
    if len(cells) < 2:
        cells = text.split()
    at = 0
    if cells[:2] == ["E", "#"]:  # spaCy: epochs and steps
        at, cells[1] = 1, "step"
    if len(cells) < 2 or not all(map(_NAME.match, cells)):
        return None
    first = cells[at].strip(" #").lower()
    if first in _STEPS:
        cells = cells[at:]
        kinds = [kind_of(cell) for cell in cells[1:]]
        if Kind.MEASURED not in kinds:
            return None
        keys = (_key(cell, kind) for cell, kind in zip(cells[1:], kinds, strict=True))
        return Header(("",) * (at + 1) + tuple(keys), is_epochs=first.startswith("ep"), at=at)
    if len(cells) >= 4:
        names = [cell.removeprefix("Box(").rstrip(")") for cell in cells if cell != "Class"]
        return Header(tuple("" if name.lower() in _COUNTED else key_of(name) for name in names), is_report=True)
    return None


def read_row(header: Header, text: str) -> tuple[int | None, list[tuple[str, float]]] | None:
    """The step and the values of a row below `header`; None where the line is no row of it."""
    text = _TAIL.sub("", text.strip(" \t|"))
    if header.is_report:
        return _read_report(header, text)
    cells = _CELLS.split(text)
    if len(cells) != len(header.keys):
        cells = text.replace("|", " ").split()
    if len(cells) != len(header.keys) or not (step := _STEP.match(cells[header.at])):
        return None
    row = [(key, float(cell)) for key, cell in zip(header.keys, cells, strict=True) if key and _NUMBER.match(cell)]
    return (int(step[1]), row) if row else None


def is_ruler(text: str) -> bool:
    """Whether a line is nothing but lines drawn with characters."""
    return _RULER.match(text) is not None


def _key(cell: str, kind: Kind) -> str:
    return "" if kind in (Kind.COST, Kind.SETTING) else key_of(cell)


def _read_report(header: Header, text: str) -> tuple[None, list[tuple[str, float]]] | None:
    match = _TOTALS.match(text)
    if match is None:
        return None
    numbers = [float(number) for number in match["numbers"].split() if _NUMBER.match(number)]
    label = match["label"]
    if label == "accuracy":
        return None, [("accuracy", numbers[0])]
    if len(numbers) != len(header.keys):
        return None
    prefix = "" if label == "all" else f"{key_of(label)}_"
    return None, [(prefix + key, number) for key, number in zip(header.keys, numbers, strict=True) if key]


class Columns:
    """A table of names and values that is being printed, a row a line; a name without a value begins a section.

    Attributes:
        rows: what its rows say so far. step: what its counter says, where it has one.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[str, float]] = []
        self.step: int | None = None
        self._counter = len(_COUNTERS)
        self._section = ""
        self._is_measured = False

    def take(self, text: str) -> bool:
        """Take a row in; False where the line is none."""
        match = _TWO_COLUMNS.match(text.replace("\xe2\x94\x82", "|").replace("\xe2\x94\x83", "|"))
        if match is None or len(self.rows) >= _MOST_ROWS:
            return False
        name, value = match["name"], match["value"]
        if not _NUMBER.match(value):
            self._section = name if not value and name.endswith("/") else ""
            self._is_measured = self._is_measured or name.lower() == "test metric"
        elif name in _COUNTERS:
            if value.isdigit() and _COUNTERS.index(name) < self._counter:
                self.step, self._counter = int(value), _COUNTERS.index(name)
        else:
            kind = kind_of(f"{self._section.rstrip('/')} {name}")
            self._is_measured = self._is_measured or kind is Kind.MEASURED
            if kind not in (Kind.COST, Kind.SETTING):
                self.rows.append((self._section + key_of(name), float(value)))
        return True

    def metrics(self) -> list[tuple[str, float]]:
        """The rows that count: none where no counter, title or name says that the table is one of measurements."""
        return self.rows if self.step is not None or self._is_measured else []
