"""Exports: what other programs get to read."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from gitexp import start_run
from gitexp.cli import execute
from gitexp.domain.metrics import History
from gitexp.domain.pointer import Pointer
from gitexp.exporting import point_table, run_table, write_file, write_table
from gitexp.repo import Repository
from sealed_runs import seal

BEGIN = 1_700_000_000.0


@pytest.fixture
def cli(repo_dir: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> Callable[..., Any]:
    monkeypatch.chdir(repo_dir)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        code = execute(list(arguments))
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return run


def two_runs(folder: Path) -> None:
    history = History.of([(0, BEGIN, 1.5), (1, BEGIN + 1, math.nan), (2, BEGIN + 2.5, 10**20)])
    seal(
        folder,
        "one, 'ü'",
        params={"lr": 0.1, "layers": [1, 2], "big": 2**70, "mixed": 1, "flag": True},
        metrics={"loss": 10**20},
        histories={"loss": history},
        artifacts={"m": Pointer(sha256="ab" * 32, size_bytes=70_000), "t": b"abc"},
        note="two\nlines",
        age_s=100,
        start=BEGIN,
    )
    seal(folder, "two", params={"lr": 1, "mixed": "a"}, metrics={"val/loss": -math.inf}, tags={"t": ""}, age_s=50)


def test_csv_has_a_row_a_run_and_reads_back(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """Fields, metrics, params and tags of both runs; what one lacks is empty; lists are JSON."""
    two_runs(repo_dir)
    code, out, _ = cli("export", "--sort", "run.start")
    first, second = csv.DictReader(io.StringIO(out))
    assert code == 0
    assert (first["name"], first["start"], first["note"]) == ("one, 'ü'", "2023-11-14T22:13:20.000Z", "two\nlines")
    assert (first["params.layers"], first["params.big"], first["params.flag"]) == ("[1, 2]", str(2**70), "true")
    assert (first["artifacts.count"], first["artifacts.size"]) == ("2", "70003")
    assert (first["metrics.loss"], first["metrics.val/loss"]) == (str(10**20), "")
    assert (second["metrics.val/loss"], second["params.flag"], second["tags.t"]) == ("-Infinity", "", "")


def test_json_and_json_lines_hold_the_same(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """Types stay, NaN and infinities are strings, and no byte beyond ASCII is written."""
    two_runs(repo_dir)
    out = cli("export", "--format", "json", "--sort", "run.start")[1]
    first, second = json.loads(out)
    assert out.isascii()
    assert [json.loads(line) for line in cli("export", "--format", "jsonl")[1].splitlines()] == [second, first]
    assert (first["params.layers"], first["params.big"], first["params.flag"]) == ([1, 2], 2**70, True)
    assert (second["metrics.val/loss"], second["params.flag"]) == ("-Infinity", None)


def test_histories_have_a_row_a_point(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """Run, metric, step, time and value of each point in the order logged; patterns choose the metrics."""
    two_runs(repo_dir)
    rows = list(csv.DictReader(io.StringIO(cli("export", "--histories", "-m", "lo*")[1])))
    assert [(row["metric"], row["step"], row["time"][-8:], row["value"]) for row in rows] == [
        ("loss", "0", ":20.000Z", "1.5"),
        ("loss", "1", ":21.000Z", "NaN"),
        ("loss", "2", ":22.500Z", str(10**20)),
    ]
    assert len(cli("export", "--histories")[1].splitlines()) == 5
    code, _, err = cli("export", "--histories", "-m", "los")
    assert (code, err.splitlines()[1]) == (3, "hint: Did you mean loss, val/loss?")


def test_a_point_without_a_possible_time_holds_up_no_export(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """A time that an event file or an older version left as NaN or beyond all years is an empty cell."""
    points = [(0, math.nan, 1.5), (1, 1e300, 2.5), (2, BEGIN, 3.5)]
    seal(repo_dir, "odd", metrics={"loss": 3.5}, histories={"loss": History.of(points)})
    rows = list(csv.DictReader(io.StringIO(cli("export", "--histories")[1])))
    assert [row["time"] for row in rows] == ["", "", "2023-11-14T22:13:20.000Z"]
    lines = cli("export", "--histories", "--format", "jsonl")[1].splitlines()
    assert [json.loads(line)["time"] for line in lines] == [None, None, "2023-11-14T22:13:20.000Z"]
    pq = pytest.importorskip("pyarrow.parquet")
    repository = Repository.open(repo_dir)
    buffer = io.BytesIO()
    write_table(point_table(repository, repository.search()), "parquet", buffer)
    assert [time is None for time in pq.read_table(buffer).column("time").to_pylist()] == [True, True, False]


def test_an_empty_export_is_a_valid_document(cli: Callable[..., Any]) -> None:
    """Where no run matches, CSV has its head and JSON an empty list."""
    assert cli("export")[1].startswith("id,name,experiment,status,")
    assert json.loads(cli("export", "--format", "json")[1]) == []
    assert cli("export", "--histories", "--format", "jsonl")[1] == ""


def test_a_file_appears_whole_or_not_at_all(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """The name's ending tells the format; a failure leaves what was there, and nothing beside it."""
    two_runs(repo_dir)
    target = repo_dir / "out" / "runs.jsonl"
    assert cli("export", "-o", str(target))[0] == 3
    target.parent.mkdir()
    code, out, err = cli("export", "-o", str(target))
    assert (code, out) == (0, "") and err.startswith(f"2 runs in '{target}' (")
    assert len(target.read_text().splitlines()) == 2
    with pytest.raises(TypeError):
        write_file(run_table([*Repository.open(repo_dir).search(), Broken()]), "jsonl", str(target))  # type: ignore[list-item]
    assert os.listdir(target.parent) == ["runs.jsonl"] and len(target.read_text().splitlines()) == 2


def test_a_name_that_says_no_format_is_refused(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """The formats are named, nothing is written, and `--format` makes any name good."""
    two_runs(repo_dir)
    for name in ("y.xyz", "runs", "runs.csv.gz"):
        code, _, err = cli("export", "-o", name)
        assert code == 2 and f"'{name}'" in err and ".csv, .json, .jsonl, .parquet" in err
        assert not (repo_dir / name).exists()
    assert cli("export", "-o", "y.xyz", "--format", "json")[0] == 0
    assert len(json.loads((repo_dir / "y.xyz").read_text())) == 2


class Broken:
    """A run whose record cannot be read."""

    params = metrics = tags = MappingProxyType[str, Any]({})

    @property
    def record(self) -> Any:
        raise TypeError("broken")


def test_a_live_run_is_exported_with_its_points(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is still recorded has its row and its points, also one sealed between search and export."""
    monkeypatch.chdir(repo_dir)
    repository = Repository.open(repo_dir)
    run = start_run("live")
    run.log_metric("loss", 0.5, step=3)
    found = repository.search()
    assert next(iter(point_table(repository, found).rows))[3:5] == ("loss", 3)
    run.end()
    rows = list(point_table(repository, found).rows)
    assert [(row[1], row[4], row[6]) for row in rows] == [("live", 3, 0.5)]


def test_a_reader_that_goes_away_is_no_error(repo_dir: Path) -> None:
    """A pipe closed after the first line ends the command silently."""
    seal(repo_dir, "long", metrics={"m": 1.0}, histories={"m": History.of([(i, 0.0, 1.0) for i in range(50_000)])})
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "gitexp", "export", "--histories"]
    with subprocess.Popen(command, cwd=repo_dir, stdout=writing, stderr=subprocess.PIPE) as child:
        os.close(writing)
        os.read(reading, 10)
        os.close(reading)
        assert child.stderr is not None and child.stderr.read() == b""
    assert child.returncode == 141


def test_histories_without_parquet_need_no_extra(repo_dir: Path) -> None:
    """Where pyarrow is missing, Parquet names the extra, and the rest works without."""
    two_runs(repo_dir)
    program = "import sys, gitexp.cli; sys.modules['pyarrow'] = None; sys.exit(gitexp.cli.execute(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "export"]
    done = subprocess.run([*command, "--format", "parquet"], cwd=repo_dir, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "") and "gitexp[parquet]" in done.stderr
    assert subprocess.run(command, cwd=repo_dir, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_parquet_keeps_types(repo_dir: Path) -> None:
    """Times are timestamps, numbers numbers, a column of several kinds text; histories come in columns."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    two_runs(repo_dir)
    repository = Repository.open(repo_dir)
    runs = repository.search(sort="run.start")
    buffer = io.BytesIO()
    write_table(run_table(runs), "parquet", buffer)
    table = pq.read_table(buffer)
    types = {field.name: field.type for field in table.schema}
    assert types["start"] == pa.timestamp("ms", tz="UTC") and types["artifacts.size"] == pa.int64()
    assert (types["params.lr"], types["params.flag"], types["params.mixed"]) == (pa.float64(), pa.bool_(), pa.string())
    rows = table.to_pylist()
    assert [row["params.mixed"] for row in rows] == ["1", "a"]
    assert (rows[0]["params.layers"], rows[0]["params.big"]) == ("[1, 2]", float(2**70))
    assert rows[1]["metrics.val/loss"] == -math.inf and rows[0]["metrics.val/loss"] is None
    buffer = io.BytesIO()
    write_table(point_table(repository, runs), "parquet", buffer)
    points = pq.read_table(buffer)
    assert (points.num_rows, points.schema.field("value").type) == (4, pa.float64())
    assert points.to_pylist()[0]["time"].isoformat() == "2023-11-14T22:13:20+00:00"
    buffer = io.BytesIO()
    write_table(point_table(repository, []), "parquet", buffer)
    assert pq.read_table(buffer).num_rows == 0
