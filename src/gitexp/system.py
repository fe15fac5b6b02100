"""What a run does to its machine: processor, memory, disk, network and GPUs, sampled while it lasts.

Metrics begin with `system/`; docs/recording.md says what each is, and in which unit.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitexp.domain.metrics import SYSTEM
from gitexp.domain.source import Source
from gitexp.domain.values import Number
from gitexp.recording import Recorder

if TYPE_CHECKING:
    import psutil


class SystemSampler:
    """Samples in a thread of its own, for the first time `interval_s` after its start: a short run pays nothing.

    Args:
        with_self: whether this process is part of what is measured, or only what it started.
        directory: on the file system whose space is of interest.
    """

    def __init__(self, recorder: Recorder, interval_s: float, *, with_self: bool, directory: str = ".") -> None:
        self._recorder = recorder
        self._interval_s = interval_s
        self._with_self = with_self
        self._directory = os.path.abspath(directory)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gitexp-system", daemon=True)
        self._pid = os.getpid()

    def start(self) -> None:
        with suppress(RuntimeError):  # no more threads
            self._thread.start()

    def stop(self) -> None:
        """No sample is recorded after this. In a forked child there is nothing to stop."""
        self._over.set()
        if self._pid == os.getpid() and self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        if self._over.wait(self._interval_s / 2):
            return
        try:
            machine = Machine(os.getpid(), self._directory, with_self=self._with_self)
            beside = self._recorder.beside(Source.SYSTEM)
        except Exception as error:  # a machine that does not tell
            self._recorder.warn(f"The machine is not watched: {type(error).__name__}: {error}.")
            return
        pause = self._interval_s / 2
        steps: dict[str, int] = {}
        while not self._over.wait(pause):
            moment = time.time()
            for key, value in machine.sample():
                step = steps.get(key, -2)
                step = (beside.last_step(key) if step == -2 else step) + 1
                steps[key] = step
                if not self._over.is_set():
                    beside.point(key, step, moment, value)
            pause = self._interval_s


class Machine:
    """Measures since its making, or since the last sample. What this machine cannot tell is left out."""

    def __init__(self, pid: int, directory: str, *, with_self: bool) -> None:
        import psutil  # half a megabyte that no short run shall load

        self._psutil = psutil
        self._root = psutil.Process(pid)
        self._with_self = with_self
        self._directory = directory
        self._processes: dict[int, tuple[psutil.Process, float]] = {}
        self._time = time.monotonic()
        self._counters: dict[str, float] = {}
        self._gpus = _gpus()
        psutil.cpu_percent()
        for _ in self.sample():
            pass

    def sample(self) -> Iterator[tuple[str, Number]]:
        """Keys and values, of everything since the last time."""
        now = time.monotonic()
        elapsed = max(now - self._time, 1e-6)
        self._time = now
        for measure in (self._processor, self._memory, self._tree, self._disk, self._network, self._graphics):
            found: list[tuple[str, Number]] = []
            with suppress(Exception):  # containers hide some of it, processes end while they are looked at
                found += measure(elapsed)
            for key, value in found:
                yield SYSTEM + key, value

    def _processor(self, _elapsed: float) -> Iterator[tuple[str, Number]]:
        yield "cpu", self._psutil.cpu_percent()

    def _memory(self, _elapsed: float) -> Iterator[tuple[str, Number]]:
        memory = self._psutil.virtual_memory()
        yield "memory", memory.percent
        yield "memory.used", memory.total - memory.available

    def _tree(self, elapsed: float) -> Iterator[tuple[str, Number]]:
        """All processes of the run together. The work of one that began and ended between two samples is not seen."""
        processes = self._root.children(recursive=True)
        if self._with_self:
            processes.append(self._root)
        worked, resident = 0.0, 0
        seen: dict[int, tuple[psutil.Process, float]] = {}
        for process in processes:
            with suppress(self._psutil.Error), process.oneshot():
                times = process.cpu_times()
                total = times.user + times.system
                known, before = self._processes.get(process.pid, (process, 0.0))
                worked += max(total - (before if known == process else 0.0), 0.0)
                resident += process.memory_info().rss
                seen[process.pid] = (process, total)
        is_first = not self._processes
        self._processes = seen
        if seen and not is_first:
            yield "process.cpu", round(100 * worked / elapsed, 1)
        if seen:
            yield "process.memory", resident

    def _disk(self, elapsed: float) -> Iterator[tuple[str, Number]]:
        yield "disk.used", self._psutil.disk_usage(self._directory).percent
        counters = self._psutil.disk_io_counters()
        if counters:
            yield from self._rate("disk.read", counters.read_bytes, elapsed)
            yield from self._rate("disk.write", counters.write_bytes, elapsed)

    def _network(self, elapsed: float) -> Iterator[tuple[str, Number]]:
        counters = self._psutil.net_io_counters()
        if counters:
            yield from self._rate("network.sent", counters.bytes_sent, elapsed)
            yield from self._rate("network.received", counters.bytes_recv, elapsed)

    def _graphics(self, _elapsed: float) -> Iterator[tuple[str, Number]]:
        for number, gpu in enumerate(self._gpus):
            for name, measure in gpu.items():
                with suppress(Exception):  # some boards do not tell of power
                    yield f"gpu.{number}.{name}", measure()

    def _rate(self, name: str, total: float, elapsed: float) -> Iterator[tuple[str, Number]]:
        before = self._counters.get(name)
        self._counters[name] = total
        if before is not None:
            yield name, round(max(total - before, 0) / elapsed)


def _gpus() -> list[dict[str, Callable[[], Number]]]:
    """What to ask of each NVIDIA GPU, through nvidia-ml-py where that is installed."""
    try:
        import pynvml  # whoever has such GPUs has it with torch or can install it

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # not installed, no driver, no GPU
        return []
    return [_questions(pynvml, handle) for handle in handles]


def _questions(pynvml: Any, handle: Any) -> dict[str, Callable[[], Number]]:
    return {
        "utilization": lambda: int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "memory": lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).used),
        "power": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "temperature": lambda: int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
    }
