"""Commands of the user's that are told when a run has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gitexp.domain.summary import RunSummary, run_to_json


def run_hooks(
    commands: Iterable[str],
    run: RunSummary,
    *,
    directory: str | None,
    environ: Mapping[str, str],
    on_trouble: Callable[[str], None],
) -> None:
    """Run each shell command with the run as JSON on its stdin, one after the other; what they print goes to stderr.

    Args:
        directory: where they run; None: where we are.
        environ: their variables; `GITEXP_HOOK_RUN_ID` and `GITEXP_HOOK_STATUS` are added.
        on_trouble: told of each that fails.
    """
    said: dict[str, Any] = run_to_json(run)
    data = (json.dumps(said, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
    more = {"GITEXP_HOOK_RUN_ID": str(run.record.id), "GITEXP_HOOK_STATUS": run.record.status.value}
    for command in commands:
        sys.stderr.flush()
        try:
            done = subprocess.run(
                command,
                shell=True,
                check=False,
                input=data,
                stdout=_stderr(),
                cwd=directory,
                env={**environ, **more},
            )
        except OSError as error:
            on_trouble(f"The hook {command!r} cannot be run: {error.strerror}.")
            continue
        if done.returncode:
            how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
            on_trouble(f"The hook {command!r} failed with {how}.")


def _stderr() -> int:
    try:
        os.fstat(2)
    except OSError:  # closed
        return subprocess.DEVNULL
    return 2
