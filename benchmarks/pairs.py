"""Measuring by pairs: two commands at once on one processor, again and again, and the interval of what differs.

They take turns on that processor every few milliseconds, so that what else the machine does meets both alike. The
CPU seconds of the two then differ by what their work differs, on a busy machine too.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Bench, CommandFailed, Cost

CONFIDENCE = 0.95
RESAMPLES = 10_000
ENOUGH = 6


def pairs_of(bench: Bench, sides: Sequence[tuple[list[str], Path]]) -> Iterator[list[Cost]]:
    """What each of the commands, each in its folder, took in each of `bench.times` turns; the order changes."""
    for turn in range(bench.times):
        if turn % 2:
            yield _together(bench, sides)
        else:
            yield _together(bench, sides[::-1])[::-1]


def interval(ratios: Sequence[float]) -> str:
    """The interval that the median of these percentages lies in, by bootstrap, as a person reads it.

    Fewer than six values give no such interval, however near to each other: their range holds it less often.
    """
    if len(ratios) < ENOUGH:
        return f"{min(ratios):+.2f} to {max(ratios):+.2f} % (range of {len(ratios)} pairs, too few for an interval)"
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    outside = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return f"{medians[outside]:+.2f} to {medians[-1 - outside]:+.2f} % ({CONFIDENCE:.0%}, {len(ratios)} pairs)"


def _together(bench: Bench, sides: Sequence[tuple[list[str], Path]]) -> list[Cost]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})  # children inherit it
    running = []
    try:
        for command, folder in sides:
            output = tempfile.TemporaryFile()  # noqa: SIM115  # closed when it was read
            began = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=folder, env=bench.environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            running.append((process, command, output, began))
    finally:
        os.sched_setaffinity(0, allowed)
    costs = []
    for process, command, output, began in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        with output:
            output.seek(0)
            said = output.read()
        if process.returncode:
            raise CommandFailed(f"{' '.join(command)} ended with {process.returncode}: {said[-500:]!r}")
        cpu_s, wall_s = usage.ru_utime + usage.ru_stime, time.perf_counter() - began
        costs.append(Cost(cpu_s=cpu_s, wall_s=wall_s, output=said))
    return costs
