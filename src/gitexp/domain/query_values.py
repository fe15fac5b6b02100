"""What a value written in a search means, which depends on the field it is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from gitexp.domain.config import parse_size
from gitexp.domain.matching import (
    FALSE,
    TRUE,
    And,
    Cell,
    Equal,
    Field,
    Like,
    Order,
    Query,
    attribute_cell,
    cell,
    text_cell,
)
from gitexp.domain.run import Status

ValueKind = Literal["any", "number", "seconds", "bytes", "time", "truth", "status", "commit", "text"]

_ATTRIBUTE_KINDS: dict[str, ValueKind] = {
    "status": "status",
    "start": "time",
    "end": "time",
    "deleted": "time",
    "duration": "seconds",
    "exit_code": "number",
    "commit": "commit",
    "dirty": "truth",
    "artifact_count": "number",
    "artifact_bytes": "bytes",
}
_NUMBER = re.compile(r"[-+]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[-+]?[0-9]+)?|inf|infinity|nan)\Z", re.IGNORECASE)
_LONGEST_NUMBER = 4_000
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_LENGTH = re.compile(r"(?P<sign>[-+]?)(?P<parts>(?:[0-9]+(?:\.[0-9]+)?(?:ms|[smhdw]))+)\Z")
_LENGTH_PART = re.compile(r"([0-9.]+)(ms|[smhdw])")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?P<hour>[T ]\d\d(?P<minute>:\d\d(?P<second>:\d\d(?P<part>\.\d{1,6})?)?)?)?(?:Z|[-+]\d\d:?\d\d)?\Z"
)
_TRUTHS = {"true": True, "True": True, "false": False, "False": False}
_STATUSES = tuple(status.value for status in Status)
_MLFLOW_STATUSES = ("scheduled", "unfinished")
"""Words that MLflow takes for a status and that no run here ever has."""


class UnreadableValue(ValueError):
    """The value makes no sense for the field. `hint` says what to write, or is empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Written:
    """A value as it stands in the expression."""

    text: str
    quoted: bool

    @property
    def truth(self) -> bool | None:
        """The boolean that it is, or that Python or YAML write so."""
        return _TRUTHS.get(self.text if self.quoted else self.text.lower())

    @property
    def number(self) -> int | float | None:
        """The number that it is, quoted or not."""
        if len(self.text) > _LONGEST_NUMBER or not _NUMBER.match(self.text):
            return None
        return int(self.text) if _INTEGER.match(self.text) else float(self.text)


@dataclass(frozen=True, slots=True)
class Meaning:
    """How values are read for one field.

    Attributes:
        now: what relative times count from, in seconds since 1970, UTC.
        milliseconds: a plain number is a time in milliseconds, as in MLflow's `start_time`.
    """

    field: Field
    now: float
    milliseconds: bool = False

    @property
    def kind(self) -> ValueKind:
        if self.field.kind == "run":
            return _ATTRIBUTE_KINDS.get(self.field.key, "text")
        return "number" if self.field.kind == "metric" else "any"

    @property
    def has_text(self) -> bool:
        return self.kind in ("any", "status", "commit", "text")

    def equal(self, written: Written) -> Query:
        """The condition that the field equals the value.

        Raises:
            UnreadableValue
        """
        if self.kind == "any":
            return Equal(self.field, _any_cells(written))
        if self.kind == "time":
            low, width = self._moment(written)
            return And((Order(self.field, ">=", low), Order(self.field, "<", low + width)))
        if self.kind == "commit":
            return Like(self.field, _plain_pattern(written.text.lower()) + "%", ignore_case=False)
        return Equal(self.field, (attribute_cell(self._plain(written)),))

    def bound(self, written: Written) -> int | float | str:
        """What the field is compared with by <, <=, > and >=.

        Raises:
            UnreadableValue
        """
        if self.kind == "truth" or (self.kind == "any" and not written.quoted and written.truth is not None):
            raise UnreadableValue("A boolean is neither below nor above anything.", "Compare it with = or !=.")
        bound = self._moment(written)[0] if self.kind == "time" else attribute_cell(self._plain(written))
        if not isinstance(bound, (int, float, str)):
            raise UnreadableValue("'nan' is neither below nor above anything.", "Compare it with = or !=.")
        return bound

    def pattern(self, written: Written) -> str:
        """What the field is compared with by `like`."""
        return written.text.lower() if self.kind in ("status", "commit") else written.text

    def _plain(self, written: Written) -> int | float | str:
        """The value where it stands for one number or text."""
        if self.kind in ("text", "commit"):
            return written.text
        if self.kind == "status":
            return _status(written.text)
        if self.kind == "seconds" and (length := _length(written.text)) is not None:
            return length
        number = written.number
        if self.kind == "bytes" and number is None:
            return _size(written.text)
        if self.kind == "any":
            return written.text if number is None else number
        if number is None and self.kind != "seconds" and written.truth is not None:
            return int(written.truth)
        if number is None or (self.kind == "truth" and number not in (0, 1)):
            raise UnreadableValue(*self._wanted())
        return number

    def _wanted(self) -> tuple[str, str]:
        if self.kind == "truth":
            return "Expected true or false.", ""
        if self.kind == "seconds":
            return "Expected seconds or a length of time.", "Write a number, or a length like 90s, 5m, 1h30m or 2d."
        return "Expected a number.", ""

    def _moment(self, written: Written) -> tuple[float, float]:
        """The moment as seconds since 1970, and how long it lasts as precisely as it is written."""
        number = cell(written.number)
        if isinstance(number, (int, float)):
            return number / 1000 if self.milliseconds else float(number), 0.001
        length = _length(written.text)
        if length is not None and written.text[0] == "-":
            return self.now + length, 0.001
        if length is not None:
            raise UnreadableValue("Expected a time.", f"Write -{written.text.lstrip('+')} for that long ago.")
        found = _TIME.match(written.text)
        if found is None:
            raise UnreadableValue(
                "Expected a time.", "Write a time like '2026-11-21' or '2026-11-21T08:30' (UTC), or -7d for a week ago."
            )
        try:
            moment = datetime.fromisoformat(written.text)
        except ValueError as error:
            raise UnreadableValue(f"There is no such time: {error}.") from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp(), _precision(found)


def _any_cells(written: Written) -> tuple[Cell, ...]:
    cells: list[Cell] = [text_cell(written.text)]
    number = written.number
    if number is not None:
        cells.append(cell(number))
    truth = written.truth
    if truth is not None:
        cells += [TRUE, "True", "true"] if truth else [FALSE, "False", "false"]
    return tuple(dict.fromkeys(cells))


def _status(text: str) -> str:
    status = text.lower()
    if status not in _STATUSES + _MLFLOW_STATUSES:
        raise UnreadableValue(f"There is no status {text!r}.", f"A status is {', '.join(_STATUSES)}.")
    return status


def _length(text: str) -> float | None:
    found = _LENGTH.match(text)
    if found is None:
        return None
    seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in _LENGTH_PART.findall(found["parts"]))
    return -seconds if found["sign"] == "-" else seconds


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise UnreadableValue("Expected bytes or a size.", "Write a number, or a size like 10MB or 64KiB.") from error


def _precision(found: re.Match[str]) -> float:
    if found["part"]:
        return max(10.0 ** -(len(found["part"]) - 1), 0.001)
    return 1.0 if found["second"] else 60.0 if found["minute"] else 3600.0 if found["hour"] else 86400.0


def _plain_pattern(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)
