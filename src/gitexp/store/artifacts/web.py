"""http as the transfers of artifacts need it: streamed, with git's settings and credentials, and redirects that take no
secrets along."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import responses
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    LocationValueError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from gitexp.domain.masking import mask_url
from gitexp.errors import AccessDenied, RemoteFailed, UsageError
from gitexp.store.artifacts.http_settings import HttpSettings, Way
from gitexp.store.git.credentials import Credentials, CredentialSource
from gitexp.store.git.repository import GitRepository
from gitexp.store.git.transport import find_git

AGENT = "git-lfs/3.0 (compatible; gitexp)"
"""Hosts treat clients that are not git's like browsers, and send them to a login page."""

CONNECT_S, SILENT_S = 20, 120
ATTEMPTS = 3
WAIT_S = 0.3
LONGEST_WAIT_S = 60
LONGEST_MESSAGE = 64 << 10
MOST_REDIRECTS = 5

_REDIRECTS = (301, 302, 303, 307, 308)
_MAY_PASS = (408, 429, 500, 502, 503, 504)
_HARMLESS = ("accept", "content-type", "content-length", "range")
"""Headers that another host may see."""

T = TypeVar("T")


class Passing(RemoteFailed):
    """A failure that may be over the next time.

    Attributes:
        wait_s: how long the server wants to be left alone.
    """

    def __init__(self, message: str, *, wait_s: float = 0, hint: str = "Try again.") -> None:
        super().__init__(message, hint=hint)
        self.wait_s = wait_s


class Body(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def persist(act: Callable[[int], T]) -> T:
    """The result of `act`, tried again a few times where what failed may be over; it is told the number of the try."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return act(attempt)
        except Passing as error:
            if error.wait_s > LONGEST_WAIT_S:
                raise
            time.sleep(error.wait_s or WAIT_S * 2**attempt)
    return act(ATTEMPTS - 1)


class Web:
    """Makes requests for one repository and remote.

    Args:
        login_url: the remote's address; git keeps its credentials by that, also those for other paths on its host.
    """

    def __init__(self, git: GitRepository, remote: str, login_url: str) -> None:
        self._git = git
        self._settings = HttpSettings(git, remote)
        self._login_url = login_url
        self._pools: dict[Way, urllib3.PoolManager] = {}
        self._sources: dict[str, CredentialSource] = {}
        self._logins: dict[str, Credentials | None] = {}
        self._homes = {_origin(login_url)}
        self._opening = threading.Lock()
        self.at_once = min(int(self._settings.number("lfs", "concurrenttransfers", 8)), 16)
        self._timeout = urllib3.Timeout(
            connect=self._settings.number("lfs", "dialtimeout", CONNECT_S),
            read=self._settings.number("lfs", "activitytimeout", SILENT_S),
        )

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Callable[[], bytes | Body | None] = lambda: None,
    ) -> urllib3.BaseHTTPResponse:
        """The answer, whatever its status, to be read or let go; who we are is said where it is asked.

        Args:
            body: makes what is sent, each time anew.

        Raises:
            AccessDenied: git has no credentials that are taken.
            Passing: the connection broke, or the server cannot just now.
            RemoteFailed: it cannot be reached.
        """
        self._source(url)  # what stands in the address
        target, _ = without_login(url)

        def act() -> tuple[str, urllib3.BaseHTTPResponse]:
            return self._follow(method, target, headers, body)

        final, response = act()
        if response.status == 401 and not _has_login(headers):
            response = self._log_in(final, response, act)
        if response.status in _MAY_PASS:
            raise _passing(response, final)
        return response

    def trust(self, url: str) -> None:
        """Let the host of an address see headers that are set for no address in particular."""
        self._homes.add(_origin(url))

    def _log_in(
        self, url: str, response: urllib3.BaseHTTPResponse, act: Callable[[], tuple[str, urllib3.BaseHTTPResponse]]
    ) -> urllib3.BaseHTTPResponse:
        """The answer to the same request by somebody that the server knows."""
        origin = _origin(url)
        source = self._source(url)
        refused = self._logins.get(origin)
        for answer in source.answers():
            if answer is not None and answer != refused:
                let_go(response)
                self._logins[origin] = answer
                _, response = act()
                if response.status != 401:
                    source.report(answer, good=True)
                    return response
                refused = answer
            if answer is not None:
                source.report(answer, good=False)
        let_go(response)
        self._logins[origin] = None
        raise AccessDenied(
            f"'{origin}' wants to know who we are, and git has no credentials that it takes.",
            hint="Type: git fetch, to see that git can log in there; gitexp uses the same credentials.",
        )

    def _source(self, url: str) -> CredentialSource:
        origin = _origin(url)
        with self._opening:
            if origin not in self._sources:
                source = CredentialSource(self._git, self._known_as(url), find_git(self._git.environ))
                self._sources[origin] = source
                self._logins.setdefault(origin, next(source.answers()))
            return self._sources[origin]

    def _known_as(self, url: str) -> str:
        """What git keeps the credentials by: the remote's address, where it is on the same host."""
        here, remote = urlsplit(url), urlsplit(self._login_url)
        if _origin(url) == _origin(self._login_url) and here.netloc in (remote.netloc, _host(remote.netloc)):
            here = remote
        return urlunsplit((here.scheme, here.netloc, here.path, "", ""))

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], bytes | Body | None],
    ) -> tuple[str, urllib3.BaseHTTPResponse]:
        """Where redirects led, and the answer from there; a redirected request stays what it was."""
        asked = url
        said = dict(headers)
        for _ in range(MOST_REDIRECTS):
            response = self._send(method, url, said, body())
            where = response.headers.get("Location")
            if response.status not in _REDIRECTS or not where:
                return url, response
            let_go(response)
            target = without_login(urljoin(url, where))[0]
            if _origin(target) != _origin(url):
                if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                    raise RemoteFailed(f"'{_origin(url)}' sends us on to '{_origin(target)}', which is not encrypted.")
                said = {name: value for name, value in said.items() if name.lower() in _HARMLESS}
            url = target
        raise RemoteFailed(f"'{mask_url(asked)}' sends us from one address to the next, and never answers.")

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Body | None,
    ) -> urllib3.BaseHTTPResponse:
        said = {"User-Agent": AGENT, **self._settings.extra_headers(url, general=_origin(url) in self._homes)}
        if _has_login(headers):
            said = {name: value for name, value in said.items() if name.lower() != "authorization"}
        elif not _has_login(said):
            self._source(url)
            login = self._logins[_origin(url)]
            if login:
                said["Authorization"] = basic(login)
        try:
            return self._pool(url).request(
                method,
                url,
                headers={**said, **headers},
                body=body,  # type: ignore[arg-type]  # whatever has `read` is taken
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except LocationValueError as error:
            raise RemoteFailed(f"'{mask_url(url)}' is not an address that can be reached.") from error
        except (HTTPError, OSError) as error:
            raise self.failure(url, error) from error

    def failure(self, url: str, error: BaseException) -> RemoteFailed:
        """What a connection that broke is told as."""
        where = _origin(url)
        reason = _reason(error)
        if isinstance(error, ProxyError):
            proxy = mask_url(self._settings.way(url).proxy or "")
            return Passing(f"The proxy '{proxy}' on the way to '{where}' fails: {reason}.")
        if isinstance(error, SSLError):
            hint = "If that is right, tell git who signed it: git config http.sslCAInfo FILE"
            return RemoteFailed(f"There is no safe connection to '{where}': {reason}.", hint=hint)
        if isinstance(error, (ConnectTimeoutError, NewConnectionError)):
            return Passing(f"'{where}' cannot be reached: {reason}.", hint="Try again.")
        return Passing(f"The connection to '{where}' broke: {reason}.")

    def _pool(self, url: str) -> urllib3.PoolManager:
        way = self._settings.way(url)
        with self._opening:
            if way not in self._pools:
                self._pools[way] = _open_pool(way, maxsize=self.at_once, timeout=self._timeout)
            return self._pools[way]


def without_login(url: str) -> tuple[str, Credentials | None]:
    """An address without user and password, and these."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    plain = urlunsplit((parts.scheme, _host(parts.netloc), parts.path, parts.query, parts.fragment))
    return plain, Credentials(username=unquote(parts.username), password=unquote(parts.password or ""))


def basic(credentials: Credentials) -> str:
    """The header `Authorization` of basic authentication."""
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()


def let_go(response: urllib3.BaseHTTPResponse) -> bytes:
    """Read a short answer and give its connection back; the rest of a long one is not waited for."""
    try:
        data = response.read(LONGEST_MESSAGE)
    except (HTTPError, OSError):
        data = b""
    if response.closed:
        response.release_conn()
    else:
        response.close()
    return data


def message_of(response: urllib3.BaseHTTPResponse) -> str:
    """What a server says of a refusal: its own words where they are JSON, and the status."""
    with suppress(ValueError, RecursionError):
        said = json.loads(let_go(response))
        if isinstance(said, dict) and isinstance(said.get("message"), str):
            return f"{said['message'].strip().rstrip('.')} ({response.status})"
    return status_of(response)


def status_of(response: urllib3.BaseHTTPResponse) -> str:
    phrase = responses.get(response.status, response.reason or "")
    return f"{response.status} {phrase}".strip()


def _passing(response: urllib3.BaseHTTPResponse, url: str) -> Passing:
    wait_s = _seconds(response.headers.get("Retry-After"))
    said = message_of(response)
    later = f" It wants to be left alone for {wait_s:,.0f} s." if wait_s > LONGEST_WAIT_S else ""
    return Passing(f"'{_origin(url)}' cannot do it now: {said}.{later}", wait_s=wait_s, hint="Try again later.")


def _seconds(said: str | None) -> float:
    """The header `Retry-After`: seconds, or a date."""
    if not said:
        return 0
    with suppress(ValueError, TypeError):
        return max(0.0, float(said))
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    return 0


def _open_pool(way: Way, *, maxsize: int, timeout: urllib3.Timeout) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        "maxsize": maxsize,
        "timeout": timeout,
        "cert_reqs": "CERT_REQUIRED" if way.verify else "CERT_NONE",
        "ca_certs": way.ca_file,
        "ca_cert_dir": way.ca_folder,
        "cert_file": way.cert,
        "key_file": way.key,
    }
    if not way.verify:
        urllib3.disable_warnings(InsecureRequestWarning)  # the user has said so
    if way.proxy is None:
        return urllib3.PoolManager(**options)
    if urlsplit(way.proxy).scheme.startswith("socks"):
        try:
            from urllib3.contrib.socks import SOCKSProxyManager  # needs PySocks
        except ImportError as error:
            raise UsageError(f"The proxy '{mask_url(way.proxy)}' needs PySocks.", hint="pip install PySocks") from error
        return SOCKSProxyManager(way.proxy, **options)
    plain, login = without_login(way.proxy)
    proxy_headers = {"Proxy-Authorization": basic(login)} if login else None
    return urllib3.ProxyManager(plain, proxy_headers=proxy_headers, **options)


def _has_login(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "authorization" for name in headers)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


def _reason(error: BaseException) -> str:
    """The innermost reason, in as few words as it has."""
    if isinstance(error, ReadTimeoutError):
        return "it has been silent for too long"
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return "it does not answer"
    seen = error
    while True:
        inner = seen.__cause__ or next((part for part in reversed(seen.args) if isinstance(part, BaseException)), None)
        if inner is None:
            break
        seen = inner
    said = getattr(seen, "verify_message", "") or getattr(seen, "strerror", "") or str(seen) or type(seen).__name__
    return said.strip().rstrip(".")


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2]
