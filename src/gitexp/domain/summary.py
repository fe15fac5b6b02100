"""A run without its bulk: what listing, searching and comparing need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gitexp.domain.run import RunRecord
from gitexp.domain.values import Number, Value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunSummary:
    """A run's record and its values, without histories, artifacts, output and code.

    Attributes:
        ref: the full name of the run's ref; for a live run the ref it will get.
        commit: the hex id of the ref's tip; None for a live run.
        params: flat.
        metrics: the last value of each.
    """

    ref: str
    commit: str | None
    record: RunRecord
    params: Mapping[str, Value] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Number] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunSummary):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    def __hash__(self) -> int:
        return hash((self.ref, self.commit))


_FIELDS = tuple(RunSummary.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRun:
    """A ref under `refs/gitexp/runs/` whose commit cannot be read as a run. `reason` is a sentence."""

    ref: str
    commit: str
    reason: str
