"""Source code that a program prints: in it `loss = 0.5` is no measurement."""

from __future__ import annotations

import re

_BEGINS = re.compile(
    r"\s*(?:(?:async )?def \w+\(|class [A-Z]\w*(?:\(.*\))?:\s*(?:#.*)?$|@[a-z]\w*(?:\.\w+)*(?:\(.*\))?$|#!.*\bpython"
    r"|import [a-z]\w*(?:\.\w+)*(?: as \w+)?(?:, ?[a-z][\w.]*(?: as \w+)?)*\s*(?:#.*)?$"
    r"|from \.*[a-z][\w.]* import [\w(*]|if __name__ ==)"
)
_BLOCK = re.compile(r"(?:for|if|elif|while|with|try|else|except|finally|match|case)\b.*:\s*(?:#.*)?$")
_GOES_ON = re.compile(
    r"[ \t]|[#)\]}]|\"\"\"|'''|(?:return|raise|assert|del|global|pass|break|continue|yield|await|async)\b"
    r"|[A-Za-z_][\w.]*(?:\[[^\]]*\])?(?:, ?\*?[A-Za-z_][\w.]*)*(?:: ?[\w.\[\], |]+)? ?"
    r"(?:[-+*/@%&|^]|//|\*\*|<<|>>)?= ?\S"
    r"|[A-Za-z_][\w.]*\("
)
_SET_TO_A_NUMBER = re.compile(r"\s*[A-Za-z_][\w.]*(?:: ?\w+)? ?= ?[-+]?[\d.][\d.eE_+\-]*\s*(?:#.*)?$")


def begins_code(text: str) -> bool:
    """Whether nothing but Python's source looks like this line."""
    return _BEGINS.match(text) is not None


def goes_on(text: str) -> bool:
    """Whether a line can belong to the code that the lines before it are."""
    return not text.strip() or begins_code(text) or _BLOCK.match(text) is not None or _GOES_ON.match(text) is not None


def sets_a_number(text: str) -> bool:
    """Whether a line is `name = number`, which may be the top of the code below it."""
    return _SET_TO_A_NUMBER.match(text) is not None
