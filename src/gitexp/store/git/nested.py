"""Repositories inside the work tree: submodules and others, which git records by their commit alone."""

from __future__ import annotations

import os
import stat

from gitexp.errors import CorruptData
from gitexp.store.git.refs import RefStore


def git_dir_in(folder: bytes) -> bytes | None:
    """The git directory of the repository whose work tree is `folder`, None where it is no such thing."""
    path = folder + b"/.git"
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
        if kind == stat.S_IFDIR:
            return path if _is_git_dir(path) else None
        if kind != stat.S_IFREG:
            return None
        with open(path, "rb") as file:
            text = file.read(65536)
    except OSError:
        return None
    if not text.startswith(b"gitdir: "):
        return None
    target = os.path.join(folder, text[8:].rstrip(b"\r\n"))
    return target if _is_git_dir(target) else None


def checked_out(folder: bytes) -> bytes | None:
    """The id of the commit that is checked out in `folder`; None where it is no repository or has no commit."""
    git_dir = git_dir_in(folder)
    if git_dir is None:
        return None
    try:
        commit = RefStore(os.fsdecode(git_dir), os.fsdecode(_common_dir(git_dir))).read("HEAD")
    except (CorruptData, OSError):
        return None
    return bytes.fromhex(commit) if commit else None


def _is_git_dir(path: bytes) -> bool:
    try:
        with open(path + b"/HEAD", "rb") as file:
            head = file.read(256)
    except OSError:
        return False
    if head.startswith(b"ref:"):
        is_head = head[4:].lstrip().startswith(b"refs/")
    else:
        is_head = len(head) >= 40 and all(byte in b"0123456789abcdef" for byte in head[:40])
    common = _common_dir(path)
    return is_head and os.path.isdir(common + b"/objects") and os.path.isdir(common + b"/refs")


def _common_dir(git_dir: bytes) -> bytes:
    try:
        with open(git_dir + b"/commondir", "rb") as file:
            return os.path.join(git_dir, file.read().strip())
    except OSError:
        return git_dir
