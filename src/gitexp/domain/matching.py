"""What a search means: conditions on a run, and the order of results.

Every value is compared as its *cell*, one of the five kinds that SQLite orders the same way: nothing, numbers, text,
booleans, NaN. So the index in SQL and `matches` in Python cannot disagree about a value.

- A text that is written exactly as a number is (`"0.1"`, not `"0.10"`) is that number.
- A condition on a value that is not there is false; `Not` turns any false into true. A null param is not there.
- NaN is there, equals only NaN, and is neither below nor above anything.
"""

from __future__ import annotations

import operator as op
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from gitexp.domain import yamltext
from gitexp.domain.run import RunRecord
from gitexp.domain.summary import RunSummary

Cell = int | float | str | bytes | None
FieldKind = Literal["param", "metric", "tag", "run"]
Comparator = Literal["<", "<=", ">", ">="]

FALSE = b"\x00"
TRUE = b"\x01"
NAN = b"nan"

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}
_NUMBER_STARTS = frozenset("-0123456789")
_LONGEST_NUMBER = 25
_SMALLEST_INTEGER, _BEYOND_INTEGERS = -(2**63), 2**63


@dataclass(frozen=True, slots=True)
class Field:
    """What a condition looks at: a param, metric or tag by its key, or an attribute of the run by its name."""

    kind: FieldKind
    key: str


@dataclass(frozen=True, slots=True)
class Equal:
    """The field is one of `cells`."""

    field: Field
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """The field is of the bound's kind (number or text) and on that side of it."""

    field: Field
    comparator: Comparator
    bound: int | float | str


@dataclass(frozen=True, slots=True)
class Like:
    """The field's text has this shape: `%` any characters, `_` one; a backslash makes either plain."""

    field: Field
    pattern: str
    ignore_case: bool


@dataclass(frozen=True, slots=True)
class Present:
    """The field is there."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    item: Query


@dataclass(frozen=True, slots=True)
class And:
    """All of them; with no items everything matches."""

    items: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Or:
    items: tuple[Query, ...]


Query = Equal | Order | Like | Present | Not | And | Or


@dataclass(frozen=True, slots=True)
class SortKey:
    field: Field
    descending: bool = False


ATTRIBUTES: dict[str, Callable[[RunRecord], str | int | float | None]] = {
    "id": lambda record: record.id,
    "name": lambda record: record.name,
    "experiment": lambda record: record.experiment,
    "status": lambda record: record.status.value,
    "start": lambda record: record.start,
    "end": lambda record: record.end,
    "duration": lambda record: record.duration_s,
    "author": lambda record: record.author,
    "host": lambda record: record.host,
    "command": lambda record: " ".join(record.command) or None,
    "directory": lambda record: record.directory,
    "entry_point": lambda record: record.entry_point,
    "exit_code": lambda record: record.exit_code,
    "signal": lambda record: record.signal,
    "commit": lambda record: record.code.commit if record.code else None,
    "branch": lambda record: record.code.branch if record.code else None,
    "dirty": lambda record: int(record.code.dirty) if record.code else None,
    "parent": lambda record: record.parent,
    "note": lambda record: record.note,
    "artifact_count": lambda record: record.artifact_count,
    "artifact_bytes": lambda record: record.artifact_bytes,
    "deleted": lambda record: record.deleted,
}
"""The attributes of a run that a search can name, and how each is read."""


def matches(query: Query, summary: RunSummary) -> bool:
    """Whether the run is one that `query` asks for."""
    match query:
        case And(items):
            return all(matches(item, summary) for item in items)
        case Or(items):
            return any(matches(item, summary) for item in items)
        case Not(item):
            return not matches(item, summary)
        case Present(field):
            return field_cell(field, summary) is not None
        case Equal(field, cells):
            found = field_cell(field, summary)
            return found is not None and found in cells
        case Order(field, comparator, bound):
            return _in_order(field_cell(field, summary), comparator, bound)
        case Like(field, pattern, ignore_case):
            return is_like(field_cell(field, summary), pattern, ignore_case)


def sort_summaries(summaries: Iterable[RunSummary], sort: Iterable[SortKey] = ()) -> list[RunSummary]:
    """The runs in order: by each key in turn, then newest first, then by id. What is missing or NaN comes last.

    Numbers come before text, text before booleans; descending turns that round.
    """
    ordered = sorted(summaries, key=lambda summary: summary.record.id)
    ordered.sort(key=lambda summary: summary.record.start, reverse=True)
    for key in reversed(list(sort)):
        placed = [(field_cell(key.field, summary), summary) for summary in ordered]
        there = [(_rank(cell), cell, summary) for cell, summary in placed if cell is not None and cell != NAN]
        there.sort(key=lambda item: item[:2], reverse=key.descending)
        ordered = [summary for _, _, summary in there]
        ordered += [summary for cell, summary in placed if cell is None or cell == NAN]
    return ordered


def fields(query: Query) -> Iterator[Field]:
    """Every field that the query looks at, in its order, possibly more than once."""
    match query:
        case And(items) | Or(items):
            for item in items:
                yield from fields(item)
        case Not(item):
            yield from fields(item)
        case _:
            yield query.field


def field_cell(field: Field, summary: RunSummary) -> Cell:
    """The cell of a run that `field` names; None where it is not there."""
    if field.kind == "run":
        return attribute_cell(ATTRIBUTES[field.key](summary.record))
    if field.kind == "metric":
        return cell(summary.metrics.get(field.key))
    return cell(summary.params.get(field.key) if field.kind == "param" else summary.tags.get(field.key))


def cell(value: object) -> Cell:
    """What a recorded value is compared as. Integers beyond 64 bits are compared as floats, lists by their text."""
    kind = type(value)
    if kind is float:
        return value if value == value else NAN  # type: ignore[return-value]
    if kind is str:
        return text_cell(value)  # type: ignore[arg-type]
    if kind is int:
        return value if _SMALLEST_INTEGER <= value < _BEYOND_INTEGERS else _as_float(value)  # type: ignore
    if value is None:
        return None
    if value is True or value is False:
        return TRUE if value else FALSE
    return storable(yamltext.dump_scalar(value))


def text_cell(text: str) -> Cell:
    """The number that `text` is written as, else the text."""
    if text and text[0] in _NUMBER_STARTS and len(text) <= _LONGEST_NUMBER:
        try:
            number = float(text) if "." in text or "e" in text else int(text)
        except ValueError:
            return storable(text)
        if str(number) == text and type(cell(number)) is type(number):
            return number
    return storable(text)


def attribute_cell(value: object) -> Cell:
    """The cell of a run's attribute: text stays text, whatever it looks like."""
    return storable(value) if isinstance(value, str) else cell(value)


def storable(text: str) -> str:
    """The text with lone surrogates, which no UTF-8 file can hold, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def text_of(found: Cell) -> str | None:
    """The text that `like` looks at."""
    if isinstance(found, bytes):
        return {TRUE: "True", FALSE: "False"}.get(found, "nan")
    return None if found is None else str(found)


def is_like(found: Cell, pattern: str, ignore_case: bool) -> bool:
    text = text_of(found)
    return text is not None and _like_expression(pattern, ignore_case).match(text) is not None


@lru_cache(maxsize=64)
def _like_expression(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    """Each piece after a `%` is atomic: it takes the first place that fits, so nothing is ever tried again."""
    pieces = [""]
    for token in re.findall(r"\\[\\%_]|.", pattern, re.DOTALL):
        if token == "%":
            pieces.append("")
        else:
            pieces[-1] += "." if token == "_" else re.escape(token[-1])
    first, *later = pieces
    middle = "".join(f"(?>.*?{piece})" for piece in later[:-1] if piece)
    end = f".*{later[-1]}" if later else ""
    return re.compile(f"{first}{middle}{end}\\Z", re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _in_order(found: Cell, comparator: Comparator, bound: int | float | str) -> bool:
    if found is None or isinstance(found, bytes) or isinstance(found, str) is not isinstance(bound, str):
        return False
    return _COMPARE[comparator](found, bound)


def _rank(found: Cell) -> int:
    return 0 if isinstance(found, (int, float)) else 1 if isinstance(found, str) else 2


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
