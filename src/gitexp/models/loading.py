"""Finding a saved model by its address, and loading it; nothing is opened before its digest is what it must be."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gitexp.domain.identity import is_same_person
from gitexp.domain.mlmodel import FILE, PYFUNC, ModelFile, model_from_dict
from gitexp.domain.registry import SCHEME
from gitexp.errors import CorruptData, NotFound, UsageError
from gitexp.models.flavors import NAMES, flavor, flavor_of_loader
from gitexp.models.pyfunc import PyFuncModel
from gitexp.reading import Artifact
from gitexp.registry import RUN_SCHEME, Registry, files_at
from gitexp.repo import Repository
from gitexp.sharing.artifacts import write_out
from gitexp.store.yamlfile import load_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A saved model as files.

    Attributes:
        folder: where they are on this machine.
        author: who made the run that it came from; None for a folder of the user's own.
    """

    folder: str
    author: str | None
    file: ModelFile


def load_pyfunc(uri: str, *, repository: Repository | None = None, trust: bool = False) -> PyFuncModel:
    """The model at an address, as a function; what was saved by MLflow too.

    Args:
        uri: `runs:/RUN/PATH`, `models:/NAME/7`, `models:/NAME@alias`, `RUN:PATH`, or the path of a folder.
        trust: whether it may run code that it brings along, as a pickle of somebody else's does.

    Raises:
        NotFound: there is no such model, or its files are nowhere.
        CorruptData: its files are not what was recorded.
        UsageError: it would run code of somebody who is not trusted; or what it needs is not installed.
    """
    found = find_model(uri, repository)
    settings = found.file.pyfunc
    if settings is None:
        raise UsageError(f"The model '{uri}' cannot be asked as a function.", hint=_other_ways(found.file))
    kind = flavor_of_loader(str(settings.get("loader_module", "")))
    model = _load(found, kind.name, trust, uri)
    return PyFuncModel(kind.predictor(model, settings), found.file, model)


def load_native(uri: str, name: str, *, repository: Repository | None = None, trust: bool = False) -> Any:
    """The model at an address as its framework `name` has it. Arguments and errors as for `load_pyfunc`."""
    return _load(find_model(uri, repository), name, trust, uri)


def find_model(uri: str, repository: Repository | None = None) -> FoundModel:
    """The files of the model at an address, on this machine.

    Raises:
        as `load_pyfunc`
    """
    if os.path.isdir(uri):
        return FoundModel(folder=uri, author=None, file=_read_file(uri))
    here = repository or Repository.open()
    registry = Registry(here)
    if uri.startswith(SCHEME):
        version = registry.find(uri).version
        files, author, digest = registry.files_of(version), version.author, version.digest
    elif uri.startswith(RUN_SCHEME) or ":" in uri:
        view, path = registry.source(uri)
        files, digest = files_at(view, path)
        author = view.record.author or ""
    else:
        raise NotFound(f"There is no model '{uri}'.", hint="Say runs:/RUN/PATH, models:/NAME/VERSION, or a folder.")
    folder = _unpacked(here, files, digest)
    return FoundModel(folder=folder, author=author, file=_read_file(folder))


def export_model(uri: str, folder: str, *, repository: Repository | None = None) -> None:
    """Write a model's files into a new folder.

    Raises:
        UsageError: it is there and not empty.
        NotFound, CorruptData
    """
    if os.path.isdir(folder) and os.listdir(folder):
        raise UsageError(f"The folder '{folder}' is not empty.", hint="Name a new one.")
    shutil.copytree(find_model(uri, repository).folder, folder, dirs_exist_ok=True)


def _load(found: FoundModel, name: str, trust: bool, uri: str) -> Any:
    kind = flavor(name)
    settings = found.file.flavors.get(kind.name)
    if settings is None and kind.name == "function":
        settings = found.file.pyfunc
    if settings is None:
        raise UsageError(f"The model '{uri}' is not one of {kind.name}.", hint=_other_ways(found.file))
    code = _own_code(found.file, settings)
    if not trust:
        require_trusted(found, uri, name)
    if code:
        folder = os.path.join(found.folder, code)
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return kind.load(found.folder, settings)


def require_trusted(found: FoundModel, uri: str, name: str | None = None) -> None:
    """A folder of the user's own, what the user made, and what runs no code may be loaded without asking.

    Args:
        name: of the flavor that it is loaded as; None: as a function.

    Raises:
        UsageError: it may not.
    """
    if found.author is None:
        return
    settings = found.file.pyfunc or {}
    kind = flavor(name) if name else flavor_of_loader(str(settings.get("loader_module", "")))
    settings = found.file.flavors.get(kind.name, settings)
    if not kind.is_code(settings) and _own_code(found.file, settings) is None:
        return
    here = Repository.open()
    trusted = (here.author, *here.config.models_trusted)
    if not any(is_same_person(found.author, author) for author in trusted):
        raise UsageError(
            f"Loading '{uri}' runs code that came with it, and {found.author or 'nobody known'} made it.",
            hint="Say trust=True (--trust), or name its maker in 'models.trusted' of .gitexp/config.yaml.",
        )


def _own_code(file: ModelFile, settings: Mapping[str, Any]) -> str | None:
    """The folder of modules that the model brings along."""
    code = settings.get("code") or (file.pyfunc or {}).get("code")
    return None if code is None else str(code)


def _unpacked(repository: Repository, files: Mapping[str, Artifact], digest: str) -> str:
    """A folder with these files, kept for the next time; what is in it is checked each time."""
    folder = os.path.join(repository.git.gitexp_dir, "models", digest.removeprefix("sha256:"))
    os.makedirs(folder, exist_ok=True)
    write_out(repository, files.items(), folder, force=True)
    os.utime(folder)  # `gitexp gc` removes what was not loaded for long
    return folder


def _read_file(folder: str) -> ModelFile:
    try:
        with open(os.path.join(folder, FILE), encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        raise NotFound(f"'{folder}' is no saved model: it has no '{FILE}'.") from None
    except UnicodeDecodeError as error:
        raise CorruptData(f"{FILE}: {error}.") from error
    return model_from_dict(load_yaml(text, what=FILE))


def _other_ways(file: ModelFile) -> str:
    known = [name for name in file.flavors if name in NAMES and name != PYFUNC]
    return f"Load it by {', '.join(f'gitexp.{name}.load_model' for name in known)}." if known else ""
