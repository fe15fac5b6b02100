"""The repository that a command works on, and how its options name runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from gitexp.cli.terminal import printable, tell
from gitexp.errors import GitexpError
from gitexp.repo import Repository
from gitexp.store.git.repository import discover

T = TypeVar("T")

MOST_COMPLETIONS = 200


def open_repository() -> Repository:
    """The repository around the working directory; says what opening it recovered."""
    repository = Repository.open(os.getcwd(), environ=os.environ)
    for run in repository.recovered:
        name = printable(run.name)
        if run.commit is None:
            tell(f"The run '{name}' ({run.run_id}) ended without being closed and cannot be sealed yet: {run.problem}")
        else:
            tell(f"Recovered the run '{name}' ({run.run_id}), whose process ended without closing it: {run.status}.")
    for file in repository.put_back:
        what = f"Put back '{printable(file.path)}', which a run that was killed had set values in."
        tell(f"{what} {file.remark}".rstrip())
    return repository


class RunName(click.ParamType):  # type: ignore[type-arg]
    """An argument that names a run; the shell completes names."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 (click's signature)
        runs = completing(lambda repository: repository.search(limit=2000))
        names = dict.fromkeys(run.record.name for run in runs)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)][:MOST_COMPLETIONS]


class ExperimentName(click.ParamType):  # type: ignore[type-arg]
    """An option that names an experiment; the shell completes names."""

    name = "experiment"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 (click's signature)
        names = completing(lambda repository: repository.experiments.names())
        return [CompletionItem(name) for name in names if name.startswith(incomplete)][:MOST_COMPLETIONS]


class SearchText(click.ParamType):  # type: ignore[type-arg]
    """A search expression or sort keys; the shell completes the key that is being typed."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 (click's signature)
        start = max(incomplete.rfind(mark) for mark in " (,-") + 1
        head, word = incomplete[:start], incomplete[start:]
        keys = [f"run.{name}" for name in ("name", "status", "start", "duration", "author", "experiment", "commit")]
        for run in completing(lambda repository: repository.search(limit=200)):
            keys += [f"params.{key}" for key in run.params]
            keys += [f"metrics.{key}" for key in run.metrics]
            keys += [f"tags.{key}" for key in run.tags]
        found = [key for key in dict.fromkeys(keys) if key.startswith(word)]
        return [CompletionItem(head + key) for key in found[:MOST_COMPLETIONS]]


RUN, EXPERIMENT, SEARCH = RunName(), ExperimentName(), SearchText()


def completing(ask: Callable[[Repository], Iterable[T]]) -> Iterable[T]:
    """What `ask` finds in the repository; nothing where that fails, as the TAB key must never print an error."""
    try:
        return ask(Repository(discover(os.getcwd(), os.environ), os.environ))
    except (GitexpError, OSError):
        return []
