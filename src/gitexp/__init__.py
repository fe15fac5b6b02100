"""Experiment tracking in git itself.

    import gitexp

    with gitexp.start_run(name="baseline", params={"lr": 0.1}):
        gitexp.log_metric("loss", 0.25, step=0)
    print(gitexp.search_runs(where="metrics.loss < 0.3"))

Names are loaded when they are first used, so that importing gitexp costs a training nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true, without importing typing

if TYPE_CHECKING:
    from typing import Any

    from gitexp.errors import GitexpError
    from gitexp.integrations.imports import autolog
    from gitexp.repo import Repository
    from gitexp.tracking import (
        ActiveRun,
        GitexpWarning,
        active_run,
        best_runs,
        compare_runs,
        download_artifacts,
        end_run,
        get_run,
        log_artifact,
        log_artifacts,
        log_audio,
        log_batch,
        log_dict,
        log_figure,
        log_histogram,
        log_html,
        log_image,
        log_input,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        log_table,
        log_text,
        log_video,
        reproduce,
        search_runs,
        set_experiment,
        set_note,
        set_tag,
        set_tags,
        start_run,
        verify,
    )

__version__ = "0.1.0"

__all__ = [
    "ActiveRun",
    "GitexpError",
    "GitexpWarning",
    "Repository",
    "__version__",
    "active_run",
    "autolog",
    "best_runs",
    "compare_runs",
    "download_artifacts",
    "end_run",
    "get_run",
    "log_artifact",
    "log_artifacts",
    "log_audio",
    "log_batch",
    "log_dict",
    "log_figure",
    "log_histogram",
    "log_html",
    "log_image",
    "log_input",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "log_table",
    "log_text",
    "log_video",
    "reproduce",
    "search_runs",
    "set_experiment",
    "set_note",
    "set_tag",
    "set_tags",
    "start_run",
    "verify",
]

_MODULES = ("catboost", "keras", "lightgbm", "onnx", "pyfunc", "pytorch", "sklearn", "statsmodels", "xgboost")
_ELSEWHERE = {"GitexpError": "errors", "Repository": "repo", "autolog": "integrations.imports"}


def __getattr__(name: str) -> Any:
    if name not in __all__ and name not in _MODULES:
        raise AttributeError(f"module 'gitexp' has no attribute {name!r}")
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"gitexp.{name}")
    value = getattr(import_module(f"gitexp.{_ELSEWHERE.get(name, 'tracking')}"), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """What IPython calls for `%load_ext gitexp`."""
    from gitexp.notebook import load

    load(shell)


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
