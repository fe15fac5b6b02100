"""XGBoost: `train`, `cv` and the estimators, with what each iteration measured."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from gitexp.integrations import scikit_learn_scores as scores
from gitexp.integrations.parts import Part
from gitexp.integrations.patching import guarded, plain_params, training, wrap, wrap_subclasses

SUPPORTED = ("1.6", "3.2")

SAID = ("num_boost_round", "early_stopping_rounds", "maximize", "nfold", "stratified", "folds", "seed")
"""Arguments of `train` and `cv` that are recorded as params, where they are given."""

_estimators_part: contextvars.ContextVar[Part | None] = contextvars.ContextVar("gitexp_xgboost", default=None)
"""The part of the estimator whose `fit` is under way, for the `train` that it calls."""


def install(module: ModuleType) -> None:
    wrap(module, "train", _train)
    wrap(module, "cv", _cv)
    estimators: Any = getattr(module, "sklearn", None)
    if hasattr(estimators, "XGBModel"):  # not where scikit-learn is not installed
        wrap(estimators, "train", _train)
        wrap_subclasses(estimators.XGBModel, ("fit",), _fit, of=_is_xgboosts)


def _is_xgboosts(cls: type) -> bool:
    return cls.__module__.startswith("xgboost.")


def _train(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    estimators_part = _estimators_part.get()
    if estimators_part is not None:
        _estimators_part.set(None)  # one `train` for each `fit`
        return original(*args, **_watched(estimators_part, kwargs))
    with training("xgboost") as run:
        if run is None:
            return original(*args, **kwargs)
        part = Part.begin("xgboost", run, "xgboost", lambda: _said(args, kwargs))
        booster = original(*args, **_watched(part, kwargs))
        with guarded("xgboost"):
            scores.remember(part, booster, ())
            _log_booster(part, booster)
        return booster


def _cv(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training("xgboost") as run:
        if run is None:
            return original(*args, **kwargs)
        part = Part.begin("xgboost", run, "xgboost.cv", lambda: _said(args, kwargs))
        return original(*args, **_watched(part, kwargs))


def _fit(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training("xgboost") as run:
        if run is None:
            return original(*args, **kwargs)
        estimator = args[0]
        part = Part.begin("xgboost", run, type(estimator).__name__, lambda: _params(estimator))
        token = _estimators_part.set(part)
        try:
            result = original(*args, **kwargs)
        finally:
            _estimators_part.reset(token)
        with guarded("xgboost"):
            scores.remember(part, estimator, (*args[1:], *kwargs.values()))
            _log_booster(part, estimator.get_booster())
        return result


def _params(estimator: Any) -> dict[str, Any]:
    """Those that are set; None stands for XGBoost's own choice."""
    given = {key: value for key, value in estimator.get_params().items() if value is not None}
    return {"estimator_name": type(estimator).__name__, **plain_params(given)}


def _said(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    params = args[0] if args else kwargs.get("params")
    given = dict(zip(("num_boost_round",), args[2:], strict=False))
    given |= {name: kwargs[name] for name in SAID if kwargs.get(name) is not None}
    given |= {name: kwargs[name] for name in ("obj", "custom_metric", "feval") if callable(kwargs.get(name))}
    return plain_params({**dict(params or {}), **given})


def _watched(part: Part, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The same arguments with a callback of ours before the user's; XGBoost does not keep it."""
    with guarded("xgboost"):
        return {**kwargs, "callbacks": [_callback()(part), *(kwargs.get("callbacks") or ())]}
    return kwargs


@cache
def _callback() -> Callable[[Part], Any]:
    base = import_module("xgboost.callback").TrainingCallback

    class Iterations(base):  # type: ignore[misc, valid-type]
        """Logs what each iteration measured, in XGBoost's words: `train-rmse`."""

        def __init__(self, part: Part) -> None:
            super().__init__()
            self._part = part

        def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:  # noqa: ARG002
            with guarded("xgboost"):
                for data, metrics in evals_log.items():
                    for metric, values in metrics.items():
                        value = values[-1]
                        if isinstance(value, tuple):  # of cv: mean and standard deviation
                            self._part.log_metric(f"{data}-{metric}-mean", value[0], epoch)
                            self._part.log_metric(f"{data}-{metric}-std", value[1], epoch)
                        else:
                            self._part.log_metric(f"{data}-{metric}", value, epoch)
            return False

    return Iterations


def _log_booster(part: Part, booster: Any) -> None:
    rounds = booster.num_boosted_rounds()
    part.log_metric("stopped_iteration", rounds - 1)
    best = booster.attr("best_iteration")
    if best is not None:
        part.log_metrics({"best_iteration": int(best), "best_score": float(booster.attr("best_score"))})
    for kind in ("weight", "gain"):
        with guarded("xgboost"):
            found = booster.get_score(importance_type=kind)
            ranked = dict(sorted(found.items(), key=lambda item: _size(item[1]), reverse=True))
            part.log_dict(ranked, f"feature_importance_{kind}.json")


def _size(value: Any) -> float:
    """Of a feature's importance; a linear booster of several classes has one for each of them."""
    return float(max(map(abs, value))) if isinstance(value, list) else float(value)
