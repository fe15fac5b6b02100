"""DVC experiments: `dvc exp run`, `dvc exp show`, `dvc add`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.artifacts import large_file, small_files
from benchmarks.measure import Bench, Cost, Figure, disk_bytes

QUIET = {"DVC_NO_ANALYTICS": "true", "DO_NOT_TRACK": "true"}

STAGE = """stages:
  train:
    cmd: python3 train.py
    deps: [train.py]
    params: [lr]
    metrics:
    - metrics.json:
        cache: false
"""

TRAIN = """import json, re
lr = float(re.search("lr: (.*)", open("params.yaml").read())[1])
json.dump({"rmse": 5 + lr}, open("metrics.json", "w"))
"""


def measures(bench: Bench, python: str) -> dict[str, Callable[[], Figure]]:
    bench = bench.with_variables(**QUIET, PATH=f"{Path(python).parent}:{bench.environ['PATH']}")
    return {
        "import": lambda: bench.above_bare(python, "import dvc.api"),
        "version": lambda: bench.median(lambda: bench.run("dvc", "--version")),
        "ls-1000": lambda: _show(bench, cold=False),
        "index-10000": lambda: _show(bench, cold=True),
        "run-10": lambda: _run(bench, 10),
        "run-5000": lambda: _run(bench, 5_000),
        "run-50000": lambda: _run(bench, 50_000),
        "artifact-1gib": lambda: _add_large(bench),
        "artifacts-1000": lambda: _add_small(bench),
        "disk": lambda: _disk(bench),
    }


def _show(bench: Bench, *, cold: bool) -> Figure:
    folder = _experiments(bench, 1_000)
    first = bench.run("dvc", "exp", "show", "--csv", cwd=folder)
    if cold:
        return Figure(value=first.cpu_s, wall_s=first.wall_s, note="1,000 experiments, not 10,000; measured once")
    return bench.median(lambda: bench.run("dvc", "exp", "show", "--csv", cwd=folder), times=3)


def _run(bench: Bench, files: int) -> Figure:
    folder = _project(bench, files)
    bare = bench.median(lambda: bench.run("python3", "train.py", cwd=folder))
    rates = iter(range(1, 100))
    times = 3 if files < 10_000 else 1
    whole = bench.median(lambda: bench.run("dvc", "exp", "run", "-S", f"lr=0.{next(rates)}5", cwd=folder), times=times)
    bench.gone(folder)
    assert bare.wall_s is not None and whole.wall_s is not None
    return Figure(value=whole.value - bare.value, wall_s=whole.wall_s - bare.wall_s)


def _add_large(bench: Bench) -> Figure:
    folder = _project(bench)
    large_file(bench).rename(folder / "model.bin")
    cost = bench.run("dvc", "add", "-q", "model.bin", cwd=folder)
    bench.gone(folder)
    return Figure(value=cost.cpu_s, wall_s=cost.wall_s, note="measured once")


def _add_small(bench: Bench) -> Figure:
    def once() -> Cost:
        folder = _project(bench)
        small_files(bench).rename(folder / "plots")
        return bench.run("dvc", "add", "-q", "plots", cwd=folder)

    return bench.median(once, times=3)


def _disk(bench: Bench) -> Figure:
    folder = _project(bench)
    before = disk_bytes(folder)
    for number in range(5):
        bench.run("dvc", "exp", "run", "-S", f"lr=0.{number}5", cwd=folder)
    return Figure(value=(disk_bytes(folder) - before) / 5, note="over 5 runs, before `git gc`")


def _project(bench: Bench, files: int = 0) -> Path:
    folder = bench.repository(files=files)
    (folder / "dvc.yaml").write_text(STAGE)
    (folder / "params.yaml").write_text("lr: 0.1\n")
    (folder / "train.py").write_text(TRAIN)
    (folder / ".gitignore").write_text("/metrics.json\n")
    bench.run("dvc", "init", "-q", cwd=folder)
    bench.run("git", "add", "-A", cwd=folder)
    bench.run("git", "commit", "-q", "-m", "dvc", cwd=folder)
    return folder


def _experiments(bench: Bench, count: int) -> Path:
    """One experiment as DVC makes it, and its commit copied with other values through `git fast-import`."""
    folder = _project(bench)
    bench.run("dvc", "exp", "run", "-n", "first", "-S", "lr=0.25", cwd=folder)

    def git(*arguments: str) -> str:
        return bench.run("git", *arguments, cwd=folder).output.decode().strip()

    ref = next(
        line for line in git("for-each-ref", "--format=%(refname)", "refs/exps").split() if line.endswith("/first")
    )
    tree, base = git("rev-parse", f"{ref}^{{tree}}"), git("rev-parse", f"{ref}^")
    feed = []
    for number in range(count - 1):
        params, metrics = f"lr: {number}.5\n", f'{{"rmse": {number}.25}}'
        message = f"dvc: commit experiment {number:064x}"
        feed += [
            f"commit {ref.rsplit('/', 1)[0]}/exp-{number}",
            f"committer Ann Lee <ann@example.org> {1_700_000_000 + number} +0000",
            f"data {len(message)}\n{message}",
            f'from {base}\nM 040000 {tree} ""',
            f"M 100644 inline params.yaml\ndata {len(params)}\n{params}",
            f"M 100644 inline metrics.json\ndata {len(metrics)}\n{metrics}",
        ]
    (folder / ".git/feed").write_text("\n".join([*feed, ""]))
    bench.run("sh", "-c", "git fast-import --quiet < .git/feed", cwd=folder)
    return folder
