"""Weights & Biases offline: no server, `WANDB_MODE=offline`."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Bench, Figure, disk_bytes

QUIET = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}

SCRIPT = """
import wandb
run = wandb.init(project="bench", config={"lr": 0.1})
run.log({"loss": 1.0})
run.finish()
"""

CALLS = """
import wandb
run = wandb.init(project="bench")
with measured():
    for step in range(10_000):
        run.log({"loss": 1.0 / (step + 1)}, step=step)
result["calls_s"] = 10_000 / result["cpu_s"]
run.finish()
print("\\n" + json.dumps(result))
"""

KILLED = """
import os, signal, time, wandb
run = wandb.init(project="bench")
for step in range(200):
    run.log({"loss": 1.0 / (step + 1)}, step=step)
    time.sleep(0.005)
os.kill(os.getpid(), signal.SIGKILL)
"""

# The file is a header of seven bytes and a LevelDB log: blocks of 32 KiB with fragments of protobuf records.
COUNT = """
import glob, struct
from wandb.proto import wandb_internal_pb2
[file] = glob.glob("wandb/offline-run-*/*.wandb")
data = open(file, "rb").read()
at, points, record = 7, 0, b""
while at + 7 <= len(data):
    if 32768 - at % 32768 < 7:
        at += 32768 - at % 32768
        continue
    _, length, kind = struct.unpack_from("<IHB", data, at)
    if kind == 0 or at + 7 + length > len(data):
        break
    record = (record if kind in (3, 4) else b"") + data[at + 7 : at + 7 + length]
    at += 7 + length
    if kind in (1, 4):
        points += wandb_internal_pb2.Record.FromString(record).WhichOneof("record_type") == "history"
print(json.dumps({"points": points}))
"""


def measures(bench: Bench, python: str) -> dict[str, Callable[[], Figure]]:
    bench = bench.with_variables(**QUIET)
    return {
        "import": lambda: bench.above_bare(python, "import wandb"),
        "version": lambda: bench.median(lambda: bench.run(Path(python).with_name("wandb"), "--version")),
        "run-10": lambda: _run(bench, python),
        "log-metric": lambda: _calls(bench, python),
        "killed": lambda: _killed(bench, python),
        "disk": lambda: _disk(bench, python),
    }


def _run(bench: Bench, python: str) -> Figure:
    folder = bench.repository(files=10)
    return bench.above_bare(python, SCRIPT, cwd=folder)


def _calls(bench: Bench, python: str) -> Figure:
    results = [bench.program(CALLS, python=python, cwd=bench.folder()) for _ in range(3)]
    return Figure(value=statistics.median(result["calls_s"] for result in results), note="the calling process alone")


def _killed(bench: Bench, python: str) -> Figure:
    folder = bench.folder()
    bench.run(python, "-c", KILLED, cwd=folder, fails=True)
    return Figure(value=bench.program(COUNT, python=python, cwd=folder)["points"], note="calls 5 ms apart")


def _disk(bench: Bench, python: str) -> Figure:
    folder = bench.folder()
    for _ in range(5):
        bench.run(python, "-c", SCRIPT, cwd=folder)
    return Figure(value=disk_bytes(folder) / 5, note="over 5 runs")
