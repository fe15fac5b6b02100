"""The runs that this process records: which one is active where, how they begin, and that they end with the truth.

One run is active in a context (a thread, an asyncio task) at a time; runs nested in it stack up. A thread that has none
of its own logs to the run started last in the process. Inside `gitexp run` the first run joins the launched one.
"""

from __future__ import annotations

import atexit
import contextvars
import os
import signal
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any

from gitexp.activerun import ActiveRun, status_of
from gitexp.domain.identity import RunId, is_run_id, parse_name, parse_run_id
from gitexp.domain.run import Status
from gitexp.errors import UsageError
from gitexp.recording import JOIN, Recorder, RunRequest
from gitexp.repo import Repository
from gitexp.running.environment import capture_environment


class GitexpWarning(UserWarning):
    """Something could not be recorded; the training goes on."""


stack: contextvars.ContextVar[tuple[ActiveRun, ...]] = contextvars.ContextVar("gitexp_runs", default=())
"""The runs started in this context, the active one last."""
_started: list[ActiveRun] = []
_lock = threading.Lock()
_repositories: dict[tuple[str, str | None], Repository] = {}
_experiment: str | None = None
_joined = False
_launched: ActiveRun | None = None
_watching = False
_failure: Status | None = None


def start_run(
    name: str | None = None,
    *,
    experiment: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, object] | None = None,
    note: str | None = None,
    nested: bool = False,
    strict: bool | None = None,
) -> ActiveRun:
    """Start a run, or join the one that `gitexp run` launched.

    Args:
        name: for people; made up where left out.
        experiment: where it belongs; `set_experiment` or the repository's settings say it otherwise.
        params: nested or flat.
        nested: allow it inside an active run, which becomes its parent.
        strict: whether an error of recording ends the training; a warning otherwise.

    Raises:
        UsageError: a run is active here already.
        NotARepository: the working directory lies in no git repository.
    """
    active = stack.get()
    if active and not nested and active[-1]._is_implicit:
        active[-1]._take_over(name, experiment or _experiment, params or {}, tags or {}, note)
        return active[-1]
    if active and not nested:
        raise UsageError(
            f"The run '{active[-1].name}' is still active here.",
            hint="Call gitexp.end_run() first, or pass nested=True.",
        )
    request = RunRequest(
        name=name,
        experiment=experiment or _experiment,
        command=_command(),
        directory=os.getcwd(),
        entry_point=_entry_point(),
        params=params or {},
        tags=tags or {},
        note=note,
        strict=strict,
        parent=active[-1].id if active else _launched_run(),
    )
    run = None if active or _joined else _join(request)
    if run is None:
        run = ActiveRun(_begin(request, active[-1] if active else None), launched=False, on_end=_deactivate)
        _watch_exit()
    _activate(run)
    return run


def end_run(status: str = "finished") -> str | None:
    """End the active run, and give its commit. Without one, nothing happens."""
    run = active_run()
    return run.end(status) if run else None


def active_run() -> ActiveRun | None:
    """The run that logging goes to from here, if any."""
    active = stack.get()
    if active:
        return active[-1]
    with _lock:
        return _started[-1] if _started else None


def launched_run() -> ActiveRun | None:
    """The run that `gitexp run` launched this process in, to log to `beside` the script, which may still join it.

    Its trouble goes into the record only.
    """
    global _launched
    folder = os.environ.get(JOIN)
    if _launched is None and folder and os.path.isdir(folder):
        recorder = Recorder.join(Repository.open(folder), folder, on_trouble=lambda _message: None)
        _launched = ActiveRun(recorder, launched=True, on_end=_deactivate)
    return _launched


def set_experiment(name: str) -> None:
    """Say where the runs started from now on belong; created with its first run."""
    global _experiment
    _experiment = parse_name(name, what="experiment name")


def repository() -> Repository:
    """The repository of the working directory, opened once a process for each place."""
    key = (os.getcwd(), os.environ.get("GIT_DIR"))
    found = _repositories.get(key)
    if found is None:
        found = _repositories[key] = Repository.open(key[0])
        for run in found.recovered:
            how = f"could not be sealed yet: {run.problem}" if run.problem else f"is sealed as {run.status}."
            warn(f"The run '{run.name}' had ended without being closed; it {how}")
    return found


def current_run() -> ActiveRun:
    """The active run, else the one that `gitexp run` launched, else a new one; `start_run` may still take it over."""
    run = active_run()
    if run is None:
        run = _activate(_join(RunRequest())) if os.environ.get(JOIN) else None
        run = run or start_run()
        run._is_implicit = True
    return run


def _activate(run: ActiveRun | None) -> ActiveRun | None:
    if run is not None:
        stack.set((*stack.get(), run))
        with _lock:
            _started.append(run)
    return run


def _launched_run() -> RunId | None:
    """The run that `gitexp run` launched this process in, if any."""
    name = os.path.basename(os.environ.get(JOIN, ""))
    return parse_run_id(name) if is_run_id(name) else None


def _begin(request: RunRequest, parent: ActiveRun | None) -> Recorder:
    """Begin a run. What troubles a nested one is told where its parent tells it."""
    on_trouble = parent._recorder._on_trouble if parent else warn
    recorder = Recorder.begin(repository(), request, on_trouble=on_trouble)
    recorder.set_environment(capture_environment())
    return recorder


def _join(request: RunRequest) -> ActiveRun | None:
    """Take part in the launched run; what the script says adds to what the command line said."""
    global _joined
    folder = os.environ.get(JOIN)
    if not folder or not os.path.isdir(folder):
        return None
    _joined = True
    run = ActiveRun(Recorder.join(Repository.open(folder), folder, on_trouble=warn), launched=True, on_end=_deactivate)
    run._take_over(request.name, request.experiment, request.params, request.tags, request.note)
    return run


def _deactivate(run: ActiveRun) -> None:
    active = stack.get()
    if run in active:
        stack.set(tuple(other for other in active if other is not run))
    with _lock:
        if run in _started:
            _started.remove(run)


def _command() -> Sequence[str]:
    """The command line this process was started with."""
    original = getattr(sys, "orig_argv", None)
    return [os.path.basename(original[0]), *original[1:]] if original else sys.argv


def _entry_point() -> str | None:
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    return os.path.basename(path) if path else None


def warn(message: str) -> None:
    try:
        warnings.warn(message, GitexpWarning, stacklevel=2)
    except GitexpWarning:  # warnings are errors here, but a training must not end because of ours
        sys.stderr.write(f"gitexp: {message}\n")


# Ending with the truth: how the process ended, where no `with` saw it.


def _watch_exit() -> None:
    """See to it that runs left open are sealed when the interpreter ends, with the status that tells how it ended."""
    global _watching
    if _watching:
        return
    _watching = True
    atexit.register(_end_all)
    previous_hook, previous_exit = sys.excepthook, sys.exit

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        _note_failure(status_of(error))
        previous_hook(kind, error, trace)

    def exit_(code: Any = None, /) -> Any:
        _note_failure(status_of(SystemExit(code)))
        previous_exit(code)

    sys.excepthook, sys.exit = excepthook, exit_
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _die)


def _note_failure(status: Status) -> None:
    global _failure
    _failure = status


def _end_all() -> None:
    status = _failure or Status.FINISHED
    for run in reversed(list(_started)):
        if run._recorder.owned or run._launched:
            run.end(status.value)


def _die(number: int, _frame: FrameType | None) -> None:
    _note_failure(Status.KILLED)
    _end_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
