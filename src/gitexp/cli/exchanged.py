"""What a push or a pull did, in words and for programs."""

from __future__ import annotations

from typing import Any

from gitexp.cli.terminal import look, printable, printable_lines, say, tell
from gitexp.cli.values import plural, size
from gitexp.domain.masking import mask_url
from gitexp.sharing.exchange import Exchange
from gitexp.sharing.namespace import is_run_name

MOST_NAMED = 10


def say_pushed(done: Exchange) -> None:
    _say_counts(done, "Pushed", "to")
    records = done.records
    behind = [name for name in records.behind if is_run_name(name)]
    if behind:
        tell(f"{plural(len(behind), 'run')} changed there and not here: gitexp pull")
    for line in printable_lines(records.said) if records.said else ():
        tell(f"remote: {line}")
    for name, reason in list(records.refused.items())[:MOST_NAMED]:
        tell(f"Refused: {name}: {printable(reason)}")
    if len(records.refused) > MOST_NAMED:
        tell(f"Refused: {len(records.refused) - MOST_NAMED} more.")
    if done.artifacts.missing:
        missing = plural(len(done.artifacts.missing), "artifact")
        tell(f"{missing} of these runs can be sent by nobody here: the content is not on this machine.")


def say_pulled(done: Exchange) -> None:
    _say_counts(done, "Pulled", "from")
    ahead = [name for name in (*done.records.ahead, *done.records.merged) if is_run_name(name)]
    if ahead:
        tell(f"{plural(len(ahead), 'run')} changed here and not there: gitexp push")
    if done.artifacts.missing:
        tell(f"{plural(len(done.artifacts.missing), 'artifact')} could not be found there.")


def exchange_to_json(done: Exchange) -> dict[str, Any]:
    records, artifacts = done.records, done.artifacts
    return {
        "remote": {"name": mask_url(done.remote.name), "url": mask_url(done.remote.url)},
        "created": records.created,
        "updated": records.updated,
        "merged": records.merged,
        "behind": records.behind,
        "ahead": records.ahead,
        "same": records.same,
        "refused": dict(records.refused),
        "artifacts": {
            "place": artifacts.place or None,
            "count": artifacts.count,
            "bytes": artifacts.size_bytes,
            "missing": [pointer.sha256 for pointer in artifacts.missing],
        },
    }


def _say_counts(done: Exchange, verb: str, way: str) -> None:
    records, artifacts = done.records, done.artifacts
    where = printable(mask_url(done.remote.name))
    terminal = look()
    parts = []
    for names, what in ((records.created, "new"), (records.updated, "changed"), (records.merged, "merged")):
        count = sum(map(is_run_name, names))
        if count:
            parts.append(plural(count, f"{what} run"))
    if artifacts.count:
        place = "" if artifacts.place.endswith(" itself") else f" {way} {printable(artifacts.place)}"
        parts.append(f"{plural(artifacts.count, 'artifact')} ({size(artifacts.size_bytes)}){place}")
    if parts:
        say(f"{verb} {terminal.paint(', '.join(parts), 'bold')} {way} {where}.")
    elif not records.refused:
        say(f"Everything is there already: {where}." if verb == "Pushed" else f"Nothing new at {where}.")
