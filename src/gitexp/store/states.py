"""The chain of commits behind a ref of gitexp's: each a state, down to the first (docs/format.md, 1.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import Commit, decode_commit

_TRAILER = re.compile(r"^Gitexp-(Run|Experiment|Model|View|Event|Resumption): (.+)$", re.MULTILINE)
_FIRST = ("seal", "create")


def trailers(commit: Commit) -> dict[str, str]:
    """What a commit's message tells programs: `Run`, `Experiment`, `Model` or `View`, `Event`, `Resumption`."""
    return dict(_TRAILER.findall(commit.message.rstrip("\n").rpartition("\n\n")[2]))


def states(objects: ObjectDatabase, commit: str) -> Iterator[tuple[str, Commit]]:
    """Every state from `commit` down to the first, newest first; a merge leads to both that it merged.

    No state comes before one that was made of it.
    """
    found: dict[str, Commit] = {}
    children: dict[str, int] = {commit: 0}
    waiting = [commit]
    while waiting:
        oid = waiting.pop()
        found[oid] = decode_commit(objects.read(bytes.fromhex(oid))[1])
        for parent in _former(found[oid]):
            children[parent] = children.get(parent, 0) + 1
            if parent not in found and parent not in waiting:
                waiting.append(parent)
    ready = [commit]
    while ready:
        oid = max(ready, key=lambda candidate: (found[candidate].time, candidate))
        ready.remove(oid)
        yield oid, found[oid]
        for parent in _former(found[oid]):
            children[parent] -= 1
            if not children[parent]:
                ready.append(parent)


def _former(commit: Commit) -> tuple[str, ...]:
    """The states that a commit was made of; its further parents are other things' commits."""
    event = trailers(commit).get("Event")
    if event in _FIRST:
        return ()
    return commit.parents[:2] if event == "merge" else commit.parents[:1]
