"""Metrics as text: last values as strict JSON, histories as CSV, both read back exactly."""

from __future__ import annotations

import csv
import io
import json
import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.metrics import (
    HEADER,
    History,
    Point,
    dump_history,
    dump_metrics,
    dump_points,
    load_history,
    load_metrics,
    load_points,
)
from gitexp.domain.values import Number, plain_number
from gitexp.errors import CorruptData, UsageError

numbers = st.one_of(
    st.floats(), st.integers(), st.just(-0.0), st.just(5e-324), st.just(1e308), st.just(2**63), st.just(-(10**400))
)
steps = st.integers(-(2**63), 2**63 - 1)
times = st.integers(0, 10**14).map(lambda milliseconds: milliseconds / 1000)
points = st.lists(st.tuples(steps, times, numbers), max_size=60)
keys = st.text(min_size=1, max_size=20)


def written(values: list[tuple[int, float, Number]] | History) -> str:
    """Points as text that tells floats from integers, -0.0 from 0.0 and takes NaN for itself."""
    return repr([tuple(point) for point in values])


@given(points)
def test_a_history_comes_back_exactly(logged: list[tuple[int, float, Number]]) -> None:
    """Steps, times in milliseconds and values come back from the CSV: floats by their bits, integers exact."""
    history = History.of(logged)
    text = dump_history(history)
    read = load_history(text)
    assert written(read) == written(history) == written(logged)
    assert dump_history(read) == text and read == history


@given(st.lists(st.tuples(steps, st.floats(), numbers), max_size=20))
def test_any_time_is_written_with_three_decimals(logged: list[tuple[int, float, Number]]) -> None:
    """Whatever a time is, even NaN, its history is written, read back, and written the same again."""
    text = dump_history(History.of(logged))
    assert dump_history(load_history(text)) == text


@given(points)
def test_the_csv_is_what_other_tools_expect(logged: list[tuple[int, float, Number]]) -> None:
    """Any CSV reader finds one row a point below the header, and each value in the spelling that JSON readers know."""
    rows = list(csv.reader(io.StringIO(dump_history(History.of(logged)))))
    assert rows[0] == ["step", "time", "value"]
    for (step, moment, value), row in zip(logged, rows[1:], strict=True):
        assert row == [str(step), f"{moment:.3f}", json.dumps(value)]


def test_a_long_history_is_one_history() -> None:
    """Histories longer than the pieces they are read and written in lose nothing at the seams."""
    history = History.of((step, 1e9 + step / 8, step if step % 1000 == 7 else step / 3) for step in range(20_000))
    text = dump_history(history)
    assert text.count("\n") == 20_001
    read = load_history(text)
    assert (read.steps, read.times, read.values, read.exact) == (
        history.steps,
        history.times,
        history.values,
        history.exact,
    )


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("1,2.000,3.0", 2),
        ("1,2.000,3.0\n4,5.000\n", 3),
        ("1,2.000,true\n", 2),
        ("1,null,2\n", 2),
        ("1,2.000,3.0\n1.5,2.000,3.0\n", 3),
        ("1,2.000,[3]\n", 2),
        ('1,2.000,"3"\n', 2),
        ("1,2.000,3.0\n\n", 3),
        ("9223372036854775808,2.000,3.0\n", 2),
        ("1,2.000,3.0,4.0\n", 2),
        ("[" * 100_000 + "\n", 2),
        ("1,2.000,nan\n", 2),
    ],
)
def test_a_damaged_history_names_the_line(rows: str, line: int) -> None:
    """A line that is no point is an error that says which line it is; nothing is guessed."""
    with pytest.raises(CorruptData, match=f"line {line} "):
        load_history(f"{HEADER}\n{rows}")


@given(st.text())
def test_no_text_breaks_the_reader_of_histories(text: str) -> None:
    """Whatever stands where a history should be gives a history or CorruptData, never another error."""
    for candidate in (text, f"{HEADER}\n{text}", f"{HEADER}\n1,2.000,3\n{text}\n"):
        try:
            load_history(candidate)
        except CorruptData:
            pass


@given(points)
def test_a_history_is_a_sequence_of_points(logged: list[tuple[int, float, Number]]) -> None:
    """Length, indexes from both ends and iteration give the points as logged."""
    history = History.of(logged)
    assert len(history) == len(logged)
    assert written(list(history)) == written([history[i] for i in range(len(history))])
    if logged:
        assert repr(history[-1]) == repr(Point(*logged[-1]))
    with pytest.raises(IndexError):
        history[len(logged)]


@given(points.filter(bool))
def test_the_last_value_is_that_of_the_highest_step(logged: list[tuple[int, float, Number]]) -> None:
    """The last value of a metric is the value logged last at its highest step."""
    highest = max(step for step, *_ in logged)
    assert repr(History.of(logged).last) == repr([value for step, _, value in logged if step == highest][-1])


def test_an_empty_history() -> None:
    """A metric without points has no last value, and its text is the header alone."""
    assert dump_history(History.of([])) == f"{HEADER}\n" and not History.of([])
    with pytest.raises(IndexError):
        _ = History.of([]).last


def test_the_columns_are_arrays() -> None:
    """Steps, times and values are arrays of 64-bit numbers; an integer beyond all floats is infinite there."""
    history = load_history(f"{HEADER}\n1,2.500,{10**400}\n")
    assert (history.steps, history.times, history.values) == (
        array("q", [1]),
        array("d", [2.5]),
        array("d", [math.inf]),
    )
    assert history.numbers() == [10**400]


@given(st.dictionaries(keys, numbers, max_size=20))
def test_last_values_come_back_exactly(metrics: dict[str, Number]) -> None:
    """`metrics.json` gives back every key and value exactly, and is strict JSON with one sorted key a line."""
    text = dump_metrics(metrics)
    assert repr(load_metrics(text)) == repr({key: metrics[key] for key in sorted(metrics)})
    assert load_metrics(text.encode()).keys() == metrics.keys()
    json.loads(text, parse_constant=pytest.fail)
    assert text.count("\n") == (len(metrics) + 2 if metrics else 1)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": true}', '{"a": "x"}', '{"a": NaN}', '{"a": null}', "[" * 99_999]
)
def test_damaged_last_values_are_an_error(text: str) -> None:
    """A `metrics.json` that is not an object of numbers is CorruptData, which names the file."""
    with pytest.raises(CorruptData, match=r"metrics\.json"):
        load_metrics(text)


def test_an_integer_too_long_to_write_is_refused() -> None:
    """An integer of more digits than Python writes is refused when logged, with the metric's name, not when sealed."""
    assert plain_number(10**3900, key="n") == 10**3900
    assert dump_metrics({"n": 10**3900}) and dump_history(History.of([(0, 0.0, 10**3900)]))
    with pytest.raises(UsageError, match="'n'"):
        plain_number(10**5000, key="n")


odd_keys = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(st.dictionaries(odd_keys, st.tuples(steps, times, numbers), min_size=1, max_size=10))
def test_single_points_come_back_exactly(logged: dict[str, tuple[int, float, Number]]) -> None:
    """One point of each metric comes back from `points.csv`, whatever the keys hold: commas, quotes, spaces."""
    read = load_points(dump_points({key: History.of([point]) for key, point in logged.items()}))
    assert {key: written(history) for key, history in read.items()} == {
        key: written([point]) for key, point in logged.items()
    }


@pytest.mark.parametrize(
    "text", ["", "step,time,value\n", "step,time,value,metric\n1,2\n", "step,time,value,metric\na,b,c,d\n"]
)
def test_damaged_points_are_told(text: str) -> None:
    """What is not `step,time,value,metric` is an error, not a guess."""
    with pytest.raises(CorruptData):
        load_points(text)
