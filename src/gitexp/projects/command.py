"""From an entry point and values to the command that is run."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from gitexp.errors import UsageError
from gitexp.projects.parameters import Parameter, PathRoots, Setting, Type, shown_default
from gitexp.projects.specification import EntryPoint
from gitexp.running.command import Kind

_NEEDS_SHELL = frozenset("|&;<>()$`\\*?[]#~{}!\n")
_NEEDS_SHELL_IN_QUOTES = frozenset("$`\\!")
_SHELL_WORDS = frozenset(
    ". : [[ alias bg builtin case cd command declare eval exec exit export fg for function if jobs let local popd pushd"
    " read readonly select set shift shopt source time times trap type typeset ulimit umask unset until wait"
    " while".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryCommand:
    """What is run for an entry point, in the project's folder.

    Attributes:
        shown: as a person would type it.
    """

    kind: Kind
    words: tuple[str, ...]
    shown: str


def placeholders(template: str) -> list[str]:
    """The names in braces. Raises ValueError for a template that cannot be read."""
    names = []
    for _, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name or spec or conversion or set(name) & set("[]{}"):
            raise ValueError(f"'{{{name}}}' is no placeholder")
        names.append(name)
    return names


def filled(template: str, settings: Mapping[str, Setting], *, quoted: bool) -> str:
    """The template with values in its placeholders.

    Args:
        quoted: each as one word for a shell, by `shlex.quote`, as MLflow does it.
    """
    made = []
    for text, name, _, _ in Formatter().parse(template):
        made.append(text)
        if name is not None:
            value = settings[name].text
            made.append(shlex.quote(value) if quoted else value)
    return "".join(made)


def settings_of(
    entry: EntryPoint, given: Mapping[str, str], roots: PathRoots, *, in_python: bool
) -> tuple[dict[str, Setting], dict[str, Setting]]:
    """The values of the parameters that an entry point declares, and those that it does not.

    Args:
        given: what a person typed, by name.
        in_python: defaults become texts as Python writes them, which MLflow does.

    Raises:
        UsageError: one is missing, not allowed, or not known.
    """
    declared = {parameter.name: parameter for parameter in entry.parameters}
    missing = [item.name for item in entry.parameters if item.is_required and item.name not in given]
    if missing:
        needed = " ".join(f"-P {name}=..." for name in missing)
        named = ", ".join(f"'{name}'" for name in missing)
        raise UsageError(f"The entry point '{entry.name}' needs values for {named}.", hint=f"Add {needed}")
    more = {name: text for name, text in given.items() if name not in declared}
    if more and not entry.takes_more:
        named = ", ".join(f"'{name}'" for name in more)
        hint = f"It has {', '.join(declared)}." if declared else "It has no parameters."
        raise UsageError(f"The entry point '{entry.name}' has no parameter {named}.", hint=hint)
    settings = {}
    for parameter in entry.parameters:
        setting = _setting(parameter, given.get(parameter.name), roots, in_python=in_python)
        if setting is not None:
            settings[parameter.name] = setting
    return settings, {name: Setting(text=text, value=_guessed(text)) for name, text in more.items()}


def command_of(
    entry: EntryPoint, settings: Mapping[str, Setting], more: Mapping[str, Setting], *, folder: str, path: str
) -> EntryCommand:
    """What is run, with these values.

    A command that a shell would run word by word is run without one, so that the record names the script itself.

    Args:
        folder: the project's.
        path: where programs are, as in PATH.
    """
    if entry.command is not None:
        text = filled(entry.command, settings, quoted=True)
        extra = [f"--{shlex.quote(name)} {shlex.quote(setting.text)}" for name, setting in more.items()]
        text = " ".join([text, *extra])
        words = plain_words(text)
        if words is None or words[0] in _SHELL_WORDS or not _is_program(words[0], folder, path):
            return EntryCommand(kind=Kind.COMMAND, words=("bash", "-c", text), shown=text)
        return _without_shell(words, folder, text)
    arguments = _options(entry, settings)
    for name, setting in more.items():
        arguments += [f"--{name}", setting.text]
    if entry.module is not None:
        words = [entry.module, *arguments]
        return EntryCommand(kind=Kind.MODULE, words=tuple(words), shown=shlex.join(["python", "-m", *words]))
    words = [entry.script or "", *arguments]
    if words[0].endswith(".sh"):
        words = ["bash", *words]
        return EntryCommand(kind=Kind.COMMAND, words=tuple(words), shown=shlex.join(words))
    return EntryCommand(kind=Kind.FILE, words=tuple(words), shown=shlex.join(["python", *words]))


def plain_words(text: str) -> list[str] | None:
    """The words of a command that needs no shell; None for one that does."""
    quote = ""
    word = ""
    for character in text:
        if quote:
            if character == quote:
                quote = ""
            elif quote == '"' and character in _NEEDS_SHELL_IN_QUOTES:
                return None
            continue
        if character in "'\"":
            quote = character
        elif character in _NEEDS_SHELL or (character == "=" and not word):
            return None
        if character in " \t":
            word = word and "done"
        elif character == "=" and word != "done":
            return None
        elif word != "done":
            word = "begun"
    if quote:
        return None
    return shlex.split(text) or None


def _without_shell(words: Sequence[str], folder: str, shown: str) -> EntryCommand:
    if words[0] in ("python", "python3") and len(words) > 1:
        if words[1] == "-m" and len(words) > 2 and not words[2].startswith("-"):
            return EntryCommand(kind=Kind.MODULE, words=tuple(words[2:]), shown=shown)
        if not words[1].startswith("-") and os.path.isfile(os.path.join(folder, words[1])):
            return EntryCommand(kind=Kind.FILE, words=tuple(words[1:]), shown=shown)
    return EntryCommand(kind=Kind.COMMAND, words=tuple(words), shown=shown)


def _is_program(name: str, folder: str, path: str) -> bool:
    if name in ("python", "python3"):
        return True
    if "/" in name:
        return os.access(os.path.join(folder, name), os.X_OK)
    return shutil.which(name, path=path) is not None


def _options(entry: EntryPoint, settings: Mapping[str, Setting]) -> list[str]:
    """`--name value` for each, in the order declared; a switch is there where it is true."""
    options = []
    for parameter in entry.parameters:
        setting = settings.get(parameter.name)
        if setting is None:
            continue
        if parameter.type is Type.BOOL:
            options += [f"--{parameter.name}"] if setting.value else []
        else:
            options += [f"--{parameter.name}", setting.text]
    return options


def _setting(parameter: Parameter, given: str | None, roots: PathRoots, *, in_python: bool) -> Setting | None:
    if given is None and parameter.default is None:
        return None
    text = shown_default(parameter.default, in_python=in_python) if given is None else given
    setting = parameter.read(text)
    if parameter.type is Type.PATH:
        return roots.find(parameter, setting, is_default=given is None)
    return setting


def _guessed(text: str) -> str | int | float:
    """A number where an undeclared parameter looks like one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
