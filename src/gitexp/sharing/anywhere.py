"""Content that some run points at, from whichever remote has it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from gitexp.domain.masking import mask_url
from gitexp.domain.pointer import Pointer
from gitexp.errors import GitexpError, NotFound, RemoteFailed, UsageError
from gitexp.repo import Repository
from gitexp.sharing.exchange import Listener, Sharing
from gitexp.store.git.remotes import find_remote, remote_names


@dataclass(slots=True, kw_only=True)
class Fetched:
    """What came, and from where.

    Attributes:
        places: who had something, for people.
        size_bytes: of all that came together.
    """

    places: list[str] = field(default_factory=list)
    count: int = 0
    size_bytes: int = 0


def fetch_anywhere(
    repository: Repository, pointers: Collection[Pointer], listener: Listener | None = None, *, engine: str = "auto"
) -> Fetched:
    """Bring content here that is not here yet: from the branch's remote, then from the others.

    Raises:
        NotFound: no remote has it. What one has is here nevertheless.
        RemoteFailed: some has nobody, and a remote that may have it could not be asked.
    """
    done = Fetched()
    troubles: dict[str, GitexpError] = {}
    missing = _missing(repository, pointers)
    for name in usual_first(repository) if missing else ():
        try:
            came = Sharing(repository, name, engine=engine).download(missing, listener)
        except GitexpError as error:  # whatever is wrong with one, another may have it
            troubles[name] = error
        else:
            done.count += came.count
            done.size_bytes += came.size_bytes
            done.places += [came.place] if came.count else []
        missing = _missing(repository, missing)
        if not missing:
            break
    if missing:
        raise _not_found(len(missing), troubles, has_remotes=bool(remote_names(repository.git)))
    return done


def usual_first(repository: Repository) -> list[str]:
    """The names of all remotes, the current branch's first."""
    names = remote_names(repository.git)
    try:
        usual = find_remote(repository.git).name
    except (NotFound, UsageError):
        return names
    return [usual, *(name for name in names if name != usual)]


def _missing(repository: Repository, pointers: Collection[Pointer]) -> set[Pointer]:
    return {pointer for pointer in pointers if not repository.content.contains(pointer)}


def _not_found(count: int, troubles: dict[str, GitexpError], *, has_remotes: bool) -> GitexpError:
    what = "The content of one file" if count == 1 else f"The content of {count:,} files"
    if troubles:
        name, error = next(iter(troubles.items()))
        kind = type(error) if isinstance(error, RemoteFailed) else RemoteFailed
        return kind(f"{what} is not here, and '{mask_url(name)}' failed: {error}", hint=error.hint)
    if not has_remotes:
        return NotFound(f"{what} is not here, and there is no remote.", hint="Type: git remote add origin URL")
    return NotFound(f"{what} is neither here nor on a remote.", hint="Whoever made the run can push it: gitexp push")
