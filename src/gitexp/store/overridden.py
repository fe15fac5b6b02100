"""Files of the user's that hold other values while a run goes on, and how they come back, whatever dies.

Below `<git dir>/gitexp/overrides/` lie two files for each such file, named by a digest of its path: `*.lock`, locked by
the launcher and all that it started, and `*.saved`: one line of JSON, the original bytes, and the bytes written in
their place. `*.saved` is durable before the user's file is touched, and goes when it is back. The user's file is
written in place, so that its owner, its links and whoever has it mounted see the same file; a write that was cut short
is recognised, because what lies there then is a beginning of the one and an end of the other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gitexp.domain.spans import Path, value_at
from gitexp.errors import Conflict, CorruptData, GitexpError
from gitexp.store.git.durable import failure, make_folder, replace, write_all, write_new
from gitexp.store.paramfile import Edit, ParamFile, read_file

_LOCK, _SAVED = ".lock", ".saved"
_FORMAT = 1
_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """A file that holds its own values again. `remark`: what is to be said of it, where it was not put back whole."""

    path: str
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What is known of a file that holds other values.

    Attributes:
        path: absolute. shown: as the errors of its run name it.
        edits: where it was changed, and whether something new stands there.
        pid, command: the launcher's process and what it launched.
    """

    path: str
    shown: str
    mode: int
    mtime_ns: int
    edits: tuple[tuple[Path, bool], ...]
    pid: int
    command: str
    original: bytes
    written: bytes


class HeldFile:
    """A file that this process alone may change, until it is released.

    Attributes:
        lock_fd: a child that inherits it holds the file too.
    """

    def __init__(self, path: str, base: str, lock_fd: int) -> None:
        self.path = path
        self.lock_fd = lock_fd
        self._base = base

    def change(self, original: ParamFile, changed: ParamFile, edits: Sequence[Edit], command: str) -> None:
        """Write `changed` in the place of `original`, which is what the file holds.

        Raises:
            StorageFailed: the original cannot be kept, or the file cannot be written; it is as it was.
        """
        try:
            status = os.stat(self.path)
            saved = Saved(
                path=self.path,
                shown=original.path,
                mode=status.st_mode & 0o7777,
                mtime_ns=status.st_mtime_ns,
                edits=tuple((edit.path, edit.is_new) for edit in edits),
                pid=os.getpid(),
                command=command,
                original=original.content,
                written=changed.content,
            )
            replace(self._base + _SAVED, _encode(saved), mode=0o600)
            _write(self.path, changed.content)
        except OSError as error:
            with suppress(OSError):
                self.put_back()
            raise failure("write", original.path, error) from error

    def put_back(self) -> PutBack | None:
        """Undo `change`; None where nothing is to be undone. Raises OSError, CorruptData; a later try may succeed."""
        saved = _read_saved(self._base + _SAVED)
        if saved is None:
            return None
        remark = _restore(saved, os.path.dirname(self._base))
        os.unlink(self._base + _SAVED)
        return PutBack(path=saved.shown, remark=remark)

    def release(self) -> None:
        """Let go, for those that inherited the lock too."""
        if self.lock_fd < 0:
            return
        with suppress(OSError):
            if not os.path.exists(self._base + _SAVED):
                os.unlink(self._base + _LOCK)
                os.rmdir(os.path.dirname(self._base))  # where it is not empty, that says so
        fcntl.flock(self.lock_fd, fcntl.LOCK_UN)
        os.close(self.lock_fd)
        self.lock_fd = -1


class OverriddenFiles:
    """The files that hold other values while runs go on.

    Args:
        folder: where their originals lie meanwhile; made when it is needed.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def hold(self, path: str, shown: str) -> HeldFile:
        """Hold the file at the absolute `path`; what a dead run left in it is undone first.

        Raises:
            Conflict: another run holds it.
            StorageFailed, CorruptData
        """
        base = os.path.join(self.folder, hashlib.sha256(os.fsencode(path)).hexdigest()[:32])
        for _ in range(_TRIES):
            make_folder(self.folder)
            try:
                fd = os.open(base + _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:  # the last one that held a file has just removed the folder
                continue
            except OSError as error:
                raise failure("write", base + _LOCK, error) from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(fd)
                raise _held_by(_saved_or_none(base + _SAVED), shown) from error
            if _is_same_file(fd, base + _LOCK):
                break
            os.close(fd)  # its last holder has just removed it
        else:
            raise Conflict(f"'{shown}' is held by one run after the other.", hint="Try again.")
        held = HeldFile(path, base, fd)
        try:
            held.put_back()
        except OSError as error:
            held.release()
            raise failure("put back", shown, error) from error
        except GitexpError:
            held.release()
            raise
        return held

    def recover(self) -> list[PutBack]:
        """Put back every file whose run is gone."""
        found = []
        for base in self._bases():
            held = self._take_over(base)
            if held is None:
                continue
            try:
                back = held.put_back()
            except (OSError, GitexpError) as error:
                back = PutBack(path=held.path, remark=f"It cannot be put back: {error}")
            finally:
                held.release()
            if back:
                found.append(back)
        return found

    def held(self) -> list[Saved]:
        """The files that hold other values now, for runs that go on."""
        found = []
        for base in self._bases():
            saved = _saved_or_none(base + _SAVED)
            if saved is not None:
                found.append(saved)
        return found

    def _bases(self) -> Iterator[str]:
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in sorted(names):
            if name.endswith(_SAVED):
                yield os.path.join(self.folder, name.removesuffix(_SAVED))

    def _take_over(self, base: str) -> HeldFile | None:
        """The lock that nobody holds; None for all but one who asks, and where we may not."""
        try:
            fd = os.open(base + _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        if not _is_same_file(fd, base + _LOCK):
            os.close(fd)
            return None
        saved = _saved_or_none(base + _SAVED)
        return HeldFile(saved.shown if saved else base + _SAVED, base, fd)


def _restore(saved: Saved, folder: str) -> str:
    """Give the file its own values again; what is to be said of it, if it is not as it was before."""
    now = _read_or_none(saved.path)
    if now == saved.original:
        return ""
    if now is not None and _is_ours(now, saved):
        _write(saved.path, saved.original)
        os.utime(saved.path, ns=(saved.mtime_ns, saved.mtime_ns))
        if os.stat(saved.path).st_mode & 0o7777 != saved.mode:
            os.chmod(saved.path, saved.mode)
        return ""
    undone = None if now is None else _undone(saved, now)
    if undone is None:
        what = "was removed" if now is None else "was changed in a way that leaves no safe way back"
        kept = _keep_beside(saved, folder)
        return f"It {what} while the run went on, and is left so. As it was before the run: '{kept}'."
    if undone != now:
        _write(saved.path, undone)
    return "It was changed while the run went on: that stays, and the values that were set for the run are taken back."


def _is_ours(now: bytes, saved: Saved) -> bool:
    """Whether this is what was written, or a write of it, or of the original over it, that was cut short."""
    for new, old in ((saved.written, saved.original), (saved.original, saved.written)):
        pairs = enumerate(zip(now, new, strict=False))
        done = next((at for at, (one, other) in pairs if one != other), min(len(now), len(new)))
        if now == new or now[done:] == old[done:]:
            return True
    return False


def _undone(saved: Saved, now: bytes) -> bytes | None:
    """The file without our values, all else as it is now; None where that is not safe to say."""
    original, written = ParamFile(saved.shown, saved.original), ParamFile(saved.shown, saved.written)
    current = ParamFile(saved.shown, now)
    try:
        values = written.values()
        for path, is_new in reversed(saved.edits):
            edit = Edit(path=path, value=value_at(values, path), is_new=is_new)
            current = current.without_edit(edit, original) or current
    except (GitexpError, LookupError, ValueError):
        return None
    return current.content


def _keep_beside(saved: Saved, folder: str) -> str:
    """Put the original where a person finds it."""
    above, name = os.path.split(saved.path)
    beside = os.path.join(above if os.path.isdir(above) else folder, name)
    for number in range(1, _TRIES):
        path = f"{beside}.orig" if number == 1 else f"{beside}.orig{number}"
        if write_new(path, saved.original, mode=saved.mode) or _read_or_none(path) == saved.original:
            return path
    raise OSError(f"there are too many files like '{beside}.orig'")


def _write(path: str, content: bytes) -> None:
    """Write in place, and forget what Python compiled of a script: it tells by size and second whether it is newer."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_all(descriptor, content)
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if path.endswith(".py"):
        cache = os.path.join(os.path.dirname(path), "__pycache__")
        stem = os.path.basename(path).removesuffix(".py")
        with suppress(OSError):
            for name in os.listdir(cache):
                if name.startswith(f"{stem}.") and name.endswith(".pyc"):
                    os.unlink(os.path.join(cache, name))


def _read_or_none(path: str) -> bytes | None:
    try:
        return read_file(path, path).content
    except (FileNotFoundError, NotADirectoryError, CorruptData):
        return None


def _encode(saved: Saved) -> bytes:
    header = {
        "format": _FORMAT,
        "path": saved.path,
        "shown": saved.shown,
        "mode": saved.mode,
        "mtime_ns": saved.mtime_ns,
        "edits": [[list(path), is_new] for path, is_new in saved.edits],
        "pid": saved.pid,
        "command": saved.command,
        "original_bytes": len(saved.original),
    }
    return json.dumps(header).encode() + b"\n" + saved.original + saved.written


def _read_saved(path: str) -> Saved | None:
    """None where there is none. Raises OSError, CorruptData."""
    try:
        with open(path, "rb") as file:
            line, _, rest = file.read().partition(b"\n")
    except FileNotFoundError:
        return None
    try:
        header: dict[str, Any] = json.loads(line)
        if header["format"] != _FORMAT:
            raise CorruptData(f"'{path}' was written by a newer gitexp.")
        size = header["original_bytes"]
        return Saved(
            path=header["path"],
            shown=header["shown"],
            mode=header["mode"],
            mtime_ns=header["mtime_ns"],
            edits=tuple((tuple(where), bool(is_new)) for where, is_new in header["edits"]),
            pid=header["pid"],
            command=header["command"],
            original=rest[:size],
            written=rest[size:],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData(f"'{path}' is damaged: {error}.") from error


def _saved_or_none(path: str) -> Saved | None:
    try:
        return _read_saved(path)
    except (OSError, CorruptData):
        return None


def _held_by(saved: Saved | None, shown: str) -> Conflict:
    who = f"'{saved.command}' (process {saved.pid})" if saved else "another run"
    return Conflict(
        f"'{shown}' holds values that were set for {who}, which goes on.",
        hint="Wait until it has ended, or give each run a file of its own to set values in.",
    )


def _is_same_file(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
