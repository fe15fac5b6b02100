"""Any saved model as one function, and models written in Python.

`gitexp.pyfunc.load_model("models:/nyc-taxi@champion").predict(data)`; `gitexp.pyfunc.log_model(python_model=double)`
"""

from __future__ import annotations

from typing import Any

from gitexp.models.door import Door
from gitexp.models.loading import load_pyfunc
from gitexp.models.pyfunc import PyFuncModel
from gitexp.models.pythonmodel import PythonModel, PythonModelContext
from gitexp.models.saving import ModelInfo
from gitexp.models.standins import set_model

__all__ = ["PyFuncModel", "PythonModel", "PythonModelContext", "load_model", "log_model", "save_model", "set_model"]

_door = Door("function")


def load_model(model_uri: str, *, trust: bool = False) -> PyFuncModel:
    """The model at an address, whichever framework it is of, saved by gitexp or by MLflow.

    Args:
        model_uri: `runs:/RUN/PATH`, `RUN:PATH`, `models:/NAME/7`, `models:/NAME@alias`, or a folder.
        trust: whether a model of somebody else's may run code that it brings along, as a pickle does.

    Raises:
        NotFound, CorruptData, UsageError
    """
    return load_pyfunc(model_uri, trust=trust)


def save_model(path: str, *, python_model: Any, **said: Any) -> ModelInfo:
    """Write a model that is Python code into the new folder `path`.

    Args:
        python_model: a function of data; something with `predict`, which may take `context` and `params` too; or the
            path of a Python file that calls `set_model` with one of these.
        said: `artifacts`: files and folders to keep with it, by name, whose paths `context.artifacts` has;
            `model_config`: settings for `context.model_config`; and what `save_model` of the frameworks takes.

    Raises:
        UsageError: the folder is there and not empty, or it is no such thing.
    """
    return _door.save_model(python_model, path, **said)


def log_model(name: str = "model", *, python_model: Any, **said: Any) -> ModelInfo:
    """Keep a model that is Python code as the artifact folder `name` of the active run. Arguments as for `save_model`.

    Raises:
        UsageError: it is no such thing.
    """
    return _door.log_model(python_model, name, **said)
