"""Artifacts as bytes. A browser gets nothing that could act in our name: see `_policy`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gitexp.errors import NotFound
from gitexp.previewing import TYPES
from gitexp.reading import Artifact
from gitexp.web.finding import view_of
from gitexp.web.workspace import workspace_of

_PIECE = 1 << 18
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")
_TEXTS = (".txt", ".log", ".csv", ".json", ".md", ".yaml", ".yml", ".py", ".toml", ".tsv")
_STRICT = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
_SCRIPTED = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob: data:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; media-src data: blob:; worker-src blob:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_DOCUMENT = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'self'"


def raw(request: Request) -> Response:
    """One artifact of a run, found in the run's own list of paths, never on a disk by its name."""
    workspace, path = workspace_of(request), request.path_params["path"]
    with workspace.lock:
        view = view_of(workspace, request.path_params["run"])
        artifact = view.artifacts.get(path)
        if artifact is None:
            raise NotFound(f"The run has no artifact '{path}'.")
        stream = artifact.open()
    return _answer(request, artifact, stream)


def _answer(request: Request, artifact: Artifact, stream: BinaryIO) -> Response:
    suffix, size = PurePosixPath(artifact.path).suffix.lower(), artifact.size_bytes
    kind = "text/plain; charset=utf-8" if suffix in _TEXTS else TYPES.get(suffix, "application/octet-stream")
    is_framed = request.headers.get("sec-fetch-dest", "iframe") in (
        "iframe",
        "frame",
        "image",
        "audio",
        "video",
        "empty",
    )
    is_shown = kind != "application/octet-stream" and "download" not in request.query_params
    if kind in ("text/html", "image/svg+xml") and not is_framed:
        is_shown = False  # in a window of its own it could still lead people away
    headers = {
        "content-security-policy": _policy(kind),
        "content-disposition": _disposition(artifact.path, "inline" if is_shown else "attachment"),
        "accept-ranges": "bytes",
        "content-encoding": "identity",
    }
    wanted = _RANGE.match(request.headers.get("range", ""))
    begin, end, status = 0, size, 200
    if wanted and int(wanted.group(1)) < size:
        begin = int(wanted.group(1))
        end = min(int(wanted.group(2)) + 1 if wanted.group(2) else size, size)
        headers["content-range"] = f"bytes {begin}-{end - 1}/{size}"
        status = 206
    headers["content-length"] = str(end - begin)
    body = _pieces(stream, begin, end)
    return StreamingResponse(body, status_code=status, media_type=kind, headers=headers)


def _policy(kind: str) -> str:
    """Everything is in a sandbox that may do nothing; HTML may run scripts there, cut off from us and the network.

    Chromium shows no PDF in a sandbox. It runs in the browser's own viewer, which knows no scripts of pages.
    """
    if kind == "text/html":
        return _SCRIPTED
    return _DOCUMENT if kind == "application/pdf" else _STRICT


def _pieces(stream: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    with stream:
        stream.seek(begin)
        left = end - begin
        while left > 0:
            piece = stream.read(min(_PIECE, left))
            if not piece:
                return
            left -= len(piece)
            yield piece


def _disposition(path: str, kind: str) -> str:
    name = quote(path.rpartition("/")[2].encode("utf-8", "replace"), safe="")
    return f"{kind}; filename*=UTF-8''{name}"


ROUTES = [Route("/raw/{run}/{path:path}", raw)]
