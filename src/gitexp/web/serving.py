"""The server: the pages of one repository on an address of this machine."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from types import FrameType

import uvicorn

from gitexp.errors import UsageError
from gitexp.repo import Repository
from gitexp.web.app import build
from gitexp.web.security import LOOPBACK, kept_key
from gitexp.web.workspace import Workspace

PORTS = range(7878, 7898)
"""Those that are tried where none is asked for."""


def serve(
    repository: Repository,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    read_only: bool = False,
    further_hosts: Iterable[str] = (),
    on_ready: Callable[[str], None],
) -> None:
    """Serve until Ctrl-C.

    Args:
        port: None: the first of `PORTS` that is free; 0: any.
        further_hosts: names, beside `host` and those of this machine's loopback, that browsers may use.
        on_ready: is told the address to open, key included.

    Raises:
        UsageError: the port is taken, or the host is not one of this machine.
    """
    with closing(_listening(host, port)) as listener:
        bound = listener.getsockname()[1]
        key = kept_key(repository.git.gitexp_dir)
        shown = f"[{host}]" if ":" in host else host
        app = build(repository, key=key, port=bound, hosts=(*LOOPBACK, shown, *further_hosts), read_only=read_only)
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,  # pages that listen for events never hang up by themselves
        )
        threading.Thread(target=app.state.workspace.warm, daemon=True).start()
        on_ready(f"http://{shown}:{bound}/?key={key}")
        _Server(config, app.state.workspace).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that ends its streams of events when it is told to leave."""

    def __init__(self, config: uvicorn.Config, workspace: Workspace) -> None:
        super().__init__(config)
        self._workspace = workspace

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._workspace.stopping = True
        super().handle_exit(sig, frame)


def _listening(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tried = PORTS if port is None else (port,)
    trouble: OSError | None = None
    for candidate in tried:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            trouble = error
            continue
        return listener
    reason = trouble.strerror if trouble else "no port"
    is_taken = trouble is not None and trouble.errno in (errno.EADDRINUSE, errno.EACCES)
    hint = "Choose another with --port." if is_taken else "Name an address of this machine with --host."
    raise UsageError(f"Nothing can listen at '{host}:{tried[-1]}': {reason}.", hint=hint)
