"""Curves of runs' metrics: which ones, over what, and into which file."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from operator import le

from gitexp.charts.figure import Figure, Line, Numbers, Panel
from gitexp.charts.scale import Kind
from gitexp.domain.metrics import History
from gitexp.domain.selector import suggest
from gitexp.domain.smoothing import smoothed
from gitexp.errors import NotFound, UsageError
from gitexp.reading import RunView

MOST_PANELS = 6
ENDINGS = (".svg", ".html", ".png", ".pdf")

_AXES = {"step": Kind.NUMBER, "time": Kind.TIME, "relative": Kind.SECONDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotRequest:
    """What to draw.

    Attributes:
        metrics: keys, or patterns with `*` and `?`; none: up to six that have a course.
        x: "step", "time", "relative" (seconds since the run began), or the key of a metric such as "epoch", whose value
            at each step is the place of the point.
        smooth: the weight of the moving average, 0 up to, not including, 1.
        log: whether the y axis is logarithmic.
        low, high: the ends of the y axis.
        together: all metrics over one pair of axes, instead of a panel each.
    """

    metrics: tuple[str, ...] = ()
    x: str = "step"
    smooth: float = 0.0
    log: bool = False
    low: float | None = None
    high: float | None = None
    together: bool = False


def curves(runs: Sequence[RunView], request: PlotRequest | None = None) -> Figure:
    """The curves of one or several runs, live ones too.

    Raises:
        NotFound: no run has such a metric; the hint lists near names.
        UsageError: the request makes no sense.
    """
    request = request or PlotRequest()
    _check(request)
    keys, notes = _keys(runs, request.metrics)
    names = dict(zip((run.id for run in runs), _names(runs), strict=True))
    lines: dict[str, list[Line]] = {key: [] for key in keys}
    for run in runs:
        histories = {key: run.history(key) for key in keys if key in run.metrics}
        along = _along(run, request.x) if histories else None
        for key, history in histories.items():
            line, note = _line(names[run.id], key, history, request, along)
            lines[key].append(line)
            notes += [note] if note else []
    return Figure(title=", ".join(names.values()), panels=_panels(lines, len(runs), request), notes=tuple(notes))


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as what the name ends in: .svg and .html need nothing else, .png and .pdf matplotlib.

    Raises:
        UsageError: another ending, or matplotlib is not installed.
        OSError
    """
    path = os.fspath(path)
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise UsageError(f"'{path}' does not end in {', '.join(ENDINGS)}.", hint="Name the file curves.svg, say.")
    if ending == ".svg":
        from gitexp.charts.svg import svg  # only what is asked for

        data = svg(figure).encode()
    elif ending == ".html":
        from gitexp.charts.html import page

        data = page(figure).encode()
    else:
        from gitexp.charts.image import image

        data = image(figure, ending[1:])
    with open(path, "wb") as file:
        file.write(data)


def _check(request: PlotRequest) -> None:
    if not 0 <= request.smooth < 1:
        raise UsageError(f"The smoothing {request.smooth} is not from 0 up to, not including, 1.", hint="--smooth 0.6")
    if request.low is not None and request.high is not None and request.low >= request.high:
        raise UsageError(
            f"The y axis cannot go from {request.low} to {request.high}.", hint="The lower end comes first."
        )
    if request.log and any(end is not None and end <= 0 for end in (request.low, request.high)):
        raise UsageError("A logarithmic axis is above 0.", hint="Give a lower end above 0, or none.")


def _keys(runs: Sequence[RunView], patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """The metrics to draw, and a note about those that there was no room for."""
    known = sorted({key for run in runs for key in run.metrics})
    if not known:
        raise NotFound("No metric is there to draw.", hint="'gitexp show' tells what a run holds.")
    if not patterns:
        moving = [
            key for key in known if any(key in run.metrics and len(run.history(key)) > 1 for run in runs)
        ] or known
        more = len(moving) - MOST_PANELS
        notes = [f"{more} more {'metric' if more == 1 else 'metrics'}; name those to draw with -m."] if more > 0 else []
        return moving[:MOST_PANELS], notes
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [pattern] if pattern in known else [key for key in known if fnmatchcase(key, pattern)]
        if not matching:
            near = suggest(pattern, known)
            hint = f"Did you mean {', '.join(near)}?" if near else f"There are {', '.join(known[:8])}."
            raise NotFound(f"No run here has the metric '{pattern}'.", hint=hint)
        found.update(dict.fromkeys(matching))
    return list(found), []


def _names(runs: Sequence[RunView]) -> list[str]:
    names = [run.name for run in runs]
    return [run.name if names.count(run.name) == 1 else f"{run.name} {run.id[:5]}" for run in runs]


def _along(run: RunView, x: str) -> Callable[[History], Numbers]:
    """How the points of a history get their places along the x axis."""
    if x == "step":
        return lambda history: history.steps
    if x == "time":
        return lambda history: history.times
    if x == "relative":
        start = run.record.start
        return lambda history: array("d", [moment - start for moment in history.times])
    if x not in run.metrics:
        near = suggest(x, run.metrics)
        hint = f"Did you mean {', '.join(near)}?" if near else "-x takes step, time, relative or the key of a metric."
        raise NotFound(f"The run '{run.name}' has no metric '{x}' to draw over.", hint=hint)
    axis = run.history(x)
    order = sorted(range(len(axis)), key=axis.steps.__getitem__)
    steps, values = [axis.steps[at] for at in order], [axis.values[at] for at in order]

    def places(history: History) -> Numbers:
        found = (bisect_right(steps, step) - 1 for step in history.steps)
        return array("d", [values[at] if at >= 0 else float("nan") for at in found])

    return places


def _line(
    name: str, key: str, history: History, request: PlotRequest, along: Callable[[History], Numbers] | None
) -> tuple[Line, str]:
    """The curve of one metric of one run, and a note about values that cannot be drawn."""
    assert along is not None
    xs, ys = along(history), history.values
    if not _is_ascending(xs):
        order = sorted((at for at in range(len(xs)) if xs[at] == xs[at]), key=xs.__getitem__)
        xs, ys = [xs[at] for at in order], array("d", [ys[at] for at in order])
    note = ""
    if request.log and len(ys):
        below = sum(value <= 0 for value in ys)
        values = "value is" if below == 1 else "values are"
        note = f"{below:,} {values} not above 0 in '{key}' of '{name}', and left out." if below else ""
    if not request.smooth:
        return Line(name=name, xs=xs, ys=ys), note
    return Line(name=name, xs=xs, ys=smoothed(ys, request.smooth), raw=ys), note


def _is_ascending(xs: Numbers) -> bool:
    return all(map(le, xs, islice(xs, 1, None))) and (len(xs) != 1 or xs[0] == xs[0])


def _panels(lines: dict[str, list[Line]], runs: int, request: PlotRequest) -> tuple[Panel, ...]:
    if request.together and len(lines) > 1:
        named = [
            Line(name=key if runs == 1 else f"{line.name} {key}", xs=line.xs, ys=line.ys, raw=line.raw)
            for key, found in lines.items()
            for line in found
        ]
        return (_panel(", ".join(lines), named, request),)
    return tuple(_panel(key, found, request) for key, found in lines.items())


def _panel(title: str, lines: Iterable[Line], request: PlotRequest) -> Panel:
    return Panel(
        title=title,
        lines=tuple(lines),
        x_title=request.x,
        x_kind=_AXES.get(request.x, Kind.NUMBER),
        log=request.log,
        low=request.low,
        high=request.high,
    )
