"""An example of what a model takes, as files beside it: for people, and as a request that a server takes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

EXAMPLE, REQUEST = "input_example.json", "serving_input_example.json"


def write_example(example: Any, folder: str) -> dict[str, Any]:
    """Write both files; gives `saved_input_example_info` of the `MLmodel` file."""
    info: dict[str, Any] = {"artifact_path": EXAMPLE, "serving_input_path": REQUEST}
    if hasattr(example, "to_pandas") and not hasattr(example, "iloc"):
        example = example.to_pandas()
    if hasattr(example, "iloc") and hasattr(example, "columns"):
        shown: Any = {"columns": list(map(str, example.columns)), "data": json.loads(example.to_json(orient="values"))}
        info |= {"type": "dataframe", "pandas_orient": "split"}
        request = {"dataframe_split": shown}
    elif hasattr(example, "__array__"):
        import numpy as np  # only where there are models

        shown = np.asarray(example).tolist()
        info |= {"type": "ndarray", "format": "tf-serving"}
        request = {"inputs": shown}
        shown = {"inputs": shown}
    else:
        shown = _plain(example)
        info |= {"type": "json_object"}
        request = {"inputs": shown}
    for name, value in ((EXAMPLE, shown), (REQUEST, request)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(value, file)
    return info


def read_example(info: Mapping[str, Any], folder: str) -> Any:
    """The example that was written, as it was given."""
    with open(os.path.join(folder, os.path.basename(str(info["artifact_path"]))), encoding="utf-8") as file:
        shown = json.load(file)
    if info.get("type") == "dataframe":
        import pandas as pd  # only where there are models

        return pd.DataFrame(shown["data"], columns=shown.get("columns"))
    if info.get("type") == "ndarray":
        import numpy as np

        return np.asarray(shown["inputs"] if isinstance(shown, dict) else shown)
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
