"""`gitexp diff`: two runs side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.records import run_to_json
from gitexp.cli.sidebyside import as_markdown, as_text
from gitexp.cli.terminal import Terminal, look, printable, say, show_json
from gitexp.comparing import code_diff, compare, content_changes, git_diff_command
from gitexp.domain.comparison import Comparison, FileChange
from gitexp.reading import RunView


@click.command(short_help="Compare two runs.")
@click.argument("before", metavar="A", type=RUN)
@click.argument("after", metavar="[B]", type=RUN, default="@")
@click.option("--code", is_flag=True, help="The unified diff of the code.")
@click.option("--all", "everything", is_flag=True, help="What is the same, too.")
@click.option("--json", "form", flag_value="json", help="For programs.")
@click.option("--markdown", "form", flag_value="markdown", help="Tables for a pull request.")
@click.option("--exit-code", is_flag=True, help="Leave with 1 where the runs differ, as 'git diff' does.")
@click.pass_context
def command(
    ctx: click.Context, before: str, after: str, code: bool, everything: bool, form: str | None, exit_code: bool
) -> None:
    """Show what differs from run A to run B (the newest, unless named): params, metrics, code, environment, artifacts.

    Ends with the plain 'git diff' that says the same.
    """
    repository = open_repository()
    one, other = repository.get_run(before), repository.get_run(after)
    terminal = look()
    if code and form is None:
        differs = _show_code(code_diff(repository, one, other), terminal)
    else:
        found = compare(repository, one, other)
        differs = not found.same
        if form == "json":
            lines = code_diff(repository, one, other) if code else None
            shown = _to_json(one, other, found, lines)
            contents = content_changes(one, other, found)
            shown["contents"] = {path: asdict(change) for path, change in contents.items()}
            show_json(shown)
        elif form == "markdown":
            say(as_markdown(one, other, found, content_changes(one, other, found), everything=everything))
            if code:
                _show_fenced(code_diff(repository, one, other))
        else:
            contents = content_changes(one, other, found)
            for line in as_text(one, other, found, contents, terminal, everything=everything):
                say(line)
    if exit_code and differs:
        ctx.exit(1)


def _show_code(lines: Iterable[str], terminal: Terminal) -> bool:
    """Print a unified diff: as it is for a program, safe and in colour on a terminal."""
    something = False
    for line in lines:
        something = True
        if terminal.is_pipe and not terminal.colour:
            sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape"))
        else:
            for part in line.removesuffix("\n").split("\n"):
                say(terminal.paint(_tabs(part), _style(part)))
    return something


def _tabs(line: str) -> str:
    return "\t".join(map(printable, line.split("\t")))


def _style(line: str) -> str:
    if line.startswith(("diff ", "--- ", "+++ ", "index ", "new file", "deleted file", "old mode", "new mode")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")


def _show_fenced(lines: Iterable[str]) -> None:
    text = "".join(map(_tabs_of_lines, lines))
    if text:
        fence = "`" * (3 + max((len(run) for run in _backticks(text)), default=0))
        say(f"\n{fence}diff\n{text}{fence}")


def _tabs_of_lines(text: str) -> str:
    return "".join(f"{_tabs(line)}\n" for line in text.removesuffix("\n").split("\n"))


def _backticks(text: str) -> Iterator[str]:
    import re  # only for --markdown --code

    return (found.group() for found in re.finditer("`+", text))


def _to_json(before: RunView, after: RunView, found: Comparison, lines: Iterable[str] | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "before": run_to_json(before.summary),
        "after": run_to_json(after.summary),
        "same": found.same,
        "record": [asdict(change) for change in found.record],
        "params": [asdict(change) for change in found.params],
        "metrics": [asdict(change) for change in found.metrics],
        "code": None if found.code is None else [_file_to_json(file) for file in found.code],
        "outputs_in_code": list(found.outputs),
        "environment": [asdict(change) for change in found.python],
        "packages": [asdict(change) for change in found.packages],
        "artifacts": [asdict(change) for change in found.artifacts],
        "git": git_diff_command(before, after),
    }
    if lines is not None:
        made["code_diff"] = "".join(lines)
    return made


def _file_to_json(file: FileChange) -> dict[str, Any]:
    return {"path": file.path, "kind": file.kind.value, "added": file.added, "removed": file.removed}
