"""Two versions of an artifact, looked into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitexp.errors import GitexpError
from gitexp.media.arrays import suffix_of
from gitexp.reading import Artifact

LARGEST = 64 << 20
"""Bytes up to which an artifact is looked into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentChange:
    """How the content differs.

    Attributes:
        kind: "image", "table", "text", "json", "audio" or "array".
        summary: for people, on one line.
        facts: the same as numbers and names, for programs.
    """

    kind: str
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def compare_contents(before: Artifact, after: Artifact) -> ContentChange | None:
    """How two artifacts of one path differ; None where they cannot be looked into: not here, too large, unknown."""
    compare = _comparer(suffix_of(after.path))
    is_small = max(before.size_bytes, after.size_bytes) <= LARGEST
    if compare is None or not is_small or not (before.is_here and after.is_here):
        return None
    try:
        return compare(before.read(), after.read())
    except (GitexpError, OSError, ValueError, KeyError, TypeError, IndexError, EOFError, SyntaxError):
        return None  # not what its name says


def _comparer(suffix: str) -> Callable[[bytes, bytes], ContentChange | None] | None:
    """Modules are imported when an artifact asks for them."""
    if suffix in (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"):
        from gitexp.contents.images import compare_images

        return compare_images
    if suffix in (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson"):
        from gitexp.contents.tables import compare_tables

        return lambda one, other: compare_tables(one, other, suffix)
    if suffix == ".json":
        from gitexp.contents.texts import compare_json

        return compare_json
    if suffix == ".wav":
        from gitexp.contents.sounds import compare_sounds

        return compare_sounds
    if suffix == ".npy":
        from gitexp.contents.arrays import compare_arrays

        return compare_arrays
    if suffix in (
        ".txt",
        ".log",
        ".md",
        ".html",
        ".htm",
        ".yaml",
        ".yml",
        ".toml",
        ".py",
        ".tex",
        ".svg",
        ".xml",
        ".ini",
    ):
        from gitexp.contents.texts import compare_texts

        return compare_texts
    return None
