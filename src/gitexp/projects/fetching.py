"""A project's commit brought into a repository: only what is not there yet."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gitexp.domain.identity import REFS
from gitexp.domain.masking import mask_url
from gitexp.errors import Ambiguous, GitexpError, NotARepository, NotFound, RemoteFailed, UsageError
from gitexp.projects.address import ProjectAddress
from gitexp.repo import Repository
from gitexp.sharing.exchange import Listener
from gitexp.sharing.records import haves
from gitexp.store.git.cloning import ORIGIN, clone, folder_for
from gitexp.store.git.objects import COMMIT, TAG, TREE, decode_commit, decode_tree
from gitexp.store.git.remotes import find_remote
from gitexp.store.git.repository import discover
from gitexp.store.git.transport import OnBytes, Transport, open_transport

PROJECTS = f"{REFS}projects/"
"""Refs that keep the commits of projects that were fetched, one for each address and version; never shared."""

_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_FULL = re.compile(r"[0-9a-f]{40}\Z")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,39}\Z")
_PEELED = "^{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedProject:
    """A commit that is in the repository now.

    Attributes:
        tree: hex id of its files.
        author: of the commit, as "Name <email>".
    """

    commit: str
    tree: str
    author: str
    message: str


def fetch_project(
    repository: Repository, address: ProjectAddress, *, engine: str = "auto", listener: Listener | None = None
) -> FetchedProject:
    """Bring the commit of a project into `repository`, with its history and nothing else.

    A branch is asked for its tip each time, and so is a tag, as it can be moved; a commit by its whole id is not asked
    for if it is here. Of a branch and a tag with one name, the branch is meant, as for `git clone --branch`.

    Raises:
        NotFound: it has no such branch, tag or commit.
        RemoteFailed: it cannot be reached.
    """
    version = address.version
    if version and _FULL.match(version) and repository.objects.contains(bytes.fromhex(version)):
        return _described(repository, version)
    remote = find_remote(repository.git, _absolute(address.repository))
    transport = open_transport(repository.git, repository.objects, remote, push=False, engine=engine)
    refs = transport.refs(("HEAD", _HEADS, _TAGS))
    refs = {name: oid for name, oid in refs.items() if _FULL.match(oid)}
    wanted = _named(refs, version, address)
    on_bytes = (listener or Listener()).on_bytes
    if listener:
        listener.on_stage(mask_url(address.repository))
    if wanted is not None:
        if not repository.objects.contains(bytes.fromhex(wanted)):
            transport.fetch([wanted], haves(repository, _kept(repository)), on_bytes)
    else:
        wanted = _by_commit(repository, transport, refs, version or "", on_bytes)
        if wanted is None:
            raise NotFound(f"'{mask_url(address.repository)}' has no version '{version}'.", hint=_versions(refs))
    commit = _peel(repository, wanted)
    _keep(repository, address, commit)
    return _described(repository, commit)


def local_version(repository: Repository, version: str) -> FetchedProject:
    """A branch, tag or commit of the repository itself.

    Raises:
        NotFound, Ambiguous: there is none, or several commits begin so.
    """
    refs = {**repository.refs.list(_HEADS), **repository.refs.list(_TAGS)}
    found = refs.get(_HEADS + version) or refs.get(_TAGS + version)
    if found is None and _FULL.match(version) and repository.objects.contains(bytes.fromhex(version)):
        found = version
    if found is None and _ABBREVIATED.match(version):
        head = repository.git.head().commit
        found = _beginning_with(repository, version, [*refs.values(), *([head] if head else [])])
    if found is None:
        raise NotFound(f"This repository has no version '{version}'.", hint=_versions(refs))
    return _described(repository, _peel(repository, found))


def clone_for(address: ProjectAddress, *, engine: str, environ: Mapping[str, str]) -> tuple[str, bool]:
    """A clone of the project's repository in the current folder, under the name that `git clone` would give it.

    Returns:
        Its folder, and whether it is new; one that was made before from the same address is taken again.

    Raises:
        UsageError: something else is in the way.
        RemoteFailed, NotFound: it cannot be reached.
    """
    url = _absolute(address.repository)
    folder = folder_for(url)
    if os.path.lexists(folder):
        try:
            git = discover(folder, environ)
            if git.work_tree == os.path.realpath(folder) and git.config("remote", "url", ORIGIN) == url:
                return folder, False
        except NotARepository:
            pass
        raise UsageError(
            f"'{folder}' is there already, and is no clone of '{mask_url(url)}'.",
            hint="Start it in another folder, or in a repository.",
        )
    clone(url, folder, branch=None, engine=engine, environ=environ)
    return folder, True


def has_folder(repository: Repository, tree: str, folder: str) -> bool:
    """Whether there is a folder at this path of a tree."""
    oid = bytes.fromhex(tree)
    for part in filter(None, folder.split("/")):
        found = next(
            (item for item in decode_tree(repository.objects.read(oid)[1]) if item.name == part.encode()), None
        )
        if found is None or repository.objects.read(found.oid)[0] != TREE:
            return False
        oid = found.oid
    return True


def _absolute(address: str) -> str:
    return os.path.abspath(os.path.expanduser(address)) if ProjectAddress(repository=address).is_path else address


def _named(refs: Mapping[str, str], version: str | None, address: ProjectAddress) -> str | None:
    """The object that a branch or tag is at; None where the version is neither."""
    if version is None:
        found = refs.get("HEAD") or (refs[name] if len(heads := _heads(refs)) == 1 and (name := heads[0]) else None)
        if found is None:
            raise NotFound(
                f"'{mask_url(address.repository)}' has nothing checked out, so its version has to be named.",
                hint=_versions(refs),
            )
        return found
    for name in (version, _HEADS + version, _TAGS + version):
        if name.startswith("refs/") and name in refs:
            return refs[name]
    return None


def _by_commit(
    repository: Repository, transport: Transport, refs: Mapping[str, str], version: str, on_bytes: OnBytes
) -> str | None:
    """A commit by its id or the beginning of it, which a remote cannot be asked for."""
    if _FULL.match(version):
        try:
            transport.fetch([version], haves(repository, _kept(repository)), on_bytes)
        except RemoteFailed:  # it may give out only what refs lead to
            pass
        else:
            repository.objects.refresh()
            if repository.objects.contains(bytes.fromhex(version)):
                return version
    elif not _ABBREVIATED.match(version):
        return None
    tips = [oid for name, oid in refs.items() if not name.endswith(_PEELED)]
    missing = [oid for oid in dict.fromkeys(tips) if not repository.objects.contains(bytes.fromhex(oid))]
    if missing:
        transport.fetch(missing, haves(repository, _kept(repository)), on_bytes)
    return _beginning_with(repository, version, tips)


def _beginning_with(repository: Repository, version: str, tips: list[str]) -> str | None:
    """The one commit among all that `tips` lead to whose id begins so."""
    found: set[str] = set()
    seen: set[str] = set()
    todo = []
    for tip in tips:
        try:
            todo.append(_peel(repository, tip))
        except GitexpError:  # a tag of a file
            continue
    shallow = {oid.hex() for oid in repository.git.shallow()}
    while todo:
        oid = todo.pop()
        if oid in seen:
            continue
        seen.add(oid)
        if oid.startswith(version):
            found.add(oid)
        if oid not in shallow:
            todo += decode_commit(repository.objects.read(bytes.fromhex(oid))[1]).parents
    if len(found) > 1:
        raise Ambiguous(f"The ids of {len(found)} commits begin with '{version}'.", hint="Give more of it.")
    return next(iter(found), None)


def _peel(repository: Repository, oid: str) -> str:
    """The commit that an annotated tag names."""
    for _ in range(10):
        kind, data = repository.objects.read(bytes.fromhex(oid))
        if kind == COMMIT:
            return oid
        if kind != TAG:
            break
        oid = data[len(b"object ") :][:40].decode("ascii", "replace")
    raise NotFound(f"'{oid}' is no commit.", hint="Name a branch, a tag of a commit, or a commit.")


def _described(repository: Repository, commit: str) -> FetchedProject:
    kind, data = repository.objects.read(bytes.fromhex(commit))
    if kind != COMMIT:
        raise NotFound(f"'{commit}' is no commit.")
    found = decode_commit(data)
    subject = found.message.strip().partition("\n")[0]
    return FetchedProject(commit=commit, tree=found.tree, author=found.author, message=subject)


def _kept(repository: Repository) -> list[str]:
    return list(repository.refs.list(PROJECTS).values())


def _keep(repository: Repository, address: ProjectAddress, commit: str) -> None:
    """Keep what was fetched from git's clearing up."""
    said = f"{address.repository}\0{address.version or ''}"
    name = PROJECTS + hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    old = repository.refs.read(name)
    if old is None:
        repository.refs.create(name, commit)
    elif old != commit:
        repository.refs.update(name, old, commit)


def _heads(refs: Mapping[str, str]) -> list[str]:
    return [name for name in refs if name.startswith(_HEADS)]


def _versions(refs: Mapping[str, str]) -> str:
    names = [name.split("/", 2)[2] for name in refs if name.startswith((_HEADS, _TAGS)) and not name.endswith(_PEELED)]
    names = [name for name in names if not name.startswith("gitexp/")]
    if not names:
        return "It has no branches and tags."
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"Its branches and tags are {', '.join(sorted(names)[:10])}{more}."
