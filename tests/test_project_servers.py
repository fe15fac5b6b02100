"""Projects from real servers: git's http-backend with a password, OpenSSH's, git daemon, dulwich's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import servers
from conftest import Git
from servers import PASSWORD, Server

pytestmark = pytest.mark.servers


class Home:
    """A repository of one's own, in which projects of a server are run."""

    def __init__(self, server: Server, folder: Path, engine: str) -> None:
        self.server = server
        self.folder = folder
        self.environ = {**os.environ, **server.environ, "GITEXP_TRANSPORT": engine}

    def __call__(self, *words: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "gitexp", *words],
            check=False,
            cwd=self.folder,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stderr
        return done


@pytest.fixture(params=["http", "ssh", "daemon", "dulwich"])
def server(request: pytest.FixtureRequest, tmp_path: Path, git: Git) -> Iterator[Server]:
    """A server with `team/taxi.git`: a project in a folder, a tag, and another branch with a commit of its own."""
    work, bare = tmp_path / "work", tmp_path / "srv" / "team" / "taxi.git"
    (work / "fares").mkdir(parents=True)
    git("init", "-q", cwd=work)
    (work / "fares" / "MLproject").write_text(
        "entry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.5}\n"
        '    command: "python train.py {alpha}"\n'
    )
    (work / "fares" / "train.py").write_text("import sys; print('loss:', float(sys.argv[1]) * 2)")
    git("add", "-A", cwd=work)
    git("commit", "-qm", "first", cwd=work)
    git("tag", "v1", cwd=work)
    git("checkout", "-q", "-b", "side", cwd=work)
    (work / "fares" / "train.py").write_text("print('side')")
    git("commit", "-qam", "side", cwd=work)
    git("checkout", "-q", "main", cwd=work)
    bare.parent.mkdir(parents=True)
    git("clone", "-q", "--bare", str(work), str(bare), cwd=tmp_path)
    with servers.SERVERS[request.param](tmp_path / "srv") as running:
        yield running


@pytest.fixture(params=["dulwich", "git"])
def home(request: pytest.FixtureRequest, server: Server, tmp_path: Path, git: Git) -> Home:
    folder = tmp_path / "mine"
    folder.mkdir()
    git("init", "-q", cwd=folder)
    return Home(server, folder, request.param)


def test_a_project_from_a_server(home: Home, server: Server, git: Git) -> None:
    """It is fetched by tag, branch and commit, and nothing but its own history comes; its run says where it is from."""
    url = server.url("team/taxi.git")
    assert home("run", f"{url}#fares@v1", "-P", "alpha=2", "--yes").stdout == "loss: 4.0\n"
    shown = json.loads(home("show", "@", "--json").stdout)
    assert shown["project"]["folder"] == "fares" and shown["project"]["address"].endswith("team/taxi.git@v1")
    assert PASSWORD not in json.dumps(shown)
    side = git("rev-parse", "side", cwd=home.folder.parent / "work").strip()
    missing = subprocess.run(["git", "cat-file", "-e", side], check=False, cwd=home.folder, capture_output=True)
    assert missing.returncode != 0
    assert home("run", f"{url}#fares").stdout == "loss: 1.0\n"
    assert home("run", f"{url}#fares@side").stdout == "side\n"
    assert home("run", f"{url}#fares@{side[:9]}").stdout == "side\n"
    git("fsck", "--strict", cwd=home.folder)


def test_a_known_commit_needs_no_server(home: Home, server: Server, git: Git) -> None:
    """A commit by its whole id that was fetched before runs without the server; before, the server is asked for it."""
    url = server.url("team/taxi.git")
    side = git("rev-parse", "side", cwd=home.folder.parent / "work").strip()
    assert home("run", f"{url}#fares@{side}", "--yes").stdout == "side\n"
    (home.folder.parent / "srv" / "team" / "taxi.git").rename(home.folder.parent / "srv" / "gone.git")
    assert home("run", f"{url}#fares@{side}").stdout == "side\n"
    assert home("run", f"{url}#fares@side", code=8).stdout == ""


def test_outside_of_a_repository(home: Home, server: Server, tmp_path: Path) -> None:
    """Without a repository the project's own is cloned into a folder of its name, and records the run."""
    (tmp_path / "nowhere").mkdir()
    home.folder = tmp_path / "nowhere"
    done = home("run", f"{server.url('team/taxi.git')}#fares", "--yes")
    assert done.stdout == "loss: 1.0\n" and "./taxi" in done.stderr
    home.folder = tmp_path / "nowhere" / "taxi"
    assert json.loads(home("ls", "--json").stdout)["total"] == 1
