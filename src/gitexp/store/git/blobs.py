"""From files of a work tree to git blobs: read, converted as git does, or replaced by a pointer where large."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gitexp.domain.pointer import Pointer
from gitexp.store.git.filters import Conversion, FilterFailed, Filters, is_lfs_pointer
from gitexp.store.git.objects import BLOB, MODE_SYMLINK, object_id
from gitexp.store.git.worktree import GONE, NEVER, UNREADABLE, File, Signature, signature_of

if TYPE_CHECKING:
    from gitexp.store.content import ContentStore

_CHUNK = 1 << 20
_MOST_IN_MEMORY = 64 << 20
_ATTEMPTS = 3


class BlobRules(NamedTuple):
    """What decides about contents.

    Attributes:
        root: the work tree, without a `/` at its end.
        max_file: larger files become pointers, unless HEAD has them.
        symlinks: `core.symlinks`; without, links lie in the work tree as files.
        lfs: git-lfs's own store of content.
    """

    root: bytes
    max_file: int
    symlinks: bool
    lfs: str


class Blobs:
    """Finds the blob of each file.

    Args:
        in_head: the id that HEAD's tree has for a path.
        spill: takes blobs that would take too much memory, and stores them for good.

    Attributes:
        fresh: content by id, of the blobs that were made and are neither in HEAD's tree at that path nor spilled.
    """

    def __init__(
        self,
        rules: BlobRules,
        filters: Filters,
        content: ContentStore,
        in_head: Callable[[bytes], bytes | None],
        spill: Callable[[list[tuple[str, bytes]]], object],
    ) -> None:
        self._rules = rules
        self._filters = filters
        self._content = content
        self._in_head = in_head
        self._spill = spill
        self._fresh_size = 0
        self.fresh: dict[bytes, bytes] = {}

    def settle(self, path: bytes, file: File) -> None:
        """Finds the file's `oid`, or the reason why it is not captured."""
        file.pointer = ""
        try:
            if file.mode == MODE_SYMLINK and self._rules.symlinks:
                self._store(path, file, os.readlink(self._full(path)))
            elif file.size > self._rules.max_file:
                self._settle_large(path, file)
            else:
                self._settle_small(path, file)
        except (FileNotFoundError, NotADirectoryError):
            file.reason = GONE
        except FilterFailed:
            file.reason = UNREADABLE
        except OSError as error:
            # ELOOP, EINVAL: a link became a file, or a file a link.
            file.reason = GONE if error.errno in (errno.ELOOP, errno.EINVAL) else UNREADABLE
        if file.reason:
            file.oid, file.signature = None, NEVER

    def _settle_small(self, path: bytes, file: File) -> None:
        conversion = self._filters.conversion(path)
        data = self._read(path, file)
        if conversion.driver is not None and conversion.driver.is_lfs:
            data = self._to_lfs(file, data)
            conversion = Conversion(line_ends=conversion.line_ends, ident=conversion.ident)
        self._store(path, file, self._filters.clean(path, data, conversion))

    def _settle_large(self, path: bytes, file: File) -> None:
        conversion = self._filters.conversion(path)
        driver = conversion.driver
        committed = self._in_head(path) if file.tracked else None
        if file.unchanged is not None and (driver is not None or file.unchanged == committed):
            file.oid = file.unchanged
        elif committed is not None and driver is None and self._blob_id(path, file, conversion) == committed:
            file.oid = committed
        elif driver is None or driver.is_lfs:
            self._add_content(path, file, in_lfs=driver is not None)
        else:
            # What a filter hides, as git-crypt does, must not be stored as it lies in the work tree.
            data = self._filters.clean(path, self._read(path, file), conversion)
            if len(data) > self._rules.max_file:
                self._point_at(path, file, self._content.add_bytes(data))
            else:
                self._store(path, file, data)

    def _blob_id(self, path: bytes, file: File, conversion: Conversion) -> bytes | None:
        if conversion != Conversion():
            return object_id(BLOB, self._filters.clean(path, self._read(path, file), conversion))
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        with open(self._open(path), "rb", buffering=0) as opened:
            left = file.size
            while left > 0 and (chunk := opened.read(_CHUNK)):
                digest.update(chunk)
                left -= len(chunk)
        return digest.digest() if left == 0 else None

    def _add_content(self, path: bytes, file: File, *, in_lfs: bool) -> None:
        if in_lfs:
            with open(self._open(path), "rb", buffering=0) as opened:
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            if self._lfs_has(sha256):
                return self._store(path, file, Pointer(sha256=sha256, size_bytes=file.size).to_bytes())
        full = self._full(path)
        for _ in range(_ATTEMPTS):
            with open(self._open(path), "rb", buffering=0) as opened:
                before = signature_of(os.fstat(opened.fileno()))
            pointer = self._content.add_file(full)
            if signature_of(os.lstat(full)) == before:
                break
        if before != file.signature:
            file.signature = _doubtful(pointer.size_bytes)
        return self._point_at(path, file, pointer)

    def _to_lfs(self, file: File, data: bytes) -> bytes:
        """The pointer that git-lfs's filter makes; the content is kept where git-lfs does not have it yet."""
        if not data or is_lfs_pointer(data):
            return data
        pointer = Pointer(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        if not self._lfs_has(pointer.sha256):
            self._content.add_bytes(data)
            file.pointer = pointer.sha256
        return pointer.to_bytes()

    def _lfs_has(self, sha256: str) -> bool:
        return os.path.isfile(f"{self._rules.lfs}/objects/{sha256[:2]}/{sha256[2:4]}/{sha256}")

    def _point_at(self, path: bytes, file: File, pointer: Pointer) -> None:
        file.pointer = pointer.sha256
        self._store(path, file, pointer.to_bytes())

    def _store(self, path: bytes, file: File, data: bytes) -> None:
        file.oid = object_id(BLOB, data)
        if file.oid in self.fresh or self._in_head(path) == file.oid:
            return
        self.fresh[file.oid] = data
        self._fresh_size += len(data)
        if self._fresh_size > _MOST_IN_MEMORY:
            self._spill([(BLOB, blob) for blob in self.fresh.values()])
            self.fresh = {}
            self._fresh_size = 0

    def _read(self, path: bytes, file: File) -> bytes:
        """The content; where the file is being written, what was there at the last of a few attempts."""
        for _ in range(_ATTEMPTS):
            with open(self._open(path), "rb", buffering=0) as opened:
                before = signature_of(os.fstat(opened.fileno()))
                data = opened.read()
                if signature_of(os.fstat(opened.fileno())) == before and len(data) == before[2]:
                    break
        if before != file.signature:
            file.signature = _doubtful(len(data))
        return data

    def _open(self, path: bytes) -> int:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        descriptor = os.open(self._full(path), flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "it is no file any more", path)
        return descriptor

    def _full(self, path: bytes) -> bytes:
        return b"%s/%s" % (self._rules.root, path)


def _doubtful(size: int) -> Signature:
    """Of a file that changed while it was read: no file looks like that, so the next snapshot reads it again."""
    return (0, 0, size, 0)
