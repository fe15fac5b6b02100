"""`log_input`: what a script says that it reads, by its content."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gitexp
from gitexp.domain.run import Input
from gitexp.errors import UsageError
from gitexp.media.datasets import describe
from gitexp.repo import Repository
from launching import PATIENCE_S, SOURCES


@pytest.fixture
def here(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(repo_dir)
    return repo_dir


def inputs() -> tuple[Input, ...]:
    return gitexp.get_run("@").record.inputs


def test_files_and_folders_are_recorded_once_by_their_content(here: Path) -> None:
    """By the path from the root, wherever the script is; a second time says nothing new, another content does."""
    (here / "data").mkdir()
    (here / "data" / "a.csv").write_text("1")
    with gitexp.start_run() as run:
        run.log_input("data/a.csv", context="training")
        run.log_input(here / "data" / "a.csv", context="training")
        gitexp.log_input("data")
        (here / "data" / "a.csv").write_text("2")
        gitexp.log_input("data/a.csv")
        assert [item.name for item in gitexp.get_run(run.id).record.inputs] == ["data/a.csv", "data", "data/a.csv"]
    first, folder, second = inputs()
    assert first == Input(
        kind="file", name="data/a.csv", digest=f"sha256:{hashlib.sha256(b'1').hexdigest()}", context="training"
    )
    assert folder.kind == "folder"
    assert second.digest == f"sha256:{hashlib.sha256(b'2').hexdigest()}"


@pytest.mark.usefixtures("here")
def test_data_in_memory_is_recorded_by_its_values() -> None:
    """A table with its columns and rows; the record says so as text."""
    frame = pd.DataFrame({"x": [1, 2, 3], "y": [0.5, 1.5, 2.5], "name": ["a", "b", None]})
    with gitexp.start_run():
        gitexp.log_input(frame, "train", context="training")
        gitexp.log_input({"X": np.zeros((4, 2), dtype="float32"), "y": np.arange(4)}, name="arrays")
    train, arrays = inputs()
    assert (train.kind, train.name, train.rows, train.context) == ("dataset", "train", 3, "training")
    assert dict(train.schema)["x"] == "int64"
    assert arrays.schema == (("X", "float32[2]"), ("y", "int64"))


@pytest.mark.usefixtures("here")
def test_a_run_and_its_artifacts_are_named_by_selector() -> None:
    """The run's tip becomes a parent; an artifact has its digest."""
    with gitexp.start_run("base"):
        gitexp.log_text("hello", "notes/a.txt")
    with gitexp.start_run("next"):
        gitexp.log_input(run="base")
        gitexp.log_input(run="base:notes/a.txt")
    base = gitexp.get_run("base")
    whole, artifact = inputs()
    assert (whole.kind, whole.run) == ("run", base.id)
    assert artifact.digest == f"sha256:{hashlib.sha256(b'hello').hexdigest()}"
    assert gitexp.get_run("next").parents()[-1] == base.commit


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("wrong", [object(), "not/there"], ids=["no data", "no file"])
def test_what_has_no_content_is_a_warning(wrong: object) -> None:
    """A training goes on."""
    with pytest.warns(gitexp.GitexpWarning), gitexp.start_run():
        gitexp.log_input(wrong)
    assert inputs() == ()


@pytest.mark.slow
def test_a_process_that_the_script_starts_says_what_it_reads(here: Path) -> None:
    """It takes part in the run that is recorded."""
    (here / "a.csv").write_text("1")
    (here / "outer.py").write_text("import subprocess, sys; subprocess.run([sys.executable, 'inner.py'], check=True)\n")
    (here / "inner.py").write_text("import gitexp\ngitexp.log_input('a.csv')\ngitexp.log_input('a.csv')\n")
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    command = [sys.executable, "-m", "gitexp", "run", "outer.py"]
    subprocess.run(command, check=True, cwd=here, env=environ, capture_output=True, timeout=3 * PATIENCE_S)
    assert [item.name for item in Repository.open(here).get_run("@").record.inputs] == ["a.csv"]


@given(st.lists(st.one_of(st.none(), st.text(), st.integers(), st.booleans(), st.binary()), max_size=5))
def test_another_value_is_another_digest(values: list[object]) -> None:
    """In lists of anything, and the same values give the same digest."""
    assert describe({"a": values}) == describe({"a": list(values)})
    assert describe({"a": values}).digest != describe({"a": [*values, 0]}).digest
    assert describe({"a": values}).digest != describe({"b": values}).digest


def test_how_an_array_lies_in_memory_does_not_matter() -> None:
    """Order, strides and byte order are no content; shape and type are."""
    plain = np.arange(12, dtype="<i4").reshape(3, 4)
    same = [np.asfortranarray(plain), plain[::-1][::-1], plain.astype("<i4", copy=True)]
    assert {describe(other).digest for other in same} == {describe(plain).digest}
    others = [plain.reshape(4, 3), plain.astype("<i8"), plain + 1, plain.T]
    assert describe(plain).digest not in {describe(other).digest for other in others}


def test_rows_and_labels_of_a_table_are_content() -> None:
    """The order of rows, the names of columns, an index that says something, and missing values."""
    frame = pd.DataFrame({"x": [1.0, None], "y": pd.Categorical(["a", "b"]), "z": pd.to_datetime(["2020", None])})
    others = [
        frame[::-1],
        frame.rename(columns={"x": "w"}),
        frame.set_index(pd.Index(["p", "q"])),
        frame.fillna({"x": 2}),
    ]
    digests = {describe(other).digest for other in [frame, *others]}
    assert len(digests) == 5
    assert describe(frame.copy()) == describe(frame)


def test_frames_of_polars_and_tables_of_arrow() -> None:
    """Missing values, text and nested lists, in chunks or not."""
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    data = {"x": [1, None, 3], "t": ["a", None, "ü"], "l": [[1], [], [2, 3]]}
    for table in (pl.DataFrame(data), pa.table(data)):
        found = describe(table)
        assert (found.rows, [name for name, _ in found.schema]) == (3, ["x", "t", "l"])
    assert describe(pa.concat_tables([pa.table(data), pa.table(data)])).rows == 6
    assert describe(pl.DataFrame(data)[:2].vstack(pl.DataFrame(data)[2:])) == describe(pl.DataFrame(data))


def test_the_error_says_what_can_be_given() -> None:
    """An object that holds no values."""
    with pytest.raises(UsageError, match="cannot be told"):
        describe(object())
