"""What a model version must meet before it may have an alias or a stage (`registry.gates` in the settings)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from gitexp.domain.direction import Direction, direction
from gitexp.domain.identity import is_same_person, run_ref
from gitexp.domain.registry import ModelVersion, RegisteredModel
from gitexp.domain.summary import BrokenRun
from gitexp.errors import NotFound, QueryError, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository

BETTER, REPRODUCED, COMMITTED, OTHER_APPROVER = "better", "reproduced", "committed", "other approver"
REPRODUCTION_TAG, REPRODUCED_AS = "reproduction", ("identical", "same")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promotion:
    repository: Repository
    model: RegisteredModel
    version: ModelVersion
    run: RunView
    present: RunView | None
    """The run of the version that is there now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition of a gate, and why it does not hold; None where it does."""

    text: str
    failure: str | None


def require_gates(
    repository: Repository, model: RegisteredModel, version: ModelVersion, target: str, present: int | None
) -> None:
    """Make sure that a version may become `target`, an alias or a stage.

    Args:
        present: the version that is there now.

    Raises:
        UsageError: it may not; the message names every condition that fails, and why. Or a condition makes no sense.
        NotFound: the version's run is not here.
    """
    checked = check_gates(repository, model, version, target, present)
    failures = [condition.failure for condition in checked if condition.failure]
    if failures:
        listed = "\n".join(f"  {failure}" for failure in failures)
        raise UsageError(
            f"Version {version.number} of '{model.name}' may not become '{target}':\n{listed}",
            hint="The conditions are 'registry.gates' in .gitexp/config.yaml.",
        )


def check_gates(
    repository: Repository, model: RegisteredModel, version: ModelVersion, target: str, present: int | None
) -> list[Condition]:
    """Each condition for becoming `target`, and whether it holds. Arguments and errors as for `require_gates`."""
    conditions = repository.config.registry_gates.get(target, ())
    if not conditions:
        return []
    promotion = _Promotion(
        repository=repository,
        model=model,
        version=version,
        run=run_of(repository, version),
        present=None if present in (None, version.number) else run_of(repository, model.version(present or 0)),
    )
    return [Condition(text=text, failure=_check(text, promotion, target)) for text in conditions]


def run_of(repository: Repository, version: ModelVersion) -> RunView:
    """The run that a version came from: as it is now, or where it was removed, as it was when it was registered.

    Raises:
        NotFound: it is not here.
    """
    repository.index.refresh()
    found = repository.index.by_id_prefix(version.run)
    if found:
        return repository.view(found[0])
    then = next(repository.runs.load([(version.run, version.commit)]))
    if isinstance(then, BrokenRun):
        raise NotFound(f"The run '{version.run}' is not here.", hint=f"gitexp pull origin {version.run}")
    return repository.view(replace(then, ref=run_ref(then.record.experiment, then.record.id)))


def _check(text: str, promotion: _Promotion, target: str) -> str | None:
    """Why a condition does not hold; None where it does."""
    words = text.split()
    if words[:1] == [BETTER]:
        return _better(words[1:], text, promotion, target)
    plain: dict[str, Callable[[_Promotion], str | None]] = {
        REPRODUCED: _reproduced,
        COMMITTED: _committed,
        OTHER_APPROVER: _other_approver,
    }
    if " ".join(words) in plain:
        failure = plain[" ".join(words)](promotion)
        return failure and f"{text}: {failure}"
    return _search(text, promotion, target)


def _better(words: list[str], text: str, promotion: _Promotion, target: str) -> str | None:
    key = words[0].removeprefix("metrics.") if words else ""
    way = direction(key) if len(words) == 1 else Direction(words[1]) if words[1:] in (["lower"], ["higher"]) else None
    if not key or way is None:
        raise UsageError(
            f"The condition '{text}' of the gate '{target}' makes no sense.",
            hint="Say 'better metrics.KEY', and 'lower' or 'higher' after it where its name does not tell.",
        )
    value = promotion.run.metrics.get(key)
    if value is None or value != value:
        return f"{text}: its run has no metric '{key}'"
    old = promotion.present.metrics.get(key) if promotion.present else None
    if old is None or old != old or (value < old if way is Direction.LOWER else value > old):
        return None
    return f"{text}: it has {value}, the present version {old}"


def _reproduced(promotion: _Promotion) -> str | None:
    verdicts = ", ".join(f"'{verdict}'" for verdict in REPRODUCED_AS)
    again = promotion.repository.search(f"tags.{REPRODUCTION_TAG} in ({verdicts})")
    if any(run.record.reproduces == promotion.run.id for run in again):
        return None
    return f"no reproduction of it gave the same; type: gitexp reproduce {promotion.run.name}"


def _committed(promotion: _Promotion) -> str | None:
    code = promotion.run.record.code
    if code is None or code.commit is None:
        return "no commit is known that its code was based on"
    return "its code had changes that were not committed" if code.dirty else None


def _other_approver(promotion: _Promotion) -> str | None:
    who = promotion.repository.author
    made = [name for name in (promotion.version.author, promotion.run.record.author) if name]
    return f"{who} made it" if any(is_same_person(name, who) for name in made) else None


def _search(text: str, promotion: _Promotion, target: str) -> str | None:
    from gitexp.domain.matching import matches  # only where a model is promoted
    from gitexp.domain.query import parse

    try:
        query = parse(text, now=time.time())
    except QueryError as error:
        raise UsageError(
            f"The condition '{text}' of the gate '{target}' makes no sense: {error}",
            hint="Say what 'gitexp ls --where' takes, or one of "
            f"'{BETTER} metrics.KEY', '{REPRODUCED}', '{COMMITTED}', '{OTHER_APPROVER}'.",
        ) from error
    return None if matches(query, promotion.run.summary) else f"{text}: it is not so{_values(text, promotion.run)}"


def _values(text: str, run: RunView) -> str:
    """What the run has of the metrics that a condition names."""
    named = [f"{key} is {value}" for key, value in sorted(run.metrics.items()) if f"metrics.{key}" in text]
    return f", {', '.join(named)}" if named else ""
