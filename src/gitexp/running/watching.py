"""What looks on while a command runs: one class for each thing that is watched, listed in `launch.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gitexp.recording import Recorder
from gitexp.running.child import ChildResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A run that is being launched, as its watchers see it.

    Attributes:
        recorder: of the run; `recorder.beside(source)` for what is known from elsewhere than the script.
        directory: where the command runs. root: the top of the work tree, or None where there is none.
        stop: ends the command for a reason, a sentence that goes into the record; may be called from any thread.
    """

    recorder: Recorder
    directory: str
    root: str | None
    stop: Callable[[str], None]


class Watcher:
    """Looks on while a command runs. The methods are called in the order in which they stand here.

    What a method raises becomes a warning of the run, and ends a strict run after the command has ended.
    """

    def prepare(self, environ: dict[str, str]) -> None:
        """Before the command starts; `environ` will be its environment."""

    def started(self) -> None:
        """Right before the command is started. Threads may begin here."""

    def output(self, data: bytes) -> None:
        """What the command printed, whole lines as far as it prints lines.

        Called in the threads that copy the output, one at a time: must be quick, and must not raise.
        """

    def over(self) -> None:
        """Right after the command has ended: stop threads. Must not raise."""

    def finish(self, child: ChildResult) -> None:
        """Record what is known now. The run is still open."""
