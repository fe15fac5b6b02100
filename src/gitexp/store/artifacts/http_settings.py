"""What git's configuration and the environment say about http: `http.*`, `http.<url>.*`, proxies, certificates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, unquote, urlsplit

from gitexp.store.git.config import is_true
from gitexp.store.git.repository import GitRepository

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to reach an address.

    Attributes:
        proxy: the proxy's address; None: none.
        verify: whether the server's certificate must be good.
        ca_file, ca_folder: who signs certificates, instead of those that the system knows.
        cert, key: files with a certificate of our own.
    """

    proxy: str | None = None
    verify: bool = True
    ca_file: str | None = None
    ca_folder: str | None = None
    cert: str | None = None
    key: str | None = None


class HttpSettings:
    """Answers for single addresses, as git does for those it talks to.

    Args:
        remote: the name of the remote, for `remote.<name>.proxy`.
    """

    def __init__(self, git: GitRepository, remote: str) -> None:
        self._git = git
        self._remote = remote

    def way(self, url: str) -> Way:
        return Way(
            proxy=self._proxy(url),
            verify=not self._git.environ.get("GIT_SSL_NO_VERIFY") and is_true(self._get(url, "sslVerify") or "true"),
            ca_file=self._file(url, "sslCAInfo", "GIT_SSL_CAINFO"),
            ca_folder=self._file(url, "sslCAPath", "GIT_SSL_CAPATH"),
            cert=self._file(url, "sslCert", "GIT_SSL_CERT"),
            key=self._file(url, "sslKey", "GIT_SSL_KEY"),
        )

    def extra_headers(self, url: str, *, general: bool) -> dict[str, str]:
        """`http.extraHeader`; an empty one forgets those before it.

        Args:
            general: with those that are set for all addresses, too.
        """
        found: dict[str, str] = {}
        for line in self._all(url, "extraHeader") if general else self._fitting(url, "extraHeader"):
            name, colon, value = line.partition(":")
            if not line:
                found.clear()
            elif colon and "\n" not in line and "\r" not in line:
                found[name.strip()] = value.strip()
        return found

    def number(self, section: str, name: str, usual: float) -> float:
        """A setting that is a positive number, like `lfs.activitytimeout` (seconds)."""
        try:
            value = float(self._git.config(section, name) or "")
        except ValueError:
            return usual
        return value if value > 0 else usual

    def _file(self, url: str, name: str, variable: str) -> str | None:
        found = self._git.environ.get(variable) or self._get(url, name)
        return os.path.expanduser(found) if found else None

    def _proxy(self, url: str) -> str | None:
        found = self._git.config("remote", "proxy", self._remote)
        found = self._get(url, "proxy") if found is None else found
        parts = urlsplit(url)
        if found is None:
            found = self._proxy_variable(parts.scheme)
        if not found or self._is_direct(parts):
            return None
        return found if "://" in found else f"http://{found}"

    def _proxy_variable(self, scheme: str) -> str | None:
        environ = self._git.environ
        names = [f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
        if "REQUEST_METHOD" in environ:  # a CGI program's client could set it by a header `Proxy:`
            names.remove(f"{scheme}_proxy".upper())
        return next((environ[name] for name in names if environ.get(name)), None)

    def _is_direct(self, parts: SplitResult) -> bool:
        """Whether `no_proxy` names the host: itself, a domain it is in, a network, or all."""
        said = self._git.environ.get("no_proxy") or self._git.environ.get("NO_PROXY") or ""
        return any(_names(entry.strip().lower(), parts) for entry in said.split(","))

    def _get(self, url: str, name: str) -> str | None:
        return next(reversed(list(self._all(url, name))), None)

    def _all(self, url: str, name: str) -> Iterator[str]:
        """The values that hold for an address, those of the best match last."""
        yield from self._git.config_values("http", name)
        yield from self._fitting(url, name)

    def _fitting(self, url: str, name: str) -> Iterator[str]:
        matching = []
        for base, value in self._git.config_entries("http", name):
            match = _match(urlsplit(base), urlsplit(url))
            if match is not None:
                matching.append((match, value))
        yield from (value for _, value in sorted(matching, key=lambda found: found[0]))


def _match(base: SplitResult, url: SplitResult) -> tuple[int, int, bool] | None:
    """How well the address in `http.<base>.*` fits another, see `http.<url>.*` in git-config(1); None: not at all."""
    if base.scheme != url.scheme or _port(base) != _port(url):
        return None
    if base.username is not None and unquote(base.username) != unquote(url.username or ""):
        return None
    wanted, given = (base.hostname or "").split("."), (url.hostname or "").split(".")
    if len(wanted) != len(given) or any(want not in ("*", part) for want, part in zip(wanted, given, strict=True)):
        return None
    folder = base.path.rstrip("/")
    if url.path.rstrip("/") != folder and not url.path.startswith(f"{folder}/"):
        return None
    return sum(want != "*" for want in wanted), len(folder), base.username is not None


def _port(parts: SplitResult) -> int | None:
    return parts.port or _PORTS.get(parts.scheme)


def _names(entry: str, parts: SplitResult) -> bool:
    host = (parts.hostname or "").lower()
    if entry in ("*", host, f"{host}:{_port(parts)}", f"[{host}]", f"[{host}]:{_port(parts)}"):
        return True
    if "/" in entry:
        with suppress(ValueError):
            return ip_address(host) in ip_network(entry, strict=False)
    domain = entry.removeprefix("*").removeprefix(".")
    return bool(domain) and host.endswith((f".{domain}", f".{domain.removesuffix(f':{_port(parts)}')}"))
