"""Where a remote's Git LFS server is, and who we are for it: see server-discovery.md in the docs/api of git-lfs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from gitexp.domain.masking import mask_url
from gitexp.errors import AccessDenied, CorruptData, RemoteFailed, UsageError
from gitexp.store.git.config import GitConfig, read_file
from gitexp.store.git.remotes import Remote, kind_of, rewritten
from gitexp.store.git.repository import GitRepository

UPLOAD, DOWNLOAD = "upload", "download"

_SSH_PATIENCE_S = 60
_MARGIN_S = 30
_SSH_FAILED = 255
_COMMAND = "git-lfs-authenticate"
_PORT_OPTIONS = {"plink": "-P", "putty": "-P", "tortoiseplink": "-P"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address of the Batch API.

    Attributes:
        headers: what an ssh server gave us to say who we are.
        expires: when the headers stop being good, by the monotonic clock; None where they do not.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    expires: float | None = None


class LfsServer:
    """Finds the endpoints of one remote.

    Attributes:
        reason: why there is none, as the host said it; empty where it said nothing.
    """

    def __init__(self, git: GitRepository, remote: Remote) -> None:
        self._git = git
        self._remote = remote
        self._endpoints: dict[str, Endpoint | None] = {}
        self._lock = threading.Lock()
        self.reason = ""

    def endpoint(self, operation: str) -> Endpoint | None:
        """Where to ask for "upload" or "download"; None where there is no LFS server.

        Raises:
            AccessDenied: ssh does not let us in.
            RemoteFailed: the host cannot be reached by ssh.
        """
        with self._lock:
            known = self._endpoints.get(operation)
            if known and known.expires is not None and known.expires < time.monotonic() + _MARGIN_S:
                del self._endpoints[operation]
            if operation not in self._endpoints:
                self._endpoints[operation] = self._find(operation)
            return self._endpoints[operation]

    def forget(self) -> None:
        """Ask for the endpoints anew: what ssh gave us is not accepted any more."""
        with self._lock:
            self._endpoints.clear()

    def _find(self, operation: str) -> Endpoint | None:
        url, is_api = _address(self._git, self._remote, operation)
        kind = kind_of(url)
        if kind == "ssh":
            return self._ask_by_ssh(url, operation)
        if kind != "http":
            return None
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        if not is_api:
            path += "/info/lfs" if path.endswith(".git") else ".git/info/lfs"
        return Endpoint(url=urlunsplit((parts.scheme, parts.netloc, path, "", "")))

    def _ask_by_ssh(self, url: str, operation: str) -> Endpoint | None:
        """`git-lfs-authenticate` on the host tells address and headers; a host without it has no LFS server."""
        target, port, path = _ssh_parts(url)
        if target.startswith("-") or path.startswith("-"):  # ssh would take it for an option
            raise UsageError(f"'{mask_url(url)}' is not an address that ssh may be given.")
        try:
            done = subprocess.run(
                [*self._ssh(port), target, f"{_COMMAND} {shlex.quote(path)} {operation}"],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SSH_PATIENCE_S,
                env=dict(self._git.environ),
            )
        except subprocess.TimeoutExpired as error:
            raise RemoteFailed(
                f"'{target}' does not answer by ssh within {_SSH_PATIENCE_S} s.", hint="Try again."
            ) from error
        except OSError as error:
            raise RemoteFailed(f"ssh cannot be started: {error.strerror}.") from error
        if done.returncode:
            lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
            self.reason = lines[-1].rstrip(".") if lines else ""
            if done.returncode == _SSH_FAILED and _COMMAND not in self.reason:  # ssh itself, not what it started
                raise AccessDenied(f"'{target}' cannot be reached by ssh: {self.reason or 'no reason given'}.")
            return None
        try:
            told: dict[str, Any] = json.loads(done.stdout)
            life = _life(told)
            headers = {str(name): str(value) for name, value in (told.get("header") or {}).items()}
            url = str(told["href"]).rstrip("/")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptData(f"What {_COMMAND} on '{target}' says makes no sense.") from error
        return Endpoint(url=url, headers=headers, expires=time.monotonic() + life if life is not None else None)

    def _ssh(self, port: str) -> list[str]:
        """The beginning of a command line for ssh, as git finds it; a command that somebody chose is the shell's."""
        environ = self._git.environ
        command = environ.get("GIT_SSH_COMMAND") or self._git.config("core", "sshCommand")
        program = command or environ.get("GIT_SSH") or "ssh"
        variant = environ.get("GIT_SSH_VARIANT") or self._git.config("ssh", "variant")
        if variant is None or variant == "auto":
            first = (program.split() or ["ssh"])[0] if command else program
            variant = os.path.basename(first).lower().removesuffix(".exe")
        options = [_PORT_OPTIONS.get(variant, "-p"), port] if port and variant != "simple" else []
        return [*(["sh", "-c", f'{command} "$@"', "ssh"] if command else [program]), *options]


def can_have_lfs(git: GitRepository, remote: Remote, *, push: bool) -> bool:
    """Whether a remote with such an address can have an LFS server at all; nobody is asked."""
    return kind_of(_address(git, remote, UPLOAD if push else DOWNLOAD)[0]) in ("http", "ssh")


def _address(git: GitRepository, remote: Remote, operation: str) -> tuple[str, bool]:
    """Where to ask, by git's configuration, `.lfsconfig` or the remote, and whether that is the Batch API itself."""
    shared = read_file(os.path.join(git.work_tree, ".lfsconfig")) if git.work_tree else GitConfig()
    places = [("lfs", "url", ""), ("remote", "lfsurl", remote.name)]
    if operation == UPLOAD:
        places = [("lfs", "pushurl", ""), places[0], ("remote", "lfspushurl", remote.name), places[1]]
    for section, name, subsection in places:
        found = git.config(section, name, subsection) or shared.get(section, name, subsection)
        if found:
            return rewritten(git, found), True
    return (remote.push_url if operation == UPLOAD else remote.url), False


def expiry(told: dict[str, Any]) -> float | None:
    """When something with `expires_in` or `expires_at` stops being good, by the monotonic clock; None: never."""
    life = _life(told)
    return None if life is None else time.monotonic() + life - _MARGIN_S


def _life(told: dict[str, Any]) -> float | None:
    """For how many seconds something is good. `expires_in` counts first: it asks for no clock that is right."""
    if told.get("expires_in"):
        return float(told["expires_in"])
    if told.get("expires_at"):
        from datetime import UTC, datetime  # rare

        when = datetime.fromisoformat(str(told["expires_at"]))
        if when.year > 1:  # what Go calls no time at all
            return when.replace(tzinfo=when.tzinfo or UTC).timestamp() - time.time()
    return None


def _ssh_parts(url: str) -> tuple[str, str, str]:
    """User and host, port (or nothing) and path of an ssh address."""
    if "://" in url:
        parts = urlsplit(url)
        host = parts.hostname or ""
        target = f"{parts.username}@{host}" if parts.username else host
        return target, str(parts.port or ""), parts.path[1:] if parts.path.startswith("/~") else parts.path
    target, _, path = url.partition(":") if "[" not in url else url.replace("[", "").rpartition("]:")
    return target, "", path
