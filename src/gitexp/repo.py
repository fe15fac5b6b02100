"""One repository: its runs, how they are found, changed and recovered."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitexp.domain.config import Config, parse_config
from gitexp.domain.identity import RUNS, RunId, parse_name, run_ref
from gitexp.domain.pointer import SMALL, Pointer
from gitexp.domain.resuming import continued
from gitexp.domain.run import Run, RunRecord, Status
from gitexp.domain.summary import BrokenRun, RunSummary
from gitexp.domain.values import parse_tags
from gitexp.errors import Ambiguous, CorruptData, GitexpError, NotFound, StorageFailed, UsageError
from gitexp.reading import LiveSource, RunSource, RunView, SealedSource
from gitexp.store.content import ContentStore
from gitexp.store.experiments import ExperimentStore
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.refs import RefStore
from gitexp.store.git.repository import GitRepository, discover
from gitexp.store.histories import HistoryCache
from gitexp.store.live import LiveRuns
from gitexp.store.runs import GitRunStore, Signature
from gitexp.store.sealing import forget, seal

if TYPE_CHECKING:
    import pandas as pd

    from gitexp.domain.matching import Query
    from gitexp.domain.selector import Best, ByText, Selector
    from gitexp.store.added import AddedPaths
    from gitexp.store.index import RunIndex
    from gitexp.store.modelstore import ModelStore
    from gitexp.store.overridden import OverriddenFiles, PutBack
    from gitexp.store.saved import SavedStates

SETTINGS = os.path.join(".gitexp", "config.yaml")
CANDIDATES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredRun:
    """A run whose process died, found and sealed. `commit` is None where sealing failed; `problem` then says why."""

    run_id: RunId
    name: str
    status: Status
    commit: str | None
    problem: str = ""


_MOST_NAMED = 10


class Runs(list[RunSummary]):
    """Runs found by a search; `total` counts those that match, however many were asked for."""

    def __init__(self, runs: Iterable[RunSummary], total: int) -> None:
        super().__init__(runs)
        self.total = total

    def __repr__(self) -> str:
        names = ", ".join(f"'{run.record.name}'" for run in self[:_MOST_NAMED])
        more = ", ..." if len(self) > _MOST_NAMED else ""
        return f"<Runs {len(self):,} of {self.total:,}: {names}{more}>" if names else "<Runs: none>"

    def _repr_html_(self) -> str:
        from gitexp.display import runs_html  # only notebooks ask

        return runs_html(self, self.total)

    def to_pandas(self) -> pd.DataFrame:
        """One row a run: `id`, `name`, ... and a column for each `params.*`, `metrics.*` and `tags.*`.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas as pd  # an extra
        except ImportError as error:
            raise UsageError("pandas is not installed.", hint="pip install 'gitexp[pandas]'") from error
        columns: dict[str, list[Any]] = {
            "id": [run.record.id for run in self],
            "name": [run.record.name for run in self],
            "experiment": [run.record.experiment for run in self],
            "status": [run.record.status.value for run in self],
            "start": pd.to_datetime([run.record.start for run in self], unit="s", utc=True),
            "duration": [run.record.duration_s for run in self],
            "commit": [run.commit for run in self],
        }
        for family in ("params", "metrics", "tags"):
            values = [getattr(run, family) for run in self]
            for key in sorted({key for mapping in values for key in mapping}):
                columns[f"{family}.{key}"] = [mapping.get(key) for mapping in values]
        return pd.DataFrame(columns)


class Repository:
    """The runs of one git repository.

    Attributes:
        git: where git keeps things.
        recovered: what opening found unfinished, and sealed.
        put_back: files of the user's that held the values of a dead run, and hold their own again.
    """

    def __init__(self, git: GitRepository, environ: Mapping[str, str]) -> None:
        self.git = git
        self.recovered: list[RecoveredRun] = []
        self.put_back: list[PutBack] = []
        self._environ = environ

    @classmethod
    def open(cls, start: str | os.PathLike[str] = ".", *, environ: Mapping[str, str] = os.environ) -> Repository:
        """The repository that `start` lies in; runs whose process died are sealed on the way.

        Raises:
            NotARepository: there is none, or one gitexp cannot use.
        """
        repository = cls(discover(start, environ), environ)
        repository.recovered = repository.recover()
        if os.path.isdir(repository.overrides_dir):
            repository.put_back = repository.overridden.recover()
        if os.path.isdir(os.path.join(repository.git.gitexp_dir, "worktrees")):
            from gitexp.store.git.linked import sweep  # only while something runs in a worktree of its own

            sweep(repository.git)
        return repository

    @cached_property
    def objects(self) -> ObjectDatabase:
        return ObjectDatabase(self.git.object_dir, self.git.alternates)

    @cached_property
    def refs(self) -> RefStore:
        return RefStore(self.git.git_dir, self.git.common_dir)

    @cached_property
    def content(self) -> ContentStore:
        return ContentStore(os.path.join(self.git.gitexp_dir, "objects"))

    @cached_property
    def live(self) -> LiveRuns:
        return LiveRuns(self._writable_dir())

    @property
    def overrides_dir(self) -> str:
        """Where the originals of files lie that hold other values while a run goes on."""
        return os.path.join(self._writable_dir(), "overrides")

    @cached_property
    def overridden(self) -> OverriddenFiles:
        from gitexp.store.overridden import OverriddenFiles  # only where values were ever set

        return OverriddenFiles(self.overrides_dir)

    @cached_property
    def runs(self) -> GitRunStore:
        return GitRunStore(self.objects, self.refs, self.histories)

    @cached_property
    def histories(self) -> HistoryCache:
        return HistoryCache(os.path.join(self.git.gitexp_dir, "histories"))

    @cached_property
    def experiments(self) -> ExperimentStore:
        return ExperimentStore(self.objects, self.refs)

    @cached_property
    def models(self) -> ModelStore:
        from gitexp.store.git.signing import signer  # recording does without
        from gitexp.store.modelstore import ModelStore

        return ModelStore(self.objects, self.refs, lambda: signer(self.git, self.author))

    @cached_property
    def saved(self) -> SavedStates:
        from gitexp.store.saved import SavedStates  # recording does without

        return SavedStates(self.objects, self.refs)

    @cached_property
    def index(self) -> RunIndex:
        from gitexp.store.index import RunIndex  # recording does without SQLite

        folder = self.git.gitexp_dir
        if not os.path.isdir(folder) and self.tips():  # a clone that only fetched runs
            with suppress(OSError):
                os.mkdir(folder)
        return RunIndex(os.path.join(folder, "index.sqlite"), self)

    @cached_property
    def added(self) -> AddedPaths:
        """What `gitexp add` was given."""
        from gitexp.store.added import AddedPaths  # only where something was

        return AddedPaths(self.added_dir)

    @property
    def added_dir(self) -> str:
        return os.path.join(self.git.gitexp_dir, "added")

    @cached_property
    def config(self) -> Config:
        """The settings of `.gitexp/config.yaml`. Raises UsageError for one that makes no sense."""
        if self.git.work_tree is None:
            return Config()
        try:
            with open(os.path.join(self.git.work_tree, SETTINGS), encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            return Config()
        if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
            return Config()
        from gitexp.store.yamlfile import load_yaml  # most repositories set nothing

        return parse_config(load_yaml(text, what=SETTINGS), file=SETTINGS)

    @cached_property
    def author(self) -> str:
        """Who works here, as "Name <email>"."""
        name, email = self.git.identity()
        return f"{name} <{email}>"

    # What the index reads.

    def fingerprint(self) -> tuple[Any, ...] | None:
        return self.refs.fingerprint(RUNS)

    def tips(self) -> dict[str, str]:
        return self.runs.tips()

    def load(self, tips: Sequence[tuple[str, str]]) -> Iterator[RunSummary | BrokenRun]:
        return self.runs.load(tips)

    # Finding.

    def search(
        self,
        where: str = "",
        *,
        sort: str = "",
        limit: int | None = None,
        offset: int = 0,
        experiments: Sequence[str] = (),
        deleted: str = "no",
    ) -> Runs:
        """Runs that match, live ones included; newest first unless `sort` says otherwise.

        Args:
            where: a search expression, like "metrics.rmse < 6.5 and params.lr = 0.1".
            sort: keys like "metrics.rmse" or "-metrics.auc, run.start"; a leading minus means descending.
            experiments: names; none means all.
            deleted: "no", "yes" (too) or "only".

        Raises:
            QueryError: `where` or `sort` cannot be read; knows where.
        """
        from gitexp.domain.matching import matches, sort_summaries  # recording does without
        from gitexp.domain.query import parse, parse_sort

        query = parse(where, now=time.time())
        keys = parse_sort(sort)
        scope: dict[str, Any] = {"experiment": tuple(experiments) or None, "deleted": deleted}
        self.index.refresh()
        running = self.live_summaries(experiments)
        live = [run for run in running if deleted != "only" and matches(query, run)]
        if running and deleted != "only":
            query = _without(query, running)
        total = self.index.count(query, **scope)
        if not live:
            return Runs(self.index.search(query, sort=keys, limit=limit, offset=offset, **scope), total)
        last = None if limit is None else limit + offset
        sealed = self.index.search(query, sort=keys, limit=last, **scope)
        merged = sort_summaries([*sealed, *live], keys)
        return Runs(merged[offset:last], total + len(live))

    def unknown_keys(self, where: str) -> dict[str, list[str]]:
        """The keys in a search expression that no run has, as `metrics.rmsse`, and the known ones nearest to each."""
        from gitexp.domain.query import parse  # recording does without
        from gitexp.domain.selector import suggest

        families = {"param": "params", "metric": "metrics", "tag": "tags"}
        live = self.live_summaries()
        unknown: dict[str, list[str]] = {}
        for field in self.index.unknown_fields(parse(where, now=time.time())):
            family = families.get(field.kind)
            if family and not any(field.key in getattr(run, family) for run in live):
                near = suggest(field.key, self.index.keys(field.kind))
                unknown[f"{family}.{field.key}"] = [f"{family}.{key}" for key in near]
        return unknown

    def resolve(self, text: str) -> RunSummary:
        """The one run that `text` names: a name, an id or its beginning, a commit, `@`, `@~1`, `best:metrics.rmse`.

        Raises:
            NotFound: nothing answers; the hint lists near names.
            Ambiguous: several do; the hint lists them.
        """
        from gitexp.domain.selector import parse_selector, suggest  # recording does without

        found = self._candidates(parse_selector(text))
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"{run.record.name} ({run.record.id})" for run in found[:CANDIDATES])
            more = "" if len(found) <= CANDIDATES else f" and {len(found) - CANDIDATES} more"
            raise Ambiguous(f"'{text}' names {len(found)} runs.", hint=f"Say which by id: {listed}{more}.")
        near = suggest(text, self._names())
        hint = f"Did you mean {', '.join(near)}?" if near else "'gitexp ls' lists the runs."
        raise NotFound(f"There is no run '{text}'.", hint=hint)

    def get_run(self, text: str) -> RunView:
        """The run that `text` names, as `resolve` finds it."""
        return self.view(self.resolve(text))

    def view(self, summary: RunSummary) -> RunView:
        """Everything of a run that a search found."""
        source: RunSource
        if summary.commit is None:
            source = self._live_source(summary.record.id)
        else:
            source = SealedSource(self.runs, summary.commit)
        return RunView(summary, source, self.objects, self.content)

    def lacks_artifacts(self, run: RunSummary) -> bool:
        """Whether some of a run's artifacts are not on this machine."""
        if run.commit is None or run.record.artifact_bytes <= SMALL:
            return False
        pointers = self.runs.pointers(run.commit)
        try:
            return any(
                path.startswith("artifacts/") and not self.content.contains(pointer) for path, pointer in pointers
            )
        except GitexpError:  # fsck tells of damage
            return False

    def live_summaries(self, experiments: Sequence[str] = ()) -> list[RunSummary]:
        """The runs that are being recorded now, in some experiments or in all."""
        found = []
        for entry in self.live.list():
            try:
                run = self._live_summary(entry.run_id)
            except (GitexpError, OSError):  # sealed meanwhile, or not begun; fsck tells of damage
                continue
            if not experiments or run.record.experiment in experiments:
                found.append(run)
        return found

    def _live_summary(self, run_id: RunId) -> RunSummary:
        continuation = self.live.continuation(run_id, in_full=False)
        if continuation is None:
            return _summary_of(self.live.summary(run_id))
        resumption = continuation.resumption
        tip = self.refs.read(resumption.ref) or resumption.commit
        [before] = self.runs.load([(resumption.ref, tip)])
        if isinstance(before, BrokenRun):
            raise CorruptData(before.reason)
        known = Run(record=before.record, params=before.params, tags=before.tags, metrics=before.metrics)
        run = replace(_summary_of(continued(known, continuation)), ref=resumption.ref)
        count, size = run.record.artifact_count, run.record.artifact_bytes
        return _with(
            run,
            artifact_count=before.record.artifact_count + count,
            artifact_bytes=before.record.artifact_bytes + size,
        )

    def _live_source(self, run_id: RunId) -> LiveSource:
        continuation = self.live.continuation(run_id)
        if continuation is None:
            return LiveSource(self.live.read(run_id))
        tip = self.refs.read(continuation.resumption.ref) or continuation.resumption.commit
        return LiveSource(continued(self.runs.read(tip), continuation), SealedSource(self.runs, tip))

    def live_run(self, run_id: RunId) -> Run:
        """Everything of a live run; of a resumed one, what was there before too.

        Raises:
            NotFound: there is no such run, or it never began.
            UnknownFormat, CorruptData
        """
        return self._live_source(run_id).run

    # Changing.

    def tag(self, run: RunSummary, tags: Mapping[str, object], *, remove: Iterable[str] = ()) -> str:
        """Set and remove tags; gives the run's new commit."""
        added = parse_tags(tags)
        gone = set(remove)

        def edit(old: RunSummary) -> RunSummary:
            kept = {key: value for key, value in old.tags.items() if key not in gone}
            return replace(old, tags={**kept, **added})

        return self._change(run, "tag", edit)

    def note(self, run: RunSummary, text: str) -> str:
        """Replace the run's note; an empty text removes it."""
        return self._change(run, "note", lambda old: _with(old, note=text.strip("\n") or None))

    def rename(self, run: RunSummary, name: str) -> str:
        parsed = parse_name(name)
        return self._change(run, "rename", lambda old: _with(old, name=parsed))

    def remove(self, run: RunSummary) -> str:
        """Mark the run as removed; `restore` takes that back until `gc` has freed it."""
        now = time.time()
        return self._change(run, "rm", lambda old: old if old.record.deleted else _with(old, deleted=now))

    def restore(self, run: RunSummary) -> str:
        return self._change(run, "restore", lambda old: _with(old, deleted=None))

    # Sealing.

    def seal(self, run_id: RunId) -> str:
        """Seal a live run whose lock this process holds."""
        return seal(
            run_id,
            live=self.live,
            runs=self.runs,
            experiments=self.experiments,
            objects=self.objects,
            refs=self.refs,
            lineage=self._with_lineage,
            register=self._register,
            now=time.time(),
        )

    def recover(self) -> list[RecoveredRun]:
        """Seal every live run whose process is gone."""
        recovered = []
        for entry in self.live.list():
            if entry.held:
                continue
            try:
                lock = self.live.adopt(entry.run_id)
            except StorageFailed:  # read-only, or another user's: it waits for whoever can
                continue
            if lock is None:
                continue
            with lock:
                found = self._recover(entry.run_id)
            if found:
                recovered.append(found)
        return recovered

    def _register(self, run: Run, commit: str, signature: Signature) -> None:
        from gitexp.store.registering import register_asked  # few runs log models

        register_asked(self.models, run, commit, signature)

    def _with_lineage(self, run: Run) -> Run:
        if not run.record.inputs:
            return run
        from gitexp.store.lineage import with_lineage  # here: what has no inputs does without SQLite

        def makers(blobs: Iterable[str]) -> Mapping[str, Sequence[RunSummary]]:
            return self.index.makers(blobs, self.runs.artifact_blobs)

        def find(run_id: RunId) -> RunSummary | None:
            return next(iter(self.index.by_id_prefix(run_id)), None)

        try:
            self.index.refresh()
            return with_lineage(run, makers, find)
        except Exception as error:  # the run must be sealed, whatever is wrong with others
            problem = f"Whether earlier runs made its inputs is not known: {error}."
            return run.changed(warnings=(*run.record.warnings, problem))

    def _recover(self, run_id: RunId) -> RecoveredRun | None:
        name, status = str(run_id), Status.CRASHED
        try:
            record = self._live_summary(run_id).record
            name, status = record.name, Status.CRASHED if record.status is Status.RUNNING else record.status
            return RecoveredRun(run_id=run_id, name=name, status=status, commit=self.seal(run_id))
        except NotFound:
            forget(run_id, live=self.live, refs=self.refs)
            return None
        except Exception as error:  # whatever is wrong with one run, the others and their repository must go on
            problem = str(error) if isinstance(error, (GitexpError, OSError)) else f"{type(error).__name__}: {error}"
            return RecoveredRun(run_id=run_id, name=name, status=status, commit=None, problem=problem)

    def _change(self, run: RunSummary, event: str, edit: Callable[[RunSummary], RunSummary]) -> str:
        if run.commit is None:
            raise UsageError(f"The run '{run.record.name}' is still being recorded.", hint="Wait until it has ended.")
        return self.runs.change(run.ref, edit, event, Signature(author=self.author, time=time.time()))

    def _candidates(self, selector: Selector) -> list[RunSummary]:
        from gitexp.domain.selector import Best, Latest  # recording does without

        self.index.refresh()
        if isinstance(selector, Latest):
            scope: dict[str, Any] = {"experiments": _one(selector.experiment), "limit": 1, "offset": selector.back}
            outermost = self.search("run.parent is null", **scope)  # a trial is newer than the search it is a part of
            return outermost if outermost.total else self.search(**scope)
        if isinstance(selector, Best):
            return self._best(selector)
        found = self._by_text(selector, None)
        for experiment, rest in selector.in_experiments if not found else ():
            found = self._by_text(rest, experiment)
            if found:
                break
        return found

    def _best(self, selector: Best) -> list[RunSummary]:
        from gitexp.domain.matching import And, Field, SortKey, sort_summaries  # recording does without

        experiments = _one(selector.experiment)
        running = self.live_summaries(experiments)
        order = (SortKey(Field("metric", selector.metric), selector.maximize),)
        query = _without(And(()), running)
        sealed = self.index.search(query, sort=order, limit=1, experiment=experiments or None)
        return sort_summaries([run for run in (*sealed, *running) if _has_number(run, selector.metric)], order)[:1]

    def _by_text(self, selector: ByText, experiment: str | None) -> list[RunSummary]:
        """Runs by name, else by id, else by commit; of the first way that finds any, those not removed if there are."""
        text = selector.text
        live = self.live_summaries()
        running = {run.record.id for run in live}

        def both(sealed: list[RunSummary], fits: Callable[[RunRecord], bool]) -> list[RunSummary]:
            known = [run for run in sealed if run.record.id not in running]
            return [*known, *(run for run in live if fits(run.record))]

        ways: list[Callable[[], list[RunSummary]]] = [
            lambda: both(self.index.by_name(text), lambda record: record.name == text),
        ]
        if selector.may_be_id:
            ways.append(lambda: both(self.index.by_id_prefix(text), lambda record: record.id.startswith(text)))
        if selector.may_be_commit:
            ways.append(lambda: self.index.by_commit_prefix(text))
        for way in ways:
            found = [run for run in way() if experiment is None or run.record.experiment == experiment]
            if found:
                return [run for run in found if run.record.deleted is None] or found
        return []

    def _names(self) -> list[str]:
        return [*self.index.names(), *(run.record.name for run in self.live_summaries())]

    def _writable_dir(self) -> str:
        """`<git dir>/gitexp`, or a folder of the user's where the repository is read-only."""
        folder = self.git.gitexp_dir
        if os.access(folder, os.W_OK) or (not os.path.exists(folder) and os.access(self.git.common_dir, os.W_OK)):
            return folder
        state = self._environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
        digest = hashlib.sha256(os.path.realpath(folder).encode(errors="surrogateescape")).hexdigest()[:16]
        return os.path.join(state, "gitexp", digest)


def _summary_of(run: Run) -> RunSummary:
    sizes = [item.size_bytes if isinstance(item, Pointer) else len(item) for item in run.artifacts.values()]
    return RunSummary(
        ref=run_ref(run.record.experiment, run.record.id),
        commit=None,
        record=replace(run.record, artifact_count=len(sizes), artifact_bytes=sum(sizes)),
        params=run.params,
        tags=run.tags,
        metrics=run.metrics,
    )


def _with(run: RunSummary, **changes: Any) -> RunSummary:
    return replace(run, record=replace(run.record, **changes))


def _without(query: Query, runs: Iterable[RunSummary]) -> Query:
    """The query without what is sealed of runs that go on."""
    from gitexp.domain.matching import And, Equal, Field, Not  # recording does without

    return And((query, Not(Equal(Field("run", "id"), tuple(run.record.id for run in runs)))))


def _has_number(run: RunSummary, metric: str) -> bool:
    value = run.metrics.get(metric)
    return value is not None and value == value


def _one(experiment: str | None) -> tuple[str, ...]:
    return (experiment,) if experiment else ()
