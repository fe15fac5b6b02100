"""Content on its way to somewhere: read in pieces, counted, and checked before its last piece is let go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from gitexp.domain.pointer import Pointer
from gitexp.errors import CorruptData
from gitexp.store.artifacts.store import OnBytes

PIECE = 1 << 20


class Outgoing:
    """A file that is sent; see `ArtifactStore`.

    Not every place checks what it gets, so the last piece of a file that is damaged here is never sent: the transfer
    breaks instead.

    Args:
        file: at any position; it stays the caller's.
    """

    def __init__(self, file: BinaryIO, pointer: Pointer, on_bytes: OnBytes) -> None:
        self._file = file
        self._pointer = pointer
        self._on_bytes = on_bytes
        self._digest = hashlib.sha256()
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="gitexp-hash")
        self._hashed: Future[None] | None = None
        self._read = 0

    def from_the_start(self) -> Outgoing:
        """Itself, to be read anew."""
        self.take_back()
        self._file.seek(0)
        self._settle()
        self._digest = hashlib.sha256()
        return self

    def take_back(self) -> None:
        """What was read does not count."""
        counted, self._read = self._read, 0
        if counted:
            self._on_bytes(-counted)

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 (http.client asks for a few kB each time)
        """The next piece, of a size of our own; nothing at the end.

        Raises:
            CorruptData: the content is not what its pointer says.
        """
        data = self._file.read(PIECE)
        self._read += len(data)
        is_last = self._read >= self._pointer.size_bytes
        self._settle()
        if is_last:
            self._digest.update(data)
        else:  # beside the sending of this piece
            self._hashed = self._hasher.submit(self._digest.update, data)
        if is_last and self._digest.hexdigest() != self._pointer.sha256:
            self._read -= len(data)
            raise CorruptData(
                f"The content {self._pointer.sha256[:12]} on this machine is damaged, and is not sent.",
                hint="Run 'gitexp fsck'.",
            )
        if data:
            self._on_bytes(len(data))
        return data

    def _settle(self) -> None:
        """Wait for the piece before."""
        if self._hashed is not None:
            self._hashed.result()

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data
