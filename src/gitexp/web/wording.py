"""Values as the templates show them."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

from gitexp.domain.run import format_time
from gitexp.wording import age, ago, duration, moment, number, plain, plural, size, took


def person(author: str | None) -> str:
    """The name in "Name <email>"."""
    return (author or "").partition(" <")[0]


def typed(command: Sequence[str]) -> str:
    """A command as one would type it."""
    return shlex.join(command)


FILTERS: dict[str, Callable[..., Any]] = {
    "age": lambda seconds: age(seconds, time.time()),
    "ago": lambda seconds: ago(seconds, time.time()),
    "duration": duration,
    "iso": format_time,
    "moment": moment,
    "number": number,
    "person": person,
    "plain": plain,
    "plural": plural,
    "size": size,
    "took": lambda record: took(record, time.time()),
    "typed": typed,
}
