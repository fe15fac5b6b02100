"""`gitexp completion`: what makes a shell complete gitexp's commands, options and runs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gitexp.cli.terminal import say
from gitexp.errors import GitexpError

_SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(_SHELLS), metavar="|".join(_SHELLS))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete gitexp.

    \b
    bash: echo 'eval "$(gitexp completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(gitexp completion zsh)"' >> ~/.zshrc
    fish: gitexp completion fish > ~/.config/fish/completions/gitexp.fish
    """
    from gitexp.cli import command_line  # it imports this module

    completion = get_completion_class(shell)
    if completion is None:
        raise GitexpError(f"There is no completion for {shell}.")
    say(completion(command_line, {}, "gitexp", "_GITEXP_COMPLETE").source())
