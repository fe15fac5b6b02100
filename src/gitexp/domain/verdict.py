"""Whether a run and its repetitions came to the same: metric by metric, artifact by artifact, and what they printed.

Times are no results: when something was logged is not compared, and what measures time or the machine is not judged.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar

from gitexp.domain.metrics import SYSTEM, History, to_float
from gitexp.domain.values import Number

T = TypeVar("T")

TIMINGS = re.compile(
    r"(?:.*[/_.\s-])?(?:time|times|duration|durations|elapsed|runtime|wall|walltime|latency|throughput|seconds|secs|sec|"
    r"ms|eta|fps|timestamp|speed)(?:[/_.\s-](?:s|ms|us|ns|sec|secs|seconds|total|mean|avg|epoch|step|fit|score))?\Z"
    r"|.*(?:per_sec|per_second|_per_s|/s|/sec|its_s)\Z",
    re.IGNORECASE,
)
"""Names of metrics that measure how long something took."""

_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t at 97.5 % for 1 to 10 degrees of freedom; beyond that 2.2 is near enough."""


class Judgement(Enum):
    """How alike two things are; the larger, the less.

    SAME: within the tolerance. NOISE: no farther apart than repetitions are among themselves.
    """

    IDENTICAL = 0
    SAME = 1
    NOISE = 2
    DIFFERENT = 3

    @property
    def word(self) -> str:
        """For people and for tags: noise counts as the same."""
        return {0: "identical", 1: "same", 2: "same", 3: "different"}[self.value]


def worst(judgements: Sequence[Judgement]) -> Judgement:
    """The least alike; nothing is identical to nothing."""
    return max(judgements, key=lambda one: one.value, default=Judgement.IDENTICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What repetitions of a run say of one metric's last value: how many there are, and how they spread."""

    count: int
    low: float
    high: float
    mean: float
    deviation: float

    def explains(self, value: float) -> bool:
        """Whether one more repetition would come as far from the mean, or farther, more than once in twenty times."""
        degrees = min(self.count - 1, len(_T))
        reach = _T[degrees - 1] * self.deviation * math.sqrt(1 + 1 / self.count)
        return abs(value - self.mean) <= reach


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricVerdict:
    """One metric of a run and of its repetition.

    Attributes:
        before, after: the last values; None where there is none.
        points_before, points_after: how many were logged.
        first_step: the first step at which the histories differ beyond the tolerance, or None.
        first_before, first_after: the values there.
        largest_absolute, largest_relative: over all steps that both have; relative to the larger of the two.
        noise: of the last value, where it was measured.
    """

    key: str
    judgement: Judgement
    before: Number | None = None
    after: Number | None = None
    points_before: int = 0
    points_after: int = 0
    first_step: int | None = None
    first_before: Number | None = None
    first_after: Number | None = None
    largest_absolute: float = 0.0
    largest_relative: float = 0.0
    noise: Noise | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactVerdict:
    """One artifact. `before`, `after`: SHA-256, None where the run has none; `detail`: how the content differs."""

    path: str
    judgement: Judgement
    before: str | None = None
    after: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputVerdict:
    """What was printed.

    Attributes:
        ignored: what differed and does not count: "paths", "times", ...
        line: the number of the first line that differs, or None. before, after: that line.
    """

    judgement: Judgement
    ignored: tuple[str, ...] = ()
    line: int | None = None
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Something that may be why results differ. `kind`: "package", "python", "machine", "input", "seed", ..."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A run judged against one repetition or several.

    Attributes:
        not_judged: metrics that measure time or the machine.
        output: None where nothing was printed, or not both are known.
        causes: the most likely first; empty where nothing differs.
    """

    judgement: Judgement
    tolerance: float = 0.0
    metrics: tuple[MetricVerdict, ...] = ()
    not_judged: tuple[str, ...] = ()
    artifacts: tuple[ArtifactVerdict, ...] = ()
    output: OutputVerdict | None = None
    causes: tuple[Cause, ...] = field(default=())


def judge(
    metrics: Sequence[MetricVerdict],
    artifacts: Sequence[ArtifactVerdict],
    output: OutputVerdict | None,
    *,
    tolerance: float,
    not_judged: Sequence[str] = (),
) -> Verdict:
    """The verdict over all parts: as bad as the worst of them."""
    parts = [part.judgement for part in (*metrics, *artifacts, *([output] if output else ()))]
    return Verdict(
        judgement=worst(parts),
        tolerance=tolerance,
        metrics=tuple(metrics),
        not_judged=tuple(not_judged),
        artifacts=tuple(artifacts),
        output=output,
    )


def is_judged(key: str) -> bool:
    """Whether a metric of this name is a result, and not a measurement of time or of the machine."""
    return not key.startswith(SYSTEM) and TIMINGS.match(key) is None


def close(before: Number, after: Number, tolerance: float) -> bool:
    """Whether two values are the same within `tolerance`, relative to the larger, or absolute for small ones."""
    one, other = to_float(before), to_float(after)
    if before == after or (one != one and other != other):
        return True
    return tolerance > 0 and math.isclose(one, other, rel_tol=min(tolerance, 1.0), abs_tol=tolerance)


def judge_metric(key: str, before: History, after: History, *, tolerance: float = 0.0) -> MetricVerdict:
    """Compare two histories step by step; what was logged at one step is compared in the order logged."""
    common = {
        "points_before": len(before),
        "points_after": len(after),
        "before": before.last if len(before) else None,
        "after": after.last if len(after) else None,
    }
    if _is_identical(before, after):
        return MetricVerdict(key=key, judgement=Judgement.IDENTICAL, **common)  # type: ignore[arg-type]
    absolute = relative = 0.0
    judgement = Judgement.IDENTICAL
    first: tuple[int, Number | None, Number | None] | None = None
    old, new = _by_step(before), _by_step(after)
    for step in sorted(old.keys() | new.keys()):
        ours, theirs = old.get(step, ()), new.get(step, ())
        for at in range(max(len(ours), len(theirs))):
            one = ours[at] if at < len(ours) else None
            other = theirs[at] if at < len(theirs) else None
            is_close = one is not None and other is not None and close(one, other, tolerance)
            if one is not None and other is not None:
                by, share = _distance(one, other)
                absolute, relative = max(absolute, by), max(relative, share)
                if by and is_close:
                    judgement = worst([judgement, Judgement.SAME])
            if not is_close:
                judgement = Judgement.DIFFERENT
                first = first or (step, one, other)
    return MetricVerdict(
        key=key,
        judgement=judgement,
        first_step=first and first[0],
        first_before=first and first[1],
        first_after=first and first[2],
        largest_absolute=absolute,
        largest_relative=relative,
        **common,  # type: ignore[arg-type]
    )


def measure_noise(values: Sequence[Number]) -> Noise | None:
    """What the last values of repetitions say; None for fewer than two, or where one is no number."""
    numbers = [to_float(value) for value in values]
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)):
        return None
    return Noise(
        count=len(numbers),
        low=min(numbers),
        high=max(numbers),
        mean=statistics.fmean(numbers),
        deviation=statistics.stdev(numbers),
    )


def combine(verdicts: Sequence[Verdict], repeated: Mapping[str, Sequence[Number]]) -> Verdict:
    """Several repetitions as one verdict: the worst of each part, with differences judged against the run's own noise.

    Args:
        verdicts: each repetition against the run, not empty.
        repeated: the last values of each metric in the repetitions.
    """
    if len(verdicts) == 1:
        return verdicts[0]
    metrics = [
        _with_noise(_worst_metric(parts), measure_noise(repeated.get(key, ())))
        for key, parts in _grouped([list(verdict.metrics) for verdict in verdicts], "key").items()
    ]
    artifacts = []
    for parts in _grouped([list(verdict.artifacts) for verdict in verdicts], "path").values():
        found = max(parts, key=lambda part: part.judgement.value)
        digests = {part.after for part in parts}
        if found.judgement is Judgement.DIFFERENT and len(digests) > 1 and None not in digests:
            found = replace(found, judgement=Judgement.NOISE, detail=found.detail or "other content in each repetition")
        artifacts.append(found)
    outputs = [verdict.output for verdict in verdicts if verdict.output]
    output = max(outputs, key=lambda one: one.judgement.value, default=None)
    if output and output.judgement is Judgement.DIFFERENT and len({(one.line, one.after) for one in outputs}) > 1:
        output = replace(output, judgement=Judgement.NOISE)
    not_judged = sorted({key for verdict in verdicts for key in verdict.not_judged})
    return judge(metrics, artifacts, output, tolerance=verdicts[0].tolerance, not_judged=not_judged)


def _with_noise(metric: MetricVerdict, noise: Noise | None) -> MetricVerdict:
    if noise is None:
        return metric
    metric = replace(metric, noise=noise)
    is_explained = metric.before is not None and noise.deviation > 0 and noise.explains(to_float(metric.before))
    if metric.judgement is Judgement.DIFFERENT and is_explained:
        return replace(metric, judgement=Judgement.NOISE)
    return metric


def _worst_metric(parts: Sequence[MetricVerdict]) -> MetricVerdict:
    found = max(parts, key=lambda part: (part.judgement.value, part.largest_relative))
    steps = [part.first_step for part in parts if part.first_step is not None]
    earliest = min((part for part in parts if part.first_step is not None), key=_first_step, default=found)
    return replace(
        found,
        first_step=min(steps, default=None),
        first_before=earliest.first_before,
        first_after=earliest.first_after,
        largest_absolute=max(part.largest_absolute for part in parts),
        largest_relative=max(part.largest_relative for part in parts),
    )


def _first_step(part: MetricVerdict) -> int:
    assert part.first_step is not None
    return part.first_step


def _grouped(lists: Sequence[Sequence[T]], name: str) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for parts in lists:
        for part in parts:
            found.setdefault(getattr(part, name), []).append(part)
    return found


def _is_identical(before: History, after: History) -> bool:
    """Quick for a million points: their bytes, which for NaN are usually the same too."""
    return (
        before.steps == after.steps
        and before.values.tobytes() == after.values.tobytes()
        and before.exact == after.exact
    )


def _by_step(history: History) -> dict[int, list[Number]]:
    found: dict[int, list[Number]] = {}
    for step, value in zip(history.steps, history.numbers(), strict=True):
        found.setdefault(step, []).append(value)
    return found


def _distance(one: Number, other: Number) -> tuple[float, float]:
    """How far apart two values are, absolutely and relative to the larger; infinite where only one is a number."""
    first, second = to_float(one), to_float(other)
    if one == other or (first != first and second != second):
        return 0.0, 0.0
    by = to_float(abs(one - other)) if isinstance(one, int) and isinstance(other, int) else abs(first - second)
    if not math.isfinite(by):  # one of them is no number
        return math.inf, math.inf
    size = max(abs(first), abs(second))
    return by, by / size if size else 0.0
