"""Pages that move by themselves: an event whenever a run came, changed, logged something or ended."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gitexp.domain.summary import RunSummary
from gitexp.web.workspace import Workspace, workspace_of

LOOKS_EVERY_S = 1.0
ALIVE_EVERY_S = 15.0
_NAPS = 10


async def events(request: Request) -> Response:
    """Server-sent events: what is true now, and again whenever that differs."""
    stream = _changes(workspace_of(request))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def state_of(workspace: Workspace) -> dict[str, Any]:
    """What a page compares with what it shows: the version of the list, and a mark of each live run."""
    with workspace.lock:
        live = workspace.browser.live()
        version = workspace.browser.version()
    return {"version": version, "live": {run.record.id: _mark(run) for run in live}}


async def _changes(workspace: Workspace) -> AsyncIterator[str]:
    known: dict[str, Any] | None = None
    silent_s = 0.0
    while True:
        found = await run_in_threadpool(state_of, workspace)
        if found != known:
            known, silent_s = found, 0.0
            yield f"data: {json.dumps(found)}\n\n"
        elif silent_s >= ALIVE_EVERY_S:
            silent_s = 0.0
            yield ": still here\n\n"  # a closed connection is only noticed by writing
        for _ in range(_NAPS):
            if workspace.stopping:
                return
            await asyncio.sleep(LOOKS_EVERY_S / _NAPS)
        silent_s += LOOKS_EVERY_S


def _mark(run: RunSummary) -> int:
    return zlib.crc32(repr((sorted(run.metrics.items()), sorted(run.tags.items()), run.record)).encode())


ROUTES = [Route("/api/events", events)]
