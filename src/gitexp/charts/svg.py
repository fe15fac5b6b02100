"""A chart as SVG: text that any browser draws, light or dark as its reader prefers."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

from gitexp.charts.curve import Point, visible
from gitexp.charts.figure import Figure, Line, Panel
from gitexp.charts.scale import Scale

LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#3a9fd8", "#8c564b", "#6a3d9a", "#7f7f7f", "#222222")
DARK = ("#56a9e0", "#ff8c42", "#2ec99a", "#e39ac5", "#e6b422", "#8fd0ff", "#c9907f", "#b48ae8", "#b0b0b0", "#eeeeee")
"""A colour each for ten lines, the first after Okabe and Ito (2008), to be told apart with any eyes."""

_DASHES = ("", "7 4", "2 3", "9 3 2 3")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_LETTER = 6.6
"""About how wide a character of 11 pixels is."""
_SPACE = 16


WIDTH, HEIGHT = 640, 330
"""A panel in pixels, without its title and legend."""

_LEFT, _RIGHT, _BOTTOM = 58, 14, 34
"""Its margins around the plot."""

STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#444}.title{font-weight:600;font-size:13px;fill:#111}"
    ".grid{stroke:#eee;stroke-width:1}.axis{stroke:#888;fill:none}.line{fill:none;stroke-width:1.6;stroke-linejoin:round}"
    ".raw{opacity:.25;stroke-width:1}.paper{fill:#fff}"
)
STYLE_DARK = "text{fill:#bbb}.title{fill:#eee}.grid{stroke:#2c3038}.paper{fill:#16181d}" + "".join(
    f".c{number}{{stroke:{colour}}}.f{number}{{fill:{colour}}}" for number, colour in enumerate(DARK)
)


def svg(figure: Figure) -> str:
    """The whole figure as one file: panels in two columns, one where there is one panel."""
    across = min(len(figure.panels), 2) or 1
    drawn = [draw_panel(panel) for panel in figure.panels]
    rows = [drawn[first : first + across] for first in range(0, len(drawn), across)]
    parts, y = [], 0
    for row in rows:
        for place, (body, _) in enumerate(row):
            parts.append(f'<g transform="translate({place * (WIDTH + _SPACE)} {y})">{body}</g>')
        y += max(height for _, height in row) + _SPACE
    width, height = across * (WIDTH + _SPACE) - _SPACE, y - _SPACE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"<title>{text(figure.title)}</title><style>{STYLE}@media(prefers-color-scheme:dark){{{STYLE_DARK}}}</style>"
        f'<rect class="paper" width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def draw_panel(panel: Panel) -> tuple[str, int]:
    """The elements of a panel, and how many pixels high it is: its legend may take several rows."""
    legend, top = _legend(panel)
    return "\n".join([*legend, *_plot(panel, top)]), HEIGHT + top


def plot_area(panel: Panel) -> tuple[float, float, float, float]:
    """Left, top, width and height of the plot inside its panel, in pixels."""
    _, top = _legend(panel)
    return _LEFT, top, WIDTH - _LEFT - _RIGHT, HEIGHT - _BOTTOM


def pieces(line: Line, ys: str, x: Scale, y: Scale) -> list[list[Point]]:
    """What of a line's values ("ys", or "raw") is drawn, in its own units."""
    values = line.ys if ys == "ys" else line.raw
    return [] if values is None else visible(line.xs, values, x, y, WIDTH)


def text(value: str) -> str:
    """Text inside an element or attribute; what XML cannot hold becomes a replacement mark."""
    return html.escape(_UNSAFE.sub("\ufffd", value))


def _plot(panel: Panel, top: int) -> Iterator[str]:
    x, y = panel.x_scale(), panel.y_scale()
    left, _, width, height = plot_area(panel)

    def at(point: Point) -> str:
        return f"{left + x.place(point[0]) * width:.1f} {top + (1 - _held(y.place(point[1]))) * height:.1f}"

    for tick in y.ticks(7):
        down = round(top + (1 - y.place(tick.value)) * height) + 0.5
        yield f'<path class="grid" stroke="#eee" d="M{left} {down}h{width}"/>'
        yield f'<text x="{left - 6}" y="{down + 3.5}" text-anchor="end">{text(tick.label)}</text>'
    for tick in x.ticks(8):
        right = round(left + x.place(tick.value) * width) + 0.5
        yield f'<path class="grid" stroke="#eee" d="M{right} {top}v{height}"/>'
        yield f'<text x="{right}" y="{top + height + 15}" text-anchor="middle">{text(tick.label)}</text>'
    yield f'<text x="{left + width}" y="{top + height + 29}" text-anchor="end">{text(panel.x_title)}</text>'
    yield f'<path class="axis" stroke="#888" fill="none" d="M{left}.5 {top}v{height}h{width}"/>'
    yield f'<svg x="{left}" y="{top}" width="{width}" height="{height}" viewBox="{left} {top} {width} {height}">'
    for number, line in enumerate(panel.lines):
        for values, kind in (("raw", "line raw"), ("ys", "line")):
            found = pieces(line, values, x, y)
            if found:
                yield f'<g class="{kind} c{number % len(LIGHT)}" data-line="{number}" {_stroke(number, values)}>'
                yield f'<path d="{"".join("M" + "L".join(map(at, piece)) for piece in found if len(piece) > 1)}"/>'
                yield from _dots([piece[0] for piece in found if len(piece) == 1], at, number)
                yield "</g>"
    yield "</svg>"


def _dots(points: list[Point], at: Callable[[Point], str], number: int) -> Iterator[str]:
    for point in points:
        across, down = at(point).split()
        fill = LIGHT[number % len(LIGHT)]
        yield f'<circle class="f{number % len(LIGHT)}" fill="{fill}" stroke="none" cx="{across}" cy="{down}" r="2.5"/>'


def _held(place: float) -> float:
    """Far outside the plot it does not matter how far; browsers dislike huge coordinates."""
    return min(max(place, -20.0), 20.0)


def _stroke(number: int, values: str) -> str:
    dash = _DASHES[number // len(LIGHT) % len(_DASHES)]
    faint = ' opacity="0.25"' if values == "raw" else ""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{LIGHT[number % len(LIGHT)]}" fill="none" stroke-width="1.6"{dashes}{faint}'


def _legend(panel: Panel) -> tuple[list[str], int]:
    """Title and legend, and where the plot begins below them."""
    title = panel.title + (" (log)" if panel.log else "")
    made = [f'<text class="title" x="{_LEFT}" y="15" font-weight="600">{text(title)}</text>']
    right, down = float(_LEFT), 33
    for number, line in enumerate(panel.lines):
        name = line.name if len(line.name) <= 60 else line.name[:59] + "…"
        needed = 24 + len(name) * _LETTER + 14
        if right > _LEFT and right + needed > WIDTH:
            right, down = float(_LEFT), down + 16
        made.append(
            f'<g class="key" data-line="{number}"><path class="line c{number % len(LIGHT)}" {_stroke(number, "ys")} '
            f'd="M{right:.0f} {down - 4}h18"/><text x="{right + 23:.0f}" y="{down}">{text(name)}</text></g>'
        )
        right += needed
    return made, down + 14
