"""What `gitexp run train.py` adds to `python train.py`, from the second run on."""

from __future__ import annotations

from functools import partial

from benchmarks.measure import Bench, Figure
from benchmarks.table import Row


def overhead(bench: Bench, files: int) -> Figure:
    folder = bench.repository(files=files)
    bench.run(bench.gitexp, "run", "train.py", cwd=folder)
    bare = bench.median(lambda: bench.run(bench.python, "train.py", cwd=folder))
    recorded = bench.median(lambda: bench.run(bench.gitexp, "run", "train.py", cwd=folder))
    bench.gone(folder)
    assert bare.wall_s is not None and recorded.wall_s is not None
    return Figure(value=recorded.value - bare.value, wall_s=recorded.wall_s - bare.wall_s)


ROWS = [
    Row(
        key=f"run-{files}",
        work=f"`gitexp run train.py` above the bare script, {files:,} files",
        unit="CPU s",
        bar=bar,
        floor=floor,
        measure=partial(overhead, files=files),
    )
    for files, bar, floor in ((10, 0.15, "0.012"), (5_000, 0.20, "0.026"), (50_000, 0.45, "0.16"))
]
