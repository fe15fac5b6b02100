"""Scripts in the style of real projects, run bare and under `gitexp run`, and what a person would have written down.

Each is a file or folder in `tests/scripts` with a YAML file of its name beside it, which is read into a `Spec`.
"""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from gitexp.reading import RunView
from gitexp.repo import Repository

SCRIPTS = Path(__file__).parent / "scripts"
SOURCES = Path(__file__).resolve().parent.parent / "src"
FRAMEWORKS_PYTHON = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", "")

PATIENCE_S = 240.0

GITEXP = "import sys; sys.path.insert(0, sys.argv.pop(1)); from gitexp.cli import main; sys.exit(main())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """How a script is run, and what has to come of it.

    Attributes:
        command: as typed behind `python`; behind nothing if it begins with "$ ", where "python" is the interpreter.
        group: "quick", "slow" or "frameworks".
        files: more files of the project, by their names.
        options: of `gitexp run`.
        answers: what it reads, line by line, each with the end of the text that asks for it, if any.
        environ: more environment variables. shell: what a shell does before it, as "umask 027".
        terminal: whether all its streams are a terminal, too; it is run with pipes in any case.
        varies: regular expressions of what differs from run to run in what it prints, and in names of files.
        differing: patterns of files whose content differs from run to run.
        exit: its exit code, or minus the signal that it dies by.
        status: of its run.
        params, tags: all of them.
        more_params: patterns of others, that differ from version to version of a framework.
        metrics: all of them, each with its number of points, if that is known, the step of the last one, and maybe its
            value, or the least and greatest that it may be.
        artifacts: patterns that each match one or more, and that all match one.
        nested: how many runs have this one as their parent.
        warnings: regular expressions, one for each.
        kept: False where the output is more than what is kept of it.
    """

    command: str
    group: str = "quick"
    files: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    shell: str = ""
    terminal: bool = False
    varies: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    exit: int = 0
    status: str = "finished"
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    more_params: tuple[str, ...] = ()
    metrics: Mapping[str, list[float]] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    nested: int = 0
    warnings: tuple[str, ...] = ()
    kept: bool = True

    @classmethod
    def read(cls, name: str) -> Spec:
        return cls(**yaml.safe_load((SCRIPTS / f"{name}.yaml").read_text()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a script did that anybody could see.

    Attributes:
        code: its exit code, negative for a signal.
        files: what it left in the project: kind, permissions and content by name.
        surroundings: what its interpreter was like when it began and when it ended, see `scripts/probe`.
    """

    code: int
    out: bytes
    err: bytes
    files: Mapping[str, str]
    surroundings: Mapping[str, Any]
    took_s: float


class Project:
    """A repository that holds one script, made anew for each time that it is run."""

    def __init__(self, folder: Path, name: str) -> None:
        self.spec = Spec.read(name)
        self._name = name
        self._folder = folder
        self.root = folder / "project"
        self._python = FRAMEWORKS_PYTHON if self.spec.group == "frameworks" else sys.executable
        self._home = folder / "home"
        probe = shutil.copytree(SCRIPTS / "probe", folder / "probe")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITEXP", "XDG_"))}
        kept.pop("PYTHONPATH", None)
        self.environ = {
            **kept,
            "HOME": str(self._home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "VIRTUAL_ENV": str(Path(self._python).parent.parent),
            "PATH": f"{Path(self._python).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(probe),
            "PROBE": str(folder / "probe.json"),
            "COLUMNS": "100",
            "OMP_NUM_THREADS": "1",
            **{key: value.replace("{probe}", str(probe)) for key, value in self.spec.environ.items()},
        }

    def bare(self, *, terminal: bool = False) -> Ended:
        command = self.spec.command
        words = shlex.split(command.removeprefix("$ "))
        if command.startswith("$ "):
            words = [self._python if word == "python" else word for word in words]
        else:
            words = [self._python, *words]
        return self._run(words, terminal=terminal)

    def launched(self, *options: str, terminal: bool = False) -> Ended:
        """Under `gitexp run`, which finds itself whatever the script's environment says."""
        command = self.spec.command
        words = shlex.split(command.removeprefix("$ "))
        if command.startswith("$ "):
            words = ["--", *(self._python if word == "python" else word for word in words)]
        before = [sys.executable, "-I", "-c", GITEXP, str(SOURCES), "run", *self.spec.options, *options]
        return self._run([*before, *words], terminal=terminal)

    def runs(self) -> list[RunView]:
        """All runs, in the order in which they began."""
        repository = Repository.open(self.root, environ=self.environ)
        views = [repository.view(summary) for summary in repository.search("")]
        return sorted(views, key=lambda view: view.record.start)

    def without_variation(self, text: str) -> str:
        for pattern in self.spec.varies:
            text = re.sub(pattern, "~", text)
        return text

    def _run(self, words: list[str], *, terminal: bool) -> Ended:
        self._make()
        if self.spec.shell:
            words = ["/bin/sh", "-c", f'{self.spec.shell}; exec "$@"', "sh", *words]
        began = time.monotonic()
        code, out, err = self._in_terminal(words) if terminal else self._with_pipes(words)
        took_s = time.monotonic() - began
        probe = Path(self.environ["PROBE"])
        return Ended(
            code=code,
            out=out,
            err=err,
            files=self._files(),
            surroundings={path.name: json.loads(path.read_text()) for path in sorted(probe.parent.glob("probe.json*"))},
            took_s=took_s,
        )

    def _make(self) -> None:
        for folder in (self.root, self._home):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        for path in self._folder.glob("probe.json*"):
            path.unlink()
        (self._home / ".gitconfig").write_text(
            "[user]\nname = Ann Lee\nemail = ann@example.org\n[init]\ndefaultBranch=main\n"
        )
        source = SCRIPTS / self._name
        if source.is_dir():
            shutil.copytree(source, self.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source.with_suffix(".py"), self.root)
        for name, text in self.spec.files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
            subprocess.run(["git", *words], cwd=self.root, env=self.environ, check=True)

    def _with_pipes(self, words: list[str]) -> tuple[int, bytes, bytes]:
        with (self._folder / "out").open("w+b") as out, (self._folder / "err").open("w+b") as err:
            # Copied by `cat`, for pipes that end when the last writer has gone, and outputs larger than memory.
            copies = [
                subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file, start_new_session=True)
                for file in (out, err)
            ]
            done = subprocess.Popen(
                words,
                cwd=self.root,
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=copies[0].stdin,
                stderr=copies[1].stdin,
            )
            for copy in copies:
                assert copy.stdin is not None
                copy.stdin.close()
            assert done.stdin is not None
            with suppress(BrokenPipeError):
                done.stdin.write("".join(f"{answer}\n" for _, answer in self.spec.answers).encode())
                done.stdin.close()
            code = done.wait(PATIENCE_S)
            for copy in copies:
                copy.wait(PATIENCE_S)
            return code, (self._folder / "out").read_bytes(), (self._folder / "err").read_bytes()

    def _in_terminal(self, words: list[str]) -> tuple[int, bytes, bytes]:
        leader, slave = pty.openpty()
        done = subprocess.Popen(
            words, cwd=self.root, env=self.environ, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        answers = [(ask.encode(), answer.encode()) for ask, answer in self.spec.answers]
        shown = b""
        deadline = time.monotonic() + PATIENCE_S
        while select.select([leader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                data = os.read(leader, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
            if answers and shown.endswith(answers[0][0]):
                os.write(leader, answers.pop(0)[1] + b"\n")
        os.close(leader)
        return done.wait(PATIENCE_S), shown, b""

    def _files(self) -> dict[str, str]:
        found = {}
        differing = (*self.spec.differing, "*.pyc")  # which hold the times of their sources
        for folder, folders, names in os.walk(self.root):
            if ".git" in folders:
                folders.remove(".git")
            for name in [*folders, *names]:
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, self.root)
                status = os.lstat(path)
                content = f"{stat.filemode(status.st_mode)}"
                if stat.S_ISLNK(status.st_mode):
                    content += f" {os.readlink(path)}"
                elif stat.S_ISREG(status.st_mode) and not any(fnmatchcase(relative, p) for p in differing):
                    content += f" {hashlib.sha256(Path(path).read_bytes()).hexdigest()}"
                found[self.without_variation(relative)] = content
        return found
