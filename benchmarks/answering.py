"""A model's server under load: when it answers first, how many requests a second, the slowest of a hundred, memory."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import CommandFailed

CLIENTS = 4
WARM, REQUESTS = 100, 2000
PATIENCE_S = 120
_TICK_S = 0.005
BODY = json.dumps(
    {
        "dataframe_split": {
            "columns": list("abcdefgh"),
            "data": [[row + place / 8 for place in range(8)] for row in range(5)],
        }
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was measured of one server, in its life."""

    start_s: float
    cpu_ms: float
    rate: float
    p99_ms: float
    memory_mb: float


def answered(command: Sequence[str | Path], environ: Mapping[str, str], cwd: Path) -> Answered:
    """Start a server by a command, in which PORT is replaced, ask it what several clients ask at once, and end it.

    Raises:
        CommandFailed: it does not answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = [str(word).replace("PORT", str(port)) for word in command]
    began = time.perf_counter()
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(words, cwd=cwd, env=dict(environ), stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        while _ask_once(port) != 200:
            if server.poll() is not None or time.perf_counter() - began > PATIENCE_S:
                raise CommandFailed(f"{words[0]} does not answer.")
            time.sleep(_TICK_S)
        start_s = time.perf_counter() - began
        _load(port, WARM)
        began, used_s = time.perf_counter(), _used_s(server.pid)
        times = sorted(_load(port, REQUESTS))
        rate = len(times) / (time.perf_counter() - began)
        return Answered(
            start_s=start_s,
            cpu_ms=(_used_s(server.pid) - used_s) / len(times) * 1000,
            rate=rate,
            p99_ms=times[len(times) * 99 // 100] * 1000,
            memory_mb=_memory_mb(server.pid),
        )
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _ask_once(port: int) -> int:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        status, _ = _ask(connection)
        connection.close()
    except (OSError, http.client.HTTPException):
        return 0
    return status


def _ask(connection: http.client.HTTPConnection) -> tuple[int, float]:
    began = time.perf_counter()
    connection.request("POST", "/invocations", BODY, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    return response.status, time.perf_counter() - began


def _load(port: int, requests: int) -> list[float]:
    """The seconds of each request, by several clients that keep their connections."""

    def client(count: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        found = []
        for _ in range(count):
            status, seconds = _ask(connection)
            if status != 200:
                raise CommandFailed(f"It answered with {status}.")
            found.append(seconds)
        connection.close()
        return found

    with ThreadPoolExecutor(CLIENTS) as clients:
        return [seconds for part in clients.map(client, [requests // CLIENTS] * CLIENTS) for seconds in part]


def _memory_mb(session: int) -> float:
    """Of all processes of a session, shared memory divided among those that share it."""
    texts = _told(session, "smaps_rollup")
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("Pss:")) / 1000


def _used_s(session: int) -> float:
    """The CPU seconds of all processes of a session that are there."""
    stats = (text.rpartition(") ")[2].split() for text in _told(session, "stat"))
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")


def _told(session: int, file: str) -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.getsid(int(name)) == session:
                found.append(Path("/proc", name, file).read_text())
    return found
