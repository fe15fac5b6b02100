"""The object database: finds objects wherever git keeps them, and writes them as packs that `git gc` leaves alone."""

from __future__ import annotations

import fcntl
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from gitexp.errors import Conflict, CorruptData, StorageFailed
from gitexp.store.git import durable
from gitexp.store.git.objects import object_id
from gitexp.store.git.packs import KINDS, OUR_KEEP, Pack, PackWriter, apply_delta, encode_entry, remove_pack

MERGE_AT = 16
LARGEST_MERGED = 2 << 30
RACY_NS = 20_000_000
_ATTEMPTS = 3
_LEFT_BEHIND_S = 86_400


class MissingObject(CorruptData):
    """No pack, no loose file and no alternate holds the object."""


@dataclass(slots=True)
class _Folder:
    """One object directory and the packs seen in it."""

    path: str
    packs: dict[str, Pack] = field(default_factory=dict)
    ours: dict[str, bool] = field(default_factory=dict)
    changed_ns: int = -1

    def scan(self) -> bool:
        """Looks for packs again where the folder may have changed. Returns whether it may."""
        folder = f"{self.path}/pack"
        try:
            changed_ns = os.stat(folder).st_mtime_ns
            if changed_ns == self.changed_ns:
                return False
            # A change in the clock tick of this very scan would leave the same time on the folder, so look again later.
            racy = time.time_ns() - changed_ns < RACY_NS
            names = set(os.listdir(folder))
        except OSError:
            return False
        bases = [name[:-5] for name in names if name.endswith(".pack") and f"{name[:-5]}.idx" in names]
        known = self.packs
        self.packs = {base: known[base] if base in known else Pack(f"{folder}/{base}") for base in bases}
        self.ours = {base: ours for base, ours in dict(self.ours).items() if base in self.packs}
        self.changed_ns = -1 if racy else changed_ns
        return True

    def loose(self, oid: bytes) -> str:
        name = oid.hex()
        return f"{self.path}/{name[:2]}/{name[2:]}"


class ObjectDatabase:
    """Git's objects. Reading is safe from several threads; ids are 20 bytes.

    Args:
        object_dir: where objects are written.
        alternates: further object directories to read from.
    """

    def __init__(self, object_dir: str, alternates: Sequence[str] = ()) -> None:
        self._own = _Folder(object_dir)
        self._folders = [self._own, *map(_Folder, alternates)]
        self._last: Pack | None = None
        self._trouble: CorruptData | None = None

    def read(self, oid: bytes, *, verify: bool = False) -> tuple[str, bytes]:
        """An object's kind and content.

        Args:
            verify: whether to make sure that the content has that id.

        Raises:
            MissingObject: it is not there.
            CorruptData: it is damaged.
        """
        found = self._read(oid) or self._read_promised(oid)
        if found is None:
            trouble = f" {self._trouble}" if self._trouble else ""
            raise MissingObject(
                f"The git object '{oid.hex()}' is missing.{trouble}", hint="Type: git fsck --full, to see what else is."
            )
        if verify and object_id(*found) != oid:
            raise CorruptData(f"The git object '{oid.hex()}' is damaged.", hint="Type: git fsck --full")
        return found

    def contains(self, oid: bytes) -> bool:
        """Whether the object is here, packed or loose, without asking a promisor remote."""
        return self._has(oid) or (self.refresh() and self._has(oid))

    def entry(self, oid: bytes) -> tuple[str, bytes]:
        """An object's kind, and its entry for a pack: as it is stored where it is no delta, else made anew.

        Raises:
            MissingObject, CorruptData
        """
        for pack, offset in self._places(oid):
            try:
                found = pack.whole_entry(offset)
            except FileNotFoundError:
                self._forget(pack)
                continue
            except CorruptData as error:
                self._trouble = error
                continue
            if found:
                return found
            break
        kind, data = self.read(oid)
        return kind, encode_entry(kind, data)

    def keeps(self, oid: bytes) -> bool:
        """Whether one of our own kept packs holds the object, so that no `git gc` can take it."""
        return self._in_ours(oid) or (self.refresh() and self._in_ours(oid))

    def write(self, objects: Iterable[tuple[str, bytes]], *, durable: bool = True) -> list[bytes]:
        """Writes one pack that `git gc` leaves alone and that holds each object once.

        Args:
            objects: kind and content of each.
            durable: whether everything must be on the disk before this returns.

        Returns:
            The ids, in the order given.

        Raises:
            StorageFailed: the disk is full, read-only or failing; nothing is left behind.
        """
        named = [(object_id(kind, data), kind, data) for kind, data in objects]
        if not named:
            return []
        writer = PackWriter(f"{self._own.path}/pack", durable=durable)
        try:
            for oid, kind, data in named:
                writer.add(oid, kind, data)
            writer.finish()
        finally:
            writer.abandon()
        self._own.changed_ns = -1
        return [oid for oid, _, _ in named]

    def refresh(self) -> bool:
        """Looks for packs that came or went, so that nothing is read that is gone. Returns whether there may be any."""
        scanned = [folder.scan() for folder in self._folders]
        if not any(scanned):
            return False
        self._last = None
        return True

    def close(self) -> None:
        """Forgets every pack; the object can still be used."""
        self._last = None
        for folder in self._folders:
            folder.packs, folder.ours, folder.changed_ns = {}, {}, -1

    def consolidate(self) -> int:
        """Merges our own packs, sixteen of one size class into one, unless another process is at it.

        Every object stays readable at every moment, also if this process dies. Where the disk is full or read-only,
        all stays as it is.

        Returns:
            How many packs went.
        """
        self.refresh()
        if len(self._own.packs) < MERGE_AT or not self._next_merge():
            return 0
        gone = 0
        with suppress(StorageFailed, Conflict), self._housekeeping():
            while batch := self._next_merge():
                writer = PackWriter(f"{self._own.path}/pack")
                try:
                    merged = [pack for pack in batch if self._is_whole(pack)]
                    if len(merged) < 2:
                        break
                    for pack in merged:
                        for oid, offset, end, crc in pack.entries():
                            writer.add_raw(oid, pack.raw(offset, end, crc), crc)
                    made = writer.finish()
                finally:
                    writer.abandon()
                gone += self._remove(merged, {made})
            self.sweep_temporary(_LEFT_BEHIND_S)
        return gone

    def rewrite_kept(self, keep: set[bytes]) -> int:
        """Hands every object of our kept packs that is not in `keep` back to git.

        They move to a pack without `.keep`, where `git gc` decides by reachability.

        Returns:
            How many objects were handed back.

        Raises:
            StorageFailed: the disk is full, read-only or failing; every object is still there.
            Conflict: another process is at work on our packs.
        """
        self.refresh()
        with self._housekeeping():
            mixed = [pack for pack in self._mergeable() if self._is_whole(pack) and not keep.issuperset(pack.ids())]
            kept = PackWriter(f"{self._own.path}/pack")
            released = PackWriter(f"{self._own.path}/pack", keep=False)
            try:
                for pack in mixed:
                    for oid, offset, end, crc in pack.entries():
                        (kept if oid in keep else released).add_raw(oid, pack.raw(offset, end, crc), crc)
                made = {writer.finish() for writer in (kept, released) if len(writer)}
                if len(released):
                    # A pack of which nothing is kept comes out as it was, `.keep` and all.
                    durable.remove(f"{released.base}.keep")
            finally:
                kept.abandon()
                released.abandon()
            self._remove(mixed, made)
        return len(released)

    def sweep_temporary(self, older_than_s: float) -> int:
        """Removes what writers that died left in the pack folder. Returns how many files went."""
        folder = f"{self._own.path}/pack"
        limit = time.time() - older_than_s
        gone = durable.sweep(folder, older_than_s)
        names = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        # In reverse, so that `.keep`, which says whose it is, goes after its `.pack`.
        for name in sorted(names, reverse=True):
            base, _, suffix = name.rpartition(".")
            if suffix in ("keep", "pack") and f"{base}.idx" not in names and self._is_ours(base):
                with suppress(FileNotFoundError):
                    if os.stat(f"{folder}/{name}").st_mtime < limit:
                        os.unlink(f"{folder}/{name}")
                        gone += 1
        return gone

    def _read(self, oid: bytes) -> tuple[str, bytes] | None:
        for _ in range(_ATTEMPTS):
            found = self._read_packed(oid) or self._read_loose(oid)
            if found is not None or not self.refresh():
                return found
        return None

    def _has(self, oid: bytes) -> bool:
        return next(self._places(oid), None) is not None or any(
            os.path.exists(folder.loose(oid)) for folder in self._folders
        )

    def _in_ours(self, oid: bytes) -> bool:
        for base, pack in self._own.packs.items():
            with suppress(FileNotFoundError):
                if pack.find(oid) is not None and self._is_ours(base):
                    return True
        return False

    def _places(self, oid: bytes) -> Iterator[tuple[Pack, int]]:
        """Every pack that holds the object, and where. Damaged indexes are passed over."""
        for pack in self._packs():
            try:
                offset = pack.find(oid)
            except FileNotFoundError:
                self._forget(pack)
                continue
            except CorruptData as error:
                self._trouble = error
                continue
            if offset is not None:
                self._last = pack
                yield pack, offset

    def _packs(self) -> Iterator[Pack]:
        """All packs; first the one that had the last object, because what belongs together lies together."""
        last = self._last
        if last is not None:
            yield last
        for folder in self._folders:
            for pack in folder.packs.values():
                if pack is not last:
                    yield pack

    def _read_packed(self, oid: bytes) -> tuple[str, bytes] | None:
        for pack, offset in self._places(oid):
            try:
                return self._undelta(*pack.read(offset))
            except FileNotFoundError:
                self._forget(pack)
            except CorruptData as error:
                self._trouble = error
        return None

    def _undelta(self, start: str | bytes, content: bytes, deltas: list[bytes]) -> tuple[str, bytes]:
        if isinstance(start, bytes):
            start, content = self.read(start)
        for delta in deltas:
            try:
                content = apply_delta(content, delta)
            except (ValueError, IndexError) as error:
                raise CorruptData(f"A delta in a git pack is damaged: {error}.") from error
        return start, content

    def _forget(self, pack: Pack) -> None:
        """Drops a pack that vanished between its index and its content, as `git repack` makes them do."""
        self._last = None
        name = os.path.basename(pack.base)
        for folder in self._folders:
            if folder.packs.get(name) is pack:
                folder.packs = {base: other for base, other in folder.packs.items() if base != name}
                folder.changed_ns = -1

    def _read_loose(self, oid: bytes) -> tuple[str, bytes] | None:
        for folder in self._folders:
            try:
                with open(folder.loose(oid), "rb", buffering=0) as file:
                    stored = file.read()
            except OSError:
                continue
            return _decode_loose(oid, stored)
        return None

    def _read_promised(self, oid: bytes) -> tuple[str, bytes] | None:
        """Asks git for an object that a partial clone left with its remote."""
        folder = f"{self._own.path}/pack"
        try:
            if not any(name.endswith(".promisor") for name in os.listdir(folder)):
                return None
        except OSError:
            return None
        import subprocess  # slow to import, and only partial clones come here

        command = ["git", "--git-dir", os.path.dirname(self._own.path), "cat-file", "--batch"]
        environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        try:
            done = subprocess.run(command, input=oid.hex().encode(), capture_output=True, env=environ, check=False)
        except OSError:
            return None
        head, _, rest = done.stdout.partition(b"\n")
        words = head.decode().split()
        if done.returncode or len(words) != 3:
            return None
        return words[1], rest[: int(words[2])]

    @contextmanager
    def _housekeeping(self) -> Iterator[None]:
        """Only one process at a time rearranges our packs; the kernel drops the lock of one that dies."""
        path = f"{self._own.path}/info/gitexp.lock"
        with durable.storing(path):
            durable.make_folder(os.path.dirname(path))
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(
                    "Another process is rearranging gitexp's packs.", hint="Try again when it is done."
                ) from error
            except OSError as error:
                raise durable.failure("lock", path, error) from error
            self._own.changed_ns = -1
            self.refresh()
            yield
        finally:
            os.close(descriptor)

    def _is_ours(self, base: str) -> bool:
        ours = self._own.ours.get(base)
        if ours is None:
            try:
                with open(f"{self._own.path}/pack/{base}.keep", "rb", buffering=0) as file:
                    ours = file.read(len(OUR_KEEP) + 1) == OUR_KEEP
            except OSError:
                ours = False
            self._own.ours[base] = ours
        return ours

    def _mergeable(self) -> list[Pack]:
        """Our packs that no multi-pack-index names: that file is the user's, and must not point at what is gone."""
        named = b""
        with suppress(OSError), open(f"{self._own.path}/pack/multi-pack-index", "rb") as file:
            named = file.read()
        return [
            pack
            for base, pack in self._own.packs.items()
            if self._is_ours(base) and (not named or f"{base}.idx".encode() not in named)
        ]

    def _next_merge(self) -> list[Pack]:
        """Sixteen or more of our packs of one size class, or none."""
        classes: dict[int, list[Pack]] = {}
        for pack in self._mergeable():
            with suppress(FileNotFoundError):
                size = os.stat(f"{pack.base}.pack").st_size
                if size * MERGE_AT <= LARGEST_MERGED:
                    classes.setdefault(_size_class(size), []).append(pack)
        return next((packs for packs in classes.values() if len(packs) >= MERGE_AT), [])

    def _is_whole(self, pack: Pack) -> bool:
        """Whether every entry is what the index says and stands alone. Other packs stay as they are, for `git fsck`."""
        try:
            for _, offset, end, crc in pack.entries():
                pack.raw(offset, end, crc)
                if pack.is_delta(offset):
                    break
            else:
                return True
        except (CorruptData, FileNotFoundError):
            pass
        self._own.ours[os.path.basename(pack.base)] = False
        return False

    def _remove(self, packs: list[Pack], made: set[str]) -> int:
        old = [pack.base for pack in packs if pack.base not in made]
        for base in old:
            with durable.storing(base):
                remove_pack(base)
        self._last = None
        self._own.ours.clear()
        self._own.changed_ns = -1
        self.refresh()
        return len(old)


def _size_class(size: int) -> int:
    """0 below 32 KiB, then one class for every factor of sixteen."""
    return max(size.bit_length() - 12, 0) // 4


def _decode_loose(oid: bytes, stored: bytes) -> tuple[str, bytes]:
    try:
        head, zero, data = zlib.decompress(stored).partition(b"\0")
        kind, size = head.decode().split(" ")
        if zero and int(size) == len(data) and kind in KINDS.values():
            return kind, data
    except (zlib.error, ValueError):
        pass
    raise CorruptData(f"The git object '{oid.hex()}' is damaged.", hint="Type: git fsck --full")
