"""Waits for machine-learning frameworks to be imported, and lets gitexp know; until then gitexp is not imported itself.

Runs inside the user's process, in any Python from 3.8 on: it never raises, and costs an import a look into a set.
`gitexp.integrations.imports` uses it too, for scripts that call `gitexp.autolog()`.
"""

# mypy: ignore-errors

import os
import sys

OLDEST_PYTHON = (3, 11)


def begin(names):
    """Wait for the modules in `names`, separated by commas, and let this process import gitexp if it has none."""
    if sys.version_info >= OLDEST_PYTHON:
        sys.meta_path.append(_OurGitexp())
        watch(names.split(","))


def watch(names):
    """Call `gitexp.integrations.imports.imported` with each of these modules' names right after its import."""
    for finder in sys.meta_path:
        if type(finder) is _Finder:
            finder.names.update(names)
            return
    sys.meta_path.insert(0, _Finder(set(names)))


class _OurGitexp:
    """Finds the gitexp that launched this process, where the process has none of its own; stands last."""

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002
        if name != "gitexp":
            return None
        from importlib.util import spec_from_file_location

        folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        return spec_from_file_location(name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])


class _Finder:
    """Finds nothing itself: it has the others find, and puts a loader before theirs."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name not in self.names:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self.names)
                return spec
        return None


class _Loader:
    """The real loader, and then a call."""

    def __init__(self, loader, names):
        self._loader = loader
        self._names = names

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._names.discard(module.__name__)
        try:
            from gitexp.integrations.imports import imported

            imported(module.__name__)
        except Exception:
            pass
