"""Where built environments lie: one folder each, valid once its marker is there, held by a lock while it is built."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from gitexp.store.git import durable

MARKER = "built.json"
USED = "used"
PREFIX = "prefix"
ROOT = "root"
FORMAT = 1

UNUSED_S = 30 * 24 * 3600.0
"""An environment that was not used for as long is removed by `gitexp gc --environments`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What is known of a built environment; written last.

    Attributes:
        digest: of the specification. kind: "venv" or "conda". built_with: "uv", "pip" or "conda".
        version: of its Python. site: where its packages lie.
        base: path, size and time of change (ns) of the interpreter that it was made from.
        notes: what its user should know, each time.
        size_bytes: what its files take, also those that uv shares with its own cache.
    """

    digest: str
    kind: str
    built_with: str
    version: str
    site: str
    base: tuple[str, int, int]
    notes: tuple[str, ...] = ()
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An environment in the cache; `used` is seconds since 1970, `is_orphan` whether its work tree is gone."""

    key: str
    size_bytes: int
    used: float
    is_orphan: bool = False

    def is_unused(self, unused_s: float = UNUSED_S) -> bool:
        """Whether nobody used it for so long, or nobody will."""
        return self.is_orphan or self.used <= time.time() - unused_s


def cache_folder(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> str:
    """The user's folder for what gitexp can make again."""
    base = environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), *(["Library", "Caches"] if platform == "darwin" else [".cache"]))
    return os.path.join(base, "gitexp")


class EnvironmentCache:
    """The built environments below one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.join(folder, "environments")

    def place(self, key: str) -> str:
        """The folder of an environment; the environment itself is `prefix` in it."""
        return os.path.join(self.folder, key)

    def look(self, key: str) -> Marker | None:
        """The environment of this key if it is whole and its interpreter is still the same; it counts as used then."""
        place = self.place(key)
        try:
            marker = self._read(key)
            if base_of(marker.base[0]) != marker.base:
                return None
            if not os.access(os.path.join(place, PREFIX, "bin", "python"), os.X_OK):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        with suppress(OSError):  # a cache that others keep may be read-only
            os.utime(os.path.join(place, USED))
        return marker

    def begin(self, key: str) -> str:
        """An empty folder for an environment, whatever a killed build left there. Only with its lock held."""
        place = self.place(key)
        if os.path.isdir(place):
            with durable.storing(place):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(place, MARKER))
                shutil.rmtree(place)
        durable.make_folder(place)
        return place

    def complete(self, key: str, marker: Marker) -> None:
        """Make a built environment valid."""
        place = self.place(key)
        durable.replace(os.path.join(place, USED), b"")
        text = json.dumps({"format": FORMAT, **asdict(marker), "size_bytes": _size(place)}, indent=1)
        durable.replace(os.path.join(place, MARKER), text.encode())

    @contextmanager
    def clearing(self, key: str) -> Iterator[None]:
        """What an error leaves of an environment goes."""
        try:
            yield
        except BaseException:
            shutil.rmtree(self.place(key), ignore_errors=True)
            raise

    @contextmanager
    def locked(self, key: str, on_wait: Callable[[], None]) -> Iterator[int]:
        """Hold an environment's lock; gives the descriptor, for children that are to hold it as long as they live.

        A build that is killed may leave its installer behind, which goes on writing: who comes next waits for that.
        """
        durable.make_folder(self.folder)
        path = f"{self.place(key)}.lock"
        while True:
            with durable.storing(path):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    on_wait()
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not _is_at(descriptor, path):  # removed while we waited
                    continue
                yield descriptor
                return
            finally:
                # What an installer left running in the background shall not hold it any longer.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)

    def entries(self) -> Iterator[Kept]:
        """Every environment, whole or not, and its size."""
        for key in self._keys():
            place = self.place(key)
            with suppress(FileNotFoundError):
                try:
                    size = self._read(key).size_bytes
                except (OSError, ValueError, KeyError, TypeError):
                    size = _size(place)
                yield Kept(key=key, size_bytes=size, used=_used(place), is_orphan=self._is_orphan(key))

    def sweep(self, *, unused_s: float = UNUSED_S) -> list[Kept]:
        """Remove the environments that were not used for so long, and those whose work tree is gone; gives those.

        One that is being built stays.
        """
        unused = [kept for kept in self.entries() if kept.is_unused(unused_s)]
        return [kept for kept in unused if self.remove(kept.key)]

    def sweep_orphans(self) -> None:
        """Remove the environments whose work tree is gone."""
        for key in self._keys():
            if self._is_orphan(key):
                self.remove(key)

    def remove(self, key: str) -> bool:
        """Remove an environment unless somebody builds it; says whether it went."""
        path, place = f"{self.place(key)}.lock", self.place(key)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(place, MARKER))
            shutil.rmtree(place, ignore_errors=True)
            with suppress(FileNotFoundError):
                os.unlink(path)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _read(self, key: str) -> Marker:
        with open(os.path.join(self.place(key), MARKER), encoding="utf-8") as file:
            stored: dict[str, Any] = json.load(file)
        if stored.pop("format") != FORMAT:
            raise ValueError(key)
        path, size, changed = stored.pop("base")
        return Marker(**stored | {"base": (path, size, changed), "notes": tuple(stored["notes"])})

    def _keys(self) -> list[str]:
        try:
            with os.scandir(self.folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def _is_orphan(self, key: str) -> bool:
        try:
            with open(os.path.join(self.place(key), ROOT), encoding="utf-8", errors="surrogateescape") as file:
                return not os.path.isdir(file.read())
        except FileNotFoundError:
            return False


def base_of(path: str) -> tuple[str, int, int]:
    """An interpreter as it can be recognised; another one at the same place looks different.

    Raises:
        OSError: it is not there.
    """
    found = os.stat(path)
    return path, found.st_size, found.st_mtime_ns


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _used(place: str) -> float:
    try:
        return os.stat(os.path.join(place, USED)).st_mtime
    except FileNotFoundError:
        return os.stat(place).st_mtime


def _size(place: str) -> int:
    total = 0
    for folder, _, names in os.walk(place):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
