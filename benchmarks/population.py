"""Repositories with many runs: what sealing writes, through the same store, but packed at once.

The state is that of the long run: a few packs, packed refs. Each run has ten params, ten metrics with a history of
one point, an environment, a line of output, and the code of the repository's one commit.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measure import Bench
from gitexp.domain.environment import Environment
from gitexp.domain.identity import readable_name, run_id
from gitexp.domain.metrics import History
from gitexp.domain.run import CodeState, Run, RunRecord, Status
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import object_id
from gitexp.store.git.refs import RefStore
from gitexp.store.runs import GitRunStore, Signature

AUTHOR = "Ann Lee <ann@example.org>"
BEGINNING = 1_750_000_000.0
RUNS_A_PACK = 10_000

_made: dict[tuple[Path, int], Path] = {}


def populate(bench: Bench, runs: int) -> Path:
    """A repository with that many sealed runs; made once for each number."""
    wanted = (bench.scratch, runs)
    if wanted not in _made:
        _made[wanted] = _populate(bench, runs)
    return _made[wanted]


class _Objects(ObjectDatabase):
    """Gathers what is written, until `flush` makes one pack of it."""

    def __init__(self, object_dir: str) -> None:
        super().__init__(object_dir)
        self._gathered: dict[bytes, tuple[str, bytes]] = {}

    def keeps(self, oid: bytes) -> bool:
        return oid in self._gathered

    def write(self, objects: Iterable[tuple[str, bytes]], *, durable: bool = True) -> list[bytes]:  # noqa: ARG002
        named = {object_id(*item): item for item in objects}
        self._gathered.update(named)
        return list(named)

    def read(self, oid: bytes, *, verify: bool = False) -> tuple[str, bytes]:  # noqa: ARG002
        return self._gathered[oid]

    def consolidate(self) -> int:
        return 0

    def flush(self) -> None:
        super().write(self._gathered.values())
        self._gathered.clear()


class _Refs(RefStore):
    """Gathers the refs that are created, until `flush` writes them as git packs them."""

    def __init__(self, git_dir: str) -> None:
        super().__init__(git_dir, git_dir)
        self._tips: dict[str, str] = {}

    def read(self, name: str) -> str | None:
        return self._tips.get(name)

    def create(self, name: str, commit: str, *, durable_name: bool = True) -> bool:  # noqa: ARG002
        self._tips[name] = commit
        return True

    def flush(self, git_dir: Path) -> None:
        lines = [f"{commit} {name}\n" for name, commit in sorted(self._tips.items())]
        (git_dir / "packed-refs").write_text("".join(["# pack-refs with: peeled fully-peeled sorted \n", *lines]))


def _populate(bench: Bench, runs: int) -> Path:
    folder = bench.repository(files=10)
    git_dir = folder / ".git"
    head, tree = bench.run("git", "rev-parse", "HEAD", "HEAD^{tree}", cwd=folder).output.decode().split()
    objects, refs = _Objects(str(git_dir / "objects")), _Refs(str(git_dir))
    store = GitRunStore(objects, refs)
    pick = random.Random(runs)
    for number in range(runs):
        run = _run(pick, number, head, tree)
        store.create(run, Signature(author=AUTHOR, time=run.record.end or 0.0))
        if number % RUNS_A_PACK == RUNS_A_PACK - 1:
            objects.flush()
    objects.flush()
    refs.flush(git_dir)
    return folder


def _run(pick: random.Random, number: int, head: str, tree: str) -> Run:
    identity = run_id(pick.randbytes(8))
    start = BEGINNING + number
    metrics = {"rmse": round(5 + 5 * pick.random(), 6), **{f"metric_{i}": pick.random() for i in range(9)}}
    record = RunRecord(
        id=identity,
        name=readable_name(identity),
        experiment="nyc-taxi",
        status=Status.FINISHED,
        start=start,
        end=start + 12.5,
        duration_s=12.5,
        author=AUTHOR,
        host="node-3",
        command=("python", "train.py"),
        directory=".",
        entry_point="train.py",
        exit_code=0,
        code=CodeState(commit=head, branch="main", dirty=False),
    )
    return Run(
        record=record,
        params={"lr": pick.choice([0.1, 0.01, 0.001]), **{f"param_{i}": pick.randrange(100) for i in range(9)}},
        metrics=metrics,
        histories={key: History.of([(0, start + 12, value)]) for key, value in metrics.items()},
        environment=Environment(
            python={"implementation": "CPython", "version": "3.11.7", "platform": "Linux", "machine": "x86_64"},
            requirements=tuple(f"package-{i}==1.{i}.0" for i in range(30)),
        ),
        output=b"training\n",
        code_tree=tree,
    )
