"""Where the artifacts of a remote's runs are."""

from __future__ import annotations

import os
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from gitexp.domain.masking import mask_url
from gitexp.domain.pointer import Pointer
from gitexp.errors import UsageError
from gitexp.store.artifacts.store import ArtifactStore
from gitexp.store.git.remotes import Remote
from gitexp.store.git.repository import GitRepository


def chosen_store(
    git: GitRepository, remote: Remote, said: str, pointers: Collection[Pointer], *, push: bool
) -> ArtifactStore | None:
    """The place that the settings name, else the remote's Git LFS server; None: the remote itself.

    Args:
        said: "auto", "lfs", "git", an address or the path of a folder, relative to the top of the work tree.
        pointers: some that are to travel; a server is asked about them, to see whether it is there.
        push: whether they are to travel there.

    Raises:
        UsageError: it cannot be there.
    """
    if said == "git":
        return None
    if said in ("auto", "lfs"):
        return _lfs(git, remote, pointers, must_be=said == "lfs", push=push)
    if "://" in said and not said.startswith("file://"):
        from gitexp.store.artifacts.objectstore import ObjectStore  # an extra

        return ObjectStore(said)
    from gitexp.store.artifacts.folder import FolderStore  # only where it is one

    path = unquote(urlsplit(said).path) if said.startswith("file://") else os.path.expanduser(said)
    return FolderStore(os.path.normpath(os.path.join(git.work_tree or git.git_dir, path)))


def _lfs(
    git: GitRepository, remote: Remote, pointers: Collection[Pointer], *, must_be: bool, push: bool
) -> ArtifactStore | None:
    from gitexp.store.artifacts.lfs_endpoint import can_have_lfs

    if not can_have_lfs(git, remote, push=push):
        if must_be:
            raise UsageError(
                f"'{mask_url(remote.name)}' is at '{mask_url(remote.url)}', where no Git LFS server can be.",
                hint="Type: git config lfs.url URL, if there is one elsewhere.",
            )
        return None
    from gitexp.store.artifacts.lfs import LfsStore  # heavy, as http is

    lfs = LfsStore(git, remote)
    return lfs if must_be or lfs.is_there(pointers, push=push) else None
