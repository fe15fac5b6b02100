"""Runs and their histories as tables, and tables as CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, BinaryIO

from gitexp.domain.metrics import to_float
from gitexp.domain.run import FARTHEST_TIME, RunRecord, format_time
from gitexp.domain.summary import RunSummary
from gitexp.errors import NotFound, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("csv", "json", "jsonl", "parquet")

_ROWS_AT_ONCE = 200_000
_LINES_AT_ONCE = 1_000

Row = Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under names; they can be read once.

    Attributes:
        times: the columns that hold seconds since 1970, UTC: written as ISO 8601, in Parquet as timestamps.
        texts, integers, floats: the columns known to hold nothing else; the others are typed by what they hold.
    """

    names: tuple[str, ...]
    rows: Iterable[Row]
    times: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    integers: frozenset[str] = frozenset()
    floats: frozenset[str] = frozenset()


def run_table(runs: Sequence[RunSummary]) -> Table:
    """One row a run: what is known of it, and a column for each `metrics.*`, `params.*` and `tags.*`."""
    names = list(_FIELDS)
    families = []
    for family in ("metrics", "params", "tags"):
        keys = sorted({key for run in runs for key in getattr(run, family)})
        families.append((family, keys))
        names += [f"{family}.{key}" for key in keys]
    return Table(
        names=tuple(names),
        rows=(_run_row(run, families) for run in runs),
        times=frozenset(("start", "end", "deleted")),
        texts=frozenset(("id", "name", "experiment", "status", "author", "host", "command", "note", "commit")),
        integers=frozenset(("exit_code", "artifacts.count", "artifacts.size")),
        floats=frozenset(("duration",)),
    )


def point_table(
    repository: Repository, runs: Iterable[RunSummary], metrics: Callable[[str], bool] | None = None
) -> Table:
    """One row a point: `run` (its id), `name`, `experiment`, `metric`, `step`, `time`, `value`.

    Args:
        metrics: whether a metric is wanted, by its key; None: all.
    """
    return Table(
        names=("run", "name", "experiment", "metric", "step", "time", "value"),
        rows=chain.from_iterable(_point_rows(repository, run, metrics) for run in runs),
        times=frozenset(("time",)),
        texts=frozenset(("run", "name", "experiment", "metric")),
        integers=frozenset(("step",)),
        floats=frozenset(("value",)),
    )


def write_table(table: Table, kind: str, stream: BinaryIO) -> None:
    """Write a table as one of `FORMATS`: "csv", "json" (a list of objects), "jsonl" (one object a line) or "parquet".

    NaN and infinities are "NaN", "Infinity" and "-Infinity" in CSV and JSON. A list or mapping is JSON inside CSV. In
    Parquet a column of several kinds is text.

    Raises:
        UsageError: pyarrow is not installed.
    """
    _WRITERS[kind](table, stream)


def write_file(table: Table, kind: str, path: str) -> None:
    """`write_table` into a file that appears whole, or not at all.

    Raises:
        UsageError: pyarrow is not installed.
        NotFound: there is no such folder.
        OSError
    """
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/stdout, a named pipe
        with open(path, "wb") as stream:
            write_table(table, kind, stream)
        return
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise NotFound(f"There is no folder '{folder}'.")
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as stream:
            write_table(table, kind, stream)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


_FIELDS: Mapping[str, Callable[[RunSummary], Any]] = {
    "id": lambda run: str(run.record.id),
    "name": lambda run: run.record.name,
    "experiment": lambda run: run.record.experiment,
    "status": lambda run: run.record.status.value,
    "start": lambda run: run.record.start,
    "end": lambda run: run.record.end,
    "duration": lambda run: run.record.duration_s,
    "author": lambda run: run.record.author,
    "host": lambda run: run.record.host,
    "command": lambda run: _as_typed(run.record),
    "exit_code": lambda run: run.record.exit_code,
    "parent": lambda run: run.record.parent,
    "note": lambda run: run.record.note,
    "deleted": lambda run: run.record.deleted,
    "commit": lambda run: run.commit,
    "code.commit": lambda run: run.record.code and run.record.code.commit,
    "code.branch": lambda run: run.record.code and run.record.code.branch,
    "code.dirty": lambda run: run.record.code and run.record.code.dirty,
    "artifacts.count": lambda run: run.record.artifact_count,
    "artifacts.size": lambda run: run.record.artifact_bytes,
}


def _as_typed(record: RunRecord) -> str | None:
    import shlex  # only for a person's eyes

    return shlex.join(record.command) or None


def _run_row(run: RunSummary, families: Sequence[tuple[str, Sequence[str]]]) -> list[Any]:
    row = [read(run) for read in _FIELDS.values()]
    for family, keys in families:
        row += map(getattr(run, family).get, keys)
    return row


def _point_rows(repository: Repository, run: RunSummary, metrics: Callable[[str], bool] | None) -> Iterator[Row]:
    record, view = run.record, _view(repository, run)
    keys = [key for key in sorted(view.metrics) if metrics is None or metrics(key)]
    for key, history in view.each_history(keys):
        head = (str(record.id), record.name, record.experiment, key)
        yield from (
            (*head, step, time, value)
            for step, time, value in zip(history.steps, history.times, history.numbers(), strict=True)
        )


def _view(repository: Repository, run: RunSummary) -> RunView:
    try:
        return repository.view(run)
    except NotFound:  # it was live, and has been sealed since
        return repository.get_run(run.record.id)


# Text


def _write_csv(table: Table, stream: BinaryIO) -> None:
    times = [name in table.times for name in table.names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.names)
    rows = iter(table.rows)
    while True:
        batch = list(islice(rows, _LINES_AT_ONCE))
        writer.writerows(list(map(_csv_cell, row, times)) for row in batch)
        stream.write(text.getvalue().encode("utf-8", "backslashreplace"))
        if not batch:
            return
        text.seek(0)
        text.truncate()


def _csv_cell(value: Any, is_time: bool) -> Any:
    kind = type(value)
    if kind is float:
        if is_time:
            return _moment(value)
        return value if math.isfinite(value) else _special(value)
    if kind is str or kind is int or value is None:
        return value
    if kind is bool:
        return "true" if value else "false"
    return _json(value)


def _moment(seconds: float) -> str | None:
    """As `format_time` writes it, several times quicker on points that share their second; None where it is no time."""
    if not abs(seconds) <= FARTHEST_TIME:
        return None
    whole, part = divmod(round(seconds * 1000), 1000)
    return f"{_second(whole)}.{part:03}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return format_time(seconds)[: -len(".000Z")]


def _write_json(table: Table, stream: BinaryIO) -> None:
    between = "["
    for line in _json_lines(table):
        stream.write(f"{between}\n{line}".encode())
        between = ","
    stream.write(b"[]\n" if between == "[" else b"\n]\n")


def _write_json_lines(table: Table, stream: BinaryIO) -> None:
    stream.writelines(f"{line}\n".encode() for line in _json_lines(table))


def _json_lines(table: Table) -> Iterator[str]:
    times = [position for position, name in enumerate(table.names) if name in table.times]
    for row in table.rows:
        cells = list(row)
        for position in times:
            if cells[position] is not None:
                cells[position] = _moment(cells[position])
        yield _json(dict(zip(table.names, cells, strict=True)))


def _json(value: Any) -> str:
    """Strict JSON in ASCII, so that no name can steer a terminal."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_strict(value), allow_nan=False)


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return _special(value)
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, (list, tuple)) else value


def _special(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


# Parquet


def _write_parquet(table: Table, stream: BinaryIO) -> None:
    try:
        import pyarrow as pa  # an extra
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError("pyarrow is not installed.", hint="pip install 'gitexp[parquet]'") from error
    rows = iter(table.rows)
    is_known = table.times | table.texts | table.integers | table.floats >= set(table.names)
    first = list(islice(rows, _ROWS_AT_ONCE) if is_known else rows)  # a type is found from all values
    columns = list(zip(*first, strict=True)) or [()] * len(table.names)
    arrays = [_array(pa, table, name, column) for name, column in zip(table.names, columns, strict=True)]
    schema = pa.schema([(name, array.type) for name, array in zip(table.names, arrays, strict=True)])
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        writer.write_table(pa.table(arrays, schema=schema))
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            arrays = [_array(pa, table, *pair) for pair in zip(table.names, zip(*batch, strict=True), strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))


def _array(pa: Any, table: Table, name: str, column: Sequence[Any]) -> pa.Array:
    if name in table.times:
        whole = [None if value is None or not abs(value) <= FARTHEST_TIME else round(value * 1000) for value in column]
        return pa.array(whole, type=pa.timestamp("ms", tz="UTC"))
    if name in table.texts:
        return pa.array(column, type=pa.string())
    if name in table.integers:
        return pa.array(column, type=pa.int64())
    if name in table.floats:
        return pa.array([None if value is None else to_float(value) for value in column], type=pa.float64())
    kinds = {type(value) for value in column if value is not None}
    if kinds == {bool}:
        return pa.array(column, type=pa.bool_())
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in column):
        return pa.array(column, type=pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array([None if value is None else to_float(value) for value in column], type=pa.float64())
    texts = [value if value is None or isinstance(value, str) else _json(value) for value in column]
    return pa.array(texts, type=pa.string())


_WRITERS: Mapping[str, Callable[[Table, BinaryIO], None]] = {
    "csv": _write_csv,
    "json": _write_json,
    "jsonl": _write_json_lines,
    "parquet": _write_parquet,
}
