"""The perfect run store: a dict. The git store has to behave like it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from gitexp.domain.environment import Environment
from gitexp.domain.identity import run_ref
from gitexp.domain.metrics import History
from gitexp.domain.pointer import Pointer
from gitexp.domain.resuming import Continuation, continued
from gitexp.domain.run import Content, Run
from gitexp.domain.summary import BrokenRun, RunSummary
from gitexp.errors import NotFound
from gitexp.store.runs import RunEvent, Signature


@dataclass(frozen=True)
class State:
    run: Run
    event: RunEvent
    before: str | None
    token: str | None = None


class MemoryRunStore:
    def __init__(self) -> None:
        self._tips: dict[str, str] = {}
        self._states: dict[str, State] = {}
        self._numbers = count(1)

    def create(self, run: Run, signature: Signature) -> str:
        ref = run_ref(run.record.experiment, run.record.id)
        if ref not in self._tips:
            self._tips[ref] = self._put(_counted(run), "seal", signature, None)
        return self._tips[ref]

    def extend(self, continuation: Continuation, signature: Signature) -> str:
        resumption = continuation.resumption
        before = self._tips.get(resumption.ref, resumption.commit)
        if before not in self._states:
            raise NotFound(f"The run at '{resumption.ref}' is gone.")
        if resumption.token not in (state.token for state in self._chain(before)):
            run = continued(self.read(before), continuation)
            self._tips[resumption.ref] = self._put(_counted(run), "resume", signature, before, resumption.token)
        return self._tips[resumption.ref]

    def read(self, commit: str) -> Run:
        return replace(self._states[commit].run, consumed=())

    def tips(self) -> dict[str, str]:
        return dict(self._tips)

    def load(self, tips: Sequence[tuple[str, str]]) -> Iterator[RunSummary | BrokenRun]:
        return (self._summary(ref, commit) for ref, commit in tips)

    def history(self, commit: str, key: str) -> History:
        histories = self._states[commit].run.histories
        if key not in histories:
            raise NotFound(f"The run has no metric '{key}'.")
        return histories[key]

    def histories(self, commit: str, keys: Iterable[str]) -> Iterator[tuple[str, History]]:
        found = self._states[commit].run.histories
        return ((key, found[key]) for key in keys if key in found)

    def artifacts(self, commit: str) -> dict[str, Content]:
        return dict(self._states[commit].run.artifacts)

    def pointers(self, commit: str) -> Iterator[tuple[str, Pointer]]:
        for path, content in sorted(self._states[commit].run.artifacts.items()):
            if isinstance(content, Pointer):
                yield f"artifacts/{path}", content

    def environment(self, commit: str) -> Environment | None:
        return self._states[commit].run.environment

    def output(self, commit: str) -> bytes | None:
        return self._states[commit].run.output

    def code_tree(self, commit: str) -> str | None:
        return self._states[commit].run.code_tree

    def events(self, commit: str) -> list[RunEvent]:
        return [state.event for state in self._chain(commit)]

    def parents(self, commit: str) -> tuple[str, ...]:
        found: list[str] = []
        for state in reversed(list(self._chain(commit))):
            if state.event.kind in ("seal", "resume"):
                code = state.run.record.code
                found += [*([code.commit] if code and code.commit else []), *state.run.consumed]
        return tuple(dict.fromkeys(found))

    def change(self, ref: str, edit: Callable[[RunSummary], RunSummary], event: str, signature: Signature) -> str:
        if ref not in self._tips:
            raise NotFound(f"There is no run at '{ref}'.")
        tip = self._tips[ref]
        old = self._summary(ref, tip)
        new = edit(old)
        if (new.record, new.tags) != (old.record, old.tags):
            run = replace(self._states[tip].run, record=new.record, tags=new.tags)
            self._tips[ref] = self._put(run, event, signature, tip)
        return self._tips[ref]

    def remove(self, ref: str, commit: str) -> bool:
        if self._tips.get(ref) != commit:
            return False
        del self._tips[ref]
        return True

    def _chain(self, commit: str) -> Iterator[State]:
        at: str | None = commit
        while at is not None:
            yield self._states[at]
            at = self._states[at].before

    def _put(self, run: Run, kind: str, signature: Signature, before: str | None, token: str | None = None) -> str:
        commit = f"{next(self._numbers):040x}"
        event = RunEvent(kind=kind, commit=commit, author=signature.author, time=float(int(signature.time)), message="")
        self._states[commit] = State(run, event, before, token)
        return commit

    def _summary(self, ref: str, commit: str) -> RunSummary:
        run = self._states[commit].run
        return RunSummary(
            ref=ref,
            commit=commit,
            record=run.record,
            params=run.params,
            tags=run.tags,
            metrics=run.metrics,
        )


def _counted(run: Run) -> Run:
    sizes = [item.size_bytes if isinstance(item, Pointer) else len(item) for item in run.artifacts.values()]
    return run.changed(artifact_count=len(sizes), artifact_bytes=sum(sizes))
