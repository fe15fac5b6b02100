"""Imported by the Python that `gitexp run` launches, because its folder stands first in PYTHONPATH.

Lets `gitexp_capture` watch, leaves no trace in the path or the environment, and then makes way for the `sitecustomize`
that would have been imported without it. Runs in any Python from 3.8 on, with or without gitexp installed.
"""

# mypy: ignore-errors

import os
import sys

# What these start in several processes is the script itself, so each of those reports, and they do not.
LAUNCHERS = (
    "torchrun",
    "torch.distributed.run",
    "torch.distributed.launch",
    "accelerate",
    "deepspeed",
    "horovodrun",
    "gitexp_notebook.py",  # whose kernel runs the cells
)


OLDEST_PYTHON = (3, 8)
"""Older ones run as if we were not there."""


def _begin():
    here = os.path.dirname(__file__)
    if sys.version_info < OLDEST_PYTHON:
        _leave_path(here)
        _leave_environ(here)
        return
    folder = None if _is_launcher() else os.environ.pop("GITEXP_CAPTURE", None)  # what a script starts does not report
    frameworks = None if _is_launcher() else os.environ.pop("GITEXP_AUTOLOG", None)
    root = None if _is_launcher() else os.environ.pop("GITEXP_OPENED", None)
    if folder:
        import gitexp_capture
    if frameworks:
        import gitexp_frameworks
    _leave_path(here)
    if "GITEXP_CAPTURE" in os.environ:
        return
    seed = os.environ.get("GITEXP_SEED")
    _leave_environ(here)
    if folder:
        gitexp_capture.begin(folder, seed, root)
    if frameworks:
        gitexp_frameworks.begin(frameworks)


def _leave_path(here):
    while here in sys.path:
        sys.path.remove(here)
    sys.path_importer_cache.pop(here, None)


def _leave_environ(here):
    for name in ("GITEXP_CAPTURE", "GITEXP_AUTOLOG", "GITEXP_OPENED", "GITEXP_SEED"):
        os.environ.pop(name, None)
    path = [entry for entry in os.environ.get("PYTHONPATH", here).split(os.pathsep) if entry != here]
    if path:
        os.environ["PYTHONPATH"] = os.pathsep.join(path)
    else:
        os.environ.pop("PYTHONPATH", None)


def _is_launcher():
    words = getattr(sys, "orig_argv", None) or [""] + sys.argv  # noqa: RUF005 (Python 2 reads this file, too)
    words = [word for word in words[1:] if not word.startswith("-")]
    return bool(words) and os.path.basename(words[0]) in LAUNCHERS


try:
    _begin()
except Exception:  # whatever it is, the script must run
    pass
sys.modules.pop(__name__, None)
import sitecustomize  # noqa: E402,F401  (the user's own; where there is none, `site` takes the ImportError for that)
