"""Waits for machine-learning frameworks to be imported, and only then imports gitexp to watch them.

Runs inside the user's process, in any Python from 3.8 on, and never raises.
"""

# mypy: ignore-errors

import os
import sys

from gitexp_capture.imports import after, find_last

OLDEST_PYTHON = (3, 11)


def begin(names):
    """Wait for the modules in `names`, separated by commas, and let this process import gitexp if it has none."""
    if sys.version_info >= OLDEST_PYTHON:
        find_last("gitexp", _our_gitexp)
        for name in names.split(","):
            after(name, _imported)


def _imported(module):
    from gitexp.integrations.imports import imported

    imported(module)


def _our_gitexp():
    """The spec of the gitexp that launched this process."""
    from importlib.util import spec_from_file_location

    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return spec_from_file_location("gitexp", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
