"""How a comparison of two runs looks, on a terminal and in Markdown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gitexp.cli.table import Cell, Column, choose, cut_middle, markdown, pad, render, width
from gitexp.cli.terminal import Terminal, printable
from gitexp.cli.values import ago, number, percent, plain, plural, signed, size, status_cell, took
from gitexp.comparing import git_diff_command
from gitexp.domain.comparison import (
    ArtifactState,
    Change,
    Comparison,
    FileChange,
    Kind,
    MetricChange,
    code_totals,
    differing,
)
from gitexp.reading import RunView

_STYLE = {Kind.SAME: "dim", Kind.ADDED: "green", Kind.REMOVED: "red", Kind.CHANGED: "yellow"}
_MARK = {Kind.SAME: " ", Kind.ADDED: "+", Kind.REMOVED: "-", Kind.CHANGED: "~"}
_BAR = 12
_NAME = 28


def as_text(
    before: RunView, after: RunView, found: Comparison, terminal: Terminal, *, everything: bool
) -> Iterator[str]:
    """The lines of a comparison: a head, then a section each for params, metrics, code, environment and artifacts."""
    yield from _head(before, after, terminal)
    names = _names(before, after)
    environment = (*found.python, *found.packages)
    params, metrics = _params(found, everything), _metrics(found, terminal, everything)
    machines = _changes(environment, plain, everything)
    artifacts = _changes(found.artifacts, _artifact, everything)
    keys = max((width(row.cells[0].text) for row in (*params, *metrics, *machines, *artifacts)), default=0)
    yield from _section("Params", names, params, found.params, terminal, keys)
    yield from _section("Metrics", names, metrics, found.metrics, terminal, keys)
    yield from _code(found, terminal)
    yield from _section("Environment", names, machines, environment, terminal, keys)
    yield from _section("Artifacts", names, artifacts, found.artifacts, terminal, keys)
    command = git_diff_command(before, after)
    if command:
        yield ""
        yield terminal.paint(f"In plain git: {command}", "dim")


def as_markdown(before: RunView, after: RunView, found: Comparison, *, everything: bool) -> str:
    """The comparison as Markdown tables, for a pull request."""
    terminal = Terminal()
    names = [printable(name) for name in _names(before, after)]
    environment = (*found.python, *found.packages)
    parts = [f"**{names[0]}** (`{before.id}`) → **{names[1]}** (`{after.id}`)"]
    sections = (
        ("Metrics", _metrics(found, terminal, everything), True),
        ("Params", _params(found, everything), False),
        ("Environment", _changes(environment, plain, everything), False),
        ("Artifacts", _changes(found.artifacts, _artifact, everything), False),
    )
    for title, rows, is_numeric in sections:
        if rows:
            count = len(rows[0].cells)
            titles = [title.lower().rstrip("s"), *names, "change"][:count]
            cells = [[cell.text for cell in row.cells] for row in rows]
            parts.append(markdown(titles, cells, [False] + [is_numeric] * (count - 1)))
    if found.code:
        rows_of_code = [[printable(file.path), file.kind.value, _counts(file)] for file in found.code]
        parts.append(markdown(["code", "change", "lines"], rows_of_code, [False, False, True]))
    if len(parts) == 1:
        parts.append("No difference.")
    command = git_diff_command(before, after)
    if command:
        parts.append(f"`{command}`")
    return "\n\n".join(parts)


class _Row:
    """A line of a section: the key first, then its values."""

    def __init__(self, kind: Kind, *cells: Cell) -> None:
        self.kind = kind
        self.cells = cells


def _names(before: RunView, after: RunView) -> tuple[str, str]:
    if before.name != after.name:
        return before.name, after.name
    return f"{before.name} {before.id[:5]}", f"{after.name} {after.id[:5]}"


def _head(before: RunView, after: RunView, terminal: Terminal) -> Iterator[str]:
    now = time.time()
    rows = [(mark, style, run) for mark, style, run in (("-", "red", before), ("+", "green", after))]
    columns = [
        Column(title="", cells=[Cell(mark, style) for mark, style, _ in rows]),
        Column(title="", cells=[Cell(printable(run.name), f"bold {style}") for _, style, run in rows], narrowest=12),
        Column(title="", cells=[Cell(run.id, "dim") for _, _, run in rows]),
        Column(title="", cells=[status_cell(run.status, terminal) for _, _, run in rows]),
        Column(title="", cells=[Cell(ago(run.record.start, now)) for _, _, run in rows], rank=1),
        Column(title="", cells=[Cell(took(run.record, now)) for _, _, run in rows], right=True, rank=2),
        Column(title="", cells=[Cell(printable(run.experiment)) for _, _, run in rows], rank=3),
    ]
    return iter(render(choose(columns, terminal.width), terminal, titles=False))


def _section(
    title: str, names: Sequence[str], rows: list[_Row], section: Sequence[Any], terminal: Terminal, keys: int
) -> Iterator[str]:
    """A table under its title; one line where there is nothing to tell. `keys`: columns of the longest key anywhere."""
    changed = len(differing(section))
    same = len(section) - changed
    yield ""
    if not rows:
        state = "same" if section else "none"
        yield f"{terminal.paint(title, 'bold')}  {terminal.paint(state, 'dim')}"
        return
    count = max(len(row.cells) for row in rows)
    titles = [title, *(printable(name) for name in names), ""][:count]
    columns = []
    for place in range(count):
        cells = [row.cells[place] for row in rows]
        if place == 0:
            cells = [Cell(f"{_MARK[row.kind]} {pad(row.cells[0].text, keys)}", _STYLE[row.kind]) for row in rows]
        is_number = title == "Metrics" and place > 0
        columns.append(Column(title=titles[place], cells=cells, right=is_number, widest=60, narrowest=10))
    for column in columns[1:3]:
        column.title = _short_name(column.title, terminal)
    yield from render(columns, terminal)
    if same and len(rows) == changed:
        yield terminal.paint(f"  {plural(same, 'other is', 'others are')} the same", "dim")


def _short_name(name: str, terminal: Terminal) -> str:
    return cut_middle(name, _NAME, terminal.ellipsis)


def _params(found: Comparison, everything: bool) -> list[_Row]:
    return _changes(found.params, plain, everything)


def _changes(section: Sequence[Change], show: Callable[[Any], str], everything: bool) -> list[_Row]:
    rows = []
    for change in section:
        if change.kind is Kind.SAME and not everything:
            continue
        before = "" if change.kind is Kind.ADDED else show(change.before)
        after = "" if change.kind is Kind.REMOVED else show(change.after)
        if change.kind is Kind.CHANGED and before == after:
            before, after = repr(change.before), repr(change.after)
        faint = _faint(change)
        rows.append(_Row(change.kind, Cell(printable(change.key)), Cell(before, faint), Cell(after, faint)))
    return rows


def _faint(change: Change | MetricChange) -> str:
    return "dim" if change.kind is Kind.SAME else ""


def _metrics(found: Comparison, terminal: Terminal, everything: bool) -> list[_Row]:
    rows = []
    for change in found.metrics:
        if change.kind is Kind.SAME and not everything:
            continue
        before = "" if change.before is None else number(change.before)
        after = "" if change.after is None else number(change.after)
        if before == after and change.kind is Kind.CHANGED:
            before, after = number(change.before or 0, 17), number(change.after or 0, 17)
        rows.append(
            _Row(
                change.kind,
                Cell(printable(change.key)),
                Cell(before, _faint(change)),
                Cell(after, _faint(change)),
                _moved(change, terminal),
            )
        )
    return rows


def _moved(change: MetricChange, terminal: Terminal) -> Cell:
    if not change.delta:
        return Cell("")
    text = signed(change.delta, terminal)
    share = percent(change.ratio, terminal) if change.ratio is not None else ""
    if share:
        text += f" ({share})"
    if change.better is None:
        return Cell(text)
    return Cell(f"{text} {'better' if change.better else 'worse'}", "green" if change.better else "red")


def _code(found: Comparison, terminal: Terminal) -> Iterator[str]:
    yield ""
    if not found.code:
        state = "not captured" if found.code is None else "same"
        yield f"{terminal.paint('Code', 'bold')}  {terminal.paint(state, 'dim')}"
        return
    added, removed = code_totals(found.code)
    facts = f"{plural(len(found.code), 'file')}, +{added:,} -{removed:,} lines; --code shows them"
    yield f"{terminal.paint('Code', 'bold')}  {terminal.paint(facts, 'dim')}"
    paths = [Cell(f"{_MARK[file.kind]} {printable(file.path)}", _STYLE[file.kind]) for file in found.code]
    most = max((file.added or 0) + (file.removed or 0) for file in found.code)
    plus = [Cell(f"+{file.added:,}" if file.added else "", "green") for file in found.code]
    minus = [Cell(f"-{file.removed:,}" if file.removed else "", "red") for file in found.code]
    bars = [Cell(_bar(file, most)) for file in found.code]
    columns = [
        Column(title="", cells=paths, widest=1000, narrowest=16),
        Column(title="", cells=plus, right=True),
        Column(title="", cells=minus, right=True),
        Column(title="", cells=bars, rank=1),
    ]
    yield from render(columns, terminal, titles=False)


def _bar(file: FileChange, most: int) -> str:
    if file.added is None or file.removed is None:
        return "not text, or large"
    total = file.added + file.removed
    length = min(total, max(1, round(_BAR * total / most))) if most else 0
    plus = round(length * file.added / total) if total else 0
    return "+" * plus + "-" * (length - plus)


def _counts(file: FileChange) -> str:
    return "" if file.added is None or file.removed is None else f"+{file.added} -{file.removed}"


def _artifact(state: ArtifactState) -> str:
    return f"{size(state.size_bytes)} {state.sha256[:8]}"
