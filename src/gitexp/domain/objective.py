"""What to look for in runs, and which way it is better: `metrics.rmse`, `-metrics.reward`, `run.duration`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitexp.domain.direction import Direction, direction
from gitexp.domain.matching import Field, field_cell
from gitexp.domain.query import is_field_prefix, parse_sort
from gitexp.domain.summary import RunSummary
from gitexp.errors import QueryError

_LOWER_FIELDS = ("duration", "artifact_count", "artifact_bytes")
_FAMILIES = {"param": "params", "metric": "metrics", "tag": "tags", "run": "run"}
_NAMES = {"artifact_count": "artifacts.count", "artifact_bytes": "artifacts.size"}
_PART = re.compile(r"""(?:[^,"'`]|"[^"]*"|'[^']*'|`[^`]*`|["'`])+""")


@dataclass(frozen=True, slots=True)
class Objective:
    """A number that every run may have, and which way it is better; None where neither name nor sign tells."""

    field: Field
    direction: Direction | None

    @property
    def name(self) -> str:
        """As a person writes it: `metrics.rmse`, `artifacts.size`."""
        known = _NAMES.get(self.field.key) if self.field.kind == "run" else None
        return known or f"{_FAMILIES[self.field.kind]}.{self.field.key}"

    def value(self, run: RunSummary) -> int | float | None:
        """The run's number; None where it has none, or NaN."""
        found = field_cell(self.field, run)
        return found if isinstance(found, (int, float)) else None

    def cost(self, value: float) -> float:
        """A number that is the lower the better `value` is."""
        return -value if self.direction is Direction.HIGHER else value


def parse_objectives(text: str, *, toward: Direction | None = None) -> tuple[Objective, ...]:
    """The objectives in `text`, with commas between: "metrics.rmse, -metrics.reward, +params.depth, run.duration".

    A minus means higher is better, a plus lower; without a sign a metric's name tells, and shorter runs, fewer and
    smaller artifacts are better. A key that names no field is that of a metric.

    Args:
        toward: which way the objectives without a sign are better.

    Raises:
        QueryError: the text cannot be read.
    """
    return tuple(_objective(part.strip(), toward) for part in _PART.findall(text) if part.strip())


def _objective(text: str, toward: Direction | None) -> Objective:
    sign, name = (text[0], text[1:].strip()) if text[0] in "+-" else ("", text)
    field = _field(name)
    if sign:
        return Objective(field, Direction.LOWER if sign == "+" else Direction.HIGHER)
    return Objective(field, toward or _known_direction(field))


def _field(name: str) -> Field:
    try:
        keys = parse_sort(name)
    except QueryError:
        prefix, dot, _ = name.partition(".")
        if (dot and is_field_prefix(prefix)) or not name or set(name) & set("\"'`()=<>! "):
            raise
        return Field("metric", name)
    if not keys:
        raise QueryError("Expected a field.", text=name, position=0)
    return keys[0].field


def _known_direction(field: Field) -> Direction | None:
    if field.kind == "run":
        return Direction.LOWER if field.key in _LOWER_FIELDS else None
    return direction(field.key) if field.kind == "metric" else None
