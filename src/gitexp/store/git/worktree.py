"""Looking at a work tree: what belongs into a snapshot, and how each file looked to stat(2).

Nothing is read here but folders and rule files. What git does in `dir.c` and `diff-lib.c` for `git add -A` decides.
"""

from __future__ import annotations

import marshal
import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gitexp.store.git.index_file import INTENT_TO_ADD, SKIP_WORKTREE, ByFolder, IndexEntry
from gitexp.store.git.nested import checked_out, git_dir_in
from gitexp.store.git.objects import MODE_EXECUTABLE, MODE_FILE, MODE_GITLINK, MODE_SYMLINK
from gitexp.store.git.paths import folder_of

if TYPE_CHECKING:
    from gitexp.store.git.ignore import IgnoreRules, PatternList

SECRET = "secret"
TOO_LARGE = "too large in total"
UNREADABLE = "unreadable"
GONE = "gone"
"""Not a reason a user hears of: it went after the folder was listed."""

RULE = "rule"
"""Not a reason a user hears of: a `.gitignore` or the like that does not count itself is watched all the same."""

RULE_FILES = frozenset({b".gitignore", b".gitattributes", b".gitexpignore"})

Signature = tuple[int, int, int, int]
"""Times of change of content and of inode (ns), size and inode: while they stay, so does the content."""

NEVER: Signature = (0, 0, 0, 0)
"""The signature of what has to be looked at again."""

signature_of: Callable[[os.stat_result], Signature] = attrgetter("st_mtime_ns", "st_ctime_ns", "st_size", "st_ino")

_IGNORED_BY_HFS = "[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]"


class File:
    """One name in a folder that is no folder.

    Attributes:
        mode: as git's trees have it.
        oid: of the blob, None while it is not known.
        unchanged: the id the index has, where it also says that the file is as it was.
        reason: why it is not captured as it is, empty where it is.
        pointer: SHA-256 of the content that went to the object store, where the blob is a pointer.
    """

    __slots__ = ("mode", "name", "oid", "pointer", "reason", "signature", "tracked", "unchanged")

    def __init__(self, name: bytes, signature: Signature, mode: int, tracked: bool, reason: str = "") -> None:
        self.name = name
        self.signature = signature
        self.mode = mode
        self.tracked = tracked
        self.reason = reason
        self.oid: bytes | None = None
        self.unchanged: bytes | None = None
        self.pointer = ""

    @property
    def size(self) -> int:
        """In bytes."""
        return self.signature[2]

    @property
    def counts_untracked(self) -> bool:
        """Whether it is untracked and captured, or would be if there were less."""
        return not self.tracked and self.reason in ("", TOO_LARGE)

    @property
    def is_told(self) -> bool:
        """Whether a user wants to know that it was left out."""
        return self.reason not in ("", RULE, GONE)


class Kept(NamedTuple):
    """An entry that is taken from the index or from a nested repository, not from a file."""

    name: bytes
    mode: int
    oid: bytes


class State(StrEnum):
    """What counts in a folder.

    OPEN: whatever git does not ignore. IGNORED: only what git tracks. ABSENT: it is not there, so only what the index
    keeps for it. CLOSED: nobody may look into it, so all that git tracks stays as it was.
    """

    OPEN = "open"
    IGNORED = "ignored"
    ABSENT = "absent"
    CLOSED = "closed"


class Folder:
    """One folder of the work tree.

    Attributes:
        path: from the root, ending in `/`; the root's is empty.
        signature: its own; NEVER where it has to be looked at again.
        listing: every name in an open one, NUL between them, as the system listed them.
        folders: names of the folders in it that count.
        nested: what `checked_out` said about the folders in it that are or may become repositories, by name; None for
            submodules that are not checked out.
        unreadable: its names could not be listed.
        tracked: what git tracks in it, see `Tracked.encode`.
        tree: the id of its tree, None where it is empty or not known.
    """

    __slots__ = (
        "files", "folders", "kept", "listing", "nested", "path", "signature", "state", "tracked", "tree", "unreadable",
    )  # fmt: skip

    def __init__(self, path: bytes, state: State) -> None:
        self.path = path
        self.state = state
        self.signature = NEVER
        self.listing: bytes | None = None
        self.files: list[File] = []
        self.kept: list[Kept] = []
        self.folders: list[bytes] = []
        self.nested: dict[bytes, bytes | None] = {}
        self.unreadable = False
        self.tracked = b""
        self.tree: bytes | None = None

    def untracked_size(self) -> int:
        """Bytes of the untracked files that are captured, or would be if there were less."""
        return sum(file.size for file in self.files if file.counts_untracked)

    def ids(self) -> set[bytes]:
        """The ids of its tree and of what is directly in it, as far as they are known."""
        ids = {file.oid for file in self.files if file.oid is not None and not file.reason}
        ids.update(entry.oid for entry in self.kept)
        if self.tree is not None:
            ids.add(self.tree)
        return ids

    def rules(self) -> dict[bytes, object]:
        """What says how the files below are treated: equal while they are treated in the same way."""
        found: dict[bytes, object] = {entry.name: entry for entry in self.kept if entry.name in RULE_FILES}
        found.update((file.name, file.signature) for file in self.files if file.name in RULE_FILES)
        return found


class Tracked(NamedTuple):
    """What git tracks in one folder: entries by name, one a conflict, and the names of folders that hold more."""

    entries: dict[bytes, IndexEntry]
    folders: frozenset[bytes]

    def encode(self) -> bytes:
        """Bytes that are equal where git tracks the same, whatever it remembers of stat."""
        entries = [tuple(entry[:4]) for entry in self.entries.values()]
        return marshal.dumps((entries, sorted(self.folders)), 2)  # later versions write equal values differently

    @classmethod
    def decode(cls, encoded: bytes) -> Tracked:
        """Undoes `encode`; the entries have no `stat`."""
        if not encoded:
            return NOTHING_TRACKED
        entries, folders = marshal.loads(encoded)
        made = [IndexEntry(path, mode, oid, flags, b"") for path, mode, oid, flags in entries]
        start = len(folder_of(made[0].path)) if made else 0
        return cls(_by_name(made, start), frozenset(folders))


NOTHING_TRACKED = Tracked({}, frozenset())


def tracked_folders(index: ByFolder) -> dict[bytes, Tracked]:
    """What git tracks, by folder."""
    children: dict[bytes, set[bytes]] = {}
    for path in index:
        while path:
            above = folder_of(path)
            names = children.setdefault(above, set())
            name = path[len(above) : -1]
            if name in names:
                break
            names.add(name)
            path = above
    return {
        path: Tracked(_by_name(index.get(path, ()), len(path)), frozenset(children.get(path, ())))
        for path in index.keys() | children.keys()
    }


def _by_name(entries: Iterable[IndexEntry], start: int) -> dict[bytes, IndexEntry]:
    names: dict[bytes, IndexEntry] = {}
    for entry in entries:
        name = entry[0][start:].rstrip(b"/")
        if name not in names or entry.stage == 2:
            names[name] = entry
    return names


class ScanRules(NamedTuple):
    """What decides about files.

    Attributes:
        root: the work tree, without a `/` at its end.
        ignores: git's rules and our own.
        secrets: patterns of untracked files that are left out; a negative one takes a file back in.
        own_folders: git directories, never looked into.
        file_mode, symlinks: `core.fileMode` and `core.symlinks`.
    """

    root: bytes
    ignores: tuple[IgnoreRules, ...]
    secrets: PatternList
    own_folders: frozenset[bytes]
    file_mode: bool
    symlinks: bool


class _Found(Protocol):
    """What is needed of os.DirEntry."""

    @property
    def name(self) -> bytes: ...
    def is_dir(self, *, follow_symlinks: bool = True) -> bool: ...
    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result: ...


class _Named:
    """A name that was looked up, not listed."""

    __slots__ = ("_stat", "name")

    def __init__(self, name: bytes, found: os.stat_result) -> None:
        self.name = name
        self._stat = found

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002 (it is not followed)
        return stat.S_ISDIR(self._stat.st_mode)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002
        return self._stat


class Scanner:
    """Looks at folders, one after the other.

    Args:
        tracked: what git tracks in a folder; `precise` asks for entries with their `stat`.
        written_s: when the index was written.
    """

    def __init__(
        self, rules: ScanRules, tracked: Callable[[bytes, bool], Tracked], written_s: Callable[[], int]
    ) -> None:
        self._rules = rules
        self._tracked = tracked
        self._written_s = written_s

    def scan(
        self, path: bytes, state: State, old: Folder | None, *, but: Container[bytes] = ()
    ) -> tuple[Folder, dict[bytes, State]]:
        """How a folder is now, and the state of each folder in it that counts, by path.

        Args:
            old: as it was before; what is known of files that did not change since is kept.
            but: names that are not looked at.
        """
        folder = Folder(path, state)
        tracked = self._tracked(path, False)
        folder.tracked = tracked.encode()
        for name, entry in tracked.entries.items():
            if entry.flags & INTENT_TO_ADD:
                continue
            if entry.flags & SKIP_WORKTREE:
                folder.kept.append(Kept(name, entry.mode, entry.oid))
            elif state is State.CLOSED:
                _keep(folder, name, entry)
        inside: dict[bytes, State] = {}
        known = _Known(old, folder.tracked)
        for found in self._entries(folder, tracked):
            name = found.name
            if name == b".git" or name in but:
                continue
            of_git = tracked.entries.get(name)
            if of_git is not None and of_git.flags & SKIP_WORKTREE:
                if not found.is_dir(follow_symlinks=False):
                    self._watch(folder, found)
                    continue
                if of_git.mode == MODE_GITLINK:
                    continue
                of_git = None  # a folder lies where the index keeps a file
            if found.is_dir(follow_symlinks=False):
                within = self._look_at_folder(folder, name, of_git, name in tracked.folders)
                if within is not None:
                    inside[path + name + b"/"] = within
            else:
                self._look_at_file(folder, found, of_git, known)
        missing = State.CLOSED if state is State.CLOSED or folder.unreadable else State.ABSENT
        for name in tracked.folders:
            inside.setdefault(path + name + b"/", missing)
        folder.folders = [inner[len(path) : -1] for inner in inside]
        return folder, inside

    def _entries(self, folder: Folder, tracked: Tracked) -> Iterator[_Found]:
        if folder.state in (State.ABSENT, State.CLOSED):
            return iter(())
        full = self._full(folder.path)
        try:
            folder.signature = signature_of(os.lstat(full))
            if folder.state is State.OPEN:
                with os.scandir(full) as listed:
                    entries = list(listed)
                folder.listing = b"\0".join([entry.name for entry in entries])
                return iter(entries)
        except (FileNotFoundError, NotADirectoryError):
            folder.signature = NEVER
        except OSError:
            folder.unreadable = True
            folder.signature = NEVER
        return self._look_up(folder, tracked)

    def _look_up(self, folder: Folder, tracked: Tracked) -> Iterator[_Found]:
        for name in sorted({*tracked.entries, *tracked.folders, *RULE_FILES}):
            try:
                yield _Named(name, os.lstat(self._full(folder.path + name)))
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError:
                if name in tracked.entries:
                    _keep(folder, name, tracked.entries[name])

    def _look_at_folder(self, folder: Folder, name: bytes, entry: IndexEntry | None, has_tracked: bool) -> State | None:
        """The state of a folder in `folder`; None where it does not count, or counts as a nested repository."""
        path = folder.path + name
        full = self._full(path)
        if entry is not None:
            commit = checked_out(full)
            if entry.mode == MODE_GITLINK or commit is not None:
                folder.nested[name] = commit
                folder.kept.append(Kept(name, MODE_GITLINK, commit or entry.oid))
                return None
        ignored = folder.state is State.IGNORED or self._is_ignored(path, is_folder=True)
        if has_tracked:
            return State.IGNORED if ignored else State.OPEN
        if ignored or full in self._rules.own_folders or is_refused(name):
            return None
        if git_dir_in(full) is not None and os.path.realpath(full + b"/.git") not in self._rules.own_folders:
            commit = folder.nested[name] = checked_out(full)
            if commit is not None:
                folder.kept.append(Kept(name, MODE_GITLINK, commit))
                return None
        return State.OPEN

    def _look_at_file(self, folder: Folder, found: _Found, entry: IndexEntry | None, known: _Known) -> None:
        name = found.name
        reason = self._reason(folder, name) if entry is None else ""
        if reason is None:
            return
        try:
            status = found.stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):  # it went a moment ago
            return
        except OSError:
            _keep(folder, name, entry)
            return
        kind = stat.S_IFMT(status.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFLNK):
            if entry is not None:
                _keep(folder, name, entry)
            return
        if stat.S_ISLNK(status.st_mode) and name.lower() == b".gitmodules":
            reason = UNREADABLE  # git refuses it
        file = File(name, signature_of(status), self._mode(status.st_mode, entry), entry is not None, reason)
        folder.files.append(file)
        if reason:
            return
        if not known.settles(file) and entry is not None:
            if not entry.stat and known.is_doubtful(name):
                entry = self._tracked(folder.path, True).entries.get(name, entry)
            if entry.stat and entry.is_unchanged(status, self._written_s()):
                file.unchanged = entry.oid

    def _watch(self, folder: Folder, found: _Found) -> None:
        """Notes how a file looks that does not count itself, if it says what else does."""
        if found.name in RULE_FILES:
            with suppress(OSError):
                signature = signature_of(found.stat(follow_symlinks=False))
                folder.files.append(File(found.name, signature, MODE_FILE, True, RULE))

    def _reason(self, folder: Folder, name: bytes) -> str | None:
        """Why an untracked file is not captured: empty where it is, None where it does not count at all."""
        path = folder.path + name
        if folder.state is not State.OPEN or self._is_ignored(path, is_folder=False):
            return RULE if name in RULE_FILES else None
        lower = path.lower()
        if self._rules.secrets.decide(lower, lower[len(folder.path) :], is_folder=False):
            return SECRET
        return UNREADABLE if is_refused(name) else ""

    def _mode(self, mode: int, entry: IndexEntry | None) -> int:
        if stat.S_ISLNK(mode):
            return MODE_SYMLINK
        before = entry.mode if entry is not None else MODE_FILE
        if not self._rules.symlinks and before == MODE_SYMLINK:
            return MODE_SYMLINK
        if not self._rules.file_mode:
            return before if stat.S_ISREG(before) else MODE_FILE
        return MODE_EXECUTABLE if mode & stat.S_IXUSR else MODE_FILE

    def _is_ignored(self, path: bytes, *, is_folder: bool) -> bool:
        return any(rules.ignores(path, is_folder=is_folder) for rules in self._rules.ignores)

    def _full(self, path: bytes) -> bytes:
        # Without `/` at the end, which would lead through a symlink.
        return b"%s/%s" % (self._rules.root, path.rstrip(b"/")) if path else self._rules.root


class _Known:
    """What an earlier snapshot found out about the files of a folder."""

    def __init__(self, old: Folder | None, tracked: bytes) -> None:
        self._files = {file.name: file for file in old.files} if old is not None else {}
        self._before: Mapping[bytes, IndexEntry] = {}
        self._now: Mapping[bytes, IndexEntry] = {}
        if old is not None and old.tracked != tracked:
            self._before, self._now = Tracked.decode(old.tracked).entries, Tracked.decode(tracked).entries

    def settles(self, file: File) -> bool:
        """Takes over what is known about `file`, unless it or what git tracks under its name changed."""
        old = self._files.get(file.name)
        if old is None or old.oid is None or old.signature != file.signature or old.mode != file.mode:
            return False
        if self._before.get(file.name) != self._now.get(file.name):
            return False
        file.oid, file.pointer = old.oid, old.pointer
        return True

    def is_doubtful(self, name: bytes) -> bool:
        """Whether the file may be as the index has it, although nothing is known about it."""
        old = self._files.get(name)
        return old is None or old.signature == NEVER or old.oid is None


def is_refused(name: bytes) -> bool:
    """Whether git refuses the name in a tree: `.git` in a spelling that some file system takes for it."""
    lower = name.lower()
    if not name.isascii() and re.sub(_IGNORED_BY_HFS, "", lower.decode("utf-8", "replace")) == ".git":
        return True
    return (
        lower.startswith((b".git", b"git~1"))
        and re.match(rb"(?s)(?:\.git|git~1)[. ]*(?:[\\:].*)?\Z", lower) is not None
    )


def _keep(folder: Folder, name: bytes, entry: IndexEntry | None) -> None:
    """A file that cannot be read: what git tracks stays as it was, and the reason is told."""
    if entry is not None and not entry.flags & INTENT_TO_ADD:
        folder.kept.append(Kept(name, entry.mode, entry.oid))
    folder.files.append(File(name, NEVER, MODE_FILE, entry is not None, UNREADABLE))
