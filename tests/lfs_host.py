"""A host with git repositories and a Git LFS server, as one web server: git's http-backend and dulwich's LFS server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dulwich.lfs import LFSStore
from dulwich.lfs_server import LFSRequestHandler

from servers import _Backend, _Request


class Host(_Backend):
    """`/<repository>.git` and, for all of them together, `/<repository>.git/info/lfs`."""

    def __init__(self, root: Path, port: int, *, asks: bool) -> None:
        super().__init__(root, port, asks=asks)
        self.RequestHandlerClass = _GitOrLfs
        os.makedirs(root / "lfs", exist_ok=True)
        self.lfs_store = LFSStore.create(str(root / "lfs"))


class _GitOrLfs(_Request, LFSRequestHandler):
    @property
    def lfs_server(self) -> Any:
        return SimpleNamespace(lfs_store=self.server.lfs_store, log_requests=False)

    def do_PUT(self) -> None:  # noqa: N802 (the standard library's name)
        self._do()

    def _do(self) -> None:
        path = self.path.partition("/info/lfs")[2] or self.path
        if not path.startswith("/objects/"):
            super()._do()
        elif self.server.asks and not self._is_let_in():
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="lfs"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.path = path
            getattr(LFSRequestHandler, f"do_{self.command}")(self)


if __name__ == "__main__":
    Host(Path(sys.argv[1]).resolve(), int(sys.argv[2]), asks=sys.argv[3] == "asks").serve_forever()
