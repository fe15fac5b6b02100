"""The object store: content behind pointers, once each by its SHA-256 (docs/format.md, 2)."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple

from gitexp.domain.pointer import Pointer
from gitexp.errors import CorruptData, NotFound, StorageFailed, UsageError
from gitexp.store.arriving import Arriving
from gitexp.store.git.durable import make_folder, open_temporary, remove, storing, sync_folder, write_all

_ATTEMPTS = 20
_BUFFER = 1 << 20
_PIECE = 32 << 20
_can_forget = hasattr(os, "posix_fadvise")
_FICLONE = 0x40049409
"""Of Linux; elsewhere an ioctl that no file knows."""
_HEX = frozenset("0123456789abcdef")


class StoredContent(NamedTuple):
    """One object: its SHA-256, its size, and when it was stored (seconds since 1970, UTC)."""

    sha256: str
    size_bytes: int
    mtime: float


class ContentStore:
    """Files by their SHA-256, read-only, each written whole or not at all.

    Args:
        folder: `<gitexp dir>/objects`; unfinished writes lie in `tmp` beside it.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._temporary = os.path.join(os.path.dirname(folder), "tmp")

    def add_file(self, path: str | bytes | os.PathLike[str]) -> Pointer:
        """Store a copy of a file, hashed while it is copied, in constant memory.

        Raises:
            UsageError: it is no regular file.
            StorageFailed: it cannot be read, or the copy cannot be written.
        """
        source = _open_regular(path)
        try:
            with self._unfinished() as (fd, temporary):
                pointer = _hash(fd, None) if clone(source, fd) else _hash(source, fd)
                self.keep(fd, temporary, pointer)
                return pointer
        finally:
            os.close(source)

    def add_bytes(self, data: bytes) -> Pointer:
        """Store `data`.

        Raises:
            StorageFailed: it cannot be written.
        """
        pointer = Pointer(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        if not self._is_kept(pointer):
            with self._unfinished() as (fd, temporary):
                write_all(fd, data)
                self.keep(fd, temporary, pointer)
        return pointer

    def arriving(self, pointer: Pointer) -> Arriving:
        """A way to store content that comes in pieces; to be entered."""
        return Arriving(self, pointer, self._temporary)

    def keep(self, fd: int, temporary: str, pointer: Pointer) -> None:
        """Make a file of `tmp`, open as `fd` and known to be what `pointer` says, durable under its name."""
        if self._is_kept(pointer):
            return
        path = self._path(pointer.sha256)
        folder = os.path.dirname(path)
        os.fchmod(fd, os.fstat(fd).st_mode & 0o444)
        os.fsync(fd)
        for attempt in range(_ATTEMPTS):
            make_folder(folder)
            try:
                os.replace(temporary, path)
                break
            except FileNotFoundError:  # the folder was empty and somebody has just removed it
                if attempt == _ATTEMPTS - 1:
                    raise
        sync_folder(folder)

    def open(self, pointer: Pointer) -> BinaryIO:
        """The content behind `pointer`, for reading.

        Raises:
            NotFound: it is not stored here.
            CorruptData: what is stored has another size.
        """
        try:
            file = open(self._path(pointer.sha256), "rb")  # noqa: SIM115 (the caller's)
        except FileNotFoundError as error:
            raise NotFound(f"The content {pointer.sha256[:12]} is not on this machine.") from error
        size = os.fstat(file.fileno()).st_size
        if size != pointer.size_bytes:
            file.close()
            raise CorruptData(
                f"The content {pointer.sha256[:12]} is {size:,} bytes, not {pointer.size_bytes:,}.",
                hint="Run 'gitexp fsck'.",
            )
        return file

    def contains(self, content: Pointer | str) -> bool:
        """Whether the content of a pointer, or of a SHA-256, is stored; of a pointer with its size."""
        if isinstance(content, Pointer):
            return self._has(content)
        return os.path.isfile(self._path(content))

    def find(self, sha256: str) -> Pointer | None:
        """The pointer to what is stored under `sha256`; None where nothing is."""
        try:
            return Pointer(sha256=sha256, size_bytes=os.stat(self._path(sha256)).st_size)
        except FileNotFoundError:
            return None

    def verify(self, sha256: str) -> bool:
        """Whether what is stored under `sha256` is that content. Raises NotFound where nothing is."""
        try:
            with open(self._path(sha256), "rb", buffering=0) as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError as error:
            raise NotFound(f"The content {sha256[:12]} is not on this machine.") from error

    def list(self) -> Iterator[StoredContent]:
        """Everything stored, in the order of the SHA-256."""
        for first in _names(self.folder, 2):
            for second in _names(os.path.join(self.folder, first), 2):
                folder = os.path.join(self.folder, first, second)
                for name in _names(folder, 64):
                    try:
                        found = os.stat(os.path.join(folder, name))
                    except FileNotFoundError:
                        continue
                    yield StoredContent(name, found.st_size, found.st_mtime)

    def remove(self, sha256: str) -> None:
        """Remove what is stored under `sha256`, and the folders it leaves empty. Nothing there is fine."""
        path = self._path(sha256)
        with suppress(FileNotFoundError):
            os.unlink(path)
        with suppress(OSError):  # not empty
            os.rmdir(os.path.dirname(path))
            os.rmdir(os.path.dirname(os.path.dirname(path)))

    def _path(self, sha256: str) -> str:
        if len(sha256) != 64 or not _HEX.issuperset(sha256):
            raise UsageError(f"{sha256!r} is not a SHA-256.")
        return os.path.join(self.folder, sha256[:2], sha256[2:4], sha256)

    def _has(self, pointer: Pointer) -> bool:
        """A copy of another size was damaged, and is written again."""
        try:
            return os.stat(self._path(pointer.sha256)).st_size == pointer.size_bytes
        except FileNotFoundError:
            return False

    def _is_kept(self, pointer: Pointer) -> bool:
        """Whether it is stored already; then it counts as stored now, so that `gc` leaves it for a while."""
        if not self._has(pointer):
            return False
        try:
            os.utime(self._path(pointer.sha256))
        except FileNotFoundError:
            return False
        except OSError:  # somebody else's file, or read-only
            pass
        return True

    @contextmanager
    def _unfinished(self) -> Iterator[tuple[int, str]]:
        """A temporary file (descriptor, path) that is gone in the end unless it was kept."""
        fd, path = open_temporary(self._temporary)
        try:
            with storing(path):
                yield fd, path
        finally:
            os.close(fd)
            remove(path)


def _open_regular(path: str | bytes | os.PathLike[str]) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a fifo would wait for its writer
    except OSError as error:
        raise StorageFailed(f"'{os.fsdecode(path)}' cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError(f"'{os.fsdecode(path)}' is not a regular file.")
    return fd


def clone(source: int, target: int) -> bool:
    """Share the blocks of an open file with another, where the file system can (Btrfs, XFS); False where it cannot."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _hash(source: int, target: int | None) -> Pointer:
    """The pointer to what `source` holds, copied to `target` on the way: of a file that changes, to what was copied."""
    digest = hashlib.sha256()
    size = 0
    buffer = bytearray(min(os.fstat(source).st_size + 1, _BUFFER))
    view = memoryview(buffer)
    while count := os.readv(source, [buffer]):
        digest.update(view[:count])
        if target is not None:
            write_all(target, view[:count])
            _let_go(target, size, size + count)
        size += count
    return Pointer(sha256=digest.hexdigest(), size_bytes=size)


def _let_go(fd: int, before: int, now: int) -> None:
    """Write back what has been written and forget it, a piece at a time.

    So a large file does not push the training's data out of memory, and takes a third of the time where fresh memory is
    dear, as in virtual machines.
    """
    piece = now // _PIECE * _PIECE
    if piece > before and _can_forget:
        os.fdatasync(fd)
        os.posix_fadvise(fd, piece - _PIECE, _PIECE, os.POSIX_FADV_DONTNEED)


def _names(folder: str, length: int) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if len(name) == length and _HEX.issuperset(name))
    except (FileNotFoundError, NotADirectoryError):
        return []
