"""Reading YAML that people wrote.

Most files need no general parser, which takes 20 ms to import: once comments are gone they are the subset that
`domain.yamltext` reads. All others go to `yamlevents`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gitexp.domain import yamltext

_COMMENT = re.compile(r"(?:^|[ \t])#.*")


def load_yaml(text: str, *, what: str, on_duplicate: Callable[[str], None] | None = None) -> Any:
    """The value of a YAML document; None where it is empty.

    Args:
        what: names the file in errors.
        on_duplicate: told of a key that a mapping has twice, whose last value then counts; without it that is an error.

    Raises:
        CorruptData: the text is not YAML, or not safe to take; the message names `what` and the line.
    """
    for simplify in (str, _without_comments):
        try:
            return yamltext.load(simplify(text))
        except (yamltext.NotCanonical, RecursionError):
            continue
    from gitexp.store.yamlevents import build_value  # imports PyYAML

    return build_value(text, what, on_duplicate)


def _without_comments(text: str) -> str:
    """`text` without comments, empty lines and trailing blanks; what this could bend is outside the subset anyway."""
    lines: list[str] = []
    for line in text.split("\n"):
        if "#" in line and (line.lstrip(" \t").startswith("#") or not ('"' in line or "'" in line)):
            line = _COMMENT.sub("", line)
        line = line.rstrip(" \t\r")
        if line and (lines or line != "---"):
            lines.append(line)
    lines.append("")
    return "\n".join(lines)
