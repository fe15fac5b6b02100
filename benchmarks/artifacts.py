"""Keeping files: one large, many small."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.measure import Bench, Figure
from benchmarks.table import Row

LARGE = """
import gitexp
with gitexp.start_run():
    with measured():
        gitexp.log_artifact(sys.argv[1])
print(json.dumps(result))
"""

SMALL = """
import gitexp
run = gitexp.start_run()
with measured():
    gitexp.log_artifacts(sys.argv[1])
    gitexp.end_run()
print(json.dumps(result))
"""


def one_gib(bench: Bench) -> Figure:
    folder, file = bench.repository(), large_file(bench)

    def measure() -> Figure:
        with file.open("r+b") as changed:
            changed.write(os.urandom(64))
        return bench.program_median(LARGE, file, cwd=folder, times=1)

    figures = sorted((measure() for _ in range(3)), key=lambda figure: figure.value)
    bench.gone(folder)
    return figures[1]


def thousand(bench: Bench) -> Figure:
    folder, files = bench.repository(), small_files(bench)
    return bench.program_median(SMALL, files, cwd=folder)


def large_file(bench: Bench) -> Path:
    """1 GiB of random bytes, in the page cache."""
    path = bench.folder() / "model.bin"
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(1024):
            file.write(number.to_bytes(8, "big") + block[8:])
    return path


def small_files(bench: Bench) -> Path:
    """A folder of 1,000 random files of 4 KiB."""
    folder = bench.folder() / "plots"
    folder.mkdir()
    for number in range(1_000):
        (folder / f"{number:04d}.png").write_bytes(os.urandom(4096))
    return folder


ROWS = [
    Row(
        key="artifact-1gib",
        work="a 1 GiB artifact logged",
        unit="CPU s",
        bar=1.8,
        floor="0.8 (sha256) + a copy",
        measure=one_gib,
    ),
    Row(
        key="artifacts-1000",
        work="1,000 artifacts of 4 KiB, sealed",
        unit="CPU s",
        bar=0.35,
        measure=thousand,
    ),
]
