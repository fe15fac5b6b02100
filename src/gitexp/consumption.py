"""What a script says that it reads."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from gitexp.domain.run import Input
from gitexp.errors import NotFound, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.store.hashes import FileHashes
from gitexp.store.manifests import FileDigest, ReadInput, digest_of, read_file, read_folder, storable


def read_input(repository: Repository, source: Any, name: str | None, context: str | None, run: Any) -> ReadInput:
    """An input as `ActiveRun.log_input` is told of it.

    Raises:
        UsageError: it is nothing that has a content.
        NotFound, Ambiguous: there is no such file or run.
        OSError: it cannot be read.
    """
    if (source is None) == (run is None):
        raise UsageError(
            "An input is either a source or a run.", hint="log_input('data.csv'), log_input(run='baseline')"
        )
    if run is not None or isinstance(source, RunView):
        read = ReadInput(input=_of_run(repository, source if run is None else run))
    elif isinstance(source, (str, os.PathLike)):
        read = _of_path(repository, os.fspath(source))
    else:
        from gitexp.media.datasets import describe  # most inputs are files

        found = describe(source)
        digest = f"sha256:{found.digest}"
        read = ReadInput(
            input=Input(kind="dataset", name="dataset", digest=digest, rows=found.rows, schema=found.schema)
        )
    named = read.input.kind == "dataset" and name
    return replace(read, input=replace(read.input, name=storable(str(named or read.input.name)), context=context))


def _of_path(repository: Repository, path: str) -> ReadInput:
    if not os.path.exists(path):
        raise NotFound(f"The input '{path}' does not exist.", hint="Name a run with log_input(run=...).")
    root = os.path.realpath(repository.git.work_tree or os.getcwd())
    whole = os.path.abspath(path)
    real = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
    name = os.path.relpath(real, root) if f"{real}/".startswith(root.rstrip("/") + "/") else whole
    hashes = FileHashes(os.path.join(repository.git.gitexp_dir, "hashes"), real)
    read = read_folder(name, real, hashes) if os.path.isdir(real) else read_file(name, real, hashes)
    hashes.save()
    return read


def _of_run(repository: Repository, said: Any) -> Input:
    if isinstance(said, RunView):
        return Input(kind="run", name=said.name, run=said.id)
    if not isinstance(said, str):
        raise UsageError(f"A run is named by text, not {type(said).__name__}.")
    try:
        found = repository.resolve(said)
        return Input(kind="run", name=found.record.name, run=found.record.id)
    except NotFound:
        run, colon, path = said.rpartition(":")
        if not colon:
            raise
        view = repository.get_run(run)
        return Input(kind="run", name=f"{view.name}:{path}", run=view.id, digest=f"sha256:{_artifact(view, path)}")


def _artifact(view: RunView, path: str) -> str:
    path = path.strip("/")
    if path in view.artifacts:
        return view.artifacts[path].sha256
    files = [
        FileDigest(name.removeprefix(f"{path}/"), artifact.sha256, artifact.size_bytes)
        for name, artifact in view.artifacts.items()
        if name.startswith(f"{path}/") or not path
    ]
    if not files:
        raise NotFound(f"The run '{view.name}' has no artifact '{path}'.")
    return digest_of(files)
