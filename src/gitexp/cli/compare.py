"""`gitexp compare`: many runs side by side."""

from __future__ import annotations

import sys

import click

from gitexp.cli.lineup import as_markdown, as_text, to_json
from gitexp.cli.opening import EXPERIMENT, RUN, SEARCH, open_repository
from gitexp.cli.records import run_to_json
from gitexp.cli.terminal import look, say, show_json, tell
from gitexp.cli.values import plural
from gitexp.errors import UsageError
from gitexp.lineup import line_up

MOST = 30


@click.command(short_help="Compare many runs.")
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RUN)
@click.option("--where", metavar="QUERY", default="", type=SEARCH, help="All runs that match, instead of names.")
@click.option("--sort", metavar="KEYS", default="", type=SEARCH, help="Their order, like metrics.rmse.")
@click.option("-e", "--experiment", "experiments", multiple=True, type=EXPERIMENT, help="All runs of this experiment.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=MOST, show_default=True, help="At most so many.")
@click.option("--baseline", metavar="RUN", type=RUN, help="Show metrics against those of this run.")
@click.option("--at", metavar="STEP", help="Metrics at a step: a number, 'best:val_loss' or 'best:-reward'.")
@click.option("--all", "everything", is_flag=True, help="What is the same, too.")
@click.option("--json", "form", flag_value="json", help="For programs.")
@click.option("--csv", "form", flag_value="csv", help="A row for each run, for spreadsheets.")
@click.option("--markdown", "form", flag_value="markdown", help="A table for a pull request.")
def command(
    runs: tuple[str, ...],
    where: str,
    sort: str,
    experiments: tuple[str, ...],
    limit: int,
    baseline: str | None,
    at: str | None,
    everything: bool,
    form: str | None,
) -> None:
    """Show what differs between several runs: params, metrics, code, packages, environment and artifacts.

    Runs are named, or chosen with --where and --experiment. Each is a column as long as the columns fit, else a row.
    A star marks the best value of a metric whose name tells which way is better. Runs that share a letter have the
    same code; the number of files is how many differ from the first.

    \b
    gitexp compare baseline wide deep
    gitexp compare --where "metrics.loss < 0.3" --sort metrics.loss -n 5 --baseline baseline
    gitexp compare @ @~1 @~2 --at best:val_loss
    """
    if runs and (where or experiments or sort):
        raise UsageError(
            "Runs are either named or chosen.", hint="Leave out the names, or --where, --sort, --experiment."
        )
    if not (runs or where or experiments or sort):
        raise UsageError("No runs to compare are named.", hint="gitexp compare A B C, or gitexp compare --where QUERY")
    repository = open_repository()
    more = 0
    if runs:
        views = [repository.get_run(name) for name in runs]
    else:
        found = repository.search(where, sort=sort, limit=limit, experiments=experiments)
        views, more = [repository.view(run) for run in found], found.total - len(found)
        if not views:
            tell("No run matches.")
            for key, near in repository.unknown_keys(where).items():
                tell(f"No run has {key}." + (f" Did you mean {', '.join(near)}?" if near else ""))
            return
    lineup = line_up(repository, views, baseline=repository.get_run(baseline) if baseline else None, at=at)
    if form == "json":
        show_json(to_json(lineup, [run_to_json(run) for run in lineup.runs], everything=everything))
    elif form == "csv":
        from gitexp.exporting import Table, write_table  # only for --csv

        titles, rows = lineup.table(everything=everything)
        sys.stdout.flush()
        write_table(Table(names=tuple(titles), rows=rows), "csv", sys.stdout.buffer)
    elif form == "markdown":
        say(as_markdown(lineup, everything=everything))
    else:
        for line in as_text(lineup, look(), everything=everything):
            say(line)
    if more:
        tell(look(sys.stderr).paint(f"{plural(more, 'run')} more; --limit shows them.", "dim"))
