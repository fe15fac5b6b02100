"""SHA-256 of files, remembered by how the files looked, so that one that stays as it is is read once.

A cache, one file for each place: `<gitexp dir>/hashes/<place>`, marshal behind a checksum. Damaged, foreign or gone, it
is made anew, and of two writers the last one wins.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import stat
import time
import zlib
from collections.abc import Callable
from contextlib import suppress

from gitexp.errors import StorageFailed
from gitexp.store.git import durable
from gitexp.store.git.tree_cache import trusted
from gitexp.store.git.worktree import NEVER, Signature, signature_of

_MAGIC = b"gitexp hashes\0%d.%d\n" % (1, marshal.version)
_BLOCK = 1 << 20
_TRIES = 3


class Stopped(Exception):
    """Whoever wanted to know does not any more."""


class FileHashes:
    """What is known of the files at one place.

    Args:
        folder: of all places' files.
        place: a file or folder; anything else that is always the same will do.
        is_stopped: asked now and then while a file is read.
    """

    def __init__(self, folder: str, place: str, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self._path = os.path.join(folder, hashlib.sha256(os.fsencode(place)).hexdigest()[:32])
        self._is_stopped = is_stopped
        self._before = _load(self._path)
        self._now: dict[bytes, tuple[Signature, str]] = {}

    def sha256(self, path: str) -> str:
        """Of a file's content, in hex; links are followed.

        Raises:
            OSError: it cannot be read, or is no regular file.
            Stopped
        """
        key = os.fsencode(path)
        for _ in range(_TRIES):
            looked_ns = time.time_ns()
            before = signature_of(os.stat(path))
            known = self._before.get(key)
            if known is not None and known[0] == before:
                self._now[key] = known
                return known[1]
            digest = self._read(path)
            if signature_of(os.stat(path)) == before:
                break
        if trusted(before, looked_ns) is not NEVER:
            self._now[key] = before, digest
        return digest

    def is_known(self, path: str) -> bool:
        """Whether `sha256` needs not read the file. Raises OSError."""
        known = self._before.get(os.fsencode(path))
        return known is not None and known[0] == signature_of(os.stat(path))

    def save(self) -> None:
        """Store what was asked for; where that cannot be, the next one is slower."""
        if self._now == self._before:
            return
        body = marshal.dumps(self._now)
        with suppress(StorageFailed):
            durable.replace(self._path, _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body, durable=False)

    def _read(self, path: str) -> str:
        digest = hashlib.sha256()
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a fifo would wait for its writer
        with open(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(0, "It is not a regular file", path)
            buffer = bytearray(_BLOCK)
            view = memoryview(buffer)
            while count := file.readinto(buffer):
                if self._is_stopped():
                    raise Stopped
                digest.update(view[:count])
        return digest.hexdigest()


def sweep(folder: str, age_s: float) -> None:
    """Forget the places that nothing new has been known of for so long: scripts read files that never come again."""
    limit = time.time() - age_s
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < limit:
                    os.unlink(entry.path)


def _load(path: str) -> dict[bytes, tuple[Signature, str]]:
    with suppress(OSError, ValueError, EOFError, TypeError):
        with open(path, "rb", buffering=0) as file:
            data = file.read()
        body = memoryview(data)[len(_MAGIC) + 4 :]
        if data.startswith(_MAGIC) and zlib.crc32(body) == int.from_bytes(data[len(_MAGIC) :][:4], "little"):
            loaded: dict[bytes, tuple[Signature, str]] = marshal.loads(body)
            return loaded
    return {}
