"""`.gitexp/project.yaml`: read, and checked key by key (docs/projects.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from gitexp.domain.keys import parse_key, shorten
from gitexp.errors import GitexpError, UsageError
from gitexp.projects.command import placeholders
from gitexp.projects.parameters import Parameter, Type, shown_default
from gitexp.projects.specification import EntryPoint, Project, ProjectEnvironment, check_order
from gitexp.store.yamlfile import load_yaml

PROJECT_FILE = ".gitexp/project.yaml"

_PROJECT_KEYS = ("name", "help", "entry_points", "environment")
_ENTRY_KEYS = ("command", "script", "module", "help", "parameters", "inputs", "outputs", "code", "after")
_PARAMETER_KEYS = ("type", "default", "choices", "min", "max", "required", "help")
_ENVIRONMENT_KEYS = ("python", "requirements", "conda")


def read_project_file(folder: str) -> Project | None:
    """The project whose root is `folder`, as its `.gitexp/project.yaml` has it; None where there is none.

    Raises:
        UsageError: something in it is not as it should be; the message names the key, the value and what is allowed.
        CorruptData: it is not YAML.
    """
    try:
        with open(os.path.join(folder, PROJECT_FILE), encoding="utf-8") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise UsageError(f"{PROJECT_FILE} is not UTF-8 text.") from error
    return parse_project(load_yaml(text, what=PROJECT_FILE))


def parse_project(data: object) -> Project:
    """The project in what the file holds. Raises UsageError."""
    top = _Mapping(data, "", _PROJECT_KEYS, "keys like 'entry_points:'")
    points = top.get("entry_points")
    if not isinstance(points, Mapping) or not points:
        top.refuse("entry_points", "expected a mapping with an entry point like 'main: {script: train.py}'")
    found = {}
    for name, said in points.items():
        where = f"entry_points.{name}"
        if not isinstance(name, str) or not name or name != name.strip() or name.startswith("-"):
            _refuse("entry_points", f"{shorten(str(name))} cannot be the name of an entry point")
        found[name] = _entry_point(name, _Mapping(said, where, _ENTRY_KEYS, "keys like 'script: train.py'"))
    check_order(found, PROJECT_FILE)
    return Project(
        name=top.text("name") or None,
        file=PROJECT_FILE,
        entry_points=found,
        environment=_environment(top),
        help=top.text("help"),
    )


def _entry_point(name: str, said: _Mapping) -> EntryPoint:
    given = [key for key in ("command", "script", "module") if said.get(key) is not None]
    if len(given) != 1:
        found = " and ".join(repr(key) for key in given) or "none"
        _refuse(said.where, f"expected one of 'command', 'script' and 'module', found {found}")
    parameters = said.get("parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, Mapping):
        said.refuse("parameters", "expected a mapping like 'lr: float'")
    declared = tuple(_parameter(key, value, f"{said.where}.parameters.{key}") for key, value in parameters.items())
    point = EntryPoint(
        name=name,
        command=said.text("command") or None,
        script=said.text("script") or None,
        module=said.text("module") or None,
        parameters=declared,
        help=said.text("help"),
        inputs=said.texts("inputs"),
        outputs=said.texts("outputs"),
        code=said.texts("code"),
        after=said.texts("after"),
    )
    if point.script is not None and (os.path.isabs(point.script) or ".." in point.script.split("/")):
        said.refuse("script", "expected the path of a file in the project")
    for key, templates in (
        ("command", [point.command or ""]),
        ("inputs", list(point.inputs)),
        ("outputs", list(point.outputs)),
    ):
        for template in templates:
            _check_template(template, point, f"{said.where}.{key}")
    return point


def _check_template(template: str, point: EntryPoint, where: str) -> None:
    known = {parameter.name: parameter for parameter in point.parameters}
    try:
        names = placeholders(template)
    except ValueError as error:
        _refuse(where, f"{shorten(template)}: {error}; a brace that is meant is written twice")
    for name in names:
        if name not in known:
            listed = f"the parameters are {', '.join(known)}" if known else "there are no parameters"
            _refuse(where, f"'{{{name}}}' is no parameter; {listed}")
        if known[name].default is None and not known[name].is_required:
            _refuse(where, f"'{{{name}}}' need not be given and has no default, so it cannot stand here")


def _parameter(name: object, data: object, where: str) -> Parameter:
    if not isinstance(name, str) or not name.replace("-", "_").replace(".", "_").isidentifier():
        _refuse(where, "a parameter's name is made of letters, digits, '_', '-' and '.'")
    try:
        parse_key(name, what="param")
    except GitexpError as error:
        _refuse(where, str(error).rstrip("."))
    if isinstance(data, str):
        data = {"type": data}
    said = _Mapping(data, where, _PARAMETER_KEYS, "a type like 'float', or keys like 'default: 0.1'")
    choices = said.get("choices")
    if choices is not None and (not isinstance(choices, list) or not choices or not all(map(_is_scalar, choices))):
        said.refuse("choices", "expected a list of values like [sgd, adam]")
    kind = said.get("type", "string" if choices is None else "choice")
    if kind not in list(Type):
        said.refuse("type", f"expected {', '.join(Type)}")
    if kind == Type.CHOICE and not choices:
        _refuse(where, "expected 'choices' for a choice")
    low, high = said.number("min", kind), said.number("max", kind)
    if low is not None and high is not None and low > high:
        _refuse(where, f"'min' {low:g} is above 'max' {high:g}")
    default, required = said.get("default"), said.get("required")
    if required is not None and not isinstance(required, bool):
        said.refuse("required", "expected true or false")
    if required and default is not None:
        _refuse(where, "it is required and has a default; leave one of them out")
    if default is not None and not _is_scalar(default):
        said.refuse("default", "expected a single value")
    parameter = Parameter(
        name=name,
        type=Type(kind),
        default=default,
        choices=tuple(map(shown_default, choices or ())),
        low=low,
        high=high,
        help=said.text("help"),
        is_required=default is None if required is None else required,
    )
    _check_values(parameter, said)
    return parameter


def _check_values(parameter: Parameter, said: _Mapping) -> None:
    """That the choices and the default are such as one may give."""
    for choice in parameter.choices:
        try:
            parameter.read(choice)
        except UsageError:
            _refuse(f"{said.where}.choices", f"'{choice}' is not a value of the type {parameter.type}")
    if parameter.default is not None:
        try:
            parameter.read(shown_default(parameter.default))
        except UsageError:
            said.refuse("default", f"expected {parameter.allowed}")


def _environment(top: _Mapping) -> ProjectEnvironment | None:
    data = top.get("environment")
    if data is None:
        return None
    said = _Mapping(data, "environment", _ENVIRONMENT_KEYS, "keys like 'requirements: requirements.txt'")
    python, conda, requirements = said.get("python"), said.text("conda"), said.get("requirements")
    if python is not None and not isinstance(python, str):
        said.refuse("python", "expected a version in quotes, like '3.11'")
    if conda and (requirements is not None or python is not None):
        _refuse("environment", "'conda' names a file that says everything; leave 'python' and 'requirements' out")
    if conda:
        return ProjectEnvironment(file=conda)
    if isinstance(requirements, str):
        return ProjectEnvironment(file=said.text("requirements"), python=python)
    if requirements is not None and not isinstance(requirements, list):
        said.refuse("requirements", "expected the name of a file, or a list like [numpy==2.3.1]")
    return ProjectEnvironment(python=python, requirements=said.texts("requirements"))


class _Mapping:
    """A mapping of the file, whose keys are known. Raises UsageError (all methods)."""

    def __init__(self, data: object, where: str, keys: Iterable[str], expected: str) -> None:
        self.where = where
        if not isinstance(data, Mapping):
            _refuse(where, f"expected {expected}, found {shorten(str(data))}")
        for key in data:
            if key not in keys:
                raise UsageError(
                    f"{PROJECT_FILE}: there is no key '{self._name(key)}'.", hint=f"The keys are {', '.join(keys)}."
                )
        self._data = data

    def get(self, key: str, default: Any = None) -> Any:
        return self._data.get(key, default)

    def text(self, key: str) -> str:
        value = self._data.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            self.refuse(key, "expected a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._data.get(key)
        if value is None:
            return ()
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            self.refuse(key, 'expected a list of texts, like ["..."]')
        return tuple(value)

    def number(self, key: str, kind: str) -> float | None:
        value = self._data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            self.refuse(key, "expected a number")
        if kind not in (Type.INT, Type.FLOAT):
            _refuse(self._name(key), f"a {kind} has no range; the types int and float have")
        return value

    def refuse(self, key: str, expected: str) -> NoReturn:
        _refuse(self._name(key), f"{expected}, found {shorten(str(self._data.get(key)))}")

    def _name(self, key: object) -> str:
        return f"{self.where}.{key}" if self.where else str(key)


def _refuse(where: str, why: str) -> NoReturn:
    raise UsageError(f"{PROJECT_FILE}: '{where}': {why}." if where else f"{PROJECT_FILE}: {why}.")


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float, bool))
