"""What a launched Python reports of itself: the way in, and the reading of the reports.

Inside the process work `inject/sitecustomize.py` and the package `inject/gitexp_capture`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitexp.domain.keys import shorten
from gitexp.running.environment import PythonFacts

INJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inject")
FOLDER = "GITEXP_CAPTURE"
SEED = "GITEXP_SEED"

LARGEST_REPORT = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What the processes of one launch reported.

    Attributes:
        arguments: what parsers returned, defaults included, nested as it was; later processes win.
        parsers: those that parsed the script's command line, like "argparse".
        tools: programs that parsed options of their own, which are no params, like "pytest".
        python: the interpreter that reported last, or None where none did.
        problems: reports that could not be read.
        seeds: what the script set, by generator.
        determinism: by the setting of a framework.
    """

    arguments: Mapping[str, Any]
    python: PythonFacts | None
    parsers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    seeds: Mapping[str, Any] = field(default_factory=dict)
    determinism: Mapping[str, bool] = field(default_factory=dict)


def watched(environ: Mapping[str, str], folder: str, *, seed: int | None = None) -> dict[str, str]:
    """The environment for a child whose Python shall report to `folder`, which must be there.

    Args:
        seed: what its generators of random numbers begin with, from 0 to 2**32 - 1; None leaves them alone.
    """
    if os.pathsep in INJECT:  # nothing that PYTHONPATH could say
        return dict(environ)
    path = environ.get("PYTHONPATH")
    seeds = {} if seed is None else {SEED: str(seed), "PYTHONHASHSEED": str(seed)}
    return {**environ, **seeds, FOLDER: folder, "PYTHONPATH": f"{INJECT}{os.pathsep}{path}" if path else INJECT}


def read_reports(folder: str) -> Captured:
    """Everything that has been reported to `folder` so far. Never fails."""
    arguments: dict[str, Any] = {}
    parsers: dict[str, None] = {}
    tools: dict[str, None] = {}
    python: PythonFacts | None = None
    problems: list[str] = []
    seeds: dict[str, Any] = {}
    determinism: dict[str, bool] = {}
    for name in _report_names(folder):
        try:
            report = _read(os.path.join(folder, name))
            if name.startswith("arguments-"):
                arguments.update(report["values"])
                parsers.update(dict.fromkeys(map(str, report["parsers"])))
                tools.update(dict.fromkeys(map(str, report["tools"])))
            elif name.startswith("seeds-"):
                seeds = {**report["seeds"], **seeds}
                determinism.update(report["determinism"])
            else:
                python = _python(report)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            problems.append(f"What the script reported in {shorten(name)} cannot be read: {error}.")
    return Captured(
        arguments=arguments,
        python=python,
        parsers=tuple(parsers),
        tools=tuple(tools),
        problems=tuple(problems),
        seeds=seeds,
        determinism=determinism,
    )


def _report_names(folder: str) -> list[str]:
    """In the order in which their processes began; the time stands in the name."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted((name for name in names if name.endswith(".json")), key=lambda name: name.partition("-")[2])


def _read(path: str) -> dict[str, Any]:
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > LARGEST_REPORT:
            raise ValueError(f"it is larger than {LARGEST_REPORT >> 20} MiB")
        report = json.loads(file.readall())
    if not isinstance(report, dict):
        raise TypeError("it is not a mapping")
    return report


def _python(report: Mapping[str, Any]) -> PythonFacts:
    return PythonFacts(
        implementation=str(report["implementation"]),
        version=str(report["version"]),
        executable=str(report["executable"]),
        path=tuple(map(str, report["path"])),
    )
