"""`gitexp apply`: a run's code and params in the work tree."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gitexp.applying import Applied, Captured, apply, code_of, params_of, saved_state
from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.progress import Progress
from gitexp.cli.sharing import engine
from gitexp.cli.terminal import printable, say, tell
from gitexp.cli.values import plain, plural
from gitexp.domain.identity import SAVED
from gitexp.errors import UsageError

NAMED = 10


@click.command(short_help="Bring a run's code and params back.")
@click.argument("run", type=RUN)
@click.option("--params", "only_params", is_flag=True, help="Only params.yaml.")
@click.option("-f", "--force", is_flag=True, help="Put changes of yours aside that are in the way, and go on.")
def command(run: str, only_params: bool, force: bool) -> None:
    """Make the files of the work tree what they were when RUN began, with the params of the run in params.yaml.

    Files that neither HEAD nor the run has stay; the index and HEAD stay too, so 'git diff' shows what the run had
    changed. What is in no commit and in no run is never written over, unless you say --force: then the present state
    is put aside first, and 'gitexp apply' brings it back by the name that is printed.

    \b
    gitexp apply best:metrics.rmse
    gitexp apply baseline --params
    """
    repository = open_repository()
    only: str | None = None
    if run.startswith(SAVED):
        if only_params:
            raise UsageError("A state that was put aside has no params of its own.", hint=f"gitexp apply {run}")
        captured = saved_state(repository, run)
    else:
        view = repository.get_run(run)
        captured, only = params_of(repository, view) if only_params else (code_of(repository, view), None)
    with Progress("Fetching") as listener:
        done = apply(repository, captured, only=only, force=force, listener=listener, engine=engine())
    _tell(captured, done)


def _tell(captured: Captured, done: Applied) -> None:
    changed = [
        plural(len(paths), f"file {verb}", f"files {verb}")
        for paths, verb in ((done.written, "written"), (done.removed, "removed"))
        if paths
    ]
    what = ", ".join(changed) or "everything was so already"
    say(f"Applied {printable(captured.title)}: {what}.")
    for mark, paths in (("~", done.written), ("-", done.removed)):
        for path in paths[:NAMED]:
            tell(f"  {mark} {printable(path)}")
        if len(paths) > NAMED:
            tell(f"  {mark} and {len(paths) - NAMED:,} more")
    if captured.params:
        told = ", ".join(f"{key} = {plain(value)}" for key, value in list(captured.params.items())[:NAMED])
        tell(f"Params that the run was given otherwise are in params.yaml now: {printable(told)}.")
    if done.saved:
        tell(f"What was here before is put aside. It comes back with: gitexp apply --force {done.saved}")
    _tell_paths("Submodules stay at the commits they are at", done.submodules)
    _tell_paths("Written as git stores them, because what converts them did not work", done.unconverted)
    _tell_paths("Pointers of Git LFS, whose content is not here ('git lfs pull' brings it)", done.pointers)


def _tell_paths(what: str, paths: Sequence[str]) -> None:
    if paths:
        more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
        tell(f"{what}: {', '.join(map(printable, paths[:NAMED]))}{more}.")
