"""What environments are built with: uv, pip, conda. Where there is no uv, gitexp installs one for itself, once."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gitexp.environments.cache import EnvironmentCache
from gitexp.environments.pythons import this_interpreter
from gitexp.environments.specification import Tool
from gitexp.errors import EnvironmentFailed
from gitexp.store.git import durable

OLDEST_UV = (0, 5)
"""Knows `--index` and `--default-index`."""

RETRY_S = 24 * 3600.0
"""How long it is remembered that uv could not be installed."""

_TOOLS = "tools"
_FAILED = "no-uv"
_CONDAS = ("micromamba", "mamba", "conda")
_MISLEADING = {
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "GITEXP_RUN"),
    *("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV", "PIP_CONSTRAINT"),
    *("PIP_REQUIREMENT", "PIP_NO_DEPS", "PIP_DRY_RUN", "PIP_REPORT", "PIP_REQUIRE_HASHES", "PIP_EDITABLE"),
    *("UV_PYTHON", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_REQUIRE_HASHES"),
    *("UV_SYSTEM_PYTHON", "UV_WORKING_DIRECTORY", "UV_EXCLUDE_NEWER"),
}
"""Variables that would send an installer elsewhere, or change what exact versions mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installer:
    """uv or pip: `command` starts it, up to where its own arguments begin."""

    kind: Tool
    command: tuple[str, ...]


def run_tool(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    held: int | None = None,
    cwd: str | None = None,
    text: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run an installer to its end; stdout and stderr come back apart.

    Args:
        held: a descriptor that it holds as long as it lives.
        text: what it reads from stdin.

    Raises:
        EnvironmentFailed: it cannot be started.
    """
    try:
        return subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=cwd,
            env=clean(environ),
            input=text if text is not None else "",
            pass_fds=() if held is None else (held,),
        )
    except OSError as error:
        raise EnvironmentFailed(f"'{command[0]}' does not start: {error.strerror}.") from error


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for an installer: what is set for other purposes does not reach it."""
    return {name: value for name, value in environ.items() if name not in _MISLEADING} | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def find_uv(environ: Mapping[str, str]) -> str | None:
    """A uv that is here and new enough: in PATH, in gitexp's own environment, or where its installer puts it."""
    candidates = [shutil.which("uv", path=environ.get("PATH", os.defpath)), _imported_uv()]
    candidates += [os.path.expanduser(place) for place in ("~/.local/bin/uv", "~/.cargo/bin/uv")]
    for path in candidates:
        if path and os.access(path, os.X_OK) and _is_new_enough(path, environ):
            return path
    return None


def find_installer(
    cache: str, *, environ: Mapping[str, str], tool: Tool | None = None, say: Callable[[str], None]
) -> Installer:
    """uv where it is or can be installed, else pip.

    Args:
        cache: gitexp's cache folder, below which its own tools lie.
        tool: the one to take, whatever else there is.

    Raises:
        EnvironmentFailed: neither is here and pip cannot be had.
    """
    if tool != "pip":
        uv = find_uv(environ)
        if uv:
            return Installer(kind="uv", command=(uv,))
        uv = _own_uv(cache, environ, say)
        if uv:
            return Installer(kind="uv", command=(uv,))
    if tool == "uv":
        raise EnvironmentFailed("uv is not here and cannot be installed.", hint="pip install uv")
    return Installer(kind="pip", command=find_pip(cache, environ, say))


def find_pip(cache: str, environ: Mapping[str, str], say: Callable[[str], None]) -> tuple[str, ...]:
    """A pip that can install into any environment (`--python`, since 22.3).

    Raises:
        EnvironmentFailed: there is none, and none can be made.
    """
    if importlib.util.find_spec("pip") is not None:
        from importlib.metadata import PackageNotFoundError, version  # only where an environment is built

        with suppress(PackageNotFoundError):
            if tuple(map(int, re.findall(r"\d+", version("pip"))[:2])) >= (22, 3):
                return (sys.executable, "-m", "pip")
    python = _own_tools(cache, environ, say)
    if python is None:
        raise EnvironmentFailed(
            "Neither uv nor pip is here, and this Python cannot make them (no 'ensurepip').",
            hint="pip install uv, or the system's package: apt install python3-venv",
        )
    return (python, "-m", "pip")


def find_conda(environ: Mapping[str, str]) -> str | None:
    """The program of conda's family that is here, the quickest first."""
    path = environ.get("PATH", os.defpath)
    places = [environ.get("MAMBA_EXE"), *(shutil.which(name, path=path) for name in _CONDAS), environ.get("CONDA_EXE")]
    return next((place for place in places if place and os.access(place, os.X_OK)), None)


def _imported_uv() -> str | None:
    if importlib.util.find_spec("uv") is None:
        return None
    with suppress(Exception):  # whatever its package raises where its program is missing
        return str(importlib.import_module("uv").find_uv_bin())
    return None


def _is_new_enough(uv: str, environ: Mapping[str, str]) -> bool:
    with suppress(EnvironmentFailed):
        found = re.match(r"uv (\d+)\.(\d+)", run_tool([uv, "--version"], environ=environ).stdout)
        return found is not None and (int(found[1]), int(found[2])) >= OLDEST_UV
    return False


def _own_uv(cache: str, environ: Mapping[str, str], say: Callable[[str], None]) -> str | None:
    """The uv that gitexp installed for itself; tried at most once a day."""
    uv = os.path.join(cache, _TOOLS, "bin", "uv")
    whole = os.path.join(cache, _TOOLS, "uv-is-whole")
    if os.path.exists(whole):
        return uv
    failed = os.path.join(cache, _FAILED)
    with suppress(FileNotFoundError):
        if os.stat(failed).st_mtime > time.time() - RETRY_S:
            return None
    python = _own_tools(cache, environ, say)
    if python is None:
        return None
    with EnvironmentCache(cache).locked(_TOOLS, lambda: say("Another gitexp installs uv: waiting for it.")) as held:
        if os.path.exists(whole):
            return uv
        say("Installing uv, once, for building environments quickly.")
        done = run_tool([python, "-m", "pip", "install", "--quiet", "uv"], environ=environ, held=held)
        if done.returncode == 0 and os.access(uv, os.X_OK):
            durable.replace(whole, b"")
            return uv
    say("uv cannot be installed: pip is used.")
    durable.replace(failed, b"", durable=False)
    return None


def _own_tools(cache: str, environ: Mapping[str, str], say: Callable[[str], None]) -> str | None:
    """The Python of a virtual environment with pip, for gitexp's own tools; None where this Python cannot make one."""
    folder = os.path.join(cache, _TOOLS)
    python = os.path.join(folder, "bin", "python")
    with EnvironmentCache(cache).locked(
        _TOOLS, lambda: say("Another gitexp prepares its tools: waiting for it.")
    ) as held:
        if os.access(python, os.X_OK):
            return python
        shutil.rmtree(folder, ignore_errors=True)
        durable.make_folder(cache)
        for left in os.listdir(cache):
            if left.startswith(durable.TEMPORARY):
                shutil.rmtree(os.path.join(cache, left), ignore_errors=True)
        # Made beside and moved: `-m pip` does not mind where its environment lies, and a killed one has no name.
        making = tempfile.mkdtemp(dir=cache, prefix=durable.TEMPORARY)
        done = run_tool([this_interpreter().path, "-m", "venv", making], environ=environ, held=held)
        if done.returncode != 0:
            shutil.rmtree(making, ignore_errors=True)
            return None
        os.replace(making, folder)
    return python
