"""What the pages are made of beside their data: our style sheet, our modules, the templates."""

from __future__ import annotations

import gzip
import hashlib
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

FOR_EVER = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SMALL = 600


class Assets:
    """The files under `static/`, under an address that changes whenever one of them does.

    The version is part of the path, so that a module's relative imports have it too.
    """

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    @cached_property
    def _files(self) -> dict[str, bytes]:
        return {entry.name: entry.read_bytes() for entry in _folder("static").iterdir() if entry.is_file()}

    @cached_property
    def version(self) -> str:
        found = hashlib.sha256()
        for name in sorted(self._files):
            found.update(name.encode() + b"\0" + self._files[name] + b"\0")
        return found.hexdigest()[:12]

    def url(self, name: str) -> str:
        return f"/static/{self.version}/{name}"

    def text(self, name: str) -> str:
        """The content of one file, for pages that have no server."""
        return self._files[name].decode()

    async def answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        if request.path_params["version"] != self.version or name not in self._files:
            return PlainTextResponse("There is no such file.", status_code=404)
        data = self._files[name]
        kind = _TYPES.get(name[name.rfind(".") :], "application/octet-stream")
        if len(data) > _SMALL and "gzip" in request.headers.get("accept-encoding", ""):
            if name not in self._packed:
                self._packed[name] = gzip.compress(data, 9, mtime=0)
            headers = {**FOR_EVER, "content-encoding": "gzip"}
            return Response(self._packed[name], media_type=kind, headers=headers)
        return Response(data, media_type=kind, headers=FOR_EVER)


def template_folder() -> str:
    return str(_folder("templates"))


def _folder(name: str) -> Traversable:
    return files("gitexp.web").joinpath(name)
