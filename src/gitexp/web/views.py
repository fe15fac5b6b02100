"""Saved views as the list of runs asks for and changes them."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitexp.viewing import SavedView, forget_view, save_view, views
from gitexp.web.changing import text_of, told_by
from gitexp.web.workspace import answer, workspace_of


def listed(request: Request) -> Response:
    workspace = workspace_of(request)
    with workspace.lock:
        found = views(workspace.repository)
    return answer({"views": [{"name": view.name, "query": view.query} for view in found]})


async def changed(request: Request) -> Response:
    """Keep a view, or forget it where `remove` says so."""
    told = await told_by(request)
    workspace, name = workspace_of(request), text_of(told, "name")

    def change() -> None:
        with workspace.lock:
            if told.get("remove") is True:
                forget_view(workspace.repository, name)
            else:
                save_view(workspace.repository, SavedView(name=name, query=text_of(told, "query")))

    await run_in_threadpool(change)
    return answer({"done": name})


ROUTES = [Route("/api/views", listed, methods=["GET"]), Route("/api/views", changed, methods=["POST"])]
