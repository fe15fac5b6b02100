"""Content that arrives from elsewhere in pieces: kept once it is whole and right, gone on with after a cut."""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from gitexp.domain.pointer import Pointer
from gitexp.errors import CorruptData
from gitexp.store.git.durable import make_folder, open_temporary, remove, storing, write_all

if TYPE_CHECKING:
    from gitexp.store.content import ContentStore

_BUFFER = 1 << 20


class Arriving:
    """One file on its way here. `write` its bytes in their order, then `finish`.

    What has arrived stays in `tmp` when the transfer is cut, and the next one for the same content goes on behind it.
    Of two processes that receive one file, the second begins anew in a file of its own.

    Attributes:
        received: how many bytes are here; where to go on.
    """

    def __init__(self, store: ContentStore, pointer: Pointer, temporary: str) -> None:
        self._store = store
        self._pointer = pointer
        self._folder = temporary
        self._path = os.path.join(temporary, f"{pointer.sha256}.part")
        self._is_kept = True
        self._fd = -1
        self._digest = hashlib.sha256()
        self.received = 0

    def __enter__(self) -> Arriving:
        make_folder(self._folder)
        with storing(self._path):
            while not self._open():
                pass
        if os.fstat(self._fd).st_size > self._pointer.size_bytes:
            os.ftruncate(self._fd, 0)
        while piece := os.read(self._fd, _BUFFER):
            self._digest.update(piece)
            self.received += len(piece)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_kept:
            remove(self._path)
        os.close(self._fd)

    def _open(self) -> bool:
        """Open the file for us alone; False: whoever had it has finished in between, and it is content by now."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            self._is_kept = False
            self._fd, self._path = open_temporary(self._folder)
            return True
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._fd), os.stat(self._path)):
                return True
        os.close(self._fd)
        return False

    def write(self, data: bytes | memoryview) -> None:
        """Add the next bytes.

        Raises:
            CorruptData: there are more than the pointer says.
            StorageFailed: the disk is full, read-only or failing.
        """
        if self.received + len(data) > self._pointer.size_bytes:
            self.restart()
            raise self._wrong(f"is larger than the {self._pointer.size_bytes:,} bytes it should have")
        with storing(self._path):
            write_all(self._fd, data)
        self._digest.update(data)
        self.received += len(data)

    def restart(self) -> None:
        """Forget what has arrived."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._digest = hashlib.sha256()
        self.received = 0

    def finish(self) -> None:
        """Keep the content.

        Raises:
            CorruptData: it is not what the pointer says; nothing of it stays.
        """
        if self.received != self._pointer.size_bytes or self._digest.hexdigest() != self._pointer.sha256:
            found = self.received
            self.restart()
            raise self._wrong(
                "has another SHA-256"
                if found == self._pointer.size_bytes
                else f"has {found:,} bytes instead of {self._pointer.size_bytes:,}"
            )
        with storing(self._path):
            self._store.keep(self._fd, self._path, self._pointer)
        self._is_kept = False

    def _wrong(self, what: str) -> CorruptData:
        return CorruptData(
            f"What arrived as the content {self._pointer.sha256[:12]} {what}; it is not kept.",
            hint="Whoever made the run can push it again.",
        )
