"""How values, tables and errors look: as wide as the terminal, safe to print, with the digits that matter."""

from __future__ import annotations

import io
import json
import math
import os
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.cli.failures import report
from gitexp.cli.table import Cell, Column, choose, cut, cut_middle, markdown, render, width
from gitexp.cli.terminal import Terminal, look, printable, printable_lines, show_json
from gitexp.cli.values import (
    age,
    ago,
    duration,
    number,
    numbers,
    percent,
    plain,
    plural,
    signed,
    size,
    sparkline,
)
from gitexp.errors import QueryError

ANSI = re.compile(r"\x1b\[[0-9;]*m")
DAY = 86_400.0


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@given(st.text())
def test_nothing_printed_can_steer_a_terminal(text: str) -> None:
    """What is printed holds no control, no bidirectional mark, no line break and no lone surrogate."""
    shown = printable(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


@pytest.mark.parametrize("text", ["plain", "Ünïcödé", "名前", "👩‍🔬 emoji", "a b"])
def test_readable_text_is_printed_as_it_is(text: str) -> None:
    """Letters of any language and emoji, joined ones too, are not escaped."""
    assert printable(text) == text


def test_output_keeps_what_a_progress_bar_left_standing() -> None:
    """Of a line redrawn with carriage returns the last drawing is shown, escape sequences visibly."""
    assert printable_lines("10%\r50%\r100%\n\x1b[31mred\tx\n") == ["100%", "\\x1b[31mred    x"]


@given(st.text(), st.integers(1, 30))
def test_a_cut_text_fits(text: str, columns: int) -> None:
    """A text cut to some columns takes no more, whatever the widths of its characters."""
    assert width(cut(text, columns)) <= columns
    assert width(cut_middle(text, columns)) <= columns


def test_wide_and_combining_characters_are_measured() -> None:
    """East Asian characters take two columns, combining accents none."""
    assert [width(text) for text in ("abc", "名前", "e\u0301", "★")] == [3, 4, 1, 1]


WORDS = st.text(st.characters(codec="utf-8"), max_size=30).map(printable)


@given(
    cells=st.lists(st.lists(WORDS, min_size=3, max_size=3), min_size=1, max_size=5),
    columns=st.integers(20, 200),
    colour=st.booleans(),
)
def test_every_line_of_a_table_fits(cells: list[list[str]], columns: int, colour: bool) -> None:
    """No line of a table is wider than the terminal, with colours or without."""
    terminal = Terminal(width=columns, colour=colour)
    made = [
        Column(title=f"title {place}", cells=[Cell(row[place], "bold red") for row in cells], narrowest=3, rank=place)
        for place in range(3)
    ]
    for line in render(choose(made, columns), terminal):
        assert width(ANSI.sub("", line)) <= columns


def test_columns_are_chosen_by_rank_and_shown_in_place() -> None:
    """Where not all columns fit, the lowest ranks stay, in the order they were given."""
    made = [Column(title=title, cells=[Cell("x" * 10)], rank=rank) for title, rank in (("a", 0), ("b", 2), ("c", 1))]
    assert [column.title for column in choose(made, 22)] == ["a", "c"]
    assert [column.title for column in choose(made, 34)] == ["a", "b", "c"]


def test_colours_never_move_a_column() -> None:
    """A table in colour is the plain one, character for character, once the colours are taken out."""
    columns = [
        Column(title="k", cells=[Cell("名前", "red"), Cell("b")]),
        Column(title="n", cells=[Cell("1"), Cell("22")]),
    ]
    plain_lines = render(columns, Terminal(width=40))
    coloured = render(columns, Terminal(width=40, colour=True))
    assert [ANSI.sub("", line) for line in coloured] == plain_lines
    assert coloured != plain_lines


def test_markdown_cells_cannot_break_their_table() -> None:
    """Pipes, angle brackets and marks in a cell are escaped."""
    table = markdown(["a|b", "n"], [["x | <b>*y*", "1"]], [False, True])
    assert table.splitlines()[-1] == "| x \\| &lt;b>\\*y\\* |   1 |"


def test_colours_follow_the_terminal_and_the_users_wish() -> None:
    """Colours need a terminal; NO_COLOR turns them off there, FORCE_COLOR on elsewhere; a dumb one has none."""
    wishes: list[tuple[io.StringIO, dict[str, str], bool]] = [
        (Tty(), {}, True),
        (Tty(), {"NO_COLOR": "1"}, False),
        (Tty(), {"NO_COLOR": ""}, True),
        (Tty(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ]
    for stream, environ, expected in wishes:
        assert look(stream, environ).colour is expected, environ


def test_columns_in_the_environment_set_the_width() -> None:
    """COLUMNS decides; what is no number is ignored."""
    assert look(io.StringIO(), {"COLUMNS": "200"}).width == 200
    assert look(io.StringIO(), {"COLUMNS": "wide"}).width == look(io.StringIO(), {}).width


def test_a_terminal_that_tells_no_size_has_80_columns() -> None:
    """A pseudo-terminal to which nobody gave a size says 0."""
    outer, inner = os.openpty()
    with os.fdopen(inner, "w") as stream:
        assert look(stream, {}).width == 80
    os.close(outer)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """Where the stream cannot write more than ASCII, marks have a plain form."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    terminal = look(stream, {})
    assert (terminal.glyph("★", "*"), terminal.ellipsis, sparkline([1, 2], 9, terminal)) == ("*", "~", "")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1, "0.1"),
        (1 / 3, "0.33333"),
        (1234567.0, "1.2346e6"),
        (1e-7, "1e-7"),
        (120_000, "120000"),
        (10**400, "1e400"),
        (-(12345 * 10**30), "-1.2345e34"),
        (math.nan, "NaN"),
        (-math.inf, "-inf"),
        (100.0, "100"),
    ],
)
def test_numbers_have_the_digits_that_matter(value: float, shown: str) -> None:
    """Five significant digits, integers whole unless huge, exponents short."""
    assert number(value) == shown


@given(st.lists(st.none() | st.integers() | st.floats(), max_size=8), st.integers() | st.floats() | st.none())
def test_any_column_of_numbers_can_be_shown(values: list[float | None], apart: float | None) -> None:
    """Whatever the numbers, each gives a text, and only an absent one an empty text."""
    texts = numbers(values, apart if apart in values else None)
    assert [bool(text) for text in texts] == [value is not None for value in values]


def test_a_column_shares_its_decimals() -> None:
    """Numbers of like size are shown with the same decimals, and no more than needed."""
    assert numbers([0.5, 0.25, None, math.nan]) == ["0.50", "0.25", "", "NaN"]
    assert numbers([0.036996, 0.1201]) == ["0.0370", "0.1201"]
    assert numbers([1e-5, 1000.0]) == ["1e-5", "1000"]


def test_the_best_value_gets_digits_enough_to_be_seen() -> None:
    """A winner that others are close to is shown with more digits."""
    assert numbers([0.999911, 0.999912], 0.999912) == ["0.999911", "0.999912"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", '""'),
        ("adam", "adam"),
        (None, "null"),
        (True, "true"),
        (0.0001, "0.0001"),
        (1e-5, "1e-5"),
        ([1, "a"], '[1, "a"]'),
        ({"a": 1}, '{"a": 1}'),
        ("a\nb", "a\\nb"),
    ],
)
def test_params_look_as_one_types_them(value: object, shown: str) -> None:
    """Text stands bare, lists and mappings on one line."""
    assert plain(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.34, "340 ms"),
        (12.34, "12.3 s"),
        (59.96, "1m 00s"),
        (245, "4m 05s"),
        (3720, "1h 02m"),
        (51 * 3600, "2d 03h"),
        (86_399.9, "1d 00h"),
    ],
)
def test_durations_have_two_units(seconds: float, shown: str) -> None:
    """From milliseconds to days, at most two units, rounded without a 60 in the second."""
    assert duration(seconds) == shown


def test_times_are_relative_for_a_month() -> None:
    """Then the date stands; a clock that jumped back makes no negative times."""
    now = 1_800_000_000.0
    assert [ago(now - s, now) for s in (0, 5, 180, 7200, 3 * DAY)] == [
        "just now",
        "5 s ago",
        "3 min ago",
        "2 h ago",
        "3 d ago",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", ago(now - 40 * DAY, now))
    assert ago(now + 30, now) == "just now"
    assert [age(now - s, now) for s in (-5, 5, 3 * DAY, 200 * DAY)] == ["0 s", "5 s", "3 d", "6 mo"]


def test_sizes_are_decimal() -> None:
    """Bytes are whole, larger units have one decimal up to 100."""
    assert [size(n) for n in (0, 999, 1000, 12_300_000, 999_600, 10**15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12.3 MB",
        "1.0 MB",
        "1000 TB",
    ]


def test_differences_carry_their_sign() -> None:
    """Signs, percent and counts read as a person writes them."""
    terminal = Terminal()
    assert [signed(v, terminal) for v in (0.5, -2, 0)] == ["+0.5", "−2", "0"]
    assert [percent(v, terminal) for v in (0.1234, -0.5, 25.0, 1e9)] == ["+12.3 %", "−50.0 %", "+2500 %", ""]
    assert (plural(1, "run"), plural(1234, "run")) == ("1 run", "1,234 runs")


@given(st.lists(st.floats(), max_size=200), st.integers(1, 40))
def test_a_sparkline_fits_and_never_fails(values: list[float], columns: int) -> None:
    """Whatever the history, infinities included, its drawing takes no more columns than given."""
    assert len(sparkline(values, columns, Terminal())) <= columns


def test_a_sparkline_rises_with_the_values() -> None:
    """The lowest value is the lowest block, the highest the highest."""
    assert sparkline([0, 1, 2, 3], 10, Terminal()) == "▁▃▆█"


def test_json_is_strict_and_safe(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and infinities are strings, terminal controls are escaped, and every text comes back."""
    value = {"nan": math.nan, "inf": [math.inf, -math.inf], "text": "é\x1b\x9b\u202e\ud800", "big": 10**30}
    show_json(value)
    text = capsys.readouterr().out
    assert not set(text) & set("\x1b\x9b\u202e")
    loaded = json.loads(text)
    assert loaded == {"nan": "NaN", "inf": ["Infinity", "-Infinity"], "text": value["text"], "big": 10**30}


@pytest.mark.parametrize("columns", ["80", "40"])
def test_a_search_mistake_is_shown_at_its_position(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caret stands under the character where the trouble starts, however long the expression."""
    monkeypatch.setenv("COLUMNS", columns)
    text = "名 metrics.loss < 1 and " * 4 + "params.lr ! 3 and params.epochs > 10000"
    position = text.index("!")
    report("expected a comparison.", "use =", query=QueryError("x", text=text, position=position))
    error, expression, caret, hint = capsys.readouterr().err.splitlines()
    assert (error, hint) == ("error: expected a comparison.", "hint: use =")
    before = expression[: expression.index("!")]
    assert width(before) == caret.index("^")
    assert width(expression) <= int(columns)
