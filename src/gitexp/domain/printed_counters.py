"""The counters in a printed line: epochs, steps, batches, trials, folds, and those of progress bars."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from gitexp.domain.printed_names import SPLITS
from gitexp.domain.printed_text import HIDDEN, PrintedText, Span


class Rank(IntEnum):
    """How fine a counter is."""

    FOLD = 0
    EPOCH = 1
    STEP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A number that counts: where it stands, and where the number that it counts up to does."""

    rank: Rank
    span: Span
    total: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """All counters of a line.

    Attributes:
        is_sure: one of them says what it counts, or stands where boosting libraries print theirs.
        plurals: numbers like "epochs=10", which say how many there will be.
    """

    found: tuple[Counter, ...]
    is_sure: bool
    plurals: int


COUNTING = frozenset(
    """
    epoch epochs ep episode episodes generation gen round fold trial cv step steps iter iters iteration iterations it
    update updates batch batches minibatch timestep timesteps
    """.split()
)
"""Words that a line with a counter has, unless it begins with one in brackets or before a tab."""

_WORDS = {
    Rank.FOLD: "fold|trial|cv",
    Rank.EPOCH: "epochs?|ep|episodes?|generation|gen|round",
    Rank.STEP: "global[_ ]?steps?|num_updates|num_timesteps|total_timesteps|timesteps?|steps?|iterations?|iters?|it"
    "|updates?|minibatch|batch(?:es)?",
}
_RANKS = {rank: re.compile(words, re.IGNORECASE) for rank, words in _WORDS.items()}
_SINGULAR_WITH_S = ("num_updates", "total_timesteps", "num_timesteps")
_ONLY_WITH_A_SIGN = ("it", "gen", "cv", "update", "round")
"""Words that mean other things too: they count with a colon, a bracket or a total."""

_N = r"(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})"
_B = r"\s{0,20}"
_PERCENT = rf"(?:{_B}\({_B}\d{{1,3}}(?:\.\d+)?{_B}%\))?"
_COUNTER = re.compile(
    r"(?<![\w.%/\-])(?<!over )(?<!per )(?<!each )(?<!this )(?<!last )(?<!best )"
    rf"(?P<q>['\"]?)(?P<word>{'|'.join(_WORDS.values())})(?P=q)(?:{_B}\([a-z]+\)|{_B}\[[a-z]+\])?"
    rf"(?P<sign>{_B}[:=#]{_B}|{_B}\(|\s{{1,20}}|(?=\[))(?P<open>['\"\[(]?){_B}(?P<n>{_N}(?:\.\d+)?)(?![\w%.]*\w)"
    rf"(?:{_B}(?:/|of){_B}(?P<total>{_N})(?![\w.]))?{_PERCENT}[\])]?['\"]?",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(rf"\[{_B}(?P<n>{_N}){_B}(?:/{_B}(?P<total>{_N}))?{_PERCENT}{_B}\]")
_BEHIND_AN_EPOCH = re.compile(
    rf"[:,|\-]?{_B}(?P<n>{_N}){_B}/{_B}(?P<total>{_N})(?={_B}(?:$|[|,:\-]|[A-Za-z_]\w*{_B}[:=]))"
)
_OF_BATCHES = re.compile(r"(?<=\|)\s+(?P<n>\d+)/\s*(?P<total>\d+) batches")
_AT_START = re.compile(
    rf"\s*(?:\[\s*(?P<epoch>\d+)\s*,\s*(?P<batch>\d+)\]"
    rf"|\[\s*(?P<outer>{_N})\s*/\s*(?P<outer_total>{_N})\s*\]\s*(?=\[\s*{_N}\s*/\s*{_N}\s*\])"
    rf"|\[\s*(?P<n>{_N})\s*(?:/\s*(?P<total>{_N}))?\s*\](?=\s)|(?P<row>\d+):\t)"
)
_AFTER_SPLIT = re.compile(rf"\s*(?:{'|'.join(SPLITS)}):? +(?P<n>\d+) +(?=\[)", re.IGNORECASE)
_OF_BAR = re.compile(rf"(?<![\w.:/])(?P<n>{_N})/(?P<total>{_N})(?![\w/:]|\.\d)|(?<![\w.:/])(?P<it>\d+)(?=it \[)")


def take_counters(line: PrintedText) -> Counters:
    """Find the counters of a line and hide them."""
    found: list[Counter] = []
    is_sure = False
    start = _AT_START.match(line.text.replace(HIDDEN, " "))
    if start is not None:
        if start["epoch"]:
            found.append(Counter(rank=Rank.EPOCH, span=start.span("epoch")))
            found.append(Counter(rank=Rank.STEP, span=start.span("batch")))
        elif start["outer"]:
            found.append(Counter(rank=Rank.EPOCH, span=start.span("outer"), total=start.span("outer_total")))
        elif start["n"]:
            found.append(_counter(Rank.STEP, start))
        else:
            found.append(Counter(rank=Rank.STEP, span=start.span("row")))
        is_sure = bool(start["row"]) or line.text[start.end() : start.end() + 1] == "\t"
        line.hide(*start.span())
    if split := _AFTER_SPLIT.match(line.text):
        found.append(Counter(rank=Rank.EPOCH, span=split.span("n")))
        line.hide(*split.span("n"))
    named, plurals = _take_named(line)
    found += named
    if line.is_bar:
        found = _take_bar(line, found)
    for pattern in (_IN_BRACKETS, _OF_BATCHES):
        for match in pattern.finditer(line.text):
            if match["total"]:
                if not any(counter.rank is Rank.STEP for counter in found):
                    found.append(_counter(Rank.STEP, match))
                line.hide(*match.span())
    return Counters(found=tuple(found), is_sure=is_sure or bool(named), plurals=plurals)


def _take_named(line: PrintedText) -> tuple[list[Counter], int]:
    """Counters that say what they count, and how many numbers only say how many there will be."""
    found: list[Counter] = []
    plurals = 0
    for match in _COUNTER.finditer(line.text):
        word = match["word"].lower()
        rank = next(rank for rank, words in _RANKS.items() if words.fullmatch(word))
        has_sign = bool(match["sign"].strip())
        if word.endswith("s") and word not in _SINGULAR_WITH_S and not match["total"]:
            plurals += has_sign
            line.hide(*match.span())
            continue
        is_bracketed = line.text[: match.start()].endswith("[") and match[0].endswith("]")
        if word in _ONLY_WITH_A_SIGN and not (has_sign or match["total"] or match["open"] or is_bracketed):
            continue
        if "." in match["n"] and rank is not Rank.EPOCH:
            continue
        found.append(_counter(rank, match))
        line.hide(*match.span())
        at = _skip_blanks(line.text, match.end())
        if rank is Rank.EPOCH and (inner := _IN_BRACKETS.match(line.text, at) or _BEHIND_AN_EPOCH.match(line.text, at)):
            found.append(_counter(Rank.STEP, inner))
            line.hide(*inner.span())
    return found, plurals


def _take_bar(line: PrintedText, found: list[Counter]) -> list[Counter]:
    """The counter of the bar instead of any other of steps."""
    match = _OF_BAR.search(line.text)
    if match is None:
        return found
    line.hide(*match.span())
    counter = Counter(rank=Rank.STEP, span=match.span("it")) if match["it"] else _counter(Rank.STEP, match)
    return [*(other for other in found if other.rank is not Rank.STEP), counter]


def _counter(rank: Rank, match: re.Match[str]) -> Counter:
    return Counter(rank=rank, span=match.span("n"), total=match.span("total") if match["total"] else None)


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t":
        position += 1
    return position
