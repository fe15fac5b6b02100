"""What a model takes and gives: columns, tensors and params, and their text in an `MLmodel` file.

The JSON is MLflow's: a list of columns like `{"type": "double", "name": "x", "required": true}`, or of tensors like
`{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitexp.errors import CorruptData

SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
"""The types of a column's values; integer and long have 32 and 64 bits, float and double too."""

NESTED = ("array", "object", "map", "any")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnType:
    """A type of values: one of `SCALARS`, or built of others.

    Attributes:
        items: of an array, and the values of a map. properties: of an object, with whether each is required.
    """

    kind: str
    items: ColumnType | None = None
    properties: Mapping[str, tuple[ColumnType, bool]] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.kind == "array":
            return f"array of {self.items}"
        if self.kind == "map":
            return f"map of {self.items}"
        if self.kind == "object":
            return "object with " + ", ".join(f"{name}: {kind}" for name, (kind, _) in self.properties.items())
        return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; `name` is None where a model takes a single column or a list."""

    type: ColumnType
    name: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor: a numpy dtype's name, and a shape whose -1 may be any number."""

    dtype: str
    shape: tuple[int, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A value that a caller may pass beside the data; `shape` is (-1,) for a list."""

    name: str
    type: ColumnType
    default: Any = None
    shape: tuple[int, ...] | None = None


Schema = Sequence[Column] | Sequence[Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a model takes and gives; None where that is not known."""

    inputs: Schema | None = None
    outputs: Schema | None = None
    params: Sequence[Param] | None = None


def is_tensors(schema: Schema) -> bool:
    return bool(schema) and isinstance(schema[0], Tensor)


def signature_to_dict(signature: Signature) -> dict[str, str | None]:
    """The `signature` of an `MLmodel` file: each part as JSON text."""
    params = None if signature.params is None else json.dumps([_param_to_dict(param) for param in signature.params])
    return {"inputs": _dump(signature.inputs), "outputs": _dump(signature.outputs), "params": params}


def signature_from_dict(data: Mapping[str, Any]) -> Signature:
    """Raises CorruptData."""
    try:
        params = data.get("params")
        return Signature(
            inputs=_load(data.get("inputs")),
            outputs=_load(data.get("outputs")),
            params=None if not params else tuple(_param_from_dict(item) for item in json.loads(params)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptData(f"MLmodel: the signature cannot be read ({type(error).__name__}: {error}).") from error


def schema_to_list(schema: Schema) -> list[dict[str, Any]]:
    return [_item_to_dict(item) for item in schema]


def _dump(schema: Schema | None) -> str | None:
    return None if schema is None else json.dumps(schema_to_list(schema))


def _load(text: str | None) -> Schema | None:
    if not text:
        return None
    items = json.loads(text)
    if items and items[0].get("type") == "tensor":
        return tuple(_tensor_from_dict(item) for item in items)
    return tuple(
        Column(name=item.get("name"), type=type_from_dict(item), required=_is_required(item)) for item in items
    )


def _item_to_dict(item: Column | Tensor) -> dict[str, Any]:
    if isinstance(item, Tensor):
        made: dict[str, Any] = {
            "type": "tensor",
            "tensor-spec": {"dtype": item.dtype, "shape": list(item.shape)},
        }
        return made if item.name is None else {"name": item.name, **made}
    made = type_to_dict(item.type)
    if item.name is not None:
        made["name"] = item.name
    return {**made, "required": item.required}


def type_to_dict(kind: ColumnType) -> dict[str, Any]:
    if kind.kind == "object":
        properties = {
            name: {**type_to_dict(of), "required": required} for name, (of, required) in kind.properties.items()
        }
        return {"type": "object", "properties": properties}
    if kind.items is not None:
        return {"type": kind.kind, "values" if kind.kind == "map" else "items": type_to_dict(kind.items)}
    return {"type": kind.kind}


def type_from_dict(data: Mapping[str, Any]) -> ColumnType:
    """Raises KeyError, TypeError, ValueError."""
    kind = data["type"]
    if kind == "object":
        properties = {name: (type_from_dict(of), _is_required(of)) for name, of in data["properties"].items()}
        return ColumnType(kind=kind, properties=properties)
    if kind in ("array", "map"):
        return ColumnType(kind=kind, items=type_from_dict(data["values" if kind == "map" else "items"]))
    if kind not in (*SCALARS, *NESTED):
        raise ValueError(f"there is no type {kind!r}")
    return ColumnType(kind=kind)


def _tensor_from_dict(item: Mapping[str, Any]) -> Tensor:
    spec = item["tensor-spec"]
    return Tensor(name=item.get("name"), dtype=str(spec["dtype"]), shape=tuple(map(int, spec["shape"])))


def _param_to_dict(param: Param) -> dict[str, Any]:
    made = {"name": param.name, "default": param.default, **type_to_dict(param.type)}
    return {**made, "shape": None if param.shape is None else list(param.shape)}


def _param_from_dict(item: Mapping[str, Any]) -> Param:
    shape = item.get("shape")
    return Param(
        name=item["name"],
        type=type_from_dict(item),
        default=item.get("default"),
        shape=None if shape is None else tuple(map(int, shape)),
    )


def _is_required(item: Mapping[str, Any]) -> bool:
    return bool(item["required"]) if "required" in item else not item.get("optional", False)
