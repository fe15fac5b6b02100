"""DVCLive, the logger of DVC."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchmarks.measure import Bench, Figure
from benchmarks.peers.dvc import QUIET

SCRIPT = """
from dvclive import Live
with Live(save_dvc_exp=False) as live:
    live.log_param("lr", 0.1)
    live.log_metric("loss", 1.0)
"""

CALLS = """
from dvclive import Live
with Live(save_dvc_exp=False) as live:
    with measured():
        for step in range(10_000):
            live.log_metric("loss", 1.0 / (step + 1))
result["calls_s"] = 10_000 / result["cpu_s"]
print("\\n" + json.dumps(result))
"""


def measures(bench: Bench, python: str) -> dict[str, Callable[[], Figure]]:
    bench = bench.with_variables(**QUIET)

    def run() -> Figure:
        folder = bench.repository(files=10)
        return bench.above_bare(python, SCRIPT, cwd=folder)

    def calls() -> Figure:
        results = [bench.program(CALLS, python=python, cwd=bench.repository()) for _ in range(3)]
        return Figure(value=statistics.median(result["calls_s"] for result in results), note="without next_step")

    return {
        "import": lambda: bench.above_bare(python, "import dvclive"),
        "run-10": run,
        "log-metric": calls,
    }
