"""What each remote has and lacks, without bringing anything here or there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gitexp.domain.config import RemoteSettings
from gitexp.domain.pointer import Pointer
from gitexp.errors import GitexpError
from gitexp.repo import Repository
from gitexp.sharing.anywhere import usual_first
from gitexp.sharing.exchange import Sharing
from gitexp.sharing.namespace import is_run_name
from gitexp.store.states import states

AT_ONCE = 8

_NOTHING = Pointer(sha256=hashlib.sha256(b"").hexdigest(), size_bytes=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteState:
    """One remote.

    Attributes:
        url, push_url: as they are; mask them before showing.
        settings: how the remote is used.
        runs: how many it has; None where it could not be asked.
        unshared: how many runs here it lacks, or lacks the newest state of.
        new_there: how many runs it has that are not here, or whose newest state is not.
        place: where its artifacts go, for people; empty where that could not be found out.
        unsent, unsent_bytes: content that is here and that others will not find there.
        trouble: why it, or the place of its artifacts, could not be asked.
    """

    name: str
    url: str
    push_url: str
    settings: RemoteSettings
    runs: int | None = None
    unshared: int | None = None
    new_there: int | None = None
    place: str = ""
    unsent: int | None = None
    unsent_bytes: int | None = None
    trouble: GitexpError | None = None


def look_over(repository: Repository, *, engine: str = "auto") -> list[RemoteState]:
    """Every remote, the current branch's first. All are asked at the same time."""
    sharings = [Sharing(repository, name, engine=engine) for name in usual_first(repository)]
    ours = repository.tips()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gitexp-remote") as pool:
        asked = [pool.submit(_ask, sharing) for sharing in sharings]
        return [_state(repository, sharing, ours, one.result()) for sharing, one in zip(sharings, asked, strict=True)]


def _ask(sharing: Sharing) -> dict[str, str] | GitexpError:
    """The runs there; only the network is touched, so that several may do it at once."""
    try:
        return {name: tip for name, tip in sharing.refs().items() if is_run_name(name)}
    except GitexpError as error:
        return error


def _state(
    repository: Repository, sharing: Sharing, ours: Mapping[str, str], theirs: dict[str, str] | GitexpError
) -> RemoteState:
    remote = sharing.remote
    place, unsent, trouble = "", None, None
    if isinstance(theirs, GitexpError):
        trouble = theirs
    else:
        try:
            place = sharing.artifact_store({_NOTHING}, push=True).name
            unsent = sharing.unsent(ours)
        except GitexpError as error:
            trouble = error
    newer, older = (None, None) if isinstance(theirs, GitexpError) else _differences(repository, ours, theirs)
    return RemoteState(
        name=remote.name,
        url=remote.url,
        push_url=remote.push_url,
        settings=sharing.settings,
        runs=None if isinstance(theirs, GitexpError) else len(theirs),
        unshared=newer,
        new_there=older,
        place=place,
        unsent=None if unsent is None else len(unsent),
        unsent_bytes=None if unsent is None else sum(pointer.size_bytes for pointer in unsent),
        trouble=trouble,
    )


def _differences(repository: Repository, ours: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[int, int]:
    """How many runs are newer here, and how many there; one that both changed is both."""
    unshared = len(ours.keys() - theirs.keys())
    new_there = len(theirs.keys() - ours.keys())
    for name in ours.keys() & theirs.keys():
        one, other = ours[name], theirs[name]
        if one != other:
            unshared += not _holds(repository, other, one)
            new_there += not _holds(repository, one, other)
    return unshared, new_there


def _holds(repository: Repository, tip: str, state: str) -> bool:
    """Whether a tip came from a state, as far as that can be seen here."""
    if not repository.objects.contains(bytes.fromhex(tip)):
        # What is there and not here was most likely made of what is here; pushing finds out.
        return True
    return any(oid == state for oid, _ in states(repository.objects, tip))
