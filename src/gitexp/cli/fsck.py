"""`gitexp fsck`: check everything gitexp stores."""

from __future__ import annotations

from dataclasses import asdict

import click

from gitexp.cli.opening import open_repository
from gitexp.cli.terminal import look, printable, say, show_json, tell
from gitexp.cli.values import plural
from gitexp.errors import CorruptData
from gitexp.upkeep import Severity, fsck

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}


@click.command(short_help="Check everything that is stored.")
@click.option("--full", is_flag=True, help="Read the content of every artifact too.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(ctx: click.Context, full: bool, as_json: bool) -> None:
    """Check every ref, object, pointer and journal, and say what to do about what is damaged.

    Leaves with 5 where something is.
    """
    findings = []
    terminal = look()
    for finding in fsck(open_repository(), full=full):
        findings.append(finding)
        if not as_json:
            say(f"{terminal.paint(finding.severity.value + ':', _STYLE[finding.severity])} {printable(finding.where)}")
            say(f"  {printable(finding.what)}")
            if finding.advice:
                say(f"  {terminal.paint(printable(finding.advice), 'dim')}")
    if as_json:
        show_json([asdict(finding) for finding in findings])
    elif not findings:
        tell("Everything is whole." if full else "Everything is whole; --full reads the artifacts' content too.")
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if errors:
        tell(f"{plural(errors, 'thing is', 'things are')} damaged.")
        ctx.exit(CorruptData.exit_code)
