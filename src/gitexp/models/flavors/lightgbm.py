"""Models of LightGBM: boosters, and the estimators with scikit-learn's methods."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.flavors import Predict, Saved, full_name, require
from gitexp.models.flavors.pickles import ENDINGS, choose_format, is_pickle, read, write

BOOSTER, BOOSTER_FILE = "lightgbm.basic.Booster", "model.lgb"


class LightGBMFlavor:
    """Options: `serialization_format` of estimators: "skops", "cloudpickle" or "pickle". Boosters are kept as text."""

    name = "lightgbm"
    loader = "mlflow.lightgbm"
    options = ("serialization_format",)

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        lightgbm = require("lightgbm", "lightgbm")
        settings: dict[str, Any] = {"code": None, "lgb_version": lightgbm.__version__, "model_class": full_name(model)}
        if isinstance(model, lightgbm.Booster):
            model.save_model(os.path.join(folder, BOOSTER_FILE))
            settings["data"] = BOOSTER_FILE
            return Saved(settings=settings, pyfunc={"data": BOOSTER_FILE}, modules=frozenset({"lightgbm"}))
        if not isinstance(model, lightgbm.LGBMModel):
            raise UsageError(f"A '{type(model).__name__}' is no model of LightGBM.")
        form = choose_format(options.get("serialization_format"), model)
        file = f"model{ENDINGS[form]}"
        written = write(model, os.path.join(folder, file), form)
        settings |= {"data": file, "serialization_format": form, "skops_trusted_types": list(written.trusted) or None}
        modules = written.modules | {"lightgbm", "sklearn"}
        return Saved(settings=settings, pyfunc={"data": file}, modules=modules)

    def is_code(self, settings: Mapping[str, Any]) -> bool:
        return settings.get("model_class", BOOSTER) != BOOSTER and is_pickle(settings.get("serialization_format"))

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        lightgbm = require("lightgbm", "lightgbm")
        path = os.path.join(folder, str(settings["data"]))
        if settings.get("model_class", BOOSTER) == BOOSTER:
            return lightgbm.Booster(model_file=path)
        return read(path, settings.get("serialization_format"), settings.get("skops_trusted_types"))

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:  # noqa: ARG002 (every flavor's signature)
        return lambda data, params: model.predict(data, **params)


FLAVOR = LightGBMFlavor()
