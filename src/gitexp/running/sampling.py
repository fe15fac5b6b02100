"""Sampling what a launched command does to its machine."""

from __future__ import annotations

from gitexp.running.watching import Launch, Watcher
from gitexp.system import SystemSampler


class Sampling(Watcher):
    """Samples the machine, and the processes that the command consists of, every `interval_s` seconds."""

    def __init__(self, here: Launch, interval_s: float) -> None:
        self._sampler = SystemSampler(here.recorder, interval_s, with_self=False, directory=here.directory)

    def started(self) -> None:
        self._sampler.start()

    def over(self) -> None:
        self._sampler.stop()
