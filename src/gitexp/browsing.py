"""Runs as somebody looks through them: long lists page by page, groups, which columns tell runs apart, completion."""

from __future__ import annotations

import json
import time
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from gitexp.domain.completion import Completion, complete
from gitexp.domain.matching import (
    ATTRIBUTES,
    FALSE,
    NAN,
    TRUE,
    And,
    Cell,
    Equal,
    Field,
    Not,
    Present,
    Query,
    SortKey,
    cell,
    matches,
    sort_summaries,
)
from gitexp.domain.metrics import SYSTEM
from gitexp.domain.query import parse, parse_sort
from gitexp.domain.summary import RunSummary
from gitexp.errors import UsageError
from gitexp.repo import Repository
from gitexp.store.index import Group, Spread

Deleted = Literal["no", "yes", "only"]

MOST_REMEMBERED = 24
"""Orders that are kept, so that the next page of one is read without sorting again."""

LIVE_FOR_S = 0.5
MOST_FIELDS = 1_200
_FAMILIES = {"params": "param", "metrics": "metric", "tags": "tag", "run": "run"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which runs, and in which order.

    Attributes:
        where, sort: as `Repository.search` takes them.
        experiments: names; none means all.
        by, group: only runs of one group: a field such as "params.lr", and its value as `group_key` writes it.
    """

    where: str = ""
    sort: str = ""
    experiments: tuple[str, ...] = ()
    deleted: Deleted = "no"
    by: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some runs of a list, the number of all, and what is another number whenever the list may have changed."""

    runs: list[RunSummary]
    total: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnOf:
    """A column that a list may have: `name` such as "params.lr"; whether the runs listed differ in it; its ends."""

    name: str
    differs: bool
    count: int
    numeric: bool
    low: Cell
    high: Cell


class Browser:
    """Looks through the runs of one repository again and again; not for several threads at once."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._orders: OrderedDict[Any, array[int]] = OrderedDict()
        self._columns: OrderedDict[Any, list[ColumnOf]] = OrderedDict()
        self._experiments: tuple[str, dict[str, int]] = ("", {})
        self._live: list[RunSummary] = []
        self._live_at = 0.0

    def version(self) -> str:
        """Another text whenever a sealed run came, went or changed."""
        self.repository.index.refresh()
        fingerprint, changes = self.repository.index.version()
        return f"{changes}.{zlib.crc32((fingerprint or '').encode()):x}"

    def live(self) -> list[RunSummary]:
        """The runs that are being recorded; looked for at most twice a second."""
        now = time.monotonic()
        if now - self._live_at > LIVE_FOR_S:
            self._live, self._live_at = self.repository.live_summaries(), now
        return self._live

    def page(self, chosen: Selection, *, offset: int = 0, limit: int = 100) -> Page:
        """Some of the runs that are chosen, live ones in their places.

        Raises:
            QueryError: `where` or `sort` cannot be read.
            UsageError: `by` or `group` cannot be read.
        """
        version = self.version()
        query, keys = self._query(chosen), parse_sort(chosen.sort)
        running = self._running(chosen)
        live = [run for run in running if matches(query, run)] if chosen.deleted != "only" else []
        order = self._order(chosen, query, keys, [run.record.id for run in running], version)
        places = self._places(live, order, keys)
        runs: list[RunSummary] = []
        begin, end = offset, offset + limit
        sealed_begin = begin - sum(place < begin for place, _ in places)
        sealed_end = end - sum(place < end for place, _ in places)
        runs = self.repository.index.at(order[sealed_begin:sealed_end])
        for place, run in places:
            if begin <= place < end:
                runs.insert(place - begin, run)
        return Page(runs=runs, total=len(order) + len(live), version=version)

    def count(self, chosen: Selection) -> int:
        return self.page(chosen, limit=0).total

    def experiments(self) -> dict[str, int]:
        """How many runs each experiment has, live ones included, by its name."""
        version = self.version()
        if self._experiments[0] != version:
            counts = dict.fromkeys(self.repository.experiments.names(), 0) | self.repository.index.experiments()
            self._experiments = (version, counts)
        counts = dict(self._experiments[1])
        for run in self.live():
            counts[run.record.experiment] = counts.get(run.record.experiment, 0) + 1
        return dict(sorted(counts.items()))

    def groups(self, chosen: Selection, metrics: Sequence[str]) -> list[Group]:
        """The sealed runs that are chosen by their value of `chosen.by`, with the spread of some metrics."""
        self.repository.index.refresh()
        query = self._query(replace(chosen, group=""))
        return self.repository.index.groups(
            parse_field(chosen.by),
            [parse_field(name) for name in metrics],
            query,
            experiment=chosen.experiments or None,
            deleted=chosen.deleted,
        )

    def columns(self, chosen: Selection) -> list[ColumnOf]:
        """The params, metrics and tags of the runs that are chosen; those that none of them has are left out."""
        version = self.version()
        key = (version, replace(chosen, sort=""))
        if key not in self._columns:
            self._columns[key] = self._find_columns(chosen)
            _forget(self._columns)
        running = self._running(chosen)
        if not running:
            return self._columns[key]
        query = self._query(chosen)
        found = {column.name: column for column in self._columns[key]}
        for run in running:
            if matches(query, run):
                _widen(found, run)
        return list(found.values())

    def values(self, chosen: Selection, names: Sequence[str], *, limit: int) -> list[tuple[Cell, ...]]:
        """The cells of some columns of the sealed runs that are chosen, one tuple a run."""
        self.repository.index.refresh()
        return self.repository.index.columns(
            [parse_field(name) for name in names],
            self._query(chosen),
            sort=parse_sort(chosen.sort),
            limit=limit,
            experiment=chosen.experiments or None,
            deleted=chosen.deleted,
        )

    def complete(self, text: str, cursor: int) -> Completion:
        """How the search expression may go on at `cursor`, an offset into `text`."""
        index = self.repository.index
        index.refresh()
        keys = [f"{family}.{key}" for family, kind in _FAMILIES.items() if kind != "run" for key in index.keys(kind)]  # type: ignore[arg-type]

        def values(name: str, begin: str) -> list[Cell]:
            return index.values(parse_field(name), begin=begin)

        return complete(text, cursor, keys, values)

    def _find_columns(self, chosen: Selection) -> list[ColumnOf]:
        index, query = self.repository.index, self._query(chosen)
        scope: dict[str, Any] = {"experiment": chosen.experiments or None, "deleted": chosen.deleted}
        total = index.count(query, **scope)
        names = [
            f"{family}.{key}"
            for family in ("metrics", "params", "tags")
            for key in index.keys(_FAMILIES[family])  # type: ignore[arg-type]
        ]
        names = sorted(names, key=lambda name: name.startswith(f"metrics.{SYSTEM}"))[:MOST_FIELDS]
        spreads = index.spreads(map(parse_field, names), query, **scope)
        return [_column(name, spread, total) for name, spread in zip(names, spreads, strict=True) if spread.count]

    def _query(self, chosen: Selection) -> Query:
        query = parse(chosen.where, now=time.time())
        if not chosen.by or not chosen.group:
            return query
        field, value = parse_field(chosen.by), cell_of_group(chosen.group)
        return And((query, Not(Present(field)) if value is None else Equal(field, (value,))))

    def _running(self, chosen: Selection) -> list[RunSummary]:
        return [run for run in self.live() if not chosen.experiments or run.record.experiment in chosen.experiments]

    def _order(
        self, chosen: Selection, query: Query, keys: tuple[SortKey, ...], running: list[str], version: str
    ) -> array[int]:
        known = (version, chosen, tuple(running), _minute() if "run." in chosen.where else 0)
        if known not in self._orders:
            if running:
                query = And((query, Not(Equal(Field("run", "id"), tuple(running)))))
            self._orders[known] = self.repository.index.order(
                query, sort=keys, experiment=chosen.experiments or None, deleted=chosen.deleted
            )
            _forget(self._orders)
        self._orders.move_to_end(known)
        return self._orders[known]

    def _places(
        self, live: list[RunSummary], order: array[int], keys: tuple[SortKey, ...]
    ) -> list[tuple[int, RunSummary]]:
        """Where each live run stands among all, found by halving."""
        places = []
        for earlier, run in enumerate(sort_summaries(live, keys)):
            low, high = 0, len(order)
            while low < high:
                middle = (low + high) // 2
                there = self.repository.index.at(order[middle : middle + 1])
                if there and sort_summaries([*there, run], keys)[0] is there[0]:
                    low = middle + 1
                else:
                    high = middle
            places.append((low + earlier, run))
        return places


def parse_field(name: str) -> Field:
    """The field that "params.lr", "metrics.loss", "tags.best" or "run.name" names. Raises UsageError."""
    family, _, key = name.partition(".")
    kind = _FAMILIES.get(family)
    if kind is None or not key or (kind == "run" and key not in ATTRIBUTES):
        raise UsageError(f"'{name}' is no column.", hint="Write params.KEY, metrics.KEY, tags.KEY or run.NAME.")
    return Field(cast(Any, kind), key)


def group_key(value: Cell) -> str:
    """The value of a group as text that `Selection.group` takes."""
    named: dict[bytes, str] = {TRUE: "true", FALSE: "false", NAN: "nan"}
    return json.dumps([named[value]] if isinstance(value, bytes) else value)


def cell_of_group(text: str) -> Cell:
    """What `group_key` was given. Raises UsageError."""
    named = {"true": TRUE, "false": FALSE, "nan": NAN}
    try:
        found = json.loads(text)
        if isinstance(found, list):
            return named[found[0]]
    except (ValueError, KeyError, IndexError, TypeError):
        found = {}
    if isinstance(found, (dict, bool)):
        raise UsageError(f"'{text}' is no group.")
    return cast(Cell, found)


def _column(name: str, spread: Spread, total: int) -> ColumnOf:
    differs = spread.count < total or spread.low != spread.high
    numeric = isinstance(spread.low, (int, float)) and isinstance(spread.high, (int, float, bytes))
    return ColumnOf(
        name=name,
        differs=differs,
        count=spread.count,
        numeric=numeric or spread.low == NAN,
        low=spread.low,
        high=spread.high,
    )


def _widen(found: dict[str, ColumnOf], run: RunSummary) -> None:
    """Columns that have a place for a live run's values too."""
    for family in ("metrics", "params", "tags"):
        for key, value in getattr(run, family).items():
            name, here = f"{family}.{key}", cell(value)
            known = found.get(name)
            is_number = isinstance(here, (int, float))
            if known is None:
                known = ColumnOf(name=name, differs=True, count=0, numeric=is_number, low=here, high=here)
            elif is_number and isinstance(known.low, (int, float)) and isinstance(known.high, (int, float)):
                known = replace(known, low=min(known.low, here), high=max(known.high, here))  # type: ignore[type-var]
            differs = known.differs or known.low != here or known.high != here
            found[name] = replace(known, differs=differs, count=known.count + 1)


def _forget(remembered: OrderedDict[Any, Any]) -> None:
    while len(remembered) > MOST_REMEMBERED:
        remembered.popitem(last=False)


def _minute() -> int:
    """Relative times in a search mean something else every minute."""
    return int(time.time() / 60)


def pages(load: Callable[[int, int], Page], size: int) -> Iterable[RunSummary]:
    """All runs of a list, read page after page."""
    offset = 0
    while True:
        found = load(offset, size)
        yield from found.runs
        offset += size
        if offset >= found.total:
            return
