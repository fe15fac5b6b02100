"""Autologging of hyperopt, with the real one."""

from __future__ import annotations

import csv

import pytest

from framework_runs import Project, needs_frameworks, warnings_of
from gitexp.domain.run import Status
from gitexp.reading import RunView

pytestmark = [pytest.mark.frameworks, needs_frameworks]

SEARCH = """
import numpy as np
from hyperopt import STATUS_FAIL, STATUS_OK, Trials, fmin, hp, tpe

space = {
    "x": hp.uniform("x", -3, 3),
    "model": hp.choice("kind", [{"kind": "tree", "depth": hp.randint("depth", 5)}, {"kind": "line"}]),
}

def objective(point):
    if point["x"] > 2:
        return {"status": STATUS_FAIL}
    return {"loss": (point["x"] - 1) ** 2, "status": STATUS_OK, "accuracy": 0.5, "said": "nothing"}

trials = Trials()
best = fmin(objective, space, algo=tpe.suggest, max_evals=8, trials=trials, rstate=np.random.default_rng(4),
            show_progressbar=False)
print(best, [trial["result"]["status"] for trial in trials])
"""


def trials_of(project: Project) -> tuple[RunView, list[RunView]]:
    """The run of the search and those of its trials, in the order of their numbers."""
    runs = project.runs()
    [parent] = [run for run in runs if run.record.parent is None]
    trials = [run for run in runs if run.record.parent == parent.id]
    assert len(trials) == len(runs) - 1
    return parent, sorted(trials, key=lambda run: int(run.name.partition("-")[2]))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("searched"), SEARCH)
    bare = project.bare()
    assert bare.code == 0, bare.err
    assert "'fail'" in bare.out
    assert project.launched() == bare, "the script behaves as without gitexp"
    return project


def test_each_trial_is_a_nested_run(searched: Project) -> None:
    """A trial's params are the point that the objective got, choices as what was chosen; its numbers are metrics."""
    _, trials = trials_of(searched)
    assert [run.name for run in trials] == [f"trial-{number}" for number in range(8)]
    kinds = {run.params["model.kind"] for run in trials}
    assert kinds == {"tree", "line"}
    for run in trials:
        x = run.params["x"]
        assert isinstance(x, float)
        assert ("model.depth" in run.params) == (run.params["model.kind"] == "tree")
        if x > 2:
            assert (run.status, run.tags["status"]) == (Status.FAILED, "fail")
        else:
            assert (run.status, run.tags["status"]) == (Status.FINISHED, "ok")
            assert run.metrics == {"loss": (x - 1) ** 2, "accuracy": 0.5}
        assert not warnings_of(run)


def test_the_search_knows_its_best_trial(searched: Project) -> None:
    """The run of the search has the best params and loss, which trial it was, and a table of all."""
    parent, trials = trials_of(searched)
    best = min((run for run in trials if run.metrics), key=lambda run: run.metrics["loss"])
    assert parent.metrics["best_loss"] == best.metrics["loss"]
    assert {key.removeprefix("best_params."): value for key, value in parent.params.items() if "best" in key} == dict(
        best.params
    )
    assert (parent.tags["best_trial"], parent.tags["best_run"]) == (best.tags["trial"], best.id)
    assert (parent.params["algo"], parent.params["max_evals"]) == ("tpe", 8)
    rows = list(csv.DictReader(parent.artifacts["trials.csv"].read().decode().splitlines()))
    assert [row["run"] for row in rows] == [run.id for run in trials]


def test_autolog_records_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`gitexp.autolog()` prints what the bare script does; a search without a run around it makes one."""
    project = Project(tmp_path_factory.mktemp("autologged"), SEARCH)
    bare = project.bare()
    autologged = project.autologged()
    assert (autologged.code, autologged.out) == (bare.code, bare.out)
    parent, trials = trials_of(project)
    assert len(trials) == 8
    assert parent.status is Status.FINISHED


def test_a_bare_expression_goes_by_its_label(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the space is one expression, its label names the param, also if the trials' own `fmin` is called."""
    script = """
import numpy as np
from hyperopt import Trials, hp, rand
Trials().fmin(lambda x: x * x, hp.uniform("width", 1, 2), algo=rand.suggest, max_evals=2,
              rstate=np.random.default_rng(0), show_progressbar=False)
"""
    project = Project(tmp_path_factory.mktemp("label"), script)
    ended = project.launched()
    assert ended.code == 0, ended.err
    _, trials = trials_of(project)
    for run in trials:
        width = run.params["width"]
        assert isinstance(width, float)
        assert run.metrics["loss"] == pytest.approx(width * width)


@pytest.mark.parametrize(
    ("error", "status"), [("ValueError('x')", Status.FAILED), ("KeyboardInterrupt()", Status.KILLED)]
)
def test_an_exception_keeps_its_traceback(tmp_path_factory: pytest.TempPathFactory, error: str, status: Status) -> None:
    """What an objective raises ends the script with the same traceback, and its trial with the truth."""
    script = f"""
import numpy as np
from hyperopt import fmin, hp, rand

calls = []
def objective(x):
    calls.append(x)
    if len(calls) == 2:
        raise {error}
    return x

fmin(objective, hp.uniform("x", 0, 1), algo=rand.suggest, max_evals=3, rstate=np.random.default_rng(0),
     show_progressbar=False)
"""
    project = Project(tmp_path_factory.mktemp("broken"), script)
    bare = project.bare()
    assert project.launched() == bare
    parent, trials = trials_of(project)
    assert [run.status for run in trials] == [Status.FINISHED, status]
    assert len(parent.artifacts) == 1
    assert parent.tags["best_trial"] == "0"


def test_a_hyperopt_that_changed_is_a_warning(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a part of hyperopt that is watched is gone, the search runs as ever and the record says what is missed."""
    project = Project(tmp_path_factory.mktemp("changed"), "import hyperopt\nprint(hyperopt.fmin(abs, -2))\n")
    (project.folder / "hyperopt.py").write_text("__version__ = '9.0'\ndef fmin(fn, space):\n    return fn(space)\n")
    ended = project.launched()
    assert (ended.code, ended.out, ended.err) == (0, "2\n", "")
    [warning] = warnings_of(project.only_run())
    assert "Autologging of hyperopt missed something" in warning
