"""Cross-validation by hand in processes of joblib, with a folder for its cache."""

import argparse

import numpy as np
from joblib import Memory, Parallel, delayed
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

memory = Memory("cache", verbose=0)


@memory.cache
def load(rows):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3))
    return x, x @ [1.0, 2.0, 3.0] + rng.normal(scale=0.1, size=rows)


def fold(alpha, x, y, train, test):
    return Ridge(alpha=alpha).fit(x[train], y[train]).score(x[test], y[test])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    x, y = load(90)
    folds = KFold(3).split(x)
    scores = Parallel(n_jobs=args.jobs)(delayed(fold)(args.alpha, x, y, a, b) for a, b in folds)
    for number, score in enumerate(scores):
        print(f"fold {number}: r2={score:.4f}")
    print(f"R2: {np.mean(scores):.4f} +/- {np.std(scores):.4f}")
