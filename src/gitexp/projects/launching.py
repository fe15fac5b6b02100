"""Running an entry point of a project: its steps first, each one a run of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gitexp.domain.identity import RunId
from gitexp.domain.run import Input, Status
from gitexp.errors import StorageFailed, UsageError
from gitexp.projects.checkout import ProjectCheckout, checked_out
from gitexp.projects.command import EntryCommand, command_of, settings_of
from gitexp.projects.parameters import PathRoots, Type
from gitexp.projects.reading import read_project
from gitexp.projects.specification import EntryPoint, Project
from gitexp.projects.steps import KEY_TAG, DoneStep, Place, Step, done_step, find_done, key_of, restore, undeclared
from gitexp.projects.surroundings import choose_surroundings, entered, installed
from gitexp.projects.trust import KnownProjects
from gitexp.running.launch import Kind, LaunchRequest, LaunchResult, launch
from gitexp.sharing.exchange import Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRequest:
    """What to run of which project.

    Attributes:
        address: a git address or a path, `ADDRESS[#FOLDER][@VERSION]`.
        entry: an entry point, or the path of a script; None for the default one.
        params: values by name, as texts.
        environment: "auto" (the project's own if it says one), "current", "venv" or "conda".
        force: whether steps are run that could be taken from an earlier run.
        launch: what is said of the run of the entry point, and the variables of its process; kind and words of it do
            not count. Steps get experiment, tags, seed and what is watched, too.
    """

    address: str
    entry: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    environment: str = "auto"
    force: bool = False
    launch: LaunchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What one should know before the first run from an address.

    Attributes:
        author: of the commit, as "Name <email>".
        message: the first line of the commit's.
        commands: what will be run, in order.
        environment: like "the current one".
    """

    address: str
    commit: str
    author: str
    message: str
    commands: tuple[str, ...]
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """A step that was run, or found.

    Attributes:
        start: when the run began, seconds since 1970, UTC.
        reused: whether it was run before.
    """

    entry: str
    run_id: RunId
    name: str
    start: float
    reused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectResult:
    """How it went.

    Attributes:
        entry: of `result`: the entry point that was asked for, or the step that failed.
        is_whole: whether it is not the step.
        steps: that were run or found before.
    """

    entry: str
    result: LaunchResult
    is_whole: bool
    steps: tuple[StepResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told of what.

    Attributes:
        say: of what is done, a line each.
        warn: of what recording could not do.
        on_step: of each step.
        confirm: asked before the first run from an address; says whether to go on.
        fetching: entered while bytes travel; gives who is told of them.
    """

    say: Callable[[str], None] = lambda _text: None
    warn: Callable[[str], None] = lambda _text: None
    on_step: Callable[[StepResult], None] = lambda _step: None
    confirm: Callable[[Introduction], bool] = lambda _introduction: False
    fetching: Callable[[], contextlib.AbstractContextManager[Listener | None]] = contextlib.nullcontext


def run_project(
    request: ProjectRequest, *, directory: str | None = None, listeners: Listeners | None = None, engine: str = "auto"
) -> ProjectResult:
    """Run an entry point of a project, and the steps that it comes after, to the end.

    Args:
        directory: whose repository records the runs; None: the current one.
        engine: how git is talked to: "auto", "dulwich" or "git".

    Raises:
        UsageError: the project's file, a parameter, or the choice of an environment makes no sense; or the address is
            new, and nobody agreed to run it.
        NotFound: no such project, version, folder, entry point, script or input.
        RemoteFailed, EnvironmentFailed
        StorageFailed: a step could not be recorded.
    """
    told = listeners or Listeners()
    start = os.path.abspath(directory or os.getcwd())
    with checked_out(
        request.address,
        directory=start,
        environ=request.launch.environ,
        engine=engine,
        fetching=told.fetching,
        say=told.say,
        on_trouble=told.warn,
    ) as checkout:
        return _Running(request, checkout, told, start, engine).run()


class _Running:
    """One call of `run_project` in a project that is checked out."""

    def __init__(
        self, request: ProjectRequest, checkout: ProjectCheckout, told: Listeners, caller: str, engine: str
    ) -> None:
        self._request = request
        self._checkout = checkout
        self._told = told
        self._engine = engine
        self._place = Place(repository=checkout.repository, folder=checkout.folder)
        self._roots = PathRoots(folder=checkout.folder, caller=caller, tree=self._place.root)
        self._project = read_project(checkout.folder)
        self._entry = _entry(self._project, request.entry, checkout.folder)
        self._surroundings = choose_surroundings(
            request.environment, self._project.environment, checkout.folder, is_foreign=checkout.address is not None
        )
        self._done: dict[str, DoneStep] = {}
        self._results: list[StepResult] = []

    def run(self) -> ProjectResult:
        points = [*self._project.steps(self._entry), self._entry]
        steps = [self._step(point, points) for point in points]
        self._introduce([self._command(step, self._request.launch.environ).shown for step in steps])
        environ = self._enter()
        has_keys = len(steps) > 1 or self._project.is_step(self._entry)
        facts = [installed(environ), self._request.launch.seed] if has_keys else []
        for step in steps[:-1]:
            key = key_of(self._place, self._project, step, self._before(step), steps=steps, facts=facts)
            if not self._request.force and self._found(step, key):
                continue
            result = self._launch(step, environ, {KEY_TAG: key})
            if result.status is not Status.FINISHED:
                return ProjectResult(entry=step.entry.name, result=result, is_whole=False, steps=tuple(self._results))
            if result.commit is None:
                raise StorageFailed(
                    f"The step '{step.entry.name}' is done, but was not recorded, so nothing can come after it.",
                    hint="See why above, and start it again.",
                )
            self._ran(step, result)
        tags = {}
        # With values set in files for this once, it is no step that could be found again by its own ones.
        if self._project.is_step(self._entry) and not self._request.launch.overrides:
            last = self._before(steps[-1])
            tags[KEY_TAG] = key_of(self._place, self._project, steps[-1], last, steps=steps, facts=facts)
        result = self._launch(steps[-1], environ, tags)
        return ProjectResult(entry=self._entry.name, result=result, is_whole=True, steps=tuple(self._results))

    def _step(self, point: EntryPoint, points: Sequence[EntryPoint]) -> Step:
        given = dict(self._request.params)
        own = {parameter.name for parameter in point.parameters}
        if point is self._entry:
            others = {parameter.name for other in points for parameter in other.parameters}
            given = {name: text for name, text in given.items() if name in own or name not in others}
        else:
            given = {name: text for name, text in given.items() if name in own}
        in_python = self._project.file is not None and self._project.file.lower() == "mlproject"
        settings, more = settings_of(point, given, self._roots, in_python=in_python)
        return Step(entry=point, settings=settings, more=more)

    def _command(self, step: Step, environ: Mapping[str, str]) -> EntryCommand:
        path = environ.get("PATH", os.defpath)
        return command_of(step.entry, step.settings, step.more, folder=self._checkout.folder, path=path)

    def _introduce(self, commands: Sequence[str]) -> None:
        """Ask before the first run from an address."""
        address, fetched = self._checkout.address, self._checkout.fetched
        if address is None or fetched is None:
            return
        known = KnownProjects(self._request.launch.environ)
        if known.knows(address):
            return
        introduction = Introduction(
            address=str(address),
            commit=fetched.commit,
            author=fetched.author,
            message=fetched.message,
            commands=tuple(commands),
            environment=self._surroundings.shown,
        )
        if not self._told.confirm(introduction):
            raise UsageError(
                f"'{address}' was never run here, and nobody agreed to run it.",
                hint="Look at it first; --yes runs it, and remembers its address.",
            )
        known.add(address)

    def _enter(self) -> dict[str, str]:
        environ = {**self._checkout.environ, "PWD": self._checkout.folder}
        return entered(self._surroundings, environ, self._checkout.folder, self._told.say)

    def _before(self, step: Step) -> list[DoneStep]:
        return [self._done[name] for name in step.entry.after]

    def _found(self, step: Step, key: str) -> bool:
        """Whether an earlier run did this step; its outputs are there then."""
        run = find_done(self._place.repository, key)
        if run is None:
            return False
        with self._told.fetching() as listener:
            done = restore(self._place, step, run, engine=self._engine, listener=listener, on_trouble=self._told.warn)
        if done is None:
            return False
        self._finish(
            step,
            done,
            StepResult(
                entry=step.entry.name, run_id=run.record.id, name=run.record.name, start=run.record.start, reused=True
            ),
        )
        return True

    def _ran(self, step: Step, result: LaunchResult) -> None:
        view = self._place.repository.get_run(str(result.run_id))
        forgotten = undeclared(self._place, step, view)
        if forgotten:
            named = ", ".join(f"'{path}'" for path in forgotten[:3])
            more = f" and {len(forgotten) - 3} more" if len(forgotten) > 3 else ""
            self._told.warn(
                f"'{step.entry.name}' made {named}{more}, which its 'outputs' do not name; so it will be run again."
            )
        self._finish(
            step,
            done_step(self._place, step, view),
            StepResult(
                entry=step.entry.name, run_id=view.record.id, name=view.name, start=view.record.start, reused=False
            ),
        )

    def _finish(self, step: Step, done: DoneStep, result: StepResult) -> None:
        self._done[step.entry.name] = done
        self._results.append(result)
        self._told.on_step(result)

    def _launch(self, step: Step, environ: Mapping[str, str], tags: Mapping[str, str]) -> LaunchResult:
        said, run = self._request.launch, self._request.launch.run
        is_last = step.entry is self._entry
        command = self._command(step, environ)
        names = {result.entry: result for result in self._results}
        before = self._before(step)
        linked = [Input(kind="run", name=names[done.name].name, run=done.run_id) for done in before]
        params = {name: setting.value for name, setting in {**step.settings, **step.more}.items()}
        request = replace(
            said,
            kind=command.kind,
            words=list(command.words),
            environ=environ,
            overrides=said.overrides if is_last else (),
            inputs=(*step.inputs, *self._path_inputs(step), *(said.inputs if is_last else ())),
            outputs=(*step.outputs, *(said.outputs if is_last else ())),
            stop_when=said.stop_when if is_last else (),
            run=replace(
                run,
                name=run.name if is_last else None,
                note=run.note if is_last else None,
                params={**run.params, **params},
                tags={**run.tags, **tags},
                project=self._checkout.source(step.entry.name),
                inputs=(*run.inputs, *linked),
                consumed=(*run.consumed, *(done.commit for done in before)),
            ),
        )
        with contextlib.chdir(self._checkout.folder):
            return launch(request, self._place.repository, on_trouble=self._told.warn)

    def _path_inputs(self, step: Step) -> list[str]:
        """The files that parameters name of which the project says that they are there before."""
        return [
            step.settings[parameter.name].text
            for parameter in step.entry.parameters
            if parameter.type is Type.PATH and parameter.must_exist and parameter.name in step.settings
        ]


def _entry(project: Project, name: str | None, folder: str) -> EntryPoint:
    if name is None and project.file is None and os.path.isfile(os.path.join(folder, "__main__.py")):
        name = "__main__.py"
    entry = project.entry_point(name)
    if entry.script is not None and not os.path.isfile(os.path.join(folder, entry.script)):
        raise UsageError(f"The project has no file '{entry.script}'.", hint="Name an entry point, or a script in it.")
    return entry


def empty_launch(environ: Mapping[str, str]) -> LaunchRequest:
    """A request that says nothing of the run but the variables of its process."""
    return LaunchRequest(kind=Kind.FILE, words=[], environ=environ)
