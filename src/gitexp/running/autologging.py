"""Autologging under `gitexp run`: what the command's Python processes are told of it."""

from __future__ import annotations

from collections.abc import Collection

from gitexp.integrations import FRAMEWORKS
from gitexp.recording import Recorder
from gitexp.running.watching import Watcher

VARIABLE = "GITEXP_AUTOLOG"
"""Names of modules, separated by commas; `inject/gitexp_frameworks.py` waits for them."""


class Autologging(Watcher):
    """Has the frameworks that the command uses watched, from inside its process, but for those in `exclude`."""

    def __init__(self, recorder: Recorder, exclude: Collection[str]) -> None:
        for name in exclude:
            if name not in FRAMEWORKS:
                recorder.warn(f"autolog.exclude: there is no framework '{name}', but {', '.join(FRAMEWORKS)}.")
        self._modules = [
            module for name, (modules, _) in FRAMEWORKS.items() if name not in exclude for module in modules
        ]

    def prepare(self, environ: dict[str, str]) -> None:
        if self._modules:
            environ[VARIABLE] = ",".join(self._modules)
