"""LightGBM: `train`, `cv` and the estimators, with what each iteration measured."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from gitexp.integrations import scikit_learn_scores as scores
from gitexp.integrations.parts import Part
from gitexp.integrations.patching import guarded, plain_params, training, wrap, wrap_subclasses

SUPPORTED = ("4.0", "4.7")

SAID = ("num_boost_round", "nfold", "stratified", "shuffle", "folds", "seed")
"""Arguments of `train` and `cv` that are recorded as params, where they are given."""

_estimators_part: contextvars.ContextVar[Part | None] = contextvars.ContextVar("gitexp_lightgbm", default=None)
"""The part of the estimator whose `fit` is under way, for the `train` that it calls."""


def install(module: ModuleType) -> None:
    wrap(module, "train", _train)
    wrap(module, "cv", _cv)
    estimators: Any = getattr(module, "sklearn", None)
    if hasattr(estimators, "LGBMModel"):
        wrap(estimators, "train", _train)
        wrap_subclasses(estimators.LGBMModel, ("fit",), _fit, of=_is_lightgbms)


def _is_lightgbms(cls: type) -> bool:
    return cls.__module__.startswith("lightgbm.")


def _train(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    estimators_part = _estimators_part.get()
    if estimators_part is not None:
        _estimators_part.set(None)  # one `train` for each `fit`
        return original(*args, **_watched(estimators_part, kwargs))
    with training("lightgbm") as run:
        if run is None:
            return original(*args, **kwargs)
        part = Part.begin("lightgbm", run, "lightgbm", lambda: _said(args, kwargs))
        booster = original(*args, **_watched(part, kwargs))
        with guarded("lightgbm"):
            scores.remember(part, booster, ())
            _log_booster(part, booster)
        return booster


def _cv(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training("lightgbm") as run:
        if run is None:
            return original(*args, **kwargs)
        part = Part.begin("lightgbm", run, "lightgbm.cv", lambda: _said(args, kwargs))
        return original(*args, **_watched(part, kwargs))


def _fit(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training("lightgbm") as run:
        if run is None:
            return original(*args, **kwargs)
        estimator = args[0]
        name = type(estimator).__name__
        part = Part.begin(
            "lightgbm", run, name, lambda: {"estimator_name": name, **plain_params(estimator.get_params())}
        )
        token = _estimators_part.set(part)
        try:
            result = original(*args, **kwargs)
        finally:
            _estimators_part.reset(token)
        with guarded("lightgbm"):
            scores.remember(part, estimator, (*args[1:], *kwargs.values()))
            _log_booster(part, estimator.booster_)
        return result


def _said(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    params = args[0] if args else kwargs.get("params")
    given = dict(zip(("num_boost_round",), args[2:], strict=False))
    given |= {name: kwargs[name] for name in SAID if kwargs.get(name) is not None}
    given |= {"feval": kwargs["feval"]} if callable(kwargs.get("feval")) else {}
    return plain_params({**dict(params or {}), **given})


def _watched(part: Part, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The same arguments with a callback of ours; LightGBM does not keep it."""
    with guarded("lightgbm"):
        return {**kwargs, "callbacks": [_Iterations(part), *(kwargs.get("callbacks") or ())]}
    return kwargs


class _Iterations:
    """Logs what each iteration measured, as `valid_0-l2`; as a callback is, with an order before early stopping's."""

    before_iteration = False

    def __init__(self, part: Part) -> None:
        self._part = part
        self.order = 5

    def __call__(self, env: Any) -> None:
        with guarded("lightgbm"):
            for item in env.evaluation_result_list or ():
                data, metric, value = item[:3]
                if data == "cv_agg":  # 4.0 to 4.5: the data stands in the metric's name, as "valid l2"
                    data, _, metric = metric.rpartition(" ")
                spread = item[4] if len(item) > 4 else None
                key = f"{data}-{metric}" if data else metric
                if spread is None:
                    self._part.log_metric(key, value, env.iteration)
                else:
                    self._part.log_metrics({f"{key}-mean": value, f"{key}-stdv": spread}, env.iteration)


def _log_booster(part: Part, booster: Any) -> None:
    part.log_metric("stopped_iteration", booster.current_iteration())
    if booster.best_iteration > 0:
        part.log_metric("best_iteration", booster.best_iteration)
        best: Mapping[str, Mapping[str, float]] = booster.best_score
        part.log_metrics(
            {f"best_{data}-{metric}": value for data, metrics in best.items() for metric, value in metrics.items()}
        )
    names = booster.feature_name()
    for kind in ("split", "gain"):
        found = zip(names, booster.feature_importance(kind).tolist(), strict=True)
        ranked = dict(sorted(found, key=lambda item: item[1], reverse=True))
        part.log_dict(ranked, f"feature_importance_{kind}.json")
