"""A run without its bulk: what listing, searching and comparing need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitexp.domain.run import RunRecord, run_to_dict
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

_KEYS = (
    "id name experiment status start end duration author host command directory entry_point exit_code signal code "
    "parent reproduces inputs project note warnings deleted"
).split()


def run_to_json(run: RunSummary) -> dict[str, Any]:
    """The keys of `run.yaml`, null where not known, and `ref`, `commit`, `params`, `metrics` and `tags`."""
    record = run_to_dict(run.record)
    return {
        **{key: record.get(key) for key in _KEYS},
        "ref": run.ref,
        "commit": run.commit,
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "tags": dict(run.tags),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRun:
    """A ref under `refs/gitexp/runs/` whose commit cannot be read as a run. `reason` is a sentence."""

    ref: str
    commit: str
    reason: str
