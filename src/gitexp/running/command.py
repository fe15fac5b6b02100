"""From what was asked for to what is executed; says what is wrong with it before anything is recorded."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from gitexp.errors import NotFound, UsageError


class Kind(Enum):
    """What the first word names."""

    FILE = "file"
    MODULE = "module"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that can be executed.

    Attributes:
        program: the path of the file to execute.
        arguments: its whole `argv`.
        shown: the command as a person would type it; what the record says.
        entry_point: the script, module or program that the run is of.
        directory: where what is run works, if that is not the current directory.
    """

    program: str
    arguments: list[str]
    shown: list[str]
    entry_point: str
    directory: str | None = None


def resolve(kind: Kind, words: list[str], environ: Mapping[str, str]) -> Command:
    """What to execute for a Python file, a module or any command, with its arguments.

    Raises:
        NotFound: there is no such script or program, or it asks for an interpreter that is not there.
        UsageError: it is there, but cannot be executed.
    """
    if not words or not words[0]:
        raise UsageError(
            "There is nothing to run.", hint="gitexp run train.py, gitexp run -m package.train, gitexp run -- COMMAND"
        )
    if kind is Kind.COMMAND:
        program = _find_program(words[0], environ.get("PATH", os.defpath))
        return Command(program=program, arguments=words, shown=words, entry_point=_script_in(words) or words[0])
    python = choose_python(environ)
    if kind is Kind.FILE:
        _check_script(words[0])
    rest = words if kind is Kind.FILE else ["-m", *words]
    return Command(program=python, arguments=[python, *rest], shown=["python", *rest], entry_point=words[0])


def choose_python(environ: Mapping[str, str]) -> str:
    """The Python of the active virtual or conda environment, which need not be the one gitexp is installed in."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = environ.get(variable)
        if prefix:
            python = os.path.join(prefix, "bin", "python")
            is_ours = os.path.realpath(prefix) == os.path.realpath(sys.prefix)
            if not is_ours and os.access(python, os.X_OK):
                return python
            break
    return sys.executable


def _check_script(path: str) -> None:
    if os.path.isdir(path):
        if not os.path.isfile(os.path.join(path, "__main__.py")):
            raise UsageError(f"The folder '{path}' has no '__main__.py', so Python cannot run it.")
        return
    if not os.path.exists(path):
        raise NotFound(f"There is no script '{path}' here.", hint=_other_ways(path))
    try:
        with open(path, "rb", buffering=0) as file:
            first_line = file.read(256).partition(b"\n")[0]
    except OSError as error:
        raise UsageError(f"The script '{path}' cannot be read: {error.strerror}.") from error
    if first_line.startswith(b"#!") and b"python" not in first_line and not path.endswith(".py"):
        raise UsageError(f"'{path}' is not a Python script.", hint=f"gitexp run -- {_runnable(path)}")


def _other_ways(path: str) -> str:
    if not path.endswith(".py") and os.path.isfile(path + ".py"):
        return f"gitexp run {path}.py"
    return "'gitexp run -m MODULE' runs a module, 'gitexp run -- COMMAND' any command."


def _runnable(path: str) -> str:
    return path if "/" in path else f"./{path}"


def _find_program(name: str, path: str) -> str:
    """As a shell does: a name with a slash is a path, any other is looked for in PATH."""
    folders = [""] if "/" in name else [folder or "." for folder in path.split(os.pathsep)]
    candidates = [os.path.join(folder, name) for folder in folders]
    there = [candidate for candidate in candidates if os.path.isfile(candidate)]
    for candidate in there:
        if os.access(candidate, os.X_OK):
            _check_interpreter(candidate)
            return candidate
    if there:
        raise UsageError(f"'{there[0]}' is not executable.", hint=f"chmod +x {there[0]}")
    if os.path.isdir(name):
        raise UsageError(f"'{name}' is a folder, not a command.")
    hint = f"gitexp run -- ./{name}" if os.path.isfile(name) else ""
    raise NotFound(f"There is no command '{name}'.", hint=hint)


def _check_interpreter(program: str) -> None:
    try:
        with open(program, "rb", buffering=0) as file:
            first_line = file.read(256).partition(b"\n")[0]
    except OSError:  # executable, but not readable: the system knows better
        return
    if first_line.startswith(b"#!"):
        words = first_line[2:].split()
        interpreter = os.fsdecode(words[0]) if words else ""
        if not os.access(interpreter, os.X_OK):
            raise NotFound(f"'{program}' asks for the interpreter '{interpreter}', which is not there.")


def _script_in(words: list[str]) -> str | None:
    """The Python script in a command such as `torchrun --nproc-per-node 2 train.py`."""
    return next((word for word in words[1:] if word.endswith(".py") and not word.startswith("-")), None)
