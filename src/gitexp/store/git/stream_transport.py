"""Remotes by path, ssh and git's own port. Listing and pushing is done here; dulwich is loaded once something comes.

Most pushes and pulls move little or nothing, and dulwich takes longer to load than that takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitexp.store.git.answers import failed, hang_up
from gitexp.store.git.connections import Connection, NoGit, Silent, connect
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.listing import advertisement, decoded, list_refs, refs_of
from gitexp.store.git.pushing import push_on
from gitexp.store.git.repository import GitRepository
from gitexp.store.git.transport import OnBytes, PushPlan, PushReport, find_git

if TYPE_CHECKING:
    from gitexp.store.git.dulwich_transport import DulwichTransport


class StreamTransport:
    """A remote at one address; see `Transport`."""

    def __init__(self, git: GitRepository, objects: ObjectDatabase, url: str) -> None:
        self._git = git
        self._objects = objects
        self._url = url

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        with self._connected("upload-pack") as connection:
            return decoded(list_refs(connection, prefixes), prefixes)

    def fetch(self, wants: Iterable[str], haves: Iterable[str], on_bytes: OnBytes) -> None:
        self._dulwich().fetch(wants, haves, on_bytes)

    def fetch_apart(self, wants: Iterable[str], folder: str, most_bytes: int) -> None:
        self._dulwich().fetch_apart(wants, folder, most_bytes)

    def push(self, plan: Callable[[dict[str, str]], PushPlan | None], on_bytes: OnBytes) -> PushReport:
        with self._connected("receive-pack") as connection:
            lines = advertisement(connection)
            made = plan(decoded(refs_of(lines), ("refs/",)))
            if made is None:
                connection.write(b"0000")
                return PushReport(refused={})
            return push_on(connection, lines, made, self._objects, on_bytes, url=self._url)

    def _dulwich(self) -> DulwichTransport:
        from gitexp.store.git.dulwich_transport import DulwichTransport  # see above

        return DulwichTransport(self._git, self._objects, self._url)

    @contextmanager
    def _connected(self, service: str) -> Iterator[Connection]:
        try:
            connection = connect(self._git, self._url, service, find_git(self._git.environ))
        except OSError as error:
            raise failed(self._url, error.strerror or str(error)) from error
        try:
            yield connection
        except (NoGit, Silent, EOFError) as error:
            reason = hang_up() if isinstance(error, EOFError) else str(error)
            raise failed(self._url, reason, connection.complaints()) from error
        finally:
            connection.close()
