"""Nested runs in `gitexp ls`: below the run that they are nested in, or counted on it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gitexp
from gitexp.cli import execute
from gitexp.cli.nesting import outline
from gitexp.domain.identity import run_id
from gitexp.domain.run import RunRecord, Status
from gitexp.domain.summary import RunSummary
from gitexp.errors import NotFound
from gitexp.repo import Repository
from sealed_runs import seal


@pytest.fixture
def cli(repo_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Types a command; gives its exit code, stdout and stderr."""
    monkeypatch.chdir(repo_dir)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = execute(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def a_search(folder: Path) -> dict[str, str]:
    """A search of three trials, of which one has folds, between two other runs."""
    ids = {"before": seal(folder, "before", age_s=500), "search": seal(folder, "search", age_s=400)}
    for number in range(3):
        name = f"trial-{number}"
        ids[name] = seal(folder, name, parent=ids["search"], metrics={"loss": number}, age_s=300 - number)
    for number in range(2):
        ids[f"fold-{number}"] = seal(folder, f"fold-{number}", parent=ids["trial-1"], age_s=200 - number)
    ids["after"] = seal(folder, "after", age_s=100)
    return ids


def names(out: str) -> list[str]:
    """The column of names with its indentation."""
    head, *lines = out.splitlines()
    start, end = (re.search(rf"\b{title}\b", head) or pytest.fail(head) for title in ("name", "id"))
    return [line[start.start() : end.start()].rstrip() for line in lines]


NESTED = [
    "after",
    "search",
    "└ trial-1",
    "  └ fold-1",
    "  └ fold-0",
    "└ trial-2",
    "└ trial-0",
    "before",
]


def test_nested_runs_stand_below_their_parent(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """Newest first, each group where its newest run would stand, and every parent with how many there are."""
    a_search(repo_dir)
    out = cli("ls", "--columns", "name,id")[1]
    assert names(out) == NESTED
    counts = [line.split()[-1] for line in cli("ls", "--columns", "name,nested")[1].splitlines()]
    assert [(place, count) for place, count in enumerate(counts) if count.isdecimal()] == [(2, "3"), (3, "2")]


def test_the_newest_run_is_the_search_and_not_its_last_trial(repo_dir: Path) -> None:
    """`@` and `@~1` count as `gitexp ls` lists; an experiment of nothing but nested runs has its newest, too."""
    ids = a_search(repo_dir)
    seal(repo_dir, "elsewhere", experiment="trials", parent=ids["after"], age_s=50)
    repository = Repository.open(repo_dir)
    assert [repository.get_run(selector).record.name for selector in ("@", "@~1", "@~2")] == [
        "after",
        "search",
        "before",
    ]
    assert repository.get_run("trials/@").record.name == "elsewhere"
    with pytest.raises(NotFound):
        repository.get_run("@~3")


def test_a_parent_is_shown_however_old_it_is(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """A limit counts the newest runs; where a search leaves the parent out, its children stand by themselves."""
    a_search(repo_dir)
    assert names(cli("ls", "-n", "2", "--columns", "name,id")[1]) == NESTED[:4]
    found = cli("ls", "--where", "metrics.loss > 0", "--columns", "name,id")[1]
    assert names(found) == ["trial-2", "trial-1"]


def test_an_order_that_is_asked_for_is_kept(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """With --sort nobody stands below anybody."""
    a_search(repo_dir)
    assert names(cli("ls", "--sort", "-metrics.loss", "-n", "2", "--columns", "name,id")[1]) == ["trial-2", "trial-1"]


def test_nested_runs_are_folded(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """Only the outermost are listed and counted, those of a search too; what is wrong in it is told as it was typed."""
    a_search(repo_dir)
    out = cli("ls", "--fold")[1]
    assert names(out) == ["after", "search", "before"]
    assert names(cli("ls", "--fold", "-n", "1")[1]) == ["after"]
    assert names(cli("ls", "--fold", "--where", "run.name != 'after'")[1]) == ["search", "before"]
    code, _, err = cli("ls", "--fold", "--where", "metrics.loss <")
    assert code == 2 and "  metrics.loss <\n" in err and "parent" not in err


def test_json_has_parents_and_counts(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """In the order of the search; a removed child counts no longer, a live one does."""
    ids = a_search(repo_dir)
    repository = Repository.open(repo_dir)
    repository.remove(repository.resolve("trial-0"))
    with gitexp.start_run("live"), gitexp.start_run("inner", nested=True):
        runs = {run["name"]: run for run in json.loads(cli("ls", "--json")[1])["runs"]}
    assert runs["trial-2"]["parent"] == ids["search"]
    counts = {name: run["nested"] for name, run in runs.items() if run["nested"]}
    assert counts == {"search": 2, "trial-1": 2, "live": 1}


@given(st.lists(st.integers(-1, 12), max_size=12), st.randoms())
def test_an_outline_holds_each_run_once_below_its_parent(parents: list[int], random: Any) -> None:
    """Whatever the order, and whether or not the parent is there; even if runs were nested in each other."""
    ids = [run_id(bytes([number] * 8)) for number in range(13)]
    runs = [
        RunSummary(
            ref="",
            commit=None,
            record=RunRecord(
                id=ids[number],
                name=str(number),
                experiment="default",
                status=Status.FINISHED,
                start=0.0,
                parent=None if parent < 0 else ids[parent],
            ),
        )
        for number, parent in enumerate(parents)
    ]
    random.shuffle(runs)
    ordered, depths = outline(runs)
    assert sorted(run.record.name for run in ordered) == sorted(run.record.name for run in runs)
    above: list[RunSummary] = []
    for run in ordered:
        depth = depths.get(run.record.id, 0)
        assert depth <= len(above)
        del above[depth:]
        assert not depth or run.record.parent == above[-1].record.id
        above.append(run)
