"""Models of Keras 3, on any of its backends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.flavors import Predict, Saved, require

DATA, FILE, MODULE = "data", "model.keras", "keras_module.txt"


class KerasFlavor:
    """No options. What has Keras run code, like a layer made of a lambda, is not loaded."""

    name = "keras"
    loader = "mlflow.keras"
    options = ()

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:  # noqa: ARG002 (every flavor's signature)
        keras = require("keras", "keras")
        if not isinstance(model, keras.Model):
            raise UsageError(f"A '{type(model).__name__}' is no model of Keras.")
        os.makedirs(os.path.join(folder, DATA))
        model.save(os.path.join(folder, DATA, FILE))
        with open(os.path.join(folder, DATA, MODULE), "w", encoding="utf-8") as file:
            file.write("keras")
        backend = str(keras.backend.backend())
        settings = {
            "data": DATA,
            "keras_version": keras.__version__,
            "keras_backend": backend,
            "save_exported_model": False,
        }
        return Saved(settings=settings, pyfunc={}, modules=frozenset({"keras", "numpy", backend}))

    def is_code(self, settings: Mapping[str, Any]) -> bool:  # noqa: ARG002 (every flavor's signature)
        return False

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        if settings.get("save_exported_model"):
            raise UsageError("The model is TensorFlow's export of one of Keras', which TensorFlow alone can load.")
        keras = require("keras", "keras")
        path = os.path.join(folder, str(settings.get("data") or DATA), FILE)
        return keras.saving.load_model(path, safe_mode=True)

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:  # noqa: ARG002 (every flavor's signature)
        keras = require("keras", "keras")

        def ask(data: Any, params: Mapping[str, Any]) -> Any:
            frame = data if hasattr(data, "iloc") else None
            answer = model.predict(data if frame is None else frame.to_numpy(), verbose=0, **params)
            values = keras.ops.convert_to_numpy(answer)
            return values if frame is None else type(frame)(values, index=frame.index)

        return ask


FLAVOR = KerasFlavor()
