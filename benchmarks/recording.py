"""Recording from Python: whole runs, single values, a killed process, a long history."""

from __future__ import annotations

import statistics
from dataclasses import replace

from benchmarks.measure import Bench, Figure
from benchmarks.table import Row

RUNS = """
import gitexp
def one(number):
    with gitexp.start_run():
        gitexp.log_params({f"param_{i}": number + i for i in range(10)})
        gitexp.log_metrics({f"metric_{i}": number / (i + 1) for i in range(10)})
one(0)
with measured():
    for number in range(100):
        one(number)
print(json.dumps({**result, "cpu_s": result["cpu_s"] / 100, "wall_s": result["wall_s"] / 100}))
"""

CALLS = """
import gitexp
calls = int(sys.argv[1])
with gitexp.start_run():
    log_metric = gitexp.log_metric
    log_metric("loss", 1.0, step=0)
    with measured():
        for step in range(1, calls):
            log_metric("loss", 1.0 / step, step=step)
result["calls_s"] = calls / result["cpu_s"]
print(json.dumps(result))
"""

KILLED = """
import signal, gitexp
gitexp.start_run(name="killed")
for step in range(200):
    gitexp.log_metric("loss", 1.0 / (step + 1), step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""

POINTS_KEPT = """
import gitexp
print(json.dumps({"points": len(gitexp.get_run("killed").history("loss"))}))
"""

SEAL = """
import gitexp
gitexp.start_run()
for step in range(1_000_000):
    gitexp.log_metric("loss", 1.0 / (step + 1), step=step)
with measured():
    gitexp.end_run()
print(json.dumps(result))
"""

READ_BACK = """
import gitexp
run = gitexp.get_run("@")
with measured():
    history = run.history("loss")
    assert len(history) == 1_000_000
print(json.dumps(result))
"""


def in_process(bench: Bench) -> Figure:
    return bench.program_median(RUNS, cwd=bench.repository(files=10))


def log_metric(bench: Bench) -> Figure:
    folder = bench.repository()
    results = [bench.program(CALLS, 200_000, cwd=folder) for _ in range(bench.times)]
    return Figure(
        value=statistics.median(result["calls_s"] for result in results),
        wall_s=statistics.median(result["wall_s"] for result in results),
        note="200,000 calls, one by one",
    )


def killed(bench: Bench) -> Figure:
    folder = bench.repository()
    bench.run(bench.python, "-c", "import os\n" + KILLED, cwd=folder, fails=True)
    bench.run(bench.gitexp, "ls", cwd=folder)
    return Figure(value=bench.program(POINTS_KEPT, cwd=folder)["points"])


def seal_history(bench: Bench) -> Figure:
    return bench.program_median(SEAL, cwd=bench.repository(), times=3)


def read_history(bench: Bench) -> Figure:
    folder = bench.repository()
    bench.program(SEAL, cwd=folder)
    first = bench.program(READ_BACK, cwd=folder)["cpu_s"]
    return replace(bench.program_median(READ_BACK, cwd=folder), note=f"the first time {first:.2f}")


ROWS = [
    Row(
        key="in-process",
        work="in one process: start, 10 params, 10 metrics, end; amortised over 100 runs",
        unit="CPU s",
        bar=0.006,
        floor="0.001",
        measure=in_process,
    ),
    Row(
        key="log-metric",
        work="`log_metric` calls a CPU second, one by one",
        unit="calls",
        bar=400_000,
        floor="190,000 (JSONL)",
        more_is_better=True,
        measure=log_metric,
    ),
    Row(
        key="killed",
        work="points kept after `kill -9` right after the 200th call",
        unit="points",
        bar=200,
        floor="200",
        more_is_better=True,
        measure=killed,
    ),
    Row(key="history-seal", work="a 1,000,000-point history: seal", unit="CPU s", bar=2.0, measure=seal_history),
    Row(
        key="history-read",
        work="a 1,000,000-point history: read back",
        unit="CPU s",
        bar=0.6,
        floor="0.5 (CSV parse)",
        measure=read_history,
    ),
]
