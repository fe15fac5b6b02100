"""Artifacts through a Git LFS server and an S3 server: memory that a transfer takes, and its rate beside git-lfs's."""

from __future__ import annotations

import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Bench, Figure
from benchmarks.table import Row

LFS_BYTES, S3_BYTES = 400 << 20, 256 << 20

RECORD = """
import gitexp
block = os.urandom(1 << 20)
with open("model.bin", "wb") as file:
    for number in range(int(sys.argv[1]) >> 20):
        file.write(number.to_bytes(8, "big") + block[8:])
with gitexp.start_run("large") as run:
    run.log_artifact("model.bin")
os.unlink("model.bin")
print("{}")
"""

COMMAND = """
from gitexp.cli import execute
with open(os.devnull, "w") as sys.stdout:
    execute([sys.argv[1], "origin", *(["--no-artifacts"] if sys.argv[1] == "push" else [])])  # what any exchange takes
    base = peak_bytes()
    with measured():
        code = execute(sys.argv[1:])
sys.stdout = sys.__stdout__
assert code == 0, code
result["peak_bytes"] -= base
print(json.dumps(result))
"""

OTHER_COMMAND = """
import resource, subprocess
def peak_of(*command):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    return usage.ru_maxrss * 1024
base = peak_of("git-lfs", "version")
began = time.perf_counter()
peak = peak_of(*sys.argv[1:])
print(json.dumps({"wall_s": time.perf_counter() - began, "peak_bytes": peak - base, "cpu_s": 0}))
"""

LFS_SERVER = """
import sys
from dulwich.lfs_server import run_lfs_server
server, _ = run_lfs_server("127.0.0.1", int(sys.argv[2]), sys.argv[1])
server.serve_forever()
"""


class Place:
    """A repository whose `origin` is a folder, with one run that has one large artifact.

    Args:
        there: where the server keeps what it gets; emptied before each upload.
        store: the beginning of an address for `artifacts.store`; empty: not set.
    """

    def __init__(self, bench: Bench, size_bytes: int, there: Path, store: str = "") -> None:
        self._bench = bench
        self._size = size_bytes
        self._there = there
        self._store = store
        self._emptied = 0
        self.folder = bench.repository()
        remote = bench.folder() / "remote.git"
        bench.run("git", "clone", "-q", "--bare", self.folder, remote)
        bench.run("git", "remote", "add", "origin", remote, cwd=self.folder)
        bench.program(RECORD, size_bytes, cwd=self.folder)
        [self._content] = (self.folder / ".git" / "gitexp" / "objects").glob("*/*/*")

    def up(self) -> dict[str, float]:
        """`gitexp push`, when neither side knows of an earlier one."""
        self._forget()
        measured = self._bench.program(COMMAND, "push", "origin", cwd=self.folder)
        self._forget()
        whole = self._bench.run(self._bench.gitexp, "push", "origin", cwd=self.folder)
        return {**measured, "wall_s": whole.wall_s}

    def down(self) -> dict[str, float]:
        """`gitexp pull --artifacts`, when the content is only there."""
        self._content.unlink()
        measured = self._bench.program(COMMAND, "pull", "origin", "--artifacts", cwd=self.folder)
        self._content.unlink()
        whole = self._bench.run(self._bench.gitexp, "pull", "origin", "--artifacts", cwd=self.folder)
        return {**measured, "wall_s": whole.wall_s}

    def other_up(self) -> dict[str, float]:
        """git-lfs's push of the same object, read from the same file."""
        self._empty()
        storage = ("git", "-c", "lfs.storage=gitexp", "lfs")
        return self._bench.program(
            OTHER_COMMAND, *storage, "push", "--object-id", "origin", self._content.name, cwd=self.folder
        )

    def other_down(self) -> dict[str, float]:
        """git-lfs's fetch of what the run's commit points at."""
        refs = self._bench.run("git", "for-each-ref", "--format=%(refname)", "refs/gitexp/runs", cwd=self.folder)
        shutil.rmtree(self.folder / ".git" / "lfs", ignore_errors=True)
        return self._bench.program(
            OTHER_COMMAND, "git", "lfs", "fetch", "origin", refs.output.decode().strip(), cwd=self.folder
        )

    def _forget(self) -> None:
        """As if nothing had ever been pushed."""
        shutil.rmtree(self.folder / ".git" / "gitexp" / "sent", ignore_errors=True)
        self._empty()

    def _empty(self) -> None:
        if self._store:  # the server remembers what it had: a new place
            self._emptied += 1
            setting = {"artifacts": {"store": f"{self._store}-{self._emptied}"}}
            (self.folder / ".gitexp").mkdir(exist_ok=True)
            (self.folder / ".gitexp" / "config.yaml").write_text(json.dumps(setting))
        for path in self._there.rglob(self._content.name):
            path.unlink()

    def figure(self, costs: list[dict[str, float]]) -> Figure:
        """The median of peaks above the base, in MB, and of the rates of whole commands."""
        return Figure(
            value=statistics.median(cost["peak_bytes"] for cost in costs) / 1e6,
            wall_s=statistics.median(cost["wall_s"] for cost in costs),
            note=f"{self._size / 1e6 / statistics.median(cost['wall_s'] for cost in costs):.0f} MB/s",
        )


def lfs_up(bench: Bench) -> Figure:
    with lfs_place(bench) as place:
        return place.figure([place.up() for _ in range(bench.times)])


def lfs_down(bench: Bench) -> Figure:
    with lfs_place(bench) as place:
        place.up()
        return place.figure([place.down() for _ in range(bench.times)])


def s3_up(bench: Bench) -> Figure:
    with s3_place(bench) as place:
        return place.figure([place.up() for _ in range(bench.times)])


def s3_down(bench: Bench) -> Figure:
    with s3_place(bench) as place:
        place.up()
        return place.figure([place.down() for _ in range(bench.times)])


@contextmanager
def lfs_place(bench: Bench) -> Iterator[Place]:
    """With dulwich's LFS server."""
    there, port = bench.folder(), _free_port()
    with _serving([sys.executable, "-c", LFS_SERVER, str(there), str(port)], port):
        place = Place(bench, LFS_BYTES, there)
        bench.run("git", "config", "lfs.url", f"http://127.0.0.1:{port}", cwd=place.folder)
        yield place
        bench.gone(place.folder)
        bench.gone(there)


@contextmanager
def s3_place(bench: Bench) -> Iterator[Place]:
    """With rclone's S3 server."""
    there, port = bench.folder(), _free_port()
    (there / "bucket").mkdir()
    own = Path(sys.executable).with_name("rclone")
    program = str(own) if own.exists() else "rclone"
    with _serving(
        [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "key,secret", str(there)], port
    ):
        within = bench.with_variables(
            AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}"
        )
        place = Place(within, S3_BYTES, there, "s3://bucket/runs")
        yield place
        bench.gone(place.folder)
        bench.gone(there)


@contextmanager
def _serving(command: list[str], port: int) -> Iterator[None]:
    """A server that is there as soon as it can be connected to."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"{command[0]} did not start") from None
                time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


ROWS = [
    Row(
        key="lfs-up",
        work="400 MiB through Git LFS, up: memory above base",
        unit="MB",
        bar=40,
        measure=lfs_up,
    ),
    Row(
        key="lfs-down",
        work="400 MiB through Git LFS, down: memory above base",
        unit="MB",
        bar=40,
        measure=lfs_down,
    ),
    Row(
        key="s3-up",
        work="256 MiB to S3 (rclone's server): memory above base",
        unit="MB",
        bar=60,
        measure=s3_up,
    ),
    Row(
        key="s3-down",
        work="256 MiB from S3 (rclone's server): memory above base",
        unit="MB",
        bar=60,
        measure=s3_down,
    ),
]
