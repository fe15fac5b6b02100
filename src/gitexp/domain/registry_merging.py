"""What becomes of a registered model that two people changed at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gitexp.domain.merging import merge_values
from gitexp.domain.registry import ModelVersion, RegisteredModel

_SAID_OF_MODELS = ("description", "deleted")
_SAID_OF_VERSIONS = ("stage", "description", "deleted")
_FACTS = ("run", "commit", "path", "digest", "size_bytes", "created", "author")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedModel:
    """A model that holds both changes; `renumbered` are versions of the later one by the number that they had."""

    model: RegisteredModel
    renumbered: Mapping[int, int]


def merge_models(base: RegisteredModel | None, earlier: RegisteredModel, later: RegisteredModel) -> MergedModel:
    """Version by version and field by field, what either changed since `base`; in one field the later value stays.

    A version is the same on both sides where it was registered as the same, whatever its number: a merge may have
    changed that on one side only. The earlier one's versions keep their numbers; a version of the later one whose
    number is given away gets the next that is free, and its aliases follow it.
    """
    old, ours, theirs = (_by_registration(side) for side in (base, earlier, later))
    merged = {}
    for facts, version in ours.items():
        other = replace(theirs.get(facts, version), number=version.number)
        merged[version.number] = _merge_version(old.get(facts), version, other)
    renumbered: dict[int, int] = {}
    free = max((version.number for side in (ours, theirs) for version in side.values()), default=0) + 1
    for facts, version in theirs.items():
        number = ours[facts].number if facts in ours else version.number
        if facts not in ours:
            if number in merged:
                number, free = free, free + 1
            merged[number] = replace(version, number=number)
        if number != version.number:
            renumbered[version.number] = number
    moved = {version.number: ours[facts].number for facts, version in old.items() if facts in ours}
    model = replace(
        later,
        created=min(earlier.created, later.created),
        tags=merge_values(base.tags if base else {}, earlier.tags, later.tags),
        aliases=merge_values(_moved(base, moved), earlier.aliases, _moved(later, renumbered)),
        versions=tuple(merged[number] for number in sorted(merged)),
        **_fields(base, earlier, later, _SAID_OF_MODELS),
    )
    return MergedModel(model=model, renumbered=renumbered)


def _by_registration(model: RegisteredModel | None) -> dict[tuple[object, ...], ModelVersion]:
    """Versions, ascending, by what they were registered as, which is unique and never changes but for the number."""
    found: dict[tuple[object, ...], ModelVersion] = {}
    for version in model.versions if model else ():
        facts = tuple(getattr(version, name) for name in _FACTS)
        count = 0
        while (*facts, count) in found:
            count += 1
        found[*facts, count] = version
    return found


def _moved(model: RegisteredModel | None, numbers: Mapping[int, int]) -> dict[str, int]:
    """A model's aliases after its versions got other numbers."""
    return {alias: numbers.get(number, number) for alias, number in model.aliases.items()} if model else {}


def _merge_version(base: ModelVersion | None, earlier: ModelVersion, later: ModelVersion) -> ModelVersion:
    return replace(
        later,
        tags=merge_values(base.tags if base else {}, earlier.tags, later.tags),
        **_fields(base, earlier, later, _SAID_OF_VERSIONS),
    )


def _fields(base: Any, earlier: Any, later: Any, names: tuple[str, ...]) -> dict[str, Any]:
    values = [{name: getattr(side, name) for name in names} if side else {} for side in (base, earlier, later)]
    return merge_values(*values)
