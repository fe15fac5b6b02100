"""Artifacts on a Git LFS server, by basic transfers (git-lfs, docs/api/basic-transfers.md).

Own, because dulwich's client holds each file in memory whole, and the git-lfs executable is not installed for most.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable

import urllib3
from urllib3.exceptions import HTTPError

from gitexp.domain.masking import mask_url
from gitexp.domain.pointer import Pointer
from gitexp.errors import AccessDenied, NotFound
from gitexp.store.arriving import Arriving
from gitexp.store.artifacts.lfs_batch import GONE, Action, Answer, BatchApi, NoLfsServer, as_json, as_object, merged
from gitexp.store.artifacts.lfs_endpoint import DOWNLOAD, UPLOAD
from gitexp.store.artifacts.outgoing import PIECE, Outgoing
from gitexp.store.artifacts.sidebyside import side_by_side
from gitexp.store.artifacts.store import ObjectRefused, OnBytes
from gitexp.store.artifacts.web import Passing, Web, let_go, message_of, persist
from gitexp.store.content import ContentStore
from gitexp.store.git.remotes import Remote
from gitexp.store.git.repository import GitRepository


class LfsStore:
    """See `ArtifactStore`. Raises NoLfsServer where the remote turns out to have none."""

    def __init__(self, git: GitRepository, remote: Remote) -> None:
        self._web = Web(git, remote.name, remote.url)
        self._api = BatchApi(git, remote, self._web)
        self._remote = mask_url(remote.name)

    @property
    def name(self) -> str:
        return f"Git LFS of {self._remote}"

    def is_there(self, pointers: Collection[Pointer], *, push: bool) -> bool:
        """Whether the remote has an LFS server; it is asked about some that are to travel, and the answer is kept."""
        operation = UPLOAD if push else DOWNLOAD
        try:
            self._api.begin(operation, pointers)
        except NoLfsServer:
            return False
        return True

    def lacking(self, pointers: Collection[Pointer]) -> set[Pointer]:
        return {pointer for pointer, answer in self._api.ask(UPLOAD, pointers).items() if not answer.is_stored}

    def upload(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        self._side_by_side(lambda pointer, tell: self._send(pointer, content, tell), self.lacking(pointers), on_bytes)

    def download(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        answers = self._api.ask(DOWNLOAD, pointers)
        wanted = [pointer for pointer, answer in answers.items() if not answer.is_missing]
        self._side_by_side(lambda pointer, tell: self._receive(pointer, content, tell), wanted, on_bytes)
        if len(wanted) < len(answers):
            raise NotFound(f"{len(answers) - len(wanted)} artifacts are not on the {self._api.who}.")

    def _side_by_side(
        self, act: Callable[[Pointer, OnBytes], None], pointers: Iterable[Pointer], on_bytes: OnBytes
    ) -> None:
        side_by_side(act, pointers, on_bytes, at_once=self._web.at_once)

    def _send(self, pointer: Pointer, content: ContentStore, on_bytes: OnBytes) -> None:
        answer = persist(lambda attempt: self._put(pointer, content, on_bytes, attempt))
        verify = answer.actions.get("verify")
        if verify:
            persist(lambda _: self._verify(pointer, verify))
        self._api.is_done(UPLOAD, pointer)

    def _put(self, pointer: Pointer, content: ContentStore, on_bytes: OnBytes, attempt: int) -> Answer:
        answer = self._api.fresh(UPLOAD, pointer, anew=attempt > 0)
        if answer.refusal:
            raise self._refused(pointer, answer.refusal)
        action = answer.actions.get(UPLOAD)
        if action is None:  # somebody else was faster
            return answer
        headers = merged({"Content-Type": "application/octet-stream"}, action.headers)
        if not any(name.lower() == "transfer-encoding" for name in headers):  # some want it in chunks
            headers["Content-Length"] = str(pointer.size_bytes)
        with content.open(pointer) as file:
            body = Outgoing(file, pointer, on_bytes)
            try:
                response = self._web.request("PUT", action.href, headers=headers, body=body.from_the_start)
                self._check(response, pointer, answer, attempt)
                let_go(response)
            except BaseException:
                body.take_back()
                raise
        return answer

    def _verify(self, pointer: Pointer, action: Action) -> None:
        said = json.dumps(as_object(pointer)).encode()
        response = self._web.request("POST", action.href, headers=merged(as_json(), action.headers), body=lambda: said)
        if response.status >= 300:
            raise self._refused(pointer, f"after it was sent, {message_of(response)}")
        let_go(response)

    def _receive(self, pointer: Pointer, content: ContentStore, on_bytes: OnBytes) -> None:
        with content.arriving(pointer) as arriving:
            on_bytes(arriving.received)
            if arriving.received < pointer.size_bytes:
                persist(lambda attempt: self._get(pointer, arriving, on_bytes, attempt))
            arriving.finish()

    def _get(self, pointer: Pointer, arriving: Arriving, on_bytes: OnBytes, attempt: int) -> None:
        answer = self._api.fresh(DOWNLOAD, pointer, anew=attempt > 0)
        action = answer.actions.get(DOWNLOAD)
        if answer.is_missing or (action is None and not answer.refusal):
            raise NotFound(f"The artifact {pointer.sha256[:12]} is not on the {self._api.who}.")
        if action is None:
            raise self._refused(pointer, answer.refusal)
        response = self._open(action, arriving.received)
        if arriving.received and not _goes_on(response, arriving.received):
            on_bytes(-arriving.received)
            arriving.restart()
            if response.status in (206, 416):
                let_go(response)
                response = self._open(action, 0)
        try:
            self._check(response, pointer, answer, attempt)
            for piece in response.stream(PIECE, decode_content=True):
                arriving.write(piece)
                on_bytes(len(piece))
        except (HTTPError, OSError) as error:
            raise self._web.failure(action.href, error) from error
        finally:
            let_go(response)
        if arriving.received < pointer.size_bytes and "Content-Length" not in response.headers:
            raise Passing(f"The {self._api.who} ended in the middle of the artifact {pointer.sha256[:12]}.")

    def _open(self, action: Action, start: int) -> urllib3.BaseHTTPResponse:
        """What is to be downloaded, from a byte on."""
        ranged = {"Range": f"bytes={start}-"} if start else {}
        return self._web.request("GET", action.href, headers=merged(ranged, action.headers))

    def _check(self, response: urllib3.BaseHTTPResponse, pointer: Pointer, answer: Answer, attempt: int) -> None:
        status = response.status
        if status < 300:
            return
        said = message_of(response)
        if status in (401, 403) and answer.expires is not None and not attempt:
            raise Passing(f"The {self._api.who} does not let us: {said}.")  # the clocks may differ: once more, anew
        if status in (401, 403):
            raise AccessDenied(f"The {self._api.who} does not let us: {said}.")
        if status in GONE and DOWNLOAD in answer.actions:
            raise NotFound(f"The artifact {pointer.sha256[:12]} is not on the {self._api.who}.")
        raise self._refused(pointer, said)

    def _refused(self, pointer: Pointer, reason: str) -> ObjectRefused:
        return ObjectRefused(f"The {self._api.who} refuses the artifact {pointer.sha256[:12]}: {reason}.")


def _goes_on(response: urllib3.BaseHTTPResponse, start: int) -> bool:
    """Whether an answer is the rest from `start` on; not every server does what it is asked, or says what it does."""
    said = (response.headers.get("Content-Range") or "").lower().split()
    is_right = len(said) == 2 and said[0] == "bytes" and said[1].startswith(f"{start}-")
    return response.status == 206 and is_right and not response.headers.get("Content-Encoding")
