"""`gitexp clone`: a repository with its runs."""

from __future__ import annotations

import os
import shlex

import click

from gitexp.cli.exchanged import tell_missing, tell_refused
from gitexp.cli.progress import Progress
from gitexp.cli.sharing import engine
from gitexp.cli.terminal import printable, say, tell
from gitexp.cli.values import plural, size
from gitexp.errors import RemoteFailed
from gitexp.sharing.cloning import clone_with_runs
from gitexp.sharing.namespace import is_run_name


@click.command(short_help="Clone a repository with its runs.")
@click.argument("url")
@click.argument("folder", metavar="[DIR]", required=False)
@click.option("-b", "--branch", help="Check this branch out instead of the remote's own.")
@click.option("--artifacts", is_flag=True, help="Large artifacts too; without it they come when asked for.")
@click.pass_context
def command(ctx: click.Context, url: str, folder: str | None, branch: str | None, artifacts: bool) -> None:
    """Clone the repository at URL into DIR, as 'git clone' does, with its runs: ready to list and compare.

    Where something fails, no folder is left.

    \b
    gitexp clone git@example.org:team/taxi.git
    gitexp clone https://example.org/team/taxi.git work --artifacts
    """
    with Progress("Pulling") as listener:
        cloned = clone_with_runs(
            url, folder, branch=branch, artifacts=artifacts, listener=listener, engine=engine(), environ=os.environ
        )
    runs = sum(map(is_run_name, cloned.exchange.records.created))
    came = cloned.exchange.artifacts
    with_artifacts = f", {plural(came.count, 'artifact')} ({size(came.size_bytes)})" if came.count else ""
    say(f"Cloned into {printable(cloned.folder)}: {plural(runs, 'run')}{with_artifacts}.")
    if runs:
        tell(f"Look at them: cd {shlex.quote(printable(cloned.folder))} && gitexp ls")
    if cloned.has_branches:
        tell("This remote keeps runs as branches. To have them: gitexp remote set origin --refs heads; gitexp pull")
    tell_refused(cloned.exchange.records, "Not taken")
    if cloned.exchange.missing:
        tell_missing(cloned.exchange, "not")
    if cloned.exchange.missing or cloned.exchange.records.refused:
        ctx.exit(RemoteFailed.exit_code)
