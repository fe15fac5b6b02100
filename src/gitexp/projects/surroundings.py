"""The environment that a project runs in: the present one, or one that is built as the project says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


def choose_surroundings(choice: str, declared: ProjectEnvironment | None) -> Surroundings:
    """What `--env` means for a project.

    Raises:
        UsageError: the project does not say what such an environment is to hold.
    """
    if choice not in CHOICES:
        raise UsageError(f"There is no environment '{choice}'.", hint=f"It is one of {', '.join(CHOICES)}.")
    if choice == "current" or (choice == "auto" and declared is None):
        return Surroundings(kind="current")
    if declared is None:
        raise UsageError(
            "The project does not say what it needs.",
            hint="Name its requirements in the project's file, or take --env current.",
        )
    from gitexp.environments.specification import EnvironmentSpec  # most projects run where one is

    spec = EnvironmentSpec(
        python=declared.python, requirements=declared.requirements, conda=declared.conda, is_complete=False
    )
    kind = "venv" if declared.conda is None else "conda"
    if choice not in ("auto", kind):
        raise UsageError(
            f"The project's environment is of the kind {kind}, not {choice}.", hint="Take --env auto or --env current."
        )
    return Surroundings(kind=kind, spec=spec)


def entered(
    surroundings: Surroundings, environ: Mapping[str, str], folder: str, say: Callable[[str], None]
) -> tuple[dict[str, str], str]:
    """The variables of a process in these surroundings, which are built where they are not there yet; and their digest.

    Args:
        folder: the project's, for requirements that are paths.

    Raises:
        EnvironmentFailed: a package or Python cannot be had.
    """
    if surroundings.spec is None:
        return dict(environ), _digest_of_present(environ)
    from gitexp.environments.building import build

    built = build(surroundings.spec, root=folder, say=say, environ=environ)
    changed = {**environ, **built.environ}
    return {name: value for name, value in changed.items() if value is not None}, built.digest


def _digest_of_present(environ: Mapping[str, str]) -> str:
    """Of the Python that a script would run in, and its packages."""
    python = choose_python(environ)
    done = subprocess.run([python, "-c", _TELL], check=False, capture_output=True, env=dict(environ))
    if done.returncode:
        return ""
    implementation, version, path = json.loads(done.stdout)
    facts = PythonFacts(implementation=implementation, version=version, executable=python, path=tuple(path))
    return "\n".join([implementation, version, *environment_of(facts, {}).requirements])
