"""Optuna: a study's trials as nested runs, and what came out best in the run of the study.

Only trials that run in this process are recorded, in whichever thread (`n_jobs`), and whatever storage they share.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from gitexp.integrations.patching import guarded, plain_params, training, wrap
from gitexp.integrations.trials import Search, Trial, current

SUPPORTED = ("3.0", "5.0")

_FRAMEWORK = "optuna"


class _Study(Search):
    """A search that knows what is best so far among the study's trials, those of other processes included at first."""

    def __init__(self, study: Any, search_run: Any) -> None:
        super().__init__(_FRAMEWORK, search_run)
        self.maximize = [direction.name == "MAXIMIZE" for direction in study.directions]
        self.names = _value_names(study)
        self.best: float | None = None
        self.runs_of: dict[int, str] = {}
        self._best_lock = threading.Lock()
        if len(self.maximize) == 1:
            try:
                self.best = study.best_value
            except ValueError:  # no trial is complete
                pass

    def add(self, number: int, values: Sequence[float]) -> None:
        """The values of a completed trial: a point of the curve of the best so far."""
        if len(self.maximize) != 1:
            return
        with self._best_lock:
            if self.best is None or (values[0] > self.best if self.maximize[0] else values[0] < self.best):
                self.best = values[0]
            self.run.log_metric("best_value", self.best, step=number)


_studies: dict[int, _Study] = {}
"""The studies that are being optimized, by the identity of their objects."""


def install(optuna: Any) -> None:
    wrap(optuna.study.Study, "optimize", _optimize)
    wrap(sys.modules["optuna.study._optimize"], "_run_trial", _run_trial)
    wrap(optuna.study.Study, "ask", _ask)
    wrap(optuna.trial.Trial, "report", _report)
    wrap(optuna.trial.Trial, "_suggest", _suggest)


def _optimize(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training(_FRAMEWORK) as run:
        if run is None:
            return original(*args, **kwargs)
        study = args[0]
        with guarded(_FRAMEWORK):
            run.log_params(_params(study, args[2:], kwargs))
            _studies[id(study)] = _Study(study, run)
        try:
            return original(*args, **kwargs)
        finally:
            search = _studies.pop(id(study), None)
            with guarded(_FRAMEWORK):
                if search is not None:
                    search.finish()
                    _conclude(study, search)


def _params(study: Any, positional: Sequence[Any], keywords: dict[str, Any]) -> dict[str, Any]:
    """What a person would write down of a study; a made-up name is not among it."""
    limits = {**dict(zip(("n_trials", "timeout", "n_jobs"), positional, strict=False)), **keywords}
    directions = [direction.name.lower() for direction in study.directions]
    params = {
        "sampler": type(study.sampler).__name__,
        "pruner": type(study.pruner).__name__,
        "direction": directions[0] if len(directions) == 1 else directions,
    }
    if not study.study_name.startswith("no-name-"):
        params["study_name"] = study.study_name
    for name in ("n_trials", "timeout"):
        if limits.get(name) is not None:
            params[name] = limits[name]
    if limits.get("n_jobs", 1) != 1:
        params["n_jobs"] = limits["n_jobs"]
    return plain_params(params)


def _value_names(study: Any) -> list[str]:
    names = getattr(study, "metric_names", None)
    if names:
        return list(names)
    count = len(study.directions)
    return ["value"] if count == 1 else [f"value_{index}" for index in range(count)]


def _conclude(study: Any, search: _Study) -> None:
    run = search.run
    if len(search.maximize) != 1:
        run.log_metric("pareto_trials", len(study.best_trials))
        return
    try:
        best = study.best_trial
    except ValueError:  # no trial is complete
        return
    run.log_params({"best_params": plain_params(best.params)} if best.params else {})
    tags: dict[str, object] = {"best_trial": best.number}
    if best.number in search.runs_of:
        tags["best_run"] = search.runs_of[best.number]
    run.set_tags(tags)
    if search.best != best.value:  # another process found a better one meanwhile
        run.log_metric("best_value", best.value)


def _run_trial(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    study = args[0] if args else kwargs.get("study")
    search = _studies.get(id(study))
    if search is None:
        return original(*args, **kwargs)
    with search.trial() as trial:
        try:
            return original(*args, **kwargs)
        finally:
            with guarded(_FRAMEWORK):
                _told(study, search, trial)


def _ask(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    asked = original(*args, **kwargs)
    trial = current.get()
    if trial is not None and "trial" not in trial.row and id(args[0]) in _studies:
        with guarded(_FRAMEWORK):
            trial.row.update({"trial": asked.number, "trial_id": asked._trial_id})
            trial.start(f"trial-{asked.number}")
    return asked


def _suggest(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    value = original(*args, **kwargs)
    trial = _own(args[0])
    if trial is not None:
        with guarded(_FRAMEWORK):
            name = args[1] if len(args) > 1 else kwargs["name"]
            if f"params.{name}" not in trial.row:
                trial.log_params({name: value})
    return value


def _report(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = original(*args, **kwargs)
    trial = _own(args[0])
    if trial is not None:
        with guarded(_FRAMEWORK):
            value, step = _value_and_step(*args[1:], **kwargs)
            run = trial.run
            if run is not None:
                run.log_metric("intermediate_value", value, step=step)
    return result


def _value_and_step(value: Any, step: Any) -> tuple[Any, Any]:
    return value, step


def _own(asked: Any) -> Trial | None:
    """The trial under way here, if that is the one which Optuna's object stands for."""
    trial = current.get()
    return trial if trial is not None and trial.row.get("trial_id") == asked._trial_id else None


def _told(study: Any, search: _Study, trial: Trial) -> None:
    """What the study knows of the trial now that it is over."""
    trial_id = trial.row.pop("trial_id", None)
    if trial_id is None:  # the sampler failed
        return
    frozen = study._storage.get_trial(trial_id)
    missing = {name: value for name, value in frozen.params.items() if f"params.{name}" not in trial.row}
    if missing:
        trial.log_params(missing)
    state = frozen.state.name.lower()
    values = frozen.values or []
    trial.row["state"] = state
    trial.row.update(zip(search.names, values, strict=False))
    if state == "complete":
        search.add(frozen.number, values)
    elif state == "fail":
        trial.status = "failed"
    run = trial.run
    if run is None:
        return
    search.runs_of[frozen.number] = run.id
    for name, value in zip(search.names, values, strict=False):
        run.log_metric(name, value)
    run.set_tags({**frozen.user_attrs, "trial": frozen.number, "state": state})
