"""Results of statsmodels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.flavors import Predict, Saved, require
from gitexp.models.requirements import modules_in_pickle

FILE = "model.statsmodels"


class StatsmodelsFlavor:
    """Options: `remove_data`: whether the data it was fitted to is left out of the file. It is a pickle, always."""

    name = "statsmodels"
    loader = "mlflow.statsmodels"
    options = ("remove_data",)

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        statsmodels = require("statsmodels", "statsmodels")
        if not (hasattr(model, "save") and type(model).__module__.startswith("statsmodels.")):
            raise UsageError(f"A '{type(model).__name__}' is no result of statsmodels.")
        path = os.path.join(folder, FILE)
        model.save(path, remove_data=bool(options.get("remove_data", False)))
        settings = {"code": None, "data": FILE, "statsmodels_version": statsmodels.__version__}
        return Saved(settings=settings, pyfunc={"data": FILE}, modules=modules_in_pickle(path) | {"statsmodels"})

    def is_code(self, settings: Mapping[str, Any]) -> bool:  # noqa: ARG002 (every flavor's signature)
        return True

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        read = require("statsmodels.iolib.api", "statsmodels").load_pickle
        return read(os.path.join(folder, str(settings.get("data") or FILE)))

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:  # noqa: ARG002 (every flavor's signature)
        series = require("statsmodels.tsa.base.tsa_model", "statsmodels").TimeSeriesModel
        if not isinstance(model.model, series):
            return lambda data, params: model.predict(data, **params)

        def span(data: Any, params: Mapping[str, Any]) -> Any:
            if len(data) != 1 or not {"start", "end"} <= set(data.columns):
                raise UsageError("A model of a time series takes one row with the columns 'start' and 'end'.")
            return model.predict(start=data["start"].iloc[0], end=data["end"].iloc[0], **params)

        return span


FLAVOR = StatsmodelsFlavor()
