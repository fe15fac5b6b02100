"""Questions to a model and its answers, as MLflow's scoring protocol has them."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.signature import Column, ColumnType
from gitexp.models.schema import enforce, infer_schema
from gitexp.models.scoring import CSV, JSON, BadRequest, read_request, write_answer

FRAME = pd.DataFrame({"a": [1.5, 2.0], "b": ["x", "07"]})
TAKES = infer_schema(FRAME)


def ask(body: Any, inputs: Any = TAKES) -> Any:
    return read_request(JSON, json.dumps(body).encode(), inputs)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["b", "a"], "data": [["x", 1.5], ["07", 2]]}},
        {"dataframe_records": FRAME.to_dict("records")},
        {"inputs": {"a": [1.5, 2], "b": ["x", "07"]}},
        {"instances": FRAME.to_dict("records")},
    ],
)
def test_each_form_is_the_same_question(body: Any) -> None:
    """The four forms of JSON and CSV give a model with columns the same frame."""
    from_json = enforce(TAKES, ask(body).data)
    from_csv = enforce(TAKES, read_request(f"{CSV}; charset=utf-8", FRAME.to_csv(index=False).encode(), TAKES).data)
    pd.testing.assert_frame_equal(from_json, FRAME)
    pd.testing.assert_frame_equal(from_csv, FRAME)


def test_tensors_and_params_are_asked_for() -> None:
    """`inputs` is one array or several by name, `instances` one row each; params come beside them."""
    takes = infer_schema(np.zeros((2, 2)))
    for form in ("inputs", "instances"):
        question = ask({form: [[1, 2], [3, 4]], "params": {"t": 1}}, takes)
        assert enforce(takes, question.data).tolist() == [[1.0, 2.0], [3.0, 4.0]]
        assert question.params == {"t": 1}
    several = infer_schema({"x": np.zeros(2), "y": np.zeros((2, 2))})
    rows = [{"x": 1, "y": [1, 2]}, {"x": 2, "y": [3, 4]}]
    assert enforce(several, ask({"instances": rows}, several).data)["y"].shape == (2, 2)


def test_binary_columns_come_as_base64() -> None:
    """Bytes that JSON has no way to write are decoded where the signature says so."""
    takes = (Column(name="image", type=ColumnType(kind="binary")),)
    asked = ask({"dataframe_records": [{"image": base64.b64encode(b"\x00\xff").decode()}]}, takes)
    assert enforce(takes, asked.data)["image"].tolist() == [b"\x00\xff"]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "part"),
    [
        ("text/plain", b"x", 415, "text/plain"),
        ("", b"x", 415, "none"),
        (f"{JSON}; charset=latin-1", b"{}", 415, "latin-1"),
        (JSON, b"{", 400, "JSON"),
        (JSON, b"[" * 100_000, 400, "JSON"),
        (JSON, b"\xff", 400, "UTF-8"),
        (JSON, b"[1]", 400, "object"),
        (JSON, b"{}", 400, "exactly one"),
        (JSON, b'{"inputs": 1, "instances": [2]}', 400, "exactly one"),
        (JSON, b'{"inputs": 1, "more": 2}', 400, "'more'"),
        (JSON, b'{"inputs": 1, "params": 2}', 400, "'params'"),
        (JSON, b'{"dataframe_split": [1]}', 400, "dataframe_split"),
        (JSON, b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', 400, "dataframe_split"),
        (JSON, b'{"dataframe_records": {"a": 1}}', 400, "dataframe_records"),
        (JSON, b'{"instances": []}', 400, "instances"),
        (JSON, b'{"instances": [{"a": 1}, {"b": 1}]}', 400, "same keys"),
        (CSV, b"", 400, "CSV"),
    ],
)
def test_bad_requests_say_what_is_wrong(content_type: str, body: bytes, status: int, part: str) -> None:
    """Each is refused with the code that HTTP has for it, and the part that is wrong."""
    with pytest.raises(BadRequest) as refused:
        read_request(content_type, body, TAKES)
    assert refused.value.status == status
    assert part in str(refused.value)


def test_answers_of_all_kinds_become_json() -> None:
    """Arrays, frames, numbers without a JSON of their own, text and bytes."""
    said = {
        "array": np.array([[1.5, np.nan]]),
        "frame": pd.DataFrame({"a": [1], "b": ["x"]}),
        "when": pd.Timestamp("2026-01-01"),
        "inf": [float("inf"), -float("inf")],
        "bytes": b"\x00",
    }
    assert json.loads(write_answer(said)) == {
        "predictions": {
            "array": [[1.5, "NaN"]],
            "frame": [{"a": 1, "b": "x"}],
            "when": "2026-01-01T00:00:00",
            "inf": ["Infinity", "-Infinity"],
            "bytes": "AA==",
        }
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"]), json_values)
def test_no_request_is_more_than_bad(form: str, value: Any) -> None:
    """Whatever JSON stands in a form, it is data or a bad request."""
    try:
        read_request(JSON, json.dumps({form: value}).encode(), TAKES)
    except BadRequest as error:
        assert error.status == 400
