"""From a run's record to what has to be executed to have it again."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitexp.domain.masking import MASK
from gitexp.domain.verdict_causes import HASH_SEED
from gitexp.errors import NotFound, UsageError
from gitexp.reading import RunView
from gitexp.running.command import Kind
from gitexp.running.environment import VARIABLES

MACHINE_BOUND = frozenset(
    "CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES WORLD_SIZE RANK LOCAL_RANK"
    " SLURM_JOB_ID".split()
)
"""Recorded variables that say which part of one machine or cluster was used."""

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What has to be executed.

    Attributes:
        overrides: values to set, as `gitexp run --set` takes them.
        directory: where, from the top of the repository; "" for the top itself.
        variables: environment variables that have to be so; None for those that were not set.
        seed: what `gitexp run --seed` was given, or None.
    """

    kind: Kind
    words: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    directory: str = ""
    variables: Mapping[str, str | None] = field(default_factory=dict)
    seed: int | None = None

    @property
    def shown(self) -> str:
        """The command as a person would type it."""
        import shlex  # only where somebody looks

        words = {Kind.FILE: ["python"], Kind.MODULE: ["python", "-m"], Kind.COMMAND: []}[self.kind]
        if self.is_notebook:
            words = ["gitexp", "run", *(word for text in self.overrides for word in ("--set", text))]
        return shlex.join([*words, *self.words])

    @property
    def is_notebook(self) -> bool:
        return self.kind is Kind.FILE and self.words[0].endswith(".ipynb")


def recipe_of(view: RunView, *, instead: Sequence[str] = ()) -> Recipe:
    """What to execute for a run again.

    Args:
        instead: a command to execute in the place of the recorded one.

    Raises:
        UsageError: the record does not say enough; the hint says what to do.
        NotFound: there is no code.
    """
    record = view.record
    if view.commit is None:
        raise UsageError(f"The run '{view.name}' is still being recorded.", hint="Wait for its end.")
    if view.code.tree is None:
        raise NotFound(f"The run '{view.name}' cannot be done again: no code was captured when it was recorded.")
    kind, words, overrides = _command(view, instead)
    if record.directory is None and not instead:
        raise UsageError(
            f"The run '{view.name}' was started outside of its repository, and the place is not recorded.",
            hint=f"Say what to run, from the top of the repository: gitexp reproduce {view.id} -- COMMAND",
        )
    if any(MASK in word for word in words):
        raise UsageError(
            f"The command of the run '{view.name}' has secrets that are not recorded: {' '.join(words)}",
            hint=f"Type it whole: gitexp reproduce {view.id} -- COMMAND",
        )
    directory = "" if record.directory in (None, ".") else str(record.directory)
    if kind is Kind.FILE and os.path.isabs(words[0]):
        words = (_inside(words[0], view.code.files(), directory, view), *words[1:])
    return Recipe(
        kind=kind,
        words=words,
        overrides=overrides,
        directory=directory,
        variables=_variables(view),
        seed=_seed(view),
    )


def _command(view: RunView, instead: Sequence[str]) -> tuple[Kind, tuple[str, ...], tuple[str, ...]]:
    """Kind, words and overrides."""
    said = tuple(instead or view.record.command)
    entry = view.record.entry_point
    if not said and entry and entry.endswith((".ipynb", ".py")):
        return Kind.FILE, (entry,), ()
    if not said:
        raise UsageError(
            f"The run '{view.name}' has no command: it was recorded from a Python prompt or by another program.",
            hint=f"Say what to run: gitexp reproduce {view.id} -- COMMAND",
        )
    if not instead and _is_typed(said):
        raise UsageError(
            f"The program of the run '{view.name}' was read from its standard input, which is not recorded.",
            hint=f"Say what to run: gitexp reproduce {view.id} -- COMMAND",
        )
    if said[:2] == ("gitexp", "run") and said[-1].endswith(".ipynb"):
        values = said[2:-1]
        return Kind.FILE, (said[-1],), tuple(values[1::2])
    if _PYTHON.match(os.path.basename(said[0])) and len(said) > 1:
        if said[1] == "-m" and len(said) > 2:
            return Kind.MODULE, said[2:], ()
        if not said[1].startswith("-"):
            return Kind.FILE, said[1:], ()
    if said[0].endswith((".py", ".ipynb")) and instead:
        return Kind.FILE, said, ()
    return Kind.COMMAND, said, ()


def _is_typed(words: Sequence[str]) -> bool:
    """Whether Python got its program from a pipe, a file at its standard input, or somebody who typed it."""
    if not _PYTHON.match(os.path.basename(words[0])):
        return False
    rest = iter(words[1:])
    for word in rest:
        if word in ("-W", "-X"):
            next(rest, None)
        elif word == "-" or not word.startswith("-"):
            return word == "-"
        elif word.startswith(("-c", "-m", "-V", "-h", "--")):
            return False
    return True


def _inside(path: str, files: Collection[str], directory: str, view: RunView) -> str:
    """A script's absolute path, which is not that of the new work tree, as seen from the directory of the run."""
    parts = path.strip("/").split("/")
    for start in range(len(parts)):
        inner = "/".join(parts[start:])
        if inner in files:
            return os.path.relpath(inner, directory or ".")
    raise NotFound(
        f"The script '{path}' is not in the code of the run '{view.name}'.",
        hint=f"Say what to run: gitexp reproduce {view.id} -- COMMAND",
    )


def _facts(view: RunView) -> Mapping[str, Any]:
    return view.environment.python if view.environment else {}


def _variables(view: RunView) -> dict[str, str | None]:
    if view.environment is None:
        return {}
    recorded = _facts(view).get("variables") or {}
    return {name: recorded.get(name) for name in sorted(VARIABLES - MACHINE_BOUND)}


def _seed(view: RunView) -> int | None:
    """What `--seed` was given: it is the one way to a seed of hashes that the variables do not tell of."""
    hashes = (_facts(view).get("seeds") or {}).get(HASH_SEED)
    variables = _facts(view).get("variables") or {}
    return hashes if isinstance(hashes, int) and variables.get(HASH_SEED) != str(hashes) else None
