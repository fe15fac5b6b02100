"""Two states of one run, experiment or model, made into one that holds what both changed (docs/format.md, 1.9).

Whoever merges the same two states makes the same commit, to the byte: so clones that each merge what the other one has
end with one state and need not merge that again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gitexp.domain import yamltext
from gitexp.domain.merging import merge_values
from gitexp.domain.registry_merging import merge_models
from gitexp.errors import CorruptData
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import (
    BLOB,
    COMMIT,
    MODE_FILE,
    TREE,
    Commit,
    TreeEntry,
    decode_commit,
    decode_tree,
    encode_commit,
    encode_tree,
    object_id,
)
from gitexp.store.modelstore import encode_model, read_model
from gitexp.store.states import states, trailers
from gitexp.store.yamlfile import load_yaml

_FILES = {"Run": "run.yaml", "Experiment": "experiment.yaml", "Model": "model.yaml", "View": "view.yaml"}
_CHANGED_BY_PEOPLE = ("name", "note", "deleted", "description", "tags", "query")
"""Keys of these files that people change; the others say what happened and stay together with the rest of the tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A state that holds two others. `objects` are those to write before a ref may name `commit`."""

    commit: str
    objects: list[tuple[str, bytes]]


def merge_states(objects: ObjectDatabase, one: str, other: str) -> Merged:
    """The state that follows from two commits of one ref; one of the two if it holds the other.

    Raises:
        CorruptData: one of them is damaged, or they are of different things.
    """
    if one == other:
        return Merged(commit=one, objects=[])
    ours, theirs = dict(states(objects, one)), dict(states(objects, other))
    if other in ours:
        return Merged(commit=one, objects=[])
    if one in theirs:
        return Merged(commit=other, objects=[])
    earlier, later = sorted([one, other], key=lambda oid: (({**ours, **theirs})[oid].time, oid))
    base = next((oid for oid in ours if oid in theirs), None)
    return _Merge(objects, base, earlier, later).merged()


class _Merge:
    def __init__(self, objects: ObjectDatabase, base: str | None, earlier: str, later: str) -> None:
        self._objects = objects
        self._ids = (earlier, later)
        self._base_id = base
        self._commits = [self._commit(oid) for oid in (earlier, later)]
        self._trees = [self._entries(commit) for commit in self._commits]
        self._base = self._entries(self._commit(base)) if base else {}
        self._made: list[tuple[str, bytes]] = []

    def merged(self) -> Merged:
        kind, identity = self._subject()
        if kind == "Model":
            return self._merged_model(identity)
        file = _FILES[kind].encode()
        values = [self._values(tree, file) for tree in (self._base, *self._trees)]
        said = [{key: value for key, value in state.items() if _is_said(key)} for state in values]
        side = 0 if kind in ("Experiment", "View") else self._changed_side({file, b"tags.yaml"})
        facts = {key: value for key, value in values[1 + side].items() if not _is_said(key)}
        tree = dict(self._trees[side])
        self._put(tree, file, _in_order({**facts, **merge_values(*said)}, values))
        if any(b"tags.yaml" in side for side in self._trees):
            tags = [self._values(side, b"tags.yaml") for side in (self._base, *self._trees)]
            merged = merge_values(*tags)
            self._put(tree, b"tags.yaml", {key: merged[key] for key in sorted(merged)})
        name = values[2].get("name", identity)
        root = self._make(TREE, encode_tree(tree.values()))
        return self._finish(root, f"{name}: merge\n\nGitexp-{kind}: {identity}\nGitexp-Event: merge\n")

    def _merged_model(self, identity: str) -> Merged:
        base = read_model(self._objects, self._base_id) if self._base_id else None
        done = merge_models(base, *(read_model(self._objects, oid) for oid in self._ids))
        root, made = encode_model(done.model)
        self._made += made
        moved = "\n".join(f"Version {old} became version {new}." for old, new in done.renumbered.items())
        reason = f"\n\n{moved}" if moved else ""
        message = f"{done.model.name}: merge{reason}\n\nGitexp-Model: {identity}\nGitexp-Event: merge\n"
        return self._finish(root, message)

    def _subject(self) -> tuple[str, str]:
        found = [trailers(commit) for commit in self._commits]
        for kind in _FILES:
            names = {said.get(kind) for said in found}
            if names != {None}:
                if len(names) == 1:
                    return kind, str(names.pop())
                raise CorruptData(f"{' and '.join(sorted(map(str, names)))} are not the same.")
        raise CorruptData(f"'{self._ids[0]}' is no commit of a run, an experiment, a model or a view.")

    def _changed_side(self, apart: set[bytes]) -> int:
        """Which side changed what a resumption changes (metrics, artifacts, output, ...): 0 the earlier, 1 the later.

        These belong together, so they all come from one side.
        """
        base, _, later = (
            {name: entry for name, entry in tree.items() if name not in apart} for tree in (self._base, *self._trees)
        )
        return 0 if later == base else 1

    def _put(self, tree: dict[bytes, TreeEntry], name: bytes, values: Mapping[str, Any]) -> None:
        tree[name] = TreeEntry(name, MODE_FILE, self._make(BLOB, yamltext.dump(values).encode()))

    def _finish(self, root: bytes, message: str) -> Merged:
        later = self._commits[1]
        data = encode_commit(
            tree=root.hex(),
            parents=list(self._ids),
            author=later.author,
            time=later.time,
            message=message,
        )
        return Merged(commit=self._make(COMMIT, data).hex(), objects=self._made)

    def _make(self, kind: str, data: bytes) -> bytes:
        self._made.append((kind, data))
        return object_id(kind, data)

    def _commit(self, oid: str) -> Commit:
        return decode_commit(self._objects.read(bytes.fromhex(oid))[1])

    def _entries(self, commit: Commit) -> dict[bytes, TreeEntry]:
        data = self._objects.read(bytes.fromhex(commit.tree))[1]
        return {entry.name: entry for entry in decode_tree(data)}

    def _values(self, tree: Mapping[bytes, TreeEntry], name: bytes) -> dict[str, Any]:
        if name not in tree:
            return {}
        text = self._objects.read(tree[name].oid)[1].decode()
        try:
            return yamltext.load(text)
        except yamltext.NotCanonical:
            loaded = load_yaml(text, what=name.decode())
        if not isinstance(loaded, dict):
            raise CorruptData(f"{name.decode()}: expected a mapping.")
        return loaded


def _is_said(key: str) -> bool:
    return key in _CHANGED_BY_PEOPLE


def _in_order(values: Mapping[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
    """Keys in the order of the newest state, those it lacks at the end."""
    order = [*states[2], *states[1]]
    return {key: values[key] for key in dict.fromkeys(order) if key in values}
