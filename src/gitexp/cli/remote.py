"""`gitexp remote`: what each remote has, and how it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from gitexp.cli.opening import open_repository
from gitexp.cli.sharing import REMOTE, engine
from gitexp.cli.table import Cell, Column, render
from gitexp.cli.terminal import look, printable, say, show_json, tell
from gitexp.cli.values import size
from gitexp.domain.masking import mask_url
from gitexp.errors import RemoteFailed, UsageError
from gitexp.sharing.namespace import HEADS, HIDDEN
from gitexp.sharing.overview import RemoteState, look_over
from gitexp.sharing.remotesettings import set_remote
from gitexp.store.git.cloning import LEFT_OUT
from gitexp.store.git.transport import ENGINES


@click.group(
    short_help="Show what each remote has; set how it is used.",
    invoke_without_command=True,
    subcommand_metavar="[set ...]",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show each remote: the runs it has, those that only one side has, where its artifacts go, and what is not there.

    Nothing is brought here or there. Leaves with 8 where a remote could not be asked.
    """
    if ctx.invoked_subcommand is not None:
        return
    remotes = look_over(open_repository(), engine=engine())
    if as_json:
        show_json([_to_json(remote) for remote in remotes])
    elif not remotes:
        tell("This repository has no remote. Type: git remote add origin URL")
    else:
        _show(remotes)
    if any(remote.trouble for remote in remotes):
        ctx.exit(RemoteFailed.exit_code)


@command.command(name="set", short_help="Set how a remote is used.")
@click.argument("name", type=REMOTE)
@click.option(
    "--refs",
    type=click.Choice([HIDDEN, HEADS]),
    metavar="hidden|heads",
    help="Where runs are there: hidden, or as branches (heads).",
)
@click.option(
    "--artifacts", metavar="PLACE", help="lfs, git (the remote itself), s3://..., gs://..., az://..., a folder, auto."
)
@click.option(
    "--engine", "engine_name", type=click.Choice(ENGINES), metavar="|".join(ENGINES), help="What talks to it."
)
def set_command(name: str, refs: str | None, artifacts: str | None, engine_name: str | None) -> None:
    """Write into .gitexp/config.yaml how the remote NAME is used. Commit that file, and others use it so too.

    --refs heads is for hosts that accept only branches: runs are branches below gitexp/ there.

    \b
    gitexp remote set origin --refs heads
    gitexp remote set origin --artifacts s3://bucket/runs
    """
    values = {"refs": refs, "artifacts": artifacts, "engine": engine_name}
    given = {key: value for key, value in values.items() if value is not None}
    if not given:
        raise UsageError("Nothing is to be set.", hint="Say --refs, --artifacts or --engine.")
    set_remote(open_repository(), name, given)
    told = ", ".join(f"{key}: {printable(mask_url(value))}" for key, value in given.items())
    say(f"Set for {printable(name)} in .gitexp/config.yaml: {told}.")
    if refs == HEADS:
        tell(f"To keep 'git fetch' from bringing runs as branches: git config --add remote.{name}.fetch '{LEFT_OUT}'")


def _show(remotes: Sequence[RemoteState]) -> None:
    terminal = look()
    columns = [
        Column(title="remote", cells=[Cell(printable(mask_url(remote.name)), "bold") for remote in remotes]),
        Column(title="runs", cells=[_count(remote.runs) for remote in remotes], right=True),
        Column(title="not shared", cells=[_count(remote.unshared, "yellow") for remote in remotes], right=True),
        Column(title="new there", cells=[_count(remote.new_there, "cyan") for remote in remotes], right=True),
        Column(title="refs", cells=[Cell(remote.settings.refs) for remote in remotes]),
        Column(title="artifacts at", cells=[_place(remote) for remote in remotes], narrowest=12),
        Column(title="unsent", cells=[_unsent(remote) for remote in remotes], right=True),
        Column(title="address", cells=[_address(remote) for remote in remotes], widest=80, narrowest=10),
    ]
    for line in render(columns, terminal):
        say(line)
    for remote in remotes:
        if remote.trouble is not None:
            tell(f"{printable(mask_url(remote.name))}: {printable(str(remote.trouble))}")
            if remote.trouble.hint:
                tell(f"  {printable(remote.trouble.hint)}")
    first, rest = remotes[0], remotes[1:]
    if first.unshared or first.unsent:
        tell("Share them: gitexp push" + (f" {printable(first.name)}" if rest else ""))
    if first.new_there:
        tell("Bring them here: gitexp pull" + (f" {printable(first.name)}" if rest else ""))


def _count(count: int | None, style: str = "") -> Cell:
    return Cell("?", "red") if count is None else Cell(f"{count:,}", style if count else "")


def _place(remote: RemoteState) -> Cell:
    return Cell(printable(mask_url(remote.place))) if remote.place else Cell("?", "red")


def _unsent(remote: RemoteState) -> Cell:
    if remote.unsent is None:
        return Cell("?", "red")
    if not remote.unsent:
        return Cell("0")
    return Cell(f"{remote.unsent:,} ({size(remote.unsent_bytes or 0)})", "yellow")


def _address(remote: RemoteState) -> Cell:
    return Cell(printable(mask_url(remote.url)), "dim")


def _to_json(remote: RemoteState) -> dict[str, Any]:
    return {
        "name": mask_url(remote.name),
        "url": mask_url(remote.url),
        "push_url": mask_url(remote.push_url),
        "refs": remote.settings.refs,
        "engine": remote.settings.engine,
        "runs": remote.runs,
        "not_shared": remote.unshared,
        "new_there": remote.new_there,
        "artifacts": mask_url(remote.place) or None,
        "unsent": remote.unsent,
        "unsent_bytes": remote.unsent_bytes,
        "error": None if remote.trouble is None else str(remote.trouble),
    }
