"""The git-lfs client, with the server and the content that gitexp was measured with."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.artifact_places import lfs_place
from benchmarks.measure import Bench, Figure


def measures(bench: Bench) -> dict[str, Callable[[], Figure]]:
    def up() -> Figure:
        with lfs_place(bench) as place:
            return place.figure([place.other_up() for _ in range(bench.times)])

    def down() -> Figure:
        with lfs_place(bench) as place:
            place.up()
            return place.figure([place.other_down() for _ in range(bench.times)])

    return {"lfs-up": up, "lfs-down": down}
