"""A run as the index keeps it: one document that is read only when somebody looks.

The document is `marshal` behind a CRC-32, several times quicker than JSON. Marshal evaluates nothing but guards against
no damage: the CRC does that, and whoever can forge the file can as well edit git's hooks beside it.
"""

from __future__ import annotations

import marshal
import zlib
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from gitexp.domain.run import CodeState, Input, ProjectSource, RunRecord, SkippedFile, Status
from gitexp.domain.summary import RunSummary

RECORD_FIELDS = tuple(RunRecord.__dataclass_fields__)
INPUT_FIELDS = tuple(Input.__dataclass_fields__)
PROJECT_FIELDS = tuple(ProjectSource.__dataclass_fields__)

_FORMAT = 4
"""Of marshal: the same in every Python since 3.4."""

_SUMMARY_FIELDS = tuple(RunSummary.__dataclass_fields__)
_STATUSES = {status.value: status for status in Status}
_read_record = attrgetter(*RECORD_FIELDS)
_read_input = attrgetter(*INPUT_FIELDS)
_read_project = attrgetter(*PROJECT_FIELDS)
_STATUS, _CODE, _INPUTS, _PROJECT, _UNKNOWN = map(
    RECORD_FIELDS.index, ("status", "code", "inputs", "project", "unknown")
)


def encode_document(summary: RunSummary) -> bytes:
    """The document of a run.

    Raises:
        ValueError: it holds something that is no plain value, or is nested too deeply.
    """
    record = list(_read_record(summary.record))
    record[_STATUS] = summary.record.status.value
    if record[_CODE] is not None:
        record[_CODE] = _plain_code(record[_CODE])
    if record[_INPUTS]:
        record[_INPUTS] = [_read_input(item) for item in summary.record.inputs]
    if record[_PROJECT] is not None:
        record[_PROJECT] = _read_project(record[_PROJECT])
    record[_UNKNOWN] = dict(summary.record.unknown)
    values = (summary.params, summary.tags, summary.metrics)
    body = marshal.dumps((summary.ref, summary.commit, record, *map(_plain_mapping, values)), _FORMAT)
    return zlib.crc32(body).to_bytes(4, "little") + body


def is_whole(document: bytes) -> bool:
    return zlib.crc32(document[4:]) == int.from_bytes(document[:4], "little")


class StoredSummary(RunSummary):
    """A run summary that reads its document, which must be whole, when a field is first asked for."""

    __slots__ = ("_document",)

    _document: bytes

    @classmethod
    def of(cls, document: bytes) -> StoredSummary:
        summary = cls.__new__(cls)
        object.__setattr__(summary, "_document", document)
        return summary

    def __getattr__(self, name: str) -> Any:
        """Called for a slot that is still empty: fills all of them."""
        if name not in _SUMMARY_FIELDS:
            raise AttributeError(name)
        ref, commit, record, params, tags, metrics = marshal.loads(self._document[4:])
        fill = object.__setattr__
        fill(self, "ref", ref)
        fill(self, "commit", commit)
        fill(self, "record", _decode_record(record))
        fill(self, "params", params)
        fill(self, "tags", tags)
        fill(self, "metrics", metrics)
        return getattr(self, name)


def _plain_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    return values if type(values) is dict else dict(values)


def _plain_code(code: CodeState) -> tuple[Any, ...]:
    skipped = tuple((file.path, file.size_bytes, file.reason) for file in code.skipped)
    return (code.commit, code.branch, code.dirty, skipped)


def _decode_record(values: list[Any]) -> RunRecord:
    values[_STATUS] = _STATUSES[values[_STATUS]]
    if values[_CODE] is not None:
        commit, branch, dirty, skipped = values[_CODE]
        files = tuple([SkippedFile(path=path, size_bytes=size, reason=reason) for path, size, reason in skipped])
        values[_CODE] = CodeState(commit=commit, branch=branch, dirty=dirty, skipped=files)
    if values[_INPUTS]:
        values[_INPUTS] = tuple(Input(**dict(zip(INPUT_FIELDS, item, strict=True))) for item in values[_INPUTS])
    if values[_PROJECT] is not None:
        values[_PROJECT] = ProjectSource(**dict(zip(PROJECT_FIELDS, values[_PROJECT], strict=True)))
    return RunRecord(**dict(zip(RECORD_FIELDS, values, strict=True)))
