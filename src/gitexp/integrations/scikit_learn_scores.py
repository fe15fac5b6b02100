"""Scores: those that the user computes with scikit-learn's metrics and `score`, and cheap ones of each training."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from gitexp.integrations.parts import Part
from gitexp.integrations.patching import guarded, is_inside, is_open, name_in, outermost, user_frame, wrap

SUFFIXES = ("_score", "_error", "_loss", "_deviance", "_coef", "_index")

ROWS = 1000
"""Training scores are computed on at most so many rows, evenly spaced: what a prediction costs then is bounded."""

QUICK = (
    "sklearn.linear_model.",
    "sklearn.tree.",
    "sklearn.ensemble.",
    "sklearn.naive_bayes",
    "sklearn.discriminant_analysis",
    "sklearn.neural_network.",
    "sklearn.dummy",
    "sklearn.pipeline",
    "sklearn.preprocessing.",
    "sklearn.impute.",
    "sklearn.compose.",
    "sklearn.feature_selection.",
    "sklearn.decomposition.",
)
"""Where everything an estimator is made of comes from, if its prediction of `ROWS` rows costs milliseconds."""

MOST_TREES = 300


SHARES = {
    "training": ("train", "training", "trn", "tr"),
    "val": ("val", "valid", "validation", "va", "v", "dev"),
    "test": ("test", "tst", "te", "true", "target", "targets", "label", "labels"),
}
"""How people call the shares of their data, after `X_` and `y_`."""


class _Trained:
    """What was trained last: where its scores go, and by which data they are those of the training."""

    part = Part(None)
    data: Sequence[Callable[[], Any]] = ()


_last = _Trained()

_parts: dict[int, tuple[Callable[[], Any], Part]] = {}
"""By the id of each model that was trained and still is, itself and where its scores go; models may be unhashable."""


def install(metrics: ModuleType) -> None:
    for name in metrics.__all__:
        if name.endswith(SUFFIXES) and not isinstance(getattr(metrics, name), type):
            wrap(metrics, name, _measure)


def remember(part: Part, model: Any, data: Sequence[Any]) -> None:
    """Scores from now on are those of this model, trained with this data; models of any framework."""
    _last.part = part
    _last.data = [_reference(value) for value in data if hasattr(value, "__len__")]
    number = id(model)
    _parts[number] = (weakref.ref(model, lambda _: _parts.pop(number, None)), part)


def score(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`estimator.score(X, y)`"""
    if is_inside():
        return original(*args, **kwargs)
    with outermost("sklearn"):
        result = original(*args, **kwargs)
    with guarded("sklearn"):
        its, part = _parts.get(id(args[0]), (None, Part(None)))
        if its is not None and its() is args[0]:
            _log(result, "score", args[1] if len(args) > 1 else kwargs.get("X"), part)
    return result


def _measure(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`accuracy_score(y_true, y_pred)` and its kin."""
    result = original(*args, **kwargs)
    with guarded("sklearn"):
        if not is_inside():
            truth = args[0] if args else next(iter(kwargs.values()), None)
            _log(result, original.__name__, truth, _last.part)
    return result


def _log(result: Any, function: str, data: Any, part: Part) -> None:
    frame = user_frame()
    if frame is None or not isinstance(result, (float, int, sys.modules["numpy"].number)) or not is_open(part.run):
        return
    share = "training" if any(other() is data for other in _last.data) else _share(name_in(frame, data))
    with outermost("sklearn") as is_ours:
        if is_ours:
            part.log_metric(f"{share}_{function}", float(result))


def _share(name: str) -> str:
    """Which share of the data a variable holds: "training" for `X_train`, "test" where it does not say."""
    rest = name.lstrip("_xXyY").strip("_") if name[:1] in "xXyY" else name
    for share, names in SHARES.items():
        if rest.lower() in names:
            return share
    return name.removeprefix("X_").removeprefix("y_") if len(rest) > 2 else "test"


def _reference(value: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(value)
    except TypeError:  # a list
        return lambda: None


def last_step(estimator: Any) -> Any:
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if isinstance(steps, list) and steps else estimator


def log_training(part: Part, estimator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Scores on the training data, if they cost nothing to speak of and no code of the user runs for them."""
    features = args[0] if args else kwargs.get("X")
    target = args[1] if len(args) > 1 else kwargs.get("y")
    kind = getattr(last_step(estimator), "_estimator_type", None) or _kind(estimator)
    if features is None or target is None or kind not in ("classifier", "regressor") or not _is_quick(estimator):
        return
    numpy = sys.modules["numpy"]
    truth = numpy.asarray(target)
    count = len(truth)
    if truth.ndim != 1 or not count:
        return
    if count > ROWS:
        chosen = numpy.linspace(0, count - 1, ROWS).astype(int)
        features = sys.modules["sklearn.utils"]._safe_indexing(features, chosen)
        truth = truth[chosen]
    measure = _classified if kind == "classifier" else _regressed
    for name, value in measure(numpy, estimator, features, truth).items():
        part.log_metric(f"training_{name}", float(value))
    if count > ROWS:
        part.set_tags({"training_rows": f"{ROWS} of {count}"})


def _kind(estimator: Any) -> str | None:
    """What scikit-learn 1.6 and later say in an estimator's tags."""
    try:
        return str(sys.modules["sklearn.utils"].get_tags(estimator).estimator_type)
    except AttributeError:
        return None


def _is_quick(estimator: Any) -> bool:
    parts = [estimator, *(value for value in estimator.get_params(deep=True).values() if hasattr(value, "get_params"))]
    for part in parts:
        if isinstance(part, type) or not f"{type(part).__module__}.".startswith(QUICK):
            return False
        own = part.get_params(deep=False)
        if own.get("verbose") or any(callable(value) and not isinstance(value, type) for value in own.values()):
            return False
        if len(getattr(part, "estimators_", ())) > MOST_TREES or hasattr(part, "cv_results_"):
            return False
    return hasattr(estimator, "predict")


def _regressed(numpy: Any, estimator: Any, features: Any, truth: Any) -> dict[str, Any]:
    errors = truth - numpy.asarray(estimator.predict(features)).reshape(truth.shape)
    squared = float(numpy.mean(errors**2))
    spread = float(numpy.mean((truth - truth.mean()) ** 2))
    r2 = {"r2_score": 1 - squared / spread, "score": 1 - squared / spread} if spread else {}
    return {
        "mean_squared_error": squared,
        "root_mean_squared_error": squared**0.5,
        "mean_absolute_error": numpy.mean(numpy.abs(errors)),
        **r2,
    }


def _classified(numpy: Any, estimator: Any, features: Any, truth: Any) -> dict[str, Any]:
    """Precision, recall and F1 are averages of the classes', weighted by how often each is the true one."""
    classes = estimator.classes_
    place = {label: index for index, label in enumerate(classes.tolist())}
    true = numpy.array([place[label] for label in truth.tolist()])
    if hasattr(estimator, "predict_proba"):
        chances = estimator.predict_proba(features)
        said = chances.argmax(axis=1)
    else:
        chances = None
        said = numpy.array([place[label] for label in estimator.predict(features).tolist()])
    support = numpy.bincount(true, minlength=len(classes))
    claimed = numpy.bincount(said, minlength=len(classes))
    hits = numpy.bincount(true[true == said], minlength=len(classes))
    precision = hits / numpy.maximum(claimed, 1)
    recall = hits / numpy.maximum(support, 1)
    f1 = 2 * hits / numpy.maximum(claimed + support, 1)
    accuracy = hits.sum() / len(true)
    measured = {
        "score": accuracy,
        "accuracy_score": accuracy,
        **{
            name: (value * support).sum() / len(true)
            for name, value in (("precision_score", precision), ("recall_score", recall), ("f1_score", f1))
        },
    }
    if chances is not None:
        given = chances[numpy.arange(len(true)), true]
        smallest = numpy.finfo(chances.dtype).eps
        measured["log_loss"] = -numpy.log(numpy.clip(given, smallest, 1)).mean()
        if len(classes) == 2 and support.all():
            measured["roc_auc"] = _roc_auc(numpy, chances[:, 1], true)
    return measured


def _roc_auc(numpy: Any, scores: Any, true: Any) -> float:
    """The chance that a positive one is ranked above a negative one, ties counting half (Mann-Whitney)."""
    values, place, count = numpy.unique(scores, return_inverse=True, return_counts=True)
    del values
    ranks = numpy.cumsum(count) - (count - 1) / 2
    positive = int(true.sum())
    ranked = ranks[place][true == 1].sum()
    return float((ranked - positive * (positive + 1) / 2) / (positive * (len(true) - positive)))
