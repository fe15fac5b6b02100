"""A query and an order as SQL over the index's table of runs: what `gitexp.domain.matching` says, in SQLite's words.

Each condition gives 0 or 1, never NULL, so that NOT means the same as in Python.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from gitexp.domain.matching import (
    NAN,
    And,
    Cell,
    Equal,
    Field,
    Like,
    Not,
    Or,
    Order,
    Present,
    Query,
    SortKey,
    is_like,
)

Locate = Callable[[Field], str | None]
"""The SQL expression that gives a field's cell; None where no run has it."""


_NAN = f"x'{NAN.hex()}'"
_GROUP = 60
_FIRST_TEXT = "''"
_FIRST_BYTES = "x''"


class Statement:
    """SQL text being put together with its values."""

    def __init__(self, locate: Locate) -> None:
        self._locate = locate
        self.values: list[Cell] = []
        self._patterns: list[tuple[str, bool]] = []

    def condition(self, query: Query) -> str:
        match query:
            case And(items):
                return _joined("AND", [self.condition(item) for item in items], empty="1")
            case Or(items):
                return _joined("OR", [self.condition(item) for item in items], empty="0")
            case Not(item):
                return f"NOT {self.condition(item)}"
            case Present(field):
                return f"({self.locate(field)} IS NOT NULL)"
            case Equal(field, cells):
                return self._equal(self.locate(field), cells)
            case Order(field, comparator, bound):
                return self._order(self.locate(field), comparator, bound)
            case Like(field, pattern, ignore_case):
                self._patterns.append((pattern, ignore_case))
                return f"is_like({self.locate(field)}, {len(self._patterns) - 1})"

    def order(self, sort: Iterable[SortKey]) -> str:
        """The text after ORDER BY: what is missing or NaN last, then newest first, then by id."""
        keys = []
        for key in sort:
            found = self.number_or_text(key.field)
            keys += [f"{found} IS NULL", f"{found} DESC" if key.descending else found]
        return ", ".join([*keys, '"start" DESC', '"id"'])

    def number_or_text(self, field: Field) -> str:
        """The expression of a field's cell, NULL for NaN too."""
        return f"nullif({self.locate(field)}, {_NAN})"

    def locate(self, field: Field) -> str:
        return self._locate(field) or "NULL"

    def execute(self, db: sqlite3.Connection, sql: str) -> sqlite3.Cursor:
        if self._patterns:
            patterns = self._patterns
            db.create_function(
                "is_like", 2, lambda found, number: is_like(found, *patterns[number]), deterministic=True
            )
        return db.execute(sql, self.values)

    def value(self, value: Cell) -> str:
        self.values.append(value)
        return "?"

    def _equal(self, found: str, cells: Sequence[Cell]) -> str:
        if len(cells) > 3:
            return f"ifnull({found} IN ({', '.join(map(self.value, cells))}), 0)"
        return _joined("OR", [f"{found} IS {self.value(cell)}" for cell in cells], empty="0")

    def _order(self, found: str, comparator: str, bound: int | float | str) -> str:
        """SQLite puts numbers before text before bytes: a bound of one kind needs an end where the next begins."""
        is_text = isinstance(bound, str)
        compared = f"{found} {comparator} {self.value(bound)}"
        if comparator[0] == "<":
            return f"ifnull({compared} AND {found} >= {_FIRST_TEXT}, 0)" if is_text else f"ifnull({compared}, 0)"
        return f"ifnull({compared} AND {found} < {_FIRST_BYTES if is_text else _FIRST_TEXT}, 0)"


def _joined(word: str, conditions: list[str], *, empty: str) -> str:
    """The conditions joined as a balanced tree: SQLite refuses expressions that are 1,000 deep."""
    if len(conditions) <= 1:
        return conditions[0] if conditions else empty
    middle = len(conditions) // 2
    return (
        f"({_joined(word, conditions[:middle], empty=empty)} {word} {_joined(word, conditions[middle:], empty=empty)})"
    )
