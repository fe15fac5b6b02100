"""`gitexp tag`: attach words to a run."""

from __future__ import annotations

import click

from gitexp.cli.opening import RUN, open_repository
from gitexp.cli.terminal import printable, tell
from gitexp.errors import UsageError


@click.command(short_help="Set or remove tags of a run.")
@click.argument("run", type=RUN)
@click.argument("tags", metavar="KEY[=VALUE]...", nargs=-1)
@click.option("--remove", metavar="KEY", multiple=True, help="Take this tag away. Repeatable.")
def command(run: str, tags: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Set tags of a run: KEY=VALUE, or a bare word.

    \b
    gitexp tag baseline stage=production best
    gitexp tag baseline --remove best
    """
    if not tags and not remove:
        raise UsageError("There is nothing to tag with.", hint="gitexp tag RUN key=value")
    repository = open_repository()
    summary = repository.resolve(run)
    repository.tag(summary, parse_tags(tags), remove=remove)
    tell(f"Tagged '{printable(summary.record.name)}'.")


def parse_tags(words: tuple[str, ...]) -> dict[str, str]:
    """`key=value` and bare words as a mapping; a bare word's value is empty."""
    return {key: value for key, _, value in (word.partition("=") for word in words)}
