"""The seeds that a script gives to generators of random numbers, and whether its frameworks compute deterministically.

One report a process, `seeds-...json`: `seeds` by generator, the first that the script itself set, and `determinism`.
"""

# mypy: ignore-errors

import os
import sys

from gitexp_capture.imports import hide
from gitexp_capture.reports import Report

FUNCTIONS = {
    "random": (("random", "seed"),),
    "numpy.random": (("numpy", "seed"), ("numpy.default_rng", "default_rng")),
    "torch": (("torch", "manual_seed"), ("torch.cuda", "cuda.manual_seed"), ("torch.cuda", "cuda.manual_seed_all")),
    "tensorflow": (("tensorflow", "random.set_seed"),),
    "jax.random": (("jax", "PRNGKey"), ("jax", "key")),
}
"""By module: what each seed is called, and the function that takes it first."""

OWN_ONLY = frozenset(("numpy.default_rng", "jax"))
"""Generators that libraries make for themselves, too: only the script's own calls count."""

LONGEST = 100


class Seeds:
    """The seeds of this process.

    Args:
        given: what gitexp seeds with, or None.
    """

    def __init__(self, folder, given):
        self._report = Report(folder, "seeds")
        self._pid = os.getpid()
        self._given = given
        self._seeds = {}
        self._own = set()
        self._determinism = {}
        self._is_inside = False

    def watch(self, module):
        """Look on at the functions of `module` that take seeds, after gitexp's own seed has been set."""
        name = module.__name__
        for seed, path in FUNCTIONS[name]:
            if self._given is not None and seed in ("random", "numpy", "torch", "tensorflow"):
                self._seeds[seed] = self._given
            owner = module
            *above, attribute = path.split(".")
            for part in above:
                owner = getattr(owner, part)
            setattr(owner, attribute, self._watched(getattr(owner, attribute), seed))
        if name == "torch":
            import atexit  # torch has it

            atexit.register(self._write)
        elif name == "tensorflow":
            experimental = module.config.experimental
            experimental.enable_op_determinism = self._watched(experimental.enable_op_determinism, None)
        if self._seeds:
            self._write()

    def _watched(self, original, name):
        def call(*args, **kwargs):
            is_outermost = not self._is_inside
            self._is_inside = True
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                # From Python 3.11 on this takes our line out of the traceback.
                error.__traceback__ = error.__traceback__.tb_next
                raise
            finally:
                if is_outermost:
                    self._is_inside = False
            if is_outermost:
                try:
                    self._note(name, args, kwargs)
                except Exception:
                    pass
            return result

        hide(call)
        for attribute in ("__module__", "__name__", "__doc__"):
            setattr(call, attribute, getattr(original, attribute, None))
        call.__qualname__ = call.__name__
        call.__wrapped__ = original
        return call

    def _note(self, name, args, kwargs):
        if os.getpid() != self._pid:
            return
        if name is None:
            self._determinism["tensorflow.op_determinism"] = True
            self._write()
            return
        if name in self._own or (name in OWN_ONLY and _is_library(sys._getframe(2))):
            return
        value = _plain(args[0] if args else next(iter(kwargs.values()), None))
        if value is None:
            return
        self._own.add(name)
        self._seeds[name] = value
        self._write()

    def _write(self):
        if os.getpid() != self._pid:
            return
        torch = sys.modules.get("torch")
        try:
            if hasattr(torch, "are_deterministic_algorithms_enabled"):
                cudnn = torch.backends.cudnn
                self._determinism["torch.use_deterministic_algorithms"] = torch.are_deterministic_algorithms_enabled()
                self._determinism["torch.backends.cudnn.deterministic"] = bool(cudnn.deterministic)
                self._determinism["torch.backends.cudnn.benchmark"] = bool(cudnn.benchmark)
        except Exception:
            pass
        try:
            self._report.write({"seeds": self._seeds, "determinism": self._determinism})
        except OSError:  # the disk is full, or the run is over
            pass


def _plain(value):
    """A seed in terms of JSON; None for what is none, as a generator."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float, str)):
        return value if isinstance(value, float) else str(value)[:LONGEST] if isinstance(value, str) else int(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value[:LONGEST]]
    index = getattr(type(value), "__index__", None)
    return None if index is None else int(index(value))


def _is_library(frame):
    file = frame.f_code.co_filename
    return "site-packages" in file or "dist-packages" in file or file.startswith((sys.base_prefix, "<frozen"))
