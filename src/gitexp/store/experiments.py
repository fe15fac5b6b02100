"""Experiments as commits: each has a ref of its own, so that one without runs, and what is said of it, is kept."""

from __future__ import annotations

from typing import Any

from gitexp.domain import yamltext
from gitexp.domain.identity import EXPERIMENTS, experiment_ref, slug
from gitexp.domain.run import FORMAT, check_format, format_time
from gitexp.errors import CorruptData
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


class ExperimentStore:
    """The experiments of one repository."""

    def __init__(self, objects: ObjectDatabase, refs: RefStore) -> None:
        self._objects = objects
        self._refs = refs

    def ensure(self, name: str, signature: Signature) -> None:
        """Create the experiment's record if there is none yet."""
        ref = experiment_ref(name)
        if self._refs.read(ref) is not None:
            return
        text = yamltext.dump({"format": FORMAT, "name": name, "created": format_time(signature.time)}).encode()
        tree = encode_tree([TreeEntry(b"experiment.yaml", MODE_FILE, object_id(BLOB, text))])
        commit = encode_commit(
            tree=object_id(TREE, tree).hex(),
            parents=[],
            author=signature.author,
            time=int(signature.time),
            message=f"experiment {name}\n\nGitexp-Experiment: {slug(name)}\nGitexp-Event: create\n",
        )
        self._objects.write([(BLOB, text), (TREE, tree), (COMMIT, commit)])
        self._refs.create(ref, object_id(COMMIT, commit).hex())

    def names(self) -> list[str]:
        """The names of all experiments, sorted."""
        return sorted(str(self._read(commit)["name"]) for commit in self._refs.list(EXPERIMENTS).values())

    def _read(self, commit: str) -> dict[str, Any]:
        tree = decode_commit(self._objects.read(bytes.fromhex(commit))[1]).tree
        for entry in decode_tree(self._objects.read(bytes.fromhex(tree))[1]):
            if entry.name == b"experiment.yaml":
                data = load_yaml(self._objects.read(entry.oid)[1].decode(), what="experiment.yaml")
                check_format(data, "experiment.yaml")
                return dict(data)
        raise CorruptData(f"The experiment at '{commit}' has no experiment.yaml.")
