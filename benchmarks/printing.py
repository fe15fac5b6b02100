"""What reading metrics from its output costs a command that prints a million lines as fast as it can."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Bench, Figure
from benchmarks.table import Row

LINES = 1_000_000

PRINTS = """
import json, sys, time
form, lines, result = sys.argv[1], int(sys.argv[2]), sys.argv[3]
began = time.perf_counter()
for step in range(lines):
    print(form % {"step": step, "loss": 1 / (step + 1)})
sys.stdout.flush()
ended = time.perf_counter()
with open(result, "w") as file:
    json.dump({"wall_s": ended - began, "ended": time.time()}, file)
"""

FORMS = {
    "text": "%(step)d: the quick brown fox jumps over the lazy dog, and over the fence behind it",
    "metrics": "step %(step)d loss: %(loss).6f",
}

BARE, WITHOUT, WITH = "beside cat", "without", "with"


def slowdown(bench: Bench, form: str) -> Figure:
    """By how many percent the command's last write returns later than with `--no-output-metrics`."""
    measured = compare(bench, form)
    best = {name: min(it["wall_s"] for it in results) for name, results in measured.items()}
    return Figure(
        value=max(0.0, 100 * (best[WITH] / best[WITHOUT] - 1)),
        wall_s=best[WITH],
        note=f"the best of {bench.times}: without {best[WITHOUT]:.2f} s, into cat {best[BARE]:.2f} s",
    )


def rest(bench: Bench, form: str) -> Figure:
    """CPU seconds of the whole launch above those with `--no-output-metrics`, sealing included."""
    measured = compare(bench, form)
    cpu_s = {name: min(it["cpu_s"] for it in results) for name, results in measured.items()}
    tail_s = {name: min(it["tail_s"] for it in results) for name, results in measured.items()}
    return Figure(
        value=max(0.0, cpu_s[WITH] - cpu_s[WITHOUT]),
        wall_s=tail_s[WITH],
        note=f"the best of {bench.times}; wall is from the last line to gitexp's end, without {tail_s[WITHOUT]:.2f} s",
    )


def compare(bench: Bench, form: str) -> dict[str, list[dict[str, Any]]]:
    """The three ways in turn, so that what else the machine does meets all alike."""
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
    return measured


ROWS = [
    Row(
        key=f"print-{form}",
        work=f"1,000,000 lines of {form} printed: later than with `--no-output-metrics`",
        unit="%",
        bar=3.0,
        measure=partial(slowdown, form=form),
    )
    for form in FORMS
] + [
    Row(
        key=f"print-{form}-rest",
        work=f"1,000,000 lines of {form} printed: read and recorded",
        unit="CPU s",
        bar=bar,
        measure=partial(rest, form=form),
    )
    for form, bar in (("text", 2.0), ("metrics", 10.0))
]
