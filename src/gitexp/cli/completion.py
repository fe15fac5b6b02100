"""`gitexp completion`: what makes a shell complete gitexp's commands, options and runs."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

from gitexp.cli.terminal import say
from gitexp.errors import GitexpError

_SHELLS = ("bash", "zsh", "fish")


class BashWithColons(BashComplete):
    """Completion for bash, which breaks words at colons: `best:metrics.rmse` and `RUN:PATH` are put together again."""

    _typed = ""
    """What bash takes for words of their own, before the one that it completes."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in (*args, incomplete):
            if words and (word == ":" or words[-1].endswith(":")):
                words[-1] += word
            else:
                words.append(word)
        if words[-1] != incomplete:
            self._typed = words[-1][: words[-1].rindex(":") + 1]
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        item.value = item.value.removeprefix(self._typed)
        return super().format_completion(item)


add_completion_class(BashWithColons)


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
