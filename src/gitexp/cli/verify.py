"""`gitexp verify`: whether all is there to do a run again."""

from __future__ import annotations

import os
from dataclasses import asdict
from itertools import groupby

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.sharing import engine
from gitexp.cli.terminal import look, printable, say, show_json, tell
from gitexp.cli.values import plural
from gitexp.reproducing.verifying import verify

INCOMPLETE = 1


@click.command(short_help="Say whether all is there to do a run again.")
@click.argument("run", type=RUN)
@click.option("--packages", is_flag=True, help="Build its environment too; it stays in the cache.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: str, packages: bool, as_json: bool) -> int:
    """Look for all that 'gitexp reproduce RUN' needs, without running anything: the command, the code, inputs, Python,
    and the content of large files, here or on a remote. What is missing is named, with where it was last seen.

    Leaves with 0 where all is there, with 1 where something is missing.
    """
    repository = open_repository()
    view = repository.get_run(run)
    found = verify(
        repository, view, packages=packages, engine=engine(), environ=os.environ, say=lambda text: tell(printable(text))
    )
    if as_json:
        show_json({"run": view.id, "complete": not found.missing, "parts": [asdict(part) for part in found.parts]})
        return INCOMPLETE if found.missing else 0
    terminal = look()
    for section, parts in groupby(found.parts, key=lambda part: part.section):
        say(terminal.paint(section.capitalize(), "bold"))
        for part in parts:
            good, bad = terminal.glyph("✓", "+"), terminal.glyph("✗", "-")
            mark = terminal.paint(good, "green") if part.is_there else terminal.paint(bad, "red")
            detail = f": {printable(part.detail)}" if part.detail else ""
            say(f"  {mark} {printable(part.name)}{detail}")
    say()
    if found.missing:
        say(f"{plural(len(found.missing), 'thing is', 'things are')} missing to do '{printable(view.name)}' again.")
        return INCOMPLETE
    say(f"Everything is there: gitexp reproduce {view.id}")
    return 0
