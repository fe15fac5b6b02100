"""Recording from Python: `start_run`, `log_metric` and their kin, with the names people know."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from gitexp.activerun import ActiveRun
from gitexp.reading import RunView
from gitexp.repo import Runs
from gitexp.session import (
    GitexpWarning,
    active_run,
    current_run,
    end_run,
    repository,
    set_experiment,
    stack,
    start_run,
    warn,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gitexp.domain.lineup import Lineup
    from gitexp.ranking import Ranking
    from gitexp.reproducing.rerunning import Reproduction
    from gitexp.reproducing.verifying import Verification

__all__ = [
    "ActiveRun",
    "GitexpWarning",
    "active_run",
    "end_run",
    "set_experiment",
    "start_run",
]


def log_metric(key: str, value: Any, step: int | None = None, *, time: float | None = None) -> None:
    """`ActiveRun.log_metric` of the active run; starts one where there is none."""
    active = stack.get()
    (active[-1] if active else current_run()).log_metric(key, value, step, time=time)


def log_metrics(metrics: Mapping[str, Any], step: int | None = None, *, time: float | None = None) -> None:
    """`ActiveRun.log_metrics` of the active run; starts one where there is none."""
    current_run().log_metrics(metrics, step, time=time)


def log_batch(
    metrics: Mapping[str, Any] | None = None,
    *,
    steps: Any = None,
    times: Any = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, object] | None = None,
) -> None:
    """`ActiveRun.log_batch` of the active run; starts one where there is none."""
    current_run().log_batch(metrics, steps=steps, times=times, params=params, tags=tags)


def log_param(key: str, value: Any) -> None:
    """`ActiveRun.log_param` of the active run; starts one where there is none."""
    current_run().log_param(key, value)


def log_params(params: Mapping[str, Any]) -> None:
    """`ActiveRun.log_params` of the active run; starts one where there is none."""
    current_run().log_params(params)


def set_tag(key: str, value: object) -> None:
    """`ActiveRun.set_tag` of the active run; starts one where there is none."""
    current_run().set_tag(key, value)


def set_tags(tags: Mapping[str, object]) -> None:
    """`ActiveRun.set_tags` of the active run; starts one where there is none."""
    current_run().set_tags(tags)


def set_note(text: str) -> None:
    """`ActiveRun.set_note` of the active run; starts one where there is none."""
    current_run().set_note(text)


def log_artifact(local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """`ActiveRun.log_artifact` of the active run; starts one where there is none."""
    current_run().log_artifact(local_path, artifact_path)


def log_artifacts(local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """`ActiveRun.log_artifacts` of the active run; starts one where there is none."""
    current_run().log_artifacts(local_dir, artifact_path)


def log_input(source: Any = None, name: str | None = None, *, context: str | None = None, run: Any = None) -> None:
    """`ActiveRun.log_input` of the active run; starts one where there is none."""
    current_run().log_input(source, name, context=context, run=run)


def log_text(text: str, artifact_file: str, *, step: int | None = None) -> None:
    """`ActiveRun.log_text` of the active run; starts one where there is none."""
    current_run().log_text(text, artifact_file, step=step)


def log_html(html: str, artifact_file: str, *, step: int | None = None) -> None:
    """`ActiveRun.log_html` of the active run; starts one where there is none."""
    current_run().log_html(html, artifact_file, step=step)


def log_dict(dictionary: Any, artifact_file: str, *, step: int | None = None) -> None:
    """`ActiveRun.log_dict` of the active run; starts one where there is none."""
    current_run().log_dict(dictionary, artifact_file, step=step)


def log_histogram(
    values: Any, artifact_file: str, *, bins: int | Sequence[float] = 64, step: int | None = None
) -> None:
    """`ActiveRun.log_histogram` of the active run; starts one where there is none."""
    current_run().log_histogram(values, artifact_file, bins=bins, step=step)


def log_table(data: Any, artifact_file: str, *, step: int | None = None) -> None:
    """`ActiveRun.log_table` of the active run; starts one where there is none."""
    current_run().log_table(data, artifact_file, step=step)


def log_figure(figure: Any, artifact_file: str, *, step: int | None = None) -> None:
    """`ActiveRun.log_figure` of the active run; starts one where there is none."""
    current_run().log_figure(figure, artifact_file, step=step)


def log_image(image: Any, artifact_file: str, *, step: int | None = None) -> None:
    """`ActiveRun.log_image` of the active run; starts one where there is none."""
    current_run().log_image(image, artifact_file, step=step)


def log_video(frames: Any, artifact_file: str, *, fps: float = 10, step: int | None = None) -> None:
    """`ActiveRun.log_video` of the active run; starts one where there is none."""
    current_run().log_video(frames, artifact_file, fps=fps, step=step)


def log_audio(samples: Any, artifact_file: str, *, sample_rate: int, step: int | None = None) -> None:
    """`ActiveRun.log_audio` of the active run; starts one where there is none."""
    current_run().log_audio(samples, artifact_file, sample_rate=sample_rate, step=step)


def get_run(run: str) -> RunView:
    """The run that a name, an id or its beginning, a commit, `@`, `@~1` or `best:metrics.rmse` names.

    Raises:
        NotFound, Ambiguous
    """
    return repository().get_run(run)


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
    return repository().search(where, sort=sort, limit=limit, experiments=experiments)


def download_artifacts(
    run: str, path: str = "", to: str | os.PathLike[str] | None = None, *, overwrite: bool = False
) -> Path:
    """Write artifacts of a run as files, fetched from a remote where they are not on this machine; gives where.

    Args:
        run: as `get_run` takes it.
        path: of a file or a folder, or a pattern like "plots/*.png"; empty: all artifacts.
        to: the folder for what is in a folder, or a file's new name; an existing folder takes a file as it is called.
            None: the present folder; of all artifacts, a folder in it with the run's name.
        overwrite: write over files that are different.

    Returns:
        The path of the file, or of the folder they are below.

    Raises:
        NotFound, Ambiguous: no such run or artifact, or its content is nowhere.
        RemoteFailed: a remote that may have it cannot be reached.
        UsageError: a different file is there already; nothing was written.
    """
    from pathlib import Path  # a training does without both

    from gitexp.sharing.artifacts import choose_from, get

    here = repository()
    chosen = choose_from(here.get_run(run), path)
    return Path(get(here, chosen, None if to is None else os.fspath(to), force=overwrite).place)


def reproduce(
    run: str,
    *,
    here: bool = False,
    env: Literal["auto", "current", "venv", "conda"] = "auto",
    overrides: Sequence[str] = (),
    tolerance: float = 0.0,
    times: int = 1,
    name: str | None = None,
) -> Reproduction:
    """Do a run again, recorded as a new run, and judge whether it came to the same: `.verdict`, `.runs`.

    What the command prints goes to this process's stdout and stderr.

    Args:
        run: as `get_run` takes it.
        here: in the work tree, after the run's code was applied to it, and in the present environment.
        env: what to run in: "auto" is the recorded environment, built if need be.
        overrides: values to set, like "lr=0.2", as `gitexp run --set` takes them.
        tolerance: how far numbers may be apart, relative to the larger; for small ones absolutely.
        times: how often; from two on the run's own noise is measured.
        name: of the new run.

    Raises:
        UsageError, NotFound: the record does not say enough, or something is nowhere; nothing has run.
        EnvironmentFailed: the environment cannot be had.
        CommandFailed: the command failed, and had not when the run was recorded.
    """
    from gitexp.reproducing import rerunning  # a training does without

    options = rerunning.Options(
        here=here, environment=env, overrides=tuple(overrides), tolerance=tolerance, times=times, name=name
    )
    present = repository()
    return rerunning.reproduce(present, present.get_run(run), options, trouble=warn)


def verify(run: str, *, packages: bool = False) -> Verification:
    """Whether all is there to do a run again, without running it: `.missing` names what is not.

    Args:
        run: as `get_run` takes it.
        packages: build its environment too, which needs an index of packages.

    Raises:
        NotFound, Ambiguous: there is no such run.
        UsageError: it is still being recorded.
    """
    from gitexp.reproducing import verifying  # a training does without

    present = repository()
    return verifying.verify(present, present.get_run(run), packages=packages)


def compare_runs(
    *runs: str, where: str = "", sort: str = "", baseline: str | None = None, at: str | None = None
) -> Lineup:
    """Several runs side by side: what each has, where they differ. `.to_pandas()` makes a DataFrame of what differs.

    Args:
        runs: as `get_run` takes them; without any, those that match `where`.
        baseline: the run that the others are measured against.
        at: which values of metrics: "best:val_loss" or a step's number; the last ones where it is left out.

    Raises:
        NotFound, Ambiguous, QueryError, UsageError
    """
    from gitexp.lineup import line_up  # a training does without

    here = repository()
    views = [here.get_run(run) for run in runs] or [here.view(run) for run in here.search(where, sort=sort)]
    return line_up(here, views, baseline=None if baseline is None else here.get_run(baseline), at=at)


def best_runs(objectives: str, *, where: str = "", limit: int | None = None) -> Ranking:
    """The runs with the best numbers, the best first: by one objective, or the Pareto front of several.

    Args:
        objectives: like "metrics.rmse" or "val/auc, run.duration, -metrics.reward"; a minus: higher is better.

    Raises:
        NotFound: no run has such a number.
        UsageError: an objective does not tell which way is better.
    """
    from gitexp import ranking  # a training does without

    return ranking.best_runs(repository(), objectives, where=where, limit=limit)
