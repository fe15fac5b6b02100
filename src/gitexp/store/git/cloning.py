"""New clones: by the git executable, or without one.

Branches below `gitexp/` are runs, on hosts that accept nothing else: they are left out, as hidden refs are.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from urllib.parse import urlsplit

from gitexp.domain.masking import mask_url
from gitexp.errors import GitexpError, NotFound, RemoteFailed, UsageError
from gitexp.store.git import durable
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.refs import RefStore
from gitexp.store.git.remotes import find_remote, kind_of, path_of
from gitexp.store.git.repository import GitRepository, discover, init
from gitexp.store.git.transport import find_git, open_transport

ORIGIN = "origin"
LEFT_OUT = "^refs/heads/gitexp/*"

_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_OF_ONE_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)


def folder_for(url: str) -> str:
    """The folder that `git clone` would make.

    Raises:
        UsageError: the address gives no name.
    """
    rest = urlsplit(url).netloc.rpartition("@")[2] + urlsplit(url).path if "://" in url else url
    rest = re.sub(r"/+$", "", rest.rstrip())
    rest = re.sub(r"/+$", "", rest.removesuffix("/.git"))
    name = re.split(r"[/:]" if kind_of(url) == "ssh" and "://" not in url else "/", rest)[-1]
    name = re.sub(r"[\x00-\x20\x7f]+", " ", name.removesuffix(".git").removesuffix(".bundle")).strip()
    if not name or name in (".", ".."):
        raise UsageError(f"'{mask_url(url)}' gives no name for a folder.", hint="Say which: gitexp clone URL DIR")
    return name


def clone(url: str, folder: str, *, branch: str | None, engine: str, environ: Mapping[str, str]) -> GitRepository:
    """Clone a repository and check a branch out; the git executable, if it is used, tells people of its progress.

    Args:
        engine: "auto": git where it is installed; "git"; "dulwich": without it.

    Raises:
        RemoteFailed: it cannot be reached, or git failed.
        NotFound: it has no such branch.
    """
    alone = {name: value for name, value in environ.items() if name not in _OF_ONE_REPOSITORY}
    executable = find_git(alone)
    if engine == "git" and executable is None:
        raise UsageError("The git executable is not installed.", hint="Set GITEXP_TRANSPORT=dulwich.")
    if executable is None or engine == "dulwich":
        return _clone_alone(url, folder, branch, alone)
    chosen = ["--branch", branch] if branch else []
    # `git clone` heeds no refspec that leaves something out, so it brings one branch and `git fetch` the others.
    done = subprocess.run([executable, "clone", "--single-branch", *chosen, "--", url, folder], check=False, env=alone)
    if done.returncode:
        raise RemoteFailed(f"'{mask_url(url)}' was not cloned.", hint="What git says is above.")
    git = discover(folder, alone)
    _fetch_others(executable, git, alone)
    return discover(folder, alone)


def _fetch_others(executable: str, git: GitRepository, environ: Mapping[str, str]) -> None:
    def run(*arguments: str) -> int:
        return subprocess.run([executable, "--git-dir", git.git_dir, *arguments], check=False, env=environ).returncode

    key = f"remote.{ORIGIN}.fetch"
    run("config", "--replace-all", key, f"+refs/heads/*:refs/remotes/{ORIGIN}/*")
    run("config", "--add", key, LEFT_OUT)
    if run("fetch", "--quiet", "--tags", ORIGIN):
        run("config", "--unset-all", key, r"^\^")  # git before 2.29 does not know such refspecs
        if run("fetch", "--quiet", "--tags", ORIGIN):
            raise RemoteFailed(f"The branches of '{ORIGIN}' did not come.", hint="What git says is above.")


def _clone_alone(url: str, folder: str, branch: str | None, environ: Mapping[str, str]) -> GitRepository:
    if kind_of(url) == "path":
        url = url if url.startswith("file://") else os.path.abspath(url)
        if not os.path.isdir(path_of(url)):
            raise NotFound(f"There is no repository at '{url}'.")
    if os.path.isdir(folder) and os.listdir(folder):
        raise UsageError(f"'{folder}' is there already, and not empty.", hint="Say where: gitexp clone URL DIR")
    os.makedirs(folder, exist_ok=True)
    git_dir = init(folder, environ).git_dir
    settings = f'[remote "{ORIGIN}"]\n\turl = {_quoted(url)}\n\tfetch = +refs/heads/*:refs/remotes/{ORIGIN}/*\n'
    _add_settings(git_dir, f"{settings}\tfetch = {LEFT_OUT}\n")
    git = discover(folder, environ)
    objects, refs = ObjectDatabase(git.object_dir), RefStore(git.git_dir, git.common_dir)
    # Without "auto", which might choose the git executable.
    transport = open_transport(git, objects, find_remote(git, ORIGIN), push=False, engine="dulwich")
    found = transport.refs(("HEAD", _HEADS, _TAGS))
    heads = {
        name.removeprefix(_HEADS): oid
        for name, oid in found.items()
        if name.startswith(_HEADS) and not name.startswith(f"{_HEADS}gitexp/")
    }
    chosen = _chosen(heads, found.get("HEAD"), branch, _head_of(url, environ) or git.head().branch)
    tags = {name: oid for name, oid in found.items() if name.startswith(_TAGS) and not name.endswith("^{}")}
    transport.fetch(dict.fromkeys([*heads.values(), *tags.values()]), (), lambda _size: None)
    refs.create_all({f"refs/remotes/{ORIGIN}/{name}": oid for name, oid in heads.items()} | tags)
    if chosen is None:
        return git
    refs.create(_HEADS + chosen, heads[chosen])
    durable.replace(f"{git_dir}/HEAD", f"ref: {_HEADS}{chosen}\n".encode())
    _add_settings(git_dir, f"[branch {_quoted(chosen)}]\n\tremote = {ORIGIN}\n\tmerge = {_HEADS}{chosen}\n")
    _check_out(folder)
    return discover(folder, environ)


def _chosen(heads: Mapping[str, str], head: str | None, asked: str | None, usual: str | None) -> str | None:
    """The branch to check out: the one asked for, else one that is where the remote's HEAD is."""
    if asked is not None:
        if asked not in heads:
            raise NotFound(f"The remote has no branch '{asked}'.", hint=f"It has {', '.join(sorted(heads)[:10])}.")
        return asked
    like_head = sorted(name for name, oid in heads.items() if head in (oid, None))
    preferred = [name for name in (usual, "main", "master") if name in like_head]
    return next(iter([*preferred, *like_head]), None)


def _head_of(url: str, environ: Mapping[str, str]) -> str | None:
    """The branch that is checked out in a repository at a path."""
    if kind_of(url) != "path":
        return None
    try:
        return discover(path_of(url), environ).head().branch
    except GitexpError:
        return None


def _check_out(folder: str) -> None:
    """Write the files of HEAD, and the index."""
    from dulwich.repo import Repo  # slow to import, and most clones are git's work

    with Repo(folder) as repo:
        repo.get_worktree().reset_index()


def _add_settings(git_dir: str, text: str) -> None:
    path = f"{git_dir}/config"
    with open(path, "rb") as file:
        old = file.read()
    durable.replace(path, old + text.encode("utf-8", "surrogateescape"))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
