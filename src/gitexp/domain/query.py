"""The search language: its text, and what is said about a mistake in it. `domain/matching.py` says what it means.

    metrics.rmse < 6.5 and (params.lr = 0.1 or tags."my tag" like "b%") and run.start > -7d

MLflow's filter and order strings are read as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NoReturn, TypeVar, cast

from gitexp.domain.matching import (
    ATTRIBUTES,
    And,
    Cell,
    Comparator,
    Equal,
    Field,
    FieldKind,
    Like,
    Not,
    Or,
    Order,
    Present,
    Query,
    SortKey,
    fields,
    matches,
    sort_summaries,
)
from gitexp.domain.query_tokens import KEYWORDS, Token, tokens
from gitexp.domain.query_values import Meaning, UnreadableValue, Written
from gitexp.errors import QueryError

__all__ = [
    "Field",
    "Query",
    "SortKey",
    "describe",
    "fields",
    "is_field_prefix",
    "matches",
    "parse",
    "parse_sort",
    "sort_summaries",
]

MOST_VALUES = 10_000
MOST_CONDITIONS = 500
DEEPEST = 16
"""With these limits no expression is too large for SQLite."""

_PREFIXES: dict[str, FieldKind] = {
    **dict.fromkeys(("params", "param", "parameters", "parameter"), "param"),
    **dict.fromkeys(("metrics", "metric"), "metric"),
    **dict.fromkeys(("tags", "tag"), "tag"),
    **dict.fromkeys(("run", "attributes", "attribute", "attr"), "run"),
}
_MLFLOW_ATTRIBUTES = {
    "run_id": "id",
    "run_name": "name",
    "start_time": "start",
    "end_time": "end",
    "user_id": "author",
    "experiment_name": "experiment",
}
_MLFLOW_TAGS = {
    "mlflow.runName": "name",
    "mlflow.user": "author",
    "mlflow.note.content": "note",
    "mlflow.parentRunId": "parent",
    "mlflow.source.name": "entry_point",
    "mlflow.source.git.commit": "commit",
    "mlflow.source.git.branch": "branch",
}
"""What MLflow keeps in tags and gitexp in the run's record."""

_ARTIFACTS = {"artifacts.count": "artifact_count", "artifacts.size": "artifact_bytes"}

_OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
_MEANT = {"&&": "and", "&": "and", "||": "or", "|": "or", "~": "like", "contains": "like '%...%'"}
_MOST_BEFORE, _MOST_AFTER = 50, 25

Read = TypeVar("Read")


def parse(text: str, *, now: float) -> Query:
    """The query that `text` asks; an empty text matches every run.

    Args:
        now: what relative times (`run.start > -7d`) count from, in seconds since 1970, UTC. Times written without a
            zone are in UTC.

    Raises:
        QueryError: the text cannot be read; the error knows where, and `describe` draws it.
    """
    parser = _Parser(text, now)
    if parser.next.kind == "end":
        return And(())
    query = parser.any_of(0)
    if parser.next.kind != "end":
        parser.expected("'and', 'or' or the end")
    return query


def parse_sort(text: str | Iterable[str]) -> tuple[SortKey, ...]:
    """The order that `text` asks for: `metrics.rmse`, `-metrics.rmse`, `metrics.rmse desc`, with commas between.

    Args:
        text: one such text, or several, as MLflow's `order_by` takes them.

    Raises:
        QueryError: the text cannot be read.
    """
    if not isinstance(text, str):
        return tuple(key for part in text for key in parse_sort(part))
    parser = _Parser(text, 0.0)
    if parser.next.kind == "end":
        return ()
    keys = [parser.sort_key()]
    while parser.take(","):
        keys.append(parser.sort_key())
    if parser.next.kind != "end":
        parser.expected("'asc', 'desc', ',' or the end")
    return tuple(keys)


def is_field_prefix(text: str) -> bool:
    """Whether a field may begin so, with a dot after it: `params`, `metric`, `run`."""
    return text.lower() in _PREFIXES or text.lower() == "artifacts"


def describe(error: QueryError) -> str:
    """The line of the expression where the trouble is, and under it a caret at the place."""
    import unicodedata  # only a mistake needs it

    start = error.text.rfind("\n", 0, error.position) + 1
    line = error.text[start:].split("\n", 1)[0]
    before, after = line[: error.position - start], line[error.position - start :]
    if len(before) > _MOST_BEFORE:
        before = "..." + before[-_MOST_BEFORE:]
    if len(after) > _MOST_AFTER:
        after = after[:_MOST_AFTER] + "..."
    shown = "".join(character if character.isprintable() else " " for character in before + after)
    width = sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in shown[: len(before)])
    return f"{shown}\n{' ' * width}^"


class _Parser:
    """Recursive descent, one token ahead; each method reads what its rule names.

    any_of    = all_of { "or" all_of }
    all_of    = negation { "and" negation }
    negation  = "not" negation | "(" any_of ")" | condition
    condition = field ( "=" | "!=" ) ( value | "null" ) | field ( "<" | "<=" | ">" | ">=" ) value
              | field [ "not" ] "in" "(" value { "," value } ")" | field [ "not" ] ( "like" | "ilike" ) value
              | field "is" [ "not" ] "null"
    """

    def __init__(self, text: str, now: float) -> None:
        self.text = text
        self.now = now
        self.values = 0
        self.conditions = 0
        self.tokens = tokens(text)
        self.next = next(self.tokens)

    def advance(self) -> Token:
        token = self.next
        self.next = next(self.tokens)
        return token

    def take(self, *wanted: str) -> str:
        """Step over the next token if its kind or keyword is one of `wanted`; which one it was, or an empty text."""
        for found in (self.next.kind, self.next.keyword):
            if found in wanted:
                self.advance()
                return found
        return ""

    def fail(self, message: str, *, at: int | None = None, hint: str = "") -> NoReturn:
        raise QueryError(message, text=self.text, position=self.next.start if at is None else at, hint=hint)

    def expected(self, what: str, *, hint: str = "") -> NoReturn:
        token = self.next
        found = "the end" if token.kind == "end" else _shown(token.text + token.key)
        meant = _MEANT.get(token.text.lower())
        self.fail(f"Expected {what}, found {found}.", hint=hint or (f"Write {meant!r}." if meant else ""))

    def any_of(self, depth: int) -> Query:
        items = [self.all_of(depth)]
        while self.take("or"):
            items.append(self.all_of(depth))
        return items[0] if len(items) == 1 else Or(tuple(items))

    def all_of(self, depth: int) -> Query:
        items = [self.negation(depth)]
        while self.take("and"):
            items.append(self.negation(depth))
        return items[0] if len(items) == 1 else And(tuple(items))

    def negation(self, depth: int) -> Query:
        if depth > DEEPEST:
            self.fail(f"More than {DEEPEST} brackets and 'not' inside each other.")
        if self.take("not"):
            return Not(self.negation(depth + 1))
        if not self.take("("):
            return self.condition()
        inner = self.any_of(depth + 1)
        if not self.take(")"):
            self.expected("'and', 'or' or ')'")
        return inner

    def condition(self) -> Query:
        start = self.next.start
        self.count_conditions(1)
        meaning = self.field()
        field = meaning.field
        if operator := self.take("=", "!="):
            if self.take("null"):
                return Not(Present(field)) if operator == "=" else Present(field)
            equal = self.value(meaning.equal)
            return equal if operator == "=" else _there_but_not(field, equal)
        if operator := self.take("<", "<=", ">", ">="):
            return Order(field, cast(Comparator, operator), self.value(meaning.bound))
        if self.take("is"):
            negated = self.take("not")
            if not self.take("null"):
                self.expected("'null'" if negated else "'null' or 'not null'", hint="Compare values with '='.")
            return Present(field) if negated else Not(Present(field))
        negated = self.take("not")
        if self.take("in"):
            found = self.one_of(meaning)
        elif operator := self.take("like", "ilike"):
            if not meaning.has_text:
                self.fail(f"{_shown(self.text_since(start))} is not text.", at=start, hint="Compare it with = or <.")
            found = Like(field, self.value(meaning.pattern), ignore_case=operator == "ilike")
        else:
            usual = "" if negated else "'='," + " '!=', '<', '<=', '>', '>=', 'is', "
            self.expected(f"{usual}'in', 'like' or 'ilike'")
        return _there_but_not(field, found) if negated else found

    def one_of(self, meaning: Meaning) -> Query:
        if not self.take("("):
            self.expected("'('")
        items = [self.value(meaning.equal)]
        while self.take(","):
            items.append(self.value(meaning.equal))
        if not self.take(")"):
            self.expected("',' or ')'")
        cells: dict[Cell, None] = {}
        for item in items:
            if not isinstance(item, Equal):
                self.count_conditions(len(items))
                return Or(tuple(items))
            cells.update(dict.fromkeys(item.cells))
        return Equal(meaning.field, tuple(cells))

    def value(self, read: Callable[[Written], Read]) -> Read:
        token = self.next
        if token.kind not in ("word", "text") or token.keyword in KEYWORDS - {"true", "false"}:
            self.expected("a value", hint="Write 'is null' or 'is not null'." if token.keyword == "null" else "")
        prefix, dot, _ = token.text.partition(".")
        if token.kind == "word" and dot and prefix.lower() in _PREFIXES:
            self.expected("a value", hint="Two fields cannot be compared; quote it if it is a text.")
        self.values += 1
        if self.values > MOST_VALUES:
            self.fail(f"More than {MOST_VALUES:,} values in one expression.")
        try:
            meant = read(Written(token.text, quoted=token.kind == "text"))
        except UnreadableValue as error:
            self.fail(str(error), hint=error.hint)
        self.advance()
        return meant

    def count_conditions(self, more: int) -> None:
        self.conditions += more
        if self.conditions > MOST_CONDITIONS:
            self.fail(f"More than {MOST_CONDITIONS} conditions in one expression.")

    def sort_key(self) -> SortKey:
        token = self.next
        descending = token.kind in ("word", "field") and token.text.startswith("-")
        if descending:
            self.next = replace(token, text=token.text[1:], start=token.start + 1)
        field = self.field().field
        if self.next.kind == "word" and self.next.text.lower() in ("asc", "desc"):
            descending ^= self.advance().text.lower() == "desc"
        return SortKey(field, descending)

    def field(self) -> Meaning:
        token = self.next
        if token.kind not in ("word", "field") or token.keyword:
            self.expected("a field", hint="A field is params.KEY, metrics.KEY, tags.KEY or run.NAME.")
        if token.text.lower() in _ARTIFACTS:
            self.advance()
            return Meaning(Field("run", _ARTIFACTS[token.text.lower()]), self.now)
        prefix, dot, key = token.text.partition(".")
        kind = _PREFIXES.get(prefix.lower()) if dot else "run"
        if kind is None:
            self.fail(f"Unknown field {_shown(token.text + token.key)}.", hint=_like_prefix(prefix, key + token.key))
        if token.kind == "field" and key:
            at = token.start + len(token.text)
            self.fail("A quote inside a key.", at=at, hint=f"Quote the whole key: {prefix}.`...`")
        key = token.key or key if dot else prefix
        if not key:
            self.fail(f"Expected a key after {_shown(token.text)}.", at=token.start + len(token.text))
        if kind == "run":
            return self.attribute(token, key, is_bare=not dot)
        self.advance()
        if kind == "tag" and key in _MLFLOW_TAGS:
            return Meaning(Field("run", _MLFLOW_TAGS[key]), self.now)
        return Meaning(Field(kind, key), self.now)

    def attribute(self, token: Token, written: str, *, is_bare: bool) -> Meaning:
        lower = written.lower()
        name = _MLFLOW_ATTRIBUTES.get(lower, lower)
        if name not in ATTRIBUTES:
            hint = _like_attribute(written, is_bare)
            if is_bare:
                self.fail(f"Unknown field {_shown(written)}.", hint=hint)
            at = token.start + len(token.text) - (0 if token.key else len(written))
            self.fail(f"A run has no {_shown(written)}.", at=at, hint=hint)
        self.advance()
        return Meaning(Field("run", name), self.now, milliseconds=lower.endswith("_time"))

    def text_since(self, start: int) -> str:
        return self.text[start : self.next.start].split()[0]


def _there_but_not(field: Field, item: Query) -> Query:
    return And((Present(field), Not(item)))


def _shown(text: str) -> str:
    return f"'{text}'" if len(text) <= 40 else f"'{text[:37]}...'"


def _like_prefix(prefix: str, key: str) -> str:
    if prefix.lower() in ("artifact", "artifacts"):
        return f"Write {' or '.join(_ARTIFACTS)}."
    near = _nearest(prefix, [*_PREFIXES, *ATTRIBUTES])
    if near in _PREFIXES:
        return f"Did you mean {near}.{key}?"
    return f"Write params.{prefix}.{key}, metrics.{prefix}.{key} or tags.{prefix}.{key}."


def _like_attribute(written: str, is_bare: bool) -> str:
    near = _nearest(written, [*ATTRIBUTES, *_MLFLOW_ATTRIBUTES])
    if near:
        return f"Did you mean run.{near}?"
    if is_bare:
        return f"Write params.{written}, metrics.{written} or tags.{written}."
    return f"A run has {', '.join(ATTRIBUTES)}."


def _nearest(text: str, candidates: Iterable[str]) -> str:
    from difflib import get_close_matches  # only a mistake needs it

    return next(iter(get_close_matches(text.lower(), candidates, n=1, cutoff=0.7)), "")
