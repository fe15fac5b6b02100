"""From what an environment has to hold to one that is there: built once, then found by its digest."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gitexp.domain.requirements import Requirement
from gitexp.environments import ownpackage
from gitexp.environments.cache import PREFIX, ROOT, EnvironmentCache, Marker, base_of, cache_folder
from gitexp.environments.specification import EnvironmentSpec, Kind, Tool, options_among, parsed
from gitexp.errors import EnvironmentFailed

# What builds is imported where it builds: an environment that is in the cache is not to wait for it.

Say = Callable[[str], None]

_BUILD_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An environment that can be used.

    Attributes:
        python: its interpreter. prefix: its folder.
        digest: of the specification.
        was_cached: whether it was there already.
        built_with: "uv", "pip" or "conda".
        environ: what to set in the environment of a process that shall use it; None stands for unset.
    """

    python: str
    prefix: str
    kind: Kind
    digest: str
    was_cached: bool
    built_with: str
    environ: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What is asked for, passed whole.

    Attributes:
        spec: of what can be kept under its digest; local: what is installed from folders that may change.
        key: names the kept environment.
    """

    spec: EnvironmentSpec
    local: tuple[Requirement, ...]
    key: str
    kind: Kind
    root: str | None
    tool: Tool | None
    cache: str
    environ: Mapping[str, str]
    say: Say


def build(
    spec: EnvironmentSpec,
    *,
    kind: Kind | None = None,
    folder: str | None = None,
    root: str | None = None,
    tool: Tool | None = None,
    say: Say = lambda _: None,
    environ: Mapping[str, str] = os.environ,
) -> Built:
    """An environment that holds what is specified: from the cache, or built now.

    Packages that are installed from a folder (`-e .`) are not kept with the others, but installed anew over them, from
    `root`. gitexp, where the environment has it, is the one that runs.

    Args:
        kind: "conda" where the specification says conda, and "venv" where not, by default.
        folder: gitexp's cache; the user's own by default.
        root: the top of the work tree, where relative paths of the specification begin.
        tool: what to build a virtual environment with; by default uv where it is or can be installed, else pip.
        say: told what takes long, and what is not as specified.
        environ: the variables of the process that asks; the installers get them too.

    Raises:
        EnvironmentFailed: it cannot be built; the message names every package that cannot be had.
    """
    chosen: Kind = kind or ("conda" if spec.conda else "venv")
    _check_kind(spec, chosen)
    kept, local = _split(spec, chosen)
    if root is None and any(requirement.path is not None for requirement in local):
        names = ", ".join(requirement.name or requirement.origin for requirement in local)
        raise EnvironmentFailed(
            f"The environment has packages of a repository ({names}), and there is no work tree to install them from."
        )
    request = _Request(
        spec=kept,
        local=local,
        key=_key(kept.digest, chosen),
        kind=chosen,
        root=os.path.realpath(root) if root is not None else None,
        tool=tool,
        cache=folder or cache_folder(environ),
        environ=environ,
        say=say,
    )
    cache = EnvironmentCache(request.cache)
    key, was_cached = request.key, True
    marker = cache.look(key)
    if marker is None:
        marker, was_cached = _build_kept(cache, request)
    for note in marker.notes:
        say(note)
    if kept.gitexp is not None and _has_gitexps_python(marker):
        ownpackage.link(marker.site)
    bins = [os.path.join(cache.place(key), PREFIX, "bin")]
    if local:
        key, fresh = _add_local(cache, request, marker)
        was_cached = was_cached and not fresh
        bins.insert(0, os.path.join(cache.place(key), PREFIX, "bin"))
    prefix = os.path.join(cache.place(key), PREFIX)
    return Built(
        python=os.path.join(prefix, "bin", "python"),
        prefix=prefix,
        kind=chosen,
        digest=spec.digest,
        was_cached=was_cached,
        built_with=marker.built_with,
        environ=_variables(prefix, chosen if not local else "venv", bins, environ),
    )


def _check_kind(spec: EnvironmentSpec, kind: Kind) -> None:
    if kind == "conda" and spec.conda is None:
        raise EnvironmentFailed(
            "This environment was not made by conda.", hint="Take a virtual environment: --env venv."
        )
    if kind == "venv" and spec.conda is not None and not spec.is_complete:
        raise EnvironmentFailed(
            "This environment needs packages that only conda has.", hint="Let conda build it: --env conda."
        )


def _split(spec: EnvironmentSpec, kind: Kind) -> tuple[EnvironmentSpec, tuple[Requirement, ...]]:
    """What can be kept under its digest, and what comes from a folder or file that can change."""
    local: list[Requirement] = []
    kept: list[Requirement] = []
    for requirement in parsed(spec.requirements):
        # A file's address may be that of the machine which built a package of conda's; that is seen once conda is done.
        is_condas = kind == "conda" and requirement.path is None and not requirement.editable
        (local if _can_change(requirement) and not is_condas else kept).append(requirement)
    lines = (*options_among(spec.requirements), *(_with_comment(requirement) for requirement in kept))
    conda = spec.conda if kind == "conda" else None
    return replace(spec, requirements=lines, conda=conda), tuple(local)


def _can_change(requirement: Requirement) -> bool:
    if requirement.path is not None or (requirement.editable and not requirement.is_repository):
        return True
    is_file = requirement.url is not None and requirement.url.startswith("file://")
    return is_file and not requirement.hashes and "#sha256=" not in (requirement.url or "")


def _with_comment(requirement: Requirement) -> str:
    return requirement.line() + (f"  # {requirement.comment}" if requirement.comment else "")


def _key(digest: str, kind: Kind) -> str:
    """Home folders are shared by machines of several kinds."""
    machine = f"{digest} {kind} {sys.platform} {os.uname().machine}"
    return hashlib.sha256(machine.encode()).hexdigest()[:32]


def _build_kept(cache: EnvironmentCache, request: _Request) -> tuple[Marker, bool]:
    """The environment, and whether another process has built it meanwhile."""
    from gitexp.environments.making import make_environment

    say = request.say
    with cache.locked(request.key, lambda: say("This environment is being built already: waiting.")) as held:
        marker = cache.look(request.key)
        if marker is not None:
            return marker, True
        place = cache.begin(request.key)
        started = time.monotonic()
        count = len(parsed(request.spec.requirements))
        say(f"Building the environment: {count} package{'' if count == 1 else 's'}.")
        with cache.clearing(request.key):
            marker = make_environment(
                request.spec,
                place,
                kind=request.kind,
                cache=request.cache,
                tool=request.tool,
                root=request.root,
                environ=request.environ,
                held=held,
                say=say,
            )
        cache.complete(request.key, marker)
        say(f"Built with {marker.built_with} in {time.monotonic() - started:.1f} s.")
        return marker, False


def _add_local(cache: EnvironmentCache, request: _Request, base: Marker) -> tuple[str, bool]:
    """The key of an environment over the kept one that has the local packages too, and whether it is new."""
    cache.sweep_orphans()
    below = os.path.join(cache.place(request.key), PREFIX)
    key = _local_key(request)
    with cache.locked(key, lambda: request.say("This environment is being built already: waiting.")) as held:
        if cache.look(key) is not None:
            return key, False
        from gitexp.environments.making import make_overlay

        place = cache.begin(key)
        if request.root is not None:
            with open(os.path.join(place, ROOT), "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(request.root)
        request.say(f"Installing {', '.join(one.name or one.origin for one in request.local)} from the work tree.")
        with cache.clearing(key):
            site = make_overlay(
                request.spec,
                place,
                below=below,
                base=base,
                local=request.local,
                cache=request.cache,
                tool=request.tool,
                root=request.root,
                environ=request.environ,
                held=held,
                say=request.say,
            )
        interpreter = base_of(os.path.join(below, "bin", "python"))
        cache.complete(key, replace(base, site=site, base=interpreter, notes=()))
    return key, True


def _local_key(request: _Request) -> str:
    """Editable packages change with their source, so what is installed stays right; others are installed each time."""
    said = [request.key, request.root or "", *(requirement.line() for requirement in request.local)]
    for requirement in request.local:
        if not requirement.editable or requirement.path is None or request.root is None:
            return f"{request.key[:16]}-{os.urandom(8).hex()}"
        for name in _BUILD_FILES:
            try:
                with open(os.path.join(request.root, requirement.path, name), "rb") as file:
                    said.append(hashlib.sha256(file.read()).hexdigest())
            except OSError:
                said.append("")
    return f"{request.key[:16]}-{hashlib.sha256(chr(10).join(said).encode()).hexdigest()[:16]}"


def _has_gitexps_python(marker: Marker) -> bool:
    return tuple(map(int, marker.version.split(".")[:2])) >= ownpackage.OLDEST_PYTHON


def _variables(prefix: str, kind: Kind, bins: Sequence[str], environ: Mapping[str, str]) -> dict[str, str | None]:
    active, other = ("CONDA_PREFIX", "VIRTUAL_ENV") if kind == "conda" else ("VIRTUAL_ENV", "CONDA_PREFIX")
    path = os.pathsep.join([*bins, environ.get("PATH", os.defpath)])
    return {
        active: prefix,
        other: None,
        "PATH": path,
        "PYTHONHOME": None,
        "CONDA_DEFAULT_ENV": None,
        "CONDA_SHLVL": None,
        "CONDA_PROMPT_MODIFIER": None,
        "VIRTUAL_ENV_PROMPT": None,
    }
