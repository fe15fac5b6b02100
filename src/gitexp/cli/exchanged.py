"""What a push or a pull did, in words and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gitexp.cli.terminal import look, printable, printable_lines, say, tell
from gitexp.cli.values import plural, size
from gitexp.domain.masking import mask_url
from gitexp.errors import RemoteFailed
from gitexp.repo import Repository
from gitexp.sharing.namespace import is_model_name, is_run_name

if TYPE_CHECKING:
    from gitexp.sharing.exchange import Exchange
    from gitexp.sharing.records import Shared

MOST_NAMED = 10


def say_pushed(done: Exchange) -> None:
    _say_counts(done, "Pushed", "to")
    behind = _runs(done.records.behind)
    if behind:
        tell(f"{plural(len(behind), 'run')} changed there and not here: gitexp pull")
    taken = _runs(done.records.taken)
    if taken:
        were, are = ("was", "is") if len(taken) == 1 else ("were", "are")
        tell(f"{plural(len(taken), 'run')} {were} changed there alone, and {are} so here now.")
    tell_refused(done.records)
    if any("hidden ref" in reason for reason in done.records.refused.values()):
        tell(f"A host that takes only branches: gitexp remote set {printable(_shown_name(done))} --refs heads")
    if done.missing:
        tell_missing(done, "neither on this machine nor", prefix="warning: ")
        tell(f"The records are there. Who has the content can send it: gitexp push {printable(_shown_name(done))} RUN")


def say_pulled(done: Exchange) -> None:
    _say_counts(done, "Pulled", "from")
    ahead = _runs([*done.records.ahead, *done.records.merged])
    if ahead:
        tell(f"{plural(len(ahead), 'run')} changed here and not there: gitexp push")
    tell_refused(done.records, "Not taken")
    if done.missing:
        tell_missing(done, "not")


def tell_missing(done: Exchange, where: str, *, prefix: str = "") -> None:
    """Name the artifacts whose content was not found."""
    missing = done.missing
    verb = "is" if len(missing) == 1 else "are"
    tell(f"{prefix}{plural(len(missing), 'artifact')} {verb} {where} at {printable(_shown_name(done))}:")
    for one in missing[:MOST_NAMED]:
        tell(
            f"  {printable(one.name)}:{printable(one.path.removeprefix('artifacts/'))} ({size(one.pointer.size_bytes)})"
        )
    if len(missing) > MOST_NAMED:
        tell(f"  and {len(missing) - MOST_NAMED:,} more")


def say_changed_there(ctx: click.Context, repository: Repository, ids: Sequence[str]) -> None:
    """Bring a change of runs to the branch's remote, and tell what came of it."""
    from gitexp.cli.sharing import open_sharing  # changing runs here needs no remote

    sharing = open_sharing(repository)
    done = sharing.push_changes(ids)
    records, where = done.records, printable(_shown_name(done))
    if records.updated or records.merged:
        tell(f"Whoever pulls from {where} sees it.")
    elif not records.refused:
        was_there = records.same or records.behind or records.taken
        tell(f"{where} has it so already." if was_there else f"Never shared with {where}, so nothing changed there.")
    tell_refused(records)
    if records.refused:
        ctx.exit(RemoteFailed.exit_code)


def tell_refused(records: Shared, what: str = "Refused") -> None:
    """What the remote said, and what it, or pulling we, did not take."""
    for line in printable_lines(records.said) if records.said else ():
        tell(f"remote: {line}")
    for name, reason in list(records.refused.items())[:MOST_NAMED]:
        tell(f"{what}: {name}: {printable(reason)}")
    if len(records.refused) > MOST_NAMED:
        tell(f"{what}: {len(records.refused) - MOST_NAMED:,} more.")


def exchange_to_json(done: Exchange) -> dict[str, Any]:
    records, artifacts = done.records, done.artifacts
    return {
        "remote": {"name": mask_url(done.remote.name), "url": mask_url(done.remote.url)},
        "created": records.created,
        "updated": records.updated,
        "merged": records.merged,
        "behind": records.behind,
        "taken": records.taken,
        "ahead": records.ahead,
        "same": records.same,
        "refused": dict(records.refused),
        "artifacts": {
            "place": artifacts.place or None,
            "count": artifacts.count,
            "bytes": artifacts.size_bytes,
            "missing": [
                {"run": one.ref.rpartition("/")[2], "name": one.name, "path": one.path, "sha256": one.pointer.sha256}
                for one in done.missing
            ],
        },
    }


def _say_counts(done: Exchange, verb: str, way: str) -> None:
    records, artifacts = done.records, done.artifacts
    where = printable(_shown_name(done))
    terminal = look()
    parts = []
    for names, what in ((records.created, "new"), (records.updated, "changed"), (records.merged, "merged")):
        count = len(_runs(names))
        if count:
            parts.append(plural(count, f"{what} run"))
    if records.models:
        parts.append(plural(len(records.models), "model"))
    elsewhere = ""
    if artifacts.count:
        travelled = f"{plural(artifacts.count, 'artifact')} ({size(artifacts.size_bytes)})"
        if artifacts.place.endswith(" itself"):
            parts.append(travelled)
        else:
            elsewhere = f"{terminal.paint(travelled, 'bold')} {way} {printable(artifacts.place)}"
    if parts or elsewhere:
        there = f"{terminal.paint(', '.join(parts), 'bold')} {way} {where}" if parts else ""
        say(f"{verb} {', '.join(filter(None, (there, elsewhere)))}.")
    elif not records.refused:
        say(f"Everything is there already: {where}." if verb == "Pushed" else f"Nothing new at {where}.")
    for name in records.merged:
        if is_model_name(name):
            model = name.rpartition("/")[2]
            tell(f"The model '{model}' was changed on both sides, and holds both now: gitexp models log {model}")


def _runs(names: Sequence[str]) -> list[str]:
    return [name for name in names if is_run_name(name)]


def _shown_name(done: Exchange) -> str:
    return mask_url(done.remote.name)
