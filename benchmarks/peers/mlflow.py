"""MLflow with its SQLite store, as `mlflow.set_tracking_uri("sqlite:///...")` gives it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.answering import answered
from benchmarks.artifacts import large_file, small_files
from benchmarks.measure import Bench, Figure, disk_bytes
from benchmarks.models import FOREST, saved

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
START = """
import logging, warnings
warnings.simplefilter("ignore")
import mlflow
logging.disable(logging.CRITICAL)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run():
    mlflow.log_metric("first", 1)
"""

RUNS = (
    START
    + """
from mlflow.entities import Metric, Param
client = mlflow.MlflowClient()
with measured():
    for number in range(100):
        with mlflow.start_run() as run:
            mlflow.log_params({f"param_{i}": number + i for i in range(10)})
            mlflow.log_metrics({f"metric_{i}": number / (i + 1) for i in range(10)})
print(json.dumps({**result, "cpu_s": result["cpu_s"] / 100, "wall_s": result["wall_s"] / 100}))
"""
)

CALLS = (
    START
    + """
with mlflow.start_run():
    with measured():
        for step in range(2_000):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
result["calls_s"] = 2_000 / result["cpu_s"]
print(json.dumps(result))
"""
)

KILLED = (
    START
    + """
import signal
mlflow.start_run()
for step in range(200):
    mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""
)

COUNT = """
import sqlite3
found = sqlite3.connect("mlflow.db").execute("select count(*) from metrics where key='loss'")
print(json.dumps({"points": found.fetchone()[0]}))
"""

# Ten thousand runs through its own API take minutes; the rows are what its API writes.
POPULATE = (
    START
    + """
import random, sqlite3, uuid
pick = random.Random(0)
base = sqlite3.connect("mlflow.db")
old = dict(zip([c[1] for c in base.execute("pragma table_info(runs)")], base.execute("select * from runs").fetchone()))
runs, params, metrics, latest = [], [], [], []
for number in range(int(sys.argv[1])):
    identity, start = uuid.UUID(int=pick.getrandbits(128)).hex, 1_700_000_000_000 + number
    runs.append(tuple({**old, "run_uuid": identity, "name": f"run-{number}", "start_time": start}.values()))
    values = {"lr": pick.choice([0.1, 0.01, 0.001]), **{f"param_{i}": pick.randrange(100) for i in range(9)}}
    params += [(key, str(value), identity) for key, value in values.items()]
    values = {"rmse": 5 + pick.random() * 5, **{f"metric_{i}": pick.random() for i in range(9)}}
    metrics += [(key, value, start, identity, 0, 0) for key, value in values.items()]
base.executemany(f"insert into runs ({','.join(old)}) values ({','.join('?' * len(old))})", runs)
base.executemany("insert into params (key, value, run_uuid) values (?, ?, ?)", params)
for table in ("metrics", "latest_metrics"):
    columns = "key, value, timestamp, run_uuid, step, is_nan"
    base.executemany(f"insert into {table} ({columns}) values (?, ?, ?, ?, ?, ?)", metrics)
base.commit()
print("{}")
"""
)

SEARCH = (
    START
    + """
with measured():
    found = mlflow.search_runs(
        filter_string="metrics.rmse < 6.5 and params.lr = '0.1'",
        order_by=["metrics.rmse"],
        max_results=100,
        output_format="list",
    )
assert len(found) == 100
print(json.dumps(result))
"""
)

DATAFRAME = (
    START
    + """
with measured():
    frame = mlflow.search_runs(max_results=50_000)
assert len(frame) > 10_000
print(json.dumps(result))
"""
)

LARGE = (
    START
    + """
with mlflow.start_run(), measured():
    mlflow.log_artifact(sys.argv[1])
print(json.dumps(result))
"""
)

SMALL = LARGE.replace("log_artifact(", "log_artifacts(")


LOGGED = (
    START
    + """
with mlflow.start_run():
    with measured():
        mlflow.sklearn.log_model(model, name="model", input_example=X[:5], serialization_format="cloudpickle")
print(json.dumps(result))
"""
)


_SERVED = {"start": "start_s", "cost": "cpu_ms", "rate": "rate", "p99": "p99_ms", "memory": "memory_mb"}


def measures(bench: Bench, python: str) -> dict[str, Callable[[], Figure]]:
    command = str(Path(python).with_name("mlflow"))
    quiet = bench.with_variables(**QUIET)

    def populated(runs: int) -> Path:
        folder = bench.folder()
        quiet.program(POPULATE, runs, python=python, cwd=folder)
        return folder

    def listed() -> Figure:
        folder = populated(1_000)
        tracked = quiet.with_variables(MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db")
        return tracked.median(lambda: tracked.run(command, "runs", "list", "--experiment-id", "0", cwd=folder), times=3)

    def search() -> Figure:
        figure = quiet.program_median(SEARCH, python=python, cwd=populated(10_000), times=3)
        return replace(figure, note="10,000 runs, not 100,000")

    def calls() -> Figure:
        results = [quiet.program(CALLS, python=python, cwd=bench.folder()) for _ in range(3)]
        return Figure(value=statistics.median(result["calls_s"] for result in results))

    def killed() -> Figure:
        folder = bench.folder()
        quiet.run(python, "-c", "import os\n" + KILLED, cwd=folder, fails=True)
        return Figure(value=quiet.program(COUNT, python=python, cwd=folder)["points"])

    def disk() -> Figure:
        folder = populated(0)
        before = disk_bytes(folder)
        quiet.program(POPULATE, 1_000, python=python, cwd=folder)
        return Figure(value=(disk_bytes(folder) - before) / 1_000, note="rows written straight into SQLite")

    def large() -> Figure:
        folder, file = bench.folder(), large_file(bench)
        figure = quiet.program_median(LARGE, file, python=python, cwd=folder, times=3)
        bench.gone(folder)
        return figure

    def logged() -> Figure:
        return quiet.program_median(FOREST + LOGGED, python=python, cwd=bench.folder(), times=3)

    def of_server(attribute: str) -> Figure:
        local = quiet.with_variables(PATH=f"{Path(python).parent}:{quiet.environ['PATH']}")
        serve = [command, "models", "serve", "-m", "model", "--env-manager", "local", "--port", "PORT"]
        return Figure(value=getattr(answered(serve, local.environ, saved(bench)), attribute))

    def small() -> Figure:
        return quiet.program_median(SMALL, small_files(bench), python=python, cwd=bench.folder(), times=3)

    return {
        "import": lambda: quiet.above_bare(python, "import mlflow"),
        "version": lambda: quiet.median(lambda: quiet.run(command, "--version")),
        "ls-1000": listed,
        "search-100000": search,
        "dataframe-10000": lambda: quiet.program_median(DATAFRAME, python=python, cwd=populated(10_000), times=3),
        "in-process": lambda: quiet.program_median(RUNS, python=python, cwd=bench.folder(), times=3),
        "log-metric": calls,
        "killed": killed,
        "disk": disk,
        "artifact-1gib": large,
        "artifacts-1000": small,
        "model-log": logged,
        **{f"model-serve-{row}": partial(of_server, attribute) for row, attribute in _SERVED.items()},
    }
