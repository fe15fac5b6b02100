"""Git's protocol spoken by dulwich's low-level client: over ssh, http, git and to a local path.

Of dulwich only the conversation is used. Which objects are sent, how they are packed, and what becomes of those that
come is decided here, because its own ways read a whole repository for one push.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import urllib3.exceptions
from dulwich import client as dulwich_client
from dulwich.config import ConfigDict
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.pack import UnpackedObject

from gitexp.domain.masking import mask_url
from gitexp.errors import AccessDenied, GitexpError, RemoteFailed
from gitexp.store.git.credentials import Credentials, CredentialSource
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.packs import encode_entry
from gitexp.store.git.receiving import IncomingPack
from gitexp.store.git.remotes import kind_of, path_of
from gitexp.store.git.repository import GitRepository
from gitexp.store.git.transport import Made, OnBytes, PushPlan, PushReport, find_git

ZERO = b"0" * 40
STALL_S = 60
"""How long a connection may be silent."""

_NUMBERS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_TROUBLE = (
    GitProtocolError,
    HangupException,
    SendPackError,
    OSError,
    EOFError,
    AssertionError,
    ValueError,
    urllib3.exceptions.HTTPError,
)


class DulwichTransport:
    """A remote at one address; see `Transport`."""

    def __init__(self, git: GitRepository, objects: ObjectDatabase, url: str) -> None:
        self._git = git
        self._objects = objects
        self._url = url
        self._executable = find_git(git.environ)
        self._source = CredentialSource(git, url, self._executable) if kind_of(url) == "http" else None
        self._credentials = self._source.given() if self._source else None

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        wanted = [prefix.encode() for prefix in prefixes]
        found = self._talk(lambda client, path: client.get_refs(path, ref_prefix=wanted).refs)
        return _decoded(found, prefixes)

    def fetch(self, wants: Iterable[str], haves: Iterable[str], on_bytes: OnBytes) -> None:
        asked = [want.encode() for want in wants]
        if not asked:
            return
        known = [have.encode() for have in haves]

        def fetch(client: Any, path: Any) -> None:
            with IncomingPack(self._git, self._objects, self._executable) as pack:

                def take(data: bytes) -> int:
                    on_bytes(len(data))
                    return pack.write(data)

                client.fetch_pack(path, lambda *_, **__: asked, _Haves(known), take, ref_prefix=[b"refs/gitexp/none"])
                pack.finish()

        self._talk(fetch)

    def fetch_apart(self, wants: Iterable[str], folder: str) -> None:
        asked = [want.encode() for want in wants]

        def fetch(client: Any, path: Any) -> None:
            with IncomingPack(self._git, ObjectDatabase(folder), self._executable, object_dir=folder) as pack:
                client.fetch_pack(
                    path, lambda *_, **__: asked, _Haves(()), pack.write, ref_prefix=[b"refs/gitexp/none"]
                )
                pack.finish()

        self._talk(fetch)

    def push(self, plan: Callable[[dict[str, str]], PushPlan | None], on_bytes: OnBytes) -> PushReport:
        said: list[bytes] = []
        sending: list[PushPlan] = []

        def update(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
            made = plan(_decoded(found, ("refs/",)))
            if made is None:
                return {}
            sending[:] = [made]
            changed = {}
            for name, (old, new) in made.updates.items():
                if found.get(name.encode(), ZERO) == (old or "").encode() or (
                    old is None and name.encode() not in found
                ):
                    changed[name.encode()] = new.encode() if new else ZERO
            return changed

        def generate(_have: object, _want: object, **_: object) -> tuple[int, Iterator[UnpackedObject]]:
            [made] = sending
            return len(made.objects), self._entries(made, on_bytes)

        def push(client: Any, path: Any) -> Any:
            del said[:], sending[:]
            return client.send_pack(path, update, generate, progress=said.append)

        result = self._talk(push)
        status = {name.decode(): reason for name, reason in (result.ref_status or {}).items() if reason}
        if sending:
            missed = [name for name in sending[0].updates if name.encode() not in result.refs]
            status.update(dict.fromkeys(missed, "it changed meanwhile"))
        return PushReport(refused=status, said=b"".join(said).decode(errors="replace").strip())

    def _entries(self, plan: PushPlan, on_bytes: OnBytes) -> Iterator[UnpackedObject]:
        for oid in plan.objects:
            kind, entry = self._made(plan.made[oid]) if oid in plan.made else self._objects.entry(oid)
            on_bytes(len(entry))
            made = UnpackedObject(_NUMBERS[kind], sha=oid)
            made.comp_chunks = [entry]
            yield made

    def _made(self, made: Made) -> tuple[str, bytes]:
        """Content of artifacts hardly ever compresses, and trying is what would take the time."""
        kind, read = made
        return kind, encode_entry(kind, read(), level=0)

    def _talk(self, act: Callable[[Any, Any], Any]) -> Any:
        """Open a connection and hold a conversation; where the other side asks who we are, once more with an answer."""
        with self._explained():
            try:
                return act(*self._open(self._credentials))
            except dulwich_client.HTTPUnauthorized:
                if self._source is None:
                    raise
        rejected = self._credentials
        if rejected is not None and self._source is not None:
            self._source.report(rejected, good=False)
        found = self._source.ask() if self._source else None
        if found is None:
            raise self._denied()
        with self._explained():
            try:
                result = act(*self._open(found))
            except dulwich_client.HTTPUnauthorized as error:
                if self._source:
                    self._source.report(found, good=False)
                raise self._denied() from error
        self._credentials = found
        if self._source:
            self._source.report(found, good=True)
        return result

    def _denied(self) -> AccessDenied:
        return AccessDenied(
            f"'{mask_url(self._url)}' wants to know who we are, and git has no credentials that it takes.",
            hint="Type: git fetch, to see that git can log in there; gitexp uses the same credentials.",
        )

    def _open(self, credentials: Credentials | None) -> tuple[Any, Any]:
        kind = kind_of(self._url)
        options: dict[str, Any] = {"thin_packs": False, "quiet": True}
        if kind == "path":
            path = path_of(self._url)
            if self._executable:
                return dulwich_client.SubprocessGitClient(**options), path.encode()
            return dulwich_client.LocalGitClient(**options), path
        if kind == "ssh":
            options["ssh_command"] = self._ssh_command()
        if kind == "http":
            options["config"] = self._config()
            if credentials:
                options.update(username=credentials.username, password=credentials.password)
        client, path = dulwich_client.get_transport_and_path(self._url, **options)
        return client, path.encode() if kind == "ssh" else path

    def _ssh_command(self) -> str:
        """As git finds it. Ours gives up on a silent connection; one that somebody chose is left alone."""
        chosen = self._git.environ.get("GIT_SSH_COMMAND") or self._git.config("core", "sshCommand")
        return chosen or "ssh -o ServerAliveInterval=15 -o ServerAliveCountMax=3 -o SendEnv=GIT_PROTOCOL"

    def _config(self) -> ConfigDict:
        """What git's configuration says about http, for all and for single addresses."""
        config = ConfigDict()
        config.set((b"http",), b"timeout", str(STALL_S).encode())
        for name in ("extraHeader", "userAgent", "postBuffer", "timeout"):
            value = self._git.config("http", name)
            if value:
                config.set((b"http",), name.encode(), value.encode())
            for address, value in self._git.config_entries("http", name):
                config.set((b"http", address.encode()), name.encode(), value.encode())
        return config

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Whatever goes wrong becomes a sentence that says with whom."""
        where = mask_url(self._url)
        try:
            yield
        except (GitexpError, dulwich_client.HTTPUnauthorized):
            raise
        except NotGitRepository as error:
            raise RemoteFailed(f"There is no git repository at '{where}', or we may not see it.") from error
        except dulwich_client.HTTPProxyUnauthorized as error:
            raise AccessDenied(f"The proxy on the way to '{where}' wants to know who we are.") from error
        except _TROUBLE as error:
            raise RemoteFailed(f"'{where}' cannot be talked to: {_reason(error)}.", hint="Try again.") from error


class _Haves:
    """Tells the other side which commits we have; it need not answer."""

    def __init__(self, ids: Sequence[bytes]) -> None:
        self._left = iter(ids)
        self.shallow: set[bytes] = set()

    def __next__(self) -> bytes | None:
        return next(self._left, None)

    def ack(self, _sha: bytes) -> None: ...

    def nak(self) -> None: ...


def _decoded(refs: Any, prefixes: Sequence[str]) -> dict[str, str]:
    """Names and ids as text. Names that no ref can have are left out: no path is ever made of them."""
    found = {}
    for name, value in refs.items():
        if value is not None and not name.endswith(b"^{}"):
            text = name.decode("utf-8", "replace")
            if text.startswith(tuple(prefixes)):
                found[text] = value.decode("ascii", "replace")
    return found


def _reason(error: BaseException) -> str:
    if isinstance(error, HangupException):
        lines = [line.decode(errors="replace") for line in error.stderr_lines or []]
        told = [line.strip() for line in lines if line.strip()]
        return "; ".join(told[-3:]).rstrip(".") or "it hung up"
    if isinstance(error, BrokenPipeError):
        return "the connection broke"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__).rstrip(".")
