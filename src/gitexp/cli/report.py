"""`gitexp report`: a comparison as one file."""

from __future__ import annotations

import os

import click

from gitexp.browsing import Selection
from gitexp.cli.opening import EXPERIMENT, RUN, SEARCH, open_repository
from gitexp.cli.terminal import printable, say
from gitexp.cli.values import size
from gitexp.domain.summary import RunSummary
from gitexp.errors import UsageError


@click.command(short_help="Write a comparison as one HTML file.")
@click.argument("runs", nargs=-1, type=RUN)
@click.option("-o", "--output", metavar="FILE", default="report.html", show_default=True, help="The file to write.")
@click.option("--where", metavar="QUERY", default="", type=SEARCH, help="The runs that match, instead of naming them.")
@click.option("--sort", metavar="KEYS", default="", type=SEARCH, help="Their order, like metrics.rmse.")
@click.option("-e", "--experiment", "experiments", multiple=True, type=EXPERIMENT, help="Only this experiment.")
@click.option("--title", default="", help="What stands above it.")
def command(
    runs: tuple[str, ...], output: str, where: str, sort: str, experiments: tuple[str, ...], title: str
) -> None:
    """Write what the web pages show of several runs into one file: what differs, curves, plots, and a list to sort.

    The file needs no server, no network and no gitexp: open it, send it, keep it beside a paper. Without names and
    options it has all runs, up to 10,000.

    \b
    gitexp report baseline tuned -o report.html
    gitexp report --where "metrics.rmse < 7" --sort metrics.rmse --title "The best of June"
    """
    try:
        from gitexp.web.report import report, write_report  # an extra
    except ImportError as error:
        raise UsageError(
            f"A report needs packages that are not installed ({error.name}).", hint="pip install 'gitexp[ui]'"
        ) from error
    if runs and (where or sort or experiments):
        raise UsageError("Runs are named or searched for, not both.", hint="gitexp report --where QUERY")
    repository = open_repository()
    if runs:
        chosen: Selection | list[RunSummary] = [repository.resolve(run) for run in runs]
    else:
        chosen = Selection(where=where, sort=sort, experiments=experiments)
    text = report(repository, chosen, title=title)
    write_report(text, output)
    say(f"{printable(output)} ({size(os.path.getsize(output))})")
