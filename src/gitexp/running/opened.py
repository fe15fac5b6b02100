"""Inputs that nobody named: the files of the repository that a run opened for reading and that git does not track."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from contextlib import suppress

from gitexp.domain.run import Input
from gitexp.running.capture import FOLDER
from gitexp.running.child import ChildResult
from gitexp.running.watching import Launch, Watcher
from gitexp.store.hashes import FileHashes
from gitexp.store.manifests import SKIPPED, ReadInput, files_below, read_file, read_folder, storable

OPENED = "GITEXP_OPENED"
"""The variable that names, to the launched Python, the folder below which files count."""

MOST_INPUTS = 100
"""More files than that are recorded as the folders they are in."""

MOST_FILES = 10_000
MOST_BYTES = 1 << 30
"""Files, and bytes, that are read for one run to know their digests, besides those that look as they did before."""

TRACKERS = frozenset({"mlruns", "mlartifacts", "wandb"})
"""Folders in which others keep their books."""

REPORTS = "opened-"


class Opened(Watcher):
    """What the Python processes of a launch opened for reading, as far as it lies in the work tree.

    Left out are tracked files (they are part of the code), what was written meanwhile, and names of secrets.
    """

    def __init__(self, here: Launch) -> None:
        self._recorder = here.recorder
        self._root = os.path.realpath(here.root or here.directory)
        self._given_root = here.root or here.directory
        self._began_ns = time.time_ns()
        self._folder = ""

    def prepare(self, environ: dict[str, str]) -> None:
        if self._recorder.seen is not None and FOLDER in environ:
            self._folder = environ[FOLDER]
            environ[OPENED] = self._given_root

    def finish(self, child: ChildResult) -> None:  # noqa: ARG002
        reported, is_all = self._reported()
        files = self._inputs_among(reported)
        names = _gathered(files)
        if names:
            self._recorder.log_inputs(self._read(names[:MOST_INPUTS]), opened=True)
        if not is_all or len(names) > MOST_INPUTS:
            self._recorder.warn(
                "The run opened so many files that not all of them are known. Name inputs with --input."
            )

    def _reported(self) -> tuple[set[str], bool]:
        """Paths from the root, and whether these are all."""
        found: set[str] = set()
        is_all = True
        names: list[str] = []
        with suppress(OSError):
            names = [name for name in os.listdir(self._folder) if name.startswith(REPORTS)] if self._folder else []
        roots = {self._root.rstrip("/") + "/", os.path.abspath(self._given_root).rstrip("/") + "/"}
        for name in names:
            with suppress(OSError), open(os.path.join(self._folder, name), "rb") as file:
                for line in file.read().split(b"\0")[:-1]:
                    path = os.fsdecode(line)
                    is_all = is_all and bool(path)
                    found.update(path.removeprefix(root) for root in roots if path.startswith(root))
        return found, is_all

    def _inputs_among(self, paths: Iterable[str]) -> list[str]:
        found = []
        for path in sorted(paths):
            parts = path.split("/")
            hidden = any(part.startswith(".") for part in parts[:-1])
            if hidden or not SKIPPED.isdisjoint(parts) or parts[0] in TRACKERS:
                continue
            with suppress(OSError):
                status = os.stat(os.path.join(self._root, path))
                if stat.S_ISREG(status.st_mode) and status.st_mtime_ns < self._began_ns:
                    found.append(path)
        if not found or self._recorder.seen is None:
            return []
        tracked = self._recorder.seen.tracked(found)
        return [path for path in found if path not in tracked and not self._is_secret(path) and not self._is_venv(path)]

    def _is_secret(self, path: str) -> bool:
        from gitexp.store.git.settings import secret_patterns  # costs, and most runs read nothing but code

        lower = os.fsencode(path).lower()
        patterns = secret_patterns(self._recorder.repository.config.snapshot_secrets)
        return bool(patterns.decide(lower, lower.rpartition(b"/")[2], is_folder=False))

    def _is_venv(self, path: str) -> bool:
        top = path.partition("/")[0]
        return os.path.exists(os.path.join(self._root, top, "pyvenv.cfg"))

    def _read(self, names: Iterable[str]) -> list[ReadInput]:
        found = []
        left_files, left_bytes = MOST_FILES, MOST_BYTES
        too_large = []
        for name in names:
            path = os.path.join(self._root, name)
            hashes = FileHashes(os.path.join(self._recorder.repository.git.gitexp_dir, "hashes"), path)
            try:
                is_folder = os.path.isdir(path)
                new_files, new_bytes = _to_read(files_below(path) if is_folder else (path,), hashes, left_files)
                if new_files > left_files or new_bytes > left_bytes:
                    too_large.append(name)
                    found.append(_unread(name, path, is_folder=is_folder))
                    continue
                left_files, left_bytes = left_files - new_files, left_bytes - new_bytes
                found.append(read_folder(name, path, hashes) if is_folder else read_file(name, path, hashes))
                hashes.save()
            except OSError:  # gone, or not ours to read any more
                continue
        if too_large:
            self._recorder.warn(
                f"'{too_large[0]}'{_others(len(too_large) - 1)} that the run opened is recorded by size and time only: "
                f"to know their digests, more than {MOST_BYTES >> 30} GiB or {MOST_FILES:,} files had to be read. "
                "Name inputs with --input to have all of them read."
            )
        return found


def _gathered(paths: list[str]) -> list[str]:
    """The paths, sorted; as long as there are more than `MOST_INPUTS`, of the deepest the folders that they are in."""
    names = set(paths)
    while len(names) > MOST_INPUTS:
        deepest = max(name.count("/") for name in names)
        if not deepest:
            break
        names = {name.rpartition("/")[0] if name.count("/") == deepest else name for name in names}
        names = {name for name in names if not any(name.startswith(f"{other}/") for other in _tops(names, name))}
    return sorted(names)


def _tops(names: set[str], name: str) -> list[str]:
    """The folders above `name` that are among `names`."""
    return [name[:end] for end, character in enumerate(name) if character == "/" and name[:end] in names]


def _to_read(paths: Iterable[str], hashes: FileHashes, most: int) -> tuple[int, int]:
    """How many files, and bytes, have to be read to know their digests; counting ends beyond `most` files."""
    count = total = 0
    for path in paths:
        if not hashes.is_known(path):
            count += 1
            total += os.stat(path).st_size
        if count > most:
            break
    return count, total


def _unread(name: str, path: str, *, is_folder: bool) -> ReadInput:
    status = os.stat(path)
    made = Input(
        kind="folder" if is_folder else "file",
        name=storable(name),
        size_bytes=None if is_folder else status.st_size,
        modified=status.st_mtime,
    )
    return ReadInput(input=made, path=path, top=name)


def _others(count: int) -> str:
    return f" and {count:,} more" if count else ""
