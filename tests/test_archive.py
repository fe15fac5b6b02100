"""`gitexp export RUN -o run.zip`: one run that is read without gitexp."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import Git
from gitexp.archive import write_archive
from gitexp.cli import execute
from gitexp.domain.environment import Environment
from gitexp.domain.run import Status
from gitexp.errors import NotFound
from gitexp.recording import Recorder, RunRequest
from gitexp.repo import Repository
from launching import PATIENCE_S, SOURCES

pytestmark = pytest.mark.slow

SCRIPT = """import os, random
random.seed(3)
open("small.txt", "w").write("small")
open("big.bin", "wb").write(bytes(range(256)) * 1000)
print("hello", open("data/train.csv").read(), os.environ.get("WORD", ""))
"""


@pytest.fixture
def repository(repo_dir: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """With a run `it` that made a small and a large file, of a script that can be executed, beside a link."""
    (repo_dir / "make.py").write_text(SCRIPT)
    (repo_dir / "make.py").chmod(0o755)
    (repo_dir / "link").symlink_to("make.py")
    (repo_dir / "data").mkdir()
    (repo_dir / "data" / "train.csv").write_text("1,2,3")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "make", cwd=repo_dir)
    (repo_dir / "big code.txt").write_text("x" * 11_000_000)
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    command = [sys.executable, "-m", "gitexp", "run", "--name", "it", "make.py"]
    subprocess.run(command, check=True, cwd=repo_dir, env=environ, capture_output=True, timeout=3 * PATIENCE_S)
    monkeypatch.chdir(repo_dir)
    return Repository.open(repo_dir)


def test_the_archive_holds_the_run_and_says_how_to_run_it(repository: Repository, tmp_path: Path) -> None:
    """Unpacked, its command gives the same output and artifacts again, with nothing of gitexp."""
    view = repository.get_run("it")
    path = tmp_path / "run.zip"
    done = write_archive(repository, view, str(path))
    assert done.missing == ()
    subprocess.run(["unzip", "-q", str(path)], check=True, cwd=tmp_path)
    [top] = [folder for folder in tmp_path.iterdir() if folder.is_dir() and folder.name.startswith("it-")]
    readme = (top / "README.md").read_text()
    assert "    cd code\n    pip install -r ../environment/requirements.txt\n    python make.py\n" in readme
    assert "random 3" in readme
    assert (top / "code" / "link").is_symlink()
    assert os.access(top / "code" / "make.py", os.X_OK)
    assert (top / "code" / "big code.txt").stat().st_size == 11_000_000
    for name in ("big.bin", "small.txt"):
        assert (top / "artifacts" / name).read_bytes() == view.artifacts[name].read()
    again = subprocess.run([sys.executable, "make.py"], check=True, cwd=top / "code", capture_output=True)
    assert again.stdout == (top / "output.log").read_bytes()
    assert (top / "code" / "big.bin").read_bytes() == (top / "artifacts" / "big.bin").read_bytes()


def test_what_it_says_to_type_leads_to_the_packages_of_the_code(repository: Repository, tmp_path: Path) -> None:
    """From where it runs: packages of the run's own repository are recorded by their path. A secret is told as one."""
    root = Path.cwd()
    (root / "own" / "deep").mkdir(parents=True)
    (root / "own" / "deep" / "use.py").write_text("import sys\n")
    environment = Environment(
        python={"version": "3.11.7"},
        requirements=("-e ./own  # own", "there @ file:///elsewhere/there-1-py3-none-any.whl"),
    )
    request = RunRequest(
        name="packed",
        command=("python", "use.py", "--token", "***"),
        directory=str(root / "own" / "deep"),
    )
    recorder = Recorder.begin(repository, request, on_trouble=pytest.fail)
    recorder.set_environment(environment)
    recorder.end(Status.FINISHED)
    write_archive(repository, repository.get_run("packed"), str(tmp_path / "packed.zip"))
    with zipfile.ZipFile(tmp_path / "packed.zip") as archive:
        [name] = [name for name in archive.namelist() if name.endswith("README.md") and name.count("/") == 1]
        readme = archive.read(name).decode()
    order = ["cd code", "pip install -r ../environment", "cd own/deep", "python use.py --token '***'"]
    assert sorted(order, key=readme.index) == order
    assert "`***` stands for secrets" in readme
    assert "where it ran, which may not be here: there." in readme


def test_the_same_run_gives_the_same_bytes(repository: Repository, tmp_path: Path) -> None:
    """Whenever and wherever it is written."""
    digests = set()
    for name in ("a.zip", "b.zip"):
        write_archive(repository, repository.get_run("it"), str(tmp_path / name))
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_artifacts_can_be_left_out_and_missing_ones_are_named(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Left out, the archive lists them; where nobody has the content, it and the command say so."""
    assert execute(["export", "it", "-o", str(tmp_path / "none.zip"), "--no-artifacts"]) == 0
    with zipfile.ZipFile(tmp_path / "none.zip") as archive:
        assert not [name for name in archive.namelist() if "/artifacts/" in name]
        [readme] = [name for name in archive.namelist() if name.endswith("README.md") and name.count("/") == 1]
        assert "`big.bin`: 256,000 bytes" in archive.read(readme).decode()
    repository.content.remove(repository.get_run("it").artifacts["big.bin"].sha256)
    capsys.readouterr()
    assert execute(["export", "it", "-o", str(tmp_path / "less.zip")]) == 0
    assert "artifacts/big.bin" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "less.zip") as archive:
        assert not [name for name in archive.namelist() if name.endswith("big.bin")]
        assert "## Missing\n" in archive.read(readme).decode()


def test_nothing_is_left_where_it_cannot_be_written(repository: Repository, tmp_path: Path) -> None:
    """No folder, or damaged content: no file, whole or in part."""
    view = repository.get_run("it")
    with pytest.raises(NotFound):
        write_archive(repository, view, str(tmp_path / "none" / "run.zip"))
    digest = view.artifacts["big.bin"].sha256
    stored = Path(repository.content.folder) / digest[:2] / digest[2:4] / digest
    stored.chmod(0o644)
    stored.write_bytes(b"?" * 256_000)
    assert execute(["export", "it", "-o", str(tmp_path / "run.zip")]) != 0
    assert not list(tmp_path.glob("run.zip*"))


@pytest.mark.parametrize(
    "words", [["it", "-o", "x.csv"], ["it"], ["-o", "x.zip"], ["--no-artifacts"], ["it", "-o", "x.zip", "--histories"]]
)
def test_what_makes_no_sense_is_refused(repository: Repository, words: list[str]) -> None:
    """A run that is no zip file, a zip file of all runs, options of tables."""
    assert repository.get_run("it")
    assert execute(["export", *words]) == 2
