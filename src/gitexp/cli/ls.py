"""`gitexp ls`: the runs, newest first."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

import click

from gitexp.cli.columns import cells_in_full, chosen_columns, named_columns
from gitexp.cli.nesting import Nesting, nested_counts, only_outer, outline, with_parents
from gitexp.cli.opening import EXPERIMENT, SEARCH, open_repository
from gitexp.cli.records import run_to_json
from gitexp.cli.table import choose, markdown, render
from gitexp.cli.terminal import Terminal, look, say, show_json, tell
from gitexp.cli.values import plural
from gitexp.domain.identity import RunId
from gitexp.domain.summary import RunSummary
from gitexp.repo import Repository, Runs

MOST = 50
WIDTH_OF_MARKDOWN = 400

MOST_LOOKED_INTO = 1000
"""Of how many runs it is found out whether their artifacts are here."""


@click.command(short_help="List runs.")
@click.option("--where", metavar="QUERY", default="", type=SEARCH, help="Only runs that match.")
@click.option("--sort", metavar="KEYS", default="", type=SEARCH, help="Like metrics.rmse; a minus: descending.")
@click.option("-e", "--experiment", "experiments", multiple=True, type=EXPERIMENT, help="Only this experiment.")
@click.option("-n", "--limit", type=click.IntRange(min=0), default=MOST, show_default=True, help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="No limit.")
@click.option("--deleted", is_flag=True, help="Removed runs too.")
@click.option("--fold", is_flag=True, help="Count nested runs on their parent instead of listing them.")
@click.option("--columns", metavar="NAMES", default="", help="Exactly these, like 'name,metrics.loss,params.lr'.")
@click.option("--json", "form", flag_value="json", help="Everything, for programs.")
@click.option("--csv", "form", flag_value="csv", help="Everything, for spreadsheets.")
@click.option("--markdown", "form", flag_value="markdown", help="A table for a pull request.")
def command(
    where: str,
    sort: str,
    experiments: tuple[str, ...],
    limit: int,
    everything: bool,
    deleted: bool,
    fold: bool,
    columns: str,
    form: str | None,
) -> None:
    """List runs, newest first: how they went, their metrics, and the params in which they differ.

    As many columns are shown as fit the terminal: what --where and --sort mention first, then what varies most. A star
    marks the best value among the runs shown, where a metric's name tells which way is better (loss, error, rmse: low;
    accuracy, auc, f1: high). Nested runs stand below their parent, unless --sort gives another order.

    \b
    gitexp ls --where "metrics.rmse < 6.5 and params.lr = 0.1" --sort metrics.rmse
    gitexp ls -e nyc-taxi --columns name,started,rmse,lr
    """
    repository = open_repository()
    runs = repository.search(
        only_outer(where) if fold else where,
        sort=sort,
        limit=None if everything else limit,
        experiments=experiments,
        deleted="yes" if deleted else "no",
    )
    names = [name.strip() for name in columns.split(",") if name.strip()]
    if form == "json":
        counts = nested_counts(repository, runs)
        listed = [{**run_to_json(run), "nested": counts.get(run.record.id, 0)} for run in runs]
        show_json({"total": runs.total, "runs": listed})
    elif form == "csv":
        _show_csv(runs)
    elif not runs:
        _say_there_is_none(bool(where or experiments), repository.unknown_keys(where))
    else:
        rows: list[RunSummary] = list(runs)
        depths: dict[RunId, int] = {}
        if not (sort or fold):
            if not where:
                rows = with_parents(repository, runs, experiments=experiments, deleted="yes" if deleted else "no")
            rows, depths = outline(rows)
        nesting = Nesting(depths=depths, counts=nested_counts(repository, rows))
        if form == "markdown":
            _show_markdown(rows, names, f"{where} {sort}", nesting)
            return
        hidden = _show_table(rows, names, f"{where} {sort}", nesting)
        _say_what_is_not_shown(runs, hidden)
        _say_what_is_not_here(repository, runs)


def _show_table(rows: Sequence[RunSummary], names: list[str], mentioned: str, nesting: Nesting) -> int:
    """Gives how many columns had no room."""
    terminal, now = look(), time.time()
    if names:
        columns, further = named_columns(names, rows, terminal, now, nesting), 0
        shown = columns
    else:
        columns, further = chosen_columns(rows, terminal, now, mentioned, nesting)
        shown = choose(columns, terminal.width)
    for line in render(shown, terminal):
        say(line)
    return len(columns) + further - len(shown)


def _show_markdown(runs: Sequence[RunSummary], names: list[str], mentioned: str, nesting: Nesting) -> None:
    terminal, now = Terminal(width=WIDTH_OF_MARKDOWN), time.time()
    if names:
        columns = named_columns(names, runs, terminal, now, nesting)
    else:
        columns = choose(chosen_columns(runs, terminal, now, mentioned, nesting).columns, terminal.width)
    rows = [[column.cells[row].text for column in columns] for row in range(len(runs))]
    say(markdown([column.title for column in columns], rows, [column.right for column in columns]))


def _show_csv(runs: Runs) -> None:
    import csv  # only for --csv

    titles, rows = cells_in_full(runs)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)


def _say_what_is_not_shown(runs: Runs, hidden: int) -> None:
    terminal = look(sys.stderr)
    said = []
    if len(runs) < runs.total:
        said.append(f"{len(runs):,} of {plural(runs.total, 'run')}; --all shows them")
    if hidden:
        said.append(f"{plural(hidden, 'column')} more; a wider terminal or --columns shows them")
    if said:
        tell(terminal.paint(". ".join(said) + ".", "dim"))


def _say_what_is_not_here(repository: Repository, runs: Runs) -> None:
    """Of runs that others made only the records come by themselves."""
    away = sum(repository.lacks_artifacts(run) for run in runs[:MOST_LOOKED_INTO])
    if away:
        terminal = look(sys.stderr)
        count = f"At least {away:,}" if len(runs) > MOST_LOOKED_INTO else f"{away:,}"
        have = "has artifacts that are" if away == 1 else "have artifacts that are"
        tell(terminal.paint(f"{count} of them {have} not here: gitexp get RUN, or gitexp pull --artifacts.", "dim"))


def _say_there_is_none(is_searched: bool, unknown: Mapping[str, list[str]]) -> None:
    if is_searched:
        tell("No run matches.")
        for key, near in unknown.items():
            tell(f"No run has {key}." + (f" Did you mean {', '.join(near)}?" if near else ""))
    else:
        tell("No runs yet. Record the first: gitexp run train.py")
