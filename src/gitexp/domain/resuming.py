"""Going on with a sealed run: what is recorded since, put together with what was there (docs/format.md, 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gitexp.domain.inputs import merged_inputs, without_clashes
from gitexp.domain.keys import shorten
from gitexp.domain.metrics import History
from gitexp.domain.run import Content, Run, RunRecord, format_time
from gitexp.domain.values import Value, same_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """A sealed run that goes on.

    Attributes:
        ref, commit: the run's place and its tip when it was resumed.
        token: tells this resumption from all others.
    """

    ref: str
    commit: str
    token: str

    def to_line(self) -> str:
        return f"{self.ref} {self.commit} {self.token}\n"

    @classmethod
    def from_line(cls, line: str) -> Resumption:
        """Raises ValueError where it is none."""
        ref, commit, token = line.split()
        return cls(ref=ref, commit=commit, token=token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What was recorded of a run since it was resumed.

    Attributes:
        added: the run as if it had begun with the resumption.
        name, note: None where they are not to change; an empty note removes it.
    """

    resumption: Resumption
    added: Run
    name: str | None = None
    note: str | None = None


def continued(before: Run, continuation: Continuation) -> Run:
    """The run as it is now. Its `consumed` are only those since the resumption."""
    added = continuation.added
    params, changes = _params(before.params, added.params)
    artifacts, clashes = _artifacts(before.artifacts, added.artifacts)
    histories = dict(before.histories)
    for key, history in added.histories.items():
        histories[key] = _joined(histories[key], history) if key in histories else history
    metrics = {**before.metrics, **added.metrics} | {key: histories[key].last for key in added.histories}
    source = added if added.record.code else before
    return Run(
        record=_record(before.record, continuation, (*changes, *clashes)),
        params=params,
        tags={**before.tags, **added.tags},
        metrics=metrics,
        histories=histories,
        artifacts=artifacts,
        environment=added.environment or before.environment,
        output=_output(before.output, added),
        code_tree=source.code_tree,
        code_pointers=source.code_pointers,
        consumed=added.consumed,
        inputs=without_clashes({**before.inputs, **added.inputs}),
    )


def _record(before: RunRecord, continuation: Continuation, warnings: tuple[str, ...]) -> RunRecord:
    added = continuation.added.record
    source = added if added.command else before
    durations = [record.duration_s for record in (before, added) if record.duration_s is not None]
    return replace(
        before,
        name=continuation.name or before.name,
        note=before.note if continuation.note is None else continuation.note or None,
        status=added.status,
        end=added.end,
        duration_s=sum(durations) if durations and added.end is not None else None,
        host=added.host or before.host,
        command=source.command,
        directory=source.directory,
        entry_point=source.entry_point,
        exit_code=added.exit_code,
        signal=added.signal,
        code=added.code or before.code,
        parent=before.parent or added.parent,
        inputs=merged_inputs((*before.inputs, *added.inputs)),
        warnings=tuple(dict.fromkeys((*before.warnings, *added.warnings, *warnings))),
    )


def _params(before: Mapping[str, Value], added: Mapping[str, Value]) -> tuple[dict[str, Value], list[str]]:
    changes = [
        f"The param {shorten(key)} was {_shown(before[key])} and became {_shown(value)} when the run was resumed."
        for key, value in added.items()
        if key in before and not same_value(before[key], value)
    ]
    return {**before, **added}, changes


def _artifacts(before: Mapping[str, Content], added: Mapping[str, Content]) -> tuple[dict[str, Content], list[str]]:
    """The newer file of each path; what would be a file and a folder at once is left out of the newer ones."""
    whole, clashes = dict(before), []
    folders = {folder for path in before for folder in _above(path)}
    for path, content in added.items():
        if path in folders or not whole.keys().isdisjoint(_above(path)):
            clashes.append(
                f"The artifact {shorten(path)} is left out: one is a file, another in a folder of the same name."
            )
            continue
        whole[path] = content
        folders.update(_above(path))
    return whole, clashes


def _above(path: str) -> set[str]:
    return {path[:end] for end, character in enumerate(path) if character == "/"}


def _joined(first: History, second: History) -> History:
    exact = first.exact | {len(first) + position: value for position, value in second.exact.items()}
    return History(first.steps + second.steps, first.times + second.times, first.values + second.values, exact)


def _output(before: bytes | None, added: Run) -> bytes | None:
    if before is None or added.output is None:
        return added.output or before
    gap = b"" if before.endswith(b"\n") or not before else b"\n"
    return before + gap + f"... resumed {format_time(added.record.start)} ...\n".encode() + added.output


def _shown(value: Value) -> str:
    return shorten(value) if isinstance(value, str) else str(value)[:60]
