"""Stand-ins for MLflow's modules while a Python model of MLflow's is loaded, where MLflow is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

from gitexp.errors import UsageError
from gitexp.models.pythonmodel import PythonModel, PythonModelContext

_declared: list[Any] = []


def set_model(model: Any) -> None:
    """Say, in a file of code that is a model, which object the model is."""
    _declared.append(model)
    theirs = sys.modules.get("mlflow.models")
    if theirs is not None and theirs.set_model is not set_model:
        theirs.set_model(model)


def take_declared() -> Any:
    """The object that the code which has just run named by `set_model`, this module's or MLflow's.

    Raises:
        UsageError: it named none.
    """
    found = _declared[-1] if _declared else None
    _declared.clear()
    theirs = sys.modules.get("mlflow.models.model")
    if found is None and theirs is not None:
        found = getattr(theirs, "__mlflow_model__", None)
    if found is None:
        raise UsageError("The file of code names no model.", hint="Call set_model(...) of gitexp.pyfunc in it.")
    return found


@contextmanager
def mlflow_importable() -> Iterator[None]:
    """Let the names of MLflow's that Python models refer to be found within, by MLflow itself where it is installed."""
    if "mlflow" in sys.modules or find_spec("mlflow") is not None:
        yield
        return
    modules = _modules()
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


class _TypeHints:
    """Of MLflow's signatures: what a function declares that it takes and gives."""

    def __init__(self, input_: Any = None, output: Any = None) -> None:
        self.input = input_
        self.output = output


class _FunctionPythonModel(PythonModel):
    """MLflow's wrapper of a function; its attributes come from the pickle."""

    func: Any

    def predict(self, context: PythonModelContext, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ARG002 (as MLflow calls it)
        return self.func(model_input)


class MlflowException(Exception):
    """What MLflow's wrappers raise."""


class FuncInfo(NamedTuple):
    """Of MLflow's wrappers: the type hint of a function's input, and the name of its parameter."""

    input_type_hint: Any
    input_param_name: str


def _validate_model_input(
    args: tuple[Any, ...], kwargs: dict[str, Any], index: int, hint: Any, name: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with the model's input as its type hint has it: rows of a frame as a list."""
    if name in kwargs:
        return args, {**kwargs, name: _listed(kwargs[name], hint)}
    return (*args[:index], _listed(args[index], hint), *args[index + 1 :]), kwargs


def _listed(data: Any, hint: Any) -> Any:
    if not (hasattr(data, "iloc") and getattr(hint, "__origin__", None) is list):
        return data
    if not hasattr(data, "columns"):
        return data.tolist()
    [of] = hint.__args__
    if of in (str, int, float, bool, bytes):
        if data.shape[1] != 1:
            raise UsageError(f"The model takes one column, found {data.shape[1]}.")
        return data.iloc[:, 0].tolist()
    return data.to_dict(orient="records")


def _modules() -> dict[str, ModuleType]:
    wanted: dict[str, dict[str, Any]] = {
        "mlflow": {},
        "mlflow.exceptions": {"MlflowException": MlflowException},
        "mlflow.models": {"set_model": set_model},
        "mlflow.models.signature": {"_TypeHints": _TypeHints},
        "mlflow.pyfunc": {"PythonModel": PythonModel, "PythonModelContext": PythonModelContext},
        "mlflow.pyfunc.model": {
            "PythonModel": PythonModel,
            "PythonModelContext": PythonModelContext,
            "_FunctionPythonModel": _FunctionPythonModel,
        },
        "mlflow.pyfunc.utils": {"pyfunc": lambda function: function},
        "mlflow.pyfunc.utils.data_validation": {
            "_validate_model_input": _validate_model_input,
            "FuncInfo": FuncInfo,
        },
    }
    made = {name: ModuleType(name) for name in wanted}
    for name, contents in wanted.items():
        made[name].__path__ = []
        vars(made[name]).update(contents)
        above, _, own = name.rpartition(".")
        if above:
            setattr(made[above], own, made[name])
    return made
