"""Making one environment in one folder: interpreter, tool, packages; and what to say where that cannot be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from gitexp.domain.requirements import Requirement, normal
from gitexp.environments import ownpackage
from gitexp.environments.cache import PREFIX, Marker, base_of
from gitexp.environments.installing import (
    Builder,
    InstallFailed,
    ask_environment,
    list_packages,
    make_conda,
)
from gitexp.environments.pythons import Interpreter, find_python
from gitexp.environments.specification import EnvironmentSpec, Kind, Tool, options_among, parsed
from gitexp.environments.tools import Installer, find_conda, find_installer, find_pip, run_tool
from gitexp.environments.unavailable import failure, find_gone, find_unavailable
from gitexp.errors import EnvironmentFailed

Say = Callable[[str], None]

_BELOW = "_gitexp_below.pth"


def make_environment(
    spec: EnvironmentSpec,
    place: str,
    *,
    kind: Kind,
    cache: str,
    tool: Tool | None,
    root: str | None,
    environ: Mapping[str, str],
    held: int,
    say: Say,
) -> Marker:
    """Make an environment in the folder `prefix` of `place`.

    Raises:
        EnvironmentFailed
    """
    prefix = os.path.join(place, PREFIX)
    requirements = [_from_here(one, environ) for one in parsed(spec.requirements)]
    if kind == "venv":
        _check_gone(requirements, root)
    installer = find_installer(cache, environ=environ, tool=tool, say=say)
    options = tuple(options_among(spec.requirements))
    builder = Builder(installer=installer, environ=environ, held=held, cwd=root, options=options)
    note = ""
    built_with: str = installer.kind
    if kind == "conda" and spec.conda is not None:
        _make_conda(spec.conda, prefix, environ=environ, held=held, place=place)
        built_with = "conda"
        there = {normal(name): version for name, version in list_packages(prefix, environ).items()}
        if spec.is_complete:
            # What conda installed is among the requirements too, some with an address on the machine that built it.
            requirements = [
                one for one in requirements if one.name not in there or one.version not in (None, there[one.name])
            ]
        _check_gone(requirements, root)
    else:
        interpreter, note = find_python(
            spec.python, environ=environ, install=_python_fetcher(installer, environ), say=say
        )
        builder.make(interpreter, prefix)
    site, version, base = ask_environment(prefix, environ)
    if spec.gitexp is not None:
        if tuple(map(int, version.split(".")[:2])) >= ownpackage.OLDEST_PYTHON:
            names = {one.name for one in requirements}
            requirements += parsed(ownpackage.needs_besides(names))
        else:
            note += f"{' ' if note else ''}Python {version} is too old for this gitexp, which is left out."
    try:
        if requirements:
            builder.install(
                prefix,
                requirements,
                constraints=spec.constraints,
                with_dependencies=not spec.is_complete,
                workplace=place,
            )
    except InstallFailed as error:
        python = os.path.join(prefix, "bin", "python")
        missing = find_unavailable(requirements, error.output, python, builder, _pip_for_questions(cache, environ, say))
        raise failure(missing, error.output) from None
    return Marker(
        digest=spec.digest,
        kind=kind,
        built_with=built_with,
        version=version,
        site=site,
        base=base_of(base),
        notes=(note,) if note else (),
    )


def make_overlay(
    spec: EnvironmentSpec,
    place: str,
    *,
    below: str,
    base: Marker,
    local: Sequence[Requirement],
    cache: str,
    tool: Tool | None,
    root: str | None,
    environ: Mapping[str, str],
    held: int,
    say: Say,
) -> str:
    """Make an environment that has the packages of another one and some from folders; gives its `site-packages`.

    Args:
        spec: of the other one.
        below: its prefix, of which `base` is known.

    Raises:
        EnvironmentFailed
    """
    _check_gone(local, root)
    prefix = os.path.join(place, PREFIX)
    installer = find_installer(cache, environ=environ, tool=tool, say=say)
    options = tuple(options_among(spec.requirements))
    builder = Builder(installer=installer, environ=environ, held=held, cwd=root, options=options)
    version = base.version
    builder.make(Interpreter(path=os.path.join(below, "bin", "python"), version=version), prefix)
    site, _, _ = ask_environment(prefix, environ)
    # Behind its own packages, and so that the `.pth` files there count as well.
    with open(os.path.join(site, _BELOW), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"import site; site.addsitedir({base.site!r})\n")
    absolute = [_absolute(one, root) for one in local]
    try:
        builder.install(
            prefix,
            absolute,
            constraints=spec.constraints,
            with_dependencies=not spec.is_complete,
            anew=True,
            workplace=place,
        )
    except InstallFailed as error:
        raise failure([], error.output) from None
    return site


def _check_gone(requirements: Sequence[Requirement], root: str | None) -> None:
    gone = find_gone(requirements, root)
    if gone:
        raise failure(gone, "")


def _absolute(requirement: Requirement, root: str | None) -> Requirement:
    if requirement.path is None or root is None:
        return requirement
    return replace(requirement, path=os.path.normpath(os.path.join(root, os.path.expanduser(requirement.path))))


def _make_conda(text: str, prefix: str, *, environ: Mapping[str, str], held: int, place: str) -> None:
    conda = find_conda(environ)
    if conda is None:
        raise EnvironmentFailed(
            "The environment is one of conda's, and none of micromamba, mamba and conda is here.",
            hint="Install micromamba, or take the Python packages alone: --env venv.",
        )
    try:
        make_conda(conda, text, prefix, environ=environ, held=held, workplace=place)
    except InstallFailed as error:
        raise failure([], error.output) from None


def _python_fetcher(installer: Installer, environ: Mapping[str, str]) -> Callable[[str], str | None] | None:
    if installer.kind != "uv":
        return None

    def fetch(version: str) -> str | None:
        done = run_tool([*installer.command, "python", "install", version], environ=environ)
        if done.returncode != 0:
            return None
        found = run_tool([*installer.command, "python", "find", "--no-project", version], environ=environ)
        return found.stdout.strip() or None

    return fetch


def _pip_for_questions(cache: str, environ: Mapping[str, str], say: Say) -> Installer | None:
    with suppress(EnvironmentFailed):
        return Installer(kind="pip", command=find_pip(cache, environ, say))
    return None


def _from_here(requirement: Requirement, environ: Mapping[str, str]) -> Requirement:
    """An editable install of another repository, from its folder where that still has the commit.

    That commit may never have been pushed. Passwords in addresses were not recorded: git is to know them.
    """
    if requirement.url is not None and "***@" in requirement.url:
        requirement = replace(requirement, url=re.sub(r"(?<=://)[^/@]*\*\*\*@", "", requirement.url))
    match = re.match(r"editable in (.+)\Z", requirement.comment)
    if match is None or not requirement.is_repository or requirement.url is None:
        return requirement
    address, _, fragment = requirement.url.partition("#")
    commit = address.rpartition("@")[2]
    folder = match[1]
    with suppress(EnvironmentFailed):
        asked = ["git", "-C", folder, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"]
        top = run_tool(["git", "-C", folder, "rev-parse", "--show-toplevel"], environ=environ)
        if run_tool(asked, environ=environ).returncode == 0 and top.returncode == 0:
            url = f"git+file://{top.stdout.strip()}@{commit}{'#' if fragment else ''}{fragment}"
            return replace(requirement, url=url)
    return requirement
