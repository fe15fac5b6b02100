"""`gitexp run`: run a script and record it."""

from __future__ import annotations

import click


@click.command(short_help="Run a script and record it.")
def command() -> None:
    """x"""
