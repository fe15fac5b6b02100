"""`gitexp reproduce`: a run again, and whether it comes to the same."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.progress import Progress
from gitexp.cli.sharing import engine
from gitexp.cli.terminal import look, printable, say, show_json, tell
from gitexp.cli.verdict import as_text, to_json
from gitexp.domain.verdict import Judgement
from gitexp.errors import CommandFailed, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.reproducing.recipe import recipe_of
from gitexp.reproducing.rerunning import Options, reproduce

DIFFERENT = 1


class Tolerance(click.ParamType):  # type: ignore[type-arg]
    """A number that is not negative."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not (math.isfinite(number) and number >= 0):
            self.fail(f"'{value}' is no tolerance: expected a number like 1e-6.", param, ctx)
        return number


@click.command(short_help="Do a run again, and judge whether it comes to the same.")
@click.argument("run", type=RUN)
@click.argument("words", metavar="[-- COMMAND [ARGS]...]", nargs=-1, type=click.UNPROCESSED)
@click.option("--here", is_flag=True, help="In this work tree, which gets the run's code, and in this environment.")
@click.option(
    "--env",
    "environment",
    type=click.Choice(("auto", "current", "venv", "conda")),
    default="auto",
    help="What to run in: auto builds the recorded environment, current is the present one.",
)
@click.option(
    "--set",
    "overrides",
    metavar="[FILE:]KEY=VALUE",
    multiple=True,
    help="Another value: of an option of the command, a file or a constant. Repeatable.",
)
@click.option(
    "--tolerance",
    type=Tolerance(),
    default=0.0,
    metavar="X",
    help="Numbers so near count as the same: relative to the larger, for small ones absolutely.",
)
@click.option("--times", type=click.IntRange(1, 1000), default=1, metavar="N", help="So often; measures its own noise.")
@click.option("-n", "--name", help="What to call the new run.  [default: the old name with '-again']")
@click.option("-y", "--yes", is_flag=True, help="Run what somebody else recorded without asking.")
@click.option("--emit-dockerfile", is_flag=True, help="Write a Dockerfile that rebuilds the run; run nothing.")
@click.option("-o", "--output", metavar="DIR", type=click.Path(file_okay=False), help="Where the Dockerfile goes.")
@click.option("--json", "as_json", is_flag=True, help="For programs; what the command prints goes to stderr.")
def command(run: str, words: tuple[str, ...], yes: bool, emit_dockerfile: bool, output: str | None, **said: Any) -> int:
    """Do RUN again: its code in a folder of its own, its environment, its data, its command. Then say whether metrics,
    artifacts and output are identical, the same within a tolerance, or different, and what may be why.

    The new run is recorded beside the old one and linked to it. A COMMAND is executed in the place of the recorded one,
    which is needed where that held secrets. Leaves with 0 where the results are identical or the same, with 1 where
    they are different, with 10 where the command failed.

    \b
    gitexp reproduce baseline
    gitexp reproduce best:metrics.rmse --tolerance 1e-6
    gitexp reproduce @ --here --times 5
    """
    as_json = said.pop("as_json")
    repository = open_repository()
    view = repository.get_run(run)
    if emit_dockerfile:
        if said != {"here": False, "environment": "auto", "overrides": (), "tolerance": 0.0, "times": 1, "name": None}:
            raise UsageError("Of the options only -o goes with --emit-dockerfile: nothing is run.")
        return _emit(repository, view, output, words, as_json=as_json)
    if output is not None:
        raise UsageError("-o says where a Dockerfile goes.", hint="Add --emit-dockerfile.")
    options = Options(**said, instead=words, engine=engine())
    _ask(repository, view, options, yes=yes)
    progress = Progress("Fetching")

    def talk(text: str) -> None:
        progress.clear()
        tell(printable(text))

    try:
        with progress as listener, _output_to_stderr() if as_json else nullcontext():
            done = reproduce(repository, view, options, environ=os.environ, say=talk, trouble=_warn, listener=listener)
    except CommandFailed as error:
        if error.is_stopped and error.signal:
            _die_of(error.signal)
        raise
    if as_json:
        show_json(to_json(done))
    else:
        for line in as_text(done, look()):
            say(line)
    return DIFFERENT if done.verdict.judgement is Judgement.DIFFERENT else 0


def _emit(repository: Repository, view: RunView, output: str | None, words: tuple[str, ...], *, as_json: bool) -> int:
    from gitexp.reproducing.dockerfile import emit_dockerfile  # only where one is asked for

    with Progress("Fetching") as listener:
        made = emit_dockerfile(repository, view, output or f"{view.name}-docker", instead=words, listener=listener)
    if as_json:
        show_json({"folder": made.folder, "files": list(made.files), "notes": list(made.notes)})
        return 0
    say(f"Wrote {printable(made.folder)}/Dockerfile and its context: {len(made.files):,} files.")
    for note in made.notes:
        tell(printable(note))
    tell(f"Build and run it: {printable(made.command)}")
    return 0


def _ask(repository: Repository, view: RunView, options: Options, *, yes: bool) -> None:
    """Running a run is running somebody's code: whoever did not record it is told whose.

    Raises:
        UsageError: it cannot be asked, or the answer is no.
    """
    author = view.record.author or "somebody unknown"
    if yes or author == repository.author:
        return
    recipe = recipe_of(view, instead=options.instead)
    commit = view.record.code.commit if view.record.code else None
    tell(f"This runs code that {printable(author)} recorded, at commit {(commit or 'none')[:12]}:")
    tell(f"  {printable(recipe.shown)}")
    hint = f"gitexp reproduce --yes {view.id}"
    if not look(sys.stderr).interactive:
        raise UsageError(f"The run '{view.name}' is not yours, and nobody can be asked here.", hint=hint)
    if not click.confirm("Run it?", default=False, err=True):
        raise UsageError("Nothing has run.", hint=hint)


@contextmanager
def _output_to_stderr() -> Iterator[None]:
    """stdout is for the document alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _die_of(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _warn(text: str) -> None:
    terminal = look(sys.stderr)
    tell(f"{terminal.paint('gitexp: warning:', 'bold yellow')} {printable(text)}")
