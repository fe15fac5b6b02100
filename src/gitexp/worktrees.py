"""Some state of the code in a folder of its own: a linked worktree that is gone when it is not needed any more.

git knows it while it is there, so what is started in it finds its repository, and runs are recorded as anywhere else.
The user's own work tree, index and branches are not touched.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

from gitexp.domain.pointer import Pointer
from gitexp.repo import Repository
from gitexp.sharing.anywhere import fetch_anywhere
from gitexp.sharing.exchange import Listener
from gitexp.store.git import linked
from gitexp.store.git.checkout import Checkout
from gitexp.store.git.config import read_file
from gitexp.store.git.index_writing import Entry, encode_index, tree_files
from gitexp.store.git.linked import Linked
from gitexp.store.git.objects import MODE_EXECUTABLE, MODE_GITLINK, MODE_SYMLINK, decode_commit
from gitexp.store.git.repository import GitRepository, discover
from gitexp.store.git.submodules import MODULES, find_submodule
from gitexp.store.userfolder import UserFolder, Write

PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")
"""Variables that lead git to another place than the folder it is started in."""

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def worktree(
    repository: Repository,
    *,
    commit: str | None,
    tree: str,
    pointers: Mapping[str, Pointer] | None = None,
    on_trouble: Callable[[str], None] | None = None,
    listener: Listener | None = None,
    engine: str = "auto",
) -> Iterator[str]:
    """A linked worktree in a new temporary folder; it goes at the end, and the next command removes one that was left.

    In the main thread SIGTERM and SIGHUP end the block as Ctrl-C does: the worktree goes, then the process.

    Args:
        commit: what HEAD is at, and the index; None, or one that is not here: a branch without commits.
        tree: hex id of the tree whose files are written.
        pointers: which of them are pointers to content beside git, by path; it is fetched where it is not here.
        on_trouble: told of what could not be written as it was: files that need a program, Git LFS's, submodules.

    Raises:
        NotFound, RemoteFailed: content is not here and cannot be fetched.
        StorageFailed: the disk is full, read-only or failing.
    """
    pointers = pointers or {}
    linked.sweep(repository.git)
    fetch_anywhere(repository, list(dict.fromkeys(pointers.values())), listener, engine=engine)
    if commit is not None and not repository.objects.contains(bytes.fromhex(commit)):
        commit = None
    with _ended_by_signals() as ending:
        made = linked.make(repository.git, commit)
        try:
            for trouble in _fill(repository, made, commit, tree, pointers):
                (on_trouble or _ignore)(trouble)
            yield made.folder
        finally:
            ending.wait_for_end()
            made.remove()


def environ_inside(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for what works in a worktree: without those that lead git elsewhere."""
    return {name: value for name, value in environ.items() if name not in PLACES}


def _fill(
    repository: Repository, made: Linked, commit: str | None, tree: str, pointers: Mapping[str, Pointer]
) -> list[str]:
    """Write files and index; gives what is to be said of them."""
    inside = discover(made.folder, environ_inside(repository.git.environ))
    checkout = Checkout(inside, repository.objects, repository.content)
    folder = UserFolder(made.folder)
    links = inside.config_flag("core", "symlinks", default=True)
    files = dict(tree_files(repository.objects, bytes.fromhex(tree)))
    submodules = []
    # The rules for how a file is converted have to be there before it.
    for path in sorted(files, key=lambda path: (path.rpartition(b"/")[2] != b".gitattributes", path)):
        mode, oid = files[path]
        if mode == MODE_GITLINK:
            submodules.append(path)
            os.makedirs(os.path.join(os.fsencode(made.folder), path), exist_ok=True)
        elif mode == MODE_SYMLINK and links:
            folder.link(path, repository.objects.read(oid)[1])
        else:
            pieces = checkout.pieces(path, oid, pointers.get(os.fsdecode(path)))
            folder.write(path, _writing(pieces), executable=mode == MODE_EXECUTABLE)
    linked.write_index(made, _index(repository, commit, files, folder))
    empty = [path for path in submodules if not _fill_submodule(repository.git, made.folder, b"", path, files[path][1])]
    told = [
        ("Submodules are empty, as their commits are not here", map(os.fsdecode, empty)),
        ("Written as git stores them, because what converts them did not work", map(os.fsdecode, checkout.unconverted)),
        ("Pointers of Git LFS, whose content is not here", map(os.fsdecode, checkout.pointers)),
    ]
    return [f"{what}: {', '.join(named)}." for what, paths in told if (named := [f"'{path}'" for path in paths])]


def _fill_submodule(git: GitRepository, top: str, prefix: bytes, path: bytes, commit: bytes) -> bool:
    """Write a submodule's files, and those of the submodules in it; whether all of them are here.

    Args:
        git: the repository it is in. prefix: where that is below `top`, ending in `/` or empty.
    """
    listed = read_file(os.path.join(top, os.fsdecode(prefix + MODULES)))
    found = find_submodule(git, path, commit, listed)
    if found is None:
        return False
    inner, objects = found
    folder = UserFolder(top)
    nested = []
    root = decode_commit(objects.read(commit)[1]).tree
    for name, (mode, oid) in tree_files(objects, bytes.fromhex(root)):
        place = prefix + path + b"/" + name
        if mode == MODE_GITLINK:
            nested.append((name, oid))
        elif mode == MODE_SYMLINK:
            folder.link(place, objects.read(oid)[1])
        else:
            folder.write(place, _writing(iter((objects.read(oid)[1],))), executable=mode == MODE_EXECUTABLE)
    lacking = [name for name, oid in nested if not _fill_submodule(inner, top, prefix + path + b"/", name, oid)]
    return not lacking


def _index(repository: Repository, commit: str | None, files: Mapping[bytes, Entry], folder: UserFolder) -> bytes:
    if commit is None:
        return encode_index({}, {})
    root = decode_commit(repository.objects.read(bytes.fromhex(commit))[1]).tree
    entries = dict(tree_files(repository.objects, bytes.fromhex(root)))
    # Which commit of a submodule counts is not to be seen in its files, as it is no repository here.
    modules = {path: entry for path, entry in files.items() if entry[0] == MODE_GITLINK}
    entries.update({path: entry for path, entry in modules.items() if entries.get(path, entry)[0] == MODE_GITLINK})
    states = {}
    for path, entry in entries.items():
        if files.get(path) == entry and entry[0] != MODE_GITLINK:
            found = folder.status(path)
            if found is not None and not stat.S_ISDIR(found.st_mode):
                states[path] = found
    return encode_index(entries, states)


def _writing(pieces: Iterator[bytes]) -> Callable[[Write], None]:
    def write(add: Write) -> None:
        for piece in pieces:
            add(piece)

    return write


def _ignore(_trouble: str) -> None:
    """Where nobody wants to hear of it."""


class _Ended(BaseException):
    """A signal that ends processes has come."""


class _Ending:
    """Attributes:
    by: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.by: int | None = None
        self._is_ending = False

    def wait_for_end(self) -> None:
        """From now on a signal is only noted, so that what is removed is removed whole."""
        self._is_ending = True

    def note(self, number: int, _frame: FrameType | None) -> None:
        self.by = number
        if not self._is_ending:
            self._is_ending = True
            raise _Ended


@contextmanager
def _ended_by_signals() -> Iterator[_Ending]:
    """Within, what would end this process raises `_Ended`; at the end the process dies of it after all."""
    ending = _Ending()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    ours = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, ending.note)
        with suppress(_Ended):
            yield ending
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
    if ending.by is not None:
        os.kill(os.getpid(), ending.by)
