"""Reading many runs: searching, building the index, a DataFrame."""

from __future__ import annotations

from benchmarks.measure import Bench, Cost, Figure
from benchmarks.population import populate
from benchmarks.table import Row

WHERE = "metrics.rmse < 6.5 and params.lr = 0.1"

DATAFRAME = """
import pandas, gitexp
with measured():
    frame = gitexp.search_runs(limit=None).to_pandas()
assert len(frame) == int(sys.argv[1]), len(frame)
print(json.dumps(result))
"""


def search(bench: Bench) -> Figure:
    folder = populate(bench, 100_000)
    command = [bench.gitexp, "ls", "--where", WHERE, "--sort", "metrics.rmse"]
    bench.run(*command, cwd=folder)
    return bench.median(lambda: bench.run(*command, cwd=folder))


def index(bench: Bench) -> Figure:
    folder = populate(bench, 10_000)

    def from_nothing() -> Cost:
        for path in (folder / ".git/gitexp").glob("index.sqlite*"):
            path.unlink()
        return bench.run(bench.gitexp, "ls", cwd=folder)

    return bench.median(from_nothing)


def dataframe(bench: Bench) -> Figure:
    folder = populate(bench, 10_000)
    bench.run(bench.gitexp, "ls", cwd=folder)
    return bench.program_median(DATAFRAME, 10_000, cwd=folder)


ROWS = [
    Row(
        key="search-100000",
        work="`gitexp ls --where ... --sort ...` with 100,000 runs",
        unit="CPU s",
        bar=0.25,
        floor="0.06",
        measure=search,
    ),
    Row(
        key="index-10000",
        work="index from nothing, 10,000 runs (whole `gitexp ls`)",
        unit="CPU s",
        bar=1.5,
        floor="0.26",
        measure=index,
    ),
    Row(key="dataframe-10000", work="all 10,000 runs as a DataFrame", unit="CPU s", bar=0.5, measure=dataframe),
]
