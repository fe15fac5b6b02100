"""Guild AI: runs scripts that know nothing of it, as `gitexp run` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Bench, Figure, disk_bytes

TRAIN = "lr = 0.1\nprint('loss: %f' % lr)\n"


def measures(bench: Bench, python: str) -> dict[str, Callable[[], Figure]]:
    guild = str(Path(python).with_name("guild"))

    def fresh() -> Bench:
        return bench.with_variables(
            GUILD_HOME=str(bench.folder()), PATH=f"{Path(python).parent}:{bench.environ['PATH']}"
        )

    return {
        "import": lambda: bench.above_bare(python, "import guild"),
        "version": lambda: bench.median(lambda: bench.run(guild, "--version")),
        "run-10": lambda: _run(fresh(), guild, 10),
        "run-5000": lambda: _run(fresh(), guild, 5_000),
        "disk": lambda: _disk(fresh(), guild),
    }


def _run(bench: Bench, guild: str, files: int) -> Figure:
    folder = _project(bench, files)
    bench.run(guild, "run", "-y", "train.py", cwd=folder)
    bare = bench.median(lambda: bench.run("python3", "train.py", cwd=folder))
    whole = bench.median(lambda: bench.run(guild, "run", "-y", "train.py", cwd=folder), times=3)
    assert bare.wall_s is not None and whole.wall_s is not None
    return Figure(value=whole.value - bare.value, wall_s=whole.wall_s - bare.wall_s)


def _disk(bench: Bench, guild: str) -> Figure:
    folder = _project(bench, 10)
    bench.run(guild, "run", "-y", "train.py", cwd=folder)
    before = disk_bytes(Path(bench.environ["GUILD_HOME"]))
    for _ in range(3):
        bench.run(guild, "run", "-y", "train.py", cwd=folder)
    return Figure(value=(disk_bytes(Path(bench.environ["GUILD_HOME"])) - before) / 3, note="over 3 runs")


def _project(bench: Bench, files: int) -> Path:
    folder = bench.repository(files=files)
    (folder / "train.py").write_text(TRAIN)
    return folder
