"""Keeping the content of data, so that it travels with the runs that read it (docs/decisions/0008)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from gitexp.errors import NotFound, UsageError
from gitexp.repo import Repository
from gitexp.store.manifests import files_below


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of one path.

    Attributes:
        name: the path from the root of the repository.
        files: how many there are; `new` how many were not kept yet, and `new_bytes` their sizes together.
    """

    name: str
    files: int
    size_bytes: int
    new: int
    new_bytes: int


def add(repository: Repository, paths: Iterable[str]) -> list[Added]:
    """Keep the content of files and folders, as it is now and as runs will read it.

    Args:
        paths: seen from the current directory.

    Raises:
        NotFound: one is not there; nothing was kept.
        UsageError: one lies outside the repository, or is no file.
        StorageFailed: the disk is full, read-only or failing; what was kept until then stays.
    """
    places = [(name_of(repository, path), os.path.abspath(path)) for path in paths]
    for name, place in places:
        if not os.path.exists(place):
            raise NotFound(f"'{name}' does not exist.", hint="Give the path of a file or folder, seen from here.")
    return [_add(repository, name, place) for name, place in places]


def remove(repository: Repository, paths: Iterable[str]) -> list[str]:
    """Let the next runs that read these paths not keep what they read; gives their names.

    Raises:
        NotFound: one was not added.
    """
    names = [name_of(repository, path) for path in paths]
    for name in names:
        if not repository.added.remove(name):
            raise NotFound(f"'{name}' was not added.", hint="'gitexp add' lists what was.")
    return names


def name_of(repository: Repository, path: str) -> str:
    """A path, seen from the current directory, from the root of the repository. Raises UsageError for one outside."""
    root = os.path.realpath(repository.git.work_tree or os.getcwd())
    whole = os.path.abspath(path)
    real = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
    name = os.path.relpath(real, root)
    if name.split(os.sep)[0] == "..":
        raise UsageError(f"'{path}' lies outside the repository.", hint="Put a link or a copy into the repository.")
    return name


def _add(repository: Repository, name: str, place: str) -> Added:
    files = list(files_below(place)) if os.path.isdir(place) else [place]
    before = {found.sha256 for found in repository.content.list()}
    contents = [repository.content.add_file(file) for file in files]
    new = {pointer for pointer in contents if pointer.sha256 not in before}
    repository.added.put(name, contents)
    return Added(
        name=name,
        files=len(files),
        size_bytes=sum(pointer.size_bytes for pointer in contents),
        new=len(new),
        new_bytes=sum(pointer.size_bytes for pointer in new),
    )
