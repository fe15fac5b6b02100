"""`gitexp init`: put `.gitexp/` into a repository."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

import gitexp
from gitexp.cli.terminal import look, printable, tell
from gitexp.errors import NotARepository, UsageError
from gitexp.store.git import repository as git

FOLDER = ".gitexp"


@click.command(short_help="Prepare a repository.")
@click.option("-y", "--yes", is_flag=True, help="Make a git repository where there is none, without asking.")
def command(yes: bool) -> None:
    """Put the settings folder .gitexp/ into this repository; where there is none, make one first.

    Files that are there stay as they are. Recording works without it too: it is the place to change what is recorded.
    """
    root = _work_tree(yes)
    for path in install_template(root):
        tell(f"Wrote {printable(os.path.relpath(path))}")
    tell("Ready. Record your first run: gitexp run train.py")


def install_template(root: Path) -> list[Path]:
    """Copy the files of the template that are not in `root`'s `.gitexp/` yet; gives those written."""
    template, written = _template(), []
    for source in sorted(template.rglob("*")):
        target = root / FOLDER / source.relative_to(template)
        if source.is_dir():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("xb") as file:
                file.write(source.read_bytes())
        except FileExistsError:
            continue
        written.append(target)
    return written


def _template() -> Path:
    """Inside the installed package, or at the top of a checkout."""
    package = Path(gitexp.__file__).parent
    installed = package / "template"
    return installed if installed.is_dir() else package.parent.parent / ".gitexp-template"


def _work_tree(yes: bool) -> Path:
    try:
        found = git.discover(os.getcwd(), os.environ)
    except NotARepository as error:
        if _says_no(yes):
            raise NotARepository(str(error), hint="gitexp init --yes makes a git repository here.") from error
        found = git.init(os.getcwd(), os.environ)
        tell(f"Made a git repository in {printable(os.getcwd())}")
    if found.work_tree is None:
        raise UsageError("A bare repository has no folder for settings.", hint="Runs can be recorded in a clone of it.")
    return Path(found.work_tree)


def _says_no(yes: bool) -> bool:
    if yes:
        return False
    if not look(sys.stderr).interactive:
        return True
    return not click.confirm("There is no git repository here. Make one?", default=True, err=True)
