"""Text, line by line, and JSON, key by key."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from gitexp.contents.change import ContentChange
from gitexp.contents.tables import difference, table_of
from gitexp.domain.comparison import Kind, changes, differing

MOST_NAMED = 3


def compare_texts(before: bytes, after: bytes) -> ContentChange:
    """How many lines came and went, wherever they stand."""
    old, new = before.decode().splitlines(), after.decode().splitlines()
    came, gone = Counter(new) - Counter(old), Counter(old) - Counter(new)
    added, removed = sum(came.values()), sum(gone.values())
    facts = {"lines_before": len(old), "lines_after": len(new), "lines_added": added, "lines_removed": removed}
    text = f"+{added:,} -{removed:,} of {len(new):,} lines" if added or removed else "the same lines in another order"
    return ContentChange(kind="text", summary=text, facts=facts)


def compare_json(before: bytes, after: bytes) -> ContentChange:
    """Which keys came, went or changed; of {"columns", "data"} the rows."""
    old, new = json.loads(before), json.loads(after)
    if _is_table(old) and _is_table(new):
        return difference(table_of(old["columns"], old["data"]), table_of(new["columns"], new["data"]))
    found = differing(changes(_leaves(old, ""), _leaves(new, "")))
    marks = {Kind.ADDED: "+", Kind.REMOVED: "-", Kind.CHANGED: "~"}
    named = [f"{marks[change.kind]}{change.key}" for change in found[:MOST_NAMED]]
    more = f" and {len(found) - MOST_NAMED:,} more" if len(found) > MOST_NAMED else ""
    facts = {
        kind.value: [change.key for change in found if change.kind is kind]
        for kind in (Kind.ADDED, Kind.REMOVED, Kind.CHANGED)
    }
    return ContentChange(kind="json", summary=", ".join(named) + more if named else "the same values", facts=facts)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"columns", "data"} and isinstance(value["data"], list)


def _leaves(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {
            key: leaf
            for name, item in value.items()
            for key, leaf in _leaves(item, f"{path}.{name}" if path else name).items()
        }
    if isinstance(value, list) and value and all(isinstance(item, (dict, list)) for item in value):
        return {
            key: leaf for place, item in enumerate(value) for key, leaf in _leaves(item, f"{path}[{place}]").items()
        }
    return {path or "value": value}
