"""`gitexp push`: share runs with their artifacts."""

from __future__ import annotations

import click

from gitexp.cli.exchanged import exchange_to_json, say_pushed
from gitexp.cli.opening import EXPERIMENT, open_repository
from gitexp.cli.progress import Progress
from gitexp.cli.sharing import REMOTE_THEN_RUNS, open_sharing, remote_and_runs
from gitexp.cli.terminal import show_json
from gitexp.sharing.selection import Selection


@click.command(short_help="Share runs with their artifacts.")
@click.argument("words", metavar="[REMOTE] [RUNS]...", nargs=-1, type=REMOTE_THEN_RUNS)
@click.option("-e", "--experiment", "experiments", multiple=True, type=EXPERIMENT, help="Only this experiment.")
@click.option("--model", "models", metavar="NAME", multiple=True, help="Only this registered model. Repeatable.")
@click.option("--no-artifacts", is_flag=True, help="Records only; large artifacts stay here.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(
    ctx: click.Context,
    words: tuple[str, ...],
    experiments: tuple[str, ...],
    models: tuple[str, ...],
    no_artifacts: bool,
    as_json: bool,
) -> None:
    """Bring the runs that a remote lacks there, with their artifacts: all of them, or those that are named.

    REMOTE is a name or an address; without one it is the current branch's. Only what the remote lacks travels. A run
    that was tagged, noted or resumed on both sides is merged. The same command again finishes what was cut off.

    Artifacts that are nowhere, neither here nor there, are a warning, said once; of runs that you name, a failure.

    \b
    gitexp push
    gitexp push origin baseline @ --no-artifacts
    """
    repository = open_repository()
    remote, runs = remote_and_runs(repository, words)
    sharing = open_sharing(repository, remote)
    with Progress("Pushing") as listener:
        done = sharing.push(
            Selection(runs=runs, experiments=experiments, models=models), artifacts=not no_artifacts, listener=listener
        )
    if as_json:
        show_json(exchange_to_json(done))
    else:
        say_pushed(done)
    if done.records.refused or (runs and done.missing):
        ctx.exit(8)
