"""Tables: their columns, and which rows came, went or changed."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gitexp.contents.change import ContentChange

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name, each with the kind of its values, and rows as text."""

    columns: dict[str, str]
    rows: list[tuple[str, ...]]


def compare_tables(before: bytes, after: bytes, suffix: str) -> ContentChange | None:
    """Columns that came, went or hold another kind of value; rows that came, went or changed, if the first column names
    them.

    None for Parquet without pyarrow.
    """
    one, other = _read(before, suffix), _read(after, suffix)
    return None if one is None or other is None else difference(one, other)


def difference(before: Table, after: Table) -> ContentChange:
    """How two tables differ; rows are compared over the columns that both have."""
    added = [name for name in after.columns if name not in before.columns]
    removed = [name for name in before.columns if name not in after.columns]
    common = [name for name in after.columns if name in before.columns]
    retyped = [name for name in common if before.columns[name] != after.columns[name]]
    old, new = _picked(before, common), _picked(after, common)
    gone, came = Counter(old) - Counter(new), Counter(new) - Counter(old)
    changed = 0
    if common and _names_rows(old) and _names_rows(new):
        changed = len({row[0] for row in gone} & {row[0] for row in came})
    facts: dict[str, Any] = {
        "rows_before": len(before.rows),
        "rows_after": len(after.rows),
        "rows_added": sum(came.values()) - changed,
        "rows_removed": sum(gone.values()) - changed,
        "rows_changed": changed,
        "columns_added": added,
        "columns_removed": removed,
        "columns_retyped": {name: [before.columns[name], after.columns[name]] for name in retyped},
    }
    return ContentChange(kind="table", summary=_summary(facts), facts=facts)


def _summary(facts: dict[str, Any]) -> str:
    parts = []
    for key, mark in (("columns_added", "+"), ("columns_removed", "-"), ("columns_retyped", "~")):
        names = list(facts[key])
        if names:
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            parts.append(f"columns {', '.join(mark + name for name in names[:MOST_NAMED])}{more}")
    rows = [
        f"{mark}{facts[key]:,}"
        for key, mark in (("rows_added", "+"), ("rows_removed", "-"), ("rows_changed", "~"))
        if facts[key]
    ]
    count = f"{facts['rows_after']:,} rows"
    if facts["rows_before"] != facts["rows_after"]:
        count = f"{facts['rows_before']:,} rows became {facts['rows_after']:,}"
    parts.append(f"{count}: {' '.join(rows)}" if rows else f"{count}, the same")
    return "; ".join(parts)


def _picked(table: Table, names: Sequence[str]) -> list[tuple[str, ...]]:
    places = [list(table.columns).index(name) for name in names]
    return [tuple(row[place] for place in places) for row in table.rows]


def _names_rows(rows: Sequence[tuple[str, ...]]) -> bool:
    """Whether the first column says which row is which."""
    return len({row[0] for row in rows}) == len(rows)


def _read(data: bytes, suffix: str) -> Table | None:
    if suffix == ".parquet":
        return _read_parquet(data)
    if suffix in (".jsonl", ".ndjson"):
        found = [json.loads(line) for line in data.decode().splitlines() if line.strip()]
        names = list(dict.fromkeys(key for row in found for key in row))
        return table_of(names, [[row.get(name) for name in names] for row in found])
    delimiter = "\t" if suffix == ".tsv" else ","
    lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=delimiter))
    header, *body = lines or [[]]
    width = len(header)
    return table_of(header, [[*row, *[""] * (width - len(row))][:width] for row in body])


def _read_parquet(data: bytes) -> Table | None:
    try:
        from pyarrow import BufferReader, parquet  # an extra
    except ImportError:
        return None
    found = parquet.read_table(BufferReader(data))
    columns = {name: str(kind) for name, kind in zip(found.column_names, found.schema.types, strict=True)}
    values = [column.to_pylist() for column in found.columns]
    return Table(columns, [tuple(map(str, row)) for row in zip(*values, strict=True)])


def table_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A table of plain values; a column's kind is what all its values can be read as."""
    columns = {name: _kind([row[place] for row in rows]) for place, name in enumerate(names)}
    return Table(columns, [tuple("" if cell is None else str(cell) for cell in row) for row in rows])


def _kind(values: Sequence[Any]) -> str:
    kinds = {_kind_of(value) for value in values if value not in (None, "")}
    if not kinds:
        return "empty"
    if kinds <= {"integer", "number"}:
        return "number" if "number" in kinds else "integer"
    return kinds.pop() if len(kinds) == 1 else "text"


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (list, dict)):
        return "nested"
    text = str(value)
    for kind, read in (("integer", int), ("number", float)):
        try:
            read(text)
        except ValueError:
            continue
        return kind
    return "boolean" if text.lower() in ("true", "false") else "text"
