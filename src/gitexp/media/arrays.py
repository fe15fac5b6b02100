"""Arrays and tensors of whatever library, as what the encoders work with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from gitexp.errors import UsageError


def as_list(values: Any) -> list[Any]:
    """The numbers of an array, a tensor or nested lists, flat, in their order."""
    for convert in ("detach", "cpu"):  # a tensor of torch that learns, or lies on a GPU
        if callable(getattr(values, convert, None)):
            values = getattr(values, convert)()
    if callable(getattr(values, "numpy", None)):
        values = values.numpy()
    if callable(getattr(values, "ravel", None)):
        values = values.ravel()
    if callable(getattr(values, "tolist", None)):
        values = values.tolist()
    return list(_flat(values))


def as_array(values: Any, *, what: str) -> Any:
    """A numpy array of `values`.

    Raises:
        UsageError: numpy is not installed.
    """
    try:
        import numpy as np  # whoever has an array has it
    except ImportError as error:
        raise UsageError(f"{what} are arrays of numpy, which is not installed.") from error
    for convert in ("detach", "cpu"):
        if callable(getattr(values, convert, None)):
            values = getattr(values, convert)()
    return np.asarray(values)


def suffix_of(name: str) -> str:
    """The ending of a file's name, with its dot, in lower case."""
    return os.path.splitext(name)[1].lower()


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, Iterable) and not isinstance(values, (str, bytes)):
        for value in values:
            yield from _flat(value)
    else:
        yield values
