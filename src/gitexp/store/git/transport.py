"""Talking to another repository: listing its refs, fetching from it, pushing to it.

`Transport` is the contract. `dulwich_transport.py` speaks git's protocol itself, `git_transport.py` has the git
executable do it; `open_transport` chooses.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gitexp.errors import UsageError
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.remotes import Remote, kind_of
from gitexp.store.git.repository import GitRepository

_ONLY_GIT_KNOWS = ("proxy", "sslCert", "sslKey", "sslCAInfo", "sslCAPath", "sslVerify", "cookieFile", "curloptResolve")
_PROXIES = ("https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY", "GIT_SSL_NO_VERIFY", "GIT_SSL_CAINFO")

OnBytes = Callable[[int], None]
"""Called with a number of bytes that were sent or received."""

Made = tuple[str, Callable[[], bytes]]

ENGINES = ("auto", "dulwich", "git")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPlan:
    """What is to become of the refs of a remote, and what has to be sent for it.

    Attributes:
        updates: (old, new) by ref, hex ids; None for a ref that is not there yet, or that is to go.
        objects: gives the ids of the objects to send; everything else that the new ones need is there.
        made: those of them that are in no object database, by id: each one's kind, and what reads it in its turn.
    """

    updates: Mapping[str, tuple[str | None, str | None]]
    objects: Callable[[], Sequence[bytes]]
    made: Mapping[bytes, Made] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What the remote did.

    Attributes:
        refused: why, in the remote's words, by ref; every other ref of the plan is as it was to be.
        said: what the remote told people, as hooks do.
    """

    refused: Mapping[str, str]
    said: str = ""


class Transport(Protocol):
    """One remote repository. Nothing is changed on either side by a call that raises.

    Raises (all methods):
        RemoteFailed: it cannot be reached, refuses us, or the connection broke.
    """

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        """The remote's refs whose names begin with one of `prefixes`, with their hex ids."""
        ...

    def fetch(self, wants: Iterable[str], haves: Iterable[str], on_bytes: OnBytes) -> None:
        """Bring objects and all that they need into the repository; `haves` are ids of commits that are here."""
        ...

    def fetch_apart(self, wants: Iterable[str], folder: str, most_bytes: int) -> None:
        """Bring objects and all that they need into `folder`, an object directory of its own.

        Args:
            most_bytes: what is larger is refused.
        """
        ...

    def push(self, plan: Callable[[dict[str, str]], PushPlan | None], on_bytes: OnBytes) -> PushReport:
        """Change refs of the remote.

        Args:
            plan: asked, once the remote's refs are known, what to do; None for nothing.
        """
        ...


def open_transport(
    git: GitRepository, objects: ObjectDatabase, remote: Remote, *, push: bool, engine: str
) -> Transport:
    """The way to a remote.

    Args:
        engine: "dulwich", "git", or "auto": dulwich wherever it does what git would do.

    Raises:
        UsageError: no such engine, or it is not installed.
    """
    if engine not in ENGINES:
        raise UsageError(f"There is no engine '{engine}'.", hint=f"Use {', '.join(ENGINES)}.")
    url = remote.push_url if push else remote.url
    kind = kind_of(url)
    chosen = _choose(git, remote, kind) if engine == "auto" else engine
    if chosen == "git":
        if find_git(git.environ) is None:
            raise UsageError("The git executable is not installed.", hint="Set GITEXP_TRANSPORT=dulwich.")
        from gitexp.store.git.git_transport import GitTransport  # only where something is shared

        return GitTransport(git, objects, url)
    if kind == "path" and find_git(git.environ) is None:
        from gitexp.store.git.folder_transport import FolderTransport

        return FolderTransport(git, objects, url)
    if kind != "http":
        from gitexp.store.git.stream_transport import StreamTransport

        return StreamTransport(git, objects, url)
    from gitexp.store.git.dulwich_transport import DulwichTransport

    return DulwichTransport(git, objects, url)


def find_git(environ: Mapping[str, str]) -> str | None:
    """The path of the git executable, if there is one."""
    return shutil.which("git", path=environ.get("PATH", os.defpath))


def _choose(git: GitRepository, remote: Remote, kind: str) -> str:
    """git for what dulwich does not know: proxies, client certificates, odd schemes, objects that are not here."""
    if find_git(git.environ) is None:
        return "dulwich"
    if kind not in ("path", "ssh", "http", "git"):
        return "git"
    if git.config("extensions", "partialClone"):
        return "git"
    if kind == "http":
        if any(git.config("http", name) or git.config_entries("http", name) for name in _ONLY_GIT_KNOWS):
            return "git"
        if git.config("remote", "proxy", remote.name) or any(git.environ.get(name) for name in _PROXIES):
            return "git"
    if kind == "ssh" and (git.environ.get("GIT_SSH") or git.config("ssh", "variant")):
        return "git"
    return "dulwich"
