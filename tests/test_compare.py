"""Many runs side by side: what differs, which is best, and how it fits the terminal."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gitexp
from gitexp.cli import execute
from gitexp.cli.table import width
from gitexp.domain.lineup import ABSENT, CodeOf, Section, groups_of, rows_of
from gitexp.domain.metrics import History
from gitexp.domain.pointer import Pointer
from gitexp.domain.run import CodeState
from gitexp.domain.values import same_value
from gitexp.errors import NotFound, UsageError
from gitexp.lineup import line_up
from gitexp.repo import Repository
from sealed_runs import seal

Git = Callable[..., str]

keys = st.text("ab.", min_size=1, max_size=2)
values = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.floats(), st.text(max_size=1))


@given(st.lists(st.dictionaries(keys, values), min_size=1, max_size=5))
def test_every_key_has_one_row_with_a_value_for_each_run(mappings: list[dict[str, Any]]) -> None:
    """Keys are sorted, absent is not null, and a row differs exactly where two runs do not have the same."""
    rows = rows_of(Section.PARAMS, mappings)
    assert [row.key for row in rows] == sorted({key for mapping in mappings for key in mapping})
    for row in rows:
        assert [value is ABSENT for value in row.values] == [row.key not in mapping for mapping in mappings]
        first, key = mappings[0], row.key
        alike = [
            (key in m and key in first and same_value(first[key], m[key])) or key not in {*m, *first} for m in mappings
        ]
        assert row.differs is not all(alike)


def test_the_best_of_a_metric_is_marked_where_its_name_tells() -> None:
    """Lowest loss, highest accuracy, all that share it; none where the name does not tell or all are the same."""
    losses, accuracies, sizes = (0.5, 0.1, 0.1, math.nan), (1, 1, 0, 0), (1, 2, 3, 4)
    runs = [{"loss": a, "acc": b, "size": c} for a, b, c in zip(losses, accuracies, sizes, strict=True)]
    best = {row.key: set(row.best) for row in rows_of(Section.METRICS, runs)}
    assert best == {"loss": {1, 2}, "acc": {0, 1}, "size": set()}
    assert rows_of(Section.PARAMS, [{"loss": 1}, {"loss": 2}])[0].best == frozenset()


def test_groups_are_numbered_as_they_appear() -> None:
    """Equal values share a number."""
    assert groups_of(["b", "a", "b", "c", "a"]) == [0, 1, 0, 2, 1]


def three_runs(folder: Path, git: Git) -> None:
    trees = []
    for texts in ({"a.py": "1\n"}, {"a.py": "1\n"}, {"a.py": "2\n", "b.py": "3\n"}):
        for name, text in texts.items():
            (folder / name).write_text(text)
        git("add", "-A", cwd=folder)
        trees.append(git("write-tree", cwd=folder).strip())
    for place, name in enumerate(("one", "two", "three")):
        loss = History.of([(step, 1e9 + step, value) for step, value in enumerate((1.0, 0.5 - 0.1 * place, 0.9))])
        accuracy = History.of([(step, 1e9 + step, 0.1 * step) for step in range(3)])
        seal(
            folder,
            name,
            params={"lr": 0.1 * (place + 1), "epochs": 5, **({"only": None} if place == 1 else {})},
            metrics={"loss": 0.9 - 0.1 * place, "accuracy": 0.2},
            histories={"loss": loss, "accuracy": accuracy},
            artifacts={"m.bin": Pointer(sha256=f"{place}b" * 32, size_bytes=10**6), "same.txt": b"x"},
            packages=("numpy==1.26.4", f"torch==2.{place // 2}.0"),
            code_tree=trees[place],
            age_s=300 - place,
        )


def lineup_of(folder: Path, *names: str, **options: Any) -> Any:
    repository = Repository.open(folder)
    options = {key: repository.get_run(value) if key == "baseline" else value for key, value in options.items()}
    return line_up(repository, [repository.get_run(name) for name in names], **options)


def test_runs_are_lined_up_with_all_that_differs(repo_dir: Path, git: Git) -> None:
    """Params, metrics, packages and artifacts that differ; which runs share their code, and how far the others are."""
    three_runs(repo_dir, git)
    lineup = lineup_of(repo_dir, "one", "two", "three", "one")
    assert [run.record.name for run in lineup.runs] == ["one", "two", "three"]
    assert [row.key for row in lineup.section(Section.PARAMS)] == ["lr", "only"]
    assert lineup.section(Section.PARAMS)[1].values == (ABSENT, None, ABSENT)
    [loss] = lineup.section(Section.METRICS)
    assert loss.values == pytest.approx((0.9, 0.8, 0.7)) and loss.best == {2}
    assert [row.key for row in lineup.section(Section.PACKAGES)] == ["torch"]
    assert [row.key for row in lineup.section(Section.ARTIFACTS)] == ["m.bin"]
    assert lineup.code == (CodeOf(group=0, files=0), CodeOf(group=0, files=0), CodeOf(group=1, files=2))
    assert lineup.change(loss, 1) is None


def test_a_baseline_comes_first_and_the_others_are_measured_against_it(repo_dir: Path, git: Git) -> None:
    """Differences are against the baseline, and say whether they are better."""
    three_runs(repo_dir, git)
    lineup = lineup_of(repo_dir, "one", "two", baseline="three")
    assert [run.record.name for run in lineup.runs] == ["three", "one", "two"]
    [loss] = lineup.section(Section.METRICS)
    change = lineup.change(loss, 1)
    assert change is not None and change.delta == pytest.approx(0.2) and change.better is False
    assert lineup.change(loss, 0) is None


def test_metrics_of_a_step(repo_dir: Path, git: Git) -> None:
    """At the step where a metric was best in each run, or at one step; what was logged last up to it."""
    three_runs(repo_dir, git)
    lineup = lineup_of(repo_dir, "one", "two", at="best:loss")
    assert lineup.steps == (1, 1)
    found = {row.key: row.values for row in lineup.section(Section.METRICS, everything=True)}
    assert found["loss"] == pytest.approx((0.5, 0.4)) and found["accuracy"] == pytest.approx((0.1, 0.1))
    assert lineup_of(repo_dir, "one", at="best:accuracy").steps == (2,)
    assert lineup_of(repo_dir, "one", at="best:-loss").steps == (0,)
    first = lineup_of(repo_dir, "one", at="0").section(Section.METRICS, everything=True)
    assert [row.values for row in first] == [(0.0,), (1.0,)]
    assert lineup_of(repo_dir, "one", at="-5").section(Section.METRICS, everything=True) == []
    with pytest.raises(NotFound) as caught:
        lineup_of(repo_dir, "one", at="best:los")
    assert caught.value.hint == "Did you mean loss?"
    with pytest.raises(UsageError):
        lineup_of(repo_dir, "one", at="last")


def test_python_gets_a_value_and_a_frame(repo_dir: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gitexp.compare_runs` takes names or a search; the frame has a row a run and a column for what differs."""
    three_runs(repo_dir, git)
    monkeypatch.chdir(repo_dir)
    frame = gitexp.compare_runs("one", "three").to_pandas()
    assert list(frame["name"]) == ["one", "three"] and list(frame["params.lr"]) == pytest.approx([0.1, 0.3])
    assert "params.epochs" not in frame and list(frame["code.files"]) == [0, 2]
    lineup = gitexp.compare_runs(where="metrics.loss < 0.85", sort="metrics.loss", baseline="one")
    assert [run.record.name for run in lineup.runs] == ["one", "three", "two"]
    assert "params.epochs" in lineup.to_pandas(everything=True)
    assert [run.record.name for run in gitexp.best_runs("loss", limit=1).runs] == ["three"]


def test_a_live_run_and_one_without_anything_can_be_compared(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No code, no environment, no metrics: nothing is there, and nothing fails."""
    monkeypatch.chdir(repo_dir)
    seal(repo_dir, "bare", packages=())
    with gitexp.start_run("live", params={"lr": 1}) as run:
        run.log_metric("loss", 0.5)
        lineup = gitexp.compare_runs("bare", "live")
        assert [code is None for code in lineup.code] == [True, False]
        assert lineup.section(Section.METRICS)[0].values == (ABSENT, 0.5)


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


def test_runs_are_columns_as_long_as_they_fit(repo_dir: Path, git: Git, cli: Callable[..., Any]) -> None:
    """Three runs at 80 columns: a row a key, sections with titles, the best marked, files that differ counted."""
    three_runs(repo_dir, git)
    lines = cli("compare", "one", "two", "three")[1].splitlines()
    assert lines[0].split() == ["one", "two", "three"]
    by_key = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ")}
    assert by_key["lr"] == ["0.1", "0.2", "0.3"]
    assert by_key["loss"] == ["0.9", "0.8", "0.7", "★"]
    assert by_key["group"] == ["A", "A", "B", "2", "files"]
    assert [line for line in lines if line and line[0].isupper()] == [
        "Params",
        "Metrics",
        "Code",
        "Packages",
        "Artifacts",
    ]
    assert "epochs" not in by_key and "epochs" in cli("compare", "one", "two", "--all")[1]
    assert "+12.5 %" in cli("compare", "one", "--baseline", "two")[1]


def test_commits_are_short_and_commands_as_one_types_them(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """For people; tables have the whole commit, and JSON the command's words."""
    for name, lr in (("one", "0.1"), ("two", "0.2")):
        commit = hashlib.sha1(name.encode()).hexdigest()
        code = CodeState(commit=commit, branch="main")
        seal(repo_dir, name, command=("python", "train.py", "--lr", lr, "--note", "a b"), code=code)
    out = cli("compare", "one", "two", columns=120)[1]
    assert "python train.py --lr 0.1 --note 'a b'  python train.py --lr 0.2 --note 'a b'" in out
    assert f"  {commit[:12]}" in out and commit[:13] not in out
    [row] = [
        row for row in csv.DictReader(io.StringIO(cli("compare", "one", "two", "--csv")[1])) if row["name"] == "two"
    ]
    assert (row["run.code commit"], row["run.command"]) == (commit, "python train.py --lr 0.2 --note 'a b'")
    rows = json.loads(cli("compare", "one", "two", "--json")[1])["rows"]
    [words] = [row["values"] for row in rows if row["key"] == "command"]
    assert ["python", "train.py", "--lr", "0.1", "--note", "a b"] in words.values()


def test_runs_are_rows_where_they_are_many(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """Fifteen runs with twelve params: tables below each other, each with every name and no line too wide."""
    for number in range(15):
        params = {f"parameter_{key}": number * key for key in range(12)}
        seal(repo_dir, f"run-{number}-with-a-long-name-名前", params=params, metrics={"loss": number})  # type: ignore[arg-type]
    for columns in (60, 80, 200):
        code, out, _ = cli("compare", "-e", "default", columns=columns)
        assert code == 0 and max(map(width, out.splitlines())) <= columns
        assert out.count("run-14") == len(out.split("\n\n"))
    assert "3 runs more; --limit shows them." in cli("compare", "-e", "default", "-n", "12")[2]


def test_long_lists_of_packages_are_summed_up(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """Where more than a dozen packages differ, a letter says which runs have the same; --all lists them."""
    for name in ("a", "b"):
        seal(repo_dir, name, packages=tuple(f"package-{n}=={'1' if name == 'a' else '2'}" for n in range(20)))
    out = cli("compare", "a", "b")[1]
    assert "package-1" not in out and "20 packages differ; --all shows them." in out
    assert "package-19" in cli("compare", "a", "b", "--all")[1]


def test_forms_for_programs_and_pull_requests(repo_dir: Path, git: Git, cli: Callable[..., Any]) -> None:
    """JSON by run id, CSV a row a run, Markdown a table."""
    three_runs(repo_dir, git)
    document = json.loads(cli("compare", "one", "three", "--baseline", "two", "--json")[1])
    ids = [run["id"] for run in document["runs"]]
    assert document["baseline"] == ids[0] and document["code"][ids[2]] == {"group": 1, "files": 2}
    rows = {(row["section"], row["key"]): row for row in document["rows"]}
    assert rows["params", "only"]["values"] == {ids[0]: None} and rows["metrics", "loss"]["best"] == [ids[2]]
    assert rows["artifacts", "m.bin"]["values"][ids[0]] == {"size": 10**6, "sha256": "1b" * 32}
    table = list(csv.DictReader(io.StringIO(cli("compare", "one", "two", "--csv")[1])))
    assert [(row["name"], row["params.lr"]) for row in table] == [("one", "0.1"), ("two", "0.2")]
    lines = cli("compare", "one", "two", "--markdown")[1].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["", "one", "two"] and ["loss", "0.9", "0.8 ★"] in cells


def test_what_cannot_be_compared_is_told(repo_dir: Path, cli: Callable[..., Any]) -> None:
    """Nothing named, names and a search at once, a search without runs, an unknown run."""
    seal(repo_dir, "one", metrics={"loss": 1.0})
    assert cli("compare")[0] == 2
    assert cli("compare", "one", "--where", "metrics.loss > 0")[0] == 2
    assert cli("compare", "--where", "metrics.losss > 0")[1:] == (
        "",
        "No run matches.\nNo run has metrics.losss. Did you mean metrics.loss?\n",
    )
    assert cli("compare", "one", "onne")[0] == 3
