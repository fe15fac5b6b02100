"""Which packages of an environment cannot be had again, and what there is instead."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from gitexp.domain.masking import mask_url
from gitexp.domain.requirements import Requirement, named_by_file, normal
from gitexp.environments.installing import Builder, is_unreachable, tail
from gitexp.environments.tools import Installer, run_tool
from gitexp.errors import EnvironmentFailed

SHOWN_VERSIONS = 4
MOST_ASKED = 40
"""After as many packages it is clear that something else is wrong, like the network."""

_UV_NAMES = (
    r"no versions? of ([A-Za-z0-9._-]+)",
    r"([A-Za-z0-9._-]+) was not found in the (?:package registry|provided package locations)",
    r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==\S+ (?:has no|depends on|needs|cannot|is unusable|was yanked)",
    r"Failed to (?:fetch|download|parse|read)[^\n]*?`?([A-Za-z0-9._-]+)==",
    r"/simple/([A-Za-z0-9._-]+)/",
)
_PIP_NAMES = (
    r"No matching distribution found for ([A-Za-z0-9._-]+)",
    r"Could not find a version that satisfies the requirement ([A-Za-z0-9._-]+)",
)
_BUILD_NAMES = (
    r"Failed to (?:download and )?build:? [`'\"]?([A-Za-z0-9._-]+)",
    r"Failed building (?:editable |wheel )?for ([A-Za-z0-9._-]+)",
    r"Failed to build installable wheels for some pyproject\.toml based projects \(?([A-Za-z0-9._-]+)",
    r"generating package metadata\. ╰─> ([A-Za-z0-9._-]+)",
)
_HASH_NAMES = (
    r"Hash mismatch for `([A-Za-z0-9._-]+)",
    r"DO NOT MATCH THE HASHES.*? ([A-Za-z0-9._-]+)(?:==| ?@ | from )",
)
_NO_BUILD = r"metadata-generation-failed|subprocess-exited-with-error"
_NOT_BUILT = "it has no wheel for this Python and system, and building it fails here"
_OTHER_DIGEST = "its archive has another digest than the recorded one"
_NO_SUCH = "0!0.0.0.dev999999"
_FROM_VERSIONS = r"\(from versions: ([^)]*)\)"
_NEEDS_PYTHON = r"(\S+) Requires-Python ([^;\n]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """A package that cannot be had as it was recorded.

    Attributes:
        name: the package. recorded: its version, or where it was from.
        available: the versions that there are, oldest first.
        reason: why, where that is known; a few words.
    """

    name: str
    recorded: str
    available: tuple[str, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        there = f", {_there(self.available, self.recorded)}" if self.available or not self.reason else ""
        return f"{f'{self.name} {self.recorded}'.rstrip()}{reason}{there}"


def failure(missing: Sequence[Unavailable], output: str) -> EnvironmentFailed:
    """The error for an environment that cannot be built.

    Args:
        missing: the packages that cannot be had; empty where that is not the reason.
        output: what the installer printed.
    """
    if not missing and is_unreachable(output):
        return EnvironmentFailed(
            f"The environment cannot be built without the network: {_reason(output)}.",
            hint="Try again once the index can be reached.",
        )
    if not missing:
        return EnvironmentFailed(f"The environment cannot be built: {mask_url(tail(output))}")
    which = "; ".join(map(str, missing))
    one = len(missing) == 1
    return EnvironmentFailed(
        f"{'This package' if one else f'These {len(missing)} packages'} cannot be had: {which}.",
        hint="An index that has them can be named in pip's configuration, or in PIP_EXTRA_INDEX_URL.",
        packages=[(package.name, package.recorded, package.available) for package in missing],
    )


def find_gone(requirements: Sequence[Requirement], root: str | None) -> list[Unavailable]:
    """The packages that were installed from a file or folder which is not there any more."""
    gone = []
    for requirement in requirements:
        path = local_path(requirement, root)
        if path is not None and not os.path.exists(path):
            named = named_by_file(path)
            name = requirement.name or (named[0] if named else path)
            gone.append(Unavailable(name=name, recorded=requirement.origin, reason=f"'{path}' is gone"))
    return gone


def find_unavailable(
    requirements: Sequence[Requirement], output: str, python: str, builder: Builder, pip: Installer | None
) -> list[Unavailable]:
    """Every package that an index or its own address does not have for this Python. Nothing is installed.

    Args:
        output: what the installer printed when it gave up.
        python: the interpreter, or the Python of an environment, that the packages are for.
        pip: answers which versions there are; None where it is not here.
    """
    todo = [one for one in requirements if one.url is None and one.path is None]
    missing: list[Unavailable] = []
    if is_unreachable(output):
        return missing
    for patterns, reason in ((_HASH_NAMES, _OTHER_DIGEST), (_BUILD_NAMES, _NOT_BUILT)):
        stopper = _blamed(requirements, output, patterns)
        if stopper is not None and "Git operation failed" not in output:  # then all of them were found
            return [_explained(stopper, reason, python, builder, pip)]
    while todo and len(missing) < MOST_ASKED:
        said = _try(todo, python, builder)
        if said is None:
            break
        bad = _blamed(todo, said, (*_UV_NAMES, *_PIP_NAMES)) or _search(todo, python, builder)
        if bad is None:
            break
        todo.remove(bad)
        missing.append(_explained(bad, _NOT_BUILT if re.search(_NO_BUILD, said) else "", python, builder, pip))
    for one in requirements:
        if one.url is not None and local_path(one, None) is None:
            said = _try([one], python, builder)
            if said is not None:
                missing.append(Unavailable(name=one.name, recorded=mask_url(one.origin), reason=_reason(said)))
    return missing


def local_path(requirement: Requirement, root: str | None) -> str | None:
    """The file or folder that a package is installed from; None where it is from elsewhere.

    Args:
        root: where relative paths begin.
    """
    if requirement.path is not None:
        return os.path.normpath(os.path.join(root or "", os.path.expanduser(requirement.path)))
    if requirement.url is not None and requirement.url.startswith("file://"):
        return unquote(requirement.url.removeprefix("file://").partition("#")[0])
    return None


def _try(requirements: Sequence[Requirement], python: str, builder: Builder) -> str | None:
    """None where all of them can be had, else what the installer says."""
    lines = [builder.line(requirement) for requirement in requirements]
    options, variables = builder.sources(lines)
    command = builder.installer.command
    if builder.installer.kind == "uv":
        asked = [*command, "pip", "compile", "-", "--quiet", "--no-deps", "--no-header", "--python", python, *options]
        text = "".join(f"{line}\n" for line in [*builder.option_lines(), *lines])
    else:
        plain = [line.partition(" --hash=")[0] for line in lines]
        words = [word for line in plain for word in (line.split(maxsplit=1) if line.startswith("-e ") else [line])]
        asked = [*command, "--python", python, "install", "--dry-run", "--no-deps", "--ignore-installed", *words]
        asked += [word for line in builder.option_lines() for word in shlex.split(line)] + options
        text = ""
    environ = {**builder.environ, **variables}
    done = run_tool(asked, environ=environ, held=builder.held, cwd=builder.cwd, text=text)
    return None if done.returncode == 0 else done.stderr + done.stdout


def _blamed(todo: Sequence[Requirement], output: str, patterns: Sequence[str]) -> Requirement | None:
    """The requirement that the installer names."""
    flat = re.sub(r"\s+", " ", output)
    names = {requirement.name: requirement for requirement in todo}
    for pattern in patterns:
        for name in re.findall(pattern, flat):
            if normal(name) in names:
                return names[normal(name)]
    return None


def _search(todo: Sequence[Requirement], python: str, builder: Builder) -> Requirement | None:
    """The first requirement that cannot be had, by halves; None where no single one is to blame."""
    while len(todo) > 1:
        half = todo[: len(todo) // 2]
        if _try(half, python, builder) is not None:
            todo = half
        else:
            todo = todo[len(todo) // 2 :]
            if _try(todo, python, builder) is None:
                return None
    return todo[0]


def _explained(
    requirement: Requirement, reason: str, python: str, builder: Builder, pip: Installer | None
) -> Unavailable:
    if requirement.url is not None:
        return Unavailable(name=requirement.name, recorded=mask_url(requirement.origin), reason=reason)
    available, needs = _versions(requirement, python, builder, pip)
    return Unavailable(name=requirement.name, recorded=requirement.origin, available=available, reason=reason or needs)


def _versions(
    requirement: Requirement, python: str, builder: Builder, pip: Installer | None
) -> tuple[tuple[str, ...], str]:
    """The versions that there are for this Python, and why the recorded one is not among them, where pip tells."""
    if pip is None:
        return (), ""
    asking = replace(builder, installer=pip)
    # One that nobody has: pip would fetch one that is there, and may have to build it to know what it needs.
    output = _try([Requirement(name=requirement.name, specifier=f"=={_NO_SUCH}")], python, asking) or ""
    found = re.search(_FROM_VERSIONS, output)
    versions = found[1].split(", ") if found and found[1] != "none" else []
    reason = ""
    for version, wanted in re.findall(_NEEDS_PYTHON, output):
        if version == requirement.version:
            reason = f"needs Python {wanted.strip()}"
    return tuple(versions), reason


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    empty = ("Exception:", "subprocess-exited-with-error", "metadata-generation-failed")
    said = [line for line in lines if line.startswith(("cause:", "error:", "ERROR:", "fatal:"))]
    said = [line for line in said if not line.endswith(empty)]
    fatal = [line for line in said if line.startswith("fatal:")]  # git's own words
    last = (fatal or said or lines or [""])[-1]
    return mask_url(re.sub(r"^(cause|error|ERROR|fatal):\s*", "", last)).rstrip(".")


def _there(available: tuple[str, ...], recorded: str) -> str:
    """The versions nearest to the recorded one."""
    if not available:
        return "no version of it was found"
    place = sum(_order(version) < _order(recorded) for version in available)
    first = max(0, min(place - SHOWN_VERSIONS // 2, len(available) - SHOWN_VERSIONS))
    shown = ", ".join(available[first : first + SHOWN_VERSIONS])
    more = f" ({len(available)} in all)" if len(available) > SHOWN_VERSIONS else ""
    return f"available: {shown}{more}"


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
