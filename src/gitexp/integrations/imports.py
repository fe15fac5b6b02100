"""Autologging's beginning: which frameworks are watched, and what happens when one has been imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from gitexp.errors import UsageError
from gitexp.integrations import FRAMEWORKS
from gitexp.integrations.patching import guarded, leave_alone, warn

FRAMEWORKS_OF = {module: name for name, (modules, _) in FRAMEWORKS.items() for module in modules}


def autolog(*, exclude: Iterable[str] = ()) -> None:
    """Record by themselves what machine-learning frameworks do: params, metrics, search results.

    `gitexp run` does this without being asked. May be called before or after a framework is imported; a later call
    counts instead of an earlier one. Where no run is active, each training becomes a run.

    Args:
        exclude: frameworks that are left alone, like "sklearn"; `gitexp.integrations.FRAMEWORKS` names them all.

    Raises:
        UsageError: there is no such framework.
    """
    excluded = {exclude} if isinstance(exclude, str) else set(exclude)
    unknown = sorted(excluded - FRAMEWORKS.keys())
    if unknown:
        raise UsageError(f"There is no framework '{unknown[0]}'.", hint=f"There are {', '.join(FRAMEWORKS)}.")
    watch(excluded)


def watch(exclude: Iterable[str] = ()) -> None:
    """Watch all frameworks but the excluded ones from their import on; those imported already from now on."""
    left_alone = set(exclude)
    leave_alone(left_alone)
    for name, framework in FRAMEWORKS_OF.items():
        if framework not in left_alone:
            _hook().after(name, imported)


def imported(module: ModuleType) -> None:
    """A module of a framework has been imported: stand between it and its user. Never raises."""
    framework = FRAMEWORKS_OF[module.__name__]
    with guarded(framework):
        integration = import_module(f"gitexp.integrations.{FRAMEWORKS[framework][1]}")
        version = str(getattr(sys.modules[module.__name__.partition(".")[0]], "__version__", ""))
        oldest = integration.SUPPORTED[0]
        if version and _release(version) < _release(oldest):
            warn(f"{framework} {version} is not autologged: that begins with {oldest}.")
            return
        integration.install(module)


def _release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: (1, 3) for "1.3rc1"."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


@cache
def _hook() -> Any:
    """The import hook that `gitexp run` puts into a process, or this now: `gitexp_capture.imports`."""
    name = "gitexp_capture.imports"
    found = sys.modules.get(name)
    if found is None:
        from importlib.util import module_from_spec, spec_from_file_location  # not where it was launched

        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        path = os.path.join(package, "running", "inject", *name.split(".")) + ".py"
        spec = spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        found = module_from_spec(spec)
        spec.loader.exec_module(found)
    return found
