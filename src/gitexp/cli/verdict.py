"""How a verdict over a run and its repetitions looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from gitexp.cli.records import run_to_json
from gitexp.cli.table import Cell, Column, render
from gitexp.cli.terminal import Terminal, printable
from gitexp.cli.values import plural
from gitexp.domain.values import Number
from gitexp.domain.verdict import ArtifactVerdict, Judgement, MetricVerdict, OutputVerdict, Verdict
from gitexp.reproducing.rerunning import Reproduction

MOST = 30
"""Rows of a table that differ."""

_WORD = {
    Judgement.IDENTICAL: "identical",
    Judgement.SAME: "same within tolerance",
    Judgement.NOISE: "within its own noise",
    Judgement.DIFFERENT: "different",
}
_STYLE = {
    Judgement.IDENTICAL: "bold green",
    Judgement.SAME: "bold green",
    Judgement.NOISE: "bold yellow",
    Judgement.DIFFERENT: "bold red",
}
_DIGITS = 3


def as_text(done: Reproduction, terminal: Terminal) -> Iterator[str]:
    """Line by line: what was compared, what differs, why that may be, and the verdict."""
    verdict = done.verdict
    after = ", ".join(f"{printable(run.name)} ({run.id})" for run in done.runs)
    yield f"{printable(done.before.name)} ({done.before.id}) and {after}"
    yield ""
    yield from _metrics(verdict, terminal)
    yield from _artifacts(verdict.artifacts, terminal)
    if verdict.output:
        yield from _output(verdict.output, terminal)
    if verdict.not_judged:
        named = ", ".join(map(printable, verdict.not_judged[:MOST]))
        yield terminal.paint(f"Not judged, as they measure time or the machine: {named}", "dim")
    if verdict.causes:
        yield ""
        yield terminal.paint("Likely causes", "bold")
        for cause in verdict.causes:
            yield f"  {printable(cause.text)}"
    yield ""
    yield f"Verdict: {terminal.paint(_summary(verdict), _STYLE[verdict.judgement])}"


def to_json(done: Reproduction) -> dict[str, Any]:
    """The same for programs."""
    verdict = done.verdict
    return {
        "verdict": verdict.judgement.word,
        "judgement": _WORD[verdict.judgement],
        "tolerance": verdict.tolerance,
        "environment": done.environment,
        "before": run_to_json(done.before.summary),
        "after": [run_to_json(run.summary) for run in done.runs],
        "metrics": [_part(metric) for metric in verdict.metrics],
        "not_judged": list(verdict.not_judged),
        "artifacts": [_part(artifact) for artifact in verdict.artifacts],
        "output": None if verdict.output is None else _part(verdict.output),
        "causes": [asdict(cause) for cause in verdict.causes],
        "inputs": [
            {"name": state.input.name, "place": state.place.value, "detail": state.detail} for state in done.inputs
        ],
        "troubles": list(done.troubles),
    }


def _part(part: MetricVerdict | ArtifactVerdict | OutputVerdict) -> dict[str, Any]:
    return {**asdict(part), "judgement": _WORD[part.judgement]}


def _summary(verdict: Verdict) -> str:
    if verdict.judgement is Judgement.SAME:
        return f"same within tolerance ({verdict.tolerance:g})" if verdict.tolerance else "same"
    return _WORD[verdict.judgement]


def _metrics(verdict: Verdict, terminal: Terminal) -> Iterator[str]:
    if not verdict.metrics:
        yield "Metrics: none"
        return
    apart = [metric for metric in verdict.metrics if metric.judgement is not Judgement.IDENTICAL]
    yield f"Metrics: {_count(verdict.metrics)}"
    if not apart:
        return
    has_noise = any(metric.noise for metric in apart)
    columns = [
        Column(title="", cells=[Cell(f"  {printable(metric.key)}", "bold") for metric in apart[:MOST]]),
        Column(title="was", cells=[Cell(_value(metric.before)) for metric in apart[:MOST]], right=True),
        Column(title="now", cells=[Cell(_value(metric.after)) for metric in apart[:MOST]], right=True),
        Column(title="differs by", cells=[Cell(_by(metric)) for metric in apart[:MOST]], rank=1),
        Column(title="first at", cells=[Cell(_first(metric)) for metric in apart[:MOST]], rank=2),
    ]
    if has_noise:
        columns.append(Column(title="own noise", cells=[Cell(_noise(metric)) for metric in apart[:MOST]], rank=1))
    cells = [Cell(_WORD[metric.judgement], _STYLE[metric.judgement]) for metric in apart[:MOST]]
    columns.append(Column(title="verdict", cells=cells))
    yield from render(columns, terminal)
    if len(apart) > MOST:
        yield f"  and {len(apart) - MOST:,} more"


def _value(value: Number | None) -> str:
    return "-" if value is None else repr(value)


def _by(metric: MetricVerdict) -> str:
    if metric.before is None or metric.after is None:
        return "only in one"
    if not metric.largest_absolute:
        return f"{metric.points_before:,} and {metric.points_after:,} points"
    return f"{metric.largest_absolute:.{_DIGITS}g} ({metric.largest_relative * 100:.{_DIGITS}g} %)"


def _first(metric: MetricVerdict) -> str:
    return "" if metric.first_step is None else f"step {metric.first_step:,}"


def _noise(metric: MetricVerdict) -> str:
    noise = metric.noise
    if noise is None:
        return ""
    return f"{noise.low:.{_DIGITS + 2}g} to {noise.high:.{_DIGITS + 2}g}, sd {noise.deviation:.{_DIGITS}g}"


def _artifacts(artifacts: Sequence[ArtifactVerdict], terminal: Terminal) -> Iterator[str]:
    if not artifacts:
        yield "Artifacts: none"
        return
    yield f"Artifacts: {_count(artifacts)}"
    apart = [artifact for artifact in artifacts if artifact.judgement is not Judgement.IDENTICAL]
    for artifact in apart[:MOST]:
        word = terminal.paint("same" if artifact.judgement is Judgement.SAME else _WORD[artifact.judgement], "bold")
        yield f"  {printable(artifact.path)}: {word}, {printable(artifact.detail)}"
    if len(apart) > MOST:
        yield f"  and {len(apart) - MOST:,} more"


def _output(output: OutputVerdict, terminal: Terminal) -> Iterator[str]:
    ignored = f" (ignored: {', '.join(output.ignored)})" if output.ignored else ""
    word = _WORD[output.judgement]
    if output.line is None:
        yield f"Output: {word}{ignored}"
        return
    yield f"Output: {word} from line {output.line:,}{ignored}"
    for mark, line, style in (("-", output.before, "red"), ("+", output.after, "green")):
        if line is not None:
            yield "  " + terminal.paint(f"{mark} {printable(line)}", style)


def _count(parts: Sequence[MetricVerdict] | Sequence[ArtifactVerdict]) -> str:
    """How many of each judgement, the worst last."""
    words = {Judgement.SAME: "same", Judgement.NOISE: "within noise"}
    counts = {one: sum(part.judgement is one for part in parts) for one in sorted(Judgement, key=lambda one: one.value)}
    total = plural(len(parts), "compared", "compared")
    return f"{total}, " + ", ".join(f"{count:,} {words.get(one, one.word)}" for one, count in counts.items() if count)
