"""Models written in Python: a class with `predict`, a function, or anything that has `predict`.

They are pickled together with this module, which is why it needs nothing but the standard library: where such a model
is loaded, by MLflow for one, gitexp need not be installed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class PythonModelContext:
    """What a model has beside itself.

    Attributes:
        artifacts: paths on this machine of the files and folders that it was kept with, by name.
        model_config: settings that it was kept with.
    """

    def __init__(self, artifacts: Mapping[str, str], model_config: Mapping[str, Any] | None = None) -> None:
        self.artifacts = dict(artifacts)
        self.model_config = dict(model_config or {})


class Loaded(NamedTuple):
    """A model that was loaded, and what it has beside itself."""

    model: Any
    context: PythonModelContext


class _Hints:
    """What MLflow asks a model: of which types its input and output are declared. None: it declares none."""

    input = None
    output = None


class PythonModel:
    """A model whose answers are computed by Python code of one's own."""

    predict_type_hints = _Hints()

    def load_context(self, context: PythonModelContext) -> None:
        """Called once, when the model is loaded, for what takes long, as opening its artifacts."""

    def predict(self, context: PythonModelContext, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The answer to data; `context` and `params` may be left out of the parameters."""
        raise NotImplementedError


class Wrapped(PythonModel):
    """A function, or the `predict` of an object, as a model."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped

    def load_context(self, context: PythonModelContext) -> None:
        load = getattr(self.wrapped, "load_context", None)
        if load is not None:
            load(context)

    def predict(self, context: PythonModelContext, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        return ask(getattr(self.wrapped, "predict", self.wrapped), context, model_input, params)


def ask(predict: Callable[..., Any], context: Any, model_input: Any, params: Mapping[str, Any] | None) -> Any:
    """Call a function with as much of this as it takes."""
    try:
        known = inspect.signature(predict).parameters
    except ValueError:  # of an extension that does not tell
        return predict(model_input)
    before = (context,) if "context" in known else ()
    return predict(*before, model_input, params=params) if "params" in known else predict(*before, model_input)
