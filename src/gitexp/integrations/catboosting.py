"""CatBoost: the models, `train` and `cv`.

What each iteration measured is recorded when the training is over: CatBoost's callbacks are given all iterations so far
each time, and do not exist on GPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from gitexp.integrations import scikit_learn_scores as scores
from gitexp.integrations.parts import Part
from gitexp.integrations.patching import guarded, plain_params, training, wrap

SUPPORTED = ("1.2", "1.2")

CHOSEN = ("iterations", "learning_rate", "depth", "l2_leaf_reg", "loss_function", "eval_metric", "random_seed")
"""Params that are worth knowing also where CatBoost chose them."""


SAID = ("iterations", "num_boost_round", "fold_count", "nfold", "seed", "partition_random_seed", "stratified")
"""Arguments of `cv` that are recorded as params, where they are given."""


def install(module: ModuleType) -> None:
    for name in ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"):
        wrap(getattr(module, name), "fit", _fit)
        if name != "CatBoost":
            wrap(getattr(module, name), "score", scores.score)
    wrap(module, "cv", _cv)


def _fit(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training("catboost") as run:
        if run is None:
            return original(*args, **kwargs)
        model = args[0]
        part = Part.begin("catboost", run, type(model).__name__, lambda: _params(model, kwargs))
        result = original(*args, **kwargs)
        with guarded("catboost"):
            scores.remember(part, model, (*args[1:], *kwargs.values()))
            _log_model(part, model)
        return result


def _params(model: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    rounds = kwargs.get("early_stopping_rounds")
    said = {} if rounds is None else {"early_stopping_rounds": rounds}
    return {"estimator_name": type(model).__name__, **plain_params({**model.get_params(), **said})}


def _log_model(part: Part, model: Any) -> None:
    given, every = model.get_params(), model.get_all_params()
    part.log_params({name: every[name] for name in CHOSEN if name in every and name not in given})
    for data, metrics in model.get_evals_result().items():
        for metric, values in metrics.items():
            for step, value in enumerate(values):
                part.log_metric(f"{data}-{metric}", value, step)
    part.log_metric("stopped_iteration", model.tree_count_ - 1)
    if model.best_iteration_ is not None:
        part.log_metric("best_iteration", model.best_iteration_)
        for data, metrics in model.best_score_.items():
            part.log_metrics({f"best_{data}-{metric}": value for metric, value in metrics.items()})
    found = zip(model.feature_names_, model.feature_importances_.tolist(), strict=True)
    part.log_dict(dict(sorted(found, key=lambda item: item[1], reverse=True)), "feature_importance.json")


def _cv(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training("catboost") as run:
        if run is None:
            return original(*args, **kwargs)
        part = Part.begin("catboost", run, "catboost.cv", lambda: _said(args, kwargs))
        result = original(*args, **kwargs)
        with guarded("catboost"):
            table = result[0] if isinstance(result, tuple) else result
            columns = {name: list(table[name]) for name in table}
            steps = columns.pop("iterations", None)
            for name, values in columns.items():
                for place, value in enumerate(values):
                    part.log_metric(name, value, int(steps[place]) if steps else place)
        return result


def _said(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    params = args[1] if len(args) > 1 else kwargs.get("params")
    return plain_params({**dict(params or {}), **{name: kwargs[name] for name in SAID if kwargs.get(name) is not None}})
