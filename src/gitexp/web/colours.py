"""One colour for each run, everywhere: drawn from its id, so that every page, clone and report shows the same."""

from __future__ import annotations

import zlib

HUES = 10
DASHES = 3


def colour_of(run_id: str) -> int:
    """Which of the palette's colours, `--run-0` to `--run-9` in the style sheet."""
    return zlib.crc32(run_id.encode()) % HUES


def dash_of(run_id: str) -> int:
    """Which of the patterns of a line: whole, dashed, dotted. Tells runs of one colour apart."""
    return zlib.crc32(run_id.encode()) // HUES % DASHES
