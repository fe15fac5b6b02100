"""Artifacts in a folder, as on a disk that several machines share."""

from __future__ import annotations

import os
from collections.abc import Collection

from gitexp.domain.pointer import Pointer
from gitexp.errors import NotFound, RemoteFailed, StorageFailed
from gitexp.store.arriving import Arriving
from gitexp.store.artifacts.outgoing import PIECE, Outgoing
from gitexp.store.artifacts.sidebyside import side_by_side
from gitexp.store.artifacts.store import OnBytes
from gitexp.store.content import ContentStore

AT_ONCE = 4


class FolderStore:
    """See `ArtifactStore`. Content lies at `<folder>/<aa>/<bb>/<sha256>`, what is on its way in `<folder>/tmp`.

    Args:
        folder: an absolute path. The folder above it must be there: a disk that is not mounted is no place.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._there = ContentStore(folder)

    @property
    def name(self) -> str:
        return self._folder

    def lacking(self, pointers: Collection[Pointer]) -> set[Pointer]:
        above = os.path.dirname(self._folder)
        if not os.path.isdir(above):
            raise RemoteFailed(f"There is no folder '{above}' for artifacts.", hint="Is the disk mounted?")
        return {pointer for pointer in pointers if not self._there.contains(pointer)}

    def upload(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        def send(pointer: Pointer, tell: OnBytes) -> None:
            temporary = os.path.join(self._folder, "tmp")
            with content.open(pointer) as file, Arriving(self._there, pointer, temporary) as arriving:
                position = 0
                for piece in Outgoing(file, pointer, tell):  # what an earlier try brought is read too, to check it
                    position += len(piece)
                    new = min(position - arriving.received, len(piece))
                    if new > 0:
                        arriving.write(memoryview(piece)[-new:])
                arriving.finish()

        side_by_side(send, self.lacking(pointers), on_bytes, at_once=AT_ONCE)

    def download(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        if not os.path.isdir(self._folder):
            raise RemoteFailed(f"There is no folder '{self._folder}' with artifacts.", hint="Is the disk mounted?")

        def receive(pointer: Pointer, tell: OnBytes) -> None:
            with self._there.open(pointer) as file, content.arriving(pointer) as arriving:
                tell(file.seek(arriving.received))
                try:
                    while piece := file.read(PIECE):
                        arriving.write(piece)
                        tell(len(piece))
                except OSError as error:
                    raise StorageFailed(f"'{file.name}' cannot be read: {error.strerror}.") from error
                arriving.finish()

        there = [pointer for pointer in pointers if self._there.contains(pointer)]
        side_by_side(receive, there, on_bytes, at_once=AT_ONCE)
        if len(there) < len(pointers):
            raise NotFound(f"{len(pointers) - len(there)} artifacts are not in '{self._folder}'.")
