"""`gitexp restore`: bring removed runs back."""

from __future__ import annotations

import click

from gitexp.cli.exchanged import say_changed_there
from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.terminal import printable, tell


@click.command(short_help="Bring removed runs back.")
@click.argument("runs", metavar="RUN...", type=RUN, nargs=-1, required=True)
@click.option("-r", "--remote", "is_shared", is_flag=True, help="On the branch's remote, too.")
@click.pass_context
def command(ctx: click.Context, runs: tuple[str, ...], is_shared: bool) -> None:
    """Bring removed runs back, until 'gc' has freed them."""
    repository = open_repository()
    found = [repository.resolve(text) for text in runs]
    for run in found:
        name = printable(run.record.name)
        if run.record.deleted is None:
            tell(f"'{name}' was not removed.")
        else:
            repository.restore(run)
            tell(f"Restored '{name}'.")
    if is_shared:
        say_changed_there(ctx, repository, [run.record.id for run in found])
