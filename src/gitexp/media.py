"""Tables, figures, images and mappings as the bytes of a file, in the format that the file's name asks for.

pandas, matplotlib, plotly and PIL are used where the value comes from them; none is needed otherwise.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from gitexp.domain import yamltext
from gitexp.domain.values import plain_value
from gitexp.errors import UsageError


def encode_dict(value: Any, name: str) -> bytes:
    """A mapping or list: YAML for .yaml and .yml, JSON for everything else."""
    plain = plain_value(value)
    if _suffix(name) in (".yaml", ".yml"):
        if not isinstance(plain, dict):
            plain = {"items": plain} if isinstance(plain, list) else {"value": plain}
        return yamltext.dump(plain).encode()
    return (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()


def encode_table(data: Any, name: str) -> bytes:
    """A table: a DataFrame, a mapping of columns, or a list of row mappings.

    Raises:
        UsageError: `data` is none of these, or its columns differ in length.
    """
    suffix = _suffix(name)
    if suffix == ".parquet":
        if not hasattr(data, "to_parquet"):
            raise UsageError("Only a DataFrame can be written as Parquet.", hint="Name the artifact '.csv' or '.json'.")
        buffer = io.BytesIO()
        data.to_parquet(buffer)
        return buffer.getvalue()
    columns, rows = _rows(data)
    if suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return text.getvalue().encode()
    return (json.dumps({"columns": columns, "data": rows}, ensure_ascii=False) + "\n").encode()


def encode_figure(figure: Any, name: str) -> bytes:
    """A matplotlib figure (any format its `savefig` knows) or a plotly one (.html, .json, or an image with kaleido)."""
    kind = _suffix(name).lstrip(".") or "png"
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind)
        return buffer.getvalue()
    if hasattr(figure, "to_html") and hasattr(figure, "to_image"):
        if kind in ("html", "htm"):
            return str(figure.to_html(include_plotlyjs="cdn")).encode()
        return str(figure.to_json()).encode() if kind == "json" else bytes(figure.to_image(format=kind))
    raise UsageError(f"{type(figure).__name__} is no figure of matplotlib or plotly.")


def encode_image(image: Any, name: str) -> bytes:
    """A PIL image, or an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); floats in [0, 1] become 0 to 255."""
    if not hasattr(image, "save"):
        image = _image_of_array(image)
    buffer = io.BytesIO()
    kind = _suffix(name).lstrip(".") or "png"
    image.save(buffer, format={"jpg": "jpeg", "tif": "tiff"}.get(kind, kind))
    return buffer.getvalue()


def _image_of_array(array: Any) -> Any:
    try:
        import numpy as np  # whoever has an array has numpy
        from PIL import Image  # an extra
    except ImportError as error:
        raise UsageError("An array becomes an image only with Pillow.", hint="pip install 'gitexp[figures]'") from error
    pixels = np.asarray(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise UsageError(f"An image has the shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {pixels.shape}.")
    if pixels.dtype.kind == "f":
        pixels = (np.clip(pixels, 0, 1) * 255).round()
    elif pixels.dtype.kind == "b":
        pixels = pixels * 255
    return Image.fromarray(pixels.astype(np.uint8))


def _rows(data: Any) -> tuple[list[str], list[list[Any]]]:
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        columns = {str(key): list(data[key]) for key in data.columns}
        return _rows(columns)
    if isinstance(data, Mapping):
        values = {str(key): [plain_value(item) for item in column] for key, column in data.items()}
        if len({len(column) for column in values.values()}) > 1:
            raise UsageError("The columns of the table differ in length.")
        return list(values), [list(row) for row in zip(*values.values(), strict=True)]
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        names = list(dict.fromkeys(str(key) for row in data for key in row))
        return names, [[plain_value(row.get(name)) for name in names] for row in data]
    raise UsageError(
        f"{type(data).__name__} is no table.", hint="Give a DataFrame, {column: values} or a list of rows."
    )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
