"""Files below a folder of the user's: looked at, written and removed, and never one outside it.

Each part of a path is opened from its folder and no link on the way is followed, so neither a name that others chose
nor a link that lies there leads out. A file is written under another name and then renamed: it is whole or as it was.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from gitexp.domain.keys import is_git_folder
from gitexp.errors import CorruptData, UsageError
from gitexp.store.content import clone
from gitexp.store.git.durable import TEMPORARY, storing, write_all

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_A_FOLDER = {errno.ENOTDIR, errno.ELOOP}

_PIECE = 1 << 20

Write = Callable[[bytes], object]


class UserFolder:
    """One folder; paths in it are bytes with `/` between their parts.

    Args:
        root: where links on the way may lead anywhere: the user named it.
    """

    def __init__(self, root: str | bytes) -> None:
        self._root = os.fsencode(root)

    def status(self, path: bytes) -> os.stat_result | None:
        """What is there, None for nothing; a file or a link in the place of a folder on the way hides what is below."""
        *folders, name = _parts(path)
        try:
            with self._opened(folders) as folder:
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in _NOT_A_FOLDER:
                return None
            raise

    def in_the_way(self, path: bytes) -> bytes | None:
        """The file or link that is where a folder on the way to `path` has to be, if there is one."""
        parts = _parts(path)
        for count in range(1, len(parts)):
            above = b"/".join(parts[:count])
            found = self.status(above)
            if found is None:
                return None
            if not stat.S_ISDIR(found.st_mode):
                return above
        return None

    def read(self, path: bytes) -> Iterator[bytes]:
        """The content of a file, or where a link leads, in pieces."""
        *folders, name = _parts(path)
        with self._opened(folders) as folder:
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                yield os.fsencode(os.readlink(name, dir_fd=folder))
                return
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with open(descriptor, "rb", buffering=0) as file:
            while piece := file.read(1 << 20):
                yield piece

    def files(self, path: bytes) -> Iterator[bytes]:
        """The paths of everything below a folder that is no folder itself."""
        with self._opened(_parts(path)) as folder:
            names = sorted(os.fsencode(name) for name in os.listdir(folder))
        for name in names:
            inner = path + b"/" + name
            found = self.status(inner)
            if found is not None and stat.S_ISDIR(found.st_mode):
                yield from self.files(inner)
            elif found is not None:
                yield inner

    def write(self, path: bytes, make: Callable[[Write], None], *, executable: bool = False) -> None:
        """Put a file there, whatever file or link was there before; folders on the way are made.

        Args:
            make: given a function that adds bytes; what it raises leaves everything as it was.

        Raises:
            UsageError: a file or a link is where a folder has to be, or a folder where the file has to be.
            StorageFailed: the disk is full, read-only or failing.
        """

        def create(name: bytes, folder: int) -> None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o777 if executable else 0o666, dir_fd=folder)
            try:
                make(lambda data: write_all(descriptor, data))
            finally:
                os.close(descriptor)

        self._put(path, create)

    def copy(self, path: bytes, source: BinaryIO, sha256: str) -> None:
        """Put a copy of an open file there, as `write` does; it shares the file's blocks where the file system can.

        Raises:
            CorruptData: its content does not have that SHA-256; everything is as it was.
        """

        def create(name: bytes, folder: int) -> None:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o666, dir_fd=folder)
            try:
                if clone(source.fileno(), descriptor):
                    with open(descriptor, "rb", buffering=0, closefd=False) as made:
                        found = hashlib.file_digest(made, "sha256")
                else:
                    found = hashlib.sha256()
                    while piece := source.read(_PIECE):
                        found.update(piece)
                        write_all(descriptor, piece)
            finally:
                os.close(descriptor)
            if found.hexdigest() != sha256:
                raise CorruptData(f"What '{self._shown(path)}' was to be copied from does not have its content.")

        self._put(path, create)

    def link(self, path: bytes, target: bytes) -> None:
        """Put a symbolic link there, as `write` puts a file."""
        self._put(path, lambda name, folder: os.symlink(target, name, dir_fd=folder))

    def set_executable(self, path: bytes, executable: bool) -> None:
        """Give a file the bits that say whether it can be run, for all who may read it, or take them away."""
        *folders, name = _parts(path)
        with storing(self._shown(path)), self._opened(folders) as folder:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            try:
                mode = os.fstat(descriptor).st_mode & 0o7777
                os.fchmod(descriptor, mode | (mode & 0o444) >> 2 if executable else mode & ~0o111)
            finally:
                os.close(descriptor)

    def remove(self, path: bytes) -> None:
        """Remove a file or a link, and the folders that it leaves empty. Nothing there is fine."""
        *folders, name = _parts(path)
        with storing(self._shown(path)):
            try:
                with self._opened(folders) as folder:
                    os.unlink(name, dir_fd=folder)
            except FileNotFoundError:
                return
        while folders:
            name = folders.pop()
            try:
                with self._opened(folders) as folder:
                    os.rmdir(name, dir_fd=folder)
            except OSError:
                return

    def _put(self, path: bytes, create: Callable[[bytes, int], None]) -> None:
        *folders, name = _parts(path)
        temporary = f"{TEMPORARY}{os.getpid()}_{os.urandom(6).hex()}".encode()
        with self._made(path, folders) as folder:
            try:
                with storing(self._shown(path)):
                    create(temporary, folder)
                    try:
                        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                    except IsADirectoryError:
                        self._remove_empty(name, folder, path)
                        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)

    def _remove_empty(self, name: bytes, folder: int, path: bytes) -> None:
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            raise UsageError(f"'{self._shown(path)}' is a folder.", hint="Move it away, and try again.") from error

    @contextmanager
    def _made(self, path: bytes, folders: list[bytes]) -> Iterator[int]:
        """The folder that `path` is in, opened; made where it is missing."""
        with storing(os.fsdecode(self._root)):
            os.makedirs(self._root, exist_ok=True)
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for count, name in enumerate(folders, 1):
                try:
                    inner = _open_or_make(name, descriptor)
                except OSError as error:
                    if error.errno not in _NOT_A_FOLDER:
                        with storing(self._shown(path)):
                            raise
                    place = self._shown(b"/".join(folders[:count]))
                    raise UsageError(
                        f"'{place}' is a file or a link, where a folder has to be.", hint="Move it away, and try again."
                    ) from error
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _opened(self, folders: list[bytes]) -> Iterator[int]:
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in folders:
                inner = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _shown(self, path: bytes) -> str:
        return os.fsdecode(os.path.join(self._root, path))


def check_name(name: bytes) -> None:
    """Refuse a name in a tree that is no name of a file: nothing sound writes one.

    Raises:
        CorruptData
    """
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or is_git_folder(os.fsdecode(name)):
        raise CorruptData(f"The file name {os.fsdecode(name)!r} is refused: nothing sound has it.")


def _parts(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    for part in parts:
        check_name(part)
    return parts


def _open_or_make(name: bytes, folder: int) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
        return os.open(name, _FOLDER, dir_fd=folder)
