"""Tables as files: CSV, JSON, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from gitexp.domain.values import plain_value
from gitexp.errors import UsageError
from gitexp.media.arrays import suffix_of

_OF_OTHERS = (".xlsx", ".xls", ".ods", ".feather", ".arrow", ".orc", ".h5", ".pkl", ".html", ".md", ".db")
"""Formats in which a table of that name would be expected to be, and is not written."""


def encode_table(data: Any, name: str) -> bytes:
    """A table: a DataFrame of pandas or polars, a table of Arrow, a mapping of columns, or a list of row mappings.

    CSV and TSV where the name ends so, Parquet for .parquet, else JSON as {"columns", "data"}.

    Raises:
        UsageError: `data` is none of these, the name promises another format, or the columns differ in length.
    """
    suffix = suffix_of(name)
    if suffix in _OF_OTHERS:
        raise UsageError(f"Tables are written as .csv, .tsv, .json or .parquet, not '{suffix}'.")
    if suffix == ".parquet":
        return _parquet(data)
    columns, rows = rows_of(data)
    if suffix in (".csv", ".tsv"):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", delimiter="\t" if suffix == ".tsv" else ",")
        writer.writerow(columns)
        writer.writerows(rows)
        return text.getvalue().encode("utf-8", "backslashreplace")
    return (json.dumps({"columns": columns, "data": rows}, ensure_ascii=False) + "\n").encode()


def rows_of(data: Any) -> tuple[list[str], list[list[Any]]]:
    """The names of a table's columns, and its rows as plain values."""
    if callable(getattr(data, "to_pydict", None)):  # Arrow
        return rows_of(data.to_pydict())
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):  # pandas, polars
        return rows_of({str(key): list(data[key]) for key in data.columns})
    if isinstance(data, Mapping):
        values = {str(key): [plain_value(item) for item in column] for key, column in data.items()}
        if len({len(column) for column in values.values()}) > 1:
            raise UsageError("The columns of the table differ in length.")
        return list(values), [list(row) for row in zip(*values.values(), strict=True)]
    if isinstance(data, Sequence) and not isinstance(data, str) and all(isinstance(row, Mapping) for row in data):
        names = list(dict.fromkeys(str(key) for row in data for key in row))
        return names, [[plain_value(row.get(name)) for name in names] for row in data]
    raise UsageError(
        f"{type(data).__name__} is no table.", hint="Give a DataFrame, {column: values} or a list of rows."
    )


def _parquet(data: Any) -> bytes:
    buffer = io.BytesIO()
    if hasattr(data, "to_parquet"):  # pandas
        data.to_parquet(buffer)
        return buffer.getvalue()
    if hasattr(data, "write_parquet"):  # polars
        data.write_parquet(buffer)
        return buffer.getvalue()
    try:
        import pyarrow
        from pyarrow import parquet  # an extra
    except ImportError as error:
        raise UsageError("Parquet is written with pyarrow.", hint="pip install 'gitexp[parquet]'") from error
    if not isinstance(data, pyarrow.Table):
        columns, rows = rows_of(data)
        data = pyarrow.table({name: [row[place] for row in rows] for place, name in enumerate(columns)})
    parquet.write_table(data, buffer)
    return buffer.getvalue()
