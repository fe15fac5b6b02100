"""Curves: smoothing, axes, what is left of a million points, and how it is drawn."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitexp import start_run
from gitexp.charts.curve import visible
from gitexp.charts.figure import Figure, Line, Panel
from gitexp.charts.html import page
from gitexp.charts.scale import Kind, Scale, fitted
from gitexp.charts.svg import svg
from gitexp.charts.terminal import draw
from gitexp.cli import execute
from gitexp.cli.table import width
from gitexp.domain.metrics import History
from gitexp.domain.smoothing import smoothed
from gitexp.errors import NotFound, UsageError
from gitexp.plotting import PlotRequest, curves, save
from gitexp.repo import Repository
from sealed_runs import seal

BEGIN = 1_700_000_000.0
values = st.lists(st.floats(), max_size=60)
finite = st.floats(allow_nan=False, allow_infinity=False)


def panel(*lines: list[float], log: bool = False, **more: Any) -> Panel:
    """A panel whose lines have these values at the steps 0, 1, ..."""
    made = tuple(Line(name=f"run {n}", xs=range(len(ys)), ys=array("d", ys)) for n, ys in enumerate(lines))
    return Panel(title="loss", lines=made, x_title="step", log=log, **more)


def text_of(drawn: list[list[Any]]) -> list[str]:
    return ["".join(span.text for span in row) for row in drawn]


# Smoothing


def test_smoothing_is_tensorboards() -> None:
    """The figures that TensorBoard's own `resmooth` gives for 1, 2, NaN, 4 with weight 0.6."""
    found = list(smoothed([1.0, 2.0, math.nan, 4.0], 0.6))
    # last = last * w + (1 - w) * value; shown / (1 - w ** n): 0.4 / 0.4, 1.04 / 0.64, -, 2.224 / 0.784
    assert found[:2] == pytest.approx([1.0, 1.625]) and math.isnan(found[2]) and found[3] == pytest.approx(2.836734694)


@given(st.lists(finite, max_size=40), st.floats(0, 0.99))
def test_a_smoothed_value_lies_among_those_so_far(series: list[float], weight: float) -> None:
    """An average is never outside the values it is of; weight 0 changes nothing."""
    for position, value in enumerate(smoothed(series, weight)):
        seen = series[: position + 1]
        slack = max(1e-9 * max(map(abs, seen)), sys.float_info.min)
        assert min(seen) - slack <= value <= max(seen) + slack
    assert list(smoothed(series, 0)) == series


# Scales


@settings(deadline=None)
@given(st.lists(st.floats(), max_size=20), st.booleans(), st.sampled_from(list(Kind)), st.integers(1, 12))
def test_any_values_have_a_scale_with_ticks(series: list[float], log: bool, kind: Kind, most: int) -> None:
    """Whatever the values, each that can be shown has a place, and there are some labelled ticks inside."""
    if kind is Kind.TIME:
        series = [value for value in series if abs(value) < 1e11]
    scale = fitted([series], log=log, kind=kind if not log else Kind.NUMBER)
    assert scale.low < scale.high
    for value in series:
        if scale.shows(value):
            assert -1e-6 <= scale.place(value) <= 1 + 1e-6
    ticks = scale.ticks(most)
    assert ticks and all(label for _, label in ticks) and [t.value for t in ticks] == sorted(t.value for t in ticks)
    assert all(-1e-6 <= scale.place(tick.value) <= 1 + 1e-6 for tick in ticks)


@pytest.mark.parametrize(
    ("low", "high", "more", "labels"),
    [
        (0, 1, {}, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0, 59, {}, ["0", "10", "20", "30", "40", "50"]),
        (0, 1e6, {}, ["0", "200k", "400k", "600k", "800k", "1M"]),
        (1e-6, 6e-6, {}, ["1e-6", "2e-6", "3e-6", "4e-6", "5e-6", "6e-6"]),
        (1e-4, 2, {"log": True}, ["0.0001", "0.001", "0.01", "0.1", "1"]),
        (1, 40, {"log": True}, ["1", "2", "5", "10", "20"]),
        (0, 100, {"kind": Kind.SECONDS}, ["0 s", "30 s", "1 min", "1m 30"]),
        (0, 86_400 * 3, {"kind": Kind.SECONDS}, ["0 s", "12 h", "24 h", "36 h", "2 d", "2.5 d", "3 d"]),
    ],
)
def test_ticks_are_round(low: float, high: float, more: dict[str, Any], labels: list[str]) -> None:
    """Ticks are multiples of 1, 2 and 5, of minutes and hours, or powers of ten, with short labels."""
    assert [tick.label for tick in Scale(low=low, high=high, **more).ticks(6)] == labels


# Curves


@settings(deadline=None)
@given(values, st.booleans())
def test_few_points_are_all_kept_and_gaps_are_gaps(series: list[float], log: bool) -> None:
    """Pieces hold exactly the values that can be shown, in order, broken where one cannot."""
    line = panel(series, log=log)
    y = line.y_scale()
    pieces = visible(range(len(series)), series, line.x_scale(), y, 1000)
    wanted: list[list[tuple[float, float]]] = []
    broken = True
    for position, value in enumerate(series):
        if y.shows(value):
            if broken:
                wanted.append([])
            wanted[-1].append((position, value))
        broken = not y.shows(value)
    assert pieces == wanted


def test_a_spike_of_one_point_in_a_million_is_seen() -> None:
    """Lowest and highest of every column stay, quickly, and a gap of some columns stays a gap."""
    series = array("d", bytes(8 * 1_000_000))
    series[123_456], series[777_777] = 9.0, -9.0
    for position in range(400_000, 500_000):
        series[position] = math.nan
    line = Line(name="a", xs=range(len(series)), ys=series)
    x, y = fitted([line.xs], margin=0), fitted([series])
    began = time.process_time()
    pieces = visible(line.xs, series, x, y, 160)
    assert time.process_time() - began < 1
    points = [point for piece in pieces for point in piece]
    assert (123_456.0, 9.0) in points and (777_777.0, -9.0) in points
    assert len(points) <= 4 * 160 and len(pieces) == 2
    assert pieces[0][-1][0] == 399_999 and pieces[1][0][0] == 500_000


@settings(deadline=None)
@given(
    st.lists(values, min_size=1, max_size=3),
    st.booleans(),
    st.integers(20, 120),
    st.integers(4, 20),
    st.booleans(),
    st.booleans(),
)
def test_any_panel_fits_its_room(
    lines: list[list[float]], log: bool, columns: int, height: int, colour: bool, unicode: bool
) -> None:
    """No row is wider than asked for, whatever the values; without Unicode all is ASCII."""
    rows = text_of(draw(panel(*lines, log=log), width=columns, height=height, colour=colour, unicode=unicode))
    assert len(rows) == height + 2
    assert max(map(len, rows)) <= max(columns, 32)
    assert unicode or "".join(rows).isascii()


def test_a_rising_line_rises() -> None:
    """The first value is in the lowest row at the left, the last in the highest at the right."""
    rows = text_of(draw(panel([0.0, 1.0]), width=40, height=8, colour=True, unicode=True))
    plots = [row.partition("┤")[2] or row.partition("│")[2] for row in rows[:8]]
    first = [plot.find(next((c for c in plot if c > "\u2800"), "?")) for plot in plots]
    assert first == sorted(first, reverse=True) and first[-1] == 0


def test_without_colours_each_line_has_a_letter() -> None:
    """Two lines in a pipe are told apart by letters; one alone is drawn in dots."""
    two = "".join(text_of(draw(panel([0, 1], [1, 0]), width=40, height=8, colour=False, unicode=True)))
    assert "A" in two and "B" in two
    assert "A" not in "".join(text_of(draw(panel([0, 1]), width=40, height=8, colour=False, unicode=True)))


def test_values_beyond_the_axis_are_cut_off() -> None:
    """With fixed ends a line leaves the plot and comes back; nothing is drawn along the border."""
    rows = text_of(draw(panel([0, 100, 0], low=0.0, high=1.0), width=60, height=8, colour=True, unicode=True))
    assert sum(character > "\u2800" for character in rows[0]) <= 4


# Figures of runs


def noisy(points: int) -> History:
    return History.of([(s, BEGIN + s * 60, 1.0 / (s + 1)) for s in range(points)])


def two_runs(folder: Path) -> None:
    for name, points in (("one", 20), ("two", 30)):
        history = noisy(points)
        epochs = History.of([(s, BEGIN + s * 60, s // 10) for s in range(0, points, 10)])
        metrics = {"loss": history.last, "epoch": epochs.last, "score": 0.5}
        seal(folder, name, metrics=metrics, histories={"loss": history, "epoch": epochs}, start=BEGIN)


def test_a_figure_has_a_panel_a_metric_and_a_line_a_run(repo_dir: Path) -> None:
    """Metrics by name and pattern; without any, those with a course; x by step, time, relative time or a metric."""
    two_runs(repo_dir)
    runs = [Repository.open(repo_dir).get_run(name) for name in ("one", "two")]
    figure = curves(runs, PlotRequest(metrics=("lo*", "score")))
    assert [(p.title, [line.name for line in p.lines]) for p in figure.panels] == [
        ("loss", ["one", "two"]),
        ("score", ["one", "two"]),
    ]
    assert [p.title for p in curves(runs).panels] == ["epoch", "loss"]
    loss = {x: curves(runs, PlotRequest(metrics=("loss",), x=x)).panels[0].lines[1].xs for x in ("step", "relative")}
    assert (list(loss["step"])[-1], list(loss["relative"])[-1]) == (29, 29 * 60)
    epochs = curves(runs, PlotRequest(metrics=("loss",), x="epoch")).panels[0].lines[1].xs
    assert list(epochs) == [step // 10 for step in range(30)]
    [both] = curves(runs[:1], PlotRequest(metrics=("loss", "score"), together=True)).panels
    assert (both.title, [line.name for line in both.lines]) == ("loss, score", ["loss", "score"])


def test_steps_in_any_order_make_one_line(repo_dir: Path) -> None:
    """Points are drawn by step, whatever order they were logged in."""
    history = History.of([(2, BEGIN, 3.0), (0, BEGIN, 1.0), (1, BEGIN, 2.0)])
    seal(repo_dir, "odd", metrics={"m": 3.0}, histories={"m": history})
    [line] = curves([Repository.open(repo_dir).get_run("odd")]).panels[0].lines
    assert (list(line.xs), list(line.ys)) == ([0, 1, 2], [1.0, 2.0, 3.0])


def test_mistakes_are_answered_with_what_to_type(repo_dir: Path) -> None:
    """Unknown metrics and axes name near ones; impossible ends and weights are refused."""
    two_runs(repo_dir)
    runs = [Repository.open(repo_dir).get_run("one")]
    for request in (PlotRequest(metrics=("losss",)), PlotRequest(metrics=("loss",), x="epochs")):
        with pytest.raises(NotFound) as caught:
            curves(runs, request)
        assert "Did you mean" in caught.value.hint
    bad = [{"smooth": 1.0}, {"smooth": math.nan}, {"low": 1.0, "high": 1.0}, {"log": True, "low": 0.0}]
    for wrong in bad:
        with pytest.raises(UsageError):
            curves(runs, PlotRequest(**wrong))  # type: ignore[arg-type]


def test_what_a_logarithm_cannot_show_is_told(repo_dir: Path) -> None:
    """Values that are not above 0 are gaps, and counted."""
    history = History.of([(s, BEGIN, float(s - 2)) for s in range(5)])
    seal(repo_dir, "one", metrics={"m": 2.0}, histories={"m": history})
    figure = curves([Repository.open(repo_dir).get_run("one")], PlotRequest(log=True))
    assert figure.notes == ("3 values are not above 0 in 'm' of 'one', and left out.",)


def test_a_live_run_is_drawn(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The points so far."""
    monkeypatch.chdir(repo_dir)
    run = start_run("live")
    for step in range(7):
        run.log_metric("loss", float(step), step=step)
    assert len(curves([Repository.open(repo_dir).get_run("live")]).panels[0].lines[0].xs) == 7
    run.end()


# Files

EVIL = Figure(
    title="</title><script>alert(1)</script>",
    panels=(
        Panel(
            title="</script><b>&\x00\x1b",
            lines=tuple(
                Line(name=f"<i>'\"{n}", xs=range(3), ys=[0.0, math.nan, 1.0 * n], raw=[0.0, 1.0, 2.0])
                for n in range(12)
            ),
            x_title="step",
        ),
        panel([math.nan, math.inf]),
        panel([]),
        panel([1e308, -1e308]),
    ),
)


def test_svg_is_well_formed_and_stands_alone() -> None:
    """An XML parser reads it, names are text in it, every line is there, and nothing is fetched from elsewhere."""
    text = svg(EVIL)
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"href|url\(|@import|<script", text)
    drawn = [found for found in root.iter() if found.get("class", "").startswith("line c")]
    assert {found.get("data-line") for found in drawn} >= {str(n) for n in range(12)}
    assert "nan" not in text and "inf" not in text.replace("info", "")


def test_html_stands_alone_and_names_cannot_run() -> None:
    """The page forbids itself to fetch anything, its data parse, and no name closes its script or title."""
    text = page(EVIL)
    assert "default-src 'none'" in text and not re.search(r"https?://(?!www\.w3\.org)", text)
    assert text.count("<script>") == 1 and text.count("</script>") == 1 and "<b>&" not in text and "<i>" not in text
    [data] = re.findall(r"PANELS = (\[.*?\]);\n", text, re.DOTALL)
    panels = json.loads(data)
    assert panels[0]["title"] == EVIL.panels[0].title and panels[0]["lines"][3]["y"] == [0.0, 3.0]


def test_a_million_points_make_a_small_file() -> None:
    """Hundreds of kilobytes, not tens of megabytes."""
    ys = array("d", (math.sin(n / 1000) for n in range(1_000_000)))
    long = Figure(
        title="t", panels=(Panel(title="p", lines=(Line(name="l", xs=range(len(ys)), ys=ys),), x_title="step"),)
    )
    assert len(svg(long)) < 100_000 and len(page(long)) < 300_000


def test_the_ending_decides_what_is_written(repo_dir: Path, tmp_path: Path) -> None:
    """.svg and .html are written, over what was there too; other endings are refused."""
    two_runs(repo_dir)
    figure = curves([Repository.open(repo_dir).get_run("one")])
    (tmp_path / "a.svg").write_text("old")
    for ending, begin in ((".svg", "<svg"), (".html", "<!doctype html>")):
        save(figure, tmp_path / f"a{ending}")
        assert (tmp_path / f"a{ending}").read_text().startswith(begin)
    with pytest.raises(UsageError):
        save(figure, tmp_path / "a.gif")


def test_images_name_their_extra(repo_dir: Path, tmp_path: Path) -> None:
    """Where matplotlib is missing, the error says what to install, and no file is made."""
    two_runs(repo_dir)
    program = "import sys, gitexp.cli; sys.modules['matplotlib'] = None; sys.exit(gitexp.cli.execute(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "plot", "one", "-o", str(tmp_path / "a.png")]
    done = subprocess.run(command, cwd=repo_dir, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "gitexp[figures]" in done.stderr
    assert os.listdir(tmp_path) == ["project"]


@pytest.mark.slow
def test_images_are_drawn_by_matplotlib(tmp_path: Path) -> None:
    """PNG and PDF of lines with gaps, odd names and nothing at all."""
    pytest.importorskip("matplotlib")
    figure = Figure(title="t", panels=(panel([1, 2, math.nan, 3], log=True), panel([]), panel([1.0])))
    for ending, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
        save(figure, tmp_path / f"a{ending}")
        assert (tmp_path / f"a{ending}").read_bytes().startswith(magic)


# The command


@pytest.fixture
def cli(repo_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    monkeypatch.chdir(repo_dir)

    def run(*arguments: str, columns: int = 80) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        code = execute(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_panels_stand_beside_each_other_where_there_is_room(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """At 80 columns one below the other, at 200 side by side; no line is wider than the terminal."""
    two_runs(repo_dir)
    narrow, wide = cli("plot", "one", "two")[1], cli("plot", "one", "two", columns=200)[1]
    for out, columns in ((narrow, 80), (wide, 200)):
        assert max(map(width, out.splitlines())) <= columns
    assert len(narrow.splitlines()) == 39 and len(wide.splitlines()) == 19
    assert "A one" in narrow and "B two" in narrow


def test_the_command_writes_files_and_json(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """A file is announced on stderr; JSON has the points with gaps as strings; the newest run is drawn unasked."""
    two_runs(repo_dir)
    code, out, err = cli("plot", "-m", "loss", "-o", "loss.html")
    assert (code, out, err) == (0, "", "Drawn into 'loss.html'.\n")
    document = json.loads(cli("plot", "one", "-m", "loss", "--smooth", "0.5", "--json")[1])
    [line] = document["panels"][0]["lines"]
    assert line["name"] == "one" and line["x"] == list(range(20)) and line["y"][0] == 1.0
    assert cli("plot", "--ylim", "1")[0] == 2 and cli("plot", "--json", "-o", "x.svg")[0] == 2
    assert cli("plot", "--ylim", ":2", "--height", "4")[0] == 0
