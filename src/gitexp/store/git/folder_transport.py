"""A repository in another folder, read and written by ourselves: for machines without a git executable.

Objects first, then refs, each by compare-and-swap, as in our own repository. Its hooks do not run: they are what only
git runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from gitexp.domain.masking import mask_url
from gitexp.errors import Conflict, GitexpError, NotARepository, RemoteFailed
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.missing import MissingObjects
from gitexp.store.git.packs import PackWriter, encode_entry
from gitexp.store.git.refs import RefStore
from gitexp.store.git.remotes import path_of
from gitexp.store.git.repository import GitRepository, discover
from gitexp.store.git.transport import OnBytes, PushPlan, PushReport


class FolderTransport:
    """A remote at a path; see `Transport`."""

    def __init__(self, git: GitRepository, objects: ObjectDatabase, url: str) -> None:
        self._git = git
        self._objects = objects
        self._url = url

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        refs = self._refs(self._open())
        found = {name: oid for prefix in prefixes for name, oid in refs.list(prefix).items()}
        head = refs.read("HEAD") if "HEAD" in prefixes else None
        return found if head is None else {"HEAD": head, **found}

    def fetch(self, wants: Iterable[str], haves: Iterable[str], on_bytes: OnBytes) -> None:
        known = [bytes.fromhex(oid) for oid in haves]
        self._copy(wants, known, PackWriter(f"{self._git.object_dir}/pack"), on_bytes)
        self._objects.refresh()

    def fetch_apart(self, wants: Iterable[str], folder: str, most_bytes: int) -> None:
        received = 0

        def count(size: int) -> None:
            nonlocal received
            received += size
            if received > most_bytes:
                raise RemoteFailed(f"The remote has more than the {most_bytes:,} bytes that this can have.")

        self._copy(wants, [], PackWriter(f"{folder}/pack", keep=False, durable=False), count)

    def push(self, plan: Callable[[dict[str, str]], PushPlan | None], on_bytes: OnBytes) -> PushReport:
        theirs = self._open()
        refs = self._refs(theirs)
        made = plan(refs.list("refs/"))
        if made is None:
            return PushReport(refused={})
        writer = PackWriter(f"{theirs.object_dir}/pack", keep=False)
        try:
            for oid in made.objects():
                if oid in made.made:
                    kind, read = made.made[oid]
                    entry = encode_entry(kind, read(), level=0)
                else:
                    entry = self._objects.entry(oid)[1]
                writer.add_entry(oid, entry)
                on_bytes(len(entry))
            if len(writer):
                writer.finish()
        finally:
            writer.abandon()
        return PushReport(refused=dict(_change(refs, made)))

    def _copy(self, wants: Iterable[str], known: Iterable[bytes], writer: PackWriter, on_bytes: OnBytes) -> None:
        theirs = self._open()
        objects = ObjectDatabase(theirs.object_dir, theirs.alternates)
        try:
            tips = [bytes.fromhex(oid) for oid in wants]
            for oid in MissingObjects(objects, tips, known, shallow=theirs.shallow()).ids:
                entry = objects.entry(oid)[1]
                writer.add_entry(oid, entry)
                on_bytes(len(entry))
            if len(writer):
                writer.finish()
        except GitexpError as error:
            if isinstance(error, RemoteFailed):
                raise
            raise RemoteFailed(f"'{mask_url(self._url)}' cannot be read: {error}", hint=error.hint) from error
        finally:
            writer.abandon()
            objects.close()

    def _open(self) -> GitRepository:
        path = path_of(self._url)
        environ = {name: value for name, value in self._git.environ.items() if not name.startswith("GIT_")}
        environ["GIT_CEILING_DIRECTORIES"] = os.path.dirname(os.path.realpath(path))
        try:
            return discover(path, environ)
        except NotARepository as error:
            raise RemoteFailed(
                f"There is no git repository at '{path}' that gitexp can use.",
                hint="Type: git remote -v, to see the addresses.",
            ) from error

    def _refs(self, git: GitRepository) -> RefStore:
        return RefStore(git.git_dir, git.common_dir)


def _change(refs: RefStore, plan: PushPlan) -> Iterable[tuple[str, str]]:
    """Move the refs; gives those that could not be moved, and why."""
    new = {name: tip for name, (old, tip) in plan.updates.items() if old is None and tip}
    created = refs.create_all(new) if new else set()
    for name in new.keys() - created:
        if refs.read(name) != new[name]:
            yield name, "already exists"
    for name, (old, tip) in plan.updates.items():
        if old is None:
            continue
        try:
            moved = refs.update(name, old, tip) if tip else refs.delete(name, old)
        except Conflict as error:
            yield name, f"cannot lock ref: {error}"
            continue
        if not moved:
            yield name, "it changed meanwhile"
