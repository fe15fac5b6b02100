"""The digest of a folder: of what is in it, whatever the folder is called and wherever it lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable


def manifest_digest(files: Iterable[tuple[str, str]]) -> str:
    """The SHA-256, in hex, of the lines `<SHA-256>  <path in the folder>` sorted by the bytes of the path.

    It is what `sha256sum` prints for them.

    Args:
        files: each one's path in the folder, and its SHA-256 in hex.
    """
    manifest = hashlib.sha256()
    for path, sha256 in sorted((os.fsencode(path), sha256) for path, sha256 in files):
        manifest.update(b"%s  %s\n" % (sha256.encode(), path))
    return manifest.hexdigest()
