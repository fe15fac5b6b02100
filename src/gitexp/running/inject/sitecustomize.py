"""Imported by the Python that `gitexp run` launches, because its folder stands first in PYTHONPATH.

Lets `gitexp_capture` watch, leaves no trace in the path or the environment, and then makes way for the `sitecustomize`
that would have been imported without it. Runs in any Python from 3.8 on, with or without gitexp installed.
"""

import os
import sys


def _begin():
    here = os.path.dirname(__file__)
    folder = os.environ.pop("GITEXP_CAPTURE", None)  # what the script itself launches is not captured
    if folder:
        import gitexp_capture
    while here in sys.path:
        sys.path.remove(here)
    sys.path_importer_cache.pop(here, None)
    path = [entry for entry in os.environ.get("PYTHONPATH", here).split(os.pathsep) if entry != here]
    if path:
        os.environ["PYTHONPATH"] = os.pathsep.join(path)
    else:
        os.environ.pop("PYTHONPATH", None)
    if folder:
        gitexp_capture.begin(folder)


try:
    _begin()
except Exception:  # whatever it is, the script must run
    pass
sys.modules.pop(__name__, None)
import sitecustomize  # noqa: E402,F401  (the user's own; where there is none, `site` takes the ImportError for that)
