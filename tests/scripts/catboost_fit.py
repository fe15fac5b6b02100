import click
import numpy as np
from catboost import CatBoostRegressor, Pool


@click.command()
@click.option("--depth", default=3)
@click.option("--iterations", default=6)
def train(depth, iterations):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = X[:, 0] - X[:, 1]
    model = CatBoostRegressor(
        depth=depth, iterations=iterations, learning_rate=0.3, loss_function="RMSE", random_seed=1, thread_count=1
    )
    model.fit(Pool(X[:150], y[:150]), eval_set=Pool(X[150:], y[150:]), verbose=2)
    model.save_model("model.cbm")
    click.echo(f"validation RMSE {model.best_score_['validation']['RMSE']:.4f}")


train()
