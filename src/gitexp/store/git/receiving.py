"""Taking in a pack from another repository: checked, indexed, and only then part of ours."""

from __future__ import annotations

import hashlib
import mmap
import os
import subprocess
import tempfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from types import TracebackType
from typing import IO

from gitexp.errors import CorruptData, GitexpError, RemoteFailed, StorageFailed
from gitexp.store.git import durable
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import (
    BLOB,
    COMMIT,
    MODE_GITLINK,
    MODE_TREE,
    TAG,
    TREE,
    decode_commit,
    decode_tree,
    encode_tree,
    object_id,
)
from gitexp.store.git.packs import KINDS, PackWriter, apply_delta, encode_index
from gitexp.store.git.repository import GitRepository

HARMLESS = (
    "badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail", "missingNameBeforeEmail",
    "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingTaggerEntry", "multipleAuthors", "zeroPaddedDate",
    "zeroPaddedFilemode",
)  # fmt: skip
"""What `git fsck` says of some old history, and `git fetch` never minds."""

_SMALL = 1 << 20
_OFS_DELTA, _REF_DELTA = 6, 7
_LARGEST_OBJECT = 1 << 31
_LARGEST_APART = 16 << 20
_FORGET_EVERY = 8 << 20
_REFUSED_NAMES = ("", ".", "..", ".git", "git~1")
_UNSEEN = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
_OUR_DISK = ("no space left", "file too large", "quota", "read-only file system", "input/output error")
_ROOM = "Make room there, and try again."


class IncomingPack:
    """A pack that arrives in pieces. `write` them, then `finish`; without that nothing stays.

    A small one is taken apart here and becomes one of our packs, which are merged in time. Where there is a git
    executable, a larger one is read along by its `index-pack`, in C; else it waits in a temporary file.

    Args:
        objects: the repository's.
    """

    def __init__(self, git: GitRepository, objects: ObjectDatabase, executable: str | None) -> None:
        self._git = git
        self._objects = objects
        self._executable = executable
        self._folder = f"{git.object_dir}/pack"
        self._process: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._small: list[bytes] = []
        self.received = 0
        os.makedirs(self._folder, exist_ok=True)

    def __enter__(self) -> IncomingPack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                with suppress(OSError):  # of what was still to be written
                    assert pipe is not None
                    pipe.close()

    def write(self, data: bytes) -> int:
        self.received += len(data)
        if self._process is None and self._file is None:
            self._small.append(data)
            if self.received > _SMALL:
                self._begin()
                self._pass_on(b"".join(self._small))
                self._small = []
        else:
            self._pass_on(data)
        return len(data)

    def finish(self) -> None:
        """Make the objects part of the repository.

        Raises:
            RemoteFailed: what came is no sound pack.
            StorageFailed: the disk is full, read-only or failing.
        """
        if not self.received:
            return
        if self._process is not None:
            _, said = self._process.communicate()
            if self._process.returncode:
                raise self._refused(said)
        elif self._file is not None:
            self._file.flush()
            with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                self._unpack(data)
        else:
            self._unpack(b"".join(self._small))
        self._objects.refresh()

    def _begin(self) -> None:
        if self._executable is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (until the pack is whole)
            return
        strict = ",".join(f"{name}=ignore" for name in HARMLESS)
        command = [self._executable, "-c", "core.fsync=all", "index-pack"]
        self._process = subprocess.Popen(
            [*command, "--stdin", "--fix-thin", f"--strict={strict}", "--keep=gitexp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **self._git.environ,
                "GIT_DIR": self._git.git_dir,
                "GIT_OBJECT_DIRECTORY": self._git.object_dir,
                "LC_ALL": "C",
            },
        )

    def _pass_on(self, data: bytes) -> None:
        if self._process is None:
            assert self._file is not None
            with durable.storing(self._folder):
                self._file.write(data)
            return
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except BrokenPipeError as error:
            raise self._refused() from error

    def _refused(self, said: bytes = b"") -> GitexpError:
        assert self._process is not None
        if not said and self._process.stderr is not None:
            said = self._process.stderr.read()
        lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
        reason = "; ".join(line.removeprefix("fatal: ").removeprefix("error: ") for line in lines[-2:])
        if any(words in reason.lower() for words in _OUR_DISK):
            return StorageFailed(f"What the remote sent cannot be stored in '{self._folder}': {reason}.", hint=_ROOM)
        return RemoteFailed(f"What the remote sent cannot be taken in: {reason.rstrip('.') or 'it is damaged'}.")

    def _unpack(self, data: bytes | mmap.mmap) -> None:
        writer = PackWriter(self._folder)
        links = _Links(self._objects, self._git.shallow())
        try:
            for kind, content in _PackFile(data, self._objects).objects():
                _check(kind, content)
                oid = object_id(kind, content)
                links.add(oid, kind, content)
                writer.add(oid, kind, content)
            links.require_whole()
            if len(writer):
                writer.finish()
        except (CorruptData, zlib.error, IndexError, ValueError) as error:
            raise RemoteFailed(f"What the remote sent cannot be taken in: {str(error).rstrip('.')}.") from error
        finally:
            writer.abandon()


class ApartPack:
    """A pack that arrives for a folder of its own, from which content is read once: it is kept as it came, and indexed.

    git's `index-pack` looks three times as long at large blobs, because it expects attacks on their ids. What is read
    from here is known by its SHA-256.

    Args:
        folder: an object directory; it is removed by whoever made it.
        most_bytes: a pack that is larger is refused.
    """

    def __init__(self, folder: str, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._received = 0
        os.makedirs(f"{folder}/pack", exist_ok=True)
        self._path = f"{folder}/pack/pack-{'0' * 40}"
        self._file = open(f"{self._path}.pack", "xb", buffering=0)  # noqa: SIM115 (until the pack is whole)

    def __enter__(self) -> ApartPack:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        self._received += len(data)
        if self._received > self._most_bytes:
            raise RemoteFailed(f"The remote sends more than the {self._most_bytes:,} bytes that this can have.")
        with durable.storing(self._folder):
            durable.write_all(self._file.fileno(), data)
        return len(data)

    def finish(self) -> None:
        """Index what came.

        Raises:
            RemoteFailed: it is no sound pack.
            StorageFailed: the disk is full, read-only or failing.
        """
        if not self._received:
            return
        entries: dict[bytes, tuple[int, int]] = {}
        try:
            with open(f"{self._path}.pack", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                pack = _PackFile(data, ObjectDatabase(self._folder), largest=_LARGEST_APART, most_kept=self._most_bytes)
                for start, kind, content in pack.located():
                    entries[object_id(kind, content)] = (start, 0)  # nobody copies entries from here
                checksum = data[-20:]
        except (CorruptData, IndexError, ValueError, zlib.error) as error:
            raise RemoteFailed(f"What the remote sent cannot be taken in: {error}.") from error
        with durable.storing(self._folder), open(f"{self._path}.idx", "xb") as index:
            index.write(encode_index(entries, checksum))


class _Links:
    """Whether everything that new objects name is among them or here already, and of the right kind.

    What is here already is taken to be whole itself: nothing comes in that was not found so.
    """

    def __init__(self, objects: ObjectDatabase, shallow: Collection[bytes]) -> None:
        self._objects = objects
        self._shallow = shallow
        self._kinds: dict[bytes, str] = {}
        self._named: dict[bytes, str] = {}

    def add(self, oid: bytes, kind: str, content: bytes) -> None:
        self._kinds[oid] = kind
        if kind == TREE:
            for entry in decode_tree(content):
                if entry.mode != MODE_GITLINK:
                    self._named[entry.oid] = TREE if entry.mode == MODE_TREE else BLOB
        elif kind == COMMIT:
            commit = decode_commit(content)
            self._named[bytes.fromhex(commit.tree)] = TREE
            if oid not in self._shallow:
                self._named.update((bytes.fromhex(parent), COMMIT) for parent in commit.parents)
        elif kind == TAG:
            self._named[bytes.fromhex(content[7:47].decode("ascii"))] = content[53:].partition(b"\n")[0].decode()

    def require_whole(self) -> None:
        for oid, kind in self._named.items():
            found = self._kinds.get(oid)
            if found is None and not self._objects.contains(oid):
                raise CorruptData(f"the {kind} '{oid.hex()}' that it needs is missing")
            if found not in (None, kind):
                raise CorruptData(f"'{oid.hex()}' is a {found} where a {kind} is needed")


def _check(kind: str, data: bytes) -> None:
    """Refuse what would be dangerous to keep: names that leave their folder, objects that cannot be read."""
    if kind == TREE:
        entries = decode_tree(data)
        for entry in entries:
            if b"/" in entry.name or _plain(entry.name) in _REFUSED_NAMES:
                raise CorruptData(f"a tree holds the name {os.fsdecode(entry.name)!r}")
        if sorted({entry.name for entry in entries}) != sorted(entry.name for entry in entries):
            raise CorruptData("a tree holds a name twice")
        if decode_tree(encode_tree(entries)) != entries:
            raise CorruptData("a tree is not in order")
    elif kind == COMMIT:
        decode_commit(data)


def _plain(name: bytes) -> str:
    """A name as file systems may see it that fold case, or ignore what cannot be seen and what ends a name."""
    text = name.decode("utf-8", "replace").translate(_UNSEEN).lower()
    return text if text in (".", "..") else text.partition(":")[0].rstrip(". ")


class _PackFile:
    """A pack without an index, taken apart. Deltas are applied in an order in which each base is known.

    Args:
        largest: what is larger is refused.
        most_kept: how many bytes of bases may be in memory.
    """

    def __init__(
        self,
        data: bytes | mmap.mmap,
        objects: ObjectDatabase,
        *,
        largest: int = _LARGEST_OBJECT,
        most_kept: int = 1 << 62,
    ) -> None:
        self._data = data
        self._objects = objects
        self._largest = largest
        self._may_keep = most_kept
        self._known: dict[int, tuple[str, bytes]] = {}
        self._names: dict[bytes, int] | None = None
        self._entries: dict[int, tuple[int, int, int, int | bytes]] = {}
        """By offset: type code, where the content begins, its size, and a delta's base: its offset or its id."""
        self._forgotten = 0

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """Kind and content of each, once the pack is known to be as it was sent."""
        self._begin()
        digest = hashlib.sha1(usedforsecurity=False)
        for start in range(0, len(self._data) - 20, _FORGET_EVERY):
            digest.update(self._data[start : min(start + _FORGET_EVERY, len(self._data) - 20)])
            self._forget(start)
        if digest.digest() != self._data[-20:]:
            raise CorruptData("it is cut short, or damaged")
        return ((kind, content) for _, kind, content in self.located())

    def located(self) -> Iterator[tuple[int, str, bytes]]:
        """Each entry's offset, and the kind and content of its object; those that are no deltas first."""
        self._begin()
        position = 12
        waiting = []
        for _ in range(int.from_bytes(self._data[8:12], "big")):
            start = position
            code, at, size, _ = self._entries[start] = self._survey(start)
            content, position = self._inflate(at, size)
            if code in KINDS:
                yield start, KINDS[code], content
            else:
                waiting.append(start)
            self._forget(start)
        if position != len(self._data) - 20:
            raise CorruptData("something stands behind its end")
        if any(isinstance(self._entries[start][3], bytes) for start in waiting):
            self._name_all()
        bases = {self._entries[start][3] for start in waiting}
        while waiting:
            left = []
            for start in waiting:
                found = self._undelta(start)
                if found is None:
                    left.append(start)
                    continue
                if self._names is not None:
                    self._names[object_id(*found)] = start
                if start in bases or self._names is not None:
                    self._keep(start, found)
                yield start, *found
                self._forget(start)
            if len(left) == len(waiting):
                raise CorruptData("a delta has no base")
            waiting = left

    def _begin(self) -> None:
        if self._data[:4] != b"PACK" or len(self._data) < 32:
            raise CorruptData("it is no pack")

    def _survey(self, start: int) -> tuple[int, int, int, int | bytes]:
        """What `_entries` knows of an entry."""
        code, size, position = self._head(start)
        base: int | bytes = 0
        if code == _OFS_DELTA:
            back, position = self._back(position)
            base = start - back
        elif code == _REF_DELTA:
            base, position = self._data[position : position + 20], position + 20
        elif code not in KINDS:
            raise CorruptData("an object has an unknown type")
        if size > self._largest:
            raise CorruptData("an object is too large")
        return code, position, size, base

    def _name_all(self) -> None:
        """Find out where each object is that a delta may name by its id."""
        self._names = {}
        for start, (code, position, size, _) in self._entries.items():
            if code in KINDS:
                self._names[object_id(KINDS[code], self._inflate(position, size)[0])] = start
                self._forget(start)

    def _undelta(self, start: int) -> tuple[str, bytes] | None:
        """The object that a delta makes; None where its base is not known yet."""
        _, position, size, base = self._entries[start]
        if isinstance(base, bytes):
            base = (self._names or {}).get(base, base)
        if isinstance(base, bytes):
            found = self._objects.read(base) if self._objects.contains(base) else None
        else:
            found = self._known.get(base) or self._base_at(base)
        return found and (found[0], apply_delta(found[1], self._inflate(position, size)[0]))

    def _base_at(self, start: int) -> tuple[str, bytes] | None:
        """The object that begins there, if it is no delta; it is kept, as a base is often one for many."""
        code, position, size, _ = self._entries.get(start, (0, 0, 0, 0))
        if code not in KINDS:
            return None
        found = KINDS[code], self._inflate(position, size)[0]
        self._keep(start, found)
        return found

    def _keep(self, start: int, found: tuple[str, bytes]) -> None:
        self._known[start] = found
        self._may_keep -= len(found[1])
        if self._may_keep < 0:
            raise CorruptData("its deltas take too much memory")

    def _forget(self, position: int) -> None:
        """Let go of what is mapped, now and then; it would count as our memory."""
        if position - self._forgotten >= _FORGET_EVERY or position < self._forgotten:
            self._forgotten = position
            if isinstance(self._data, mmap.mmap):
                self._data.madvise(mmap.MADV_DONTNEED)

    def _inflate(self, position: int, size: int) -> tuple[bytes, int]:
        """The content that begins there, and where it ends. No more is made of it than it says it is."""
        inflater = zlib.decompressobj()
        parts = []
        made = 0
        while not inflater.eof:
            piece = inflater.unconsumed_tail or self._data[position : position + (1 << 16)]
            if not piece:
                raise CorruptData("it ends too early")
            part = inflater.decompress(piece, size - made + 1)
            made += len(part)
            if made > size:
                raise CorruptData("an object is larger than it says")
            parts.append(part)
            position += len(piece) - len(inflater.unused_data) - len(inflater.unconsumed_tail)
        if made != size:
            raise CorruptData("an object is smaller than it says")
        return b"".join(parts), position

    def _head(self, position: int) -> tuple[int, int, int]:
        byte = self._data[position]
        position += 1
        code, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = self._data[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
        return code, size, position

    def _back(self, position: int) -> tuple[int, int]:
        back = -1
        while True:
            byte = self._data[position]
            position += 1
            back = (back + 1) << 7 | byte & 0x7F
            if not byte & 0x80:
                return back, position
