"""Pushing and pulling runs without their large artifacts: commits, and the refs that name them.

Both only move forward. A ref that both sides changed is merged (`store/converging.py`), and whoever comes second tries
again on what is there then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gitexp.domain.identity import REFS, slug
from gitexp.errors import Conflict, CorruptData
from gitexp.repo import Repository
from gitexp.sharing.namespace import Namespace, is_model_name, is_run_name, is_view_name
from gitexp.sharing.selection import Selection
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.missing import MissingObjects
from gitexp.store.git.objects import BLOB, COMMIT, decode_commit, decode_tree
from gitexp.store.git.transport import OnBytes, PushPlan, Transport
from gitexp.store.states import states, trailers

ATTEMPTS = 10
MOST_HAVES = 256
MOST_ASKED = 1000

_RACES = (
    "cannot lock ref",
    "failed to update ref",
    "failed to lock",
    "reference already exists",
    "incorrect old value",
    "fetch first",
    "non-fast-forward",
    "stale info",
    "already exists",
    "changed meanwhile",
    "remote ref updated since checkout",
)
"""What git, `git push` and dulwich's server say of a ref that is not where it was; some also say it of a full disk."""


@dataclass(slots=True, kw_only=True)
class Shared:
    """What became of refs, by their names here.

    Attributes:
        created, updated: now as on the other side. merged: changed on both sides, now the same.
        behind: where the remote has more; a pull brings it. ahead: where we have more; a push brings it there.
        taken: where only the remote had changed, and a push has brought it here.
        same: how many were equal from the start.
        refused: why the remote did not take a ref, in its words; pulling, why we did not take one of its.
        said: what the remote told people, as its hooks do.
    """

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    ahead: list[str] = field(default_factory=list)
    same: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    said: str = ""

    @property
    def runs(self) -> list[str]:
        """The runs that are new or changed on one side."""
        return [name for name in (*self.created, *self.updated, *self.merged) if is_run_name(name)]

    @property
    def models(self) -> list[str]:
        """The registered models that are new or changed on one side."""
        return [name for name in (*self.created, *self.updated, *self.merged) if is_model_name(name)]


class RecordPusher:
    """Pushes refs and what they need to one remote.

    Args:
        transport: opened for pushing.
    """

    def __init__(self, repository: Repository, transport: Transport, namespace: Namespace) -> None:
        self._repository = repository
        self._transport = transport
        self._namespace = namespace

    def push(self, wanted: Mapping[str, str], on_bytes: OnBytes) -> Shared:
        """Bring the remote's refs forward to `wanted`: names here to tips.

        A ref that both sides changed is merged here first, and our own moves with it.

        Raises:
            RemoteFailed: the remote cannot be reached, or the connection broke; it has all or nothing of each ref.
            Conflict: others kept changing the same runs.
        """
        result = Shared()
        failed: dict[str, _Failure] = {}
        left = dict(wanted)
        for _ in range(ATTEMPTS):
            left = self._try(left, result, failed, on_bytes)
            if not left:
                return result
        raise Conflict("Others keep changing the same runs on the remote.", hint="Try again.")

    def _try(
        self, wanted: dict[str, str], result: Shared, failed: dict[str, _Failure], on_bytes: OnBytes
    ) -> dict[str, str]:
        """One push; gives what has to be tried again, because the remote has moved."""
        planned = _Planned()

        def plan(refs: dict[str, str]) -> PushPlan | None:
            planned.clear()
            theirs = self._namespace.here(refs)
            for name, tip in wanted.items():
                if theirs.get(name) == tip:
                    planned.same += 1
                    continue
                try:
                    self._sort_in(name, tip, theirs.get(name), planned)
                except CorruptData as error:  # the remote's is no state of anything, or ours cannot be read
                    planned.refused[name] = str(error)
            for name, (old, _) in list(planned.updates.items()):
                if name in failed and failed[name].is_final(old):
                    planned.refused[name] = failed[name].reason
                    del planned.updates[name]
            if planned.unknown or not planned.updates:
                return None
            return PushPlan(
                updates={self._namespace.there(name): change for name, change in planned.updates.items()},
                objects=lambda: self._missing(planned.updates, refs, theirs),
            )

        report = self._transport.push(plan, on_bytes)
        result.same += planned.same
        result.behind += planned.behind
        result.refused.update(planned.refused)
        result.said = "\n".join(filter(None, [result.said, report.said]))
        if planned.unknown:
            left = {name: tip for name, tip in wanted.items() if name in planned.unknown or name in planned.updates}
            return self._after_merging(planned.unknown, left, result, on_bytes)
        again = {}
        for name, (old, _) in planned.updates.items():
            reason = report.refused.get(self._namespace.there(name))
            if reason is None:
                if name not in result.merged:
                    (result.updated if old else result.created).append(name)
            elif _may_be_a_race(reason):
                failed[name] = _Failure(reason, old, failed.get(name))
                again[name] = wanted[name]
            else:
                result.refused[name] = reason
        return again

    def _sort_in(self, name: str, tip: str, theirs: str | None, planned: _Planned) -> None:
        if theirs is None:
            planned.updates[name] = (None, tip)
        elif not self._repository.objects.contains(bytes.fromhex(theirs)):
            planned.unknown[name] = theirs
        elif any(oid == theirs for oid, _ in states(self._repository.objects, tip)):
            planned.updates[name] = (theirs, tip)
        elif any(oid == tip for oid, _ in states(self._repository.objects, theirs)):
            planned.behind.append(name)
        else:
            planned.unknown[name] = theirs

    def _after_merging(
        self, unknown: Mapping[str, str], wanted: dict[str, str], result: Shared, on_bytes: OnBytes
    ) -> dict[str, str]:
        """Fetch what the remote has of refs that both sides changed, and merge it here."""
        ours = [wanted[name] for name in unknown]
        self._transport.fetch(list(unknown.values()), [*ours, *haves(self._repository)], on_bytes)
        took = take_in(self._repository, unknown)
        result.merged += took.merged
        result.taken += took.updated
        result.refused.update(took.refused)
        done = {*took.updated, *took.refused}
        return {name: self._repository.refs.read(name) or tip for name, tip in wanted.items() if name not in done}

    def _missing(
        self, updates: Mapping[str, tuple[str | None, str | None]], refs: Mapping[str, str], theirs: Mapping[str, str]
    ) -> list[bytes]:
        objects = self._repository.objects
        tips = [bytes.fromhex(new) for _, new in updates.values() if new]
        known = {oid for name, oid in refs.items() if not name.startswith((REFS, self._namespace.prefix))}
        known |= {old for old, _ in updates.values() if old}
        known |= self._registered_there(updates, theirs)
        read = {tip: decode_commit(objects.read(tip)[1]) for tip in tips}
        bases = {parent for commit in read.values() for parent in commit.parents[:1]} - known
        if bases:
            known |= self._bases_there(bases, theirs)
        there = [bytes.fromhex(oid) for oid in sorted(known) if len(oid) == 40]
        return MissingObjects(objects, tips, there, shallow=self._repository.git.shallow(), read=read).ids

    def _registered_there(
        self, updates: Mapping[str, tuple[str | None, str | None]], theirs: Mapping[str, str]
    ) -> set[str]:
        """What the remote has of runs that models which are pushed have versions of."""
        models = [new for name, (_, new) in updates.items() if new and is_model_name(name)]
        if not models:
            return set()
        from gitexp.store.modelstore import read_model  # most pushes have no models

        runs = {version.run for oid in models for version in read_model(self._repository.objects, oid).versions}
        return {oid for name, oid in theirs.items() if is_run_name(name) and name.rpartition("/")[2] in runs}

    def _bases_there(self, bases: set[str], theirs: Mapping[str, str]) -> set[str]:
        """Commits of code that the remote has below some run, though none of its branches has them."""
        ours = self._repository.tips()
        shared = [oid for name, oid in ours.items() if theirs.get(name) == oid]
        return bases & first_parents(self._repository, shared)


@dataclass(frozen=True, slots=True)
class _Failure:
    """A ref that the remote did not move, for what may be a race: then it has moved by itself when we look again."""

    reason: str
    old: str | None
    before: _Failure | None

    def is_final(self, old: str | None) -> bool:
        """Whether the remote refused the same thing again and again, and nobody else is to blame."""
        if self.old != old:
            return False
        return self.before is not None and self.before.old == old and self.before.before is not None


@dataclass(slots=True)
class _Planned:
    updates: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    behind: list[str] = field(default_factory=list)
    same: int = 0

    def clear(self) -> None:
        self.updates, self.unknown, self.refused, self.behind, self.same = {}, {}, {}, [], 0


def pull_records(
    repository: Repository, transport: Transport, namespace: Namespace, selection: Selection, on_bytes: OnBytes
) -> Shared:
    """Bring a remote's runs here: new ones, and what changed of those that are here.

    Raises:
        RemoteFailed: the remote cannot be reached, or what it sent is not whole; nothing has changed then.
    """
    refs = namespace.here(transport.refs(namespace.wanted))
    theirs = selection.of_theirs(refs, repository)
    ours = repository.refs.list(REFS)
    differing = {name: oid for name, oid in theirs.items() if ours.get(name) != oid}
    missing = [oid for oid in differing.values() if not repository.objects.contains(bytes.fromhex(oid))]
    if missing:
        shared = [oid for name, oid in refs.items() if ours.get(name) == oid]
        known = [ours[name] for name in differing if name in ours]
        transport.fetch(dict.fromkeys(missing), haves(repository, known, shared), on_bytes)
    result = take_in(repository, differing)
    result.same = len(theirs) - len(differing)
    if missing:
        repository.objects.consolidate()
    return result


def take_in(repository: Repository, theirs: Mapping[str, str]) -> Shared:
    """Move our refs forward to states whose objects are here; where both changed, to one that holds both.

    Only what is what its name says is taken; a remote may have anything under any name.
    """
    result = Shared()
    ours = repository.refs.list(REFS) if theirs else {}
    sound = {}
    for name, oid in theirs.items():
        try:
            require_kind(repository.objects, name, oid)
            sound[name] = oid
        except CorruptData as error:
            result.refused[name] = str(error)
    created = repository.refs.create_all({name: oid for name, oid in sound.items() if name not in ours})
    result.created = [name for name in sound if name in created]
    for name, oid in sound.items():
        if name not in created:
            try:
                _move(repository, name, oid, result)
            except CorruptData as error:
                result.refused[name] = str(error)
    return result


def require_kind(objects: ObjectDatabase, name: str, oid: str) -> None:
    """Make sure that a commit is a state of the run, experiment, model or view that its ref is for.

    Raises:
        CorruptData: it is not, or it is not here.
    """
    kind, data = objects.read(bytes.fromhex(oid))
    if kind != COMMIT:
        raise CorruptData(f"It leads to a {kind}, not to a commit.")
    commit = decode_commit(data)
    identity = name.rpartition("/")[2]
    if is_model_name(name):
        from gitexp.store.modelstore import read_model  # most pulls have no models

        if trailers(commit).get("Model") != identity or slug(read_model(objects, oid).name) != identity:
            raise CorruptData("It leads to a commit that is not this model's.")
        return
    if is_view_name(name):
        if trailers(commit).get("View") != identity:
            raise CorruptData("It leads to a commit that is not this view's.")
        return
    if not is_run_name(name):
        if trailers(commit).get("Experiment") != identity:
            raise CorruptData("It leads to a commit that is not this experiment's.")
        return
    found = trailers(commit).get("Run")
    if found != identity:
        raise CorruptData(f"It leads to {f'the run {found!r}' if found else 'a commit that is no run'}.")
    tree = {entry.name: entry for entry in decode_tree(objects.read(bytes.fromhex(commit.tree))[1])}
    if b"run.yaml" not in tree:
        raise CorruptData("It leads to a commit without 'run.yaml'.")
    kind, text = objects.read(tree[b"run.yaml"].oid)
    if kind != BLOB or not re.search(rb"^id: [\"']?%s[\"']?$" % identity.encode(), text, re.MULTILINE):
        raise CorruptData("Its 'run.yaml' is another run's.")


def _move(repository: Repository, name: str, theirs: str, result: Shared) -> None:
    from gitexp.store.converging import merge_states  # most exchanges have nothing to merge

    for _ in range(ATTEMPTS):
        ours = repository.refs.read(name)
        if ours is None:
            if repository.refs.create(name, theirs):
                result.created.append(name)
                return
            continue
        merged = merge_states(repository.objects, ours, theirs)
        if merged.commit == ours:
            if ours == theirs:
                result.same += 1
            else:
                result.ahead.append(name)
            return
        repository.objects.write(merged.objects)
        if repository.refs.update(name, ours, merged.commit):
            (result.merged if merged.objects else result.updated).append(name)
            return
    raise Conflict(f"'{name}' keeps being changed by others.", hint="Try again.")


def haves(repository: Repository, known: Iterable[str] = (), shared: Sequence[str] = ()) -> list[str]:
    """Commits that are here, for a remote to leave out what they reach.

    Args:
        known: some of them.
        shared: commits of runs that both have; what their code is based on may be on no branch.
    """
    refs = repository.refs
    found = [
        *known,
        *refs.list("refs/heads/").values(),
        *refs.list("refs/remotes/").values(),
        *refs.list("refs/tags/").values(),
    ]
    sample = shared[:: len(shared) // MOST_ASKED + 1]
    found += sorted(first_parents(repository, sample))
    return [oid for oid in dict.fromkeys(found) if len(oid) == 40][:MOST_HAVES]


def first_parents(repository: Repository, commits: Iterable[str]) -> set[str]:
    """The commits that runs' code is based on."""
    read = repository.objects.read
    return {parent for oid in commits for parent in decode_commit(read(bytes.fromhex(oid))[1]).parents[:1]}


def _may_be_a_race(reason: str) -> bool:
    """Whether somebody else may have moved the ref between our look and our push."""
    said = reason.lower()
    return any(words in said for words in _RACES)
