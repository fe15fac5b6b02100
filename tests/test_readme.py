"""The README does not lie: its commands run, and print what it shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()
QUICKSTART, TESTS = "sh examples/quickstart.sh", "sh tests/run.sh"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("readme")]


@dataclass(frozen=True, slots=True)
class Quickstart:
    folder: Path
    output: str
    environ: dict[str, str]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Quickstart:
    """What the README's first command leaves, with the built wheel in place of the checkout."""
    folder = tmp_path_factory.mktemp("quickstart")
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text("[user]\n\tname = Ann Lee\n\temail = ann@example.org\n")
    not_kept = ("GIT_", "GITEXP", "COLUMNS", "LINES")  # readline sets the last two for children
    kept = {name: value for name, value in os.environ.items() if not name.startswith(not_kept)}
    environ = {**kept, "HOME": str(home), "GITEXP": str(wheel), "PYTHON": sys.executable}
    output = shell(f"{QUICKSTART} {folder}", PROJECT, environ)
    environ["PATH"] = f"{folder}/venv/bin:{environ['PATH']}"
    return Quickstart(folder, output, environ)


@pytest.fixture
def project(quickstart: Quickstart, tmp_path: Path) -> Path:
    """A new repository with the examples in it, and a remote."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT / "examples", folder)
    commands = "git init -q --bare ../origin && gitexp init --yes && git remote add origin ../origin"
    shell(commands, folder, quickstart.environ)
    return folder


def test_the_quickstart_shows_two_runs_and_their_difference(quickstart: Quickstart) -> None:
    """One command trains twice, lists both runs with metrics and shows what differs; git likes what was written."""
    assert {TESTS, QUICKSTART} <= {line.partition("  ")[0] for block in blocks("sh") for line in block}
    listed, _, compared = quickstart.output.partition("$ gitexp ls")[2].partition("$ gitexp diff small wide")
    assert all(word in listed for word in ("small", "wide", "accuracy", "log_loss"))
    assert re.search(r"hidden\W+32\W+64", compared), compared
    shell("git fsck --full --strict", quickstart.folder / "project", quickstart.environ)


def test_the_transcripts_are_what_is_printed(quickstart: Quickstart, project: Path) -> None:
    """Each command of the README, in its order, prints what the README shows, apart from numbers and ids."""
    for block in blocks("console"):
        for command, shown in commands(block):
            printed = in_terminal(command, project, quickstart.environ)
            assert pattern(shown).fullmatch(plain(printed)), f"$ {command}\n{printed}"


def test_the_python_example_runs(quickstart: Quickstart, project: Path) -> None:
    """The README's Python and the example script record what they say, in the environment of the quickstart."""
    for program in blocks("python"):
        (project / "readme.py").write_text("\n".join(program))
        assert shell("python readme.py", project, quickstart.environ) == "0.1 0.01 100 ['model.json']\n"
    shell("python curves.py --trees 20", project, quickstart.environ)
    assert "model.pkl" in shell("gitexp show @", project, quickstart.environ)


def test_sharing_works_as_shown(quickstart: Quickstart, project: Path) -> None:
    """Runs pushed as the README says arrive in another clone as it says, and are listed there."""
    [share] = [block for block in blocks("sh") if block[0].startswith("git push")]
    push, fetch = share
    shell("gitexp run -n shared train.py", project, quickstart.environ)
    shell(push, project, quickstart.environ)
    clone = project.parent / "clone"
    shell(f"git clone -q origin {clone}", project.parent, quickstart.environ)
    shell(fetch, clone, quickstart.environ)
    assert shell("gitexp ls --csv", clone, quickstart.environ) == shell("gitexp ls --csv", project, quickstart.environ)


def shell(command: str, folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    printed = done.stdout.decode()
    assert done.returncode == 0, f"$ {command}\n{printed}"
    return printed


def in_terminal(command: str, folder: Path, environ: dict[str, str], columns: int = 96) -> str:
    """What a person at a terminal without colours sees."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
    with subprocess.Popen(
        command, shell=True, cwd=folder, env={**environ, "NO_COLOR": "1"}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        printed = b"".join(iter(lambda: read(ours), b"")).decode().replace("\r\n", "\n")
        os.close(ours)
    assert process.returncode == 0, f"$ {command}\n{printed}"
    return re.sub(r".*\r\x1b\[K", "", printed)  # a progress bar, drawn where it takes long


def read(terminal: int) -> bytes:
    """What was printed since, or nothing at the end: Linux says EIO when the last process has closed a terminal."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def blocks(language: str) -> list[list[str]]:
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in found]


def commands(block: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each command of a transcript, and the lines shown below it."""
    starts = [number for number, line in enumerate(block) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(block)], strict=True):
        yield block[start][2:], block[start + 1 : end]


def pattern(shown: list[str]) -> re.Pattern[str]:
    """Matches the lines shown; `...` stands for any lines."""
    lines = [r"(?:.*\n)*" if line.strip() == "..." else re.escape(plain(line)) + r"\n" for line in shown]
    return re.compile("".join(lines) + r"\n*")


def plain(text: str) -> str:
    """The text without what differs from run to run: ids, commits, numbers, widths of columns."""
    text = re.sub(r"\b[a-hjkmnp-tv-z][0-9a-hjkmnp-tv-z]{6}([0-9a-hjkmnp-tv-z]{5})?\b|\b[0-9a-f]{12}\b", "ID", text)
    text = re.sub(r"just now|\d+ \w+ ago", "AGO", text)
    text = re.sub(r"\d[\d.,:]*( ms| s| min)?", "#", text)
    return "\n".join(re.sub(r" +", " ", line).strip() for line in text.split("\n"))
