"""Lines of one shape: how the numbers of one that was read are found in all others like it.

The shape of a line is the line with its runs of digits taken out, but for those that belong to a word, as in `Acc@1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from gitexp.domain.printed_counters import Rank
from gitexp.domain.printed_lines import Pair, Reading
from gitexp.domain.printed_text import Span
from gitexp.domain.values import Number

LONGEST_STEP = 18
HIGHEST_STEP = 10**LONGEST_STEP

_RUN = re.compile(rb"[0-9](?<![A-Za-z_@0-9][0-9])[0-9]*")
_SPLIT = re.compile(rb"([0-9](?<![A-Za-z_@0-9][0-9])[0-9]*)")
_GROUPED = re.compile(rb"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")

split_at_numbers = _SPLIT.split
"""A line in pieces; every second one is a run of digits."""


class Field(NamedTuple):
    """Which pieces of a line make a number.

    Attributes:
        first, end: the pieces.
        prefix: a sign or a point before them.
        is_grouped: it has thousands separators.
        constant: what it is where it has no digits: NaN or an infinity.
    """

    first: int
    end: int
    prefix: bytes
    is_grouped: bool
    constant: float | None = None


class Measure(NamedTuple):
    """A metric in lines of this shape; of a ratio, `total` is what is divided by."""

    key: str
    value: Field
    total: Field | None


class Count(NamedTuple):
    """A counter in lines of this shape."""

    rank: Rank
    value: Field
    total: Field | None


class Shape(NamedTuple):
    """How lines of one shape are read; see `Reading`."""

    measures: tuple[Measure, ...]
    below: tuple[Measure, ...]
    counts: tuple[Count, ...]
    bare: dict[str, str]
    is_bar: bool
    is_summary: bool

    @property
    def is_common(self) -> bool:
        """Whether lines that differ only in their numbers have the same keys."""
        return not any(_RUN.search(measure.key.encode()) for measure in (*self.measures, *self.below))


NOTHING = Shape((), (), (), {}, False, False)


def shapes_of(block: bytes) -> bytes:
    """Lines as they all look whatever their numbers are."""
    return _RUN.sub(b"0", block)


def shape_of(reading: Reading, line: bytes) -> Shape:
    """The shape of a line that was read."""
    first: dict[int, int] = {}
    end: dict[int, int] = {}
    for index, match in enumerate(_RUN.finditer(line)):
        first[match.start()] = 2 * index + 1
        end[match.end()] = 2 * index + 2

    def field(span: Span) -> Field | None:
        text = line[slice(*span)]
        run = _RUN.search(line, *span)
        if run is None:
            try:
                return Field(0, 0, b"", False, float(text))
            except ValueError:
                return None
        begins, ends = first.get(run.start()), end.get(span[1] - text.endswith(b"."))
        if begins is None or ends is None:
            return None
        return Field(begins, ends, text[: run.start() - span[0]], b"," in text)

    def measures(pairs: Iterable[Pair]) -> tuple[Measure, ...]:
        return tuple(
            Measure(pair.key, value, field(pair.total) if pair.total else None)
            for pair in pairs
            if (value := field(pair.span)) is not None
        )

    counts = [
        Count(counter.rank, value, field(counter.total) if counter.total else None)
        for counter in reading.counters
        if (value := field(counter.span)) is not None
    ]
    return Shape(
        measures(reading.pairs),
        measures(reading.below),
        tuple(counts),
        dict(reading.bare),
        reading.is_bar,
        reading.is_summary,
    )


def number_at(pieces: list[bytes], field: Field) -> Number | None:
    """The number in a line that was split; None where what looked like one is none."""
    first, end, prefix, is_grouped, constant = field
    if end - first > 1 and not is_grouped:
        try:
            return float(prefix + b"".join(pieces[first:end]))
        except ValueError:
            return None
    if constant is not None:
        return constant
    if is_grouped:
        text = b"".join(pieces[first:end])
        if not _GROUPED.fullmatch(text):
            return None
        number = float(text.replace(b",", b""))
        return -number if prefix == b"-" else number
    digits = pieces[first]
    if len(digits) > 2 * LONGEST_STEP or prefix not in (b"", b"-", b"+"):
        return float(prefix + digits)
    return -int(digits) if prefix == b"-" else int(digits)


def value_at(pieces: list[bytes], measure: Measure) -> Number | None:
    """The value of a metric in a line that was split."""
    _, field, of = measure
    value = number_at(pieces, field)
    if of is None or value is None:
        return value
    total = number_at(pieces, of)
    return value / total if total else None


def counter_at(pieces: list[bytes], field: Field) -> int | None:
    """The number of a counter; None where it is no whole number, or no step can be so high."""
    number = number_at(pieces, field)
    if number is None or not abs(number) < HIGHEST_STEP or number != int(number):
        return None
    return int(number)
