"""What an artifact looks like: enough of it for a page, whatever its size."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from gitexp.errors import GitexpError
from gitexp.reading import Artifact

MOST_TEXT = 400_000
MOST_ROWS, MOST_COLUMNS = 200, 60
MOST_CELL = 400
LARGEST_READ = 64_000_000
"""Bytes of a file that has to be read whole to be shown."""

IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
    ".svg": "image/svg+xml",
}
SOUNDS = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".flac": "audio/flac", ".m4a": "audio/mp4"}
FILMS = {".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime"}
_PAGES = {".html": "text/html", ".htm": "text/html"}
TYPES = {**IMAGES, **SOUNDS, **FILMS, **_PAGES, ".pdf": "application/pdf"}
"""The media types that a browser is told, by the end of a path; everything else is text or bytes."""

_TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePart:
    """The first rows of a table as text; `rows_in_all` is None where they were not counted."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rows_in_all: int | None
    columns_in_all: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a notebook: "markdown" or "code", its text, and of code what it put out.

    Each output is "text", "error", "html" or "image/png" (base64), and its content.
    """

    kind: str
    text: str
    outputs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """An artifact as it can be shown.

    Attributes:
        kind: "image", "audio", "video", "pdf", "html", "table", "notebook", "markdown", "text"; "bytes" for what cannot
            be shown, "away" for what is not on this machine.
        text: of the kinds that have any; `is_cut` where it goes on.
        language: the end of the path without its dot, for syntax colours.
    """

    kind: str
    text: str = ""
    is_cut: bool = False
    language: str = ""
    table: TablePart | None = None
    cells: tuple[Cell, ...] = field(default=())
    trouble: str = ""


def preview(artifact: Artifact) -> Preview:
    """What can be shown of an artifact. What cannot be read as what its name says is shown as text or bytes."""
    if not artifact.is_here:
        return Preview(kind="away")
    suffix = PurePosixPath(artifact.path).suffix.lower()
    for kind, known in (("image", IMAGES), ("audio", SOUNDS), ("video", FILMS), ("html", _PAGES), ("pdf", (".pdf",))):
        if suffix in known:
            return Preview(kind=kind)
    trouble = ""
    if suffix in _TABLES or suffix == ".ipynb":
        try:
            return Preview(kind="table", table=_table(artifact, suffix)) if suffix in _TABLES else _notebook(artifact)
        except GitexpError:
            raise
        except Exception as error:  # whatever a file of that name may hold
            trouble = f"It cannot be read as {suffix[1:]}: {error}"
    return _text(artifact, suffix, trouble)


def _text(artifact: Artifact, suffix: str, trouble: str) -> Preview:
    with artifact.open() as stream:
        data = stream.read(MOST_TEXT + 1)
    if b"\0" in data[:8000]:
        return Preview(kind="bytes", trouble=trouble)
    is_cut = len(data) > MOST_TEXT
    text = data[:MOST_TEXT].decode("utf-8", "replace")
    if suffix == ".json" and not is_cut:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
    kind = "markdown" if suffix in (".md", ".markdown") else "text"
    return Preview(kind=kind, text=text, is_cut=is_cut, language=suffix[1:], trouble=trouble)


def _table(artifact: Artifact, suffix: str) -> TablePart:
    if suffix == ".parquet":
        return _parquet(artifact)
    with artifact.open() as raw:
        lines = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        if suffix in (".jsonl", ".ndjson"):
            found = [json.loads(line) for line in islice(lines, MOST_ROWS + 1) if line.strip()]
            names = list(dict.fromkeys(key for row in found for key in row))
            rows = [[row.get(name, "") for name in names] for row in found]
        else:
            delimiter = "\t" if suffix == ".tsv" else ","
            names, *rows = list(islice(csv.reader(lines, delimiter=delimiter), MOST_ROWS + 2)) or [[]]
    in_all = None if len(rows) > MOST_ROWS else len(rows)
    return _part(names, rows[:MOST_ROWS], in_all)


def _parquet(artifact: Artifact) -> TablePart:
    from pyarrow import parquet  # an extra

    with artifact.open() as stream:
        file = parquet.ParquetFile(stream)
        batch = next(file.iter_batches(batch_size=MOST_ROWS, columns=file.schema_arrow.names[:MOST_COLUMNS]), None)
        rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True)) if batch is not None else []
        return _part(file.schema_arrow.names, rows, file.metadata.num_rows)


def _part(names: list[str], rows: list[Any], in_all: int | None) -> TablePart:
    width = min(len(names), MOST_COLUMNS)
    return TablePart(
        names=tuple(map(str, names[:width])),
        rows=tuple(tuple(_short(value) for value in [*row, *[""] * width][:width]) for row in rows),
        rows_in_all=in_all,
        columns_in_all=len(names),
    )


def _short(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else str(value)
    return text if len(text) <= MOST_CELL else text[: MOST_CELL - 1] + "…"


def _notebook(artifact: Artifact) -> Preview:
    if artifact.size_bytes > LARGEST_READ:
        return Preview(kind="bytes")
    found = json.loads(artifact.read())
    cells = []
    for cell in found["cells"]:
        outputs = [made for output in cell.get("outputs", ()) if (made := _output(output))]
        kind = "code" if cell.get("cell_type") == "code" else "markdown"
        cells.append(Cell(kind=kind, text=_joined(cell.get("source", "")), outputs=tuple(outputs)))
    return Preview(kind="notebook", cells=tuple(cells), language="py")


def _output(output: Any) -> tuple[str, str] | None:
    if output.get("output_type") == "stream":
        return "text", _joined(output.get("text", ""))[:MOST_TEXT]
    if output.get("output_type") == "error":
        return "error", _joined("\n".join(output.get("traceback", ())))[:MOST_TEXT]
    data = output.get("data", {})
    if "image/png" in data:
        return "image/png", _joined(data["image/png"]).replace("\n", "")
    if "text/html" in data:
        return "html", _joined(data["text/html"])[:MOST_TEXT]
    return ("text", _joined(data["text/plain"])[:MOST_TEXT]) if "text/plain" in data else None


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)
