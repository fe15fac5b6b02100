"""Artifacts as files outside the repository: which are meant, and how they get there."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from gitexp.domain.keys import parse_artifact_path
from gitexp.domain.pointer import Pointer
from gitexp.errors import Ambiguous, CorruptData, GitexpError, NotFound, UsageError
from gitexp.reading import Artifact, RunView
from gitexp.repo import Repository
from gitexp.sharing.anywhere import Fetched, fetch_anywhere
from gitexp.sharing.exchange import Listener
from gitexp.store.git.wildmatch import compile_pattern
from gitexp.store.userfolder import UserFolder, Write

NAMED = 5
_PIECE = 1 << 20
_NOT_IN_FOLDER_NAME = re.compile(r"[^\w.+=@-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Artifacts of one run.

    Attributes:
        artifacts: each with its path among those that were asked for: below the folder, or without what stands before
            the first wildcard.
        name: what the folder is called where they go by default, empty for the present one; of a single file, its name.
        is_file: whether one file was named.
    """

    view: RunView
    artifacts: Sequence[tuple[str, Artifact]]
    name: str
    is_file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gotten:
    """What became of them.

    Attributes:
        place: the file, or the folder they are below.
        files: how many were written; `same` how many were there already, as they should be.
        fetched: what had to come from elsewhere.
    """

    place: str
    files: int
    same: int
    size_bytes: int
    fetched: Fetched


def choose(repository: Repository, text: str) -> Chosen:
    """What `RUN` or `RUN:PATH` means: all artifacts, a file, a folder, or what a pattern like `plots/*.png` matches.

    Raises:
        NotFound, Ambiguous: no run of that name, or it has no such artifact.
    """
    troubles: list[GitexpError] = []
    for run, path in _readings(text):
        try:
            view = repository.get_run(run)
        except (NotFound, UsageError) as error:
            troubles.append(error)
        else:
            return choose_from(view, path)
    raise next((error for error in troubles if isinstance(error, Ambiguous)), troubles[-1])


def choose_from(view: RunView, path: str) -> Chosen:
    """The artifacts at a path of a run; an empty path means all.

    Raises:
        NotFound: it has none there.
    """
    artifacts = view.artifacts
    if not artifacts:
        raise NotFound(f"The run '{view.name}' has no artifacts.")
    asked = path.strip("/")
    if not asked:
        return Chosen(view=view, artifacts=list(artifacts.items()), name=_folder_name(view))
    if asked in artifacts and not path.endswith("/"):
        name = asked.rpartition("/")[2]
        return Chosen(view=view, artifacts=[(name, artifacts[asked])], name=name, is_file=True)
    inside = {known: found for known, found in artifacts.items() if known.startswith(f"{asked}/")}
    if inside:
        cut = len(asked) + 1
        return Chosen(
            view=view, artifacts=[(p[cut:], found) for p, found in inside.items()], name=asked.rpartition("/")[2]
        )
    fixed = re.split(r"[*?\[\\]", asked)[0]
    if fixed == asked:
        raise NotFound(f"The run '{view.name}' has no artifact '{asked}'.", hint=_near(asked, artifacts))
    matches = compile_pattern(os.fsencode(asked), path=True)
    cut = fixed.rfind("/") + 1
    matching = [(known[cut:], found) for known, found in artifacts.items() if matches(os.fsencode(known))]
    if not matching:
        raise NotFound(f"The run '{view.name}' has no artifact that matches '{asked}'.", hint=_near(asked, artifacts))
    return Chosen(view=view, artifacts=matching, name="")


def get(
    repository: Repository,
    chosen: Chosen,
    to: str | None = None,
    *,
    force: bool = False,
    listener: Listener | None = None,
    engine: str = "auto",
) -> Gotten:
    """Write artifacts as files; what is not on this machine is fetched from a remote first.

    Args:
        to: the folder for what is in a folder, or a file's new name; an existing folder, or one with `/` at its end,
            takes a file under its own name. None: the present folder, see `Chosen.name`.
        force: write over files that are different.

    Raises:
        UsageError: a different file is there; nothing was written.
        NotFound, RemoteFailed: content is neither here nor on a remote; nothing was written.
        CorruptData: content is not what it should be; that file was not written.
        StorageFailed: the disk is full, read-only or failing.
    """
    folder, files = _places(chosen, to)
    wanted, fetched = write_out(repository, files, folder, force=force, listener=listener, engine=engine)
    return Gotten(
        place=os.path.join(folder, files[0][0]) if chosen.is_file else folder,
        files=len(wanted),
        same=len(files) - len(wanted),
        size_bytes=sum(artifact.size_bytes for artifact in wanted),
        fetched=fetched,
    )


def write_out(
    repository: Repository,
    files: Iterable[tuple[str, Artifact]],
    folder: str,
    *,
    force: bool = False,
    listener: Listener | None = None,
    engine: str = "auto",
) -> tuple[list[Artifact], Fetched]:
    """Make artifacts files below a folder, by their paths in it; gives those that were not there as they should be.

    Raises:
        as `get`
    """
    target = UserFolder(folder)
    wanted = [(path, artifact) for path, artifact in files if not _is_there(target, path, artifact)]
    if not force:
        _refuse_overwriting(target, folder, [path for path, _ in wanted])
    artifacts = [artifact for _, artifact in wanted]
    fetched = fetch(repository, artifacts, listener, engine=engine)
    for path, artifact in wanted:
        target.write(os.fsencode(path), partial(copy, artifact))
    return artifacts, fetched


def fetch(
    repository: Repository, artifacts: Iterable[Artifact], listener: Listener | None = None, *, engine: str = "auto"
) -> Fetched:
    """Bring the content of artifacts here, as far as it is not; raises as `fetch_anywhere` does."""
    pointers = [
        Pointer(sha256=artifact.sha256, size_bytes=artifact.size_bytes)
        for artifact in artifacts
        if not artifact.is_here
    ]
    return fetch_anywhere(repository, pointers, listener, engine=engine)


def copy(artifact: Artifact, add: Write) -> None:
    """Hand out an artifact's content in pieces.

    Raises:
        CorruptData: it was not what it should be.
    """
    digest = hashlib.sha256()
    with artifact.open() as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            add(piece)
    if digest.hexdigest() != artifact.sha256:
        raise CorruptData(
            f"The content of '{artifact.path}' is damaged on this machine.", hint="'gitexp fsck --full' tells more."
        )


def _readings(text: str) -> Iterator[tuple[str, str]]:
    """The ways to take a text apart into a run and a path; names of runs and paths may hold colons."""
    yield text, ""
    for found in re.finditer(":", text):
        run = text[: found.start()]
        if run.rpartition("/")[2] != "best":  # that colon is a part of `best:metrics.rmse`
            yield run, text[found.end() :]


def _places(chosen: Chosen, to: str | None) -> tuple[str, list[tuple[str, Artifact]]]:
    """The folder to write into, and each path in it."""
    files = [(parse_artifact_path(path), artifact) for path, artifact in chosen.artifacts]
    if not chosen.is_file:
        return (to if to is not None else os.path.join(".", chosen.name)), files
    if to is None:
        return ".", files
    if to.endswith("/") or os.path.isdir(to):
        return to, files
    [(_, artifact)] = files
    return os.path.dirname(to) or ".", [(os.path.basename(to), artifact)]


def _is_there(target: UserFolder, path: str, artifact: Artifact) -> bool:
    found = target.status(os.fsencode(path))
    if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != artifact.size_bytes:
        return False
    digest = hashlib.sha256()
    for piece in target.read(os.fsencode(path)):
        digest.update(piece)
    return digest.hexdigest() == artifact.sha256


def _refuse_overwriting(target: UserFolder, folder: str, paths: Sequence[str]) -> None:
    different = [os.path.join(folder, path) for path in paths if target.status(os.fsencode(path)) is not None]
    if different:
        named = ", ".join(f"'{os.path.normpath(path)}'" for path in different[:NAMED])
        more = f" and {len(different) - NAMED:,} more" if len(different) > NAMED else ""
        verb = "is" if len(different) == 1 else "are"
        raise UsageError(
            f"{named}{more} {verb} there already, and different.", hint="Say --force, or -o to write elsewhere."
        )


def _folder_name(view: RunView) -> str:
    return _NOT_IN_FOLDER_NAME.sub("-", view.name).strip(".-") or view.id


def _near(asked: str, known: Iterable[str]) -> str:
    from gitexp.domain.selector import suggest  # only where a name is mistyped

    names = list(known)
    folders = [name[: slash.start()] for name in names for slash in re.finditer("/", name)]
    near = suggest(asked, [*folders, *names])
    return f"Did you mean {', '.join(near)}?" if near else f"It has {', '.join(_some(names))}."


def _some(names: Sequence[str]) -> Iterator[str]:
    yield from names[:NAMED]
    if len(names) > NAMED:
        yield f"and {len(names) - NAMED:,} more"
