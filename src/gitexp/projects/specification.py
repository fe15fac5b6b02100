"""What a project says of itself, whichever file says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gitexp.errors import NotFound, UsageError
from gitexp.projects.parameters import Parameter

DEFAULT_ENTRY = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectEnvironment:
    """What a project says of what it needs.

    Attributes:
        file: relative to the project, like "requirements.txt" or "conda.yaml"; None for whichever is there.
        python: a version like "3.11"; None: as the file says.
        requirements: lines as in `requirements.txt`, instead of a file.
    """

    file: str | None = None
    python: str | None = None
    requirements: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """Something that a project can run; exactly one of `command`, `script` and `module` says what.

    Attributes:
        command: with `{parameter}` where values go.
        inputs, outputs: patterns of files, with `{parameter}` too.
        code: patterns of the files that its result depends on; empty for all of the project.
        after: entry points that have to be run before.
        takes_more: whether parameters that it does not declare are appended as `--name value`.
    """

    name: str
    command: str | None = None
    script: str | None = None
    module: str | None = None
    parameters: tuple[Parameter, ...] = ()
    help: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    takes_more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project in a folder.

    Attributes:
        file: what was read, like "MLproject"; None where any script of the folder can be run.
        environment: None where it does not say.
    """

    name: str | None = None
    file: str | None = None
    entry_points: Mapping[str, EntryPoint] = field(default_factory=dict)
    environment: ProjectEnvironment | None = None
    help: str = ""

    def entry_point(self, name: str | None) -> EntryPoint:
        """An entry point by its name, or a script by its path; without a name `main`, else the only one.

        Raises:
            NotFound: there is none; the hint lists those there are.
        """
        if name is None and DEFAULT_ENTRY not in self.entry_points and len(self.entry_points) == 1:
            return next(iter(self.entry_points.values()))
        wanted = DEFAULT_ENTRY if name is None else name
        if wanted in self.entry_points:
            return self.entry_points[wanted]
        if wanted.endswith((".py", ".sh")):
            return EntryPoint(name=wanted, script=wanted, takes_more=True)
        if self.file is None and name is None:
            raise NotFound(
                "The folder has no '.gitexp/project.yaml', 'MLproject' or '__main__.py' that says what is run.",
                hint="Name a script in it: -e train.py",
            )
        if self.entry_points:
            hint = f"The entry points are {', '.join(self.entry_points)}; scripts (.py, .sh) are run by their path."
        else:
            hint = "Name a script of the project: -e train.py"
        raise NotFound(f"The project has no entry point '{wanted}'.", hint=hint)

    def steps(self, entry: EntryPoint) -> tuple[EntryPoint, ...]:
        """All entry points that must be run before `entry`, in an order that respects them."""
        found: dict[str, EntryPoint] = {}

        def add(point: EntryPoint) -> None:
            for name in point.after:
                if name not in found:
                    add(self.entry_points[name])
                    found[name] = self.entry_points[name]

        add(entry)
        return tuple(found.values())

    def is_step(self, entry: EntryPoint) -> bool:
        """Whether another entry point comes after it."""
        return any(entry.name in other.after for other in self.entry_points.values())


def check_order(entry_points: Mapping[str, EntryPoint], file: str) -> None:
    """Raises UsageError where `after` names what is not there, or goes in a circle."""
    for point in entry_points.values():
        for name in point.after:
            if name not in entry_points:
                raise UsageError(
                    f"{file}: 'entry_points.{point.name}.after': there is no entry point '{name}'.",
                    hint=f"The entry points are {', '.join(entry_points)}.",
                )
    known_good: set[str] = set()
    for start in entry_points:
        _refuse_circle(entry_points, start, (), known_good, file)


def _refuse_circle(
    entry_points: Mapping[str, EntryPoint], name: str, path: tuple[str, ...], known_good: set[str], file: str
) -> None:
    if name in path:
        circle = " after ".join((*path[path.index(name) :], name))
        raise UsageError(f"{file}: 'after' goes in a circle: {circle}.")
    if name not in known_good:
        for before in entry_points[name].after:
            _refuse_circle(entry_points, before, (*path, name), known_good, file)
        known_good.add(name)
