"""Git packs, version 2, and their indexes: writing without deltas, reading with them.

The formats are git's `gitformat-pack`. A pack is written under a temporary name; `.keep` comes first, `.idx` last,
because a pack without an index does not exist for any reader.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate

from gitexp.errors import CorruptData
from gitexp.store.git import durable

KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
OUR_KEEP = b"gitexp\n"

_CODES = {kind: code for code, kind in KINDS.items()}
_OFS_DELTA = 6
_REF_DELTA = 7
_MAGIC = b"\377tOc\0\0\0\2"
_FANOUT_END = 8 + 256 * 4
_FLUSH = 4 << 20
_MAPPED_FROM = 1 << 20
_LONGEST_CHAIN = 10_000


class PackWriter:
    """Collects objects and makes one pack of them.

    Small packs are put together in memory and written at once; larger ones flow to the disk as they grow.

    Attributes:
        base: the pack's path without suffix, once it is finished.

    Args:
        folder: `<object dir>/pack`.
        keep: whether the pack gets our `.keep`, so that `git gc` leaves it alone.
        durable: whether `finish` waits for the disk.
    """

    def __init__(self, folder: str, *, keep: bool = True, durable: bool = True) -> None:
        self._folder = folder
        self._keep = keep
        self._durable = durable
        self._entries: dict[bytes, tuple[int, int]] = {}
        self._chunks: list[bytes | memoryview] = []
        self._waiting = 0
        self._end = 12
        self._file: tuple[int, str] | None = None
        self.base = ""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._entries

    def add(self, oid: bytes, kind: str, data: bytes) -> None:
        """Adds an object once; `oid` must be its id."""
        if oid not in self._entries:
            self.add_entry(oid, encode_entry(kind, data))

    def add_entry(self, oid: bytes, entry: bytes) -> None:
        """Adds an entry that `encode_entry` made."""
        self.add_raw(oid, entry, zlib.crc32(entry))

    def add_raw(self, oid: bytes, entry: bytes | memoryview, crc: int) -> None:
        """Adds an entry of another pack as it is; it must not be a delta."""
        if oid in self._entries:
            return
        self._entries[oid] = (self._end, crc)
        self._chunks.append(entry)
        self._end += len(entry)
        self._waiting += len(entry)
        if self._waiting >= _FLUSH:
            self._flush()

    def finish(self) -> str:
        """Puts pack and index in place.

        Returns:
            The pack's path without suffix.

        Raises:
            StorageFailed: the disk is full, read-only or failing; nothing is left behind.
        """
        head = b"PACK" + struct.pack(">II", 2, len(self._entries))
        if self._file is None:
            body = b"".join([head, *self._chunks])
            checksum = _sha1(body)
            pack = self._write(body + checksum)
        else:
            pack, checksum = self._finish_file(head)
        self._chunks = []
        self._file = None
        self.base = self._install(pack, checksum)
        return self.base

    def abandon(self) -> None:
        """Forgets everything and removes the temporary file."""
        self._chunks = []
        if self._file is not None:
            descriptor, path = self._file
            self._file = None
            os.close(descriptor)
            durable.remove(path)

    def _flush(self) -> None:
        if self._file is None:
            self._file = durable.open_temporary(self._folder, 0o444)
            self._chunks.insert(0, bytes(12))
        descriptor, path = self._file
        with durable.storing(path, path):
            for chunk in self._chunks:
                durable.write_all(descriptor, chunk)
        self._chunks = []
        self._waiting = 0

    def _finish_file(self, head: bytes) -> tuple[str, bytes]:
        self._flush()
        assert self._file is not None
        descriptor, path = self._file
        with durable.storing(path, path):
            os.pwrite(descriptor, head, 0)
            digest = hashlib.sha1(usedforsecurity=False)
            os.lseek(descriptor, 0, os.SEEK_SET)
            while block := os.read(descriptor, 1 << 20):
                digest.update(block)
            durable.write_all(descriptor, digest.digest())
            if self._durable:
                os.fsync(descriptor)
        os.close(descriptor)
        return path, digest.digest()

    def _install(self, pack: str, checksum: bytes) -> str:
        base = f"{self._folder}/pack-{checksum.hex()}"
        temporary = [pack]
        try:
            temporary.append(self._write(encode_index(self._entries, checksum)))
            if self._keep:
                temporary.append(self._write(OUR_KEEP))
                durable.link_new(temporary[-1], f"{base}.keep")
            with durable.storing(base):
                os.rename(pack, f"{base}.pack")
                os.rename(temporary[1], f"{base}.idx")
        finally:
            for path in temporary:
                durable.remove(path)
        if self._durable:
            durable.sync_folder(self._folder)
        return base

    def _write(self, data: bytes) -> str:
        return durable.write_temporary(self._folder, data, mode=0o444, durable=self._durable)


def encode_entry(kind: str, data: bytes, *, level: int = 1) -> bytes:
    """An object as an entry of a pack, without a delta; `level` as zlib's, 0 for what does not compress."""
    return _entry_head(_CODES[kind], len(data)) + zlib.compress(data, level)


def encode_index(entries: dict[bytes, tuple[int, int]], checksum: bytes) -> bytes:
    """The index, version 2, of a pack.

    Args:
        entries: offset and CRC-32 by object id.
        checksum: the pack's trailer.
    """
    counts = [0] * 256
    for oid in entries:
        counts[oid[0]] += 1
    names = sorted(entries)
    crcs: list[int] = []
    offsets: list[int] = []
    large: list[int] = []
    for name in names:
        offset, crc = entries[name]
        crcs.append(crc)
        if offset < 1 << 31:
            offsets.append(offset)
        else:
            offsets.append(1 << 31 | len(large))
            large.append(offset)
    count = len(names)
    body = b"".join(
        [
            _MAGIC,
            struct.pack(">256I", *accumulate(counts)),
            *names,
            struct.pack(f">{count}I", *crcs),
            struct.pack(f">{count}I", *offsets),
            struct.pack(f">{len(large)}Q", *large),
            checksum,
        ]
    )
    return body + _sha1(body)


class Pack:
    """One pack on disk, read through its index. Files are opened when first needed.

    Attributes:
        base: the path without suffix.
    """

    def __init__(self, base: str) -> None:
        self.base = base
        self._index: mmap.mmap | bytes | None = None
        self._data: mmap.mmap | bytes | None = None
        self._count = 0

    def find(self, oid: bytes) -> int | None:
        """The offset of an object in the pack, None if it is not in it.

        Raises:
            FileNotFoundError: the pack has been replaced since.
            CorruptData: its index is damaged.
        """
        index = self._index or self._load_index()
        first = oid[0]
        low = int.from_bytes(index[4 + first * 4 : 8 + first * 4], "big") if first else 0
        high = int.from_bytes(index[8 + first * 4 : 12 + first * 4], "big")
        while low < high:
            middle = (low + high) >> 1
            start = _FANOUT_END + middle * 20
            name = index[start : start + 20]
            if name < oid:
                low = middle + 1
            elif name > oid:
                high = middle
            else:
                return self._offset(index, middle)
        return None

    def read(self, offset: int) -> tuple[str | bytes, bytes, list[bytes]]:
        """An object without its deltas applied.

        Returns:
            What it starts from (its kind, or the id of an object that may be in another pack), that start's content
            (empty for an id), and the deltas to apply, in order.

        Raises:
            FileNotFoundError: the pack has been replaced since.
            CorruptData: the pack is damaged.
        """
        deltas: list[bytes] = []
        while len(deltas) < _LONGEST_CHAIN:
            code, size, position = self._entry(offset)
            if code in KINDS:
                deltas.reverse()
                return KINDS[code], self._inflate(position, size), deltas
            if code == _REF_DELTA:
                target = self._bytes(position, position + 20)
                deltas.append(self._inflate(position + 20, size))
                found = self.find(target)
                if found is None:
                    deltas.reverse()
                    return target, b"", deltas
                offset = found
            elif code == _OFS_DELTA:
                back, position = self._back(position)
                deltas.append(self._inflate(position, size))
                offset -= back
            else:
                break
        raise self._damaged()

    def is_delta(self, offset: int) -> bool:
        return self._entry(offset)[0] not in KINDS

    def whole_entry(self, offset: int) -> tuple[str, bytes] | None:
        """The kind of an object that is no delta, and its entry as it is stored; None for a delta.

        The end of an entry stands nowhere: it is where its compressed content ends.

        Raises:
            FileNotFoundError: the pack has been replaced since.
            CorruptData: the pack is damaged.
        """
        code, size, position = self._entry(offset)
        if code not in KINDS:
            return None
        inflater = zlib.decompressobj()
        data = self._map()
        last = len(data) - 20
        length = min(last, position + size + 64 + (size >> 3))
        try:
            content = inflater.decompress(data[position:length])
        except zlib.error as error:
            raise self._damaged() from error
        if len(content) != size or not inflater.eof:
            raise self._damaged()
        return KINDS[code], data[offset : length - len(inflater.unused_data)]

    def ids(self) -> list[bytes]:
        """The ids of all its objects."""
        index = self._index or self._load_index()
        return [index[start : start + 20] for start in range(_FANOUT_END, _FANOUT_END + self._count * 20, 20)]

    def entries(self) -> Iterator[tuple[bytes, int, int, int]]:
        """Each object's id, offset, end and CRC-32, in the order of the pack."""
        index = self._index or self._load_index()
        count = self._count
        names = self.ids()
        crcs = struct.unpack_from(f">{count}I", index, _FANOUT_END + count * 20)
        found = sorted((self._offset(index, number), names[number], crcs[number]) for number in range(count))
        ends = [offset for offset, _, _ in found[1:]] + [len(self._map()) - 20]
        for (offset, oid, crc), end in zip(found, ends, strict=True):
            yield oid, offset, end, crc

    def raw(self, offset: int, end: int, crc: int) -> bytes:
        """An entry as it is stored.

        Raises:
            CorruptData: it is not what the index says.
        """
        entry = self._bytes(offset, end)
        if zlib.crc32(entry) != crc:
            raise self._damaged()
        return entry

    def _load_index(self) -> mmap.mmap | bytes:
        index = _map(f"{self.base}.idx")
        size = len(index)
        if index[:8] != _MAGIC or size < _FANOUT_END + 40:
            raise CorruptData(
                f"The pack index '{self.base}.idx' is damaged, or not of version 2.",
                hint=f"Type: git index-pack '{self.base}.pack'",
            )
        count = int.from_bytes(index[_FANOUT_END - 4 : _FANOUT_END], "big")
        if size < _FANOUT_END + count * 28 + 40:
            raise CorruptData(f"The pack index '{self.base}.idx' is cut short.")
        self._count = count
        self._index = index
        return index

    def _offset(self, index: mmap.mmap | bytes, number: int) -> int:
        start = _FANOUT_END + self._count * 24 + number * 4
        offset = int.from_bytes(index[start : start + 4], "big")
        if offset < 1 << 31:
            return offset
        start = _FANOUT_END + self._count * 28 + (offset & 0x7FFFFFFF) * 8
        return int.from_bytes(index[start : start + 8], "big")

    def _map(self) -> mmap.mmap | bytes:
        if self._data is None:
            data = _map(f"{self.base}.pack")
            if data[:8] not in (b"PACK\0\0\0\2", b"PACK\0\0\0\3") or len(data) < 32:
                raise self._damaged()
            self._data = data
        return self._data

    def _bytes(self, start: int, end: int) -> bytes:
        data = self._map()
        if not 12 <= start <= end <= len(data) - 20:
            raise self._damaged()
        return data[start:end]

    def _entry(self, offset: int) -> tuple[int, int, int]:
        """Type code, size of the content, and where what follows the head begins."""
        data = self._map()
        last = len(data) - 20
        if not 12 <= offset < last:
            raise self._damaged()
        byte = data[offset]
        code = byte >> 4 & 7
        size = byte & 15
        shift = 4
        while byte & 0x80:
            offset += 1
            if offset >= last or shift > 60:
                raise self._damaged()
            byte = data[offset]
            size |= (byte & 0x7F) << shift
            shift += 7
        return code, size, offset + 1

    def _back(self, position: int) -> tuple[int, int]:
        """How far back the base of an OFS_DELTA is, and where its data begins."""
        head = self._bytes(position, min(position + 10, len(self._map()) - 20))
        back = -1
        for length, byte in enumerate(head, 1):
            back = (back + 1) << 7 | byte & 0x7F
            if not byte & 0x80:
                return back, position + length
        raise self._damaged()

    def _inflate(self, position: int, size: int) -> bytes:
        data = self._map()
        last = len(data) - 20
        if size > (last - position) * 1040:
            raise self._damaged()
        try:
            try:
                content = zlib.decompress(
                    data[position : min(position + size + (size >> 8) + 64, last)], bufsize=size + 1
                )
            except zlib.error:
                content = zlib.decompress(data[position:last], bufsize=size + 1)
        except zlib.error as error:
            raise self._damaged() from error
        if len(content) != size:
            raise self._damaged()
        return content

    def _damaged(self) -> CorruptData:
        return CorruptData(f"The pack '{self.base}.pack' is damaged.", hint="Type: git fsck --full")


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """What `delta` makes of `base`. Own, because importing dulwich's costs more than everything else a run start does.

    Raises:
        ValueError: the delta does not fit the base.
    """
    base_size, position = _delta_size(delta, 0)
    size, position = _delta_size(delta, position)
    if base_size != len(base):
        raise ValueError("the delta is for another base")
    parts = []
    end = len(delta)
    while position < end:
        command = delta[position]
        position += 1
        if command & 0x80:
            offset = length = 0
            for bit in range(7):
                if command >> bit & 1:
                    byte = delta[position]
                    position += 1
                    if bit < 4:
                        offset |= byte << bit * 8
                    else:
                        length |= byte << (bit - 4) * 8
            length = length or 0x10000
            if offset + length > base_size:
                raise ValueError("the delta copies from beyond its base")
            parts.append(base[offset : offset + length])
        elif command:
            parts.append(delta[position : position + command])
            position += command
        else:
            raise ValueError("the delta holds an unknown command")
    made = b"".join(parts)
    if len(made) != size:
        raise ValueError("the delta makes another size than it says")
    return made


def remove_pack(base: str) -> None:
    """Removes a pack whose objects are in another; the index first, so that no new reader finds it."""
    for suffix in (".idx", ".rev", ".bitmap", ".mtimes", ".pack", ".keep"):
        with suppress(FileNotFoundError):
            os.unlink(base + suffix)


def _delta_size(delta: bytes, position: int) -> tuple[int, int]:
    size = shift = 0
    while True:
        byte = delta[position]
        position += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return size, position


def _entry_head(code: int, size: int) -> bytes:
    byte = code << 4 | size & 15
    size >>= 4
    head = bytearray()
    while size:
        head.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    head.append(byte)
    return bytes(head)


def _map(path: str) -> mmap.mmap | bytes:
    """A file's content: small files are read, because Python holds a descriptor for each mapping."""
    try:
        with open(path, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > _MAPPED_FROM:
                with suppress(OSError):
                    return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            return file.readall()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CorruptData(f"Could not read '{path}': {error.strerror}.") from error


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()
