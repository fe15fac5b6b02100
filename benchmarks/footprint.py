"""What gitexp leaves on a disk: a run in the long run, and its own installation."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import Bench, Figure, disk_bytes
from benchmarks.table import Row

PROJECT = Path(__file__).parent.parent

THOUSAND_RUNS = """
import gitexp
for number in range(1_000):
    with gitexp.start_run():
        gitexp.log_params({f"param_{i}": number + i for i in range(10)})
        for step in range(3):
            gitexp.log_metrics({f"metric_{i}": number / (i + step + 1) for i in range(3)}, step=step)
print("{}")
"""


def bytes_a_run(bench: Bench) -> Figure:
    folder = bench.repository(files=10)
    sizes = [disk_bytes(folder / ".git")]
    bench.program(THOUSAND_RUNS, cwd=folder)
    sizes.append(disk_bytes(folder / ".git"))
    packs = len(list((folder / ".git/objects/pack").glob("*.pack")))
    loose = len(list((folder / ".git/objects").glob("??/*")))
    refs = sum(path.is_file() for path in (folder / ".git/refs/gitexp").rglob("*"))
    for command in ("ls", "gc"):
        bench.run(bench.gitexp, command, cwd=folder)
        sizes.append(disk_bytes(folder / ".git"))
    recorded, indexed, cleaned = ((size - sizes[0]) / 1_000 for size in sizes[1:])
    return Figure(
        value=recorded,
        note=f"{packs} packs, {loose} loose objects, {refs} loose refs; "
        f"the index, a cache, adds {indexed - recorded:,.0f}, and `gitexp gc` leaves {cleaned:,.0f} with it",
    )


def packages(bench: Bench) -> Figure:
    return Figure(value=_installed(bench)[0])


def megabytes(bench: Bench) -> Figure:
    return Figure(value=_installed(bench)[1] / 1e6)


_COUNT = "import importlib.metadata as m; print(len(list(m.distributions())))"


def _installed(bench: Bench) -> tuple[int, int]:
    venv = bench.folder() / "venv"
    bench.run(bench.python, "-m", "venv", venv)
    python = venv / "bin/python"
    count, size = int(bench.run(python, "-c", _COUNT).output), disk_bytes(venv)
    bench.run(python, "-m", "pip", "install", "-q", PROJECT)
    added = int(bench.run(python, "-c", _COUNT).output) - count, disk_bytes(venv) - size
    bench.gone(venv)
    return added


ROWS = [
    Row(
        key="disk",
        work="bytes a run on disk in the long run (1,000 runs)",
        unit="bytes",
        bar=2_000,
        floor="900",
        measure=bytes_a_run,
    ),
    Row(key="packages", work="`pip install gitexp` adds: packages", unit="packages", bar=12, measure=packages),
    Row(key="megabytes", work="`pip install gitexp` adds: size", unit="MB", bar=25, measure=megabytes),
]
