"""A Dockerfile that rebuilds a run, and the folder that it is built from."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gitexp.applying import captured_code
from gitexp.data.restoring import InputState, Place, check, kept_inputs, restore
from gitexp.domain.pointer import Pointer
from gitexp.domain.requirements import Requirement, parse_requirement
from gitexp.domain.run import Input
from gitexp.errors import UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.reproducing.recipe import Recipe, recipe_of
from gitexp.reproducing.verifying import last_seen
from gitexp.running.command import Kind
from gitexp.sharing.exchange import Listener
from gitexp.store.git.durable import storing
from gitexp.wording import size
from gitexp.worktrees import worktree

LARGEST_INPUT = 64 << 20
"""Bytes up to which an input goes into the image; larger ones are mounted."""

PLACE, AID = "/run-again", "/opt/gitexp-run"
"""Where the code is in the image, and what it needs besides."""

_TORCH = re.compile(r"torch(?:vision|audio)?==[^\s+]+\+(cpu|cu\d+|rocm[\d.]+|xpu)")
_SEEDING = '''\
"""Begins the generators of random numbers with the seed that the run was given."""

import random

SEED = {seed}

random.seed(SEED)
try:
    import numpy
except ImportError:
    pass
else:
    numpy.random.seed(SEED)
try:
    import torch
except ImportError:
    pass
else:
    torch.manual_seed(SEED)
try:
    import tensorflow
except ImportError:
    pass
else:
    tensorflow.random.set_seed(SEED)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """What was written.

    Attributes:
        folder: the build context. files: the paths in it.
        command: what builds and runs it.
        notes: what cannot be in an image, and how to get it.
    """

    folder: str
    files: tuple[str, ...]
    command: str
    notes: tuple[str, ...]


def emit_dockerfile(
    repository: Repository,
    view: RunView,
    folder: str,
    *,
    instead: Sequence[str] = (),
    listener: Listener | None = None,
) -> Emitted:
    """Write a Dockerfile and all that it copies.

    Args:
        folder: must not exist, or be empty; appears whole.
        instead: a command in the place of the recorded one.
        listener: told of what is fetched.

    Raises:
        UsageError: there is something at `folder`, or the record does not say enough.
        NotFound, RemoteFailed: code is nowhere.
        StorageFailed: the disk is full, read-only or failing.
    """
    recipe = recipe_of(view, instead=instead)
    target = os.path.abspath(folder)
    if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
        raise UsageError(f"'{folder}' is there already, and not empty.", hint="Choose another folder with -o.")
    making = f"{target}.part-{os.getpid()}"
    with storing(target):
        os.makedirs(making)
    try:
        with storing(target):
            notes = [*_write_code(repository, view, making, listener)]
            states = _write_inputs(repository, view, making, listener)
            notes += [*_mounts(states, view), *_warnings(view, recipe)]
            lines = _Lines(view, recipe, making, has_inputs=os.path.isdir(os.path.join(making, "inputs")))
            _write(making, "Dockerfile", "\n".join([*lines.all(), ""]))
            notes += lines.notes
            if notes:
                _write(making, "NOTES.txt", "\n".join([*notes, ""]))
            if os.path.isdir(target):
                os.rmdir(target)
            os.rename(making, target)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    tag = re.sub(r"[^a-z0-9._-]+", "-", view.name.lower()).strip("-._") or "run"
    mounts = "".join(f" -v {shlex.quote(mount)}" for mount in _volumes(repository, states))
    return Emitted(
        folder=folder,
        files=tuple(_files(target)),
        command=f"docker build -t {tag} {shlex.quote(folder)} && docker run --rm{mounts} {tag}",
        notes=tuple(notes),
    )


def _write_code(repository: Repository, view: RunView, making: str, listener: Listener | None) -> Iterator[str]:
    captured = captured_code(repository, view)
    commit = view.record.code.commit if view.record.code else None
    notes: list[str] = []
    with worktree(
        repository,
        commit=commit,
        tree=captured.tree,
        pointers=captured.pointers,
        on_trouble=notes.append,
        listener=listener,
    ) as top:
        shutil.copytree(top, os.path.join(making, "code"), symlinks=True, ignore=shutil.ignore_patterns(".git"))
    yield from notes


def _write_inputs(
    repository: Repository, view: RunView, making: str, listener: Listener | None
) -> tuple[InputState, ...]:
    """Put small inputs into the context; gives the state of all that are not there."""
    root = repository.git.work_tree or making
    kept = kept_inputs(repository, view.commit or "")
    wanted = [item for item in view.record.inputs if item.kind in ("file", "folder")]
    small = [item for item in wanted if not os.path.isabs(item.name) and _size(item, root, kept) <= LARGEST_INPUT]
    folder = os.path.join(making, "inputs")
    done = restore(repository, small, folder, root, listener, kept=kept)
    lacking = [state for state in done if state.place in (Place.MISSING, Place.CHANGED)]
    large = [item for item in wanted if item not in small]
    return (*lacking, *check(repository, large, root, kept=kept))


def _size(item: Input, root: str, kept: Mapping[str, Pointer]) -> int:
    """In bytes, as far as it is known: that of what is kept, else of what is there now."""
    below = [p.size_bytes for path, p in kept.items() if path == item.name or path.startswith(f"{item.name}/")]
    if below:
        return sum(below)
    if item.size_bytes is not None:
        return item.size_bytes
    path = os.path.join(root, item.name)
    if os.path.isdir(path):
        return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(path) for name in names)
    return os.path.getsize(path) if os.path.exists(path) else 0


def _mounts(states: Sequence[InputState], view: RunView) -> Iterator[str]:
    for state in states:
        item = state.input
        digest = f", {item.digest}" if item.digest else ""
        length = f", {size(item.size_bytes)}" if item.size_bytes else ""
        if state.place in (Place.MISSING, Place.CHANGED):
            yield f"The input '{item.name}'{digest}{length} cannot be had here; {last_seen(view)}."
        else:
            yield (
                f"The input '{item.name}'{digest}{length} is too large for the image, or outside of the repository: "
                f"mount it at {_inside(item.name)}."
            )


def _volumes(repository: Repository, states: Sequence[InputState]) -> Iterator[str]:
    for state in states:
        path = os.path.join(repository.git.work_tree or "", state.input.name)
        if os.path.exists(path):
            yield f"{path}:{_inside(state.input.name)}:ro"


def _inside(name: str) -> str:
    return name if os.path.isabs(name) else f"{PLACE}/{name}"


def _warnings(view: RunView, recipe: Recipe) -> Iterator[str]:
    code = view.record.code
    for file in code.skipped if code else ():
        yield f"'{file.path}' was left out of the run's code ({file.reason}); {last_seen(view)}."
    if recipe.overrides:
        yield f"Set these values in '{recipe.words[0]}' before it is built: {', '.join(recipe.overrides)}."


class _Lines:
    """The lines of the Dockerfile; files that they copy are written on the way.

    Attributes:
        notes: what cannot be said in it.
    """

    def __init__(self, view: RunView, recipe: Recipe, context: str, *, has_inputs: bool) -> None:
        self._view = view
        self._recipe = recipe
        self._context = context
        self._has_inputs = has_inputs
        self.notes: list[str] = []

    def all(self) -> Iterator[str]:
        from gitexp.environments.specification import EnvironmentSpec, specification_of  # only here

        view, recipe = self._view, self._recipe
        recorded = view.environment
        spec = specification_of(recorded) if recorded else EnvironmentSpec()
        yield f"# The run '{_comment(view.name)}' ({view.id}), written by: gitexp reproduce {view.id} --emit-dockerfile"
        yield f"FROM {_image(spec.python, is_conda=spec.conda is not None)}"
        yield ""
        variables = {name: value for name, value in recipe.variables.items() if value is not None}
        paths = []
        if recipe.seed is not None:
            variables["PYTHONHASHSEED"] = str(recipe.seed)
            _write(self._context, "aid/sitecustomize.py", _SEEDING.format(seed=recipe.seed))
            paths.append(AID)
        if spec.gitexp is not None:
            self._copy_gitexp()
            paths.append(AID)
        if paths:
            variables["PYTHONPATH"] = AID
        if spec.conda is not None:
            _write(self._context, "conda.txt", spec.conda)
            yield f"COPY conda.txt {AID}/conda.txt"
            yield f"RUN conda create --yes --prefix {AID}/env --file {AID}/conda.txt"
            variables["PATH"] = f"{AID}/env/bin:$PATH"
            yield f"ENV PATH={_quoted(variables.pop('PATH'), keep='$PATH')}"
        requirements, local = self._requirements(spec.requirements)
        if requirements:
            _write(self._context, "requirements.txt", "".join(f"{line}\n" for line in requirements))
            yield f"COPY requirements.txt {AID}/requirements.txt"
            yield f"RUN python -m pip install --no-cache-dir --no-deps -r {AID}/requirements.txt"
        yield f"COPY code/ {PLACE}/"
        if self._has_inputs:
            yield f"COPY inputs/ {PLACE}/"
        yield f"WORKDIR {PLACE}"
        if local:
            yield f"RUN python -m pip install --no-cache-dir --no-deps {shlex.join(local)}"
        if paths:
            yield f"COPY aid/ {AID}/"
        for name, value in sorted(variables.items()):
            yield f"ENV {name}={_quoted(value)}"
        if spec.gitexp is not None:  # what the script records needs a repository
            yield "RUN python -m gitexp init --yes"
        if recipe.directory:
            yield f"WORKDIR {PLACE}/{recipe.directory}"
        yield f"CMD {json.dumps(_command(recipe))}"

    def _requirements(self, lines: Sequence[str]) -> tuple[list[str], list[str]]:
        """Lines for the file, and words for pip that install what is in the repository."""
        found: list[str] = []
        local: list[str] = []
        for line in lines:
            requirement = _parsed(line)
            if requirement is None:
                found.append(line)
            elif requirement.path is not None and not os.path.isabs(requirement.path):
                local += ["-e", requirement.path] if requirement.editable else [requirement.path]
            elif requirement.path is not None or (requirement.url or "").startswith("file:"):
                what = f"The package {requirement.name} was installed from {requirement.origin}"
                self.notes.append(f"{what}, which is not in the image.")
            else:  # pip takes hashes only where every line has one
                found.append(replace(requirement, hashes=()).line())
        torch = next((match[1] for line in found if (match := _TORCH.match(line))), None)
        if torch:
            found.insert(0, f"--extra-index-url https://download.pytorch.org/whl/{torch}")
        return found, local

    def _copy_gitexp(self) -> None:
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        target = os.path.join(self._context, "aid", "gitexp")
        shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))


def _parsed(line: str) -> Requirement | None:
    try:
        return parse_requirement(line)
    except UsageError:  # pip is to say what is wrong with it
        return None


def _image(python: str | None, *, is_conda: bool) -> str:
    if is_conda:
        return "condaforge/miniforge3"
    if python and python.startswith("pypy"):
        return f"pypy:{'.'.join(python.removeprefix('pypy').split('.')[:2])}-slim"
    return f"python:{python or '3'}-slim"


def _command(recipe: Recipe) -> list[str]:
    if recipe.is_notebook:
        return ["jupyter-execute", *recipe.words]
    return [*{Kind.FILE: ["python"], Kind.MODULE: ["python", "-m"], Kind.COMMAND: []}[recipe.kind], *recipe.words]


def _quoted(text: str, *, keep: str = "") -> str:
    """A value for ENV; `keep` is a reference to a variable that is meant as one."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if keep else f'"{escaped.replace("$", chr(92) + "$")}"'


def _comment(text: str) -> str:
    return " ".join(text.split())


def _write(context: str, name: str, text: str) -> None:
    path = os.path.join(context, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def _files(folder: str) -> Iterator[str]:
    for at, folders, names in os.walk(folder):
        folders.sort()
        yield from sorted(os.path.relpath(os.path.join(at, name), folder) for name in names)
