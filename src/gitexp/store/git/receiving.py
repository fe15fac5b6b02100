"""Taking in a pack from another repository: checked, indexed, and only then part of ours."""

from __future__ import annotations

import mmap
import os
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from types import TracebackType

from gitexp.errors import CorruptData, RemoteFailed
from gitexp.store.git import durable
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import COMMIT, TREE, decode_commit, decode_tree, object_id
from gitexp.store.git.packs import KINDS, PackWriter, apply_delta
from gitexp.store.git.repository import GitRepository

_OFS_DELTA, _REF_DELTA = 6, 7
_LARGEST_OBJECT = 1 << 31


class IncomingPack:
    """A pack that arrives in pieces. `write` them, then `finish`; without that nothing stays.

    With a git executable its `index-pack` reads along, in C and with git's own checks; else the pack waits in a
    temporary file and is taken apart here.

    Args:
        objects: what lies in `object_dir`, an object directory; the repository's own where that is left out.
    """

    def __init__(
        self, git: GitRepository, objects: ObjectDatabase, executable: str | None, *, object_dir: str | None = None
    ) -> None:
        object_dir = object_dir or git.object_dir
        self._objects = objects
        self._folder = f"{object_dir}/pack"
        self._process: subprocess.Popen[bytes] | None = None
        self._file = None
        self.received = 0
        os.makedirs(self._folder, exist_ok=True)
        if executable:
            command = [executable, "-c", "core.fsync=all", "index-pack", "--stdin", "--strict", "--keep=gitexp"]
            self._process = subprocess.Popen(
                [*command, f"--max-input-size={1 << 40}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**git.environ, "GIT_DIR": git.git_dir, "GIT_OBJECT_DIRECTORY": object_dir},
            )
        else:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (until the pack is whole)

    def __enter__(self) -> IncomingPack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def write(self, data: bytes) -> int:
        self.received += len(data)
        if self._process is not None:
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(data)
            except BrokenPipeError as error:
                raise self._refused() from error
            return len(data)
        assert self._file is not None
        with durable.storing(self._folder):
            return self._file.write(data)

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
        else:
            self._unpack()
        self._objects.refresh()

    def _refused(self, said: bytes = b"") -> RemoteFailed:
        assert self._process is not None
        if not said and self._process.stderr is not None:
            self._process.kill()
            said = self._process.stderr.read()
        text = said.decode(errors="replace").strip().splitlines()
        reason = text[-1].removeprefix("fatal: ") if text else "it is damaged"
        return RemoteFailed(f"What the remote sent cannot be taken in: {reason}.")

    def _unpack(self) -> None:
        assert self._file is not None
        self._file.flush()
        writer = PackWriter(self._folder)
        try:
            with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                for kind, content in _PackFile(data, self._objects).objects():
                    _check(kind, content)
                    writer.add(object_id(kind, content), kind, content)
            if len(writer):
                writer.finish()
        except (CorruptData, zlib.error, IndexError, ValueError) as error:
            raise RemoteFailed(f"What the remote sent cannot be taken in: {error}.") from error
        finally:
            writer.abandon()


def _check(kind: str, data: bytes) -> None:
    """Refuse what would be dangerous to keep: names that leave their folder, objects that cannot be read."""
    if kind == TREE:
        for entry in decode_tree(data):
            if entry.name.lower() in (b"", b".", b"..", b".git") or b"/" in entry.name:
                raise CorruptData(f"a tree holds the name {entry.name!r}")
    elif kind == COMMIT:
        decode_commit(data)


class _PackFile:
    """A pack without an index, taken apart. Deltas are applied in an order in which each base is known."""

    def __init__(self, data: mmap.mmap, objects: ObjectDatabase) -> None:
        self._data = data
        self._objects = objects
        self._known: dict[int | bytes, tuple[str, bytes]] = {}
        self._entries: dict[int, tuple[int, int, int | bytes]] = {}
        """By offset: type code, where the content begins, and the base of a delta: its offset or its id."""

    def objects(self) -> Iterator[tuple[str, bytes]]:
        if self._data[:4] != b"PACK" or len(self._data) < 32:
            raise CorruptData("it is no pack")
        position = 12
        for _ in range(int.from_bytes(self._data[8:12], "big")):
            position = self._survey(position)
        bases = {base for _, _, base in self._entries.values()}
        by_id = any(code == _REF_DELTA for code, _, _ in self._entries.values())
        waiting = list(self._entries)
        while waiting:
            left = []
            for start in waiting:
                found = self._whole(start)
                if found is None:
                    left.append(start)
                    continue
                if start in bases:
                    self._known[start] = found
                if by_id:
                    self._known[object_id(*found)] = found
                yield found
            if len(left) == len(waiting):
                raise CorruptData("a delta has no base")
            waiting = left

    def _survey(self, start: int) -> int:
        """Note an entry; gives where the next one begins."""
        code, size, position = self._head(start)
        base: int | bytes = 0
        if code == _OFS_DELTA:
            back, position = self._back(position)
            base = start - back
        elif code == _REF_DELTA:
            base, position = self._data[position : position + 20], position + 20
        elif code not in KINDS:
            raise CorruptData("an object has an unknown type")
        if size > _LARGEST_OBJECT:
            raise CorruptData("an object is too large")
        self._entries[start] = (code, position, base)
        content, end = self._inflate(position)
        if len(content) != size:
            raise CorruptData("an object has another size than it says")
        return end

    def _whole(self, start: int) -> tuple[str, bytes] | None:
        code, position, base = self._entries[start]
        if code in KINDS:
            return KINDS[code], self._inflate(position)[0]
        found = self._known.get(base)
        if found is None and isinstance(base, bytes) and self._objects.contains(base):
            found = self._objects.read(base)
        return found and (found[0], apply_delta(found[1], self._inflate(position)[0]))

    def _inflate(self, position: int) -> tuple[bytes, int]:
        """The content that begins there, and where it ends."""
        inflater = zlib.decompressobj()
        parts = []
        while not inflater.eof:
            piece = self._data[position : position + (1 << 16)]
            if not piece:
                raise CorruptData("it ends too early")
            parts.append(inflater.decompress(piece))
            position += len(piece) - len(inflater.unused_data)
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
