"""Recording what a launched process reports of itself: now and then while it runs, and at its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gitexp.domain.masking import mask_params
from gitexp.domain.run import Run
from gitexp.domain.values import Value, flatten, same_value
from gitexp.errors import GitexpError
from gitexp.recording import JOIN, Recorder, RunRequest
from gitexp.running.capture import read_reports, watched
from gitexp.running.environment import environment_of

FOLDER = "capture"

LOOKS_S = (0.5, 2.0, 10.0)
"""When a run that lasts is looked at for the first times, so that its params are seen, and safe, while it runs."""

EVERY_S = 60.0


class Reports:
    """The params and the environment of one launch. Entered while the child runs.

    What the command line of gitexp or the script itself recorded is never overwritten; what argparse returned goes
    before `params.yaml`, which often holds its defaults.

    Attributes:
        environ: the environment for the child.
    """

    def __init__(
        self, recorder: Recorder, said: RunRequest, environ: Mapping[str, str], file_params: Mapping[str, Any]
    ) -> None:
        self._recorder = recorder
        self._said = flatten(said.params)
        self._variables = environ
        self._file_params = file_params
        self._folder = os.path.join(recorder.folder, FOLDER)
        self._logged: dict[str, Value] = {}
        self._has_environment = False
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="gitexp-reports", daemon=True)
        self.environ = self._child_environ(said)

    def __enter__(self) -> Reports:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()

    def finish(self) -> None:
        """Record all that is known at the end."""
        self._look(with_file=True)
        if not self._has_environment:
            self._recorder.set_environment(environment_of(None, self._variables))

    def joined_run(self) -> Run | None:
        """The run as recorded so far, if the script has recorded something too."""
        names = os.listdir(self._recorder.folder)
        if sum(name.endswith(".events") for name in names) < 2:
            return None
        return self._recorder.repository.live.summary(self._recorder.run_id)

    def _watch(self) -> None:
        for pause in LOOKS_S:
            if self._over.wait(pause):
                return
            with suppress(Exception):  # what is wrong is told at the end
                self._look(with_file=False)
        while not self._over.wait(EVERY_S):
            with suppress(Exception):
                self._look(with_file=True)

    def _look(self, *, with_file: bool) -> None:
        reported = read_reports(self._folder)
        for problem in reported.problems:
            self._recorder.warn(problem)
        if reported.python is not None and not self._has_environment:
            self._has_environment = True
            self._recorder.set_environment(environment_of(reported.python, self._variables))
        if reported.arguments or with_file:
            self._log({**self._flat(self._file_params), **self._flat(reported.arguments)})

    def _log(self, params: Mapping[str, Value]) -> None:
        new = {key: value for key, value in mask_params(params).items() if self._is_new(key, value)}
        joined = self.joined_run() if new else None
        if joined is not None:
            new = {key: value for key, value in new.items() if key in self._logged or key not in joined.params}
        if new:
            self._logged.update(new)
            self._recorder.log_params(new)

    def _is_new(self, key: str, value: Value) -> bool:
        return key not in self._said and not (key in self._logged and same_value(self._logged[key], value))

    def _flat(self, params: Mapping[str, Any]) -> dict[str, Value]:
        flat: dict[str, Value] = {}
        for key, value in params.items():
            try:
                flat.update(flatten({key: value}))
            except GitexpError as error:
                self._recorder.warn(str(error))
        return flat

    def _child_environ(self, said: RunRequest) -> dict[str, str]:
        environ = {**self._variables, JOIN: self._recorder.folder}
        for name, is_said in ((f"{JOIN}_NAMED", said.name), (f"{JOIN}_PLACED", said.experiment)):
            environ.pop(name, None)
            if is_said:
                environ[name] = "1"
        try:
            os.mkdir(self._folder)
        except OSError as error:
            self._recorder.warn(f"The script's arguments are not recorded: {error.strerror}: '{self._folder}'.")
            return environ
        return watched(environ, self._folder)
