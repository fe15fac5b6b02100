"""Params in the command line of a program whose parser cannot be asked: `--key value`, `--key=value`, `key=value`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gitexp.domain.values import Value

_OPTION = re.compile(r"--([A-Za-z][\w.-]*)(?:=(.*))?", re.DOTALL)
_PAIR = re.compile(r"\+{0,2}([A-Za-z_][\w-]*(?:[./@][\w-]+)*)=(.*)", re.DOTALL)
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,4000})")
_FLOAT = re.compile(r"[+-]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|inf|nan)", re.IGNORECASE)
_TRUTHS = {"true": True, "false": False}


def read_pairs(words: Sequence[str]) -> dict[str, Value]:
    """The params that the arguments of a command seem to name, in their order.

    An option without a value is true, one that comes several times a list. Numbers, true and false become such; dashes
    in names become underscores, as in Python. Short options, other words, all after `--`, and the script that follows
    `-c` are left out.
    """
    found: dict[str, list[Value]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if word == "-c":
            del rest[:1]
            continue
        option, pair = _OPTION.fullmatch(word), _PAIR.fullmatch(word)
        if option is not None:
            name, value = option.groups()
            if value is None and rest and _is_value(rest[0]):
                value = rest.pop(0)
            found.setdefault(_name(name), []).append(True if value is None else parse_scalar(value))
        elif pair is not None:
            found.setdefault(_name(pair[1]), []).append(parse_scalar(pair[2]))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def parse_scalar(text: str) -> str | int | float | bool:
    """A number, true or false where `text` is one, else the text."""
    if text.lower() in _TRUTHS:
        return _TRUTHS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _is_value(word: str) -> bool:
    """Whether the word after an option is its value: no option itself, though maybe a negative number."""
    return not word.startswith("-") or word == "-" or not isinstance(parse_scalar(word), str)


def _name(name: str) -> str:
    return name.replace("-", "_")
