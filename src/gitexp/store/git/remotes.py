"""Which remotes a repository has, and where they are, as git-config(1) has it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from gitexp.errors import NotFound, UsageError
from gitexp.store.git.repository import GitRepository

_SCP_LIKE = re.compile(r"(?:[^/:@]+@)?(?:\[[^\]]+\]|[^/:]+):(?!//)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Another repository.

    Attributes:
        name: as git knows it; the address itself where it was given by its address.
        url, push_url: where to fetch from and push to, `url.*.insteadOf` applied. A path is absolute.
    """

    name: str
    url: str
    push_url: str


def kind_of(url: str) -> str:
    """How an address is reached: "path", "ssh", "http" (or https), "git", or a scheme that only a git helper knows."""
    if "://" in url:
        scheme = url.partition("://")[0].lower()
        return {"https": "http", "git+ssh": "ssh", "ssh+git": "ssh", "file": "path"}.get(scheme, scheme)
    if "::" in url.partition("/")[0]:
        return url.partition("::")[0]
    return "ssh" if _SCP_LIKE.match(url) else "path"


def path_of(url: str) -> str:
    """The folder that an address of kind "path" names."""
    if not url.startswith("file://"):
        return url
    from urllib.parse import unquote  # slow to import, and hardly ever needed

    return unquote("/" + url.removeprefix("file://").partition("/")[2])


def remote_names(git: GitRepository) -> list[str]:
    """The remotes with an address, in the order of the configuration."""
    return list(dict.fromkeys(name for name, _ in git.config_entries("remote", "url")))


def find_remote(git: GitRepository, name: str | None = None) -> Remote:
    """A remote by its name or address; without one, that of the current branch, else the only one, else "origin".

    Raises:
        NotFound: there is none of that name, or none at all.
    """
    name = name or _usual_name(git)
    names = remote_names(git)
    if name in names:
        url = git.config("remote", "url", name) or ""
        push_url = git.config("remote", "pushurl", name)
        return Remote(
            name=name,
            url=_absolute(git, rewritten(git, url)),
            push_url=_absolute(git, rewritten(git, push_url) if push_url else rewritten(git, url, push=True)),
        )
    if kind_of(name) != "path" or os.path.isdir(name) or "/" in name:
        url = _absolute(git, rewritten(git, name))
        if kind_of(url) == "path" and not os.path.isdir(path_of(url)):
            raise NotFound(f"There is no repository at '{name}'.")
        return Remote(name=name, url=url, push_url=_absolute(git, rewritten(git, name, push=True)))
    listed = f"The remotes are {', '.join(names)}." if names else "Type: git remote add origin URL"
    raise NotFound(f"There is no remote '{name}'.", hint=listed)


def _usual_name(git: GitRepository) -> str:
    branch = git.head().branch
    found = (
        (git.config("branch", "pushRemote", branch) if branch else None)
        or git.config("remote", "pushDefault")
        or (git.config("branch", "remote", branch) if branch else None)
    )
    if found and found != ".":
        return found
    names = remote_names(git)
    if len(names) == 1:
        return names[0]
    if not names:
        raise NotFound("This repository has no remote.", hint="Type: git remote add origin URL")
    if "origin" in names:
        return "origin"
    raise UsageError("Which remote?", hint=f"The remotes are {', '.join(names)}.")


def rewritten(git: GitRepository, url: str, *, push: bool = False) -> str:
    """`url` with the longest `url.<base>.insteadOf` (or `pushInsteadOf`) that it begins with replaced."""
    for key in ("pushInsteadOf", "insteadOf") if push else ("insteadOf",):
        candidates = [(prefix, base) for base, prefix in git.config_entries("url", key) if url.startswith(prefix)]
        if candidates:
            prefix, base = max(candidates, key=lambda found: len(found[0]))
            return base + url[len(prefix) :]
    return url


def _absolute(git: GitRepository, url: str) -> str:
    """Paths are relative to the top of the work tree, as git takes them."""
    if kind_of(url) != "path" or url.startswith("file://"):
        return url
    return os.path.normpath(os.path.join(git.work_tree or git.git_dir, os.path.expanduser(url)))
