"""Runs on their way to another repository and back: records by path, ssh and http, artifacts in the remote itself."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.artifact_places import COMMAND, RECORD
from benchmarks.measure import Bench, Cost, Figure
from benchmarks.population import populate
from benchmarks.table import Row

RUNS = 10_000
IN_BAND_BYTES = 256 << 20
ALL_RUNS = "refs/gitexp/*:refs/gitexp/*"
SERVERS = Path(__file__).parent.parent / "tests" / "servers.py"

_started: dict[tuple[Path, int], Path] = {}


def with_first(bench: Bench, runs: int) -> Path:
    """A bare repository with the first runs of the population, packed as git packs; made once for each number."""
    wanted = (bench.scratch, runs)
    if wanted not in _started:
        source = populate(bench, RUNS)
        folder = bench.folder() / "remote.git"
        bench.run("git", "init", "-q", "--bare", folder)
        listed = bench.run("git", "for-each-ref", "--format=%(objectname) %(refname)", cwd=source).output.decode()
        names = [line for line in listed.splitlines() if "/runs/" not in line]
        names += [line for line in listed.splitlines() if "/runs/" in line][:runs]
        tips = "".join(f"{line.split()[0]}\n" for line in names)
        command = ["git", "pack-objects", "-q", "--revs", str(folder / "objects/pack/pack")]
        subprocess.run(command, input=tips, text=True, check=True, cwd=source, env=bench.environ, capture_output=True)
        listed = "".join(sorted((f"{line}\n" for line in names), key=lambda line: line.split()[1]))
        (folder / "packed-refs").write_text(f"# pack-refs with: sorted \n{listed}")
        _started[wanted] = folder
    return _started[wanted]


@contextmanager
def copied(bench: Bench, source: Path, name: str = "remote.git") -> Iterator[Path]:
    """A repository of its own for one measurement."""
    folder = bench.folder()
    shutil.copytree(source, folder / "srv" / name)
    yield folder / "srv" / name
    bench.gone(folder)


@contextmanager
def serving(bench: Bench, kind: str, root: Path) -> Iterator[tuple[Bench, str]]:
    """A server of the tests' for the repositories in a folder: a bench that is let in, and the address."""
    command = [sys.executable, str(SERVERS), kind, str(root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdin is not None
    try:
        said = json.loads(process.stdout.readline())
        yield bench.with_variables(**said["environ"]), said["base"]
    finally:
        process.stdin.close()
        process.wait()


def push(bench: Bench, runs: int, kind: str = "path") -> Figure:
    """What `gitexp push` of the last runs takes above git's own push of the same, in turns."""
    source = populate(bench, RUNS)
    ours: list[Cost] = []
    gits: list[Cost] = []
    for _ in range(bench.times):
        for costs, command in ((gits, git_push), (ours, gitexp_push)):
            with copied(bench, with_first(bench, RUNS - runs)) as remote, serving(bench, kind, remote.parent) as there:
                within, base = there
                costs.append(command(within, source, f"{base}/{remote.name}"))
                count = bench.run("git", "for-each-ref", "refs/gitexp/runs", cwd=remote).output.count(b"\n")
                assert count == RUNS, f"{count} runs arrived"
    return compared(ours, gits)


def git_push(bench: Bench, source: Path, url: str) -> Cost:
    return bench.run("git", "push", "-q", url, ALL_RUNS, cwd=source)


def gitexp_push(bench: Bench, source: Path, url: str) -> Cost:
    return bench.run(bench.gitexp, "push", url, cwd=source)


def push_cpu(bench: Bench, runs: int, kind: str) -> Figure:
    """What `gitexp push` of the last runs takes on this side of the network."""
    source = populate(bench, RUNS)
    costs: dict[str, list[Cost]] = {"gitexp": [], "git": []}
    for _ in range(bench.times):
        for name, command in (("git", git_push), ("gitexp", gitexp_push)):
            with copied(bench, with_first(bench, RUNS - runs)) as remote, serving(bench, kind, remote.parent) as there:
                within, base = there
                costs[name].append(command(within, source, f"{base}/{remote.name}"))
    return beside_git(costs["gitexp"], costs["git"])


def nothing(bench: Bench, way: str) -> Figure:
    """A push or pull with 10,000 runs on both sides."""
    source = populate(bench, RUNS)
    remote = with_first(bench, RUNS)
    return bench.median(lambda: bench.run(bench.gitexp, way, remote, cwd=source))


def pull(bench: Bench, runs: int) -> Figure:
    """`gitexp pull` of the last runs, beside git's fetch of the same."""
    remote = with_first(bench, RUNS)
    costs: dict[str, list[Cost]] = {"gitexp": [], "git": []}
    commands: dict[str, list[str | Path]] = {
        "git": ["git", "fetch", "-q", remote, ALL_RUNS],
        "gitexp": [bench.gitexp, "pull", remote],
    }
    for _ in range(bench.times):
        for name, command in commands.items():
            with copied(bench, with_first(bench, RUNS - runs), "clone/.git") as folder:
                bench.run("git", "config", "core.bare", "false", cwd=folder)
                costs[name].append(bench.run(*command, cwd=folder.parent))
                count = bench.run("git", "for-each-ref", "refs/gitexp/runs", cwd=folder).output.count(b"\n")
                assert count == RUNS, f"{count} runs arrived"
    return beside_git(costs["gitexp"], costs["git"])


def clone(bench: Bench) -> Figure:
    """`gitexp clone` and the first `gitexp ls`, together."""
    remote = with_first(bench, RUNS)
    costs = []
    for _ in range(min(bench.times, 3)):
        folder = bench.folder() / "clone"
        made = bench.run(bench.gitexp, "clone", remote, folder)
        listed = bench.run(bench.gitexp, "ls", cwd=folder)
        costs.append(Cost(cpu_s=made.cpu_s + listed.cpu_s, wall_s=made.wall_s + listed.wall_s))
        bench.gone(folder)
    return median(costs)


class InBand:
    """A repository with one large artifact, and a web server without Git LFS."""

    def __init__(self, bench: Bench, base: str, root: Path) -> None:
        self.bench = bench
        self.remote = root / "remote.git"
        self.folder = bench.repository()
        bench.run("git", "clone", "-q", "--bare", self.folder, self.remote)
        bench.run("git", "remote", "add", "origin", f"{base}/{self.remote.name}", cwd=self.folder)
        bench.program(RECORD, IN_BAND_BYTES, cwd=self.folder)
        [self.content] = (self.folder / ".git" / "gitexp" / "objects").glob("*/*/*")

    def command(self, *words: str) -> Cost:
        return self.bench.run(self.bench.gitexp, *words, cwd=self.folder)

    def empty(self) -> None:
        """As if nothing had ever been pushed."""
        shutil.rmtree(self.folder / ".git" / "gitexp" / "sent", ignore_errors=True)
        shutil.rmtree(self.remote / "refs" / "gitexp", ignore_errors=True)
        for path in (self.remote / "objects" / "pack").iterdir():
            path.unlink()

    def peak(self, *words: str) -> dict[str, float]:
        return self.bench.program(COMMAND, *words, cwd=self.folder)


@contextmanager
def in_band(bench: Bench) -> Iterator[InBand]:
    root = bench.folder() / "srv"
    root.mkdir()
    with serving(bench, "http", root) as (within, base):
        place = InBand(within, base, root)
        yield place
        bench.gone(place.folder)
        bench.gone(root.parent)


def in_band_cpu(bench: Bench, way: str) -> Figure:
    costs: list[Cost] = []
    with in_band(bench) as place:
        for _ in range(bench.times):
            if way == "up" or not costs:
                place.empty()
                pushed = place.command("push", "origin")
            if way == "down":
                place.content.unlink()
                pushed = place.command("pull", "origin", "--artifacts")
                assert place.content.stat().st_size == IN_BAND_BYTES
            costs.append(pushed)
    return median(costs)


def in_band_memory(bench: Bench, way: str) -> Figure:
    costs: list[dict[str, float]] = []
    with in_band(bench) as place:
        for _ in range(bench.times):
            if way == "up" or not costs:
                place.empty()
                measured = place.peak("push", "origin")
            if way == "down":
                place.content.unlink()
                measured = place.peak("pull", "origin", "--artifacts")
            costs.append(measured)
    wall_s = statistics.median(cost["wall_s"] for cost in costs)
    rate = f"{IN_BAND_BYTES / 1e6 / wall_s:.0f} MB/s"
    return Figure(value=statistics.median(cost["peak_bytes"] for cost in costs) / 1e6, wall_s=wall_s, note=rate)


def median(costs: list[Cost]) -> Figure:
    cpu_s = statistics.median(cost.cpu_s for cost in costs)
    return Figure(value=cpu_s, wall_s=statistics.median(cost.wall_s for cost in costs))


def beside_git(ours: list[Cost], gits: list[Cost]) -> Figure:
    own, other = median(ours), median(gits)
    return Figure(value=own.value, wall_s=own.wall_s, note=f"git {other.value:.2f} CPU s, {other.wall_s:.2f} s")


def compared(ours: list[Cost], gits: list[Cost]) -> Figure:
    own, other = median(ours), median(gits)
    note = f"{own.value:.2f} CPU s, git {other.value:.2f} CPU s and {other.wall_s:.2f} s"
    return Figure(value=own.value - other.value, wall_s=own.wall_s, note=note)


def _row(key: str, work: str, bar: float, measure: Callable[[Bench], Figure], unit: str = "CPU s") -> Row:
    return Row(key=key, work=work, unit=unit, bar=bar, measure=measure)


ABOVE_GIT = "CPU s above git"

ROWS = [
    _row("push-1", "1 run of 10,000 pushed to a path", 0.10, partial(push, runs=1), ABOVE_GIT),
    _row("push-100", "100 runs of 10,000 pushed to a path", 0.10, partial(push, runs=100), ABOVE_GIT),
    _row("push-1000", "1,000 runs of 10,000 pushed to a path", 0.10, partial(push, runs=1000), ABOVE_GIT),
    _row("push-ssh", "1,000 runs of 10,000 pushed by ssh", 0.6, partial(push_cpu, runs=1000, kind="ssh")),
    _row("push-http", "1,000 runs of 10,000 pushed by http", 0.6, partial(push_cpu, runs=1000, kind="http")),
    _row("push-nothing", "nothing to push, 10,000 runs on both sides", 0.15, partial(nothing, way="push")),
    _row("pull-nothing", "nothing to pull, 10,000 runs on both sides", 0.15, partial(nothing, way="pull")),
    _row("pull-1000", "1,000 runs of 10,000 pulled from a path", 1.0, partial(pull, runs=1000)),
    _row("in-band-up", "256 MiB into a remote without LFS, by http", 2.0, partial(in_band_cpu, way="up")),
    _row("in-band-down", "256 MiB out of it", 2.0, partial(in_band_cpu, way="down")),
    _row("in-band-up-memory", "256 MiB into it: memory above base", 60, partial(in_band_memory, way="up"), "MB"),
    _row("in-band-down-memory", "256 MiB out of it: memory above base", 60, partial(in_band_memory, way="down"), "MB"),
    _row("clone", "a repository with 10,000 runs cloned, until `gitexp ls` answers", 5.0, clone),
]
