"""How `gitexp run` speaks of projects: their help, the question before the first run, and how their steps went."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from gitexp.cli.opening import open_repository
from gitexp.cli.progress import Progress
from gitexp.cli.sharing import engine
from gitexp.cli.table import Cell, Column, render
from gitexp.cli.terminal import Terminal, look, printable, say, tell
from gitexp.cli.values import ago
from gitexp.errors import NotARepository, NotFound
from gitexp.projects.checkout import checked_out
from gitexp.projects.launching import (
    Introduction,
    Listeners,
    ProjectRequest,
    ProjectResult,
    StepResult,
    run_project,
)
from gitexp.projects.parameters import Parameter, shown_default
from gitexp.projects.reading import read_project
from gitexp.projects.specification import EntryPoint, Project
from gitexp.running.launch import LaunchRequest


def run(address: str, said: Mapping[str, Any], launch: LaunchRequest) -> ProjectResult:
    """Run an entry point of the project at `address`; `said` are the options of `gitexp run`."""
    _tell_of_recovered()
    request = ProjectRequest(
        address=address,
        entry=said["entry"],
        params=parse_params(said["params"]),
        environment=said["environment"],
        force=said["force"],
        launch=launch,
    )
    agreed = bool(said["yes"])
    listeners = Listeners(
        say=lambda text: tell(printable(text)),
        warn=warn,
        on_step=_tell_of_step,
        confirm=lambda introduction: _confirm(introduction, agreed=agreed),
        fetching=_fetching,
    )
    result = run_project(request, listeners=listeners, engine=engine())
    if not result.is_whole:
        tell(f"The step '{printable(result.entry)}' {result.result.status}, so what comes after it was not run.")
    return result


def show_help(address: str, entry: str | None) -> None:
    """Show the entry points of a project, with their parameters; nothing of it is run."""
    checkout = checked_out(
        address,
        directory=os.getcwd(),
        environ=os.environ,
        engine=engine(),
        fetching=_fetching,
        say=lambda text: tell(printable(text)),
    )
    with checkout as found:
        project = read_project(found.folder)
    terminal = look()
    points = list(project.entry_points.values()) if entry is None else [project.entry_point(entry)]
    say(f"Usage: gitexp run {printable(address)} [-e ENTRY] [-P NAME=VALUE]... [OPTIONS]")
    title = ": ".join(printable(text) for text in (project.name or "", project.help) if text)
    if title:
        say()
        say(f"  {title}")
    if not points:
        say()
        say("  No file says what its entry points are: -e SCRIPT runs a script of it (.py, .sh).")
    default = _default_of(project)
    for point in points:
        say()
        for line in _entry_help(point, project, terminal, is_default=point.name == default):
            say(line)
    say()
    say("'gitexp run --help' tells the other options; they may stand after the address as well.")


def parse_params(texts: Sequence[str]) -> dict[str, str]:
    """`name=value` of each; the last of several with one name counts."""
    params = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark or not name:
            raise click.BadParameter(f"'{text}' is not NAME=VALUE.", param_hint="'-P'")
        params[name] = value
    return params


def warn(message: str) -> None:
    """A warning, on stderr."""
    terminal = look(sys.stderr)
    tell(f"{terminal.paint('gitexp: warning:', 'bold yellow')} {printable(message)}")


def _fetching() -> Progress:
    return Progress("Fetching")


def _tell_of_recovered() -> None:
    try:
        open_repository()
    except NotARepository:  # then it is cloned
        pass


def _tell_of_step(step: StepResult) -> None:
    if step.reused:
        tell(f"reused {printable(step.entry)}: {step.run_id}, {ago(step.start, time.time())}")
    else:
        tell(f"ran {printable(step.entry)}: {step.run_id}")


def _confirm(introduction: Introduction, *, agreed: bool) -> bool:
    terminal = look(sys.stderr)
    first, *others = introduction.commands
    rows = [
        ("commit", f'{introduction.commit[:12]} "{introduction.message}"'),
        ("by", introduction.author),
        ("runs", first),
        *(("", command) for command in others),
        ("in", introduction.environment),
    ]
    tell(f"Nothing from {terminal.paint(printable(introduction.address), 'bold')} was ever run here.")
    for name, text in rows:
        tell(f"  {terminal.paint(name.ljust(7), 'dim')} {printable(text)}")
    if agreed or not terminal.interactive:
        return agreed
    return click.confirm("Its code can do whatever you can do. Run it?", err=True)


def _default_of(project: Project) -> str:
    try:
        return project.entry_point(None).name
    except NotFound:
        return ""


def _entry_help(point: EntryPoint, project: Project, terminal: Terminal, *, is_default: bool) -> Iterator[str]:
    marked = f"{terminal.paint(printable(point.name), 'bold')}{'  (default)' if is_default else ''}"
    yield f"{marked}  {printable(point.help)}".rstrip()
    what = point.command or (f"python -m {point.module}" if point.module else _script_shown(point.script or ""))
    for number, line in enumerate(what.strip().splitlines()):
        yield f"  {terminal.paint('$' if not number else ' ', 'dim')} {printable(line)}"
    for name, items in (("after", point.after), ("reads", point.inputs), ("makes", point.outputs)):
        if items:
            yield f"  {terminal.paint(name, 'dim')} {printable(', '.join(items))}"
    if point.parameters:
        names = Column(title="", cells=[Cell(printable(item.name)) for item in point.parameters], narrowest=8)
        types = Column(title="", cells=[Cell(str(item.type), "cyan") for item in point.parameters])
        facts = Column(
            title="", cells=[Cell(printable(_facts(item, project))) for item in point.parameters], widest=1000
        )
        yield from render([names, types, facts], terminal, indent=2, titles=False)


def _script_shown(script: str) -> str:
    return f"{'bash' if script.endswith('.sh') else 'python'} {script}"


def _facts(parameter: Parameter, project: Project) -> str:
    is_mlflows = project.file is not None and project.file.lower() == "mlproject"
    facts = []
    if parameter.default is not None:
        facts.append(f"default {shown_default(parameter.default, in_python=is_mlflows)}")
    elif parameter.is_required:
        facts.append("required")
    if parameter.choices:
        facts.append(f"one of {', '.join(parameter.choices)}")
    if parameter.range:
        facts.append(parameter.range)
    told = ", ".join(facts)
    return f"{told}. {parameter.help}" if told and parameter.help else told or parameter.help
