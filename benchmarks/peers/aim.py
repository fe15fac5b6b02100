"""Aim, local repository, system parameters off."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Bench, Figure, disk_bytes

START = """
from aim import Run
run = Run(repo=".", system_tracking_interval=None, log_system_params=False)
run["lr"] = 0.1
"""
SCRIPT = START + "run.track(1.0, name='loss', step=0)\nrun.close()\n"
CALLS = (
    START
    + """
with measured():
    for step in range(10_000):
        run.track(1.0 / (step + 1), name="loss", step=step)
result["calls_s"] = 10_000 / result["cpu_s"]
run.close()
print("\\n" + json.dumps(result))
"""
)


def measures(bench: Bench, python: str) -> dict[str, Callable[[], Figure]]:
    aim = str(Path(python).with_name("aim"))

    def repository() -> Path:
        folder = bench.folder()
        bench.run(aim, "init", cwd=folder)
        return folder

    def run() -> Figure:
        folder = repository()
        return bench.above_bare(python, SCRIPT, cwd=folder)

    def calls() -> Figure:
        results = [bench.program(CALLS, python=python, cwd=repository()) for _ in range(3)]
        return Figure(value=statistics.median(result["calls_s"] for result in results))

    def disk() -> Figure:
        folder = repository()
        before = disk_bytes(folder)
        for _ in range(5):
            bench.run(python, "-c", SCRIPT, cwd=folder)
        return Figure(value=(disk_bytes(folder) - before) / 5, note="over 5 runs")

    return {
        "import": lambda: bench.above_bare(python, "import aim"),
        "version": lambda: bench.median(lambda: bench.run(aim, "version")),
        "run-10": run,
        "log-metric": calls,
        "disk": disk,
    }
