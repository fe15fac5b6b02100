"""The index's SQLite file: its tables, how it is opened, and how it learns about new runs.

runs    one row a run: its attributes, and one column (c1, c2, ...) for each key of params, metrics and tags
keys    the column of each key; a key beyond SQLite's limit of columns has none, and its cells are in `extra`
docs    the whole summary of each run
tips    what has been read, as lines of a ref and its commit; `broken` what could not be
made    the git blobs of each run's artifacts; `unread` are runs whose artifacts nobody has asked about yet
state   the source's fingerprint when all of it had been read, and a count of the changes to this file
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Protocol

from gitexp.domain.matching import ATTRIBUTES, Cell, Field, attribute_cell, cell, storable
from gitexp.domain.run import FORMAT
from gitexp.domain.summary import BrokenRun, RunSummary
from gitexp.store.index_document import RECORD_FIELDS, encode_document

_BATCH = 2_000
_MOST_NEW_COLUMNS = 256
"""Of one run: a run with a hundred thousand params must not take the columns of everybody else's keys."""

_FIRST = ("start", "deleted", "id", "experiment", "name")
_ATTRIBUTES = (*_FIRST, *(name for name in ATTRIBUTES if name not in _FIRST))
_READ_ATTRIBUTES = tuple(ATTRIBUTES[name] for name in _ATTRIBUTES)
_ATTRIBUTE_COLUMNS = ", ".join(f'"{name}"' for name in _ATTRIBUTES)
_TABLES = (
    "CREATE TABLE state (fingerprint TEXT, changes INTEGER NOT NULL)",
    "INSERT INTO state VALUES (NULL, 0)",
    "CREATE TABLE tips (line TEXT PRIMARY KEY, run INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE broken (ref TEXT PRIMARY KEY, tip TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID",
    f"CREATE TABLE runs (run INTEGER PRIMARY KEY, {_ATTRIBUTE_COLUMNS})",
    "CREATE TABLE docs (run INTEGER PRIMARY KEY, document BLOB NOT NULL)",
    "CREATE TABLE keys (id INTEGER PRIMARY KEY, kind TEXT, key TEXT, is_column INTEGER NOT NULL, UNIQUE (kind, key))",
    "CREATE TABLE extra (key INTEGER, run INTEGER, cell, PRIMARY KEY (key, run)) WITHOUT ROWID",
    "CREATE INDEX extra_of_run ON extra (run)",
    "CREATE TABLE made (blob BLOB, run INTEGER, PRIMARY KEY (blob, run)) WITHOUT ROWID",
    "CREATE INDEX made_by_run ON made (run)",
    "CREATE TABLE unread (run INTEGER PRIMARY KEY)",
)
_VERSION = zlib.crc32(repr((_TABLES, RECORD_FIELDS, FORMAT)).encode()) & 0x7FFFFFFF
_DAMAGE = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
)


class RunSource(Protocol):
    """Where the index learns about runs: the refs and commits of a repository."""

    def fingerprint(self) -> tuple[Any, ...] | None:
        """Something cheap that differs whenever `tips` may; None where it cannot be trusted."""

    def tips(self) -> Mapping[str, str]:
        """The commit (hex) of each run's ref."""

    def load(self, commits: Sequence[tuple[str, str]]) -> Iterator[RunSummary | BrokenRun]:
        """The run behind each pair of ref and commit, in any order; a pair may be left out if its ref is gone."""


def open_file(path: str, wait_s: float) -> sqlite3.Connection:
    """The index in the file, which is made where it is missing or empty.

    Raises:
        sqlite3.DatabaseError: the file cannot be used; `is_damage` tells whether a new one can.
    """
    db = _connect(path, wait_s)
    try:
        if not _has_tables(db):
            with _writing(db):
                if not _has_tables(db):
                    _create_tables(db)
    except BaseException:
        db.close()
        raise
    return db


def open_memory(path: str) -> sqlite3.Connection:
    """An index in memory that begins with what the file says, where that can be read."""
    db = _connect(":memory:")
    try:
        with closing(_connect(f"file:{_escaped(path)}?mode=ro")) as file:
            if _has_tables(file):
                file.backup(db)
                return db
    except sqlite3.DatabaseError:
        db.close()
        db = _connect(":memory:")
    _create_tables(db)
    return db


@contextmanager
def reading(db: sqlite3.Connection) -> Iterator[None]:
    """All that is read inside is of one moment, whoever writes meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.DatabaseError):
            db.execute("ROLLBACK")


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether a new file would help."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DAMAGE


def remove_file(path: str) -> bool:
    """Remove the index's file; False where that cannot be done."""
    try:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(path + suffix)
    except OSError:
        return False
    return True


def locate(db: sqlite3.Connection, field: Field) -> str | None:
    """The SQL expression of a field's cell in `runs`; None where no run has the field."""
    if field.kind == "run":
        return f'"{field.key}"'
    if storable(field.key) != field.key:
        return None
    found = db.execute("SELECT id, is_column FROM keys WHERE kind = ? AND key = ?", (field.kind, field.key)).fetchone()
    if found is None:
        return None
    key, is_column = found
    return f"c{key}" if is_column else f"(SELECT cell FROM extra WHERE key = {key} AND extra.run = runs.run)"


def refresh(db: sqlite3.Connection, source: RunSource) -> None:
    """Take in what changed in the source. Several processes may do so at once; each reads what it misses."""
    seen, changes = _state(db)
    fingerprint = source.fingerprint()  # before the tips: what changes in between shows next time
    mark = None if fingerprint is None else repr(fingerprint)
    if mark is not None and mark == seen:
        return
    tips = source.tips()
    old, new = _differences(_known_lines(db), sorted(map(" ".join, tips.items())))
    changed = [(ref, tip) for ref, _, tip in (line.rpartition(" ") for line in new)]
    gone = [line.rpartition(" ")[0] for line in old]
    gone += [ref for (ref,) in db.execute("SELECT ref FROM broken") if ref not in tips]
    if not changed and not gone:
        if mark is not None:
            with suppress(sqlite3.OperationalError), _writing(db):  # a read-only index is as good
                _note(db, mark if _state(db)[1] == changes else None)
        return
    _check_writable(db)
    starts = range(0, max(len(changed), 1), _BATCH)
    for start in starts:
        loaded = list(source.load(changed[start : start + _BATCH])) if changed else []
        with _writing(db):
            is_ours = _state(db)[1] == changes
            _Writer(db).write(loaded, gone if start == 0 else [])
            _note(db, mark if is_ours and start == starts[-1] else None)
            changes = changes + 1 if is_ours else -1


def read_artifacts(db: sqlite3.Connection, read: Callable[[bytes], Iterable[bytes]]) -> None:
    """Take in the artifacts of the runs that are new since somebody asked last.

    Args:
        read: gives the git blobs (ids) of the artifacts of the run in a document.
    """
    while db.execute("SELECT 1 FROM unread LIMIT 1").fetchone():
        with _writing(db):
            sql = f"SELECT run, document FROM unread JOIN docs USING (run) LIMIT {_BATCH}"
            for run, document in db.execute(sql).fetchall():
                db.executemany("INSERT OR IGNORE INTO made VALUES (?, ?)", [(blob, run) for blob in read(document)])
                db.execute("DELETE FROM unread WHERE run = ?", (run,))


def _known_lines(db: sqlite3.Connection) -> list[str]:
    """The lines of `tips`, sorted. One long text is read several times faster than many rows."""
    text = db.execute("SELECT group_concat(line, char(10)) FROM tips").fetchone()[0]
    return sorted(text.split("\n")) if text else []


def _differences(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    """What only `old` has, and what only `new` has; both are sorted. Steps over what is the same in strides."""
    only_old, only_new = [], []
    at = there = 0
    stride = 1
    while at < len(old) and there < len(new):
        if old[at : at + stride] == new[there : there + stride]:
            at += stride
            there += stride
            stride *= 2
        elif stride > 1:
            stride //= 2
        elif old[at] < new[there]:
            only_old.append(old[at])
            at += 1
        else:
            only_new.append(new[there])
            there += 1
    return only_old + old[at:], only_new + new[there:]


class _Writer:
    """Puts runs into the tables, inside one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.keys: dict[tuple[str, str], tuple[int, bool]] = {}
        self.count, self.columns = db.execute("SELECT count(*), ifnull(sum(is_column), 0) FROM keys").fetchone()
        limits = (sqlite3.SQLITE_LIMIT_COLUMN, sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self.most_columns = min(map(db.getlimit, limits)) - len(_ATTRIBUTES) - 10
        self.shapes: dict[Any, _Shape] = {}

    def write(self, loaded: Iterable[RunSummary | BrokenRun], gone: Iterable[str]) -> None:
        loaded = list(loaded)
        self.forget([*(found.ref for found in loaded), *gone])
        run = self.db.execute("SELECT ifnull(max(run), 0) FROM docs").fetchone()[0]
        tips, documents, broken, extra, unread = [], [], [], [], []
        for found in loaded:
            run += 1
            if isinstance(found, RunSummary):
                try:
                    document = encode_document(found)
                    extra += self.shape(found).add(run, found)
                except (ValueError, RecursionError) as error:
                    broken.append((found.ref, found.commit, f"It cannot be indexed: {error}."))
                    continue
                tips.append((f"{found.ref} {found.commit}", run))
                documents.append((run, document))
                if found.record.artifact_count:
                    unread.append((run,))
            else:
                broken.append((found.ref, found.commit, storable(found.reason)))
        for shape in self.shapes.values():
            self.db.executemany(shape.insert, shape.rows)
        self.db.executemany("INSERT INTO tips VALUES (?, ?)", tips)
        self.db.executemany("INSERT INTO docs VALUES (?, ?)", documents)
        self.db.executemany("INSERT INTO extra VALUES (?, ?, ?)", extra)
        self.db.executemany("INSERT INTO broken VALUES (?, ?, ?)", broken)
        self.db.executemany("INSERT INTO unread VALUES (?)", unread)

    def forget(self, refs: Sequence[str]) -> None:
        known = []
        for ref in refs:
            among = (f"{ref} ", f"{ref}!")  # '!' follows ' '
            known += self.db.execute("SELECT line, run FROM tips WHERE line > ? AND line < ?", among).fetchall()
        self.db.executemany("DELETE FROM tips WHERE line = ?", [(line,) for line, _ in known])
        for table in ("runs", "docs", "extra", "made", "unread"):
            self.db.executemany(f"DELETE FROM {table} WHERE run = ?", [(run,) for _, run in known])
        self.db.executemany("DELETE FROM broken WHERE ref = ?", [(ref,) for ref in refs])

    def shape(self, summary: RunSummary) -> _Shape:
        names = (tuple(summary.params), tuple(summary.metrics), tuple(summary.tags))
        shape = self.shapes.get(names)
        if shape is None:
            kinds = zip(("param", "metric", "tag"), names, strict=True)
            shape = self.shapes[names] = _Shape(self.places([(kind, key) for kind, keys in kinds for key in keys]))
        return shape

    def places(self, keys: list[tuple[str, str]]) -> list[tuple[int, bool]]:
        """The number of each key, and whether it has a column; new keys get theirs."""
        most_columns = min(self.columns + _MOST_NEW_COLUMNS, self.most_columns)
        for key in keys:
            if key not in self.keys:
                found = self.db.execute("SELECT id, is_column FROM keys WHERE kind = ? AND key = ?", key).fetchone()
                self.keys[key] = found or self.add_key(key, is_column=self.columns < most_columns)
        return [self.keys[key] for key in keys]

    def add_key(self, key: tuple[str, str], *, is_column: bool) -> tuple[int, bool]:
        number = self.count + 1
        self.db.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", (number, *key, is_column))
        self.count = number
        if is_column:
            self.db.execute(f"ALTER TABLE runs ADD COLUMN c{number}")
            self.columns += 1
        return number, is_column


class _Shape:
    """The rows of runs that have the same keys."""

    def __init__(self, places: list[tuple[int, bool]]) -> None:
        self.rows: list[list[Cell]] = []
        self.columns = [position for position, (_, is_column) in enumerate(places) if is_column]
        self.extra = [(position, key) for position, (key, is_column) in enumerate(places) if not is_column]
        names = "".join(f", c{places[position][0]}" for position in self.columns)
        marks = ", ?" * (len(_ATTRIBUTES) + len(self.columns))
        self.insert = f"INSERT INTO runs (run, {_ATTRIBUTE_COLUMNS}{names}) VALUES (?{marks})"

    def add(self, run: int, summary: RunSummary) -> list[tuple[int, int, Cell]]:
        """Keep the row; what is returned belongs into `extra`."""
        record = summary.record
        cells = [*map(cell, summary.params.values()), *map(cell, summary.metrics.values())]
        cells += map(cell, summary.tags.values())
        row: list[Cell] = [run, *[attribute_cell(read(record)) for read in _READ_ATTRIBUTES]]
        row += [cells[position] for position in self.columns] if self.extra else cells
        self.rows.append(row)
        return [(key, run, cells[position]) for position, key in self.extra]


def _connect(path: str, wait_s: float = 0.2) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=wait_s, isolation_level=None, check_same_thread=False, uri=path.startswith("file:")
    )


def _escaped(path: str) -> str:
    """The path inside a `file:` address of SQLite."""
    return os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _has_tables(db: sqlite3.Connection) -> bool:
    """Whether the tables are ours (True) or there are none (False); anything else is as bad as damage."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == _VERSION:
        return True
    if version or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise sqlite3.DatabaseError("another version's index")
    return False


def _create_tables(db: sqlite3.Connection) -> None:
    for statement in _TABLES:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {_VERSION}")


@contextmanager
def _writing(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.DatabaseError):
            db.execute("ROLLBACK")
        raise


def _check_writable(db: sqlite3.Connection) -> None:
    """Fail now rather than after all runs have been read. Nothing reaches the disk."""
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("UPDATE state SET changes = changes + 1")
    finally:
        with suppress(sqlite3.DatabaseError):
            db.execute("ROLLBACK")


def _state(db: sqlite3.Connection) -> tuple[str | None, int]:
    found = db.execute("SELECT fingerprint, changes FROM state").fetchone()
    if found is None:
        raise sqlite3.DatabaseError("the state is missing")
    return found[0], found[1]


def _note(db: sqlite3.Connection, mark: str | None) -> None:
    db.execute("UPDATE state SET fingerprint = ?, changes = changes + 1", (mark,))
