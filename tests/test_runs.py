"""The contract of run stores, kept by the git store as by a dict; and what only git can show."""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from gitexp.domain.environment import Environment
from gitexp.domain.identity import RunId, run_id, run_ref
from gitexp.domain.metrics import History
from gitexp.domain.pointer import Pointer
from gitexp.domain.resuming import Continuation, Resumption
from gitexp.domain.run import CodeState, Input, Run, RunRecord, SkippedFile, Status
from gitexp.domain.summary import BrokenRun, RunSummary
from gitexp.errors import NotFound
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import BLOB
from gitexp.store.git.refs import RefStore
from gitexp.store.git.repository import GitRepository, discover, init
from gitexp.store.histories import LONG, HistoryCache
from gitexp.store.runs import GitRunStore, RunStore, Signature
from memory_store import MemoryRunStore

ANN = Signature(author="Ann Lee <ann@example.org>", time=1_790_000_000.5)
POINTER = Pointer(sha256="ab" * 32, size_bytes=123_456)


def open_git_store(repository: GitRepository) -> GitRunStore:
    return GitRunStore(
        ObjectDatabase(repository.object_dir, repository.alternates),
        RefStore(repository.git_dir, repository.common_dir),
    )


@pytest.fixture(params=["git", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    return open_git_store(init(tmp_path / "repository")) if request.param == "git" else MemoryRunStore()


def make_run(number: int = 1, **changes: object) -> Run:
    record = RunRecord(
        id=run_id(number.to_bytes(8, "big")),
        name="baseline",
        experiment="nyc taxi",
        status=Status.FINISHED,
        start=1_790_000_000.25,
        end=1_790_000_012.5,
        duration_s=12.25,
        author=ANN.author,
        host="node-3",
        command=("python", "train.py", "--lr", "0.1"),
        directory=".",
        entry_point="train.py",
        exit_code=0,
        code=CodeState(dirty=True, skipped=(SkippedFile(path="data/.env", size_bytes=10, reason="secret"),)),
        inputs=(Input(kind="file", name="data.csv", digest="sha256:ab"),),
        warnings=("one",),
    )
    return Run(
        record=record,
        params={"lr": 0.1, "optim.name": "adam", "layers": [64, 32], "seed": None, "big": 2**200, "on": True},
        tags={"stage": "dev", "yes": "no", "empty": ""},
        metrics={"loss": 0.25, "val/loss": math.inf, "steps": 2**70},
        histories={
            "loss": History.of([(0, 1_790_000_001.0, 0.5), (1, 1_790_000_002.0, 0.25)]),
            "val/loss": History.of([(0, 1_790_000_001.0, math.nan), (1, 1_790_000_002.0, math.inf)]),
            "steps": History.of([(0, 1_790_000_001.0, 2**70)]),
        },
        artifacts={"model.pkl": POINTER, "plots/roc.txt": b"a plot\n", "a b/[x]*.bin": POINTER, "empty": b""},
        environment=Environment(
            python={"version": "3.11.7", "cpu": {"count": 2}},
            requirements=("numpy==2.0", "x==1"),
            conda=("@EXPLICIT", "https://host/linux-64/numpy-2.0-0.conda#sha256:ab"),
        ),
        output=b"epoch 1\r\nepoch 2\n",
        **changes,  # type: ignore[arg-type]
    )


def continuation(store: RunStore, ref: str, token: str = "tttttttttttt", **changes: object) -> Continuation:
    """Two more points, a param that changed, another artifact, from a machine elsewhere."""
    commit = store.tips().get(ref, "0" * 40)
    added = Run(
        record=RunRecord(
            id=RunId(ref.rpartition("/")[2]),
            name="baseline",
            experiment="nyc taxi",
            status=Status.KILLED,
            start=1_790_001_000.0,
            end=1_790_001_005.0,
            duration_s=5.0,
            author="Bob <bob@example.org>",
            host="node-4",
            command=("python", "train.py", "--resume"),
            signal="SIGINT",
            inputs=(Input(kind="file", name="more.csv"), Input(kind="file", name="data.csv", digest="sha256:ab")),
            warnings=("two",),
        ),
        params={"lr": 0.2, "epochs": 3},
        tags={"stage": "late"},
        metrics={"loss": 0.125, "new": 1},
        histories={
            "loss": History.of([(2, 1_790_001_001.0, 0.2), (3, 1_790_001_002.0, 0.125)]),
            "new": History.of([(0, 1_790_001_001.0, 1)]),
        },
        artifacts={"plots/roc.txt": b"another\n", "plots": b"clashes", "empty/x": b"clashes too", "later": POINTER},
        output=b"epoch 3\n",
        **changes,  # type: ignore[arg-type]
    )
    return Continuation(resumption=Resumption(ref=ref, commit=commit, token=token), added=added)


def load(store: RunStore, ref: str, commit: str) -> RunSummary:
    [found] = store.load([(ref, commit)])
    assert isinstance(found, RunSummary), found
    return found


def test_what_is_created_reads_back(store: RunStore) -> None:
    """Every value of a run survives the store."""
    run = make_run()
    commit = store.create(run, ANN)
    ref = run_ref("nyc taxi", run.record.id)
    assert store.tips() == {ref: commit}
    summary = load(store, ref, commit)
    assert replace(summary.record, artifact_count=0, artifact_bytes=0) == run.record
    assert (summary.record.artifact_count, summary.record.artifact_bytes) == (4, 2 * 123_456 + 7)
    assert (summary.params, summary.tags, summary.metrics) == (run.params, run.tags, run.metrics)
    assert {key: store.history(commit, key) for key in run.metrics} == run.histories
    assert dict(store.histories(commit, [*run.metrics, "no such metric"])) == run.histories
    assert store.artifacts(commit) == run.artifacts
    assert sorted(store.pointers(commit)) == [("artifacts/a b/[x]*.bin", POINTER), ("artifacts/model.pkl", POINTER)]
    assert store.environment(commit) == run.environment
    assert store.output(commit) == run.output
    assert store.code_tree(commit) is None


def test_a_bare_run_reads_back(store: RunStore) -> None:
    """A run with nothing but a record needs nothing else."""
    bare = Run(record=RunRecord(id=RunId("k" * 12), name="x", experiment="default", status=Status.FAILED, start=0.0))
    commit = store.create(bare, ANN)
    summary = load(store, run_ref("default", bare.record.id), commit)
    assert summary.record == bare.record
    assert (summary.params, summary.tags, summary.metrics, store.artifacts(commit)) == ({}, {}, {}, {})
    assert (store.environment(commit), store.output(commit), store.parents(commit)) == (None, None, ())


def test_creating_twice_keeps_the_first(store: RunStore) -> None:
    """Sealing is idempotent: the second of two sealers gets the commit of the first."""
    run = make_run()
    first = store.create(run, ANN)
    assert store.create(run, replace(ANN, time=ANN.time + 60)) == first
    assert len(store.tips()) == 1


def test_an_unknown_metric_is_not_found(store: RunStore) -> None:
    """Asking for a metric that was not logged says so."""
    commit = store.create(make_run(), ANN)
    with pytest.raises(NotFound, match="'accuracy'"):
        store.history(commit, "accuracy")


def test_a_change_adds_to_the_history(store: RunStore) -> None:
    """Tags and notes are new states; the old one stays readable and stays in the run's history."""
    run = make_run()
    sealed = store.create(run, ANN)
    ref = run_ref("nyc taxi", run.record.id)
    tagged = store.change(ref, lambda old: replace(old, tags={**old.tags, "best": "yes"}), "tag", ANN)
    assert store.tips() == {ref: tagged}
    assert load(store, ref, tagged).tags == {**run.tags, "best": "yes"}
    assert load(store, ref, sealed).tags == run.tags
    assert store.artifacts(tagged) == run.artifacts
    assert [(event.kind, event.commit) for event in store.events(tagged)] == [("tag", tagged), ("seal", sealed)]


def test_a_change_that_changes_nothing_adds_nothing(store: RunStore) -> None:
    """Setting what is set already gives the same state."""
    commit = store.create(make_run(), ANN)
    [ref] = store.tips()
    assert store.change(ref, lambda old: old, "tag", ANN) == commit


def test_a_run_that_is_not_there_cannot_change(store: RunStore) -> None:
    """Changing what does not exist says so."""
    with pytest.raises(NotFound):
        store.change(run_ref("x", RunId("k" * 12)), lambda old: old, "tag", ANN)


def test_only_the_newest_state_is_removed(store: RunStore) -> None:
    """A run that somebody changed meanwhile is not removed."""
    sealed = store.create(make_run(), ANN)
    [ref] = store.tips()
    tagged = store.change(ref, lambda old: replace(old, tags={}), "tag", ANN)
    assert not store.remove(ref, sealed)
    assert store.remove(ref, tagged)
    assert store.tips() == {}


def test_a_resumed_run_holds_what_was_there_and_what_came(store: RunStore) -> None:
    """Histories go on, newer values of params, tags and artifacts count, the rest stays, the old state too."""
    run = make_run()
    sealed = store.create(run, ANN)
    [ref] = store.tips()
    commit = store.extend(continuation(store, ref), ANN)
    assert store.tips() == {ref: commit}
    found = load(store, ref, commit)
    record = found.record
    assert found.params == {**run.params, "lr": 0.2, "epochs": 3}
    assert found.tags == {**run.tags, "stage": "late"}
    assert found.metrics == {**run.metrics, "loss": 0.125, "new": 1}
    assert store.history(commit, "loss").values.tolist() == [0.5, 0.25, 0.2, 0.125]
    assert store.history(commit, "loss").steps.tolist() == [0, 1, 2, 3]
    assert store.history(commit, "steps") == run.histories["steps"]
    assert store.artifacts(commit) == {**run.artifacts, "plots/roc.txt": b"another\n", "later": POINTER}
    assert store.environment(commit) == run.environment
    assert store.output(commit) == b"epoch 1\r\nepoch 2\n... resumed 2026-09-21T14:30:00.000Z ...\nepoch 3\n"
    assert (record.status, record.start, record.end) == (Status.KILLED, run.record.start, 1_790_001_005.0)
    assert (record.duration_s, record.signal, record.exit_code) == (17.25, "SIGINT", None)
    assert (record.author, record.host, record.command[-1]) == (ANN.author, "node-4", "--resume")
    assert (record.artifact_count, record.code) == (5, run.record.code)
    assert [item.name for item in record.inputs] == ["data.csv", "more.csv"]
    assert record.warnings[:3] == ("one", "two", "The param 'lr' was 0.1 and became 0.2 when the run was resumed.")
    assert len(record.warnings) == 5 and "'plots'" in record.warnings[3] and "'empty/x'" in record.warnings[4]
    assert [event.kind for event in store.events(commit)] == ["resume", "seal"]
    assert load(store, ref, sealed).params == run.params and store.output(sealed) == run.output


def test_a_whole_run_is_read_at_once(store: RunStore) -> None:
    """`read` gives what `create` was given."""
    run = make_run()
    found = store.read(store.create(run, ANN))
    assert found.changed(artifact_count=0, artifact_bytes=0) == run


def test_resuming_twice_adds_once(store: RunStore) -> None:
    """Who seals a resumption again, as the first try died after its commit, adds nothing; a tag since then stays."""
    store.create(make_run(), ANN)
    [ref] = store.tips()
    again = continuation(store, ref)
    first = store.extend(again, ANN)
    assert store.extend(again, replace(ANN, time=ANN.time + 60)) == first
    tagged = store.change(ref, lambda old: replace(old, tags={**old.tags, "best": "yes"}), "tag", ANN)
    assert store.extend(again, ANN) == tagged
    other = store.extend(continuation(store, ref, "uuuuuuuuuuuu"), ANN)
    assert [event.kind for event in store.events(other)] == ["resume", "tag", "resume", "seal"]
    assert len(store.history(other, "loss")) == 6


def test_what_others_changed_while_a_run_went_on_stays(store: RunStore) -> None:
    """A resumption builds on the tip that it finds at its end: tags, notes and names given meanwhile are kept."""
    store.create(make_run(), ANN)
    [ref] = store.tips()
    going_on = continuation(store, ref)

    def edit(old: RunSummary) -> RunSummary:
        return replace(old, tags={"best": "yes"}, record=replace(old.record, name="renamed", note="good"))

    store.change(ref, edit, "tag", ANN)
    found = load(store, ref, store.extend(going_on, ANN))
    assert found.tags == {"best": "yes", "stage": "late"}
    assert (found.record.name, found.record.note) == ("renamed", "good")
    again = replace(continuation(store, ref, "uuuuuuuuuuuu"), name="mine", note="")
    found = load(store, ref, store.extend(again, ANN))
    assert (found.record.name, found.record.note) == ("mine", None)


def test_a_resumption_outlives_its_run(store: RunStore) -> None:
    """Where somebody removed the run meanwhile, the state resumed is built on; where that is gone too, it says so."""
    sealed = store.create(make_run(), ANN)
    [ref] = store.tips()
    going_on = continuation(store, ref)
    assert store.remove(ref, sealed)
    commit = store.extend(going_on, ANN)
    assert store.tips() == {ref: commit}
    assert [event.kind for event in store.events(commit)] == ["resume", "seal"]
    with pytest.raises(NotFound, match="is gone"):
        store.extend(continuation(store, run_ref("x", RunId("k" * 12))), ANN)


class StoreMachine(RuleBasedStateMachine):
    """Random operations give the same answers from both stores."""

    refs = Bundle("refs")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.git = open_git_store(init(Path(self.folder.name) / "repository"))
        self.memory = MemoryRunStore()
        self.count = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(target=refs, same=st.booleans())
    def create(self, same: bool) -> object:
        self.count += not same or not self.count
        run = make_run(self.count)
        self.git.create(run, ANN)
        self.memory.create(run, ANN)
        return run_ref(run.record.experiment, run.record.id)

    @rule(ref=refs, key=st.sampled_from("abc"), value=st.sampled_from(["", "x", "yes", "1"]))
    def tag(self, ref: str, key: str, value: str) -> None:
        self.both(lambda store: store.change(ref, lambda old: replace(old, tags={**old.tags, key: value}), "tag", ANN))

    @rule(ref=refs, deleted=st.none() | st.just(1_790_000_100.0))
    def mark(self, ref: str, deleted: float | None) -> None:
        def edit(old: RunSummary) -> RunSummary:
            return replace(old, record=replace(old.record, deleted=deleted))

        self.both(lambda store: store.change(ref, edit, "rm" if deleted else "restore", ANN))

    @rule(ref=refs, token=st.sampled_from(["aaaaaaaaaaaa", "bbbbbbbbbbbb"]))
    def resume(self, ref: str, token: str) -> None:
        self.both(lambda store: store.extend(continuation(store, ref, token), ANN))

    @rule(ref=refs)
    def remove(self, ref: str) -> None:
        self.both(lambda store: store.remove(ref, store.tips().get(ref, "0" * 40)))

    @rule()
    def compare(self) -> None:
        assert self.git.tips().keys() == self.memory.tips().keys()
        for ref, commit in self.git.tips().items():
            other = self.memory.tips()[ref]
            one, two = load(self.git, ref, commit), load(self.memory, ref, other)
            assert (one.record, one.tags, one.params) == (two.record, two.tags, two.params)
            assert self.git.read(commit) == self.memory.read(other)
            kinds = [event.kind for event in self.git.events(commit)]
            assert kinds == [event.kind for event in self.memory.events(other)]

    def both(self, act: Callable[[RunStore], object]) -> None:
        ends = []
        for store in (self.git, self.memory):
            try:
                ends.append(isinstance(act(store), str))
            except NotFound as error:
                ends.append(str(error))
        assert ends[0] == ends[1]


TestStores = StoreMachine.TestCase
TestStores.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_git_likes_what_is_written(repo_dir: Path, git: Callable[..., str]) -> None:
    """`git fsck --full --strict` is clean, lineage is in the parents, and plain git shows the files."""
    store = open_git_store(discover(repo_dir, {}))
    head = git("rev-parse", "HEAD", cwd=repo_dir).strip()
    tree = git("rev-parse", "HEAD^{tree}", cwd=repo_dir).strip()
    first = store.create(make_run(1), ANN)
    run = make_run(2, code_tree=tree, consumed=(first,), code_pointers=("train.py",))
    run = run.changed(code=CodeState(commit=head, branch="main", dirty=False))
    commit = store.create(run, ANN)
    assert git("fsck", "--full", "--strict", cwd=repo_dir) == ""
    assert git("log", "-1", "--format=%P", commit, cwd=repo_dir).split() == [head, first]
    assert git("show", f"{commit}:code/train.py", cwd=repo_dir) == "print('training')\n"
    assert git("show", f"{commit}:history/val/loss.csv", cwd=repo_dir).startswith("step,time,value\n0,")
    points = git("show", f"{commit}:points.csv", cwd=repo_dir)
    assert points == f"step,time,value,metric\n0,1790000001.000,{2**70},steps\n"
    assert store.parents(commit) == (head, first)
    assert store.code_tree(commit) == tree
    assert "Gitexp-Run: " in git("log", "-1", "--format=%B", commit, cwd=repo_dir)


def test_git_lfs_is_told_of_each_pointer_alone(repo_dir: Path, git: Callable[..., str]) -> None:
    """`git check-attr` finds the lfs filter on pointers, however odd their names, and on nothing else."""
    odd = ["plain.bin", "a b.bin", 'quo"te.bin', "sta*r.bin", "[x]?.bin", "tab\there.bin", "sub dir/ü.bin", "#x", "!y"]
    run = replace(make_run(), artifacts={**dict.fromkeys(odd, POINTER), "a c.bin": b"small", "x.bin": b"small"})
    commit = open_git_store(discover(repo_dir, {})).create(run, ANN)
    git("worktree", "add", "-q", "--detach", "../out", commit, cwd=repo_dir)
    out = repo_dir.parent / "out"
    paths = [f"artifacts/{name}" for name in run.artifacts]
    listed = subprocess.run(
        ["git", "check-attr", "-z", "filter", *paths], cwd=out, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    filters = dict(zip(listed[0::3], listed[2::3], strict=False))
    assert {path.removeprefix("artifacts/") for path, value in filters.items() if value == "lfs"} == set(odd)


def test_identical_files_are_stored_once(repo_dir: Path) -> None:
    """A second run with the same environment adds no second copy of it."""
    store = open_git_store(discover(repo_dir, {}))
    big = Environment(requirements=tuple(f"package-{i}=={i}" for i in range(5000)))
    sizes = []
    for number in (1, 2):
        store.create(replace(make_run(number), environment=big), ANN)
        sizes.append(sum(path.stat().st_size for path in (repo_dir / ".git/objects/pack").iterdir()))
    assert sizes[1] - sizes[0] < sizes[0] / 3


def test_damage_is_told_for_the_run_alone(repo_dir: Path) -> None:
    """A ref whose commit cannot be read as a run is reported with the reason; the others load."""
    repository = discover(repo_dir, {})
    store = open_git_store(repository)
    commit = store.create(make_run(1), ANN)
    [ref] = store.tips()
    objects = ObjectDatabase(repository.object_dir)
    [blob] = objects.write([(BLOB, b"not a commit")])
    broken = run_ref("x", RunId("b" * 12))
    found = list(store.load([(broken, blob.hex()), (ref, commit), (broken, "1" * 40)]))
    assert [type(item) for item in found] == [BrokenRun, RunSummary, BrokenRun]
    assert "is a blob, not a run's commit" in found[0].reason  # type: ignore[union-attr]


def test_a_long_history_is_read_quickly_again(repo_dir: Path, tmp_path: Path) -> None:
    """A long history is cached as columns; a damaged cache is not believed, and a missing one is no loss."""
    repository = discover(repo_dir, {})
    cache = HistoryCache(str(tmp_path / "histories"))
    store = GitRunStore(
        ObjectDatabase(repository.object_dir), RefStore(repository.git_dir, repository.common_dir), cache
    )
    long = History.of((step, 1_790_000_000 + step / 8, 1.0 / (step + 1)) for step in range(LONG))
    commit = store.create(replace(make_run(), metrics={"loss": long.last}, histories={"loss": long}), ANN)
    assert store.history(commit, "loss") == long
    [file] = (tmp_path / "histories").iterdir()
    before = file.stat().st_mtime_ns
    assert store.history(commit, "loss") == long
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert store.history(commit, "loss") == long
    assert file.stat().st_mtime_ns != before
    file.write_bytes(b"x")
    assert store.history(commit, "loss") == long
