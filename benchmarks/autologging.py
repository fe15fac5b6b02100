"""What autologging adds to a training, in per cent of it: both kinds in turn, in one process.

The frameworks are those of the interpreter that `GITEXP_FRAMEWORKS_PYTHON` names, or of the one that measures.
"""

from __future__ import annotations

import os
import statistics
from functools import partial
from pathlib import Path

import gitexp
from benchmarks.measure import Bench, Figure
from benchmarks.table import Row

ROUNDS = 9

PROGRAM = """
import numpy as np
rng = np.random.default_rng(0)
rounds = {rounds}
{training}
bare, watched = [], []
def timed(into, act):
    began = time.process_time()
    act()
    into.append(time.process_time() - began)
import gitexp
with measured():
    import gitexp.session
bare_train = prepare()
gitexp.autolog()
watched_train = prepare()
with gitexp.start_run() as run:
    bare_train(), watched_train()
    assert gitexp.active_run() is run
    for turn in range(rounds):  # the order changes, or the one after the other would find warmer caches
        pair = [(bare, bare_train), (watched, watched_train)]
        for into, act in pair if turn % 2 else reversed(pair):
            timed(into, act)
found = gitexp.get_run("@")
assert found.params and found.metrics, "nothing was recorded"
print(json.dumps({{"bare": bare, "watched": watched, "import_s": result["cpu_s"], "logged": len(found.metrics)}}))
"""
"""`prepare` gives a training that calls the framework's functions as they are at that moment."""

TRAININGS = {
    "sklearn": (
        "scikit-learn: a forest of 50 trees on 10,000 x 20",
        """
from sklearn.ensemble import RandomForestClassifier
X = rng.normal(size=(10_000, 20)); y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)
def prepare():
    fit = RandomForestClassifier.fit
    return lambda: fit(RandomForestClassifier(50, n_jobs=1, random_state=0), X, y)
""",
    ),
    "sklearn-search": (
        "scikit-learn: a search over 12 candidates, 5 folds each",
        """
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
X = rng.normal(size=(20_000, 60)); y = (X @ rng.normal(size=60) + rng.normal(size=20_000) > 0).astype(int)
def prepare():
    fit = GridSearchCV.fit
    model = LogisticRegression(solver="newton-cholesky")
    return lambda: fit(GridSearchCV(model, {"C": np.logspace(-3, 3, 12)}, cv=5), X, y)
""",
    ),
    "xgboost": (
        "XGBoost: 100 rounds on 40,000 x 30, evaluated each round",
        """
import xgboost
X = rng.normal(size=(40_000, 30)); y = (X[:, 0] * X[:, 1] > 0).astype(int)
data, test = xgboost.DMatrix(X[:30_000], y[:30_000]), xgboost.DMatrix(X[30_000:], y[30_000:])
params = {"objective": "binary:logistic", "nthread": 1}
def prepare():
    train = xgboost.train
    return lambda: train(params, data, 100, evals=[(test, "eval")], verbose_eval=False)
""",
    ),
    "lightgbm": (
        "LightGBM: 150 rounds on 60,000 x 30, evaluated each round",
        """
import lightgbm
X = rng.normal(size=(60_000, 30)); y = (X[:, 0] * X[:, 1] > 0).astype(int)
params = {"objective": "binary", "num_threads": 1, "verbose": -1}
data = lightgbm.Dataset(X[:45_000], y[:45_000], free_raw_data=False).construct()
test = lightgbm.Dataset(X[45_000:], y[45_000:], reference=data, free_raw_data=False).construct()
def prepare():
    train = lightgbm.train
    return lambda: train(params, data, 150, valid_sets=[test])
""",
    ),
    "catboost": (
        "CatBoost: 200 rounds on 40,000 x 30, evaluated each round",
        """
import catboost
X = rng.normal(size=(40_000, 30)); y = (X[:, 0] * X[:, 1] > 0).astype(int)
data, test = catboost.Pool(X[:30_000], y[:30_000]), catboost.Pool(X[30_000:], y[30_000:])
settings = dict(iterations=200, thread_count=1, verbose=False, allow_writing_files=False)
def prepare():
    fit = catboost.CatBoostClassifier.fit
    return lambda: fit(catboost.CatBoostClassifier(**settings), data, eval_set=test)
""",
    ),
    "statsmodels": (
        "statsmodels: a logistic regression on 200,000 x 30",
        """
import statsmodels.api as sm
X = sm.add_constant(rng.normal(size=(200_000, 30))); y = (X[:, 1] + rng.normal(size=200_000) > 0).astype(int)
def prepare():
    fit = sm.GLM.fit
    return lambda: fit(sm.GLM(y, X, family=sm.families.Binomial()))
""",
    ),
}


def overhead(bench: Bench, training: str) -> Figure:
    folder = bench.repository()
    python = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", bench.python)
    watching = bench.with_variables(PYTHONPATH=str(Path(gitexp.__file__).parent.parent), OMP_NUM_THREADS="1")
    program = PROGRAM.format(rounds=ROUNDS, training=TRAININGS[training][1])
    measured = watching.program(program, python=python, cwd=folder)
    bare = statistics.median(measured["bare"])
    more = [after - before for before, after in zip(measured["bare"], measured["watched"], strict=True)]
    added = statistics.median(more)
    spread = statistics.quantiles(more, n=4)
    note = (
        f"{added * 1000:+.1f} ms ({spread[0] * 1000:+.1f} to {spread[2] * 1000:+.1f}) on {bare * 1000:,.0f} ms, medians"
        f" of {ROUNDS}; the first training of a process also imports gitexp: {measured['import_s'] * 1000:.0f} ms"
    )
    bench.gone(folder)
    return Figure(value=100 * added / bare, note=note)


ROWS = [
    Row(
        key=f"autolog-{name}",
        work=f"autologging, above the bare training; {work}",
        unit="% CPU",
        bar=2.0,
        measure=partial(overhead, training=name),
    )
    for name, (work, _) in TRAININGS.items()
]
