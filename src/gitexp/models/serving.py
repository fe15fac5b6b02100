"""Models that answer: over HTTP, for a file, or in a container; in the environment that they were saved with."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec

from gitexp import __version__
from gitexp.environments.building import build
from gitexp.environments.files import specification_from_files
from gitexp.environments.specification import EnvironmentSpec
from gitexp.errors import UsageError
from gitexp.models.loading import FoundModel, find_model, require_trusted
from gitexp.models.requirements import read_requirements
from gitexp.repo import Repository

FOLDER = "GITEXP_SERVED_MODEL"
SERVER = ("starlette", "uvicorn")
CURRENT, OWN = "current", "own"
PORT = 8080
_BUILDERS = ("pip", "setuptools", "wheel")
"""What an image of Python has by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A command that runs a model's server, and its environment."""

    command: tuple[str, ...]
    environ: Mapping[str, str]


def prepare_service(
    uri: str,
    *,
    host: str,
    port: int,
    workers: int = 1,
    env: str = CURRENT,
    trust: bool = False,
    repository: Repository | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Service:
    """What to execute so that a model answers at `http://host:port/invocations`.

    Args:
        workers: how many processes answer.
        env: "current": the Python that runs gitexp; "own": one with what the model was saved with, built once and kept.
        say: told what takes long.

    Raises:
        NotFound, CorruptData: there is no such model, or its files are not what was recorded.
        UsageError: it would run code of somebody who is not trusted, or the server is not installed.
        EnvironmentFailed: the environment cannot be built.
    """
    found = find_model(uri, repository)
    if not trust:
        require_trusted(found, uri)
    environ = dict(os.environ)
    if env == OWN:
        built = build(own_environment(found), say=say)
        environ |= {name: value for name, value in built.environ.items() if value is not None}
        for name in (name for name, value in built.environ.items() if value is None):
            environ.pop(name, None)
        python = built.python
    else:
        python = sys.executable
        for package in SERVER:
            if find_spec(package) is None:
                raise UsageError(f"The package '{package}' is not installed.", hint="pip install 'gitexp[serve]'")
    environ[FOLDER] = os.path.abspath(found.folder)
    options = ["--factory", "--host", host, "--port", str(port), "--workers", str(workers), "--log-level", "warning"]
    return Service(command=(python, "-m", "uvicorn", "gitexp.models.server:served", *options), environ=environ)


def own_environment(found: FoundModel) -> EnvironmentSpec:
    """What the model was saved with, and what its server needs."""
    said = specification_from_files(found.folder) or EnvironmentSpec(requirements=read_requirements(found.folder))
    has = {line.partition("==")[0].strip().lower() for line in said.requirements}
    server = [f"{name}=={metadata.version(name)}" for name in SERVER if name not in has and find_spec(name)]
    return replace(
        said,
        conda=None,
        requirements=(*said.requirements, *(server or SERVER)),
        gitexp=__version__,
        is_complete=False,
    )


def write_image(uri: str, folder: str, *, repository: Repository | None = None) -> None:
    """Write a Dockerfile and all that it copies: the model, and the gitexp that serves it.

    Raises:
        UsageError: the folder is there and not empty.
        NotFound, CorruptData
    """
    if os.path.isdir(folder) and os.listdir(folder):
        raise UsageError(f"The folder '{folder}' is not empty.", hint="Name a new one.")
    found = find_model(uri, repository)
    os.makedirs(folder, exist_ok=True)
    shutil.copytree(found.folder, os.path.join(folder, "model"))
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    shutil.copytree(ours, os.path.join(folder, "gitexp"), ignore=shutil.ignore_patterns("__pycache__"))
    spec = own_environment(found)
    needed = [line for line in metadata.requires("gitexp") or () if "extra ==" not in line]
    own = [line for line in spec.requirements if line.partition("==")[0] not in _BUILDERS]
    with open(os.path.join(folder, "requirements.txt"), "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in (*own, *needed))
    python = spec.python or ".".join(map(str, sys.version_info[:2]))
    command = ["python", "-m", "uvicorn", "gitexp.models.server:served", "--factory", "--host", "0.0.0.0"]
    lines = [
        f"# Serves {found.file.artifact_path or 'a model'} at port {PORT}: POST /invocations, GET /ping.",
        f"#   docker build -t model . && docker run -p {PORT}:{PORT} model",
        f"FROM python:{python}-slim",
        "WORKDIR /opt/ml",
        "COPY requirements.txt .",
        "RUN pip install --no-cache-dir -r requirements.txt",
        "COPY gitexp /opt/ml/gitexp",
        "COPY model /opt/ml/model",
        f"ENV PYTHONPATH=/opt/ml {FOLDER}=/opt/ml/model",
        "RUN useradd --create-home served",
        "USER served",
        f"EXPOSE {PORT}",
        f"HEALTHCHECK CMD python -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/ping')\"",
        f"CMD {[*command, '--port', str(PORT)]!r}".replace("'", '"'),
    ]
    with open(os.path.join(folder, "Dockerfile"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
