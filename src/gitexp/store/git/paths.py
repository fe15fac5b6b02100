"""Paths inside a work tree, as bytes: folders end in `/`, and the root is empty."""

from __future__ import annotations

from collections.abc import Iterator


def folders_down_to(folder: bytes) -> Iterator[bytes]:
    """The root, `a/`, `a/b/` and so on, down to `folder`."""
    yield b""
    at = 0
    while at := folder.find(b"/", at) + 1:
        yield folder[:at]


def folder_of(path: bytes) -> bytes:
    """The folder that a file or a folder is in."""
    return path[: path.rfind(b"/", 0, -1) + 1]
