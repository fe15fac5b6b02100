"""`gitexp run x.ipynb`: executed as Jupyter would, printed as a script would, kept with its outputs."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitexp.domain.run import Status
from gitexp.errors import CorruptData, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.running.notebook import Notebook
from launching import SOURCES

PATIENCE_S = 120.0

executes = pytest.mark.skipif(
    not (importlib.util.find_spec("nbclient") and importlib.util.find_spec("ipykernel")),
    reason="needs nbclient and ipykernel, of the extra 'notebook'",
)


def cell(source: str | list[str], *tags: str, kind: str = "code") -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": kind, "metadata": {"tags": list(tags)} if tags else {}, "source": source}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def content(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": list(cells)}


def write(path: Path, *cells: dict[str, Any], **metadata: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content(*cells, **metadata)))


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "gitexp", *words]


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCES)}


def gitexp(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), check=False, cwd=folder, env=environ(), capture_output=True, text=True, timeout=PATIENCE_S
    )


def newest(folder: Path) -> RunView:
    return Repository.open(folder).get_run("@")


def executed(run: RunView, name: str) -> list[dict[str, Any]]:
    return json.loads(run.artifacts[name].read())["cells"]


def test_params_of_a_notebook() -> None:
    """The cell tagged `parameters`; without one, what a script of all cells would have at its top."""
    assert Notebook(
        "n", content(cell("a = 1"), cell("b = 2\nb += 1\nc = 3", "parameters"), cell("c = 4"))
    ).values() == {"c": 3}
    cells = [
        cell("# title", kind="markdown"),
        cell("%matplotlib inline\nimport os\n", kind="code"),
        cell(["lr = 0.1\n", "n = 3"]),
        cell("!pip list"),
        cell("%%bash\nx = 1"),
        cell("df?"),
        cell("%%time\nwidth = 4\nfor i in range(n): pass"),
        cell("late = 1"),
        cell("n = 4"),
    ]
    assert Notebook("n", content(*cells)).values() == {"lr": 0.1, "width": 4}


def test_a_value_is_set_in_the_cell_that_says_it() -> None:
    """IPython's own lines, comments and other cells stay; a new name gets a cell right after the parameters."""
    notebook = Notebook("n", content(cell("x = 0"), cell("%pwd\nlr = 0.1  # rate\n!ls", "parameters"), cell("lr = 3")))
    sources = [part["source"] for part in notebook.with_value(("lr",), 0.5, is_new=False).content["cells"]]
    assert sources == ["x = 0", "%pwd\nlr = 0.5  # rate\n!ls", "lr = 3"]
    new = notebook.with_value(("day",), "2026-01-01", is_new=True).with_value(("n",), 2, is_new=True)
    sources = [part["source"] for part in new.content["cells"]]
    assert sources[2] == "day = '2026-01-01'\nn = 2"
    assert new.content["cells"][2]["metadata"] == {"tags": ["injected-parameters"]}
    with pytest.raises(UsageError, match="name of a variable"):
        notebook.with_value(("a b",), 1, is_new=True)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"cells": 3}', '{"worksheets": []}'])
def test_what_is_no_notebook_is_named(tmp_path: Path, text: str) -> None:
    """Not JSON, or not of format 4."""
    (tmp_path / "x.ipynb").write_text(text)
    with pytest.raises(CorruptData, match=r"x\.ipynb: it is no"):
        Notebook.read(str(tmp_path / "x.ipynb"), "x.ipynb")


def test_what_cannot_be_executed_is_refused(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such notebook, arguments, and a Python without nbclient: each says what to type; nothing is recorded."""
    write(repo_dir / "x.ipynb", cell("1"))
    done = gitexp(repo_dir, "run", "y.ipynb")
    assert (done.returncode, done.stdout) == (3, "")
    done = gitexp(repo_dir, "run", "x.ipynb", "foo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "gitexp run x.ipynb --set NAME=VALUE" in done.stderr
    done = gitexp(repo_dir, "run", "x.ipynb", "--set", "absent=1")
    assert (done.returncode, done.stdout) == (3, "")
    assert "hint: x.ipynb:absent=VALUE adds it to the notebook's parameters." in done.stderr
    bare = repo_dir.parent / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(bare))
    done = gitexp(repo_dir, "run", "x.ipynb")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{bare}/bin/python -m pip install nbclient ipykernel" in done.stderr
    assert Repository.open(repo_dir).search() == []


@executes
@pytest.mark.slow
def test_a_notebook_is_executed_and_kept(repo_dir: Path) -> None:
    """In its own folder, by this Python whatever its kernel is called; options may follow its name."""
    path = repo_dir / "sub" / "analysis.ipynb"
    cells = [
        cell("depth = 3\nlr = 0.1  # rate", "parameters"),
        cell("import os, sys\nprint('lr', lr, os.path.basename(os.getcwd()))\nprint('bad', file=sys.stderr)"),
        cell("os.system('echo from a shell')\nprint(sys.executable)"),
        cell("lr * 2"),
        cell("import gitexp\ngitexp.log_metric('loss', lr)"),
    ]
    write(path, *cells, kernelspec={"name": "gone", "display_name": "gone", "language": "python"})
    before = path.read_bytes()
    done = gitexp(repo_dir, "run", "sub/analysis.ipynb", "--set", "sub/analysis.ipynb:lr=0.5", "-n", "named")
    assert (done.returncode, done.stderr) == (0, "bad\n")
    assert done.stdout == f"lr 0.5 sub\nfrom a shell\n{sys.executable}\n"
    assert path.read_bytes() == before
    run = newest(repo_dir)
    assert (run.name, run.status, run.metrics) == ("named", Status.FINISHED, {"loss": 0.5})
    assert run.params == {"lr": 0.5, "depth": 3}
    assert run.record.command == ("gitexp", "run", "--set", "sub/analysis.ipynb:lr=0.5", "sub/analysis.ipynb")
    assert run.record.entry_point == "sub/analysis.ipynb"
    assert run.record.warnings == ()
    kept = executed(run, "analysis.ipynb")
    assert kept[0]["source"] == ["depth = 3\n", "lr = 0.5  # rate"]
    assert kept[3]["outputs"][0]["data"]["text/plain"] == ["1.0"]
    assert run.environment is not None
    assert any(line.startswith("nbclient==") for line in run.environment.requirements)


@executes
@pytest.mark.slow
def test_a_failing_cell_fails_the_run(repo_dir: Path) -> None:
    """Exit code 1, its traceback on stderr without colours, and the notebook kept with the error, up to there."""
    write(repo_dir / "x.ipynb", cell("print('first')"), cell("1 / 0"), cell("print('never')"))
    done = gitexp(repo_dir, "run", "x.ipynb")
    assert (done.returncode, done.stdout) == (1, "first\n")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "\x1b" not in done.stderr
    run = newest(repo_dir)
    assert (run.status, run.record.exit_code) == (Status.FAILED, 1)
    first, failed, never = executed(run, "x.ipynb")
    assert first["outputs"][0]["text"] == ["first\n"]
    assert failed["outputs"][0]["ename"] == "ZeroDivisionError"
    assert never["outputs"] == []


@executes
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_cell(repo_dir: Path, number: signal.Signals) -> None:
    """The kernel gets it as from Jupyter's stop button; the run is killed, and keeps what there was."""
    write(
        repo_dir / "x.ipynb", cell("import time\nprint('begun', flush=True)\ntime.sleep(600)"), cell("print('never')")
    )
    process = subprocess.Popen(
        command("run", "x.ipynb"),
        cwd=repo_dir,
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (-number, "")
    assert err.endswith("KeyboardInterrupt: \n")
    run = newest(repo_dir)
    assert run.status is Status.KILLED
    assert executed(run, "x.ipynb")[0]["outputs"][-1]["ename"] == "KeyboardInterrupt"


@executes
@pytest.mark.slow
def test_a_dead_kernel_is_a_failed_run(repo_dir: Path) -> None:
    """A kernel that is killed, as for want of memory, ends the run, which keeps what there was."""
    write(repo_dir / "x.ipynb", cell("print('first')"), cell("import os\nos.kill(os.getpid(), 9)"))
    done = gitexp(repo_dir, "run", "x.ipynb")
    assert (done.returncode, done.stdout) == (1, "first\n")
    assert "the kernel of 'x.ipynb' died" in done.stderr
    run = newest(repo_dir)
    assert run.status is Status.FAILED
    assert executed(run, "x.ipynb")[0]["outputs"][0]["text"] == ["first\n"]
