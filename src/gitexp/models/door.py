"""What `gitexp.sklearn`, `gitexp.xgboost` and the others offer: the same three functions for each kind of model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitexp.domain.signature import Signature
from gitexp.models.loading import load_native
from gitexp.models.saving import SAID_OF_ALL, ModelInfo, ModelSpec
from gitexp.models.saving import log_model as keep_model
from gitexp.models.saving import save_model as write_model
from gitexp.session import current_run


class Door:
    """The functions for one kind of model."""

    def __init__(self, flavor: str) -> None:
        self._flavor = flavor

    def save_model(
        self,
        model: Any,
        path: str,
        *,
        signature: Signature | None = None,
        input_example: Any = None,
        pip_requirements: Iterable[str] | None = None,
        extra_pip_requirements: Iterable[str] = (),
        code_paths: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ModelInfo:
        """Write a model into the new folder `path`, in the format that MLflow reads.

        Args:
            signature: what it takes and gives; where left out, inferred from `input_example` and the answer to it.
            input_example: a few rows of data that it takes.
            pip_requirements: what must be installed, in place of what is found out.
            extra_pip_requirements: what must be installed besides.
            code_paths: files and folders of modules that it needs and that are in no package.
            options: of this kind of model.

        Raises:
            UsageError: the folder is there and not empty, it is no model of this kind, or an option makes no sense.
        """
        said = {
            "signature": signature,
            "input_example": input_example,
            "pip_requirements": pip_requirements,
            "extra_pip_requirements": extra_pip_requirements,
            "code_paths": code_paths,
            "metadata": metadata,
        }
        return write_model(model, path, self._flavor, _spec({**said, **options}))

    def log_model(
        self, model: Any, name: str = "model", *, registered_model_name: str | None = None, **said: Any
    ) -> ModelInfo:
        """Keep a model as the artifact folder `name` of the active run; starts one where there is none.

        Args:
            registered_model_name: the model of the registry that it becomes a new version of, when the run has ended.
            said: as for `save_model`.

        Raises:
            UsageError: it is no model of this kind, or an option makes no sense.
            InvalidName
        """
        spec = _spec(said)
        return keep_model(current_run(), model, name, self._flavor, spec, registered=registered_model_name)

    def load_model(self, model_uri: str, *, trust: bool = False) -> Any:
        """The model at an address as its framework has it; what MLflow saved, too.

        Args:
            model_uri: `runs:/RUN/PATH`, `RUN:PATH`, `models:/NAME/7`, `models:/NAME@alias`, or a folder.
            trust: whether a model of somebody else's may run code that it brings along, as a pickle does.

        Raises:
            NotFound, CorruptData, UsageError
        """
        return load_native(model_uri, self._flavor, trust=trust)


def _spec(said: Mapping[str, Any]) -> ModelSpec:
    known = {name: said[name] for name in SAID_OF_ALL if name in said}
    return ModelSpec(**known, options={name: value for name, value in said.items() if name not in SAID_OF_ALL})
