"""`gitexp run`: launch a command, watch it, and record the run it makes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gitexp.domain.identity import RunId, is_run_id, parse_run_id
from gitexp.domain.run import Status
from gitexp.domain.values import flatten
from gitexp.errors import StorageFailed, UsageError
from gitexp.recording import JOIN, Recorder, RunRequest
from gitexp.repo import Repository
from gitexp.running.autologging import Autologging
from gitexp.running.child import ChildResult, run_child
from gitexp.running.command import Command, Kind, choose_python, resolve
from gitexp.running.constants import Constants, script_of
from gitexp.running.doubles import Doubles
from gitexp.running.globs import check_pattern
from gitexp.running.metricfiles import MetricFiles
from gitexp.running.opened import Opened
from gitexp.running.outputs import Outputs
from gitexp.running.paramfiles import ParamFiles
from gitexp.running.printed import output_metrics
from gitexp.running.reports import Reports
from gitexp.running.sampling import Sampling
from gitexp.running.signals import STOPPING, SignalRelay
from gitexp.running.stopping import Stopper, StopRules, TimeLimit
from gitexp.running.streams import hold_standard_streams
from gitexp.running.watching import Launch, Watcher
from gitexp.store.output import OutputLog

if TYPE_CHECKING:
    from gitexp.domain.stopping import StopRule
    from gitexp.running.overrides import Overridden
    from gitexp.store.manifests import ReadInput

__all__ = ["Kind", "LaunchRequest", "LaunchResult", "launch", "status_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """What to run, and what is said of the run beforehand.

    Attributes:
        kind: what the first of `words` names; the others are its arguments.
        environ: the environment variables of the child.
        run: name, experiment, params, tags, note and strict; the rest of it is filled in here.
        overrides: values for files that hold params, as "optim.lr=0.1" or "conf/model.yaml:depth=4", while it runs.
        seed: for every random number generator there is; None leaves them alone.
        inputs: paths and patterns of files that it reads, besides those of the settings.
        outputs: patterns of files that are artifacts if it makes or changes them, besides those of the settings.
        expected_outputs: absolute paths of files that are artifacts as those of `outputs` are; none need be made.
        output_metrics: whether metrics are read from what it prints; None: as the settings say.
        autolog: whether the frameworks it uses are watched; None: as the settings say.
        stop_when: conditions that end it, besides those of the settings.
        timeout_s: how long it may take, in seconds; None: as the settings say.
    """

    kind: Kind
    words: list[str]
    environ: Mapping[str, str]
    run: RunRequest = field(default_factory=RunRequest)
    overrides: tuple[str, ...] = ()
    seed: int | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    expected_outputs: tuple[str, ...] = ()
    output_metrics: bool | None = None
    autolog: bool | None = None
    stop_when: tuple[str, ...] = ()
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchResult:
    """A launch that is over.

    Attributes:
        child: how the process ended.
        status: what that makes of the run.
        run_id: None where nothing could be recorded.
        commit: the sealed run; None where sealing is left to the next command.
    """

    child: ChildResult
    status: Status
    run_id: RunId | None = None
    name: str = ""
    experiment: str = ""
    commit: str | None = None


def launch(request: LaunchRequest, repository: Repository, *, on_trouble: Callable[[str], None]) -> LaunchResult:
    """Run a command in the current directory to its end, and record it.

    Leave with `child.exit_like(result.child)` to end as the command did. Trouble of recording is told to `on_trouble`,
    once each, and does not touch the command, unless the run is strict.

    Raises:
        NotFound, UsageError: there is nothing to execute, or an input is missing; nothing has been recorded.
        GitexpError: a name, param or tag cannot be recorded, or recording failed in a strict run.
    """
    hold_standard_streams()
    rules = _stop_rules(request, repository)
    _check_outputs(request, repository)
    command = _command(request)
    with SignalRelay() as relay, _overridden(request, command, repository, on_trouble) as overridden:
        if overridden:
            params = {**flatten(request.run.params), **overridden.params}
            environ = {**request.environ, **overridden.environ}
            request = replace(request, environ=environ, run=replace(request.run, params=params))
        troubles: list[str] = []
        inputs = _inputs(request, repository, relay, troubles.append)
        recorder = _begin(request, command, repository, on_trouble)
        if recorder is not None:
            recorder.log_inputs(inputs)
        for trouble in troubles:
            (on_trouble if recorder is None else recorder.warn)(trouble)
        if recorder is None:
            child = run_child(
                command.program, command.arguments, environ=request.environ, on_output=_forget, relay=relay
            )
            return LaunchResult(child=child, status=status_of(child))
        return _record(request, command, recorder, rules, overridden, relay)


def status_of(child: ChildResult) -> Status:
    """What the end of a process says of its run (docs/format.md, 1.4), unless we ended it."""
    if child.signal is not None:
        return Status.KILLED if child.signal in STOPPING else Status.CRASHED
    if child.exit_code == 0:
        return Status.FINISHED
    told_by_shell = (child.exit_code or 0) - 128 in STOPPING  # what a shell returns whose command was stopped
    return Status.KILLED if child.stopped_by is not None or told_by_shell else Status.FAILED


def _begin(
    request: LaunchRequest, command: Command, repository: Repository, on_trouble: Callable[[str], None]
) -> Recorder | None:
    run = replace(
        request.run,
        command=tuple(command.shown),
        directory=os.getcwd(),
        entry_point=command.entry_point,
        parent=request.run.parent or _outer_run(request.environ, repository),
    )
    try:
        return Recorder.begin(repository, run, on_trouble=on_trouble)
    except (StorageFailed, OSError) as error:
        if repository.config.strict if run.strict is None else run.strict:
            raise
        on_trouble(f"The command runs without being recorded. {error}")
        return None


def _inputs(
    request: LaunchRequest, repository: Repository, relay: SignalRelay, on_trouble: Callable[[str], None]
) -> tuple[ReadInput, ...]:
    if not (request.inputs or repository.config.inputs):
        return ()
    from gitexp.running.inputs import Inputs  # most runs have none

    inputs = Inputs(request.inputs, repository.config.inputs, os.getcwd(), repository.git.work_tree)
    for pattern in inputs.missing:
        on_trouble(f"There is no '{pattern}', which the settings call an input.")
    return inputs.read(os.path.join(repository.git.gitexp_dir, "hashes"), lambda: relay.stopped_by is not None)


def _command(request: LaunchRequest) -> Command:
    if request.kind is Kind.FILE and request.words and request.words[0].endswith(".ipynb"):
        from gitexp.running.notebook import notebook_command  # most runs are of scripts

        python = choose_python(request.environ)
        return notebook_command(request.words, python, request.environ, request.overrides)
    return resolve(request.kind, request.words, request.environ)


def _overridden(
    request: LaunchRequest, command: Command, repository: Repository, on_trouble: Callable[[str], None]
) -> AbstractContextManager[Overridden | None]:
    if not request.overrides:
        return nullcontext()
    from gitexp.running.overrides import Places, find_settings, overridden  # most runs set no values

    config = repository.config
    directory = os.getcwd()
    script = script_of(request.kind, command, request.environ, directory)
    if script and not (config.params_constants or script.endswith(".ipynb")):
        script = None
    places = Places(directory=directory, root=repository.git.work_tree, patterns=config.params_files, script=script)
    settings = find_settings(request.overrides, places, words=request.words[0])
    return overridden(settings, repository.overridden, command.shown, on_trouble)


def _stop_rules(request: LaunchRequest, repository: Repository) -> list[StopRule]:
    configured = repository.config.stop_when
    if not (request.stop_when or configured):
        return []
    from gitexp.domain.stopping import parse_stop_rule  # most runs have none

    rules = [parse_stop_rule(text) for text in request.stop_when]
    for text in configured:
        try:
            rules.append(parse_stop_rule(text))
        except UsageError as error:
            raise UsageError(f"The setting 'stop_when' holds '{text}': {error}", hint=error.hint) from error
    return rules


def _check_outputs(request: LaunchRequest, repository: Repository) -> None:
    for pattern in request.outputs:
        check_pattern(pattern, what="The option --output")
    for pattern in repository.config.outputs:
        check_pattern(pattern, what="An item of the setting 'outputs.paths'")


def _record(
    request: LaunchRequest,
    command: Command,
    recorder: Recorder,
    rules: Sequence[StopRule],
    overridden: Overridden | None,
    relay: SignalRelay,
) -> LaunchResult:
    stopper = Stopper(lambda: relay.child, recorder.warn)
    root = recorder.repository.git.work_tree
    here = Launch(recorder=recorder, directory=command.directory or os.getcwd(), root=root, stop=stopper.stop)
    watchers = _watchers(request, command, here, rules, overridden)
    lock_fds = [recorder.lock_fd, *(overridden.lock_fds if overridden else ())]
    try:
        child = _run(request, command, recorder, watchers, lock_fds, relay)
    except OSError as error:
        recorder.end(Status.FAILED)
        raise UsageError(f"'{command.program}' cannot be executed: {error.strerror}.") from error
    stopper.over()
    status = Status.KILLED if stopper.reason else status_of(child)
    name = None if child.signal is None else _signal_name(child.signal)
    try:
        for watcher in watchers:
            _guard(recorder, watcher.finish, child)
    finally:  # a strict run may have raised; it is sealed all the same
        if overridden:
            overridden.put_back(recorder.warn)
        commit = recorder.end(status, exit_code=child.exit_code, signal=name)
    return LaunchResult(
        child=child,
        status=status,
        run_id=recorder.run_id,
        name=recorder.name,
        experiment=recorder.experiment,
        commit=commit,
    )


def _watchers(
    request: LaunchRequest,
    command: Command,
    here: Launch,
    rules: Sequence[StopRule],
    overridden: Overridden | None,
) -> list[Watcher]:
    """All that look on, each in its own file. What one records first is not overwritten by a less sure `Source`."""
    config = here.recorder.repository.config
    limit_s = config.timeout_s if request.timeout_s is None else request.timeout_s
    autologs = config.autolog if request.autolog is None else request.autolog
    outputs = Outputs(here, request, but=overridden.held_paths if overridden else ())
    return [
        Reports(here, request),
        ParamFiles(here, overridden.paths if overridden else (), is_inside=JOIN in request.environ),
        *([Opened(here)] if config.inputs_opened else []),
        *_script_watchers(request, command, here, overridden),
        MetricFiles(here, outputs),
        *output_metrics(here, request),
        Doubles(here),
        *([Autologging(here.recorder, config.autolog_exclude)] if autologs else []),
        *([StopRules(here, rules)] if rules else []),
        *([Sampling(here, config.system_interval_s)] if config.system_metrics else []),
        *([TimeLimit(here, limit_s)] if limit_s else []),
        outputs,
    ]


def _script_watchers(
    request: LaunchRequest, command: Command, here: Launch, overridden: Overridden | None
) -> list[Watcher]:
    """What looks at the text of the script or notebook itself."""
    with_constants = here.recorder.repository.config.params_constants
    script = script_of(request.kind, command, request.environ, os.getcwd())
    if script is None:
        return []
    if script.endswith(".ipynb"):
        from gitexp.running.notebook import Notebook, NotebookRun  # most runs are of scripts

        notebook = (overridden and overridden.notebook) or Notebook.read(script, command.entry_point)
        return [NotebookRun(here.recorder, notebook, script, with_constants=with_constants)]
    return [Constants(here.recorder, script, request.words[1:], os.getcwd())] if with_constants else []


def _run(
    request: LaunchRequest,
    command: Command,
    recorder: Recorder,
    watchers: Sequence[Watcher],
    lock_fds: Sequence[int],
    relay: SignalRelay,
) -> ChildResult:
    stopped_by = relay.stopped_by
    if stopped_by is not None:  # while the code was captured: the command has not begun, and shall not
        return ChildResult(exit_code=None, signal=stopped_by, stopped_by=stopped_by, duration_s=0.0)
    environ = dict(request.environ)
    for watcher in watchers:
        _guard(recorder, watcher.prepare, environ)
    output = OutputLog(recorder.folder, recorder.repository.config.output_max_bytes)
    readers = [watcher.output for watcher in watchers if type(watcher).output is not Watcher.output]
    lines = WholeLines([output.write, *readers])
    for watcher in watchers:
        _guard(recorder, watcher.started)
    try:
        child = run_child(
            command.program,
            command.arguments,
            environ=environ,
            on_output=lines.add,
            relay=relay,
            pass_fds=lock_fds,
        )
    finally:
        for watcher in watchers:
            watcher.over()
    lines.finish()
    output.close()
    if child.trouble:
        recorder.warn(f"Part of the output could not be written where it was to go: {child.trouble}.")
    if output.trouble:
        recorder.warn(f"Part of the output is not recorded: {output.trouble}.")
    return child


class WholeLines:
    """Passes on what several threads bring, one stream each, so that the lines of one do not tear those of another."""

    LONGEST = 64 * 1024

    def __init__(self, writes: Sequence[Callable[[bytes], None]]) -> None:
        self._writes = writes
        self._lock = threading.Lock()
        self._begun: dict[int, bytes] = {}

    def add(self, data: bytes) -> None:
        thread = threading.get_ident()
        with self._lock:
            data = self._begun.pop(thread, b"") + data
            end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
            if len(data) - end > self.LONGEST:
                end = len(data)
            whole = data[:end]
            for write in self._writes:
                write(whole)
            if end < len(data):
                self._begun[thread] = data[end:]

    def finish(self) -> None:
        for rest in self._begun.values():
            for write in self._writes:
                write(rest)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals
        return f"signal {number}"


def _guard(recorder: Recorder, act: Callable[..., None], *arguments: Any) -> None:
    try:
        act(*arguments)
    except Exception as error:
        recorder.trouble(error)


def _outer_run(environ: Mapping[str, str], repository: Repository) -> RunId | None:
    """The live run of this repository from whose script we were started."""
    folder, identity = os.path.split(environ.get(JOIN, ""))
    return parse_run_id(identity) if folder == repository.live.folder and is_run_id(identity) else None


def _forget(_data: bytes) -> None:
    """Output of a command that is not recorded."""
