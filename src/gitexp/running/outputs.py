"""Artifacts of a command: the files that it made or changed, those that were declared and those that git would add."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from gitexp.domain.keys import is_git_folder
from gitexp.domain.pointer import SMALL
from gitexp.errors import GitexpError
from gitexp.running.child import ChildResult
from gitexp.running.globs import Globs
from gitexp.running.watching import Launch, Watcher
from gitexp.store.git.changes import ChangedFile
from gitexp.store.git.wildmatch import GLOB_SPECIAL

if TYPE_CHECKING:
    from gitexp.repo import Repository
    from gitexp.running.launch import LaunchRequest

MOST_FILES = 10_000
"""Of undeclared files; of more, the largest are left out."""

MOST_IN_COMMIT = 100 << 20
"""Bytes of undeclared files so small that they become a part of the run's commit, which git has to carry."""

MOST_ADDED = 10_000
"""Files of one added folder; a larger one is not looked through before and after each run."""

NAMED = 5
"""How many files a warning names."""

LEFT_BEHIND = frozenset({"catboost_info"})
"""Folders that libraries leave wherever a script works; what they hold is recorded as metrics."""

_BLOCK = 1 << 20

_Stamp = tuple[int, int, int]


class _Found(NamedTuple):
    """A file to keep: its name in the run, and where it is."""

    name: str
    path: str
    size_bytes: int


class Outputs(Watcher):
    """What of the files in the work tree, and of the declared ones wherever they are, becomes an artifact.

    Declared files count if they were written, whatever they held before; others if their content is another one.

    Args:
        but: absolute paths of files that gitexp itself changes meanwhile.
    """

    def __init__(self, here: Launch, request: LaunchRequest, *, but: Iterable[str] = ()) -> None:
        self._recorder = here.recorder
        self._root = os.path.realpath(here.root or here.directory)
        config = here.recorder.repository.config
        self._but = {os.path.realpath(path) for path in but}
        self._untracked = config.outputs_untracked
        self._most_bytes = config.snapshot_max_total_bytes
        self._folders = (os.path.realpath(here.directory), self._root)
        self._asked_for = request.outputs
        added = _added_data(here.recorder.repository, self._root)
        declared = (*config.outputs, *request.outputs, *request.expected_outputs, *added)
        self._declared = Globs(declared, self._folders)
        self._before = {path: _stamp(status) for path, status in self._declared.files().items()}
        self._changes: list[ChangedFile] | None = None
        self._added: list[str] = []

    def changes(self) -> list[ChangedFile]:
        """The untracked files that were made or changed, looked for once. Call it when the command has ended."""
        if self._changes is None:
            self._changes = []
            try:
                self._changes = self._recorder.seen.changed() if self._recorder.seen is not None else []
            except (GitexpError, OSError) as error:
                self._recorder.trouble(error)
        return self._changes

    def add(self, paths: Iterable[str]) -> None:
        """Keep these files as well."""
        self._added += paths

    def finish(self, child: ChildResult) -> None:
        declared = self._find_declared()
        if child.exit_code == 0:
            self._tell_of_idle(declared)
        undeclared = self._find_undeclared({file.path for file in declared}) if self._untracked else []
        if declared or undeclared:
            self._keep([*declared, *self._limited(undeclared)])

    def _find_declared(self) -> list[_Found]:
        files = self._declared.files()
        for path in self._added:
            with suppress(OSError):
                files[path] = os.lstat(path)
        found = []
        for path, status in files.items():
            if self._before.get(path) == _stamp(status) or self._is_ours(path):
                continue
            if self._is_secret(path):
                self._recorder.warn(f"'{self._name(path)}' is not kept as an artifact: its name is that of a secret.")
                continue
            if stat.S_ISLNK(status.st_mode):
                leads_to = self._target(path)
                if leads_to is None or not self._declared.matches(leads_to) or not self._is_new(leads_to):
                    continue
            elif not stat.S_ISREG(status.st_mode):
                continue
            found.append(_Found(self._name(path), path, status.st_size))
        return found

    def _tell_of_idle(self, declared: list[_Found]) -> None:
        """A pattern of an option that led to nothing may be mistyped."""
        for pattern in self._asked_for:
            globs = Globs((pattern,), self._folders)
            if pattern.startswith("!") or any(globs.matches(file.path) for file in declared):
                continue
            files = globs.files()
            if not files:
                self._recorder.warn(f"No file matches --output '{pattern}'.")
            elif all(self._before.get(path) == _stamp(status) for path, status in files.items()):
                self._recorder.warn(f"The command wrote no file that matches --output '{pattern}'; {_there(files)}.")

    def _find_undeclared(self, declared: set[str]) -> list[_Found]:
        """Without links but those to files that are kept, too."""
        paths = {os.path.join(self._root, change.path): change for change in self.changes()}
        paths = {path: change for path, change in paths.items() if path not in self._but}
        real = {os.path.realpath(path) for path, change in paths.items() if not change.is_link}
        real |= {os.path.realpath(path) for path in declared}
        found = []
        for path, change in paths.items():
            if path in declared or (change.is_link and self._target(path) not in real):
                continue
            if not LEFT_BEHIND.isdisjoint(change.path.split("/")[:-1]):
                continue
            size = os.stat(path).st_size if change.is_link else change.size_bytes
            found.append(_Found(change.path, path, size))
        return found

    def _limited(self, files: list[_Found]) -> list[_Found]:
        """The smallest, as many as are kept without being asked for; tells of the others."""
        kept: list[_Found] = []
        total = in_commit = 0
        files = sorted(files, key=lambda file: file.size_bytes)
        for file in files[:MOST_FILES]:
            total += file.size_bytes
            in_commit += file.size_bytes if file.size_bytes <= SMALL else 0
            if total > self._most_bytes or in_commit > MOST_IN_COMMIT:
                break
            kept.append(file)
        if rest := files[len(kept) :]:
            named = ", ".join(f"'{file.name}' ({_shown(file.size_bytes)})" for file in rest[: -NAMED - 1 : -1])
            self._recorder.warn(
                f"{len(rest):,} of {len(files):,} new files ({_shown(sum(file.size_bytes for file in rest))}) are not"
                f" kept as artifacts: there are more than {MOST_FILES:,}, or small ones of more than"
                f" {_shown(MOST_IN_COMMIT)}, or all together are larger than snapshot.max_total. The largest: {named}."
                " Declare them as outputs, or let git ignore them."
            )
        return kept

    def _keep(self, files: list[_Found]) -> None:
        recorder = self._recorder
        logged = _Logged(recorder.folder)
        for file in sorted(files):
            try:
                before = os.stat(file.path)
                if logged.holds_content_of(file.path, before.st_size):
                    continue
                if file.name in logged.names:
                    recorder.warn(f"'{file.name}' is not kept as it was in the end: another file was logged as that.")
                    continue
                recorder.add_file(file.path, file.name)
                if _stamp(os.stat(file.path)) != _stamp(before):
                    recorder.warn(f"'{file.name}' was still being written when it was kept.")
            except (GitexpError, OSError) as error:
                reason = str(error) if isinstance(error, GitexpError) else f"{error.strerror or error}."
                recorder.warn(f"'{file.name}' is not kept as an artifact. {reason}")

    def _name(self, path: str) -> str:
        """From the root of the repository; of what lies outside it, all of its path."""
        if path.startswith(self._root.rstrip("/") + "/"):
            return os.path.relpath(path, self._root)
        return path.lstrip("/")

    def _target(self, path: str) -> str | None:
        """The file a link leads to; None where it is none or lies outside the repository and the declared paths."""
        target = os.path.realpath(path)
        inside = target.startswith(self._root.rstrip("/") + "/") or self._declared.matches(target)
        return target if inside and os.path.isfile(target) else None

    def _is_new(self, path: str) -> bool:
        return self._before.get(path) != _stamp(os.stat(path))

    def _is_ours(self, path: str) -> bool:
        git = self._recorder.repository.git
        return any(is_git_folder(part) for part in self._name(path).split("/")) or path.startswith(
            (git.git_dir + "/", git.common_dir + "/")
        )

    def _is_secret(self, path: str) -> bool:
        from gitexp.store.git.settings import secret_patterns  # costs, and only what was declared is asked about

        lower = os.fsencode(self._name(path)).lower()
        patterns = secret_patterns(self._recorder.repository.config.snapshot_secrets)
        return bool(patterns.decide(lower, lower.rpartition(b"/")[2], is_folder=False))


class _Logged:
    """The artifacts that a live run has already."""

    def __init__(self, folder: str) -> None:
        from gitexp.store.playback import read_events  # only where something is to be kept

        self.names: set[str] = set()
        self._digests: dict[int, set[str]] = {}
        for event in read_events(folder):
            if event.kind == "file":
                data = event.data or b""
                self._add(event.payload["path"], len(data), hashlib.sha256(data).hexdigest())
            elif event.kind == "artifact":
                self._add(event.payload["path"], event.payload["size"], event.payload["sha256"])

    def _add(self, name: str, size: int, digest: str) -> None:
        self.names.add(name)
        self._digests.setdefault(size, set()).add(digest)

    def holds_content_of(self, path: str, size: int) -> bool:
        """Whether the script logged the file at `path` under whatever name."""
        if size == 0 or size not in self._digests:
            return False
        with open(path, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() in self._digests[size]


def _stamp(status: os.stat_result) -> _Stamp:
    """Differs once a file was written. Not its ctime, which a backup or a hard link changes as well."""
    return status.st_mtime_ns, status.st_size, status.st_ino


def _added_data(repository: Repository, root: str) -> list[str]:
    """Patterns for what `gitexp add` was given: whoever makes it keeps it, as those do who read it."""
    if not os.path.isdir(repository.added_dir):
        return []
    found = []
    for name, contents in repository.added.list().items():
        path = os.path.join(root, name)
        if len(contents) <= MOST_ADDED and GLOB_SPECIAL.isdisjoint(os.fsencode(path)):
            found += [path, os.path.join(path, "**")]
    return found


def _there(files: Mapping[str, object]) -> str:
    return "one was there before" if len(files) == 1 else f"{len(files):,} were there before"


def _shown(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.1f} KiB"
