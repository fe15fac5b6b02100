"""A browser's requests to the web pages, without a browser and without a port."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode

from starlette.applications import Starlette


@dataclass(frozen=True)
class Answer:
    status_code: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class WebClient:
    """Asks an application as a browser at `host` does; keeps cookies, follows nothing."""

    def __init__(self, app: Starlette, host: str = "127.0.0.1:7878") -> None:
        self._app = app
        self._host = host
        self._cookies: SimpleCookie = SimpleCookie()

    def get(
        self, address: str, *, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self._ask("GET", address, params or {}, headers or {}, b"")

    def post(self, address: str, *, content: bytes | str, headers: Mapping[str, str] | None = None) -> Answer:
        return self._ask("POST", address, {}, headers or {}, content.encode() if isinstance(content, str) else content)

    def _ask(
        self, method: str, address: str, params: Mapping[str, Any], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        path, _, query = address.partition("?")
        query = "&".join(filter(None, [query, urlencode(params)]))
        sent = {"host": self._host, "accept-encoding": "gzip", **headers}
        if self._cookies:
            sent["cookie"] = "; ".join(f"{name}={found.value}" for name, found in self._cookies.items())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(path).decode("utf-8", "surrogateescape"),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "server": ("127.0.0.1", 7878),
            "client": ("127.0.0.1", 50_000),
        }
        answer = asyncio.run(self._answer(scope, body))
        self._cookies.load(answer.headers.get("set-cookie", ""))
        return answer

    async def _answer(self, scope: dict[str, Any], body: bytes) -> Answer:
        messages: list[Any] = []
        requests = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if not requests:
                await asyncio.Event().wait()  # the browser stays
            return requests.pop()

        async def send(message: Any) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        start = messages[0]
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        content = b"".join(message.get("body", b"") for message in messages[1:])
        if headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        return Answer(start["status"], headers, content)
