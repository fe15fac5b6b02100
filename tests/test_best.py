"""The best runs: one number or several, by name, sign and flag."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.cli import execute
from gitexp.domain.direction import Direction
from gitexp.domain.matching import Field
from gitexp.domain.objective import Objective, parse_objectives
from gitexp.domain.pareto import front
from gitexp.domain.pointer import Pointer
from gitexp.errors import NotFound, QueryError, UsageError
from gitexp.ranking import best_runs
from gitexp.repo import Repository
from sealed_runs import seal

vectors = st.integers(1, 5).flatmap(
    lambda size: st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, -math.inf, 7.5])] * size), max_size=40)
)


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@given(vectors)
def test_the_front_is_what_nothing_dominates(points: list[tuple[float, ...]]) -> None:
    """The front is the same as that of comparing each vector with each other one, in any number of coordinates."""
    wanted = [at for at, point in enumerate(points) if not any(dominates(other, point) for other in points)]
    assert front(points) == wanted


@pytest.mark.parametrize("coordinates", [2, 3])
def test_a_front_of_ten_thousand_takes_a_moment(coordinates: int) -> None:
    """Also where nothing dominates anything, the worst case: far from the 50 million comparisons of pairs."""
    pick = random.Random(1)
    points = []
    for _ in range(10_000):
        *rest, last = (pick.random() for _ in range(coordinates))
        points.append((*rest, -sum(rest) if coordinates == 2 else last))
    began = time.process_time()
    found = front(points)
    assert time.process_time() - began < 2
    assert len(found) == 10_000 if coordinates == 2 else 20 < len(found) < 1_000


@pytest.mark.parametrize(
    ("text", "name", "way"),
    [
        ("metrics.rmse", "metrics.rmse", Direction.LOWER),
        ("val/auc", "metrics.val/auc", Direction.HIGHER),
        ("-metrics.reward", "metrics.reward", Direction.HIGHER),
        ("+metrics.accuracy", "metrics.accuracy", Direction.LOWER),
        ("run.duration", "run.duration", Direction.LOWER),
        ("duration", "run.duration", Direction.LOWER),
        ("-artifacts.size", "artifacts.size", Direction.HIGHER),
        ("artifacts.count", "artifacts.count", Direction.LOWER),
        ("+params.hidden", "params.hidden", Direction.LOWER),
        ("metrics.`a, b`", "metrics.a, b", None),
        ("reward_mean", "metrics.reward_mean", Direction.HIGHER),
        ("thing", "metrics.thing", None),
    ],
)
def test_an_objective_has_a_field_and_a_direction(text: str, name: str, way: Direction | None) -> None:
    """Signs, names of metrics and known fields tell which way is better; a bare key is a metric's."""
    [objective] = parse_objectives(text)
    assert (objective.name, objective.direction) == (name, way)


def test_a_flag_tells_for_what_has_no_sign() -> None:
    """`toward` counts more than a name and less than a sign."""
    ways = [objective.direction for objective in parse_objectives("loss, +thing, other", toward=Direction.HIGHER)]
    assert ways == [Direction.HIGHER, Direction.LOWER, Direction.HIGHER]


@pytest.mark.parametrize("text", ["run.nope", "artifacts.name", "metrics.", "params.`a", "a = b"])
def test_an_objective_that_is_no_field_is_refused(text: str) -> None:
    """Misspelt attributes and half-quoted keys are mistakes, not metrics."""
    with pytest.raises(QueryError):
        parse_objectives(text)


def five_runs(folder: Path) -> None:
    """In loss and time a and b are best, c is beaten by both; d has no loss, e a NaN."""
    for name, loss, took, size in (("a", 0.1, 90.0, 10), ("b", 0.3, 5.0, 10), ("c", 0.4, 95.0, 99_000)):
        artifacts = {"m": Pointer(sha256="ab" * 32, size_bytes=size)}
        seal(folder, name, metrics={"loss": loss, "thing": loss}, duration_s=took, artifacts=artifacts)
    seal(folder, "d", metrics={"other": 1})
    seal(folder, "e", metrics={"loss": math.nan})


def names(found: Any) -> list[str]:
    return [run.record.name for run in found.runs]


def test_the_best_runs_come_first(repo_dir: Path) -> None:
    """Lowest loss first, highest where a minus says so; runs without a number are left out and counted."""
    five_runs(repo_dir)
    repository = Repository.open(repo_dir)
    ranking = best_runs(repository, "metrics.loss", limit=2)
    assert (names(ranking), ranking.runs.total, ranking.without) == (["a", "b"], 3, {"metrics.loss": 2})
    assert names(best_runs(repository, "-loss")) == ["c", "b", "a"]
    assert names(best_runs(repository, "loss", where="run.duration > 80")) == ["a", "c"]
    assert names(best_runs(repository, [Objective(Field("run", "duration"), Direction.HIGHER)], limit=1)) == ["c"]


def test_the_front_of_several_objectives(repo_dir: Path) -> None:
    """What another run beats in everything is left out and counted."""
    five_runs(repo_dir)
    ranking = best_runs(Repository.open(repo_dir), "loss, run.duration, artifacts.size")
    assert (names(ranking), ranking.dominated, ranking.without) == (["a", "b"], 1, {"metrics.loss": 2})
    frame = ranking.runs.to_pandas()
    assert list(frame["name"]) == ["a", "b"]


def test_what_no_run_has_is_answered_with_near_names(repo_dir: Path) -> None:
    """A misspelt metric is not found, whether its name tells a direction or not; a real one needs a direction."""
    five_runs(repo_dir)
    repository = Repository.open(repo_dir)
    for text in ("metrics.losss", "metrics.thingy"):
        with pytest.raises(NotFound) as missing:
            best_runs(repository, text)
        assert "Did you mean metrics." in missing.value.hint
    with pytest.raises(UsageError, match="does not tell which way") as unclear:
        best_runs(repository, "thing")
    assert "--max or --min" in unclear.value.hint


@pytest.fixture
def cli(repo_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    monkeypatch.chdir(repo_dir)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = execute(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_command_shows_a_table_and_what_it_left_out(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """The best is marked; beaten runs and runs without a number are told on stderr; no line is too wide."""
    five_runs(repo_dir)
    code, out, err = cli("best", "loss", "--pareto", "run.duration,artifacts.size")
    head, *rows = out.splitlines()
    assert code == 0 and "artifacts" in head and max(map(len, out.splitlines())) <= 80
    assert [row.split()[1] for row in rows] == ["a", "b"]
    assert "★ 0.1 " in rows[0] and "★ 5.0 s" in rows[1]
    assert err == "1 run beaten in everything left out. 2 runs without metrics.loss left out.\n"


def test_the_command_for_programs(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """JSON says what was looked for and each run's numbers; CSV and Markdown have a row a run."""
    five_runs(repo_dir)
    document = json.loads(cli("best", "thing", "--max", "-n", "1", "--json")[1])
    assert document["objectives"] == [{"name": "metrics.thing", "better": "higher"}]
    assert (document["total"], document["runs"][0]["values"]) == (3, {"metrics.thing": 0.4})
    assert len(cli("best", "loss", "--csv")[1].splitlines()) == 4
    assert len(cli("best", "loss", "--markdown")[1].splitlines()) == 5
    assert cli("best", "losss")[0] == 3
    assert cli("best", "loss", "--where", "run.name = nobody")[1:] == ("", "No run matches.\n")
