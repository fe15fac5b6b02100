"""Waits for machine-learning frameworks to be imported, and only then imports gitexp to watch them.

Runs inside the user's process, in any Python from 3.8 on, and never raises.
"""

# mypy: ignore-errors

import os
import sys

from gitexp_capture.imports import after

OLDEST_PYTHON = (3, 11)


def begin(names):
    """Wait for the modules in `names`, separated by commas, and let this process import gitexp if it has none."""
    if sys.version_info >= OLDEST_PYTHON:
        sys.meta_path.append(_OurGitexp())
        for name in names.split(","):
            after(name, _imported)


def _imported(module):
    from gitexp.integrations.imports import imported

    imported(module)


class _OurGitexp:
    """Finds the gitexp that launched this process, where the process has none of its own; stands last."""

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002
        if name != "gitexp":
            return None
        from importlib.util import spec_from_file_location

        folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        return spec_from_file_location(name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
