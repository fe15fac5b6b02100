"""Saved views of lists as commits: each has a ref of its own, so that views travel as runs do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gitexp.domain import yamltext
from gitexp.domain.identity import VIEWS, parse_name, slug, view_ref
from gitexp.domain.run import FORMAT, check_format, format_time
from gitexp.errors import Conflict, CorruptData, GitexpError, NotFound
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import (
    BLOB,
    COMMIT,
    MODE_FILE,
    TREE,
    TreeEntry,
    decode_commit,
    decode_tree,
    encode_commit,
    encode_tree,
    object_id,
)
from gitexp.store.git.refs import RefStore
from gitexp.store.runs import Signature
from gitexp.store.yamlfile import load_yaml

ATTEMPTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """A name, and the query of an address that shows a list: `where=...&sort=...&cols=...`."""

    name: str
    query: str


class ViewStore:
    """The saved views of one repository."""

    def __init__(self, objects: ObjectDatabase, refs: RefStore) -> None:
        self._objects = objects
        self._refs = refs

    def list(self) -> list[SavedView]:
        """All views that are not removed, by name; what cannot be read is left out."""
        found = []
        for commit in self._refs.list(VIEWS).values():
            try:
                said = self._read(commit)
            except GitexpError:
                continue
            if said.get("deleted") is None:
                found.append(SavedView(name=str(said["name"]), query=str(said.get("query", ""))))
        return sorted(found, key=lambda view: view.name)

    def save(self, view: SavedView, signature: Signature) -> None:
        """Keep a view; one of the same name becomes this one.

        Raises:
            InvalidName: the name cannot be stored.
            Conflict: others keep changing it.
        """
        name = parse_name(view.name, what="view name")
        self._change(name, {"name": name, "query": view.query, "deleted": None}, signature)

    def remove(self, name: str, signature: Signature) -> None:
        """Mark a view as removed. Raises NotFound."""
        if all(view.name != name for view in self.list()):
            raise NotFound(f"There is no view '{name}'.")
        self._change(name, {"deleted": format_time(signature.time)}, signature)

    def _change(self, name: str, changes: dict[str, Any], signature: Signature) -> None:
        ref = view_ref(name)
        for _ in range(ATTEMPTS):
            tip = self._refs.read(ref)
            known = self._read(tip) if tip else {"format": FORMAT, "created": format_time(signature.time)}
            said = {**known, **changes}
            event = "create" if tip is None else "rm" if said["deleted"] else "edit"
            commit = self._write(
                {key: value for key, value in said.items() if value is not None}, event, tip, signature
            )
            if self._refs.create(ref, commit) if tip is None else self._refs.update(ref, tip, commit):
                return
        raise Conflict(f"Others keep changing the view '{name}'.", hint="Try again.")

    def _write(self, said: dict[str, Any], event: str, tip: str | None, signature: Signature) -> str:
        text = yamltext.dump(said).encode()
        tree = encode_tree([TreeEntry(b"view.yaml", MODE_FILE, object_id(BLOB, text))])
        commit = encode_commit(
            tree=object_id(TREE, tree).hex(),
            parents=[tip] if tip else [],
            author=signature.author,
            time=int(signature.time),
            message=f"view {said['name']}: {event}\n\nGitexp-View: {slug(said['name'])}\nGitexp-Event: {event}\n",
        )
        self._objects.write([(BLOB, text), (TREE, tree), (COMMIT, commit)])
        return object_id(COMMIT, commit).hex()

    def _read(self, commit: str) -> dict[str, Any]:
        tree = decode_commit(self._objects.read(bytes.fromhex(commit))[1]).tree
        for entry in decode_tree(self._objects.read(bytes.fromhex(tree))[1]):
            if entry.name == b"view.yaml":
                data = load_yaml(self._objects.read(entry.oid)[1].decode(), what="view.yaml")
                check_format(data, "view.yaml")
                return dict(data)
        raise CorruptData(f"The view at '{commit}' has no view.yaml.")
