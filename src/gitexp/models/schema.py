"""What data looks like, and data made what a model takes.

Data is anything that people pass to `predict`: a DataFrame (pandas, polars, arrow), a Series, an array, a mapping of
names to arrays, lists or single values, a list of records, of lists or of values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from gitexp.domain.signature import Column, ColumnType, Param, Schema, Signature, Tensor, is_tensors
from gitexp.errors import UsageError

DEFAULT_ROWS = -1
MOST_NAMED = 10

_BY_DTYPE = {
    "bool": "boolean",
    "boolean": "boolean",
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "uint8": "integer",
    "uint16": "integer",
    "int64": "long",
    "uint32": "long",
    "uint64": "long",
    "float16": "float",
    "float32": "float",
    "float64": "double",
}
_TO_DTYPE = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}
_WIDER = {
    "boolean": (),
    "integer": ("boolean",),
    "long": ("integer", "boolean"),
    "float": ("integer", "boolean"),
    "double": ("float", "integer", "long", "boolean"),
}
"""Which types a column of a type takes besides its own, because every value of them can be one of its values."""


class SchemaMismatch(UsageError):
    """Data is not what a model takes; the message names the column, the type expected and the type found."""


# What data looks like


def infer_signature(inputs: Any, outputs: Any = None, params: Mapping[str, Any] | None = None) -> Signature:
    """The signature of a model that takes data like `inputs` and gives data like `outputs`.

    Args:
        params: values that may be passed beside the data, with their defaults.

    Raises:
        UsageError: data of no kind that can be described.
    """
    return Signature(
        inputs=infer_schema(inputs),
        outputs=None if outputs is None else infer_schema(outputs),
        params=None if not params else tuple(_infer_param(name, value) for name, value in params.items()),
    )


def infer_schema(data: Any) -> Schema:
    """The columns or tensors of data; the first size of a tensor may be any.

    Raises:
        UsageError
    """
    frame = _as_pandas(data)
    if frame is not None:
        if not hasattr(frame, "columns"):
            return (_infer_series(None if frame.name is None else str(frame.name), frame),)
        return tuple(_infer_series(str(name), frame.iloc[:, place]) for place, name in enumerate(frame.columns))
    if _is_array(data):
        return (_infer_tensor(None, data),)
    if isinstance(data, Mapping):
        if data and all(_is_array(value) for value in data.values()):
            return tuple(_infer_tensor(str(name), value) for name, value in data.items())
        return tuple(Column(name=str(name), type=_infer_type(value)) for name, value in data.items())
    if isinstance(data, list | tuple) and data:
        if all(isinstance(item, Mapping) for item in data):
            return _infer_records(data)
        return (Column(type=_common([_infer_type(item) for item in data])),)
    return (Column(type=_infer_type(data)),)


def _infer_records(records: Sequence[Mapping[Any, Any]]) -> tuple[Column, ...]:
    names = dict.fromkeys(name for record in records for name in record)
    return tuple(
        Column(
            name=str(name),
            type=_common([_infer_type(record[name]) for record in records if record.get(name) is not None]),
            required=all(record.get(name) is not None for record in records),
        )
        for name in names
    )


def _infer_series(name: str | None, series: Any) -> Column:
    kind = str(series.dtype)
    missing = bool(series.isna().any())
    lower = kind.lower()
    if lower in _BY_DTYPE:
        return Column(name=name, type=ColumnType(kind=_BY_DTYPE[lower]), required=not missing)
    if kind.startswith(("datetime64", "date")):
        return Column(name=name, type=ColumnType(kind="datetime"), required=not missing)
    if kind == "category":
        return Column(name=name, type=_infer_series(name, series.cat.categories.to_series()).type, required=not missing)
    values = [value for value in series if not _is_missing(value)]
    found = _common([_infer_type(value) for value in values]) if values else ColumnType(kind="string")
    return Column(name=name, type=found, required=not missing)


def _infer_tensor(name: str | None, array: Any) -> Tensor:
    import numpy as np  # only where there are models

    values = np.asarray(array)
    dtype = "str" if values.dtype.kind == "U" else "bytes" if values.dtype.kind == "S" else values.dtype.name
    return Tensor(name=name, dtype=dtype, shape=(DEFAULT_ROWS, *values.shape[1:]))


def _infer_type(value: Any) -> ColumnType:
    if isinstance(value, bool):
        return ColumnType(kind="boolean")
    if isinstance(value, int):
        return ColumnType(kind="long")
    if isinstance(value, float):
        return ColumnType(kind="double")
    if isinstance(value, str):
        return ColumnType(kind="string")
    if isinstance(value, bytes | bytearray):
        return ColumnType(kind="binary")
    if isinstance(value, datetime | date):
        return ColumnType(kind="datetime")
    if isinstance(value, Mapping):
        return ColumnType(
            kind="object", properties={str(key): (_infer_type(of), of is not None) for key, of in value.items()}
        )
    if isinstance(value, list | tuple):
        return ColumnType(kind="array", items=_common([_infer_type(item) for item in value]))
    dtype = getattr(value, "dtype", None)
    if dtype is not None:
        if getattr(value, "ndim", 0):
            items = ColumnType(kind=_BY_DTYPE.get(str(dtype), "string"))
            for _ in range(value.ndim):
                items = ColumnType(kind="array", items=items)
            return items
        kind = "datetime" if str(dtype).startswith("datetime64") else _BY_DTYPE.get(str(dtype))
        if kind:
            return ColumnType(kind=kind)
    if value is None:
        return ColumnType(kind="any")
    raise UsageError(
        f"Data of type '{type(value).__name__}' has no schema.", hint="Give a DataFrame, an array, a mapping or a list."
    )


def _common(kinds: Sequence[ColumnType]) -> ColumnType:
    """The type that all these are: numbers become the widest of them."""
    distinct: list[ColumnType] = []
    for kind in kinds:
        if kind.kind != "any" and kind not in distinct:
            distinct.append(kind)
    if not distinct:
        return ColumnType(kind="any")
    first = distinct[0]
    if len(distinct) == 1:
        return first
    names = {kind.kind for kind in distinct}
    for wide in ("long", "double"):
        if names <= {wide, *_WIDER[wide]}:
            return ColumnType(kind=wide)
    if names == {"array"}:
        return ColumnType(kind="array", items=_common([kind.items for kind in distinct if kind.items]))
    if names == {"object"}:
        return _common_object(distinct)
    return ColumnType(kind="any")


def _common_object(kinds: Sequence[ColumnType]) -> ColumnType:
    names = dict.fromkeys(name for kind in kinds for name in kind.properties)
    return ColumnType(
        kind="object",
        properties={
            name: (
                _common([kind.properties[name][0] for kind in kinds if name in kind.properties]),
                all(name in kind.properties and kind.properties[name][1] for kind in kinds),
            )
            for name in names
        },
    )


def _infer_param(name: str, value: Any) -> Param:
    if isinstance(value, list | tuple):
        return Param(name=name, type=_common([_infer_type(item) for item in value]), default=list(value), shape=(-1,))
    return Param(name=name, type=_infer_type(value), default=value)


# Data made what a model takes


def enforce(schema: Schema, data: Any) -> Any:
    """The data as the model takes it: columns in order and of the right types, extra ones left out.

    Returns:
        A pandas DataFrame for columns; an array, or a mapping of arrays, for tensors.

    Raises:
        SchemaMismatch: it cannot be.
    """
    if not schema:
        return data
    if is_tensors(schema):
        return _enforce_tensors([item for item in schema if isinstance(item, Tensor)], data)
    return _enforce_columns([item for item in schema if isinstance(item, Column)], data)


def enforce_params(params: Sequence[Param] | None, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The params that a model gets: those given, and the defaults of the others.

    Raises:
        SchemaMismatch: one that it does not take, or of another type.
    """
    known = {param.name: param for param in params or ()}
    unknown = [name for name in given or {} if name not in known]
    if unknown:
        takes = f"It takes {', '.join(known)}." if known else "It takes none."
        raise SchemaMismatch(f"The model takes no param '{unknown[0]}'.", hint=takes)
    return {
        name: _enforce_param(param, given[name]) if given and name in given else param.default
        for name, param in known.items()
    }


def _enforce_param(param: Param, value: Any) -> Any:
    if param.shape is not None:
        if not isinstance(value, list | tuple) and not getattr(value, "ndim", 0):
            raise _wrong_param(param, value)
        return [_one(param, item) for item in value]
    return _one(param, value)


def _one(param: Param, value: Any) -> Any:
    found = _infer_type(value)
    wanted = param.type.kind
    if found.kind == wanted or param.type.kind in ("any", "object", "map"):
        return value
    if wanted in _WIDER and found.kind in (*_WIDER[wanted], "long") and not isinstance(value, bool):
        return float(value) if wanted in ("float", "double") else int(value)
    if wanted == "float" and found.kind == "double":
        return value
    raise _wrong_param(param, value)


def _wrong_param(param: Param, value: Any) -> SchemaMismatch:
    wanted = f"a list of {param.type}" if param.shape is not None else str(param.type)
    return SchemaMismatch(f"The param '{param.name}' must be {wanted}, found {value!r} ({_infer_type(value)}).")


def _enforce_columns(columns: Sequence[Column], data: Any) -> Any:
    import pandas as pd  # only where there are models

    names = [column.name for column in columns]
    frame = _frame_of(data, names)
    if None in names:
        if frame.shape[1] != len(columns):
            raise SchemaMismatch(f"The model takes {len(columns)} columns, found {frame.shape[1]}.")
        frame.columns = pd.RangeIndex(len(columns))
        keys: list[Any] = list(range(len(columns)))
    else:
        if not all(isinstance(name, str) for name in frame.columns):
            frame.columns = frame.columns.map(str)
        missing = [column.name for column in columns if column.required and column.name not in frame.columns]
        if missing:
            listed = ", ".join(f"'{name}'" for name in missing[:MOST_NAMED])
            raise SchemaMismatch(
                f"The model needs the {'column' if len(missing) == 1 else 'columns'} {listed}.",
                hint=f"Found {', '.join(map(str, frame.columns[:MOST_NAMED])) or 'no columns'}.",
            )
        keys = [name for name in names if name in frame.columns]
    wanted = {(place if column.name is None else column.name): column for place, column in enumerate(columns)}
    if list(frame.columns) == keys and all(map(_is_as_wanted, (wanted[key] for key in keys), frame.dtypes)):
        return frame
    return pd.DataFrame({key: _enforce_series(wanted[key], frame[key], key) for key in keys}, index=frame.index)


def _is_as_wanted(column: Column, dtype: Any) -> bool:
    """Whether data of this dtype is the column's whatever its values are; this is quick."""
    return column.type.kind in _TO_DTYPE and bool(dtype == _TO_DTYPE[column.type.kind])


def _frame_of(data: Any, names: Sequence[str | None]) -> Any:
    import pandas as pd  # only where there are models

    frame = _as_pandas(data)
    if frame is not None:
        return frame.copy(deep=False) if hasattr(frame, "columns") else frame.to_frame()
    if _is_array(data):
        import numpy as np

        values = np.asarray(data)
        if values.ndim > 2:
            raise SchemaMismatch(f"The model takes columns, found an array of {values.ndim} dimensions.")
        return _named(pd.DataFrame(values if values.ndim == 2 else values.reshape(-1, 1)), names)
    if isinstance(data, Mapping):
        single = all(not isinstance(value, list | tuple) and not _is_array(value) for value in data.values())
        return pd.DataFrame([dict(data)] if single else {str(key): list(value) for key, value in data.items()})
    if isinstance(data, list | tuple):
        if all(isinstance(item, Mapping) for item in data):
            return pd.DataFrame(list(data), columns=None if data else list(names))
        return _named(pd.DataFrame(list(data)), names)
    return _named(pd.DataFrame([data]), names)


def _named(frame: Any, names: Sequence[str | None]) -> Any:
    """A frame of columns that came without names, in the order of the model's."""
    if None not in names and frame.shape[1] == len(names):
        frame.columns = list(names)
    elif None not in names:
        raise SchemaMismatch(
            f"The model takes {len(names)} columns, found {frame.shape[1]}.",
            hint=f"They are {', '.join(map(str, names[:MOST_NAMED]))}.",
        )
    return frame


def _enforce_series(column: Column, series: Any, key: Any) -> Any:
    import pandas as pd  # only where there are models

    wanted = column.type.kind
    if _is_as_wanted(column, series.dtype):
        return series
    if column.required and wanted in ("integer", "long", "boolean") and bool(series.isna().any()):
        raise SchemaMismatch(f"The column '{key}' must be {column.type}, found missing values.")
    if wanted in ("any", "object", "map", "array"):
        for value in series:
            if not _fits(column.type, value) and not (_is_missing(value) and not column.required):
                raise SchemaMismatch(f"The column '{key}' must be {column.type}, found {_describe(value)}.")
        return series
    found = _infer_series(None, series).type
    if found.kind == wanted and wanted not in _TO_DTYPE:
        return series
    if wanted == "datetime" and found.kind in ("string", "datetime"):
        try:
            return pd.to_datetime(series)
        except (ValueError, TypeError) as error:
            raise SchemaMismatch(f"The column '{key}' must be datetime: {error}.") from error
    if wanted in _TO_DTYPE:
        dtype = _TO_DTYPE[wanted]
        if bool(series.isna().any()):
            if series.isna().all() or found.kind in (wanted, *_WIDER[wanted], "double"):
                return series
        elif found.kind in (wanted, *_WIDER[wanted]) or _is_exact(series, found.kind, wanted):
            return series.astype(dtype)
    raise SchemaMismatch(f"The column '{key}' must be {column.type}, found {found}.")


def _is_exact(series: Any, found: str, wanted: str) -> bool:
    """Whether numbers of a wider type are all such that the narrower type has them, as JSON's whole numbers are."""
    if (found, wanted) == ("double", "float"):
        return True
    if (found, wanted) == ("long", "integer"):
        return bool(((series >= -(2**31)) & (series < 2**31)).all())
    if (found, wanted) == ("long", "float"):
        return bool((series.abs() <= 2**24).all())
    return False


def _fits(kind: ColumnType, value: Any) -> bool:
    if kind.kind == "any":
        return True
    if kind.kind == "array":
        values = value.tolist() if _is_array(value) else value
        return isinstance(values, list | tuple) and all(_fits(kind.items or ColumnType(kind="any"), v) for v in values)
    if kind.kind == "map":
        return isinstance(value, Mapping) and all(
            _fits(kind.items or ColumnType(kind="any"), v) for v in value.values()
        )
    if kind.kind == "object":
        return isinstance(value, Mapping) and all(
            _fits(of, value[name]) if value.get(name) is not None else not required
            for name, (of, required) in kind.properties.items()
        )
    try:
        found = _infer_type(value).kind
    except UsageError:
        return False
    return found == kind.kind or found in (*_WIDER.get(kind.kind, ()), *(("double",) if kind.kind == "float" else ()))


def _enforce_tensors(tensors: Sequence[Tensor], data: Any) -> Any:
    frame = _as_pandas(data)
    if len(tensors) == 1 and tensors[0].name is None:
        if frame is not None:
            data = frame.to_numpy()
        elif isinstance(data, Mapping):
            raise SchemaMismatch("The model takes one array, found a mapping.")
        return _enforce_tensor(tensors[0], data)
    if frame is not None and hasattr(frame, "columns"):
        data = {str(name): frame[name].to_numpy() for name in frame.columns}
    if not isinstance(data, Mapping):
        listed = ", ".join(f"'{tensor.name}'" for tensor in tensors)
        raise SchemaMismatch(f"The model takes a mapping of arrays with {listed}, found {_describe(data)}.")
    missing = [tensor.name for tensor in tensors if tensor.name not in data]
    if missing:
        raise SchemaMismatch(f"The model needs the array '{missing[0]}'.", hint=f"Found {', '.join(map(str, data))}.")
    return {tensor.name: _enforce_tensor(tensor, data[tensor.name]) for tensor in tensors if tensor.name is not None}


def _enforce_tensor(tensor: Tensor, data: Any) -> Any:
    import numpy as np  # only where there are models

    name = "" if tensor.name is None else f" '{tensor.name}'"
    try:
        values = np.asarray(data)
    except ValueError as error:
        raise SchemaMismatch(f"The array{name} cannot be made: {error}.") from error
    wanted = np.dtype(tensor.dtype)
    same_kind = values.dtype.kind == wanted.kind
    if values.dtype != wanted and not (wanted.kind in "US" and same_kind):
        from_lists = not _is_array(data) and np.can_cast(values.dtype, wanted, "same_kind")
        if not from_lists and not np.can_cast(values.dtype, wanted, "safe"):
            raise SchemaMismatch(f"The array{name} must be of {tensor.dtype}, found {values.dtype.name}.")
        values = values.astype(wanted)
    fits = len(values.shape) == len(tensor.shape) and all(
        want in (-1, have) for want, have in zip(tensor.shape, values.shape, strict=True)
    )
    if not fits:
        raise SchemaMismatch(f"The array{name} must have the shape {tensor.shape}, found {values.shape}.")
    return values


def _as_pandas(data: Any) -> Any:
    """A pandas frame or series of data that has one, else None."""
    kind = type(data)
    origin = f"{kind.__module__}.{kind.__qualname__}"
    if origin.startswith("pandas.") and hasattr(data, "iloc"):
        return data
    if origin.startswith(("polars.", "pyarrow.")) and hasattr(data, "to_pandas"):
        return data.to_pandas()
    return None


def _is_array(data: Any) -> bool:
    if hasattr(data, "iloc"):
        return False
    return (hasattr(data, "__array__") and bool(getattr(data, "ndim", 0))) or type(data).__module__.startswith(
        "scipy.sparse"
    )


def _is_missing(value: Any) -> bool:
    return (
        value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
    )


def _describe(value: Any) -> str:
    try:
        return f"{value!r:.60} ({_infer_type(value)})"
    except UsageError:
        return f"{type(value).__name__}"
