"""`gitexp log`: what became of a run, and where it came from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.table import Cell, Column, choose, cut, render
from gitexp.cli.terminal import Terminal, look, printable, say, show_json
from gitexp.cli.values import SHORT_COMMIT, ago, moment, person, status_cell
from gitexp.comparing import HistoryEntry, Origin, history, origins
from gitexp.domain.comparison import Change, Kind
from gitexp.domain.run import format_time
from gitexp.reading import RunView

_DONE = {
    "seal": "sealed",
    "resume": "resumed",
    "tag": "tagged",
    "note": "noted",
    "rename": "renamed",
    "rm": "removed",
    "restore": "restored",
}


@click.command(short_help="Show a run's own history and its lineage.")
@click.argument("run", type=RUN)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: str, as_json: bool) -> None:
    """Show a run's own history, newest first, and its lineage: the code and the runs it came from."""
    repository = open_repository()
    view = repository.get_run(run)
    entries, lineage = history(repository, view), origins(repository, view)
    if as_json:
        show_json(_to_json(view, entries, lineage))
        return
    terminal = look()
    state = status_cell(view.status, terminal)
    name, identity = terminal.paint(printable(view.name), "bold"), terminal.paint(view.id, "dim")
    say(f"{name}  {identity}  {terminal.paint(state.text, state.style)}")
    for line in (*_events(entries, terminal), *_lineage(lineage, terminal)):
        say(line)
    if view.commit:
        say()
        say(terminal.paint(f"In plain git: git log --graph {view.commit[:SHORT_COMMIT]}", "dim"))


def _events(entries: list[HistoryEntry], terminal: Terminal) -> Iterator[str]:
    if not entries:
        yield "  still being recorded: no history yet"
        return
    now, events = time.time(), [entry.event for entry in entries]
    columns = [
        Column(title="", cells=[Cell(event.commit[:SHORT_COMMIT], "yellow") for event in events]),
        Column(title="", cells=[Cell(moment(event.time)) for event in events], rank=1),
        Column(title="", cells=[Cell(ago(event.time, now)) for event in events], right=True),
        Column(title="", cells=[Cell(_DONE.get(event.kind, event.kind), "bold") for event in events]),
        Column(title="", cells=[Cell(person(event.author)) for event in events], narrowest=8),
    ]
    lines = render(choose(columns, terminal.width - 2), terminal, indent=2, titles=False)
    for line, entry in zip(lines, entries, strict=True):
        yield line
        for change in entry.changes:
            if change.key != "deleted":
                text, style = _change(change, terminal)
                yield "      " + terminal.paint(cut(text, terminal.width - 6, terminal.ellipsis), style)


def _change(change: Change, terminal: Terminal) -> tuple[str, str]:
    """What an event changed, and the style to show it in."""
    key = printable(change.key.removeprefix("tags."))
    before, after = (printable(str(value or "")) for value in (change.before, change.after))
    if change.kind is Kind.ADDED:
        return f"+ {key}" + (f" = {after}" if after else ""), "green"
    if change.kind is Kind.REMOVED:
        return f"- {key}" + (f" = {before}" if before else ""), "red"
    return f"{key}: {before} {terminal.glyph('→', '->')} {after}", ""


def _lineage(lineage: list[Origin], terminal: Terminal) -> Iterator[str]:
    if lineage:
        yield ""
        yield terminal.paint("Came from", "bold")
        columns = [
            Column(title="", cells=[Cell((origin.commit or "")[:SHORT_COMMIT], "yellow") for origin in lineage]),
            Column(title="", cells=[Cell(origin.kind) for origin in lineage]),
            Column(title="", cells=[Cell(printable(origin.text)) for origin in lineage], widest=200, narrowest=8),
        ]
        yield from render(columns, terminal, indent=2, titles=False)


def _to_json(view: RunView, entries: list[HistoryEntry], lineage: list[Origin]) -> dict[str, Any]:
    return {
        "id": view.id,
        "name": view.name,
        "events": [
            {
                "event": entry.event.kind,
                "commit": entry.event.commit,
                "author": entry.event.author,
                "time": format_time(entry.event.time),
                "changes": [{"key": c.key, "before": c.before, "after": c.after} for c in entry.changes],
            }
            for entry in entries
        ],
        "lineage": [{"kind": origin.kind, "commit": origin.commit, "text": origin.text} for origin in lineage],
    }
