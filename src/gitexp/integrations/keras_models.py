"""Keras 3: what `fit` is given, what it logs after each epoch, and what `evaluate` finds; with any backend.

Watched is the list through which Keras calls its callbacks, so that none has to be added to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gitexp.integrations.patching import guarded, plain_params, training, wrap
from gitexp.integrations.steps import Steps

if TYPE_CHECKING:
    from gitexp.activerun import ActiveRun

SUPPORTED = ("3.0", "3.15.1")

_FRAMEWORK = "keras"

_DATA = ("self", "x", "y", "verbose", "callbacks", "validation_data", "sample_weight", "batch_size", "epochs")
"""Arguments of `fit` that are no params, or are recorded in a way of their own."""

_EARLY_STOPPING = ("monitor", "mode", "patience", "min_delta", "restore_best_weights")

_USUAL_BATCH = 32


@dataclass(slots=True, kw_only=True)
class _Stage:
    """A `fit` or `evaluate` that is under way.

    Attributes:
        lengths: how many values each history of Keras had after the last epoch.
    """

    run: ActiveRun
    steps: Steps
    is_fit: bool
    callbacks: Any = None
    lengths: dict[str, int] = field(default_factory=dict)


_stages: dict[int, _Stage] = {}
"""What is under way in this process, by the identity of the model."""


def install(keras: Any) -> None:
    wrap(keras.Model, "fit", _fit)
    wrap(keras.Model, "evaluate", _evaluate)
    callbacks = keras.callbacks.CallbackList
    wrap(callbacks, "on_train_begin", _on_train_begin)
    wrap(callbacks, "on_epoch_end", _on_epoch_end)
    wrap(callbacks, "on_test_end", _on_test_end)


def _fit(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    model = args[0]
    with training(_FRAMEWORK) as run:
        if run is None:
            return original(*args, **kwargs)
        stage = None
        with guarded(_FRAMEWORK):
            stage = _stages[id(model)] = _Stage(run=run, steps=Steps(run), is_fit=True)
            given = inspect.signature(original).bind(*args, **kwargs)
            run.log_params(plain_params({**_fit_params(given), **_model_params(model)}))
        try:
            return original(*args, **kwargs)
        finally:
            _stages.pop(id(model), None)
            with guarded(_FRAMEWORK):
                if stage is not None:
                    _log_early_stopping(stage)


def _evaluate(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    model = args[0]
    with training(_FRAMEWORK) as run:
        if run is None:
            return original(*args, **kwargs)
        _stages[id(model)] = _Stage(run=run, steps=Steps(run), is_fit=False)
        try:
            return original(*args, **kwargs)
        finally:
            _stages.pop(id(model), None)


def _on_train_begin(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = original(*args, **kwargs)
    callbacks = args[0]
    stage = _stage_of(callbacks)
    if stage is not None and stage.is_fit:
        with guarded(_FRAMEWORK):
            stage.callbacks = callbacks
            params = _optimizer_params(callbacks.model.optimizer)
            for callback in _early_stopping(callbacks)[:1]:
                rule = {name: getattr(callback, name, None) for name in _EARLY_STOPPING}
                rule["min_delta"] = abs(rule["min_delta"] or 0)  # it has the sign of its mode
                params["early_stopping"] = {name: value for name, value in rule.items() if value is not None}
            stage.run.log_params(plain_params(params))
            lines: list[str] = []
            callbacks.model.summary(print_fn=lambda text, **_style: lines.append(text))
            stage.run.log_text("\n".join(lines) + "\n", "model_summary.txt")
    return result


def _on_epoch_end(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = original(*args, **kwargs)
    stage = _stage_of(args[0])
    if stage is not None and stage.is_fit:
        with guarded(_FRAMEWORK):
            _log_epoch(stage, *args, **kwargs)
    return result


def _log_epoch(stage: _Stage, callbacks: Any, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
    values = dict(logs or {})
    history = getattr(callbacks, "_history", None)  # also what callbacks add, like the learning rate
    for key, recorded in getattr(history, "history", {}).items():
        if len(recorded) > stage.lengths.get(key, 0):
            values.setdefault(key, recorded[-1])
        stage.lengths[key] = len(recorded)
    stage.run.log_metrics(
        {key: value for key, value in values.items() if _is_number(value)}, step=stage.steps.of(epoch)
    )


def _on_test_end(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = original(*args, **kwargs)
    stage = _stage_of(args[0])
    if stage is not None and not stage.is_fit:
        with guarded(_FRAMEWORK):
            logs = args[1] if len(args) > 1 else kwargs.get("logs")
            for key, value in (logs or {}).items():
                if _is_number(value):
                    stage.run.log_metric(f"test_{key}", value)
    return result


def _stage_of(callbacks: Any) -> _Stage | None:
    return _stages.get(id(getattr(callbacks, "model", None)))


def _fit_params(given: inspect.BoundArguments) -> dict[str, Any]:
    """What `fit` was given that differs from its defaults, its epochs and its batch size."""
    arguments = given.arguments
    defaults = given.signature.parameters
    params = {
        name: value
        for name, value in arguments.items()
        if name not in _DATA and name in defaults and not _same(value, defaults[name].default)
    }
    params["epochs"] = arguments.get("epochs", 1)
    data = arguments.get("x")
    size = arguments.get("batch_size")
    for name in ("batch_size", "_batch_size"):  # a PyDataset, a DataLoader; a dataset of TensorFlow
        if size is None:
            size = getattr(data, name, None)
    if size is None and hasattr(data, "shape"):
        size = _USUAL_BATCH
    if size is not None and _is_number(size):
        params["batch_size"] = int(size)
    return params


def _model_params(model: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"model_class": type(model).__name__}
    loss = getattr(model, "loss", None)
    if loss is not None:
        params["loss"] = _name_of(loss)
    return params


def _name_of(loss: Any) -> Any:
    if isinstance(loss, (list, tuple)):
        return [_name_of(item) for item in loss]
    if isinstance(loss, Mapping):
        return {key: _name_of(item) for key, item in loss.items()}
    return getattr(loss, "name", loss)


def _optimizer_params(optimizer: Any) -> dict[str, Any]:
    """An optimizer's name and learning rate, and what differs from the defaults of its class, as `optimizer_<name>`."""
    if not hasattr(optimizer, "get_config"):
        return {}
    usual = inspect.signature(type(optimizer).__init__).parameters
    params: dict[str, Any] = {"optimizer_name": type(optimizer).__name__}
    for name, value in optimizer.get_config().items():
        if name == "learning_rate":
            params["optimizer_learning_rate"] = _schedule(value)
        elif name != "name" and value is not None and not (name in usual and _same(value, usual[name].default)):
            params[f"optimizer_{name}"] = value
    return params


def _schedule(rate: Any) -> Any:
    """A learning rate: a number, or the class and settings of a schedule."""
    if isinstance(rate, Mapping) and "class_name" in rate:
        settings = {key: value for key, value in rate.get("config", {}).items() if key != "name" and value is not None}
        return {"name": rate["class_name"], **settings}
    return float(f"{rate:.7g}") if isinstance(rate, float) else rate  # Keras keeps 0.05 in single precision


def _early_stopping(callbacks: Any) -> list[Any]:
    return [item for item in callbacks.callbacks if hasattr(item, "stopped_epoch") and hasattr(item, "patience")]


def _log_early_stopping(stage: _Stage) -> None:
    if stage.callbacks is None:
        return
    for callback in _early_stopping(stage.callbacks)[:1]:
        metrics = {"best_epoch": getattr(callback, "best_epoch", None), "best_score": callback.best}
        if callback.stopped_epoch:
            metrics["stopped_epoch"] = callback.stopped_epoch
        stage.run.log_metrics({key: value for key, value in metrics.items() if value is not None})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or getattr(value, "ndim", None) == 0


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays
        return False
