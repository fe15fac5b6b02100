import argparse
import json

import numpy as np
import xgboost as xgb

parser = argparse.ArgumentParser()
parser.add_argument("--max-depth", type=int, default=3)
parser.add_argument("--eta", type=float, default=0.3)
parser.add_argument("--rounds", type=int, default=10)
args = parser.parse_args()

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 5))
y = X[:, 0] * 2 + rng.normal(scale=0.1, size=300)
dtrain, dvalid = xgb.DMatrix(X[:200], y[:200]), xgb.DMatrix(X[200:], y[200:])
params = {"max_depth": args.max_depth, "eta": args.eta, "objective": "reg:squarederror", "nthread": 1, "seed": 0}
results = {}
booster = xgb.train(
    params,
    dtrain,
    num_boost_round=args.rounds,
    evals=[(dtrain, "train"), (dvalid, "valid")],
    evals_result=results,
    early_stopping_rounds=5,
    verbose_eval=2,
)
booster.save_model("model.json")
json.dump(results, open("evals.json", "w"))
rmse = float(np.sqrt(np.mean((booster.predict(dvalid) - y[200:]) ** 2)))
print(f"best iteration: {booster.best_iteration}, best score: {booster.best_score:.5f}")
print(f"RMSE: {rmse:.5f}")
