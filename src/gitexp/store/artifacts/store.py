"""The contract of every place that keeps content for others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from gitexp.domain.pointer import Pointer
from gitexp.errors import RemoteFailed
from gitexp.store.content import ContentStore

OnBytes = Callable[[int], None]
"""Called with a number of bytes that were sent or received, from any thread; with a negative one for those that have
to travel again."""


class ObjectRefused(RemoteFailed):
    """One object is not taken or given; others may be."""


class ArtifactStore(Protocol):
    """Content by its SHA-256.

    Promises: content that was uploaded can be downloaded by whoever may read there; nothing is read whole into memory;
    a transfer that was cut goes on where it stopped, as far as the place allows, when it is asked for again; what
    arrives with another SHA-256 or size than its pointer says is not kept, and what is damaged here is not sent; what
    is wrong with one object keeps no other from travelling; Ctrl-C ends all of them within a second or two.

    Raises (all methods):
        RemoteFailed: it cannot be reached, refuses us, or the connection broke.
    """

    @property
    def name(self) -> str:
        """What people call it: `s3://bucket/runs`, `Git LFS of origin`, `origin itself`."""
        ...

    def lacking(self, pointers: Collection[Pointer]) -> set[Pointer]:
        """Those whose content is not there, as far as it can be told without transferring it."""
        ...

    def upload(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        """Bring content there, several at once; what is there already is not sent again.

        Raises:
            NotFound: the content is not on this machine.
            CorruptData: the content on this machine is damaged.
        """
        ...

    def download(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        """Bring content here, several at once, each kept once it is whole and right.

        Raises:
            NotFound: it is not there; what else was asked for is here nevertheless.
            CorruptData: it has another SHA-256 or size.
        """
        ...
