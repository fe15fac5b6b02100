"""`gitexp show`: everything about one run."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.records import run_to_json
from gitexp.cli.table import Cell, Column, choose, cut, render, width
from gitexp.cli.terminal import Terminal, look, printable, printable_lines, say, show_json
from gitexp.cli.values import (
    SHORT_COMMIT,
    ago,
    moment,
    number,
    person,
    plain,
    plural,
    size,
    sparkline,
    status_cell,
    took,
)
from gitexp.comparing import changed_since_commit
from gitexp.domain.comparison import FileChange, code_totals
from gitexp.domain.environment import Environment
from gitexp.domain.metrics import SYSTEM, History
from gitexp.domain.run import Input, ProjectSource, Status
from gitexp.reading import RunView

MOST = 40
TAIL = 10
SPARK = 24


@click.command(short_help="Show one run.")
@click.argument("run", type=RUN, default="@")
@click.option("--all", "everything", is_flag=True, help=f"Not only the first {MOST} params, metrics, artifacts.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: str, everything: bool, as_json: bool) -> None:
    """Show one run, the newest unless it is named: how it went, its params, metrics, artifacts, code, environment."""
    repository = open_repository()
    view = repository.get_run(run)
    changed = changed_since_commit(repository, view)
    if as_json:
        show_json(_to_json(view, changed))
        return
    terminal = look()
    most = 10**9 if everything else MOST
    sections = (
        _header(view, terminal),
        _params(view, terminal, most),
        _metrics(view, terminal, most),
        _artifacts(view, terminal, most),
        _around(view, changed, terminal),
        _warnings(view, terminal),
        _last_output(view, terminal),
        _plain_git(view, terminal),
    )
    for position, lines in enumerate(filter(None, map(list, sections))):
        if position:
            say()
        for line in lines:
            say(line)


def _header(view: RunView, terminal: Terminal) -> Iterator[str]:
    record, now = view.record, time.time()
    state = status_cell(record.status, terminal)
    ending = f" (exit code {record.exit_code})" if record.exit_code else f" ({record.signal})" if record.signal else ""
    yield "  ".join(
        (
            terminal.paint(printable(record.name), "bold"),
            terminal.paint(record.id, "dim"),
            terminal.paint(state.text + printable(ending), state.style),
        )
    )
    dot = f" {terminal.glyph('·', '-')} "
    when = f"{moment(record.start)} ({ago(record.start, now)})"
    length = took(record, now)
    facts = [printable(record.experiment), when]
    if length:
        facts.append(f"{'for' if record.status is Status.RUNNING else 'took'} {length}")
    who = " on ".join(printable(text) for text in (person(record.author or ""), record.host or "") if text)
    if who:
        facts.append(who)
    yield from _wrapped(facts, dot, terminal)
    if record.command:
        where = f"{printable(record.directory)} " if record.directory not in (None, ".", "") else ""
        yield terminal.paint(f"{where}$ ", "dim") + printable(_as_typed(record.command))
    if record.deleted:
        back = f"'gitexp restore {record.id}' brings it back"
        yield terminal.paint(f"removed {ago(record.deleted, now)}; {back}", "yellow")
    if view.tags:
        tags = [printable(f"{key}={value}" if value else key) for key, value in sorted(view.tags.items())]
        first, *rest = _wrapped(tags, ", ", terminal, indent=5)
        yield f"{terminal.paint('tags', 'dim')} {terminal.paint(first[5:], 'yellow')}"
        yield from (terminal.paint(line, "yellow") for line in rest)
    if record.note:
        yield ""
        yield from (f"  {line}".rstrip() for line in printable_lines(record.note))


def _params(view: RunView, terminal: Terminal, most: int) -> Iterator[str]:
    if view.params:
        keys = sorted(view.params)
        names = Column(title="", cells=[Cell(printable(key)) for key in keys[:most]], narrowest=12)
        values = Column(
            title="", cells=[Cell(plain(view.params[key]), "cyan") for key in keys[:most]], widest=1000, narrowest=8
        )
        yield _title("Params", "", terminal)
        yield from render([names, values], terminal, indent=2, titles=False)
        yield from _and_more(len(keys), most, terminal)


def _metrics(view: RunView, terminal: Terminal, most: int) -> Iterator[str]:
    machine = sorted(key for key in view.metrics if key.startswith(SYSTEM))
    keys = sorted(view.metrics.keys() - machine)
    if most > MOST:
        keys, machine = keys + machine, []
    if keys:
        histories = {key: view.history(key) for key in keys[:most]}
        columns = _metric_columns(view, histories, terminal)
        columns[0].title = "Metrics"
        columns[0].widest = 42
        head, *lines = render(choose(columns, terminal.width), terminal)
        yield head
        yield from lines
        yield from _and_more(len(keys), most, terminal)
    if machine:
        told = f"{len(machine)} of the machine; --all shows them"
        yield terminal.paint(f"  and {told}", "dim") if keys else _title("Metrics", told, terminal)


def _metric_columns(view: RunView, histories: dict[str, History], terminal: Terminal) -> list[Column]:
    names = Column(title="", cells=[Cell("  " + printable(key)) for key in histories], narrowest=14)
    last = Column(title="last", cells=[Cell(number(view.metrics[key]), "bold") for key in histories], right=True)
    columns = [names, last]
    moves = {key: _finite(history.values) for key, history in histories.items() if len(history) > 1}
    if moves:
        for title, pick in (("min", min), ("max", max)):
            cells = [Cell(number(pick(moves[key])) if moves.get(key) else "") for key in histories]
            columns.append(Column(title=title, cells=cells, right=True, rank=1))
        points = [Cell(f"{len(history):,}") for history in histories.values()]
        columns.append(Column(title="points", cells=points, right=True, rank=2))
        sparks = [Cell(sparkline(moves.get(key, []), SPARK, terminal), "cyan") for key in histories]
        columns.append(Column(title="", cells=sparks, rank=3))
    return columns


def _finite(values: array[float]) -> list[float]:
    return [value for value in values if value - value == 0]


def _artifacts(view: RunView, terminal: Terminal, most: int) -> Iterator[str]:
    artifacts = list(view.artifacts.values())
    if artifacts:
        total = size(sum(artifact.size_bytes for artifact in artifacts))
        here = sum(artifact.is_here for artifact in artifacts)
        away = "" if here == len(artifacts) else f"; {here:,} of them here: gitexp get {view.id} fetches the others"
        yield _title("Artifacts", f"{plural(len(artifacts), 'file')}, {total}{away}", terminal)
        shown = artifacts[:most]
        columns = [
            Column(title="", cells=[Cell(printable(item.path)) for item in shown], widest=1000, narrowest=12),
            Column(title="", cells=[Cell(size(item.size_bytes)) for item in shown], right=True),
            Column(title="", cells=[Cell("" if item.is_here else "not here", "yellow") for item in shown]),
        ]
        yield from render(columns, terminal, indent=2, titles=False)
        yield from _and_more(len(artifacts), most, terminal)


def _around(view: RunView, changed: list[FileChange] | None, terminal: Terminal) -> Iterator[str]:
    """Code and environment, a line or two each."""
    rows = [("Code", _code(view, changed)), ("Environment", _environment(view.environment))]
    parent, inputs = view.record.parent, view.record.inputs
    if parent:
        rows.append(("Parent", [parent]))
    if view.record.reproduces:
        rows.append(("Reproduces", [view.record.reproduces]))
    project = view.record.project
    if project:
        rows.append(("Project", _project(project)))
    if inputs:
        rows.append(("Inputs", [_input(item) for item in inputs]))
    for name, facts in rows:
        if facts:
            first, *rest = _wrapped(facts, ", ", terminal, indent=13)
            yield f"{terminal.paint(name.ljust(13), 'bold')}{first.strip()}"
            yield from rest


def _input(item: Input) -> str:
    made = f" of run {item.run}" if item.run and item.kind != "run" else ""
    return printable(f"{item.kind} {item.name}{made}{f' ({item.context})' if item.context else ''}")


def _code(view: RunView, changed: list[FileChange] | None) -> list[str]:
    code = view.record.code
    if code is None:
        return []
    branch = printable(code.branch or "")
    if code.commit is None:
        facts = [f"before the first commit{f' on {branch}' if branch else ''}"]
    else:
        facts = [f"{code.commit[:SHORT_COMMIT]}{f' on {branch}' if branch else ''}"]
    if changed:
        added, removed = code_totals(changed)
        facts.append(f"{plural(len(changed), 'file')} changed since (+{added:,} -{removed:,} lines)")
    elif code.commit:
        facts.append("with changes" if code.dirty else "nothing changed since")
    if code.skipped:
        facts.append(f"{plural(len(code.skipped), 'file')} not captured")
    return facts


def _project(project: ProjectSource) -> list[str]:
    facts = [f"{project.entry} of {project.address or 'this repository'}"]
    if project.folder != ".":
        facts.append(f"in {project.folder}")
    if project.commit:
        facts.append(f"at {project.commit[:SHORT_COMMIT]}")
    return [printable(fact) for fact in facts]


def _environment(environment: Environment | None) -> list[str]:
    if environment is None:
        return []
    python = environment.python
    cpu = python.get("cpu") or {}
    memory = python.get("memory_bytes")
    facts = [
        f"{_implementation(python)} {python['version']}" if python.get("version") else "",
        python.get("platform", ""),
        f"{plural(cpu['count'], 'CPU')}" if cpu.get("count") else "",
        f"{size(memory)} memory" if memory else "",
        *python.get("gpus", ()),
        plural(len(environment.requirements), "package") if environment.requirements else "",
    ]
    return [printable(str(fact)) for fact in facts if fact]


def _implementation(python: Mapping[str, Any]) -> str:
    name = str(python.get("implementation", "Python"))
    return "Python" if name.lower() == "cpython" else name


def _warnings(view: RunView, terminal: Terminal) -> Iterator[str]:
    if view.record.warnings:
        yield _title("Warnings", "", terminal)
        for warning in view.record.warnings:
            yield "  " + terminal.paint(printable(warning), "yellow")


def _last_output(view: RunView, terminal: Terminal) -> Iterator[str]:
    """The end of what a run that went wrong printed: usually its traceback."""
    if view.status in (Status.FAILED, Status.CRASHED) and view.output:
        lines = printable_lines(view.output[-16_384:].decode("utf-8", "replace"))
        yield _title("Output", "its end" if len(lines) > TAIL else "", terminal)
        for line in lines[-TAIL:]:
            yield "  " + cut(line, terminal.width - 2, terminal.ellipsis)


def _plain_git(view: RunView, terminal: Terminal) -> Iterator[str]:
    if view.commit:
        commit = view.commit[:SHORT_COMMIT]
        seen = f"git show {commit}:params.yaml"
        listed = f"git ls-tree -r --name-only {commit}"
        yield terminal.paint(f"In plain git: {seen}", "dim")
        yield terminal.paint(f"              {listed}", "dim")


def _title(title: str, fact: str, terminal: Terminal) -> str:
    return terminal.paint(title, "bold") + (f"  {terminal.paint(fact, 'dim')}" if fact else "")


def _and_more(count: int, most: int, terminal: Terminal) -> Iterator[str]:
    if count > most:
        yield terminal.paint(f"  and {count - most:,} more; --all shows them", "dim")


def _wrapped(facts: list[str], separator: str, terminal: Terminal, indent: int = 0) -> list[str]:
    """Facts in as many lines as they need, broken only between facts."""
    lines: list[str] = []
    for fact in facts:
        fact = cut(fact, terminal.width - indent, terminal.ellipsis)
        if lines and width(lines[-1] + separator + fact) <= terminal.width:
            lines[-1] += separator + fact
        else:
            lines.append(" " * indent + fact)
    return lines


def _as_typed(command: tuple[str, ...]) -> str:
    import shlex  # only for a person's eyes

    return shlex.join(command)


def _to_json(view: RunView, changed: list[FileChange] | None) -> dict[str, Any]:
    environment = view.environment
    return {
        **run_to_json(view.summary),
        "history": {key: _history_to_json(history) for key, history in view.histories().items()},
        "artifacts": [
            {"path": path, "size": artifact.size_bytes, "sha256": artifact.sha256, "is_here": artifact.is_here}
            for path, artifact in view.artifacts.items()
        ],
        "environment": environment
        and {"python": dict(environment.python), "requirements": list(environment.requirements)},
        "code_changes": None
        if changed is None
        else [
            {"path": file.path, "kind": file.kind.value, "added": file.added, "removed": file.removed}
            for file in changed
        ],
    }


def _history_to_json(history: History) -> dict[str, Any]:
    finite = _finite(history.values)
    return {
        "points": len(history),
        "first_step": min(history.steps, default=None),
        "last_step": max(history.steps, default=None),
        "min": min(finite, default=None),
        "max": max(finite, default=None),
    }
