"""Autologging of XGBoost, LightGBM and CatBoost, with the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework_runs import Project, needs_frameworks, points, warnings_of

pytestmark = [pytest.mark.frameworks, needs_frameworks]

DATA = """
import pickle
import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(600, 5))
y = (X[:, 0] + 0.5 * rng.normal(size=600) > 0).astype(int)
X_train, X_test, y_train, y_test = X[:400], X[400:], y[:400], y[400:]
"""

XGBOOST = (
    DATA
    + """
import xgboost as xgb
class Mine(xgb.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        return False
train, test = xgb.DMatrix(X_train, y_train), xgb.DMatrix(X_test, y_test)
params = {"objective": "binary:logistic", "eta": 0.3}
"""
)


def check(project: Project) -> str:
    """What the script prints, which is the same to the byte under `gitexp run`."""
    bare, launched = project.bare(), project.launched()
    assert bare.code == 0, bare.err
    assert launched == bare
    return bare.out


def importance(project: Project, name: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(project.only_run().artifacts[name].read())
    return found


def test_xgboost_train(tmp_path: Path) -> None:
    """Params, each iteration's metrics in XGBoost's words, what early stopping found, and importances."""
    script = """
history = {}
booster = xgb.train(params, train, 40, evals=[(train, "train"), (test, "eval")], early_stopping_rounds=3,
                    evals_result=history, callbacks=[Mine()], verbose_eval=5)
print(booster.best_iteration, booster.best_score, len(history["eval"]["logloss"]))
"""
    project = Project(tmp_path, XGBOOST + script)
    out = check(project)
    run = project.only_run()
    assert warnings_of(run) == ()
    assert {
        "objective": "binary:logistic",
        "eta": 0.3,
        "num_boost_round": 40,
        "early_stopping_rounds": 3,
    }.items() <= run.params.items()
    best, score, count = out.splitlines()[-1].split()
    assert run.metrics["best_iteration"] == int(best) and run.metrics["best_score"] == pytest.approx(float(score))
    curve = points(run, "eval-logloss")
    assert [step for step, _ in curve] == list(range(int(count)))
    assert curve[int(best)][1] == pytest.approx(float(score))
    weights = importance(project, "feature_importance_weight.json")
    assert list(weights.values()) == sorted(weights.values(), reverse=True) and "f0" in weights


def test_xgboost_estimators(tmp_path: Path) -> None:
    """Only params that are set; the model has nothing of gitexp in it; scores of test data are its own."""
    script = """
model = xgb.XGBClassifier(n_estimators=12, max_depth=2, early_stopping_rounds=5)
model.fit(X_train, y_train, eval_set=[(X_train, y_train), (X_test, y_test)], verbose=False)
history = model.evals_result()["validation_1"]
print(model.score(X_test, y_test), b"gitexp" in pickle.dumps(model), len(history["logloss"]))
print(model.callbacks)
"""
    project = Project(tmp_path, XGBOOST + script)
    out = check(project)
    run = project.only_run()
    assert warnings_of(run) == ()
    assert run.params["estimator_name"] == "XGBClassifier" and run.params["max_depth"] == 2
    assert "gamma" not in run.params
    score, pickled, count = out.split()[:3]
    assert run.metrics["test_score"] == pytest.approx(float(score)) and pickled == "False"
    assert len(points(run, "validation_1-logloss")) == int(count)


def test_xgboost_cv(tmp_path: Path) -> None:
    """Mean and deviation of the folds at each iteration."""
    project = Project(tmp_path, XGBOOST + "print(xgb.cv(params, train, 5, nfold=3, seed=1).shape)\n")
    check(project)
    run = project.only_run()
    assert run.params["nfold"] == 3
    assert len(points(run, "test-logloss-mean")) == len(points(run, "train-logloss-std")) == 5


def test_a_search_over_xgboost_is_the_searchs(tmp_path: Path) -> None:
    """The fits within it are no trainings of their own."""
    script = """
from sklearn.model_selection import GridSearchCV
search = GridSearchCV(xgb.XGBClassifier(n_estimators=3), {"max_depth": [1, 2]}, cv=2).fit(X, y)
print(sorted(search.best_params_))
"""
    project = Project(tmp_path, XGBOOST + script)
    check(project)
    search, *candidates = project.runs()
    assert search.params["estimator_name"] == "GridSearchCV" and len(candidates) == 2
    assert "stopped_iteration" not in search.metrics


def test_a_failing_xgboost_shows_the_same_traceback(tmp_path: Path) -> None:
    """From `train` and from an estimator; an exception of a callback of the script too."""
    script = """
import traceback
class Fails(xgb.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        raise ValueError("mine")
for act in (
    lambda: xgb.train(params, train, 5, callbacks=[Fails()]),
    lambda: xgb.train({"objective": "none such"}, train, 5),
    lambda: xgb.XGBClassifier().fit(X, ["a"] * len(X)),
):
    try:
        act()
    except Exception as error:
        print([(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)])
"""
    project = Project(tmp_path, XGBOOST + script)
    check(project)


LIGHTGBM = (
    DATA
    + """
import warnings
warnings.simplefilter("error")
import lightgbm as lgb
train = lgb.Dataset(X_train, y_train)
test = lgb.Dataset(X_test, y_test, reference=train)
params = {"objective": "binary", "verbose": -1, "learning_rate": 0.2}
"""
)


def test_lightgbm_train(tmp_path: Path) -> None:
    """Params, each iteration's metrics, what early stopping found, and importances."""
    script = """
history = {}
booster = lgb.train(params, train, 60, valid_sets=[train, test], valid_names=["train", "val"],
                    callbacks=[lgb.early_stopping(3), lgb.log_evaluation(5), lgb.record_evaluation(history)])
print(booster.best_iteration, booster.best_score["val"]["binary_logloss"])
"""
    project = Project(tmp_path, LIGHTGBM + script)
    out = check(project)
    run = project.only_run()
    assert warnings_of(run) == ()
    assert {"objective": "binary", "learning_rate": 0.2, "num_boost_round": 60}.items() <= run.params.items()
    best, score = out.splitlines()[-1].split()
    assert run.metrics["best_iteration"] == int(best)
    assert run.metrics["best_val-binary_logloss"] == pytest.approx(float(score))
    assert points(run, "val-binary_logloss")[int(best) - 1][1] == pytest.approx(float(score))
    assert importance(project, "feature_importance_gain.json")["Column_0"] > 0


def test_lightgbm_estimators(tmp_path: Path) -> None:
    """Params of the estimator; the model has nothing of gitexp in it."""
    script = """
warnings.simplefilter("ignore")
model = lgb.LGBMClassifier(n_estimators=9, num_leaves=5, verbose=-1)
model.fit(X_train, y_train, eval_set=[(X_test, y_test)])
print(model.score(X_test, y_test), b"gitexp" in pickle.dumps(model))
"""
    project = Project(tmp_path, LIGHTGBM + script)
    out = check(project)
    run = project.only_run()
    assert run.params["estimator_name"] == "LGBMClassifier" and run.params["num_leaves"] == 5
    score, pickled = out.split()
    assert run.metrics["test_score"] == pytest.approx(float(score)) and pickled == "False"
    assert len(points(run, "valid_0-binary_logloss")) == 9


def test_lightgbm_cv(tmp_path: Path) -> None:
    """Mean and deviation of the folds at each iteration."""
    project = Project(tmp_path, LIGHTGBM + "print(len(lgb.cv(params, train, 5, nfold=3, seed=1)))\n")
    check(project)
    run = project.only_run()
    assert run.params["nfold"] == 3
    assert len(points(run, "valid-binary_logloss-mean")) == len(points(run, "valid-binary_logloss-stdv")) == 5


CATBOOST = DATA + "import catboost\n"


def test_catboost_models(tmp_path: Path) -> None:
    """Params, those that CatBoost chose too, each iteration's metrics, the best of them, and importances."""
    script = """
model = catboost.CatBoostClassifier(iterations=15, depth=3, verbose=False, allow_writing_files=False)
model.fit(X_train, y_train, eval_set=(X_test, y_test))
print(model.score(X_test, y_test), model.best_iteration_, b"gitexp" in pickle.dumps(model))
"""
    project = Project(tmp_path, CATBOOST + script)
    out = check(project)
    run = project.only_run()
    assert warnings_of(run) == ()
    assert {"iterations": 15, "depth": 3, "loss_function": "Logloss"}.items() <= run.params.items()
    assert "learning_rate" in run.params
    score, best, pickled = out.split()
    assert run.metrics["test_score"] == pytest.approx(float(score)) and pickled == "False"
    assert run.metrics["best_iteration"] == int(best)
    assert len(points(run, "learn-Logloss")) == len(points(run, "validation-Logloss")) == 15
    assert importance(project, "feature_importance.json")


def test_catboost_train_and_cv(tmp_path: Path) -> None:
    """`train` is a training, `cv` another one with keys of its own."""
    script = """
pool = catboost.Pool(X, y)
settings = {"loss_function": "Logloss", "iterations": 6, "verbose": False, "allow_writing_files": False}
catboost.train(pool, settings)
print(catboost.cv(pool, settings, fold_count=2, seed=1).shape)
"""
    project = Project(tmp_path, CATBOOST + script)
    check(project)
    run = project.only_run()
    assert len(points(run, "learn-Logloss")) == 6
    assert len(points(run, "catboost.cv.test-Logloss-mean")) == 6


def test_a_plain_script_makes_a_run_of_each_training(tmp_path: Path) -> None:
    """`gitexp.autolog()` without `gitexp run`."""
    script = """
import lightgbm, xgboost
xgboost.XGBRegressor(n_estimators=3).fit(X, y)
lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(X, y)
"""
    project = Project(tmp_path, DATA + script)
    assert project.autologged().code == 0
    assert [run.params["estimator_name"] for run in project.runs()] == ["XGBRegressor", "LGBMRegressor"]


def test_an_excluded_framework_is_left_alone(tmp_path: Path) -> None:
    """The others are not."""
    script = """
import lightgbm, xgboost
gitexp.autolog(exclude=["xgboost"])
xgboost.XGBRegressor(n_estimators=3).fit(X, y)
lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(X, y)
"""
    project = Project(tmp_path, DATA + script)
    assert project.autologged().code == 0
    assert project.only_run().params["estimator_name"] == "LGBMRegressor"
