"""`import gitexp` in Jupyter: cells are code, runs are shown, magics work."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import gitexp
from gitexp.display import run_html, runs_html
from gitexp.domain.identity import RunId
from gitexp.domain.run import RunRecord, Status
from gitexp.domain.summary import RunSummary
from gitexp.lineup import DisplayedLineup
from gitexp.repo import Repository
from launching import SOURCES

Execute = Callable[..., dict[str, Any]]

has_kernel = pytest.mark.skipif(
    importlib.util.find_spec("ipykernel") is None, reason="needs ipykernel, of the extra 'notebook'"
)


class Balance(HTMLParser):
    """Whether every element is closed in order, and what text there is."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def summary(number: int, **values: Any) -> RunSummary:
    record = RunRecord(
        id=RunId(f"{number:012}"),
        name=f"run<{number}>",
        experiment="x&y",
        status=Status.FINISHED,
        start=0.0,
        duration_s=1.5,
    )
    return RunSummary(ref="r", commit=None, record=record, **values)


def test_a_run_is_shown_with_everything_escaped() -> None:
    """Names, keys, values and notes of others reach the page as text, whatever they hold."""
    evil = "<script>alert('1')</script>"
    html = run_html(
        summary(1, params={evil: evil, "lr": 1e-3}, metrics={"loss": float("nan")}, tags={evil: "'\""}), [evil]
    )
    shown = Balance(html)
    assert "script" not in shown.tags
    assert {"run<1>", evil, "0.001", "nan"} <= set(shown.text)


def test_a_table_shows_what_differs_first_and_how_many_there_are() -> None:
    """At most fifty runs and ten columns each of params and metrics; those alike in all runs come last."""
    same = {f"a{number:02}": 1 for number in range(20)}
    runs = [summary(number, params={**same, "z": number}, metrics={"loss": number / 7}) for number in range(60)]
    html = runs_html(runs, 100)
    shown = Balance(html)
    titles = re.findall(r"<th [^>]*>([^<]*)</th>", html)
    assert titles == ["name", "status", "start", "took", "z", *(f"a{number:02}" for number in range(9)), "loss"]
    assert html.count("<tr>") == 51
    assert "50 of 100 runs" in shown.text
    assert "No runs." in Balance(runs_html([], 0)).text


def test_runs_of_a_repository_show_themselves(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live run, a sealed one and a search have a rich form that names them."""
    monkeypatch.chdir(repo_dir)
    with gitexp.start_run("first", params={"lr": 0.5}) as run:
        assert "first" in Balance(run._repr_html_() or "").text
        run.log_text("x", "notes.txt")
    shown = Balance(gitexp.get_run("first")._repr_html_()).text
    assert {"first", "lr", "0.5", "Artifacts: notes.txt"} <= set(shown)
    assert "first" in Balance(gitexp.search_runs()._repr_html_()).text


def test_comparisons_of_a_repository_show_themselves(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs, a column for each run, the best value bold; the best runs are a table of runs."""
    monkeypatch.chdir(repo_dir)
    for name, rate in (("<slow>", 0.25), ("quick", 0.5)):
        with gitexp.start_run(name, params={"lr": rate, "depth": 3}):
            gitexp.log_metric("loss", rate / 2)
    lineup = gitexp.compare_runs("<slow>", "quick")
    assert isinstance(lineup, DisplayedLineup)
    html = lineup._repr_html_()
    assert Balance(html).text == ["<slow>", "quick", "lr", "0.25", "0.5", "loss", "0.125", "0.25"]
    assert re.findall("<b>(.*?)</b>", html) == ["0.125"]
    assert repr(lineup) == "<Lineup of 2 runs: '<slow>', 'quick'>"
    assert "<slow>" in Balance(gitexp.best_runs("metrics.loss")._repr_html_()).text


@pytest.fixture
def execute(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Execute]:
    """Executes a cell in a kernel; gives what it printed ("stdout"), showed ("html") and raised ("error")."""
    from jupyter_client.manager import start_new_kernel

    monkeypatch.setenv("PYTHONPATH", str(SOURCES))
    monkeypatch.setenv("JPY_SESSION_NAME", str(repo_dir / "study.ipynb"))
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(repo_dir))

    def run(source: str, *, dies: bool = False) -> dict[str, Any]:
        seen: dict[str, Any] = {"stdout": "", "html": "", "error": ""}

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                seen[content["name"]] = seen.get(content["name"], "") + content["text"]
            elif message["msg_type"] in ("execute_result", "display_data"):
                seen["html"] += content["data"].get("text/html", "")
            elif message["msg_type"] == "error":
                seen["error"] += content["ename"]

        if dies:
            client.execute(source)
            manager.provisioner.process.wait()
            return seen
        reply = client.execute_interactive(source, output_hook=take, timeout=60)
        return {**seen, "status": reply["content"]["status"]}

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@has_kernel
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # jupyter_client's own
def test_cells_are_the_code_of_a_run(execute: Execute, repo_dir: Path) -> None:
    """All that was executed up to its end, in order, those before its beginning too, and the notebook's name."""
    execute("x = 1")
    execute("import gitexp\nrun = gitexp.start_run('first')")
    execute("%pwd")
    assert "first" in execute("run")["html"]
    execute("gitexp.log_metric('loss', x)")
    assert execute("gitexp.log_metric('loss', x / 2); 1 / 0")["error"] == "ZeroDivisionError"
    assert execute("gitexp.end_run()\nprint('ended')")["stdout"] == "ended\n"
    execute("after = 1")
    run = Repository.open(repo_dir).get_run("first")
    assert run.artifacts["notebook/cells.py"].read().decode() == (
        "# %% [1]\nx = 1\n\n# %% [2]\nimport gitexp\nrun = gitexp.start_run('first')\n\n# %% [3]\n%pwd\n\n"
        "# %% [4]\nrun\n\n# %% [5]\ngitexp.log_metric('loss', x)\n\n"
        "# %% [6]\ngitexp.log_metric('loss', x / 2); 1 / 0\n\n"
        "# %% [7]\ngitexp.end_run()\nprint('ended')\n"
    )
    assert (run.record.entry_point, run.record.command) == ("study.ipynb", ())
    assert (run.status, run.metrics) == (Status.FINISHED, {"loss": 0.5})
    assert run.record.warnings == ()


@has_kernel
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_kernel_that_dies_leaves_a_crashed_run(execute: Execute, repo_dir: Path) -> None:
    """With the cell that killed it."""
    execute("import gitexp, os\ngitexp.start_run('lost')")
    execute("os.kill(os.getpid(), 9)", dies=True)
    run = Repository.open(repo_dir).get_run("lost")
    assert run.status is Status.CRASHED
    assert run.artifacts["notebook/cells.py"].read().endswith(b"# %% [2]\nos.kill(os.getpid(), 9)\n")


@has_kernel
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_magics(execute: Execute, repo_dir: Path) -> None:
    """%%gitexp_run makes a run of a cell, failed where it fails, which ends the cell; %gitexp types a command."""
    assert execute("%load_ext gitexp")["status"] == "ok"
    shown = execute("%%gitexp_run tuned -e study\nimport gitexp\ngitexp.log_metric('loss', 0.25)\nkept = 1")
    assert (shown["status"], shown["error"]) == ("ok", "")
    assert {"tuned", "0.25"} <= set(Balance(shown["html"]).text)
    failed = execute("%%gitexp_run broken\n1 / 0")
    assert failed["status"] == "error"
    assert failed["error"].startswith("ZeroDivisionError")
    assert execute("print(kept, gitexp.active_run())")["stdout"] == "1 None\n"
    listed = execute("%gitexp ls --where 'metrics.loss < 1'")["stdout"]
    assert "tuned" in listed
    assert "broken" not in listed
    repository = Repository.open(repo_dir)
    assert (repository.get_run("tuned").experiment, repository.get_run("broken").status) == ("study", Status.FAILED)


def test_a_script_pays_nothing_for_notebooks(repo_dir: Path) -> None:
    """No module for notebooks is loaded where there is no kernel."""
    script = (
        "import sys, gitexp\nwith gitexp.start_run(): pass\n"
        "names = ('gitexp.cells', 'gitexp.notebook', 'gitexp.display', 'IPython')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=repo_dir,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
