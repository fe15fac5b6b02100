"""Kinds of models: how each is written into a folder and read back. One file for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from gitexp.errors import NotFound, UsageError

Predict = Callable[[Any, Mapping[str, Any]], Any]
"""Gives a model's answer to data and params."""

NAMES = ("sklearn", "xgboost", "lightgbm", "catboost", "statsmodels", "onnx", "pytorch", "keras", "function")
"""The kinds there are; each is `gitexp.models.flavors.<name>`, which calls it `FLAVOR`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a flavor wrote, as the `MLmodel` file says it.

    Attributes:
        settings: of the flavor itself; None where there is nothing but `python_function`.
        pyfunc: of `python_function`: `model_path` or `data`, and what its loader needs; None where it cannot predict.
        modules: what must be importable to load it and predict.
        asked: what `predictor` takes for it, where that is not the model itself.
    """

    settings: Mapping[str, Any] | None
    pyfunc: Mapping[str, Any] | None
    modules: frozenset[str] = field(default_factory=frozenset)
    asked: Any = None


class Flavor(Protocol):
    """One kind of model.

    Attributes:
        name: of the flavor in the `MLmodel` file.
        loader: the module that MLflow loads it by as a function, like "mlflow.sklearn".
        options: the names of what `save` takes besides the model.
    """

    name: str
    loader: str
    options: tuple[str, ...]

    def save(self, model: Any, folder: str, options: Mapping[str, Any]) -> Saved:
        """Write the model into a folder that is there.

        Raises:
            UsageError: it is no model of this kind, or the value of an option makes no sense.
        """
        ...

    def is_code(self, settings: Mapping[str, Any]) -> bool:
        """Whether loading such a model runs code that it brings along, as a pickle does."""
        ...

    def load(self, folder: str, settings: Mapping[str, Any]) -> Any:
        """The model as its framework has it. Raises UsageError: the framework is not installed."""
        ...

    def predictor(self, model: Any, settings: Mapping[str, Any]) -> Predict:
        """What answers for a loaded model; `settings` are those of `python_function`."""
        ...


def flavor(name: str) -> Flavor:
    """Raises NotFound: there is no such kind here."""
    if name not in NAMES:
        raise NotFound(f"There is no flavor '{name}'.", hint=f"There are {', '.join(NAMES)}.")
    found: Flavor = import_module(f"gitexp.models.flavors.{name}").FLAVOR
    return found


def flavor_of_loader(loader: str) -> Flavor:
    """The kind that MLflow loads as a function by this module. Raises NotFound."""
    name = loader.removeprefix("mlflow.").partition(".")[0]
    return flavor("function" if name == "pyfunc" else name)


def full_name(thing: Any) -> str:
    """The name of a thing's class, with its module."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def class_named(name: str) -> Any:
    """The class of such a name. Raises UsageError: there is none."""
    module, _, qualified = name.rpartition(".")
    try:
        return getattr(import_module(module), qualified)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"There is no class '{name}'.") from error


def require(module: str, package: str) -> Any:
    """An installed module. Raises UsageError: it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(f"The package '{package}' is not installed.", hint=f"pip install {package}") from error
