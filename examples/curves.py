"""Records a learning curve and the model from Python: `python curves.py`, no `gitexp run` needed."""

import argparse
import pickle

from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split

import gitexp

parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=2)
parser.add_argument("--rate", type=float, default=0.1)
parser.add_argument("--trees", type=int, default=200)
args = parser.parse_args()

data = load_diabetes()
train_x, test_x, train_y, test_y = train_test_split(data.data, data.target, random_state=0)

gitexp.set_experiment("diabetes")
with gitexp.start_run(params=vars(args)):
    model = GradientBoostingRegressor(
        max_depth=args.depth, learning_rate=args.rate, n_estimators=args.trees, random_state=0
    )
    model.fit(train_x, train_y)
    for step, predicted in enumerate(model.staged_predict(test_x)):
        gitexp.log_metric("rmse", root_mean_squared_error(test_y, predicted), step=step)
    importances = dict(zip(data.feature_names, model.feature_importances_.tolist(), strict=True))
    gitexp.log_dict(importances, "importances.json")
    with open("model.pkl", "wb") as file:
        pickle.dump(model, file)
    gitexp.log_artifact("model.pkl")
