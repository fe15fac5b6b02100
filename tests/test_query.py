"""The search language: what is understood, what each condition means, and where a mistake is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.identity import RunId
from gitexp.domain.matching import ATTRIBUTES, And, Equal, Field, Like, Not, Or, Order, Present, SortKey
from gitexp.domain.query import describe, fields, matches, parse, parse_sort, sort_summaries
from gitexp.domain.run import CodeState, RunRecord, Status
from gitexp.domain.summary import RunSummary
from gitexp.errors import QueryError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


def run(*, params: Mapping[str, Any] | None = None, metrics: Any = None, tags: Any = None, **record: Any) -> RunSummary:
    known = {"id": RunId("k7m29x4qh3vd"), "name": "baseline", "experiment": "nyc-taxi", "start": NOON}
    return RunSummary(
        ref="refs/gitexp/runs/nyc-taxi/k7m29x4qh3vd",
        commit="0" * 40,
        record=RunRecord(**{"status": Status.FINISHED, **known, **record}),
        params=params or {},
        metrics=metrics or {},
        tags=tags or {},
    )


def found(text: str, summary: RunSummary) -> bool:
    return matches(parse(text, now=NOON), summary)


def mistake(text: str) -> QueryError:
    with pytest.raises(QueryError) as caught:
        parse(text, now=NOON)
    return caught.value


def test_an_expression_becomes_conditions() -> None:
    """`and` binds closer than `or`, `not` closer than both, and brackets closest."""
    a, b, c = (Equal(Field("param", key), (1,)) for key in "abc")
    assert parse("params.a = 1 or params.b = 1 and not params.c = 1", now=0) == Or((a, And((b, Not(c)))))
    assert parse("(params.a = 1 OR params.b = 1) AND NOT (params.c == 1)", now=0) == And((Or((a, b)), Not(c)))


def test_an_empty_expression_matches_every_run() -> None:
    """No condition at all is the condition that every run meets."""
    assert found("", run())
    assert found(" \n", run())


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("params.lr", Field("param", "lr")),
        ("param.lr", Field("param", "lr")),
        ("parameters.optim.lr", Field("param", "optim.lr")),
        ("Parameter.lr", Field("param", "lr")),
        ("metrics.val/loss-1", Field("metric", "val/loss-1")),
        ("metric.m@k%", Field("metric", "m@k%")),
        ("metrics.größe", Field("metric", "größe")),
        ('params."a b"', Field("param", "a b")),
        ("metrics.`val loss = 1`", Field("metric", "val loss = 1")),
        ("tags.'it''s'", Field("tag", "it's")),
        ("tag.team", Field("tag", "team")),
        ("params.and", Field("param", "and")),
        ("run.name", Field("run", "name")),
        ("attributes.run_name", Field("run", "name")),
        ("attribute.run_id", Field("run", "id")),
        ("attr.`user_id`", Field("run", "author")),
        ("status", Field("run", "status")),
        ("Status", Field("run", "status")),
        ("tags.mlflow.runName", Field("run", "name")),
        ("tags.`mlflow.source.git.commit`", Field("run", "commit")),
    ],
)
def test_fields_are_named_as_here_or_as_in_mlflow(text: str, field: Field) -> None:
    """A field has a prefix and a key, which is quoted where it is odd; MLflow's spellings mean the same."""
    assert list(fields(parse(f"{text} is not null", now=0))) == [field]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("params.x = 0.1", 0.1),
        ("params.x = '0.1'", 0.1),
        ("params.x = 1e-1", 0.1),
        ("params.x = .1", 0.1),
        ("params.x = 0.1", "0.1"),
        ("params.x = 0.10", "0.10"),
        ("params.x = 1e-5", "1e-5"),
        ("params.x = 5", 5.0),
        ("params.x = 1.0", 1),
        ("params.x = 123456789012345678901234567890", 123456789012345678901234567890),
        ("params.x = inf", math.inf),
        ("params.x = -Infinity", -math.inf),
        ("params.x = nan", math.nan),
        ("params.x = true", True),
        ("params.x = 'True'", True),
        ("params.x = 'false'", False),
        ("params.x = true", "True"),
        ("params.x = adam", "adam"),
        ('params.x = "it\'s"', "it's"),
        ("params.x = 'it''s'", "it's"),
        (r"params.x = 'it\'s'", "it's"),
        (r"params.x = 'C:\temp\\'", "C:\\temp\\"),
        ("params.x = '[1, 2]'", [1, 2]),
        ("params.x = ''", ""),
    ],
)
def test_a_value_equals_what_it_is_written_as(text: str, value: object) -> None:
    """Numbers are equal however they are written, quoted or not; booleans are equal to both of their spellings."""
    assert found(text, run(params={"x": value}))
    assert not found(text.replace("=", "!=", 1), run(params={"x": value}))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("params.x = 1", True),
        ("params.x = true", 1),
        ("params.x = 'adam'", "Adam"),
        ("params.x = 5", "05"),
        ("params.x = null", 0),
        ("params.x < 5", "abc"),
        ("params.x > 5", "abc"),
        ("params.x > 5", True),
        ("params.x > 5", math.nan),
        ("params.x <= 5", math.nan),
        ("params.x > 'abc'", 5),
        ("params.x > 'abc'", True),
    ],
)
def test_values_of_different_kinds_never_compare(text: str, value: object) -> None:
    """A boolean is no number, a text no number unless it is written as one, and NaN is on no side of anything."""
    assert not found(text, run(params={"x": value}))


@pytest.mark.parametrize("text", ["params.x < 0.2", "params.x <= '0.1'", "params.x > -1", "params.x >= 1e-1"])
@pytest.mark.parametrize("value", [0.1, "0.1"])
def test_numbers_are_compared_as_numbers_even_where_the_run_recorded_text(text: str, value: object) -> None:
    """A param that a script left as the text of a number is that number for a search."""
    assert found(text, run(params={"x": value}))


@pytest.mark.parametrize(
    "text",
    [
        "params.x = 1",
        "params.x != 1",
        "params.x < 1",
        "params.x in (1, 2)",
        "params.x not in (1, 2)",
        "params.x like '%'",
        "params.x not like 'a'",
        "params.x is not null",
        "params.x != null",
    ],
)
def test_what_is_missing_meets_no_condition_but_is_null(text: str) -> None:
    """Comparisons with a missing value are false, so their negation is true."""
    for missing in (run(), run(params={"x": None})):
        assert not found(text, missing)
        assert found(f"not {text}", missing)
        assert found("params.x is null", missing)
        assert found("params.x = null", missing)


def test_nan_is_there_and_equals_only_itself() -> None:
    """Runs that diverged are found by `= nan`, and count as unequal to any number."""
    diverged = run(metrics={"loss": math.nan})
    assert found("metrics.loss = nan and metrics.loss is not null and metrics.loss != 1", diverged)
    assert not found("metrics.loss = nan", run(metrics={"loss": 1.0}))


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("res%", "resnet50", True),
        ("Res%", "resnet50", False),
        ("%net%", "resnet50", True),
        ("res_et__", "resnet50", True),
        ("res_et_", "resnet50", False),
        ("%50", "resnet50", True),
        ("resnet", "resnet50", False),
        ("%", "", True),
        ("_", "", False),
        ("a%b%c", "a-b-b-c", True),
        ("a%b%c", "a-c-b", False),
        ("100\\%", "100%", True),
        ("100\\%", "1000", False),
        ("a.c", "abc", False),
        ("a%z", "a\nz", True),
        ("0.%", 0.1, True),
        ("T%", True, True),
    ],
)
def test_like_looks_at_the_whole_text_and_at_case(pattern: str, value: object, expected: bool) -> None:
    """`%` stands for anything, `_` for one character, a backslash takes their meaning away; `ilike` ignores case."""
    summary = run(params={"x": value})
    assert found(f"params.x like '{pattern}'", summary) is expected
    assert found(f"params.x not like '{pattern}'", summary) is not expected
    if expected:
        assert found(f"params.x ilike '{pattern.swapcase()}'", run(params={"x": value}))


def test_like_takes_no_longer_than_the_text_is_long() -> None:
    """A pattern with many wildcards is not tried again and again."""
    assert not found(f"params.x like '{'%a' * 60}%b'", run(params={"x": "a" * 20_000}))


@pytest.mark.parametrize(
    "text",
    [
        "attributes.status = 'FINISHED'",
        "status in ('FAILED', 'FINISHED')",
        "run.status != 'killed'",
        "run.status like 'FIN%'",
        "status != 'SCHEDULED'",
        "run.commit = 'A93C5'",
        "run.commit in ('ffff', 'a93c5d1e00')",
        "run.commit != 'b'",
        "run.dirty = true and run.dirty != false and dirty = 1",
        "run.duration < 1h30m and run.duration > 90s and run.duration = 100 and run.duration = '1m40s'",
        "run.exit_code = 0",
        "author ilike '%ANN%'",
        "run.command like '%--lr 0.1%'",
        "run.branch = main",
        "run.name = 'baseline' and run_name != 5 and run.experiment = nyc-taxi",
        "run.parent is null and run.deleted is null",
    ],
)
def test_attributes_of_a_run_are_read_as_what_they_are(text: str) -> None:
    """Statuses without case, commits by their beginning, durations with units, texts as texts."""
    code = CodeState(commit="a93c5d1e00", branch="main", dirty=True)
    command = ("python", "train.py", "--lr", "0.1")
    author = "Ann Lee <ann@example.org>"
    assert found(text, run(code=code, duration_s=100.0, exit_code=0, command=command, author=author))


@pytest.mark.parametrize(
    "text",
    [
        "run.start > -7d",
        "run.start >= '2026-11-21'",
        "run.start > '2026-11-21T11:59'",
        "run.start < '2026-11-21 12:00:01'",
        "run.start < 2026-11-22",
        "run.start = '2026-11-21'",
        "run.start = '2026-11-21T12'",
        "run.start = '2026-11-21T12:00:00.000Z'",
        "run.start = '2026-11-21T14:00+02:00'",
        "run.start != '2026-11-20'",
        "run.start in ('2026-11-20', '2026-11-21')",
        "run.start not in ('2026-11-20', '2026-11-19')",
        "run.start = 1795262400",
        "attributes.start_time = 1795262400000",
        "attributes.start_time >= 1795262399999",
        "run.end is null and not run.end = '2026-11-21' and not (run.end != '2026-11-21')",
    ],
)
def test_times_are_utc_and_equal_as_precisely_as_they_are_written(text: str) -> None:
    """A date equals any moment of its day and compares as its first; MLflow's times are milliseconds."""
    assert found(text, run())


@pytest.mark.parametrize(
    ("text", "position", "message", "hint"),
    [
        ("metrics.rmse <", 14, "Expected a value, found the end.", ""),
        ("metrics.rmse < and params.lr = 1", 15, "Expected a value, found 'and'.", ""),
        ("params.lr = null or params.lr < null", 32, "Expected a value, found 'null'.", "is null"),
        ("metrics.rmse 5", 13, "'in', 'like' or 'ilike', found '5'.", ""),
        ("metrics.rmse", 12, "'in', 'like' or 'ilike', found the end.", ""),
        ("params.a ~ 'x'", 9, "found '~'.", "Write 'like'."),
        ("params.a not = 1", 13, "Expected 'in', 'like' or 'ilike', found '='.", ""),
        ("params.a is 1", 12, "Expected 'null' or 'not null', found '1'.", "'='"),
        ("params.a is not 1", 16, "Expected 'null', found '1'.", ""),
        ("params.a = 1 && params.b = 2", 13, "Expected 'and', 'or' or the end, found '&&'.", "Write 'and'."),
        ("params.a = 1 params.b = 2", 13, "Expected 'and', 'or' or the end, found 'params.b'.", ""),
        ("params.a = 1)", 12, "Expected 'and', 'or' or the end, found ')'.", ""),
        ("(params.a = 1", 13, "Expected 'and', 'or' or ')', found the end.", ""),
        ("params.a in 1", 12, "Expected '(', found '1'.", ""),
        ("params.a in (1 2)", 15, "Expected ',' or ')', found '2'.", ""),
        ("params.a in ()", 13, "Expected a value, found ')'.", ""),
        ("params.a = params.b", 11, "Expected a value, found 'params.b'.", "cannot be compared"),
        ("params.a = 'x", 11, "The closing ' is missing.", ""),
        ("!params.a = 1", 0, "'!' has no meaning here.", "not"),
        ("and params.a = 1", 0, "Expected a field, found 'and'.", "params.KEY"),
        ("'params.a' = 1", 0, "Expected a field, found 'params.a'.", ""),
        ("params. = 1", 7, "Expected a key after 'params.'.", ""),
        ('params.a."b" = 1', 9, "A quote inside a key.", "params.`...`"),
        ("metrcs.rmse = 1", 0, "Unknown field 'metrcs.rmse'.", "Did you mean metrics.rmse?"),
        ("optim.lr = 1", 0, "Unknown field 'optim.lr'.", "params.optim.lr"),
        ("lr = 1", 0, "Unknown field 'lr'.", "Write params.lr, metrics.lr or tags.lr."),
        ("staus = 'x'", 0, "Unknown field 'staus'.", "Did you mean run.status?"),
        ("run.statuss = 'x'", 4, "A run has no 'statuss'.", "Did you mean run.status?"),
        ("run.colour = 'x'", 4, "A run has no 'colour'.", "A run has id, name,"),
        ("metrics.rmse = 'low'", 15, "Expected a number.", ""),
        ("metrics.rmse like '1%'", 0, "'metrics.rmse' is not text.", ""),
        ("metrics.rmse < nan", 15, "'nan' is neither below nor above anything.", "="),
        ("params.flag > true", 14, "A boolean is neither below nor above anything.", "="),
        ("run.dirty = maybe", 12, "Expected true or false.", ""),
        ("run.status = 'done'", 13, "There is no status 'done'.", "finished, failed"),
        ("run.duration < long", 15, "Expected seconds or a length of time.", "1h30m"),
        ("run.start > 7d", 12, "Expected a time.", "Write -7d"),
        ("run.start > yesterday", 12, "Expected a time.", "2026-11-21"),
        ("run.start > '2026-13-01'", 12, "There is no such time: month must be in 1..12.", ""),
        ("params.a = '\udcff'", 12, "Here is something that is not text.", ""),
    ],
)
def test_a_mistake_is_shown_where_it_is(text: str, position: int, message: str, hint: str) -> None:
    """The error says what was expected, at the very character, and what to write where that can be guessed."""
    error = mistake(text)
    assert error.position == position
    assert message in str(error)
    assert hint in error.hint
    assert str(error).endswith(".")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(" * 10_000, "brackets"),
        ("not " * 10_000 + "params.a = 1", "brackets"),
        (" or ".join(["params.a = 1"] * 2_000), "500 conditions"),
        (f"run.start in ({', '.join(['2026-11-21'] * 2_000)})", "500 conditions"),
        (f"params.a in ({','.join(['1'] * 20_000)})", "10,000 values"),
        ("x" * 200_000, "100,000 characters"),
    ],
)
def test_an_expression_has_a_largest_size(text: str, message: str) -> None:
    """What would be too deep or too long for Python or SQLite is refused with an explanation."""
    assert message in str(mistake(text))


def test_the_place_of_a_mistake_is_drawn() -> None:
    """The line of the mistake stands over a caret, cut where it is long, in cells of a terminal."""
    assert describe(mistake("metrics.rmse < and")) == "metrics.rmse < and\n               ^"
    assert describe(mistake("metrics.a < 1 and\n\tmetrics.b <\nand x")) == "and x\n^"
    assert describe(mistake("params.a = '日本' 1")) == "params.a = '日本' 1\n                  ^"
    long = describe(mistake("params.a = 1 and " * 20 + "lr = 1 and " + "params.a = 1 and " * 20)).split("\n")
    assert long[0].startswith("...") and long[0].endswith("...") and max(map(len, long)) < 90
    assert long[0][len(long[1]) - 1 :].startswith("lr")


@given(st.text(alphabet=" ()=<>!,.'\"`\\-~parmsetic1e5dhnult0\n%é", max_size=40) | st.text(max_size=20))
def test_any_text_is_a_query_or_a_mistake_inside_it(text: str) -> None:
    """Nothing but QueryError ever comes out, its place is inside the text, and it can be drawn."""
    try:
        matches(parse(text, now=NOON), run())
    except QueryError as error:
        assert 0 <= error.position <= len(text)
        assert describe(error).endswith("^")


@given(st.text(min_size=1).filter(lambda key: key.isprintable()), st.sampled_from("`'\""))
def test_any_key_can_be_quoted(key: str, quote: str) -> None:
    """With its quotes doubled and its backslashes doubled, every key can be written."""
    quoted = quote + key.replace("\\", "\\\\").replace(quote, quote * 2) + quote
    assert parse(f"params.{quoted} is not null", now=0) == Present(Field("param", key))


def test_orders_are_read_as_here_or_as_in_mlflow() -> None:
    """A minus or DESC means descending; several keys are separated by commas or come as a list."""
    rmse, start = Field("metric", "rmse"), Field("run", "start")
    assert parse_sort("") == ()
    assert parse_sort("metrics.rmse") == (SortKey(rmse),)
    assert parse_sort("-metrics.rmse, start asc") == (SortKey(rmse, True), SortKey(start))
    assert parse_sort(["metrics.rmse DESC", "attributes.start_time ASC"]) == (SortKey(rmse, True), SortKey(start))
    assert parse_sort("-params.`a, b`") == (SortKey(Field("param", "a, b"), True),)


@pytest.mark.parametrize(
    ("text", "position"),
    [("metrics.rmse down", 13), ("metrics.rmse,", 13), (",", 0), ("-rmse", 1), ("- metrics.rmse", 1), ("run.nme", 4)],
)
def test_a_mistake_in_an_order_is_shown_where_it_is(text: str, position: int) -> None:
    """An order is read as strictly as an expression."""
    with pytest.raises(QueryError) as caught:
        parse_sort(text)
    assert caught.value.position == position


def test_runs_are_sorted_newest_first_and_what_is_missing_comes_last() -> None:
    """Numbers before text before booleans, or turned round; missing and NaN last both times; then the newest first."""
    values = [None, math.nan, True, "b", "a", 2, 1.5, "10"]
    runs = [run(id=RunId(f"k{i:011}"), start=float(i), params={"x": value}) for i, value in enumerate(values)]

    def order(text: str) -> list[object]:
        return [summary.params["x"] for summary in sort_summaries(runs, parse_sort(text))]

    assert order("params.x") == [1.5, 2, "10", "a", "b", True, values[1], None]
    assert order("-params.x") == [True, "b", "a", "10", 2, 1.5, values[1], None]
    assert order("") == values[::-1]
    same = [run(id=RunId(f"k{i:011}")) for i in (2, 1, 3)]
    assert [summary.record.id[-1] for summary in sort_summaries(same)] == ["1", "2", "3"]


def test_the_conditions_are_plain_values() -> None:
    """Special cases become the same few conditions, so there is little that the index has to say in SQL."""
    assert parse("run.commit = 'a93c'", now=0) == Like(Field("run", "commit"), "a93c%", False)
    assert parse("run.start > -1m", now=100) == Order(Field("run", "start"), ">", 40.0)
    there = Present(Field("tag", "a"))
    assert parse("tags.a not in (x, 1)", now=0) == And((there, Not(Equal(Field("tag", "a"), ("x", 1)))))


def test_the_examples_in_the_manual_are_read() -> None:
    """Every line of code in docs/search.md is an expression, and every attribute of a run is in it."""
    manual = (Path(__file__).parent.parent / "docs" / "search.md").read_text()
    examples = [line for block in manual.split("```\n")[1::2] for line in block.splitlines()]
    assert len(examples) > 5
    for example in examples:
        assert parse(example, now=NOON)
    assert [name for name in ATTRIBUTES if f"`run.{name}`" not in manual] == []


def test_artifacts_are_searched_by_number_and_size() -> None:
    """`artifacts.size` is in bytes or in words, `artifacts.count` a number; nothing else of them can be asked."""
    summary = run(artifact_count=3, artifact_bytes=12_000_000)
    assert found("artifacts.size = 12MB and artifacts.size > 11MiB and artifacts.count >= 3", summary)
    assert not found("Artifacts.Size > 12000000", summary)
    assert found("artifacts.size = 0", run())
    assert parse_sort("-artifacts.size") == (SortKey(Field("run", "artifact_bytes"), True),)
    assert mistake("artifacts.size > large").hint == "Write a number, or a size like 10MB or 64KiB."
    assert mistake("artifacts.name = x").hint == "Write artifacts.count or artifacts.size."
