"""The lines of a project's requirement files, those that they include among them."""

from __future__ import annotations

import os

from gitexp.errors import UsageError


def read_requirements(folder: str, name: str, where: str) -> tuple[str, ...]:
    """The requirements in the file `name` of a project, without comments; `-r` is followed.

    Args:
        where: names who named the file, in errors.

    Raises:
        UsageError: it cannot be read, or includes itself.
    """
    return tuple(_lines(folder, name, where, ()))


def expand(folder: str, lines: tuple[str, ...], where: str, inside: tuple[str, ...] = ()) -> list[str]:
    """Requirement lines, with those of the files that `-r FILE` among them names in its place. Raises UsageError."""
    found = []
    for line in lines:
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        included = _included(line)
        found += [line.partition(" #")[0].rstrip()] if included is None else _lines(folder, included, where, inside)
    return found


def _lines(folder: str, name: str, where: str, inside: tuple[str, ...]) -> list[str]:
    path = os.path.normpath(os.path.join(folder, name))
    if path in inside:
        raise UsageError(f"{where}: '{name}' includes itself.")
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read().replace("\\\n", " ")
    except OSError as error:
        raise UsageError(f"{where}: '{name}' cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: '{name}' is not UTF-8 text.") from error
    return expand(os.path.dirname(path), tuple(text.splitlines()), where, (*inside, path))


def _included(line: str) -> str | None:
    for option in ("--requirement=", "--requirement ", "-r ", "-r"):
        if line.startswith(option):
            return line.removeprefix(option).strip()
    return None
