"""Metrics from what a command prints: read beside the copying of its output, never in its way.

The threads that copy only put each piece into a queue. Another thread reads from it in small slices, and rests for a
multiple of what a slice took where new output came meanwhile: it shares the interpreter's lock with the threads that
copy. What is left when the command ends is read then.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitexp.domain.source import Source
from gitexp.running.child import ChildResult
from gitexp.running.watching import Launch, Watcher

if TYPE_CHECKING:
    from gitexp.domain.printed import PrintedMetrics, PrintedPoint
    from gitexp.domain.printed_patterns import PrintedPattern
    from gitexp.running.launch import LaunchRequest

EVERY_S = 0.2
"""How often new output is looked at."""

SLICE = 4096
"""Bytes that are read in one go while the command runs: about a third of a millisecond of metrics."""

REST = 30
"""How many times as long as a slice took to rest after it while output keeps coming."""

FLOOD = 1 << 20
"""Bytes in that time that are a flood: nothing is read until it is over."""

MOST_WAITING = 128 << 20
"""Bytes that wait to be read. Beyond them the oldest are left out."""

LONGEST_TAIL_S = 10.0
"""How long to read on after the command's end, in seconds of processor time: a busy machine costs no metrics."""

_TAIL_SLICE = 1 << 16
_DIGITS = b"0123456789"
_WORTH_A_COLUMN = 16


def output_metrics(here: Launch, request: LaunchRequest) -> list[Watcher]:
    """What reads metrics from the output of this launch; nothing where that is turned off."""
    config = here.recorder.repository.config
    wanted = config.metrics_output if request.output_metrics is None else request.output_metrics
    return [PrintedLines(here)] if wanted else []


class PrintedLines(Watcher):
    """Reads metrics from whole lines of output and records them with the time when the line came."""

    def __init__(self, here: Launch) -> None:
        self._recorder = here.recorder
        self._patterns = self._compile_patterns()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._waiting = 0
        self._arrived = 0
        self._read_bytes = 0
        self._left_out = 0
        self._words = b""
        self._reader: PrintedMetrics | None = None
        self._failure: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gitexp-metrics", daemon=True)

    def started(self) -> None:
        self._thread.start()

    def output(self, data: bytes) -> None:
        self._queue.append((time.time(), data))
        self._arrived += len(data)
        while self._arrived - self._read_bytes - self._left_out > MOST_WAITING:
            try:
                self._left_out += len(self._queue.popleft()[1])
            except IndexError:  # the thread has just taken it
                return

    def over(self) -> None:
        self._over.set()
        self._thread.join()

    def finish(self, child: ChildResult) -> None:  # noqa: ARG002
        """Read what is left, as far as that takes not too long."""
        if self._failure is not None:
            raise self._failure
        end = time.process_time() + LONGEST_TAIL_S
        while self._queue and time.process_time() < end:
            moment, data = self._queue.popleft()
            for first in range(0, len(data), _TAIL_SLICE):
                self._read(data[first : first + _TAIL_SLICE], moment)
        left_out = self._left_out + sum(len(data) for _, data in self._queue)
        self._queue.clear()
        if self._reader is not None:
            self._record(self._reader.finish(time.time()))
            self._tell(self._reader)
        if left_out:
            self._recorder.warn(
                f"{left_out / 1e6:,.0f} MB of the output came too fast to be looked at for metrics; what the script "
                "logs itself is not affected.",
                aloud=False,  # in a flood of output nobody reads it, and who compares outputs finds none of ours
            )

    def _run(self) -> None:
        arrived = 0
        try:
            while not self._over.wait(EVERY_S):
                before, arrived = arrived, self._arrived
                while self._queue and self._arrived - before < FLOOD and not self._over.is_set():
                    self._read_next()
        except Exception as error:  # told at the end, when it cannot disturb the command
            self._failure = error

    def _read_next(self) -> None:
        """Read a slice of what came first."""
        arrived, began = self._arrived, time.perf_counter()
        moment, data = self._queue.popleft()
        if len(data) > SLICE:
            self._queue.appendleft((moment, data[SLICE:]))
        self._read(data[:SLICE], moment)
        if self._arrived == arrived:
            time.sleep(0)  # lets go of the interpreter for whoever copies
        else:
            self._over.wait((time.perf_counter() - began) * REST)

    def _read(self, data: bytes, moment: float) -> None:
        self._read_bytes += len(data)
        reader = self._reader
        if reader is None:
            if len(data) == len(data.translate(None, _DIGITS)) and b"nan" not in data:
                self._words = data  # a script that prints nothing else pays for nothing more
                return
            reader = self._reader = self._begin()
            reader.feed(self._words, moment)  # may be the head of a table
        points = reader.feed(data, moment)
        if points:
            self._record(points)
        if reader.trouble:
            self._tell(reader)

    def _begin(self) -> PrintedMetrics:
        from gitexp.domain.printed import PrintedMetrics  # milliseconds that few scripts need

        return PrintedMetrics(patterns=self._patterns, ignore=self._recorder.repository.config.metrics_ignore)

    def _compile_patterns(self) -> list[PrintedPattern]:
        """Those of the settings; what is none is told before the command begins."""
        texts = self._recorder.repository.config.metrics_patterns
        if not texts:
            return []
        from gitexp.domain.printed_patterns import PrintedPattern  # most repositories have none

        patterns = []
        for text in texts:
            try:
                patterns.append(PrintedPattern(text))
            except ValueError as error:
                self._recorder.warn(f"The pattern {text!r} of metrics.patterns is not used: {error}.")
        return patterns

    def _record(self, points: Sequence[PrintedPoint]) -> None:
        recorder = self._recorder.beside(Source.OUTPUT)
        if len(points) < _WORTH_A_COLUMN:
            for point in points:
                recorder.point(*point)
            return
        columns: dict[tuple[str, type], list[PrintedPoint]] = {}
        for point in points:
            columns.setdefault((point[0], type(point[3])), []).append(point)
        for (key, kind), rows in columns.items():
            _, steps, times, values = zip(*rows, strict=True)
            try:
                recorder.log_column(
                    key, array("q", steps), array("d", times), array("d" if kind is float else "q", values)
                )
            except OverflowError:
                for row in rows:
                    recorder.point(*row)

    def _tell(self, reader: PrintedMetrics) -> None:
        for message in reader.trouble:
            self._recorder.warn(message)
        reader.trouble.clear()
