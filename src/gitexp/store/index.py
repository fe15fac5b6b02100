"""The index of sealed runs: a cache in SQLite that lists, searches and sorts a hundred thousand of them at once.

It holds nothing that refs and commits do not say, so whatever is wrong with its file (damaged, of another version,
locked, read-only) ends in a new file or in an index in memory, never in an error.

"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from gitexp.domain.matching import (
    And,
    Cell,
    Equal,
    Field,
    FieldKind,
    Not,
    Order,
    Present,
    Query,
    SortKey,
    fields,
    storable,
)
from gitexp.domain.summary import BrokenRun, RunSummary
from gitexp.domain.values import Number
from gitexp.store.index_document import StoredSummary, is_whole
from gitexp.store.index_sql import Statement
from gitexp.store.index_tables import (
    RunSource,
    is_damage,
    locate,
    open_file,
    open_memory,
    read_artifacts,
    reading,
    refresh,
    remove_file,
)

__all__ = ["RunIndex", "RunSource"]

Deleted = Literal["no", "yes", "only"]
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The runs that have one value of a field.

    Attributes:
        cell: the value; None where the runs have none.
        measures: lowest, mean and highest last value of each metric asked for; None where no run has a number.
    """

    cell: Cell
    count: int
    measures: tuple[tuple[Number, float, Number] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How one field is spread over runs: how many have it, and its lowest and highest cell."""

    count: int
    low: Cell
    high: Cell


class RunIndex:
    """Answers about all sealed runs, as they were at the last `refresh`; the first question refreshes.

    Args:
        path: the SQLite file; it is created when its folder exists.
        source: what the index is derived from.
        wait_s: how long to wait for another process that writes the index, before doing without the file.
    """

    def __init__(self, path: str | os.PathLike[str], source: RunSource, *, wait_s: float = 5.0) -> None:
        self._path = os.fspath(path)
        self._source = source
        self._wait_s = wait_s
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._is_file = True
        self._is_fresh = False
        self._was_remade = False

    def refresh(self) -> None:
        """Take in what changed since the last time. Where nothing did, nothing but the source's fingerprint is read."""
        self._ask(lambda _: None, look_again=True)

    def rebuild(self) -> None:
        """Forget everything and read all runs again."""
        with self._lock:
            self.close()
            remove_file(self._path)
            self.refresh()

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    def __del__(self) -> None:
        self.close()  # a connection that is only dropped is worth a warning to Python 3.13

    def search(
        self,
        query: Query | None = None,
        *,
        sort: Iterable[SortKey] = (),
        limit: int | None = None,
        offset: int = 0,
        experiment: Sequence[str] | None = None,
        deleted: Deleted = "no",
    ) -> list[RunSummary]:
        """The runs that match, in order: by `sort`, then newest first, then by id; what is missing or NaN last.

        Args:
            experiment: only runs of experiments with one of these names.
            deleted: whether runs marked as removed are left out, included, or the only ones.
        """
        sort = tuple(sort)
        scope = _scope(query, experiment, deleted)

        def ask(db: sqlite3.Connection) -> list[RunSummary]:
            statement = _statement(db)
            where = statement.condition(scope)
            order = statement.order(sort)
            count = statement.value(-1 if limit is None else limit)
            skipped = statement.value(offset)
            sql = f"SELECT run FROM runs WHERE {where} ORDER BY {order} LIMIT {count} OFFSET {skipped}"
            return _summaries(db, [run for (run,) in statement.execute(db, sql)])

        return self._ask(ask)

    def count(
        self, query: Query | None = None, *, experiment: Sequence[str] | None = None, deleted: Deleted = "no"
    ) -> int:
        """How many runs match."""
        scope = _scope(query, experiment, deleted)

        def ask(db: sqlite3.Connection) -> int:
            statement = _statement(db)
            return int(
                statement.execute(db, f"SELECT count(*) FROM runs WHERE {statement.condition(scope)}").fetchone()[0]
            )

        return self._ask(ask)

    def version(self) -> tuple[str | None, int]:
        """What differs whenever an answer may: positions that `order` gave are good as long as this is the same."""
        return self._ask(lambda db: db.execute("SELECT fingerprint, changes FROM state").fetchone() or (None, 0))

    def order(
        self,
        query: Query | None = None,
        *,
        sort: Iterable[SortKey] = (),
        experiment: Sequence[str] | None = None,
        deleted: Deleted = "no",
    ) -> array[int]:
        """The positions of all runs that match, in order as `search` has it, for `at`."""
        sort = tuple(sort)
        scope = _scope(query, experiment, deleted)

        def ask(db: sqlite3.Connection) -> array[int]:
            statement = _statement(db)
            where = statement.condition(scope)
            sql = f"SELECT run FROM runs WHERE {where} ORDER BY {statement.order(sort)}"
            return array("q", [run for (run,) in statement.execute(db, sql)])

        return self._ask(ask)

    def at(self, positions: Sequence[int]) -> list[RunSummary]:
        """The runs at positions that `order` gave; those that have changed since are left out."""

        def ask(db: sqlite3.Connection) -> list[RunSummary]:
            wanted = ", ".join(map(str, map(int, positions)))
            there = {run for (run,) in db.execute(f"SELECT run FROM docs WHERE run IN ({wanted})")}
            return _summaries(db, [run for run in positions if run in there])

        return self._ask(ask)

    def groups(
        self,
        by: Field,
        metrics: Iterable[Field] = (),
        query: Query | None = None,
        *,
        experiment: Sequence[str] | None = None,
        deleted: Deleted = "no",
        limit: int = 1_000,
    ) -> list[Group]:
        """The runs that match by their value of one field, the largest groups first."""
        measured = list(metrics)
        scope = _scope(query, experiment, deleted)

        def ask(db: sqlite3.Connection) -> list[Group]:
            statement = _statement(db)
            columns = [statement.number_or_text(field) for field in measured]
            wanted = "".join(f", min({column}), avg({column}), max({column})" for column in columns)
            sql = (
                f"SELECT {statement.locate(by)} AS cell, count(*){wanted} FROM runs WHERE {statement.condition(scope)} "
                f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {int(limit)}"
            )
            return [_group(found) for found in statement.execute(db, sql)]

        return self._ask(ask)

    def spreads(
        self,
        fields: Iterable[Field],
        query: Query | None = None,
        *,
        experiment: Sequence[str] | None = None,
        deleted: Deleted = "no",
    ) -> list[Spread]:
        """How each field is spread over the runs that match."""
        named = list(fields)
        scope = _scope(query, experiment, deleted)

        def ask(db: sqlite3.Connection) -> list[Spread]:
            spreads: list[Spread] = []
            for start in range(0, len(named), _FIELDS_AT_ONCE):
                statement = _statement(db)
                columns = [statement.locate(field) for field in named[start : start + _FIELDS_AT_ONCE]]
                wanted = ", ".join(f"count({column}), min({column}), max({column})" for column in columns)
                sql = f"SELECT {wanted} FROM runs WHERE {statement.condition(scope)}"
                found = statement.execute(db, sql).fetchone()
                triples = zip(found[0::3], found[1::3], found[2::3], strict=True)
                spreads += [Spread(count=count, low=low, high=high) for count, low, high in triples]
            return spreads

        return self._ask(ask)

    def columns(
        self,
        fields: Sequence[Field],
        query: Query | None = None,
        *,
        sort: Iterable[SortKey] = (),
        limit: int | None = None,
        experiment: Sequence[str] | None = None,
        deleted: Deleted = "no",
    ) -> list[tuple[Cell, ...]]:
        """The cells of some fields of the runs that match, one tuple a run, in order as `search` has it."""
        sort = tuple(sort)
        scope = _scope(query, experiment, deleted)

        def ask(db: sqlite3.Connection) -> list[tuple[Cell, ...]]:
            statement = _statement(db)
            wanted = ", ".join(statement.locate(field) for field in fields) or "NULL"
            where, order = statement.condition(scope), statement.order(sort)
            count = statement.value(-1 if limit is None else limit)
            sql = f"SELECT {wanted} FROM runs WHERE {where} ORDER BY {order} LIMIT {count}"
            return statement.execute(db, sql).fetchall()

        return self._ask(ask)

    def values(self, field: Field, *, begin: str = "", limit: int = 50) -> list[Cell]:
        """Values that runs have under a field, the most frequent first; `begin`: only text that begins so."""

        def ask(db: sqlite3.Connection) -> list[Cell]:
            statement = _statement(db)
            column = statement.locate(field)
            wanted: Query = Present(field)
            if begin:
                wanted = And((wanted, Order(field, ">=", begin), Order(field, "<", begin + _BEYOND)))
            sql = (
                f"SELECT {column} FROM runs WHERE {statement.condition(wanted)} "
                f"GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {int(limit)}"
            )
            return [found for (found,) in statement.execute(db, sql)]

        return self._ask(ask)

    def latest(self, back: int = 0, *, experiment: Sequence[str] | None = None) -> RunSummary | None:
        """The newest run, or the one that is `back` runs older."""
        return next(iter(self.search(limit=1, offset=back, experiment=experiment)), None)

    def best(
        self, metric: str, maximize: bool = False, *, experiment: Sequence[str] | None = None
    ) -> RunSummary | None:
        """The run with the lowest (or highest) last value of a metric; None where no run has a number there."""
        field = Field("metric", metric)
        found = self.search(_is_number(field), sort=(SortKey(field, maximize),), limit=1, experiment=experiment)
        return next(iter(found), None)

    def best_values(
        self, metrics: Iterable[str], *, experiment: Sequence[str] | None = None
    ) -> dict[str, tuple[Number, Number]]:
        """The lowest and the highest last value of each of these metrics; those that no run has are left out."""
        names = list(metrics)
        scope = _scope(None, experiment, "no")

        def ask(db: sqlite3.Connection) -> dict[str, tuple[Number, Number]]:
            statement = _statement(db)
            columns = [statement.number_or_text(Field("metric", name)) for name in names]
            wanted = ", ".join(f"min({column}), max({column})" for column in columns)
            sql = f"SELECT {wanted or 1} FROM runs WHERE {statement.condition(scope)}"
            found = statement.execute(db, sql).fetchone()
            pairs = zip(names, found[0::2], found[1::2], strict=False)
            return {name: (low, high) for name, low, high in pairs if low is not None}

        return self._ask(ask)

    def makers(self, blobs: Iterable[str], read: Callable[[str], Iterable[bytes]]) -> dict[str, list[RunSummary]]:
        """The runs that have one of these git blobs as an artifact, by blob (hex ids); removed runs too.

        Args:
            read: gives the blobs (ids) of all artifacts of a run's commit; asked once for each run.
        """
        wanted = [bytes.fromhex(blob) for blob in blobs]

        def learn(db: sqlite3.Connection) -> None:
            read_artifacts(db, lambda document: read(_whole(document).commit or ""))

        def ask(db: sqlite3.Connection) -> dict[str, list[RunSummary]]:
            found: dict[str, list[RunSummary]] = {}
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(some))
                for blob, run in db.execute(f"SELECT blob, run FROM made WHERE blob IN ({marks})", some).fetchall():
                    found.setdefault(blob.hex(), []).extend(_summaries(db, [run]))
            return found

        return self._ask(ask, learn=learn)

    def by_id_prefix(self, prefix: str) -> list[RunSummary]:
        """The runs whose id begins so, removed ones too, newest first."""
        return self.search(_begins("id", prefix), deleted="yes")

    def by_name(self, name: str, *, experiment: Sequence[str] | None = None) -> list[RunSummary]:
        """The runs with exactly this name, removed ones too, newest first."""
        return self.search(Equal(Field("run", "name"), (storable(name),)), experiment=experiment, deleted="yes")

    def by_commit_prefix(self, prefix: str) -> list[RunSummary]:
        """The runs whose own commit begins so, removed ones too; else the runs whose code's commit does."""

        def ask(db: sqlite3.Connection) -> list[RunSummary]:
            found = db.execute("SELECT run FROM tips WHERE instr(line, ?)", (" " + storable(prefix.lower()),))
            return _summaries(db, [run for (run,) in found])

        return self._ask(ask) or self.search(_begins("commit", prefix.lower()))

    def names(self, limit: int = 2_000) -> list[str]:
        """The names of the newest runs, for suggestions."""
        sql = 'SELECT "name" FROM runs WHERE "deleted" IS NULL ORDER BY "start" DESC LIMIT ?'
        return self._ask(lambda db: list(dict.fromkeys(name for (name,) in db.execute(sql, (limit,)))))

    def experiments(self) -> dict[str, int]:
        """How many runs each experiment has, by its name."""
        sql = 'SELECT "experiment", count(*) FROM runs WHERE "deleted" IS NULL GROUP BY 1 ORDER BY 1'
        return self._ask(lambda db: dict(db.execute(sql).fetchall()))

    def keys(self, kind: FieldKind) -> list[str]:
        """The keys of all params, metrics or tags that the index has met, sorted."""
        sql = "SELECT key FROM keys WHERE kind = ? ORDER BY key"
        return self._ask(lambda db: [key for (key,) in db.execute(sql, (kind,))])

    def unknown_fields(self, query: Query) -> list[Field]:
        """The fields of a query that no run has: most likely misspelt."""

        def ask(db: sqlite3.Connection) -> list[Field]:
            return [field for field in dict.fromkeys(fields(query)) if locate(db, field) is None]

        return self._ask(ask)

    def broken(self) -> list[BrokenRun]:
        """The refs whose commits could not be read as runs."""
        sql = "SELECT ref, tip, reason FROM broken ORDER BY ref"
        return self._ask(
            lambda db: [BrokenRun(ref=ref, commit=tip, reason=reason) for ref, tip, reason in db.execute(sql)]
        )

    def _ask(
        self,
        question: Callable[[sqlite3.Connection], Answer],
        *,
        look_again: bool = False,
        learn: Callable[[sqlite3.Connection], None] | None = None,
    ) -> Answer:
        """The answer from the file; else from a new file, where this one is damaged; else from memory."""
        with self._lock:
            while True:
                try:
                    if self._db is None:
                        self._db = open_file(self._path, self._wait_s) if self._is_file else open_memory(self._path)
                        look_again = True
                    if look_again or not self._is_fresh:
                        self._is_fresh = False
                        refresh(self._db, self._source)
                        self._is_fresh = True
                    if learn is not None:
                        learn(self._db)
                    with reading(self._db):
                        return question(self._db)
                except sqlite3.DatabaseError as error:
                    if not self._is_file:
                        raise
                    self.close()
                    self._is_file = not self._was_remade and is_damage(error) and remove_file(self._path)
                    self._was_remade = True


def _statement(db: sqlite3.Connection) -> Statement:
    return Statement(lambda field: locate(db, field))


def _scope(query: Query | None, experiment: Sequence[str] | None, deleted: Deleted) -> Query:
    items: list[Query] = []
    if deleted != "yes":
        mark = Present(Field("run", "deleted"))
        items.append(mark if deleted == "only" else Not(mark))
    if experiment is not None:
        items.append(Equal(Field("run", "experiment"), tuple(map(storable, experiment))))
    if query is not None:
        items.append(query)
    return And(tuple(items))


def _is_number(field: Field) -> Query:
    return Order(field, "<=", math.inf)


def _begins(attribute: str, prefix: str) -> Query:
    field = Field("run", attribute)
    return And((Order(field, ">=", storable(prefix)), Order(field, "<", storable(prefix) + _BEYOND)))


def _summaries(db: sqlite3.Connection, runs: list[int]) -> list[RunSummary]:
    documents: dict[int, bytes] = {}
    for start in range(0, len(runs), _AT_ONCE):
        wanted = ", ".join(map(str, runs[start : start + _AT_ONCE]))
        documents.update(db.execute(f"SELECT run, document FROM docs WHERE run IN ({wanted})"))
    if not all(map(is_whole, documents.values())):
        raise sqlite3.DatabaseError("a damaged document")
    return [StoredSummary.of(documents[run]) for run in runs]


def _group(found: tuple[Cell, ...]) -> Group:
    cell, count, *measured = found
    triples = zip(measured[0::3], measured[1::3], measured[2::3], strict=True)
    measures = tuple(None if low is None else (low, mean, high) for low, mean, high in triples)
    return Group(cell=cell, count=int(count or 0), measures=measures)  # type: ignore[arg-type]


def _whole(document: bytes) -> RunSummary:
    if not is_whole(document):
        raise sqlite3.DatabaseError("a damaged document")
    return StoredSummary.of(document)


_AT_ONCE = 1_000
_FIELDS_AT_ONCE = 300
_BEYOND = "\U0010ffff"
