"""What is said under two names, as a loss that is printed and also seen in a framework, is kept under the surer one."""

from __future__ import annotations

from collections.abc import Sequence

from gitexp.domain.source import Source
from gitexp.domain.values import Value
from gitexp.running.child import ChildResult
from gitexp.running.watching import Launch, Watcher
from gitexp.store.playback import Event, JournalTail, read_events


class Doubles(Watcher):
    """Leaves out printed metrics that others log, files' that a framework's are, and params that were only passed on.

    What `metrics.patterns` reads from lines was asked for by its name, and stays.
    """

    def __init__(self, here: Launch) -> None:
        self._recorder = here.recorder

    def finish(self, child: ChildResult) -> None:  # noqa: ARG002
        events = read_events(self._recorder.folder)
        metrics, params = self._metrics(events), _params(events)
        if metrics or params:
            self._recorder.leave_out(metrics=metrics, params=params)

    def _metrics(self, events: Sequence[Event]) -> list[tuple[str, int]]:
        sources = {event.payload.get("source", 0) for event in events if event.kind == "metric"} - {Source.SYSTEM}
        if len(sources) < 2:
            return []
        from gitexp.domain.doubles import find_double_metrics  # few runs have metrics of several sources

        found = find_double_metrics(JournalTail(self._recorder.folder).read_new())
        patterns = self._recorder.repository.config.metrics_patterns
        return [name for name in found if not (patterns and name[1] == Source.OUTPUT)]


def _params(events: Sequence[Event]) -> list[tuple[str, int]]:
    said: list[tuple[tuple[str, int], Value]] = []
    for event in events:
        if event.kind == "params":
            source = event.payload.get("source", 0)
            said += (((key, source), value) for key, value in event.payload["values"].items())
    if not {Source.AUTOLOG, Source.CONSTANT} & {source for (_, source), _ in said}:
        return []
    from gitexp.domain.doubles import find_double_params  # few runs have params of several sources

    return find_double_params(said)
