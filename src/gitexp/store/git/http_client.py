"""dulwich's conversation over http: with git's settings, and without waiting for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from dulwich.client import Urllib3HttpGitClient, get_transport_and_path
from dulwich.config import ConfigDict
from dulwich.errors import GitProtocolError

from gitexp.store.git.connections import patience_s
from gitexp.store.git.credentials import Credentials
from gitexp.store.git.repository import GitRepository

_SETTINGS = ("extraHeader", "userAgent", "postBuffer", "sslVerify", "sslCAInfo", "proxy")
_PIECE = 1 << 16
_STATUS = re.compile(r"unexpected http resp (\d+)")
_MEANINGS = {
    "403": "it answered 403: we may not do that",
    "413": "it answered 413: what was sent at once is too large for it",
    "429": "it answered 429: too many requests",
}


@contextmanager
def open_http(git: GitRepository, url: str, credentials: Credentials | None) -> Iterator[tuple[Any, Any]]:
    """A client of dulwich's, and the path to ask it for."""
    options: dict[str, Any] = {"quiet": True, "config": _config(git)}
    if credentials:
        options.update(username=credentials.username, password=credentials.password)
    client: Any
    client, path = get_transport_and_path(url, **options)
    client.__class__ = _Client
    patience = patience_s(git)
    limit = None if patience == float("inf") else patience
    # A silent server would be waited for once more with each of urllib3's own attempts.
    once = urllib3.Retry(total=5, connect=0, read=0, other=0, redirect=5, status=0)
    client.pool_manager.connection_pool_kw.update(retries=once, timeout=urllib3.Timeout(connect=limit, read=limit))
    try:
        yield client, path
    except urllib3.exceptions.HTTPError as error:
        raise GitProtocolError(_explained(str(error), patience)) from error
    except GitProtocolError as error:
        raise GitProtocolError(_explained(str(error), patience)) from error
    finally:
        client.pool_manager.clear()


class _Client(Urllib3HttpGitClient):
    """Sends a pack in large pieces: as it comes, each object would be a packet of its own."""

    def _discover_references(self, *arguments: Any, **options: Any) -> Any:
        found = super()._discover_references(*arguments, **options)
        if self.dumb:
            raise GitProtocolError("what answers there is no git server")
        return found

    def _smart_request(self, service: str, url: str, data: Any) -> Any:
        return super()._smart_request(service, url, data if isinstance(data, bytes) or data is None else _joined(data))


def _joined(data: Iterator[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for piece in data:
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _config(git: GitRepository) -> ConfigDict:
    """What git's configuration says about http, for all and for single addresses."""
    config = ConfigDict()
    for name in _SETTINGS:
        for value in git.config_values("http", name):
            config.add((b"http",), name.encode(), value.encode())
        for address, value in git.config_entries("http", name):
            config.add((b"http", address.encode()), name.encode(), value.encode())
    return config


def _explained(reason: str, patience: float) -> str:
    """urllib3's words, without its objects."""
    status = _STATUS.search(reason)
    if status:
        return _MEANINGS.get(status[1], f"it answered {status[1]}")
    lower = reason.lower()
    if "timed out" in lower:
        return f"it was silent for {patience:g} seconds"
    if "connection refused" in lower:
        return "connection refused"
    if "failed to resolve" in lower or "name resolution" in lower or "getaddrinfo" in lower:
        return "its name cannot be resolved"
    if "certificate" in lower:
        return (
            "its certificate is not to be trusted" + (": " + reason.rpartition("certificate verify failed: ")[2])[:200]
        )
    if any(words in lower for words in ("connection aborted", "connection broken", "reset by peer", "incompleteread")):
        return "the connection broke"
    return reason.rstrip(".")
