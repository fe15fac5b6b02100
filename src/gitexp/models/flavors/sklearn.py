"""Models of scikit-learn, and what behaves like them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.flavors import Predict, Saved, require
from gitexp.models.flavors.pickles import ENDINGS, SKOPS, choose_format, is_pickle, read, write


class SklearnFlavor:
    """Options: `serialization_format`: "skops" (runs no code), "cloudpickle" or "pickle"; `predict_fn`: "predict"."""

    name = "sklearn"
    loader = "mlflow.sklearn"
    options = ("serialization_format", "predict_fn")

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        sklearn = require("sklearn", "scikit-learn")
        if not callable(getattr(model, "fit", None)):
            raise UsageError(f"A '{type(model).__name__}' is no model of scikit-learn.")
        form = choose_format(options.get("serialization_format"), model)
        file = f"model{ENDINGS[form]}"
        written = write(model, os.path.join(folder, file), form)
        settings = {
            "code": None,
            "pickled_model": file,
            "serialization_format": form,
            "sklearn_version": sklearn.__version__,
            **({"skops_trusted_types": list(written.trusted)} if form == SKOPS else {}),
        }
        predict = options.get("predict_fn") or "predict"
        pyfunc = {"model_path": file, "predict_fn": predict} if hasattr(model, predict) else None
        return Saved(settings=settings, pyfunc=pyfunc, modules=written.modules | {"sklearn"})

    def is_code(self, settings: Mapping[str, Any]) -> bool:
        return is_pickle(settings.get("serialization_format"))

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        require("sklearn", "scikit-learn")
        file = str(settings.get("pickled_model") or settings.get("model_path") or "model.pkl")
        path = os.path.join(folder, file)
        return read(path, settings.get("serialization_format"), settings.get("skops_trusted_types"))

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:
        method = getattr(model, str(settings.get("predict_fn") or "predict"))
        return lambda data, params: method(data, **params)


FLAVOR = SklearnFlavor()
