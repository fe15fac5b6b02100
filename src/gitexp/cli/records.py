"""Runs as JSON: the same documented keys wherever a command shows one."""

from __future__ import annotations

from typing import Any

from gitexp.domain.run import run_to_dict
from gitexp.domain.summary import RunSummary

KEYS = (
    "id name experiment status start end duration author host command directory entry_point exit_code signal code "
    "parent inputs note warnings deleted"
).split()


def run_to_json(run: RunSummary) -> dict[str, Any]:
    """The keys of `run.yaml`, null where not known, and `ref`, `commit`, `params`, `metrics` and `tags`."""
    record = run_to_dict(run.record)
    return {
        **{key: record.get(key) for key in KEYS},
        "ref": run.ref,
        "commit": run.commit,
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "tags": dict(run.tags),
    }
