"""Values for the options of a recorded command: what `--set` of `gitexp reproduce` changes before any file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gitexp.domain.values import Value
from gitexp.errors import NotFound, UsageError
from gitexp.reading import RunView
from gitexp.reproducing.recipe import Recipe

_OVERRIDE = re.compile(r"\s*([A-Za-z_][\w.@/-]*)=(.*)", re.DOTALL)
_TRUTHS = {"true": True, "false": False}


def with_arguments(recipe: Recipe, view: RunView, overrides: Iterable[str]) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with the values that are options of its command, and the overrides that are for files.

    An option is one that the command names (`--lr 0.1`, `--lr=0.1`, `lr=0.1`), or a param of the run that its script
    declares as one.

    Raises:
        UsageError: an option has several words, so that it cannot be told which to replace.
    """
    words, rest = list(recipe.words), []
    for text in overrides:
        found = None if recipe.is_notebook else _OVERRIDE.fullmatch(text)
        if found is None or not _set(words, found[1], found[2].strip(), view):
            rest.append(text)
    return replace(recipe, words=tuple(words)), tuple(rest)


def _set(words: list[str], key: str, value: str, view: RunView) -> bool:
    """Whether it is an option; then `words` has the value."""
    options = _spellings(key)
    end = words.index("--") if "--" in words else len(words)
    is_there = False
    for at in range(end - 1, -1, -1):
        name, equals, _ = words[at].partition("=")
        if equals and (name in options or name.lstrip("+") in {option[2:] for option in options}):
            words[at] = f"{name}={value}"
            is_there = True
        elif words[at] in options:
            _replace_after(words, at, value, view.params.get(key.replace("-", "_")), view)
            is_there = True
    if not is_there and _declares(view, key, options):
        words[end:end] = _added(view, key, value, options)
        is_there = True
    return is_there


def _spellings(key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"--{name}" for name in (key, key.replace("_", "-"), key.replace("-", "_"))))


def _replace_after(words: list[str], at: int, value: str, recorded: Value | None, view: RunView) -> None:
    """The value of the option at `at`, which is the next word, or the option itself where it is a switch."""
    if isinstance(recorded, bool) and _TRUTHS.get(value.lower()) is not None and not _is_truth(words[at + 1 : at + 2]):
        if not _TRUTHS[value.lower()]:
            del words[at]
        return
    if isinstance(recorded, list | tuple) or at + 1 >= len(words):
        raise UsageError(
            f"The option '{words[at]}' has no single value in the recorded command.",
            hint=f"Type it whole: gitexp reproduce {view.id} -- COMMAND",
        )
    words[at + 1] = value


def _is_truth(words: Sequence[str]) -> bool:
    return bool(words) and words[0].lower() in _TRUTHS


def _added(view: RunView, key: str, value: str, options: Sequence[str]) -> list[str]:
    """The words for an option that the command does not name, as the script spells it."""
    option = _declared(view, options)
    recorded = view.params[key.replace("-", "_")]
    if isinstance(recorded, bool) and value.lower() in _TRUTHS:
        return [option] if _TRUTHS[value.lower()] and not recorded else []
    return [option, value]


def _declares(view: RunView, key: str, options: Sequence[str]) -> bool:
    params: Mapping[str, Value] = view.params
    return key.replace("-", "_") in params and bool(_declared(view, options))


def _declared(view: RunView, options: Sequence[str]) -> str:
    """The spelling that stands in quotes in the run's script, or ""."""
    entry = view.record.entry_point
    if entry is None or os.path.isabs(entry):
        return ""
    try:
        text = view.code.read(entry).decode(errors="replace")
    except NotFound:
        return ""
    return next((option for option in options if f'"{option}"' in text or f"'{option}'" in text), "")
