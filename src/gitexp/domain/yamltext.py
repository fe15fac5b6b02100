"""The YAML that gitexp writes, and a quick reader of exactly that.

A subset that YAML 1.1 and 1.2 readers take alike (docs/format.md, 1.5). `load` reads only this subset, without
importing a YAML library and faster than one; for anything else it raises `NotCanonical`, and a general parser has to
be asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_PLAIN = re.compile(
    r"(?:(?:--?|<)[A-Za-z]|[A-Za-z_/(])"  # never a digit, sign or dot first: nothing that could be a number or a date
    r"(?:[A-Za-z0-9_./+@=()<>~^$;-]|,(?=\S)|:(?=[^\s])|(?<=[^\s:]) (?=[^\s#]))*\Z"
)
_RESERVED = frozenset("y n yes no on off true false null none nan inf".split())
_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]+(?:e[-+][0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    ".nan": float("nan"),
    ".inf": float("inf"),
    "-.inf": float("-inf"),
    "{}": {},
    "[]": [],
}
_LARGEST_DECIMAL_BITS = 13_000

_encode = json.JSONEncoder(ensure_ascii=False).encode
_decode = json.JSONDecoder().raw_decode


class NotCanonical(ValueError):
    """The text is not the subset that `dump` writes."""


def dump(mapping: Mapping[str, Any]) -> str:
    """The YAML text of a mapping of plain values, in the mapping's own order, ending in a newline."""
    if not mapping:
        return "{}\n"
    lines: list[str] = []
    _dump_mapping(lines, mapping, "")
    lines.append("")
    return "\n".join(lines)


def load(text: str) -> dict[str, Any]:
    """What `dump` was given.

    Raises:
        NotCanonical: the text was not written by `dump`; it may still be good YAML.
    """
    if text == "{}\n":
        return {}
    lines = text.split("\n")
    if not text or lines.pop():
        raise NotCanonical("the text does not end in a newline")
    try:
        value, line = _load_mapping(lines, 0, "")
    except (IndexError, ValueError) as error:
        raise NotCanonical(str(error)) from error
    if line != len(lines):
        raise NotCanonical(f"line {line + 1} is indented in another way")
    return value


def dump_scalar(value: object) -> str:
    """The text of one value on one line; lists and mappings inside lists are written in flow style."""
    kind = type(value)
    if kind is str:
        return _dump_text(value)  # type: ignore[arg-type]
    if kind is float:
        text = repr(value)
        if "n" in text:
            return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[text]
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if kind is int:
        number: int = value  # type: ignore[assignment]
        return hex(number) if number.bit_length() > _LARGEST_DECIMAL_BITS else str(number)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_dump_flow(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quote(key)}: {_dump_flow(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"cannot write {kind.__name__} as YAML")


def _dump_mapping(lines: list[str], mapping: Mapping[str, Any], indent: str) -> None:
    for key, value in mapping.items():
        name = indent + _dump_text(key)
        kind = type(value)
        if kind is dict and value:
            lines.append(name + ":")
            _dump_mapping(lines, value, indent + "  ")
        elif kind is list and value:
            lines.append(name + ":")
            for item in value:
                if type(item) is dict and item:
                    inner: list[str] = []
                    _dump_mapping(inner, item, indent + "  ")
                    inner[0] = f"{indent}- {inner[0][len(indent) + 2 :]}"
                    lines += inner
                else:
                    lines.append(f"{indent}- {dump_scalar(item)}")
        else:
            lines.append(f"{name}: {dump_scalar(value)}")


def _dump_flow(value: object) -> str:
    return _quote(value) if type(value) is str else dump_scalar(value)


def _dump_text(text: str) -> str:
    if len(text) <= 500 and _PLAIN.match(text) and text.lower() not in _RESERVED and text[-1] != ":":
        return text
    return _quote(text)


def _quote(text: str) -> str:
    quoted = _encode(text)
    return quoted if quoted.isascii() and "\x7f" not in quoted else _ESCAPE.sub(_escape, quoted)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def _load_mapping(lines: list[str], line: int, indent: str) -> tuple[dict[str, Any], int]:
    mapping: dict[str, Any] = {}
    width = len(indent)
    count = len(lines)
    while line < count:
        text = lines[line]
        if width:
            if not text.startswith(indent):
                break
            text = text[width:]
        if text[0] == '"':
            key, end = _decode(text)
            rest = text[end:]
            if rest == ":":
                found, value = False, ""
            elif rest.startswith(": "):
                found, value = True, rest[2:]
            else:
                raise NotCanonical(f"line {line + 1}: ':' is missing after a key")
        else:
            if text[0] == " " or text[:2] == "- ":
                break
            key, colon, value = text.partition(": ")
            found = bool(colon)
            if not found:
                if text[-1] != ":":
                    raise NotCanonical(f"line {line + 1}: ':' is missing")
                key = text[:-1]
            if not _PLAIN.match(key):
                raise NotCanonical(f"line {line + 1}: the key is not plain")
        if key in mapping:
            raise NotCanonical(f"line {line + 1}: {key!r} stands twice")
        line += 1
        if found:
            mapping[key] = _load_scalar(value)
        elif lines[line].startswith(indent + "- "):
            mapping[key], line = _load_list(lines, line, indent)
        else:
            mapping[key], line = _load_mapping(lines, line, indent + "  ")
            if not mapping[key]:
                raise NotCanonical(f"line {line + 1}: a block is empty")
    return mapping, line


def _load_list(lines: list[str], line: int, indent: str) -> tuple[list[Any], int]:
    items: list[Any] = []
    dash = indent + "- "
    inside = indent + "  "
    while line < len(lines) and lines[line].startswith(dash):
        text = lines[line][len(dash) :]
        if _starts_mapping(text):
            lines[line] = inside + text
            item, line = _load_mapping(lines, line, inside)
            items.append(item)
        else:
            items.append(_load_scalar(text))
            line += 1
    return items, line


def _starts_mapping(text: str) -> bool:
    if text[0] == '"':
        return text[_decode(text)[1] :].startswith(":")
    return text[0] not in "[{" and (": " in text or text[-1] == ":")


def _load_scalar(text: str) -> Any:
    first = text[0]
    if first == '"':
        value, end = _decode(text)
        if end != len(text):
            raise NotCanonical("there is something after a closing quote")
        return value
    if first in "0123456789-":
        if _FLOAT.match(text):
            return float(text)
        if _INTEGER.match(text):
            return int(text)
        if text.startswith(("0x", "-0x")):
            return int(text, 16)
    if text in _WORDS:
        word = _WORDS[text]
        return type(word)() if word == {} or word == [] else word
    if first in "[{":
        return _load_flow(text)
    if _PLAIN.match(text) and text.lower() not in _RESERVED:
        return text
    raise NotCanonical(f"{text[:40]!r} is not written as gitexp writes it")


def _load_flow(text: str) -> Any:
    value, end = _load_flow_at(text, 0)
    if end != len(text):
        raise NotCanonical("there is something after a closing bracket")
    return value


def _load_flow_at(text: str, at: int) -> tuple[Any, int]:
    first = text[at]
    if first == '"':
        return _decode(text, at)
    if first == "[":
        items: list[Any] = []
        at += 1
        while text[at] != "]":
            item, at = _load_flow_at(text, at)
            items.append(item)
            at = _next_item(text, at, "]")
        return items, at + 1
    if first == "{":
        mapping: dict[str, Any] = {}
        at += 1
        while text[at] != "}":
            key, at = _load_flow_at(text, at)
            if not isinstance(key, str) or text[at : at + 2] != ": ":
                raise NotCanonical("a flow mapping is not written as gitexp writes it")
            mapping[key], at = _load_flow_at(text, at + 2)
            at = _next_item(text, at, "}")
        return mapping, at + 1
    end = at
    while text[end] not in ",]}":
        end += 1
    word = text[at:end]
    if _PLAIN.match(word) and word not in _WORDS:
        raise NotCanonical("a text in a flow list is not quoted")
    return _load_scalar(word), end


def _next_item(text: str, at: int, closing: str) -> int:
    if text[at : at + 2] == ", ":
        return at + 2
    if text[at] != closing:
        raise NotCanonical("a flow list is not written as gitexp writes it")
    return at
