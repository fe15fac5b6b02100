"""`gitexp log`: what became of a run, and where it came from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.terminal import Terminal, look, printable, say, show_json
from gitexp.cli.values import SHORT_COMMIT, ago, moment, person, status_cell
from gitexp.comparing import HistoryEntry, Origin, history, origins
from gitexp.domain.comparison import Change, Kind
from gitexp.domain.run import format_time
from gitexp.reading import RunView

_DONE = {
    "seal": "sealed",
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
    now = time.time()
    if not entries:
        yield "  still being recorded: no history yet"
    for entry in entries:
        event = entry.event
        commit = terminal.paint(event.commit[:SHORT_COMMIT], "yellow")
        done = terminal.paint(_DONE.get(event.kind, event.kind).ljust(8), "bold")
        yield f"  {commit}  {moment(event.time)}  {ago(event.time, now):>10}  {done}  {person(event.author)}"
        for change in entry.changes:
            if change.key == "deleted":
                continue
            yield f"      {_change(change, terminal)}"


def _change(change: Change, terminal: Terminal) -> str:
    key = change.key.removeprefix("tags.") if change.key.startswith("tags.") else change.key
    before, after = (printable(str(value or "")) for value in (change.before, change.after))
    if change.kind is Kind.ADDED:
        return terminal.paint(f"+ {printable(key)}" + (f" = {after}" if after else ""), "green")
    if change.kind is Kind.REMOVED:
        return terminal.paint(f"- {printable(key)}" + (f" = {before}" if before else ""), "red")
    return f"{printable(key)}: {before} {terminal.glyph('→', '->')} {after}"


def _lineage(lineage: list[Origin], terminal: Terminal) -> Iterator[str]:
    if lineage:
        yield ""
        yield terminal.paint("Came from", "bold")
    for origin in lineage:
        what = terminal.paint((origin.commit or "")[:SHORT_COMMIT].ljust(SHORT_COMMIT), "yellow")
        yield f"  {what}  {origin.kind.ljust(6)}  {printable(origin.text)}"


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
