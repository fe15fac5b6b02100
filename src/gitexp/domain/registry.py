"""A registered model: its versions, their aliases and stages, and the text of its files (docs/format.md, 1.13)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from gitexp.domain import yamltext
from gitexp.domain.identity import RunId, parse_name
from gitexp.domain.run import FORMAT, check_format, format_time, parse_time
from gitexp.domain.values import storable
from gitexp.errors import CorruptData, InvalidName, NotFound, UsageError

SCHEME = "models:/"
LATEST = "latest"

_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")
_LONGEST_NUMBER = 9
_LIKE_A_VERSION = re.compile(r"v?\d+\Z", re.IGNORECASE)


class Stage(StrEnum):
    NONE = "none"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version. What it is never changes; what is said of it may.

    Attributes:
        run, commit: the run it came from, and that run's state when it was registered.
        path: of the model among the run's artifacts: a folder or a file.
        digest: "sha256:" and hex, of the lines `<sha256>  <path in the folder>` sorted by the bytes of the path.
        size_bytes: of all its files.
        created: seconds since 1970, UTC. author: who registered it.
        deleted: when it was removed.
    """

    number: int
    run: RunId
    commit: str
    path: str
    digest: str
    size_bytes: int
    created: float
    author: str
    stage: Stage = Stage.NONE
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    deleted: float | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def is_of(self, other: ModelVersion) -> bool:
        """Whether both are the same files of the same run."""
        return (self.run, self.path, self.digest) == (other.run, other.path, other.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A model by name. `aliases` are versions by alias; `versions` ascend by number, and no number is used twice."""

    name: str
    created: float
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    deleted: float | None = None
    versions: tuple[ModelVersion, ...] = ()
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def next_number(self) -> int:
        return self.versions[-1].number + 1 if self.versions else 1

    @property
    def present(self) -> tuple[ModelVersion, ...]:
        """The versions that are not removed."""
        return tuple(version for version in self.versions if version.deleted is None)

    def version(self, number: int) -> ModelVersion:
        """Raises NotFound."""
        for version in self.versions:
            if version.number == number:
                return version
        raise NotFound(f"The model '{self.name}' has no version {number}.", hint=self._has())

    def find(self, which: str) -> ModelVersion:
        """The version that `which` means: "7", "@alias", a stage (the newest in it), "latest" or "" (the newest).

        Raises:
            NotFound: there is none, or it was removed.
        """
        if which.startswith("@"):
            number = self.aliases.get(which[1:])
            if number is None:
                known = ", ".join(f"@{alias}" for alias in sorted(self.aliases))
                raise NotFound(
                    f"The model '{self.name}' has no alias '{which[1:]}'.", hint=known and f"It has {known}."
                )
            found = self.version(number)
        elif which.isdecimal():
            found = self.version(int(which))
        else:
            fitting = [version for version in self.present if which in ("", LATEST) or version.stage == which.lower()]
            if not fitting:
                if which.lower() not in (LATEST, "", *Stage):
                    raise NotFound(f"'{which}' is no version, alias or stage of '{self.name}'.", hint=self._has())
                where = f" in '{which.lower()}'" if which not in ("", LATEST) else ""
                raise NotFound(f"The model '{self.name}' has no version{where}.", hint=self._has())
            return fitting[-1]
        if found.deleted is not None:
            raise NotFound(
                f"Version {found.number} of '{self.name}' was removed.",
                hint=f"gitexp models restore {self.name}/{found.number}",
            )
        return found

    def aliases_of(self, number: int) -> list[str]:
        return sorted(alias for alias, target in self.aliases.items() if target == number)

    def with_version(self, version: ModelVersion) -> RegisteredModel:
        """The same with this version in place of the one of its number."""
        others = [other for other in self.versions if other.number != version.number]
        return replace(self, versions=tuple(sorted([*others, version], key=lambda each: each.number)))

    def _has(self) -> str:
        numbers = [str(version.number) for version in self.present]
        return f"It has {', '.join(numbers[-10:])}." if numbers else f"gitexp models register RUN:PATH {self.name}"


@dataclass(frozen=True, slots=True)
class ModelAddress:
    """A model's name, and what is said after it: `7`, `@alias`, a stage, or nothing."""

    name: str
    which: str = ""

    def __str__(self) -> str:
        return f"{self.name}{'' if not self.which or self.which.startswith('@') else '/'}{self.which}"


def parse_model_name(text: object) -> str:
    """Raises InvalidName: it is no name, or holds what separates a name from a version."""
    name = parse_name(text, what="model name")
    found = next((mark for mark in "/:@" if mark in name), None)
    if found:
        raise InvalidName(f"The model name {name!r} holds '{found}'.", hint="A version is said after '/' or '@'.")
    return name


def parse_address(text: str) -> ModelAddress:
    """`nyc-taxi`, `nyc-taxi/7`, `nyc-taxi@production`, `nyc-taxi/production`, each with or without `models:/`.

    Raises:
        InvalidName
    """
    rest = text.removeprefix(SCHEME).removeprefix("/")
    name, at, alias = rest.partition("@")
    if at:
        return ModelAddress(parse_model_name(name), f"@{parse_alias(alias)}")
    name, _, which = rest.partition("/")
    if which.isdecimal() and len(which) > _LONGEST_NUMBER:
        raise InvalidName(f"'{which[:_LONGEST_NUMBER]}...' is no version: it is too long.")
    return ModelAddress(parse_model_name(name), which)


def parse_alias(text: str) -> str:
    """Raises InvalidName: it cannot be an alias, or would be read as a version."""
    if not _ALIAS.match(text):
        raise InvalidName(f"'{text}' is no alias.", hint="Use letters, digits, '_', '-' and '.'.")
    if text.lower() == LATEST or _LIKE_A_VERSION.match(text):
        raise InvalidName(f"The alias '{text}' would be read as a version.", hint="Choose a word, like 'champion'.")
    return text


def parse_stage(text: str) -> Stage:
    """Raises UsageError."""
    try:
        return Stage(text.lower())
    except ValueError:
        raise UsageError(f"There is no stage '{text}'.", hint=f"The stages are {', '.join(Stage)}.") from None


# The text of its files


def dump_model(model: RegisteredModel) -> dict[str, str]:
    """The files of a model's tree by path: `model.yaml` and one for each version."""
    made = {
        "format": FORMAT,
        "name": model.name,
        "created": format_time(model.created),
        "description": model.description,
        "tags": _sorted(model.tags),
        "aliases": _sorted(model.aliases),
        "deleted": None if model.deleted is None else format_time(model.deleted),
        **model.unknown,
    }
    files = {"model.yaml": _text(made)}
    return files | {version_file(version.number): _text(version_to_dict(version)) for version in model.versions}


def version_file(number: int) -> str:
    return f"versions/{number}.yaml"


def version_to_dict(version: ModelVersion) -> dict[str, Any]:
    return {
        "version": version.number,
        "run": str(version.run),
        "commit": version.commit,
        "path": version.path,
        "digest": version.digest,
        "bytes": version.size_bytes,
        "created": format_time(version.created),
        "author": version.author,
        "stage": None if version.stage is Stage.NONE else version.stage.value,
        "description": version.description,
        "tags": _sorted(version.tags),
        "deleted": None if version.deleted is None else format_time(version.deleted),
        **version.unknown,
    }


def model_from_dicts(model: Mapping[str, Any], versions: Iterable[Mapping[str, Any]]) -> RegisteredModel:
    """The model that `model.yaml` and the files of its versions hold.

    Raises:
        UnknownFormat: a newer gitexp wrote it.
        CorruptData: something in it is not as docs/format.md says.
    """
    check_format(model, "model.yaml")
    try:
        return RegisteredModel(
            name=str(model["name"]),
            created=parse_time(model["created"]),
            description=model.get("description"),
            tags={str(key): str(value) for key, value in model.get("tags", {}).items()},
            aliases={str(alias): int(number) for alias, number in model.get("aliases", {}).items()},
            deleted=None if model.get("deleted") is None else parse_time(model["deleted"]),
            versions=tuple(sorted(map(_version_from_dict, versions), key=lambda version: version.number)),
            unknown={key: model[key] for key in model.keys() - _MODEL_KEYS},
        )
    except KeyError as error:
        raise CorruptData(f"model.yaml: {error.args[0]!r} is missing.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CorruptData(f"model.yaml: {error}.") from error


def _version_from_dict(data: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        number=int(data["version"]),
        run=RunId(data["run"]),
        commit=str(data["commit"]),
        path=str(data["path"]),
        digest=str(data["digest"]),
        size_bytes=int(data["bytes"]),
        created=parse_time(data["created"]),
        author=str(data["author"]),
        stage=Stage(data.get("stage", "none")),
        description=data.get("description"),
        tags={str(key): str(value) for key, value in data.get("tags", {}).items()},
        deleted=None if data.get("deleted") is None else parse_time(data["deleted"]),
        unknown={key: data[key] for key in data.keys() - _VERSION_KEYS},
    )


_MODEL_KEYS = frozenset(("format", "name", "created", "description", "tags", "aliases", "deleted"))
_VERSION_KEYS = frozenset("version run commit path digest bytes created author stage description tags deleted".split())


def _sorted(values: Mapping[str, Any]) -> dict[str, Any] | None:
    return {key: values[key] for key in sorted(values)} or None


def _text(made: Mapping[str, Any]) -> str:
    return yamltext.dump({key: storable(value) for key, value in made.items() if value is not None})
