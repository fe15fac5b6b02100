"""What the terminal can do, and text made fit for it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import click

WIDTH_OF_A_PIPE = 120

_CODES = {
    "bold": "1",
    "dim": "2",
    "italic": "3",
    "underline": "4",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}

# Controls, what turns the reading direction round, invisible marks and lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Where results are shown.

    Attributes:
        width: columns that a line may take.
        colour: whether escape sequences for colours may be written.
        unicode: whether more than ASCII can be shown.
        interactive: whether a person can answer questions.
        is_pipe: whether what is written goes to a file or another program.
    """

    width: int = WIDTH_OF_A_PIPE
    colour: bool = False
    unicode: bool = True
    interactive: bool = False
    is_pipe: bool = True

    def paint(self, text: str, style: str = "") -> str:
        """`text` in a style such as "bold green", where colours are wanted."""
        if not style or not self.colour or not text:
            return text
        codes = ";".join(_CODES[word] for word in style.split())
        return f"\x1b[{codes}m{text}\x1b[0m"

    def glyph(self, unicode: str, plain: str) -> str:
        return unicode if self.unicode else plain

    @property
    def ellipsis(self) -> str:
        return self.glyph("…", "~")


def look(stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> Terminal:
    """The terminal behind `stream` (stdout where none is given)."""
    stream = stream or sys.stdout
    is_tty = stream.isatty()
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
    return Terminal(
        width=_width(stream, is_tty, environ),
        colour=_wants_colour(is_tty, environ),
        unicode=encoding.startswith(("utf", "cp65001")),
        interactive=is_tty and sys.stdin is not None and sys.stdin.isatty(),
        is_pipe=not is_tty,
    )


def printable(text: str) -> str:
    """`text` on one line, with everything that could steer a terminal shown as an escape."""
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


def printable_lines(text: str) -> list[str]:
    """The lines of `text`, each made `printable`; tabs become spaces, a carriage return shows what it left standing."""
    return [printable(_last_drawn(line).expandtabs(4)) for line in text.rstrip("\n").split("\n")]


def say(text: str = "") -> None:
    """A line of results, on stdout."""
    click.echo(text, color=True)


def tell(text: str) -> None:
    """A line of talk, on stderr."""
    click.echo(text, err=True, color=True)


def show_json(value: object, *, indent: int | None = 2) -> None:
    """`value` as JSON on stdout: NaN and infinities as strings, nothing that could steer a terminal.

    Args:
        indent: None: all on one line.
    """
    import json  # only here: most commands are read by people

    text = json.dumps(_strict(value), indent=indent, ensure_ascii=False, allow_nan=False)
    click.echo(text if text.isascii() else _UNSAFE_IN_JSON.sub(_json_escape, text))


def _width(stream: TextIO, is_tty: bool, environ: Mapping[str, str]) -> int:
    wanted = environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return max(int(wanted), 20)
    if is_tty:
        try:
            return max(os.get_terminal_size(stream.fileno()).columns or 80, 20)  # 0 where nobody set a size
        except (OSError, ValueError):
            return 80
    return WIDTH_OF_A_PIPE


def _wants_colour(is_tty: bool, environ: Mapping[str, str]) -> bool:
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_tty and environ.get("TERM") != "dumb"


def _last_drawn(line: str) -> str:
    if "\r" not in line:
        return line
    return next((part for part in reversed(line.split("\r")) if part), "")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    short = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    if short:
        return short
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def _json_escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def _strict(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
