"""Many runs side by side: read from the repository, and lined up."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from gitexp.comparing import FilePair, artifacts_of, code_pairs, machine_of, packages_of, record_of
from gitexp.domain.direction import Direction, direction
from gitexp.domain.lineup import CodeOf, Lineup, Row, Section, groups_of, rows_of
from gitexp.domain.metrics import History
from gitexp.domain.selector import Best, parse_selector, suggest
from gitexp.domain.values import Number
from gitexp.errors import GitexpError, NotFound, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository

_MOST_NAMED = 6


class DisplayedLineup(Lineup):
    """A lineup that Jupyter shows as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        names = ", ".join(repr(run.record.name) for run in self.runs[:_MOST_NAMED])
        return f"<Lineup of {len(self.runs)} runs: {names}{', ...' if len(self.runs) > _MOST_NAMED else ''}>"

    def _repr_html_(self) -> str:
        from gitexp.display import lineup_html  # only notebooks ask

        return lineup_html(self)


def line_up(
    repository: Repository, runs: Sequence[RunView], *, baseline: RunView | None = None, at: str | None = None
) -> Lineup:
    """What several runs have and where they differ.

    Args:
        baseline: the run that the others are measured against; it comes first, among `runs` or not.
        at: which values of metrics: the last ones where it is None; "best:val_loss" those at the step where each run's
            val_loss was best ("best:-reward": highest); a step's number those logged last up to it.

    Raises:
        UsageError: there is no run, or `at` cannot be read.
        NotFound: no run has the metric that `at` names.
    """
    if baseline is not None:
        runs = [baseline, *runs]
    runs = list({run.id: run for run in runs}.values())
    if not runs:
        raise UsageError("No runs to compare.", hint="gitexp compare A B C")
    steps = None if at is None else _steps(runs, at)
    metrics = [run.metrics for run in runs] if steps is None else list(map(_metrics_at, runs, steps))
    environments = [run.environment for run in runs]
    rows: list[Row] = [
        *rows_of(Section.RUN, [record_of(run.record) for run in runs]),
        *rows_of(Section.PARAMS, [run.params for run in runs]),
        *rows_of(Section.METRICS, metrics),
        *rows_of(Section.ENVIRONMENT, list(map(machine_of, environments))),
        *rows_of(Section.PACKAGES, list(map(packages_of, environments))),
        *rows_of(Section.ARTIFACTS, list(map(artifacts_of, runs))),
    ]
    return DisplayedLineup(
        runs=tuple(run.summary for run in runs),
        rows=tuple(rows),
        code=_code(repository, runs),
        baseline=None if baseline is None else 0,
        steps=steps,
    )


def _code(repository: Repository, runs: Sequence[RunView]) -> tuple[CodeOf | None, ...]:
    """The code of each run, and how far it is from that of the first run that has some; without earlier outputs."""
    first = next((run for run in runs if run.code.tree is not None), None)
    differences: list[tuple[FilePair, ...] | None] = []
    for run in runs:
        try:
            has_code = first is not None and run.code.tree is not None
            differences.append(tuple(code_pairs(repository, first or run, run)[0]) if has_code else None)
        except GitexpError:  # the objects did not come along
            differences.append(None)
    known = [tuple((pair.path, pair.after) for pair in pairs) for pairs in differences if pairs is not None]
    groups = iter(groups_of(known))
    return tuple(None if pairs is None else CodeOf(group=next(groups), files=len(pairs)) for pairs in differences)


def _steps(runs: Sequence[RunView], at: str) -> tuple[int | None, ...]:
    """The step that is meant in each run; None where a run never came so far."""
    if at.lstrip("-").isdecimal():
        return tuple(int(at) for _ in runs)
    wanted = parse_selector(at)
    if not isinstance(wanted, Best) or wanted.experiment:
        raise UsageError(f"'{at}' names no step.", hint="Write 'best:val_loss', 'best:-reward' or a step's number.")
    if not any(wanted.metric in run.metrics for run in runs):
        near = suggest(wanted.metric, {key for run in runs for key in run.metrics})
        hint = f"Did you mean {', '.join(near)}?" if near else ""
        raise NotFound(f"No run here has the metric '{wanted.metric}'.", hint=hint)
    highest = wanted.maximize or direction(wanted.metric) is Direction.HIGHER
    return tuple(_best_step(run, wanted.metric, highest=highest) for run in runs)


def _best_step(run: RunView, key: str, *, highest: bool) -> int | None:
    if key not in run.metrics:
        return None
    history = run.history(key)
    points = [(value, step) for value, step in zip(history.values, history.steps, strict=True) if value == value]
    if not points:
        return None
    found = max(value for value, _ in points) if highest else min(value for value, _ in points)
    return next(step for value, step in points if value == found)


def _metrics_at(run: RunView, step: int | None) -> Mapping[str, Number]:
    """The value of each metric that was logged last up to a step."""
    if step is None:
        return {}
    found = {key: _value_at(run.history(key), step) for key in run.metrics}
    return {key: value for key, value in found.items() if value is not None}


def _value_at(history: History, step: int) -> Number | None:
    order = sorted(range(len(history)), key=history.steps.__getitem__)
    place = bisect_right(order, step, key=history.steps.__getitem__)
    return history[order[place - 1]].value if place else None
