"""What a run ran on: interpreter, machine and packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The text behind `environment/`.

    Attributes:
        python: the mapping of `environment/python.yaml`: `implementation`, `version`, `executable`, `platform`,
            `machine`, `cpu` (`model`, `count`), `memory_bytes`, `gpus` (names), `driver`, `variables`; each absent
            where unknown.
        requirements: the lines of `environment/requirements.txt`, sorted: `name==version`, or `name @ url` for
            direct installs.
    """

    python: Mapping[str, Any] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()

    def packages(self) -> dict[str, str]:
        """Each package's version (or URL), by its normalised name."""
        found = {}
        for line in self.requirements:
            name, mark, version = line.partition("==") if "==" in line else line.partition(" @ ")
            if mark:
                found[name.strip()] = version.strip()
        return found
