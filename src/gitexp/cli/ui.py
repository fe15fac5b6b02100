"""`gitexp ui`: the web pages."""

from __future__ import annotations

import webbrowser

import click

from gitexp.cli.opening import open_repository
from gitexp.cli.terminal import say, tell
from gitexp.errors import UsageError


@click.command(short_help="Look at runs in the browser.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: the first free one from 7878; 0: any.")
@click.option("--allowed-host", "allowed_hosts", metavar="NAME", multiple=True, help="A further name to answer to.")
@click.option("--read-only", is_flag=True, help="Nothing can be changed from the pages.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def command(host: str, port: int | None, allowed_hosts: tuple[str, ...], read_only: bool, no_browser: bool) -> None:
    """Serve the pages of this repository's runs, and open them in the browser. Ctrl-C ends it.

    They are for you alone: only this machine can reach them, and the address holds a key that a browser has to show
    once. Links to runs work on a colleague's machine too, as they name what is in git.

    \b
    gitexp ui
    gitexp ui --no-browser --port 8000
    """
    try:
        from gitexp.web.serving import serve  # an extra
    except ImportError as error:
        raise UsageError(
            f"The web pages need packages that are not installed ({error.name}).", hint="pip install 'gitexp[ui]'"
        ) from error
    repository = open_repository()

    def announce(address: str) -> None:
        say(address)
        tell("Ctrl-C ends it.")
        if not no_browser:
            webbrowser.open(address)

    serve(
        repository,
        host=host,
        port=port,
        read_only=read_only,
        further_hosts=allowed_hosts,
        on_ready=announce,
    )
