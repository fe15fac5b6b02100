"""Numbers, times and sizes as a person reads them, wherever that is: a terminal, a page, a notebook."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from gitexp.domain.run import RunRecord, Status
from gitexp.domain.values import Number
from gitexp.domain.yamltext import dump_scalar

DIGITS = 5
COLUMN_DIGITS = 4

_LONGEST_INTEGER = 12


def number(value: Number, digits: int = DIGITS) -> str:
    """A measured number in `digits` significant digits; integers whole unless they are huge."""
    if isinstance(value, int):
        return str(value) if -(10**_LONGEST_INTEGER) < value < 10**_LONGEST_INTEGER else _huge(value)
    if not math.isfinite(value):
        return "NaN" if value != value else "inf" if value > 0 else "-inf"
    return _short_exponent(f"{value:.{digits}g}")


def numbers(values: Sequence[Number | None], apart: Number | None = None) -> list[str]:
    """A column of measured numbers, with the same decimals each where their sizes allow it; empty where there is none.

    Args:
        apart: a value that gets enough digits to differ from all others, as far as seven do it.
    """
    for digits in range(COLUMN_DIGITS, 8):
        texts = _column(values, digits)
        if apart is None:
            break
        [wanted] = _column([apart], digits, values)
        alike = {value for value, text in zip(values, texts, strict=True) if text == wanted}
        if len(alike) < 2:
            break
    return texts


def plain(value: Any) -> str:
    """A param's value as one would type it: text bare, numbers up to 10 digits, lists and mappings on one line."""
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, float):
        return number(value, 10)
    if isinstance(value, int) and not isinstance(value, bool):
        return number(value)
    return dump_scalar(value)


def duration(seconds: float) -> str:
    """340 ms, 12.3 s, 4m 05s, 1h 02m, 2d 03h."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60}h {minutes % 60:02}m"
    return f"{minutes // 1440}d {minutes // 60 % 24:02}h"


def ago(then: float, now: float) -> str:
    """How long ago, up to a month; then the date. Times are seconds since 1970, UTC."""
    seconds = now - then
    if seconds < -1:
        return moment(then)[:10] if seconds < -60 else "just now"
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (30 * 86400, 86400, "d")):
        if seconds < limit:
            count = int(max(seconds, 0)) // unit
            return f"{count} {name} ago" if count else "just now"
    return moment(then)[:10]


def age(then: float, now: float) -> str:
    """How old, in six characters: 45 s, 14 min, 3 h, 12 d, 14 mo."""
    seconds = max(now - then, 0)
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (100 * 86400, 86400, "d")):
        if seconds < limit:
            return f"{int(seconds) // unit} {name}"
    return f"{int(seconds / 86400 / 30.44)} mo"


def moment(seconds: float) -> str:
    """The local time, "2026-11-21 02:32:44"."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def size(count: int) -> str:
    """Bytes in decimal units: 999 B, 12.3 MB."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.5 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.95 else f"{amount:.1f} {unit}"


def plural(count: int, one: str, many: str = "") -> str:
    """1 run, 1,234 runs."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def took(record: RunRecord, now: float) -> str:
    """How long the run took, or has taken so far."""
    if record.duration_s is not None:
        return duration(record.duration_s)
    if record.end is not None:
        return duration(record.end - record.start)
    return duration(now - record.start) if record.status is Status.RUNNING else ""


def _column(values: Sequence[Number | None], digits: int, like: Sequence[Number | None] = ()) -> list[str]:
    """`values` in `digits` significant digits of the largest of them, or of `like`."""
    sizes = [abs(value) for value in like or values if isinstance(value, float) and math.isfinite(value) and value]
    if not sizes or not 1e-4 <= min(sizes) <= max(sizes) < 1e6 or max(sizes) / min(sizes) > 1e4:
        return ["" if value is None else number(value, digits) for value in values]
    decimals = max(1, digits - 1 - math.floor(math.log10(max(sizes))))
    needed = max(len(f"{value:.{decimals}f}".rstrip("0").partition(".")[2]) for value in sizes)
    return ["" if value is None else _fixed(value, max(needed, 1)) for value in values]


def _fixed(value: Number, decimals: int) -> str:
    if isinstance(value, int) or not math.isfinite(value):
        return number(value)
    return f"{value:.{decimals}f}" if value else "0"


def _huge(value: int) -> str:
    """Works for integers beyond what a float or `str` takes."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    exponent = int(math.log10(size))
    lead = size // 10 ** (exponent - DIGITS + 1)
    while lead >= 10**DIGITS:
        lead, exponent = lead // 10, exponent + 1
    while lead < 10 ** (DIGITS - 1):
        exponent -= 1
        lead = size // 10 ** (exponent - DIGITS + 1)
    return f"{sign}{lead / 10 ** (DIGITS - 1):g}e{exponent}"


def _short_exponent(text: str) -> str:
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text
