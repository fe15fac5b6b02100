"""Two outputs of one command: whether they say the same, but for paths, times and the like."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

from gitexp.domain.verdict import Judgement, OutputVerdict

LONGEST_SHOWN = 200
"""Characters of a line that are told."""

PATHS = "paths"
"""How paths are told; a name of this kind is a folder that what follows it is below."""

_NUMBER = r"[-+]?(?:\d+(?:_\d{3})*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_UNIT = r"(?:ns|[uµμ]s|ms|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIMING_NAME = (
    r"(?:[\w/.-]*[_/.-])?(?:time|duration|elapsed|runtime|took|seconds|latency|throughput|speed|eta|"
    r"[a-z]+_per_sec(?:ond)?)"
)

_PATTERNS: tuple[tuple[str, str, str], ...] = (
    ("colours", r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07", ""),
    (
        "times",
        rf"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +{_MONTH} +\d+ +\d\d:\d\d:\d\d(?: [A-Z]{{3,4}})?(?: \d{{4}})?",
        "<t>",
    ),
    ("times", rf"\b\d{{1,2}}[ /-]{_MONTH}[ /-]\d{{4}}(?:[ :]\d\d:\d\d:\d\d)?|\b{_MONTH} +\d+ +\d\d:\d\d:\d\d", "<t>"),
    (
        "times",
        r"\b\d{4}[-/]\d\d[-/]\d\d(?:[T _]\d\d[:-]\d\d(?:[:-]\d\d(?:[.,]\d+)?)?)?(?:Z\b|[+-]\d\d:?\d\d\b)?",
        "<t>",
    ),
    ("times", r"\b[IWEF]\d{4}(?= \d\d:\d\d:\d\d)", "<t>"),
    ("times", r"\b\d\d:\d\d:\d\d[.,]\d+|\b(?:1[5-9]|20)\d{8}\.\d+\b", "<t>"),
    ("durations", r"\[\s*[\d:?]+<[^\]]*\]", "[<d>]"),
    ("durations", r"\b\d+:\d\d(?::\d\d)?(?:\.\d+)?\b", "<d>"),
    (
        "durations",
        rf"(?i)\b({_TIMING_NAME}[\"']?(?:\s*\([a-z]+\))?\s*[=:]?\s+|{_TIMING_NAME}[\"']?\s*[=:]\s*){_NUMBER}",
        r"\1<d>",
    ),
    ("durations", rf"{_NUMBER} ?(?:[A-Za-z]+/(?:s|secs?|seconds?)|{_UNIT}/[A-Za-z]+)\b", "<d>"),
    ("durations", rf"(?<![\w.]){_NUMBER} ?{_UNIT}\b(?:(?: and|,)? ?\d+(?:\.\d+)? ?{_UNIT}\b)*", "<d>"),
    ("addresses", r"\b0x[0-9a-fA-F]{5,16}\b", "<address>"),
    ("processes", r"(?i)\b(pid|process)([ =:#]+)\d+", r"\1\2<n>"),
    (PATHS, r"(?<![\w.<:/])(?:file://)?/(?:[^\s'\"`:,;()\[\]{}<>|*?/]+/)+", "<path>/"),
)
"""What may differ: how it is told, its pattern, and what stands in its place."""


def judge_output(
    before: str, after: str, *, names: Mapping[str, str] | None = None, tolerance: float = 0.0
) -> OutputVerdict:
    """Compare what was printed, line by line.

    Args:
        names: texts that stand for one run only, like its id or where it ran, and how they are told ("run ids").
        tolerance: how far numbers may be apart, as for metrics.
    """
    if before == after:
        return OutputVerdict(judgement=Judgement.IDENTICAL)
    old, new = _lines(before), _lines(after)
    likeness = _Likeness(names or {}, tolerance)
    if len(old) == len(new):
        judged = [likeness.judge(one, other) for one, other in zip(old, new, strict=True)]
        if Judgement.DIFFERENT not in judged:
            is_near = Judgement.SAME in judged
            return OutputVerdict(
                judgement=Judgement.SAME if is_near else Judgement.IDENTICAL, ignored=tuple(likeness.ignored)
            )
    if Counter(map(likeness.plain, old)) == Counter(map(likeness.plain, new)):
        return OutputVerdict(judgement=Judgement.IDENTICAL, ignored=(*likeness.ignored, "the order of lines"))
    at = _first_difference(old, new, likeness)
    return OutputVerdict(
        judgement=Judgement.DIFFERENT,
        ignored=tuple(likeness.ignored),
        line=at + 1,
        before=old[at][:LONGEST_SHOWN] if at < len(old) else None,
        after=new[at][:LONGEST_SHOWN] if at < len(new) else None,
    )


def _first_difference(old: Sequence[str], new: Sequence[str], likeness: _Likeness) -> int:
    for at in range(min(len(old), len(new))):
        if likeness.judge(old[at], new[at]) is Judgement.DIFFERENT:
            return at
    return min(len(old), len(new))


class _Likeness:
    """Attributes:
    ignored: what differed so far and does not count, in the order found.
    """

    def __init__(self, names: Mapping[str, str], tolerance: float) -> None:
        self._names = sorted(((text, what) for text, what in names.items() if text), key=lambda pair: -len(pair[0]))
        self._tolerance = tolerance
        self.ignored: dict[str, None] = {}

    def judge(self, before: str, after: str) -> Judgement:
        if before == after:
            return Judgement.IDENTICAL
        one, kinds = self._normal(before)
        other, others = self._normal(after)
        judgement = Judgement.IDENTICAL
        if one != other:
            judgement = self._judge_numbers(one, other)
        if judgement is not Judgement.DIFFERENT:
            self.ignored.update(dict.fromkeys((*kinds, *others)))
        return judgement

    def plain(self, line: str) -> str:
        return self._normal(line)[0]

    def _normal(self, line: str) -> tuple[str, list[str]]:
        kinds = []
        for text, what in self._names:
            if text in line:
                line = line.replace(text, "/-" if what == PATHS else f"<{what}>")
                kinds.append(what)
        for what, pattern, instead in _compiled():
            line, count = pattern.subn(instead, line)
            if count:
                kinds.append(what)
        return line.rstrip(), kinds

    def _judge_numbers(self, one: str, other: str) -> Judgement:
        if not self._tolerance or _number().sub("#", one) != _number().sub("#", other):
            return Judgement.DIFFERENT
        for first, second in zip(_number().findall(one), _number().findall(other), strict=True):
            x, y = float(first), float(second)
            if not math.isclose(x, y, rel_tol=min(self._tolerance, 1.0), abs_tol=self._tolerance):
                return Judgement.DIFFERENT
        return Judgement.SAME


def _lines(text: str) -> list[str]:
    """As a terminal would leave them: of what was written over, only the last; and without empty ones."""
    shown = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line for line in shown if line]


@cache
def _compiled() -> tuple[tuple[str, re.Pattern[str], str], ...]:
    return tuple((what, re.compile(pattern), instead) for what, pattern, instead in _PATTERNS)


@cache
def _number() -> re.Pattern[str]:
    return re.compile(_NUMBER)
