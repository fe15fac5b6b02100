"""The columns of a list of runs: which there are, what they hold, and which matter most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from gitexp.cli.nesting import Nesting
from gitexp.cli.table import Cell, Column
from gitexp.cli.terminal import Terminal, printable
from gitexp.cli.values import SHORT_COMMIT, SHORT_ID, age, ago, numbers, person, plain, status_cell, took
from gitexp.domain.direction import best, direction
from gitexp.domain.keys import shorten
from gitexp.domain.metrics import SYSTEM
from gitexp.domain.summary import RunSummary
from gitexp.domain.values import same_value
from gitexp.errors import UsageError

FIELDS = (
    "name", "id", "status", "experiment", "started", "duration", "nested", "parent", "author", "tags", "note", "commit",
    "removed",
)  # fmt: skip
WIDE = 100
NARROWEST = 3
"""Columns of a terminal that the narrowest column takes, with the gap before it."""

_MENTIONED, _CHOSEN, _LEAST = 1, 10, 10_000_000
_FLAT = Nesting()


class Chosen(NamedTuple):
    """Columns in the order of showing, and how many further keys would make one that never fits."""

    columns: list[Column]
    further: int


def chosen_columns(
    runs: Sequence[RunSummary], terminal: Terminal, now: float, mentioned: str, nesting: Nesting = _FLAT
) -> Chosen:
    """The columns worth showing, ranked: what the search mentions first, then metrics and params that vary most.

    Args:
        now: seconds since 1970, UTC.
        mentioned: the text of the search and sort expressions.
    """
    metrics = _ranked([run.metrics for run in runs], "metrics", mentioned, constants=True)
    params = _ranked([run.params for run in runs], "params", mentioned, constants=len(runs) == 1)
    most = terminal.width // NARROWEST
    clashing = {key for key, _ in metrics} & {key for key, _ in params}
    columns = _facts(runs, terminal, now, mentioned, nesting)
    for offset, family, ranked in ((1, "metrics", metrics), (2, "params", params)):
        make = _metric if family == "metrics" else _param
        for place, (key, is_mentioned) in enumerate(ranked[:most]):
            column = make(key, runs, terminal, title=f"{family}.{key}" if key in clashing else key)
            column.rank = _MENTIONED if is_mentioned else _CHOSEN + offset + 2 * place
            columns.append(column)
    return Chosen(columns, max(len(metrics) - most, 0) + max(len(params) - most, 0))


def _facts(
    runs: Sequence[RunSummary], terminal: Terminal, now: float, mentioned: str, nesting: Nesting
) -> list[Column]:
    """What is known of every run, and of the rest what differs or is asked for."""
    ranks: dict[str, int | None] = {"status": 0, "name": 0, "experiment": None, "id": 0, "started": 0, "duration": 0}
    if nesting.counts:
        ranks["nested"] = _CHOSEN
    if len({run.record.experiment for run in runs}) > 1:
        ranks["experiment"] = _CHOSEN + 2
    if any(run.record.deleted for run in runs):
        ranks["removed"] = 0
    if len({run.record.author for run in runs}) > 1:
        ranks["author"] = _LEAST
    if any(map(_tags, runs)):
        ranks["tags"] = _LEAST + 1
    for name in ("experiment", "author", "commit"):
        if f"run.{name}" in mentioned:
            ranks[name] = _MENTIONED
    if "tags." in mentioned and "tags" in ranks:
        ranks["tags"] = _MENTIONED
    columns = []
    for name, rank in ranks.items():
        if rank is not None:
            column = _field(name, runs, terminal, now, nesting)
            column.rank = rank
            columns.append(column)
    return columns


def named_columns(
    names: Sequence[str], runs: Sequence[RunSummary], terminal: Terminal, now: float, nesting: Nesting = _FLAT
) -> list[Column]:
    """The columns that a person asks for by name: a field, `params.KEY`, `metrics.KEY`, `tags.KEY`, or a bare KEY.

    Raises:
        UsageError: no run has it.
    """
    columns = [_named(name, runs, terminal, now, nesting) for name in names]
    for column in columns:
        column.widest = max(column.widest, terminal.width)
    return columns


def cells_in_full(runs: Sequence[RunSummary]) -> tuple[list[str], list[list[Any]]]:
    """Every value of every run, unrounded, for programs: titles and rows."""
    fields: dict[str, Callable[[RunSummary], Any]] = {
        "id": lambda run: run.record.id,
        "name": lambda run: run.record.name,
        "experiment": lambda run: run.record.experiment,
        "status": lambda run: run.record.status.value,
        "start": lambda run: run.record.start,
        "duration": lambda run: run.record.duration_s,
        "author": lambda run: run.record.author,
        "commit": lambda run: run.commit,
        "parent": lambda run: run.record.parent,
    }
    titles = list(fields)
    rows = [[get(run) for get in fields.values()] for run in runs]
    for family in ("metrics", "params", "tags"):
        mappings = [getattr(run, family) for run in runs]
        keys = sorted({key for mapping in mappings for key in mapping})
        titles += [f"{family}.{key}" for key in keys]
        for row, mapping in zip(rows, mappings, strict=True):
            row += [mapping.get(key) for key in keys]
    return titles, rows


def _named(name: str, runs: Sequence[RunSummary], terminal: Terminal, now: float, nesting: Nesting) -> Column:
    plain_name = name.removeprefix("run.")
    plain_name = {"start": "started"}.get(plain_name, plain_name)
    if plain_name in FIELDS:
        return _field(plain_name, runs, terminal, now, nesting)
    family, _, key = name.partition(".")
    if family not in ("metrics", "params", "tags") or not key:
        family, key = "", name
    for kind, make in (("metrics", _metric), ("params", _param), ("tags", _tag)):
        if family in ("", kind) and any(key in getattr(run, kind) for run in runs):
            column = make(key, runs, terminal, title=printable(name))
            column.rank = 0
            return column
    raise UsageError(
        f"No run here has a column {shorten(name)}.", hint=f"Columns are {', '.join(FIELDS)}, and the keys of values."
    )


def _field(name: str, runs: Sequence[RunSummary], terminal: Terminal, now: float, nesting: Nesting) -> Column:
    is_wide = terminal.width >= WIDE
    if name == "status":
        cells = [status_cell(run.record.status, terminal, word=is_wide) for run in runs]
        return Column(title="status" if is_wide else "", cells=cells)
    texts: dict[str, tuple[str, Callable[[RunSummary], str], str]] = {
        "name": ("name", lambda run: _indented(run, nesting, terminal), "bold"),
        "id": ("id", lambda run: run.record.id[:SHORT_ID], "dim"),
        "experiment": ("experiment", lambda run: printable(run.record.experiment), ""),
        "started": ("started", lambda run: ago(run.record.start, now), "")
        if is_wide
        else ("age", lambda run: age(run.record.start, now), ""),
        "duration": ("took", lambda run: took(run.record, now), ""),
        "nested": ("nested", lambda run: str(nesting.counts.get(run.record.id, "")), ""),
        "parent": ("parent", lambda run: (run.record.parent or "")[:SHORT_ID], "dim"),
        "author": ("author", lambda run: person(run.record.author or ""), ""),
        "tags": ("tags", _tags, ""),
        "note": ("note", lambda run: printable((run.record.note or "").partition("\n")[0]), ""),
        "commit": ("commit", lambda run: (run.commit or "")[:SHORT_COMMIT], "dim"),
        "removed": ("removed", lambda run: ago(run.record.deleted, now) if run.record.deleted else "", "yellow"),
    }
    title, show, style = texts[name]
    column = Column(
        title=title, cells=[Cell(show(run), style) for run in runs], right=title in ("took", "age", "nested")
    )
    if name == "name":
        column.widest, column.narrowest = (32 if is_wide else 20), 12
    if name in ("experiment", "author", "tags", "note"):
        column.widest, column.narrowest = 24 if not is_wide else 40, 8
    return column


def _indented(run: RunSummary, nesting: Nesting, terminal: Terminal) -> str:
    depth = nesting.depths.get(run.record.id, 0)
    return ("  " * (depth - 1) + terminal.glyph("└ ", "- ") if depth else "") + printable(run.record.name)


def _metric(key: str, runs: Sequence[RunSummary], terminal: Terminal, *, title: str) -> Column:
    values = [run.metrics.get(key) for run in runs]
    winner = best(key, values)
    star = terminal.glyph("★", "*")
    cells = [
        Cell(f"{star} {text}", "bold green") if winner is not None and value == winner else Cell(text)
        for text, value in zip(numbers(values, winner), values, strict=True)
    ]
    return Column(title=printable(title), cells=cells, right=True)


def _param(key: str, runs: Sequence[RunSummary], terminal: Terminal, *, title: str) -> Column:  # noqa: ARG001 (as _metric)
    values = [(run.params[key],) if key in run.params else () for run in runs]
    is_numeric = all(isinstance(value[0], (int, float)) for value in values if value)
    cells = [Cell(plain(value[0]) if value else "", "cyan") for value in values]
    return Column(title=printable(title), cells=cells, right=is_numeric, widest=24, narrowest=8)


def _tag(key: str, runs: Sequence[RunSummary], terminal: Terminal, *, title: str) -> Column:  # noqa: ARG001 (as _metric)
    cells = [Cell(printable(run.tags.get(key) or ("yes" if key in run.tags else "")), "yellow") for run in runs]
    return Column(title=printable(title), cells=cells, widest=24, narrowest=8)


def _tags(run: RunSummary) -> str:
    """Without those by which gitexp finds steps again, which say nothing to a person."""
    tags = {key: value for key, value in run.tags.items() if not key.startswith("project.")}
    return ", ".join(printable(f"{key}={value}" if value else key) for key, value in tags.items())


def _ranked(mappings: Sequence[Any], family: str, mentioned: str, *, constants: bool) -> list[tuple[str, bool]]:
    """The keys worth a column, the most telling first, and whether the search mentions each."""
    scored = []
    for key in dict.fromkeys(key for mapping in mappings for key in mapping):
        values = [mapping[key] for mapping in mappings if key in mapping]
        is_mentioned = f"{family}.{key}" in mentioned or f"{family}.`{key}`" in mentioned
        if family == "metrics" and key.startswith(SYSTEM) and not is_mentioned:
            continue
        distinct = _distinct(values)
        varies = distinct > 1 or len(values) < len(mappings)
        if varies or constants or is_mentioned:
            telling = direction(key) is not None if family == "metrics" else not _is_incidental(key, values, distinct)
            score = (not is_mentioned, not telling, "train" in key, not varies, -len(values), -distinct)
            scored.append((score, key, is_mentioned))
    return [(key, is_mentioned) for _, key, is_mentioned in sorted(scored, key=lambda item: item[0])]


def _is_incidental(key: str, values: Sequence[Any], distinct: int) -> bool:
    """Whether a param differs for other reasons than to be tried out: seeds, paths, long texts."""
    if "seed" in key.lower() or "random_state" in key.lower():
        return True
    texts = [value for value in values if isinstance(value, str)]
    return any(len(text) > 24 for text in texts) or (len(texts) == distinct > 2)


def _distinct(values: Sequence[Any]) -> int:
    try:
        return len(set(values))
    except TypeError:  # lists and mappings
        return 1 + sum(not same_value(one, other) for one, other in pairwise(values))
