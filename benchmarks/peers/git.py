"""git itself, where it does comparable work: the floor under everything built on it."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.artifacts import small_files
from benchmarks.measure import Bench, Cost, Figure


def measures(bench: Bench) -> dict[str, Callable[[], Figure]]:
    def add_thousand() -> Figure:
        def once() -> Cost:
            folder = bench.repository()
            small_files(bench).rename(folder / "plots")
            return bench.run("git", "add", "plots", cwd=folder)

        return bench.median(once)

    return {"artifacts-1000": add_thousand}
