"""Keeping models, and a model's server under load."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.answering import Answered, answered
from benchmarks.artifacts import large_file
from benchmarks.measure import Bench, Figure, disk_bytes
from benchmarks.table import Row

GIB = 1 << 30
FOREST = """
import numpy as np, pandas as pd
from sklearn.ensemble import RandomForestRegressor
X = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 8)), columns=list("abcdefgh"))
model = RandomForestRegressor(20, random_state=0).fit(X, X.a * 2 + X.b)
"""
LOGGED = (
    FOREST
    + """
import gitexp
with gitexp.start_run():
    with measured():
        info = gitexp.sklearn.log_model(model, "model", input_example=X[:5])
assert info.signature is not None
print(json.dumps(result))
"""
)
SAVED = FOREST + "import gitexp.sklearn\ngitexp.sklearn.save_model(model, 'model', input_example=X[:5])\n"
LARGE = """
import gitexp
for _ in range(3):
    with gitexp.start_run():
        gitexp.pyfunc.log_model("model", python_model=len, artifacts={"weights": sys.argv[1]})
print(json.dumps(result))
"""


def logging(bench: Bench) -> Figure:
    folder = bench.repository()
    return bench.program_median(LOGGED, cwd=folder)


def large(bench: Bench) -> Figure:
    folder = bench.repository()
    weights = large_file(bench)
    before = disk_bytes(folder)
    bench.program(LARGE, weights, cwd=folder)
    grown = disk_bytes(folder) - before
    bench.gone(folder)
    return Figure(value=grown / GIB)


def saved(bench: Bench) -> Path:
    """A folder in which the forest is saved as `model`."""
    folder = bench.folder()
    (folder / "save.py").write_text(SAVED)
    bench.run(bench.python, "save.py", cwd=folder)
    return folder


def serve(bench: Bench) -> Answered:
    command = [bench.gitexp, "models", "serve", "model", "--env", "current", "--port", "PORT"]
    return answered(command, bench.environ, saved(bench))


def of_server(attribute: str, bench: Bench) -> Figure:
    return Figure(value=getattr(serve(bench), attribute))


ROWS = [
    Row(
        key="model-log",
        work="`sklearn.log_model` of a forest, requirements and signature inferred",
        unit="CPU s",
        bar=0.3,
        measure=logging,
    ),
    Row(key="model-large", work="a model of 1 GiB logged three times: on disk", unit="GiB", bar=1.02, measure=large),
    Row(
        key="model-serve-start",
        work="`gitexp models serve` of the forest, until it answers",
        unit="s",
        bar=5,
        measure=partial(of_server, "start_s"),
    ),
    Row(
        key="model-serve-cost",
        work="a request of five rows, by four clients",
        unit="CPU ms",
        bar=6,
        measure=partial(of_server, "cpu_ms"),
    ),
    Row(
        key="model-serve-rate",
        work="requests a second",
        unit="1/s",
        bar=100,
        more_is_better=True,
        measure=partial(of_server, "rate"),
    ),
    Row(
        key="model-serve-p99",
        work="the slowest of a hundred requests",
        unit="ms",
        bar=100,
        measure=partial(of_server, "p99_ms"),
    ),
    Row(
        key="model-serve-memory",
        work="memory of the server, PSS",
        unit="MB",
        bar=300,
        measure=partial(of_server, "memory_mb"),
    ),
]
