"""One empty folder becomes one environment: by uv, pip, or conda."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitexp.domain.requirements import Requirement
from gitexp.environments.indexes import uv_options
from gitexp.environments.pythons import Interpreter
from gitexp.environments.tools import Installer, run_tool
from gitexp.errors import EnvironmentFailed
from gitexp.store.git import durable

_ASK = (
    "import json, sys, sysconfig; print(json.dumps([sysconfig.get_path('purelib'),"
    " '.'.join(map(str, sys.version_info[:3])), getattr(sys, '_base_executable', sys.executable)]))"
)
_LIST = (
    "import json\ntry:\n from importlib.metadata import distributions\nexcept ImportError:\n"
    " from importlib_metadata import distributions\n"
    "print(json.dumps([[d.metadata['Name'], d.version] for d in distributions() if d.metadata['Name']]))"
)
_TORCH = re.compile(r"torch(?:vision|audio)?==[^\s+]+\+(cpu|cu\d+|rocm[\d.]+|xpu)")
_TORCH_INDEX = "https://download.pytorch.org/whl/"
_FOLDER_OPTION = re.compile(r"\A((?:-f|--find-links)(?:\s+|=))(?![a-z]+:)(\S+)")
_TAIL_LINES = 6
_TAIL_CHARACTERS = 600
_UNREACHABLE = re.compile(
    r"error sending request|dns error|tcp connect error|NewConnectionError|ConnectTimeout|ReadTimeout"
    r"|NameResolutionError|Failed to establish a new connection|operation timed out|network connectivity is disabled"
)


class InstallFailed(Exception):
    """An installer gave up; `output` is what it printed."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Installs into environments.

    Attributes:
        installer: uv or pip.
        environ: the variables of whoever asked.
        held: a descriptor that the installer holds as long as it lives; None for none.
        cwd: where it works: relative paths begin there, and uv's settings of the project count.
        options: lines of `requirements.txt` that are options of pip.
    """

    installer: Installer
    environ: Mapping[str, str]
    held: int | None = None
    cwd: str | None = None
    options: tuple[str, ...] = ()

    def make(self, interpreter: Interpreter, prefix: str) -> None:
        """Make an empty virtual environment.

        Raises:
            EnvironmentFailed: the interpreter cannot make one.
        """
        if self.installer.kind == "uv":
            command = [*self.installer.command, "venv", "--quiet", "--no-project", "--python", interpreter.path, prefix]
        else:
            command = [interpreter.path, "-m", "venv", "--without-pip", prefix]
        done = run_tool(command, environ=self.environ, held=self.held)
        if done.returncode != 0:
            raise EnvironmentFailed(
                f"Python {interpreter.name} at '{interpreter.path}' cannot make a virtual environment: {tail(done)}"
            )

    def install(
        self,
        prefix: str,
        requirements: Sequence[Requirement],
        *,
        constraints: Sequence[str] = (),
        with_dependencies: bool = False,
        anew: bool = False,
        workplace: str,
    ) -> None:
        """Install into an environment.

        Args:
            constraints: requirements for packages, where they are needed at all.
            with_dependencies: also what the packages need and nobody named.
            anew: build from folders again; uv would take what it built before as long as the project file is the same.
            workplace: a folder for the files that the installer reads.

        Raises:
            InstallFailed
        """
        lines = [self.line(requirement) for requirement in requirements]
        passes = [(lines, with_dependencies, False)]
        hashed = [self.line(requirement) for requirement in requirements if requirement.hashes]
        if self.installer.kind == "pip" and hashed and len(hashed) < len(lines):
            # pip wants a hash for every line or for none; uv checks those that are there.
            rest = [self.line(requirement) for requirement in requirements if not requirement.hashes]
            passes = [(hashed, False, True), (rest, with_dependencies, False)]
        for chosen, dependencies, checked in passes:
            file = os.path.join(workplace, "requirements.txt")
            durable.replace(file, _text([*self.option_lines(), *chosen]), durable=False)
            command = [*self.base(prefix), "--requirement", file]
            if constraints:
                constraining = os.path.join(workplace, "constraints.txt")
                durable.replace(constraining, _text(constraints), durable=False)
                command += ["--constraint", constraining]
            if not dependencies:
                command.append("--no-deps")
            if anew and self.installer.kind == "uv":
                command.append("--refresh")
            if checked:
                command.append("--require-hashes")
            extra, variables = self.sources(chosen)
            environ = {**self.environ, **variables}
            done = run_tool([*command, *extra], environ=environ, held=self.held, cwd=self.cwd)
            if self.installer.kind == "uv" and done.returncode != 0 and is_unreachable(done.stderr):
                # Without a network there is still what uv fetched before.
                offline = run_tool([*command, "--offline", *extra], environ=environ, held=self.held, cwd=self.cwd)
                done = offline if offline.returncode == 0 else done
            if done.returncode != 0:
                raise InstallFailed(done.stderr + done.stdout)

    def option_lines(self) -> list[str]:
        """The options, with paths that begin where it works: the installers take that of the file for it."""
        return [re.sub(_FOLDER_OPTION, self._from_here, line) for line in self.options]

    def line(self, requirement: Requirement) -> str:
        """A requirement as the installer reads it."""
        url = requirement.url or ""
        if self.installer.kind == "uv" or not url.startswith("git+file:///") or requirement.editable:
            return requirement.line()
        # pip before 24.1 takes a URL without a host for none where a name stands before it.
        return f"{url}{'&' if '#' in url else '#'}egg={requirement.name}"

    def _from_here(self, match: re.Match[str]) -> str:
        path = os.path.join(self.cwd or os.getcwd(), match[2])
        return f"{match[1]}{os.path.normpath(path) if os.path.exists(path) else match[2]}"

    def base(self, prefix: str) -> list[str]:
        """The command that installs into an environment, up to what it shall install."""
        python = os.path.join(prefix, "bin", "python")
        if self.installer.kind == "uv":
            return [*self.installer.command, "pip", "install", "--quiet", "--python", python]
        return [*self.installer.command, "--python", python, "install", "--quiet"]

    def sources(self, lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Options and variables that say where packages come from."""
        options, variables = uv_options(self.environ) if self.installer.kind == "uv" else ([], {})
        torch = next((match[1] for line in lines if (match := _TORCH.match(line))), None)
        if torch:  # PyTorch's builds for one accelerator are in an index of their own
            option = "--index" if self.installer.kind == "uv" else "--extra-index-url"
            options = [*options, option, _TORCH_INDEX + torch]
        return options, variables


def make_conda(conda: str, text: str, prefix: str, *, environ: Mapping[str, str], held: int, workplace: str) -> None:
    """Make a conda environment from an explicit list or an `environment.yml`.

    Raises:
        InstallFailed
    """
    is_explicit = "@EXPLICIT" in text.splitlines()
    file = os.path.join(workplace, "conda.txt" if is_explicit else "environment.yml")
    durable.replace(file, text.encode(), durable=False)
    # conda itself reads environment.yml with another command than lists.
    env = [] if is_explicit or os.path.basename(conda).startswith("micromamba") else ["env"]
    command = [conda, *env, "create", "--yes", "--quiet", "--prefix", prefix, "--file", file]
    done = run_tool(command, environ=environ, held=held)
    if done.returncode != 0:
        raise InstallFailed(done.stderr + done.stdout)


def ask_environment(prefix: str, environ: Mapping[str, str]) -> tuple[str, str, str]:
    """An environment's folder of packages, the version of its Python, and the interpreter it was made from.

    Raises:
        EnvironmentFailed: its Python does not start.
    """
    python = os.path.join(prefix, "bin", "python")
    done = run_tool([python, "-I", "-c", _ASK], environ=environ)
    if done.returncode != 0:
        raise EnvironmentFailed(f"The Python of the new environment does not start: {tail(done)}")
    site, version, base = json.loads(done.stdout)
    return site, version, base or python


def list_packages(prefix: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The packages in an environment: versions by name, as each spells itself."""
    done = run_tool([os.path.join(prefix, "bin", "python"), "-I", "-c", _LIST], environ=environ)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def is_unreachable(output: str) -> bool:
    """Whether a tool gave up because another machine did not answer."""
    return _UNREACHABLE.search(output) is not None


def tail(output: object) -> str:
    """The end of what a tool printed, on one line."""
    text = output if isinstance(output, str) else f"{getattr(output, 'stdout', '')}\n{getattr(output, 'stderr', '')}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    end = " / ".join(lines[-_TAIL_LINES:]) or "it said nothing."
    return end if len(end) <= _TAIL_CHARACTERS else f"... {end[-_TAIL_CHARACTERS:]}"


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
