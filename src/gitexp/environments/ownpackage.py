"""gitexp itself in an environment: the one that runs, by a link, never another one from an index."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Collection
from contextlib import suppress

from gitexp.domain.requirements import normal
from gitexp.store.git import durable

NAME = "gitexp"
OLDEST_PYTHON = (3, 11)

_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def needs_besides(there: Collection[str]) -> list[str]:
    """What this gitexp imports besides these packages: a recorded one may have needed less."""
    from importlib.metadata import PackageNotFoundError, requires  # only where an environment is built

    try:
        lines = requires(NAME) or []
    except PackageNotFoundError:  # started from its source
        return []
    needed = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if "extra" not in marker and name and normal(name[0]) not in there:
            needed.append(line)
    return needed


def link(site: str) -> None:
    """Make `import gitexp` in an environment give the gitexp that runs.

    Args:
        site: the environment's `site-packages`.
    """
    version: str = sys.modules[NAME].__version__
    place = os.path.join(site, NAME)
    info = os.path.join(site, f"{NAME}-{version}.dist-info")
    with suppress(OSError):
        if os.readlink(place) == _FOLDER and os.path.isdir(info):
            return
    with durable.storing(place):
        for entry in os.listdir(site):
            if re.fullmatch(rf"{NAME}-.*\.dist-info", entry):
                shutil.rmtree(os.path.join(site, entry), ignore_errors=True)
        os.makedirs(info, exist_ok=True)
        metadata = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n"
        durable.replace(os.path.join(info, "METADATA"), metadata.encode(), durable=False)
        durable.replace(os.path.join(info, "INSTALLER"), b"gitexp\n", durable=False)
        temporary = os.path.join(site, f"{durable.TEMPORARY}{os.getpid()}")
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        os.symlink(_FOLDER, temporary)
        os.replace(temporary, place)
