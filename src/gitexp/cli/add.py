"""`gitexp add`: data that travels with the runs that read it."""

from __future__ import annotations

import click

from gitexp.cli.opening import open_repository
from gitexp.cli.terminal import printable, say, tell
from gitexp.cli.values import plural, size
from gitexp.data.adding import add, remove
from gitexp.errors import UsageError


@click.command(short_help="Keep data with the runs that read it.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path())
@click.option("--remove", "removes", is_flag=True, help="Stop keeping what runs read there.")
def command(paths: tuple[str, ...], removes: bool) -> None:
    """Keep the content of files and folders beside git; without PATH, list what was added.

    From then on each run that reads such a file as an input keeps its content, as it was when the run read it: it is
    pushed and pulled with the run, and 'gitexp reproduce' brings it back. git itself does not see it, so data that git
    ignores stays ignored.

    \b
    gitexp add data/train.csv data/images
    gitexp run train.py
    gitexp push
    """
    repository = open_repository()
    if not paths:
        if removes:
            raise UsageError("--remove needs a path.", hint="'gitexp add' lists what was added.")
        for name, contents in repository.added.list().items():
            total = size(sum(pointer.size_bytes for pointer in contents))
            say(f"{printable(name)}  {plural(len(contents), 'file')}, {total}")
        return
    if removes:
        for name in remove(repository, paths):
            tell(f"'{printable(name)}' is not kept with runs any more; those that have it keep it.")
        return
    for done in add(repository, paths):
        files = f"{plural(done.files, 'file')}, {size(done.size_bytes)}"
        new = f"{plural(done.new, 'content')} new, {size(done.new_bytes)}" if done.new else "nothing new"
        tell(f"Added '{printable(done.name)}' ({files}; {new}).")
