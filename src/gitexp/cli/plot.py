"""`gitexp plot`: curves, in the terminal and as files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import click

from gitexp.charts.figure import Figure, Line, Panel
from gitexp.charts.terminal import LETTERS, Span, draw, style_of, uses_braille
from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.table import cut, cut_middle, width
from gitexp.cli.terminal import Terminal, look, printable, say, show_json, tell
from gitexp.cli.values import number
from gitexp.errors import UsageError
from gitexp.plotting import PlotRequest, curves, save

HEIGHT = 15
NARROWEST = 70
"""Columns that a panel takes where another one stands beside it."""
GAP = 3


class Ends(click.ParamType):  # type: ignore[type-arg]
    """The ends of an axis: `0:1`, `:10`, `0.5:`."""

    name = "low:high"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        low, colon, high = value.partition(":")
        try:
            if not colon:
                raise ValueError
            return tuple(float(end) if end.strip() else None for end in (low, high))
        except ValueError:
            self.fail(f"'{value}' is not like 0:1, :10 or 0.5:.", param, ctx)


@click.command(short_help="Draw the curves of metrics.")
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RUN)
@click.option("-m", "--metric", "metrics", metavar="KEY", multiple=True, help="Draw it; * and ? match any. Repeatable.")
@click.option("-x", "x", metavar="AXIS", default="step", show_default=True, help="step, time, relative, or a metric.")
@click.option("--smooth", type=float, default=0.0, metavar="WEIGHT", help="Moving average, 0 to 1, as TensorBoard's.")
@click.option("--log", is_flag=True, help="A logarithmic y axis.")
@click.option(
    "--ylim", type=Ends(), metavar="LOW:HIGH", default=":", help="The ends of the y axis; either may be empty."
)
@click.option("--together", is_flag=True, help="All metrics over the same axes instead of a panel each.")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write .svg, .html, .png or .pdf."
)
@click.option("--height", type=click.IntRange(4, 200), default=HEIGHT, show_default=True, help="Rows of a panel.")
@click.option("--json", "as_json", is_flag=True, help="The points, for programs.")
def command(
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    x: str,
    smooth: float,
    log: bool,
    ylim: tuple[float | None, float | None],
    together: bool,
    output: str | None,
    height: int,
    as_json: bool,
) -> None:
    """Draw the metrics of one or several runs (the newest, unless named), live ones too.

    NaN and infinities are gaps. With '-x epoch' points stand where the metric 'epoch' was at their step. An .svg or
    .html file needs nothing else to be looked at, and follows light and dark; a page of HTML shows the values under
    the pointer. .png and .pdf need the extra 'figures'.

    \b
    gitexp plot baseline @ -m loss
    gitexp plot @ -m "train/*" -m "val/*" --together --smooth 0.6 --log
    gitexp plot @ @~1 -m loss -x relative -o loss.html
    """
    repository = open_repository()
    views = {view.id: view for view in map(repository.get_run, runs or ("@",))}
    request = PlotRequest(metrics=metrics, x=x, smooth=smooth, log=log, low=ylim[0], high=ylim[1], together=together)
    figure = curves(list(views.values()), request)
    if as_json and output:
        raise UsageError("--json and --output are one too many.", hint="Leave one out.")
    if as_json:
        show_json(_to_json(figure))
    elif output:
        save(figure, output)
    else:
        terminal = look()
        for line in _as_text(figure, terminal, height):
            say(line)
    for note in figure.notes:
        tell(look(sys.stderr).paint(printable(note), "dim"))
    if output and not as_json:
        tell(f"Drawn into '{printable(output)}'.")


def _as_text(figure: Figure, terminal: Terminal, height: int) -> Iterator[str]:
    """The panels, as many beside each other as have room."""
    across = min(len(figure.panels), max(1, (terminal.width + GAP) // (NARROWEST + GAP)))
    room = (terminal.width - GAP * (across - 1)) // across
    for first in range(0, len(figure.panels), across):
        if first:
            yield ""
        drawn = [_panel(panel, terminal, room, height) for panel in figure.panels[first : first + across]]
        heads = max(len(head) for head, _ in drawn)
        columns = [[[Span("")]] * (heads - len(head)) + head + plot for head, plot in drawn]
        for spans in zip_longest(*columns, fillvalue=[Span("")]):
            yield _joined(spans, room, terminal)


def _panel(panel: Panel, terminal: Terminal, room: int, height: int) -> tuple[list[list[Span]], list[list[Span]]]:
    """Title and legend, and the plot."""
    plot = draw(panel, width=room, height=height, colour=terminal.colour, unicode=terminal.unicode)
    title = printable(panel.title) + (" (log)" if panel.log else "")
    return [[Span(cut_middle(title, room, terminal.ellipsis), "bold")], *_legend(panel, terminal, room)], plot


def _legend(panel: Panel, terminal: Terminal, room: int) -> list[list[Span]]:
    rows: list[list[Span]] = []
    used = room
    braille = uses_braille(len(panel.lines), colour=terminal.colour, unicode=terminal.unicode)
    for place, line in enumerate(panel.lines):
        mark = "━━" if braille else LETTERS[place % len(LETTERS)]
        last = _last(line)
        name = cut(printable(line.name), max(room - width(mark) - len(last) - 2, 8), terminal.ellipsis)
        spans = [Span(mark, style_of(place)), Span(f" {name}"), Span(f" {last}" if last else "", "dim")]
        needed = sum(width(span.text) for span in spans)
        if used + 3 + needed > room:
            rows.append(spans)
            used = needed
        else:
            rows[-1] += [Span("   "), *spans]
            used += 3 + needed
    return rows


def _last(line: Line) -> str:
    finite = next((value for value in reversed(line.ys) if value - value == 0), None)
    return "" if finite is None else number(float(finite), 4)


def _joined(parts: tuple[list[Span], ...], room: int, terminal: Terminal) -> str:
    text = ""
    for place, spans in enumerate(parts):
        text += "".join(terminal.paint(span.text, span.style) for span in spans)
        if place < len(parts) - 1:
            text += " " * (room - sum(width(span.text) for span in spans) + GAP)
    return text.rstrip()


def _to_json(figure: Figure) -> dict[str, Any]:
    return {
        "panels": [
            {
                "title": panel.title,
                "x": panel.x_title,
                "lines": [{"name": line.name, "x": list(line.xs), "y": list(line.ys)} for line in panel.lines],
            }
            for panel in figure.panels
        ],
        "notes": list(figure.notes),
    }
