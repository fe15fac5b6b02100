"""Whose projects were allowed to run on this machine: the addresses, in the user's configuration folder.

As with the hosts that ssh knows, an address is asked about once: later commits of it run without a question.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitexp.domain.masking import mask_url
from gitexp.projects.address import ProjectAddress
from gitexp.store.git import durable


class KnownProjects:
    """The file `gitexp/known_projects`, one address a line."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = environ.get("HOME") or os.path.expanduser("~")
        folder = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        self.path = os.path.join(folder, "gitexp", "known_projects")

    def knows(self, address: ProjectAddress) -> bool:
        """Whether any version and folder of the repository was allowed before."""
        return _name(address) in self._lines()

    def add(self, address: ProjectAddress) -> None:
        """Remember an address. Raises StorageFailed."""
        lines = self._lines()
        if _name(address) not in lines:
            durable.make_folder(os.path.dirname(self.path))
            text = "".join(f"{line}\n" for line in [*lines, _name(address)])
            durable.replace(self.path, text.encode("utf-8", "surrogateescape"))

    def _lines(self) -> list[str]:
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read().splitlines()
        except OSError:
            return []


def _name(address: ProjectAddress) -> str:
    repository = address.repository
    if address.is_path:
        repository = os.path.realpath(os.path.expanduser(repository))
    return mask_url(repository).rstrip("/").removesuffix(".git").replace("\n", " ")
