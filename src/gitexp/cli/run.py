"""`gitexp run`: run a script and record it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from gitexp.cli.opening import EXPERIMENT, open_repository
from gitexp.cli.tag import parse_tags
from gitexp.cli.terminal import look, printable, tell
from gitexp.cli.values import duration, status_cell
from gitexp.domain.config import parse_seconds
from gitexp.recording import RunRequest
from gitexp.running.child import exit_like
from gitexp.running.launch import Kind, LaunchRequest, LaunchResult, launch

_DASHES = "gitexp.cli.run.dashes"
_PROJECT = "gitexp.cli.run.project"
_HELP = "gitexp.cli.run.help"


class Span(click.ParamType):  # type: ignore[type-arg]
    """A length of time, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_seconds(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


SPAN = Span()


class RunCommand(click.Command):
    """Options end at the first word that is none; whether `--` stood before that word says what it is.

    A notebook has no options of its own: those after its name are ours as well. So it is with the address of a project,
    after which `-e` means the entry point.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        said = self.make_parser(ctx).parse_args(args=list(args))[0]
        words = _words(said)
        before = args[: len(args) - len(words)]
        is_file = words and before[-1:] != ["--"] and not said.get("module")
        ctx.meta[_PROJECT] = is_file and _names_project(words[0])
        given = args
        if ctx.meta[_PROJECT]:
            given = self._project_last(ctx, before, words)
        elif len(words) > 1 and words[0].endswith(".ipynb"):
            given = self._notebook_last(ctx, before, words) or args
        rest = super().parse_args(ctx, list(given))
        own = given[: len(given) - len(ctx.params.get("words", ()))]
        ctx.meta[_DASHES] = own[-1:] == ["--"]
        return rest

    def _notebook_last(self, ctx: click.Context, before: list[str], words: tuple[str, ...]) -> list[str] | None:
        options = [*before, *words[1:]]
        return None if self._left(ctx, options) else [*options, words[0]]

    def _project_last(self, ctx: click.Context, before: list[str], words: tuple[str, ...]) -> list[str]:
        options = [*before, *self._after_project(ctx, words[1:])]
        left = self._left(ctx, options)
        if left:
            raise click.UsageError(
                f"'{words[0]}' is a project, and '{left[0]}' no option. Parameters are given as -P NAME=VALUE.", ctx
            )
        return [*options, words[0]]

    def _after_project(self, ctx: click.Context, words: tuple[str, ...]) -> list[str]:
        """With `--entry` for `-e`; that help is asked for goes into the context."""
        takes_value = {
            name
            for option in self.params
            if isinstance(option, click.Option) and not option.is_flag
            for name in option.opts
        }
        ctx.meta[_HELP] = False
        found: list[str] = []
        is_value = False
        for word in words:
            if is_value:
                is_value = False
            elif word in ("-h", "--help"):
                ctx.meta[_HELP] = True
                continue
            else:
                is_value = word in takes_value
                if word.startswith("-e"):
                    word = "--entry" if word == "-e" else f"--entry={word[2:]}"
            found.append(word)
        return found

    def _left(self, ctx: click.Context, options: list[str]) -> tuple[str, ...]:
        """The words that are no options."""
        return _words(self.make_parser(ctx).parse_args(args=list(options))[0])


@click.command(
    cls=RunCommand,
    short_help="Run a script and record it.",
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS]",
)
@click.option("-n", "--name", "--label", help="What to call the run; a readable name is made up otherwise.")
@click.option("-e", "--experiment", type=EXPERIMENT, help="Where it belongs.  [default: the setting experiment]")
@click.option("-t", "--tag", "tags", metavar="KEY[=VALUE]", multiple=True, help="Attach a tag. Repeatable.")
@click.option("--note", metavar="TEXT", help="Say what it is about.")
@click.option("-m", "--module", is_flag=True, help="SCRIPT is a module's name, as for 'python -m'.")
@click.option(
    "--set",
    "overrides",
    metavar="[FILE:]KEY=VALUE",
    multiple=True,
    help="A value in params.yaml, another config file or a constant of SCRIPT, while it runs. Repeatable.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", help="Seed every random number generator.")
@click.option("--input", "inputs", metavar="PATH", multiple=True, help="A file or folder that it reads. Repeatable.")
@click.option(
    "--output",
    "outputs",
    metavar="PATTERN",
    multiple=True,
    help="Files that are artifacts if it makes or changes them, like 'models/**'. Repeatable.",
)
@click.option("--timeout", type=SPAN, metavar="TIME", help="End it after so long: 90 (seconds), 30min, 1h30m.")
@click.option(
    "--stop-when",
    metavar="CONDITION",
    multiple=True,
    help='End it when this holds, like "metrics.loss > 10 for 5 steps". Repeatable.',
)
@click.option("--no-output-metrics", is_flag=True, help="Read no metrics from the lines that it prints.")
@click.option("--no-autolog", is_flag=True, help="Do not watch the frameworks that it uses.")
@click.option("--entry", metavar="NAME", help="Of a project: what to run. After its address also -e.")
@click.option(
    "-P", "--param", "params", metavar="NAME=VALUE", multiple=True, help="Of a project: a parameter. Repeatable."
)
@click.option(
    "--env",
    "environment",
    type=click.Choice(["auto", "current", "venv", "conda"]),
    default="auto",
    help="Of a project: where it runs; auto: as it says, else in the current one.  [default: auto]",
)
@click.option("--yes", is_flag=True, help="Of a project: run it though nothing from its address was run before.")
@click.option("--force", is_flag=True, help="Of a project: run steps again that were run before.")
@click.option("--strict", is_flag=True, help="Stop where something cannot be recorded, instead of warning.")
@click.argument("words", metavar="SCRIPT [ARGS]... | PROJECT | -- COMMAND [ARGS]...", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, /, words: tuple[str, ...], **said: Any) -> int:
    """Run a Python script, a module, a project, or after '--' any command, and record it.

    Recorded are code, environment, params, metrics, new files and output. Everything after SCRIPT goes to it untouched,
    and gitexp leaves as it does: same output, same exit code. PROJECT is a folder or a git address with entry points;
    options may follow it, and '--help' after it shows them.

    \b
    gitexp run train.py --lr 0.1 --epochs 20
    gitexp run --set optim.lr=0.1 --output 'models/**' train.py
    gitexp run -n baseline -e nyc-taxi -m taxi.train
    gitexp run analysis.ipynb
    gitexp run -- torchrun --nproc-per-node 2 train.py
    gitexp run . -e train -P lr=0.1
    gitexp run https://example.org/team/taxi.git#fares@v1.2 --help
    """
    if ctx.meta[_PROJECT] and ctx.meta[_HELP]:
        from gitexp.cli.project import show_help  # most runs are of scripts

        show_help(words[0], said["entry"])
        return 0
    if not ctx.meta[_PROJECT] and (said["entry"] or said["params"]):
        raise click.UsageError("--entry and -P are for projects: gitexp run . --entry train -P lr=0.1", ctx)
    kind = Kind.MODULE if said["module"] else Kind.COMMAND if ctx.meta[_DASHES] else Kind.FILE
    run = RunRequest(
        name=said["name"],
        experiment=said["experiment"],
        tags=parse_tags(said["tags"]),
        note=said["note"],
        strict=said["strict"] or None,
    )
    request = LaunchRequest(
        kind=kind,
        words=list(words),
        environ=dict(os.environ),
        run=run,
        overrides=said["overrides"],
        seed=said["seed"],
        inputs=said["inputs"],
        outputs=said["outputs"],
        output_metrics=False if said["no_output_metrics"] else None,
        autolog=False if said["no_autolog"] else None,
        stop_when=said["stop_when"],
        timeout_s=said["timeout"],
    )
    if ctx.meta[_PROJECT]:
        from gitexp.cli import project  # most runs are of scripts

        result = project.run(words[0], said, request).result
    else:
        result = launch(request, open_repository(), on_trouble=_warn)
    _say_how_it_went(result)
    return exit_like(result.child)


def _words(said: Mapping[str, Any]) -> tuple[str, ...]:
    words = said.get("words")
    return words if isinstance(words, tuple) else ()  # where there are none, releases of click differ in what it is


def _names_project(word: str) -> bool:
    """Whether the first word is no script but a project; a folder that only has a `__main__.py` is a script."""
    if os.path.isdir(word):
        from gitexp.projects.reading import is_project  # most runs are of scripts

        return is_project(word) or not os.path.isfile(os.path.join(word, "__main__.py"))
    if {":", "#", "@"}.isdisjoint(word):
        return False
    from gitexp.projects.address import looks_like_address

    return looks_like_address(word)


def _warn(message: str) -> None:
    terminal = look(sys.stderr)
    tell(f"{terminal.paint('gitexp: warning:', 'bold yellow')} {printable(message)}")


def _say_how_it_went(result: LaunchResult) -> None:
    """One line for a person; a program that reads stderr gets what the command wrote there and nothing else."""
    terminal = look(sys.stderr)
    if terminal.is_pipe or result.run_id is None:
        return
    state = status_cell(result.status, terminal)
    name = terminal.paint(printable(result.name), "bold")
    took = duration(result.child.duration_s)
    tell(f"{terminal.paint(state.text, state.style)} {name} ({result.run_id}) in {took}: gitexp show {result.run_id}")
