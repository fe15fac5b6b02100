"""The params of this process: what its parsers returned, and which of them were the script's."""

# mypy: ignore-errors

import _thread
import os
import sys

from gitexp_capture.imports import hide
from gitexp_capture.values import plain_params

PACKAGE_FOLDERS = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
STANDARD_LIBRARY = os.path.dirname(getattr(os, "__file__", "")) + os.sep
OWN_PACKAGE = __name__.partition(".")[0]

TOOLS = frozenset(
    "IPython _pytest accelerate deepspeed distutils doctest fire horovod hydra ipykernel jupyter_core notebook pdb pip"
    " pydantic_settings pytest setuptools torch trace traitlets tyro unittest".split()
)
"""Packages whose options say how a script is started, not what it does, or which only use another parser inside.

The same is true of everything in Python's own library that `python -m` runs.
"""


class Params:
    """Collects what the outermost parsers of this process returned, and reports it."""

    def __init__(self, report, pid, line):
        self._report = report
        self._pid = pid
        self._line = line
        self._parsers = []
        self._tools = []
        self._parsed = {}
        self._given = set()
        self._written = {}
        self._state = _thread._local()

    def watch(self, owner, name, finished, **options):
        """Put `watched` in the place of `owner.name`."""
        original = vars(owner)[name]
        is_static = isinstance(original, staticmethod)
        watched = self.watched(original.__func__ if is_static else original, finished, **options)
        setattr(owner, name, staticmethod(watched) if is_static else watched)

    def watched(self, original, finished, *, inner=False, file=None):
        """`original`, which then has `finished(result, (args, kwargs))` called, if it is the outermost parser.

        Args:
            inner: `finished` is called in any case, and others may be the outermost inside.
            file: where our frame pretends to be.
        """
        state = self._state

        def call(*args, **kwargs):
            is_outermost = not getattr(state, "inside", False)
            if not inner:
                state.inside = True
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                # From Python 3.11 on this takes our line out of the traceback.
                error.__traceback__ = error.__traceback__.tb_next
                raise
            finally:
                if is_outermost and not inner:
                    state.inside = False
            if is_outermost or inner:
                try:
                    finished(result, (args, kwargs))
                except Exception:
                    pass
            return result

        hide(call, file)
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(call, attribute, getattr(original, attribute))
        call.__dict__.update(vars(original))
        call.__wrapped__ = original
        return call

    def add(self, parser, args, values, *, packages, defaults=None, scope=""):
        """Report what `parser` made of `args`, None for the command line, unless it is none of the script's.

        Args:
            packages: the parser's own, through which it was called.
            defaults: a value that is among them does not take the place of one that another parser was given.
            scope: what a name is put under that is taken by another value; if empty, the later value counts.
        """
        if os.getpid() != self._pid:
            return
        caller = _caller(packages)
        into = self._place(args, caller)
        if into is None:
            return
        tool = _tool(caller)
        name, names = (parser, self._parsers) if tool is None else (tool, self._tools)
        if name not in names:
            names.append(name)
        if tool is None:
            self._merge(into, plain_params(values), plain_params(defaults or {}), scope)
        found = self._parsed or self._written
        self._report.write({"parsers": self._parsers, "tools": self._tools, "values": found})

    def _merge(self, into, values, defaults, scope):
        for name, value in values.items():
            is_default = name in defaults and (_same(defaults[name], value) or defaults[name] == str(value))
            if is_default and name in self._given:
                continue
            if scope and name in into and not _same(into[name], value):
                name = f"{scope}.{name}"
            into[name] = value
            if not is_default:
                self._given.add(name)

    def _place(self, args, caller):
        """Where values go: lists that the script wrote itself count only if nothing of the command line is parsed."""
        if args is None:
            return self._parsed
        if not isinstance(args, (list, tuple, str)):
            return None
        given = list(args)
        for line in (sys.argv[1:], self._line):
            if given == line or (given and _is_within(given, line)) or (line and _is_within(line, given)):
                return self._parsed
        if caller is None or is_installed(caller.f_code.co_filename):
            return None
        return self._written if given else self._parsed


def _caller(packages):
    """The frame that called the parser, which is in `packages`, directly or through Python's own library."""
    frame = sys._getframe(1)
    while frame is not None:
        package = _package(frame)
        is_library = _is_standard(frame.f_code.co_filename) and package not in TOOLS
        if package == "__main__" or not (is_library or package in packages or package == OWN_PACKAGE):
            return frame
        frame = frame.f_back
    return None


def _tool(caller):
    """The program whose own options were parsed, if it is one that only starts or inspects scripts."""
    if caller is None:
        return None
    package, file = _package(caller), caller.f_code.co_filename
    if package in TOOLS:
        return package
    return os.path.basename(file)[: -len(".py")] if package == "__main__" and _is_standard(file) else None


def _package(frame):
    return (frame.f_globals.get("__name__") or "").partition(".")[0]


def _is_standard(file):
    return file.startswith(STANDARD_LIBRARY) and not is_installed(file)


def is_installed(file):
    return any(folder in file for folder in PACKAGE_FOLDERS)


def _is_within(part, whole):
    """Whether `part` is `whole` with some of it left out."""
    rest = iter(whole)
    return all(item in rest for item in part)


def _same(one, other):
    return type(one) is type(other) and one == other
