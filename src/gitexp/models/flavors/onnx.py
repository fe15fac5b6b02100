"""Models in ONNX, asked by onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.flavors import Predict, Saved, require

FILE = "model.onnx"
PROVIDERS = ["CUDAExecutionProvider", "CPUExecutionProvider"]


class OnnxFlavor:
    """Options: `onnx_execution_providers`: in the order of preference."""

    name = "onnx"
    loader = "mlflow.onnx"
    options = ("onnx_execution_providers",)

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        onnx = require("onnx", "onnx")
        if not isinstance(model, onnx.ModelProto):
            raise UsageError(f"A '{type(model).__name__}' is no model of ONNX.")
        path = os.path.join(folder, FILE)
        onnx.save_model(model, path)
        onnx.checker.check_model(path)
        settings = {
            "code": None,
            "data": FILE,
            "onnx_version": onnx.__version__,
            "providers": list(options.get("onnx_execution_providers") or PROVIDERS),
        }
        return Saved(settings=settings, pyfunc={"data": FILE}, modules=frozenset({"onnx", "onnxruntime", "numpy"}))

    def is_code(self, settings: Mapping[str, Any]) -> bool:  # noqa: ARG002 (every flavor's signature)
        return False

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        return require("onnx", "onnx").load(os.path.join(folder, str(settings.get("data") or FILE)))

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:
        runtime = require("onnxruntime", "onnxruntime")
        import numpy as np

        wanted = settings.get("providers") or PROVIDERS
        providers = [name for name in wanted if name in runtime.get_available_providers()]
        session = runtime.InferenceSession(model.SerializeToString(), providers=providers)
        inputs, outputs = session.get_inputs(), [item.name for item in session.get_outputs()]
        dtypes = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64"}

        def ask(data: Any, params: Mapping[str, Any]) -> Any:  # noqa: ARG001 (a graph takes no params)
            if hasattr(data, "columns"):
                if len(inputs) == 1:
                    data = {inputs[0].name: data.to_numpy()}
                else:
                    data = {item.name: data[item.name].to_numpy().reshape(-1, 1) for item in inputs}
            elif not isinstance(data, Mapping):
                data = {inputs[0].name: data}
            fed = {item.name: np.asarray(data[item.name], dtype=dtypes.get(item.type)) for item in inputs}
            answers = session.run(outputs, fed)
            return dict(zip(outputs, answers, strict=True))

        return ask


FLAVOR = OnnxFlavor()
