"""Git LFS pointers, version 1: small texts that stand for large files.

Format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SMALL = 64 * 1024
"""Bytes up to which a file travels inside the commit itself."""

LONGEST_POINTER = 1024

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"(?:ext-[0-9]-[a-z0-9.-]+ sha256:[0-9a-f]{64}\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize (0|[1-9][0-9]{0,18})\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Content by its SHA-256 (64 hex digits) and its size in bytes."""

    sha256: str
    size_bytes: int

    def to_bytes(self) -> bytes:
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size_bytes}\n".encode()
        )


def parse_pointer(data: bytes) -> Pointer | None:
    """The pointer that `data` is, or None where it is something else."""
    if len(data) >= LONGEST_POINTER:
        return None
    match = _POINTER.fullmatch(data)
    return Pointer(sha256=match[1].decode(), size_bytes=int(match[2])) if match else None
