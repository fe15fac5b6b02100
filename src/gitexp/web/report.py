"""A comparison as one file that opens offline: the pages' own style sheet and modules, and the data packed inside."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from markupsafe import Markup

from gitexp.browsing import Selection
from gitexp.domain.buckets import ascending, bucketed
from gitexp.domain.direction import direction
from gitexp.domain.metrics import SYSTEM
from gitexp.domain.summary import RunSummary
from gitexp.errors import GitexpError, NotFound
from gitexp.repo import Repository
from gitexp.web.compare import MOST_PLOTTED, MOST_SIDE_BY_SIDE, axes_of, differences, importances_of, tag_of, those
from gitexp.web.workspace import Workspace, answer

MOST_CURVES = 20
MOST_CHARTS = 16
POINTS = 200
_MODULES = ("page.js", "chart.js", "plots.js", "grid.js", "report.js")
_IMPORT = re.compile(r'from "\./([a-z]+\.js)"')


def report(repository: Repository, runs: Sequence[RunSummary] | Selection, *, title: str = "") -> str:
    """One HTML file that compares runs: what differs, curves, plots, and a list to sort and search.

    It asks nobody for anything, and its content policy lets it ask nobody.

    Args:
        runs: sealed runs, or a search for them; of a search, the first `MOST_PLOTTED`.

    Raises:
        NotFound: there is no run.
        QueryError: the search cannot be read.
    """
    workspace = Workspace(repository, read_only=True, key=None)
    chosen = runs if isinstance(runs, Selection) else those([str(run.record.id) for run in runs])
    page = workspace.browser.page(chosen, limit=MOST_PLOTTED)
    found = [run for run in page.runs if run.commit is not None]
    if not isinstance(runs, Selection):
        order = {str(run.record.id): at for at, run in enumerate(runs)}
        found.sort(key=lambda run: order[str(run.record.id)])
    if not found:
        raise NotFound("There are no finished runs to report on.", hint="'gitexp ls' lists the runs.")
    axes = axes_of(workspace, chosen)
    metrics = [axis["title"] for axis in axes["axes"] if axis["family"] == "metrics"]
    data = {
        **axes,
        "important": {metric: importances_of(workspace, chosen, metric) for metric in metrics},
        "curves": _curves(workspace, found) if len(found) <= MOST_CURVES else [],
    }
    side_by_side = len(found) <= MOST_SIDE_BY_SIDE
    values = {
        "title": title or f"{workspace.name}: {len(found):,} {'run' if len(found) == 1 else 'runs'}",
        "made": time.time(),
        "runs": [tag_of(run) for run in found[:MOST_SIDE_BY_SIDE]],
        "count": len(found),
        "left_out": page.total - len(page.runs),
        "where": chosen.where if isinstance(runs, Selection) else "",
        "charts": [curve["key"] for curve in data["curves"]],
        "table": differences(workspace, found) if side_by_side else None,
        "asked": "",
        "style": Markup(workspace.assets.text("app.css")),
        "modules": Markup(_import_map(workspace)),
        "start": Markup(_bare(workspace.assets.text("report.js"))),
        "theme": Markup(workspace.assets.text("theme.js")),
        "data": _packed(data),
    }
    return bytes(workspace.page("report.html", values).body).decode()


def write_report(text: str, path: str) -> None:
    """Write a report into a file that appears whole, or not at all.

    Raises:
        NotFound: there is no such folder.
        OSError
    """
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise NotFound(f"There is no folder '{folder}'.")
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _curves(workspace: Workspace, runs: Sequence[RunSummary]) -> list[dict[str, Any]]:
    """The curves of the most telling metrics, thinned to what a small picture shows, ends kept."""
    keys = sorted({key for run in runs for key in run.metrics if not key.startswith(SYSTEM)})
    keys.sort(key=lambda key: (direction(key) is None, "train" in key))
    made = []
    for key in keys:
        lines = []
        for run in runs:
            line = _line(workspace, run, key) if key in run.metrics else None
            if line:
                lines.append({**tag_of(run), **line})
        if any(len(line["xs"]) > 1 for line in lines):
            made.append({"key": key, "runs": lines})
        if len(made) == MOST_CHARTS:
            break
    return made


def _line(workspace: Workspace, run: RunSummary, key: str) -> dict[str, Any] | None:
    try:
        history = workspace.repository.view(run).history(key)
    except GitexpError:  # damaged: 'gitexp fsck' tells
        return None
    found = bucketed(*ascending(history.steps, history.values), POINTS)
    short = {
        name: [float(f"{value:.6g}") for value in getattr(found, name)] for name in ("xs", "lows", "means", "highs")
    }
    return {**short, "points": found.points, "first": found.first, "last": found.last}


def _import_map(workspace: Workspace) -> str:
    """Our modules by their names as data: addresses. A file may import nothing from beside itself."""
    sources = {name: _bare(workspace.assets.text(name)) for name in _MODULES[:-1]}
    return json.dumps(
        {
            "imports": {
                name: f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"
                for name, text in sources.items()
            }
        }
    )


def _bare(source: str) -> str:
    """A module that imports the others by name alone, and can stand inside a script element."""
    return _IMPORT.sub(r'from "\1"', source).replace("</", "<\\/")


def _packed(data: Any) -> str:
    text = bytes(answer(data).body)
    return base64.b64encode(gzip.compress(text, 9, mtime=0)).decode()
