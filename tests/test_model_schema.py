"""Signatures: what data looks like, and data made what a model takes, or refused with the column named."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.signature import (
    SCALARS,
    Column,
    ColumnType,
    Param,
    Signature,
    Tensor,
    schema_to_list,
    signature_from_dict,
    signature_to_dict,
)
from gitexp.errors import CorruptData, UsageError
from gitexp.models.schema import SchemaMismatch, enforce, enforce_params, infer_schema, infer_signature


def kinds(data: Any) -> list[dict[str, Any]]:
    return schema_to_list(infer_schema(data))


def test_each_kind_of_data_has_a_schema() -> None:
    """Frames, arrays, mappings, records and lists are described as MLflow describes them."""
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": ["x", None], "d": pd.to_datetime(["2026-01-01"] * 2)})
    assert kinds(frame) == [
        {"type": "long", "name": "a", "required": True},
        {"type": "double", "name": "b", "required": False},
        {"type": "string", "name": "c", "required": False},
        {"type": "datetime", "name": "d", "required": True},
    ]
    assert kinds(np.zeros((3, 4), "float32")) == [
        {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}
    ]
    assert [item["name"] for item in kinds({"x": np.zeros(3), "y": np.zeros((3, 2))})] == ["x", "y"]
    assert kinds([{"a": 1}, {"a": 2.5, "b": "x"}]) == [
        {"type": "double", "name": "a", "required": True},
        {"type": "string", "name": "b", "required": False},
    ]
    assert kinds(["a", "b"]) == [{"type": "string", "required": True}]
    assert kinds({"texts": ["a"], "n": 3})[0] == {
        "type": "array",
        "items": {"type": "string"},
        "name": "texts",
        "required": True,
    }
    with pytest.raises(UsageError, match="object"):
        infer_schema(object())


def test_columns_come_in_order_and_extra_ones_go() -> None:
    """Whatever the order, and with whatever else, the model gets its columns, of its types."""
    schema = infer_schema(pd.DataFrame({"a": [1.0], "b": [1]}))
    given_ = pd.DataFrame({"b": [1, 2], "extra": ["x", "y"], "a": [3, 4]})
    taken = enforce(schema, given_)
    assert list(taken.columns) == ["a", "b"]
    assert [str(kind) for kind in taken.dtypes] == ["float64", "int64"]
    assert enforce(schema, {"a": 1, "b": 2}).to_dict("records") == [{"a": 1.0, "b": 2}]
    assert enforce(schema, [{"a": 1, "b": 2}]).to_dict("records") == [{"a": 1.0, "b": 2}]
    assert enforce(infer_schema(pd.DataFrame({"a": [1.0], "b": [1.0]})), np.ones((2, 2))).shape == (2, 2)


@pytest.mark.parametrize(
    ("wanted", "given_", "parts"),
    [
        (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1.0]}), ("'a'",)),
        (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": ["x"]}), ("'a'", "double", "string")),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.5]}), ("'a'", "long", "double")),
        (pd.DataFrame({"a": ["x"]}), pd.DataFrame({"a": [1]}), ("'a'", "string", "long")),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1, None]}), ("'a'", "long", "missing")),
        (pd.DataFrame({"a": [1.0], "b": [1.0]}), np.ones((2, 3)), ("2 columns", "3")),
        (np.zeros((2, 3)), np.zeros((2, 4)), ("(-1, 3)", "(2, 4)")),
        (np.zeros((2, 3)), np.zeros((2, 3), "complex128"), ("float64", "complex128")),
        ({"x": np.zeros(3)}, {"y": np.zeros(3)}, ("'x'",)),
    ],
)
def test_what_does_not_fit_is_named(wanted: Any, given_: Any, parts: tuple[str, ...]) -> None:
    """The error says which column, what it must be and what it is."""
    with pytest.raises(SchemaMismatch) as refused:
        enforce(infer_schema(wanted), given_)
    assert all(part in str(refused.value) for part in parts), refused.value


def test_params_get_their_defaults_and_are_checked() -> None:
    """Those not given have their defaults; an unknown one or another type is refused by name."""
    params = infer_signature(1, None, {"t": 0.5, "n": 3, "stops": ["a"]}).params
    assert enforce_params(params, {"t": 1}) == {"t": 1.0, "n": 3, "stops": ["a"]}
    for given_, part in (({"u": 1}, "'u'"), ({"n": "x"}, "'n'"), ({"stops": "a"}, "'stops'")):
        with pytest.raises(SchemaMismatch, match=part):
            enforce_params(params, given_)


def test_mlflows_own_text_is_read() -> None:
    """A signature as MLflow writes it, with arrays, objects and the older word `optional`."""
    inputs = [
        {"name": "q", "type": "string", "optional": True},
        {"name": "m", "type": "array", "items": {"type": "object", "properties": {"r": {"type": "string"}}}},
    ]
    found = signature_from_dict({"inputs": json.dumps(inputs), "outputs": None, "params": None})
    assert found.inputs is not None
    first, second = found.inputs
    assert isinstance(first, Column) and isinstance(second, Column)
    assert (first.required, str(second.type)) == (False, "array of object with r: string")
    for text in ("[{}]", "[", '[{"type": "nonsense"}]', "3"):
        with pytest.raises(CorruptData):
            signature_from_dict({"inputs": text})


names = st.none() | st.text(min_size=1, max_size=5)
types = st.recursive(
    st.sampled_from([*SCALARS, "any"]).map(lambda kind: ColumnType(kind=kind)),
    lambda inner: (
        st.builds(lambda kind, items: ColumnType(kind=kind, items=items), st.sampled_from(["array", "map"]), inner)
        | st.dictionaries(st.text(max_size=3), st.tuples(inner, st.booleans()), max_size=3).map(
            lambda properties: ColumnType(kind="object", properties=properties)
        )
    ),
    max_leaves=4,
)
columns = st.lists(st.builds(Column, name=names, type=types, required=st.booleans()), min_size=1, max_size=3)
tensors = st.lists(
    st.builds(Tensor, name=names, dtype=st.just("float32"), shape=st.lists(st.integers(-1, 9)).map(tuple)),
    min_size=1,
    max_size=3,
)
schemas = st.none() | columns.map(tuple) | tensors.map(tuple)
params = st.none() | st.lists(
    st.builds(Param, name=st.text(min_size=1, max_size=3), type=types, default=st.none() | st.integers()),
    min_size=1,
    max_size=2,
).map(tuple)


@given(st.builds(Signature, inputs=schemas, outputs=schemas, params=params))
def test_a_signature_survives_its_text(signature: Signature) -> None:
    """What is written is read back to the same value."""
    assert signature_from_dict(signature_to_dict(signature)) == signature
