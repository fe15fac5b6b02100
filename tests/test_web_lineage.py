"""Lineage: which columns a graph has, and what is drawn of data, runs and models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.browsing import Browser
from gitexp.domain.layers import layers
from gitexp.domain.run import Input
from gitexp.registry import Registry
from gitexp.repo import Repository
from gitexp.tracing import lineage
from gitexp.web.app import build
from sealed_runs import seal
from web_client import WebClient

pytestmark = pytest.mark.slow


@pytest.fixture
def chain(repo_dir: Path) -> list[str]:
    """Data, a run that made features of it, one that trained on those, a registered model; and a run by itself."""
    data = Input(kind="file", name="data/<b>.csv", digest="sha256:" + "ab" * 32)
    features = seal(repo_dir, "features", inputs=(data,), age_s=30)
    trained = seal(
        repo_dir,
        "trained",
        inputs=(Input(kind="run", name="features", run=features),),
        artifacts={"model/model.bin": b"1"},
        age_s=20,
    )
    seal(repo_dir, "alone", age_s=10)
    Registry(Repository.open(repo_dir)).register(f"{trained}:model", "taxi")
    return [features, trained]


def test_everything_that_hangs_together_is_found(repo_dir: Path, chain: list[str]) -> None:
    """Data leads to the run that read it, that to the one that used it, that to the model; others are left out."""
    repository = Repository.open(repo_dir)
    found = lineage(repository, Browser(repository))
    names = {node.key: node.name for node in found.nodes}
    edges = [(names[one], names[other]) for one, other in found.edges]
    assert edges == [("features", "trained"), ("data/<b>.csv", "features"), ("trained", "taxi/1")]
    around = lineage(repository, Browser(repository), run=chain[0])
    assert {node.name for node in around.nodes} == {"data/<b>.csv", "features", "trained", "taxi/1"}


def test_the_graph_is_drawn_and_listed(repo_dir: Path, chain: list[str]) -> None:
    """Each box leads to its run, names are text, and the list says the same to those who see no picture."""
    client = WebClient(build(Repository.open(repo_dir)))
    text = client.get("/lineage").text
    assert f'<a href="/runs/{chain[0]}"' in text
    assert "data/&lt;b&gt;.csv" in text
    assert len(re.findall('class="link"', text)) == 3
    assert "<td>trained</td><td>taxi/1</td>" in text
    assert "focus" in client.get(f"/lineage?run={chain[1]}").text
    assert client.get("/lineage?run=nothing").status_code == 404


def test_nothing_hangs_together_in_a_new_repository(repo_dir: Path) -> None:
    """Without inputs the page says how to get lineage."""
    seal(repo_dir, "alone")
    assert "--input" in WebClient(build(Repository.open(repo_dir))).get("/lineage").text


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40))
def test_edges_lead_to_the_right(pairs: list[tuple[int, int]]) -> None:
    """Each node stands in one column, and in a graph without circles every edge leads to a later one."""
    edges = [(str(one), str(other)) for one, other in pairs if one < other]
    nodes = [str(number) for number in range(13)]
    columns = layers(nodes, edges)
    places = {node: at for at, column in enumerate(columns) for node in column}
    assert sorted(places) == sorted(nodes)
    assert all(places[one] < places[other] for one, other in edges)
    circles = [(str(one), str(other)) for one, other in pairs]
    assert sorted(node for column in layers(nodes, circles) for node in column) == sorted(nodes)
