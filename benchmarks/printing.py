"""What reading metrics from its output costs a command that prints a million lines as fast as it can."""

from __future__ import annotations

import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Bench, Figure
from benchmarks.pairs import interval, pairs_of
from benchmarks.table import Row

LINES = 1_000_000

PRINTS = """
import glob, json, os, sys, time
form, lines, result = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def cpu_s():
    # Of this process and all threads of the one that started it.
    used = time.process_time()
    for path in glob.glob(f"/proc/{os.getppid()}/task/*/schedstat"):
        with open(path) as file:
            used += int(file.read().split()[0]) / 1e9
    return used
used, own, began = cpu_s(), time.process_time(), time.perf_counter()
for step in range(lines):
    print(form % {"step": step, "loss": 1 / (step + 1)})
sys.stdout.flush()
wall_s, own_s = time.perf_counter() - began, time.process_time() - own
with open(result, "w") as file:
    json.dump({"wall_s": wall_s, "own_s": own_s, "printing_s": cpu_s() - used, "ended": time.time()}, file)
"""

FORMS = {
    "text": "%(step)d: the quick brown fox jumps over the lazy dog, and over the fence behind it",
    "metrics": "step %(step)d loss: %(loss).6f",
}

BARE, WITHOUT, WITH = "beside cat", "without", "with"


def slowdown(bench: Bench, form: str) -> Figure:
    """By how many percent the command's last write returns later than with `--no-output-metrics`."""
    best = compare(bench, form)
    return Figure(
        value=100 * (best[WITH]["wall_s"] / best[WITHOUT]["wall_s"] - 1),
        wall_s=best[WITH]["wall_s"],
        note=f"best of {bench.times}; without {best[WITHOUT]['wall_s']:.2f} s, into cat {best[BARE]['wall_s']:.2f} s; "
        f"CPU of printing and copying {best[WITH]['printing_s']:.2f} s, without {best[WITHOUT]['printing_s']:.2f} s",
    )


def rest(bench: Bench, form: str) -> Figure:
    """CPU seconds of the whole launch above those with `--no-output-metrics`, sealing included."""
    best = compare(bench, form)
    return Figure(
        value=best[WITH]["cpu_s"] - best[WITHOUT]["cpu_s"],
        wall_s=best[WITH]["tail_s"],
        note=f"best of {bench.times}; wall from the last line to gitexp's end, without {best[WITHOUT]['tail_s']:.2f} s",
    )


def own_time(bench: Bench, form: str) -> Figure:
    """By how many percent the command's own CPU time, that of its million writes, is more than into `cat`."""
    folder = bench.repository()
    (folder / "prints.py").write_text(PRINTS)
    told = [bench.folder() / "result.json" for _ in range(2)]
    words = [["prints.py", FORMS[form], str(LINES), str(path)] for path in told]
    cat = ["sh", "-c", '"$0" "$@" | cat > /dev/null', bench.python, *words[0]]
    run = ["sh", "-c", 'exec "$0" "$@" > /dev/null', bench.gitexp, "run", *words[1]]
    beside, recorded, whole = [], [], []
    for costs in pairs_of(bench, [(cat, folder), (run, folder)]):
        before, after = (float(json.loads(path.read_text())["own_s"]) for path in told)
        beside.append(before)
        recorded.append(after)
        whole.append(costs[1].cpu_s - costs[0].cpu_s)
        print(f"  {after:.3f} s beside {before:.3f} s; whole {whole[-1]:+.3f} s", file=sys.stderr)
    bench.gone(folder)
    ratios = [100 * (after / before - 1) for before, after in zip(beside, recorded, strict=True)]
    note = (
        f"{interval(ratios)}; {statistics.median(recorded):.2f} s, into cat {statistics.median(beside):.2f} s; the "
        f"whole of gitexp, from start to seal, took {statistics.median(whole):.2f} CPU s more than cat, medians"
    )
    return Figure(value=statistics.median(ratios), note=note)


def compare(bench: Bench, form: str) -> dict[str, dict[str, float]]:
    """The best of each figure, for the three ways in turn, so that what else the machine does meets all alike."""
    folder = bench.repository()
    (folder / "prints.py").write_text(PRINTS)
    result = bench.folder() / "result.json"
    words: list[str | Path] = ["prints.py", FORMS[form], str(LINES), result]
    ways: dict[str, list[str | Path]] = {
        BARE: ["sh", "-c", '"$0" "$@" | cat', bench.python, *words],
        WITHOUT: [bench.gitexp, "run", "--no-output-metrics", *words],
        WITH: [bench.gitexp, "run", *words],
    }
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for _ in range(bench.times):
        for name, command in ways.items():
            cost = bench.run("sh", "-c", 'exec "$@" > /dev/null', "sh", *command, cwd=folder)
            ended = time.time()
            told = json.loads(result.read_text())
            measured[name].append({**told, "cpu_s": cost.cpu_s, "tail_s": ended - told["ended"]})
    bench.gone(folder)
    return {
        name: {figure: min(float(one[figure]) for one in results) for figure in results[0]}
        for name, results in measured.items()
    }


ROWS = (
    [
        Row(
            key=f"print-{form}-own",
            work=f"1,000,000 lines of {form} printed: the command's own CPU time, above that into `cat`",
            unit="%",
            bar=3.0,
            measure=partial(own_time, form=form),
        )
        for form in FORMS
    ]
    + [
        Row(
            key=f"print-{form}",
            work=f"1,000,000 lines of {form} printed: last write returns later than with `--no-output-metrics`",
            unit="%",
            bar=3.0,
            measure=partial(slowdown, form=form),
        )
        for form in FORMS
    ]
    + [
        Row(
            key=f"print-{form}-rest",
            work=f"1,000,000 lines of {form} printed: above `--no-output-metrics`, read and sealed",
            unit="CPU s",
            bar=bar,
            measure=partial(rest, form=form),
        )
        for form, bar in (("text", 2.0), ("metrics", 10.0))
    ]
)
