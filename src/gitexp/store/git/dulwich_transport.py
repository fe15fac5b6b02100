"""Git's protocol spoken by dulwich's low-level client: http both ways, and what comes by path, ssh and git's own port.

Of dulwich only the conversation is used. Which objects are sent, how they are packed, and what becomes of those that
come is decided here, because its own ways read a whole repository for one push.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dulwich import client as dulwich_client
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.pack import UnpackedObject
from dulwich.protocol import Protocol

from gitexp.domain.masking import mask_url
from gitexp.errors import AccessDenied, GitexpError, RemoteFailed
from gitexp.store.git.answers import TRY_AGAIN, failed, hang_up
from gitexp.store.git.connections import Connection, Silent, connect
from gitexp.store.git.credentials import Credentials, CredentialSource
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.listing import decoded
from gitexp.store.git.packs import encode_entry
from gitexp.store.git.receiving import ApartPack, IncomingPack
from gitexp.store.git.remotes import kind_of
from gitexp.store.git.repository import GitRepository
from gitexp.store.git.transport import Made, OnBytes, PushPlan, PushReport, find_git

ZERO = b"0" * 40

_NUMBERS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_NO_REF = [b"refs/gitexp/none"]


class DulwichTransport:
    """A remote at one address; see `Transport`."""

    def __init__(self, git: GitRepository, objects: ObjectDatabase, url: str) -> None:
        self._git = git
        self._objects = objects
        self._url = url
        self._executable = find_git(git.environ)
        self._source = CredentialSource(git, url, self._executable) if kind_of(url) == "http" else None

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        wanted = [prefix.encode() for prefix in prefixes]
        found = self._talk(lambda client, path: client.get_refs(path, ref_prefix=wanted).refs)
        return decoded(found, prefixes)

    def fetch(self, wants: Iterable[str], haves: Iterable[str], on_bytes: OnBytes) -> None:
        asked = [want.encode() for want in wants]
        if not asked:
            return
        known = [have.encode() for have in haves]

        def fetch(client: Any, path: Any) -> None:
            with IncomingPack(self._git, self._objects, self._executable) as pack:

                def take(data: bytes) -> int:
                    on_bytes(len(data))
                    _guarded(pack.write)(data)
                    return len(data)

                walker = _Haves(known, self._git.shallow())
                client.fetch_pack(path, lambda *_, **__: asked, walker, take, ref_prefix=_NO_REF)
                _guarded(pack.finish)()

        self._talk(fetch)

    def fetch_apart(self, wants: Iterable[str], folder: str, most_bytes: int) -> None:
        asked = [want.encode() for want in wants]

        def fetch(client: Any, path: Any) -> None:
            with ApartPack(folder, most_bytes) as pack:
                client.fetch_pack(path, lambda *_, **__: asked, _Haves(()), _guarded(pack.write), ref_prefix=_NO_REF)
                _guarded(pack.finish)()

        self._talk(fetch)

    def push(self, plan: Callable[[dict[str, str]], PushPlan | None], on_bytes: OnBytes) -> PushReport:
        said: list[bytes] = []
        sending: list[PushPlan] = []

        def update(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
            made = _guarded(plan)(decoded(found, ("refs/",)))
            if made is None:
                return {}
            sending[:] = [made]
            return {name.encode(): new.encode() if new else ZERO for name, (_, new) in made.updates.items()}

        def generate(_have: object, _want: object, **_: object) -> tuple[int, Iterator[UnpackedObject]]:
            [made] = sending
            objects = _guarded(made.objects)()
            return len(objects), self._entries(made, objects, on_bytes)

        def push(client: Any, path: Any) -> Any:
            del said[:], sending[:]
            return client.send_pack(path, update, generate, progress=said.append)

        result = self._talk(push)
        status = {name.decode("utf-8", "replace"): why for name, why in (result.ref_status or {}).items() if why}
        return PushReport(refused=status, said=b"".join(said).decode(errors="replace").strip())

    def _entries(self, plan: PushPlan, objects: Iterable[bytes], on_bytes: OnBytes) -> Iterator[UnpackedObject]:
        read = _guarded(self._entry)
        for oid in objects:
            kind, entry = read(plan, oid)
            on_bytes(len(entry))
            made = UnpackedObject(_NUMBERS[kind], sha=oid)
            made.comp_chunks = [entry]
            yield made

    def _entry(self, plan: PushPlan, oid: bytes) -> tuple[str, bytes]:
        """Content of artifacts hardly ever compresses, and trying is what would take the time."""
        made: Made | None = plan.made.get(oid)
        if made is None:
            return self._objects.entry(oid)
        kind, read = made
        return kind, encode_entry(kind, read(), level=0)

    def _talk(self, act: Callable[[Any, Any], Any]) -> Any:
        """Hold a conversation; where the other side asks who we are, again with one answer after the other."""
        if self._source is None:
            return self._converse(act, None)
        for credentials in self._source.answers():
            try:
                result = self._converse(act, credentials)
            except dulwich_client.HTTPUnauthorized:
                if credentials:
                    self._source.report(credentials, good=False)
                continue
            if credentials:
                self._source.report(credentials, good=True)
            return result
        raise AccessDenied(
            f"'{mask_url(self._url)}' wants to know who we are, and git has no credentials that it takes.",
            hint="Type: git fetch, to see that git can log in there; gitexp uses the same credentials.",
        )

    def _converse(self, act: Callable[[Any, Any], Any], credentials: Credentials | None) -> Any:
        if kind_of(self._url) == "http":
            return self._converse_by_http(act, credentials)
        client = _StreamClient(lambda service: connect(self._git, self._url, service, self._executable))
        try:
            with self._explained(client.complaints):
                return act(client, b"")
        finally:
            client.hang_up()

    def _converse_by_http(self, act: Callable[[Any, Any], Any], credentials: Credentials | None) -> Any:
        from gitexp.store.git.http_client import open_http  # urllib3 takes half as long to import as all else together

        with self._explained(), open_http(self._git, self._url, credentials) as (client, path):
            return act(client, path)

    @contextmanager
    def _explained(self, complaints: Callable[[], str] = str) -> Iterator[None]:
        """Whatever goes wrong becomes a sentence that says with whom.

        A conversation with a program that is not what it seems can fail in any way; what fails in our own part of it
        comes as `_Ours`.
        """
        try:
            yield
        except (GitexpError, dulwich_client.HTTPUnauthorized):
            raise
        except _Ours as error:
            raise error.cause from None
        except dulwich_client.HTTPProxyUnauthorized as error:
            raise AccessDenied(
                f"The proxy on the way to '{mask_url(self._url)}' wants to know who we are.", hint=TRY_AGAIN
            ) from error
        except NotGitRepository as error:
            raise RemoteFailed(
                f"There is no git repository at '{mask_url(self._url)}', or we may not see it.",
                hint="Type: git remote -v, to see the addresses.",
            ) from error
        except Exception as error:
            raise failed(self._url, _reason(error), complaints()) from error


class _Ours(Exception):
    """Wraps an error of our own part in a conversation, to tell it from the remote's."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _guarded(act: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*arguments: Any) -> Any:
        try:
            return act(*arguments)
        except Exception as error:
            raise _Ours(error) from error

    return guarded


class _StreamClient(dulwich_client.TraditionalGitClient):
    """dulwich's side of a conversation over connections of our own."""

    def __init__(self, connect: Callable[[str], Connection]) -> None:
        super().__init__(quiet=True)
        self._open = connect
        self._connection: Connection | None = None

    def _connect(self, cmd: bytes, path: object, protocol_version: int | None = None) -> Any:  # noqa: ARG002
        self._connection = self._open(cmd.decode())
        return _Packets(self._connection), self._connection.can_read, None

    def complaints(self) -> str:
        return self._connection.complaints() if self._connection else ""

    def hang_up(self) -> None:
        if self._connection:
            self._connection.close()


class _Packets(Protocol):
    """dulwich's reading of packets from a connection."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.read, connection.write)
        self._connection = connection

    def shutdown_write(self) -> None:
        self._connection.end()


class _Haves:
    """Tells the other side which commits we have, and where our history ends; it need not answer."""

    def __init__(self, ids: Sequence[bytes], shallow: Iterable[bytes] = ()) -> None:
        self._left = iter(ids)
        self.shallow = {oid.hex().encode() for oid in shallow}

    def __next__(self) -> bytes | None:
        return next(self._left, None)

    def ack(self, _sha: bytes) -> None: ...

    def nak(self) -> None: ...


def _reason(error: BaseException) -> str:
    if isinstance(error, HangupException | EOFError | BrokenPipeError | ConnectionResetError):
        return hang_up()
    if isinstance(error, Silent):
        return str(error)
    if isinstance(error, SendPackError):
        return f"it could not take in what was sent ({error.args[0].decode(errors='replace')})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, GitProtocolError):
        return str(error) or "it does not speak git's protocol"
    return f"it does not speak git's protocol ({error or type(error).__name__})"
