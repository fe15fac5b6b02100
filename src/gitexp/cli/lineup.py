"""How a comparison of many runs looks: a column for each run, or a row for each where they are too many."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from gitexp.cli.table import GAP, Cell, Column, cut_middle, markdown, render
from gitexp.cli.terminal import Terminal, printable
from gitexp.cli.values import (
    SHORT_COMMIT,
    SHORT_ID,
    age,
    number,
    numbers,
    percent,
    plain,
    plural,
    size,
    status_cell,
    took,
)
from gitexp.domain.comparison import ArtifactState
from gitexp.domain.lineup import ABSENT, Lineup, Row, Section, groups_of

MOST = 100
"""Rows of a section, unless all are asked for."""

MOST_DETAILS = 12
"""Rows about packages and artifacts, which are seldom what one compares for."""

MOST_COLUMNS = 12
WIDEST = (60, 40, 28, 20, 14)
"""Columns of a terminal that a run may take, tried in this order."""

WIDEST_OF_ROWS = 20
"""Columns of a terminal that a value takes at most where each run is a row."""

_LONGEST_KEY = 30
_IN_HEAD = ("status", "duration")
_TITLES = {
    Section.RUN: "Run",
    Section.PARAMS: "Params",
    Section.METRICS: "Metrics",
    Section.ENVIRONMENT: "Environment",
    Section.PACKAGES: "Packages",
    Section.ARTIFACTS: "Artifacts",
}
_DETAILS = (Section.ENVIRONMENT, Section.PACKAGES, Section.ARTIFACTS)


class _Line(NamedTuple):
    """A key and a cell for each run; a title has no cells."""

    key: str
    cells: Sequence[Cell] = ()


def as_text(lineup: Lineup, terminal: Terminal, *, everything: bool) -> Iterator[str]:
    """The lines of a comparison: runs as columns where they fit, else as rows in as many tables as needed."""
    lines = _lines(lineup, terminal, everything)
    names = _names(lineup)
    columns = _run_columns(names, lines, terminal) if len(names) <= MOST_COLUMNS else None
    if columns:
        yield from _with_titles(render(columns, terminal), lines, terminal)
    else:
        yield from _rows_of_runs(lineup, names, lines, terminal)
    for note in _left_out(lineup, everything):
        yield terminal.paint(note, "dim")


def as_markdown(lineup: Lineup, *, everything: bool) -> str:
    """One Markdown table: a column for each of up to eight runs, else a row for each."""
    names, lines = _names(lineup), _lines(lineup, Terminal(), everything)
    titled = _keyed(lines)
    if len(names) <= 8:
        rows = [[key, *(cell.text for cell in cells)] for key, cells in titled]
        return markdown(["", *names], rows, [False] * (len(names) + 1))
    by_run = [[name, *(cells[at].text for _, cells in titled)] for at, name in enumerate(names)]
    return markdown(["run", *(key for key, _ in titled)], by_run, [False] * (len(titled) + 1))


def to_json(lineup: Lineup, runs: list[dict[str, Any]], *, everything: bool) -> dict[str, Any]:
    """The documented form; `runs` are the runs as JSON."""
    ids = [str(run.record.id) for run in lineup.runs]
    return {
        "baseline": None if lineup.baseline is None else ids[lineup.baseline],
        "steps": None if lineup.steps is None else dict(zip(ids, lineup.steps, strict=True)),
        "runs": runs,
        "code": {
            identity: code and {"group": code.group, "files": code.files}
            for identity, code in zip(ids, lineup.code, strict=True)
        },
        "rows": [
            {
                "section": row.section.value,
                "key": row.key,
                "differs": row.differs,
                "values": {
                    identity: _json_value(value)
                    for identity, value in zip(ids, row.values, strict=True)
                    if value is not ABSENT
                },
                "best": [ids[position] for position in sorted(row.best)],
            }
            for row in lineup.rows
            if everything or row.differs
        ],
    }


def _json_value(value: Any) -> Any:
    return {"size": value.size_bytes, "sha256": value.sha256} if isinstance(value, ArtifactState) else value


# What there is to show


def _names(lineup: Lineup) -> list[str]:
    names = [printable(run.record.name) for run in lineup.runs]
    return [
        name if names.count(name) == 1 else f"{name} {run.record.id[:5]}"
        for name, run in zip(names, lineup.runs, strict=True)
    ]


def _lines(lineup: Lineup, terminal: Terminal, everything: bool) -> list[_Line]:
    lines = _head(lineup, terminal)
    run_rows = [row for row in lineup.section(Section.RUN, everything=everything) if row.key not in _IN_HEAD]
    lines += [_line(row, lineup, terminal) for row in run_rows]
    for section in (Section.PARAMS, Section.METRICS):
        lines += _section(section, lineup, terminal, everything, MOST)
    lines += _code(lineup, everything)
    for section in _DETAILS:
        lines += _section(section, lineup, terminal, everything, MOST_DETAILS)
    return lines


def _head(lineup: Lineup, terminal: Terminal) -> list[_Line]:
    now = time.time()
    records = [run.record for run in lineup.runs]
    lines = [
        _Line("id", [Cell(record.id[:SHORT_ID], "dim") for record in records]),
        _Line("status", [status_cell(record.status, terminal) for record in records]),
        _Line("age", [Cell(age(record.start, now)) for record in records]),
        _Line("took", [Cell(took(record, now)) for record in records]),
    ]
    if lineup.steps is not None:
        lines.append(_Line("step", [Cell("" if step is None else str(step)) for step in lineup.steps]))
    return lines


def _section(section: Section, lineup: Lineup, terminal: Terminal, everything: bool, most: int) -> list[_Line]:
    rows = lineup.section(section, everything=everything)
    if not rows:
        return []
    if section in _DETAILS and len(rows) > most and not everything:
        groups = groups_of(zip(*(row.values for row in rows), strict=True))
        return [_Line(_TITLES[section]), _Line("group", _letters(groups))]
    shown = rows if everything else rows[:most]
    return [_Line(_TITLES[section]), *(_line(row, lineup, terminal) for row in shown)]


def _line(row: Row, lineup: Lineup, terminal: Terminal) -> _Line:
    if row.section is Section.METRICS:
        return _Line(printable(row.key), _metric_cells(row, lineup, terminal))
    style = "cyan" if row.section is Section.PARAMS and row.differs else "" if row.differs else "dim"
    show = _SHOWN.get(row.key, _text) if row.section is Section.RUN else _text
    return _Line(printable(row.key), [Cell("" if value is ABSENT else show(value), style) for value in row.values])


def _metric_cells(row: Row, lineup: Lineup, terminal: Terminal) -> list[Cell]:
    star = terminal.glyph("★", "*")
    values = [None if value is ABSENT else value for value in row.values]
    winner = next((values[at] for at in row.best), None)
    cells = []
    for position, text in enumerate(numbers(values, winner)):
        text = f"{text} {star}" if position in row.best else text
        style = "bold green" if position in row.best else "" if row.differs else "dim"
        change = lineup.change(row, position)
        if change is not None and change.delta:
            moved = percent(change.ratio, terminal) if change.ratio is not None else ""
            text += f" {moved or _signed(change.delta)}"
            if change.better is not None and position not in row.best:
                style = "green" if change.better else "red"
        cells.append(Cell(text, style))
    return cells


def _signed(delta: float) -> str:
    return f"{'+' if delta > 0 else ''}{number(delta, 3)}"


def _typed(command: Sequence[str]) -> str:
    import shlex  # only for a person's eyes

    return printable(shlex.join(command))


_SHOWN: dict[str, Callable[[Any], str]] = {
    "command": _typed,
    "code commit": lambda commit: str(commit)[:SHORT_COMMIT],
}
"""How values of a run's record look that are too long as they are."""


def _text(value: Any) -> str:
    if isinstance(value, ArtifactState):
        return f"{size(value.size_bytes)} {value.sha256[:4]}"
    return plain(value)


def _code(lineup: Lineup, everything: bool) -> list[_Line]:
    """Which runs share their code, and how many files the others changed."""
    if len(set(lineup.code)) < 2 and not everything:
        return []
    cells = []
    letters = _letters([code.group if code else 0 for code in lineup.code])
    for code, letter in zip(lineup.code, letters, strict=True):
        files = f" {plural(code.files, 'file')}" if code and code.files else ""
        cells.append(Cell(letter.text + files, letter.style) if code else Cell("none", "dim"))
    return [_Line("Code"), _Line("group", cells)]


def _letters(groups: Sequence[int]) -> list[Cell]:
    """A for the runs that are like the first, B for the next group, and so on."""
    return [
        Cell(chr(65 + group % 26) + (str(group // 26 + 1) if group >= 26 else ""), "dim" if group == 0 else "yellow")
        for group in groups
    ]


def _left_out(lineup: Lineup, everything: bool) -> Iterator[str]:
    if everything:
        return
    for section, title in _TITLES.items():
        rows = lineup.section(section)
        most = MOST_DETAILS if section in _DETAILS else MOST
        if len(rows) > most:
            yield f"{len(rows):,} {title.lower()} differ; --all shows them."
    same = sum(not row.differs for row in lineup.rows)
    if same:
        yield f"{plural(same, 'other is', 'others are')} the same; --all shows {'it' if same == 1 else 'them'}."


def _keyed(lines: Sequence[_Line]) -> list[tuple[str, Sequence[Cell]]]:
    """The lines that have cells, under names that need no title above them."""
    keyed, title = [], ""
    for line in lines:
        if not line.cells:
            title = line.key.lower()
        elif title in ("code", *_DETAILS):
            keyed.append((title if line.key == "group" else f"{title}.{line.key}", line.cells))
        else:
            keyed.append((line.key, line.cells))
    return keyed


# A column for each run


def _run_columns(names: Sequence[str], lines: Sequence[_Line], terminal: Terminal) -> list[Column] | None:
    """The columns, no wider than the terminal; None where the runs would have to be cut too short."""
    keys = [Cell(cut_middle(line.key, _LONGEST_KEY, terminal.ellipsis) if line.cells else "") for line in lines]
    first = Column(title="", cells=[Cell(f"  {key.text}" if key.text else "") for key in keys], narrowest=12)
    for widest in WIDEST:
        columns = [first]
        for place, name in enumerate(names):
            cells = [line.cells[place] if line.cells else Cell("") for line in lines]
            columns.append(Column(title=name, cells=cells, widest=widest))
        if sum(column.width() + GAP for column in columns) - GAP <= terminal.width:
            return columns
    return None


def _with_titles(drawn: list[str], lines: Sequence[_Line], terminal: Terminal) -> Iterator[str]:
    """Each section's title in the place of its empty row, after an empty line."""
    head, *rest = drawn
    yield head
    for text, line in zip(rest, lines, strict=True):
        if line.cells:
            yield text
        else:
            yield ""
            yield terminal.paint(line.key, "bold")


# A row for each run


def _rows_of_runs(lineup: Lineup, names: Sequence[str], lines: Sequence[_Line], terminal: Terminal) -> Iterator[str]:
    """Tables one below the other, each with the runs' names and as many keys as have room."""
    marks = [status_cell(run.record.status, terminal, word=False) for run in lineup.runs]
    rest = [
        Column(title=key, cells=list(cells), widest=WIDEST_OF_ROWS, narrowest=8)
        for key, cells in _keyed(lines)
        if key != "status"
    ]
    while rest:
        shown = [
            Column(title="", cells=marks),
            Column(title="run", cells=[Cell(name, "bold") for name in names], widest=24, narrowest=8),
        ]
        used = sum(column.width() + GAP for column in shown) - GAP
        while rest and (len(shown) == 2 or used + GAP + rest[0].width() <= terminal.width):
            used += GAP + rest[0].width()
            shown.append(rest.pop(0))
        yield from render(shown, terminal)
        if rest:
            yield ""
