"""Reading git's configuration: every file of the stack, includes and the environment.

Own, because each start reads it (where is the work tree, who is the author) and importing dulwich's reader costs a
fifth of what a start may take. The rules are those of git-config(1); the tests compare with the real git.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gitexp.errors import CorruptData

_DEEPEST_INCLUDE = 10
_HEADER = re.compile(r'\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\\n]|\\[^\n])*)")?\]')
_NAME = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*(=?)")
_PLAIN = re.compile(r'[ \t]*([^"\\#;\n]*)(?=\n|\Z)')
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b", "\\": "\\", '"': '"'}
_SPACE = " \t\r\n"
_TRUE = ("true", "yes", "on", "1")

Key = tuple[str, str, str]


@dataclass(slots=True)
class GitConfig:
    """The configuration one repository sees.

    Attributes:
        values: each value by section, subsection (empty where there is none) and name, in the order read; the last one
            counts. A name without `=` has the value "true".
    """

    values: dict[Key, list[str]] = field(default_factory=dict)

    def get(self, section: str, name: str, subsection: str = "") -> str | None:
        found = self.values.get((section.lower(), subsection, name.lower()))
        return found[-1] if found else None

    def is_true(self, section: str, name: str, subsection: str = "") -> bool:
        return is_true(self.get(section, name, subsection) or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigPlaces:
    """Where to look, and what conditional includes ask about.

    Attributes:
        environ: HOME, XDG_CONFIG_HOME, GIT_CONFIG_* decide about the files outside the repository.
        git_dir: for `includeIf "gitdir:..."`.
        branch: the name of the current branch, for `includeIf "onbranch:..."`.
    """

    environ: Mapping[str, str]
    git_dir: str
    common_dir: str
    branch: str | None


def read_config(places: ConfigPlaces) -> GitConfig:
    """Everything `git config --list` would show.

    Raises:
        CorruptData: a file cannot be read as configuration; the message names file and line.
    """
    reader = _Reader(places)
    config = reader.read()
    if reader.asks_for_remotes:
        urls = [
            value
            for (section, _, name), values in config.values.items()
            for value in values
            if (section, name) == ("remote", "url")
        ]
        config = _Reader(places, urls).read()
    return config


def read_file(path: str) -> GitConfig:
    """One file, without what it includes; empty where there is none."""
    return _gathered(_parse_file(path))


def parse_config(text: str, shown: str) -> GitConfig:
    """The text of one file. `shown`: how errors name it. Raises CorruptData."""
    return _gathered(_parse(text, shown))


def _gathered(items: Iterator[tuple[Key, str]]) -> GitConfig:
    config = GitConfig()
    for key, value in items:
        config.values.setdefault(key, []).append(value)
    return config


def is_true(value: str) -> bool:
    """Whether git takes `value` for yes."""
    text = value.lower()
    return text in _TRUE or (text.lstrip("-").isdigit() and int(text) != 0)


class _Reader:
    def __init__(self, places: ConfigPlaces, remote_urls: list[str] | None = None) -> None:
        self._places = places
        self._config = GitConfig()
        self._remote_urls = remote_urls
        self.asks_for_remotes = False

    def read(self) -> GitConfig:
        for path in _outer_files(self._places.environ):
            self._add_file(path, 0)
        self._add_file(f"{self._places.common_dir}/config", 0)
        if self._config.is_true("extensions", "worktreeConfig"):
            self._add_file(f"{self._places.git_dir}/config.worktree", 0)
        for key, value in _from_environment(self._places.environ):
            self._add(key, value, "", 0)
        return self._config

    def _add_file(self, path: str, depth: int) -> None:
        for key, value in _parse_file(path):
            self._add(key, value, path, depth)

    def _add(self, key: Key, value: str, path: str, depth: int) -> None:
        self._config.values.setdefault(key, []).append(value)
        section, condition, name = key
        included = (section, condition) == ("include", "") or (section == "includeif" and self._holds(condition, path))
        if name != "path" or not included:
            return
        if depth >= _DEEPEST_INCLUDE:
            raise CorruptData(f"The git configuration '{path}' includes '{value}' and so on, too deeply.")
        target = self._expand(value)
        if not os.path.isabs(target) and not path:
            raise CorruptData(f"The git configuration in the environment includes the relative path '{value}'.")
        self._add_file(os.path.join(os.path.dirname(path), target), depth + 1)

    def _holds(self, condition: str, path: str) -> bool:
        kind, _, pattern = condition.partition(":")
        if kind in ("gitdir", "gitdir/i"):
            return self._in_git_dir(pattern, path, fold=kind == "gitdir/i")
        if kind == "onbranch":
            branch = self._places.branch
            pattern += "**" if pattern.endswith("/") else ""
            return branch is not None and _matches(pattern, branch)
        if condition.startswith("hasconfig:remote.*.url:"):
            self.asks_for_remotes = True
            pattern = condition.removeprefix("hasconfig:remote.*.url:")
            return any(_matches(pattern, url) for url in self._remote_urls or ())
        return False

    def _in_git_dir(self, pattern: str, path: str, *, fold: bool) -> bool:
        pattern = self._expand(pattern)
        if pattern.startswith("./"):
            pattern = os.path.dirname(os.path.realpath(path)) + pattern[1:]
        elif not pattern.startswith("/"):
            pattern = "**/" + pattern
        if pattern.endswith("/"):
            pattern += "**"
        here = self._places.git_dir
        return any(_matches(pattern, text, fold=fold) for text in {os.path.realpath(here), here})

    def _expand(self, path: str) -> str:
        if path == "~" or path.startswith("~/"):
            return self._places.environ.get("HOME", "~") + path[1:]
        return os.path.expanduser(path) if path.startswith("~") else path


def _matches(pattern: str, text: str, *, fold: bool = False) -> bool:
    from gitexp.store.git.wildmatch import compile_pattern  # only conditional includes need it

    matches = compile_pattern(os.fsencode(pattern), path=True, fold=fold)
    return matches(os.fsencode(text).lower() if fold else os.fsencode(text)) is not None


def _outer_files(environ: Mapping[str, str]) -> Iterator[str]:
    """The files of the machine and of the user, in git's order."""
    if not is_true(environ.get("GIT_CONFIG_NOSYSTEM", "")):
        yield environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig")
    if "GIT_CONFIG_GLOBAL" in environ:
        yield environ["GIT_CONFIG_GLOBAL"]
        return
    home = environ.get("HOME")
    folder = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
    if folder:
        yield f"{folder}/git/config"
    if home:
        yield f"{home}/.gitconfig"


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[Key, str]]:
    count = environ.get("GIT_CONFIG_COUNT", "")
    for number in range(int(count) if count.isdigit() else 0):
        key = environ.get(f"GIT_CONFIG_KEY_{number}", "")
        section, dot, rest = key.partition(".")
        subsection, _, name = rest.rpartition(".")
        if dot:
            yield (section.lower(), subsection, name.lower()), environ.get(f"GIT_CONFIG_VALUE_{number}", "")


def _parse_file(path: str) -> Iterator[tuple[Key, str]]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read().replace("\r\n", "\n")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return iter(())
    return _parse(text, path)


def _parse(text: str, path: str) -> Iterator[tuple[Key, str]]:
    """Key and value of each line, in order."""
    section = subsection = ""
    position = 1 if text.startswith("\ufeff") else 0
    while position < len(text):
        if text[position] in _SPACE:
            position += 1
        elif text[position] in "#;":
            position = _line_end(text, position)
        elif header := _HEADER.match(text, position):
            section, subsection = _section_of(header)
            position = header.end()
        elif name := _NAME.match(text, position):
            value, position = _value(text, name.end()) if name[2] else ("true", name.end())
            if value is None or (not name[2] and text[position : position + 1] not in ("", "\n")):
                raise _bad_line(text, position, path)
            yield (section, subsection, name[1].lower()), value
        else:
            raise _bad_line(text, position, path)


def _section_of(header: re.Match[str]) -> tuple[str, str]:
    if header[2] is not None:
        return header[1].lower(), re.sub(r"\\(.)", r"\1", header[2])
    section, _, subsection = header[1].lower().partition(".")
    return section, subsection


def _value(text: str, position: int) -> tuple[str | None, int]:
    """The value that begins at `position` and where its line ends; None for one that git refuses."""
    if plain := _PLAIN.match(text, position):
        return plain[1].strip(_SPACE), plain.end()
    while text[position : position + 1] in (" ", "\t", "\r"):
        position += 1
    made: list[str] = []
    kept = 0
    quoted = False
    while position < len(text) and (character := text[position]) != "\n":
        position += 1
        if character in "#;" and not quoted:
            position = _line_end(text, position)
            break
        if character == '"':
            quoted = not quoted
            kept = len(made)
            continue
        if character == "\\":
            escaped = text[position : position + 1]
            position += 1
            if escaped == "\n":
                continue
            if escaped not in _ESCAPES:
                return None, position
            made.append(_ESCAPES[escaped])
        else:
            made.append(character)
        if quoted or character not in _SPACE:
            kept = len(made)
    return (None if quoted else "".join(made[:kept])), position


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return end if end >= 0 else len(text)


def _bad_line(text: str, position: int, path: str) -> CorruptData:
    line = text.count("\n", 0, position) + 1
    return CorruptData(f"The git configuration '{path}' cannot be read: line {line} is wrong.", hint=f"Edit '{path}'.")
