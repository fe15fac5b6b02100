"""What autologging adds to a training under `gitexp run`, in per cent of it, with the interval that the figure lies in.

The frameworks are those of the interpreter that `GITEXP_FRAMEWORKS_PYTHON` names, or of the one that measures. The
script runs under `gitexp run` and under `gitexp run --no-autolog`, in pairs as `benchmarks/pairs.py` makes them. What
counts is all that each took, from the start of `gitexp` to its end, sealing included.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from functools import partial
from pathlib import Path

from benchmarks.measure import Bench, CommandFailed, Figure
from benchmarks.pairs import interval, pairs_of
from benchmarks.table import Row
from benchmarks.trainings import BEGIN, END, TRAININGS

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def overhead(bench: Bench, training: str) -> Figure:
    """Per cent of the training's own CPU time that the launch takes longer with autologging than without."""
    return _compared(bench, training, [bench.gitexp, "run", "--no-autolog", "--"], [bench.gitexp, "run", "--"])


def launch(bench: Bench, training: str) -> Figure:
    """What the launch takes without autologging above the bare script, in per cent of the training."""
    return _compared(bench, training, [], [bench.gitexp, "run", "--no-autolog", "--"])


def _compared(bench: Bench, training: str, less: list[str], more: list[str]) -> Figure:
    python = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", bench.python)
    bench = bench.with_variables(**ONE_THREAD)
    folders = [_project(bench, training) for _ in range(2)]
    sides = [([*prefix, python, "fit.py"], folder) for prefix, folder in zip((less, more), folders, strict=True)]
    pairs, own = [], []
    for before, after in pairs_of(bench, sides):
        training_s = next(float(line.split()[1]) for line in before.output.splitlines() if line[:10] == b"training_s")
        pairs.append((before.cpu_s, after.cpu_s))
        own.append(training_s)
        print(f"  {after.cpu_s:.3f} s beside {before.cpu_s:.3f} s; training {training_s:.3f} s", file=sys.stderr)
    for prefix, folder in zip((less, more), folders, strict=True):
        if prefix:
            _check_recorded(bench, folder, autologged="--no-autolog" not in prefix)
    for folder in folders:
        bench.gone(folder)
    ratios = [100 * (after - before) / training_s for (before, after), training_s in zip(pairs, own, strict=True)]
    added = statistics.median(after - before for before, after in pairs)
    note = f"{interval(ratios)}; {added:+.3f} s on a training of {statistics.median(own):.1f} s, medians"
    return Figure(value=statistics.median(ratios), note=note)


def _project(bench: Bench, training: str) -> Path:
    folder = bench.repository()
    (folder / ".gitignore").write_text("out\n")
    (folder / "fit.py").write_text(BEGIN + TRAININGS[training][1] + END)
    bench.run("git", "add", "-A", cwd=folder)
    bench.run("git", "commit", "-q", "-m", "a training", cwd=folder)
    return folder


def _check_recorded(bench: Bench, folder: Path, *, autologged: bool) -> None:
    found = bench.run(bench.gitexp, "show", "@", "--json", cwd=folder).output
    if bool(json.loads(found)["params"]) != autologged:
        raise CommandFailed("autologging recorded nothing" if autologged else "--no-autolog recorded params")


QUICK = """
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
def train():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials={trials})
"""


def per_trial(bench: Bench, trials: int) -> Figure:
    """What a trial that takes no time costs in milliseconds, the quickest of five each."""
    python = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", bench.python)
    bench = bench.with_variables(**ONE_THREAD)
    folder = bench.repository()
    (folder / "fit.py").write_text(BEGIN + QUICK.format(trials=trials) + END)
    least = {
        options: min(
            bench.run(bench.gitexp, "run", *options, "--", python, "fit.py", cwd=folder).cpu_s for _ in range(5)
        )
        for options in ((), ("--no-autolog",))
    }
    bench.gone(folder)
    return Figure(value=1000 * (least[()] - least[("--no-autolog",)]) / trials)


ROWS = [
    *(
        Row(
            key=f"autolog-{name}",
            work=f"autologging, above `--no-autolog`; {work}",
            unit="% CPU",
            bar=2.0,
            measure=partial(overhead, training=name),
        )
        for name, (work, _) in TRAININGS.items()
    ),
    *(
        Row(
            key=f"launch-{name}",
            work=f"`gitexp run --no-autolog`, above the bare script; {TRAININGS[name][0]}",
            unit="% CPU",
            bar=5.0,
            measure=partial(launch, training=name),
        )
        for name in ("sklearn", "lightning")
    ),
    *(
        Row(
            key=f"autolog-trial-{trials}",
            work=f"autologging of {trials:,} Optuna trials that take no time, for each",
            unit="ms CPU",
            bar=bar,
            measure=partial(per_trial, trials=trials),
        )
        for trials, bar in ((100, 15.0), (2_000, 2.0))
    ),
]
