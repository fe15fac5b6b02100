"""Models of CatBoost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.flavors import Predict, Saved, require

FILES = {"cbm": "model.cb", "json": "model.json"}
CLASSES = ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")


class CatBoostFlavor:
    """Options: `format`: "cbm" or "json", CatBoost's own, neither of which runs code."""

    name = "catboost"
    loader = "mlflow.catboost"
    options = ("format",)

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        catboost = require("catboost", "catboost")
        if not isinstance(model, catboost.CatBoost):
            raise UsageError(f"A '{type(model).__name__}' is no model of CatBoost.")
        form = options.get("format") or "cbm"
        if form not in FILES:
            raise UsageError(f"There is no format '{form}'.", hint=f"There are {', '.join(FILES)}.")
        model.save_model(os.path.join(folder, FILES[form]), format=form)
        settings = {
            "catboost_version": catboost.__version__,
            "code": None,
            "data": FILES[form],
            "model_type": next(name for name in (type(model).__name__, "CatBoost") if name in CLASSES),
            "save_format": form,
        }
        return Saved(settings=settings, pyfunc={"data": FILES[form]}, modules=frozenset({"catboost"}))

    def is_code(self, settings: Mapping[str, Any]) -> bool:  # noqa: ARG002 (every flavor's signature)
        return False

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        catboost = require("catboost", "catboost")
        kind = str(settings.get("model_type") or "CatBoost")
        if kind not in CLASSES:
            raise UsageError(f"There is no kind '{kind}' of CatBoost's models.")
        model = getattr(catboost, kind)()
        model.load_model(os.path.join(folder, str(settings["data"])), settings.get("save_format") or "cbm")
        return model

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:  # noqa: ARG002 (every flavor's signature)
        return lambda data, params: model.predict(data, **params)


FLAVOR = CatBoostFlavor()
