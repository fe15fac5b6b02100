"""transformers: what its `Trainer` is given and everything it logs, by the global step.

Watched is the handler through which a trainer calls its callbacks, so none is added to it, and what `report_to` names
works as ever.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from gitexp.integrations.patching import guarded, plain_params, training, wrap
from gitexp.integrations.steps import Steps
from gitexp.integrations.torch_models import summarize

if TYPE_CHECKING:
    from gitexp.activerun import ActiveRun

SUPPORTED = ("4.46", "5.23.0")

_FRAMEWORK = "transformers"

_ALWAYS = (
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_ratio",
    "warmup_steps",
    "optim",
    "weight_decay",
    "max_grad_norm",
    "seed",
)
"""Arguments that are recorded whatever they are, but for zeros and None; besides the epochs or steps."""

_NEVER = frozenset(
    "accelerator_config bf16_full_eval data_seed debug deepspeed disable_tqdm do_eval do_predict do_train"
    " fp16_full_eval fsdp_config full_determinism greater_is_better half_precision_backend ignore_data_skip label_names"
    " local_rank log_level log_level_replica log_on_each_node logging_dir logging_first_step logging_nan_inf_filter"
    " logging_steps logging_strategy no_cuda num_train_epochs max_steps output_dir overwrite_output_dir"
    " parallelism_config per_gpu_eval_batch_size per_gpu_train_batch_size prediction_loss_only project"
    " remove_unused_columns report_to resume_from_checkpoint run_name skip_memory_metrics use_cpu".split()
)
_NEVER_BEGINS = (
    "dataloader_",
    "ddp_",
    "eval_",
    "hub_",
    "include_",
    "push_to_hub",
    "restore_",
    "save_",
    "trackio_",
    "_",
)
"""Arguments about where it runs, what it prints, keeps or uploads: none of it changes what is learned."""

_NOT_OF_MODEL = frozenset(
    "architectures auto_map dtype id2label label2id model_type task_specific_params tokenizer_class"
    " torch_dtype transformers_version use_cache".split()
)

MOST_OF_MODEL = 50
"""So many settings of a model's configuration at most."""

_runs: dict[int, ActiveRun] = {}
"""The runs of what is under way in this process, by the identity of the trainer's callback handler."""

_steps_of: WeakKeyDictionary[Any, tuple[ActiveRun, Steps]] = WeakKeyDictionary()
"""How the steps of each callback handler count in its run."""


def install(module: Any) -> None:
    trainer, handler = module.Trainer, module.CallbackHandler
    wrap(trainer, "train", _train)
    for name in ("evaluate", "predict"):
        wrap(trainer, name, _evaluate)
    wrap(handler, "on_train_begin", _on_train_begin)
    wrap(handler, "on_log", _on_log)
    wrap(handler, "on_predict", _on_predict)


def _train(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    trainer = args[0]
    with training(_FRAMEWORK) as run:
        if run is None:
            return original(*args, **kwargs)
        with guarded(_FRAMEWORK):
            handler = trainer.callback_handler
            _runs[id(handler)] = run
            _steps_of[handler] = run, Steps(run)
        try:
            return original(*args, **kwargs)
        finally:
            with guarded(_FRAMEWORK):
                _runs.pop(id(handler), None)
                if trainer.state.is_world_process_zero:
                    _log_best(run, trainer.state)


def _evaluate(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    trainer = args[0]
    with training(_FRAMEWORK) as run:
        if run is None:
            return original(*args, **kwargs)
        with guarded(_FRAMEWORK):
            handler = trainer.callback_handler
            _runs[id(handler)] = run
            if handler not in _steps_of or _steps_of[handler][0] is not run:
                _steps_of[handler] = run, Steps(run)
        try:
            return original(*args, **kwargs)
        finally:
            with guarded(_FRAMEWORK):
                _runs.pop(id(handler), None)


def _on_train_begin(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = original(*args, **kwargs)
    handler = args[0]
    run = _runs.get(id(handler))
    if run is not None:
        with guarded(_FRAMEWORK):
            settings, state = args[1:3]
            if state.is_world_process_zero:
                run.log_params(plain_params(_params(settings, handler)))
                run.log_text(summarize(handler.model), "model_summary.txt")
    return result


def _on_log(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    logs = args[4] if len(args) > 4 else kwargs.get("logs")
    values = dict(logs or {})  # some callbacks take things out of the original
    result = original(*args, **kwargs)
    with guarded(_FRAMEWORK):
        _log(args[0], args[2], values)
    return result


def _on_predict(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    metrics = args[4] if len(args) > 4 else kwargs.get("metrics")
    values = dict(metrics or {})
    result = original(*args, **kwargs)
    with guarded(_FRAMEWORK):
        _log(args[0], args[2], values)
    return result


def _log(handler: Any, state: Any, values: Mapping[str, Any]) -> None:
    run = _runs.get(id(handler))
    if run is None or not state.is_world_process_zero:
        return
    steps = _steps_of[handler][1]
    is_evaluation = any(key.endswith("_runtime") and key != "train_runtime" for key in values)
    step = (steps.seen if is_evaluation else steps.of)(state.global_step)
    run.log_metrics({key: value for key, value in values.items() if _is_number(value)}, step=step)


def _params(settings: Any, handler: Any) -> dict[str, Any]:
    params = _model_params(handler.model)
    steps, epochs = settings.max_steps, settings.num_train_epochs
    if steps > 0:
        params["max_steps"] = steps
    else:
        params["num_train_epochs"] = int(epochs) if epochs == int(epochs) else epochs
    params |= _arguments(settings)
    for callback in handler.callbacks:
        if hasattr(callback, "early_stopping_patience"):
            params["early_stopping"] = {
                "monitor": settings.metric_for_best_model,
                "patience": callback.early_stopping_patience,
                "threshold": callback.early_stopping_threshold,
            }
    return params


def _arguments(settings: Any) -> dict[str, Any]:
    """The training arguments that a person would write down: the essential ones, and those that were changed."""
    params: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        name = field.name
        if name in _NEVER or name.startswith(_NEVER_BEGINS):
            continue
        value = getattr(settings, name, None)
        value = getattr(value, "value", value)  # an enum
        if value in (None, False, "", [], {}) or (value == 0 and name in _ALWAYS):
            continue
        usual = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if name in _ALWAYS or value != getattr(usual, "value", usual):
            params[name] = value
    return params


def _model_params(model: Any) -> dict[str, Any]:
    """The model's class and name, and what its configuration says that is not the default of its kind."""
    params: dict[str, Any] = {"model_class": type(model).__name__}
    config: Any = getattr(model, "config", None)
    name = getattr(config, "_name_or_path", "")
    if name:
        params["model_name"] = name
    if hasattr(config, "to_dict"):
        usual = _usual_config(type(config))
        changed = {
            key: value
            for key, value in config.to_dict().items()
            if value is not None and key not in _NOT_OF_MODEL and not key.startswith("_") and value != usual.get(key)
        }
        params["model"] = dict(list(changed.items())[:MOST_OF_MODEL])
    return params


def _usual_config(kind: type) -> Mapping[str, Any]:
    """The configuration that a kind of model has if nothing is said; empty where there is none."""
    try:
        usual: Mapping[str, Any] = kind().to_dict()
    except Exception:  # composite models need their parts
        return {}
    return usual


def _log_best(run: ActiveRun, state: Any) -> None:
    if state.best_metric is not None:
        run.log_metric("best_metric", state.best_metric)
    path = state.best_model_checkpoint
    if path:
        run.set_tag("best_model_checkpoint", os.path.relpath(path) if os.path.isabs(path) else path)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (hasattr(value, "numel") and value.numel() == 1)
