"""Real servers for git repositories, on loopback: started when entered, gone when left.

Each serves the bare repositories in one folder. A program that is not installed is a skipped test, and a failed one
where GITEXP_SERVERS says "required", as in CI.
"""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.parse import quote

import pytest

USER, PASSWORD = "ann", "p@ss:word%"
PLAIN_GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
READY_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that runs.

    Attributes:
        base: the address of the folder with the repositories.
        port: None where there is none.
        environ: what a client's environment must have to be let in.
    """

    base: str
    port: int | None = None
    environ: dict[str, str] = field(default_factory=dict)

    def url(self, name: str) -> str:
        """The address of a repository, by its path below the folder that is served."""
        return f"{self.base}/{name}"

    def through(self, port: int) -> Server:
        """The same server reached by another port."""
        base = self.base.replace(f":{self.port}", f":{port}", 1)
        return Server(base=base, port=port, environ=self.environ)


def need(program: str, package: str) -> str:
    """The path of a program that a test needs."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    return found or absent(f"{program} is not installed; type: apt-get install {package}")


def absent(reason: str) -> NoReturn:
    """A test cannot be made."""
    if os.environ.get("GITEXP_SERVERS") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def serve_path(root: Path) -> Iterator[Server]:
    yield Server(base=str(root))


@contextmanager
def serve_ssh(root: Path) -> Iterator[Server]:
    """OpenSSH's server with keys of its own; whoever runs the tests logs in as themselves."""
    sshd, keygen = need("sshd", "openssh-server"), need("ssh-keygen", "openssh-client")
    folder = root.parent / "sshd"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # where it locks itself in; Debian's start script makes it
    port = free_port()
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "PidFile": folder / "pid",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "StrictModes": "no",
        "UsePAM": "no",
        "UseDNS": "no",
        "KexAlgorithms": "curve25519-sha256",  # the usual one takes twice as long
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "MaxStartups": "100",
        "AcceptEnv": "GIT_PROTOCOL",
        "SetEnv": " ".join(f"{name}={value}" for name, value in {**PLAIN_GIT, "PATH": os.environ["PATH"]}.items()),
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    host_key = (folder / "host.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    with _running([sshd, "-D", "-e", "-f", str(folder / "config")], port, folder / "log"):
        yield Server(base=f"ssh://127.0.0.1:{port}{root}", port=port, environ={"GIT_SSH_COMMAND": ssh_command(folder)})


def ssh_command(folder: Path) -> str:
    """How `ssh` gets into the server that has its keys in `folder`."""
    options = {
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": folder / "known_hosts",
        "HostKeyAlias": "[127.0.0.1]:" + (folder / "config").read_text().split()[1],
        "BatchMode": "yes",
    }
    said = " ".join(f"-o {name}={value}" for name, value in options.items())
    return f"ssh -F /dev/null -i {folder / 'user'} {said}"


@contextmanager
def serve_daemon(root: Path) -> Iterator[Server]:
    """`git daemon`, which lets everybody push."""
    port = free_port()
    options = ["--listen=127.0.0.1", f"--port={port}", "--reuseaddr", f"--base-path={root}", "--export-all"]
    command = ["git", "-c", "safe.directory=*", "daemon", *options, "--enable=receive-pack", str(root)]
    with _running(command, port, root.parent / "daemon.log"):
        yield Server(base=f"git://127.0.0.1:{port}", port=port)


@contextmanager
def serve_http(root: Path, *, asks: bool = True) -> Iterator[Server]:
    """git's http-backend behind a small web server.

    Args:
        asks: whether it wants USER and PASSWORD; the address has them then.
    """
    with _serving("http" if asks else "open-http", root) as port:
        userinfo = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@" if asks else ""
        yield Server(base=f"http://{userinfo}127.0.0.1:{port}", port=port)


@contextmanager
def serve_dulwich(root: Path) -> Iterator[Server]:
    """dulwich's own web server, which has nothing of git's."""
    with _serving("dulwich", root) as port:
        yield Server(base=f"http://127.0.0.1:{port}", port=port)


SERVERS: dict[str, Callable[[Path], AbstractContextManager[Server]]] = {
    "path": serve_path,
    "ssh": serve_ssh,
    "http": serve_http,
    "daemon": serve_daemon,
    "dulwich": serve_dulwich,
}


def make_dulwich_server(root: Path, port: int) -> ThreadingHTTPServer:
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    from dulwich.server import FileSystemBackend
    from dulwich.web import make_wsgi_chain

    class Below(FileSystemBackend):
        def open_repository(self, path: str) -> object:
            return super().open_repository(os.path.join(root, os.fsdecode(path).lstrip("/")))

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None: ...

    class Threading(ThreadingHTTPServer, WSGIServer):
        daemon_threads = True

    server = Threading(("127.0.0.1", port), Quiet)
    server.set_app(make_wsgi_chain(Below(str(root))))
    return server


class _Backend(ThreadingHTTPServer):
    """CGI around `git http-backend`: threads, basic authentication, chunked and compressed requests."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, root: Path, port: int, *, asks: bool) -> None:
        super().__init__(("127.0.0.1", port), _Request)
        self.root = root
        self.asks = asks


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Backend

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def _do(self) -> None:
        body = self._body()
        if self.server.asks and not self._is_let_in():
            for _ in body:
                pass
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        backend = subprocess.Popen(
            ["git", "http-backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environ()
        )
        feeder = threading.Thread(target=self._feed, args=(backend, body), daemon=True)
        feeder.start()
        try:
            self._answer(backend)
        finally:
            backend.kill()
            feeder.join()
            assert backend.stdout is not None
            backend.stdout.close()
            backend.wait()

    def _is_let_in(self) -> bool:
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        scheme, _, said = self.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "basic" and hmac.compare_digest(said, wanted)

    def _environ(self) -> dict[str, str]:
        path, _, query = self.path.partition("?")
        said = {
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_USER": USER,  # without one nobody may push
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH": os.environ["PATH"],
            **PLAIN_GIT,
        }
        if self.headers.get("Git-Protocol"):
            said["GIT_PROTOCOL"] = self.headers["Git-Protocol"]
        return said

    def _body(self) -> Iterator[bytes]:
        pieces = self._chunks() if "chunked" in self.headers.get("Transfer-Encoding", "") else self._counted()
        if self.headers.get("Content-Encoding") == "gzip":
            yield gzip.decompress(b"".join(pieces))
        else:
            yield from pieces

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield from self._read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _counted(self) -> Iterator[bytes]:
        yield from self._read(int(self.headers.get("Content-Length") or 0))

    def _read(self, size: int) -> Iterator[bytes]:
        while size:
            data = self.rfile.read1(min(size, 1 << 16))
            if not data:
                raise ConnectionError("the client went away")
            size -= len(data)
            yield data

    def _feed(self, backend: subprocess.Popen[bytes], body: Iterator[bytes]) -> None:
        """Without its whole request the backend must not answer, so it dies where the client does."""
        assert backend.stdin is not None
        try:
            for data in body:
                backend.stdin.write(data)
            backend.stdin.close()
        except (OSError, ValueError):
            backend.kill()

    def _answer(self, backend: subprocess.Popen[bytes]) -> None:
        assert backend.stdout is not None
        status = 200
        headers = []
        for line in iter(backend.stdout.readline, b""):
            name, _, value = line.decode().rstrip("\r\n").partition(": ")
            if not name:
                break
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        else:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while data := backend.stdout.read1(1 << 16):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")


class Proxy:
    """A port in front of another that lets through so many bytes each way, and then breaks.

    Args:
        port: of the server.
        up, down: after how many bytes from and to the client it breaks; None: never.
        how: "cut" (an end as of a server that dies), "reset", or "stall" (nothing more comes or goes).

    Attributes:
        port: where to connect to.
        passed_up, passed_down: bytes let through so far.
    """

    def __init__(self, port: int, *, up: int | None = None, down: int | None = None, how: str = "cut") -> None:
        self._target = port
        self._limits = {"up": up, "down": down}
        self._how = how
        self._passed = {"up": 0, "down": 0}
        self._lock = threading.Lock()
        self._broken = threading.Event()
        self._left = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]

    @property
    def passed_up(self) -> int:
        return self._passed["up"]

    @property
    def passed_down(self) -> int:
        return self._passed["down"]

    @property
    def has_broken(self) -> bool:
        return self._broken.is_set()

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            _close(self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._lock:
                self._sockets += [client, server]
                stopped = self._broken.is_set() and self._how != "stall"
            if stopped or self._left.is_set():
                self._break(client, server)
                continue
            for way, source, target in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self._pump, args=(way, source, target), daemon=True).start()

    def _pump(self, way: str, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self._broken.is_set() and self._how == "stall":
                    self._left.wait()
                    return
                allowed = self._allow(way, len(data))
                target.sendall(data[:allowed])
                if allowed < len(data):
                    self._broken.set()
                    if self._how == "stall":
                        self._left.wait()
                    else:
                        with self._lock:
                            self._break(*self._sockets)
                    return
            target.shutdown(socket.SHUT_WR)

    def _allow(self, way: str, size: int) -> int:
        with self._lock:
            limit = self._limits[way]
            allowed = size if limit is None else max(min(size, limit - self._passed[way]), 0)
            self._passed[way] += allowed
            return allowed

    def _break(self, *sockets: socket.socket) -> None:
        for one in sockets:
            if self._how == "reset":
                with suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        _close(sockets)


class FakeGit:
    """A program that speaks just enough of git's protocol, version 0, to lie in it; reached by `git://`.

    Args:
        refs: id and name of each ref that it says it has.
        pack: what it sends to whoever fetches.
    """

    def __init__(self, refs: list[tuple[bytes, bytes]], pack: bytes = b"") -> None:
        self._refs = refs
        self._pack = pack
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"git://127.0.0.1:{self._listener.getsockname()[1]}/any.git"

    def __enter__(self) -> FakeGit:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, client.makefile("rwb") as stream, suppress(OSError, ValueError):
                    self._answer(stream)

    def _answer(self, stream: BinaryIO) -> None:
        _packet(stream)
        capabilities = b"\0ofs-delta report-status"
        lines = []
        for oid, name in self._refs:
            line = oid + b" " + name + capabilities + b"\n"
            lines.append(b"%04x%s" % (len(line) + 4, line))
            capabilities = b""
        stream.write(b"".join(lines) + b"0000")
        stream.flush()
        while (said := _packet(stream)) != b"done\n":
            if said is None and not self._pack:
                return
        stream.write(b"0008NAK\n" + self._pack)
        stream.flush()


def _packet(stream: BinaryIO) -> bytes | None:
    size = int(stream.read(4), 16)
    return stream.read(size - 4) if size else None


def _close(sockets: object) -> None:
    for one in sockets:  # type: ignore[attr-defined]
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """A server program that is there as soon as its port can be connected to; all of it goes at the end."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(log.parent), **PLAIN_GIT}
    with log.open("wb") as said, ExitStack() as stack:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environ, start_new_session=True
        )
        stack.callback(_end, process)
        give_up = time.monotonic() + READY_S
        while not _answers(port):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
            if process.returncode is not None or time.monotonic() > give_up:
                raise AssertionError(f"{command[0]} did not start: {log.read_text()}")
        yield


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextmanager
def _serving(kind: str, root: Path) -> Iterator[int]:
    """A web server of this file's, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", __file__, kind, str(root), str(port)]
    with _running(command, port, root.parent / f"{kind}-{port}.log"):
        yield port


def main() -> None:
    """`python tests/servers.py ssh FOLDER` serves the bare repositories in a folder until its stdin ends.

    It prints how to get there. With a port too it is a web server of this file's, until it is interrupted.
    """
    if len(sys.argv) == 3:
        with SERVERS[sys.argv[1]](Path(sys.argv[2]).resolve()) as server:
            print(json.dumps({"base": server.base, "environ": server.environ}), flush=True)  # noqa: T201 (a program)
            sys.stdin.read()
        return
    kind, root, port = sys.argv[1], Path(sys.argv[2]).resolve(), int(sys.argv[3])
    server = make_dulwich_server(root, port) if kind == "dulwich" else _Backend(root, port, asks=kind == "http")
    server.serve_forever()


if __name__ == "__main__":
    main()
