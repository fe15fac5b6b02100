"""`gitexp gc`: free what was removed long enough ago."""

from __future__ import annotations

import os
from typing import Any

import click

from gitexp.cli.opening import open_repository
from gitexp.cli.terminal import printable, say, show_json
from gitexp.cli.values import plural, size
from gitexp.domain.config import parse_span
from gitexp.environments.cache import EnvironmentCache, cache_folder
from gitexp.upkeep import gc


class Span(click.ParamType):  # type: ignore[type-arg]
    """A length of time: "30d", "12h"."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_span(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


@click.command(short_help="Free what was removed long ago.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be freed.")
@click.option(
    "--keep",
    metavar="TIME",
    type=Span(),
    help="Free runs removed longer ago than this, like 30d or 12h.  [default: setting gc.keep]",
)
@click.option(
    "--environments", is_flag=True, help="Also remove the environments built for runs that nobody used for 30 days."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(dry_run: bool, keep: float | None, environments: bool, as_json: bool) -> None:
    """Forget runs that were removed long enough ago, and free the content that no run names.

    Never a live run, and nothing of yours: git objects go back to git, and 'git gc' decides about them.
    Environments are in the user's cache folder and serve all repositories: their size is told.
    """
    done = gc(open_repository(), keep_s=keep, dry_run=dry_run)
    cache = EnvironmentCache(cache_folder(os.environ))
    kept = list(cache.entries())
    unused = [one for one in kept if one.is_unused()]
    removed = cache.sweep() if environments and not dry_run else []
    if as_json:
        runs = [{"id": run.record.id, "name": run.record.name} for run in done.runs]
        freed = {"content": done.content, "content_bytes": done.content_bytes, "objects": done.objects}
        sizes = {
            key: value
            for name, some in (("kept", kept), ("unused", unused), ("removed", removed))
            for key, value in ((name, len(some)), (f"{name}_bytes", sum(one.size_bytes for one in some)))
        }
        show_json({"dry_run": dry_run, "runs": runs, **freed, "temporary": done.temporary, "environments": sizes})
        return
    for run in done.runs:
        say(f"{'would forget' if dry_run else 'forgot'} {printable(run.record.name)} ({run.record.id})")
    would = "Would free" if dry_run else "Freed"
    files = f"{plural(done.content, 'stored file')} ({size(done.content_bytes)})"
    say(f"{would} {plural(len(done.runs), 'run')} and {files}.")
    if done.objects:
        say(f"Handed {plural(done.objects, 'object')} back to git; 'git gc' frees them.")
    if environments:
        some = unused if dry_run else removed
        verb = "Would remove" if dry_run else "Removed"
        say(f"{verb} {plural(len(some), 'environment')} ({size(sum(one.size_bytes for one in some))}).")
    elif kept:
        total = size(sum(one.size_bytes for one in kept))
        say(f"In the cache: {plural(len(kept), 'environment')} ({total}), {len(unused)} unused for 30 days.")
        if unused:
            say("'gitexp gc --environments' removes those that are unused.")
