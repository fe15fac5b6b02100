"""What is set for a remote, written into the settings file without touching anything else in it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitexp.domain import yamltext
from gitexp.domain.config import parse_config
from gitexp.errors import CorruptData, NotARepository, NotFound
from gitexp.repo import SETTINGS, Repository
from gitexp.store.git.durable import replace
from gitexp.store.git.remotes import remote_names
from gitexp.store.paramfile import ParamFile, read_file, same

REMOTES = "remotes"


def set_remote(repository: Repository, name: str, values: Mapping[str, str]) -> str:
    """Set `refs`, `artifacts` or `engine` of a remote; comments and all else in the file stay.

    Returns:
        The path of the file.

    Raises:
        NotFound: there is no such remote.
        UsageError: a value makes no sense, or the file is written so that it cannot be changed.
        StorageFailed: the disk is full, read-only or failing.
    """
    if name not in remote_names(repository.git):
        known = ", ".join(remote_names(repository.git))
        hint = f"The remotes are {known}." if known else f"Type: git remote add {name} URL"
        raise NotFound(f"There is no remote '{name}'.", hint=hint)
    if repository.git.work_tree is None:
        raise NotARepository("A bare repository has no folder for settings.", hint="Set it in a clone.")
    path = os.path.join(repository.git.work_tree, SETTINGS)
    try:
        file = read_file(path, SETTINGS)
    except FileNotFoundError:
        file = ParamFile(SETTINGS, b"")
    if REMOTES not in file.values():
        file = _begun(file, name, values)
    for key, value in values.items():
        file = file.with_edit((REMOTES, name, key), value, is_new=not _has(file, (REMOTES, name, key)))[0]
    parse_config(file.values(), file=SETTINGS)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    replace(os.path.realpath(path), file.content)
    return path


def _begun(file: ParamFile, name: str, values: Mapping[str, str]) -> ParamFile:
    """The file with a block for the remote at its end; as it is where that cannot be added there."""
    wanted = {REMOTES: {name: dict(values)}}
    newline = b"\n" if file.content and not file.content.endswith(b"\n") else b""
    after = ParamFile(file.path, file.content + newline + yamltext.dump(wanted).encode())
    try:
        return after if same(after.values(), {**file.values(), **wanted}) else file
    except CorruptData:
        return file


def _has(file: ParamFile, keys: tuple[str, ...]) -> bool:
    found: object = file.values()
    for key in keys:
        if found is None:
            return False
        if not isinstance(found, Mapping):
            raise CorruptData(f"{SETTINGS}: {REMOTES!r}: expected settings like 'origin: {{refs: heads}}'.")
        if key not in found:
            return False
        found = found[key]
    return True
