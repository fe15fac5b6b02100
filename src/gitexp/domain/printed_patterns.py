"""Regular expressions of the user's for printed lines."""

from __future__ import annotations

import re

from gitexp.domain.values import LARGEST_INTEGER_BITS, Number


class PrintedPattern:
    """A regular expression that is searched in each line: the name of each group is a metric, that of `step` the step.

    With the groups `key` and `value` the text of `key` is the metric's name.

    Raises:
        ValueError: it is none, or it names no metric.
    """

    def __init__(self, text: str) -> None:
        try:
            self._regex = re.compile(text)
        except re.error as error:
            raise ValueError(f"it is no regular expression: {error}") from error
        names = set(self._regex.groupindex) - {"step"}
        if not names or ("value" in names) is not ("key" in names):
            raise ValueError("it names no metric, as '(?P<loss>[0-9.]+)' does")

    def read(self, text: str) -> tuple[int | None, list[tuple[str, Number]]] | None:
        """The step and the values in a line; None where it does not match."""
        match = self._regex.search(text)
        if match is None:
            return None
        groups = match.groupdict()
        step = _number(groups.pop("step", None))
        if "key" in groups:
            groups = {groups["key"] or "": groups["value"]}
        values = [(key, number) for key, text in groups.items() if (number := _number(text)) is not None]
        return (step if isinstance(step, int) else None), values


def _number(text: str | None) -> Number | None:
    text = (text or "").strip().replace(",", "").rstrip("%")
    try:
        number = int(text)
        return number if number.bit_length() <= LARGEST_INTEGER_BITS else None
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None
