"""The Batch API of Git LFS: which objects a server has, and what to do with each (git-lfs, docs/api/batch.md)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import HTTPError

from gitexp.domain.masking import mask_url
from gitexp.domain.pointer import Pointer
from gitexp.errors import AccessDenied, CorruptData, RemoteFailed
from gitexp.store.artifacts.lfs_endpoint import DOWNLOAD, UPLOAD, Endpoint, LfsServer, expiry
from gitexp.store.artifacts.web import Passing, Web, let_go, message_of, persist, status_of, without_login
from gitexp.store.git.remotes import Remote
from gitexp.store.git.repository import GitRepository

MEDIA_TYPE = "application/vnd.git-lfs+json"
A_BATCH = 100
LARGEST_ANSWER = 16 << 20

GONE = (404, 410)
_NO_SERVER = (404, 405, 410, 501)


class NoLfsServer(RemoteFailed):
    """The remote has no Git LFS server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A request that the server asks for; its headers hold what it needs to let us in, if anything."""

    href: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server says of one object.

    Attributes:
        actions: what there is to do, by "upload", "download" and "verify"; no "upload": it has the object.
        refusal: why it does not want to; empty where it does.
        is_missing: it was asked for and is not there.
        expires: when the actions stop being good, by the monotonic clock; None: never.
    """

    actions: Mapping[str, Action] = field(default_factory=dict)
    refusal: str = ""
    is_missing: bool = False
    expires: float | None = None

    @property
    def is_stored(self) -> bool:
        """Asked before an upload: whether the server has the object already."""
        return not self.refusal and UPLOAD not in self.actions

    @property
    def is_fresh(self) -> bool:
        return self.expires is None or time.monotonic() < self.expires


class BatchApi:
    """Asks one server, a hundred objects a request, and keeps the answers as long as they are good.

    Attributes:
        who: what people call it.
    """

    def __init__(self, git: GitRepository, remote: Remote, web: Web) -> None:
        self._server = LfsServer(git, remote)
        self._web = web
        self._remote = mask_url(remote.name)
        self._answers: dict[tuple[str, Pointer], Answer] = {}
        self._lock = threading.Lock()
        self.who = f"Git LFS server of '{self._remote}'"

    def begin(self, operation: str, pointers: Collection[Pointer]) -> None:
        """Ask about the first of them; raises NoLfsServer where nobody answers."""
        self.ask(operation, _in_order(pointers)[:A_BATCH])

    def ask(self, operation: str, pointers: Collection[Pointer]) -> dict[Pointer, Answer]:
        """What the server says of each object.

        Raises:
            NoLfsServer: there is none.
            AccessDenied: it does not let us.
        """
        asked = _in_order(pointers)
        with self._lock:
            left = [pointer for pointer in asked if not self._is_known(operation, pointer)]
            while left:
                batch, left = left[:A_BATCH], left[A_BATCH:]
                self._ask(operation, batch)
            return {pointer: self._answers[operation, pointer] for pointer in asked}

    def fresh(self, operation: str, pointer: Pointer, *, anew: bool) -> Answer:
        """The answer for one object, as good as it can be; what else has expired is asked for along with it."""
        with self._lock:
            if anew:
                self._answers.pop((operation, pointer), None)
            if not self._is_known(operation, pointer):
                stale = [
                    other
                    for (kind, other), answer in self._answers.items()
                    if kind == operation and not answer.is_fresh
                ]
                self._ask(operation, list(dict.fromkeys([pointer, *stale]))[:A_BATCH])
            return self._answers[operation, pointer]

    def is_done(self, operation: str, pointer: Pointer) -> None:
        """Forget what was to be done with an object."""
        with self._lock:
            self._answers.pop((operation, pointer), None)

    def _is_known(self, operation: str, pointer: Pointer) -> bool:
        known = self._answers.get((operation, pointer))
        return known is not None and known.is_fresh

    def _ask(self, operation: str, pointers: Collection[Pointer]) -> None:
        said = {
            "operation": operation,
            "transfers": ["basic"],
            "objects": [as_object(pointer) for pointer in pointers],
            "hash_algo": "sha256",
        }
        url, objects = persist(lambda attempt: self._post(operation, json.dumps(said).encode(), attempt))
        told = {item.get("oid"): item for item in objects}
        for pointer in pointers:
            self._answers[operation, pointer] = self._read(operation, url, told.get(pointer.sha256))

    def _post(self, operation: str, body: bytes, attempt: int) -> tuple[str, list[dict[str, Any]]]:
        endpoint = self._server.endpoint(operation)
        if endpoint is None:
            raise self._none(self._server.reason)
        url = f"{endpoint.url}/objects/batch"
        self._web.trust(url)
        headers = merged(as_json(), endpoint.headers)
        response = self._web.request("POST", url, headers=headers, body=lambda: body)
        try:
            return url, self._objects(endpoint, response, attempt)
        except (HTTPError, OSError) as error:
            raise self._web.failure(url, error) from error
        finally:
            let_go(response)

    def _objects(self, endpoint: Endpoint, response: urllib3.BaseHTTPResponse, attempt: int) -> list[dict[str, Any]]:
        is_json = "json" in (response.headers.get("Content-Type") or "")
        if response.status in _NO_SERVER or (response.status < 300 and not is_json):
            raise self._none("" if response.status < 300 else status_of(response))
        if response.status == 401 and endpoint.headers and not attempt:
            self._server.forget()
            raise Passing(f"The {self.who} does not accept any more what ssh told us.")
        if response.status in (401, 403):
            raise AccessDenied(f"The {self.who} does not let us: {message_of(response)}.", hint=self._way_out())
        if response.status >= 300:
            raise RemoteFailed(f"The {self.who} refuses: {message_of(response)}.", hint=self._way_out())
        answer = self._decode(response)
        if answer.get("transfer", "basic") != "basic" or answer.get("hash_algo", "sha256") != "sha256":
            wanted = answer.get("hash_algo") if answer.get("transfer", "basic") == "basic" else answer["transfer"]
            raise RemoteFailed(f"The {self.who} wants '{wanted}', which gitexp does not speak.", hint=self._way_out())
        found = answer.get("objects")
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._nonsense()
        return found

    def _decode(self, response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        data = bytearray()
        for piece in response.stream(1 << 16, decode_content=True):
            data += piece
            if len(data) > LARGEST_ANSWER:
                raise self._nonsense()
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._nonsense() from error
        if not isinstance(found, dict):
            raise self._nonsense()
        return found

    def _read(self, operation: str, url: str, told: dict[str, Any] | None) -> Answer:
        if told is None:
            return Answer(refusal="it says nothing of it")
        trouble = told.get("error")
        try:
            if trouble:
                is_missing = operation == DOWNLOAD and trouble.get("code") in GONE
                said = str(trouble.get("message") or "").strip().rstrip(".")
                code = trouble.get("code")
                return Answer(refusal=f"{said} ({code})" if said else f"status {code}", is_missing=is_missing)
            actions = {
                name: Action(
                    href=urljoin(without_login(url)[0], str(action["href"])),
                    headers={str(name): str(value) for name, value in (action.get("header") or {}).items()},
                )
                for name, action in (told.get("actions") or {}).items()
            }
            ends = [end for end in map(expiry, (told.get("actions") or {}).values()) if end is not None]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._nonsense() from error
        is_missing = operation == DOWNLOAD and DOWNLOAD not in actions
        return Answer(actions=actions, is_missing=is_missing, expires=min(ends, default=None))

    def _none(self, reason: str) -> NoLfsServer:
        said = f": {reason}" if reason else ""
        return NoLfsServer(f"'{self._remote}' has no Git LFS server{said}.", hint=self._way_out())

    def _nonsense(self) -> CorruptData:
        return CorruptData(f"What the {self.who} answers makes no sense.", hint=self._way_out())

    def _way_out(self) -> str:
        setting = f"remotes.{self._remote}.artifacts"
        return f"To keep artifacts in the git remote itself, set {setting} to git in .gitexp/config.yaml."


def as_object(pointer: Pointer) -> dict[str, Any]:
    return {"oid": pointer.sha256, "size": pointer.size_bytes}


def as_json() -> dict[str, str]:
    """The headers of a request in JSON."""
    return {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}


def merged(usual: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Headers; those that were said replace the usual ones, however they are capitalised."""
    names = {name.lower() for name in said}
    return {**{name: value for name, value in usual.items() if name.lower() not in names}, **said}


def _in_order(pointers: Iterable[Pointer]) -> list[Pointer]:
    return sorted(set(pointers), key=lambda pointer: (pointer.size_bytes, pointer.sha256))
