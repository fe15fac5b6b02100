"""Values that files get while a run goes on: what `gitexp run --set` asks for, found, written and put back."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gitexp.domain.keys import shorten
from gitexp.domain.masking import mask_command, mask_params
from gitexp.domain.selector import suggest
from gitexp.domain.spans import Path, find, split_key
from gitexp.domain.values import Value, flatten, plain_value
from gitexp.errors import Ambiguous, CorruptData, GitexpError, NotFound, UsageError
from gitexp.running.notebook import SOURCE, SUFFIX, Notebook
from gitexp.running.paramfiles import Candidate, candidate, find_files
from gitexp.store.overridden import HeldFile, OverriddenFiles
from gitexp.store.paramfile import SUFFIXES, Edit, ParamFile, read_file
from gitexp.store.yamlfile import load_yaml

_NEVER_PLAIN = ("&", "*", "!", "|", ">", "%", "@", "`", "#", "? ", "- ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What `[FILE:]KEY=VALUE` asks for."""

    file: str | None
    key: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where values are looked for.

    Attributes:
        directory: the working directory. root: the top of the work tree, or None.
        patterns: the setting `params.files`.
        script: the Python script whose constants may be set, or None.
    """

    directory: str
    root: str | None
    patterns: tuple[str, ...] = ()
    script: str | None = None

    def files(self) -> list[Candidate]:
        found = find_files(self.directory, self.root, self.patterns)
        if self.script is None:
            return found
        own = candidate(self.script, self.directory, is_script=True)
        return [*(file for file in found if file.path != own.path), own]

    def existing(self, name: str) -> str | None:
        """The file that is meant, seen from the working directory or the top of the repository."""
        paths = [os.path.join(folder, name) for folder in (self.directory, self.root) if folder is not None]
        return next((path for path in paths if name and os.path.isfile(path)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An override that has found its place.

    Attributes:
        path: None where the key is new.
        prefix: of the param's name in the record.
    """

    override: Override
    file: Candidate
    path: Path | None
    prefix: str = ""


@dataclass(slots=True)
class Overridden:
    """The files that hold other values now.

    Attributes:
        params: the values that were set, flat, as the record names them.
        paths: the absolute paths of the files, but not of the script that is run.
        notebook: the notebook to execute, if values were set in it; its file stays as it is.
        environ: what tells the child of it.
    """

    params: dict[str, Value] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    notebook: Notebook | None = None
    environ: dict[str, str] = field(default_factory=dict)
    _held: list[HeldFile] = field(default_factory=list)

    @property
    def lock_fds(self) -> list[int]:
        """What a child has to inherit to hold the files as well."""
        return [held.lock_fd for held in self._held]

    @property
    def held_paths(self) -> tuple[str, ...]:
        """The absolute paths of all files that are put back in the end."""
        return tuple(held.path for held in self._held)

    def put_back(self, warn: Callable[[str], None]) -> None:
        """Give each file its own values again, once; what is wrong is a warning, and the next command tries again."""
        while self._held:
            held = self._held.pop()
            try:
                back = held.put_back()
                if back and back.remark:
                    warn(f"'{back.path}' was set for this run. {back.remark}")
            except (OSError, GitexpError) as error:
                warn(f"'{held.path}' still holds the values of this run: {error} The next gitexp command tries again.")
            finally:
                held.release()
        if SOURCE in self.environ:
            shutil.rmtree(os.path.dirname(self.environ.pop(SOURCE)), ignore_errors=True)

    def set_in_notebook(self, settings: Sequence[Setting]) -> None:
        """Make the copy of a notebook that is executed in its place."""
        file = settings[0].file
        notebook = Notebook.read(file.path, file.shown)
        for setting in settings:
            said = split_key(setting.override.key)
            notebook = notebook.with_value(setting.path or said, setting.override.value, is_new=setting.path is None)
            self.params.update(_params(setting, setting.override.value if setting.path is None else notebook.values()))
        self.notebook = notebook
        self.environ[SOURCE] = os.path.join(tempfile.mkdtemp(prefix="gitexp-"), os.path.basename(file.path))
        notebook.write(self.environ[SOURCE])


@contextmanager
def overridden(
    settings: Sequence[Setting], files: OverriddenFiles, command: Iterable[str], warn: Callable[[str], None]
) -> Iterator[Overridden]:
    """While entered, the files hold the values of `settings`.

    Args:
        command: what is launched, for whoever finds a file held.

    Raises:
        Conflict: another run has set values in one of the files.
        UsageError: a value cannot be set alone.
        StorageFailed, CorruptData
    """
    state = Overridden()
    shown = " ".join(mask_command(command))
    try:
        for path in sorted({setting.file.path for setting in settings}):
            own = [setting for setting in settings if setting.file.path == path]
            if path.endswith(SUFFIX):
                state.set_in_notebook(own)
                continue
            held = files.hold(path, own[0].file.shown)
            state._held.append(held)
            if not own[0].file.is_script:
                state.paths.append(path)
            try:
                original = read_file(path, own[0].file.shown)
            except OSError as error:
                raise NotFound(f"'{own[0].file.shown}' cannot be read: {error.strerror}.") from error
            changed, edits = _edited(original, own)
            held.change(original, changed, edits, shown)
            for setting in own:
                state.params.update(_params(setting, changed.values()))
        yield state
    finally:
        state.put_back(warn)


def find_settings(texts: Sequence[str], places: Places, *, words: str) -> list[Setting]:
    """The places of the values that `texts` ask for.

    Args:
        words: how the command is called in a hint.

    Raises:
        UsageError: a text is no `[FILE:]KEY=VALUE`, or two speak of one value.
        NotFound: no file has the key, or there is no such file.
        Ambiguous: several have it.
    """
    candidates = places.files()
    found: list[Setting] = []
    for text in texts:
        setting = _locate(parse_override(text, places), candidates, places, words)
        for other in found:
            _check_apart(setting, other)
        found.append(setting)
    return found


def parse_override(text: str, places: Places) -> Override:
    """`[FILE:]KEY=VALUE`; what stands before a colon is a file if it ends like one, or is there."""
    said, equals, value = text.partition("=")
    if not equals or not said.strip():
        raise UsageError(f"{shorten(text)} sets no value.", hint="Write KEY=VALUE, like optim.lr=0.1.")
    file, colon, key = said.rpartition(":")
    is_file = bool(colon) and (file.endswith(SUFFIXES) or places.existing(file) is not None)
    if is_file and not key.strip():
        raise UsageError(f"{shorten(text)} names no key.", hint=f"Write {file}:KEY=VALUE.")
    return Override(file=file if is_file else None, key=(key if is_file else said).strip(), value=parse_value(value))


def parse_value(text: str) -> Any:
    """A YAML scalar, or a list or mapping in brackets as YAML or TOML writes it; anything else is text as it stands."""
    plain = text.strip()
    if plain[:1] in ("[", "{") and "=" in plain:
        import tomllib  # few values are tables of TOML

        with suppress(tomllib.TOMLDecodeError):
            return plain_value(tomllib.loads(f"value = {plain}")["value"])
    if not plain or plain.startswith(_NEVER_PLAIN):
        return plain
    if plain[0] not in "[{\"'" and (": " in plain or " #" in plain or plain[-1] == ":"):
        return plain
    try:
        return load_yaml(plain, what="the value")
    except CorruptData as error:
        if plain[0] not in "[{\"'":
            return plain
        raise UsageError(
            f"{shorten(text)} is no value. {error}", hint="For a text, write '\"...\"' around it."
        ) from error


def _locate(override: Override, candidates: Sequence[Candidate], places: Places, words: str) -> Setting:
    if override.file is not None:
        path = places.existing(override.file)
        if path is None:
            raise NotFound(f"There is no file '{override.file}'.", hint=_list(candidates))
        chosen = candidate(path, places.directory)
        chosen = next((file for file in candidates if file.path == chosen.path), chosen)
        if chosen.path.endswith(SUFFIX) and not chosen.is_script:
            raise UsageError(f"'{override.file}' is not the notebook that is run.", hint=_list(candidates))
        where = find(chosen.values, override.key)
        is_elsewhere = any(_find_in(other, override.key) for other in candidates if other is not chosen)
        prefix = f"{chosen.shown}:" if is_elsewhere and not (chosen.is_script or chosen.is_main) else ""
        return Setting(override=override, file=chosen, path=where, prefix=prefix)
    having = [(file, where) for file in candidates if (where := _find_in(file, override.key)) is not None]
    if len(having) == 1:
        return Setting(override=override, file=having[0][0], path=having[0][1])
    if having:
        listed = ", ".join(f"{file.shown}:{override.key}" for file, _ in having)
        raise Ambiguous(f"{len(having)} files have a '{override.key}'.", hint=f"Say which: {listed}.")
    raise NotFound(f"There is no '{override.key}' {_where(candidates)}.", hint=_hint(override, candidates, words))


def _find_in(file: Candidate, key: str) -> Path | None:
    try:
        return find(file.values, key)
    except CorruptData:  # told if the key is nowhere
        return None


def _hint(override: Override, candidates: Sequence[Candidate], words: str) -> str:
    known: list[str] = []
    problems: list[str] = []
    for file in candidates:
        try:
            known += _keys(file.values, "")
        except CorruptData as error:
            problems.append(str(error))
    near = suggest(override.key, known)
    if near:
        return f"Did you mean {', '.join(near)}?"
    if problems:
        return " ".join(problems)
    files = [file.shown for file in candidates if not file.is_script] or ["FILE"]
    notebook = next((file.shown for file in candidates if file.path.endswith(SUFFIX)), None)
    if notebook is not None:
        return f"{notebook}:{override.key}=VALUE adds it to the notebook's parameters."
    return (
        f"{files[0]}:{override.key}=VALUE adds it to a file; options of the script itself go after its name: "
        f"gitexp run {words} --{override.key} VALUE"
    )


def _where(candidates: Sequence[Candidate]) -> str:
    places = [f"the constants of {file.shown}" if file.is_script else file.shown for file in candidates]
    if not places:
        return "here, nor a file or script that could have it"
    return "in " + (places[0] if len(places) == 1 else f"{', '.join(places[:-1])} or {places[-1]}")


def _list(candidates: Sequence[Candidate]) -> str:
    return f"Values can be set in {', '.join(file.shown for file in candidates)}." if candidates else ""


def _keys(values: Any, prefix: str) -> Iterator[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")


def _check_apart(one: Setting, other: Setting) -> None:
    """Two overrides may not speak of the same value, nor one of a part of what the other sets."""
    if one.file.path != other.file.path:
        return
    first, second = ((s.path or split_key(s.override.key)) for s in (one, other))
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        same = "twice" if first == second else f"together with '{other.override.key}', which it overlaps"
        raise UsageError(f"'{one.override.key}' is set {same}.", hint="Set it once.")


def _edited(file: ParamFile, settings: Sequence[Setting]) -> tuple[ParamFile, list[Edit]]:
    edits = []
    for setting in settings:
        path = find(file.values(), setting.override.key)
        is_new = path is None
        file, edit = file.with_edit(
            split_key(setting.override.key) if path is None else path, setting.override.value, is_new=is_new
        )
        edits.append(edit)
    return file, edits


def _params(setting: Setting, values: Any) -> dict[str, Value]:
    """What was set, as the record has it, where a list is one value.

    Args:
        values: of the whole file; of a notebook's new variable its own.
    """
    names: list[str] = []
    for name in find(values, setting.override.key) or () if isinstance(values, Mapping) else ():
        if not isinstance(values, Mapping):
            break
        values = values[name]
        names.append(name)
    return mask_params(flatten({setting.prefix + (".".join(names) or setting.override.key): plain_value(values)}))
