"""Refs as git keeps them: loose files over `packed-refs`.

Who wins where two write one ref: creating is link(2), so the first; changing and deleting take git's `<ref>.lock` and
compare first. Locks are made by link(2) too, after everything slow is done, so that a killed process leaves one only if
it dies within a few system calls.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from gitexp.errors import Conflict, CorruptData, InvalidName, StorageFailed
from gitexp.store.git import durable
from gitexp.store.git.packedrefs import PackedRefs, identity_of, is_ref_name

OURS = "refs/gitexp/"
RACY_NS = 20_000_000
STALE_S = 60
LEFT_BEHIND_S = 86_400

_HEX = re.compile(r"[0-9a-f]{40}\Z")
_OF_A_WORKTREE = ("refs/bisect/", "refs/worktree/", "refs/rewritten/")
_OUR_LOCK = b"gitexp\n"
_ATTEMPTS = 10
_Names = list[str]  # inside RefStore, `list` is a method
_DEEPEST = 5


class RefStore:
    """The refs of one repository.

    Args:
        git_dir: of this worktree; holds HEAD.
        common_dir: holds what all worktrees share.
        patience_s: how long to wait for a lock that another process holds.
    """

    def __init__(self, git_dir: str, common_dir: str, *, patience_s: float = 5) -> None:
        self._patience_s = patience_s
        self._git_dir = git_dir
        self._common_dir = common_dir
        self._packed_path = os.path.realpath(f"{common_dir}/packed-refs")
        self._temporary = f"{common_dir}/gitexp/tmp"
        self._held_path = f"{common_dir}/gitexp/refs.lock"

    def read(self, name: str) -> str | None:
        """The hex id that a ref (or HEAD) leads to, None if there is no such ref.

        Raises:
            CorruptData: the ref is damaged.
        """
        value = self._value(name if name == "HEAD" else check_name(name))
        for _ in range(_DEEPEST):
            if value is None or not value.startswith("ref:"):
                return value
            target = value[4:].strip()
            if not is_ref_name(target):
                break
            value = self._value(target)
        raise CorruptData(f"The symbolic ref {name!r} leads nowhere.")

    def list(self, prefix: str) -> dict[str, str]:
        """Every sound ref whose name begins with `prefix`, with its hex id. `broken` names the others."""
        return self._survey(prefix)[0]

    def broken(self, prefix: str) -> _Names:
        """What below `prefix` is no sound ref: names of files, and lines of packed-refs."""
        return sorted(self._survey(prefix)[1])

    def create(self, name: str, commit: str, *, durable_name: bool = True) -> bool:
        """Makes a ref. Exactly one of several racers gets True; False means that it exists already.

        Args:
            durable_name: whether a power cut right afterwards may not undo it; either way it is whole or absent.

        Raises:
            Conflict: another ref is in the way, as `a/b` is for `a`.
            StorageFailed: the disk is full, read-only or failing.
        """
        path = self._path(check_name(name))
        temporary = durable.write_temporary(self._temporary, _content(commit))
        try:
            with self._packed_held(fcntl.LOCK_SH):
                before = PackedRefs(self._packed_path)
                if before.find(name) is not None:
                    return False
                self._refuse_neighbours(before, name)
                if not self._link(temporary, path) or self._was_packed_meanwhile(before, name, commit):
                    return False
        finally:
            durable.remove(temporary)
        if durable_name:
            durable.sync_folder(os.path.dirname(path))
        return True

    def create_all(self, refs: Mapping[str, str]) -> set[str]:
        """Makes many refs with one rewriting of packed-refs; gives the names of those that were not there before.

        Args:
            refs: hex ids of commits by name, none of them a folder of another ref.

        Raises:
            Conflict: others keep changing packed-refs.
            StorageFailed: the disk is full, read-only or failing.
        """
        for name in refs:
            check_name(name)
        for _ in range(_ATTEMPTS):
            packed = PackedRefs(self._packed_path)
            new = {name: commit for name, commit in refs.items() if packed.find(name) is None}
            temporary = durable.write_temporary(self._temporary, packed.edited(new))
            try:
                with self._packed_held(fcntl.LOCK_EX), self._lock(self._packed_path, _OUR_LOCK):
                    if identity_of(self._packed_path) != packed.identity:
                        continue
                    there = {name for name in new if os.path.isfile(self._path(name))}
                    if there:
                        refs = {name: commit for name, commit in refs.items() if name not in there}
                        continue
                    if new:
                        with durable.storing(self._packed_path):
                            os.rename(temporary, self._packed_path)
                        durable.sync_folder(self._common_dir)
                    return set(new)
            finally:
                durable.remove(temporary)
        raise Conflict(f"Other processes keep changing '{self._packed_path}'.", hint="Try again.")

    def update(self, name: str, old: str, new: str) -> bool:
        """Moves a ref from `old` to `new`; False if it is not at `old`.

        Raises:
            Conflict: another process holds the ref's lock for seconds.
            StorageFailed: the disk is full, read-only or failing.
        """
        path = self._path(check_name(name))
        with self._lock(path, _content(new), durably=True) as lock:
            if self._value(name) != old:
                return False
            if os.path.isdir(path):
                _remove_empty(path)
            with durable.storing(path):
                os.rename(lock, path)
        durable.sync_folder(os.path.dirname(path))
        return True

    def delete(self, name: str, old: str | None, *, durable_name: bool = True) -> bool:
        """Removes a ref that is at `old`, or wherever it is where `old` is None. False if it is not there."""
        return name in self.delete_all({name: old}, durable_names=durable_name)

    def delete_all(self, expected: Mapping[str, str | None], *, durable_names: bool = True) -> set[str]:
        """Removes several refs with one rewriting of packed-refs.

        Args:
            expected: names, and the hex id each must be at; None for any, also for a damaged ref.

        Returns:
            The names of those removed.
        """
        with ExitStack() as locks:
            gone = set()
            for name in sorted(expected):
                path = self._path(check_name(name))
                if not self._is_at(name, expected[name]):
                    continue
                lock = locks.enter_context(self._lock(path, b""))
                if self._is_at(name, expected[name]):
                    gone.add(name)
                else:
                    durable.remove(lock)
            if gone:
                with self._rewriting_packed(dict.fromkeys(gone)):
                    for name in gone:
                        with suppress(FileNotFoundError):
                            os.unlink(self._path(name))
            folders = {os.path.dirname(self._path(name)) for name in gone} if durable_names else ()
            for folder in folders:
                durable.sync_folder(folder)
        return gone

    def fingerprint(self, prefix: str) -> tuple[int, ...]:
        """Numbers that differ whenever `list(prefix)` may; take them before listing.

        Where something changed within the last clock ticks, a second change could leave the same times behind. Then
        the time of this call is among the numbers, so that they equal no others.
        """
        numbers = list(identity_of(self._packed_path))
        newest = numbers[2]
        for folder, _ in _folders(self._path(_folder_of(prefix)).rstrip("/")):
            with suppress(FileNotFoundError):
                found = os.stat(folder)
                numbers += [found.st_ino, found.st_mtime_ns]
                newest = max(newest, found.st_mtime_ns)
        now = time.time_ns()
        if now - newest < RACY_NS:
            numbers.append(now)
        return tuple(numbers)

    def pack(self, prefix: str, *, keep_loose: int = 0) -> int:
        """Moves loose refs below `prefix` into packed-refs, in the order that loses none if the process dies.

        Args:
            prefix: below `refs/gitexp/`, where every ref is a commit.
            keep_loose: nothing happens while no more than this many are loose.

        Returns:
            How many were packed; 0 too where other processes keep packed-refs busy.
        """
        if not prefix.startswith(OURS):
            raise InvalidName(f"gitexp only packs refs below '{OURS}', not {prefix!r}.")
        if len(list(self._loose(prefix))) <= keep_loose:
            return 0
        values = {name: _parse(stored) for name, path in self._loose(prefix) if (stored := _read(path)) is not None}
        sound = {name: value for name, value in values.items() if value and _HEX.match(value) and is_ref_name(name)}
        try:
            with self._rewriting_packed(sound):
                pass
        except Conflict:
            return 0
        self._prune_loose(sound)
        self.sweep_stale(prefix)
        return len(sound)

    def sweep_stale(self, prefix: str) -> int:
        """Removes locks and temporary files that dead processes left. Returns how many went.

        Args:
            prefix: below `refs/gitexp/`; where to look for locks.
        """
        gone = durable.sweep(self._temporary, LEFT_BEHIND_S)
        for folder, _, names in os.walk(self._path(_folder_of(prefix))):
            gone += sum(self._break_stale(f"{folder}/{name}") for name in names if name.endswith(".lock"))
        return gone

    def _value(self, name: str) -> str | None:
        """What a ref says: a hex id, or `ref: <another>`."""
        stored = _read(self._path(name))
        if stored is None:
            return PackedRefs(self._packed_path).find(name)
        value = _parse(stored)
        if value is None:
            raise CorruptData(
                f"The ref {name!r} is damaged: its file '{self._path(name)}' holds {stored[:60]!r}.",
                hint="Type: gitexp fsck",
            )
        return value

    def _is_at(self, name: str, old: str | None) -> bool:
        try:
            value = self._value(name)
        except CorruptData:
            return old is None
        return value is not None and old in (None, value)

    def _survey(self, prefix: str) -> tuple[dict[str, str], _Names]:
        loose: dict[str, str] = {}
        broken = []
        # Loose before packed: a ref that is packed between the two is then seen twice, not missed.
        for name, path in self._loose(prefix):
            stored = _read(path)
            if stored is None:
                continue
            value = _parse(stored) if is_ref_name(name) else None
            if value is not None and value.startswith("ref:"):
                with suppress(CorruptData):
                    value = self.read(name)
            if value is None or not _HEX.match(value):
                broken.append(name)
            else:
                loose[name] = value
        refs, damaged = PackedRefs(self._packed_path).below(prefix)
        for name in broken:
            refs.pop(name, None)
        refs.update(loose)
        return refs, broken + damaged

    def _loose(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Name and path of each loose ref whose name begins with `prefix`."""
        root = _folder_of(prefix)
        top = self._path(root).rstrip("/")
        for folder, names in _folders(top):
            above = root + folder[len(top) + 1 :] + "/" if folder != top else root
            for name in names:
                if (above + name).startswith(prefix):
                    yield above + name, f"{folder}/{name}"

    def _path(self, name: str) -> str:
        own = not name.startswith("refs/") or name.startswith(_OF_A_WORKTREE)
        return f"{self._git_dir if own else self._common_dir}/{name}"

    def _link(self, temporary: str, path: str) -> bool:
        """Links a ref or a lock into place, making the folder, which git may remove whenever it is empty."""
        for _ in range(_ATTEMPTS):
            try:
                if durable.link_new(temporary, path):
                    return True
                if not os.path.isdir(path):
                    return False
                _remove_empty(path)
            except FileNotFoundError:
                durable.make_folder(os.path.dirname(path))
        raise Conflict(f"The folder of '{path}' keeps vanishing.", hint="Try again.")

    def _refuse_neighbours(self, packed: PackedRefs, name: str) -> None:
        """Two refs cannot be `a` and `a/b`."""
        parts = name.split("/")
        above = ["/".join(parts[:length]) for length in range(2, len(parts))]
        taken = next((one for one in above if os.path.isfile(self._path(one)) or packed.find(one)), None)
        if taken is None and (os.path.isdir(self._path(name)) or packed.below(name + "/")[0]):
            taken = next(iter(self.list(name + "/")), None)
        if taken is not None:
            raise Conflict(f"There cannot be a ref {name!r} beside {taken!r}.", hint=f"Type: git update-ref -d {taken}")

    def _was_packed_meanwhile(self, before: PackedRefs, name: str, commit: str) -> bool:
        """Whether git packed another's ref between our look at packed-refs and our link; then ours goes."""
        if identity_of(self._packed_path) == before.identity:
            return False
        packed = PackedRefs(self._packed_path).find(name)
        if packed is None or packed == commit:
            return False
        path = self._path(name)
        with self._lock(path, b""):
            if _read(path) == _content(commit):
                os.unlink(path)
        return True

    @contextmanager
    def _lock(self, path: str, content: bytes, *, durably: bool = False) -> Iterator[str]:
        """Holds `<path>.lock`, a whole file with `content`; renaming it away is how to commit."""
        temporary = durable.write_temporary(self._temporary, content, durable=durably)
        lock = f"{path}.lock"
        alive = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX)  # the kernel lets go of it when we die: `_break_stale` asks
            self._acquire(temporary, lock)
            held = os.stat(lock).st_ino
            try:
                yield lock
            finally:
                with suppress(FileNotFoundError):
                    if os.stat(lock).st_ino == held:
                        os.unlink(lock)
        finally:
            os.close(alive)
            durable.remove(temporary)

    def _acquire(self, temporary: str, lock: str) -> None:
        def try_it() -> bool:
            return self._link(temporary, lock) or (self._break_stale(lock) and self._link(temporary, lock))

        self._wait_for(try_it, lock)

    def _wait_for(self, try_it: Callable[[], bool], lock: str) -> None:
        give_up = time.monotonic() + self._patience_s
        pause = 0.002 * (1 + os.getpid() % 7 / 7)
        while not try_it():
            if time.monotonic() > give_up:
                raise Conflict(
                    f"Another process holds the lock '{lock}'.",
                    hint=f"If no git and no gitexp is running, type: rm '{lock}'",
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.2)

    def _break_stale(self, lock: str) -> bool:
        """Removes a lock that a dead gitexp left. The flock sees to it that only one process removes that very file."""
        try:
            with open(lock, "rb", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                there, mine = os.stat(lock), os.fstat(file.fileno())
                ours = lock.startswith(f"{self._common_dir}/{OURS}") or file.read(16) == _OUR_LOCK
                # A second name is the temporary file's: a gitexp made it, which held a flock while it lived.
                dead = mine.st_nlink > 1 or time.time() - mine.st_mtime > STALE_S
                if not ours or not dead or there.st_ino != mine.st_ino:
                    return False
                os.unlink(lock)
                return True
        except OSError:
            return False

    @contextmanager
    def _packed_held(self, how: int) -> Iterator[None]:
        """A flock that keeps packed-refs as it is (shared) while a ref is created, or is held to change it (exclusive).

        Without it a ref could be made, packed and unlinked by others between a creator's look at packed-refs and its
        link, and then be made again.
        """
        durable.make_folder(os.path.dirname(self._held_path))
        with durable.storing(self._held_path):
            descriptor = os.open(self._held_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._wait_for(lambda: _try_flock(descriptor, how), self._held_path)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    @contextmanager
    def _rewriting_packed(self, changes: Mapping[str, str | None]) -> Iterator[None]:
        """Changes packed-refs; the body runs while it is still locked, so that nobody packs what is being deleted."""
        for _ in range(_ATTEMPTS):
            packed = PackedRefs(self._packed_path)
            needed = {name: value for name, value in changes.items() if value or packed.find(name) is not None}
            temporary = durable.write_temporary(self._temporary, packed.edited(needed)) if needed else ""
            try:
                with self._packed_held(fcntl.LOCK_EX), self._lock(self._packed_path, _OUR_LOCK):
                    if identity_of(self._packed_path) != packed.identity or self._some_vanished(changes):
                        continue
                    if temporary:
                        with durable.storing(self._packed_path):
                            os.rename(temporary, self._packed_path)
                        durable.sync_folder(self._common_dir)
                    yield
                    return
            finally:
                durable.remove(temporary)
        raise Conflict(f"Other processes keep changing '{self._packed_path}'.", hint="Try again.")

    def _some_vanished(self, changes: Mapping[str, str | None]) -> bool:
        """Whether a loose ref that is to be packed has been deleted since it was read."""
        return any(value and not os.path.exists(self._path(name)) for name, value in changes.items())

    def _prune_loose(self, packed: Mapping[str, str]) -> None:
        """Removes loose refs that packed-refs holds now, each under its own lock and only if it still says the same."""
        temporary = durable.write_temporary(self._temporary, b"", durable=False)
        alive = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX)  # as in `_lock`: without it others would break our locks as a dead one's
            for name, value in packed.items():
                path = self._path(name)
                with suppress(OSError, StorageFailed):
                    if not durable.link_new(temporary, f"{path}.lock"):
                        continue
                    try:
                        if _parse(_read(path) or b"") == value:
                            os.unlink(path)
                    finally:
                        os.unlink(f"{path}.lock")
        finally:
            os.close(alive)
            durable.remove(temporary)


def check_name(name: str) -> str:
    """`name` if git takes it for a ref.

    Raises:
        InvalidName: it does not.
    """
    if not is_ref_name(name):
        raise InvalidName(f"{name!r} cannot be the name of a ref.")
    return name


def _content(commit: str) -> bytes:
    if not _HEX.match(commit):
        raise InvalidName(f"{commit!r} is not the id of a git object.")
    return commit.encode() + b"\n"


def _parse(stored: bytes) -> str | None:
    """A hex id or `ref: <another>`, None where the file holds neither."""
    text = os.fsdecode(stored).rstrip()
    return text if _HEX.match(text) or (text.startswith("ref:") and text[4:].strip()) else None


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(4096)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise durable.failure("read", path, error) from error


def _try_flock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder_of(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]


def _folders(top: str) -> Iterator[tuple[str, list[str]]]:
    """Each folder below `top`, itself included, with the names of the files git would take for refs; sorted."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        names, below = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.path)
                    elif not entry.name.startswith(".") and not entry.name.endswith(".lock"):
                        names.append(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield folder, names
        waiting += sorted(below, reverse=True)


def _remove_empty(folder: str) -> None:
    """Removes a folder that holds nothing but empty folders; git leaves such behind."""
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(path)
    if os.path.isdir(folder):
        raise Conflict(f"There cannot be a ref '{folder}' beside those below it.")
