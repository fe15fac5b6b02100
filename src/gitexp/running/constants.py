"""The constants at the top of a launched script as params, where no command-line parser says what its params are."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from gitexp.domain.masking import mask_params
from gitexp.domain.source import Source
from gitexp.domain.values import flatten, plain_value
from gitexp.errors import GitexpError
from gitexp.recording import Recorder
from gitexp.running.capture import read_reports
from gitexp.running.child import ChildResult
from gitexp.running.command import Command, Kind
from gitexp.running.reports import FOLDER
from gitexp.running.watching import Watcher

EARLY_S = 20.0
"""After this long without a word of a parser, the constants of a script that names none are recorded, to be seen."""

LARGEST = 1 << 20

_PARSERS = (b"argparse", b"click", b"typer", b"fire", b"absl", b"hydra", b"jsonargparse", b"HfArgumentParser", b"tyro")


def script_of(kind: Kind, command: Command, environ: Mapping[str, str], directory: str) -> str | None:
    """The Python script or notebook that a command runs, found without importing anything; None where that fails."""
    entry = command.entry_point
    if kind is Kind.MODULE:
        return _module_file(entry, [directory, *environ.get("PYTHONPATH", "").split(os.pathsep)])
    path = os.path.join(directory, entry)
    if kind is Kind.FILE and os.path.isdir(path):
        path = os.path.join(path, "__main__.py")
    is_script = os.path.isfile(path) and (kind is Kind.FILE or entry.endswith(".py"))
    return path if is_script else None


class Constants(Watcher):
    """Records the constants of a script that turns out to parse no command line, as they are before it runs."""

    def __init__(self, recorder: Recorder, script: str) -> None:
        self._recorder = recorder
        self._script = script
        self._source = _read(script)
        self._lock = threading.Lock()
        self._is_recorded = False
        self._timer = threading.Timer(EARLY_S, self._record_early)
        self._timer.daemon = True

    def started(self) -> None:
        if not any(name in self._source for name in _PARSERS):
            self._timer.start()

    def over(self) -> None:
        self._timer.cancel()

    def finish(self, child: ChildResult) -> None:  # noqa: ARG002
        self._record()

    def _record_early(self) -> None:
        try:
            self._record()
        except Exception:  # it is tried again at the end, and told then
            pass

    def _record(self) -> None:
        with self._lock:
            if self._is_recorded or not self._source or _has_parsed(self._recorder.folder):
                return
            from gitexp.domain.constants import PythonText, decode_source  # while the script runs, or after it

            try:
                found = PythonText().load(decode_source(self._source)[0])
            except ValueError:  # not this Python's syntax; the script's own affair
                return
            params = {}
            for name, value in found.items():
                try:
                    params.update(flatten({name: plain_value(value)}))
                except GitexpError as error:
                    self._recorder.warn(str(error))
            if params:
                self._recorder.beside(Source.CONSTANT).log_params(mask_params(params))
            self._is_recorded = True


def _has_parsed(folder: str) -> bool:
    return bool(read_reports(os.path.join(folder, FOLDER)).parsers)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall() if os.fstat(file.fileno()).st_size <= LARGEST else b""
    except OSError:
        return b""


def _module_file(name: str, folders: list[str]) -> str | None:
    parts = name.split(".")
    for folder in folders:
        base = os.path.join(folder, *parts)
        for path in (f"{base}.py", os.path.join(base, "__main__.py")):
            if folder and os.path.isfile(path):
                return path
    return None
