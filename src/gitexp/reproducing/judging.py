"""Two recorded runs read and judged: metrics, artifacts and output."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from gitexp.contents.change import LARGEST, ContentChange, compare_contents
from gitexp.domain.metrics import History
from gitexp.domain.verdict import (
    ArtifactVerdict,
    Judgement,
    MetricVerdict,
    OutputVerdict,
    Verdict,
    is_judged,
    judge,
    judge_metric,
)
from gitexp.domain.verdict_causes import Circumstances
from gitexp.domain.verdict_output import PATHS, judge_output
from gitexp.media.arrays import suffix_of
from gitexp.reading import Artifact, RunView

SHORTEST_NAME = 4
"""Names shorter than this are no sign that a text is about a run."""

_TEXTS = frozenset(
    {".txt", ".log", ".json", ".jsonl", ".md", ".html", ".htm", ".yaml", ".yml", ".toml", ".xml", ".svg", ".ini"}
)
_NO_POINTS = History.of(())


def judge_runs(before: RunView, after: RunView, *, tolerance: float = 0.0, folder: str = "") -> Verdict:
    """The verdict over two runs, without causes.

    Args:
        tolerance: how far numbers may be apart, relative to the larger; for small ones absolutely.
        folder: where the second ran.
    """
    names = _names(before, after, folder)
    keys = sorted(before.metrics.keys() | after.metrics.keys())
    judged = [key for key in keys if is_judged(key)]
    return judge(
        list(_metrics(before, after, judged, tolerance)),
        [_artifact(path, before, after, names, tolerance) for path in _paths(before, after)],
        _output(before, after, names, tolerance),
        tolerance=tolerance,
        not_judged=[key for key in keys if not is_judged(key)],
    )


def circumstances(view: RunView, *, missing: Mapping[str, str] | None = None) -> Circumstances:
    """What a run ran with. `missing`: the inputs that could not be had for it, and why."""
    code = view.record.code
    return Circumstances(
        environment=view.environment,
        params=view.params,
        inputs={item.name: item.digest for item in view.record.inputs if item.kind in ("file", "folder", "dataset")},
        missing=missing or {},
        not_captured=[file.path for file in code.skipped] if code else [],
        code=view.code.tree,
    )


def _names(before: RunView, after: RunView, folder: str) -> dict[str, str]:
    said = [
        *((text, what) for view in (before, after) for text, what in _said(view) if len(text) >= SHORTEST_NAME),
        *([(os.path.dirname(folder), PATHS)] if folder else []),
    ]
    return dict(said)


def _said(view: RunView) -> list[tuple[str, str]]:
    return [(str(view.id), "run ids"), (view.name, "run names"), (view.record.host or "", "host names")]


def _metrics(before: RunView, after: RunView, keys: Sequence[str], tolerance: float) -> Iterator[MetricVerdict]:
    new = dict(after.each_history(key for key in keys if key in after.metrics))
    old = dict(before.each_history(key for key in keys if key in before.metrics))
    for key in keys:
        yield judge_metric(key, old.get(key, _NO_POINTS), new.get(key, _NO_POINTS), tolerance=tolerance)


def _paths(before: RunView, after: RunView) -> list[str]:
    return sorted(before.artifacts.keys() | after.artifacts.keys())


def _artifact(
    path: str, before: RunView, after: RunView, names: Mapping[str, str], tolerance: float
) -> ArtifactVerdict:
    one, other = before.artifacts.get(path), after.artifacts.get(path)
    made = ArtifactVerdict(
        path=path,
        judgement=Judgement.IDENTICAL,
        before=one.sha256 if one else None,
        after=other.sha256 if other else None,
    )
    if one is None or other is None:
        detail = "it was not made again" if other is None else "the run had none of that name"
        return replace(made, judgement=Judgement.DIFFERENT, detail=detail)
    if made.before == made.after:
        return made
    judgement, detail = _look_inside(one, other, names, tolerance)
    return replace(made, judgement=judgement, detail=detail)


def _look_inside(one: Artifact, other: Artifact, names: Mapping[str, str], tolerance: float) -> tuple[Judgement, str]:
    """Whether other bytes mean the same all the same, and how they differ."""
    if not (one.is_here and other.is_here):
        return Judgement.DIFFERENT, "other bytes; the content is not on this machine ('gitexp get' fetches it)"
    if max(one.size_bytes, other.size_bytes) > LARGEST:
        return Judgement.DIFFERENT, "other bytes; it is too large to look into"
    before, after = one.read(), other.read()
    suffix = suffix_of(other.path)
    if suffix == ".ipynb":
        return _notebooks(before, after, names, tolerance)
    if suffix in _TEXTS:
        judged = judge_output(_text(before), _text(after), names=names, tolerance=tolerance)
        if judged.judgement is not Judgement.DIFFERENT:
            return Judgement.SAME, f"the same but for {', '.join(judged.ignored) or 'numbers within the tolerance'}"
    packed = _packed(before, after)
    if packed:
        return Judgement.SAME, packed
    change = compare_contents(one, other)
    if change is None:
        return Judgement.DIFFERENT, "other bytes"
    return (Judgement.SAME if _is_same(change, tolerance) else Judgement.DIFFERENT), change.summary


def _is_same(change: ContentChange, tolerance: float) -> bool:
    """Whether what was found in the content is no difference of values."""
    largest = change.facts.get("largest_difference")
    if change.kind == "image":
        return largest == 0
    return change.kind == "array" and isinstance(largest, int | float) and 0 <= largest <= tolerance


def _packed(before: bytes, after: bytes) -> str:
    """What two archives with the same content differ in; nothing where they are none, or the content differs."""
    with suppress(OSError, EOFError, ValueError, zipfile.BadZipFile, NotImplementedError):
        if before[:2] == after[:2] == b"PK":
            listed = [
                [(item.filename, item.CRC, item.file_size) for item in zipfile.ZipFile(io.BytesIO(data)).infolist()]
                for data in (before, after)
            ]
            return "the same files, packed at another time" if listed[0] == listed[1] else ""
        if before[:2] == after[:2] == b"\x1f\x8b" and gzip.decompress(before) == gzip.decompress(after):
            return "the same content, packed at another time"
    return ""


def _notebooks(before: bytes, after: bytes, names: Mapping[str, str], tolerance: float) -> tuple[Judgement, str]:
    """An executed notebook says when each cell began: its cells and what they gave are what counts."""
    try:
        one, other = _cells(before), _cells(after)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Judgement.DIFFERENT, "other bytes"
    judged = judge_output(one, other, names=names, tolerance=tolerance)
    if judged.judgement is Judgement.DIFFERENT:
        return Judgement.DIFFERENT, f"cells or what they gave differ: {judged.before!r}, now {judged.after!r}"
    return Judgement.SAME, "the same cells with the same results"


def _cells(data: bytes) -> str:
    told: list[Any] = []
    for cell in json.loads(data)["cells"]:
        outputs = [
            {key: value for key, value in output.items() if key not in ("metadata", "execution_count")}
            for output in cell.get("outputs", ())
        ]
        told.append({"source": cell["source"], "outputs": outputs})
    return json.dumps(told, indent=1)


def _output(before: RunView, after: RunView, names: Mapping[str, str], tolerance: float) -> OutputVerdict | None:
    one, other = before.output, after.output
    if one is None or other is None:
        return None
    return judge_output(_text(one), _text(other), names=names, tolerance=tolerance)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
