"""The peers: one file each, with what it does for each row of the table. Measured where installed, else left out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Bench, CommandFailed, Figure
from benchmarks.peers import aim, dvc, dvclive, git, git_lfs, guild, mlflow, trackio, wandb

_MEASURES: dict[str, Callable[[Bench, str], dict[str, Callable[[], Figure]]]] = {
    "mlflow": mlflow.measures,
    "dvc": dvc.measures,
    "dvclive": dvclive.measures,
    "wandb": wandb.measures,
    "trackio": trackio.measures,
    "guild": guild.measures,
    "aim": aim.measures,
}
_DISTRIBUTIONS = {"guild": "guildai"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    name: str
    version: str
    measures: dict[str, Callable[[], Figure]]


def find_peers(bench: Bench, venvs: Sequence[Path]) -> list[Peer]:
    """The peers installed in these environments, and git and git-lfs themselves."""
    version = bench.run("git", "--version").output.decode().split()[2]
    found = [Peer(name="git", version=version, measures=git.measures(bench))]
    if shutil.which("git-lfs"):
        version = bench.run("git-lfs", "version").output.decode().split()[0].removeprefix("git-lfs/")
        found.append(Peer(name="git-lfs", version=version, measures=git_lfs.measures(bench)))
    for name, measures in _MEASURES.items():
        distribution = _DISTRIBUTIONS.get(name, name)
        for venv in venvs:
            python = str(venv.absolute() / "bin/python")
            try:
                version = bench.run(
                    python, "-c", f"import importlib.metadata as m; print(m.version('{distribution}'))"
                ).output.decode()
            except CommandFailed:
                continue
            own = {**measures(bench, python), **closure(bench, python, distribution)}
            found.append(Peer(name=name, version=version.strip(), measures=own))
            break
    return found


_CLOSURE = """
import importlib.metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
todo, seen = [(sys.argv[1], frozenset())], {}
done = set()
while todo:
    name, extras = todo.pop()
    if (canonicalize_name(name), extras) in done:
        continue
    done.add((canonicalize_name(name), extras))
    try:
        dist = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        continue
    seen[canonicalize_name(name)] = dist
    for line in dist.requires or ():
        need = Requirement(line)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            todo.append((need.name, frozenset(need.extras)))
def blocks(file):
    try:
        return os.lstat(file.locate()).st_blocks * 512
    except FileNotFoundError:
        return 0
size = sum(blocks(file) for dist in seen.values() for file in dist.files or ())
print(json.dumps({"packages": len(seen), "bytes": size}))
"""


def closure(bench: Bench, python: str, distribution: str) -> dict[str, Callable[[], Figure]]:
    """Packages and megabytes of a distribution and all it requires, as installed there."""

    def packages() -> Figure:
        return Figure(value=bench.program(_CLOSURE, distribution, python=python)["packages"])

    def megabytes() -> Figure:
        return Figure(value=bench.program(_CLOSURE, distribution, python=python)["bytes"] / 1e6)

    return {"packages": packages, "megabytes": megabytes}
