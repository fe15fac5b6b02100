"""Recording what a launched process reports of itself: now and then while it runs, and at its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gitexp.domain.environment import Environment
from gitexp.domain.masking import mask_params
from gitexp.domain.source import Source
from gitexp.domain.values import Value, flatten, same_value
from gitexp.errors import GitexpError
from gitexp.recording import JOIN
from gitexp.running.capture import Captured, read_reports, watched
from gitexp.running.child import ChildResult
from gitexp.running.commandline import read_pairs
from gitexp.running.environment import environment_of
from gitexp.running.projectfiles import read_params
from gitexp.running.watching import Launch, Watcher

if TYPE_CHECKING:
    from gitexp.running.launch import LaunchRequest

FOLDER = "capture"
SEED_PARAM = "seed"

LOOKS_S = (0.5, 2.0, 10.0)
"""When a run that lasts is looked at for the first times, so that its params are seen, and safe, while it runs."""

EVERY_S = 60.0


class Reports(Watcher):
    """The params and the environment of one launch, from what its Python processes report and from `params.yaml`.

    Where no parser reports, the command line itself is read.
    """

    def __init__(self, here: Launch, request: LaunchRequest) -> None:
        self._recorder = here.recorder
        self._said = request.run
        self._seed = request.seed
        self._words = request.words
        self._variables = request.environ
        self._root = here.root
        self._folder = os.path.join(here.recorder.folder, FOLDER)
        self._file_params = self._flat(read_params(here.directory, here.root, here.recorder.warn))
        self._logged: dict[Source, dict[str, Value]] = {}
        self._has_environment = False
        self._environment = self._known_environment = Environment()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="gitexp-reports", daemon=True)

    def prepare(self, environ: dict[str, str]) -> None:
        environ[JOIN] = self._recorder.folder
        for name, is_said in ((f"{JOIN}_NAMED", self._said.name), (f"{JOIN}_PLACED", self._said.experiment)):
            environ.pop(name, None)
            if is_said:
                environ[name] = "1"
        try:
            os.mkdir(self._folder)
        except OSError as error:
            self._recorder.warn(f"The script's arguments are not recorded: {error.strerror}: '{self._folder}'.")
        else:
            environ.update(watched(environ, self._folder, seed=self._seed))
        if self._seed is not None:
            self._recorder.log_params({SEED_PARAM: self._seed})

    def started(self) -> None:
        self._watcher.start()

    def over(self) -> None:
        self._over.set()
        self._watcher.join()

    def finish(self, child: ChildResult) -> None:  # noqa: ARG002
        reported = self._look()
        if not reported.parsers and not reported.tools:
            self._log(Source.PARSER, self._flat(read_pairs(self._words[1:])))
        if not self._has_environment:
            self._environment = environment_of(None, self._variables)
            self._recorder.set_environment(self._with_seeds(self._environment, reported))

    def _watch(self) -> None:
        for pause in LOOKS_S:
            if self._over.wait(pause):
                return
            with suppress(Exception):  # what is wrong is told at the end
                self._look()
        while not self._over.wait(EVERY_S):
            with suppress(Exception):
                self._look()

    def _look(self) -> Captured:
        reported = read_reports(self._folder)
        for problem in reported.problems:
            self._recorder.warn(problem)
        if reported.python is not None:
            if not self._has_environment:
                self._environment = environment_of(reported.python, self._variables, root=self._root)
            environment = self._with_seeds(self._environment, reported)
            if not self._has_environment or environment != self._known_environment:
                self._recorder.set_environment(environment)
            self._has_environment, self._known_environment = True, environment
        self._log(Source.PARSER, self._flat(reported.arguments))
        self._log(Source.FILE, self._file_params)
        own = reported.arguments.get(SEED_PARAM)
        if self._seed is not None and own not in (None, self._seed):
            self._recorder.warn(f"The script has a seed of its own, {own!r}; the param 'seed' is that of '--seed'.")
        return reported

    def _with_seeds(self, environment: Environment, reported: Captured) -> Environment:
        seeds = dict(reported.seeds)
        hash_seed = self._variables.get("PYTHONHASHSEED", "") if self._seed is None else str(self._seed)
        if hash_seed.isdecimal():
            seeds["PYTHONHASHSEED"] = int(hash_seed)
        facts = {"seeds": dict(sorted(seeds.items())), "determinism": dict(sorted(reported.determinism.items()))}
        return replace(environment, python={**environment.python, **{key: said for key, said in facts.items() if said}})

    def _log(self, source: Source, params: Mapping[str, Value]) -> None:
        logged = self._logged.setdefault(source, {})
        new = {
            key: value
            for key, value in mask_params(params).items()
            if key not in logged or not same_value(logged[key], value)
        }
        if new:
            logged.update(new)
            self._recorder.beside(source).log_params(new)

    def _flat(self, params: Mapping[str, Any]) -> dict[str, Value]:
        flat: dict[str, Value] = {}
        for key, value in params.items():
            try:
                flat.update(flatten({key: value}))
            except GitexpError as error:
                self._recorder.warn(str(error))
        return flat
