"""Turning a live run into its commit. Whoever does it, and however often, the end is the same (docs/format.md, 4)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from gitexp.domain.identity import RunId, live_ref
from gitexp.domain.run import Run, Status
from gitexp.errors import Conflict
from gitexp.store.experiments import ExperimentStore
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.refs import RefStore
from gitexp.store.live import LiveRuns
from gitexp.store.runs import RunStore, Signature

INTERRUPTED = "The process ended without closing the run; the values logged until then are kept."


def seal(
    run_id: RunId,
    *,
    live: LiveRuns,
    runs: RunStore,
    experiments: ExperimentStore,
    objects: ObjectDatabase,
    refs: RefStore,
    lineage: Callable[[Run], Run],
    register: Callable[[Run, str, Signature], None],
    now: float,
) -> str:
    """Seal one live run, whose lock the caller holds, and give its commit. `now` is in seconds since 1970, UTC.

    `lineage` says which runs made what this one read; `register` gets the run, its commit, and who registers.

    A run that never got its end is sealed as crashed.
    """
    continuation = live.continuation(run_id, is_over=True)
    run = lineage(_complete(continuation.added if continuation else live.read(run_id, is_over=True), objects))
    signature = Signature(author=run.record.author or "gitexp <gitexp@localhost>", time=run.record.end or now)
    if continuation:
        commit = runs.extend(replace(continuation, added=run), signature)
    else:
        experiments.ensure(run.record.experiment, signature)
        commit = runs.create(run, signature)
    if run.registrations:  # before the journal goes, which is all that tells of them
        register(run, commit, signature)
    forget(run_id, live=live, refs=refs)
    return commit


def forget(run_id: RunId, *, live: LiveRuns, refs: RefStore) -> None:
    """Remove what a live run left beside git, and the ref that kept its code; `gc` removes one that is locked now."""
    with suppress(Conflict):
        refs.delete(live_ref(run_id), None, durable_name=False)
    live.remove(run_id)


def _complete(run: Run, objects: ObjectDatabase) -> Run:
    record = run.record
    if record.status is Status.CRASHED and record.exit_code is None and record.signal is None:
        record = replace(record, warnings=(*record.warnings, INTERRUPTED))
    code = record.code
    if code and code.commit and not objects.contains(bytes.fromhex(code.commit)):
        lost = f"The commit {code.commit[:12]} the code was based on is gone from the repository."
        record = replace(record, warnings=(*record.warnings, lost), code=replace(code, commit=None))
    tree = run.code_tree
    if tree and not objects.contains(bytes.fromhex(tree)):
        lost = f"The captured code (tree {tree[:12]}) is gone from the repository."
        record, tree = replace(record, warnings=(*record.warnings, lost)), None
    return replace(run, record=record, code_tree=tree)
