"""A model that answers over HTTP: `/invocations`, `/ping`, `/health`, `/version`, as MLflow's scoring server has them.

uvicorn runs it, as `gitexp models serve` says, in the model's environment.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gitexp import __version__
from gitexp.errors import UsageError
from gitexp.models.loading import load_pyfunc
from gitexp.models.pyfunc import PyFuncModel
from gitexp.models.scoring import JSON, BadRequest, read_request, write_answer
from gitexp.models.serving import FOLDER

MOST_BYTES = 100 * 1024 * 1024


def application(model: PyFuncModel, *, most_bytes: int = MOST_BYTES) -> Starlette:
    """An ASGI application that answers for a model.

    Args:
        most_bytes: requests that are larger are refused with 413.
    """

    async def invocations(request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > most_bytes:
                return _failure(413, f"The body is larger than {most_bytes:,} bytes.")
        inputs = model.signature.inputs if model.signature else None
        try:
            question = read_request(request.headers.get("content-type", ""), bytes(body), inputs)
            answer = await run_in_threadpool(model.predict, question.data, question.params)
            return Response(write_answer(answer), media_type=JSON)
        except BadRequest as error:
            return _failure(error.status, str(error))
        except UsageError as error:  # the data is not what the signature says
            return _failure(400, f"{error} {error.hint}".strip())
        except Exception as error:  # the model's own: whoever asks is told what, the log is told where
            traceback.print_exc(file=sys.stderr)
            return _failure(400, f"The model failed: {type(error).__name__}: {error}", code="MODEL_ERROR")

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("\n")

    async def version(_request: Request) -> Response:
        return PlainTextResponse(__version__)

    return Starlette(
        routes=[
            Route("/invocations", invocations, methods=["POST"]),
            Route("/ping", alive),
            Route("/health", alive),
            Route("/version", version),
        ]
    )


def _failure(status: int, message: str, *, code: str = "BAD_REQUEST") -> Response:
    return Response(json.dumps({"error_code": code, "message": message}), status_code=status, media_type=JSON)


def served() -> Starlette:
    """What each worker of uvicorn calls; the folder is in the environment, for a worker is a process of its own."""
    return application(load_pyfunc(os.environ[FOLDER]))
