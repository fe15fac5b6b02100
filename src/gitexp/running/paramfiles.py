"""The files that say params before a run: which there are, what they say, what the record calls each value."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gitexp.domain.masking import mask_params
from gitexp.domain.source import Source
from gitexp.domain.values import Value, flatten
from gitexp.errors import CorruptData, GitexpError
from gitexp.repo import Repository
from gitexp.running.projectfiles import PARAMS, upwards
from gitexp.running.watching import Launch, Watcher

CONFIGS = ("config.yaml", "config.yml")


@dataclass(frozen=True)
class Candidate:
    """A file that may hold params.

    Attributes:
        path: absolute, with symlinks resolved.
        shown: as a person in the working directory names it.
        is_script: whether it is the script or notebook that is run, of which the constants are looked at.
        is_main: whether it is the `params.yaml` whose keys are recorded as they are.
    """

    path: str
    shown: str
    is_script: bool = False
    is_main: bool = False

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """What it says, nested. Raises CorruptData."""
        from gitexp.store.paramfile import read_file  # most runs have no such file

        try:
            if self.path.endswith(".ipynb"):
                from gitexp.running.notebook import Notebook  # most runs are of scripts

                return Notebook.read(self.path, self.shown).values()
            return read_file(self.path, self.shown).values()
        except OSError as error:
            raise CorruptData(f"{self.shown}: {error.strerror}.") from error


def find_files(directory: str, root: str | None, patterns: Sequence[str]) -> list[Candidate]:
    """The nearest `params.yaml` and `config.yaml` from `directory` up to `root`, and the files that the settings name.

    Args:
        patterns: as in `.gitignore`, seen from `root`.
    """
    found: dict[str, Candidate] = {}
    for names in ((PARAMS,), CONFIGS):
        path = next((path for path in _nearest(directory, root, names) if os.path.isfile(path)), None)
        if path:
            found.setdefault(os.path.realpath(path), candidate(path, directory, is_main=names == (PARAMS,)))
    for path in named_files(directory, root, patterns):
        found.setdefault(os.path.realpath(path), candidate(path, directory))
    return list(found.values())


def named_files(directory: str, root: str | None, patterns: Sequence[str]) -> list[str]:
    """The files that the setting `params.files` names."""
    if not patterns:
        return []
    from gitexp.running.globs import Globs  # most repositories set none

    return [path for path in Globs(tuple(patterns), (root or directory,)).files() if os.path.isfile(path)]


def candidate(path: str, directory: str, *, is_script: bool = False, is_main: bool = False) -> Candidate:
    """The file at `path` as seen from `directory`."""
    real = os.path.realpath(os.path.join(directory, path))
    return Candidate(real, os.path.relpath(real, os.path.realpath(directory)), is_script, is_main)


class ParamFiles(Watcher):
    """Records what the files of the setting `params.files` say, and those in which values were set for the run.

    A key that `params.yaml` or another of them has too is recorded as `FILE:key`, which is how `--set` names it.

    Args:
        touched: absolute paths of the files in which values were set.
        is_inside: whether this run is launched by another one's script, which is meant to pass its values on.
    """

    def __init__(self, here: Launch, touched: Sequence[str], *, is_inside: bool) -> None:
        self._recorder = here.recorder
        repository = here.recorder.repository
        paths = [*touched, *named_files(here.directory, here.root, repository.config.params_files)]
        nearest = next((p for p in _nearest(here.directory, here.root, (PARAMS,)) if os.path.isfile(p)), None)
        files = {os.path.realpath(path): candidate(path, here.directory) for path in paths}
        if nearest:
            files.pop(os.path.realpath(nearest), None)  # it is recorded already
        known = [candidate(nearest, here.directory)] if nearest and files else []
        self._params = dict(_named([*known, *files.values()], known, here.recorder.warn))
        if not is_inside and os.path.isdir(repository.overrides_dir):
            self._warn_of_others(repository, here.root or here.directory)

    def prepare(self, environ: dict[str, str]) -> None:  # noqa: ARG002
        if self._params:
            self._recorder.beside(Source.FILE).log_params(mask_params(self._params))

    def _warn_of_others(self, repository: Repository, root: str) -> None:
        for saved in repository.overridden.held():
            if saved.pid != os.getpid() and saved.path.startswith(os.path.realpath(root) + os.sep):
                self._recorder.warn(
                    f"'{saved.shown}' holds values that were set for another run, process {saved.pid}, which goes on: "
                    "this run sees them too."
                )


def _named(
    files: Sequence[Candidate], known: Sequence[Candidate], warn: Callable[[str], None]
) -> Iterator[tuple[str, Value]]:
    """Each value of `files` that are not `known`, by its name."""
    said: list[tuple[Candidate, dict[str, Value]]] = []
    for file in files:
        try:
            said.append((file, flatten(file.values)))
        except GitexpError as error:
            if file not in known:
                warn(f"The params of {file.shown} are not recorded. {error}")
    for file, params in said:
        if file in known:
            continue
        for key, value in params.items():
            is_elsewhere = any(other is not file and key in others for other, others in said)
            yield (f"{file.shown}:{key}" if is_elsewhere else key), value


def _nearest(directory: str, root: str | None, names: Sequence[str]) -> Iterator[str]:
    for folder in upwards(directory, root):
        for name in names:
            yield os.path.join(folder, name)
