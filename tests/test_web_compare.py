"""Several runs side by side on the web: what differs, plots, code, artifacts; and which params matter."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.importance import importances, ranks
from gitexp.repo import Repository
from gitexp.web.app import build
from sealed_runs import seal
from web_client import WebClient

pytestmark = pytest.mark.slow


@pytest.fixture
def client(repo_dir: Path) -> WebClient:
    """Pages of a repository, without a key."""
    return WebClient(build(Repository.open(repo_dir)))


def test_what_differs_stands_above_what_is_the_same(client: WebClient, repo_dir: Path) -> None:
    """Differing params and metrics come first, with the best value marked; what all share is folded below."""
    ids = [
        seal(
            repo_dir,
            f"lr-{lr}",
            params={"lr": lr, "model": "mlp"},
            metrics={"loss": lr * 2},
            packages=(f"numpy=={lr}",),
        )
        for lr in (0.1, 0.2)
    ]
    above, _, below = client.get(f"/compare?runs={','.join(ids)}").text.partition("The same in all")
    assert re.search(r'<th scope="row">lr</th><td class="">0.1</td><td class="">0.2</td>', above)
    assert '<td class="number best">0.2</td><td class="number">0.4</td>' in above
    assert "numpy" in above
    assert ">model<" not in above
    assert ">model<" in below


def test_code_of_two_runs_is_compared(client: WebClient, repo_dir: Path, git: Any) -> None:
    """The difference of the code of two chosen runs is shown, with the git command that says the same."""
    trees = []
    for text in ("a = 1\n", "a = 2\n"):
        (repo_dir / "train.py").write_text(text)
        git("add", "-A", cwd=repo_dir)
        trees.append(git("write-tree", cwd=repo_dir).strip())
    ids = [seal(repo_dir, f"run-{tree[:4]}", code_tree=tree) for tree in (*trees, trees[0])]
    text = client.get(f"/compare/code?runs={','.join(ids)}").text
    assert re.search(r'class="del">.*<mark>.*1', text)
    assert re.search(r'class="add">.*<mark>.*2', text)
    assert "git diff" in text
    same = client.get(f"/compare/code?runs={','.join(ids)}&a={ids[0]}&b={ids[2]}").text
    assert "The code of both is the same" in same


def test_artifacts_of_two_runs_are_compared(client: WebClient, repo_dir: Path) -> None:
    """Files that changed come first, pictures as two that slide over each other, tables with what differs inside."""
    one = seal(repo_dir, "one", artifacts={"a.png": b"1", "t.csv": b"x\n1\n", "same.txt": b"s", "old.txt": b"o"})
    other = seal(repo_dir, "other", artifacts={"a.png": b"2", "t.csv": b"x\n1\n2\n", "same.txt": b"s", "new.txt": b"n"})
    text = client.get(f"/compare/artifacts?runs={one},{other}").text
    assert f'src="/raw/{one}/a.png"' in text
    assert f'src="/raw/{other}/a.png"' in text
    assert "1 rows became 2" in text
    order = [text.index(f">{name}</th>") for name in ("a.png", "t.csv", "new.txt", "old.txt", "same.txt")]
    assert order == sorted(order)


def test_plots_get_columns_that_differ(client: WebClient, repo_dir: Path) -> None:
    """Numbers come as they are, texts as places in a sorted list, NaN and what is missing as nothing."""
    seal(repo_dir, "a", params={"lr": 0.1, "model": "mlp", "same": 1}, metrics={"loss": 1.0}, age_s=3)
    seal(repo_dir, "b", params={"lr": 0.2, "model": "cnn", "same": 1}, metrics={"loss": float("nan")}, age_s=2)
    seal(repo_dir, "c", params={"model": "mlp", "same": 1}, metrics={"loss": 3.0}, age_s=1)
    data = client.get("/api/plot?sort=run.name").json()
    axes = {axis["name"]: axis for axis in data["axes"]}
    assert data["names"] == ["a", "b", "c"]
    assert set(axes) == {"params.lr", "params.model", "metrics.loss"}
    assert axes["params.lr"]["values"] == [0.1, 0.2, None]
    assert axes["params.model"] | {"labels": ["cnn", "mlp"], "values": [1, 0, 1]} == axes["params.model"]
    assert axes["metrics.loss"]["values"] == [1.0, None, 3.0]


def test_a_param_that_decides_is_the_most_important(client: WebClient, repo_dir: Path) -> None:
    """The param that the metric follows comes first, with the sign of the relation; an unrelated one tells nothing."""
    pick = random.Random(3)
    for number in range(24):
        lr, noise = pick.choice([0.1, 0.2, 0.3]), pick.random()
        seal(
            repo_dir, f"run-{number}", params={"lr": lr, "noise": noise}, metrics={"loss": 1 - lr + pick.random() / 100}
        )
    rows = client.get("/api/importance?metric=loss").json()["rows"]
    assert rows[0]["name"] == "lr"
    assert rows[0]["share"] > 0.8
    assert rows[0]["correlation"] < -0.8
    assert rows[1]["share"] < 0.3


def test_comparing_nothing_is_said(client: WebClient, repo_dir: Path) -> None:
    """Without runs, with one, or with names that no run has, the page says what to do."""
    assert client.get("/compare").status_code == 404
    run = seal(repo_dir, "base")
    assert client.get(f"/compare?runs={run}").status_code == 200
    assert client.get(f"/compare/code?runs={run}").status_code == 400
    assert client.get("/compare?runs=nothing").status_code == 404
    assert client.get(f"/compare?runs={','.join([run] * 3)}").text.count('<a href="/runs/') > 0
    assert client.get(f"/compare?runs={','.join(f'{run}{i}' for i in range(300))}").status_code == 400


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=50))
def test_ranks_keep_order_and_sum(values: list[float]) -> None:
    """Ranks rise with values, equal values share theirs, and they sum to what ranks always sum to."""
    found = ranks(values)
    assert sum(found) == pytest.approx(len(values) * (len(values) + 1) / 2)
    for one, rank in zip(values, found, strict=True):
        for other, further in zip(values, found, strict=True):
            assert (one < other) == (rank < further)


@given(
    st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=40),
    st.data(),
)
def test_importance_is_a_share(target: list[float | None], data: st.DataObject) -> None:
    """Whatever values runs have, what a param tells is between nothing and all, and a correlation between -1 and 1."""
    value = st.one_of(st.none(), st.floats(), st.integers(), st.booleans(), st.text(max_size=2))
    values = data.draw(st.lists(value, min_size=len(target), max_size=len(target)))
    for found in importances(target, {"p": values}):
        assert 0 <= found.share <= 1
        assert found.correlation is None or -1.000001 <= found.correlation <= 1.000001
