"""`gitexp best`: the runs with the best numbers."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from gitexp.cli.columns import chosen_columns
from gitexp.cli.opening import EXPERIMENT, SEARCH, open_repository
from gitexp.cli.records import run_to_json
from gitexp.cli.table import Cell, Column, choose, markdown, render
from gitexp.cli.terminal import Terminal, look, printable, say, show_json, tell
from gitexp.cli.values import duration, numbers, plural, size
from gitexp.domain.direction import Direction
from gitexp.domain.matching import Field
from gitexp.domain.objective import Objective, parse_objectives
from gitexp.domain.summary import RunSummary
from gitexp.ranking import Ranking, best_runs

MOST = 5
WIDTH_OF_MARKDOWN = 400


@click.command(short_help="Find the best runs.")
@click.argument("objective", metavar="METRIC", type=SEARCH)
@click.option(
    "--pareto", metavar="FIELDS", default="", type=SEARCH, help="The runs that no other beats in METRIC and these."
)
@click.option("--max", "toward", flag_value=Direction.HIGHER.value, help="Higher is better.")
@click.option("--min", "toward", flag_value=Direction.LOWER.value, help="Lower is better.")
@click.option("-n", "--limit", type=click.IntRange(min=0), help=f"At most so many; {MOST} without --pareto.")
@click.option("--where", metavar="QUERY", default="", type=SEARCH, help="Only runs that match.")
@click.option("-e", "--experiment", "experiments", multiple=True, type=EXPERIMENT, help="Only this experiment.")
@click.option("--json", "form", flag_value="json", help="For programs.")
@click.option("--csv", "form", flag_value="csv", help="Everything, for spreadsheets.")
@click.option("--markdown", "form", flag_value="markdown", help="A table for a pull request.")
def command(
    objective: str,
    pareto: str,
    toward: str | None,
    limit: int | None,
    where: str,
    experiments: tuple[str, ...],
    form: str | None,
) -> None:
    """List the runs with the best last value of METRIC, the best one first.

    A metric's name tells which way is better (loss, error, rmse: low; accuracy, auc, f1: high), or --max and --min.
    With --pareto, the runs are those that no other one beats, being as good in everything and better in something.
    There a sign can tell (-reward: high, +depth: low); of run.duration, artifacts.size and artifacts.count less is
    better. Runs without a number, NaN included, are left out.

    \b
    gitexp best metrics.rmse --where "params.model = mlp"
    gitexp best val/auc --pareto run.duration,artifacts.size,-metrics.reward
    gitexp best reward --max -n 1 --json
    """
    repository = open_repository()
    ranking = best_runs(
        repository,
        (*parse_objectives(objective, toward=Direction(toward) if toward else None), *parse_objectives(pareto)),
        where=where,
        experiments=experiments,
        limit=limit if limit is not None or pareto else MOST,
    )
    if form == "json":
        show_json(_to_json(ranking))
    elif form == "csv":
        from gitexp.exporting import run_table, write_table  # only for --csv

        sys.stdout.flush()
        write_table(run_table(ranking.runs), "csv", sys.stdout.buffer)
    elif not ranking.runs and not ranking.without:
        tell("No run matches." if where or experiments else "No runs yet. Record the first: gitexp run train.py")
    elif form == "markdown":
        terminal = Terminal(width=WIDTH_OF_MARKDOWN)
        columns = choose(_columns(ranking, terminal), terminal.width)
        rows = [[column.cells[row].text for column in columns] for row in range(len(ranking.runs))]
        say(markdown([column.title for column in columns], rows, [column.right for column in columns]))
    else:
        terminal = look()
        for line in render(choose(_columns(ranking, terminal), terminal.width), terminal):
            say(line)
        _say_what_is_not_shown(ranking)


def _columns(ranking: Ranking, terminal: Terminal) -> list[Column]:
    """Which run, its numbers, and what else tells the runs apart."""
    asked = [_objective_column(objective, ranking.runs, terminal) for objective in ranking.objectives]
    taken = {column.title for column in asked} | {_title(objective) for objective in ranking.objectives}
    facts, further = [], []
    for column in chosen_columns(ranking.runs, terminal, time.time(), "").columns:
        if column.rank == 0:
            facts.append(column)
        elif column.title not in taken:
            further.append(column)
    facts = [column for column in facts if column.title not in taken]
    for column in facts:
        if column.title in ("took", "age", "started"):
            column.rank = 1
    return [*facts, *asked, *further]


def _objective_column(objective: Objective, runs: Sequence[RunSummary], terminal: Terminal) -> Column:
    values = [objective.value(run) for run in runs]
    best = min((value for value in values if value is not None), key=objective.cost, default=None)
    star = terminal.glyph("★", "*")
    texts = _texts(objective, values, best)
    cells = [
        Cell(f"{star} {text}", "bold green") if value == best and len(runs) > 1 else Cell(text)
        for text, value in zip(texts, values, strict=True)
    ]
    return Column(title=printable(_title(objective)), cells=cells, right=True)


def _texts(objective: Objective, values: list[int | float | None], best: float | None) -> list[str]:
    if objective.field == Field("run", "duration"):
        return ["" if value is None else duration(value) for value in values]
    if objective.field == Field("run", "artifact_bytes"):
        return ["" if value is None else size(int(value)) for value in values]
    return numbers(values, best)


def _title(objective: Objective) -> str:
    known = {Field("run", "duration"): "took", Field("run", "artifact_bytes"): "artifacts"}.get(objective.field)
    return known or (objective.name if objective.field.kind == "run" else objective.field.key)


def _say_what_is_not_shown(ranking: Ranking) -> None:
    said = []
    if len(ranking.runs) < ranking.runs.total:
        said.append(f"{len(ranking.runs):,} of {plural(ranking.runs.total, 'run')}; --limit shows more")
    if ranking.dominated:
        said.append(f"{plural(ranking.dominated, 'run')} beaten in everything left out")
    said += [f"{plural(count, 'run')} without {printable(name)} left out" for name, count in ranking.without.items()]
    if said:
        tell(look(sys.stderr).paint(". ".join(said) + ".", "dim"))


def _to_json(ranking: Ranking) -> dict[str, Any]:
    return {
        "objectives": [{"name": objective.name, "better": objective.direction} for objective in ranking.objectives],
        "total": ranking.runs.total,
        "dominated": ranking.dominated,
        "without": dict(ranking.without),
        "runs": [
            {
                **run_to_json(run),
                "values": {objective.name: objective.value(run) for objective in ranking.objectives},
            }
            for run in ranking.runs
        ],
    }
