"""PyTorch Lightning: what a `Trainer` is given, and what it logs where its own loggers would get it.

Watched is the place through which all metrics go to the loggers: so keys, steps and how often are those of Lightning,
and nothing is added to the trainer, neither a logger (which would change where checkpoints go) nor a callback.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from gitexp.integrations.patching import guarded, plain_params, training, wrap
from gitexp.integrations.steps import Steps
from gitexp.integrations.torch_models import optimizer_params, summarize

if TYPE_CHECKING:
    from gitexp.activerun import ActiveRun

SUPPORTED = ("2.0", "2.6.6")

_FRAMEWORK = "lightning"

_EARLY_STOPPING = ("monitor", "mode", "patience", "min_delta")


@dataclass(slots=True, kw_only=True)
class _Stage:
    """A `fit`, `validate` or `test` that is under way.

    Attributes:
        callbacks: how many the trainer had when it began.
        has_started: whether what is known only after the first batches has been recorded.
        keys: of the metrics so far.
        noted: the last step that has its epoch and learning rates.
    """

    run: ActiveRun
    steps: Steps
    is_fit: bool
    callbacks: int
    has_started: bool = False
    keys: set[str] = field(default_factory=set)
    noted: int | None = None


_stages: dict[int, _Stage] = {}
"""What is under way in this process, by the identity of the trainer."""

_steps_of: WeakKeyDictionary[Any, tuple[ActiveRun, Steps]] = WeakKeyDictionary()
"""How the steps of each trainer count in its run."""


def install(lightning: Any) -> None:
    trainer = lightning.Trainer
    wrap(trainer, "fit", _fit)
    for name in ("validate", "test"):
        wrap(trainer, name, _evaluate)
    path = f"{lightning.__name__}.trainer.connectors.logger_connector.logger_connector"
    wrap(sys.modules[path]._LoggerConnector, "log_metrics", _log_metrics)


def _fit(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    trainer = args[0]
    if not _is_first(trainer) or _is_tuned(trainer):
        return original(*args, **kwargs)
    with training(_FRAMEWORK) as run:
        if run is None:
            return original(*args, **kwargs)
        stage = None
        with guarded(_FRAMEWORK):
            stage = _begin(trainer, run, is_fit=True)
            model = args[1] if len(args) > 1 else kwargs["model"]
            data = kwargs.get("datamodule") or (args[2] if len(args) > 2 else kwargs.get("train_dataloaders"))
            run.log_params(_params(trainer, model, data))
            run.log_text(summarize(model), "model_summary.txt")
        try:
            return original(*args, **kwargs)
        finally:
            _stages.pop(id(trainer), None)
            with guarded(_FRAMEWORK):
                if stage is not None:
                    _finish_fit(trainer, stage)


def _evaluate(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    trainer = args[0]
    if not _is_first(trainer):
        return original(*args, **kwargs)
    with training(_FRAMEWORK) as run:
        if run is None:
            return original(*args, **kwargs)
        stage = None
        with guarded(_FRAMEWORK):
            stage = _begin(trainer, run, is_fit=False)
        try:
            result = original(*args, **kwargs)
        finally:
            _stages.pop(id(trainer), None)
        with guarded(_FRAMEWORK):
            if stage is not None:
                _log_rest(trainer, stage)
        return result


def _log_metrics(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = original(*args, **kwargs)
    trainer = args[0].trainer
    stage = _stages.get(id(trainer))
    if stage is not None:
        with guarded(_FRAMEWORK):
            _log(trainer, stage, *args[1:], **kwargs)
    return result


def _log(trainer: Any, stage: _Stage, metrics: Mapping[str, Any], step: int | None = None) -> None:
    if not metrics or trainer.sanity_checking or _is_searching(trainer, stage):
        return
    run = stage.run
    if stage.is_fit and not stage.has_started:
        _start(trainer, stage)
    values = dict(metrics)
    if step is None:
        given = values.pop("step", None)
        count = stage.steps.of if stage.is_fit else stage.steps.seen
        step = count(_global_step(trainer) if given is None else int(given))
        if stage.is_fit and step != stage.noted:
            stage.noted = step
            values = {"epoch": trainer.current_epoch, **_learning_rates(trainer), **values}
    stage.keys.update(values)
    run.log_metrics(values, step=step)


def _begin(trainer: Any, run: ActiveRun, *, is_fit: bool) -> _Stage:
    known = _steps_of.get(trainer)
    if is_fit or known is None or known[0] is not run:
        known = _steps_of[trainer] = run, Steps(run)
    stage = _Stage(run=run, steps=known[1], is_fit=is_fit, callbacks=len(trainer.callbacks))
    _stages[id(trainer)] = stage
    return stage


def _start(trainer: Any, stage: _Stage) -> None:
    """What is known only once the training has begun."""
    stage.has_started = True
    params = optimizer_params(trainer.optimizers)
    hyperparameters = _hyperparameters(trainer.lightning_module, getattr(trainer, "datamodule", None))
    size = getattr(trainer.train_dataloader, "batch_size", None)
    if isinstance(size, int):
        params["batch_size"] = size
    stage.run.log_params({key: value for key, value in params.items() if key not in hyperparameters})


def _finish_fit(trainer: Any, stage: _Stage) -> None:
    _log_rest(trainer, stage)
    metrics: dict[str, Any] = {}
    for callback in _early_stopping(trainer):
        if callback.stopped_epoch:
            metrics.setdefault("stopped_epoch", callback.stopped_epoch)
        metrics.setdefault("best_score", callback.best_score)
    for callback in trainer.checkpoint_callbacks:
        score, path = getattr(callback, "best_model_score", None), getattr(callback, "best_model_path", "")
        if score is not None:
            metrics.setdefault("best_model_score", score)
        if path:
            stage.run.set_tag("best_model_path", os.path.relpath(path) if os.path.isabs(path) else path)
            break
    stage.run.log_metrics({key: value for key, value in metrics.items() if _is_finite(value)})


def _log_rest(trainer: Any, stage: _Stage) -> None:
    """What came by no other way: the results of workers that were started for the training."""
    if stage.keys or _is_searching(trainer, stage):
        return
    count = stage.steps.of if stage.is_fit else stage.steps.seen
    stage.run.log_metrics(dict(trainer.callback_metrics), step=count(_global_step(trainer)))


def _params(trainer: Any, model: Any, data: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"model_class": type(model).__name__}
    epochs = trainer.max_epochs
    if epochs is not None and epochs >= 0:
        params["epochs"] = epochs
    params |= _trainer_params(trainer)
    for callback in _early_stopping(trainer)[:1]:
        rule = {name: getattr(callback, name, None) for name in _EARLY_STOPPING}
        params["early_stopping"] = {**rule, "min_delta": abs(callback.min_delta)}  # it has the sign of its mode
    return plain_params({**params, **_hyperparameters(model, data)})


def _trainer_params(trainer: Any) -> dict[str, Any]:
    """The arguments of the trainer that it keeps and that differ from their defaults, as `trainer.<argument>`."""
    params: dict[str, Any] = {}
    for name, argument in inspect.signature(type(trainer).__init__).parameters.items():
        value = getattr(trainer, name, None)
        if name in ("self", "logger", "callbacks", "default_root_dir", "plugins", "profiler", "max_epochs"):
            continue
        if not isinstance(value, (bool, int, float, str)) or value == argument.default:
            continue
        if (name, value) in _RESOLVED:
            continue
        params[f"trainer.{name}"] = value
    params["trainer.accelerator"] = type(trainer.accelerator).__name__.removesuffix("Accelerator").lower()
    if trainer.world_size > 1:
        params["trainer.strategy"] = type(trainer.strategy).__name__
        params["trainer.devices"] = trainer.num_devices
    return params


_RESOLVED = {
    ("max_steps", -1),
    ("min_epochs", 0),
    ("limit_train_batches", 1.0),
    ("limit_val_batches", 1.0),
    ("limit_test_batches", 1.0),
    ("limit_predict_batches", 1.0),
    ("val_check_interval", 1.0),
    ("log_every_n_steps", 50),
    ("num_sanity_val_steps", 2),
    ("precision", "32-true"),
}
"""What a trainer makes of arguments that nobody gave it."""


def _hyperparameters(model: Any, data: Any) -> dict[str, Any]:
    """What `save_hyperparameters` kept of the model and the data module, unless it was told not to log them.

    LightningCLI adds names of its own, which begin with `_`.
    """
    found: dict[str, Any] = {}
    for owner in (data, model):
        if getattr(owner, "_log_hyperparams", False):
            found |= {name: value for name, value in owner.hparams_initial.items() if not name.startswith("_")}
    return found


def _learning_rates(trainer: Any) -> dict[str, float]:
    """The rates that a scheduler changes, named as Lightning's `LearningRateMonitor` names them."""
    rates: dict[str, float] = {}
    for config in trainer.lr_scheduler_configs:
        optimizer = config.scheduler.optimizer
        base = config.name or f"lr-{type(optimizer).__name__}"
        name = base
        while name in rates:  # a second optimizer of the same class
            name = f"{base}-{len(rates)}"
        groups = optimizer.param_groups
        for index, group in enumerate(groups):
            rates[name if len(groups) == 1 else f"{name}/pg{index + 1}"] = group["lr"]
    return rates


def _early_stopping(trainer: Any) -> list[Any]:
    return list(trainer.early_stopping_callbacks)


def _global_step(trainer: Any) -> int:
    """The step that Lightning's loggers get: of several optimizers it counts one."""
    loop = trainer.fit_loop.epoch_loop
    return int(getattr(loop, "_batches_that_stepped", trainer.global_step))


def _is_first(trainer: Any) -> bool:
    """Whether this process is the one of several that logs."""
    with guarded(_FRAMEWORK):
        return bool(trainer.is_global_zero)
    return False


def _is_tuned(trainer: Any) -> bool:
    """Whether `Tuner` looks for a learning rate or batch size, which is no training of its own."""
    with guarded(_FRAMEWORK):
        return any(getattr(callback, "_early_exit", False) is True for callback in trainer.callbacks)
    return False


def _is_searching(trainer: Any, stage: _Stage) -> bool:
    """Whether a finder among the callbacks tries something out: it takes away all callbacks, or puts in its own."""
    callbacks = trainer.callbacks
    return (stage.callbacks > 0 and not callbacks) or any(type(item).__name__ == "_LRCallback" for item in callbacks)


def _is_finite(value: Any) -> bool:
    return value is not None and abs(float(value)) != float("inf")
