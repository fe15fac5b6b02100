"""One printed line, read on its own: the measurements in it and the counters that say when they were taken.

The rules are in docs/metrics.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitexp.domain.printed_counters import COUNTING, Counter, Counters, take_counters
from gitexp.domain.printed_names import MEASURED, OTHER_LOSSES, SPLITS, Kind, is_name_word, key_of, kind_of, split_of
from gitexp.domain.printed_text import HIDDEN, PrintedText, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A measurement.

    Attributes:
        span: where its number stands. Of a ratio, as 97/100, the number before the slash.
        total: where the number after the slash does.
    """

    key: str
    span: Span
    total: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a line says.

    Attributes:
        below: pairs that count only directly below a line that is nothing but a counter.
        bare: names that have got the data set before them, and the keys they so became.
        is_bar: a progress bar, which shows the same thing again and again.
        is_summary: it has no counter, and is marked as one that sums up the lines before it.
    """

    pairs: tuple[Pair, ...] = ()
    below: tuple[Pair, ...] = ()
    counters: tuple[Counter, ...] = ()
    bare: tuple[tuple[str, str], ...] = ()
    is_bar: bool = False
    is_summary: bool = False


@dataclass(slots=True)
class _Found:
    """A name and its number, before it is known whether they count.

    Attributes:
        start, stop: from the name to what belongs to the number, as a unit.
        by_blank: nothing but blanks, or "is", stands between the two.
        is_exact: the number is no integer.
        path: of the mappings around it.
        is_aside: it stands in parentheses.
    """

    name: str
    kind: Kind
    start: int
    stop: int
    span: Span
    total: Span | None
    by_blank: bool
    is_exact: bool
    path: str
    is_aside: bool


_ASSIGNED = re.compile(r"[:=]['\"]?\s*(?:['\"]|np\.|tensor\()?[-+]?(?:\.?\d|nan\b|inf\b)", re.IGNORECASE)
_LETTERS = re.compile(r"[a-z]+")
_SUMMARY = re.compile(r"[\s\0]*(?:\*+|=+>)\s")

_VALUE = re.compile(
    r"(?<![\w.%@#$])[-+]?(?P<n>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
    r"|(?:nan|inf(?:inity)?)\b)",
    re.IGNORECASE,
)
_FARTHEST = 160
"""How far before its number a name begins at most."""
_REST_OF_WORD = r"[\w@%./'^+\-\x80-\xbf\xc3-\xd4]*(?:\([A-Za-z@\d_:.\- ]{1,24}\))?"
_NAME = re.compile(rf"(?P<name>[A-Za-z_\xc3-\xd4]{_REST_OF_WORD}(?: {{1,2}}[A-Za-z_\xc3-\xd4(][)]?{_REST_OF_WORD})*)$")
_SEPARATOR = re.compile(r"['\"]?[\s\0]*(?P<by>[:=]|(?<!\S)is)?(?P<open>\s*(?:np\.float(?:32|64)\(|tensor\()?['\"]?)$")
_CONNECTED = re.compile(r"[\s\0]+(?:(?:after|at|for|in|on|is|was|of|=)[\s\0]*)+$", re.IGNORECASE)
_ASIDE = re.compile(r"\s*\([^()]*\)[\s\0]*$")
_TOTAL = re.compile(r"/(?:\d{1,3}(?:,\d{3})+|\d+)(?![\w./])")
_AFTER = re.compile(
    r"(?P<percent> ?%)?"
    r"(?:\s*\(\s*(?:[-+]|\xc2\xb1|\+/-)?[\s\d.,eE+\-/%]*\)|\s?(?:\+/-|\xc2\xb1|\+)\s?\d[\d.eE\-+]*)*"
)
_UNIT = re.compile(
    r"(?:[A-Za-z\xb5][\w/]*|/[a-z]+)|\s?(?:[num\xb5]?s|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?"
    r"|[KMGTkmgt]i?B(?:/s)?|bytes|bits|[kMG]?Hz|FLOPS?|GF|px|dpi|files?|items?|samples?|images?|rows?|lines?|tokens?"
    r"|steps?|epochs?|iterations?|batches|params|parameters|workers|devices|errors|warnings|passed|failed|times?|it/s"
    r"|[a-z]+/(?:s|sec|step|it|epoch))(?![\w=:@])(?!\s*[:=])"
)
_BOUNDARY = re.compile(r"(?=[\s,;|)\]}'\"*\0]|$|\.(?:\s|$))(?!,\d|\s*(?:->|=>|-->|[*/^<>!=]|- \d|\+ ))")
_NOT_BEFORE_A_NAME = "`/\\$<-.#&"

_OF_SO_MANY = re.compile(
    r"(?:\b(?:the|all) )?\b\d[\d,]* "
    r"(?=(?:train|val|test|eval|dev|held-out)\w* (?:images|samples|examples|sentences|items|rows)\b)"
)
"""The number in "accuracy of the network on the 10000 test images"."""
_REST_OF_TENSOR = re.compile(
    r"(?:,\s*(?:grad_fn=<\w+>|device='\w+(?::\d+)?'|dtype=torch\.\w+|requires_grad=True))+(?=\))"
)

_NESTED = re.compile(r"['\"](?P<name>[^'\"]{1,60})['\"]\s*:\s*\{|(?P<open>\{)|(?P<close>\})")
_MAPPING = re.compile(r"[\s\0]*(?:[\w.\- ]{1,30}[:=|\-]\s*)?\{")
_TEXT_ASSIGNED = re.compile(r"\b[A-Za-z_]\w*=(?!\s*[-+.\d\0\s])(?!(?:nan|inf)\b)['\"]?(\w*)", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z\xc3-\xd4][A-Za-z\x80-\xbf\xc3-\xd4]+")
_BARE_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w%])")
_PROSE = frozenset(
    """
    i we you they he she was were got would should could because than but if our my your paper reports reported about
    when which that this these those there have has had do does did not can cannot will please expected expect assert
    think
    """.split()
)
_QUIET = frozenset(
    """
    info debug and set sets data results result metrics metric stats statistics summary done finished complete completed
    start starting started begin of with at after batches eta epoch step iteration end now log logging phase mode split
    training train running progress eval evaluation over on for the to trial fold model samples images dataset network
    is performance report current lr new
    """.split()
)
"""Words that may stand beside measurements without making a line prose."""
_LONGEST_NAME = 6
_MOST_LOUD = 8
_CONNECTORS = ("on", "of", "over", "for", "in")
_EASILY_COUNTS = ("error", "errors", "err", "precision", "map", "objective", "fitness")


def read_line(text: str) -> Reading | None:
    """The measurements and counters of a line; None where it holds none."""
    if not _is_promising(text):
        return None
    line = PrintedText(text)
    if not line.strip():
        return None
    nested = _nesting(line.text)
    counters = take_counters(line)
    found = _find_pairs(line.text, nested)
    for pair in found:
        line.hide(pair.start, pair.stop)
    return _judge(line, counters, found, is_mapping=bool(nested))


def _is_promising(text: str) -> bool:
    """A quick look that spares most lines the long one."""
    words = _LETTERS.findall(text.lower())
    return not (MEASURED.isdisjoint(words) and COUNTING.isdisjoint(words)) or _ASSIGNED.search(text) is not None


def _nesting(text: str) -> list[tuple[int, str]]:
    """Where in a printed mapping which path begins; empty for other lines."""
    if "{'" not in text and '{"' not in text:
        return []
    paths: list[str] = []
    places: list[tuple[int, str]] = []
    for match in _NESTED.finditer(text):
        if not match["close"]:
            paths.append(f"{paths[-1] if paths else ''}{match['name']}." if match["name"] else "")
        elif paths:
            paths.pop()
        places.append((match.end(), paths[-1] if paths else ""))
    return places


def _find_pairs(text: str, nested: list[tuple[int, str]]) -> list[_Found]:
    pairs: list[_Found] = []
    last = 0
    for match in _VALUE.finditer(text):
        if match.start() < last:
            continue
        found = _find_pair(text, last, match, nested)
        if found is not None:
            pairs.append(found)
            last = found.stop
    return pairs


def _find_pair(text: str, last: int, match: re.Match[str], nested: list[tuple[int, str]]) -> _Found | None:
    """The number at `match` with the name between `last` and it; a quantity without a name has an empty one."""
    start, end = match.span()
    before = text[max(last, start - _FARTHEST) : start]
    if _OF_SO_MANY.match(text, start):
        return None
    before = _OF_SO_MANY.sub("", before)
    separator = _SEPARATOR.search(before)
    assert separator is not None  # it may be empty
    by_blank = separator["by"] in (None, "is")
    head = before[: separator.start()]
    if separator["by"] or HIDDEN in separator[0]:
        head = _CONNECTED.sub("", head)
    aside = None if by_blank else _ASIDE.search(head)
    named = None
    if separator[0] or not before:
        named = _NAME.search(head if aside is None else head[: aside.start()])
    unit = _UNIT.match(text, end)
    is_whole = match["n"].isdigit()
    ratio = _TOTAL.match(text, end) if is_whole else None
    after = _AFTER.match(text, end if ratio is None else ratio.end())
    assert after is not None  # it may be empty
    if after["percent"]:
        unit = None
    found = _Found(
        name="",
        kind=Kind.COST,
        start=start,
        stop=after.end() if unit is None else unit.end(),
        span=(start, end),
        total=None if ratio is None else (ratio.start() + 1, ratio.end()),
        by_blank=by_blank,
        is_exact=not is_whole or bool(after["percent"]) or ratio is not None,
        path=next((path for place, path in reversed(nested) if place <= start), ""),
        is_aside=False,
    )
    if named is None:
        return None if unit is None else found
    found.start = start - len(before) + named.start("name")
    found.is_aside = text.rfind("(", 0, found.start) > text.rfind(")", 0, found.start)
    if _is_marked(text, found.start) or (nested and by_blank):
        return None
    if unit is not None:
        return found
    quote = separator["open"].strip()[-1:]
    if quote in ("'", '"') and quote:
        if text[found.stop : found.stop + 1] != quote:
            return None
        found.stop += 1
    elif quote == "(" and (rest := _REST_OF_TENSOR.match(text, found.stop)):
        found.stop = rest.end() + 1
    elif quote == "(" and text[found.stop : found.stop + 1] == ")":
        found.stop += 1
    if not _BOUNDARY.match(text, found.stop):
        return None
    _name(found, named["name"], aside[0] if aside else "", is_quoted=bool(nested))
    return found


def _is_marked(text: str, start: int) -> bool:
    """Whether what stands directly before a name says that it is none: an option, a path, code."""
    mark = text[start - 1] if start else " "
    return mark in _NOT_BEFORE_A_NAME and not (mark == "-" and text[start - 2 : start - 1] == " ")


def _name(found: _Found, phrase: str, aside: str, *, is_quoted: bool) -> None:
    """Find out which of the words before a number are its name, and of what kind that is."""
    if is_quoted:
        found.name, found.kind = phrase, kind_of(phrase)
        return
    words = phrase.split()
    if OTHER_LOSSES.search(phrase):
        found.kind = Kind.COST
        return
    first = len(words)
    while first and (is_name_word(words[first - 1]) or (words[first - 1].endswith("'s") and first < len(words))):
        first -= 1
    if first == len(words) and _name_by_its_beginning(found, words):
        return
    if first == len(words) and kind_of(words[-1]) is not Kind.OTHER:
        first -= 1
    is_known = first < len(words) and kind_of(" ".join(words[first:])) is not Kind.OTHER
    if not is_known:
        first = 0
        while first < len(words) - 1 and words[first].lower() in _QUIET and split_of(words[first]) is None:
            first += 1
    found.start += _length(phrase, first)
    name = " ".join(words[first:])
    found.kind = kind_of(name)
    if not is_known and found.kind is Kind.MEASURED:
        found.kind = Kind.OTHER  # a word among others, as in "loss improved to 0.3"
    if len(words) - first > (3 if found.kind is Kind.OTHER else _LONGEST_NAME):
        found.kind = Kind.COST
    split = split_of(aside)
    found.name = f"{split} {name}" if split and not split_of(name) else name


def _name_by_its_beginning(found: _Found, words: list[str]) -> bool:
    """Whether the name is of the kind "accuracy on the test set"."""
    at = next((at for at, word in enumerate(words) if at and word.lower() in _CONNECTORS), None)
    if at is None or not all(map(is_name_word, words[:at])):
        return False
    name, split = " ".join(words[:at]), split_of(" ".join(words[at:]))
    found.name = name if split is None or split_of(name) else f"{split} {name}"
    found.kind = kind_of(name)
    return True


def _length(phrase: str, words: int) -> int:
    """How many characters the first words of a phrase take, with the blanks behind them."""
    return len(phrase) - len(phrase.split(maxsplit=words)[words]) if words else 0


def _judge(line: PrintedText, counters: Counters, found: list[_Found], *, is_mapping: bool) -> Reading | None:
    """Which of what was found counts. `line` has nothing left but what neither counters nor pairs explain."""
    words = [word.lower() for word in _WORD.findall(line.text)]
    loud = sum(word not in _QUIET and word not in SPLITS for word in words)
    numbers = len(_BARE_NUMBER.findall(line.text))
    assigned = [value.lower() for value in _TEXT_ASSIGNED.findall(line.text)]
    settings = counters.plurals + sum(pair.kind is Kind.SETTING for pair in found)
    settings += sum(value not in SPLITS and value != "true" for value in assigned)
    has_counter = bool(counters.found)
    is_prose = any(word in _PROSE for word in words)

    measured = [pair for pair in found if pair.kind is Kind.MEASURED]
    is_dump = settings >= max(len(measured), 1) or (is_mapping and len(measured) < len(found) / 2)
    if is_mapping and not _MAPPING.match(line.text):
        is_dump = True
    if has_counter:
        is_dump = settings >= 3 and not is_mapping
    if is_dump or (is_prose and not (has_counter and len(words) < _MOST_LOUD)):
        measured = []
    if not (is_mapping or line.is_bar):
        measured = [pair for pair in measured if _is_good(pair, loud, numbers, has_counter=has_counter)]

    is_clean = is_mapping or line.is_bar or not (loud or numbers)
    others = [
        pair
        for pair in found
        if is_clean and not settings and not pair.is_aside and _is_good_beside(pair, has_measured=bool(measured))
    ]
    if is_mapping and not has_counter:
        others = []
    splits = [] if is_mapping and not has_counter else _splits(line.text)
    if measured or (others and counters.is_sure):
        return _reading(line, counters, measured + others, [], splits)
    if others and not has_counter:
        return _reading(line, counters, [], others, splits)
    if has_counter and not (found or loud or numbers or is_prose or is_mapping or line.is_bar):
        return Reading(counters=counters.found)
    return None


def _is_good(pair: _Found, loud: int, numbers: int, *, has_counter: bool) -> bool:
    """Whether a name that is known as a measurement's is one here; `loud` words and `numbers` stand beside it."""
    if not pair.is_exact:
        if loud or (pair.by_blank and not has_counter):
            return False
        if pair.name.split()[-1].lower() in _EASILY_COUNTS and not has_counter:
            return False
    if pair.by_blank:
        return loud <= has_counter and not numbers
    return loud <= _MOST_LOUD


def _is_good_beside(pair: _Found, *, has_measured: bool) -> bool:
    """Whether another name is one of a measurement on a line of nothing else."""
    if pair.kind is Kind.OTHER:
        return has_measured or (pair.is_exact and not pair.by_blank)
    return pair.kind is Kind.SCHEDULED and has_measured


def _splits(text: str) -> list[tuple[int, str]]:
    """Where in a line a data set is named that what follows was measured on."""
    return [(match.start(), match[0]) for match in _WORD.finditer(text) if match[0].lower() in SPLITS]


def _reading(
    line: PrintedText, counters: Counters, pairs: list[_Found], below: list[_Found], splits: list[tuple[int, str]]
) -> Reading:
    bare: list[tuple[str, str]] = []
    names = [pair.name for pair in pairs]
    split = ""

    def make(pair: _Found) -> Pair:
        nonlocal split
        plain = key = key_of(pair.name)
        if pair.path:
            key = pair.path + plain
        elif split_of(pair.name) is not None:
            split = re.split(r"[ _]", pair.name)[0]
        elif before := [word for place, word in splits if place < pair.start]:
            key = f"{before[-1]}_{plain}"
        elif split and names.count(pair.name) > 1:
            key = f"{split}_{plain}"
        if key != plain:
            bare.append((plain, key))
        return Pair(key=key, span=pair.span, total=pair.total)

    made = [make(pair) for pair in sorted(pairs, key=lambda pair: pair.start)]
    made_below = [make(pair) for pair in below]
    return Reading(
        pairs=tuple(pair for pair in made if pair.key),
        below=tuple(pair for pair in made_below if pair.key),
        counters=counters.found,
        bare=tuple(bare),
        is_bar=line.is_bar,
        is_summary=not counters.found and _SUMMARY.match(line.text) is not None,
    )
