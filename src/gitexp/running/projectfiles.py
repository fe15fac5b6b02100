"""Two files of the user's that say something about a run: `params.yaml` before it, `metrics.json` after it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gitexp.domain.values import Number
from gitexp.errors import CorruptData
from gitexp.store.yamlfile import load_yaml

PARAMS, METRICS = "params.yaml", "metrics.json"

LARGEST = 10 << 20

_Stamp = tuple[int, int, int]
_ABSENT: tuple[None, None] = (None, None)


def read_params(directory: str, root: str | None, warn: Callable[[str], None]) -> dict[str, Any]:
    """What the nearest `params.yaml` from `directory` up to `root` says, nested; what cannot be read is a warning."""
    for folder in upwards(directory, root):
        path = os.path.join(folder, PARAMS)
        if os.path.isfile(path):
            return _load_params(path, warn)
    return {}


class MetricsFile:
    """`metrics.json` in some folders: whether a command wrote it, what it holds.

    Args:
        folders: where it may lie; one in a later folder does not hide one in an earlier.
    """

    def __init__(self, folders: Iterable[str]) -> None:
        self._before: dict[str, tuple[_Stamp, bytes] | tuple[None, None]] = {
            path: _look(path) for path in (os.path.join(folder, METRICS) for folder in folders)
        }

    def add(self, path: str) -> None:
        """Another file of that kind, which the command is known to have written."""
        self._before.setdefault(path, _ABSENT)

    def read(self, warn: Callable[[str], None]) -> dict[str, Number]:
        """Every number in the files that changed since the start, flat; what cannot be read is a warning."""
        found: dict[str, Number] = {}
        for path, before in self._before.items():
            now = _look(path)
            if now not in (before, _ABSENT):
                found.update(_load_metrics(path, warn))
        return found


def _load_params(path: str, warn: Callable[[str], None]) -> dict[str, Any]:
    try:
        params = load_yaml(_read(path).decode("utf-8-sig"), what=PARAMS, on_duplicate=warn)
        if params is None:
            return {}
        if not isinstance(params, dict):
            raise CorruptData(f"{PARAMS}: expected a mapping.")
    except (CorruptData, OSError, ValueError) as error:
        warn(f"The params of {PARAMS} are not recorded. {_explain(error, PARAMS)}")
        return {}
    return {str(key): value for key, value in params.items()}


def _load_metrics(path: str, warn: Callable[[str], None]) -> dict[str, Number]:
    import json  # only where a script wrote the file

    from gitexp.running.tables import flat_numbers

    try:
        loaded = json.loads(_read(path))
        if not isinstance(loaded, dict):
            raise CorruptData(f"{METRICS}: expected an object.")
        return dict(flat_numbers(loaded))
    except (CorruptData, OSError, ValueError, RecursionError) as error:
        warn(f"The metrics of {METRICS} are not recorded. {_explain(error, METRICS)}")
        return {}


def _look(path: str) -> tuple[_Stamp, bytes] | tuple[None, None]:
    """When, where and what: a file written twice within one tick of the clock still differs by its content."""
    try:
        status = os.stat(path)
        content = _read(path) if status.st_size <= LARGEST else b""
    except (OSError, ValueError):
        return _ABSENT
    return (status.st_mtime_ns, status.st_size, status.st_ino), content


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a fifo would wait for its writer
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
        return file.readall()


def upwards(directory: str, root: str | None) -> Iterator[str]:
    """`directory` and the folders above it, as far as `root`."""
    folder = os.path.realpath(directory)
    last = os.path.realpath(root) if root else folder
    while True:
        yield folder
        above = os.path.dirname(folder)
        if folder == last or above == folder or os.path.commonpath([last, above]) != last:
            return
        folder = above


def _explain(error: Exception, name: str) -> str:
    if isinstance(error, CorruptData):
        return str(error)
    return f"{name}: {getattr(error, 'strerror', None) or error}."
