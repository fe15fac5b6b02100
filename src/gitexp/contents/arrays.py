"""Arrays that numpy saved."""

from __future__ import annotations

import io
from typing import Any

from gitexp.contents.change import ContentChange


def compare_arrays(before: bytes, after: bytes) -> ContentChange | None:
    """Shapes and types; where these are the same, how many elements differ and by how much. None without numpy."""
    try:
        import numpy as np  # only where an array was kept
    except ImportError:
        return None
    one, other = (np.load(io.BytesIO(data), allow_pickle=False) for data in (before, after))
    facts: dict[str, Any] = {
        "shape_before": list(one.shape),
        "shape_after": list(other.shape),
        "dtype_before": str(one.dtype),
        "dtype_after": str(other.dtype),
    }
    names = [f"{array.dtype} {'×'.join(map(str, array.shape)) or 'scalar'}" for array in (one, other)]
    if names[0] != names[1]:
        return ContentChange(kind="array", summary=f"{names[0]} became {names[1]}", facts=facts)
    if one.dtype.kind not in "biufc":
        return ContentChange(kind="array", summary=names[1], facts=facts)
    differ = ~((one == other) | ((one != one) & (other != other)))
    share = float(differ.mean()) if differ.size else 0.0
    apart = np.abs(one.astype("f8", casting="unsafe") - other.astype("f8", casting="unsafe"))[differ]
    largest = float(np.nanmax(apart)) if apart.size else 0.0
    facts |= {"share_changed": share, "largest_difference": largest}
    text = (
        f"{names[1]}, {share:.0%} of the elements differ, by up to {largest:.3g}" if share else f"{names[1]}, the same"
    )
    return ContentChange(kind="array", summary=text, facts=facts)
