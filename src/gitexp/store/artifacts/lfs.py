"""Artifacts on a Git LFS server: the Batch API with basic transfers, as git-lfs speaks it (git-lfs, docs/api).

Own, because dulwich's client holds each file in memory whole, and the git-lfs executable is not installed for most.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urljoin

import urllib3

from gitexp.domain.masking import mask_url
from gitexp.domain.pointer import Pointer
from gitexp.errors import AccessDenied, CorruptData, NotFound, RemoteFailed
from gitexp.store.artifacts.lfs_endpoint import DOWNLOAD, UPLOAD, Endpoint, LfsServer
from gitexp.store.content import ContentStore
from gitexp.store.git.transport import OnBytes

MEDIA_TYPE = "application/vnd.git-lfs+json"
A_BATCH = 100
AT_ONCE = 4
PIECE = 1 << 20
ATTEMPTS = 3
"""How often a transfer that broke is begun again."""

_NOT_THERE = (404, 405, 410, 501)
_TIMEOUT = urllib3.Timeout(connect=20, read=120)

T = TypeVar("T")
_Answer = tuple[Pointer, dict[str, Any]]


class NoLfsServer(RemoteFailed):
    """The remote has no Git LFS server."""


class LfsStore:
    """See `ArtifactStore`. Raises NoLfsServer where the remote turns out to have none."""

    def __init__(self, server: LfsServer, remote: str) -> None:
        self._server = server
        self._remote = remote
        self._http = urllib3.PoolManager(maxsize=AT_ONCE, timeout=_TIMEOUT, retries=False)

    @property
    def name(self) -> str:
        return f"Git LFS of {self._remote}"

    def lacking(self, pointers: Collection[Pointer]) -> set[Pointer]:
        asked = self._ask(UPLOAD, pointers)
        return {pointer for pointer, answer in asked if "upload" in answer.get("actions", {})}

    def upload(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        wanted = [(p, answer) for p, answer in self._ask(UPLOAD, pointers) if "upload" in answer.get("actions", {})]
        _side_by_side(lambda item: self._send(item[0], item[1], content, on_bytes), wanted)

    def download(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        missing: list[_Answer] = []
        wanted: list[_Answer] = []
        for pointer, answer in self._ask(DOWNLOAD, pointers):
            (wanted if "download" in answer.get("actions", {}) else missing).append((pointer, answer))
        _side_by_side(lambda item: self._receive(item[0], item[1], content, on_bytes), wanted)
        if missing:
            raise NotFound(f"{len(missing)} artifacts are not on the {self.name}.")

    def is_there(self, pointers: Collection[Pointer]) -> bool:
        """Whether the remote has an LFS server at all, asked about one of the artifacts."""
        try:
            list(self._ask(DOWNLOAD, list(pointers)[:1]))
        except NoLfsServer:
            return False
        return True

    def _ask(self, operation: str, pointers: Collection[Pointer]) -> Iterator[tuple[Pointer, dict[str, Any]]]:
        """What the server says of each object, a hundred in one request."""
        by_id = {pointer.sha256: pointer for pointer in pointers}
        left = sorted(by_id)
        while left:
            batch, left = left[:A_BATCH], left[A_BATCH:]
            objects = [{"oid": sha256, "size": by_id[sha256].size_bytes} for sha256 in batch]
            asked = {"operation": operation, "transfers": ["basic"], "objects": objects, "hash_algo": "sha256"}
            for answer in self._batch(operation, asked):
                pointer = by_id.get(answer.get("oid", ""))
                if pointer is None:
                    continue
                trouble = answer.get("error")
                if trouble and not (operation == DOWNLOAD and trouble.get("code") in (404, 410)):
                    said = trouble.get("message", trouble.get("code"))
                    raise RemoteFailed(f"The {self.name} refuses the artifact {pointer.sha256[:12]}: {said}.")
                yield pointer, answer

    def _batch(self, operation: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        endpoint = self._server.endpoint(operation)
        if endpoint is None:
            raise NoLfsServer(f"'{self._remote}' has no Git LFS server.")
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        body = json.dumps(asked).encode()
        response = self._logged_in(
            endpoint,
            lambda: self._request("POST", f"{endpoint.url}/objects/batch", {**headers, **endpoint.headers}, body),
        )
        if response.status in _NOT_THERE or "json" not in (response.headers.get("Content-Type") or ""):
            raise NoLfsServer(f"'{self._remote}' has no Git LFS server.")
        answer = _json(response.data, self.name)
        if response.status >= 300:
            self._refuse(response.status, answer.get("message"))
        found = answer.get("objects")
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise CorruptData(f"What the {self.name} answers makes no sense.")
        if answer.get("transfer", "basic") != "basic":
            raise RemoteFailed(f"The {self.name} wants the transfer '{answer['transfer']}', which is unknown.")
        return found

    def _logged_in(self, endpoint: Endpoint, act: Callable[[], urllib3.BaseHTTPResponse]) -> urllib3.BaseHTTPResponse:
        """The answer, after saying who we are where we are asked."""
        response = act()
        for rejected in (False, True):
            if response.status != 401:
                break
            response.drain_conn()
            self._server.log_in(endpoint, rejected=rejected)
            response = act()
        return response

    def _send(self, pointer: Pointer, answer: dict[str, Any], content: ContentStore, on_bytes: OnBytes) -> None:
        action = answer["actions"]["upload"]
        headers = {"Content-Type": "application/octet-stream", **_headers(action)}
        headers["Content-Length"] = str(pointer.size_bytes)

        def send() -> None:
            with content.open(pointer) as file:
                response = self._request("PUT", self._href(action), headers, _Counted(file, on_bytes))
            if response.status >= 300:
                self._refuse(response.status, _message(response.data))

        self._again(send)
        verify = answer["actions"].get("verify")
        if verify:
            said = json.dumps({"oid": pointer.sha256, "size": pointer.size_bytes}).encode()
            headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE, **_headers(verify)}
            endpoint = Endpoint(self._href(verify), headers)
            response = self._logged_in(endpoint, lambda: self._request("POST", endpoint.url, endpoint.headers, said))
            if response.status >= 300:
                self._refuse(response.status, _message(response.data))

    def _receive(self, pointer: Pointer, answer: dict[str, Any], content: ContentStore, on_bytes: OnBytes) -> None:
        action = answer["actions"]["download"]

        def receive() -> None:
            with content.arriving(pointer) as arriving:
                headers = _headers(action)
                if arriving.received:
                    headers["Range"] = f"bytes={arriving.received}-"
                if arriving.received < pointer.size_bytes or not pointer.size_bytes:
                    response = self._request("GET", self._href(action), headers, None, stream=True)
                    try:
                        if response.status >= 300:
                            self._refuse(response.status, None)
                        if response.status != 206 and arriving.received:
                            arriving.restart()
                        for piece in response.stream(PIECE, decode_content=True):
                            arriving.write(piece)
                            on_bytes(len(piece))
                    finally:
                        response.release_conn()
                arriving.finish()

        self._again(receive)

    def _again(self, act: Callable[[], None]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return act()
            except (urllib3.exceptions.HTTPError, RemoteFailed) as error:
                if isinstance(error, AccessDenied) or attempt == ATTEMPTS:
                    if isinstance(error, RemoteFailed):
                        raise
                    raise RemoteFailed(
                        f"The connection to the {self.name} broke: {error}.", hint="Try again."
                    ) from error
        return None

    def _request(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | _Counted | None,
        *,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._http.request(
                method,
                url,
                headers=headers,
                body=body,  # type: ignore[arg-type]  # whatever has `read` is taken
                preload_content=not stream,
                redirect=method == "GET",
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RemoteFailed(f"'{mask_url(url)}' cannot be talked to: {error}.", hint="Try again.") from error

    def _href(self, action: dict[str, Any]) -> str:
        endpoint = self._server.endpoint(DOWNLOAD)
        return urljoin(f"{endpoint.url}/" if endpoint else "", str(action["href"]))

    def _refuse(self, status: int, message: str | None) -> None:
        said = f"{message} ({status})" if message else f"status {status}"
        if status in (401, 403):
            raise AccessDenied(f"The {self.name} refuses us: {said}.")
        raise RemoteFailed(f"The {self.name} failed: {said}.", hint="Try again.")


class _Counted:
    """A file that tells how much of it has been read."""

    def __init__(self, file: BinaryIO, on_bytes: OnBytes) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(max(PIECE, size))
        self._on_bytes(len(data))
        return data


def _side_by_side(act: Callable[[T], None], items: Iterable[T]) -> None:
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gitexp-lfs") as pool:
        futures = [pool.submit(act, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _headers(action: dict[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in (action.get("header") or {}).items()}


def _json(data: bytes, who: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise CorruptData(f"What the {who} answers makes no sense.") from error
    if not isinstance(found, dict):
        raise CorruptData(f"What the {who} answers makes no sense.")
    return found


def _message(data: bytes) -> str | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return str(found["message"]) if isinstance(found, dict) and "message" in found else None
