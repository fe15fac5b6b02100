"""Any saved model as one function: `gitexp.pyfunc.load_model("models:/nyc-taxi@champion").predict(data)`."""

from __future__ import annotations

from gitexp.models.loading import load_pyfunc
from gitexp.models.pyfunc import PyFuncModel

__all__ = ["PyFuncModel", "load_model"]


def load_model(model_uri: str, *, trust: bool = False) -> PyFuncModel:
    """The model at an address, whichever framework it is of, saved by gitexp or by MLflow.

    Args:
        model_uri: `runs:/RUN/PATH`, `RUN:PATH`, `models:/NAME/7`, `models:/NAME@alias`, or a folder.
        trust: whether a model of somebody else's may run code that it brings along, as a pickle does.

    Raises:
        NotFound, CorruptData, UsageError
    """
    return load_pyfunc(model_uri, trust=trust)
