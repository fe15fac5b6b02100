"""What `%load_ext gitexp` gives in Jupyter: `%gitexp` and `%%gitexp_run`."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from gitexp.domain.run import Status
from gitexp.session import repository, start_run


def load(shell: Any) -> None:
    """Register the magics `%gitexp` and `%%gitexp_run`."""
    shell.register_magic_function(_gitexp, magic_kind="line", magic_name="gitexp")
    run = _run_magic(shell)
    shell.register_magic_function(run, magic_kind="cell", magic_name="gitexp_run")


def _gitexp(line: str) -> None:
    """Type a gitexp command: `%gitexp ls --where "metrics.loss < 0.3"`."""
    command = [sys.executable, "-m", "gitexp", *shlex.split(line)]
    done = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", check=False)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)


def _run_magic(shell: Any) -> Callable[[str, str], Any]:
    @magic_arguments()  # type: ignore[untyped-decorator, unused-ignore]
    @argument("name", nargs="?", help="What to call the run.")  # type: ignore[untyped-decorator, unused-ignore]
    @argument("-e", "--experiment", help="Where it belongs.")  # type: ignore[untyped-decorator, unused-ignore]
    def gitexp_run(line: str, cell: str) -> Any:
        """Record the cell as a run, and show it."""
        said = parse_argstring(gitexp_run, line)
        run = start_run(said.name, experiment=said.experiment, nested=True)
        result = shell.run_cell(cell)
        error = result.error_before_exec or result.error_in_exec
        status = Status.FINISHED
        if error is not None:
            status = Status.KILLED if isinstance(error, KeyboardInterrupt) else Status.FAILED
        run.end(status.value)
        if error is not None:
            raise _CellFailed
        return repository().get_run(run.id)

    made: Callable[[str, str], Any] = gitexp_run
    return made


class _CellFailed(Exception):
    """The cell has failed and has shown why; this only ends it, so that what was to come after it does not."""

    def _render_traceback_(self) -> list[str]:
        return []
