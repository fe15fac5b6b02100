"""How long models take to answer, measured on the example that each was kept with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.examples import read_example
from gitexp.models.loading import find_model, load_pyfunc
from gitexp.models.pyfunc import PyFuncModel
from gitexp.repo import Repository

MOST_QUESTIONS, MOST_S = 500, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one model took for its example, in this process, on this machine.

    Attributes:
        rows: of the example; None where it has no length.
        questions: how often it was asked.
    """

    median_ms: float
    p99_ms: float
    rows: int | None
    questions: int


def measure_latencies(uris: Sequence[str], *, repository: Repository, trust: bool = False) -> list[Latency]:
    """Ask models by turns, so that what else the machine does meets all alike.

    Raises:
        UsageError: one was kept without an example, or would run code of somebody who is not trusted.
        NotFound, CorruptData
    """
    asked = [(load_pyfunc(uri, repository=repository, trust=trust), _example(uri, repository)) for uri in uris]
    times: list[list[float]] = [[] for _ in asked]
    for model, example in asked:
        _ask(model, example)  # the first answer takes what was left undone when it was loaded
    end = time.perf_counter() + MOST_S * len(asked)
    while len(times[-1]) < MOST_QUESTIONS and (not times[-1] or time.perf_counter() < end):
        for (model, example), found in zip(asked, times, strict=True):
            found.append(_ask(model, example))
    return [_latency(found, example) for found, (_, example) in zip(times, asked, strict=True)]


def _example(uri: str, repository: Repository) -> Any:
    found = find_model(uri, repository)
    if found.file.input_example is None:
        raise UsageError(
            f"The model '{uri}' was kept without an example to ask it about.", hint="Log it with 'input_example='."
        )
    return read_example(found.file.input_example, found.folder)


def _ask(model: PyFuncModel, example: Any) -> float:
    began = time.perf_counter()
    model.predict(example)
    return (time.perf_counter() - began) * 1000


def _latency(times: list[float], example: Any) -> Latency:
    ordered = sorted(times)
    count = len(ordered)
    return Latency(
        median_ms=ordered[count // 2],
        p99_ms=ordered[count * 99 // 100],
        rows=len(example) if hasattr(example, "__len__") else None,
        questions=count,
    )
