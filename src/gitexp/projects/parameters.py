"""Typed parameters of entry points: from what a person typed to a value, or an error that says what is allowed."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlsplit

from gitexp.domain.values import Value
from gitexp.errors import UsageError


class Type(StrEnum):
    """What a parameter is."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    PATH = "path"
    URI = "uri"
    CHOICE = "choice"


_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_WHAT = {
    Type.INT: "a whole number",
    Type.FLOAT: "a number",
    Type.BOOL: "true or false",
    Type.URI: "a URI like s3://bucket/file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter that an entry point declares.

    Attributes:
        default: as in the file; None where there is none.
        choices: what its value may be; empty for anything.
        low, high: the range of a number, ends included.
        is_required: whether it must be given.
        must_exist: whether a path must lead to something.
    """

    name: str
    type: Type = Type.STRING
    default: Value = None
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    help: str = ""
    is_required: bool = False
    must_exist: bool = False

    def read(self, text: str) -> Setting:
        """The value that a person typed.

        Raises:
            UsageError: it is not allowed; the message says what is.
        """
        value = self._value(text)
        if value is None or (self.choices and text not in self.choices):
            raise UsageError(f"The parameter '{self.name}' is {self.allowed}, not '{text}'.")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not self._is_in_range(value):
            raise UsageError(f"The parameter '{self.name}' is {self.allowed}, not {text}.")
        return Setting(text=text, value=value)

    @property
    def allowed(self) -> str:
        """What its values are, like "a number from 0 to 1"."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        what = _WHAT.get(self.type, f"a {self.type}")
        return f"{what} {self.range}".rstrip()

    @property
    def range(self) -> str:
        """Like "from 0 to 1"; empty where there is none."""
        low = "" if self.low is None else f"{self.low:g}"
        high = "" if self.high is None else f"{self.high:g}"
        if low and high:
            return f"from {low} to {high}"
        return f"of at least {low}" if low else f"of at most {high}" if high else ""

    def _value(self, text: str) -> Value:
        """None where `text` is no such value."""
        match self.type:
            case Type.INT:
                return int(text) if _INTEGER.match(text) else None
            case Type.FLOAT:
                return _float(text)
            case Type.BOOL:
                return _BOOLS.get(text.lower())
            case Type.URI:
                return text if urlsplit(text).scheme else None
            case _:
                return text

    def _is_in_range(self, value: float) -> bool:
        if math.isnan(value):
            return self.low is None and self.high is None
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A parameter's value: `text` is what the command gets, `value` what is recorded."""

    text: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRoots:
    """What relative paths mean, and which are handed on as relative ones.

    A path inside `tree` is given as seen from `folder`, where the command works: so the record of the run holds for
    any other checkout. All others are absolute.

    Attributes:
        folder: the project's; defaults are relative to it.
        caller: where the person is; what they type is relative to it.
        tree: the top of the work tree that the command runs in.
    """

    folder: str
    caller: str
    tree: str

    def find(self, parameter: Parameter, setting: Setting, *, is_default: bool) -> Setting:
        """The setting of a `path` parameter, with the path that the command gets.

        Raises:
            UsageError: nothing is there, or it is the address of something elsewhere.
        """
        path = _local(setting.text)
        if path is None:
            raise UsageError(
                f"The parameter '{parameter.name}' is a path, and '{setting.text}' is not on this machine.",
                hint="Download it first, and give its path.",
            )
        start = self.folder if is_default else self.caller
        whole = os.path.normpath(os.path.join(start, os.path.expanduser(path)))
        if parameter.must_exist and not os.path.exists(whole):
            raise UsageError(f"The parameter '{parameter.name}' is '{setting.text}', but there is no such file.")
        tree = os.path.realpath(self.tree)
        real = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
        if real == tree or real.startswith(tree.rstrip("/") + "/"):
            shown = os.path.relpath(real, os.path.realpath(self.folder))
            return Setting(text=shown, value=shown)
        return Setting(text=whole, value=whole)


def shown_default(value: Any, *, in_python: bool = False) -> str:
    """A default as the text that a command gets; `in_python`: true is `True`, as MLflow has it."""
    if isinstance(value, bool) and not in_python:
        return "true" if value else "false"
    return str(value)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _local(text: str) -> str | None:
    """The path that a path or `file:` URI means; None for what is elsewhere."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return unquote(parts.path)
    return None
