"""`gitexp get`: artifacts as files."""

from __future__ import annotations

import os
import sys

import click

from gitexp.cli.opening import open_repository
from gitexp.cli.progress import Progress
from gitexp.cli.sharing import ARTIFACT, engine
from gitexp.cli.terminal import printable, say, tell
from gitexp.cli.values import plural, size
from gitexp.errors import UsageError
from gitexp.repo import Repository
from gitexp.sharing.artifacts import Chosen, choose, copy, fetch, get


@click.command(short_help="Get a run's artifacts as files.")
@click.argument("what", metavar="RUN[:PATH]", type=ARTIFACT)
@click.option("-o", "--output", metavar="PATH", help="The file or folder to write; '-' is stdout.")
@click.option("-f", "--force", is_flag=True, help="Write over files that are different.")
def command(what: str, output: str | None, force: bool) -> None:
    """Write artifacts of a run as files, and print where; what is not on this machine is fetched from a remote first.

    RUN alone means all of them, in a folder with the run's name. PATH is a file, a folder or a pattern, and goes into
    the current folder. With -o a folder's content goes right into the one named, and a file gets that name, or goes
    into it if it is a folder. Each file is checked by its SHA-256. A different file that is there stays, unless you
    say --force.

    \b
    gitexp get baseline
    gitexp get best:metrics.rmse:model.pkl -o model.pkl
    gitexp get 'baseline:plots/*.png' -o plots/
    gitexp get baseline:metrics.csv -o - | head
    """
    repository = open_repository()
    chosen = choose(repository, what)
    if output == "-":
        _print(repository, chosen)
        return
    with Progress("Fetching") as listener:
        done = get(repository, chosen, output, force=force, listener=listener, engine=engine())
    say(printable(os.path.normpath(done.place)))
    facts = [f"Got {plural(done.files, 'file')} ({size(done.size_bytes)})"] if done.files else []
    if done.fetched.count:
        facts.append(f"{done.fetched.count:,} fetched from {', '.join(done.fetched.places)}")
    if done.same:
        facts.append(f"{plural(done.same, 'file was', 'files were')} there already")
    tell(f"{printable(', '.join(facts))}.")


def _print(repository: Repository, chosen: Chosen) -> None:
    if len(chosen.artifacts) != 1:
        raise UsageError(f"{plural(len(chosen.artifacts), 'file')} cannot go to stdout together.", hint="Name one.")
    [(_, artifact)] = chosen.artifacts
    with Progress("Fetching") as listener:
        fetch(repository, [artifact], listener, engine=engine())
    sys.stdout.flush()
    copy(artifact, sys.stdout.buffer.write)
    sys.stdout.buffer.flush()
