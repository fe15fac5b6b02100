"""Runs as Jupyter shows them: small HTML tables that take their colours from the page, light or dark.

Everything that is not ours is escaped; nothing here can fail for odd values, as a display must not end a cell.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from gitexp.domain.keys import shorten
from gitexp.domain.lineup import ABSENT, Lineup, Section
from gitexp.domain.run import Status
from gitexp.domain.summary import RunSummary
from gitexp.domain.yamltext import dump_scalar

MOST_ROWS = 50
MOST_COLUMNS = 10
MOST_VALUES = 40
LONGEST = 60

_COLOURS = {  # middle tones, which are read on white as on black
    Status.RUNNING: "#2c8ec9",
    Status.FINISHED: "#2a9d5c",
    Status.FAILED: "#d1495b",
    Status.KILLED: "#b8860b",
    Status.CRASHED: "#b05cc6",
}
_RULE = "1px solid rgba(128,128,128,.35)"
_CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top;background:none;border:0"


def run_html(run: RunSummary, artifacts: Sequence[str] = ()) -> str:
    """One run: what it is, its params beside its metrics, and the names of its artifacts."""
    record = run.record
    facts = [record.experiment, _moment(record.start)]
    if record.duration_s is not None:
        facts.append(f"took {_span(record.duration_s)}")
    tags = [f"{key}={value}" if value else key for key, value in sorted(run.tags.items())]
    head = (
        f"<div><b>{escape(record.name)}</b> <code>{escape(str(record.id))}</code> {_status(record.status)}</div>"
        f"<div style='opacity:.7'>{escape(' · '.join([*facts, *tags]))}</div>"
    )
    note = f"<div>{escape(record.note)}</div>" if record.note else ""
    columns = [
        _listing(title, values) for title, values in (("Params", run.params), ("Metrics", run.metrics)) if values
    ]
    body = f"<div style='display:flex;gap:2em;flex-wrap:wrap'>{''.join(columns)}</div>"
    files = f"<div style='opacity:.7'>Artifacts: {escape(', '.join(_some(artifacts)))}</div>" if artifacts else ""
    return f"<div style='line-height:1.4'>{head}{note}{body}{files}</div>"


def runs_html(runs: Sequence[RunSummary], total: int) -> str:
    """A table of runs, with those params and metrics first in which they differ."""
    if not runs:
        return "<div>No runs.</div>"
    shown = runs[:MOST_ROWS]
    columns = [(family, key) for family in ("params", "metrics") for key in _keys(shown, family)]
    titles = ["name", "status", "start", "took", *(key for _, key in columns)]
    head = "".join(f"<th style='{_CELL};border-bottom:{_RULE}'>{escape(title)}</th>" for title in titles)
    rows = []
    for run in shown:
        record = run.record
        span = "" if record.duration_s is None else _span(record.duration_s)
        known = [f"<b title='{escape(str(record.id))}'>{escape(record.name)}</b>", _status(record.status)]
        cells = [*known, escape(_moment(record.start)), escape(span)]
        for family, key in columns:
            values = getattr(run, family)
            cells.append(escape(_shown(values[key])) if key in values else "")
        rows.append("<tr>" + "".join(f"<td style='{_CELL}'>{cell}</td>" for cell in cells) + "</tr>")
    rest = f"<div style='opacity:.7'>{len(shown)} of {total} runs</div>" if total > len(shown) else ""
    table = (
        f"<table style='border-collapse:collapse'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
    return f"<div style='overflow-x:auto'>{table}{rest}</div>"


def lineup_html(lineup: Lineup) -> str:
    """Runs side by side, a column for each: the params and metrics in which they differ, the best ones bold."""
    cell, ruled = f"<td style='{_CELL}'>", f"style='{_CELL};border-bottom:{_RULE}'"
    names = "".join(
        f"<th {ruled} title='{escape(str(run.record.id))}'>{escape(run.record.name)}</th>" for run in lineup.runs
    )
    rows = []
    for section in (Section.PARAMS, Section.METRICS):
        differing = lineup.section(section)
        for row in differing[:MOST_VALUES]:
            shown = ["" if value is ABSENT else escape(_shown(value)) for value in row.values]
            shown = [f"<b>{text}</b>" if at in row.best else text for at, text in enumerate(shown)]
            rows.append(f"<tr>{cell}{escape(row.key)}</td>{''.join(f'{cell}{text}</td>' for text in shown)}</tr>")
        if len(differing) > MOST_VALUES:
            rows.append(f"<tr>{cell}and {len(differing) - MOST_VALUES} more {section.value}</td></tr>")
    table = (
        f"<table style='border-collapse:collapse'><thead><tr><th {ruled}></th>{names}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    return f"<div style='overflow-x:auto'>{table}</div>"


def _listing(title: str, values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td style='{_CELL}'>{escape(key)}</td><td style='{_CELL}'>{escape(_shown(values[key]))}</td></tr>"
        for key in sorted(values)[:MOST_VALUES]
    )
    more = len(values) - MOST_VALUES
    rest = f"<tr><td style='{_CELL};opacity:.7' colspan='2'>and {more} more</td></tr>" if more > 0 else ""
    head = f"<thead><tr><th style='{_CELL};border-bottom:{_RULE}' colspan='2'>{title}</th></tr></thead>"
    return f"<table style='border-collapse:collapse'>{head}<tbody>{rows}{rest}</tbody></table>"


def _keys(runs: Sequence[RunSummary], family: str) -> list[str]:
    """The columns of a table: those that differ between runs, then the others, as many as there is room for."""
    values: dict[str, list[Any]] = {}
    for run in runs:
        for key, value in getattr(run, family).items():
            values.setdefault(key, []).append(value)

    def is_alike(key: str) -> bool:
        found = values[key]
        return len(found) == len(runs) and all(value == found[0] for value in found)

    return sorted(sorted(values), key=is_alike)[:MOST_COLUMNS]


def _some(names: Iterable[str]) -> list[str]:
    listed = list(names)
    more = len(listed) - MOST_COLUMNS
    return [*listed[:MOST_COLUMNS], f"and {more} more"] if more > 0 else listed


def _status(status: Status) -> str:
    return f"<span style='color:{_COLOURS[status]}'>{escape(status.value)}</span>"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    text = value if isinstance(value, str) else dump_scalar(value)
    return text if len(text) <= LONGEST else shorten(text, LONGEST)


def _moment(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}h {rest // 60:02}m" if hours else f"{rest // 60}m {rest % 60:02}s"
