"""Linked worktrees of our own: made as `git worktree add --detach` makes them, and gone when whoever made them is.

`<git dir>/gitexp/worktrees/<id>.lock` holds the path of a worktree's home and is locked by its maker (and by a program
that was started in it); it is there before anything else of the worktree, and goes last. The home is a temporary
folder that nobody else may enter. It holds the worktree, and `owner`: the git directory it belongs to, so that a copy
of a repository, whose locks nobody holds, does not take away what is not its own.

git's side is `<git dir>/worktrees/<id>/`, see gitrepository-layout(5).
"""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from gitexp.store.git.durable import TEMPORARY, make_folder, replace, storing
from gitexp.store.git.repository import GitRepository

_LOCK = ".lock"
_OWNER = "owner"
_PREFIX = "gitexp-"
_MOST_FDS, _RESERVED_FDS = 1024, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A worktree that this process holds.

    Attributes:
        folder: its top. admin: git's folder for it.
        home: what holds nothing but the worktree.
        lock: the path of the file that is locked.
        lock_fds: the descriptors that hold it; programs inherit the last.
    """

    folder: str
    admin: str
    home: str
    lock: str
    lock_fds: tuple[int, ...]

    def remove(self) -> None:
        """Remove all of it. What cannot be removed now stays for `sweep`."""
        _remove(self.home, self.admin, self.lock)
        for fd in self.lock_fds:
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)  # for a program that was left behind too
                os.close(fd)


def make(repository: GitRepository, commit: str | None) -> Linked:
    """An empty worktree with HEAD at `commit`; on a branch that is not born yet where that is None.

    Raises:
        StorageFailed: the disk is full, read-only or failing.
    """
    identity = _PREFIX + os.urandom(5).hex()
    folder = _folder(repository)
    home = os.path.join(os.path.realpath(tempfile.gettempdir()), identity)
    lock = os.path.join(folder, identity + _LOCK)
    made = Linked(
        folder=os.path.join(home, _name(repository)),
        admin=os.path.join(repository.common_dir, "worktrees", identity),
        home=home,
        lock=lock,
        lock_fds=_make_lock(_temporary(repository), lock, home),
    )
    try:
        with storing(home):
            os.mkdir(home, 0o700)
            _write(os.path.join(home, _OWNER), f"{repository.common_dir}\n")
            os.mkdir(made.folder)
            _write(os.path.join(made.folder, ".git"), f"gitdir: {made.admin}\n")
        _make_admin(repository, made, commit or f"ref: refs/heads/{_unborn_branch(repository, identity)}")
    except BaseException:
        made.remove()
        raise
    return made


def sweep(repository: GitRepository) -> list[str]:
    """Remove the worktrees whose makers are gone; gives their paths."""
    gone = []
    for lock, fd in _abandoned(_folder(repository)):
        home = _read(lock)
        identity = os.path.basename(lock).removesuffix(_LOCK)
        admin = os.path.join(repository.common_dir, "worktrees", identity)
        try:
            is_ours = os.path.basename(home) == identity and _read(os.path.join(home, _OWNER)) == repository.common_dir
            if not is_ours and home and os.path.basename(home) == identity:
                with suppress(OSError):
                    os.rmdir(home)  # its maker died before it could write whose it is
            _remove(home if is_ours else None, admin, lock)
            if is_ours:
                gone.append(home)
        finally:
            os.close(fd)
    return gone


def _folder(repository: GitRepository) -> str:
    return os.path.join(repository.gitexp_dir, "worktrees")


def _name(repository: GitRepository) -> str:
    """That of the user's own folder: programs that name what they write after it go on to do so."""
    top = repository.work_tree
    if top is None or repository.git_dir != repository.common_dir:
        top = repository.common_dir.removesuffix("/.git").removesuffix(".git")
    name = os.path.basename(top.rstrip("/"))
    return name if name not in ("", ".", "..", ".git", _OWNER) else "project"


def _temporary(repository: GitRepository) -> str:
    """Where `gitexp gc` finds what a maker that died had begun."""
    return os.path.join(repository.gitexp_dir, "tmp")


def _unborn_branch(repository: GitRepository, otherwise: str) -> str:
    """That of the user, where it is not born either: it is what a run there says it was recorded on."""
    head = repository.head()
    return head.branch if head.commit is None and head.branch else otherwise


def _make_lock(temporary: str, lock: str, home: str) -> tuple[int, int]:
    """Two descriptors of the same lock: of the second, which programs inherit, the number is out of their way."""
    make_folder(temporary)
    make_folder(os.path.dirname(lock))
    making = os.path.join(temporary, os.path.basename(lock) + ".part")
    with storing(lock, making):
        fd = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(fd, os.fsencode(home) + b"\n")
            os.rename(making, lock)
            highest = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MOST_FDS)
            inherited = fcntl.fcntl(fd, fcntl.F_DUPFD, max(highest - _RESERVED_FDS, 3))
        except BaseException:
            os.close(fd)
            raise
    return fd, inherited


def _make_admin(repository: GitRepository, made: Linked, head: str) -> None:
    """The folder appears whole: `git worktree prune`, which may run at any time, removes others."""
    make_folder(os.path.dirname(made.admin))
    building = os.path.join(_temporary(repository), TEMPORARY + os.path.basename(made.admin))
    with storing(made.admin):
        os.mkdir(building)
        try:
            _write(os.path.join(building, "HEAD"), f"{head}\n")
            _write(os.path.join(building, "commondir"), "../..\n")
            _write(os.path.join(building, "gitdir"), os.path.join(made.folder, ".git") + "\n")
            os.rename(building, made.admin)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise


def _abandoned(folder: str) -> Iterator[tuple[str, int]]:
    """The locks that nobody holds, each held by us now."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_LOCK))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # gone meanwhile, or another user's
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(fd), os.stat(path))
        except OSError:
            is_there = False
        if is_there:
            yield path, fd
        else:
            os.close(fd)


def _remove(home: str | None, admin: str, lock: str) -> None:
    """In an order in which what is left, if this dies, is found again: the lock is last."""
    if home is not None:
        _remove_folder(home)
        if os.path.lexists(home):
            return
    shutil.rmtree(admin, ignore_errors=True)
    seen = os.path.join(os.path.dirname(os.path.dirname(lock)), "trees", f"linked-{os.path.basename(admin)}")
    with suppress(OSError):
        os.unlink(seen)  # what a snapshot remembers of it
    with suppress(OSError):
        os.rmdir(os.path.dirname(admin))  # git has this folder only while there are linked worktrees
    if not os.path.lexists(admin):
        with suppress(OSError):
            os.unlink(lock)
            os.rmdir(os.path.dirname(lock))


def _remove_folder(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.lexists(folder):
        return
    for path, _, _ in os.walk(folder):  # folders that a program made read-only
        with suppress(OSError):
            os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _write(path: str, text: str) -> None:
    with open(path, "x", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def write_index(made: Linked, data: bytes) -> None:
    """Raises StorageFailed."""
    replace(os.path.join(made.admin, "index"), data, durable=False)
