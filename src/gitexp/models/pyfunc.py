"""Any model as one function: data in, answer out, both as its signature says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitexp.domain.mlmodel import ModelFile
from gitexp.domain.signature import Signature
from gitexp.models.flavors import Predict
from gitexp.models.pythonmodel import Loaded, Wrapped
from gitexp.models.schema import enforce, enforce_params


class PyFuncModel:
    """A loaded model.

    Attributes:
        metadata: what its `MLmodel` file says.
    """

    def __init__(self, predict: Predict, metadata: ModelFile, native: Any) -> None:
        self.metadata = metadata
        self._predict = predict
        self._native = native

    def __repr__(self) -> str:
        kinds = ", ".join(name for name in self.metadata.flavors if name != "python_function")
        return f"<PyFuncModel {kinds or 'python_function'}>"

    @property
    def signature(self) -> Signature | None:
        return self.metadata.signature

    def unwrap(self) -> Any:
        """The model as its framework has it; of a model in Python, the object with `predict`, or the function."""
        native = self._native.model if isinstance(self._native, Loaded) else self._native
        return native.wrapped if isinstance(native, Wrapped) else native

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The model's answer.

        Args:
            data: what the signature says; columns in any order, extra ones are left out.
            params: values beside the data.

        Raises:
            SchemaMismatch: it is not what the model takes; the message names the column, what it must be and what is.
        """
        signature = self.metadata.signature
        if signature and signature.inputs is not None:
            data = enforce(signature.inputs, data)
        return self._predict(data, enforce_params(signature.params if signature else None, params))
