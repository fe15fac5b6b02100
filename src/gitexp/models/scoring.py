"""Requests to a model and its answers, as MLflow's scoring protocol has them.

A request is CSV, or JSON with one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`, and perhaps
`params`; an answer is `{"predictions": ...}`.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from gitexp.domain.signature import Column, Schema, is_tensors
from gitexp.errors import UsageError

CSV, JSON = "text/csv", "application/json"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class BadRequest(UsageError):
    """A request that cannot be answered; `status` is its code in HTTP."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Question(NamedTuple):
    """What is asked: data as a model takes it, and params."""

    data: Any
    params: Mapping[str, Any] | None


def read_request(content_type: str, body: bytes, inputs: Schema | None) -> Question:
    """What a request asks.

    Args:
        content_type: as the header has it, like "application/json; charset=utf-8".
        inputs: what the model takes; binary columns come as base64.

    Raises:
        BadRequest
    """
    kind, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip("\"'") or "utf-8"
    if kind.strip().lower() not in (CSV, JSON):
        raise BadRequest(f"The content type must be {CSV} or {JSON}, found '{kind.strip() or 'none'}'.", status=415)
    if charset not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise BadRequest(f"The text must be UTF-8, found '{charset}'.", status=415)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from error
    return Question(_read_csv(text, inputs), None) if kind.strip().lower() == CSV else _read_json(text, inputs)


def write_answer(answer: Any) -> bytes:
    """`{"predictions": ...}`; NaN and infinities are strings, for JSON has none."""
    return json.dumps({"predictions": _plain(answer)}, allow_nan=False).encode()


def _read_csv(text: str, inputs: Schema | None) -> Any:
    import pandas as pd  # only where a model is asked

    kinds = {column.name: str for column in _columns(inputs) if column.name and column.type.kind == "string"}
    try:
        return pd.read_csv(io.StringIO(text), dtype=kinds)
    except ValueError as error:  # pandas' own errors are ones
        raise BadRequest(f"The body is no CSV: {str(error).strip()}.") from error


def _read_json(text: str, inputs: Schema | None) -> Question:
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is no JSON: {error}.") from error
    if not isinstance(asked, dict):
        raise BadRequest(f"The body must be an object with one of {', '.join(FORMS)}.")
    params = asked.get("params")
    if params is not None and not isinstance(params, dict):
        raise BadRequest("'params' must be an object.")
    forms = [form for form in FORMS if form in asked]
    if len(forms) != 1:
        found = ", ".join(map(repr, asked)) or "nothing"
        raise BadRequest(f"The body must hold exactly one of {', '.join(FORMS)}, found {found}.")
    unknown = [key for key in asked if key not in (*FORMS, "params", "signature_name")]
    if unknown:
        raise BadRequest(f"The body must hold nothing but one of {', '.join(FORMS)} and params, found '{unknown[0]}'.")
    [form] = forms
    return Question(_of_form(form, asked[form], inputs), params)


def _of_form(form: str, value: Any, inputs: Schema | None) -> Any:
    import pandas as pd  # only where a model is asked

    try:
        if form == "dataframe_split":
            if not isinstance(value, dict) or "data" not in value:
                raise BadRequest("'dataframe_split' must be an object with 'data', and with 'columns' and 'index'.")
            frame = pd.DataFrame(value["data"], columns=value.get("columns"), index=value.get("index"))
            return _decoded(frame, inputs)
        if form == "dataframe_records":
            if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
                raise BadRequest("'dataframe_records' must be a list of objects.")
            return _decoded(pd.DataFrame(value), inputs)
        return _tensors(form, value, inputs)
    except (ValueError, TypeError) as error:
        raise BadRequest(f"'{form}' cannot be made into data: {error}.") from error


def _decoded(frame: Any, inputs: Schema | None) -> Any:
    for column in _columns(inputs):
        if column.type.kind == "binary" and column.name in frame.columns:
            frame[column.name] = [base64.b64decode(value) for value in frame[column.name]]
    return frame


def _tensors(form: str, value: Any, inputs: Schema | None) -> Any:
    """Data of `instances`, one item a row, or of `inputs`, one item an array."""
    import numpy as np  # only where a model is asked

    if form == "instances":
        if not isinstance(value, list) or not value:
            raise BadRequest("'instances' must be a list that is not empty.")
        if all(isinstance(item, dict) for item in value):
            names = value[0].keys()
            if any(item.keys() != names for item in value):
                raise BadRequest("The objects of 'instances' must all have the same keys.")
            value = {name: [item[name] for item in value] for name in names}
    if inputs is not None and not is_tensors(inputs):
        return value
    if isinstance(value, dict):
        return {name: np.asarray(item) for name, item in value.items()}
    return np.asarray(value) if inputs is not None else value


def _columns(inputs: Schema | None) -> list[Column]:
    return [item for item in inputs or () if isinstance(item, Column)]


def _plain(answer: Any) -> Any:
    if hasattr(answer, "to_dict") and hasattr(answer, "iloc"):
        return _plain(answer.to_dict(orient="records") if hasattr(answer, "columns") else answer.tolist())
    if hasattr(answer, "tolist"):
        return _plain(answer.tolist())
    if isinstance(answer, Mapping):
        return {str(key): _plain(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple | set):
        return [_plain(value) for value in answer]
    if isinstance(answer, bytes):
        return base64.b64encode(answer).decode()
    if isinstance(answer, datetime | date):
        return answer.isoformat()
    if isinstance(answer, float) and (answer != answer or answer in (float("inf"), float("-inf"))):
        return "NaN" if answer != answer else "Infinity" if answer > 0 else "-Infinity"
    return answer if isinstance(answer, str | int | float | bool | None) else str(answer)
