"""A repository cloned with its runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from gitexp.repo import Repository
from gitexp.sharing.exchange import Exchange, Listener, Sharing
from gitexp.sharing.selection import Selection
from gitexp.store.git.cloning import ORIGIN, clone, folder_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloned:
    """A new clone: its folder, and what of the runs came.

    Attributes:
        has_branches: whether no run came, but the remote has runs as branches, which the settings say nothing of.
    """

    folder: str
    exchange: Exchange
    has_branches: bool = False


def clone_with_runs(
    url: str,
    folder: str | None = None,
    *,
    branch: str | None = None,
    artifacts: bool = False,
    listener: Listener | None = None,
    engine: str = "auto",
    environ: Mapping[str, str] = os.environ,
) -> Cloned:
    """Clone a repository and pull its runs; where either fails, no folder is left.

    Args:
        folder: where to; None: the last part of the address, as `git clone` has it.
        branch: what to check out; None: what the remote's HEAD is.
        artifacts: large ones too.

    Raises:
        RemoteFailed: it cannot be reached.
        NotFound, UsageError: no such branch; the folder is there already.
    """
    folder = folder or folder_for(url)
    made = _first_missing(folder)
    was_empty = os.path.isdir(folder) and not os.listdir(folder)
    try:
        git = clone(url, folder, branch=branch, engine=engine, environ=environ)
        sharing = Sharing(Repository(git, environ), ORIGIN, engine=engine)
        exchange = sharing.pull(Selection(), artifacts=artifacts, listener=listener)
        has_branches = not exchange.records.created and sharing.has_branches()
    except BaseException:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        elif was_empty:
            _empty(folder)
        raise
    return Cloned(folder=folder, exchange=exchange, has_branches=has_branches)


def _first_missing(folder: str) -> str | None:
    """The topmost folder that will have to be made, if any."""
    missing, path = None, os.path.abspath(folder)
    while not os.path.lexists(path):
        missing, path = path, os.path.dirname(path)
    return missing


def _empty(folder: str) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
