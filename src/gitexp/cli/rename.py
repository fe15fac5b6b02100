"""`gitexp rename`: give a run another name."""

from __future__ import annotations

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.terminal import printable, tell


@click.command(short_help="Give a run another name.")
@click.argument("run", type=RUN)
@click.argument("name")
def command(run: str, name: str) -> None:
    """Give a run another name. Its id stays."""
    repository = open_repository()
    summary = repository.resolve(run)
    repository.rename(summary, name)
    tell(f"'{printable(summary.record.name)}' is '{printable(name)}' now.")
