"""Files that are whole or absent, whatever dies: temporary name, fsync, then link(2) or rename(2)."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gitexp.errors import StorageFailed

# Not `tmp_`: `git gc --prune=now` removes such files of any age, also the one a writer is about to rename.
TEMPORARY = "gitexp_tmp_"

_ATTEMPTS = 20
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
_HINTS = {
    errno.ENOSPC: "Free some space on that disk and try again.",
    errno.EDQUOT: "Your quota on that disk is used up; free some space and try again.",
    errno.EROFS: "That file system is read-only.",
    errno.EACCES: "Check who owns that folder and its permissions.",
    errno.EPERM: "Check who owns that folder and its permissions.",
}


def write_new(path: str, data: bytes, *, folder: str | None = None, mode: int = 0o666, durable: bool = True) -> bool:
    """Makes the file `path` if nothing is there; exactly one of several racers gets True.

    Args:
        path: the file to make; its folder must exist.
        folder: where the temporary file goes, on the same file system; the folder of `path` by default.
        mode: permissions, as for open(2).
        durable: whether file and name must be on the disk before this returns.

    Raises:
        FileNotFoundError: the folder of `path` is not there (any more).
        StorageFailed: the disk is full, read-only or failing.
    """
    own = os.path.dirname(path)
    temporary = write_temporary(folder or own, data, mode=mode, durable=durable)
    try:
        made = link_new(temporary, path)
    finally:
        remove(temporary)
    if made and durable:
        sync_folder(own)
    return made


def link_new(temporary: str, path: str) -> bool:
    """Gives the finished file `temporary` a second name, `path`; exactly one of several racers gets True.

    Raises:
        FileNotFoundError: the folder of `path` is not there (any more).
        StorageFailed: the disk is full, read-only or failing.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise failure("write", path, error) from error
        return _copy_new(temporary, path)
    return True


def replace(path: str, data: bytes, *, mode: int = 0o666, durable: bool = True) -> None:
    """Puts `data` at `path` in one step, whatever was there.

    Raises:
        StorageFailed: the disk is full, read-only or failing; what was there stays.
    """
    folder = os.path.dirname(path)
    temporary = write_temporary(folder, data, mode=mode, durable=durable)
    with storing(path, temporary):
        os.rename(temporary, path)
    if durable:
        sync_folder(folder)


def write_temporary(folder: str, data: bytes, *, mode: int = 0o666, durable: bool = True) -> str:
    """A new file in `folder` (made if missing) that holds `data`; the caller links or renames it, then removes it."""
    descriptor, path = open_temporary(folder, mode)
    with storing(path, path):
        try:
            write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return path


def open_temporary(folder: str, mode: int = 0o666) -> tuple[int, str]:
    """An open descriptor and the path of a new, empty file in `folder`, which is made if missing."""
    path = f"{folder}/{TEMPORARY}{os.getpid()}_{os.urandom(6).hex()}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with storing(path):
        try:
            descriptor = os.open(path, flags, mode)
        except FileNotFoundError:
            make_folder(folder)
            descriptor = os.open(path, flags, mode)
        shared = os.stat(folder).st_mode
        if shared & stat.S_IWGRP:
            os.fchmod(descriptor, mode & (shared | 0o600))
    return descriptor, path


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """write(2) until everything is written."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def make_folder(path: str) -> None:
    """Makes `path` and what is missing above it, durably; folders that a group shares have folders that it shares."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    with storing(path):
        for attempt in range(_ATTEMPTS):
            make_folder(above)
            try:
                os.mkdir(path)
                shared = os.stat(above).st_mode
                if shared & stat.S_IWGRP:
                    os.chmod(path, shared & 0o7777)
                break
            except FileExistsError:
                break
            except FileNotFoundError:  # git removes folders of refs whenever they are empty
                if attempt == _ATTEMPTS - 1:
                    raise
        sync_folder(above)


def sync_folder(path: str) -> None:
    """Makes the names in a folder durable; one that is gone has none."""
    with storing(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove(path: str) -> None:
    """Removes a file that may be gone already."""
    with suppress(OSError):
        os.unlink(path)


def sweep(folder: str, older_than_s: float) -> int:
    """Removes temporary files, not folders, that dead writers left in a folder. Returns how many went."""
    limit = time.time() - older_than_s
    gone = 0
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                is_ours = entry.name.startswith(TEMPORARY) and not entry.is_dir(follow_symlinks=False)
                if is_ours and entry.stat().st_mtime < limit:
                    os.unlink(entry.path)
                    gone += 1
    return gone


@contextmanager
def storing(path: str, temporary: str | None = None) -> Iterator[None]:
    """Turns a failing write into StorageFailed, and removes `temporary` then."""
    try:
        yield
    except BaseException as error:
        if temporary is not None:
            remove(temporary)
        if isinstance(error, OSError):
            raise failure("write", path, error) from error
        raise


def failure(doing: str, path: str, error: OSError) -> StorageFailed:
    """The error that tells a user what the operating system said."""
    reason = error.strerror or str(error)
    return StorageFailed(f"Could not {doing} {path!r}: {reason}.", hint=_HINTS.get(error.errno or 0, ""))


def _copy_new(temporary: str, path: str) -> bool:
    """For file systems without hard links: still one winner, but one that is killed may leave a torn file."""
    with open(temporary, "rb") as file:
        data = file.read()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    with storing(path, path):
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return True
