"""A push on a connection to `receive-pack`: commands, a pack, and the report on them (git, gitprotocol-pack(5))."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from gitexp.store.git.answers import failed
from gitexp.store.git.connections import Connection, NoGit
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.packs import encode_entry
from gitexp.store.git.transport import OnBytes, PushPlan, PushReport

_ZERO = "0" * 40
_WANTED = (b"report-status", b"side-band-64k", b"quiet")
_TOGETHER = 1 << 16
_DATA, _TALK, _ERROR = 1, 2, 3
_NOT_TOLD = "the remote does not say what became of it"


def push_on(
    connection: Connection,
    advertised: Sequence[bytes],
    plan: PushPlan,
    objects: ObjectDatabase,
    on_bytes: OnBytes,
    *,
    url: str,
) -> PushReport:
    """Carry out a plan on a connection whose advertisement has been read.

    Raises:
        RemoteFailed: the remote could not take in what was sent; it has changed nothing.
        NoGit, Silent, EOFError: the conversation ended otherwise than it should.
    """
    offered = advertised[0].partition(b"\0")[2].split() if advertised else []
    if b"report-status" not in offered:
        raise NoGit("it does not tell what becomes of a push")
    said = b" ".join([*(word for word in _WANTED if word in offered), b"agent=gitexp"])
    for name, (old, new) in plan.updates.items():
        connection.write(_packet(f"{old or _ZERO} {new or _ZERO} {name}".encode() + b"\0" + said))
        said = b""
    connection.write(b"0000")
    if any(new for _, new in plan.updates.values()):
        for data in _pack(plan, objects):
            connection.write(data)
            on_bytes(len(data))
    connection.flush()
    report, talk = _answer(connection, b"side-band-64k" in offered)
    told = talk.decode(errors="replace").strip()
    if not report or not report[0].startswith(b"unpack "):
        raise EOFError
    outcome = report[0].removeprefix(b"unpack ").decode(errors="replace").strip()
    if outcome != "ok":
        complaints = f"{told}\n{connection.complaints()}"
        raise failed(url, f"it could not take in what was sent ({outcome})", complaints)
    refused = dict.fromkeys(plan.updates, _NOT_TOLD)
    for line in report[1:]:
        verdict, _, rest = line.decode("utf-8", "replace").rstrip("\n").partition(" ")
        name, _, reason = rest.partition(" ")
        if verdict == "ok":
            refused.pop(name, None)
        elif verdict == "ng":
            refused[name] = reason or "it was refused"
    return PushReport(refused=refused, said=told)


def _pack(plan: PushPlan, objects: ObjectDatabase) -> Iterator[bytes]:
    """A pack of what the plan sends, in pieces. What is packed here already is sent as it is."""
    ids = plan.objects()
    digest = hashlib.sha1(usedforsecurity=False)
    waiting, size = [b"PACK\0\0\0\2" + len(ids).to_bytes(4, "big")], 0
    for oid in ids:
        made = plan.made.get(oid)
        if made is None:
            entry = objects.entry(oid)[1]
        else:  # content of artifacts hardly ever compresses, and trying is what would take the time
            kind, read = made
            entry = encode_entry(kind, read(), level=0)
        waiting.append(entry)
        size += len(entry)
        if size >= _TOGETHER:
            data = b"".join(waiting)
            waiting, size = [], 0
            digest.update(data)
            yield data
    data = b"".join(waiting)
    digest.update(data)
    yield data + digest.digest()


def _answer(connection: Connection, has_bands: bool) -> tuple[list[bytes], bytes]:
    """The packets of the report, and what the remote told people."""
    packets = connection.packets()
    if not has_bands:
        return packets, b""
    bands: dict[int, bytearray] = {_DATA: bytearray(), _TALK: bytearray(), _ERROR: bytearray()}
    for packet in packets:
        if packet and packet[0] in bands:
            bands[packet[0]] += packet[1:]
    if bands[_ERROR]:
        raise NoGit(bands[_ERROR].decode(errors="replace").strip())
    return _split(bytes(bands[_DATA])), bytes(bands[_TALK])


def _split(data: bytes) -> list[bytes]:
    """The packets in the report's band, up to its flush."""
    found = []
    position = 0
    while (size := int(data[position : position + 4] or b"0", 16)) >= 4:
        found.append(data[position + 4 : position + size])
        position += size
    return found


def _packet(data: bytes) -> bytes:
    return b"%04x%s" % (len(data) + 4, data)
