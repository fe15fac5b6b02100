"""Pushing and pulling runs without their large artifacts: commits, and the refs that name them.

Both only move forward. A ref that both sides changed is merged (`store/converging.py`), and whoever comes second tries
again on what is there then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gitexp.domain.identity import REFS
from gitexp.errors import Conflict, RemoteFailed
from gitexp.repo import Repository
from gitexp.sharing.namespace import Namespace, is_run_name
from gitexp.sharing.selection import Selection
from gitexp.store.converging import merge_states
from gitexp.store.git.missing import MissingObjects
from gitexp.store.git.objects import decode_commit
from gitexp.store.git.transport import OnBytes, PushPlan, Transport
from gitexp.store.states import states

ATTEMPTS = 10
MOST_BASES = 20


@dataclass(slots=True, kw_only=True)
class Shared:
    """What became of refs, by their names here.

    Attributes:
        created, updated: now as on the other side. merged: changed on both sides, now the same.
        behind: where the remote has more; a pull brings it. ahead: where we have more; a push brings it there.
        same: how many were equal from the start.
        refused: why the remote did not take a ref, in its words.
        said: what the remote told people, as its hooks do.
    """

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    ahead: list[str] = field(default_factory=list)
    same: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    said: str = ""

    @property
    def runs(self) -> list[str]:
        """The runs that are new or changed on one side."""
        return [name for name in (*self.created, *self.updated, *self.merged) if is_run_name(name)]


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
        left = dict(wanted)
        for _ in range(ATTEMPTS):
            left = self._try(left, result, on_bytes)
            if not left:
                return result
        raise Conflict("Others keep changing the same runs on the remote.", hint="Try again.")

    def _try(self, wanted: dict[str, str], result: Shared, on_bytes: OnBytes) -> dict[str, str]:
        """One push; gives what has to be tried again, because the remote has moved."""
        planned = _Planned()

        def plan(refs: dict[str, str]) -> PushPlan | None:
            planned.clear()
            theirs = self._namespace.here(refs)
            for name, tip in wanted.items():
                self._sort_in(name, tip, theirs.get(name), planned)
            if planned.unknown or not planned.updates:
                return None
            return PushPlan(
                updates={self._namespace.there(name): change for name, change in planned.updates.items()},
                objects=self._missing(planned.updates, refs, theirs),
            )

        report = self._transport.push(plan, on_bytes)
        result.same += planned.same
        result.behind += planned.behind
        result.said = "\n".join(filter(None, [result.said, report.said]))
        if planned.unknown:
            return self._after_merging(planned.unknown, wanted, result, on_bytes)
        refused = {name: report.refused.get(self._namespace.there(name)) for name in planned.updates}
        again = {}
        for name, (old, _) in planned.updates.items():
            reason = refused[name]
            if reason is None:
                if name not in result.merged:
                    (result.updated if old else result.created).append(name)
            elif _is_a_race(reason):
                again[name] = wanted[name]
            else:
                result.refused[name] = reason
        return again

    def _sort_in(self, name: str, tip: str, theirs: str | None, planned: _Planned) -> None:
        if theirs == tip:
            planned.same += 1
        elif theirs is None:
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
        self._transport.fetch(list(unknown.values()), haves(self._repository), on_bytes)
        took = take_in(self._repository, unknown)
        result.merged += took.merged
        result.behind += took.updated
        current = {name: self._repository.refs.read(name) or tip for name, tip in wanted.items()}
        return {name: tip for name, tip in current.items() if name not in took.updated}

    def _missing(
        self, updates: Mapping[str, tuple[str | None, str | None]], refs: Mapping[str, str], theirs: Mapping[str, str]
    ) -> list[bytes]:
        objects = self._repository.objects
        tips = [bytes.fromhex(new) for _, new in updates.values() if new]
        known = {oid for name, oid in refs.items() if not name.startswith((REFS, self._namespace.prefix))}
        known |= {old for old, _ in updates.values() if old}
        bases = {parent for tip in tips for parent in decode_commit(objects.read(tip)[1]).parents[:1]} - known
        if 0 < len(bases) <= MOST_BASES:
            known |= set(self._bases_there(bases, theirs))
        return MissingObjects(objects, tips, [bytes.fromhex(oid) for oid in sorted(known) if len(oid) == 40]).ids

    def _bases_there(self, bases: Iterable[str], theirs: Mapping[str, str]) -> Iterator[str]:
        """Commits of code that the remote has below some run, though none of its branches has them."""
        for commit in bases:
            runs = self._repository.search(f"run.commit = '{commit}'", deleted="yes")
            if any(theirs.get(run.ref) == run.commit for run in runs if run.commit):
                yield commit


@dataclass(slots=True)
class _Planned:
    updates: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    behind: list[str] = field(default_factory=list)
    same: int = 0

    def clear(self) -> None:
        self.updates, self.unknown, self.behind, self.same = {}, {}, [], 0


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
        transport.fetch(dict.fromkeys(missing), haves(repository), on_bytes)
        _require_whole(repository, missing)
    result = take_in(repository, differing)
    result.same = len(theirs) - len(differing)
    return result


def take_in(repository: Repository, theirs: Mapping[str, str]) -> Shared:
    """Move our refs forward to states whose objects are here; where both changed, to one that holds both."""
    result = Shared()
    created = repository.refs.create_all({n: oid for n, oid in theirs.items() if repository.refs.read(n) is None})
    result.created = [name for name in theirs if name in created]
    for name, oid in theirs.items():
        if name not in created:
            _move(repository, name, oid, result)
    return result


def _move(repository: Repository, name: str, theirs: str, result: Shared) -> None:
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


def haves(repository: Repository) -> list[str]:
    """Commits that are here, for a remote to leave out what they reach: branches, and what we know of other remotes."""
    refs = repository.refs
    found = [
        *refs.list("refs/heads/").values(),
        *refs.list("refs/remotes/").values(),
        *refs.list("refs/tags/").values(),
    ]
    return [oid for oid in dict.fromkeys(found) if len(oid) == 40][:256]


def _require_whole(repository: Repository, commits: Iterable[str]) -> None:
    """Refuse a remote that sent less than it said: a ref to it would break the repository for git."""
    objects = repository.objects
    tips = [bytes.fromhex(oid) for oid in commits]
    lost = [oid for oid in tips if not objects.contains(oid)]
    if not lost:
        return
    raise RemoteFailed(f"The remote did not send '{lost[0].hex()}', which it has.", hint="Try again.")


def _is_a_race(reason: str) -> bool:
    """Whether somebody else moved the ref between our look and our push."""
    said = reason.lower()
    return any(
        words in said
        for words in (
            "cannot lock ref",
            "failed to update ref",
            "fetch first",
            "changed meanwhile",
            "non-fast-forward",
            "stale info",
            "already exists",
            "incorrect old value",
        )
    )
