"""Several processes of one training: which of them this is, and how those beyond the first find the first one's run."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from array import array
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gitexp.domain.environment import Environment
from gitexp.domain.identity import RunId, readable_name, run_id
from gitexp.domain.run import Status
from gitexp.domain.source import Source
from gitexp.domain.values import Number
from gitexp.recording import Recorder
from gitexp.store.live import LiveRuns

WAIT_S = 60.0
"""How long the first rank may take to begin its run: it captures the code."""

_LOOK_S = 0.05
_FILE = "ranks"
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK")
_LAUNCHES = (
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
    "MASTER_ADDR",
    "MASTER_PORT",
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "PMIX_NAMESPACE",
    "OMPI_MCA_ess_base_jobid",
)
"""What the processes of one launch have in common, and those of another do not."""


def rank_of(environ: Mapping[str, str]) -> int:
    """This process's number among those of its launch; 0 for the first, and where there is no launch."""
    for name in _RANKS:
        if environ.get(name, "").isdecimal():
            return int(environ[name])
    if environ.get("SLURM_PROCID", "").isdecimal() and environ.get("SLURM_NTASKS", "1") != "1":
        return int(environ["SLURM_PROCID"])
    local = environ.get("LOCAL_RANK", "")
    return int(local) if local.isdecimal() else 0


def launch_key(environ: Mapping[str, str], nth: int) -> str:
    """What tells the `nth` run of this launch from all others; where the launcher says nothing, who started it does."""
    known = [f"{name}={environ[name]}" for name in _LAUNCHES if name in environ]
    shared = known or [socket.gethostname(), str(os.getppid())]
    return hashlib.sha256("\n".join([*shared, str(nth)]).encode()).hexdigest()


def announce(folder: str, key: str) -> None:
    """Let the other ranks find the run in the live folder."""
    with suppress(OSError):  # they say so when they do not find it
        with open(os.path.join(folder, f"{_FILE}.new"), "w", encoding="ascii") as file:
            file.write(key)
        os.rename(os.path.join(folder, f"{_FILE}.new"), os.path.join(folder, _FILE))


def find(live: LiveRuns, key: str, *, wait_s: float = WAIT_S) -> str | None:
    """The live folder that the first rank announced; None where it does not in time."""
    until = time.monotonic() + wait_s
    while True:
        for entry in live.list():
            with suppress(OSError), open(os.path.join(entry.folder, _FILE), encoding="ascii") as file:
                if entry.held and file.read() == key:
                    return entry.folder
        if time.monotonic() > until:
            return None
        time.sleep(_LOOK_S)


class SilentRecorder(Recorder):
    """Takes everything and keeps nothing: for ranks beyond the first, and for runs that are over."""

    is_silent = True

    def __init__(self, identity: RunId | None = None) -> None:
        self.run_id = run_id(os.urandom(8)) if identity is None else identity
        self.folder = ""
        self.strict = False
        self.name = readable_name(self.run_id)
        self.experiment = ""
        self.point = self._drop_point
        self._on_trouble = self.warn
        self._ended = False

    @property
    def owned(self) -> bool:
        return False

    def beside(self, source: Source) -> Recorder:  # noqa: ARG002
        return self

    def last_step(self, key: str) -> int:  # noqa: ARG002
        return -1

    def log_params(self, params: Mapping[str, Any]) -> None: ...
    def log_column(self, key: str, steps: array[int], times: array[float], values: Any) -> None: ...
    def set_tags(self, tags: Mapping[str, object]) -> None: ...
    def set_environment(self, environment: Environment) -> None: ...
    def set_note(self, text: str) -> None: ...
    def rename(self, name: str) -> None: ...
    def move(self, experiment: str) -> None: ...
    def add_file(self, source: str, path: str) -> None: ...
    def add_bytes(self, data: bytes, path: str) -> None: ...
    def warn(self, message: str, *, aloud: bool = True) -> None: ...
    def trouble(self, error: Exception) -> None: ...

    def end(self, status: Status, *, exit_code: int | None = None, signal: str | None = None) -> str | None:  # noqa: ARG002
        self._ended = True
        return None

    def _drop_point(self, key: str, step: int, time: float | None, value: Number) -> None: ...
