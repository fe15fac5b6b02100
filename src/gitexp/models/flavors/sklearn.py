"""Models of scikit-learn, and what behaves like them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.flavors import Predict, Saved, require
from gitexp.models.requirements import modules_in_pickle

SKOPS, CLOUDPICKLE, PICKLE = "skops", "cloudpickle", "pickle"
_FILES = {SKOPS: "model.skops", CLOUDPICKLE: "model.pkl", PICKLE: "model.pkl"}


class SklearnFlavor:
    """Options: `serialization_format`: "skops" (runs no code), "cloudpickle" or "pickle"; `predict_fn`: "predict"."""

    name = "sklearn"
    loader = "mlflow.sklearn"

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        sklearn = require("sklearn", "scikit-learn")
        if not callable(getattr(model, "fit", None)):
            raise UsageError(f"A '{type(model).__name__}' is no model of scikit-learn.")
        form = options.get("serialization_format") or _best_format(model)
        if form not in _FILES:
            raise UsageError(f"There is no format '{form}'.", hint=f"There are {', '.join(_FILES)}.")
        path = os.path.join(folder, _FILES[form])
        modules, trusted = _write(model, path, form)
        predict = options.get("predict_fn") or "predict"
        settings = {
            "code": None,
            "pickled_model": _FILES[form],
            "serialization_format": form,
            "sklearn_version": sklearn.__version__,
            **({"skops_trusted_types": trusted} if form == SKOPS else {}),
        }
        pyfunc = {"model_path": _FILES[form], "predict_fn": predict} if hasattr(model, predict) else None
        return Saved(settings=settings, pyfunc=pyfunc, modules=frozenset(modules))

    def is_code(self, settings: Mapping[str, Any]) -> bool:
        return str(settings.get("serialization_format", PICKLE)) != SKOPS

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        require("sklearn", "scikit-learn")
        path = os.path.join(folder, str(settings.get("pickled_model") or settings.get("model_path") or "model.pkl"))
        form = settings.get("serialization_format") or (SKOPS if path.endswith(".skops") else PICKLE)
        if form == SKOPS:
            skops = require("skops.io", "skops")
            return skops.load(path, trusted=list(settings.get("skops_trusted_types") or ()))
        with open(path, "rb") as file:
            return pickle.load(file)

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:
        method = getattr(model, str(settings.get("predict_fn") or "predict"))
        return lambda data, params: method(data, **params)


def _write(model: Any, path: str, form: str) -> tuple[frozenset[str], list[str]]:
    """Gives the modules that loading it imports, and the types that skops has to be told to trust."""
    if form == SKOPS:
        skops = require("skops.io", "skops")
        skops.dump(model, path)
        trusted = sorted(skops.get_untrusted_types(file=path))
        return frozenset({"sklearn", "skops", *(name.partition(".")[0] for name in trusted)}), trusted
    writer = require("cloudpickle", "cloudpickle") if form == CLOUDPICKLE else pickle
    with open(path, "wb") as file:
        writer.dump(model, file)
    return modules_in_pickle(path) | {"sklearn", *([form] if form == CLOUDPICKLE else [])}, []


def _best_format(model: Any) -> str:
    """Skops where it is installed and knows every type in the model, for it runs no code when it is loaded."""
    if find_spec("skops"):
        skops = require("skops.io", "skops")
        with suppress(Exception):  # a type that it cannot write
            if not skops.get_untrusted_types(data=skops.dumps(model)):
                return SKOPS
    return CLOUDPICKLE if find_spec("cloudpickle") else PICKLE


FLAVOR = SklearnFlavor()
