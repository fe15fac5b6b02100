"""Several trainings in one run: the first has the plain keys, each other one has keys of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gitexp.domain.values import plain_value, same_value
from gitexp.integrations.patching import guarded, warn

if TYPE_CHECKING:
    from gitexp.activerun import ActiveRun

MOST = 20
"""So many different trainings of a run are recorded."""

_known: dict[str, list[tuple[str, object]]] = {}
"""The trainings that each run has had: name and params."""


class Part:
    """What one training logs to a run: as `ActiveRun`, with its own beginning of all keys.

    Without a run it takes everything and keeps nothing.
    """

    def __init__(self, run: ActiveRun | None, prefix: str = "") -> None:
        self.run = run
        self.prefix = prefix

    @classmethod
    def begin(cls, framework: str, run: ActiveRun, name: str, params: Callable[[], Mapping[str, Any]]) -> Part:
        """The part of a training that begins, and its params. Never raises.

        The first of a run has no prefix, others have one like "Ridge." and "Ridge_2."; one with the name and params of
        an earlier one, as for another fold of the data, logs to that one's keys.

        Args:
            name: what is trained, like the name of its class. params: plain ones.
        """
        part = cls(None)
        with guarded(framework):
            given: Mapping[str, Any] = {}
            with guarded(framework):
                given = params()
            prefix = _prefix(run.id, name, given)
            if prefix is None:
                warn(f"More than {MOST} different models were trained in one run; what came then is left out.")
                return part
            part = cls(run, prefix)
            part.log_params(given)
        return part

    def log_params(self, params: Mapping[str, Any]) -> None:
        if self.run is not None:
            self.run.log_params({f"{self.prefix}{key}": value for key, value in params.items()})

    def log_metric(self, key: str, value: Any, step: int | None = None) -> None:
        if self.run is not None:
            self.run.log_metric(f"{self.prefix}{key}", value, step)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if self.run is not None:
            self.run.log_metrics({f"{self.prefix}{key}": value for key, value in metrics.items()}, step)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        if self.run is not None:
            self.run.set_tags({f"{self.prefix}{key}": value for key, value in tags.items()})

    def log_text(self, text: str, artifact_file: str) -> None:
        if self.run is not None:
            self.run.log_text(text, self._path(artifact_file))

    def log_dict(self, dictionary: Any, artifact_file: str) -> None:
        if self.run is not None:
            self.run.log_dict(dictionary, self._path(artifact_file))

    def log_table(self, data: Any, artifact_file: str) -> None:
        if self.run is not None:
            self.run.log_table(data, self._path(artifact_file))

    def _path(self, file: str) -> str:
        return f"{self.prefix[:-1]}/{file}" if self.prefix else file


def _prefix(run_id: str, name: str, params: Mapping[str, Any]) -> str | None:
    known = _known.setdefault(run_id, [])
    plain = plain_value(params)
    same = (index for index, (other, its) in enumerate(known) if other == name and same_value(its, plain))
    index = next(same, len(known))
    if index == MOST:
        return None
    if index == len(known):
        known.append((name, plain))
    if index == 0:
        return ""
    namesakes = sum(other == name for other, _ in known[: index + 1])
    return f"{name}." if namesakes == 1 else f"{name}_{namesakes}."
