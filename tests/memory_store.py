"""The perfect run store: a dict. The git store has to behave like it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from gitexp.domain.environment import Environment
from gitexp.domain.identity import run_ref
from gitexp.domain.metrics import History
from gitexp.domain.pointer import Pointer
from gitexp.domain.run import Content, Run
from gitexp.domain.summary import BrokenRun, RunSummary
from gitexp.errors import NotFound
from gitexp.store.runs import RunEvent, Signature


@dataclass(frozen=True)
class State:
    run: Run
    event: RunEvent
    before: str | None


class MemoryRunStore:
    def __init__(self) -> None:
        self._tips: dict[str, str] = {}
        self._states: dict[str, State] = {}
        self._numbers = count(1)

    def create(self, run: Run, signature: Signature) -> str:
        ref = run_ref(run.record.experiment, run.record.id)
        if ref not in self._tips:
            sizes = [item.size_bytes if isinstance(item, Pointer) else len(item) for item in run.artifacts.values()]
            whole = run.changed(artifact_count=len(sizes), artifact_bytes=sum(sizes))
            self._tips[ref] = self._put(whole, "seal", signature, None)
        return self._tips[ref]

    def tips(self) -> dict[str, str]:
        return dict(self._tips)

    def load(self, tips: Sequence[tuple[str, str]]) -> Iterator[RunSummary | BrokenRun]:
        return (self._summary(ref, commit) for ref, commit in tips)

    def history(self, commit: str, key: str) -> History:
        histories = self._states[commit].run.histories
        if key not in histories:
            raise NotFound(f"The run has no metric '{key}'.")
        return histories[key]

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
        found = []
        at: str | None = commit
        while at is not None:
            found.append(self._states[at].event)
            at = self._states[at].before
        return found

    def parents(self, commit: str) -> tuple[str, ...]:
        run = self._states[commit].run
        code = run.record.code
        return (*([code.commit] if code and code.commit else []), *run.consumed)

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

    def _put(self, run: Run, kind: str, signature: Signature, before: str | None) -> str:
        commit = f"{next(self._numbers):040x}"
        event = RunEvent(kind=kind, commit=commit, author=signature.author, time=float(int(signature.time)), message="")
        self._states[commit] = State(run, event, before)
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
