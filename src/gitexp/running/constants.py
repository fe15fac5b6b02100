"""The constants at the top of a launched script as params, where no command-line parser says what its params are."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from gitexp.domain.masking import mask_params
from gitexp.domain.source import Source
from gitexp.domain.values import Value, flatten, plain_value
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
    """Records the constants of a script that turns out to parse no command line, as they are before it runs.

    Args:
        words: its arguments. Where it calls `exec`, the Python files among them say what its constants are instead.
        directory: where it runs.
    """

    def __init__(self, recorder: Recorder, script: str, words: Sequence[str], directory: str) -> None:
        self._recorder = recorder
        self._source = _read(script)
        files = [os.path.join(directory, word) for word in words if word.endswith(".py")]
        self._instead = [_read(file) for file in files] if b"exec(" in self._source else []
        self._found: dict[str, Value] = {}
        self._is_recorded = False
        self._over = threading.Event()
        self._finder = threading.Thread(target=self._look, name="gitexp-constants", daemon=True)

    def started(self) -> None:
        self._finder.start()

    def over(self) -> None:
        self._over.set()
        self._finder.join()

    def finish(self, child: ChildResult) -> None:  # noqa: ARG002
        self._record()

    def _look(self) -> None:
        """In a thread, so that nothing waits for it; those of a script that goes on are recorded before its end."""
        with suppress(Exception):  # what cannot be recorded is told at the end
            self._found = _constants(self._source, self._instead)
            if not any(name in self._source for name in _PARSERS) and not self._over.wait(EARLY_S):
                self._record()

    def _record(self) -> None:
        if self._found and not self._is_recorded and not _has_parsed(self._recorder.folder):
            self._is_recorded = True
            self._recorder.beside(Source.CONSTANT).log_params(self._found)


def _constants(source: bytes, instead: Sequence[bytes]) -> dict[str, Value]:
    """The constants in a script's text, flat; none where it is not this Python's syntax, which is its own affair.

    Args:
        instead: texts whose constants of the same names take their places.
    """
    found = _read_constants(source)
    for text in instead:
        found |= {name: value for name, value in _read_constants(text).items() if name in found}
    params: dict[str, Value] = {}
    for name, value in found.items():
        with suppress(GitexpError):  # a key longer than keys may be
            params.update(flatten({name: plain_value(value)}))
    return mask_params(params)


def _read_constants(source: bytes) -> dict[str, Any]:
    from gitexp.domain.constants import PythonText, decode_source  # while the script runs

    try:
        return PythonText().load(decode_source(source)[0])
    except ValueError:
        return {}


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
