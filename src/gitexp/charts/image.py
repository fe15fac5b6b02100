"""A chart as an image, drawn by matplotlib."""

from __future__ import annotations

import io
import math
from typing import Any

from gitexp.charts.curve import visible
from gitexp.charts.figure import Figure, Panel
from gitexp.charts.svg import LIGHT
from gitexp.errors import UsageError

_COLUMNS = 1600
_DASHES = ("-", "--", ":", "-.")


def image(figure: Figure, kind: str) -> bytes:
    """The figure as a file of matplotlib's: "png" or "pdf".

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure as Drawing  # an extra; without pyplot, which picks a screen
    except ImportError as error:
        raise UsageError(
            "matplotlib is not installed.", hint="pip install 'gitexp[figures]', or write .svg or .html."
        ) from error
    across = min(len(figure.panels), 2)
    down = math.ceil(len(figure.panels) / across)
    drawing = Drawing(figsize=(6.4 * across, 3.6 * down), layout="constrained")
    for number, panel in enumerate(figure.panels, 1):
        _draw(panel, drawing.add_subplot(down, across, number))
    buffer = io.BytesIO()
    drawing.savefig(buffer, format=kind, dpi=150)
    return buffer.getvalue()


def _draw(panel: Panel, axes: Any) -> None:
    x, y = panel.x_scale(), panel.y_scale()
    for number, line in enumerate(panel.lines):
        look = {"color": LIGHT[number % len(LIGHT)], "linestyle": _DASHES[number // len(LIGHT) % len(_DASHES)]}
        for values, opacity in ((line.raw, 0.25), (line.ys, 1.0)):
            label = _plain(line.name) if values is line.ys else "_hidden"
            for piece in visible(line.xs, values, x, y, _COLUMNS) if values is not None else ():
                marker = "." if len(piece) == 1 else ""
                axes.plot(*zip(*piece, strict=True), alpha=opacity, marker=marker, linewidth=1.3, label=label, **look)
                label = "_hidden"
    axes.set_title(_plain(panel.title), fontsize=11, loc="left")
    axes.set_xlabel(_plain(panel.x_title))
    axes.set_yscale("log" if panel.log else "linear")
    axes.set_xlim(x.low, x.high)
    axes.set_ylim(y.low, y.high)
    ticks = x.ticks(7)
    axes.set_xticks([tick.value for tick in ticks], [tick.label for tick in ticks])
    axes.grid(alpha=0.2)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)


def _plain(text: str) -> str:
    """Text that matplotlib does not take for a formula, nor a label for one to hide."""
    return text.replace("$", r"\$").lstrip("_") or "_"
