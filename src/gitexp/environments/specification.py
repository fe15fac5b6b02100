"""What an environment has to hold, as a value with a digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from gitexp.domain.environment import Environment
from gitexp.domain.requirements import Requirement, parse_requirement
from gitexp.errors import UsageError

Kind = Literal["venv", "conda"]
Tool = Literal["uv", "pip"]

OURS = "gitexp"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """What an environment has to hold.

    Attributes:
        python: its version, "3.11.7" or "3.11", with the implementation before it unless that is CPython
            ("pypy3.10.14"); None where any will do.
        requirements: lines of `requirements.txt`; paths are relative to the project's top. Options like
            `--extra-index-url` are among them.
        conda: the text of an `@EXPLICIT` list or of an `environment.yml`; None without conda.
        gitexp: the version (or origin) of gitexp in it, None where it is not. Never fetched: the gitexp that builds the
            environment is put into it.
        is_complete: whether `requirements` are all packages there are, or need others that they do not name.
        constraints: requirements for packages, where they are needed at all.
    """

    python: str | None = None
    requirements: tuple[str, ...] = ()
    conda: str | None = None
    gitexp: str | None = None
    is_complete: bool = True
    constraints: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256, in hex, of what it says; comments, order and gitexp's own version do not count."""
        said = [f"python {self.python or ''}", f"gitexp {self.gitexp is not None}", f"complete {self.is_complete}"]
        said += sorted(_meaning(self.requirements))
        said += sorted(f"constraint {line}" for line in _meaning(self.constraints))
        said += (self.conda or "").splitlines()
        return hashlib.sha256("\n".join(said).encode("utf-8", "surrogateescape")).hexdigest()


def specification_of(environment: Environment, *, root: str | None = None) -> EnvironmentSpec:
    """What is needed to have a recorded run's environment again.

    Args:
        root: the top of the work tree that the run was recorded in, where known: packages installed from below it
            become those of the work tree that the environment is built for.
    """
    version = environment.python.get("version")
    implementation = str(environment.python.get("implementation", "cpython")).lower()
    prefix = "" if implementation == "cpython" else implementation
    lines: list[str] = []
    ours: str | None = None
    for line in environment.requirements:
        try:
            requirement = parse_requirement(line)
        except UsageError:  # a package with a name or version that is not allowed: pip is to say so
            lines.append(line)
            continue
        if requirement is not None and requirement.name == OURS:
            ours = requirement.origin
        elif requirement is not None and root is not None and (inside := _below(requirement, root)) is not None:
            lines.append(f"{inside.line()}  # {requirement.name}")
        else:
            lines.append(line)
    return EnvironmentSpec(
        python=f"{prefix}{version}" if version else None,
        requirements=tuple(lines),
        conda="".join(f"{line}\n" for line in environment.conda) or None,
        gitexp=ours,
    )


def parsed(lines: Iterable[str]) -> list[Requirement]:
    """The requirements among lines; options and comments are not.

    Raises:
        UsageError: a line is none of these.
    """
    return [requirement for line in lines if (requirement := parse_requirement(line)) is not None]


def options_among(lines: Iterable[str]) -> list[str]:
    """The lines that are options of pip, like `--extra-index-url URL`."""
    stripped = (line.strip() for line in lines)
    return [line for line in stripped if line.startswith("-") and not line.startswith(("-e", "--editable"))]


def _meaning(lines: tuple[str, ...]) -> list[str]:
    meant = options_among(lines)
    for line in lines:
        try:
            requirement = parse_requirement(line)
        except UsageError:
            meant.append(line)
            continue
        if requirement is not None:
            meant.append(requirement.line())
    return meant


def _below(requirement: Requirement, root: str) -> Requirement | None:
    if requirement.url is None or not requirement.url.startswith("file://"):
        return None
    from urllib.parse import unquote  # few environments have such a package

    address = requirement.url.removeprefix("file://").partition("#")[0]
    path = os.path.relpath(unquote(address), root)
    if path == os.pardir or path.startswith(os.pardir + os.sep):
        return None
    relative = "." if path == os.curdir else f"./{path}"
    return replace(requirement, url=None, path=relative)
