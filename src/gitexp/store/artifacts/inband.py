"""Artifacts in the git remote itself, where it has no other place for them (docs/format.md, 1.11).

Content is cut into parts of 256 MiB, and each part into at least a hundred blobs of at most 2 MiB: a commit of its own
under `refs/gitexp/data/<sha256>/<number>`. A hundred, because git keeps a pack that is pushed with so many objects as
it is; fewer it stores one by one, and tries for long to compress them against each other whenever they are fetched.

A part is pushed whole or not at all, so a transfer that was cut goes on with the next one. The local repository never
has these objects: they are read from the object store while they are sent, and come into a folder that is removed once
the content is out of them.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gitexp.domain.identity import REFS
from gitexp.domain.pointer import Pointer
from gitexp.errors import CorruptData, NotFound, RemoteFailed
from gitexp.store.arriving import Arriving
from gitexp.store.artifacts.sidebyside import side_by_side
from gitexp.store.content import ContentStore
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import (
    BLOB,
    COMMIT,
    MODE_FILE,
    TREE,
    TreeEntry,
    decode_commit,
    decode_tree,
    encode_commit,
    encode_tree,
    object_id,
)
from gitexp.store.git.transport import Made, OnBytes, PushPlan, Transport

PART = 256 << 20
LARGEST_CHUNK, SMALLEST_CHUNK = 2 << 20, 64 << 10
CHUNKS_A_PART = 100
PARTS_A_PUSH = 50
"""A push of more refs costs some hosts too much."""

FORGET_EVERY = 16 << 20
"""A pack that is read stays mapped, and would fill the memory with what has been read."""

OVERHEAD = 1 << 20
"""What a part's commit, tree and packing can take besides its content, with a sixteenth of that."""

AT_ONCE = 3
ASK_SINGLY = 50
"""Up to so many artifacts are asked for by name; more, and all names are listed."""

_AUTHOR = "gitexp <gitexp@localhost>"


@dataclass(frozen=True, slots=True)
class _Part:
    """The n-th 256 MiB of some content."""

    pointer: Pointer
    number: int

    @property
    def size_bytes(self) -> int:
        return min(PART, self.pointer.size_bytes - self.number * PART)

    @property
    def chunk_bytes(self) -> int:
        return min(max(-(-self.size_bytes // CHUNKS_A_PART), SMALLEST_CHUNK), LARGEST_CHUNK)


class InBandStore:
    """See `ArtifactStore`.

    Args:
        open_transport: opens a connection of its own for pushing (True) or fetching (False).
        prefix: below which the remote keeps what is here below `refs/gitexp/`.
        scratch: a folder for what is on its way.
    """

    def __init__(self, open_transport: Callable[[bool], Transport], prefix: str, scratch: str, name: str) -> None:
        self._open = open_transport
        self._prefix = f"{prefix}data/"
        self._scratch = scratch
        self._remote = name

    @property
    def name(self) -> str:
        return f"{self._remote} itself"

    def lacking(self, pointers: Collection[Pointer]) -> set[Pointer]:
        there = self._refs(pointers)
        return {pointer for pointer in pointers if any(self._ref(part) not in there for part in _parts(pointer))}

    def upload(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        there = self._refs(pointers)
        wanted = [part for p in _in_order(pointers) for part in _parts(p) if self._ref(part) not in there]

        def push(batch: list[_Part], tell: OnBytes) -> None:
            self._push(batch, content, tell)

        side_by_side(push, _batches(wanted), on_bytes, at_once=AT_ONCE)

    def download(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        there = self._refs(pointers)
        found = [p for p in _in_order(pointers) if all(self._ref(part) in there for part in _parts(p))]

        def fetch(pointer: Pointer, tell: OnBytes) -> None:
            self._fetch(pointer, there, content, tell)

        side_by_side(fetch, found, on_bytes, at_once=AT_ONCE)
        if len(found) < len(pointers):
            raise NotFound(f"{len(pointers) - len(found)} artifacts are not at {self._remote}.")

    def _refs(self, pointers: Collection[Pointer]) -> dict[str, str]:
        singly = [f"{self._prefix}{pointer.sha256}/" for pointer in pointers]
        return self._open(False).refs(singly if len(singly) <= ASK_SINGLY else [self._prefix])

    def _ref(self, part: _Part) -> str:
        return f"{self._prefix}{part.pointer.sha256}/{part.number}"

    def _push(self, batch: list[_Part], content: ContentStore, on_bytes: OnBytes) -> None:
        made: dict[bytes, Made] = {}
        tips: dict[str, str] = {}
        for part in batch:
            tips[self._ref(part)] = _make_part(part, content, made).hex()

        def plan(refs: dict[str, str]) -> PushPlan | None:
            new = {name: (None, tip) for name, tip in tips.items() if name not in refs}
            return PushPlan(updates=new, objects=lambda: list(made), made=made) if new else None

        report = self._open(True).push(plan, on_bytes)
        there = None
        for name, reason in report.refused.items():
            if there is None:
                there = self._open(False).refs(list(tips))
            if there.get(name) != tips[name]:  # else somebody else was faster
                raise RemoteFailed(f"{self._remote} does not take '{name}': {reason}.", hint=self._hint(report.said))

    def _hint(self, said: str) -> str:
        if said:
            return said.splitlines()[-1]
        if self._prefix.startswith(REFS):
            return f"If the host takes only branches: gitexp remote set {self._remote} --refs heads"
        return f"Ask whoever runs it whether {self._prefix} may be written there."

    def _fetch(self, pointer: Pointer, there: dict[str, str], content: ContentStore, on_bytes: OnBytes) -> None:
        with content.arriving(pointer) as arriving:
            if arriving.received % PART and arriving.received != pointer.size_bytes:
                arriving.restart()
            for part in _parts(pointer, arriving.received // PART):
                if part.size_bytes:
                    self._fetch_part(part, there[self._ref(part)], arriving, on_bytes)
            arriving.finish()

    def _fetch_part(self, part: _Part, commit: str, arriving: Arriving, on_bytes: OnBytes) -> None:
        with self._folder() as folder:
            self._open(False).fetch_apart([commit], folder, part.size_bytes + (part.size_bytes >> 4) + OVERHEAD)
            objects = ObjectDatabase(folder)
            tree = decode_commit(objects.read(bytes.fromhex(commit))[1]).tree
            received = 0
            for entry in sorted(decode_tree(objects.read(bytes.fromhex(tree))[1])):
                kind, data = objects.read(entry.oid)
                if kind != BLOB or len(data) > LARGEST_CHUNK:
                    raise CorruptData(f"What {self._remote} has as '{self._ref(part)}' is not what gitexp writes.")
                arriving.write(data)
                received += len(data)
                on_bytes(len(data))
                if received // FORGET_EVERY != (received - len(data)) // FORGET_EVERY:
                    objects.close()
            objects.close()
            if received != part.size_bytes:
                arriving.restart()
                raise CorruptData(f"What {self._remote} has as '{self._ref(part)}' has {received:,} bytes.")

    @contextmanager
    def _folder(self) -> Iterator[str]:
        folder = tempfile.mkdtemp(prefix="gitexp_tmp_", dir=self._scratch)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _make_part(part: _Part, content: ContentStore, made: dict[bytes, Made]) -> bytes:
    """Put the objects of a part into `made`, the blobs as ways to read them; gives the commit's id."""
    entries: list[TreeEntry] = []
    with content.open(part.pointer) as file:
        file.seek(part.number * PART)
        left, position = part.size_bytes, part.number * PART
        while left:
            size = min(part.chunk_bytes, left)
            oid = _blob_id(file.read(size), size)
            made[oid] = (BLOB, _Reading(content, part.pointer, position, size))
            entries.append(TreeEntry(b"%03d" % len(entries), MODE_FILE, oid))
            position += size
            left -= size
    tree = _add(made, TREE, encode_tree(entries))
    message = f"{part.pointer.sha256} part {part.number}\n"
    commit = encode_commit(tree=tree.hex(), parents=[], author=_AUTHOR, time=0, message=message)
    return _add(made, COMMIT, commit)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads one chunk again, when it is sent."""

    content: ContentStore
    pointer: Pointer
    position: int
    size: int

    def __call__(self) -> bytes:
        with self.content.open(self.pointer) as file:
            file.seek(self.position)
            return file.read(self.size)


def _add(made: dict[bytes, Made], kind: str, data: bytes) -> bytes:
    oid = object_id(kind, data)
    made[oid] = (kind, lambda: data)
    return oid


def _blob_id(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise CorruptData("A file of the object store is shorter than it was.", hint="Run 'gitexp fsck'.")
    return hashlib.sha1(b"blob %d\0" % size + data, usedforsecurity=False).digest()


def _parts(pointer: Pointer, first: int = 0) -> Iterator[_Part]:
    """The parts from one on. Never all at once: a pointer may lie, and say that there are billions."""
    return (_Part(pointer, number) for number in range(first, max(-(-pointer.size_bytes // PART), 1)))


def _batches(parts: Iterable[_Part]) -> list[list[_Part]]:
    """Small artifacts travel together, up to one part's size and so many refs; each full part alone."""
    batches: list[list[_Part]] = []
    room = 0
    for part in parts:
        if not batches or part.size_bytes > room or len(batches[-1]) >= PARTS_A_PUSH:
            batches.append([])
            room = PART
        batches[-1].append(part)
        room -= part.size_bytes
    return batches


def _in_order(pointers: Iterable[Pointer]) -> list[Pointer]:
    return sorted(set(pointers), key=lambda pointer: (pointer.size_bytes, pointer.sha256))
