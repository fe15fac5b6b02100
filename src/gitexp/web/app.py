"""The application: which address is answered by what."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gitexp.errors import Ambiguous, GitexpError, NotFound, QueryError, UsageError
from gitexp.repo import Repository
from gitexp.web import artifacts, changing, compare, lineage, live, models, run, runs, series, views
from gitexp.web.security import LOOPBACK, Guard
from gitexp.web.workspace import Workspace, answer, workspace_of


def build(
    repository: Repository,
    *,
    key: str | None = None,
    port: int = 0,
    hosts: Iterable[str] = LOOPBACK,
    read_only: bool = False,
) -> Starlette:
    """The pages of one repository as an ASGI application.

    Args:
        key: what a browser has to show once; None: nothing.
        port: of the server, which names the cookie.
        hosts: the names that requests may be addressed to.
        read_only: changes are refused.
    """
    workspace = Workspace(repository, read_only=read_only, key=key)
    routes = [
        Route("/", RedirectResponse("/runs", status_code=303)),
        Route("/static/{version}/{name}", workspace.assets.answer),
        *runs.ROUTES,
        *run.ROUTES,
        *compare.ROUTES,
        *models.ROUTES,
        *lineage.ROUTES,
        *series.ROUTES,
        *artifacts.ROUTES,
        *views.ROUTES,
        *changing.ROUTES,
        *live.ROUTES,
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard, hosts=tuple(hosts), key=key, port=port, read_only=read_only),
            Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5),
        ],
        exception_handlers={GitexpError: _explain, HTTPException: _explain},
    )
    app.state.workspace = workspace
    return app


async def _explain(request: Request, error: Exception) -> Response:
    """An error as a page, or as JSON where a program asked."""
    hint = ""
    if isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
        message = "There is no such page." if status == 404 else f"{message}."
    else:
        status, message, hint = _status(error), str(error), getattr(error, "hint", "")
    if request.url.path.startswith(("/api/", "/raw/")):
        told: dict[str, object] = {"error": message, "hint": hint}
        if isinstance(error, QueryError):
            told.update(position=error.position, text=error.text)
        return answer(told, status=status)
    return workspace_of(request).page("error.html", {"message": message, "hint": hint, "status": status}, status=status)


def _status(error: Exception) -> int:
    if isinstance(error, Ambiguous):
        return 409
    return 404 if isinstance(error, NotFound) else 400 if isinstance(error, UsageError) else 500
