"""What git puts into the work tree for a file: pointers become content, and conversions are git's own.

What `.gitattributes` say counts as it is in the work tree, so those files have to be there first.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping

from gitexp.domain.pointer import Pointer, parse_pointer
from gitexp.store.content import ContentStore
from gitexp.store.git.attributes import FILE_NAME, Value
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.repository import GitRepository
from gitexp.store.git.settings import Settings
from gitexp.store.git.transport import find_git

_PIECE = 1 << 20


class Checkout:
    """Contents of files for one work tree.

    Attributes:
        unconverted: paths that were given as git stores them, where git would have changed them and could not be asked.
        pointers: paths of files under Git LFS that stay pointers, because git-lfs does not have their content here.
    """

    def __init__(self, git: GitRepository, objects: ObjectDatabase, content: ContentStore) -> None:
        self._git = git
        self._objects = objects
        self._content = content
        self._settings = Settings(git, ())
        self._attributes = self._settings.attributes(lambda _: None)
        self._is_outdated = False
        self._executable = find_git(git.environ)
        self._crlf = git.config_flag("core", "autocrlf") or (git.config("core", "eol") or "").lower() == "crlf"
        self.unconverted: list[bytes] = []
        self.pointers: list[bytes] = []

    def pieces(self, path: bytes, oid: bytes, pointer: Pointer | None) -> Iterator[bytes]:
        """The content of a file, a piece at a time.

        Args:
            oid: of its blob.
            pointer: what the blob stands for, if the run keeps it beside git.

        Raises:
            NotFound: the content behind `pointer` is not on this machine.
        """
        if self._is_outdated:
            self._attributes, self._is_outdated = self._settings.attributes(lambda _: None), False
        self._is_outdated = path.rpartition(b"/")[2] == FILE_NAME
        said = self._attributes.of(path)
        if pointer is not None:
            if self._is_filtered(said) and said.get(b"filter") != b"lfs":
                self.unconverted.append(path)
            with self._content.open(pointer) as file:
                yield from iter(lambda: file.read(_PIECE), b"")
            return
        data = self._objects.read(oid)[1]
        is_lfs = said.get(b"filter") == b"lfs" and parse_pointer(data) is not None
        if is_lfs and (kept := self._kept_by_lfs(data)):
            with open(kept, "rb") as file:
                yield from iter(lambda: file.read(_PIECE), b"")
            return
        converted = self._convert(path, oid) if self._is_converted(said) else data
        if converted is None:
            self.unconverted.append(path)
            converted = data
        if is_lfs and converted == data:
            self.pointers.append(path)
        yield converted

    def _kept_by_lfs(self, data: bytes) -> str | None:
        """Where git-lfs keeps the content behind a pointer, or we do."""
        pointer = parse_pointer(data)
        assert pointer is not None
        place = f"{pointer.sha256[:2]}/{pointer.sha256[2:4]}/{pointer.sha256}"
        storage = os.path.join(self._git.common_dir, self._git.config("lfs", "storage") or "lfs")
        for path in (f"{self._content.folder}/{place}", f"{storage}/objects/{place}"):
            if os.path.isfile(path) and os.path.getsize(path) == pointer.size_bytes:
                return path
        return None

    def _is_converted(self, said: Mapping[bytes, Value]) -> bool:
        """Whether git may write something else than what it has stored."""
        if said.get(b"ident") is True or isinstance(said.get(b"working-tree-encoding"), bytes):
            return True
        if self._is_filtered(said):
            return True
        text = said.get(b"text", said.get(b"crlf"))
        if text is False:
            return False
        return said.get(b"eol") == b"crlf" or (self._crlf and said.get(b"eol") is None)

    def _is_filtered(self, said: Mapping[bytes, Value]) -> bool:
        name = said.get(b"filter")
        if not isinstance(name, bytes):
            return False
        driver = name.decode("utf-8", "surrogateescape")
        return any(self._git.config("filter", way, driver) for way in ("smudge", "process"))

    def _convert(self, path: bytes, oid: bytes) -> bytes | None:
        """What git makes of a blob; None where there is no git, or it fails."""
        if self._executable is None:
            return None
        environ = {**self._git.environ, "GIT_DIR": self._git.git_dir, "GIT_WORK_TREE": os.fsdecode(self._settings.root)}
        done = subprocess.run(
            [self._executable, "cat-file", "--filters", b"--path=" + path, oid.hex()],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._settings.root,
            env=environ,
        )
        return done.stdout if done.returncode == 0 else None
