"""The environment that a project runs in: the present one, or one that is built as the project says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gitexp.errors import UsageError
from gitexp.projects.specification import ProjectEnvironment
from gitexp.running.command import choose_python
from gitexp.running.environment import PythonFacts, environment_of

if TYPE_CHECKING:
    from gitexp.environments.specification import EnvironmentSpec

CHOICES = ("auto", "current", "venv", "conda")

_TELL = "import json, sys; print(json.dumps([sys.implementation.name, sys.version.split()[0], sys.path[1:]]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where commands of a project run.

    Attributes:
        spec: what is to be built; None for the present environment.
        kind: "current", "venv" or "conda".
    """

    kind: str
    spec: EnvironmentSpec | None = None

    @property
    def shown(self) -> str:
        """For people, before anything is built."""
        if self.spec is None:
            return "the current one"
        if self.kind == "conda":
            return "a conda environment of its own"
        packages = len(self.spec.requirements)
        return f"an environment of its own, {packages} {'requirement' if packages == 1 else 'requirements'}"


def choose_surroundings(
    choice: str, declared: ProjectEnvironment | None, folder: str, *, is_foreign: bool
) -> Surroundings:
    """What `--env` means for a project.

    Args:
        declared: what its file says; where that is nothing, files like `requirements.txt` count if the project is
            foreign or `choice` asks for them.
        folder: the project's.

    Raises:
        UsageError: the project does not say what such an environment is to hold.
        NotFound, CorruptData: a file that it names cannot be used.
    """
    if choice not in CHOICES:
        raise UsageError(f"There is no environment '{choice}'.", hint=f"It is one of {', '.join(CHOICES)}.")
    is_meant = declared is not None or is_foreign or choice != "auto"
    spec = _specified(declared, folder) if is_meant and choice != "current" else None
    if spec is None:
        if choice in ("venv", "conda"):
            raise UsageError(
                "The project does not say what it needs.",
                hint="Name its requirements in the project's file, or take --env current.",
            )
        return Surroundings(kind="current")
    kind = "venv" if spec.conda is None else "conda"
    if choice not in ("auto", kind):
        raise UsageError(
            f"The project's environment is of the kind {kind}, not {choice}.", hint="Take --env auto or --env current."
        )
    return Surroundings(kind=kind, spec=spec)


def _specified(declared: ProjectEnvironment | None, folder: str) -> EnvironmentSpec | None:
    from gitexp.domain.requirements import parse_requirement  # most projects run where one is
    from gitexp.environments.files import specification_from_files
    from gitexp.environments.specification import OURS, EnvironmentSpec

    if declared is None:
        return specification_from_files(folder)
    if declared.requirements is None:
        found = specification_from_files(folder, declared.file)
        return found if found is None or declared.python is None else replace(found, python=declared.python)
    named = {line: requirement.name for line in declared.requirements if (requirement := parse_requirement(line))}
    ours = next((line for line, name in named.items() if name == OURS), None)
    others = tuple(line for line in declared.requirements if line != ours)
    return EnvironmentSpec(python=declared.python, requirements=others, gitexp=ours, is_complete=False)


def entered(
    surroundings: Surroundings, environ: Mapping[str, str], folder: str, say: Callable[[str], None]
) -> dict[str, str]:
    """The variables of a process in these surroundings, which are built where they are not there yet.

    Args:
        folder: the project's, for requirements that are paths.

    Raises:
        EnvironmentFailed: a package or Python cannot be had.
    """
    if surroundings.spec is None:
        return dict(environ)
    from gitexp.environments.building import build

    built = build(surroundings.spec, root=folder, say=say, environ=environ)
    changed = {**environ, **built.environ}
    return {name: value for name, value in changed.items() if value is not None}


def installed(environ: Mapping[str, str]) -> str:
    """The Python that a script would run in, and its packages, as text; empty where it does not say."""
    python = choose_python(environ)
    done = subprocess.run([python, "-c", _TELL], check=False, capture_output=True, env=dict(environ))
    if done.returncode:
        return ""
    implementation, version, path = json.loads(done.stdout)
    facts = PythonFacts(implementation=implementation, version=version, executable=python, path=tuple(path))
    lines = environment_of(facts, {}).requirements
    return "\n".join([implementation, version, *(line for line in lines if not _is_gitexp(line))])


def _is_gitexp(line: str) -> bool:
    """Whether it is the line of gitexp itself, on which no result depends."""
    from gitexp.domain.requirements import parse_requirement  # only where steps are compared
    from gitexp.environments.specification import OURS

    try:
        requirement = parse_requirement(line)
    except UsageError:  # a package with a name that is not allowed
        return False
    return requirement is not None and requirement.name == OURS
