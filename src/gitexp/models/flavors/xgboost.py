"""Models of XGBoost: boosters, and the estimators with scikit-learn's methods."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.flavors import Predict, Saved, class_named, full_name, require

FORMATS = ("ubj", "json", "xgb")


class XGBoostFlavor:
    """Options: `model_format`: "ubj", "json" or "xgb", XGBoost's own, none of which runs code."""

    name = "xgboost"
    loader = "mlflow.xgboost"
    options = ("model_format",)

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        xgboost = require("xgboost", "xgboost")
        if not isinstance(model, xgboost.Booster | xgboost.XGBModel):
            raise UsageError(f"A '{type(model).__name__}' is no model of XGBoost.")
        form = options.get("model_format") or "ubj"
        if form not in FORMATS:
            raise UsageError(f"There is no format '{form}'.", hint=f"There are {', '.join(FORMATS)}.")
        file = f"model.{form}"
        model.save_model(os.path.join(folder, file))
        settings = {
            "code": None,
            "data": file,
            "model_class": full_name(model),
            "model_format": form,
            "xgb_version": xgboost.__version__,
        }
        modules = {"xgboost"} if isinstance(model, xgboost.Booster) else {"xgboost", "sklearn"}
        return Saved(settings=settings, pyfunc={"data": file}, modules=frozenset(modules))

    def is_code(self, settings: Mapping[str, Any]) -> bool:
        return not str(settings.get("model_class", "xgboost.")).startswith("xgboost.")

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        require("xgboost", "xgboost")
        model = class_named(str(settings.get("model_class") or "xgboost.core.Booster"))()
        model.load_model(os.path.join(folder, str(settings["data"])))
        return model

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:  # noqa: ARG002 (every flavor's signature)
        xgboost = require("xgboost", "xgboost")
        if isinstance(model, xgboost.Booster):
            return lambda data, params: model.predict(xgboost.DMatrix(data), **params)
        return lambda data, params: model.predict(data, **params)


FLAVOR = XGBoostFlavor()
