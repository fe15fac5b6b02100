"""How a person names a run: `baseline`, `k7m2`, `a93c5d1e`, `@`, `@~1`, `best:metrics.rmse`, `nyc-taxi/@`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gitexp.domain.identity import ALPHABET, ID_LENGTH
from gitexp.errors import UsageError

SHORTEST_COMMIT = 6
SHORTEST_ID = 2


@dataclass(frozen=True, slots=True)
class ByText:
    """A name, an id or its beginning, or the beginning of a commit's hash; which one only the runs can tell."""

    text: str

    @property
    def may_be_id(self) -> bool:
        return _ID_PREFIX.match(self.text) is not None

    @property
    def may_be_commit(self) -> bool:
        return _COMMIT_PREFIX.match(self.text) is not None

    @property
    def in_experiments(self) -> tuple[tuple[str, ByText], ...]:
        """The ways to read the text as `experiment/run`, for when nothing is called by the whole of it."""
        cuts = [at for at, character in enumerate(self.text) if character == "/" and 0 < at < len(self.text) - 1]
        return tuple((self.text[:at], ByText(self.text[at + 1 :])) for at in cuts)


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest run (`@`), or the one that is `back` runs older (`@~2`); nested runs do not count, unless all are."""

    back: int = 0
    experiment: str | None = None


@dataclass(frozen=True, slots=True)
class Best:
    """The run whose last value of a metric is lowest, or highest (`best:-metrics.auc`)."""

    metric: str
    maximize: bool = False
    experiment: str | None = None


Selector = ByText | Latest | Best

_ID_PREFIX = re.compile(f"[{ALPHABET[10:]}][{ALPHABET}]{{{SHORTEST_ID - 1},{ID_LENGTH - 1}}}\\Z")
_COMMIT_PREFIX = re.compile(rf"[0-9a-fA-F]{{{SHORTEST_COMMIT},64}}\Z")
_LATEST = re.compile(r"(?:(?P<experiment>.+)/)?@(?:~(?P<back>[0-9]{0,9}))?\Z", re.DOTALL)
_BEST = re.compile(r"(?:(?P<experiment>.+?)/)?best:(?P<sign>-?)(?P<metric>.*)\Z", re.DOTALL)
_METRIC_PREFIX = re.compile(r"metrics?\.")


def parse_selector(text: str) -> Selector:
    """What `text` names. Nothing is looked up.

    Raises:
        UsageError: the text is empty, or begins as `@` or `best:` does and goes on in a way that makes no sense.
    """
    if not text:
        raise UsageError("No run is named.", hint="Give a name, an id, '@' for the newest run or 'best:metrics.NAME'.")
    if found := _BEST.match(text):
        return _best(text, found)
    if found := _LATEST.match(text):
        back = found["back"]
        return Latest(0 if back is None else int(back or 1), found["experiment"])
    if text[0] == "@":
        raise UsageError(f"'{text}' names no run.", hint="'@' is the newest run, '@~1' the one before it.")
    return ByText(text)


def suggest(text: str, candidates: Iterable[str], *, most: int = 5) -> list[str]:
    """The candidates most like `text`, nearest first: those that contain it, then those spelt nearly so."""
    from difflib import get_close_matches  # only a mistake needs it

    known = list(dict.fromkeys(candidates))
    wanted = text.lower()
    holding = sorted((name for name in known if wanted and wanted in name.lower()), key=len)
    by_folded = {name.lower(): name for name in reversed(known)}
    near = [by_folded[folded] for folded in get_close_matches(wanted, by_folded, n=most, cutoff=0.6)]
    return list(dict.fromkeys([*holding, *near]))[:most]


def _best(text: str, found: re.Match[str]) -> Best:
    metric = _METRIC_PREFIX.sub("", found["metric"], count=1)
    quoted = len(metric) > 2 and metric[0] == metric[-1] and metric[0] in "`\"'"
    metric = metric[1:-1] if quoted else metric
    if not metric:
        raise UsageError(f"'{text}' names no metric.", hint="Write best:metrics.NAME, or best:-metrics.NAME.")
    return Best(metric, found["sign"] == "-", found["experiment"])
