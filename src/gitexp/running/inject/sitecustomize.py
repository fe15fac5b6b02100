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


def _begin():
    here = os.path.dirname(__file__)
    folder = None if _is_launcher() else os.environ.pop("GITEXP_CAPTURE", None)  # what a script starts does not report
    frameworks = None if _is_launcher() else os.environ.pop("GITEXP_AUTOLOG", None)
    root = None if _is_launcher() else os.environ.pop("GITEXP_OPENED", None)
    if folder:
        import gitexp_capture
    if frameworks:
        import gitexp_frameworks
    while here in sys.path:
        sys.path.remove(here)
    sys.path_importer_cache.pop(here, None)
    if "GITEXP_CAPTURE" in os.environ:
        return
    seed = os.environ.pop("GITEXP_SEED", None)
    path = [entry for entry in os.environ.get("PYTHONPATH", here).split(os.pathsep) if entry != here]
    if path:
        os.environ["PYTHONPATH"] = os.pathsep.join(path)
    else:
        os.environ.pop("PYTHONPATH", None)
    if folder:
        gitexp_capture.begin(folder, seed, root)
    if frameworks:
        gitexp_frameworks.begin(frameworks)


def _is_launcher():
    words = [word for word in getattr(sys, "orig_argv", ["", *sys.argv])[1:] if not word.startswith("-")]
    return bool(words) and os.path.basename(words[0]) in LAUNCHERS


try:
    _begin()
except Exception:  # whatever it is, the script must run
    pass
sys.modules.pop(__name__, None)
import sitecustomize  # noqa: E402,F401  (the user's own; where there is none, `site` takes the ImportError for that)
