"""trackio, local only."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Bench, Figure, disk_bytes

SCRIPT = """
import trackio
trackio.init(project="bench", config={"lr": 0.1})
trackio.log({"loss": 1.0})
trackio.finish()
"""

MANY = f"for _ in range(200):{SCRIPT.replace(chr(10), chr(10) + '    ')}"

CALLS = """
import trackio
trackio.init(project="bench")
with measured():
    for step in range(2_000):
        trackio.log({"loss": 1.0 / (step + 1)}, step=step)
result["calls_s"] = 2_000 / result["cpu_s"]
trackio.finish()
print("\\n" + json.dumps(result))
"""

KILLED = """
import os, signal, time, trackio
trackio.init(project="bench")
for step in range(200):
    trackio.log({"loss": 1.0 / (step + 1)}, step=step)
    time.sleep(0.005)
os.kill(os.getpid(), signal.SIGKILL)
"""

COUNT = """
import glob, sqlite3
[file] = glob.glob(os.environ["TRACKIO_DIR"] + "/bench.db")
print(json.dumps({"points": sqlite3.connect(file).execute("select count(*) from metrics").fetchone()[0]}))
"""


def measures(bench: Bench, python: str) -> dict[str, Callable[[], Figure]]:
    def fresh() -> Bench:
        return bench.with_variables(TRACKIO_DIR=str(bench.folder()), HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")

    return {
        "import": lambda: bench.above_bare(python, "import trackio"),
        "version": lambda: bench.median(lambda: bench.run(Path(python).with_name("trackio"), "--version")),
        "run-10": lambda: _run(fresh(), python),
        "log-metric": lambda: _calls(fresh(), python),
        "killed": lambda: _killed(fresh(), python),
        "disk": lambda: _disk(fresh(), python),
    }


def _run(bench: Bench, python: str) -> Figure:
    return bench.above_bare(python, SCRIPT)


def _calls(bench: Bench, python: str) -> Figure:
    results = [bench.program(CALLS, python=python) for _ in range(3)]
    return Figure(value=statistics.median(result["calls_s"] for result in results), note="queued, not yet written")


def _killed(bench: Bench, python: str) -> Figure:
    bench.run(python, "-c", KILLED, fails=True)
    return Figure(value=bench.program(COUNT, python=python)["points"], note="calls 5 ms apart")


def _disk(bench: Bench, python: str) -> Figure:
    folder = Path(bench.environ["TRACKIO_DIR"])
    bench.run(python, "-c", SCRIPT)
    before = disk_bytes(folder)
    bench.run(python, "-c", MANY)
    return Figure(value=(disk_bytes(folder) - before) / 200, note="over 200 runs of one point")
