"""`gitexp export`: runs and histories for other programs."""

from __future__ import annotations

import os
import sys

import click

from gitexp.cli.opening import EXPERIMENT, RUN, SEARCH, open_repository
from gitexp.cli.terminal import printable, tell
from gitexp.cli.values import plural, size
from gitexp.errors import NotFound, UsageError
from gitexp.exporting import FORMATS, point_table, run_table, write_file, write_table

_NAMED = 3
_ENDINGS = {f".{kind}": kind for kind in FORMATS} | {".ndjson": "jsonl", ".pq": "parquet"}


@click.command(short_help="Write runs as CSV, JSON, Parquet, or one as a zip file.")
@click.argument("run", required=False, type=RUN)
@click.option("--format", "kind", type=click.Choice(FORMATS), help="As FILE's name ends; on stdout csv.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Where to, instead of stdout.")
@click.option("--histories", is_flag=True, help="A row for each point of each metric instead of one for each run.")
@click.option(
    "-m",
    "--metric",
    "metrics",
    metavar="KEY",
    multiple=True,
    help="Only these metrics' points; * and ? match any.",
)
@click.option("--where", metavar="QUERY", default="", type=SEARCH, help="Only runs that match.")
@click.option("--sort", metavar="KEYS", default="", type=SEARCH, help="Like metrics.rmse; a minus: descending.")
@click.option("-e", "--experiment", "experiments", multiple=True, type=EXPERIMENT, help="Only this experiment.")
@click.option("-n", "--limit", type=click.IntRange(min=0), help="At most so many runs.")
@click.option("--deleted", is_flag=True, help="Removed runs too.")
@click.option("--no-artifacts", is_flag=True, help="Of RUN, leave out the artifacts' content.")
def command(
    run: str | None,
    kind: str | None,
    output: str | None,
    histories: bool,
    metrics: tuple[str, ...],
    where: str,
    sort: str,
    experiments: tuple[str, ...],
    limit: int | None,
    deleted: bool,
    no_artifacts: bool,
) -> None:
    """Write all runs, or those that match, as one table: what is known of each run and its metrics, params and tags.

    CSV and JSON are written as they are read; jsonl is one JSON object a line. Times are ISO 8601 in UTC, in
    Parquet timestamps. Parquet needs the extra 'parquet'. A file appears whole or not at all.

    With RUN, write that one as a zip file that is read without gitexp: its code, params, metrics, output, packages and
    artifacts, and a README.md that says how to run it.

    \b
    gitexp export -o runs.parquet
    gitexp export --where "metrics.rmse < 6.5" --format jsonl | jq .name
    gitexp export --histories -m "val/*" -o curves.csv
    gitexp export baseline -o baseline.zip
    """
    if run is not None:
        if kind or histories or metrics or where or sort or experiments or limit is not None:
            raise UsageError("One run is written as a zip file.", hint="gitexp export RUN -o run.zip")
        _write_zip(run, output, artifacts=not no_artifacts)
        return
    if no_artifacts or (output or "").lower().endswith(".zip"):
        raise UsageError("A zip file is of one run.", hint="gitexp export RUN -o run.zip")
    if metrics and not histories:
        raise UsageError("--metric chooses histories.", hint="Add --histories.")
    path = None if output in (None, "-") else output
    kind = kind or _kind_of(path)
    if kind == "parquet" and path is None and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal.", hint="gitexp export -o runs.parquet")
    repository = open_repository()
    runs = repository.search(where, sort=sort, limit=limit, experiments=experiments, deleted="yes" if deleted else "no")
    if not histories:
        table = run_table(runs)
    elif metrics:
        wanted = _matching(metrics, sorted({key for run in runs for key in run.metrics}))
        table = point_table(repository, runs, wanted.__contains__)
    else:
        table = point_table(repository, runs)
    if path is None:
        sys.stdout.flush()
        write_table(table, kind, sys.stdout.buffer)
        return
    write_file(table, kind, path)
    what = "Histories of " if histories else ""
    tell(f"{what}{plural(len(runs), 'run')} in '{printable(path)}' ({size(os.path.getsize(path))}).")


def _kind_of(path: str | None) -> str:
    """The format that a file's name says."""
    if path is None:
        return "csv"
    kind = _ENDINGS.get(os.path.splitext(path)[1].lower())
    if kind is None:
        raise UsageError(
            f"The name '{path}' does not say in which format to write.",
            hint=f"End it in {', '.join(_ENDINGS)}, or add --format {'|'.join(FORMATS)}.",
        )
    return kind


def _write_zip(run: str, output: str | None, *, artifacts: bool) -> None:
    from gitexp.archive import write_archive  # tables do without
    from gitexp.cli.progress import Progress
    from gitexp.cli.sharing import engine

    if output is None or not output.lower().endswith(".zip"):
        raise UsageError("One run is written as a zip file.", hint=f"gitexp export {run} -o run.zip")
    repository = open_repository()
    view = repository.get_run(run)
    with Progress("Fetching") as listener:
        done = write_archive(repository, view, output, artifacts=artifacts, listener=listener, engine=engine())
    tell(f"'{printable(view.name)}' in '{printable(output)}' ({plural(done.files, 'file')}, {size(done.size_bytes)}).")
    if done.missing:
        named = ", ".join(f"'{printable(name)}'" for name in done.missing[:_NAMED])
        more = f" and {len(done.missing) - _NAMED:,} more" if len(done.missing) > _NAMED else ""
        tell(f"warning: Not in it, because nobody has the content: {named}{more}.")


def _matching(patterns: tuple[str, ...], known: list[str]) -> set[str]:
    from fnmatch import fnmatchcase  # only for --metric

    from gitexp.domain.selector import suggest

    found = set()
    for pattern in patterns:
        matching = {pattern} & {*known} or {key for key in known if fnmatchcase(key, pattern)}
        if not matching:
            near = suggest(pattern, known)
            hint = f"Did you mean {', '.join(near)}?" if near else ""
            raise NotFound(f"No run here has the metric '{pattern}'.", hint=hint)
        found |= matching
    return found
