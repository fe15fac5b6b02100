"""Push and pull as a person asks for them: records and artifacts, with one remote."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gitexp.domain.config import RemoteSettings
from gitexp.domain.masking import mask_url
from gitexp.domain.pointer import Pointer
from gitexp.errors import NotFound
from gitexp.repo import Repository
from gitexp.sharing.namespace import HEADS, Namespace, is_model_name, is_run_name
from gitexp.sharing.records import RecordPusher, Shared, pull_records
from gitexp.sharing.selection import Selection
from gitexp.sharing.sent import SentRuns
from gitexp.store.artifacts.store import ArtifactStore
from gitexp.store.git.remotes import Remote, find_remote
from gitexp.store.git.transport import OnBytes, Transport, open_transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """Artifacts that travelled.

    Attributes:
        place: where they are kept, for people; empty where none had to travel.
        missing: pointers whose content is not on this machine (pushing) or not there (pulling).
    """

    place: str = ""
    count: int = 0
    size_bytes: int = 0
    missing: tuple[Pointer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingArtifact:
    """Content that a run points at, and that was found neither here nor at the remote.

    Attributes:
        ref, name: the run's.
        path: in the run's tree: `artifacts/model.bin`, `code/data.csv`.
    """

    ref: str
    name: str
    path: str
    pointer: Pointer


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a push or a pull did.

    Attributes:
        missing: what of the runs' artifacts is nowhere; pushing, only what was not known to be so before.
    """

    remote: Remote
    records: Shared
    artifacts: Transferred = field(default_factory=Transferred)
    missing: tuple[MissingArtifact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told of the progress.

    Attributes:
        on_stage: what travels from now on, "artifacts" or "records"; bytes are counted anew.
        on_total: a number of bytes that will travel besides those told before.
        on_bytes: a number of bytes that have travelled; from any thread.
    """

    on_stage: Callable[[str], None] = lambda _what: None
    on_total: OnBytes = lambda _size: None
    on_bytes: OnBytes = lambda _size: None


class Sharing:
    """One repository and one of its remotes.

    Args:
        remote: by name or address; None: the current branch's, as git pushes.
        engine: how git is talked to: "auto", "dulwich" or "git".

    Raises:
        NotFound: there is no such remote.
    """

    def __init__(self, repository: Repository, remote: str | None = None, *, engine: str = "auto") -> None:
        self._repository = repository
        self.remote = find_remote(repository.git, remote)
        self.settings = repository.config.remotes.get(self.remote.name, RemoteSettings())
        self._engine = self.settings.engine if engine == "auto" else engine
        self.namespace = Namespace.named(self.settings.refs)

    def push(self, selection: Selection, *, artifacts: bool = True, listener: Listener | None = None) -> Exchange:
        """Bring runs there: first their artifacts, then their records, each run whole or not at all.

        Raises:
            NotFound, Ambiguous: a run that does not exist.
            RemoteFailed: the remote cannot be reached or refuses; the same command again finishes the work.
        """
        listener = listener or Listener()
        wanted = selection.of_ours(self._repository)
        runs: dict[str, str] = {}
        travelled = Transferred()
        has_content = bool(selection.runs) or next(self._repository.content.list(), None) is not None
        if artifacts and has_content:
            runs = self._runs(wanted)
            travelled = self._upload(runs.values(), listener, anew=bool(selection.runs))
        listener.on_stage("records")
        pusher = RecordPusher(self._repository, self._transport(push=True), self.namespace)
        records = pusher.push(wanted, listener.on_bytes)
        if artifacts and not has_content:  # a clone of records alone has nothing to send, only to say what is nowhere
            runs = {name: wanted[name] for name in records.runs if name in wanted}
            travelled = self._upload(runs.values(), listener, anew=False)
        missing = self._named(travelled.missing, runs)
        return Exchange(remote=self.remote, records=records, artifacts=travelled, missing=missing)

    def push_changes(self, runs: Sequence[str]) -> Exchange:
        """Bring what changed of runs there, as far as they are there; no others, and no artifacts.

        Args:
            runs: as `Selection.runs`.

        Raises:
            as `push`
        """
        there = self.refs()
        ours = Selection(runs=runs).of_ours(self._repository)
        wanted = {name: tip for name, tip in ours.items() if name in there and is_run_name(name)}
        pusher = RecordPusher(self._repository, self._transport(push=True), self.namespace)
        return Exchange(remote=self.remote, records=pusher.push(wanted, lambda _size: None))

    def pull(self, selection: Selection, *, artifacts: bool = False, listener: Listener | None = None) -> Exchange:
        """Bring runs here: their records, and their artifacts if they are asked for.

        Raises:
            NotFound, Ambiguous: the remote has no such run.
            RemoteFailed: the remote cannot be reached, or what it sent is not whole.
        """
        listener = listener or Listener()
        transport = self._transport(push=False)
        listener.on_stage("records")
        records = pull_records(self._repository, transport, self.namespace, selection, listener.on_bytes)
        if not artifacts:
            return Exchange(remote=self.remote, records=records)
        runs = self._runs(selection.of_ours(self._repository))
        travelled = self.download(self._pointers(runs.values()), listener)
        missing = self._named(travelled.missing, runs)
        return Exchange(remote=self.remote, records=records, artifacts=travelled, missing=missing)

    def download(self, pointers: Iterable[Pointer], listener: Listener | None = None) -> Transferred:
        """Bring the content behind pointers here, as far as it is not here already.

        What its place lacks is looked for in the remote itself: whoever pushed it may not have known of the place.
        """
        listener = listener or Listener()
        content = self._repository.content
        wanted = {pointer for pointer in pointers if not content.contains(pointer)}
        if not wanted:
            return Transferred()
        stores = [store for store in (self._chosen_store(wanted, push=False), self._in_band()) if store]
        listener.on_stage("artifacts")
        listener.on_total(_bytes_of(wanted))
        missing, places = wanted, []
        for store in stores:
            with suppress(NotFound):
                store.download(missing, content, listener.on_bytes)
            left = {pointer for pointer in missing if not content.contains(pointer)}
            places += [store.name] if len(left) < len(missing) else []
            missing = left
            if not missing:
                break
        came = wanted - missing
        return Transferred(
            place=" and ".join(places) or stores[0].name,
            count=len(came),
            size_bytes=_bytes_of(came),
            missing=_in_order(missing),
        )

    def refs(self) -> dict[str, str]:
        """The runs and experiments that the remote has, by the names they have here; nothing else is transferred.

        Raises:
            RemoteFailed: the remote cannot be reached.
        """
        return self.namespace.here(self._transport(push=False).refs(self.namespace.wanted))

    def has_branches(self) -> bool:
        """Whether the remote has runs as branches. Raises RemoteFailed."""
        return bool(self._transport(push=False).refs((Namespace.named(HEADS).prefix,)))

    def unsent(self, runs: Mapping[str, str]) -> set[Pointer]:
        """The content behind pointers of runs (tips by ref) that is here and, as far as is known, not there.

        Raises:
            RemoteFailed: the place cannot be reached.
        """
        content = self._repository.content
        if next(content.list(), None) is None:
            return set()
        sent = self._sent()
        pointers = self._pointers(tip for tip in runs.values() if tip not in sent)
        here = {pointer for pointer in pointers if content.contains(pointer)}
        return self.artifact_store(here, push=True).lacking(here) if here else set()

    def artifact_store(self, pointers: Collection[Pointer], *, push: bool = False) -> ArtifactStore:
        """Where the artifacts of this remote's runs are: where the settings say, else its LFS server, else it itself.

        Args:
            pointers: some that are to travel; a server is asked about them, to see whether it is there.
            push: whether they are to travel there.
        """
        return self._chosen_store(pointers, push=push) or self._in_band()

    def _chosen_store(self, pointers: Collection[Pointer], *, push: bool) -> ArtifactStore | None:
        from gitexp.sharing.places import chosen_store  # not where records alone travel

        return chosen_store(self._repository.git, self.remote, self._place, pointers, push=push)

    def _in_band(self) -> ArtifactStore:
        """The remote itself, as a place for artifacts."""
        from gitexp.store.artifacts.inband import InBandStore  # not where records alone travel

        return InBandStore(
            lambda push: self._transport(push=push),
            self.namespace.prefix,
            make_scratch(self._repository.git.gitexp_dir),
            mask_url(self.remote.name),
        )

    def _upload(self, commits: Iterable[str], listener: Listener, *, anew: bool) -> Transferred:
        """Bring there what those runs point at, as far as it is here and not known to be there.

        Args:
            anew: ask about all of them: a place may have lost what it had.
        """
        sent = self._sent()
        is_here = self._repository.content.contains
        unsent = [
            commit
            for commit in commits
            if anew or (commit not in sent and (not sent.lost(commit) or any(map(is_here, sent.lost(commit)))))
        ]
        pointers = {commit: self._pointers([commit]) for commit in unsent}
        travelled = self._upload_pointers(set().union(*pointers.values()), listener)
        missing = set(travelled.missing)
        sent.add(commit for commit, found in pointers.items() if not found & missing)
        sent.add_lost({commit: [pointer.sha256 for pointer in found & missing] for commit, found in pointers.items()})
        return travelled

    def _upload_pointers(self, pointers: set[Pointer], listener: Listener) -> Transferred:
        content = self._repository.content
        if not pointers:
            return Transferred()
        place = self.artifact_store(pointers, push=True)
        lacking = place.lacking(pointers)
        here = {pointer for pointer in lacking if content.contains(pointer)}
        listener.on_stage("artifacts")
        listener.on_total(_bytes_of(here))
        if here:
            place.upload(here, content, listener.on_bytes)
        missing = lacking - here
        if missing:  # where `download` finds it
            missing = self._in_band().lacking(missing)
        return Transferred(place=place.name, count=len(here), size_bytes=_bytes_of(here), missing=_in_order(missing))

    def _named(self, missing: Collection[Pointer], runs: Mapping[str, str]) -> tuple[MissingArtifact, ...]:
        """Which paths of those runs (tips by ref) lead to the missing content."""
        if not missing:
            return ()
        repository = self._repository
        return tuple(
            MissingArtifact(ref=ref, name=repository.runs.read(tip).record.name, path=path, pointer=pointer)
            for ref, tip in runs.items()
            for path, pointer in repository.runs.pointers(tip)
            if pointer in missing
        )

    @property
    def _place(self) -> str:
        """Where the settings say that artifacts are."""
        said = self.settings.artifacts
        return (self._repository.config.artifacts_store or said) if said == "auto" else said

    def _runs(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """The runs among refs and their tips, and, by names of their own, those that the models among them are of."""
        runs = {name: tip for name, tip in wanted.items() if is_run_name(name)}
        models = {name: tip for name, tip in wanted.items() if is_model_name(name)}
        if models:
            from gitexp.store.modelstore import read_model  # most pushes have no models

            known = set(runs.values())
            for name, tip in models.items():
                versions = read_model(self._repository.objects, tip).versions
                runs |= {f"{name}/{each.number}": each.commit for each in versions if each.commit not in known}
        return runs

    def _sent(self) -> SentRuns:
        return SentRuns(
            self._repository.git.gitexp_dir, f"{self.remote.push_url}\n{self.namespace.prefix}\n{self._place}"
        )

    def _pointers(self, commits: Iterable[str]) -> set[Pointer]:
        runs = self._repository.runs
        return {pointer for commit in commits for _, pointer in runs.pointers(commit)}

    def _transport(self, *, push: bool) -> Transport:
        repository = self._repository
        return open_transport(repository.git, repository.objects, self.remote, push=push, engine=self._engine)


def _bytes_of(pointers: Iterable[Pointer]) -> int:
    return sum(pointer.size_bytes for pointer in pointers)


def _in_order(pointers: Iterable[Pointer]) -> tuple[Pointer, ...]:
    return tuple(sorted(pointers, key=lambda pointer: pointer.sha256))


def make_scratch(gitexp_dir: str) -> str:
    """The folder for what is on its way; `gc` sweeps it."""
    folder = os.path.join(gitexp_dir, "tmp")
    os.makedirs(folder, exist_ok=True)
    return folder
