"""Measuring: what a command or a small program costs in CPU seconds (user and system, with children) and wall time."""

from __future__ import annotations

import copy
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command took."""

    cpu_s: float
    wall_s: float
    output: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One cell of the table: the number that is compared with the bar, and what else is worth saying."""

    value: float
    wall_s: float | None = None
    note: str = ""


class CommandFailed(Exception):
    pass


class Bench:
    """A scratch folder, an environment without this machine's settings, and how often to repeat.

    Args:
        scratch: a folder for everything that is generated.
        times: how many repetitions a median is taken of.
    """

    def __init__(self, scratch: Path, *, times: int) -> None:
        self.scratch = scratch
        self.times = times
        self.python = sys.executable
        self.gitexp = str(Path(sys.executable).with_name("gitexp"))
        home = scratch / "home"
        home.mkdir()
        settings = (
            "[user]\n\tname = Ann Lee\n\temail = ann@example.org\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
        )
        (home / ".gitconfig").write_text(settings)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        self.environ = {**kept, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}

    def with_variables(self, **variables: str) -> Bench:
        """The same bench with more environment variables for what it runs."""
        other = copy.copy(self)
        other.environ = {**self.environ, **variables}
        return other

    def folder(self) -> Path:
        """A new empty folder."""
        return Path(tempfile.mkdtemp(dir=self.scratch))

    def repository(self, *, files: int = 0) -> Path:
        """A new repository whose one commit holds `files` small files and a `train.py` that prints a line."""
        folder = self.folder()
        (folder / "train.py").write_text("print('training')\n")
        for number in range(files):
            path = folder / "data" / f"{number // 100:03d}" / f"{number:05d}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{number}\n")
        self.run("git", "init", "-q", cwd=folder)
        self.run("git", "add", "-A", cwd=folder)
        self.run("git", "commit", "-q", "-m", "first", cwd=folder)
        return folder

    def run(self, *command: str | Path, cwd: Path | None = None, fails: bool = False) -> Cost:
        """Run a command once.

        Args:
            fails: the command is expected to fail, and its exit code does not matter.

        Raises:
            CommandFailed: its exit code is not 0.
        """
        began = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=cwd or self.scratch,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        with process.stdout:
            output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began
        if process.returncode and not fails:
            said = output.decode(errors="replace").strip().splitlines()
            raise CommandFailed(f"{command[0]} ended with {process.returncode}: {' / '.join(said[-3:])}")
        cpu_s = usage.ru_utime + usage.ru_stime
        return Cost(cpu_s=cpu_s, wall_s=wall_s, output=output)

    def median(self, measure: Callable[[], Cost], *, times: int | None = None) -> Figure:
        """The median CPU seconds of repeated measurements."""
        costs = [measure() for _ in range(times or self.times)]
        return Figure(
            value=statistics.median(cost.cpu_s for cost in costs),
            wall_s=statistics.median(cost.wall_s for cost in costs),
        )

    def above_bare(self, python: str, program: str, *, cwd: Path | None = None) -> Figure:
        """What a program costs above an empty one, in the same interpreter."""
        bare = self.median(lambda: self.run(python, "-c", "pass", cwd=cwd))
        whole = self.median(lambda: self.run(python, "-c", program, cwd=cwd))
        assert bare.wall_s is not None and whole.wall_s is not None
        return Figure(value=max(0.0, whole.value - bare.value), wall_s=max(0.0, whole.wall_s - bare.wall_s))

    def program(
        self, program: str, *arguments: object, python: str | None = None, cwd: Path | None = None
    ) -> dict[str, Any]:
        """Run a Python program whose last line of output is a JSON object, and give that."""
        script = self.folder() / "program.py"  # as people run one: its text is no part of the command
        script.write_text(PRELUDE + program)
        command: list[str | Path] = [python or self.python, script, *map(str, arguments)]
        cost = self.run(*command, cwd=cwd)
        measured: dict[str, Any] = json.loads(cost.output.strip().rsplit(b"\n", 1)[-1])
        return measured

    def program_median(
        self,
        program: str,
        *arguments: object,
        python: str | None = None,
        cwd: Path | None = None,
        times: int | None = None,
    ) -> Figure:
        """The median of `cpu_s` and `wall_s` that a program printed for the part it measured."""
        results = [self.program(program, *arguments, python=python, cwd=cwd) for _ in range(times or self.times)]
        return Figure(
            value=statistics.median(result["cpu_s"] for result in results),
            wall_s=statistics.median(result["wall_s"] for result in results),
            note=f"peak memory {max(result['peak_bytes'] for result in results) / 1e6:.0f} MB",
        )

    def gone(self, folder: Path) -> None:
        """Free the disk that a measurement took."""
        shutil.rmtree(folder)


PRELUDE = """
import contextlib, json, os, sys, time
result = {}
@contextlib.contextmanager
def measured():
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    result.update(cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - wall, peak_bytes=peak_bytes())
def peak_bytes():
    # Not ru_maxrss: Linux lets a process begin with its parent's.
    with contextlib.suppress(OSError):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    return 0
"""
"""What every small program starts with; it ends with `print(json.dumps(result))`."""


def disk_bytes(folder: Path) -> int:
    """Bytes of disk blocks below a folder, as `du` counts them."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
