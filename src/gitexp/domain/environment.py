"""What a run ran on: interpreter, machine and packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitexp.domain.requirements import parse_requirement
from gitexp.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The text behind `environment/`.

    Attributes:
        python: the mapping of `environment/python.yaml`: `implementation`, `version`, `executable`, `platform`,
            `machine`, `cpu` (`model`, `count`, `usable` where the process was held to fewer), `memory_bytes`, `gpus`
            (names), `driver`, `variables`, `seeds` (by generator, as the script set them), `determinism` (by setting);
            each absent where unknown.
        requirements: the lines of `environment/requirements.txt`, sorted by name: `name==version`, `name @ url` for
            direct installs, `-e ./path  # name` for what is installed from the run's own repository.
        conda: the lines of `environment/conda.txt`, an explicit list of conda's; empty without conda.
    """

    python: Mapping[str, Any] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()

    def packages(self) -> dict[str, str]:
        """Each package's version (or URL), by its normalised name; what conda has besides, with version and build."""
        found = {}
        for line in self.requirements:
            name, mark, version = line.partition("==")
            if mark and " " not in line and "[" not in name:
                found[name] = version
                continue
            try:
                requirement = parse_requirement(line)
            except UsageError:
                continue
            if requirement is not None and requirement.name:
                found[requirement.name] = requirement.origin
        for line in self.conda:
            parts = line.partition("#")[0].rpartition("/")[2].rsplit("-", 2)
            if len(parts) == 3:
                build = parts[2].removesuffix(".conda").removesuffix(".tar.bz2")
                found.setdefault(parts[0], f"{parts[1]} {build}")
        return found
