"""`gitexp rm`: mark runs as removed."""

from __future__ import annotations

import sys

import click

from gitexp.cli.exchanged import say_changed_there
from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.terminal import look, printable, tell
from gitexp.cli.values import duration, plural
from gitexp.errors import UsageError


@click.command(short_help="Remove runs; they can be restored.")
@click.argument("runs", metavar="RUN...", type=RUN, nargs=-1, required=True)
@click.option("-r", "--remote", "is_shared", is_flag=True, help="On the branch's remote, too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def command(ctx: click.Context, runs: tuple[str, ...], is_shared: bool, yes: bool) -> None:
    """Mark runs as removed.

    'ls' leaves them out, 'restore' brings them back, 'gc' frees them when they were removed long enough ago. With
    --remote whoever pulls sees that they are gone; 'restore --remote' brings them back for everybody.
    """
    repository = open_repository()
    found = {run.record.id: run for run in (repository.resolve(text) for text in runs)}
    names = [printable(run.record.name) for run in found.values()]
    if len(found) > 1 and not yes:
        _ask(names)
    for run in found.values():
        repository.remove(run)
    keep = duration(repository.config.gc_keep_s).removesuffix(" 00h")
    remote = " --remote" if is_shared else ""
    tell(f"Removed {', '.join(names)}. For {keep}: gitexp restore{remote} {' '.join(found)}")
    if is_shared:
        say_changed_there(ctx, repository, list(found))


def _ask(names: list[str]) -> None:
    if not look(sys.stderr).interactive:
        raise UsageError(f"This would remove {plural(len(names), 'run')}.", hint="Say --yes where nobody can be asked.")
    click.confirm(f"Remove {', '.join(names)}?", abort=True, err=True)
