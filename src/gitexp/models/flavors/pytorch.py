"""Models of PyTorch: whole modules, exported graphs, and TorchScript."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from gitexp.errors import CorruptData, UsageError
from gitexp.models.flavors import Predict, Saved, require
from gitexp.models.pickling import noting_pickler

DATA = "data"
PICKLE, EXPORTED, SCRIPT = "pickle", "pt2", "torchscript"
FILES = {PICKLE: "model.pth", EXPORTED: "model.pt2", SCRIPT: "model.pth"}
PICKLER = "pickle_module_info.txt"


class PyTorchFlavor:
    """Options: `serialization_format`: "pickle" (the module, by cloudpickle) or "pt2" (its graph, by `torch.export`),
    which takes `export_inputs`, the tensors to trace it with, and `dynamic_shapes`, both as `torch.export.export` does.
    """

    name = "pytorch"
    loader = "mlflow.pytorch"
    options = ("serialization_format", "export_inputs", "dynamic_shapes")

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        torch = require("torch", "torch")
        if not isinstance(model, torch.nn.Module):
            raise UsageError(f"A '{type(model).__name__}' is no module of PyTorch.")
        form = options.get("serialization_format") or PICKLE
        if form not in (PICKLE, EXPORTED):
            raise UsageError(f"There is no format '{form}'.", hint=f"There are {PICKLE}, {EXPORTED}.")
        if form == PICKLE and isinstance(model, torch.jit.ScriptModule):
            form = SCRIPT
        os.makedirs(os.path.join(folder, DATA))
        path = os.path.join(folder, DATA, FILES[form])
        modules = {"torch", "numpy"}
        if form == EXPORTED:
            inputs = options.get("export_inputs")
            if inputs is None:
                raise UsageError("The format 'pt2' needs 'export_inputs', the tensors to trace the model with.")
            with _evaluating(model):
                exported = torch.export.export(model, tuple(inputs), dynamic_shapes=options.get("dynamic_shapes"))
            torch.export.save(exported, path)
        else:
            if form == SCRIPT:
                torch.jit.save(model, path)
            else:
                found: set[str] = set()
                torch.save(model, path, pickle_module=SimpleNamespace(Pickler=noting_pickler(found), __name__=PICKLE))
                modules |= found | {"cloudpickle"}
            with open(os.path.join(folder, DATA, PICKLER), "w", encoding="utf-8") as file:
                file.write(PICKLE)
        settings = {
            "code": None,
            "model_data": DATA,
            "pytorch_version": str(torch.__version__),
            "serialization_format": form,
        }
        pyfunc = {"data": DATA, "pickle_module_name": PICKLE}
        return Saved(settings=settings, pyfunc=pyfunc, modules=frozenset(modules))

    def is_code(self, settings: Mapping[str, Any]) -> bool:
        """Exported graphs may hold pickles, too."""
        return settings.get("serialization_format") != SCRIPT

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        torch = require("torch", "torch")
        data = os.path.join(folder, str(settings.get("model_data") or settings.get("data") or DATA))
        if settings.get("serialization_format") == SCRIPT:
            model = torch.jit.load(os.path.join(data, FILES[SCRIPT]))
            model.eval()
            return model
        exported = os.path.join(data, FILES[EXPORTED])
        if os.path.isfile(exported):
            return torch.export.load(exported).module()
        path = os.path.join(data, FILES[PICKLE])
        if not os.path.isfile(path):
            raise CorruptData(f"The model has neither '{FILES[PICKLE]}' nor '{FILES[EXPORTED]}'.")
        require("cloudpickle", "cloudpickle")
        where = None if torch.cuda.is_available() else "cpu"
        model = torch.load(path, map_location=where, weights_only=False, pickle_module=pickle)
        model.eval()
        return model

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:  # noqa: ARG002 (every flavor's signature)
        torch = require("torch", "torch")

        def ask(data: Any, params: Mapping[str, Any]) -> Any:
            frame = data if hasattr(data, "iloc") else None
            values = data.to_numpy(dtype="float32") if frame is not None else data
            tensor = values if isinstance(values, torch.Tensor) else torch.as_tensor(values)
            place = next(iter(model.parameters()), tensor).device
            with _evaluating(model), torch.no_grad():
                answer = model(tensor.to(place), **params)
            if not isinstance(answer, torch.Tensor):
                raise UsageError(f"The model must answer with one tensor, found '{type(answer).__name__}'.")
            values = answer.cpu().numpy()
            return values if frame is None else type(frame)(values, index=frame.index)

        return ask


FLAVOR = PyTorchFlavor()


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Dropout and its like off within; graphs that were exported have no such switch."""
    was = [module for module in model.modules() if module.training]
    if not was or type(model).__module__.startswith("torch.fx."):
        yield
        return
    model.eval()
    try:
        yield
    finally:
        for module in was:
            module.training = True
