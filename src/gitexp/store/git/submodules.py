"""Where this machine keeps the objects of submodules."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from gitexp.errors import GitexpError
from gitexp.store.git.config import GitConfig
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.nested import git_dir_in
from gitexp.store.git.repository import GitRepository, discover

MODULES = b".gitmodules"


def find_submodule(
    git: GitRepository, path: bytes, commit: bytes, listed: GitConfig
) -> tuple[GitRepository, ObjectDatabase] | None:
    """The repository of a submodule that has `commit`, and its objects; None where none is here.

    Args:
        git: the repository that the submodule is in.
        path: of the submodule, from the top of that.
        listed: its `.gitmodules`.
    """
    for git_dir in _git_dirs(git, path, listed):
        with suppress(GitexpError):
            found = discover(git_dir, {})
            objects = ObjectDatabase(found.object_dir, found.alternates)
            if objects.contains(commit):
                return found, objects
    return None


def _git_dirs(git: GitRepository, path: bytes, listed: GitConfig) -> Iterator[str]:
    for (section, name, key), values in listed.values.items():
        if (section, key) == ("submodule", "path") and os.fsencode(values[-1]) == path and _is_safe(name):
            for above in dict.fromkeys((git.git_dir, git.common_dir)):
                folder = os.path.join(above, "modules", name)
                if os.path.isdir(folder):
                    yield folder
    if git.work_tree is not None:
        inside = git_dir_in(os.path.join(os.fsencode(git.work_tree), path))
        if inside is not None:
            yield os.path.realpath(os.fsdecode(inside))


def _is_safe(name: str) -> bool:
    """A name that others chose must not lead out of `modules`, as git sees to too."""
    return bool(name) and not os.path.isabs(name) and ".." not in name.split("/")
