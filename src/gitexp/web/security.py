"""Who may ask what: every request passes `Guard` before a page sees it, and every answer gets its headers there."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; frame-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
KEY = "key"

_READING = ("GET", "HEAD")
_NAME = re.compile(r"[a-z0-9.\-]+|\[[0-9a-f:.]+\]")
_A_YEAR_S = 31_536_000


class Guard:
    """Lets through what comes from a page of ours, opened by somebody who knows the key.

    - `Host` is one we answer to, so that no foreign name that resolves to this machine reaches us.
    - Nothing is answered to a page of another origin, a port of this machine's included, but a plain link to here.
    - The address that `gitexp ui` prints holds the key; a cookie keeps it.
    - What changes something needs the token too, which only our own pages hold; where we only read, it is refused.

    Args:
        hosts: names that `Host` may have, without port.
        key: None: nobody has to know any.
        port: of the server; names the cookie, as cookies are shared among ports.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], key: str | None, port: int, read_only: bool) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._key = key
        self._cookie = f"gitexp-{port}"
        self._token = write_token(key)
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        await self._app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: list[tuple[str, str]]) -> Response | None:
        hosts = [value for name, value in headers if name == "host"]
        if len(hosts) != 1 or _host_name(hosts[0]) not in self._hosts:
            return _refuse(421, "This address is not one that gitexp ui answers to.")
        found = dict(headers)
        site, mode = found.get("sec-fetch-site", "none"), found.get("sec-fetch-mode", "navigate")
        reads = scope["method"] in _READING
        is_link = reads and mode == "navigate" and found.get("sec-fetch-dest", "document") == "document"
        if site not in ("same-origin", "none") and not is_link:
            return _refuse(403, "Another page asked for this.")
        if "origin" in found and found["origin"] != f"http://{hosts[0]}":
            return _refuse(403, "Another page asked for this.")
        if self._key is not None:
            refusal = self._without_key(scope, found)
            if refusal is not None:
                return refusal
        if reads:
            return None
        if self._read_only:
            return _refuse(403, "These pages are read-only.")
        if not _same(found.get("x-gitexp-token", ""), self._token):
            return _refuse(403, "This page is out of date. Reload it.")
        return None

    def _without_key(self, scope: Scope, found: dict[str, str]) -> Response | None:
        """What to answer to one who has not shown the key before; None lets pass."""
        assert self._key is not None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = dict(query).get(KEY, "")
        if scope["method"] in _READING and _same(shown, self._key):
            rest = urlencode([(name, value) for name, value in query if name != KEY])
            path = "/" + scope["path"].lstrip("/")
            answer = RedirectResponse(path + (f"?{rest}" if rest else ""), status_code=303)
            answer.set_cookie(self._cookie, self._key, max_age=_A_YEAR_S, httponly=True, samesite="lax")
            return answer
        if _same(_cookie(found.get("cookie", ""), self._cookie), self._key):
            return None
        if scope["path"].startswith("/api/"):
            return _refuse(401, "Open the address that 'gitexp ui' printed.")
        return HTMLResponse(_LOCKED, status_code=401)


def write_token(key: str | None) -> str:
    """What our own pages send along with a change; it says nothing about the key."""
    return hmac.new((key or "").encode() or _PROCESS, b"gitexp write", hashlib.sha256).hexdigest()[:40]


def kept_key(folder: str) -> str:
    """The key of a repository's pages: made once, readable by its owner only. Where it cannot be kept, a new one."""
    path = os.path.join(folder, "ui-key")
    try:
        with open(path, encoding="ascii") as file:
            key = file.read().strip()
        if len(key) >= 20 and os.stat(path).st_mode & 0o077 == 0:
            return key
        os.unlink(path)
    except (OSError, UnicodeDecodeError):
        pass
    key = secrets.token_urlsafe(18)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key + "\n")
    except OSError:
        pass
    return key


def _host_name(host: str) -> str:
    """The name in "name:port", in lower case; empty where it is no such text."""
    name, colon, port = host.lower().rpartition(":") if not host.endswith("]") else (host.lower(), "", "")
    if not colon:
        name = host.lower()
    elif not port.isdecimal():
        return ""
    return name if _NAME.fullmatch(name) else ""


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *((name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in known),
            ]
        await send(message)

    return sending


_PROCESS = secrets.token_bytes(32)
_LOCKED = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>gitexp</title>"
    "<h1>Locked</h1><p>Open the address that <code>gitexp ui</code> printed: it holds the key to these pages.</p>"
)
