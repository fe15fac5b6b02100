"""Saving and logging models: their files, and the `MLmodel` file that says what they are."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from gitexp.activerun import ActiveRun
from gitexp.domain import yamltext
from gitexp.domain.manifest import manifest_digest
from gitexp.domain.mlmodel import FILE, PYFUNC, ModelFile, model_to_dict
from gitexp.domain.registry import parse_model_name
from gitexp.domain.signature import Signature, is_tensors
from gitexp.errors import UsageError
from gitexp.models.examples import write_example
from gitexp.models.flavors import flavor as find_flavor
from gitexp.models.requirements import environment_files, infer_requirements
from gitexp.models.schema import infer_signature

CODE = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model that was saved or logged.

    Attributes:
        model_uri: what `load_model` takes.
        digest: "sha256:" and hex, of its files; that of a version which is registered from it.
    """

    model_uri: str
    digest: str
    model: ModelFile

    @property
    def signature(self) -> Signature | None:
        return self.model.signature

    @property
    def flavors(self) -> Mapping[str, Mapping[str, Any]]:
        return self.model.flavors


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What is said of a model that is saved.

    Attributes:
        signature: what it takes and gives; None: inferred from the example and what the model answers to it.
        input_example: data that it takes; a few rows.
        pip_requirements: what must be installed, in place of what is inferred; extra_pip_requirements besides it.
        code_paths: files and folders of modules that it needs and that are in no package.
        options: of the flavor.
    """

    signature: Signature | None = None
    input_example: Any = None
    pip_requirements: Iterable[str] | None = None
    extra_pip_requirements: Iterable[str] = ()
    code_paths: Iterable[str] = ()
    metadata: Mapping[str, Any] | None = None
    options: Mapping[str, Any] | None = None


SAID_OF_ALL = [item.name for item in fields(ModelSpec) if item.name != "options"]


def save_model(model: Any, path: str, flavor: str, spec: ModelSpec | None = None) -> ModelInfo:
    """Write a model into the new folder `path`.

    Raises:
        UsageError: the folder is there and not empty, or the model is none of this kind.
    """
    if os.path.isdir(path) and os.listdir(path):
        raise UsageError(f"The folder '{path}' is not empty.", hint="Save the model into a new one.")
    os.makedirs(path, exist_ok=True)
    return _write(model, path, flavor, spec or ModelSpec(), path, None, None)


def log_model(
    run: ActiveRun, model: Any, name: str, flavor: str, spec: ModelSpec | None = None, *, registered: str | None = None
) -> ModelInfo:
    """Keep a model as the artifact folder `name` of a run.

    Args:
        registered: the model of the registry that it is a new version of, when the run has ended.

    Raises:
        UsageError: it is no model of this kind.
        InvalidName: `registered` is no name of a model.
    """
    if registered is not None:
        parse_model_name(registered)
    with tempfile.TemporaryDirectory(prefix="gitexp-model-") as folder:
        info = _write(model, folder, flavor, spec or ModelSpec(), f"runs:/{run.id}/{name}", name, run.id)
        run.log_artifacts(folder, name)
        if registered is not None:
            run.register_model(name, registered)
    return info


def _write(
    model: Any, folder: str, name: str, spec: ModelSpec, uri: str, artifact_path: str | None, run_id: str | None
) -> ModelInfo:
    kind = find_flavor(name)
    options = spec.options or {}
    unknown = next((option for option in options if option not in kind.options), None)
    if unknown is not None:
        known = ", ".join([*kind.options, *SAID_OF_ALL])
        raise UsageError(f"There is no option '{unknown}' for models of {kind.name}.", hint=f"There are {known}.")
    saved = kind.save(model, folder, options)
    code = _copy_code(spec.code_paths, folder)
    flavors: dict[str, Mapping[str, Any]] = {}
    if saved.settings is not None:
        own = {"code": code} if "code" in saved.settings or code else {}
        flavors[kind.name] = {**saved.settings, **own}
    example = None if spec.input_example is None else write_example(spec.input_example, folder)
    signature = spec.signature
    modules = set(saved.modules)
    if saved.pyfunc is not None:
        env = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
        version = ".".join(map(str, sys.version_info[:3]))
        flavors[PYFUNC] = {
            "env": env,
            "loader_module": kind.loader,
            **saved.pyfunc,
            "python_version": version,
            **({"code": code} if code else {}),
        }
        if signature is None and spec.input_example is not None:
            asked = model if saved.asked is None else saved.asked
            answer = kind.predictor(asked, flavors[PYFUNC])(spec.input_example, {})
            signature = infer_signature(spec.input_example, answer)
    if signature and signature.inputs is not None:
        modules |= {"numpy"} if is_tensors(signature.inputs) else {"numpy", "pandas"}
    inferred = infer_requirements(modules) if spec.pip_requirements is None else tuple(spec.pip_requirements)
    for file, text in environment_files(dict.fromkeys([*inferred, *spec.extra_pip_requirements])).items():
        with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
            out.write(text)
    size = sum(os.path.getsize(os.path.join(folder, file)) for file in _files(folder))
    said = ModelFile(
        artifact_path=artifact_path,
        flavors=flavors,
        created=time.time(),
        uuid=uuid.uuid4().hex,
        run_id=run_id,
        signature=signature,
        input_example=example,
        metadata=spec.metadata,
        size_bytes=size,
    )
    with open(os.path.join(folder, FILE), "w", encoding="utf-8") as out:
        out.write(yamltext.dump(model_to_dict(said)))
    digest = manifest_digest((file, _sha256(os.path.join(folder, file))) for file in _files(folder))
    return ModelInfo(model_uri=uri, digest=f"sha256:{digest}", model=said)


def _files(folder: str) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(above, name), folder) for above, _, names in os.walk(folder) for name in names
    )


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy_code(paths: Iterable[str], folder: str) -> str | None:
    """Copy modules into the model's folder; gives the name of their folder there."""
    listed = list(paths)
    for path in listed:
        target = os.path.join(folder, CODE, os.path.basename(os.path.normpath(path)))
        if os.path.isdir(path):
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif os.path.isfile(path):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(path, target)
        else:
            raise UsageError(f"There is no file or folder '{path}' with code.")
    return CODE if listed else None
