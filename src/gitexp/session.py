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
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from gitexp.activerun import ActiveRun, status_of
from gitexp.ancestry import after_fork, claim, is_claimed, outer_folder, outer_id, tell, told
from gitexp.domain.identity import RunId, parse_name
from gitexp.domain.run import Status
from gitexp.errors import Conflict, CorruptData, GitexpError, NotFound, StorageFailed, UsageError
from gitexp.ranks import WAIT_S, SilentRecorder, announce, find, launch_key, rank_of
from gitexp.recording import JOIN, Recorder, RunRequest, explain
from gitexp.repo import Repository
from gitexp.running.environment import capture_environment
from gitexp.system import SystemSampler


class GitexpWarning(UserWarning):
    """Something could not be recorded; the training goes on."""


_OURS = os.path.join(os.path.dirname(__file__), "")

stack: contextvars.ContextVar[tuple[ActiveRun, ...]] = contextvars.ContextVar("gitexp_runs", default=())
"""The runs started in this context, the active one last."""
_started: list[ActiveRun] = []
_lock = threading.Lock()
_repositories: dict[tuple[str, str | None], Repository] = {}
_experiment: str | None = None
_launched: ActiveRun | None = None
_parents: ActiveRun | None = None
"""The run of the process that started this one, joined by what is logged here without a run of its own."""
_main_runs: list[ActiveRun] = []
"""The runs started in the main thread, in the order of their beginning."""
_left: set[str] = set()
"""The live folders of runs of other processes that were ended here: only logging joins them again."""
_announced = 0
"""How many runs this process has shared with other ranks, or looked for."""
_is_orphan_told = False
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
    run_id: str | None = None,
    ranks: str = "first",
    system_metrics: bool | None = None,
    strict: bool | None = None,
) -> ActiveRun:
    """Start a run, go on with one, or join the one that `gitexp run` launched.

    Args:
        name: for people; made up where left out.
        experiment: where it belongs; `set_experiment` or the repository's settings say it otherwise.
        params: nested or flat.
        nested: allow it inside an active run, which becomes its parent.
        run_id: a run to go on with, as `get_run` finds it; one that another process records is joined.
        ranks: of the processes of a launcher like torchrun "first" records and the others are silent; with "all", which
            every rank has to say, the others give metrics and artifacts below `rank1/`, `rank2/`, ...
        system_metrics: whether the machine is sampled; None: as the settings say, for a run that is not nested.
        strict: whether an error of recording ends the training; a warning otherwise.

    Raises:
        UsageError: a run is active here already.
        NotFound, Ambiguous: there is no such run to go on with.
        NotARepository: the working directory lies in no git repository.
    """
    if ranks not in ("first", "all"):
        raise UsageError(f"ranks: expected 'first' or 'all', found {ranks!r}.")
    active = stack.get()
    if active and not nested and active[-1]._is_implicit and run_id is None:
        taken = active[-1]
        if not taken._recorder.is_silent and (not taken._launched or claim(taken._recorder.folder)):
            taken._take_over(name, experiment or _experiment, params or {}, tags or {}, note)
            return taken
        taken.end()  # another process has taken the launched run meanwhile, or this rank was silent
        active = stack.get()
    if active and not nested:
        raise UsageError(
            f"The run '{active[-1].name}' is still active here.",
            hint="Call gitexp.end_run() first, or pass nested=True.",
        )
    request = RunRequest(
        name=name,
        experiment=experiment or (None if run_id else _experiment),
        command=_command(),
        directory=os.getcwd(),
        entry_point=_entry_point(),
        params={} if params is None else params,
        tags={} if tags is None else tags,
        note=note,
        strict=strict,
        resume=run_id,
        parent=_parent_of(active) or (None if run_id else _outer_id()),
    )
    rank = rank_of(os.environ)
    if rank:
        run = _beyond_first(rank, ranks)
    else:
        run = (None if active or run_id else _join_launched(request)) or _begin(request, active, ranks)
        if system_metrics or (system_metrics is None and not active and _outer_folder() is None):
            _sample(run, always=bool(system_metrics))
    _activate(run)
    return run


def start_child(
    name: str | None, *, experiment: str | None = None, params: Mapping[str, Any] | None = None
) -> ActiveRun:
    """Start a run nested in the active one, for a caller that ends it whatever happens.

    In a script that `gitexp run` launched, nothing of the script changes for it: no hooks, no signal handlers.
    """
    active = stack.get()
    request = RunRequest(
        name=name,
        experiment=experiment or _experiment,
        command=_command(),
        directory=os.getcwd(),
        entry_point=_entry_point(),
        params={} if params is None else params,
        parent=_parent_of(active) or _outer_id(),
    )
    return _activate(_begin(request, active, "first", watch_exit=_outer_folder() is None))


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
        started = _started[-1] if _started else None
    return started or _parents_run(again=False)


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
        for file in found.put_back:
            warn(f"'{file.path}' had kept values that a run had set, and has its own again. {file.remark}".rstrip())
    return found


def current_run() -> ActiveRun:
    """The active run, else that of the process that started this one, else a new one; `start_run` may take it over."""
    run = active_run() or _parents_run(again=True)
    if run is None and rank_of(os.environ):
        run = _activate(ActiveRun(SilentRecorder(_outer_id()), launched=False, on_end=_deactivate))
        run._is_implicit = True
    if run is None and _outer_folder() is not None:  # launched, and nobody has taken it yet
        run = _activate(_joined(_outer_folder() or "", launched=True))
        run._is_implicit = True
    if run is None and any(told()):
        _warn_orphan()
        return ActiveRun(SilentRecorder(_outer_id()), launched=False, on_end=_deactivate)
    if run is None:
        run = start_run()
        run._is_implicit = True
    return run


def _activate(run: ActiveRun) -> ActiveRun:
    stack.set((*stack.get(), run))
    with _lock:
        _started.append(run)
    if threading.current_thread() is threading.main_thread():
        _main_runs.append(run)
        _tell()
    return run


def _deactivate(run: ActiveRun) -> None:
    active = stack.get()
    if run in active:
        stack.set(tuple(other for other in active if other is not run))
    with _lock:
        if run in _started:
            _started.remove(run)
    if not run._recorder.owned:
        _left.add(run._recorder.folder)
    if run in _main_runs:
        _main_runs.remove(run)
        _tell()


def _begin(request: RunRequest, active: Sequence[ActiveRun], ranks: str, *, watch_exit: bool = True) -> ActiveRun:
    """Begin or resume a run. What troubles a nested one is told where its parent tells it.

    Where nothing can be written, it is a run that keeps nothing, unless it is strict: a training goes on without.
    """
    global _announced
    on_trouble = active[-1]._recorder._on_trouble if _parent_of(active) else warn
    try:
        recorder = Recorder.begin(repository(), request, on_trouble=on_trouble)
    except (Conflict, CorruptData, StorageFailed, OSError) as error:
        if isinstance(error, Conflict) and request.resume is not None:
            return _join_live(request, request.resume)
        if repository().config.strict if request.strict is None else request.strict:
            raise
        on_trouble(f"The run is not recorded. {explain(error)}")
        return ActiveRun(SilentRecorder(request.parent), launched=False, on_end=_deactivate)
    recorder.set_environment(capture_environment(root=repository().git.work_tree))
    claim(recorder.folder)
    if ranks == "all":
        announce(recorder.folder, launch_key(os.environ, _announced))
        _announced += 1
    if watch_exit:
        _watch_exit()
    return ActiveRun(recorder, launched=False, on_end=_keeping_cells(recorder) if _is_kernel() else _deactivate)


def _parent_of(active: Sequence[ActiveRun]) -> RunId | None:
    """The innermost of the active runs that is recorded."""
    return next((run.id for run in reversed(active) if not run._recorder.is_silent), None)


def _keeping_cells(recorder: Recorder) -> Callable[[ActiveRun], None]:
    """What to call when the run ends whose code are the cells of a notebook."""
    from gitexp.cells import keep_cells  # only where there are cells

    end_cells = keep_cells(recorder)

    def on_end(run: ActiveRun) -> None:
        end_cells()
        _deactivate(run)

    return on_end


def _sample(run: ActiveRun, *, always: bool) -> None:
    if run._recorder.owned:
        config = run._recorder.repository.config
        if always or config.system_metrics:
            run.sample(SystemSampler(run._recorder, config.system_interval_s, with_self=True))


# Taking part in runs that other processes own.


def _join_launched(request: RunRequest) -> ActiveRun | None:
    """The launched run, if nobody has taken it yet; what the script says adds to what the command line said."""
    folder = _outer_folder()
    if folder is None or not claim(folder):
        return None
    run = _joined(folder, launched=True)
    run._take_over(request.name, request.experiment, request.params, request.tags, request.note)
    return run


def _join_live(request: RunRequest, text: str) -> ActiveRun:
    """A run that another process records, and that was to be resumed here.

    Raises:
        NotFound: it has ended meanwhile.
    """
    place = repository()
    folder = os.path.join(place.live.folder, place.resolve(text).record.id)
    until = time.monotonic() + WAIT_S
    while True:
        try:
            run = _joined(folder, launched=False)
            break
        except NotFound:
            if not os.path.isdir(folder) or time.monotonic() > until:
                raise
            time.sleep(0.05)  # its process captures the code still
    run._take_over(request.name, request.experiment, request.params, request.tags, request.note)
    return run


def _beyond_first(rank: int, ranks: str) -> ActiveRun:
    """The run of a rank that is not the first."""
    global _announced
    folder = _outer_folder()
    if ranks == "all" and folder is None:
        folder = find(repository().live, launch_key(os.environ, _announced))
        _announced += 1
        if folder is None:
            warn(f"The run of the first rank was not found; rank {rank} records nothing.")
    if ranks == "all" and folder is not None:
        return _joined(folder, launched=False, rank=rank)
    return ActiveRun(SilentRecorder(_outer_id()), launched=False, on_end=_deactivate)


def _parents_run(*, again: bool) -> ActiveRun | None:
    """The run of the process that started this one, where a script there has taken it; joined once for each run.

    Args:
        again: also where it was ended here.
    """
    global _parents
    if _parents is not None and not _parents._recorder.ended and not _parents._recorder.is_gone:
        return _parents
    folder = _outer_folder()
    if folder is None or rank_of(os.environ) or not is_claimed(folder) or (folder in _left and not again):
        return None
    if _parents is not None:
        _parents.end()
    with suppress(GitexpError):  # it has ended this very moment
        _parents = _joined(folder, launched=False)
        return _parents
    return None


def _joined(folder: str, *, launched: bool, rank: int = 0) -> ActiveRun:
    recorder = Recorder.join(Repository.open(folder), folder, on_trouble=warn, rank=rank)
    if not launched:  # what comes too late is told
        atexit.register(recorder.end, Status.FINISHED)
        util = sys.modules.get("multiprocessing.util")
        if util is not None:  # a forked worker leaves without `atexit`
            util.Finalize(None, recorder.end, args=(Status.FINISHED,), exitpriority=0)
    return ActiveRun(recorder, launched=launched, on_end=_deactivate)


def _outer_folder() -> str | None:
    return outer_folder(lambda: repository().live)


def _outer_id() -> RunId | None:
    return outer_id(lambda: repository().live)


def _tell() -> None:
    """Let the processes that this one starts find the run that was started last in the main thread."""
    tell(next((run._recorder.folder for run in reversed(_main_runs) if run._recorder.folder), None))


def _after_fork() -> None:
    """In the child: the parent's runs are the parent's, and this is a process that it started."""
    global _lock, _parents, _launched
    after_fork(next((run._recorder.folder for run in (*stack.get()[::-1], *_started[::-1])), None))
    stack.set(())
    _started.clear()
    _main_runs.clear()
    _left.clear()
    _parents = _launched = None
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _command() -> Sequence[str]:
    """The command line this process was started with; a notebook has none."""
    if _is_kernel():
        return ()
    original = getattr(sys, "orig_argv", None)
    return [os.path.basename(original[0]), *original[1:]] if original else sys.argv


def _is_kernel() -> bool:
    """Whether this is a Jupyter kernel."""
    if "ipykernel" not in sys.modules:
        return False
    from gitexp.cells import kernel_shell  # only where it may be

    return kernel_shell() is not None


def _entry_point() -> str | None:
    if _is_kernel():
        from gitexp.cells import notebook_name  # only where it may be

        return notebook_name()
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    return os.path.basename(path) if path else None


def _warn_orphan() -> None:
    global _is_orphan_told
    if not _is_orphan_told:
        _is_orphan_told = True
        warn("The run that this process belonged to has ended; what it logs now is not recorded.")


def warn(message: str) -> None:
    """Warn at the line of the script that led here; at none, where a thread or the interpreter's exit did."""
    level, frame = 1, sys._getframe()
    while frame.f_code.co_filename.startswith(_OURS) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    if frame.f_code.co_filename.startswith((_OURS, threading.__file__)):
        level = sys.getrecursionlimit()
    try:
        warnings.warn(message, GitexpWarning, stacklevel=level)
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
        run.end(status.value)


def _die(number: int, _frame: FrameType | None) -> None:
    _note_failure(Status.KILLED)
    _end_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
