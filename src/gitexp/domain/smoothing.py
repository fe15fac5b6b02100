"""Curves without their noise."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence


def smoothed(values: Sequence[float], weight: float) -> array[float]:
    """The exponential moving average of `values`, as TensorBoard draws it.

    Each average is `weight` times the one before and `1 - weight` times the new value, divided by `1 - weight**n` after
    n values, so that the beginning is not pulled towards 0 (TensorBoard, `vz_line_chart2/line-chart.ts`, `resmooth`;
    Kingma and Ba 2015, section 3). What is not finite stays as it is and counts as no value.

    Args:
        weight: 0 (no smoothing) up to, not including, 1.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"weight must be in [0, 1), not {weight}")
    averages = array("d")
    append = averages.append
    rest, average, bias = 1 - weight, 0.0, 1.0
    for value in values:
        if math.isfinite(value):
            average = average * weight + rest * value
            bias *= weight
            append(average / (1 - bias))
        else:
            append(value)
    return averages
