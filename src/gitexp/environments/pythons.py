"""Which Pythons this machine has, and the one that an environment needs."""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from gitexp.errors import EnvironmentFailed

_ASK = (
    "import json, sys; print(json.dumps([sys.implementation.name, '.'.join(map(str, sys.version_info[:3])),"
    " getattr(sys, '_base_executable', sys.executable)]))"
)
_ASK_S = 10.0
_INSTALLED = (
    "~/.pyenv/versions/*",
    "~/.asdf/installs/python/*",
    "~/.local/share/mise/installs/python/*",
    "~/.local/share/uv/python/*",
    "/Library/Frameworks/Python.framework/Versions/*",
)
"""Where the usual tools keep Pythons that need not be in PATH, one folder each."""

_OTHER_FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python, which is in no virtual environment: `path` to start it, `version` like "3.11.7"."""

    path: str
    version: str
    implementation: str = "cpython"

    @property
    def name(self) -> str:
        return f"{'' if self.implementation == 'cpython' else self.implementation}{self.version}"


def this_interpreter() -> Interpreter:
    """The one that gitexp runs in."""
    path: str = getattr(sys, "_base_executable", "") or sys.executable
    version = ".".join(map(str, sys.version_info[:3]))
    return Interpreter(path=path, version=version, implementation=sys.implementation.name)


def find_python(
    wanted: str | None,
    *,
    environ: Mapping[str, str],
    install: Callable[[str], str | None] | None = None,
    say: Callable[[str], None],
) -> tuple[Interpreter, str]:
    """The interpreter for an environment, and a note about it, empty where it is just what was wanted.

    Args:
        wanted: like "3.11.7", "3.11" or "pypy3.10.14"; None for any.
        install: fetches a version that is not here and gives its path, or None where it cannot.

    Raises:
        EnvironmentFailed: there is none that would do; the message names those that there are.
    """
    if wanted is None:
        return this_interpreter(), ""
    match = re.match(r"([a-z]*?)-?(\d+(?:\.\d+)*)", wanted)
    if match is None:
        raise EnvironmentFailed(f"'{wanted}' is not a version of Python.", hint="Examples: 3.11, 3.12.1")
    implementation, version = match[1] if match[1] not in ("", "python") else "cpython", match[2]
    found: dict[str, Interpreter] = {}
    near = None
    for one in _pythons(implementation, version, environ):
        if one.path in found:
            continue
        found[one.path] = one
        if one.implementation != implementation:
            continue
        if _fits(one.version, version):
            return one, ""
        if _fits(one.version, _minor(version)) and (near is None or _order(one.version) > _order(near.version)):
            near = one
    if near is not None:
        return near, f"Python {wanted} is not here: Python {near.name} is used instead."
    if install is not None:
        say(f"Python {wanted} is not here: it is fetched.")
        path = install(f"{'' if implementation == 'cpython' else f'{implementation}@'}{version}")
        fetched = _ask(path) if path else None
        if fetched is not None:
            exact = _fits(fetched.version, version)
            return fetched, "" if exact else f"Python {wanted} cannot be had: Python {fetched.name} is used instead."
    there = sorted({one.name for one in found.values()}, key=_order)
    ways = f", for example with 'uv python install {version}' or 'pyenv install {version}'"
    raise EnvironmentFailed(
        f"Python {wanted} is not here; there is {', '.join(there)}." if there else f"Python {wanted} is not here.",
        hint=f"Install it{ways if implementation == 'cpython' else ' and put it in PATH'}.",
    )


def ask_python(path: str) -> Interpreter:
    """What the interpreter at a path is.

    Raises:
        EnvironmentFailed: it cannot be started.
    """
    found = _ask(path)
    if found is None:
        raise EnvironmentFailed(f"The Python at '{path}' does not start.")
    return found


def _pythons(implementation: str, version: str, environ: Mapping[str, str]) -> Iterator[Interpreter]:
    """Those that may do first; every one that is not a mere other name of one that was seen."""
    ours = this_interpreter()
    yield ours
    seen = {os.path.realpath(ours.path)}
    later = []
    for path in _candidates(implementation, version, environ):
        real = os.path.realpath(path)
        if real in seen or not os.access(path, os.X_OK) or _is_placeholder(path):
            continue
        seen.add(real)
        said = re.search(r"(\d+\.\d+\.\d+)", path)
        if said and not _fits(said[1], _minor(version)):
            later.append(path)  # by the name of its folder it will not do; it is only asked if nothing does
            continue
        one = _ask(path)
        if one is not None:
            yield one
    for path in later:
        one = _ask(path)
        if one is not None:
            yield one


def _candidates(implementation: str, version: str, environ: Mapping[str, str]) -> Iterator[str]:
    program = "python" if implementation == "cpython" else implementation
    names = [f"{program}{_minor(version)}", f"{program}3", program]
    patterns = [os.path.expanduser(pattern) for pattern in _INSTALLED]
    for variable, inside in (("PYENV_ROOT", "versions/*"), ("UV_PYTHON_INSTALL_DIR", "*")):
        if environ.get(variable):
            patterns.insert(0, os.path.join(glob.escape(environ[variable]), inside))
    for pattern in patterns:
        for folder in sorted(glob.glob(pattern), reverse=True):
            if not os.path.islink(folder):
                yield os.path.join(folder, "bin", "python3")
    on_path = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    for folder in [*on_path, *_OTHER_FOLDERS]:
        if os.path.basename(folder) != "shims":  # which choose one of those above, or fail
            yield from (os.path.join(folder, name) for name in names)
            yield from sorted(glob.glob(os.path.join(glob.escape(folder), f"{program}3.[0-9]*[0-9]")))


def _is_placeholder(path: str) -> bool:
    """Whether macOS would open a window that offers its developer tools instead of starting a Python."""
    tools = ("/Library/Developer/CommandLineTools", "/Applications/Xcode.app")
    return sys.platform == "darwin" and path.startswith("/usr/bin/") and not any(map(os.path.isdir, tools))


def _ask(path: str) -> Interpreter | None:
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        asked = subprocess.run(
            [path, "-I", "-S", "-c", _ASK], capture_output=True, text=True, check=True, timeout=_ASK_S
        )
        implementation, version, base = json.loads(asked.stdout)
        return Interpreter(path=base or path, version=version, implementation=implementation)
    return None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _fits(version: str, wanted: str) -> bool:
    return version == wanted or version.startswith(wanted + ".")


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
