"""Recording from Python: `start_run`, `log_metric` and their kin, with the names people know.

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
import time as clock
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any

from gitexp import media
from gitexp.domain.identity import RunId, is_run_id, parse_name, parse_run_id
from gitexp.domain.keys import parse_artifact_path, parse_key
from gitexp.domain.run import Status
from gitexp.domain.source import Source
from gitexp.domain.values import Number, plain_number
from gitexp.errors import GitexpError, NotFound, UsageError
from gitexp.reading import RunView
from gitexp.recording import JOIN, Recorder, RunRequest
from gitexp.repo import Repository, Runs
from gitexp.running.environment import capture_environment

_LARGEST_STEP = 2**63 - 1

_now = clock.time


class GitexpWarning(UserWarning):
    """Something could not be recorded; the training goes on."""


class ActiveRun:
    """A run being recorded. Use it as a context manager, or call `end`; the interpreter's exit ends what is left."""

    def __init__(self, recorder: Recorder, *, launched: bool) -> None:
        self._recorder = recorder
        self._launched = launched
        self._steps: dict[str, int] = {}
        self._point = recorder.point
        self._token: contextvars.Token[tuple[ActiveRun, ...]] | None = None
        self._is_implicit = False
        self._besides: dict[Source, ActiveRun] = {}
        self.commit: str | None = None

    def __repr__(self) -> str:
        return f"<ActiveRun {self.name!r} {self.id}>"

    @property
    def id(self) -> RunId:
        return self._recorder.run_id

    @property
    def name(self) -> str:
        return self._recorder.name

    @property
    def experiment(self) -> str:
        return self._recorder.experiment

    def log_metric(self, key: str, value: Any, step: int | None = None, *, time: float | None = None) -> None:
        """Record one value of a metric.

        Args:
            value: a number; numpy scalars and 0-d tensors too.
            step: an integer; one more than the metric's last where it is left out, beginning with 0.
            time: seconds since 1970, UTC; now where it is left out.
        """
        steps = self._steps
        if type(value) is float and type(step) is int and key in steps:
            steps[key] = step
            try:
                self._point(key, step, _now() if time is None else time, value)
            except UsageError as error:  # a step beyond 64 bits
                self._recorder.trouble(error)
        else:
            self._log_checked(key, value, step, time)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None, *, time: float | None = None) -> None:
        """Record one value of each metric, all at the same step and time."""
        moment = _now() if time is None else time
        if not isinstance(metrics, Mapping):
            self._recorder.trouble(
                UsageError(f"Metrics are a mapping of keys to numbers, not {type(metrics).__name__}.")
            )
            return
        for key, value in metrics.items():
            self.log_metric(key, value, step, time=moment)

    def log_param(self, key: str, value: Any) -> None:
        """Record one param; a mapping gives one for each of its leaves, `key.name`."""
        self._recorder.log_params({key: value})

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record params, nested or flat."""
        self._recorder.log_params(params)

    def set_tag(self, key: str, value: object) -> None:
        self._recorder.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        self._recorder.set_tags(tags)

    def set_note(self, text: str) -> None:
        """Say in free text what the run is about."""
        self._recorder.set_note(str(text))

    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep a file, or all files of a folder, in the run's folder `artifact_path` (its top where left out)."""
        self._guard(self._log_artifact, os.fspath(local_path), artifact_path)

    def log_artifacts(self, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep every file below a folder, by its path in it; links that leave it are left out, with a warning."""
        self._guard(self._log_artifacts, os.fspath(local_dir), artifact_path)

    def log_text(self, text: str, artifact_file: str) -> None:
        """Keep `text` as the artifact `artifact_file`."""
        self._guard(lambda: self._recorder.add_bytes(str(text).encode("utf-8", "backslashreplace"), artifact_file))

    def log_dict(self, dictionary: Any, artifact_file: str) -> None:
        """Keep a mapping or list as YAML where the name ends in .yaml or .yml, else as JSON."""
        self._guard(lambda: self._recorder.add_bytes(media.encode_dict(dictionary, artifact_file), artifact_file))

    def log_table(self, data: Any, artifact_file: str) -> None:
        """Keep a table: a DataFrame, a mapping of columns, or a list of row mappings.

        CSV where the name ends in .csv, Parquet for .parquet (a DataFrame only), else JSON as {"columns", "data"}.
        """
        self._guard(lambda: self._recorder.add_bytes(media.encode_table(data, artifact_file), artifact_file))

    def log_figure(self, figure: Any, artifact_file: str) -> None:
        """Keep a matplotlib or plotly figure in the format that the name's ending says."""
        self._guard(lambda: self._recorder.add_bytes(media.encode_figure(figure, artifact_file), artifact_file))

    def log_image(self, image: Any, artifact_file: str) -> None:
        """Keep an image: PIL, or an array of shape (H, W) or (H, W, 1 to 4), uint8 or floats in [0, 1]."""
        self._guard(lambda: self._recorder.add_bytes(media.encode_image(image, artifact_file), artifact_file))

    def beside(self, source: Source) -> ActiveRun:
        """The same run, for what is known from `source`; it ends with this one."""
        found = self._besides.get(source)
        if found is None:
            found = ActiveRun(self._recorder.beside(source), launched=self._launched)
            self._besides[source] = found
        return found

    def end(self, status: str = "finished") -> str | None:
        """End the run; gives its commit, or None where another process will seal it."""
        parsed = _parse_status(status)
        _deactivate(self)
        if not self._recorder.ended:
            self.commit = self._recorder.end(parsed)
        return self.commit

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(_status_of(error).value)

    def _take_over(
        self,
        name: str | None,
        experiment: str | None,
        params: Mapping[str, Any],
        tags: Mapping[str, object],
        note: str | None,
    ) -> None:
        """What `start_run` says of a run that is being recorded already; the command line's word counts more."""
        self._is_implicit = False
        recorder = self._recorder
        if name and not (self._launched and os.environ.get(f"{JOIN}_NAMED") == "1"):
            recorder.rename(name)
        if experiment and not (self._launched and os.environ.get(f"{JOIN}_PLACED") == "1"):
            recorder.move(experiment)
        recorder.log_params(params)
        recorder.set_tags(tags)
        if note:
            recorder.set_note(note)

    def _log_checked(self, key: str, value: Any, step: Any, time: float | None) -> None:
        try:
            parsed = parse_key(key, what="metric")
            number: Number = plain_number(value, key=parsed)
            at = self._steps.get(parsed, -1) + 1 if step is None else _parse_step(step, parsed)
            moment = _now() if time is None else float(time)
        except (GitexpError, TypeError, ValueError, OverflowError) as error:
            self._recorder.trouble(error)
            return
        self._steps[parsed] = at
        self._point(parsed, at, moment, number)

    def _log_artifact(self, path: str, folder: str | None) -> None:
        if os.path.isdir(path):
            name = os.path.basename(os.path.abspath(path))
            self._log_artifacts(path, f"{folder}/{name}" if folder else name)
            return
        name = os.path.basename(path)
        self._recorder.add_file(path, f"{folder}/{name}" if folder else name)

    def _log_artifacts(self, root: str, folder: str | None) -> None:
        if not os.path.isdir(root):
            raise NotFound(f"There is no folder '{root}'.")
        if folder:
            parse_artifact_path(folder)
        inside = os.path.realpath(root)
        for here, folders, names in os.walk(root):
            folders.sort()
            for name in folders:
                if os.path.islink(os.path.join(here, name)):
                    self._recorder.warn(f"The link '{os.path.join(here, name)}' to a folder is left out.")
            for name in sorted(names):
                path = os.path.join(here, name)
                if os.path.islink(path) and not os.path.realpath(path).startswith(inside + os.sep):
                    self._recorder.warn(f"The link '{path}' leaves the folder and is left out.")
                    continue
                relative = os.path.relpath(path, root).replace(os.sep, "/")
                self._guard(self._recorder.add_file, path, f"{folder}/{relative}" if folder else relative)

    def _guard(self, act: Callable[..., Any], *arguments: Any) -> None:
        try:
            act(*arguments)
        except (GitexpError, OSError) as error:
            self._recorder.trouble(error)
        except Exception as error:
            if self._recorder.strict:
                raise
            self._recorder.warn(f"{type(error).__name__}: {error}.")


_stack: contextvars.ContextVar[tuple[ActiveRun, ...]] = contextvars.ContextVar("gitexp_runs", default=())
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
    active = _stack.get()
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
        run = ActiveRun(_begin(request), launched=False)
        _watch_exit()
    _activate(run)
    return run


def end_run(status: str = "finished") -> str | None:
    """End the active run, and give its commit. Without one, nothing happens."""
    run = active_run()
    return run.end(status) if run else None


def active_run() -> ActiveRun | None:
    """The run that logging goes to from here, if any."""
    active = _stack.get()
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
        _launched = ActiveRun(recorder, launched=True)
    return _launched


def set_experiment(name: str) -> None:
    """Say where the runs started from now on belong; created with its first run."""
    global _experiment
    _experiment = parse_name(name, what="experiment name")


def log_metric(key: str, value: Any, step: int | None = None, *, time: float | None = None) -> None:
    """`ActiveRun.log_metric` of the active run; starts one where there is none."""
    active = _stack.get()
    (active[-1] if active else _current()).log_metric(key, value, step, time=time)


def log_metrics(metrics: Mapping[str, Any], step: int | None = None, *, time: float | None = None) -> None:
    """`ActiveRun.log_metrics` of the active run; starts one where there is none."""
    _current().log_metrics(metrics, step, time=time)


def log_param(key: str, value: Any) -> None:
    """`ActiveRun.log_param` of the active run; starts one where there is none."""
    _current().log_param(key, value)


def log_params(params: Mapping[str, Any]) -> None:
    """`ActiveRun.log_params` of the active run; starts one where there is none."""
    _current().log_params(params)


def set_tag(key: str, value: object) -> None:
    """`ActiveRun.set_tag` of the active run; starts one where there is none."""
    _current().set_tag(key, value)


def set_tags(tags: Mapping[str, object]) -> None:
    """`ActiveRun.set_tags` of the active run; starts one where there is none."""
    _current().set_tags(tags)


def set_note(text: str) -> None:
    """`ActiveRun.set_note` of the active run; starts one where there is none."""
    _current().set_note(text)


def log_artifact(local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """`ActiveRun.log_artifact` of the active run; starts one where there is none."""
    _current().log_artifact(local_path, artifact_path)


def log_artifacts(local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """`ActiveRun.log_artifacts` of the active run; starts one where there is none."""
    _current().log_artifacts(local_dir, artifact_path)


def log_text(text: str, artifact_file: str) -> None:
    """`ActiveRun.log_text` of the active run; starts one where there is none."""
    _current().log_text(text, artifact_file)


def log_dict(dictionary: Any, artifact_file: str) -> None:
    """`ActiveRun.log_dict` of the active run; starts one where there is none."""
    _current().log_dict(dictionary, artifact_file)


def log_table(data: Any, artifact_file: str) -> None:
    """`ActiveRun.log_table` of the active run; starts one where there is none."""
    _current().log_table(data, artifact_file)


def log_figure(figure: Any, artifact_file: str) -> None:
    """`ActiveRun.log_figure` of the active run; starts one where there is none."""
    _current().log_figure(figure, artifact_file)


def log_image(image: Any, artifact_file: str) -> None:
    """`ActiveRun.log_image` of the active run; starts one where there is none."""
    _current().log_image(image, artifact_file)


def get_run(run: str) -> RunView:
    """The run that a name, an id or its beginning, a commit, `@`, `@~1` or `best:metrics.rmse` names.

    Raises:
        NotFound, Ambiguous
    """
    return _repository().get_run(run)


def search_runs(
    where: str = "",
    *,
    sort: str = "",
    limit: int | None = None,
    experiment: str | Sequence[str] = (),
) -> Runs:
    """The runs that match, newest first unless `sort` says otherwise. `.to_pandas()` makes a DataFrame of them.

    Args:
        where: like "metrics.rmse < 6.5 and params.lr = 0.1"; MLflow's filter strings too.
        sort: like "metrics.rmse" or "-metrics.auc".

    Raises:
        QueryError: `where` or `sort` cannot be read.
    """
    experiments = (experiment,) if isinstance(experiment, str) else tuple(experiment)
    return _repository().search(where, sort=sort, limit=limit, experiments=experiments)


def _repository() -> Repository:
    """The repository of the working directory, opened once a process for each place."""
    key = (os.getcwd(), os.environ.get("GIT_DIR"))
    found = _repositories.get(key)
    if found is None:
        found = _repositories[key] = Repository.open(key[0])
        for run in found.recovered:
            how = f"could not be sealed yet: {run.problem}" if run.problem else f"is sealed as {run.status}."
            _warn(f"The run '{run.name}' had ended without being closed; it {how}")
    return found


def _current() -> ActiveRun:
    """The active run, else the one that `gitexp run` launched, else a new one; `start_run` may still take it over."""
    run = active_run()
    if run is None:
        run = _activate(_join(RunRequest())) if os.environ.get(JOIN) else None
        run = run or start_run()
        run._is_implicit = True
    return run


def _activate(run: ActiveRun | None) -> ActiveRun | None:
    if run is not None:
        run._token = _stack.set((*_stack.get(), run))
        with _lock:
            _started.append(run)
    return run


def _launched_run() -> RunId | None:
    """The run that `gitexp run` launched this process in, if any."""
    name = os.path.basename(os.environ.get(JOIN, ""))
    return parse_run_id(name) if is_run_id(name) else None


def _begin(request: RunRequest) -> Recorder:
    recorder = Recorder.begin(_repository(), request, on_trouble=_warn)
    recorder.set_environment(capture_environment())
    return recorder


def _join(request: RunRequest) -> ActiveRun | None:
    """Take part in the launched run; what the script says adds to what the command line said."""
    global _joined
    folder = os.environ.get(JOIN)
    if not folder or not os.path.isdir(folder):
        return None
    _joined = True
    run = ActiveRun(Recorder.join(Repository.open(folder), folder, on_trouble=_warn), launched=True)
    run._take_over(request.name, request.experiment, request.params, request.tags, request.note)
    return run


def _deactivate(run: ActiveRun) -> None:
    active = _stack.get()
    if run in active:
        _stack.set(tuple(other for other in active if other is not run))
    with _lock:
        if run in _started:
            _started.remove(run)


def _status_of(error: BaseException | None) -> Status:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return Status.FINISHED
    return Status.KILLED if isinstance(error, KeyboardInterrupt) else Status.FAILED


def _parse_status(status: str) -> Status:
    """A final status; MLflow's upper-case names too."""
    try:
        parsed = Status(str(status).lower())
    except ValueError as error:
        raise UsageError(
            f"'{status}' is no status.", hint="Use 'finished', 'failed', 'killed' or 'crashed'."
        ) from error
    if parsed is Status.RUNNING:
        raise UsageError("A run cannot end as 'running'.", hint="Use 'finished', 'failed', 'killed' or 'crashed'.")
    return parsed


def _parse_step(step: Any, key: str) -> int:
    plain = plain_number(step, key=f"{key}, step")
    if plain != plain or int(plain) != plain or not -_LARGEST_STEP <= plain <= _LARGEST_STEP:
        raise UsageError(f"The step of the metric '{key}' must be a whole number below 2^63, not {step!r}.")
    return int(plain)


def _command() -> Sequence[str]:
    """The command line this process was started with."""
    original = getattr(sys, "orig_argv", None)
    return [os.path.basename(original[0]), *original[1:]] if original else sys.argv


def _entry_point() -> str | None:
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    return os.path.basename(path) if path else None


def _warn(message: str) -> None:
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
        _note_failure(_status_of(error))
        previous_hook(kind, error, trace)

    def exit_(code: Any = None, /) -> Any:
        _note_failure(_status_of(SystemExit(code)))
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
