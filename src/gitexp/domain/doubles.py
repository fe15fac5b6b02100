"""Metrics and params that say what another says already, under another name: printed once more, or passed on.

A loss that a framework was seen to report is often printed, too, and written to a file. Names alone do not tell, nor do
values: a name has to be of the same measurement, and all of its values have to be found, as far as they were printed.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gitexp.domain.metrics import History
from gitexp.domain.printed_names import SPLITS, tokens
from gitexp.domain.source import Source
from gitexp.domain.values import Value, same_value

Named = tuple[str, int]
"""A key, and the `Source` that names it."""

_PHRASES = (
    (re.compile(r"\br[ _-]?(?:squared|2)(?![a-z0-9])"), "rsquared"),
    (re.compile(r"\broot mean squared error\b"), "rmse"),
    (re.compile(r"\bmean squared error\b"), "mse"),
    (re.compile(r"\bmean absolute error\b"), "mae"),
    (re.compile(r"\blog likelihood\b"), "llf"),
    (re.compile(r"\bf statistic\b"), "fvalue"),
    (re.compile(r"\bacc\b"), "accuracy"),
    (re.compile(r"\bf1\b"), "f"),
)
_NEUTRAL = frozenset("score average avg mean final overall".split())
_SPLITS = {**SPLITS, "learn": "train"}
_ROUGH = {"val": "test", "eval": "test"}
"""Some call the data of a validation a test."""
_VAGUE = frozenset({"best"})
"""Words that without another say nothing of what was measured."""

_FLOAT32 = 1e-6
"""How far apart, relatively, a number and its 32 bits may be."""


@dataclass(frozen=True, slots=True)
class _Role:
    """What a name speaks of: the measurement, and the data it was measured on, if it says so."""

    words: frozenset[str]
    split: str | None


def find_double_metrics(histories: Mapping[Named, History]) -> list[Named]:
    """The printed metrics that repeat one of a surer source, and those of files that repeat a framework's."""
    keys: dict[str, int] = {}
    for key, source in histories:
        keys[key] = min(source, keys.get(key, source))
    found = []
    for name, history in histories.items():
        key, source = name
        if source not in (Source.FILE, Source.OUTPUT) or keys[key] < source or not len(history):
            continue
        printed = _Printed(history.values)
        surer = (other for other in histories if other[1] < source and other[0] != key)
        if any(printed.repeats(histories[other].values, _role(key), _role(other[0])) for other in surer):
            found.append(name)
    return found


def find_double_params(params: Iterable[tuple[Named, Value]]) -> list[Named]:
    """A framework's params that an option like `model.width` said, and items of constants that a framework got."""
    given = dict(params)
    by_tail: dict[str, list[tuple[Named, Value]]] = {}
    for name, value in given.items():
        by_tail.setdefault(name[0].rpartition(".")[2], []).append((name, value))
    found = []
    for (key, source), value in given.items():
        for (other, other_source), other_value in by_tail[key.rpartition(".")[2]]:
            passed_on = source == Source.AUTOLOG and "." not in key and other_source < source and "." in other
            is_item = source == Source.CONSTANT and "." in key and other_source < source and "." not in other
            if (passed_on or is_item) and same_value(value, other_value):
                found.append((key, source))
                break
    return found


class _Printed:
    """The values of a metric as they were printed: rounded, or as a percentage."""

    def __init__(self, values: Sequence[float]) -> None:
        self._values = values
        self._is_finite = all(map(math.isfinite, values))
        self._decimals = max(_decimals(value) for value in values[:1000])
        self._distinct = len(set(values[:1000]))
        self._digits = max(_significant(value) for value in values[:1000])

    def repeats(self, others: Sequence[float], role: _Role, other: _Role) -> bool:
        """Whether `others` hold all of these, of a metric of the role `other`."""
        if not len(others) or not self._is_finite:
            return False
        if len(self._values) == 1:
            return self._repeats_one(others, role, other)
        is_strong = self._distinct >= 3 and self._digits >= 4
        if not role.words:
            return is_strong and self._are_among(others)
        if role.words != other.words or self._distinct < 2 or self._digits < 3:
            return False
        if None in (role.split, other.split) or role.split == other.split:
            return self._follow(others)
        return is_strong and _roughly(role.split) == _roughly(other.split) and self._follow(others)

    def _repeats_one(self, others: Sequence[float], role: _Role, other: _Role) -> bool:
        """Whether the last of the others is this one, of the same name, or the only one, of the same measurement."""
        if role.words != other.words or not role.words:
            return False
        is_open = None in (role.split, other.split) and "train" not in (role.split, other.split)
        if role.split != other.split and not (is_open and len(others) == 1):
            return False
        return any(self._is(self._values[0], others[-1], factor) for factor in (1, 100))

    def _follow(self, others: Sequence[float]) -> bool:
        """Whether these come among the others in the same order."""
        for factor in (1, 100):
            rest = iter(others)
            if all(any(self._is(value, other, factor) for other in rest) for value in self._values):
                return True
        return False

    def _are_among(self, others: Sequence[float]) -> bool:
        ordered = sorted(filter(math.isfinite, others))
        for value in self._values:
            place = bisect_left(ordered, value)
            if not any(self._is(value, other, 1) for other in ordered[max(place - 1, 0) : place + 1]):
                return False
        return True

    def _is(self, value: float, exact: float, factor: int) -> bool:
        is_rounded = self._decimals >= 2 or self._digits >= 4
        rounding = 0.5 * 10.0**-self._decimals if is_rounded else 0.0
        return abs(value - exact * factor) <= max(rounding * (1 + 1e-6), _FLOAT32 * abs(value))


@lru_cache(4096)
def _role(key: str) -> _Role:
    plain = " ".join(re.split(r"[\s_/.@-]+", key)).lower()
    for phrase, short in _PHRASES:
        plain = phrase.sub(short, plain)
    words = {token for word in plain.split() for token in (tokens(word) or (word,))}
    splits = sorted(words & _SPLITS.keys())
    words -= _SPLITS.keys()
    words = (words - _NEUTRAL) or words
    return _Role(frozenset(() if words <= _VAGUE else words), _SPLITS[splits[0]] if splits else None)


def _roughly(split: str | None) -> str | None:
    return _ROUGH.get(split or "", split)


def _decimals(value: float) -> int:
    """Digits after the decimal point of the shortest text for a number."""
    text = repr(value)
    return 17 if "e" in text or "n" in text else len(text.rpartition(".")[2].rstrip("0"))


def _significant(value: float) -> int:
    return len(repr(value).partition("e")[0].replace(".", "").strip("-0"))
