"""Autologging of scikit-learn, with the real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework_runs import Project, needs_frameworks, points, warnings_of

pytestmark = [pytest.mark.frameworks, needs_frameworks]

DATA = """
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, cross_val_score, cross_validate
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
pipe = make_pipeline(StandardScaler(), LogisticRegression(C=0.5))
"""

FIT = (
    DATA
    + """
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
pipe.fit(X_train, y_train)
y_val = y_test.copy()
print(pipe.score(X_test, y_test), accuracy_score(y_train, pipe.predict(X_train)))
print(f1_score(y_val, pipe.predict(X_test)), confusion_matrix(y_test, pipe.predict(X_test)).sum())
"""
)


def check(project: Project) -> str:
    """What the script prints, which is the same to the byte under `gitexp run`."""
    bare, launched = project.bare(), project.launched()
    assert bare.code == 0, bare.err
    assert launched == bare
    return bare.out


def test_a_pipeline_is_one_training(tmp_path: Path) -> None:
    """Its params in scikit-learn's words, scores of the training, and the scores that the script computes."""
    project = Project(tmp_path, FIT)
    check(project)
    run = project.only_run()
    assert warnings_of(run) == ()
    assert {
        "estimator_name": "Pipeline",
        "steps": [["standardscaler", "StandardScaler"], ["logisticregression", "LogisticRegression"]],
        "logisticregression": "LogisticRegression",
        "logisticregression__C": 0.5,
        "standardscaler__with_mean": True,
    }.items() <= run.params.items()
    assert run.tags["estimator_class"] == "sklearn.pipeline.Pipeline"
    metrics = run.metrics
    assert metrics["training_score"] == metrics["training_accuracy_score"] == pytest.approx(0.988, abs=0.01)
    assert metrics["test_score"] == pytest.approx(0.979, abs=0.01)
    assert 0.95 < metrics["val_f1_score"] < 1
    assert not [key for key in metrics if "confusion" in key]


def test_training_scores_are_scikit_learns_own(tmp_path: Path) -> None:
    """What is computed from few passes over the predictions equals what its functions say."""
    script = (
        DATA
        + """
import json
from sklearn import metrics as m
pipe.fit(X, y)
p, c = pipe.predict(X), pipe.predict_proba(X)
kinds = dict(average="weighted")
print(json.dumps({
    "score": pipe.score(X, y), "accuracy_score": m.accuracy_score(y, p), "f1_score": m.f1_score(y, p, **kinds),
    "precision_score": m.precision_score(y, p, **kinds), "recall_score": m.recall_score(y, p, **kinds),
    "log_loss": m.log_loss(y, c), "roc_auc": m.roc_auc_score(y, c[:, 1]),
}))
"""
    )
    project = Project(tmp_path, script)
    out = check(project)
    run = project.only_run()
    for key, value in json.loads(out).items():
        first = points(run, f"training_{key}")[0][1]
        assert first == pytest.approx(value, rel=1e-9), key


def test_regression_has_its_own_scores(tmp_path: Path) -> None:
    """Squared and absolute errors and R2; a curve that the estimator kept is a history."""
    script = (
        DATA
        + """
X, y = load_diabetes(return_X_y=True)
model = GradientBoostingRegressor(n_estimators=7, random_state=0).fit(X, y)
print(model.score(X, y))
"""
    )
    project = Project(tmp_path, script)
    out = check(project)
    run = project.only_run()
    assert run.params["n_estimators"] == 7
    assert run.metrics["training_r2_score"] == pytest.approx(float(out))
    assert run.metrics["training_root_mean_squared_error"] ** 2 == pytest.approx(
        run.metrics["training_mean_squared_error"]
    )
    assert len(points(run, "train_score")) == 7


def test_large_training_data_is_sampled(tmp_path: Path) -> None:
    """Training scores are of 1,000 rows, the same each time, and a tag says so."""
    script = (
        DATA
        + "import numpy\nX, y = numpy.tile(X, (5, 1)), numpy.tile(y, 5)\nRidge(alpha=2.0).fit(X, y)\nprint(len(y))\n"
    )
    project = Project(tmp_path, script)
    check(project)
    assert project.launched().code == 0
    first, second = project.runs()
    assert first.tags["training_rows"] == "1000 of 2845"
    assert first.metrics["training_r2_score"] == second.metrics["training_r2_score"]


def test_no_code_of_the_user_runs_for_training_scores(tmp_path: Path) -> None:
    """A pipeline with a function of the script, and a verbose estimator, are asked for no prediction."""
    script = (
        DATA
        + """
from sklearn.preprocessing import FunctionTransformer
def loud(rows):
    print("transforming", len(rows))
    return rows
make_pipeline(FunctionTransformer(loud), LogisticRegression(max_iter=5000)).fit(X, y)
RandomForestClassifier(5, verbose=1, random_state=0).fit(X, y)
"""
    )
    project = Project(tmp_path, script)
    bare, launched = project.bare(), project.launched()
    assert launched.out == bare.out and launched.out.count("transforming") == 1
    assert not [key for key in project.only_run().metrics if "training" in key]


def test_cross_validation_is_a_history_of_its_folds(tmp_path: Path) -> None:
    """One point a fold, mean and deviation; workers of joblib record nothing and need no gitexp."""
    script = (
        DATA
        + """
folds = KFold(3, shuffle=True, random_state=1)
print(cross_val_score(pipe, X, y, cv=folds, n_jobs=2))
print(cross_validate(RandomForestClassifier(5, random_state=0), X, y, cv=3, scoring=("accuracy", "f1"))["test_f1"])
"""
    )
    project = Project(tmp_path, script)
    check(project)
    run = project.only_run()
    scores = [value for _, value in points(run, "cv_score")]
    assert len(scores) == 3 and run.metrics["cv_score_mean"] == pytest.approx(sum(scores) / 3)
    assert run.params["cv"] == "KFold(n_splits=3, random_state=1, shuffle=True)"
    assert {"RandomForestClassifier.cv_f1_mean", "RandomForestClassifier.cv_accuracy_std"} <= run.metrics.keys()


SEARCH = (
    DATA
    + """
from scipy.stats import uniform
grid = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}
search = GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(X_train, y_train)
print(search.best_params_, search.score(X_test, y_test))
"""
)


def test_the_candidates_of_a_search_are_nested_runs(tmp_path: Path) -> None:
    """Best params and score in the run of the search, all results as CSV, a run for each candidate."""
    project = Project(tmp_path, SEARCH)
    check(project)
    search, *candidates = project.runs()
    assert search.params["param_grid.logisticregression__C"] == [0.01, 0.1, 1.0, 10.0]
    best = search.params["best_logisticregression__C"]
    assert [run.record.parent for run in candidates] == [search.record.id] * 4
    ranked = sorted(candidates, key=lambda run: run.metrics["rank_test_score"])
    assert ranked[0].params == {"logisticregression__C": best}
    assert ranked[0].metrics["mean_test_score"] == pytest.approx(search.metrics["best_cv_score"])
    assert search.metrics["test_score"] > 0.9
    assert "cv_results.csv" in search.artifacts


def test_only_the_best_candidates_become_runs(tmp_path: Path) -> None:
    """Ten of thirty; distributions are written as a person would."""
    script = (
        DATA
        + """
from scipy.stats import uniform
X, y = X[:90], y[:90]
RandomizedSearchCV(Ridge(), {"alpha": uniform(0, 4)}, n_iter=30, cv=2, random_state=0).fit(X, y)
"""
    )
    project = Project(tmp_path, script)
    check(project)
    search, *candidates = project.runs()
    assert len(candidates) == 10
    assert max(run.metrics["rank_test_score"] for run in candidates) <= 10
    assert search.params["param_distributions.alpha"] == "uniform(0, 4)"


def test_a_plain_script_makes_a_run_of_each_training(tmp_path: Path) -> None:
    """`gitexp.autolog()` without a run."""
    project = Project(tmp_path, DATA + "pipe.fit(X_train, y_train)\nRidge().fit(X, y)\n")
    assert project.autologged().code == 0
    assert [run.params["estimator_name"] for run in project.runs()] == ["Pipeline", "Ridge"]


def test_the_scripts_own_run_is_used(tmp_path: Path) -> None:
    """Params that the script logs count more than those of the estimator."""
    project = Project(
        tmp_path,
        DATA
        + "with gitexp.start_run('mine', params={'C': 7}):\n    LogisticRegression(C=2, max_iter=5000).fit(X, y)\n",
    )
    assert project.autologged().code == 0
    run = project.only_run()
    assert run.record.name == "mine" and run.params["C"] == 7 and run.params["max_iter"] == 5000


def test_a_failing_fit_shows_the_same_traceback(tmp_path: Path) -> None:
    """The params are recorded; output and exit code are the bare script's."""
    project = Project(tmp_path, DATA + "LogisticRegression(C=0.25).fit(X, y[:-1])\n")
    bare, launched = project.bare(), project.launched()
    assert bare.code == 1 and launched == bare
    run = project.only_run()
    assert run.params["C"] == 0.25 and run.record.status.value == "failed"
    assert project.autologged().code == 1
    assert [run.record.status.value for run in project.runs()] == ["failed", "failed"]


ODD = (
    DATA
    + """
import pickle, sys, warnings
warnings.simplefilter("error")
from sklearn.base import BaseEstimator, ClassifierMixin, clone

class Mine(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        return super().fit(StandardScaler().fit_transform(X), y, sample_weight)

class Own(ClassifierMixin, BaseEstimator):
    def __init__(self, depth=1):
        self.depth = depth
    def fit(self, X, y):
        self.classes_ = sorted(set(y))
        return self
    def predict(self, X):
        return [self.classes_[0]] * len(X)

model = clone(Mine(C=3.0)).fit(X, y)
print(cross_val_score(Mine(), X, y, cv=3, n_jobs=2), cross_val_score(Own(), X, y, cv=3, n_jobs=2))
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
print(pickle.loads(pickle.dumps((accuracy_score, cross_val_score)))[0] is accuracy_score)
search = GridSearchCV(RandomForestClassifier(5, random_state=0), {"max_depth": [1, 2]}, cv=2).fit(X, y)
with open("out.pickle", "wb") as file:
    pickle.dump(search, file)
print(b"gitexp" in open("out.pickle", "rb").read())
"""
)


def test_subclasses_clones_and_pickles_are_as_without(tmp_path: Path) -> None:
    """With warnings as errors, estimators of the script in joblib's workers, and a model read without gitexp."""
    project = Project(tmp_path, ODD)
    out = check(project)
    run = project.runs()[0]
    assert run.params["estimator_name"] == "Mine" and run.params["C"] == 3.0
    assert warnings_of(run) == ()
    assert out.endswith("True\nFalse\n")
    (project.folder / "read.py").write_text(
        "import pickle, sys\nprint(pickle.load(open('out.pickle', 'rb')).best_score_ > 0.5, 'gitexp' in sys.modules)\n"
    )
    project.launched()
    assert project.bare(script="read.py").out == "True False\n"
