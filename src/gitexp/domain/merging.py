"""What becomes of values that two people changed at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ABSENT = object()


def merge_values(base: Mapping[str, Any], earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Key by key, what either changed since `base`; where both changed one key, the later value stays.

    Removing a key is a change like any other.
    """
    merged = {}
    for key in (*later, *(key for key in earlier if key not in later)):
        old, one, other = base.get(key, _ABSENT), earlier.get(key, _ABSENT), later.get(key, _ABSENT)
        chosen = one if other == old and type(other) is type(old) else other
        if chosen is not _ABSENT:
            merged[key] = chosen
    return merged
