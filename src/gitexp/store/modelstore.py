"""Registered models as commits: one ref a model, one commit for each change (docs/format.md, 1.13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from gitexp.domain.identity import MODELS, model_ref, slug
from gitexp.domain.registry import ModelVersion, RegisteredModel, dump_model, model_from_dicts
from gitexp.errors import Conflict, CorruptData, GitexpError, NotFound
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import (
    BLOB,
    COMMIT,
    MODE_FILE,
    MODE_TREE,
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
from gitexp.store.states import states, trailers
from gitexp.store.yamlfile import load_yaml

ATTEMPTS = 20

Sign = Callable[[bytes], bytes]
"""A commit object to the same with a signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvent:
    """One change of a model: `kind` is the `Gitexp-Event` trailer, `time` seconds since 1970, UTC.

    Attributes:
        subject: what was done, in a line. reason: why, in the words of who did it.
        before, after: the states on its sides; `before` is None for the first.
    """

    kind: str
    commit: str
    author: str
    time: float
    subject: str
    reason: str
    before: RegisteredModel | None
    after: RegisteredModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChange:
    """What a change is called and why it is made; `parents` are further commits that it leads to."""

    event: str
    subject: str
    reason: str = ""
    parents: Sequence[str] = ()


class ModelStore:
    """The registered models of one repository.

    Args:
        signer: asked, where something is changed, for what signs commits; None: they are not signed.
    """

    def __init__(self, objects: ObjectDatabase, refs: RefStore, signer: Callable[[], Sign | None]) -> None:
        self._objects = objects
        self._refs = refs
        self._signer = signer

    def tips(self) -> dict[str, str]:
        """The newest state of every model, by ref."""
        return self._refs.list(MODELS)

    def all(self) -> list[RegisteredModel]:
        """Every model, by name; removed ones too."""
        return sorted((read_model(self._objects, tip) for tip in self.tips().values()), key=lambda model: model.name)

    def find(self, name: str) -> RegisteredModel | None:
        tip = self._refs.read(model_ref(name))
        return read_model(self._objects, tip) if tip else None

    def tip(self, name: str) -> str:
        """Raises NotFound."""
        tip = self._refs.read(model_ref(name))
        if tip is None:
            raise NotFound(f"There is no model '{name}'.", hint="'gitexp models ls' lists the models.")
        return tip

    def at(self, name: str, commit: str) -> RegisteredModel:
        """The model as it was at a commit (its whole name) of its history. Raises NotFound."""
        try:
            kind, data = self._objects.read(bytes.fromhex(commit))
            if kind == COMMIT and trailers(decode_commit(data)).get("Model") == slug(name):
                return read_model(self._objects, commit)
        except (GitexpError, ValueError):
            pass
        raise NotFound(
            f"'{commit}' is no commit of the model '{name}' that is here.", hint=f"gitexp pull origin --model {name}"
        )

    def change(
        self,
        name: str,
        edit: Callable[[RegisteredModel | None], tuple[RegisteredModel, ModelChange]],
        signature: Signature,
    ) -> RegisteredModel:
        """Make the newest state into another; `edit` is called again, on what is newest then, where others were faster.

        Raises:
            Conflict: others kept changing it.
        """
        ref = model_ref(name)
        sign = self._signer()
        for _ in range(ATTEMPTS):
            tip = self._refs.read(ref)
            before = read_model(self._objects, tip) if tip else None
            after, change = edit(before)
            if after == before:
                return after
            tree, made = encode_model(after)
            data = encode_commit(
                tree=tree.hex(),
                parents=list(dict.fromkeys([*([tip] if tip else []), *change.parents])),
                author=signature.author,
                time=int(signature.time),
                message=_message(name, change),
            )
            if sign:
                data = sign(data)
            self._objects.write([*made, (COMMIT, data)])
            commit = object_id(COMMIT, data).hex()
            if self._refs.update(ref, tip, commit) if tip else self._refs.create(ref, commit):
                return after
        raise Conflict(f"The model '{name}' was changed by others {ATTEMPTS} times in a row.", hint="Try again.")

    def add_version(
        self,
        name: str,
        made: ModelVersion,
        run_name: str,
        signature: Signature,
        *,
        reason: str = "",
        once: bool = False,
    ) -> tuple[RegisteredModel, ModelVersion]:
        """Give `made` the next number of the model `name`, which is created if it is not there.

        Args:
            run_name: of the run that it is from.
            once: whether it stays as it is where the same files of the same run are a version already.

        Raises:
            Conflict: others kept changing the model.
        """

        def create(before: RegisteredModel | None) -> tuple[RegisteredModel, ModelChange]:
            model = before or RegisteredModel(name=name, created=signature.time)
            return model, ModelChange(event="create", subject="created")

        def add(before: RegisteredModel | None) -> tuple[RegisteredModel, ModelChange]:
            model, _ = create(before)
            same = [each for each in model.versions if each.is_of(made)] if once else []
            added.append(same[0] if same else replace(made, number=model.next_number))
            subject = f"version {added[-1].number} registered from {run_name} ({made.run}), {made.path}"
            change = ModelChange(event="register", subject=subject, reason=reason, parents=[made.commit])
            return model if same else replace(model.with_version(added[-1]), deleted=None), change

        added: list[ModelVersion] = []
        self.change(name, create, signature)
        return self.change(name, add, signature), added[-1]

    def events(self, name: str) -> list[ModelEvent]:
        """Every change, newest first. Raises NotFound."""
        found = []
        loaded: dict[bytes, Mapping[str, Any]] = {}  # most states share most files

        @cache
        def state(commit: str) -> RegisteredModel:
            return read_model(self._objects, commit, loaded)

        for oid, commit in states(self._objects, self.tip(name)):
            said = trailers(commit)
            text = commit.message.rstrip("\n").rpartition("\n\n")[0]
            subject, _, reason = text.partition("\n\n")
            found.append(
                ModelEvent(
                    kind=said.get("Event", "unknown"),
                    commit=oid,
                    author=commit.author,
                    time=float(commit.time),
                    subject=subject.removeprefix(f"{name}: "),
                    reason=reason,
                    before=None if said.get("Event") == "create" else state(commit.parents[0]),
                    after=state(oid),
                )
            )
        return found


def _message(name: str, change: ModelChange) -> str:
    reason = f"\n\n{change.reason.strip()}" if change.reason.strip() else ""
    return f"{name}: {change.subject}{reason}\n\nGitexp-Model: {slug(name)}\nGitexp-Event: {change.event}\n"


def read_model(
    objects: ObjectDatabase, commit: str, loaded: dict[bytes, Mapping[str, Any]] | None = None
) -> RegisteredModel:
    """The state that a commit holds.

    Args:
        loaded: files by their blobs, of states that were read before; those of this one are added.

    Raises:
        CorruptData, UnknownFormat
    """
    root = _entries(objects, bytes.fromhex(decode_commit(objects.read(bytes.fromhex(commit))[1]).tree))
    if b"model.yaml" not in root:
        raise CorruptData(f"The model at '{commit}' has no 'model.yaml'.")
    versions = _entries(objects, root[b"versions"].oid) if b"versions" in root else {}
    known = {} if loaded is None else loaded
    for entry in (root[b"model.yaml"], *versions.values()):
        if entry.oid not in known:
            known[entry.oid] = _load(objects, entry)
    return model_from_dicts(known[root[b"model.yaml"].oid], [known[entry.oid] for entry in versions.values()])


def encode_model(model: RegisteredModel) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The id of a model's tree, and the objects that it is made of."""
    made: list[tuple[str, bytes]] = []
    folders: dict[str, list[TreeEntry]] = {"": []}
    for path, text in dump_model(model).items():
        folder, _, name = path.rpartition("/")
        made.append((BLOB, text.encode()))
        folders.setdefault(folder, []).append(TreeEntry(name.encode(), MODE_FILE, object_id(*made[-1])))
    for folder in [name for name in folders if name]:
        made.append((TREE, encode_tree(folders[folder])))
        folders[""].append(TreeEntry(folder.encode(), MODE_TREE, object_id(*made[-1])))
    made.append((TREE, encode_tree(folders[""])))
    return object_id(*made[-1]), made


def _entries(objects: ObjectDatabase, tree: bytes) -> dict[bytes, TreeEntry]:
    return {entry.name: entry for entry in decode_tree(objects.read(tree)[1])}


def _load(objects: ObjectDatabase, entry: TreeEntry) -> Mapping[str, Any]:
    name = entry.name.decode(errors="replace")
    loaded = load_yaml(objects.read(entry.oid)[1].decode(errors="replace"), what=name)
    if not isinstance(loaded, Mapping):
        raise CorruptData(f"{name}: expected a mapping.")
    return loaded
