"""Where a remote's Git LFS server is, and who we are for it: see server-discovery.md in the docs/api of git-lfs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from gitexp.errors import AccessDenied, CorruptData
from gitexp.store.git.config import read_file
from gitexp.store.git.credentials import CredentialSource
from gitexp.store.git.remotes import Remote, kind_of
from gitexp.store.git.repository import GitRepository
from gitexp.store.git.transport import find_git

UPLOAD, DOWNLOAD = "upload", "download"

_SSH_PATIENCE_S = 60
_MARGIN_S = 30
_NO_SUCH_COMMAND = (126, 127, 128)


@dataclass(slots=True)
class Endpoint:
    """An address of the Batch API, and headers that say who we are.

    Attributes:
        expires: when the headers stop being good, by the monotonic clock; None where they do not.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    expires: float | None = None


class LfsServer:
    """Finds the endpoints of one remote; asks for credentials once they are needed, as git does."""

    def __init__(self, git: GitRepository, remote: Remote) -> None:
        self._git = git
        self._remote = remote
        self._endpoints: dict[str, Endpoint] = {}

    def endpoint(self, operation: str) -> Endpoint | None:
        """Where to ask for "upload" or "download"; None where the remote cannot have an LFS server."""
        known = self._endpoints.get(operation)
        if known and (known.expires is None or known.expires > time.monotonic() + _MARGIN_S):
            return known
        found = self._find(operation)
        if found:
            self._endpoints[operation] = found
        return found

    def log_in(self, endpoint: Endpoint, *, rejected: bool) -> None:
        """Put what git knows about us into the headers of an endpoint that asked for it.

        Raises:
            AccessDenied: git knows nothing, or what it knew was refused.
        """
        source = CredentialSource(self._git, endpoint.url, find_git(self._git.environ))
        found = (None if rejected else source.given()) or source.ask()
        if found is None or endpoint.headers.get("Authorization") == _basic(found.username, found.password):
            if found is not None:
                source.report(found, good=False)
            raise AccessDenied(
                f"The Git LFS server '{_shown(endpoint.url)}' wants to know who we are, and git has no credentials"
                " that it takes."
            )
        endpoint.headers["Authorization"] = _basic(found.username, found.password)

    def _find(self, operation: str) -> Endpoint | None:
        own = self._configured()
        url = own or (self._remote.push_url if operation == UPLOAD else self._remote.url)
        kind = kind_of(url)
        if kind == "ssh":
            return self._ask_by_ssh(url, operation)
        if kind != "http":
            return None
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        if not own:
            path += "/info/lfs" if path.endswith(".git") else ".git/info/lfs"
        headers = {}
        for line in self._extra_headers(url):
            name, _, value = line.partition(":")
            headers[name.strip()] = value.strip()
        return Endpoint(urlunsplit((parts.scheme, parts.netloc, path, "", "")), headers)

    def _configured(self) -> str | None:
        """`lfs.url`, `remote.<name>.lfsurl`, in git's configuration or in the repository's `.lfsconfig`."""
        shared = None
        if self._git.work_tree:
            shared = read_file(os.path.join(self._git.work_tree, ".lfsconfig"))
        for section, name, subsection in (("lfs", "url", ""), ("remote", "lfsurl", self._remote.name)):
            found = self._git.config(section, name, subsection) or (shared and shared.get(section, name, subsection))
            if found:
                return found
        return None

    def _extra_headers(self, url: str) -> list[str]:
        lines = [value for base, value in self._git.config_entries("http", "extraHeader") if url.startswith(base)]
        for_all = self._git.config("http", "extraHeader")
        return [*([for_all] if for_all else []), *lines]

    def _ask_by_ssh(self, url: str, operation: str) -> Endpoint | None:
        """`git-lfs-authenticate` on the host tells address and headers; a host without it has no LFS server."""
        target, port, path = _ssh_parts(url)
        command = self._git.environ.get("GIT_SSH_COMMAND") or self._git.config("core", "sshCommand") or "ssh"
        words = [*shlex.split(command), *(["-p", port] if port else []), target]
        done = subprocess.run(
            [*words, f"git-lfs-authenticate {shlex.quote(path)} {operation}"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SSH_PATIENCE_S,
            env=dict(self._git.environ),
        )
        if done.returncode:
            if done.returncode == 255:  # ssh itself
                said = done.stderr.decode(errors="replace").strip().splitlines()
                raise AccessDenied(f"'{target}' cannot be reached by ssh: {said[-1] if said else 'no reason given'}.")
            return None
        try:
            told: dict[str, Any] = json.loads(done.stdout)
            life = float(told.get("expires_in") or 0)
            headers = {str(name): str(value) for name, value in (told.get("header") or {}).items()}
            return Endpoint(str(told["href"]).rstrip("/"), headers, time.monotonic() + life if life else None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptData(f"What git-lfs-authenticate on '{target}' says makes no sense.") from error


def _ssh_parts(url: str) -> tuple[str, str, str]:
    """User and host, port (or nothing) and path of an ssh address."""
    if "://" in url:
        parts = urlsplit(url)
        target = f"{parts.username}@{parts.hostname}" if parts.username else parts.hostname or ""
        return target, str(parts.port or ""), parts.path.lstrip("/") if parts.path.startswith("/~") else parts.path
    target, _, path = url.partition(":")
    return target, "", path


def _basic(username: str, password: str) -> str:
    import base64  # only where we are asked

    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.hostname or "", parts.path, "", ""))
