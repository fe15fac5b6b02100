import argparse
import sys

import optuna


def objective(trial):
    x = trial.suggest_float("x", -10, 10)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    for step in range(3):
        trial.report((x - 2) ** 2 / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return (x - 2) ** 2 + (kind == "b")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=5)
    args = parser.parse_args()
    study = optuna.create_study(
        study_name="demo", direction="minimize", storage="sqlite:///study.db", sampler=optuna.samplers.TPESampler(seed=1)
    )
    study.optimize(objective, n_trials=args.trials)
    print(f"Best value: {study.best_value:.4f} (params: {study.best_params})")
    print("Number of finished trials:", len(study.trials), file=sys.stderr)
