"""`gitexp branch`: a run's code as a branch."""

from __future__ import annotations

import shlex

import click

from gitexp.applying import make_branch
from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.sharing import usual_remote
from gitexp.cli.terminal import printable, say, tell
from gitexp.cli.values import SHORT_COMMIT

NAMED = 5


@click.command(short_help="Make a branch of a run's code.")
@click.argument("run", type=RUN)
@click.argument("name")
def command(run: str, name: str) -> None:
    """Make the branch NAME: one commit with RUN's code and params, based on the commit that the run was based on.

    It is made for review: nothing is checked out, and no hook runs.

    \b
    gitexp branch best:metrics.rmse better-rmse
    git push origin better-rmse
    """
    repository = open_repository()
    view = repository.get_run(run)
    made = make_branch(repository, view, name)
    say(f"Made the branch '{printable(name)}' at {made.commit[:SHORT_COMMIT]}: the code of '{printable(view.name)}'.")
    if made.pointers:
        named = ", ".join(map(printable, made.pointers[:NAMED])) + (" ..." if len(made.pointers) > NAMED else "")
        tell(f"Large files are Git LFS pointers on it, and 'gitexp apply' brings their content: {named}")
    remote = usual_remote(repository)
    if remote is not None:
        tell(f"For review: git push {shlex.quote(remote)} {shlex.quote(name)}")
