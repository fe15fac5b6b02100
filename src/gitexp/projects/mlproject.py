"""MLflow's `MLproject` files, as MLflow reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitexp.domain.keys import shorten
from gitexp.errors import UsageError
from gitexp.projects.command import placeholders
from gitexp.projects.parameters import Parameter, Type
from gitexp.projects.specification import EntryPoint, Project, ProjectEnvironment
from gitexp.store.yamlfile import load_yaml

_ENVIRONMENTS = ("python_env", "conda_env", "docker_env")
_DEFAULT_FILES = ("python_env.yaml", "conda.yaml")


def read_mlproject(folder: str) -> Project | None:
    """The project in a folder that has an `MLproject` file, in whatever case its name is; None where it has none.

    Keys that MLflow knows and this does not need, and those that MLflow does not know, are left alone, as there.

    Raises:
        UsageError: it cannot be used; the message says why.
        CorruptData: it is not YAML.
    """
    name = next((name for name in sorted(os.listdir(folder)) if name.lower() == "mlproject"), None)
    if name is None:
        return None
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text.") from error
    data = load_yaml(text, what=name)
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise UsageError(f"{name}: expected a mapping with 'entry_points', found {shorten(str(data))}.")
    _refuse_unsupported(data, name)
    points = data.get("entry_points") or {}
    if not isinstance(points, Mapping):
        raise UsageError(f"{name}: 'entry_points': expected a mapping, found {shorten(str(points))}.")
    title = data.get("name")
    return Project(
        name=None if title is None else str(title),
        file=name,
        entry_points={str(key): _entry_point(str(key), said, name) for key, said in points.items()},
        environment=_environment(data, folder, name),
    )


def default_environment(folder: str) -> ProjectEnvironment | None:
    """What `python_env.yaml`, else `conda.yaml`, in a project's folder says; None where neither is there."""
    names = (name for name in _DEFAULT_FILES if os.path.isfile(os.path.join(folder, name)))
    return next((ProjectEnvironment(file=name) for name in names), None)


def _refuse_unsupported(data: Mapping[str, Any], name: str) -> None:
    given = [key for key in _ENVIRONMENTS if key in data]
    if len(given) > 1:
        raise UsageError(f"{name}: it has {' and '.join(given)}, and can have only one environment.")
    if "docker_env" in data:
        raise UsageError(
            f"{name}: 'docker_env' is not supported: gitexp starts no containers.",
            hint="Replace it by 'python_env: python_env.yaml' or 'conda_env: conda.yaml', or start gitexp inside of"
            " the image.",
        )
    if "databricks_spark_job" in data:
        raise UsageError(f"{name}: 'databricks_spark_job' is not supported: gitexp runs on this machine.")


def _entry_point(key: str, said: object, name: str) -> EntryPoint:
    where = f"{name}: 'entry_points.{key}'"
    if not isinstance(said, Mapping):
        raise UsageError(f"{where}: expected a mapping with 'command', found {shorten(str(said))}.")
    command = said.get("command")
    if not isinstance(command, str) or not command.strip():
        raise UsageError(f"{where}: 'command': expected a text, found {shorten(str(command))}.")
    parameters = said.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise UsageError(f"{where}: 'parameters': expected a mapping, found {shorten(str(parameters))}.")
    declared = tuple(_parameter(str(given), value, where) for given, value in parameters.items())
    known = {parameter.name for parameter in declared}
    try:
        unknown = [found for found in placeholders(command) if found not in known]
    except ValueError as error:
        raise UsageError(f"{where}: 'command': {error}.") from error
    if unknown:
        raise UsageError(f"{where}: 'command': '{{{unknown[0]}}}' is not among its parameters.")
    return EntryPoint(name=key, command=command, parameters=declared, takes_more=True)


def _parameter(key: str, said: object, where: str) -> Parameter:
    if isinstance(said, str):
        said = {"type": said}
    if not isinstance(said, Mapping):
        raise UsageError(f"{where}: 'parameters.{key}': expected a type or a mapping, found {shorten(str(said))}.")
    kind, default = str(said.get("type", "string")).lower(), said.get("default")
    known = kind in (Type.STRING, Type.FLOAT, Type.PATH, Type.URI)
    return Parameter(
        name=key,
        type=Type(kind) if known else Type.STRING,  # to MLflow, any other type is a text
        default=default if default is None or isinstance(default, (str, int, float, bool)) else str(default),
        is_required=default is None,
        must_exist=kind == Type.PATH,
    )


def _environment(data: Mapping[str, Any], folder: str, name: str) -> ProjectEnvironment | None:
    for key in ("python_env", "conda_env"):
        file = data.get(key)
        if file and not os.path.isfile(os.path.join(folder, str(file))):
            raise UsageError(f"{name}: '{key}': there is no file '{file}'.")
        if file:
            return ProjectEnvironment(file=str(file))
    return default_environment(folder)
