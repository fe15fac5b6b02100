"""Files of which there is one for each step."""

from __future__ import annotations

import os

from gitexp.errors import UsageError


def name_at_step(name: str, step: int | None) -> str:
    """The artifact that holds what was logged as `name` at `step`: `cat.png` at 3 is `cat/00000003.png`.

    Eight digits or more, so that the names sort as the steps do.

    Raises:
        UsageError: a step that is no whole number from 0 on.
    """
    if step is None:
        return name
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise UsageError(f"The step of '{name}' must be a whole number from 0 on, not {step!r}.")
    stem, suffix = os.path.splitext(name)
    return f"{stem}/{step:08d}{suffix}"
