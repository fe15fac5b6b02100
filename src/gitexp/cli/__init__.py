"""The command line: `main`, and the group that loads only the command that is asked for."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from gitexp import __version__
from gitexp.errors import GitexpError, QueryError, StorageFailed

__all__ = ["COMMANDS", "command_line", "execute", "main"]

COMMANDS = {
    "Record": ("init", "run", "add"),
    "Look": ("ls", "show", "diff", "compare", "log", "watch", "plot", "best", "export", "report", "ui"),
    "Change": ("tag", "note", "rename", "rm", "restore"),
    "Registry": ("models",),
    "Share": ("push", "pull", "clone", "remote", "get", "apply", "branch"),
    "Reproduce": ("reproduce", "verify"),
    "Look after": ("fsck", "gc", "completion"),
}
"""The commands as the help groups them; each is `cli/<name>.py`, which calls it `command`."""

BROKEN_PIPE, INTERRUPTED, OWN_BUG = 141, 130, 70

_NAMES = [name for names in COMMANDS.values() for name in names]


class LazyGroup(click.Group):
    """A group of commands that imports each when it is asked for, and knows what a mistyped one may have been."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return _NAMES

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in _NAMES:
            return None
        command = import_module(f"gitexp.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _NAMES and not args[0].startswith("-"):
            raise click.UsageError(f"There is no command '{args[0]}'.{_did_you_mean(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in COMMANDS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(70)) for name, command in commands if command])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="'gitexp COMMAND --help' says more of each. Runs are named by their name, id or its beginning, commit, "
    "'@' for the newest, '@~1' for the one before, 'best:metrics.rmse' for the one with the lowest rmse.",
)
@click.version_option(__version__, "-V", "--version", message="gitexp %(version)s")
@click.pass_context
def command_line(ctx: click.Context) -> None:
    """Track machine-learning experiments in git itself."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Run the command line and leave with its exit code."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    try:
        code = execute(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter's last flush must not fail
        code = BROKEN_PIPE
    sys.exit(code)


def execute(arguments: list[str]) -> int:
    """Run one command and give its exit code; errors are printed, never raised, but for a broken pipe."""
    try:
        return _invoke(arguments)
    except BrokenPipeError:
        raise
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except GitexpError as error:
        _report(str(error), error.hint, query=error if isinstance(error, QueryError) else None)
        return error.exit_code
    except click.ClickException as error:
        _report(*_of_click(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        where = f": '{error.filename}'" if error.filename else ""
        _report(f"{error.strerror or error}{where}.", "")
        return StorageFailed.exit_code
    except Exception as error:
        return _own_bug(error)


def _invoke(arguments: list[str]) -> int:
    """`click.Group.main` without its handling of errors and pipes."""
    if "_GITEXP_COMPLETE" in os.environ:
        import_module("gitexp.cli.completion")  # knows how bash breaks words
        command_line.main(arguments, prog_name="gitexp")  # answers the shell and leaves
    with command_line.make_context("gitexp", arguments) as context:
        result: Any = command_line.invoke(context)
    return result if isinstance(result, int) else 0


def _report(message: str, hint: str, *, query: QueryError | None = None) -> None:
    from gitexp.cli.failures import report  # only where something fails

    report(message, hint, query=query)


def _own_bug(error: Exception) -> int:
    from gitexp.cli.failures import report_bug  # only where something fails

    report_bug(error)
    return OWN_BUG


def _of_click(error: click.ClickException) -> tuple[str, str]:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    hint = f"'{context.command_path} --help' says what it takes." if context else ""
    return message if message.endswith((".", "?")) else f"{message}.", hint


def _did_you_mean(name: str) -> str:
    from difflib import get_close_matches  # only where a command is mistyped

    near = get_close_matches(name, _NAMES, 3, 0.5)
    return f" Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""


def _open_what_is_closed() -> None:
    """Where we were started with a standard stream closed, no file may get its number."""
    from gitexp.running.streams import hold_standard_streams  # hardly ever

    hold_standard_streams()
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 (for as long as the process lives)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
