"""What doing a run again adds to its command, and what a recorded environment costs once it has been built."""

from __future__ import annotations

from benchmarks.measure import Bench, Figure
from benchmarks.table import Row

_BUILD = """
import sys, time
from gitexp.repo import Repository
environment = Repository.open(sys.argv[1]).get_run("base").environment
began = time.perf_counter(), time.process_time()
from gitexp.environments.building import build
from gitexp.environments.specification import specification_of
built = build(specification_of(environment), folder=sys.argv[2])
print(built.was_cached, time.perf_counter() - began[0], time.process_time() - began[1])
"""


def overhead(bench: Bench, *options: str) -> Figure:
    """Above the bare command."""
    folder = bench.repository(files=10)
    bench.run(bench.gitexp, "run", "-n", "base", "train.py", cwd=folder)
    command = (bench.gitexp, "reproduce", "base", *options)
    bench.run(*command, cwd=folder)
    bare = bench.median(lambda: bench.run(bench.python, "train.py", cwd=folder))
    again = bench.median(lambda: bench.run(*command, cwd=folder))
    bench.gone(folder)
    assert bare.wall_s is not None and again.wall_s is not None
    return Figure(value=again.value - bare.value, wall_s=again.wall_s - bare.wall_s)


def here(bench: Bench) -> Figure:
    return overhead(bench, "--here")


def apart(bench: Bench) -> Figure:
    return overhead(bench, "--env", "current")


def cached(bench: Bench) -> Figure:
    """Finding an environment that was built, imports included."""
    folder, cache = bench.repository(files=10), bench.folder()
    bench.run(bench.python, "-m", "venv", "--without-pip", folder / ".venv", cwd=folder)
    (folder / ".gitignore").write_text(".venv\n")
    inside = bench.with_variables(VIRTUAL_ENV=str(folder / ".venv"))
    inside.run(bench.gitexp, "run", "-n", "base", "train.py", cwd=folder)
    bench.run(bench.python, "-c", _BUILD, folder, cache)
    walls, cpus = [], []
    for _ in range(bench.times):
        was_cached, wall, cpu = bench.run(bench.python, "-c", _BUILD, folder, cache).output.split()[-3:]
        assert was_cached == b"True"
        walls.append(float(wall))
        cpus.append(float(cpu))
    bench.gone(folder)
    middle = bench.times // 2
    return Figure(value=sorted(walls)[middle], wall_s=sorted(walls)[middle], note=f"CPU {sorted(cpus)[middle]:.3f} s")


ROWS = [
    Row(
        key="reproduce-here",
        work="`gitexp reproduce --here` above the bare script, 10 files",
        unit="CPU s",
        bar=0.40,
        measure=here,
    ),
    Row(
        key="reproduce-apart",
        work="`gitexp reproduce` in a worktree of its own, present environment, above the bare script",
        unit="CPU s",
        bar=0.40,
        measure=apart,
    ),
    Row(
        key="environment-cached", work="a recorded environment that was built before", unit="s", bar=0.5, measure=cached
    ),
]
