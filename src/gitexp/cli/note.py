"""`gitexp note`: say in free text what a run is about."""

from __future__ import annotations

import sys

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.terminal import look, printable, tell
from gitexp.errors import UsageError


@click.command(short_help="Write a run's note.")
@click.argument("run", type=RUN)
@click.argument("text", required=False)
@click.option("-m", "--message", metavar="TEXT", help="The same as TEXT.")
def command(run: str, text: str | None, message: str | None) -> None:
    """Replace the note of a run. Without TEXT, $EDITOR opens; where a program pipes text in, that is the note. An empty
    text removes the note.
    """
    if text is not None and message is not None:
        raise UsageError("The text is given twice.", hint="gitexp note RUN TEXT")
    repository = open_repository()
    summary = repository.resolve(run)
    wanted = text if message is None else message
    if wanted is None:
        wanted = _from_editor(summary.record.note or "") if look().interactive else sys.stdin.read()
    if wanted is None:
        tell("The note stays as it was.")
        return
    repository.note(summary, wanted)
    tell(f"{'Noted' if wanted.strip() else 'Removed the note of'} '{printable(summary.record.name)}'.")


def _from_editor(old: str) -> str | None:
    """What the editor saved; None where nothing was saved."""
    return click.edit(old or "\n", extension=".md")
