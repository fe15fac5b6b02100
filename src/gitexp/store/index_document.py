"""A run as the index keeps it: one JSON document that is read only when somebody looks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from gitexp.domain.run import CodeState, Input, RunRecord, SkippedFile, Status
from gitexp.domain.summary import RunSummary
from gitexp.errors import CorruptData

RECORD_FIELDS = tuple(RunRecord.__dataclass_fields__)

_read_record = attrgetter(*RECORD_FIELDS)
_read_code = attrgetter("commit", "branch", "dirty", "skipped")
_STATUSES = {status.value: status for status in Status}


def encode_document(summary: RunSummary) -> str:
    """The document of a run, in ASCII.

    Raises:
        ValueError, RecursionError: an integer or a nesting too large for JSON.
    """
    return _encode(
        (summary.ref, summary.commit, _read_record(summary.record), summary.params, summary.tags, summary.metrics)
    )


class StoredSummary(RunSummary):
    """A run summary that reads its document when a field is first asked for."""

    __slots__ = ("_document",)

    _document: str

    def __init__(self, document: str) -> None:
        object.__setattr__(self, "_document", document)

    def __getattr__(self, name: str) -> Any:
        """Called for a slot that is still empty: fills all of them."""
        if name not in RunSummary.__dataclass_fields__:
            raise AttributeError(name)
        try:
            ref, commit, record, params, tags, metrics = json.loads(self._document)
            fill = object.__setattr__
            fill(self, "record", _decode_record(record))
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptData(
                f"The index of runs is damaged: {error}.", hint="Delete .git/gitexp/index.sqlite; it is only a cache."
            ) from error
        fill(self, "ref", ref)
        fill(self, "commit", commit)
        fill(self, "params", params)
        fill(self, "tags", tags)
        fill(self, "metrics", metrics)
        return getattr(self, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredSummary, (self._document,)


def _plain(value: object) -> object:
    if isinstance(value, CodeState):
        return _read_code(value)
    if isinstance(value, SkippedFile):
        return (value.path, value.size_bytes, value.reason)
    if isinstance(value, Input):
        return (value.kind, value.name, value.digest, value.run)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot keep {type(value).__name__}")


_encode = json.JSONEncoder(check_circular=False, separators=(",", ":"), default=_plain).encode


def _decode_record(values: list[Any]) -> RunRecord:
    fields = dict(zip(RECORD_FIELDS, values, strict=True))
    fields["status"] = _STATUSES[fields["status"]]
    fields["command"] = tuple(fields["command"])
    fields["warnings"] = tuple(fields["warnings"])
    if fields["inputs"]:
        fields["inputs"] = tuple(
            Input(kind=kind, name=name, digest=digest, run=run) for kind, name, digest, run in fields["inputs"]
        )
    else:
        fields["inputs"] = ()
    if fields["code"]:
        commit, branch, dirty, skipped = fields["code"]
        files = tuple(SkippedFile(path=path, size_bytes=size, reason=reason) for path, size, reason in skipped)
        fields["code"] = CodeState(commit=commit, branch=branch, dirty=dirty, skipped=files)
    return RunRecord(**fields)
