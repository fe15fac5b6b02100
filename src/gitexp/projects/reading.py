"""Which project a folder holds."""

from __future__ import annotations

import os

from gitexp.errors import NotFound
from gitexp.projects.mlproject import default_environment, read_mlproject
from gitexp.projects.projectfile import PROJECT_FILE, read_project_file
from gitexp.projects.specification import Project


def is_project(folder: str) -> bool:
    """Whether a folder has a file that makes it a project."""
    if os.path.isfile(os.path.join(folder, PROJECT_FILE)):
        return True
    try:
        return any(name.lower() == "mlproject" for name in os.listdir(folder))
    except OSError:
        return False


def read_project(folder: str) -> Project:
    """The project in a folder: by `.gitexp/project.yaml`, else by `MLproject`, else one whose scripts can be run.

    Raises:
        NotFound: there is no such folder.
        UsageError, CorruptData: its file cannot be used.
    """
    if not os.path.isdir(folder):
        raise NotFound(f"There is no folder '{folder}'.")
    found = read_project_file(folder) or read_mlproject(folder)
    return Project(environment=default_environment(folder)) if found is None else found
