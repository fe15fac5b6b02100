"""What becomes of a registered model that two people changed at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from gitexp.domain.merging import merge_values
from gitexp.domain.registry import ModelVersion, RegisteredModel

_SAID_OF_MODELS = ("description", "deleted")
_SAID_OF_VERSIONS = ("stage", "description", "deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedModel:
    """A model that holds both changes; `renumbered` are versions of the later one by the number that they had."""

    model: RegisteredModel
    renumbered: Mapping[int, int]


def merge_models(base: RegisteredModel | None, earlier: RegisteredModel, later: RegisteredModel) -> MergedModel:
    """Version by version and field by field, what either changed since `base`; in one field the later value stays.

    A number that both gave away is the earlier one's; the later one's version gets the next that is free, and its
    aliases follow it.
    """
    old = {version.number: version for version in base.versions} if base else {}
    ours = {version.number: version for version in earlier.versions}
    theirs = {version.number: version for version in later.versions}
    merged = {number: _merge_version(old[number], ours[number], theirs[number]) for number in old}
    merged |= {number: version for number, version in ours.items() if number not in old}
    renumbered: dict[int, int] = {}
    free = max([*ours, *theirs, 0]) + 1
    for number in sorted(theirs.keys() - old.keys()):
        version = theirs[number]
        if number in merged and _is_another(merged[number], version):
            renumbered[number] = free
            version = replace(version, number=free)
            free += 1
        merged[version.number] = _merge_version(None, merged.get(version.number, version), version)
    aliases = {alias: renumbered.get(number, number) for alias, number in later.aliases.items()}
    model = replace(
        later,
        created=min(earlier.created, later.created),
        tags=merge_values(base.tags if base else {}, earlier.tags, later.tags),
        aliases=merge_values(base.aliases if base else {}, earlier.aliases, aliases),
        versions=tuple(merged[number] for number in sorted(merged)),
        **_fields(base, earlier, later, _SAID_OF_MODELS),
    )
    return MergedModel(model=model, renumbered=renumbered)


def _is_another(one: ModelVersion, other: ModelVersion) -> bool:
    """Whether they were registered apart; what people say of a version later does not count."""
    facts = [field.name for field in fields(one) if field.name not in (*_SAID_OF_VERSIONS, "tags", "unknown")]
    return any(getattr(one, name) != getattr(other, name) for name in facts)


def _merge_version(base: ModelVersion | None, earlier: ModelVersion, later: ModelVersion) -> ModelVersion:
    return replace(
        later,
        tags=merge_values(base.tags if base else {}, earlier.tags, later.tags),
        **_fields(base, earlier, later, _SAID_OF_VERSIONS),
    )


def _fields(base: Any, earlier: Any, later: Any, names: tuple[str, ...]) -> dict[str, Any]:
    values = [{name: getattr(side, name) for name in names} if side else {} for side in (base, earlier, later)]
    return merge_values(*values)
