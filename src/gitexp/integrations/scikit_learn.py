"""scikit-learn: estimators, cross-validation and searches; what the user computes of them is in `scikit_learn_scores`.

Only the outermost call is recorded: a pipeline, not its steps; a search, not its fits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from gitexp.integrations import scikit_learn_scores as scores
from gitexp.integrations.parts import Part
from gitexp.integrations.patching import child, guarded, plain_params, training, wrap, wrap_subclasses

SUPPORTED = ("1.3", "1.9")

CANDIDATES = 10
"""How many of a search's candidates become nested runs: the best."""

PREPARATIONS = (
    "sklearn.preprocessing",
    "sklearn.impute",
    "sklearn.feature_extraction",
    "sklearn.feature_selection",
    "sklearn.compose._column_transformer",
)
"""What prepares data is no training of its own, only as a part of one."""

NUMBERS = (
    "oob_score_",
    "inertia_",
    "n_iter_",
    "loss_",
    "best_loss_",
    "best_validation_score_",
    "lower_bound_",
    "log_marginal_likelihood_value_",
    "alpha_",
    "l1_ratio_",
    "dual_gap_",
)
CURVES = ("loss_curve_", "validation_scores_", "train_score_", "validation_score_", "oob_scores_")
"""What fitted estimators know of their training without being asked to compute anything."""

LONGEST_CURVE = 100_000


def install(module: ModuleType) -> None:
    if module.__name__ == "sklearn.base":
        wrap_subclasses(module.BaseEstimator, ("fit", "fit_transform", "fit_predict"), _fit, of=_is_trained)
        wrap_subclasses(module.BaseEstimator, ("score",), scores.score, of=_is_sklearns)
        for mixin in (module.ClassifierMixin, module.RegressorMixin):
            wrap(mixin, "score", scores.score)
    elif module.__name__ == "sklearn.model_selection":
        wrap(module, "cross_validate", _cross_validate)
        wrap(module, "cross_val_score", _cross_validate)
    else:
        scores.install(module)


def _is_sklearns(cls: type) -> bool:
    return cls.__module__.startswith("sklearn.")


def _is_trained(cls: type) -> bool:
    return _is_sklearns(cls) and not cls.__module__.startswith(PREPARATIONS)


def _fit(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training("sklearn") as run:
        if run is None:
            return original(*args, **kwargs)
        estimator = args[0]
        part = Part.begin("sklearn", run, type(estimator).__name__, lambda: _params(estimator))
        result = original(*args, **kwargs)
        with guarded("sklearn"):
            _log_kind(part, estimator)
            scores.remember(part, estimator, (*args[1:], *kwargs.values()))
            _log_fitted(part, estimator)
        with guarded("sklearn"):
            scores.log_training(part, estimator, args[1:], kwargs)
        with guarded("sklearn"):
            if "cv_results_" in vars(estimator):
                _log_search(part, estimator)
        return result


def _cross_validate(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training("sklearn") as run:
        if run is None:
            return original(*args, **kwargs)
        estimator = args[0] if args else kwargs.get("estimator")
        part = Part.begin("sklearn", run, type(estimator).__name__, lambda: _params(estimator))
        result = original(*args, **kwargs)
        with guarded("sklearn"):
            _log_kind(part, estimator)
            if kwargs.get("cv") is not None:
                part.log_params({"cv": _readable(kwargs["cv"])})
            folds = result if isinstance(result, Mapping) else {"test_score": result}
            for name, values in folds.items():
                if name.startswith(("test_", "train_")):
                    key = f"cv_{name.removeprefix('test_')}"
                    for step, value in enumerate(values):
                        part.log_metric(key, float(value), step)
                    part.log_metrics({f"{key}_mean": values.mean(), f"{key}_std": values.std()})
        return result


def _params(estimator: Any) -> dict[str, Any]:
    """The params as scikit-learn calls them, those of estimators within an estimator included."""
    deep = estimator.get_params(deep=True)
    return {"estimator_name": type(estimator).__name__, **{key: _readable(value) for key, value in deep.items()}}


def _log_kind(part: Part, estimator: Any) -> None:
    kind = type(estimator)
    part.set_tags({"estimator_name": kind.__name__, "estimator_class": f"{kind.__module__}.{kind.__qualname__}"})


def _readable(value: Any) -> Any:
    if hasattr(value, "get_n_splits"):
        return _splitter(value)
    frozen = getattr(value, "dist", None)  # scipy's distributions, in the space of a random search
    if frozen is not None and hasattr(value, "kwds"):
        words = [*map(str, value.args), *(f"{name}={word}" for name, word in value.kwds.items())]
        return f"{frozen.name}({', '.join(words)})"
    if isinstance(value, Mapping):
        return {str(key): _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in value]
    if hasattr(value, "shape") and getattr(value, "size", 0) > 100:
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return plain_params({"": value})[""]


def _splitter(value: Any) -> str:
    """A cross-validation's text, like "KFold(n_splits=5, ...)"."""
    text = repr(value)
    return type(value).__name__ if " at 0x" in text or len(text) > 200 else text


def _log_fitted(part: Part, estimator: Any) -> None:
    facts = vars(scores.last_step(estimator))
    numpy = sys.modules["numpy"]
    for name in NUMBERS:
        value = facts.get(name)
        if isinstance(value, (int, float, numpy.number)) and not isinstance(value, bool):
            part.log_metric(name.strip("_"), value)
    for name in CURVES:
        values = facts.get(name)
        if isinstance(values, (list, numpy.ndarray)) and 0 < len(values) <= LONGEST_CURVE:
            for step, value in enumerate(values):
                part.log_metric(name.strip("_"), float(value), step)


def _log_search(part: Part, search: Any) -> None:
    results = search.cv_results_
    with suppress(AttributeError):  # where several scores were asked for and none to choose by
        part.log_params({f"best_{key}": _readable(value) for key, value in search.best_params_.items()})
        part.log_metric("best_cv_score", search.best_score_)
    columns = {name: [_readable(value) for value in values.tolist()] for name, values in _columns(results)}
    part.log_table(columns, "cv_results.csv")
    ranks = next((results[name] for name in sorted(results) if name.startswith("rank_test_")), None)
    order = range(len(results["params"])) if ranks is None else ranks.argsort(kind="stable")
    if part.run is None:
        return
    for place in list(order)[:CANDIDATES]:
        params = {key: _readable(value) for key, value in results["params"][place].items()}
        with child(part.run, params=params) as candidate:
            for name, values in _columns(results):
                if name.startswith(("mean_", "std_", "rank_")) and values[place] == values[place]:
                    candidate.log_metric(name, values[place])


def _columns(results: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, values) for name, values in results.items() if name != "params")
