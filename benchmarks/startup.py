"""What a script or a shell waits for: the import, and commands that do next to nothing."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.measure import Bench, Figure
from benchmarks.population import populate
from benchmarks.table import Row


def import_package(bench: Bench) -> Figure:
    first_use = bench.above_bare(bench.python, "import gitexp; gitexp.start_run")
    note = f"the first use of start_run, which loads the rest, included: {first_use.value:.3f}"
    return replace(bench.above_bare(bench.python, "import gitexp"), note=note)


def version(bench: Bench) -> Figure:
    return bench.median(lambda: bench.run(bench.gitexp, "--version"))


def list_runs(bench: Bench) -> Figure:
    folder = populate(bench, 1_000)
    bench.run(bench.gitexp, "ls", cwd=folder)
    return bench.median(lambda: bench.run(bench.gitexp, "ls", cwd=folder))


ROWS = [
    Row(key="import", work="`import gitexp`, above bare Python", unit="CPU s", bar=0.03, measure=import_package),
    Row(key="version", work="`gitexp --version`", unit="CPU s", bar=0.08, floor="0.042", measure=version),
    Row(
        key="ls-1000",
        work="`gitexp ls` with 1,000 runs, index warm",
        unit="CPU s",
        bar=0.15,
        floor="0.042",
        measure=list_runs,
    ),
]
