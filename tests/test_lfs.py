"""Git LFS: whole and right content both ways, whatever a server does."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitexp.domain.pointer import Pointer
from gitexp.errors import AccessDenied, CorruptData, NotFound, RemoteFailed, StorageFailed
from gitexp.store.artifacts.lfs_batch import NoLfsServer
from gitexp.store.artifacts.store import ObjectRefused
from places import LfsHost, Machine, Reply, Request, in_json, make_machine

pytestmark = pytest.mark.slow

LARGE = os.urandom(3_000_000)


@pytest.fixture
def host() -> Iterator[LfsHost]:
    with LfsHost() as started:
        yield started


@pytest.fixture
def ann(tmp_path: Path) -> Machine:
    return make_machine(tmp_path / "ann")


@pytest.fixture
def bob(tmp_path: Path) -> Machine:
    return make_machine(tmp_path / "bob")


def give(host: LfsHost, data: bytes) -> Pointer:
    """What the server has from the beginning."""
    sha256 = hashlib.sha256(data).hexdigest()
    host.objects[sha256] = data
    return Pointer(sha256=sha256, size_bytes=len(data))


def once(odd: Callable[[Request], Reply | None], method: str, times: int = 1) -> Callable[[Request], Reply | None]:
    """Only for the first requests with a method."""
    seen = []

    def asked(request: Request) -> Reply | None:
        if request.method != method or len(seen) >= times:
            return None
        seen.append(request)
        return odd(request)

    return asked


def test_content_goes_there_and_comes_back(host: LfsHost, ann: Machine, bob: Machine) -> None:
    """Several objects travel, each is verified on the server, and nothing travels twice."""
    things = [LARGE, b"x" * 70_000, b"y"]
    pointers = [ann.put(data) for data in things]
    store = ann.lfs(host.url)
    assert store.lacking(pointers) == set(pointers)
    store.upload(pointers, ann.content, ann.told.append)
    assert sum(ann.told) == sum(map(len, things))
    assert len(host.seen("PUT")) == len(host.seen("POST", "/verify")) == 3
    assert ann.lfs().lacking(pointers) == set()
    bob.lfs(host.url).download(pointers, bob.content, bob.told.append)
    assert all(bob.has(pointer, data) for pointer, data in zip(pointers, things, strict=True))
    assert sum(bob.told) == sum(map(len, things))
    assert bob.parts() == {}


def test_a_hundred_objects_a_request(host: LfsHost, ann: Machine) -> None:
    """250 objects are asked about in 3 requests, and their upload needs no more."""
    pointers = [ann.put(b"%d" % number) for number in range(250)]
    store = ann.lfs(host.url)
    assert store.is_there(pointers, push=True)
    assert len(store.lacking(pointers)) == 250
    store.upload(pointers, ann.content, ann.told.append)
    assert [len(request.json["objects"]) for request in host.seen("POST", "/batch")] == [100, 100, 50]
    assert len(host.objects) == 250


def test_the_request_is_what_the_specification_says(host: LfsHost, ann: Machine) -> None:
    """Address, media types, operation, transfers and digest of a batch request are those of git-lfs."""
    pointer = ann.put(b"data")
    ann.lfs(host.url).lacking([pointer])
    [request] = host.requests
    assert request.path == "/team/repo.git/info/lfs/objects/batch"
    assert request.headers["Accept"] == request.headers["Content-Type"] == "application/vnd.git-lfs+json"
    assert request.json == {
        "operation": "upload",
        "transfers": ["basic"],
        "objects": [{"oid": pointer.sha256, "size": 4}],
        "hash_algo": "sha256",
    }


def test_a_download_that_was_cut_goes_on(host: LfsHost, bob: Machine) -> None:
    """What had arrived stays, in this process and for the next one; only the rest is asked for."""
    pointer = give(host, LARGE)
    host.odd = once(lambda _: Reply(body=LARGE, cut=1_500_000), "GET")
    bob.lfs(host.url).download([pointer], bob.content, bob.told.append)
    first, second = host.seen("GET")
    assert "Range" not in first.headers
    assert 0 < int(second.headers["Range"].removeprefix("bytes=").rstrip("-")) <= 1_500_000
    assert bob.has(pointer, LARGE)
    assert sum(bob.told) == len(LARGE)


@pytest.mark.slow
def test_a_download_that_broke_for_good_goes_on_later(host: LfsHost, bob: Machine) -> None:
    """When the tries are used up an error says so, and the same command again goes on where it stopped."""
    pointer = give(host, LARGE)
    host.odd = once(lambda _: Reply(body=LARGE, cut=0), "GET", 9)
    with pytest.raises(RemoteFailed):
        bob.lfs(host.url).download([pointer], bob.content, bob.told.append)
    cut = once(lambda _: Reply(body=LARGE, cut=2_500_000), "GET")
    host.odd = lambda request: cut(request) or (Reply(status=503) if request.method == "GET" else None)
    with pytest.raises(RemoteFailed, match="503 Service Unavailable"):
        bob.lfs().download([pointer], bob.content, bob.told.append)
    [held] = bob.parts().values()
    assert 1_000_000 < held <= 2_500_000
    host.requests.clear()
    host.odd = lambda _: None
    bob.lfs().download([pointer], bob.content, bob.told.append)
    assert [request.headers["Range"] for request in host.seen("GET")] == [f"bytes={held}-"]
    assert bob.has(pointer, LARGE)


@pytest.mark.parametrize(
    ("name", "reply"),
    {
        "ignored": lambda _: Reply(body=LARGE),
        "wrong": lambda _: Reply(status=206, body=LARGE[7:], headers={"Content-Range": "bytes 7-2999999/3000000"}),
        "unsaid": lambda _: Reply(status=206, body=LARGE[7:]),
        "refused": lambda _: Reply(status=416, headers={"Content-Range": "bytes */3000000"}),
    }.items(),
)
def test_a_server_that_cannot_go_on(host: LfsHost, bob: Machine, name: str, reply: Callable[[Request], Reply]) -> None:
    """A range that is ignored, wrong, not named or refused costs a transfer from the start, and is never trusted."""
    pointer = give(host, LARGE)
    with bob.content.arriving(pointer) as arriving:
        arriving.write(LARGE[:1_000_000])
    host.odd = lambda request: reply(request) if "Range" in request.headers else None
    bob.lfs(host.url).download([pointer], bob.content, bob.told.append)
    assert bob.has(pointer, LARGE), name
    assert sum(bob.told) == len(LARGE)


def test_an_end_without_a_length_is_not_believed(host: LfsHost, bob: Machine) -> None:
    """Where only the end of the connection ends an answer, an early one counts as a cut."""
    pointer = give(host, LARGE)
    host.odd = once(lambda _: Reply(body=LARGE[:1_000_000], headers={"Connection": "close"}), "GET")
    bob.lfs(host.url).download([pointer], bob.content, bob.told.append)
    assert bob.has(pointer, LARGE)
    assert host.seen("GET")[1].headers["Range"] == "bytes=1000000-"


def test_answers_in_chunks_and_compressed(host: LfsHost, bob: Machine) -> None:
    """How an answer is sent does not matter."""
    pointer = give(host, LARGE)
    other = give(host, b"a" * 100_000)
    squeezed = gzip.compress(b"a" * 100_000)
    replies = {
        pointer.sha256: Reply(body=LARGE, chunked=True),
        other.sha256: Reply(body=squeezed, headers={"Content-Encoding": "gzip"}),
    }

    def odd(request: Request) -> Reply | None:
        if request.is_batch:
            said = in_json({"objects": [host.answer(request.json, item) for item in request.json["objects"]]})
            said.chunked = True
            said.headers["Content-Encoding"] = "gzip"
            said.body = gzip.compress(said.body)
            return said
        return replies[request.path.rpartition("/")[2]]

    host.odd = odd
    bob.lfs(host.url).download([pointer, other], bob.content, bob.told.append)
    assert bob.has(pointer, LARGE)
    assert bob.has(other, b"a" * 100_000)


def test_an_upload_in_chunks_where_the_server_wants_it(host: LfsHost, ann: Machine) -> None:
    """A server may ask for `Transfer-Encoding: chunked`, as GitLab does."""
    pointer = ann.put(LARGE)
    host.action = {"header": {"Transfer-Encoding": "chunked", "content-type": "application/x-thing"}}
    host.odd = lambda request: Reply() if request.path == "/verify" else None
    ann.lfs(host.url).upload([pointer], ann.content, ann.told.append)
    assert host.objects[pointer.sha256] == LARGE
    [put] = host.seen("PUT")
    assert "Content-Length" not in put.headers
    assert put.headers["Content-Type"] == "application/x-thing"


@pytest.mark.parametrize(
    "sent",
    [b"z" * len(LARGE), LARGE + b"more", LARGE[:-1], b"<html>Log in</html>"],
    ids=["other", "longer", "shorter", "page"],
)
def test_wrong_content_is_not_kept(host: LfsHost, bob: Machine, sent: bytes) -> None:
    """Content of another SHA-256 or size is refused, nothing of it stays, and the other objects come nevertheless."""
    pointer, right = give(host, LARGE), give(host, b"right")
    host.odd = lambda request: Reply(body=sent) if request.path.endswith(pointer.sha256) else None
    with pytest.raises(CorruptData, match=pointer.sha256[:12]):
        bob.lfs(host.url).download([pointer, right], bob.content, bob.told.append)
    assert not bob.content.contains(pointer)
    assert bob.has(right, b"right")
    assert bob.parts() == {}
    host.odd = lambda _: None
    bob.lfs().download([pointer], bob.content, bob.told.append)
    assert bob.has(pointer, LARGE)


@pytest.mark.parametrize("way", ["said", "silent", "gone", "unknown"])
def test_an_object_that_is_missing(host: LfsHost, bob: Machine, way: str) -> None:
    """Whether the batch says so, has no action, or the download is gone: NotFound, and the others are here."""
    pointer, right = give(host, LARGE), give(host, b"right")

    def odd(request: Request) -> Reply | None:
        if way in ("gone", "unknown") and request.path.endswith(pointer.sha256):
            return Reply(status=410 if way == "gone" else 404)
        if way == "silent" and request.is_batch:
            said = [host.answer(request.json, item) for item in request.json["objects"]]
            return in_json({"objects": [{**item, "actions": {}} if item["size"] > 9 else item for item in said]})
        return None

    if way == "said":
        del host.objects[pointer.sha256]
    host.odd = odd
    with pytest.raises(NotFound):
        bob.lfs(host.url).download([pointer, right], bob.content, bob.told.append)
    assert bob.has(right, b"right")
    assert not bob.content.contains(pointer)


def test_content_that_is_damaged_here_is_not_sent(host: LfsHost, ann: Machine) -> None:
    """Not even to a server that would take it."""
    pointer, right = ann.put(LARGE), ann.put(b"right")
    path = Path(ann.content.folder, pointer.sha256[:2], pointer.sha256[2:4], pointer.sha256)
    path.chmod(0o644)
    path.write_bytes(b"!" + LARGE[1:])
    taken = []

    def take(request: Request) -> Reply | None:
        if request.method != "GET" and not request.is_batch:
            taken.append(request.path.rpartition("/")[2])
            return Reply()
        return None

    host.odd = take
    with pytest.raises(CorruptData, match="damaged, and is not sent") as failed:
        ann.lfs(host.url).upload([pointer, right], ann.content, ann.told.append)
    assert "gitexp fsck" in failed.value.hint
    assert set(taken) == {right.sha256, "verify"}


@pytest.mark.slow
def test_an_upload_that_breaks_is_begun_again(host: LfsHost, ann: Machine) -> None:
    """The server asks for it once more, and bytes that travelled twice count once."""
    pointer = ann.put(LARGE)
    host.odd = once(lambda _: Reply(status=500), "PUT", 2)
    ann.lfs(host.url).upload([pointer], ann.content, ann.told.append)
    assert host.objects[pointer.sha256] == LARGE
    assert len(host.seen("PUT")) == 3
    assert sum(ann.told) == len(LARGE)


def test_an_upload_that_somebody_else_finished(host: LfsHost, ann: Machine) -> None:
    """Between two tries another machine may have brought it."""
    pointer = ann.put(LARGE)

    def odd(_: Request) -> Reply:
        host.objects[pointer.sha256] = LARGE
        return Reply(status=502)

    host.odd = once(odd, "PUT")
    ann.lfs(host.url).upload([pointer], ann.content, ann.told.append)
    assert len(host.seen("PUT")) == 1


def test_what_was_sent_and_is_not_there(host: LfsHost, ann: Machine) -> None:
    """A server that does not find what it has just taken fails the push."""
    pointer = ann.put(LARGE)
    host.odd = lambda request: in_json({"message": "Object not found."}, 404) if request.path == "/verify" else None
    with pytest.raises(ObjectRefused, match=r"after it was sent, Object not found \(404\)"):
        ann.lfs(host.url).upload([pointer], ann.content, ann.told.append)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessDenied), (403, AccessDenied), (413, ObjectRefused), (422, ObjectRefused), (507, ObjectRefused)],
)
def test_an_upload_that_is_refused(host: LfsHost, ann: Machine, status: int, kind: type[RemoteFailed]) -> None:
    """The error quotes the server, which is asked once; what concerns one object keeps no other from travelling."""
    pointer, right = ann.put(LARGE), ann.put(b"right")
    host.action = {"header": {"Authorization": "Bearer of-the-server"}}
    host.odd = lambda request: (
        in_json({"message": "Over your quota."}, status) if request.path.endswith(pointer.sha256) else None
    )
    with pytest.raises(kind, match=rf"Over your quota \({status}\)\.$"):
        ann.lfs(host.url).upload([pointer, right], ann.content, ann.told.append)
    assert right.sha256 in host.objects or kind is AccessDenied
    assert len(host.seen("PUT", pointer.sha256)) == 1


@pytest.mark.parametrize("operation", ["upload", "download"])
def test_one_object_that_the_batch_refuses(host: LfsHost, ann: Machine, bob: Machine, operation: str) -> None:
    """An error of one object in a batch is that object's; one it says nothing of is not taken for stored."""
    bad, silent, right = b"bad" * 3, b"silent", b"right"
    pointers = [ann.put(data) for data in (bad, silent, right)]
    if operation == "download":
        host.objects.update(
            {pointer.sha256: data for pointer, data in zip(pointers, (bad, silent, right), strict=True)}
        )

    def odd(request: Request) -> Reply | None:
        if not request.is_batch:
            return None
        said = [host.answer(request.json, item) for item in request.json["objects"]]
        wrong = {"oid": pointers[0].sha256, "size": 9, "error": {"code": 422, "message": "Too odd"}}
        return in_json({"objects": [item for item in said if item["size"] == 5] + [wrong]})

    host.odd = odd
    if operation == "upload":
        with pytest.raises(ObjectRefused):
            ann.lfs(host.url).upload(pointers, ann.content, ann.told.append)
        assert set(host.objects) == {pointers[2].sha256}
        assert ann.lfs().lacking(pointers) == set(pointers[:2])
    else:
        with pytest.raises(ObjectRefused, match=r"Too odd \(422\)|says nothing of it"):
            bob.lfs(host.url).download(pointers, bob.content, bob.told.append)
        assert bob.has(pointers[2], right)


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (in_json({"message": "You may not."}, 403), AccessDenied, r"You may not \(403\)"),
        (Reply(status=403, body=b"<html>", headers={"Content-Type": "text/html"}), AccessDenied, "403 Forbidden"),
        (in_json({"message": "Too many objects"}, 413), RemoteFailed, r"Too many objects \(413\)"),
        (in_json({"message": "No."}, 422), RemoteFailed, r"No \(422\)"),
        (in_json({"message": "Quota"}, 509), RemoteFailed, r"Quota \(509\)"),
        (in_json({"transfer": "tus", "objects": []}), RemoteFailed, "wants 'tus'"),
        (in_json({"hash_algo": "sha512", "objects": []}), RemoteFailed, "wants 'sha512'"),
        (in_json({"objects": {}}), CorruptData, "makes no sense"),
        (in_json([1]), CorruptData, "makes no sense"),
        (in_json({"objects": [{"oid": "PLACE", "actions": {"upload": {}}}]}), CorruptData, "makes no sense"),
        (Reply(body=b"{", headers={"Content-Type": "application/json"}), CorruptData, "makes no sense"),
        (Reply(body=b"[" * 100_000, headers={"Content-Type": "application/json"}), CorruptData, "makes no sense"),
        (Reply(body=b" " * 17_000_000, headers={"Content-Type": "application/json"}), CorruptData, "makes no sense"),
    ],
)
def test_a_batch_that_is_refused_or_nonsense(
    host: LfsHost, ann: Machine, reply: Reply, kind: type[Exception], said: str
) -> None:
    """A refusal is told in the server's words, and is never taken for a host without LFS."""
    pointer = ann.put(LARGE)
    reply.body = reply.body.replace(b"PLACE", pointer.sha256.encode())
    host.odd = lambda _: reply
    with pytest.raises(kind, match=said) as failed:
        ann.lfs(host.url).is_there([pointer], push=True)
    assert "remotes.origin.artifacts to git" in failed.value.hint
    assert len(host.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_cannot_just_now(host: LfsHost, ann: Machine, status: int) -> None:
    """It is asked three times, and left alone as long as it wants; then the command fails, and names it."""
    pointer = ann.put(b"data")
    host.odd = once(lambda _: Reply(status=status, headers={"Retry-After": "0.1"}), "POST", 2)
    began = time.monotonic()
    assert ann.lfs(host.url).lacking([pointer]) == {pointer}
    assert time.monotonic() - began > 0.2
    host.odd = lambda _: Reply(status=status, headers={"Retry-After": "3600"})
    with pytest.raises(RemoteFailed, match=rf"{status} .*left alone for 3,600 s"):
        ann.lfs().lacking([pointer])
    assert len(host.requests) == 4


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=404),
        in_json({"message": "Not found"}, 404),
        Reply(status=405),
        Reply(status=501),
        Reply(body=b"<html>Welcome</html>", headers={"Content-Type": "text/html"}),
        Reply(body=b""),
    ],
    ids=["404", "404-json", "405", "501", "page", "nothing"],
)
def test_a_host_without_lfs(host: LfsHost, ann: Machine, reply: Reply) -> None:
    """One request tells; where LFS was asked for, the error says there is none."""
    pointer = ann.put(b"data")
    host.odd = lambda _: reply
    store = ann.lfs(host.url)
    assert not store.is_there([pointer], push=True)
    assert len(host.requests) == 1
    with pytest.raises(NoLfsServer, match="'origin' has no Git LFS server"):
        store.lacking([pointer])


@pytest.mark.parametrize("said", ["expires_in", "expires_at"])
def test_actions_that_have_expired_are_asked_for_anew(host: LfsHost, ann: Machine, said: str) -> None:
    """By seconds or by a time: what is no longer good is not used, and new ones come a hundred at once."""
    pointers = [ann.put(b"%d" % number) for number in range(30)]
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    host.action = {"expires_in": 1} if said == "expires_in" else {"expires_at": long_ago}
    store = ann.lfs(host.url)
    store.lacking(pointers)
    host.action = {"expires_in": 3600, "expires_at": "0001-01-01T00:00:00Z", "header": {"X-Round": "2"}}
    store.upload(pointers, ann.content, ann.told.append)
    assert [len(request.json["objects"]) for request in host.seen("POST", "/batch")] == [30, 30]
    assert {request.headers["X-Round"] for request in host.seen("PUT")} == {"2"}


def test_a_signature_that_ended_early(host: LfsHost, bob: Machine) -> None:
    """Where the storage's clock is ahead of ours its 403 means: ask anew."""
    pointer = give(host, LARGE)
    host.action = {"expires_in": 3600}
    host.odd = once(lambda _: Reply(status=403), "GET")
    bob.lfs(host.url).download([pointer], bob.content, bob.told.append)
    assert bob.has(pointer, LARGE)
    assert len(host.seen("POST", "/batch")) == 2


@pytest.mark.slow
def test_a_silent_server_is_given_up(host: LfsHost, bob: Machine) -> None:
    """After `lfs.activitytimeout` seconds without a byte, with what has come kept for the next time."""
    pointer = give(host, LARGE)
    stall = threading.Event()
    host.odd = lambda request: Reply(body=LARGE, stall=stall) if request.method == "GET" else None
    bob.configure("lfs.activitytimeout", "0.2")
    with pytest.raises(RemoteFailed, match="silent for too long"):
        bob.lfs(host.url).download([pointer], bob.content, bob.told.append)
    stall.set()
    assert sum(bob.parts().values()) >= 1_000_000


def test_a_full_disk(host: LfsHost, bob: Machine) -> None:
    """A disk that takes no more ends the download with an error of the disk, at once; what has come is not lost."""
    pointer = give(host, LARGE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, limits[1]))
    try:
        with pytest.raises(StorageFailed, match=r"\.part': File too large"):
            bob.lfs(host.url).download([pointer], bob.content, bob.told.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(host.seen("GET")) == 1
    assert bob.parts() == {pointer.sha256[:12]: 1_500_000}
    bob.lfs().download([pointer], bob.content, bob.told.append)
    assert bob.has(pointer, LARGE)
