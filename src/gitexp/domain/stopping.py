"""Conditions that end a run early: "metrics.loss > 10 for 5 steps"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gitexp.domain.config import parse_span
from gitexp.domain.matching import Query, fields, matches
from gitexp.domain.query import parse
from gitexp.domain.run import RunRecord
from gitexp.domain.summary import RunSummary
from gitexp.domain.values import Number
from gitexp.errors import UsageError

_PATIENCE = re.compile(r"(?is)(?P<condition>.*\S)\s+for\s+(?P<patience>(?:[0-9][0-9.]*\s*[a-z]+\s*)+)")
_STEPS = re.compile(r"(?i)([0-9]+)\s*(?:steps?|epochs?|iterations?|points?)")
_GROUPS = {"param": "params", "tag": "tags"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """When a run is to be ended.

    Attributes:
        text: as it was written.
        condition: over metrics only; it holds or not at each step at which one of them is logged.
        steps: at how many steps in a row it must hold.
        seconds: for how long it must hold; instead of `steps` where it is not 0.
    """

    text: str
    condition: Query
    steps: int = 1
    seconds: float = 0.0

    @property
    def metrics(self) -> frozenset[str]:
        """The keys it looks at."""
        return frozenset(field.key for field in fields(self.condition))


def parse_stop_rule(text: str) -> StopRule:
    """The rule that `text` states: a search expression over metrics, then perhaps "for 5 steps" or "for 10 min".

    Raises:
        UsageError, QueryError: it cannot be read, or looks at something else than metrics.
    """
    found = _PATIENCE.fullmatch(text)
    condition, patience = (found["condition"], found["patience"]) if found else (text, "1 step")
    steps, seconds = 1, 0.0
    counted = _STEPS.fullmatch(patience.strip())
    if counted:
        steps = int(counted[1])
    else:
        try:
            seconds = parse_span(patience)
        except ValueError as error:
            raise UsageError(f"{text!r}: {error}.", hint="Write 'for 5 steps' or 'for 10 min'.") from error
    query = parse(condition, now=0.0)
    named = list(fields(query))
    others = [f"{_GROUPS.get(field.kind, field.kind)}.{field.key}" for field in named if field.kind != "metric"]
    if others or not named or not steps:
        what = f"'{others[0]}' is no metric" if others else "0 steps are none" if named else "it names no metric"
        raise UsageError(f"{text!r}: {what}.", hint='Write a condition like "metrics.loss > 10 for 5 steps".')
    return StopRule(text=text.strip(), condition=query, steps=steps, seconds=seconds)


class StopWatch:
    """Follows the metrics of one run and tells when a rule has come true.

    Args:
        record: of the run.
    """

    def __init__(self, rules: Iterable[StopRule], record: RunRecord) -> None:
        self._metrics: dict[str, Number] = {}
        self._rules = [_Watched(rule) for rule in rules]
        self._run = RunSummary(ref="", commit=None, record=record, metrics=self._metrics)

    @property
    def metrics(self) -> frozenset[str]:
        """The keys that matter."""
        return frozenset(key for watched in self._rules for key in watched.rule.metrics)

    def see(self, key: str, step: int, time: float, value: Number) -> str:
        """Take one value in; gives why the run is to be ended, or an empty text.

        Args:
            time: seconds since 1970, UTC.
        """
        self._metrics[key] = value
        for watched in self._rules:
            if key in watched.rule.metrics and watched.see(matches(watched.rule.condition, self._run), step, time):
                return self._reason(watched.rule, step)
        return ""

    def look(self, now: float) -> str:
        """The same without a new value: whether one has held for long enough by now."""
        for watched in self._rules:
            if watched.is_due(now):
                return self._reason(watched.rule, watched.last_step)
        return ""

    def _reason(self, rule: StopRule, step: int) -> str:
        seen = ", ".join(f"{key} = {self._metrics[key]}" for key in sorted(rule.metrics) if key in self._metrics)
        return f"Stopped because {rule.text} ({seen} at step {step})."


class _Watched:
    """A rule, and since when it has held."""

    def __init__(self, rule: StopRule) -> None:
        self.rule = rule
        self.last_step = 0
        self._steps: set[int] = set()
        self._since: float | None = None

    def see(self, holds: bool, step: int, time: float) -> bool:
        self.last_step = step
        if not holds:
            self._steps.clear()
            self._since = None
            return False
        self._steps.add(step)
        if self._since is None:
            self._since = time
        return self.is_due(time)

    def is_due(self, now: float) -> bool:
        if self._since is None:
            return False
        return now - self._since >= self.rule.seconds if self.rule.seconds else len(self._steps) >= self.rule.steps
