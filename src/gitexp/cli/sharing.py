"""Which remote a command talks to, how it is talked to, and how arguments name remotes and artifacts."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from gitexp.cli.opening import MOST_COMPLETIONS, RUN, completing
from gitexp.domain.identity import is_run_id
from gitexp.errors import Ambiguous, NotFound, UsageError
from gitexp.repo import Repository
from gitexp.sharing.exchange import Sharing
from gitexp.store.git.remotes import find_remote, remote_names


def engine() -> str:
    """How git is talked to: GITEXP_TRANSPORT, or "auto"."""
    return os.environ.get("GITEXP_TRANSPORT") or "auto"


def open_sharing(repository: Repository, remote: str | None = None) -> Sharing:
    """The repository and a remote of it, by name or address; without one the current branch's."""
    return Sharing(repository, remote, engine=engine())


def usual_remote(repository: Repository) -> str | None:
    """The name of the current branch's remote, if there is one."""
    try:
        return find_remote(repository.git).name
    except (NotFound, UsageError):
        return None


def remote_and_runs(repository: Repository, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """What `[REMOTE] [RUNS]...` means: a first word that is no remote's name but a run's is a run."""
    if not words:
        return None, []
    first, *others = words
    if first not in remote_names(repository.git) and not {"/", ":"} & set(first) and _is_run(repository, first):
        return None, list(words)
    return first, others


class RemoteName(click.ParamType):  # type: ignore[type-arg]
    """An argument that names a remote; the shell completes names."""

    name = "remote"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 (click's signature)
        names = completing(lambda repository: remote_names(repository.git))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class RemoteThenRuns(RemoteName):
    """Arguments of which the first may name a remote, and the others name runs."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        runs = RUN.shell_complete(ctx, param, incomplete)
        given = ctx.params.get(param.name or "")
        return runs if given else [*super().shell_complete(ctx, param, incomplete), *runs]


class ArtifactName(click.ParamType):  # type: ignore[type-arg]
    """An argument like `RUN:PATH`; the shell completes runs, then the paths of the run's artifacts."""

    name = "artifact"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        run, colon, path = incomplete.rpartition(":")
        if not colon:
            return RUN.shell_complete(ctx, param, incomplete)
        paths = completing(lambda repository: repository.get_run(run).artifacts)
        return [CompletionItem(f"{run}:{found}") for found in paths if found.startswith(path)][:MOST_COMPLETIONS]


REMOTE, REMOTE_THEN_RUNS, ARTIFACT = RemoteName(), RemoteThenRuns(), ArtifactName()


def _is_run(repository: Repository, text: str) -> bool:
    try:
        repository.resolve(text)
    except Ambiguous:
        return True
    except NotFound:
        return is_run_id(text)
    return True
