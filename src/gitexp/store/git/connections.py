"""A stream of bytes to git's programs on the other side: by path, by ssh, by git's own port.

Whoever is silent for too long is given up. Git's programs say something every five seconds while they are at work.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from gitexp.errors import RemoteFailed, UsageError
from gitexp.store.git.remotes import kind_of, path_of
from gitexp.store.git.repository import GitRepository

PATIENCE_S = 60.0
GIT_PORT = 9418

_PIECE = 1 << 16
_GOODBYE_S = 5
_SHELL_READS = frozenset("|&;<>()$`\\*?[#~\n")
_LOCAL_ONLY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""What says where our own repository is must not reach the program that serves another."""


class Silent(Exception):
    """The other side said nothing for too long."""


class NoGit(Exception):
    """What answers does not speak git's protocol, or says why it does not."""


def patience_s(git: GitRepository) -> float:
    """How long a remote may be silent: `git config gitexp.timeout`, 0 for ever."""
    said = git.config("gitexp", "timeout")
    try:
        return PATIENCE_S if said is None else max(float(said), 0.0) or float("inf")
    except ValueError:
        raise UsageError(
            f"The git setting 'gitexp.timeout' is '{said}'; a number of seconds was expected.",
            hint="Type: git config gitexp.timeout 60",
        ) from None


class Connection:
    """Two pipes of a program, or a socket. Not for several threads.

    Args:
        reads, writes: descriptors; this object closes them.
        process: what has their other ends, if it is ours.
        complaints: a third descriptor, for what the program writes to its standard error.
    """

    def __init__(
        self,
        reads: int,
        writes: int,
        *,
        patience_s: float,
        process: subprocess.Popen[bytes] | None = None,
        complaints: int = -1,
    ) -> None:
        self._reads = reads
        self._writes = writes
        self._patience_s = patience_s
        self._process = process
        self._complains = complaints
        self._complaints = b""
        self._buffer = b""
        self._position = 0
        self._is_at_end = False
        self._takes_nothing = False
        self._is_given_up = False
        self._leaving: list[bytes] = []
        self._leaving_size = 0
        for descriptor in {reads, writes, complaints} - {-1}:
            os.set_blocking(descriptor, False)

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        if len(self._buffer) - self._position < size:
            self.flush()
            while len(self._buffer) - self._position < size and not self._is_at_end:
                self._wait()
        data = self._buffer[self._position : self._position + size]
        self._position += len(data)
        return data

    def packets(self) -> list[bytes]:
        """Git's packets up to the next flush, without their lengths.

        Raises:
            EOFError: it ended before.
            NoGit: what comes are no packets, or one that says why nothing else comes.
        """
        found: list[bytes] = []
        self.flush()
        while True:
            buffer, position = self._buffer, self._position
            end = len(buffer)
            while position + 4 <= end:
                try:
                    size = int(buffer[position : position + 4], 16)
                except ValueError:
                    raise NoGit("what answers there is no git server") from None
                if size == 3:
                    raise NoGit(f"it sent a packet of length {size}")
                if size < 3:
                    self._position = position + 4
                    return found
                if position + size > end:
                    break
                found.append(buffer[position + 4 : position + size])
                position += size
            self._position = position
            if self._is_at_end:
                if found and found[-1].startswith(b"ERR "):
                    raise NoGit(found[-1][4:].decode("utf-8", "replace").strip())
                raise EOFError
            self._wait()

    def write(self, data: bytes) -> None:
        """Send data, soon. Where the other side has gone nothing fails: what it said before is still to be read."""
        self._leaving.append(data)
        self._leaving_size += len(data)
        if self._leaving_size >= _PIECE:
            self.flush()

    def flush(self) -> None:
        left = memoryview(b"".join(self._leaving))
        self._leaving, self._leaving_size = [], 0
        while left and not self._takes_nothing:
            try:
                left = left[os.write(self._writes, left) :]
            except BlockingIOError:
                self._wait(to_write=True)
            except (BrokenPipeError, ConnectionResetError):
                self._takes_nothing = True

    def end(self) -> None:
        """Nothing more will be written."""
        self.flush()
        if self._reads == self._writes:
            import socket  # not for programs

            with suppress(OSError), socket.socket(fileno=os.dup(self._writes)) as copy:
                copy.shutdown(socket.SHUT_WR)
        else:
            self._close_writes()

    def can_read(self) -> bool:
        self.flush()
        if len(self._buffer) > self._position or self._is_at_end:
            return True
        return self._reads in self._poll(0, to_write=False)

    def close(self) -> None:
        """Hang up; a program that does not end then is ended."""
        if self._reads < 0:
            return
        if not self._is_given_up:
            with suppress(Silent):
                self.flush()
        self._close_writes()
        os.close(self._reads)
        self._reads = -1
        if self._process is not None:
            self._wait_for_end(self._process)
        if self._complains >= 0:
            self._listen()
            os.close(self._complains)
            self._complains = -1

    def complaints(self) -> str:
        """What the program wrote to its standard error, once its output has ended."""
        if self._process is not None and self._complains >= 0:
            self._wait_for_end(self._process)
            self._listen()
        return self._complaints.decode(errors="replace")

    def _listen(self) -> bool:
        """Take in what is complained of; whether there may be more."""
        with suppress(BlockingIOError):
            while data := os.read(self._complains, _PIECE):
                self._complaints = (self._complaints + data)[-_PIECE:]
            return False
        return True

    def _wait_for_end(self, process: subprocess.Popen[bytes]) -> None:
        if self._is_given_up:
            process.kill()
        try:
            process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _close_writes(self) -> None:
        if self._writes >= 0 and self._writes != self._reads:
            os.close(self._writes)
        self._writes = -1
        self._takes_nothing = True

    def _wait(self, *, to_write: bool = False) -> None:
        """Take in what has come, or wait until something comes or can be sent."""
        limit = None if self._patience_s == float("inf") else self._patience_s
        ready = self._poll(limit, to_write=to_write)
        if not ready:
            self._is_given_up = True
            raise Silent(f"it was silent for {self._patience_s:g} seconds")
        if self._complains in ready and not self._listen():
            os.close(self._complains)
            self._complains = -1
        if ready.get(self._reads, 0) & ~select.POLLOUT and not self._is_at_end:
            self._take()

    def _poll(self, limit_s: float | None, *, to_write: bool) -> dict[int, int]:
        """What can be done without waiting. `select` would fail where more than a thousand files are open."""
        wanted = {} if self._is_at_end else {self._reads: select.POLLIN}
        if self._complains >= 0:
            wanted[self._complains] = select.POLLIN
        if to_write:
            wanted[self._writes] = wanted.get(self._writes, 0) | select.POLLOUT
        poller = select.poll()
        for descriptor, events in wanted.items():
            poller.register(descriptor, events)
        return dict(poller.poll(None if limit_s is None else limit_s * 1000))

    def _take(self) -> None:
        try:
            data = os.read(self._reads, _PIECE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self._buffer = self._buffer[self._position :] + data
        self._position = 0
        self._is_at_end = not data


def connect(git: GitRepository, url: str, service: str, executable: str | None) -> Connection:
    """Start a program of git's where `url` leads.

    Args:
        service: "upload-pack" or "receive-pack".
        executable: the git executable of this machine, which serves paths.

    Raises:
        RemoteFailed: it cannot be reached.
    """
    kind = kind_of(url)
    if kind == "git":
        return _dial(git, url, service)
    environ = {name: value for name, value in git.environ.items() if name not in _LOCAL_ONLY}
    if service == "upload-pack":
        environ["GIT_PROTOCOL"] = "version=2"
    else:
        environ.pop("GIT_PROTOCOL", None)
    if kind == "path":
        return _run([executable or "git", service, path_of(url)], environ, git)
    place = parse_ssh(url)
    return _run([*ssh_command(git, place), f"git-{service} {_quoted(place.path)}"], environ, git)


class SshPlace(NamedTuple):
    """What an ssh address says; `path` as the other side gets it."""

    host: str
    port: int | None
    path: str


def parse_ssh(url: str) -> SshPlace:
    """Both forms: `ssh://[user@]host[:port]/path` and `[user@]host:path`.

    Raises:
        UsageError: a host or path that ssh would take for an option.
    """
    if "://" in url:
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(url)
        host, port, path = parts.hostname or "", parts.port, unquote(parts.path)
        if parts.username:
            host = f"{unquote(parts.username)}@{host}"
        path = path[1:] if path.startswith("/~") else path
    else:
        host, _, path = url.partition("]:") if "[" in url.partition(":")[0] else url.partition(":")
        host, port = host.replace("[", "").replace("]", ""), None
    if host.startswith("-") or path.startswith("-") or not host:
        raise UsageError(f"The address '{url}' cannot be used: its host or path looks like an option.")
    return SshPlace(host=host, port=port, path=path)


def ssh_command(git: GitRepository, place: SshPlace) -> list[str]:
    """How to reach a host; the command to run there is still to be added."""
    chosen = ssh_program(git)
    if _SHELL_READS & set(chosen) or "=" in chosen.split(maxsplit=1)[0]:
        words = ["/bin/sh", "-c", f'{chosen} "$@"', chosen]
    else:
        import shlex  # only where ssh is used

        words = shlex.split(chosen)
    port = ["-p", str(place.port)] if place.port else []
    return [*words, "-o", "SendEnv=GIT_PROTOCOL", *port, place.host]


def ssh_program(git: GitRepository) -> str:
    """ssh as git finds it, told to give up on a dead connection; what was chosen goes before what we say."""
    chosen = git.environ.get("GIT_SSH_COMMAND") or git.config("core", "sshCommand") or "ssh"
    if os.path.basename(chosen.split(maxsplit=1)[0]) != "ssh":
        return chosen
    return " ".join([chosen, *silence_options(patience_s(git))])


def silence_options(patience_s: float) -> list[str]:
    """Options with which ssh notices that a connection is dead."""
    if patience_s == float("inf"):
        return []
    every = max(int(patience_s / 3), 1)
    connecting = max(int(patience_s), 1)
    said = [f"ServerAliveInterval={every}", "ServerAliveCountMax=3", f"ConnectTimeout={connecting}"]
    return [word for option in said for word in ("-o", option)]


def _run(command: list[str], environ: Mapping[str, str], git: GitRepository) -> Connection:
    patience = patience_s(git)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, bufsize=0
        )
    except OSError as error:
        raise RemoteFailed(
            f"'{command[0]}' cannot be started: {error.strerror}.", hint="Install it, or use another kind of address."
        ) from error
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    pipes = (process.stdout, process.stdin, process.stderr)
    reads, writes, complains = (os.dup(pipe.fileno()) for pipe in pipes)
    for pipe in pipes:
        pipe.close()
    return Connection(reads, writes, patience_s=patience, process=process, complaints=complains)


def _dial(git: GitRepository, url: str, service: str) -> Connection:
    import socket  # slow to import, and git's own port is rare
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    host = parts.hostname or ""
    patience = patience_s(git)
    made = socket.create_connection((host, parts.port or GIT_PORT), None if patience == float("inf") else patience)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    descriptor = made.detach()
    connection = Connection(descriptor, descriptor, patience_s=patience)
    name = f"{host}:{parts.port}" if parts.port else host
    path = unquote(parts.path)
    request = f"git-{service} {path[1:] if path.startswith('/~') else path}\0host={name}\0"
    if service == "upload-pack":
        request += "\0version=2\0"
    data = request.encode("utf-8", "surrogateescape")
    connection.write(b"%04x%s" % (len(data) + 4, data))
    return connection


def _quoted(path: str) -> str:
    """As the shell over there reads it."""
    return "'" + path.replace("'", "'\\''").replace("!", "'\\!'") + "'"
