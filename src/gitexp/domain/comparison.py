"""What differs between two runs, as values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gitexp.domain.direction import Direction, direction
from gitexp.domain.values import Number, same_value

__all__ = [
    "ArtifactState",
    "Change",
    "Comparison",
    "FileChange",
    "Kind",
    "MetricChange",
    "changes",
    "code_totals",
    "differing",
    "metric_changes",
]


class Kind(StrEnum):
    """What became of something between two runs."""

    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one key was and is. `before` is None where the key was added, `after` where it was removed."""

    key: str
    kind: Kind
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """The last value of one metric in two runs.

    Attributes:
        delta: `after - before`; None unless both are finite.
        ratio: `delta` relative to the size of `before` (0.1 is 10 %); None where `before` is 0 too.
        better: whether `after` is the better value; None where nothing moved or the direction is not known.
    """

    key: str
    kind: Kind
    before: Number | None = None
    after: Number | None = None
    delta: Number | None = None
    ratio: float | None = None
    better: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file of the code that differs.

    `added` and `removed` count lines; None where they cannot be counted: the file is not text, or too large.
    """

    path: str
    kind: Kind
    added: int | None = None
    removed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactState:
    """An artifact as far as a comparison looks: its size in bytes and its SHA-256."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs side by side. Every section but `code` also lists what is the same; `differing` picks the rest.

    `record` compares status, duration, command, author, host, and the code's commit. `code` holds only files that
    differ; it is None where a run has no code. `outputs` are paths of others that differ too, but that earlier runs
    made and git does not track: they lay about when the runs began. `python` compares interpreter and machine,
    `packages` the versions, `artifacts` the `ArtifactState` of each path.
    """

    record: tuple[Change, ...]
    params: tuple[Change, ...]
    metrics: tuple[MetricChange, ...]
    code: tuple[FileChange, ...] | None
    python: tuple[Change, ...]
    packages: tuple[Change, ...]
    artifacts: tuple[Change, ...]
    outputs: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether params, metrics, code, environment and artifacts are all the same."""
        sections = (self.params, self.metrics, self.python, self.packages, self.artifacts)
        return not self.code and not any(change.kind is not Kind.SAME for section in sections for change in section)


def changes(
    before: Mapping[str, Any], after: Mapping[str, Any], *, same: Callable[[Any, Any], bool] = same_value
) -> tuple[Change, ...]:
    """One `Change` for each key of either mapping, keys sorted."""
    return tuple(_change(key, before, after, same) for key in sorted(before.keys() | after.keys()))


def metric_changes(before: Mapping[str, Number], after: Mapping[str, Number]) -> tuple[MetricChange, ...]:
    """One `MetricChange` for each metric of either run, keys sorted."""
    return tuple(_metric_change(change) for change in changes(before, after))


def differing(section: Iterable[Any]) -> list[Any]:
    """The changes of a section that are not `SAME`."""
    return [change for change in section if change.kind is not Kind.SAME]


def code_totals(files: Iterable[FileChange]) -> tuple[int, int]:
    """Lines added and removed over all `files`."""
    files = list(files)
    return sum(file.added or 0 for file in files), sum(file.removed or 0 for file in files)


def _change(key: str, before: Mapping[str, Any], after: Mapping[str, Any], same: Callable[[Any, Any], bool]) -> Change:
    if key not in before:
        return Change(key=key, kind=Kind.ADDED, after=after[key])
    if key not in after:
        return Change(key=key, kind=Kind.REMOVED, before=before[key])
    kind = Kind.SAME if same(before[key], after[key]) else Kind.CHANGED
    return Change(key=key, kind=kind, before=before[key], after=after[key])


def _metric_change(change: Change) -> MetricChange:
    before, after = change.before, change.after
    delta = _delta(before, after) if before is not None and after is not None else None
    way = direction(change.key)
    better = None
    if way is not None and delta:
        better = (delta < 0) is (way is Direction.LOWER)
    return MetricChange(
        key=change.key,
        kind=change.kind,
        before=before,
        after=after,
        delta=delta,
        ratio=_ratio(delta, before),
        better=better,
    )


def _delta(before: Number, after: Number) -> Number | None:
    try:
        delta = after - before
    except OverflowError:
        return None
    return delta if isinstance(delta, int) or math.isfinite(delta) else None


def _ratio(delta: Number | None, before: Number | None) -> float | None:
    if delta is None or not before:
        return None
    try:
        ratio = delta / abs(before)
    except OverflowError:
        return None
    return ratio if math.isfinite(ratio) else None
