"""`gitexp watch`: a live run, from another terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.records import run_to_json
from gitexp.cli.table import Cell, Column, choose, cut, render
from gitexp.cli.terminal import Terminal, look, printable, printable_lines, say, show_json, tell
from gitexp.cli.values import number, plain, plural, sparkline, status_cell, took
from gitexp.domain.course import Course
from gitexp.domain.metrics import History
from gitexp.domain.summary import RunSummary
from gitexp.errors import NotFound
from gitexp.following import Follower, Progress, newest_live
from gitexp.repo import Repository

LAST_BYTES = 32_768
LAST_LINES = 10
MOST_PARAMS = 8
FEWEST_LINES = 3
"""Lines of output that are shown however many metrics there are."""
SPARK = 24

_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


@click.command(short_help="Watch a live run.")
@click.argument("run", required=False, type=RUN)
@click.option("--interval", type=click.FloatRange(min=0.02), default=1.0, show_default=True, help="In seconds.")
@click.option("--from-start", is_flag=True, help="In a pipe: what was logged and printed before, too.")
@click.option("--json", "as_json", is_flag=True, help="One event a line, for programs.")
def command(run: str | None, interval: float, from_start: bool, as_json: bool) -> None:
    """Watch a run while it is recorded (the newest live one, unless named): its metrics and the end of its output.

    Ends when the run ends, and says how. Ctrl-C ends the watching, never the run. Where stdout is no terminal, new
    output and metrics are printed as they come, as 'tail -f' does.

    \b
    gitexp watch
    gitexp watch baseline --interval 0.5
    gitexp watch --json | jq 'select(.event == "points")'
    """
    repository = open_repository()
    summary = _chosen(repository, run)
    if summary is None:
        return
    terminal = look()
    show: _Show = _Events() if as_json else _Lines(terminal) if terminal.is_pipe else _View(terminal)
    is_whole = from_start and not isinstance(show, _View)
    if summary.commit is not None:
        show.end(summary)
        return
    follower = Follower(repository, summary.record.id, last_bytes=None if is_whole else LAST_BYTES)
    try:
        _follow(follower, show, interval, is_whole=is_whole)
    except KeyboardInterrupt:
        show.leave()
        tell(f"'{printable(summary.record.name)}' goes on.")
        raise


def _chosen(repository: Repository, name: str | None) -> RunSummary | None:
    """The run to watch; None where none is live, which is said."""
    if name is not None:
        return repository.resolve(name)
    try:
        return newest_live(repository)
    except NotFound:
        last = repository.search(limit=1)
        tell("No run is live." + ("" if last else " Record the first: gitexp run train.py"))
        return last[0] if last else None


def _follow(follower: Follower, show: _Show, interval: float, *, is_whole: bool) -> None:
    progress = follower.look()
    show.begin(progress, is_whole=is_whole)
    while not progress.is_over:
        time.sleep(interval)
        progress = follower.look()
        show.go_on(progress)
    show.end(progress.run)


class _Show(Protocol):
    """What is done with what comes."""

    def begin(self, progress: Progress, *, is_whole: bool) -> None:
        """The first look; `is_whole`: all that was logged before is wanted."""

    def go_on(self, progress: Progress) -> None: ...
    def end(self, run: RunSummary) -> None: ...
    def leave(self) -> None: ...


class _Events:
    """JSON, one event a line."""

    def begin(self, progress: Progress, *, is_whole: bool) -> None:
        self._tell("run", run=run_to_json(progress.run))
        self._tell_new(progress if is_whole else _without_points(progress))

    def go_on(self, progress: Progress) -> None:
        self._tell_new(progress)

    def end(self, run: RunSummary) -> None:
        self._tell("end", run=run_to_json(run))

    def leave(self) -> None:
        pass

    def _tell_new(self, progress: Progress) -> None:
        if progress.output:
            self._tell("output", text=progress.output.decode("utf-8", "backslashreplace"))
        for key, history in progress.points.items():
            self._tell("points", metric=key, points=[list(point) for point in history])

    def _tell(self, event: str, **more: Any) -> None:
        show_json({"event": event, **more}, indent=None)
        sys.stdout.flush()


class _Lines:
    """Output as it is printed, and a line for the metrics of each step."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._is_open = False

    def begin(self, progress: Progress, *, is_whole: bool) -> None:
        say(_headline(progress.run, self._terminal))
        if is_whole:
            self.go_on(progress)
            return
        lines = progress.output.splitlines(keepends=True)[-LAST_LINES:]
        self._print(b"".join(lines))
        metrics = progress.run.metrics
        if metrics:
            self._say(self._terminal.paint(_values(metrics.items()), "cyan"))

    def go_on(self, progress: Progress) -> None:
        self._print(progress.output)
        steps: dict[int, list[tuple[str, float]]] = {}
        for key, history in progress.points.items():
            for step, value in zip(history.steps, history.numbers(), strict=True):
                steps.setdefault(step, []).append((key, value))
        for step in sorted(steps):
            self._say(self._terminal.paint(f"[{step}] {_values(steps[step])}", "cyan"))
        sys.stdout.flush()

    def end(self, run: RunSummary) -> None:
        self._say(_headline(run, self._terminal))

    def leave(self) -> None:
        pass

    def _print(self, output: bytes) -> None:
        if output:
            sys.stdout.flush()
            sys.stdout.buffer.write(output)
            self._is_open = not output.endswith(b"\n")

    def _say(self, line: str) -> None:
        """A line of our own, not in the middle of one of the run's."""
        say(f"\n{line}" if self._is_open else line)
        self._is_open = False


class _View:
    """A picture that is drawn anew, as high and wide as the terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._courses: dict[str, Course] = {}
        self._output = b""
        self._drawn = 0

    def begin(self, progress: Progress, *, is_whole: bool) -> None:  # noqa: ARG002 (all of it is in the picture)
        sys.stdout.write(_HIDE_CURSOR)
        self.go_on(progress)

    def go_on(self, progress: Progress) -> None:
        for key, history in progress.points.items():
            self._courses.setdefault(key, Course()).add(history)
        self._output = (self._output + progress.output)[-LAST_BYTES:]
        self._draw(progress.run)

    def end(self, run: RunSummary) -> None:
        if self._drawn:
            self._draw(run)
        else:
            say(_headline(run, self._terminal))
        self.leave()

    def leave(self) -> None:
        sys.stdout.write(_SHOW_CURSOR)
        sys.stdout.flush()

    def _draw(self, run: RunSummary) -> None:
        rows = 24
        with suppress(OSError, ValueError):
            rows = os.get_terminal_size(sys.stdout.fileno()).lines
        self._terminal = look()
        lines = list(self._picture(run, max(rows - 1, 8)))
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        sys.stdout.write(f"{up}\r\x1b[J" + "".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        self._drawn = len(lines)

    def _picture(self, run: RunSummary, rows: int) -> Iterator[str]:
        terminal = self._terminal
        yield _headline(run, terminal)
        if run.params:
            yield from _params(run, terminal)
        left = rows - 2 - bool(run.params)
        lines = printable_lines(self._output.decode("utf-8", "replace")) if self._output.strip() else []
        kept = min(len(lines) + 2, FEWEST_LINES + 2) if lines else 0
        metrics = list(self._metrics(run, left - kept))
        if metrics:
            yield ""
            yield from metrics
            left -= len(metrics) + 1
        if lines and left > 1:
            yield ""
            for line in lines[-(left - 1) :]:
                yield terminal.paint(cut(line, terminal.width, terminal.ellipsis), "dim")

    def _metrics(self, run: RunSummary, most: int) -> Iterator[str]:
        keys = sorted(run.metrics)
        shown = keys if len(keys) < most else keys[: max(most - 2, 1)]
        courses = [self._courses.get(key, Course()) for key in shown]
        if not shown:
            return
        steps = [Cell("" if course.last is None else str(course.last.step)) for course in courses]
        lows = [Cell(number(course.low) if course.low <= course.high else "") for course in courses]
        highs = [Cell(number(course.high) if course.low <= course.high else "") for course in courses]
        sparks = [Cell(sparkline(course.means(), SPARK, self._terminal), "cyan") for course in courses]
        columns = [
            Column(title="metric", cells=[Cell(printable(key)) for key in shown], narrowest=12),
            Column(title="last", cells=[Cell(number(run.metrics[key]), "bold") for key in shown], right=True),
            Column(title="step", cells=steps, right=True, rank=1),
            Column(title="min", cells=lows, right=True, rank=3),
            Column(title="max", cells=highs, right=True, rank=4),
            Column(title="", cells=sparks, rank=2),
        ]
        yield from render(choose(columns, self._terminal.width), self._terminal)
        if len(shown) < len(keys):
            yield self._terminal.paint(f"and {plural(len(keys) - len(shown), 'metric')} more", "dim")


def _headline(run: RunSummary, terminal: Terminal) -> str:
    record = run.record
    state = status_cell(record.status, terminal)
    ending = f" (exit code {record.exit_code})" if record.exit_code else f" ({record.signal})" if record.signal else ""
    facts = [
        (cut(printable(record.name), max(terminal.width - 50, 12), terminal.ellipsis), "bold"),
        (record.id, "dim"),
        (state.text + printable(ending), state.style),
        (took(record, time.time()), ""),
    ]
    return "  ".join(terminal.paint(text, style) for text, style in facts if text)


def _params(run: RunSummary, terminal: Terminal) -> Iterator[str]:
    shown = [f"{printable(key)}={plain(value)}" for key, value in list(run.params.items())[:MOST_PARAMS]]
    more = f"  and {len(run.params) - MOST_PARAMS} more" if len(run.params) > MOST_PARAMS else ""
    yield terminal.paint(cut("  ".join(shown) + more, terminal.width, terminal.ellipsis), "cyan")


def _values(pairs: Any) -> str:
    return "  ".join(f"{printable(key)}={number(value)}" for key, value in pairs)


def _without_points(progress: Progress) -> Progress:
    return Progress(run=progress.run, points=dict[str, History](), output=b"", is_over=progress.is_over)
