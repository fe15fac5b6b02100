"""Models written in Python: pickled by cloudpickle, or kept as the file of code that makes them."""

from __future__ import annotations

import ast
import bz2
import gzip
import lzma
import os
import pickle
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

from gitexp.errors import CorruptData, UsageError
from gitexp.models import pythonmodel
from gitexp.models.flavors import Predict, Saved, require
from gitexp.models.pickling import noting_pickler
from gitexp.models.pythonmodel import Loaded, PythonModelContext, Wrapped, ask
from gitexp.models.standins import mlflow_importable, take_declared

FILE, ARTIFACTS = "python_model.pkl", "artifacts"
CODE_LOADER = "mlflow.pyfunc.loaders.code_model"
LOADERS = ("mlflow.pyfunc.model", CODE_LOADER)
_OPENERS: Mapping[str, Callable[..., Any]] = {"gzip": gzip.open, "bzip2": bz2.open, "lzma": lzma.open}


class FunctionFlavor:
    """Options: `artifacts`: files and folders to keep with it, by name; `model_config`: settings, by name."""

    name = "function"
    loader = "mlflow.pyfunc.model"
    options = ("artifacts", "model_config")

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        config = options.get("model_config")
        settings: dict[str, Any] = {"streamable": False, **({"config": dict(config)} if config else {})}
        copied = _copy_artifacts(options.get("artifacts") or {}, folder)
        if copied:
            settings["artifacts"] = copied
        if isinstance(model, str | os.PathLike):
            file = os.path.basename(model)
            if not os.path.isfile(model):
                raise UsageError(f"There is no file of code '{os.fspath(model)}'.")
            shutil.copyfile(model, os.path.join(folder, file))
            settings |= {"loader_module": CODE_LOADER, "model_code_path": file}
            with open(model, encoding="utf-8") as code:
                modules = _imported(ast.parse(code.read(), filename=file))
            made = _run_code(os.path.join(folder, file))
        else:
            made = _as_model(model)
            cloudpickle = require("cloudpickle", "cloudpickle")
            settings |= {"python_model": FILE, "cloudpickle_version": cloudpickle.__version__}
            modules = _dump(made, os.path.join(folder, FILE)) | {"cloudpickle"}
        return Saved(settings=None, pyfunc=settings, modules=modules, asked=Loaded(made, _context(folder, settings)))

    def is_code(self, settings: Mapping[str, Any]) -> bool:  # noqa: ARG002 (every flavor's signature)
        return True

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        if settings.get("loader_module") not in LOADERS:
            raise UsageError(f"Models of '{settings.get('loader_module')}' can be asked by MLflow only.")
        code = settings.get("model_code_path")
        if code is not None:
            made = _run_code(os.path.join(folder, os.path.basename(str(code))))
        else:
            opener = _OPENERS.get(str(settings.get("python_model_compression")), open)
            file = str(settings.get("python_model") or FILE)
            with mlflow_importable(), opener(os.path.join(folder, file), "rb") as stream:
                made = _unpickle(stream)
        return Loaded(made, _context(folder, settings))

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:  # noqa: ARG002 (every flavor's signature)
        made, context = model
        if hasattr(made, "load_context"):
            made.load_context(context)
        predict = getattr(made, "predict", made)
        return lambda data, params: ask(predict, context, data, params)


FLAVOR = FunctionFlavor()


def _unpickle(stream: Any) -> Any:
    require("cloudpickle", "cloudpickle")
    try:
        return pickle.load(stream)
    except (ImportError, AttributeError) as error:
        missing = f"What the model needs is not here: {error}."
        raise UsageError(missing, hint="Install the model's requirements.txt.") from error


def _as_model(model: Any) -> Any:
    """What MLflow calls, too: with `load_context`, and with `predict` that takes what it passes."""
    if isinstance(model, type):
        raise UsageError(f"'{model.__name__}' is a class.", hint=f"Give a model of it: {model.__name__}().")
    if isinstance(model, pythonmodel.PythonModel) or hasattr(model, "predict_type_hints"):
        return model
    if not callable(getattr(model, "predict", model)):
        raise UsageError(f"A '{type(model).__name__}' is no function and has no 'predict'.")
    return Wrapped(model)


def _copy_artifacts(artifacts: Mapping[str, Any], folder: str) -> dict[str, dict[str, str]]:
    copied = {}
    for name, given in artifacts.items():
        if "/" in name or name in ("", ".", ".."):
            raise UsageError(f"'{name}' is no name of an artifact.", hint="Names have no '/'.")
        source = os.fspath(given)
        inside = f"{ARTIFACTS}/{name}/{os.path.basename(os.path.normpath(source))}"
        target = os.path.join(folder, inside)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, target)
        elif os.path.isfile(source):
            shutil.copyfile(source, target)
        else:
            raise UsageError(f"There is no file or folder '{source}', which is to be the artifact '{name}'.")
        copied[name] = {"path": inside, "uri": source}
    return copied


def _context(folder: str, settings: Mapping[str, Any]) -> PythonModelContext:
    kept = settings.get("artifacts") or {}
    paths = {str(name): os.path.abspath(os.path.join(folder, said["path"])) for name, said in kept.items()}
    root = os.path.abspath(folder) + os.sep
    for name, path in paths.items():
        if not path.startswith(root):
            raise CorruptData(f"MLmodel: the artifact '{name}' is outside of the model's folder.")
    return PythonModelContext(paths, settings.get("config"))


def _run_code(path: str) -> Any:
    """The model that a file of code names when it is run."""
    name = f"code_model_{uuid.uuid4().hex}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"'{os.path.basename(path)}' is no file of Python code.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickles look for what it defines
    with mlflow_importable():
        spec.loader.exec_module(module)
        return _as_model(take_declared())


def _dump(model: Any, path: str) -> frozenset[str]:
    """Write a pickle; gives the top-level modules of all that is in it."""
    cloudpickle = require("cloudpickle", "cloudpickle")
    found: set[str] = set()
    pickler = noting_pickler(found)
    cloudpickle.register_pickle_by_value(pythonmodel)
    try:
        with open(path, "wb") as file:
            pickler(file).dump(model)
    finally:
        cloudpickle.unregister_pickle_by_value(pythonmodel)
    return frozenset(found)


def _imported(code: ast.Module) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return frozenset(found)
