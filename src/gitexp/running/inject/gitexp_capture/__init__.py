"""Reports what a launched Python is and which params its command-line parsers made, as small JSON files in a folder.

Runs inside the user's process, in any Python from 3.8 on: it never raises, imports nothing that costs, and changes
functions of parsers only, which behave as before. Reading the reports is the business of `gitexp.running.capture`.

What is needed only where a parser has been imported stands in modules of its own, imported then.
"""

# mypy: ignore-errors
# Untyped, because importing `typing` would cost the script as much as all the rest.

import os
import sys

from gitexp_capture import imports
from gitexp_capture.reports import Report

PARSERS = {
    "argparse": ("options", "watch_argparse"),
    "simple_parsing.parsing": ("options", "watch_simple_parsing"),
    "transformers.hf_argparser": ("options", "watch_transformers"),
    "jsonargparse": ("options", "watch_jsonargparse"),
    "pydantic_settings.main": ("options", "watch_pydantic"),
    "click.core": ("commands", "watch_click"),
    "typer._click.core": ("commands", "watch_click"),
    "fire.core": ("commands", "watch_fire"),
    "tyro._cli": ("commands", "watch_tyro"),
    "absl.flags._flagvalues": ("commands", "watch_absl"),
    "hydra._internal.callbacks": ("configs", "watch_hydra"),
    "omegaconf.omegaconf": ("configs", "watch_omegaconf"),
}
"""Which function of which module here is called after which import."""

WRITERS = (
    "tensorboard.summary.writer.event_file_writer",
    "tensorboardX.event_file_writer",
    "tensorflow.python.ops.gen_summary_ops",
    "dvclive.live",
)
"""What writes metrics to files of its own; see `writers`."""

SEEDED = {
    "random": "seed",
    "numpy.random": "seed",
    "torch": "manual_seed",
    "tensorflow": "random.set_seed",
}
"""The functions that take a seed for a whole process."""


WITH_SEEDS = ("random", "numpy.random", "torch", "tensorflow", "jax.random")
"""Modules with functions that take seeds; see `seeds`."""


def begin(folder, seed=None, root=None):
    """Report this interpreter to `folder` now and params and seeds whenever they are set; seed what can be seeded.

    Args:
        root: the folder below which files count that are read; None where none do.
    """
    facts = {
        "implementation": sys.implementation.name,
        "version": sys.version.split()[0],
        "executable": sys.executable,
        "path": sys.path,
    }
    Report(folder, "python").write(facts)
    process = _Process(folder)
    for name in PARSERS:
        imports.after(name, process.watch)
    for name in WRITERS:
        imports.after(name, process.watch_writer)
    if seed:
        for name in SEEDED:
            imports.after(name, _Seed(int(seed)))
    watch_seeds = _WatchSeeds(folder, int(seed) if seed else None)
    for name in WITH_SEEDS:
        imports.after(name, watch_seeds)
    if root:
        from gitexp_capture import opened

        opened.watch(folder, {root, os.path.realpath(root)})
    _leave_no_trace()


class _Process:
    """This process, until the first parser is imported."""

    def __init__(self, folder):
        self._folder = folder
        self._report = Report(folder, "arguments")
        self._pid = os.getpid()
        self._line = list(getattr(sys, "argv", ()))[1:]
        self._params = None

    def watch(self, module):
        where, name = PARSERS[module.__name__]
        here = __name__ + "." + where
        __import__(here)
        if self._params is None:
            from gitexp_capture.params import Params

            self._params = Params(self._report, self._pid, self._line)
        _leave_no_trace()
        getattr(sys.modules[here], name)(module, self._params)

    def watch_writer(self, module):
        __import__(__name__ + ".writers")
        _leave_no_trace()
        sys.modules[__name__ + ".writers"].watch(module, self._folder)


class _WatchSeeds:
    def __init__(self, folder, given):
        self._given = folder, given
        self._seeds = None

    def __call__(self, module):
        if self._seeds is None:
            from gitexp_capture.seeds import Seeds

            self._seeds = Seeds(*self._given)
            _leave_no_trace()
        self._seeds.watch(module)


class _Seed:
    def __init__(self, seed):
        self._seed = seed

    def __call__(self, module):
        function = module
        for name in SEEDED[module.__name__].split("."):
            function = getattr(function, name)
        function(self._seed)


def _leave_no_trace():
    """After importing modules of this package."""
    sys.path_importer_cache.pop(os.path.dirname(__file__), None)
