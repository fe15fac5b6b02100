"""The table: rows, what each measured, and how that is printed."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.measure import Bench, Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        key: its name for `--only`, and what peers register their measurement under.
        work: what is done.
        unit: of the figure: "CPU s", "calls", "points", "bytes", "packages", "MB".
        bar: what gitexp has to reach.
        floor: what the machine itself was seen to need for this work, if known.
        more_is_better: whether the bar is a minimum.
    """

    key: str
    work: str
    unit: str
    bar: float
    measure: Callable[[Bench], Figure]
    floor: str = ""
    more_is_better: bool = False

    def reached(self, value: float) -> bool:
        return value >= self.bar if self.more_is_better else value <= self.bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one row measured. `peers` has a figure for each peer that was measured; `failures` says why one was not."""

    row: Row
    gitexp: Figure | None
    peers: Mapping[str, Figure] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    load: float = 0.0


def as_text(results: Sequence[Result]) -> str:
    lines = [_line(result) for result in results]
    headers = ["work", "unit", "bar", "floor", "gitexp", "", "wall", "load", "peers, same work"]
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        {
            "key": result.row.key,
            "work": result.row.work,
            "unit": result.row.unit,
            "bar": result.row.bar,
            "reached": result.gitexp is not None and result.row.reached(result.gitexp.value),
            "gitexp": None if result.gitexp is None else asdict(result.gitexp),
            "peers": {peer: asdict(figure) for peer, figure in result.peers.items()},
            "failures": dict(result.failures),
            "load": result.load,
        }
        for result in results
    ]


def notes(results: Sequence[Result]) -> list[str]:
    """What does not fit into a cell: a line for each remark and each measurement that failed."""
    lines = []
    for result in results:
        figures = {"gitexp": result.gitexp, **result.peers}
        lines += [f"{result.row.key}, {name}: {it.note}" for name, it in figures.items() if it is not None and it.note]
        lines += [f"{result.row.key}, {name}: NOT MEASURED: {why}" for name, why in result.failures.items()]
    return lines


def machine() -> str:
    """What the figures were measured on, in a line."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}; git {git}; load {load}"


def number(value: float) -> str:
    """A figure as a person reads it: three digits that matter, thousands grouped."""
    if value >= 1000:
        return f"{round(value, 2 - len(str(int(value))) + 1):,.0f}"
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _line(result: Result) -> list[str]:
    row, own = result.row, result.gitexp
    peers = sorted(result.peers.items(), key=lambda item: item[1].value, reverse=not row.more_is_better)
    return [
        row.work,
        row.unit,
        ("≥ " if row.more_is_better else "≤ ") + number(row.bar),
        row.floor,
        "-" if own is None else number(own.value),
        "" if own is None else "ok" if row.reached(own.value) else "MISSED",
        "" if own is None or own.wall_s is None else f"{number(own.wall_s)} s",
        f"{result.load:.1f}",
        ", ".join(f"{peer} {number(figure.value)}" for peer, figure in peers) or "-",
    ]


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
