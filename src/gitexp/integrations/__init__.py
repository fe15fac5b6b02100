"""Autologging: what machine-learning frameworks are seen to do, recorded without a word in the script.

One file for each framework. It says `SUPPORTED`, the oldest version it works with and the newest it was tested with,
and `install(module)`, called once for each of its trigger modules right after that was imported. What all of them
need is in `patching`; `imports` waits for the frameworks to be imported.
"""

from __future__ import annotations

FRAMEWORKS: dict[str, tuple[tuple[str, ...], str]] = {
    "sklearn": (("sklearn.base", "sklearn.metrics", "sklearn.model_selection"), "scikit_learn"),
    "xgboost": (("xgboost",), "xgboosting"),
    "lightgbm": (("lightgbm",), "lightgbms"),
    "catboost": (("catboost",), "catboosting"),
    "statsmodels": (("statsmodels.base.model",), "statsmodel"),
    "lightning": (("lightning.pytorch", "pytorch_lightning"), "lightning_trainer"),
    "keras": (("keras",), "keras_models"),
    "transformers": (("transformers.trainer",), "transformers_trainer"),
    "optuna": (("optuna",), "optuna_studies"),
    "hyperopt": (("hyperopt",), "hyperopt_trials"),
}
"""For each framework, by the name that users know: the modules whose import triggers `install`, and the file here."""
