"""Where a project is: a git address or a path, a folder in it, and a version."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from gitexp.domain.masking import mask_url
from gitexp.errors import UsageError
from gitexp.store.git.remotes import kind_of

_SCHEMES = frozenset({"http", "https", "ssh", "git", "file", "git+ssh", "ssh+git"})
_PIP_PREFIX = re.compile(r"git\+(?=(?:https?|file)://)")
_NOT_IN_VERSION = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^-|//|^/|/$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAddress:
    """What `https://host/team/project.git#subfolder@v1.2` means.

    Attributes:
        repository: the address of the git repository, or a path.
        folder: where in it the project is, with `/`; empty for the root.
        version: a branch, tag or commit; None for what is checked out there.
    """

    repository: str
    folder: str = ""
    version: str | None = None

    @property
    def is_path(self) -> bool:
        """Whether it is a folder of this machine, named by its path."""
        return kind_of(self.repository) == "path" and "://" not in self.repository

    def __str__(self) -> str:
        """The address as one types it, without passwords."""
        folder = f"#{self.folder}" if self.folder else ""
        return mask_url(self.repository) + folder + (f"@{self.version}" if self.version else "")


def looks_like_address(text: str) -> bool:
    """Whether `text` can only be the address of a project, not a script's path; a folder may be either."""
    scheme, mark, _ = text.partition("://")
    if mark:
        return _PIP_PREFIX.sub("", scheme + mark).partition("://")[0].lower() in _SCHEMES
    if os.path.lexists(text):
        return False
    if kind_of(text) == "ssh":
        return True
    path = re.split("[#@]", text, maxsplit=1)[0]
    return path != text and os.path.isdir(path or ".")


def parse_address(text: str) -> ProjectAddress:
    """The parts of `ADDRESS[#FOLDER][@VERSION]`; a path that is there is taken as it is.

    Raises:
        UsageError: it is empty, leaves its repository, or names an impossible version.
    """
    if not text:
        raise UsageError("The address of the project is empty.", hint="gitexp run . runs the project in this folder.")
    address = _PIP_PREFIX.sub("", text)
    if "://" not in address and os.path.lexists(address):
        return ProjectAddress(repository=address)
    before, hash_mark, inside = address.partition("#")
    if hash_mark:
        folder, at, version = inside.partition("@")
        repository = before
        if not at:
            repository, at, version = _split_version(before)
    else:
        repository, at, version = _split_version(before)
        folder = ""
    if at and not version:
        raise UsageError(f"'{mask_url(text)}' has no version after '@'.", hint="Name a branch, a tag or a commit.")
    if version and _NOT_IN_VERSION.search(version):
        raise UsageError(f"'{version}' cannot be a branch, a tag or a commit.")
    repository = repository or "."
    return ProjectAddress(repository=repository, folder=_inside(folder, text), version=version or None)


def _split_version(address: str) -> tuple[str, str, str]:
    """The repository, "@" if there is one, and the version; an `@` before the path is a login's."""
    start = 0
    if "://" in address:
        start = address.find("/", address.index("://") + 3)
        if start < 0:
            return address, "", ""
    elif kind_of(address) == "ssh":
        start = _colon(address)
    marked = re.search(r"\.git@", address[start:])
    at = start + marked.start() + 4 if marked else address.rfind("@")
    if at < start or (at < 0):
        return address, "", ""
    return address[:at], "@", address[at + 1 :]


def _colon(address: str) -> int:
    """Where the path of an scp-like address begins."""
    found = re.match(r"(?:[^/:@]+@)?(?:\[[^\]]+\]|[^/:]+):", address)
    return found.end() if found else 0


def _inside(folder: str, text: str) -> str:
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if folder.startswith("/") or ".." in parts or "\\" in folder or "\0" in folder:
        raise UsageError(
            f"'{folder}' in '{mask_url(text)}' is not a folder of the repository.",
            hint="Name it from the root of the repository: URL#path/to/project",
        )
    return "/".join(parts)
