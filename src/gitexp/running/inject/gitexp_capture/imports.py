"""Acting right after a module has been imported, at the price of one look into a dict for each import."""

# mypy: ignore-errors

import _frozen_importlib_external as importlib_external
import sys

_waiting = {}
_found_last = {}
_watched_finders = []


def after(name, act):
    """Call `act` with the module `name` right after its import, or now if that is over. What it raises is lost."""
    module = sys.modules.get(name)
    if module is not None:
        _act(module, [act])
        return
    _watch_path_finder()
    _waiting.setdefault(name, []).append(act)


def find_last(name, spec):
    """Have `spec()` say where the module `name` is if it is nowhere on the path."""
    _watch_path_finder()
    _found_last[name] = spec


def hide(function, file=None):
    """Have `function` taken for a part of `file`, or of Python's import system.

    The frames of that are left out of tracebacks of failing imports, and not counted where `warnings` and `logging`
    look for the caller of a caller.
    """
    function.__code__ = function.__code__.replace(co_filename=file or "<frozen importlib._bootstrap_external>")


def _watch_path_finder():
    if not _watched_finders:
        _watch_finder(importlib_external.PathFinder)


def _watch_finder(finder):
    """Have `finder` give loaders that act. Where it stands in `sys.meta_path`, nothing changes for who looks there."""
    _watched_finders.append(finder)
    find = finder.find_spec

    def find_spec(cls, fullname, path=None, target=None):  # noqa: ARG001
        spec = find(fullname, path, target)
        if spec is None and fullname in _found_last:
            return _found_last[fullname]()
        if fullname in _waiting and spec is not None and spec.loader is not None:
            _watch_loader(spec.loader)
        return spec

    finder.find_spec = classmethod(find_spec)


def _watch_loader(loader):
    execute = loader.exec_module

    def exec_module(module):
        vars(loader).pop(
            "exec_module", None
        )  # gone already if one loader serves several modules, as that of a zip file
        execute(module)
        _act(module, _waiting.pop(module.__name__, ()))

    hide(exec_module)
    try:
        loader.exec_module = exec_module
    except AttributeError:  # a loader without a dict
        pass


def _act(module, acts):
    for act in acts:
        try:
            act(module)
        except Exception:
            pass
