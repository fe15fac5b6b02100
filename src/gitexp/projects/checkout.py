"""A project's files where its commands can run: its own folder, or a worktree at the commit that was fetched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

from gitexp.domain.config import Config
from gitexp.domain.masking import mask_url
from gitexp.domain.run import ProjectSource
from gitexp.errors import NotARepository, NotFound
from gitexp.projects.address import ProjectAddress, parse_address
from gitexp.projects.fetching import FetchedProject, clone_for, fetch_project, has_folder, local_version
from gitexp.repo import Repository
from gitexp.sharing.exchange import Listener
from gitexp.store.git.repository import GitRepository, discover
from gitexp.worktrees import environ_inside, worktree


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCheckout:
    """A project that can be read and run.

    Attributes:
        repository: where its runs are recorded, seen from the work tree that it runs in.
        folder: the project's, absolute.
        environ: for what is started in it.
        address: where it came from; None for one of the repository itself.
        fetched: its commit; None where the files are run as they are now.
    """

    repository: Repository
    folder: str
    environ: Mapping[str, str]
    address: ProjectAddress | None = None
    fetched: FetchedProject | None = None

    def source(self, entry: str) -> ProjectSource:
        """What `run.yaml` says of it."""
        root = self.repository.git.work_tree or self.folder
        folder = os.path.relpath(self.folder, os.path.realpath(root)).replace(os.sep, "/")
        if self.address is None:
            return ProjectSource(entry=entry, folder=folder)
        commit = self.fetched.commit if self.fetched else None
        repository = self.address.repository
        shown = os.path.realpath(repository) if self.address.is_path else mask_url(repository)
        if self.address.version:
            shown += f"@{self.address.version}"
        return ProjectSource(entry=entry, folder=folder, address=shown, commit=commit)


@contextmanager
def checked_out(
    text: str,
    *,
    directory: str,
    environ: Mapping[str, str],
    engine: str = "auto",
    fetching: Callable[[], AbstractContextManager[Listener | None]] = nullcontext,
    say: Callable[[str], None] = lambda _text: None,
    on_trouble: Callable[[str], None] = lambda _text: None,
) -> Iterator[ProjectCheckout]:
    """The project at an address, for as long as the block is entered.

    A folder of the repository that `directory` is in is taken as it is. Anything else is fetched into that repository,
    and checked out in a worktree that goes at the end; outside of a repository it is cloned into `directory` first.

    Args:
        fetching: entered while bytes travel; gives who is told of them.

    Raises:
        NotFound: no such version or folder.
        RemoteFailed: it cannot be reached.
        NotARepository: a path leads to no repository.
    """
    address = parse_address(text)
    here = _repository_at(directory, environ)
    folder = os.path.join(directory, os.path.expanduser(address.repository)) if address.is_path else ""
    if folder and os.path.isdir(folder):
        there = _repository_at(folder, environ)
        if there is None:
            raise NotARepository(
                f"'{address.repository}' is not in a git repository.", hint="Type: gitexp init, in it."
            )
        is_ours = here is None or here.common_dir == there.common_dir
        if is_ours and there.work_tree is not None:
            whole = os.path.join(os.path.realpath(folder), address.folder)
            if address.version is None:
                yield _as_it_is(whole, address, environ)
                return
            inside = os.path.relpath(whole, os.path.realpath(there.work_tree)).replace(os.sep, "/")
            repository = Repository.open(folder, environ=environ)
            fetched = local_version(repository, address.version)
            with _in_worktree(repository, fetched, "" if inside == "." else inside, engine, on_trouble) as made:
                yield replace(made, fetched=fetched)
            return
        address = _from_top(address, folder, there)
    elif folder:
        raise NotFound(f"There is no folder '{address.repository}'.")
    config = None
    if here is None:
        place, is_new = clone_for(address, engine=engine, environ=environ)
        if is_new:
            say(f"Cloned '{mask_url(address.repository)}' into ./{place}: its runs are recorded there.")
        repository = Repository.open(place, environ=environ)
        config = Config()
    else:
        repository = Repository.open(directory, environ=environ)
    with fetching() as listener:
        fetched = fetch_project(repository, address, engine=engine, listener=listener)
    with _in_worktree(repository, fetched, address.folder, engine, on_trouble) as made:
        # What a foreign project is recorded as is up to whoever records it; how, to the project.
        ours, theirs = config or repository.config, made.repository.config
        made.repository.config = replace(
            theirs,
            experiment=ours.experiment,
            strict=ours.strict,
            hooks_after=ours.hooks_after,
            artifacts_store=ours.artifacts_store,
            remotes=ours.remotes,
            gc_keep_s=ours.gc_keep_s,
        )
        yield replace(made, address=address, fetched=fetched)


@contextmanager
def _in_worktree(
    repository: Repository, fetched: FetchedProject, folder: str, engine: str, on_trouble: Callable[[str], None]
) -> Iterator[ProjectCheckout]:
    if not has_folder(repository, fetched.tree, folder):
        raise NotFound(f"The project has no folder '{folder}' at {fetched.commit[:12]}.")
    made = worktree(repository, commit=fetched.commit, tree=fetched.tree, on_trouble=on_trouble, engine=engine)
    with made as top:
        environ = environ_inside(repository.git.environ)
        inside = Repository(discover(top, environ), environ)
        yield ProjectCheckout(repository=inside, folder=os.path.realpath(os.path.join(top, folder)), environ=environ)


def _as_it_is(folder: str, address: ProjectAddress, environ: Mapping[str, str]) -> ProjectCheckout:
    if not os.path.isdir(folder):
        raise NotFound(f"There is no folder '{address}'.")
    return ProjectCheckout(
        repository=Repository.open(folder, environ=environ), folder=os.path.realpath(folder), environ=environ
    )


def _from_top(address: ProjectAddress, folder: str, there: GitRepository) -> ProjectAddress:
    """The same project, named from the top of the repository that its path leads into."""
    top = there.work_tree or there.git_dir
    inside = os.path.relpath(os.path.realpath(folder), os.path.realpath(top)).replace(os.sep, "/")
    parts = [part for part in (inside, address.folder) if part not in ("", ".")]
    return ProjectAddress(repository=os.path.realpath(top), folder="/".join(parts), version=address.version)


def _repository_at(folder: str, environ: Mapping[str, str]) -> GitRepository | None:
    try:
        return discover(folder, environ)
    except NotARepository:
        return None
