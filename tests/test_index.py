"""The index of runs: it answers what the runs themselves would, and nothing that happens to its file is an error."""

from __future__ import annotations

import copy
import math
import os
import pickle
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitexp.domain.identity import ALPHABET, RunId, run_ref
from gitexp.domain.matching import (
    ATTRIBUTES,
    And,
    Equal,
    Field,
    Like,
    Not,
    Or,
    Order,
    Present,
    Query,
    SortKey,
    attribute_cell,
    cell,
    matches,
    sort_summaries,
)
from gitexp.domain.query import parse, parse_sort
from gitexp.domain.run import CodeState, Input, RunRecord, SkippedFile, Status
from gitexp.domain.summary import BrokenRun, RunSummary
from gitexp.store.index import RunIndex


class Runs:
    """Runs in memory as the index's source. Counts what is asked of it."""

    def __init__(self, *runs: RunSummary) -> None:
        self.found: dict[str, RunSummary | BrokenRun] = {}
        self.trusted = True
        self.changes = 0
        self.listed = 0
        self.loaded: list[str] = []
        self.put(*runs)

    def put(self, *runs: RunSummary | BrokenRun) -> None:
        self.found.update({run.ref: run for run in runs})
        self.changes += 1

    def remove(self, *runs: RunSummary | BrokenRun) -> None:
        for run in runs:
            del self.found[run.ref]
        self.changes += 1

    def fingerprint(self) -> tuple[Any, ...] | None:
        return ("changes", self.changes) if self.trusted else None

    def tips(self) -> Mapping[str, str]:
        self.listed += 1
        return {ref: run.commit or "" for ref, run in self.found.items()}

    def load(self, commits: Sequence[tuple[str, str]]) -> Iterator[RunSummary | BrokenRun]:
        self.loaded += [ref for ref, _ in commits]
        return iter([self.found[ref] for ref, _ in commits])


def make(number: int, *, experiment: str = "nyc-taxi", **changes: Any) -> RunSummary:
    """A run whose id, commit and start follow from `number`; `changes` are its values or fields of its record."""
    digits = random.Random(number)
    run_id = RunId("k" + "".join(digits.choices(ALPHABET, k=11)))
    values = {name: changes.pop(name, {}) for name in ("params", "metrics", "tags")}
    record = RunRecord(
        **{
            "id": run_id,
            "name": f"run-{number}",
            "experiment": experiment,
            "status": Status.FINISHED,
            "start": 1e9 + number,
            **changes,
        }
    )
    commit = f"{digits.getrandbits(160):040x}"
    return RunSummary(ref=run_ref(experiment, run_id), commit=commit, record=record, **values)


def change(run: RunSummary, **changes: Any) -> RunSummary:
    """The run after a change: with another commit at the same ref."""
    digits = random.Random(run.commit)
    return replace(run, **{"commit": f"{digits.getrandbits(160):040x}", **changes})


def names(runs: Sequence[RunSummary]) -> list[str]:
    return [run.record.name for run in runs]


def where(text: str) -> Query:
    return parse(text, now=2e9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


# Answers


def test_a_run_comes_back_as_it_is() -> None:
    """Everything that a summary holds survives the index: types, huge integers, NaN, nested values and all."""
    params: dict[str, Any] = {
        "int": 3,
        "huge": 10**400,
        "float": 1.0,
        "flag": True,
        "none": None,
        "list": [1, [None, {"a": "b"}]],
        "map": {},
        "text": "1\n\0é🎉",
        "inf": -math.inf,
    }
    full = make(
        1,
        params=params,
        metrics={"loss": 0.5, "steps": 10**30, "inf": math.inf},
        tags={"team": "", "é": "x"},
        end=1e9 + 2.5,
        duration_s=2.5,
        author="Ann Lee <ann@example.org>",
        command=("python", "train.py"),
        exit_code=0,
        code=CodeState(commit="a" * 40, dirty=True, skipped=(SkippedFile(path=".env", size_bytes=3, reason="secret"),)),
        inputs=(Input(kind="run", name="k", digest=None, run=RunId("k7m29x4qh3vd")),),
        warnings=("The clock jumped.",),
        artifact_count=2,
        artifact_bytes=10**12,
        unknown={"colour": ["red", 1]},
    )
    plain = make(2)
    index = RunIndex("/nowhere/index.sqlite", Runs(full, plain))
    assert index.search() == [plain, full]
    found = index.search()[1]
    assert [type(value) for value in found.params.values()] == [type(value) for value in params.values()]
    assert found.record.status is Status.FINISHED


def test_a_found_run_is_a_value_like_any_other() -> None:
    """It can be copied, pickled, compared and changed, before and after it has been looked into."""
    run = make(1, params={"lr": 0.1})
    index = RunIndex("/nowhere/index.sqlite", Runs(run))
    assert copy.copy(index.search()[0]) == run
    assert pickle.loads(pickle.dumps(index.search()[0])) == run
    assert replace(index.search()[0], tags={"a": "b"}).tags == {"a": "b"}
    assert len({index.search()[0], run}) == 1
    assert repr(run.record) in repr(index.search()[0])
    with pytest.raises(AttributeError):
        index.search()[0].colour  # type: ignore[attr-defined]  # noqa: B018


def test_runs_are_filtered_sorted_and_cut() -> None:
    """Newest first unless a sort says otherwise; limit and offset cut after sorting."""
    runs = [make(i, metrics={"rmse": float(i % 4)}, params={"lr": 0.1 if i % 2 else "0.2"}) for i in range(8)]
    index = RunIndex("/nowhere/index.sqlite", Runs(*runs))
    assert names(index.search()) == [f"run-{i}" for i in reversed(range(8))]
    query = where("metrics.rmse < 3 and params.lr = 0.1")
    assert names(index.search(query, sort=parse_sort("metrics.rmse"))) == ["run-5", "run-1"]
    assert names(index.search(sort=parse_sort("-metrics.rmse, run.name"), limit=3)) == ["run-3", "run-7", "run-2"]
    assert names(index.search(limit=2, offset=3)) == ["run-4", "run-3"]
    assert index.search(limit=0) == []
    assert index.count(query) == 2


def test_removed_runs_are_shown_when_asked_for() -> None:
    """A run that is marked as removed is left out, included, or the only kind shown."""
    index = RunIndex("/nowhere/index.sqlite", Runs(make(1), make(2, deleted=1e9), make(3, experiment="other")))
    assert names(index.search()) == ["run-3", "run-1"]
    assert names(index.search(deleted="yes")) == ["run-3", "run-2", "run-1"]
    assert names(index.search(deleted="only")) == ["run-2"]
    assert names(index.search(experiment=["other", "third"])) == ["run-3"]
    assert index.search(experiment=[]) == []
    assert index.count() == 2
    assert index.experiments() == {"nyc-taxi": 1, "other": 1}


def test_runs_are_found_by_what_people_call_them() -> None:
    """By name, by the beginning of an id, and by that of the run's commit or, failing that, of its code's."""
    one, two = make(1, code=CodeState(commit="abcdef12" * 5)), make(2, name="run-1", deleted=1e9)
    index = RunIndex("/nowhere/index.sqlite", Runs(one, two))
    assert index.by_name("run-1") == [two, one]
    assert index.by_name("run") == []
    assert index.by_id_prefix(one.record.id[:4]) == [one]
    assert index.by_id_prefix(two.record.id) == [two]
    assert index.by_id_prefix("k_") == []
    assert index.by_commit_prefix((two.commit or "")[:7].upper()) == [two]
    assert index.by_commit_prefix("abcdef1") == [one]
    assert index.by_commit_prefix("0" * 12) == []
    assert index.names() == ["run-1"]


def test_the_newest_and_the_best_run_are_found() -> None:
    """The best run is one that has the metric as a number."""
    values = [3.0, 1, math.nan, None, 7.5]
    runs = [make(i, metrics={} if value is None else {"rmse": value}) for i, value in enumerate(values)]
    index = RunIndex("/nowhere/index.sqlite", Runs(*runs, make(9, experiment="other", metrics={"rmse": -1})))
    assert names([run for run in [index.latest(), index.latest(1), index.latest(99)] if run]) == ["run-9", "run-4"]
    assert index.latest(experiment=["nyc-taxi"]) == runs[4]
    assert index.best("rmse", experiment=["nyc-taxi"]) == runs[1]
    assert index.best("rmse", True) == runs[4]
    assert index.best("auc") is None
    assert index.best_values(["rmse", "auc"]) == {"rmse": (-1, 7.5)}
    assert index.best_values([]) == {}


def test_what_no_run_has_is_told_apart_from_what_does_not_match() -> None:
    """A field that no run has is probably misspelt; the keys there are help to guess."""
    index = RunIndex("/nowhere/index.sqlite", Runs(make(1, params={"lr": 1, "é": 2}, metrics={"rmse": 1})))
    query = where("params.lr = 1 or metrics.rmsee < 2 or tags.lr = 'x' or run.host = 'a'")
    assert index.unknown_fields(query) == [Field("metric", "rmsee"), Field("tag", "lr")]
    assert index.keys("param") == ["lr", "é"]
    assert index.search(where("metrics.rmsee is null and not metrics.rmsee > 1"), sort=parse_sort("metrics.rmsee"))


def test_keys_are_never_part_of_the_sql() -> None:
    """A key is data, whatever it looks like."""
    odd = ['"; DROP TABLE runs; --', "'", "c1", "start", "x) OR 1=1 --", "a\x1fb", "?", "\ud800"]
    runs = [make(i, params={key: i}) for i, key in enumerate(odd)]
    index = RunIndex("/nowhere/index.sqlite", Runs(*runs))
    for i, key in enumerate(odd[:-1]):
        assert index.search(Equal(Field("param", key), (i,)), sort=[SortKey(Field("param", key))]) == [runs[i]]
    assert [run.ref for run in index.broken()] == [runs[-1].ref]
    assert index.search(Present(Field("param", "\ud800"))) == []


VALUES: list[Any] = [
    *[None, True, False, "True", "true", "nan", "", "1", "1.0", "01", "-0.0", "é", "a\0b", "b%", "aAb", [1], [], {}],
    *[0, 1, -1, 2, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**400, 0.0, -0.0, 1.0, 1.5, 1e-5, 2.0**53, 1e300],
    *[math.nan, math.inf, -math.inf],
]
CELLS = st.sampled_from(VALUES)
NUMBERS = st.sampled_from([value for value in VALUES if type(value) in (int, float)])
TEXTS = st.sampled_from([value for value in VALUES if type(value) is str])
PLAIN_CELLS = st.sampled_from([cell(value) for value in VALUES if value is not None])
BOUNDS = st.sampled_from([found for found in map(cell, VALUES) if isinstance(found, (int, float, str))])
KEYS = st.sampled_from(["a", "b.c", "x y"])
FIELDS = st.one_of(
    st.builds(Field, st.sampled_from(["param", "metric", "tag"]), KEYS),
    st.builds(Field, st.just("run"), st.sampled_from(sorted(ATTRIBUTES))),
)
CONDITIONS = st.one_of(
    st.builds(Present, FIELDS),
    st.builds(Equal, FIELDS, st.lists(PLAIN_CELLS, max_size=6).map(tuple)),
    st.builds(Order, FIELDS, st.sampled_from(["<", "<=", ">", ">="]), BOUNDS),
    st.builds(Like, FIELDS, st.text(alphabet="aAb%_1.\\eéT", max_size=4), st.booleans()),
)
QUERIES: st.SearchStrategy[Query] = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
CODES = st.none() | st.builds(CodeState, commit=st.sampled_from([None, "a" * 40, "ab"]), dirty=st.booleans())


@st.composite
def some_runs(draw: st.DrawFn) -> list[RunSummary]:
    count = draw(st.integers(1, 6))
    return [
        make(
            number,
            experiment=draw(st.sampled_from(["nyc", "é x", "1"])),
            params=draw(st.dictionaries(KEYS, CELLS)),
            metrics=draw(st.dictionaries(KEYS, NUMBERS)),
            tags=draw(st.dictionaries(KEYS, TEXTS)),
            name=draw(st.sampled_from(["a", "1", "b%"])),
            start=draw(st.sampled_from([0.0, 1e9, 1.5])),
            duration_s=draw(st.none() | NUMBERS),
            author=draw(st.none() | TEXTS),
            exit_code=draw(st.none() | st.integers(-2, 2)),
            code=draw(CODES),
            status=draw(st.sampled_from(list(Status))),
            deleted=draw(st.none() | st.just(5.0)),
        )
        for number in range(count)
    ]


@settings(max_examples=120, deadline=None)
@given(some_runs(), QUERIES, st.lists(st.builds(SortKey, FIELDS, st.booleans()), max_size=3))
def test_sql_and_python_agree(runs: list[RunSummary], query: Query, sort: list[SortKey]) -> None:
    """The index finds exactly the runs that `matches` does, in the order of `sort_summaries`."""
    index = RunIndex("/nowhere/index.sqlite", Runs(*runs))
    expected = sort_summaries([run for run in runs if matches(query, run)], sort)
    assert [run.ref for run in index.search(query, sort=sort, deleted="yes")] == [run.ref for run in expected]
    assert index.count(query, deleted="yes") == len(expected)
    index.close()


@pytest.mark.parametrize(
    "query",
    [
        Or(tuple(Equal(Field("param", "a"), (i,)) for i in range(500))),
        And(tuple(Not(Equal(Field("param", "a"), (i, f"{i}", 0.5))) for i in range(1, 500))),
        Equal(Field("param", "a"), tuple(range(30_000))),
        where("(" * 16 + "params.a = 0" + " and params.a < 1 or params.a > 5)" * 16),
        where("(params.a = 0 and not " * 8 + "params.a = 1" + ")" * 8),
        where(" or ".join(f"(params.a = {i} and not (params.b in (1, 2) or params.a = 7))" for i in range(160))),
    ],
    ids=["many or", "many and", "many values", "deep", "deep not", "wide and deep"],
)
def test_the_largest_queries_are_not_too_large_for_sqlite(query: Query) -> None:
    """Neither its limit for depth nor that for the number of values is reached."""
    run = make(1, params={"a": 0})
    assert RunIndex("/nowhere/index.sqlite", Runs(run)).search(query) == [run] * matches(query, run)


def test_keys_beyond_the_columns_of_sqlite_are_searched_too(path: Path) -> None:
    """The run with the most keys takes no columns from others, and nothing is lost when there are none left."""
    crowd = [make(i, params={f"p{i}.{k}": k for k in range(300)}) for i in range(9)]
    usual = [make(100 + i, params={"lr": i}, metrics={"rmse": float(i)}) for i in range(3)]
    runs = Runs(*crowd, *usual)
    index = RunIndex(path, runs)
    for key in ("p0.0", "p0.299", "p8.0", "p8.299"):
        number = int(key[3:])
        found = index.search(Equal(Field("param", key), (number,)), sort=[SortKey(Field("param", key))])
        assert [run.ref for run in found] == [crowd[int(key[1])].ref]
    assert names(index.search(where("params.lr > 0 and params.p8.299 is null"))) == ["run-102", "run-101"]
    runs.put(change(crowd[8], params={"p8.299": "text"}))
    index.refresh()
    assert index.count(where("params.p8.299 = text")) == index.count(where("params.p8.299 is not null")) == 1
    assert index.count(where("params.p8.0 is not null")) == 0
    assert len(index.keys("param")) == 2701


# Keeping up


def test_nothing_is_read_while_the_fingerprint_stays(path: Path) -> None:
    """A refresh without a change asks for the fingerprint only, in this process and in the next."""
    runs = Runs(*(make(i) for i in range(3)))
    for _ in range(2):
        index = RunIndex(path, runs)
        assert index.count() == 3
        index.refresh()
        index.close()
    assert runs.listed == 1
    assert len(runs.loaded) == 3


def test_only_what_changed_is_read(path: Path) -> None:
    """New runs, changed ones and removed ones are told apart by their refs' commits."""
    one, two, three = make(1), make(2), make(3)
    runs = Runs(one, two)
    index = RunIndex(path, runs)
    index.refresh()
    runs.loaded.clear()
    tagged = change(two, tags={"best": "yes"})
    runs.put(tagged, three)
    runs.remove(one)
    index.refresh()
    assert runs.loaded == sorted([two.ref, three.ref])
    assert index.search() == [three, tagged]
    assert names(index.search(where("tags.best = yes"))) == ["run-2"]


def test_a_ref_that_begins_like_another_is_another(path: Path) -> None:
    """Reading one of them again does not forget the other."""
    one = make(1)
    runs = Runs(one, *(replace(make(2 + i), ref=one.ref + end) for i, end in enumerate("!/0z~é")))
    index = RunIndex(path, runs)
    index.refresh()
    runs.put(change(one))
    index.refresh()
    assert index.count() == 7


def test_a_fingerprint_that_cannot_be_trusted_is_not_kept(path: Path) -> None:
    """Then the refs are compared each time; what is known is still not read again."""
    runs = Runs(make(1))
    runs.trusted = False
    index = RunIndex(path, runs)
    index.refresh()
    runs.found[make(2).ref] = make(2)
    index.refresh()
    assert index.count() == 2
    runs.trusted = True
    index.refresh()
    index.refresh()
    assert runs.listed == 3
    assert len(runs.loaded) == 2


def test_a_broken_run_is_reported_and_tried_again(path: Path) -> None:
    """It hides no other run, and is well once it can be read or its ref is gone."""
    run = make(1)
    broken = BrokenRun(ref=run.ref, commit=run.commit or "", reason="An object is missing: \ud800.")
    gone = BrokenRun(ref=run.ref + "x", commit="0" * 40, reason="No.")
    runs = Runs(make(2))
    runs.put(broken, gone)
    index = RunIndex(path, runs)
    assert names(index.search()) == ["run-2"]
    assert [found.ref for found in index.broken()] == [run.ref, gone.ref]
    runs.put(run)
    runs.remove(gone)
    index.refresh()
    assert names(index.search()) == ["run-2", "run-1"]
    assert index.broken() == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=8), max_size=6), st.integers(0, 99))
def test_any_sequence_of_changes_ends_like_a_fresh_index(steps: list[list[tuple[int, bool]]], seed: int) -> None:
    """Two indexes over one file, refreshed in any order, both end where an index made from nothing does."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs()
        indexes = [RunIndex(f"{folder}/index.sqlite", runs) for _ in range(2)]
        digits = random.Random(f"changes {seed}")  # not the digits of `make`
        for step in steps:
            for number, is_removed in step:
                old = runs.found.get(make(number).ref)
                if old and is_removed:
                    runs.remove(old)
                elif isinstance(old, RunSummary):
                    params = {f"p{digits.randrange(5)}": digits.random()}
                    runs.put(replace(old, params=params, commit=f"{digits.getrandbits(160):040x}"))
                else:
                    runs.put(make(number))
            digits.choice(indexes).refresh()
        fresh = RunIndex("/nowhere/index.sqlite", runs)
        for index in indexes:
            index.refresh()
            assert index.search(sort=parse_sort("params.p1")) == fresh.search(sort=parse_sort("params.p1"))
            index.close()


def test_an_older_read_never_hides_a_newer_one(path: Path) -> None:
    """A process that read the refs earlier but writes later leaves a mark that makes the next one compare again."""
    run = make(1)
    newer = change(run, tags={"state": "new"})
    old_runs, new_runs = Runs(run), Runs(newer)
    new_runs.changes = 2
    many = Runs(*(make(i) for i in range(2, 2_500)))
    many.put(newer)
    many.changes = 2
    late = RunIndex(path, old_runs)

    def load(commits: Sequence[tuple[str, str]]) -> Iterator[RunSummary | BrokenRun]:
        if len(commits) < 2_000:
            late.refresh()  # between this process's first and last transaction
        return iter([many.found[ref] for ref, _ in commits])

    many.load = load  # type: ignore[method-assign]
    RunIndex(path, many).refresh()
    many.load = Runs.load.__get__(many)  # type: ignore[method-assign]
    index = RunIndex(path, many)
    assert index.search(where("tags.state = new")) == [newer]
    assert index.count() == 2_499


# The file


def damage_header(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)


def damage_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 512):
        content[at : at + 256] = b"\xff" * 256
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def be_older(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()


def be_somebody_elses(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE runs (x)")
    db.close()


def lose_a_table(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE docs")
    db.close()


def lose_the_state(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM state")
    db.close()


def flip_a_document(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE docs SET document = substr(document, 1, 9) || x'00' || substr(document, 11)")
    db.close()


def be_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        damage_header,
        damage_middle,
        cut,
        empty,
        be_older,
        be_somebody_elses,
        lose_a_table,
        lose_the_state,
        flip_a_document,
        be_a_folder,
        Path.unlink,
    ],
    ids=lambda spoil: spoil.__name__,
)
@pytest.mark.parametrize("is_open", [False, True])
def test_a_spoilt_file_is_replaced_without_a_word(path: Path, spoil: Any, is_open: bool) -> None:
    """Whatever is wrong with the file, answers are right, and the next process finds a good one where a file can be."""
    runs = Runs(*(make(i, params={"lr": i, "text": "x" * 50}) for i in range(500)))
    index = RunIndex(path, runs)
    index.refresh()
    if not is_open:
        index.close()
    spoil(path)
    for _ in range(2):
        assert names(index.search(where("params.lr < 3"))) == ["run-2", "run-1", "run-0"]
        assert index.search() == sort_summaries(runs.found.values())  # type: ignore[arg-type]
        index.refresh()
        index.close()
        index = RunIndex(path, runs)
    if spoil is not be_a_folder:
        assert path.is_file()
        assert stat.S_ISREG(path.stat().st_mode)


def test_without_a_folder_the_index_lives_in_memory(tmp_path: Path) -> None:
    """Where there is no repository to hold the folder, nothing is made."""
    index = RunIndex(tmp_path / "missing" / "gitexp" / "index.sqlite", Runs(make(1)))
    assert index.count() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_locked_file_is_done_without(path: Path) -> None:
    """Another process that holds the file, and never lets go, costs time but no answer."""
    runs = Runs(make(1))
    RunIndex(path, runs).refresh()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    runs.put(make(2))
    index = RunIndex(path, runs, wait_s=0.05)
    assert names(index.search()) == ["run-2", "run-1"]
    holder.execute("ROLLBACK")
    holder.close()
    assert names(RunIndex(path, runs).search()) == ["run-2", "run-1"]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody who is not root may write in the folder, and for now nobody is."""
    modes = {path: path.stat().st_mode for path in [*folder.iterdir(), folder]}
    user = os.geteuid()
    for path in modes:
        path.chmod(0o555)
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.mark.parametrize(("is_there", "is_current"), [(True, True), (True, False), (False, False)])
def test_a_read_only_file_is_read_and_completed_in_memory(is_there: bool, is_current: bool) -> None:
    """Somebody who may not write reads what the index has, and keeps what is new to themselves."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index.sqlite")
        runs = Runs(make(1))
        if is_there:
            RunIndex(path, runs).refresh()
        if not is_current:
            runs.put(make(2))
        runs.loaded.clear()
        before = path.read_bytes() if is_there else None
        with read_only(Path(folder)):
            index = RunIndex(path, runs)
            assert index.count() == 1 + (not is_current)
            assert len(runs.loaded) == (not is_current) + (not is_there)
            runs.put(make(3))
            index.refresh()
            assert names(index.search(limit=1)) == ["run-3"]
            assert len(runs.loaded) == 1 + (not is_current) + (not is_there)
        assert (path.read_bytes() if path.exists() else None) == before


WRITER = """
import sys
sys.path[:0] = {paths!r}
from test_index import Runs, change, make
from gitexp.store.index import RunIndex
for count in range(1, 20):
    runs = Runs(*(change(make(i), params={{f"p{{i % 7}}": i}}, commit=f"{{i * count:040x}}") for i in range(count)))
    runs.changes = count
    index = RunIndex({path!r}, runs)
    assert all(run.record.id for _ in range(20) for run in index.search())
    index.close()
"""


def test_many_processes_share_one_file(path: Path) -> None:
    """Processes that read and write it at once never fail, and the file is right in the end."""
    code = WRITER.format(paths=[str(Path(__file__).parent), *sys.path], path=str(path))
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0] * 3
    runs = Runs(*(make(i, params={f"p{i % 7}": i}) for i in range(19)))
    index = RunIndex(path, runs)
    assert index.count() == 19
    assert index.count(where("params.p3 is not null")) == 3
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM runs").fetchone() == db.execute("SELECT count(*) FROM docs").fetchone()
    db.close()


def test_threads_share_one_index(path: Path) -> None:
    """Questions from several threads take turns."""
    runs = Runs(*(make(i, params={"lr": i}) for i in range(50)))
    index = RunIndex(path, runs)
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(20):
            index.refresh()
            found = index.search(where(f"params.lr = {number} and run.name like 'run%'"))
            if names(found) != [f"run-{number}"]:
                wrong.append(found)

    threads = [Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_source_that_fails_leaves_the_index_as_it_was(path: Path) -> None:
    """The error reaches the caller; the next question compares again and does not answer from half a refresh."""
    runs = Runs(make(1))
    index = RunIndex(path, runs)

    def fail(commits: Sequence[tuple[str, str]]) -> Iterator[RunSummary | BrokenRun]:
        raise OSError(f"the disk with {len(commits)} commits is gone")

    runs.load = fail  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(OSError, match="1 commits is gone"):
            index.search()
    del runs.load
    assert names(index.search()) == ["run-1"]


def test_a_rebuilt_index_forgets_keys_that_no_run_has(path: Path) -> None:
    """Keys of runs that are gone stay known until then."""
    one, two = make(1, params={"old": 1}), make(2, params={"new": 1})
    runs = Runs(one, two)
    index = RunIndex(path, runs)
    index.refresh()
    runs.remove(one)
    index.refresh()
    assert index.keys("param") == ["new", "old"]
    index.rebuild()
    assert index.keys("param") == ["new"]
    assert index.search() == [two]


def test_attributes_of_odd_types_are_indexed_as_text() -> None:
    """A record that somebody edited by hand cannot stop the index."""
    odd = make(1, exit_code=[1, "a"], note={"a": 1}, host="x\ud800", author=10**30)
    index = RunIndex("/nowhere/index.sqlite", Runs(odd, make(2)))
    assert index.count() == 2
    assert names(index.search(where("run.note is not null"))) == ["run-1"]
    assert attribute_cell("x\ud800") == "x?"
