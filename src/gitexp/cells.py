"""The cells that a Jupyter kernel has executed, as the code of a run that is recorded in it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gitexp.domain.pointer import SMALL
from gitexp.errors import GitexpError
from gitexp.recording import Recorder

CELLS = "notebook/cells.py"

PAUSE_S = 60.0
"""How often cells are written that are too many for the journal; what is executed meanwhile follows at the end."""


def kernel_shell() -> Any:
    """IPython's shell, if this is a kernel that a notebook talks to; else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell if hasattr(shell, "kernel") else None


def notebook_name() -> str | None:
    """The file name of the notebook that this kernel works for, where Jupyter or the editor tells."""
    shell = kernel_shell()
    told = [] if shell is None else [shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")]
    return next((os.path.basename(name) for name in told if isinstance(name, str) and name.endswith(".ipynb")), None)


class Cells:
    """Keeps what a kernel has executed, in order, as an artifact of a run, until the run ends.

    Written before each cell runs, so that a kernel that dies leaves the cell that killed it.
    """

    def __init__(self, shell: Any, recorder: Recorder) -> None:
        self._shell = shell
        self._recorder = recorder
        self._written = ""
        self._written_at = 0.0
        shell.events.register("pre_run_cell", self._before_cell)
        self.write()

    def write(self, coming: str | None = None) -> None:
        """Write what has been executed, and what is about to be."""
        history = list(self._shell.history_manager.input_hist_raw[1:])
        cells = history if coming is None else [*history, coming]
        numbered = enumerate(cells, start=1)
        text = (
            "\n\n".join(f"# %% [{number}]\n{source.rstrip()}" for number, source in numbered if source.strip()) + "\n"
        )
        is_early = len(text) > SMALL and coming is not None and time.monotonic() - self._written_at < PAUSE_S
        if text != self._written and not is_early:
            self._recorder.add_bytes(text.encode("utf-8", "backslashreplace"), CELLS)
            self._written, self._written_at = text, time.monotonic()

    def end(self) -> None:
        """Write the last state; nothing is looked at any more."""
        with suppress(ValueError):  # it was reset
            self._shell.events.unregister("pre_run_cell", self._before_cell)
        with suppress(GitexpError, OSError):
            self.write()

    def _before_cell(self, info: Any) -> None:
        if info.store_history and not info.silent:
            try:
                self.write(info.raw_cell)
            except (GitexpError, OSError) as error:
                self._recorder.warn(f"The executed cells are not recorded. {error}")


def keep_cells(recorder: Recorder) -> Callable[[], None]:
    """Keep the cells of this kernel in a run that begins; gives what is to be called when it ends."""
    shell = kernel_shell()
    return _nothing if shell is None or shell.history_manager is None else Cells(shell, recorder).end


def _nothing() -> None:
    """What ends the keeping of cells where there are none."""
