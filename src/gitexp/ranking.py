"""The best runs: by one number, or by several at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitexp.domain import pareto
from gitexp.domain.objective import Objective, parse_objectives
from gitexp.domain.selector import suggest
from gitexp.domain.summary import RunSummary
from gitexp.errors import NotFound, UsageError
from gitexp.repo import Repository, Runs

_KEYS = {"param": "params", "metric": "metrics", "tag": "tags"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Runs, best first.

    Attributes:
        objectives: what was looked for; the first one decides the order.
        runs: `.to_pandas()` makes a DataFrame of them; `total` counts those before any limit.
        dominated: how many runs some other one beats in everything; 0 with one objective.
        without: how many runs have no number for an objective, by its name; they are left out.
    """

    objectives: tuple[Objective, ...]
    runs: Runs
    dominated: int
    without: Mapping[str, int]

    def _repr_html_(self) -> str:
        return self.runs._repr_html_()


def best_runs(
    repository: Repository,
    objectives: Sequence[Objective] | str,
    *,
    where: str = "",
    experiments: Sequence[str] = (),
    limit: int | None = None,
) -> Ranking:
    """The runs with the best numbers: ordered by one objective, the Pareto front of several.

    Args:
        objectives: such as `parse_objectives` gives, or its text: "metrics.rmse, run.duration".
        where: a search expression.
        limit: at most so many.

    Raises:
        NotFound: no run has a number for an objective.
        UsageError: an objective cannot be read, or does not tell which way it is better.
    """
    if isinstance(objectives, str):
        objectives = parse_objectives(objectives)
    if not objectives:
        raise UsageError("Nothing to look for is named.", hint="gitexp best metrics.rmse")
    runs = repository.search(where, experiments=experiments)
    ranking = rank(runs, tuple(dict.fromkeys(objectives)), limit=limit)
    for objective in ranking.objectives:
        if runs and ranking.without.get(objective.name) == len(runs):
            raise _not_there(repository, objective, where)
        if objective.direction is None:
            name = objective.name
            raise UsageError(
                f"The name of '{name}' does not tell which way is better.",
                hint=f"Say --max or --min; in --pareto, '-{name}' if higher is better, '+{name}' if lower is.",
            )
    return ranking


def rank(runs: Sequence[RunSummary], objectives: tuple[Objective, ...], *, limit: int | None = None) -> Ranking:
    """The ranking among `runs`; equal ones keep their order."""
    without: dict[str, int] = {}
    candidates = []
    for run in runs:
        values = [objective.value(run) for objective in objectives]
        costs = []
        for objective, value in zip(objectives, values, strict=True):
            if value is None:
                without[objective.name] = without.get(objective.name, 0) + 1
            else:
                costs.append(objective.cost(value))
        if len(costs) == len(objectives):
            candidates.append((tuple(costs), run))
    kept = candidates
    if len(objectives) > 1:
        kept = [candidates[position] for position in pareto.front([costs for costs, _ in candidates])]
    kept.sort(key=lambda item: item[0])
    return Ranking(
        objectives=objectives,
        runs=Runs([run for _, run in kept[:limit]], len(kept)),
        dominated=len(candidates) - len(kept),
        without=without,
    )


def _not_there(repository: Repository, objective: Objective, where: str) -> NotFound:
    family = _KEYS.get(objective.field.kind)
    among = " that matches" if where else ""
    if family is None:
        return NotFound(f"No run{among} has a number for '{objective.name}'.")
    known = {*repository.index.keys(objective.field.kind)}
    known |= {key for run in repository.live_summaries() for key in getattr(run, family)}
    near = [f"{family}.{key}" for key in suggest(objective.field.key, known - {objective.field.key})]
    hint = f"Did you mean {', '.join(near)}?" if near else "'gitexp ls' shows what runs have."
    return NotFound(f"No run{among} has a number for '{objective.name}'.", hint=hint)
