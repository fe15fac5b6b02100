"""hyperopt: the trials of `fmin` as nested runs, and what came out best in the run of the search.

Trials that Spark or MongoDB workers evaluate are not seen, only what `fmin` finds best among them.
"""

from __future__ import annotations

import contextvars
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from gitexp.integrations.patching import guarded, plain_params, training, wrap
from gitexp.integrations.trials import Search, Trial, current

SUPPORTED = ("0.2.7", "0.3.0")

_FRAMEWORK = "hyperopt"


class _Search(Search):
    """A search that knows its best trial so far."""

    best: float | None = None
    best_row: Mapping[str, Any] = {}


_search: contextvars.ContextVar[_Search | None] = contextvars.ContextVar("gitexp_hyperopt", default=None)

_awaited: contextvars.ContextVar[tuple[Any, Any] | None] = contextvars.ContextVar("gitexp_hyperopt_point", default=None)
"""The search space and the drawn values of which `rec_eval` is about to make what the objective is given."""


def install(hyperopt: Any) -> None:
    wrap(hyperopt, "fmin", _fmin)
    base = sys.modules["hyperopt.base"]
    wrap(base.Domain, "evaluate", _evaluate)
    wrap(sys.modules["hyperopt.pyll"], "rec_eval", _rec_eval)


def _fmin(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training(_FRAMEWORK) as run:
        if run is None:
            return original(*args, **kwargs)
        search = _Search(_FRAMEWORK, run)
        with guarded(_FRAMEWORK):
            run.log_params(_params(inspect.signature(original).bind(*args, **kwargs).arguments))
        token = _search.set(search)
        try:
            result = original(*args, **kwargs)
            with guarded(_FRAMEWORK):
                if not search.rows and isinstance(result, Mapping):  # other processes evaluated the trials
                    run.log_params({"best_params": plain_params(result)})
            return result
        finally:
            _search.reset(token)
            with guarded(_FRAMEWORK):
                search.finish()
                _conclude(search)


def _params(given: Mapping[str, Any]) -> dict[str, Any]:
    params: dict[str, Any] = {"algo": "tpe"}
    algorithm = given.get("algo")
    if algorithm is not None:
        while hasattr(algorithm, "func"):  # functools.partial(tpe.suggest, ...)
            algorithm = algorithm.func
        module = str(getattr(algorithm, "__module__", "")).rpartition(".")[2]
        params["algo"] = module or type(algorithm).__name__
    for name in ("max_evals", "timeout", "loss_threshold"):
        if given.get(name) is not None:
            params[name] = given[name]
    return params


def _conclude(search: _Search) -> None:
    best = search.best_row
    if not best:
        return
    params = {key.removeprefix("params."): value for key, value in best.items() if key.startswith("params.")}
    search.run.log_params({"best_params": params} if params else {})
    search.run.set_tag("best_trial", best["trial"])
    if "run" in best:
        search.run.set_tag("best_run", best["run"])


def _evaluate(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    search = _search.get()
    if search is None:
        return original(*args, **kwargs)
    with search.trial() as trial:
        token = _awaited.set(None)
        with guarded(_FRAMEWORK):
            domain, config, ctrl = _evaluated(*args, **kwargs)
            trial.row["trial"] = ctrl.current_trial["tid"]
            trial.start(f"trial-{trial.row['trial']}")
            if domain.pass_expr_memo_ctrl:  # the objective works out the point by itself
                _log_labels(trial, config)
            else:
                _awaited.set((domain.expr, config))
        try:
            result = original(*args, **kwargs)
        except BaseException:
            trial.row["status"] = "error"
            raise
        finally:
            _awaited.reset(token)
        with guarded(_FRAMEWORK):
            _log_result(search, trial, result)
        return result


def _evaluated(domain: Any, config: Any, ctrl: Any, attach_attachments: bool = True) -> tuple[Any, Any, Any]:  # noqa: ARG001
    return domain, config, ctrl


def _rec_eval(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    point = original(*args, **kwargs)
    awaited, trial = _awaited.get(), current.get()
    if awaited is not None and trial is not None and args and args[0] is awaited[0]:
        with guarded(_FRAMEWORK):
            _awaited.set(None)
            if isinstance(point, Mapping) and point:
                trial.log_params(point)
            else:
                _log_labels(trial, awaited[1])
    return point


def _log_labels(trial: Trial, config: Mapping[str, Any]) -> None:
    """The values by the labels of their `hp` expressions; a choice is its index."""
    trial.log_params({label: value for label, value in config.items() if value is not None})


def _log_result(search: _Search, trial: Trial, result: Mapping[str, Any]) -> None:
    status = result.get("status")
    numbers = {str(key): float(value) for key, value in result.items() if _is_number(value)}
    trial.row.update({"status": status, **numbers})
    if status == "fail":
        trial.status = "failed"
    run = trial.run
    if run is not None:
        run.log_metrics(numbers)
        run.set_tags({"trial": trial.row["trial"], "status": status})
    loss = numbers.get("loss")
    if status != "ok" or loss is None or loss != loss:
        return
    if search.best is None or loss < search.best:
        search.best, search.best_row = loss, trial.row
    search.run.log_metric("best_loss", search.best, step=trial.row["trial"])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (hasattr(value, "item") and getattr(value, "size", 0) == 1)
