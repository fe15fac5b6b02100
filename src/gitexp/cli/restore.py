"""`gitexp restore`: bring removed runs back."""

from __future__ import annotations

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.terminal import printable, tell


@click.command(short_help="Bring removed runs back.")
@click.argument("runs", metavar="RUN...", type=RUN, nargs=-1, required=True)
def command(runs: tuple[str, ...]) -> None:
    """Bring removed runs back, until 'gc' has freed them."""
    repository = open_repository()
    for run in [repository.resolve(text) for text in runs]:
        name = printable(run.record.name)
        if run.record.deleted is None:
            tell(f"'{name}' was not removed.")
        else:
            repository.restore(run)
            tell(f"Restored '{name}'.")
