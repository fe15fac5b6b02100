"""Autologging of Optuna, with the real one."""

from __future__ import annotations

import csv

import pytest

from framework_runs import Project, needs_frameworks, points, warnings_of, without
from gitexp.domain.run import Status
from gitexp.reading import RunView

pytestmark = [pytest.mark.frameworks, needs_frameworks]

STUDY = """
import optuna

def objective(trial):
    x = trial.suggest_float("x", -3, 3)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    trial.set_user_attr("shape", "round")
    for step in range(3):
        trial.report(x * x + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    if trial.number == 4:
        raise ValueError("bad luck")
    return x * x

sampler = optuna.samplers.RandomSampler(seed=1)
study = optuna.create_study(study_name="curves", sampler=sampler)
study.optimize(objective, n_trials=8, catch=(ValueError,))
print(study.best_params, [trial.state.name for trial in study.trials])
"""

SAME = without([r"\[([IW]) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\]"])


def trials_of(project: Project) -> tuple[RunView, list[RunView]]:
    """The run of the study and those of its trials, in the order of their numbers."""
    runs = project.runs()
    [parent] = [run for run in runs if run.record.parent is None]
    trials = [run for run in runs if run.record.parent == parent.id]
    assert len(trials) == len(runs) - 1
    return parent, sorted(trials, key=lambda run: int(run.tags.get("trial", -1)))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("searched"), STUDY)
    bare = SAME(project.bare())
    assert "bad luck" in bare.err
    assert SAME(project.launched()) == bare, "the script behaves as without gitexp"
    return project


def test_each_trial_is_a_nested_run(searched: Project) -> None:
    """A trial's params, intermediate values, value and state are those of a run of its own."""
    _, trials = trials_of(searched)
    assert [run.name for run in trials] == [f"trial-{number}" for number in range(8)]
    first = trials[0]
    assert first.params.keys() == {"x", "kind"}
    x = first.params["x"]
    assert isinstance(x, float)
    assert first.metrics["value"] == x * x
    assert points(first, "intermediate_value") == [(step, x * x + step) for step in range(3)]
    assert first.tags == {"trial": "0", "state": "complete", "shape": "round"}
    assert not warnings_of(first)


def test_pruned_and_failed_trials_say_so(searched: Project) -> None:
    """A trial that was pruned has finished and is tagged; one that raised has failed."""
    _, trials = trials_of(searched)
    states = {run.tags["state"]: run.status for run in trials}
    assert states == {"complete": Status.FINISHED, "pruned": Status.FINISHED, "fail": Status.FAILED}
    assert trials[4].tags["state"] == "fail"


def test_the_study_knows_its_best_trial(searched: Project) -> None:
    """The run of the study has the best params and value, which trial it was, and a table of all."""
    parent, trials = trials_of(searched)
    best = min((run for run in trials if run.tags["state"] == "complete"), key=lambda run: run.metrics["value"])
    assert parent.params["best_params.x"] == best.params["x"]
    assert parent.metrics["best_value"] == best.metrics["value"]
    assert (parent.tags["best_trial"], parent.tags["best_run"]) == (best.tags["trial"], best.id)
    said = {"study_name": "curves", "direction": "minimize", "sampler": "RandomSampler", "n_trials": 8}
    assert said.items() <= parent.params.items()
    rows = list(csv.DictReader(parent.artifacts["trials.csv"].read().decode().splitlines()))
    assert [row["state"] for row in rows] == [run.tags["state"] for run in trials]
    assert [row["run"] for row in rows] == [run.id for run in trials]


def test_autolog_records_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`gitexp.autolog()` prints what the bare script does; a study without a run around it makes one."""
    project = Project(tmp_path_factory.mktemp("autologged"), STUDY)
    bare = SAME(project.bare())
    autologged = SAME(project.autologged())
    assert autologged.out == bare.out
    assert autologged.err.replace("autologged.py", "train.py") == bare.err
    parent, trials = trials_of(project)
    assert len(trials) == 8
    assert parent.params["study_name"] == "curves"


def test_threads_have_their_own_trials(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With `n_jobs`, each thread's trials are nested in the study's run and do not mix; logging in them is theirs."""
    script = """
import gitexp, optuna, time
optuna.logging.disable_default_handler()

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    gitexp.log_metric("mine", x)
    time.sleep(0.02)
    gitexp.log_metric("again", x)
    return x

optuna.create_study(direction="maximize").optimize(objective, n_trials=12, n_jobs=4)
"""
    project = Project(tmp_path_factory.mktemp("threads"), script)
    ended = project.autologged()
    assert ended.code == 0, ended.err
    parent, trials = trials_of(project)
    assert len(trials) == 12
    for run in trials:
        assert run.params["x"] == run.metrics["mine"] == run.metrics["again"] == run.metrics["value"]
    assert parent.metrics["best_value"] == max(run.metrics["value"] for run in trials)


def test_only_trials_of_this_process_are_recorded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of a study in a shared storage the trials that ran here are recorded, and the best of all is named."""
    script = """
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(study_name="s", storage="sqlite:///study.db", load_if_exists=True)
study.enqueue_trial({"x": 0.5 if not study.trials else 2.0})
study.optimize(lambda trial: trial.suggest_float("x", -3, 3) ** 2, n_trials=1)
"""
    project = Project(tmp_path_factory.mktemp("shared"), script)
    assert project.bare().code == 0
    assert project.launched().code == 0
    parent, [trial] = trials_of(project)
    assert trial.metrics["value"] == 4.0
    assert (parent.metrics["best_value"], parent.tags["best_trial"]) == (0.25, "0")
    assert "best_run" not in parent.tags


def test_a_training_in_a_trial_is_the_trials(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What another framework logs inside a trial goes to the trial's run, and not to the study's."""
    script = """
import keras, numpy as np, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
x = np.zeros((8, 2)); y = np.ones(8)

def objective(trial):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    rate = trial.suggest_float("rate", 0.01, 0.1)
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    return model.fit(x, y, epochs=2, verbose=0).history["loss"][-1]

optuna.create_study().optimize(objective, n_trials=2)
"""
    project = Project(tmp_path_factory.mktemp("training"), script)
    ended = project.launched()
    assert ended.code == 0, ended.err
    parent, trials = trials_of(project)
    assert "loss" not in parent.metrics
    for run in trials:
        assert points(run, "loss")[-1] == (1, pytest.approx(run.metrics["value"]))
        assert run.params["optimizer_name"] == "SGD"


def test_a_run_that_the_script_starts_for_a_trial_is_the_trials(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`gitexp.start_run` in an objective joins the trial's run, whether it ends it there or not."""
    script = """
import gitexp, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)

def objective(trial):
    with gitexp.start_run(f"mine-{trial.number}") as run:
        run.log_metric("mine", 1.0)
    return trial.suggest_float("x", 0, 1)

optuna.create_study().optimize(objective, n_trials=2)
"""
    project = Project(tmp_path_factory.mktemp("own"), script)
    ended = project.autologged()
    assert (ended.code, ended.err) == (0, "")
    _, trials = trials_of(project)
    assert sorted(run.name for run in trials) == ["mine-0", "mine-1"]
    assert all(run.metrics["mine"] == 1.0 for run in trials)


@pytest.mark.parametrize(
    ("error", "status"), [("ValueError('x')", Status.FAILED), ("KeyboardInterrupt()", Status.KILLED)]
)
def test_an_exception_keeps_its_traceback(tmp_path_factory: pytest.TempPathFactory, error: str, status: Status) -> None:
    """What an objective raises ends the script with the same traceback, and its trial and study with the truth."""
    script = f"""
import optuna

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number == 1:
        raise {error}
    return x

optuna.create_study(study_name="s", sampler=optuna.samplers.RandomSampler(seed=0)).optimize(objective, n_trials=3)
"""
    project = Project(tmp_path_factory.mktemp("broken"), script)
    bare = SAME(project.bare())
    assert SAME(project.launched()) == bare
    parent, trials = trials_of(project)
    assert [run.status for run in trials] == [Status.FINISHED, status]
    assert len(parent.artifacts) == 1
    project.autologged()
    assert [run.status for run in project.runs()[-3:]] == [status, Status.FINISHED, status]


def test_several_objectives_have_no_best(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of several objectives each value has its name; the study's run counts the trials that none is better than."""
    script = """
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(directions=["minimize", "maximize"], sampler=optuna.samplers.RandomSampler(seed=0))
study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)), n_trials=3)
study.optimize(lambda trial: (float("nan"), 1.0), n_trials=1)
print(len(study.best_trials))
"""
    project = Project(tmp_path_factory.mktemp("several"), script)
    ended = project.launched()
    parent, trials = trials_of(project)
    assert parent.metrics["pareto_trials"] == int(ended.out)
    assert (trials[0].metrics["value_0"], trials[0].metrics["value_1"]) == (
        trials[0].params["x"],
        trials[0].params["y"],
    )
    assert trials[3].status is Status.FAILED, "not a number is no value for Optuna"


def test_many_quick_trials_are_rows(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Beyond the first hundred, trials that are over in no time are rows of the table without runs of their own."""
    script = """
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=130)
"""
    project = Project(tmp_path_factory.mktemp("many"), script)
    assert project.launched().code == 0
    parent, trials = trials_of(project)
    rows = list(csv.DictReader(parent.artifacts["trials.csv"].read().decode().splitlines()))
    assert len(trials) == 100
    assert len(rows) == 130
    assert parent.tags["trials_without_run"] == "30"
    assert all(row["params.x"] == row["value"] for row in rows)


def test_an_optuna_that_changed_is_a_warning(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a part of Optuna that is watched is gone, the study runs as ever and the record says what is missed."""
    project = Project(tmp_path_factory.mktemp("changed"), "import optuna\noptuna.Study().optimize(print)\n")
    (project.folder / "optuna.py").write_text(
        "__version__ = '9.0'\nclass Study:\n    def optimize(self, objective):\n        objective('trial')\n"
    )
    ended = project.launched()
    assert (ended.code, ended.out, ended.err) == (0, "trial\n", "")
    [warning] = warnings_of(project.only_run())
    assert "Autologging of optuna missed something" in warning
