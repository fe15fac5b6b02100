"""`gitexp reproduce`: the same code, environment, data and command again, recorded as a new run, and the verdict."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from gitexp.applying import apply, captured_code
from gitexp.data.restoring import InputState, Place, check, kept_inputs, restore
from gitexp.domain.run import Status
from gitexp.domain.values import same_value
from gitexp.domain.verdict import Cause, Judgement, Verdict, combine
from gitexp.domain.verdict_causes import likely_causes
from gitexp.errors import Ambiguous, CommandFailed, NotFound, StorageFailed, UsageError
from gitexp.reading import RunView
from gitexp.recording import RunRequest
from gitexp.repo import Repository
from gitexp.reproducing.arguments import with_arguments
from gitexp.reproducing.judging import circumstances, judge_runs
from gitexp.reproducing.recipe import Recipe, recipe_of
from gitexp.running.launch import LaunchRequest, LaunchResult, launch
from gitexp.sharing.exchange import Listener
from gitexp.store.git.wildmatch import GLOB_SPECIAL
from gitexp.wording import plural
from gitexp.worktrees import environ_inside, worktree

REPRODUCTION = "reproduction"
"""The tag of a run that reproduces another: "identical", "same" or "different"."""

AGAIN = "-again"
_AGAIN = re.compile(r"-again(?:-[0-9]+)?\Z")
_LONGEST_STEM = 200

Environment = Literal["auto", "current", "venv", "conda"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is done again.

    Attributes:
        here: in the work tree as it is, after the run's code was applied to it.
        environment: "auto" is the recorded one, and with `here` the present one.
        overrides: values to set, as `gitexp run --set` takes them.
        tolerance: how far numbers may be apart, relative to the larger; for small ones absolutely.
        times: how often; from two on the run's own noise is measured.
        name: of the new run; that of the old with "-again" by default.
        instead: a command to execute in the place of the recorded one.
        engine: what speaks to remotes.
    """

    here: bool = False
    environment: Environment = "auto"
    overrides: tuple[str, ...] = ()
    tolerance: float = 0.0
    times: int = 1
    name: str | None = None
    instead: tuple[str, ...] = ()
    engine: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What became of it.

    Attributes:
        before: the run. runs: its repetitions, in their order.
        environment: what they ran in: "venv", "conda" or "current".
        inputs: what became of the inputs.
        troubles: what was said while it went on.
    """

    before: RunView
    runs: tuple[RunView, ...]
    verdict: Verdict
    environment: str
    inputs: tuple[InputState, ...] = ()
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where it runs: the top of a work tree, the variables for it, and in which environment."""

    top: str
    environ: Mapping[str, str]
    environment: str
    inputs: tuple[InputState, ...] = ()


@dataclass(slots=True)
class _Said:
    """Tells what is to be told, and remembers it."""

    say: Say
    told: list[str] = field(default_factory=list)

    def trouble(self, text: str) -> None:
        if text not in self.told:
            self.told.append(text)
            self.say(text)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be done, passed whole. `overrides` are for files, `said` remembers what is not as it was."""

    repository: Repository
    view: RunView
    recipe: Recipe
    options: Options
    overrides: tuple[str, ...]
    environ: Mapping[str, str]
    say: Say
    said: _Said
    listener: Listener | None


def reproduce(
    repository: Repository,
    view: RunView,
    options: Options | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    say: Say = lambda _: None,
    trouble: Say = lambda _: None,
    listener: Listener | None = None,
) -> Reproduction:
    """Do a run again, and judge what comes out. The command writes to this process's stdout and stderr.

    Args:
        environ: the variables of this process.
        say: told what is going on. trouble: told what is not as it was.
        listener: told of what is fetched.

    Raises:
        UsageError, NotFound: the record does not say enough, or code or content is nowhere; nothing has run.
        EnvironmentFailed: the environment cannot be had.
        CommandFailed: the command failed, and had not when the run was recorded.
    """
    options = options or Options()
    if options.times < 1 or not options.tolerance >= 0:
        raise UsageError("A run is done again at least once, and a tolerance is not negative.")
    recipe, overrides = with_arguments(recipe_of(view, instead=options.instead), view, options.overrides)
    said = _Said(trouble)
    order = _Order(repository, view, recipe, options, overrides, environ, say, said, listener)
    runs: list[RunView] = []
    tops: list[str] = []
    for number in range(options.times):  # each begins with what the run began with, not with what the last one left
        order = order if not number else replace(order, say=_ignore)
        with (_here if options.here else _apart)(order) as place:
            say(f"Running{f' ({number + 1} of {options.times})' if options.times > 1 else ''}: {recipe.shown}")
            runs.append(_run(order, place, number))
            tops.append(place.top)
    verdict = _judge(order, runs, tops, place)
    for run in runs:
        repository.tag(run.summary, {REPRODUCTION: verdict.judgement.word})
    return Reproduction(
        before=view,
        runs=tuple(repository.get_run(run.id) for run in runs),
        verdict=verdict,
        environment=place.environment,
        inputs=place.inputs,
        troubles=tuple(said.told),
    )


def _ignore(_text: str) -> None:
    """What has been said once."""


# Where


@contextmanager
def _apart(order: _Order) -> Iterator[_Place]:
    """A worktree of its own."""
    captured = captured_code(order.repository, order.view)
    code = order.view.record.code
    with worktree(
        order.repository,
        commit=code.commit if code else None,
        tree=captured.tree,
        pointers=captured.pointers,
        on_trouble=order.said.trouble,
        listener=order.listener,
        engine=order.options.engine,
    ) as top:
        states = _restore(order, top)
        kind, variables = _environment(order, top, environ_inside(order.environ), order.options.environment)
        yield _Place(top, _with_variables(variables, order.recipe), kind, states)


@contextmanager
def _here(order: _Order) -> Iterator[_Place]:
    """The user's own work tree, with the run's code applied."""
    repository, view = order.repository, order.view
    captured = captured_code(repository, view)
    try:
        done = apply(repository, captured, listener=order.listener, engine=order.options.engine)
    except UsageError as error:
        hint = f"Commit it, put it aside with 'gitexp apply {view.id} --force', or leave --here out."
        raise UsageError(str(error), hint=hint) from error
    top = repository.git.work_tree
    assert top is not None  # else there was nothing to apply to
    changes = len(done.written) + len(done.removed)
    if changes:
        order.say(f"The work tree has the code of run '{view.name}' now: {plural(changes, 'change')}.")
    states = check(repository, view.record.inputs, top, kept=kept_inputs(repository, view.commit or ""))
    for state in states:
        if state.place is not Place.PRESENT and state.input.kind in ("file", "folder"):
            order.said.trouble(f"The input '{state.input.name}' is not as it was: {state.detail or state.place}.")
    wanted = order.options.environment
    kind, variables = _environment(order, top, order.environ, "current" if wanted == "auto" else wanted)
    yield _Place(top, _with_variables(variables, order.recipe), kind, states)


def _restore(order: _Order, top: str) -> tuple[InputState, ...]:
    """The inputs in the worktree; one whose recorded content is nowhere as it is in the user's own, where it is."""
    repository, view = order.repository, order.view
    root = repository.git.work_tree or top
    kept = kept_inputs(repository, view.commit or "")
    states = restore(repository, view.record.inputs, top, root, order.listener, kept=kept)
    for state in states:
        name = state.input.name
        if state.place is Place.CHANGED and not os.path.isabs(name):
            with suppress(OSError):
                _copy(os.path.join(root, name), os.path.join(top, name))
            order.said.trouble(f"The input '{name}' is used as it is now: {state.detail}.")
        elif state.place in (Place.CHANGED, Place.MISSING):
            order.said.trouble(f"The input '{name}' is not as it was: {state.detail}.")
    return states


def _copy(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(source):
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def _environment(
    order: _Order, top: str, environ: Mapping[str, str], wanted: Environment
) -> tuple[str, dict[str, str]]:
    """The kind of environment, and the variables for it."""
    repository, view = order.repository, order.view
    recorded = view.environment
    knows = recorded is not None and ("version" in recorded.python or recorded.requirements or recorded.conda)
    if wanted == "current" or (wanted == "auto" and not knows):
        return "current", dict(environ)
    if recorded is None or not knows:
        raise UsageError(
            f"The run '{view.name}' does not say what was installed, so there is no environment to build.",
            hint="Say --env current to use the present one.",
        )
    from gitexp.environments.building import build  # only where one is needed
    from gitexp.environments.specification import specification_of

    specification = specification_of(recorded, root=repository.git.work_tree)
    built = build(specification, kind=None if wanted == "auto" else wanted, root=top, say=order.say, environ=environ)
    found = "from the cache" if built.was_cached else f"built with {built.built_with}"
    packages = plural(len(specification.requirements), "package")
    order.say(f"Environment: Python {specification.python or 'of any version'}, {packages}, {found}.")
    variables = dict(environ)
    for name, value in built.environ.items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
    return built.kind, variables


def _with_variables(environ: dict[str, str], recipe: Recipe) -> dict[str, str]:
    for name, value in recipe.variables.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
    return environ


# Running


def _run(order: _Order, place: _Place, number: int) -> RunView:
    repository, view, recipe, options = order.repository, order.view, order.recipe, order.options
    words = [_moved(word, repository.git.work_tree, place.top) for word in recipe.words]
    directory = os.path.normpath(os.path.join(place.top, recipe.directory))
    os.makedirs(directory, exist_ok=True)
    request = LaunchRequest(
        kind=recipe.kind,
        words=words,
        environ=place.environ,
        run=RunRequest(
            name=_free_name(repository, view, options.name, number),
            experiment=view.experiment,
            reproduces=view.id,
            project=view.record.project,
            consumed=[view.commit] if view.commit else [],
        ),
        overrides=(*recipe.overrides, *order.overrides),
        seed=recipe.seed,
        inputs=_inputs(view, place.top, directory),
        expected_outputs=tuple(
            os.path.join(place.top, path) for path in view.artifacts if GLOB_SPECIAL.isdisjoint(os.fsencode(path))
        ),
    )
    with contextlib.chdir(directory):
        result = launch(request, Repository.open(place.top, environ=place.environ), on_trouble=order.said.trouble)
    if result.run_id is None or result.commit is None:
        raise StorageFailed("The repetition could not be recorded.", hint="gitexp fsck")
    launched = repository.get_run(result.run_id)
    _check_end(view, launched, result)
    return launched if options.overrides else _counterpart(repository, view, launched, order.said)


def _moved(word: str, own: str | None, top: str) -> str:
    """A word of a command with the paths of the user's work tree as those of another."""
    return word if own is None else re.sub(rf"{re.escape(own)}(?![^/\s'\":,;=])", lambda _: top, word)


def _counterpart(repository: Repository, view: RunView, launched: RunView, said: _Said) -> RunView:
    """Of the runs that one command recorded, as a script does that tries several values, the one with these params."""
    if _has_params(launched, view):
        return launched
    nested = [repository.view(run) for run in repository.search(f"run.parent = '{launched.id}'")]
    alike = [run for run in nested if _has_params(run, view)]
    alike = [run for run in alike if run.name == view.name] or alike
    if len(alike) != 1:
        return launched
    [found] = alike
    said.trouble(f"The command recorded {len(nested) + 1:,} runs; '{found.name}' has the params of '{view.name}'.")
    return found


def _has_params(run: RunView, view: RunView) -> bool:
    return run.params.keys() == view.params.keys() and all(
        same_value(value, view.params[key]) for key, value in run.params.items()
    )


def _inputs(view: RunView, top: str, directory: str) -> tuple[str, ...]:
    """The files and folders that are there, as `--input` takes them."""
    found = []
    for item in view.record.inputs:
        path = os.path.join(top, item.name)
        if item.kind in ("file", "folder") and os.path.exists(path):
            found.append(path if os.path.isabs(item.name) else os.path.relpath(path, directory))
    return tuple(found)


def _check_end(view: RunView, launched: RunView, result: LaunchResult) -> None:
    """Raises CommandFailed where the command ended in another way than the run had."""
    before, after, child = view.record, launched.record, result.child
    is_like_before = (after.status, after.exit_code, after.signal) == (before.status, before.exit_code, before.signal)
    if result.status is Status.FINISHED or (is_like_before and child.stopped_by is None):
        return
    how = f"exit code {child.exit_code}" if child.signal is None else f"signal {child.signal}"
    raise CommandFailed(
        f"The command of the run '{view.name}' failed when it was done again: {how}.",
        hint=f"gitexp show {result.run_id}, or: gitexp verify {view.id}",
        signal=child.signal or child.stopped_by,
        is_stopped=result.status is Status.KILLED,
    )


def _free_name(repository: Repository, view: RunView, name: str | None, number: int) -> str:
    stem = name or _AGAIN.sub("", view.name)[:_LONGEST_STEM] + AGAIN
    tried = stem
    at = 1
    while (name is None or number) and _is_taken(repository, tried):
        at += 1
        tried = f"{stem}-{at}"
    return tried


def _is_taken(repository: Repository, name: str) -> bool:
    try:
        return repository.resolve(name).record.name == name
    except Ambiguous:
        return True
    except NotFound:
        return False


# Judging


def _judge(order: _Order, runs: Sequence[RunView], tops: Sequence[str], place: _Place) -> Verdict:
    view, tolerance = order.view, order.options.tolerance
    verdicts = [judge_runs(view, run, tolerance=tolerance, folder=top) for run, top in zip(runs, tops, strict=True)]
    repeated = {
        key: [run.metrics[key] for run in runs if key in run.metrics]
        for key in {key for run in runs for key in run.metrics}
    }
    verdict = combine(verdicts, repeated)
    numbers_differ = any(metric.judgement is not Judgement.IDENTICAL for metric in verdict.metrics)
    if verdict.judgement in (Judgement.IDENTICAL, Judgement.SAME) and not numbers_differ:
        return verdict
    return replace(verdict, causes=_causes(view, runs[0], place))


def _causes(view: RunView, run: RunView, place: _Place) -> tuple[Cause, ...]:
    missing = {
        state.input.name: f"{state.detail or state.place}."
        for state in place.inputs
        if state.place in (Place.MISSING, Place.CHANGED)
    }
    found = list(likely_causes(circumstances(view), circumstances(run, missing=missing)))
    if view.status is not Status.FINISHED:
        text = f"The run itself is {view.status}: it did not come to its end."
        found.insert(0, Cause(kind="status", text=text))
    if any(event.kind == "resume" for event in view.events()):
        text = "The run was resumed: what it recorded is not that of one command."
        found.insert(0, Cause(kind="status", text=text))
    is_other = any(cause.kind in ("package", "python") for cause in found)
    if place.environment == "current" and (is_other or view.environment is None):
        text = "It ran in the present environment, which was not built from the record (--env venv does that)."
        found.append(Cause(kind="environment", text=text))
    if not found:
        text = "Nothing else differs in the two records: something random that no seed reaches, or an order of work in"
        found.append(Cause(kind="unknown", text=f"{text} parallel that is not fixed. --times measures it."))
    return tuple(found)
