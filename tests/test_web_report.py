"""`gitexp report`: one file that holds everything, asks nobody, and shows names as text."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gitexp.cli import execute
from gitexp.domain.metrics import History
from sealed_runs import seal

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>alert(1)</script>"


def packed(text: str) -> Any:
    found = re.search(r'id="data">([^<]*)<', text)
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found.group(1))))


def test_a_report_is_one_file(repo_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are named come in their order, with differences, curves and plots, and nothing from elsewhere."""
    monkeypatch.chdir(repo_dir)
    history = History.of([(step, step, 1 / (step + 1)) for step in range(2_000)])
    for lr in (0.1, 0.2):
        seal(repo_dir, f"lr-{lr}", params={"lr": lr}, metrics={"loss": history.last}, histories={"loss": history})
    seal(repo_dir, "other", params={"lr": 9.0})
    target = tmp_path / "report.html"
    assert execute(["report", "lr-0.2", "lr-0.1", "-o", str(target), "--title", f"June {HOSTILE}"]) == 0
    text = target.read_text()
    assert "<title>June &lt;/script&gt;" in text
    assert not re.search(r'(?:src|href)="(?!#|data:)|url\(|@import|https?://(?!www\.w3\.org/2000/svg)', text)
    assert "connect-src" not in text
    assert "default-src 'none'" in text
    assert text.index("lr-0.2</th>") < text.index("lr-0.1</th>")
    data = packed(text)
    assert sorted(data["names"]) == ["lr-0.1", "lr-0.2"]
    assert data["states"] == ["finished", "finished"]
    [curve] = data["curves"]
    assert curve["key"] == "loss"
    assert [len(line["xs"]) for line in curve["runs"]] == [200, 200]
    assert max(curve["runs"][0]["highs"]) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("report")] == ["report.html"]


def test_a_report_of_a_search(repo_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search says which runs are in it, and hostile names stay text inside the packed data."""
    monkeypatch.chdir(repo_dir)
    for number in range(50):
        seal(
            repo_dir,
            f"{HOSTILE}{number}",
            params={"lr": number, "model": "ab"[number % 2]},
            metrics={"loss": number / 7},
        )
    target = tmp_path / "report.html"
    assert execute(["report", "--where", "metrics.loss < 6", "-o", str(target)]) == 0
    text = target.read_text()
    assert "<script>alert" not in text
    data = packed(text)
    assert len(data["names"]) == 42
    assert data["important"]["loss"][0]["name"] == "lr"
    assert data["curves"] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nothing"], 3),
        (["--where", "metrics.loss <"], 2),
        (["--where", "metrics.loss > 1e9"], 3),
        (["base", "--where", "metrics.loss > 0"], 2),
        (["base", "-o", "missing/report.html"], 3),
    ],
)
def test_what_cannot_be_reported_is_said(
    repo_dir: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    """A run that is not there, a search that cannot be read or finds nothing, no folder: no file is left."""
    monkeypatch.chdir(repo_dir)
    seal(repo_dir, "base", metrics={"loss": 1.0})
    assert execute(["report", *arguments]) == code
    assert not list(repo_dir.rglob("report.html*"))
