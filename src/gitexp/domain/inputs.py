"""Several inputs of one run, told in different ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from gitexp.domain.pointer import Pointer
from gitexp.domain.run import Input


def merged_inputs(said: Iterable[Input], opened: Iterable[Input] = ()) -> tuple[Input, ...]:
    """Each content of each name once, with all that is known of it.

    Args:
        opened: what the run was seen to open; what is part of an input that was said does not count.
    """
    found: dict[tuple[str, str, str | None], Input] = {}
    for item in said:
        key = (item.kind, item.name, item.digest)
        found[key] = _joined(found[key], item) if key in found else item
    names = {item.name for item in found.values()}
    for item in opened:
        if not (names & {item.name, ".", *_above(item.name)}):
            found.setdefault((item.kind, item.name, item.digest), item)
    return tuple(found.values())


def without_clashes(contents: Mapping[str, Pointer]) -> dict[str, Pointer]:
    """Contents by path, without those that are files where another one needs a folder."""
    folders = {folder for path in contents for folder in _above(path)}
    return {path: pointer for path, pointer in contents.items() if path not in folders}


def _joined(first: Input, second: Input) -> Input:
    """What the first does not know, the second may."""
    unknown = [item.name for item in fields(Input) if not getattr(first, item.name)]
    return replace(first, **{name: getattr(second, name) for name in unknown})


def _above(path: str) -> Iterable[str]:
    return (path[:end] for end, character in enumerate(path) if character == "/")
