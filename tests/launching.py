"""Programs that tests launch under the eyes of gitexp, with and without a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "src"

WATCH = """
import os, sys
from gitexp.running.child import exit_like, run_child
from gitexp.running.command import Kind, resolve
from gitexp.running.signals import SignalRelay
from gitexp.running.streams import hold_standard_streams

hold_standard_streams()
environ = dict(os.environ)
log = os.open(environ.pop("WATCH_LOG"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
result_file = environ.pop("WATCH_RESULT")
command = resolve(Kind.COMMAND, sys.argv[1:], environ)
with SignalRelay() as relay:
    result = run_child(
        command.program,
        command.arguments,
        environ=environ,
        on_output=lambda data: os.write(log, data),
        relay=relay,
    )
with open(result_file, "w") as file:
    file.write(f"{result.exit_code} {result.signal} {result.stopped_by}")
sys.exit(exit_like(result))
"""

TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""

PATIENCE_S = 20.0


class Watcher:
    """Launches commands through `run_child` in a process of its own, as `gitexp run` does."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "watch.py"
        self._script.write_text(WATCH)
        self._log = folder / "watch.log"
        self._result = folder / "watch.result"

    @property
    def log(self) -> bytes:
        """What the command printed, as the watching process saw it."""
        return self._log.read_bytes()

    @property
    def result(self) -> list[str]:
        """Exit code, signal and the signal that asked it to stop."""
        return self._result.read_text().split()

    def command(self, command: list[str]) -> list[str]:
        return [sys.executable, str(self._script), *command]

    def environ(self, **more: str) -> dict[str, str]:
        own = {"PYTHONPATH": str(SOURCES), "WATCH_LOG": str(self._log), "WATCH_RESULT": str(self._result)}
        return {**os.environ, **own, **more}

    def forget(self) -> None:
        self._log.unlink(missing_ok=True)
        self._result.unlink(missing_ok=True)


class Terminal:
    """A command that runs in a terminal of its own, which the test types into and reads."""

    def __init__(self, command: list[str], *, cwd: Path, environ: dict[str, str], size: tuple[int, int] = (24, 80)):
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(self._master, size)
        self.shown = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=environ,
            start_new_session=True,
        )
        os.close(slave)

    def type(self, text: bytes) -> None:
        os.write(self._master, text)

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self._master, (rows, columns))

    def kill(self, number: signal.Signals) -> None:
        """As `kill PID` does: the process, not its group."""
        os.kill(self.process.pid, number)

    def kill_group(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def wait_for(self, text: bytes, count: int = 1) -> None:
        """Read on until `text` has been shown `count` times."""
        deadline = time.monotonic() + PATIENCE_S
        while self.shown.count(text) < count:
            if not self._read(max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"{text!r} was never shown, but {self.shown!r}")

    def wait(self) -> int:
        """Read to the end; the exit code, negative for a signal."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(max(0.0, deadline - time.monotonic())):
            pass
        code = self.process.wait(PATIENCE_S)
        os.close(self._master)
        return code

    def _read(self, patience: float) -> bool:
        if not select.select([self._master], [], [], patience)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False
        self.shown += data
        return bool(data)
