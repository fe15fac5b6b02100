"""Data in memory as an input: a digest of what it holds, and what its columns are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gitexp.errors import UsageError

_PLAIN_KINDS = "biufcmM"
"""Of numpy's types: those whose bytes say everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What is recorded of data.

    Attributes:
        digest: hex SHA-256 of names, types, shapes and values; the same for the same data in any process.
        rows: None where the arrays are not of one length.
        schema: the type of each column or array, by its name.
    """

    digest: str
    rows: int | None
    schema: tuple[tuple[str, str], ...]


def describe(data: Any) -> Dataset:
    """Describe a table of pandas, polars, Arrow or Hugging Face, an array or tensor, or a mapping or list of these.

    Raises:
        UsageError: it is something else.
    """
    digest = hashlib.sha256()
    schema = []
    lengths = set()
    for name, kind, values in _columns(data):
        shape = getattr(values, "shape", None) or (len(values),)
        digest.update(f"{len(name)} {name} {kind} {tuple(map(int, shape))}\n".encode("utf-8", "surrogatepass"))
        _add(digest, values)
        lengths.add(int(shape[0]))
        schema.append((name, kind))
    return Dataset(digest=digest.hexdigest(), rows=lengths.pop() if len(lengths) == 1 else None, schema=tuple(schema))


def _columns(data: Any) -> Iterator[tuple[str, str, Any]]:
    """Name, type and values of each; values are numpy arrays, or lists."""
    origin = type(data).__module__.partition(".")[0]
    if origin == "mlflow":  # its datasets wrap what they were made from
        data = next((getattr(data, name) for name in ("df", "features") if hasattr(data, name)), data)
        origin = type(data).__module__.partition(".")[0]
    if origin == "datasets" and hasattr(data, "with_format"):
        data, origin = data.with_format("arrow")[:], "pyarrow"
    if isinstance(data, Mapping):
        for name, item in data.items():
            yield from _named(str(name), item)
    elif origin == "pandas" and hasattr(data, "columns"):
        if type(data.index).__name__ != "RangeIndex":
            yield "(index)", str(data.index.dtype), _values(data.index)
        for position, name in enumerate(data.columns):
            column = data.iloc[:, position]
            yield str(name), str(column.dtype), _values(column)
    elif origin == "polars" and hasattr(data, "collect"):
        yield from _columns(data.collect())
    elif origin == "polars" and hasattr(data, "columns"):
        for column in data.get_columns():
            yield column.name, str(column.dtype), _values(column)
    elif origin == "pyarrow" and hasattr(data, "column_names"):
        for name, column in zip(data.column_names, data.columns, strict=True):
            yield name, str(column.type), _values(column)
    elif isinstance(data, (list, tuple)) and data and all(hasattr(item, "shape") for item in data):
        for position, item in enumerate(data):
            yield from _named(str(position), item)
    else:
        yield from _named("data", data)


def _named(name: str, data: Any) -> Iterator[tuple[str, str, Any]]:
    if hasattr(data, "columns") or hasattr(data, "column_names"):
        for inner, kind, values in _columns(data):
            yield f"{name}.{inner}", kind, values
        return
    if isinstance(data, (list, tuple)):
        yield name, "list", list(data)
        return
    values = _values(data)
    kind = str(getattr(data, "dtype", getattr(data, "type", type(data).__name__))).removeprefix("torch.")
    shape = getattr(values, "shape", ())
    inner = ", ".join(map(str, shape[1:]))
    yield name, f"{kind}[{inner}]" if inner else kind, values


def _values(data: Any) -> Any:
    """A numpy array of plain numbers where it is such, else a list of values."""
    if hasattr(data, "detach"):  # a tensor of torch
        data = data.detach().cpu()
    nulls = getattr(data, "null_count", 0)  # of polars and Arrow, where numpy would have to make numbers of them
    nulls = nulls() if callable(nulls) else nulls
    try:
        values = data if hasattr(data, "tobytes") else None if nulls else data.to_numpy()
    except AttributeError:
        values = data.numpy() if hasattr(data, "numpy") else None
    except Exception:  # a type that numpy has not
        values = None
    if values is not None and values.dtype.kind in _PLAIN_KINDS:
        return values
    for convert in ("to_pylist", "to_list", "tolist"):
        if hasattr(data, convert):
            return getattr(data, convert)()
    if hasattr(data, "toarray"):  # a sparse matrix of scipy
        return data.toarray()
    raise UsageError(
        f"The content of a {type(data).__name__} cannot be told.",
        hint="Give a path, a DataFrame, a table, an array, or a mapping or list of arrays.",
    )


def _add(digest: Any, values: Any) -> None:
    if isinstance(values, list):
        for value in _flat(values):
            plain = value.item() if hasattr(value, "item") else value
            text = plain if isinstance(plain, bytes) else str(plain).encode("utf-8", "surrogatepass")
            digest.update(b"%s %d " % (type(plain).__name__.encode(), len(text)) + text)
        return
    import numpy as np  # the values are numpy's

    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    digest.update(little.reshape(-1).view(np.uint8).data)


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield f"[{len(value)}"
            yield from _flat(value)
        else:
            yield value
