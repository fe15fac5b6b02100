"""`gitexp pull`: bring runs here."""

from __future__ import annotations

import click

from gitexp.cli.exchanged import exchange_to_json, say_pulled
from gitexp.cli.opening import EXPERIMENT, open_repository
from gitexp.cli.progress import Progress
from gitexp.cli.sharing import REMOTE_THEN_RUNS, open_sharing, remote_and_runs
from gitexp.cli.terminal import show_json
from gitexp.sharing.selection import Selection


@click.command(short_help="Bring runs here from a remote.")
@click.argument("words", metavar="[REMOTE] [RUNS]...", nargs=-1, type=REMOTE_THEN_RUNS)
@click.option("-e", "--experiment", "experiments", multiple=True, type=EXPERIMENT, help="Only this experiment.")
@click.option("--model", "models", metavar="NAME", multiple=True, help="Only this registered model. Repeatable.")
@click.option("--artifacts", is_flag=True, help="Large artifacts too; without it they come when asked for.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(
    ctx: click.Context,
    words: tuple[str, ...],
    experiments: tuple[str, ...],
    models: tuple[str, ...],
    artifacts: bool,
    as_json: bool,
) -> None:
    """Bring a remote's runs here: all of them, or those that are named. Nothing here is ever lost by it.

    REMOTE is a name or an address; without one it is the current branch's. A run that is not here yet is named by its
    id.

    \b
    gitexp pull
    gitexp pull origin -e nyc-taxi --artifacts
    """
    repository = open_repository()
    remote, runs = remote_and_runs(repository, words)
    sharing = open_sharing(repository, remote)
    with Progress("Pulling") as listener:
        done = sharing.pull(
            Selection(runs=runs, experiments=experiments, models=models), artifacts=artifacts, listener=listener
        )
    if as_json:
        show_json(exchange_to_json(done))
    else:
        say_pulled(done)
    if done.missing or done.records.refused:
        ctx.exit(8)
