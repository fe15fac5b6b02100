"""The run of the process that started this one: how this process learns of it, and how those that it starts do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gitexp.domain.identity import RunId, is_run_id, parse_run_id
from gitexp.errors import GitexpError
from gitexp.recording import JOIN
from gitexp.store.live import LiveRuns

_TAKEN = "taken"

Told = tuple[str | None, str | None]
"""The live folder that `multiprocessing` told of, and the one that the environment did."""

_before: Told | None = None
"""What this process was told before runs of its own were told to others; None while there are none."""


def told() -> Told:
    """What this process was told when it began of the run it belongs to, which may be over by now."""
    if _before is not None:
        return _before
    process = _multiprocessing()
    is_worker = process is not None and process.parent_process() is not None
    return _config().get(JOIN) if is_worker else None, os.environ.get(JOIN)


def outer_folder(live: Callable[[], LiveRuns]) -> str | None:
    """The live folder of the run that this process belongs to; None where there is none, or it is over.

    Args:
        live: the live runs of the repository, asked for only where nobody told of one.
    """
    for folder in told():
        if folder and os.path.isdir(folder):
            return folder
    process = _multiprocessing()
    parent = process and process.parent_process()
    return _recorded_by(parent.pid, live) if parent else None


def outer_id(live: Callable[[], LiveRuns]) -> RunId | None:
    """The run that this process belongs to, whether or not it is over."""
    for folder in (outer_folder(live), *told()):
        name = os.path.basename(folder or "")
        if is_run_id(name):
            return parse_run_id(name)
    return None


def tell(folder: str | None) -> None:
    """Have the processes that this one starts take part in a run; None: in that of this process's own start."""
    global _before
    if _before is None:
        _before = told()
    for_workers, for_all = (folder, folder) if folder else _before
    if for_all is None:
        os.environ.pop(JOIN, None)
    else:
        os.environ[JOIN] = for_all
    if for_workers or JOIN in _config():
        # A fork server keeps the environment of its own beginning; this goes with each worker.
        _config()[JOIN] = for_workers
    if folder is None:
        _before = None


def after_fork(folder: str | None) -> None:
    """In a forked child: it belongs to the run that was active where it was forked off."""
    global _before
    _before = None
    if folder:
        os.environ[JOIN] = folder


def claim(folder: str) -> bool:
    """Take a launched run for this script; True for the first process only."""
    try:
        os.close(os.open(os.path.join(folder, _TAKEN), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        return False
    except OSError:  # a disk that refuses: better two that log to one run than none
        return True
    return True


def is_claimed(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, _TAKEN))


def _recorded_by(pid: int, live: Callable[[], LiveRuns]) -> str | None:
    """For workers that were made before the run began: the newest live run in which a process has a journal."""
    found: dict[str, float] = {}
    with suppress(GitexpError, OSError):
        for entry in live().list():
            if entry.held and os.path.exists(os.path.join(entry.folder, f"{pid}-0.events")):
                found[entry.folder] = os.stat(os.path.join(entry.folder, "lock")).st_mtime
    return max(found, key=found.__getitem__, default=None)


def _multiprocessing() -> Any:
    """`multiprocessing.process`, if the script uses it; importing it would cost each script milliseconds."""
    return sys.modules.get("multiprocessing.process")


def _config() -> dict[str, Any]:
    """What goes from each process to its workers, whichever way they begin."""
    process = _multiprocessing()
    found = getattr(process.current_process(), "_config", None) if process else None
    return found if isinstance(found, dict) else {}
