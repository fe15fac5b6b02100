"""A run being recorded from Python: what can be logged to it, and how it ends."""

from __future__ import annotations

import os
import time as clock
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from gitexp.domain.identity import RunId
from gitexp.domain.keys import is_git_folder, parse_artifact_path, parse_key
from gitexp.domain.run import FARTHEST_TIME, Input, Status
from gitexp.domain.source import Source
from gitexp.domain.values import Number, plain_number
from gitexp.errors import GitexpError, NotFound, UsageError
from gitexp.recording import JOIN, Recorder
from gitexp.system import SystemSampler

_LARGEST_STEP = 2**63 - 1

_now = clock.time


class ActiveRun:
    """A run being recorded. Use it as a context manager, or call `end`; the interpreter's exit ends what is left."""

    def __init__(self, recorder: Recorder, *, launched: bool, on_end: Callable[[ActiveRun], None]) -> None:
        self._recorder = recorder
        self._launched = launched
        self._on_end = on_end
        self._steps: dict[str, int] = {}
        self._point = recorder.point
        self._is_implicit = False
        self._besides: dict[Source, ActiveRun] = {}
        self._inputs: set[Input] = set()
        self._sampler: SystemSampler | None = None
        self.commit: str | None = None

    def __repr__(self) -> str:
        return f"<ActiveRun {self.name!r} {self.id}>"

    def _repr_html_(self) -> str | None:
        from gitexp.display import run_html  # only notebooks ask

        with suppress(Exception):  # what is shown must not end a cell
            return run_html(self._recorder.repository.resolve(str(self.id)))
        return None

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

    def log_batch(
        self,
        metrics: Mapping[str, Any] | None = None,
        *,
        steps: Any = None,
        times: Any = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> None:
        """Record whole histories at once: a million points take half a second.

        Args:
            metrics: arrays of shape (n,) by key: lists, numpy arrays, tensors, Series.
            steps: n integers for all of them; where left out, each metric's go on from its last.
            times: n times in seconds since 1970, UTC; now where left out.
            params, tags: as for `log_params` and `set_tags`.
        """
        if params is not None:
            self._recorder.log_params(params)
        if tags is not None:
            self._recorder.set_tags(tags)
        if metrics is not None and not isinstance(metrics, Mapping):
            self._recorder.trouble(
                UsageError(f"Metrics are a mapping of keys to arrays, not {type(metrics).__name__}.")
            )
            return
        for key, values in (metrics or {}).items():
            self._guard(self._log_column, key, values, steps, times)

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

    def register_model(self, path: str, model: str) -> None:
        """Let the artifact folder `path` be a new version of a registered model, once the run has ended."""
        from gitexp.domain.registry import parse_model_name  # few runs log models

        self._guard(self._recorder.register, parse_artifact_path(path), parse_model_name(model))

    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep a file, or all files of a folder, in the run's folder `artifact_path` (its top where left out)."""
        self._guard(self._log_artifact, os.fspath(local_path), artifact_path)

    def log_artifacts(self, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep every file below a folder, by its path in it; links that leave it are left out, with a warning."""
        self._guard(self._log_artifacts, os.fspath(local_dir), artifact_path)

    def log_input(
        self, source: Any = None, name: str | None = None, *, context: str | None = None, run: Any = None
    ) -> None:
        """Record what the run reads, by a digest of its content; the same again is once.

        A file or folder that an earlier run made is traced to it when this one ends.

        Args:
            source: a path of a file or folder, or data in memory: a DataFrame of pandas or polars, a table of Arrow or
                Hugging Face, an array, a tensor, a mapping or list of arrays.
            name: what data in memory is called, "dataset" where left out; a path is its own name.
            context: what it is for, like "training".
            run: instead of a source: a run by its name or id, `RUN:PATH` for an artifact, or what `get_run` gives.
        """
        from gitexp.consumption import read_input  # here: few runs do

        def log() -> None:
            read = read_input(self._recorder.repository, source, name, context, run)
            if read.input not in self._inputs:
                self._inputs.add(read.input)
                self._recorder.log_inputs([read])

        self._guard(log)

    def log_text(self, text: str, artifact_file: str, *, step: int | None = None) -> None:
        """Keep `text` as the artifact `artifact_file`; with a step, as one of its series: `note/00000003.txt`."""
        self._keep(lambda: str(text).encode("utf-8", "backslashreplace"), artifact_file, step)

    def log_html(self, html: str, artifact_file: str, *, step: int | None = None) -> None:
        """Keep a page of HTML as the artifact `artifact_file`."""
        self.log_text(html, artifact_file, step=step)

    def log_dict(self, dictionary: Any, artifact_file: str, *, step: int | None = None) -> None:
        """Keep a mapping or list as YAML where the name ends in .yaml or .yml, else as JSON."""
        from gitexp.media.documents import encode_dict  # here and below: a training pays for what it logs

        self._keep(lambda: encode_dict(dictionary, artifact_file), artifact_file, step)

    def log_histogram(
        self, values: Any, artifact_file: str, *, bins: int | Sequence[float] = 64, step: int | None = None
    ) -> None:
        """Keep how values are distributed, as JSON of `counts` and `edges`.

        Args:
            values: numbers in any shape, or a pair (counts, edges) as `numpy.histogram` gives it.
            bins: how many of equal width, or their edges.
        """
        from gitexp.media.documents import encode_histogram

        self._keep(lambda: encode_histogram(values, bins), artifact_file, step)

    def log_table(self, data: Any, artifact_file: str, *, step: int | None = None) -> None:
        """Keep a table: a DataFrame of pandas or polars, a table of Arrow, a mapping of columns, or a list of mappings.

        CSV or TSV where the name ends so, Parquet for .parquet, else JSON as {"columns", "data"}.
        """
        from gitexp.media.tables import encode_table

        self._keep(lambda: encode_table(data, artifact_file), artifact_file, step)

    def log_figure(self, figure: Any, artifact_file: str, *, step: int | None = None) -> None:
        """Keep a matplotlib or plotly figure in the format that the name's ending says."""
        from gitexp.media.pictures import encode_figure

        self._keep(lambda: encode_figure(figure, artifact_file), artifact_file, step)

    def log_image(self, image: Any, artifact_file: str, *, step: int | None = None) -> None:
        """Keep an image: PIL, or an array of shape (H, W) or (H, W, 1, 3 or 4), uint8 or floats in [0, 1]."""
        from gitexp.media.pictures import encode_image

        self._keep(lambda: encode_image(image, artifact_file), artifact_file, step)

    def log_video(self, frames: Any, artifact_file: str, *, fps: float = 10, step: int | None = None) -> None:
        """Keep frames, shape (T, H, W) or (T, H, W, 1, 3 or 4) or a list of images, as a .gif, .webp or .png."""
        from gitexp.media.pictures import encode_video

        self._keep(lambda: encode_video(frames, artifact_file, fps), artifact_file, step)

    def log_audio(self, samples: Any, artifact_file: str, *, sample_rate: int, step: int | None = None) -> None:
        """Keep sound, shape (n,) or (n, channels), floats in [-1, 1] or 16-bit integers, as a .wav."""
        from gitexp.media.sounds import encode_audio

        self._keep(lambda: encode_audio(samples, artifact_file, sample_rate), artifact_file, step)

    def sample(self, sampler: SystemSampler) -> None:
        """Have the machine sampled until the run ends."""
        self._sampler = sampler
        sampler.start()

    def beside(self, source: Source) -> ActiveRun:
        """The same run, for what is known from `source`; it ends with this one."""
        found = self._besides.get(source)
        if found is None:
            found = ActiveRun(self._recorder.beside(source), launched=self._launched, on_end=self._on_end)
            self._besides[source] = found
        return found

    def end(self, status: str = "finished") -> str | None:
        """End the run; gives its commit, or None where another process will seal it."""
        parsed = _parse_status(status)
        self._on_end(self)
        if self._sampler is not None:
            self._sampler.stop()
        if not self._recorder.ended:
            self.commit = self._recorder.end(parsed)
        return self.commit

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(status_of(error).value)

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
            at = self._last_step(parsed) + 1 if step is None else _parse_step(step, parsed)
            moment = _now() if time is None else _parse_times([time], parsed)[0]
            self._steps[parsed] = at
            self._point(parsed, at, moment, number)
        except (GitexpError, TypeError, ValueError, OverflowError) as error:
            self._recorder.trouble(error)

    def _last_step(self, key: str) -> int:
        found = self._steps.get(key)
        return self._recorder.last_step(key) if found is None else found

    def _log_column(self, key: str, values: Any, steps: Any, times: Any) -> None:
        parsed = parse_key(key, what="metric")
        numbers = numbers_of(values, parsed)
        count = len(numbers)
        if not count:
            return
        if steps is None:
            first = self._last_step(parsed) + 1
            at = array("q", range(first, first + count))
        else:
            at = _parse_steps(plain_list(steps), parsed)
        moments = array("d", [_now()]) * count if times is None else _parse_times(plain_list(times), parsed)
        for name, column in (("steps", at), ("times", moments)):
            if len(column) != count:
                raise UsageError(f"The metric '{parsed}' has {count:,} values, but there are {len(column):,} {name}.")
        self._steps[parsed] = at[-1]
        if isinstance(numbers, array):
            self._recorder.log_column(parsed, at, moments, numbers)
        else:
            for number, step, moment in zip(numbers, at, moments, strict=True):
                self._point(parsed, step, moment, number)

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
        git = self._recorder.repository.git
        own = {os.path.realpath(git.git_dir), os.path.realpath(git.common_dir)}
        for here, folders, names in os.walk(root):
            of_git = [name for name in (*folders, *names) if is_git_folder(name)]
            of_git += [name for name in folders if os.path.realpath(os.path.join(here, name)) in own]
            if of_git:
                self._recorder.warn(f"'{os.path.join(here, of_git[0])}' is git's, and left out of the artifacts.")
            folders[:] = sorted(name for name in folders if name not in of_git)
            for name in folders:
                if os.path.islink(os.path.join(here, name)):
                    self._recorder.warn(f"The link '{os.path.join(here, name)}' to a folder is left out.")
            for name in sorted(name for name in names if name not in of_git):
                path = os.path.join(here, name)
                if os.path.islink(path) and not os.path.realpath(path).startswith(inside + os.sep):
                    self._recorder.warn(f"The link '{path}' leaves the folder and is left out.")
                    continue
                relative = os.path.relpath(path, root).replace(os.sep, "/")
                self._guard(self._recorder.add_file, path, f"{folder}/{relative}" if folder else relative)

    def _keep(self, encode: Callable[[], bytes], name: str, step: int | None) -> None:
        from gitexp.media.steps import name_at_step

        self._guard(lambda: self._recorder.add_bytes(encode(), name_at_step(name, step)))

    def _guard(self, act: Callable[..., Any], *arguments: Any) -> None:
        if self._recorder.is_silent:
            return
        try:
            act(*arguments)
        except (GitexpError, OSError) as error:
            self._recorder.trouble(error)
        except Exception as error:
            if self._recorder.strict:
                raise
            self._recorder.warn(f"{type(error).__name__}: {error}.")


def status_of(error: BaseException | None) -> Status:
    """What an exception that ends a run makes of it."""
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


def plain_list(values: Any) -> list[Any]:
    """An array of any kind as a list of Python's own numbers.

    Raises:
        UsageError: it is no array of one dimension.
    """
    convert = getattr(values, "tolist", None)
    try:
        found = convert() if callable(convert) else list(values)
    except TypeError:
        found = None
    if not isinstance(found, list) or isinstance(values, (str, bytes, Mapping)):
        raise UsageError(f"Expected an array of numbers, not {type(values).__name__}.")
    if found and isinstance(found[0], (list, tuple)):
        raise UsageError("Expected an array of one dimension.", hint="Log each column under a key of its own.")
    return found


def numbers_of(values: Any, key: str) -> array[float] | array[int] | list[Number]:
    """The values of a metric as a column of one type where they have one.

    Raises:
        UsageError: one is not a number.
    """
    found = plain_list(values)
    kinds = set(map(type, found))
    if kinds == {float}:
        return array("d", found)
    if kinds == {int}:
        try:
            return array("q", found)
        except OverflowError:
            return found
    return [plain_number(value, key=key) for value in found]


def _parse_steps(steps: list[Any], key: str) -> array[int]:
    if set(map(type, steps)) == {int}:
        with suppress(OverflowError):  # one is too large: told below
            return array("q", steps)
    return array("q", [_parse_step(step, key) for step in steps])


def _parse_times(times: Iterable[Any], key: str) -> array[float]:
    try:
        parsed = array("d", map(float, times))
    except (TypeError, ValueError):
        parsed = array("d", [float("nan")])
    if sum(parsed) != sum(parsed) or any(
        abs(end) > FARTHEST_TIME for end in (min(parsed, default=0), max(parsed, default=0))
    ):
        raise UsageError(f"The time of the metric '{key}' must be a number of seconds since 1970.")
    return parsed


def _parse_step(step: Any, key: str) -> int:
    plain = plain_number(step, key=f"{key}, step")
    if plain != plain or int(plain) != plain or not -_LARGEST_STEP <= plain <= _LARGEST_STEP:
        raise UsageError(f"The step of the metric '{key}' must be a whole number below 2^63, not {step!r}.")
    return int(plain)
