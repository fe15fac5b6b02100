"""How an error is shown: what happened, where, and what to type next."""

from __future__ import annotations

import os
import sys
import traceback

from gitexp.cli.table import width
from gitexp.cli.terminal import Terminal, look, printable, tell
from gitexp.errors import QueryError


def report(message: str, hint: str, *, query: QueryError | None = None) -> None:
    """Print `error: ...`, the place in a search expression, and `hint: ...`; with GITEXP_DEBUG the traceback too."""
    terminal = look(sys.stderr)
    if os.environ.get("GITEXP_DEBUG"):
        tell(traceback.format_exc())
    tell(f"{terminal.paint('error:', 'bold red')} {printable(message)}")
    if query is not None:
        for line in _pointed(query.text, query.position, terminal):
            tell(f"  {line}")
    if hint:
        tell(f"{terminal.paint('hint:', 'bold cyan')} {printable(hint)}")


def report_bug(error: Exception) -> None:
    """Print the traceback of a mistake of gitexp's own, and ask for a report."""
    terminal = look(sys.stderr)
    tell("".join(traceback.format_exception(error)).rstrip())
    tell(f"{terminal.paint('error:', 'bold red')} gitexp itself failed: this is a bug, not your mistake.")
    tell(f"{terminal.paint('hint:', 'bold cyan')} Please report it with the lines above. Nothing recorded is lost.")


def _pointed(text: str, position: int, terminal: Terminal) -> list[str]:
    """The expression, or as much of it as fits, and a line with a caret under `position`."""
    before, after = printable(text[:position]), printable(text[position:])
    room = terminal.width - 4
    if width(before + after) > room:
        before = before if len(before) <= room // 2 else terminal.ellipsis + before[-(room // 2) + 1 :]
        left = room - width(before)
        after = after if len(after) <= left else after[: left - 1] + terminal.ellipsis
    return [before + after, " " * width(before) + terminal.paint("^", "bold red")]
