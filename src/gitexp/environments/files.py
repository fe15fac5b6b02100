"""What a project's own files say of its environment.

`python_env.yaml` and `conda.yaml` as MLflow reads them, `requirements.txt` as pip does, `pylock.toml` as in PEP 751.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitexp.domain import yamltext
from gitexp.domain.requirements import parse_requirement
from gitexp.environments.specification import OURS, EnvironmentSpec
from gitexp.errors import CorruptData, NotFound, UsageError
from gitexp.store.yamlfile import load_yaml

NAMES = ("pylock.toml", "python_env.yaml", "conda.yaml", "environment.yml", "requirements.txt")
"""The files that are looked for; the first one counts."""

_CONDA_PACKAGE = r"(?:[\w.-]+::)?([A-Za-z0-9._-]+)\s*(?:(==|=|<=|>=|<|>|!=|~=)?\s*([^\s]*))?"
_NOT_CONDAS = ("pip", "setuptools", "wheel")
_EXTRA = r"""(['"])(?P<name>[^'"]*)\1\s+(?P<no>not\s+)?in\s+(?P<what>extras|dependency_groups)"""


def specification_from_files(folder: str, file: str | None = None) -> EnvironmentSpec | None:
    """The environment that a project's files ask for; None where it has no such file.

    Args:
        folder: the project's top; relative paths of requirements begin here.
        file: the file that says it, relative to `folder`; by default the first of `NAMES`.

    Raises:
        NotFound: the file, or one that it includes, is not there.
        CorruptData: it is not what its name says.
        UsageError: a requirement cannot be read.
    """
    if file is None:
        file = next((name for name in NAMES if os.path.isfile(os.path.join(folder, name))), None)
        if file is None:
            return None
    path = os.path.join(folder, file)
    name = os.path.basename(file)
    if name.endswith(".toml"):
        return _from_pylock(path, folder)
    if name.endswith((".yaml", ".yml")):
        document = load_yaml(_read(path), what=file)
        if not isinstance(document, dict):
            raise CorruptData(f"'{file}' is not a mapping.")
        read = _from_conda if "channels" in document or _has_conda_pip(document) else _from_python_env
        return read(document, path, folder)
    lines, constraints = _expand([f"-r {name}"], os.path.dirname(path))
    return _specify(lines, constraints, python=_python_version(folder))


def _from_python_env(document: Mapping[str, Any], path: str, folder: str) -> EnvironmentSpec:
    python = document.get("python")
    if python is not None and not isinstance(python, str):  # 3.10 without quotes is the number 3.1
        raise CorruptData(f"'{path}': the version of Python needs quotes: \"{python}\".")
    lines: list[str] = []
    for key in ("build_dependencies", "dependencies"):
        lines += _strings(document.get(key) or [], path, key)
    wanted, constraints = _expand(lines, os.path.dirname(path))
    return _specify(wanted, constraints, python=python or _python_version(folder))


def _from_conda(document: Mapping[str, Any], path: str, folder: str) -> EnvironmentSpec:
    """One that names nothing but Python and packages for pip needs no conda."""
    python, needs_conda = None, False
    lines: list[str] = []
    kept: list[Any] = []
    for item in document.get("dependencies") or []:
        if isinstance(item, dict):
            lines += _strings(item.get("pip") or [], path, "pip")
            continue
        match = re.match(_CONDA_PACKAGE, str(item).strip())
        if match is None:
            raise CorruptData(f"'{path}': '{item}' is not a package of conda's.")
        kept.append(item)
        package, operator, version = match.groups()
        if package == "python":
            exact = re.match(r"\d+(\.\d+)*", version or "") if operator in ("=", "==", "<=", ">=") else None
            python = exact[0] if exact else None
        elif package in _NOT_CONDAS:
            if operator and version:
                lines.append(f"{package}{'==' if operator == '=' else operator}{version}")
        else:
            needs_conda = True
    wanted, constraints = _expand(lines, os.path.dirname(path))
    if not needs_conda:
        return _specify(wanted, constraints, python=python or _python_version(folder))
    text = yamltext.dump({"channels": document.get("channels") or ["conda-forge"], "dependencies": kept})
    return _specify(wanted, constraints, python=python, conda=text)


def _from_pylock(path: str, folder: str) -> EnvironmentSpec:
    try:
        document = tomllib.loads(_read(path))
        packages = document["packages"]
        groups = set(document.get("default-groups", ()))
        lines = [_locked(package, groups) for package in packages]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CorruptData(f"'{path}' is not a lock file as PEP 751 has it: {error}.") from error
    return _specify(lines, (), python=_python_version(folder), is_complete=True)


def _locked(package: Mapping[str, Any], groups: set[str]) -> str:
    name = package["name"]
    hashes: set[str] = set()
    if source := package.get("vcs"):
        address = source.get("url") or source["path"]
        line = f"{name} @ {source['type']}+{address}@{source['commit-id']}{_subdirectory(source)}"
    elif source := package.get("directory"):
        place = source["path"] if source["path"].startswith((".", "/")) else f"./{source['path']}"
        line = f"-e {place}" if source.get("editable") else place
    elif source := package.get("archive"):
        line = f"{name} @ {source['url']}{_subdirectory(source)}" if "url" in source else f"./{source['path']}"
        hashes = _hashes(source)
    else:
        line = f"{name}=={package['version']}"
        archives = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        hashes = {digest for archive in archives for digest in _hashes(archive)}
    if marker := package.get("marker"):
        line += f" ; {_decided(marker, groups)}"
    line += "".join(f" --hash={digest}" for digest in sorted(hashes))
    return f"{line}  # {name}" if "directory" in package else line


def _decided(marker: str, groups: set[str]) -> str:
    """A marker without the two variables that only lock files have; no extra is wanted, and the default groups are."""

    def answer(match: re.Match[str]) -> str:
        is_in = match["what"] == "dependency_groups" and match["name"] in groups
        return "python_version >= '0'" if is_in != bool(match["no"]) else "python_version < '0'"

    return re.sub(_EXTRA, answer, marker)


def _hashes(archive: Mapping[str, Any]) -> set[str]:
    return {f"{kind}:{digest}" for kind, digest in archive.get("hashes", {}).items()}


def _subdirectory(source: Mapping[str, Any]) -> str:
    return f"#subdirectory={source['subdirectory']}" if "subdirectory" in source else ""


def _specify(
    lines: Iterable[str],
    constraints: Iterable[str],
    *,
    python: str | None,
    conda: str | None = None,
    is_complete: bool | None = None,
) -> EnvironmentSpec:
    kept: list[str] = []
    ours: str | None = None
    hashed = True
    for line in lines:
        requirement = parse_requirement(line)
        if requirement is not None and requirement.name == OURS:
            ours = requirement.origin
            continue
        kept.append(line)
        hashed = hashed and (requirement is None or bool(requirement.hashes))
    # With a hash for each line pip insists that nothing is missing, so nothing is.
    whole = hashed and bool(kept) if is_complete is None else is_complete
    return EnvironmentSpec(
        python=python,
        requirements=tuple(kept),
        conda=conda,
        gitexp=ours,
        is_complete=whole,
        constraints=tuple(constraints),
    )


def _expand(lines: Iterable[str], folder: str) -> tuple[list[str], list[str]]:
    """The requirements and the constraints, with the files that they include in their places."""
    wanted: dict[str, None] = {}
    constraints: dict[str, None] = {}
    for line, is_constraint in _included(lines, folder, is_constraint=False, above=()):
        (constraints if is_constraint else wanted)[line] = None
    return list(wanted), list(constraints)


def _included(
    lines: Iterable[str], folder: str, *, is_constraint: bool, above: tuple[str, ...]
) -> Iterator[tuple[str, bool]]:
    for line in lines:
        text = line.strip()
        match = re.match(r"(-r|--requirement|-c|--constraint)(?:\s+|=)([^#]+)", text)
        if match is None:
            if text and not text.startswith("#"):
                yield text, is_constraint
            continue
        path = os.path.normpath(os.path.join(folder, match[2].strip()))
        if path in above:
            raise UsageError(f"'{path}' includes itself.")
        inside = _read(path).replace("\\\r\n", " ").replace("\\\n", " ").splitlines()
        yield from _included(
            inside,
            os.path.dirname(path),
            is_constraint=is_constraint or match[1] in ("-c", "--constraint"),
            above=(*above, path),
        )


def _has_conda_pip(document: Mapping[str, Any]) -> bool:
    items = document.get("dependencies") or []
    return any(isinstance(item, dict) or re.match(r"python\s*[=<>]", str(item)) for item in items)


def _strings(items: object, path: str, key: str) -> list[str]:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise CorruptData(f"'{path}': '{key}' is not a list of packages.")
    return list(items)


def _python_version(folder: str) -> str | None:
    """As `.python-version` says, which pyenv and uv read too."""
    try:
        text = _read(os.path.join(folder, ".python-version"))
    except NotFound:
        return None
    match = re.search(r"^\s*(\d+\.\d+(?:\.\d+)?)\s*$", text, re.MULTILINE)
    return match[1] if match else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except FileNotFoundError as error:
        raise NotFound(f"There is no file '{path}'.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptData(f"'{path}' cannot be read: {error}.") from error
