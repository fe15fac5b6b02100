"""statsmodels: what is fitted, how good it is, and its coefficients.

Only what costs nothing to speak of is computed; the text of `summary()` is kept where the user asks for it, or where
there are few observations.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from gitexp.integrations.parts import Part
from gitexp.integrations.patching import guarded, is_inside, is_open, outermost, plain_params, training, wrap_subclasses

SUPPORTED = ("0.14", "0.15")

MEASURES = (
    "nobs",
    "df_model",
    "df_resid",
    "rsquared",
    "rsquared_adj",
    "fvalue",
    "f_pvalue",
    "llf",
    "aic",
    "bic",
    "hqic",
    "scale",
    "ssr",
    "ess",
    "mse_model",
    "mse_resid",
    "mse_total",
    "deviance",
    "pearson_chi2",
    "sse",
)
"""MLflow's, without the condition number: that is a decomposition of all data."""

WARNED = {("GLM", "bic"): "bic_llf", ("GLMGam", "bic"): "bic_llf"}
"""Measures by another name, where statsmodels warns that they will change."""

SUMMARIZED = range(20, 20_001)
"""With so many observations, `summary()` costs milliseconds; with fewer it warns."""

SUMMARY = "model_summary.txt"

KEPT = 1_000
"""Coefficients in the table, at most."""


def install(module: ModuleType) -> None:
    wrap_subclasses(module.Model, ("fit", "fit_regularized"), _fit, of=_is_statsmodels)
    wrap_subclasses(module.Results, ("summary",), _summary, of=_is_statsmodels)


def _is_statsmodels(cls: type) -> bool:
    return cls.__module__.startswith("statsmodels.")


def _fit(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with training("statsmodels") as run:
        if run is None:
            return original(*args, **kwargs)
        model = args[0]
        part = Part.begin("statsmodels", run, type(model).__name__, lambda: _described(model, kwargs))
        result = original(*args, **kwargs)
        with guarded("statsmodels"):
            part.log_metrics(dict(_measured(model, result)))
        with guarded("statsmodels"):
            _parts[getattr(result, "_results", result)] = part
            _log_coefficients(part, result)
        with guarded("statsmodels"):
            if int(getattr(result, "nobs", 0)) in SUMMARIZED and hasattr(result, "summary"):
                part.log_text(result.summary().as_text(), SUMMARY)
        return result


_parts: weakref.WeakKeyDictionary[Any, Part] = weakref.WeakKeyDictionary()
"""Where what is known of each result belongs."""


def _summary(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_inside():
        return original(*args, **kwargs)
    with outermost("statsmodels"):
        summary = original(*args, **kwargs)
    with guarded("statsmodels"):
        part = _parts.get(args[0])
        if part is not None and int(args[0].nobs) not in SUMMARIZED and is_open(part.run):
            part.log_text(summary.as_text(), SUMMARY)
    return summary


def _described(model: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The model's class, formula and settings, and what `fit` was told."""
    params: dict[str, Any] = {"model": type(model).__name__}
    formula = getattr(model, "formula", None)
    if isinstance(formula, str):
        params["formula"] = formula
    with guarded("statsmodels"):
        names = {"endog": model.endog_names, "exog": getattr(model, "exog_names", None)}
        params |= {key: value for key, value in names.items() if value and not _is_long(value)}
    for name in ("family", "order", "seasonal_order", "trend", "cov_struct"):
        value = getattr(model, name, None)
        if value is not None and not callable(value) and not hasattr(value, "shape"):
            params[name] = value
    link = getattr(getattr(model, "family", None), "link", None)
    if link is not None:
        params["link"] = link
    return plain_params(params | {key: value for key, value in kwargs.items() if not hasattr(value, "shape")})


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 100


def _measured(model: Any, result: Any) -> Iterator[tuple[str, float]]:
    for name in MEASURES:
        value: Any = None
        try:
            value = getattr(result, WARNED.get((type(model).__name__, name), name))
            value = float(value)
        except Exception:  # not every model has each, and some only promise it
            continue
        if not math.isnan(value):
            yield name, value


def _log_coefficients(part: Part, result: Any) -> None:
    estimates = result.params
    if getattr(estimates, "ndim", 0) != 1 or not 0 < len(estimates) <= KEPT:
        return
    names = getattr(result.model, "param_names", None) or getattr(result.model, "exog_names", None)
    names = list(getattr(estimates, "index", names or range(len(estimates))))
    columns = {"name": [str(name) for name in names], "coef": [float(value) for value in estimates]}
    if len(names) != len(estimates):
        return
    for column, attribute in (("std_err", "bse"), ("statistic", "tvalues"), ("p_value", "pvalues")):
        values = getattr(result, attribute, None)
        if values is not None and len(values) == len(estimates):
            columns[column] = [float(value) for value in values]
    part.log_table(columns, "coefficients.csv")
