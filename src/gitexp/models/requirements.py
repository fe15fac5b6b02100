"""What must be installed to load a model and ask it, found without importing anything anew."""

from __future__ import annotations

import os
import pickletools
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

from gitexp.domain import yamltext

MOST_OPCODES = 2_000_000
PYTHON_ENV, CONDA, REQUIREMENTS = "python_env.yaml", "conda.yaml", "requirements.txt"

_STRINGS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")


def modules_in_pickle(path: str) -> frozenset[str]:
    """The top-level modules that loading a pickle imports. It is read, never loaded."""
    found: set[str] = set()
    strings: list[str] = []
    with open(path, "rb") as file:
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
                if opcode.name in _STRINGS:
                    strings.append(str(argument))
                elif opcode.name == "GLOBAL":
                    found.add(str(argument).partition(" ")[0].partition(".")[0])
                elif opcode.name == "STACK_GLOBAL":
                    found |= {text.partition(".")[0] for text in strings[-2:] if text.partition(".")[0] in sys.modules}
                if count > MOST_OPCODES:
                    break
        except ValueError:  # compressed, or of a pickler's own making
            return frozenset()
    return frozenset(found)


def infer_requirements(modules: Iterable[str]) -> tuple[str, ...]:
    """The distributions that these modules are of, as `name==version`, sorted; those of this very project left out.

    What a builder added to a version, as in "2.13.0+cpu", is left out: no index has it but that builder's own.
    """
    known = _distributions()
    names = {name for module in modules for name in known.get(module.partition(".")[0], ())}
    versions = {name: metadata.version(name).partition("+")[0] for name in names if _normal(name) != "gitexp"}
    return tuple(sorted(f"{name}=={version}" for name, version in versions.items()))


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _normal(name: str) -> str:
    return name.replace("_", "-").lower()


def environment_files(requirements: Iterable[str]) -> dict[str, str]:
    """`requirements.txt`, `python_env.yaml` and `conda.yaml`, as MLflow writes them, by name."""
    listed = list(requirements)
    version = ".".join(map(str, sys.version_info[:3]))
    pip = _version_of("pip")
    builders = [f"{name}=={found}" for name in ("pip", "setuptools", "wheel") if (found := _version_of(name))]
    python_env: dict[str, Any] = {
        "python": version,
        "build_dependencies": builders,
        "dependencies": [f"-r {REQUIREMENTS}"],
    }
    conda: dict[str, Any] = {
        "channels": ["conda-forge"],
        "dependencies": [f"python={version}", f"pip<={pip}" if pip else "pip", {"pip": listed}],
        "name": "mlflow-env",
    }
    return {
        REQUIREMENTS: "".join(f"{line}\n" for line in listed),
        PYTHON_ENV: yamltext.dump(python_env),
        CONDA: yamltext.dump(conda),
    }


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def read_requirements(folder: str) -> tuple[str, ...]:
    """The lines of a saved model's `requirements.txt`; none where it has no such file."""
    try:
        with open(os.path.join(folder, REQUIREMENTS), encoding="utf-8") as file:
            return tuple(line.strip() for line in file if line.strip() and not line.startswith("#"))
    except FileNotFoundError:
        return ()
