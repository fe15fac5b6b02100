"""Models that were tampered with, or made by others: nothing of them is opened before it may be."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import gitexp.pyfunc
from gitexp.errors import CorruptData, UsageError
from gitexp.models.loading import find_model
from gitexp.registry import Registry
from gitexp.repo import Repository
from gitexp.upkeep import CACHED_S, gc

pytestmark = pytest.mark.slow

MARK = "opened"


class Opens:
    """A model whose pickle leaves a mark where it is opened."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.weights = os.urandom(100_000)

    def __reduce__(self) -> tuple[object, ...]:
        return _open, (self.mark, self.weights)

    def predict(self, data: object) -> object:
        return data


def _open(mark: str, weights: bytes) -> Opens:
    Path(mark).touch()
    made = Opens(mark)
    made.weights = weights
    return made


@pytest.fixture
def marked(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The mark that loading the model `nyc/1`, registered from `base:model`, leaves."""
    monkeypatch.chdir(repo_dir)
    with gitexp.start_run("base"):
        gitexp.pyfunc.log_model("model", python_model=Opens(str(repo_dir / MARK)))
    Registry(Repository.open(repo_dir)).register("base:model", "nyc")
    return repo_dir / MARK


def commit_as(email: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", email)


def test_content_that_was_tampered_with_is_not_opened(marked: Path) -> None:
    """A byte changed in the content store: refused by its digest, with nothing unpickled."""
    files = [path for path in (marked.parent / ".git" / "gitexp" / "objects").rglob("*") if path.is_file()]
    [pickled] = [path for path in files if path.stat().st_size > 100_000]
    pickled.chmod(0o600)
    data = bytearray(pickled.read_bytes())
    data[50_000] ^= 1
    pickled.write_bytes(data)
    for uri in ("models:/nyc/1", "runs:/base/model"):
        with pytest.raises(CorruptData):
            gitexp.pyfunc.load_model(uri)
    assert not marked.exists()


@pytest.mark.parametrize("file", ["python_model.pkl", "MLmodel"])
def test_unpacked_files_that_were_tampered_with_are_replaced(marked: Path, file: str) -> None:
    """What is unpacked is compared each time, and made anew from what was recorded where it differs."""
    unpacked = Path(find_model("models:/nyc/1").folder) / file
    before = unpacked.read_bytes()
    unpacked.chmod(0o600)
    unpacked.write_bytes(b"c" * len(before))
    model = gitexp.pyfunc.load_model("models:/nyc/1")
    assert unpacked.read_bytes() == before
    assert isinstance(model.unwrap(), Opens)
    assert marked.exists()


def test_a_pickle_of_somebody_elses_asks_first(marked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened with `trust=True`, or where the configuration names its maker, and not otherwise."""
    here = Repository.open(marked.parent)
    maker = here.get_run("base").record.author
    commit_as("other@example.org", monkeypatch)
    with pytest.raises(UsageError, match="runs code") as refused:
        gitexp.pyfunc.load_model("runs:/base/model")
    assert "trust=True" in str(refused.value.hint)
    assert not marked.exists()
    gitexp.pyfunc.load_model("runs:/base/model", trust=True)
    assert marked.exists()
    marked.unlink()
    (marked.parent / ".gitexp").mkdir(exist_ok=True)
    (marked.parent / ".gitexp" / "config.yaml").write_text(f"models:\n  trusted: ['{maker}']\n")
    gitexp.pyfunc.load_model("runs:/base/model")
    assert marked.exists()


def test_gc_removes_models_that_were_not_loaded_for_long(marked: Path) -> None:
    """The unpacked folder goes when it is old, and comes back when the model is loaded again."""
    folder = find_model("models:/nyc/1").folder
    repository = Repository.open(marked.parent)
    gc(repository)
    assert os.path.isdir(folder)
    old = time.time() - CACHED_S - 1
    os.utime(folder, (old, old))
    gc(repository)
    assert not os.path.exists(folder)
    assert gitexp.pyfunc.load_model("models:/nyc/1").predict(1) == 1


def test_an_option_that_a_kind_does_not_know_is_refused(tmp_path: Path) -> None:
    """A mistyped option is never ignored: the error names it, and those there are."""
    for door in (gitexp.sklearn, gitexp.xgboost, gitexp.onnx, gitexp.keras):
        with pytest.raises(UsageError, match="'serialisation'") as refused:
            door.save_model(object(), str(tmp_path / "model"), serialisation="x")
        assert "input_example" in refused.value.hint
