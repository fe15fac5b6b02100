"""How a comparison of two runs looks, on a terminal and in Markdown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gitexp.cli.table import Cell, Column, choose, cut, cut_middle, markdown, pad, render, width
from gitexp.cli.terminal import Terminal, printable
from gitexp.cli.values import ago, number, percent, plain, plural, signed, size, status_cell, took
from gitexp.comparing import git_diff_command
from gitexp.contents.change import ContentChange
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
from gitexp.domain.metrics import SYSTEM
from gitexp.reading import RunView

MOST = 100

_STYLE = {Kind.SAME: "dim", Kind.ADDED: "green", Kind.REMOVED: "red", Kind.CHANGED: "yellow"}
_MARK = {Kind.SAME: " ", Kind.ADDED: "+", Kind.REMOVED: "-", Kind.CHANGED: "~"}
_BAR = 12
_LONGEST_NAME = 28


class _Row(NamedTuple):
    """A line of a section: a key and its values."""

    kind: Kind
    key: str
    values: Sequence[Cell]


class _Section(NamedTuple):
    """One table of a comparison: of `keys` keys, `more` rows are left out, and `same` are alike and not in `rows`."""

    title: str
    rows: list[_Row]
    more: int
    same: int
    keys: int


def as_text(
    before: RunView,
    after: RunView,
    found: Comparison,
    contents: Mapping[str, ContentChange],
    terminal: Terminal,
    *,
    everything: bool,
) -> Iterator[str]:
    """The lines of a comparison: a head, then a section each for params, metrics, code, environment and artifacts."""
    yield from _head(before, after, terminal)
    sections = _sections(found, contents, terminal, everything)
    keys = max((width(row.key) for section in sections for row in section.rows), default=0)
    names = [cut_middle(name, _LONGEST_NAME, terminal.ellipsis) for name in _names(before, after)]
    for section in sections:
        yield ""
        yield from _section_as_text(section, names, keys, terminal)
        if section.title == "Metrics":
            yield ""
            yield from _code_as_text(found.code, terminal)
            yield from _outputs_as_text(found.outputs, terminal)
    command = git_diff_command(before, after)
    if command:
        yield ""
        yield terminal.paint(f"In plain git: {command}", "dim")


def as_markdown(
    before: RunView,
    after: RunView,
    found: Comparison,
    contents: Mapping[str, ContentChange],
    *,
    everything: bool,
) -> str:
    """The comparison as Markdown tables, for a pull request."""
    names = _names(before, after)
    parts = [f"**{names[0]}** (`{before.id}`) → **{names[1]}** (`{after.id}`)"]
    for section in _sections(found, contents, Terminal(), everything):
        if section.rows:
            count = 1 + len(section.rows[0].values)
            titles = [section.title.lower().rstrip("s"), *names, "change"][:count]
            cells = [[row.key, *(value.text for value in row.values)] for row in section.rows]
            parts.append(markdown(titles, cells, [False] + [section.title == "Metrics"] * (count - 1)))
    if found.code:
        files = [[printable(file.path), file.kind.value, _counts(file)] for file in found.code[:MOST]]
        parts.append(markdown(["code", "change", "lines"], files, [False, False, True]))
    if found.outputs:
        parts.append(_outputs(found.outputs))
    if len(parts) == 1:
        parts.append("No difference.")
    command = git_diff_command(before, after)
    if command:
        parts.append(f"`{command}`")
    return "\n\n".join(parts)


def _names(before: RunView, after: RunView) -> list[str]:
    if before.name != after.name:
        return [printable(before.name), printable(after.name)]
    return [f"{printable(run.name)} {run.id[:5]}" for run in (before, after)]


def _head(before: RunView, after: RunView, terminal: Terminal) -> list[str]:
    now, runs = time.time(), (before, after)
    columns = [
        Column(title="", cells=[Cell("-", "red"), Cell("+", "green")]),
        Column(title="", cells=[Cell(printable(run.name), "bold") for run in runs], narrowest=12),
        Column(title="", cells=[Cell(run.id, "dim") for run in runs]),
        Column(title="", cells=[status_cell(run.status, terminal) for run in runs]),
        Column(title="", cells=[Cell(ago(run.record.start, now)) for run in runs], rank=1),
        Column(title="", cells=[Cell(took(run.record, now)) for run in runs], right=True, rank=2),
        Column(title="", cells=[Cell(printable(run.experiment)) for run in runs], rank=3),
    ]
    return render(choose(columns, terminal.width), terminal, titles=False)


def _sections(
    found: Comparison, contents: Mapping[str, ContentChange], terminal: Terminal, everything: bool
) -> list[_Section]:
    metrics = [change for change in found.metrics if everything or not change.key.startswith(SYSTEM)]
    parts: list[tuple[str, Sequence[Any], Callable[[Any], _Row]]] = [
        ("Params", found.params, lambda change: _row(change, plain)),
        ("Metrics", metrics, lambda change: _metric_row(change, terminal)),
        ("Environment", (*found.python, *found.packages), lambda change: _row(change, plain)),
        ("Artifacts", found.artifacts, lambda change: _artifact_row(change, contents)),
    ]
    sections = []
    for title, changes, make in parts:
        wanted = list(changes) if everything else differing(changes)
        shown = wanted if everything else wanted[:MOST]
        rows = [make(change) for change in shown]
        sections.append(_Section(title, rows, len(wanted) - len(shown), len(changes) - len(wanted), len(changes)))
    return sections


def _row(change: Change, show: Callable[[Any], str]) -> _Row:
    before = "" if change.kind is Kind.ADDED else show(change.before)
    after = "" if change.kind is Kind.REMOVED else show(change.after)
    if change.kind is Kind.CHANGED and before == after:  # 1 and "1", or numbers that differ in their last digits
        before, after = printable(repr(change.before)), printable(repr(change.after))
    style = "dim" if change.kind is Kind.SAME else ""
    return _Row(change.kind, printable(change.key), [Cell(before, style), Cell(after, style)])


def _metric_row(change: MetricChange, terminal: Terminal) -> _Row:
    before, after = ("" if value is None else number(value) for value in (change.before, change.after))
    if before == after and change.kind is Kind.CHANGED:
        before, after = str(change.before), str(change.after)
    style = "dim" if change.kind is Kind.SAME else ""
    return _Row(change.kind, printable(change.key), [Cell(before, style), Cell(after, style), _moved(change, terminal)])


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


def _artifact_row(change: Change, contents: Mapping[str, ContentChange]) -> _Row:
    row = _row(change, _artifact)
    if not contents:
        return row
    inside = contents.get(change.key)
    return row._replace(values=[*row.values, Cell(printable(inside.summary) if inside else "")])


def _artifact(state: ArtifactState) -> str:
    return f"{size(state.size_bytes)} {state.sha256[:8]}"


def _section_as_text(section: _Section, names: Sequence[str], keys: int, terminal: Terminal) -> Iterator[str]:
    """A table under its title; one line where there is nothing to tell. `keys`: columns of the longest key anywhere."""
    if not section.rows:
        state = "same" if section.keys else "none"
        yield f"{terminal.paint(section.title, 'bold')}  {terminal.paint(state, 'dim')}"
        return
    marked = [Cell(f"{_MARK[row.kind]} {pad(row.key, keys)}", _STYLE[row.kind]) for row in section.rows]
    columns = [Column(title=section.title, cells=marked, widest=60, narrowest=10)]
    for place in range(len(section.rows[0].values)):
        cells = [row.values[place] for row in section.rows]
        title = names[place] if place < len(names) else ""
        is_number = section.title == "Metrics"
        columns.append(Column(title=title, cells=cells, right=is_number, widest=60, narrowest=10))
    yield from render(columns, terminal)
    if section.more:
        yield terminal.paint(f"  and {section.more:,} more; --all shows them", "dim")
    if section.same:
        yield terminal.paint(f"  {plural(section.same, 'other is', 'others are')} the same", "dim")


def _code_as_text(code: Sequence[FileChange] | None, terminal: Terminal) -> Iterator[str]:
    if not code:
        state = "not captured" if code is None else "same"
        yield f"{terminal.paint('Code', 'bold')}  {terminal.paint(state, 'dim')}"
        return
    added, removed = code_totals(code)
    facts = f"{plural(len(code), 'file')}, +{added:,} -{removed:,} lines; --code shows them"
    yield f"{terminal.paint('Code', 'bold')}  {terminal.paint(facts, 'dim')}"
    shown = code[:MOST]
    most = max((file.added or 0) + (file.removed or 0) for file in shown)
    paths = [Cell(f"{_MARK[file.kind]} {printable(file.path)}", _STYLE[file.kind]) for file in shown]
    columns = [
        Column(title="", cells=paths, widest=1000, narrowest=16),
        Column(title="", cells=[Cell(f"+{file.added:,}" if file.added else "", "green") for file in shown], right=True),
        Column(
            title="", cells=[Cell(f"-{file.removed:,}" if file.removed else "", "red") for file in shown], right=True
        ),
        Column(title="", cells=[Cell(_bar(file, most)) for file in shown], rank=1),
    ]
    yield from render(columns, terminal, titles=False)
    if len(code) > len(shown):
        yield terminal.paint(f"  and {plural(len(code) - len(shown), 'file')} more", "dim")


def _outputs_as_text(outputs: Sequence[str], terminal: Terminal) -> Iterator[str]:
    if outputs:
        yield terminal.paint(cut(f"  {_outputs(outputs)}", terminal.width, terminal.ellipsis), "dim")


def _outputs(outputs: Sequence[str]) -> str:
    """Files that are no code, although they lay beside it."""
    return f"Without {plural(len(outputs), 'output')} of earlier runs: {', '.join(map(printable, outputs[:MOST]))}"


def _bar(file: FileChange, most: int) -> str:
    if file.added is None or file.removed is None:
        return "not text, or large"
    total = file.added + file.removed
    length = min(total, max(1, round(_BAR * total / most))) if most else 0
    plus = round(length * file.added / total) if total else 0
    return "+" * plus + "-" * (length - plus)


def _counts(file: FileChange) -> str:
    return "" if file.added is None or file.removed is None else f"+{file.added} -{file.removed}"
