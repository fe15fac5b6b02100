"""Sealed runs for tests, made without a training."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitexp.domain.environment import Environment
from gitexp.domain.identity import run_id
from gitexp.domain.metrics import History
from gitexp.domain.run import CodeState, Run, RunRecord, Status
from gitexp.domain.values import Number, Value
from gitexp.repo import Repository
from gitexp.store.runs import Signature

ANN = "Ann Lee <ann@example.org>"


def seal(
    folder: Path,
    name: str,
    *,
    params: Mapping[str, Value] | None = None,
    metrics: Mapping[str, Number] | None = None,
    histories: Mapping[str, History] | None = None,
    artifacts: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    packages: tuple[str, ...] = ("numpy==1.26.4",),
    output: bytes | None = None,
    code_tree: str | None = None,
    age_s: float = 60.0,
    **record: Any,
) -> str:
    """Seal one run in the repository at `folder`; gives its id."""
    repository = Repository.open(folder)
    identity = run_id(os.urandom(8))
    start = time.time() - age_s
    known: dict[str, Any] = {
        "experiment": "default",
        "status": Status.FINISHED,
        "start": start,
        "end": start + 12.3,
        "duration_s": 12.3,
        "author": ANN,
        "host": "node-3",
        "command": ("python", "train.py"),
        "code": CodeState(commit=repository.git.head().commit, branch="main"),
    }
    values = dict(metrics or {})
    run = Run(
        record=RunRecord(id=identity, name=name, **{**known, **record}),
        params=params or {},
        metrics=values,
        histories={key: History.of([(0, start, value)]) for key, value in values.items()} | dict(histories or {}),
        artifacts=artifacts or {},
        tags=tags or {},
        environment=Environment(python={"implementation": "CPython", "version": "3.11.7"}, requirements=packages),
        output=output,
        code_tree=code_tree,
    )
    repository.runs.create(run, Signature(author=ANN, time=start + 12.3))
    return identity
