"""Where artifacts go: the place in the settings, else the remote's Git LFS server, else the remote itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Git
from gitexp.domain.pointer import Pointer
from gitexp.errors import CorruptData, NotFound, RemoteFailed, UsageError
from gitexp.sharing.places import chosen_store
from gitexp.store.artifacts.folder import FolderStore
from gitexp.store.git.remotes import find_remote
from gitexp.store.git.repository import discover
from places import LfsHost, Machine, Reply, in_json, make_machine

pytestmark = pytest.mark.slow

DATA = os.urandom(2_500_000)
LARGE_ARTIFACT = (
    "import os, gitexp\n"
    "with gitexp.start_run('large') as run:\n"
    "    run.log_text('x' * 70_000, 'x.txt')\n"
    "    run.log_text('y' * 90_000, 'y.txt')\n"
)

Gitexp = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ann(tmp_path: Path) -> Machine:
    return make_machine(tmp_path / "ann")


@pytest.fixture
def bob(tmp_path: Path) -> Machine:
    return make_machine(tmp_path / "bob")


@pytest.fixture
def host() -> Iterator[LfsHost]:
    with LfsHost() as started:
        yield started


@pytest.fixture
def gitexp() -> Gitexp:
    def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gitexp", *words],
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def clones(repo_dir: Path, git: Git) -> tuple[Path, Path, Path]:
    """A bare remote, a clone with a run that has two large artifacts, and one without."""
    remote, ann, bob = (repo_dir.parent / name for name in ("remote.git", "with", "without"))
    git("clone", "-q", "--bare", str(repo_dir), str(remote), cwd=repo_dir)
    for folder in (ann, bob):
        git("clone", "-q", str(remote), str(folder), cwd=repo_dir)
    subprocess.run([sys.executable, "-c", LARGE_ARTIFACT], check=True, cwd=ann)
    return remote, ann, bob


def settings(folder: Path, text: str) -> None:
    (folder / ".gitexp").mkdir(exist_ok=True)
    (folder / ".gitexp" / "config.yaml").write_text(text)


def data_refs(git: Git, remote: Path) -> int:
    return len(git("for-each-ref", "refs/gitexp/data/", cwd=remote).splitlines())


def kept(folder: Path) -> int:
    return len(list((folder / ".git" / "gitexp").glob("objects/*/*/*")))


@pytest.mark.parametrize("way", ["absolute", "relative", "file"])
def test_a_folder(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git, way: str) -> None:
    """`artifacts.store` may be a folder, which is made; nothing goes into the git remote, and all comes back."""
    remote, ann, bob = clones
    shared = ann.parent / "shared files"
    place = {"absolute": str(shared), "relative": "../shared files", "file": f"file://{shared}".replace(" ", "%20")}[
        way
    ]
    for folder in (ann, bob):
        settings(folder, f"artifacts:\n  store: {json.dumps(place)}\n")
    done = gitexp(ann, "push")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Pushed 1 new run to origin, 2 artifacts (160 kB) to {shared}.\n"
    assert sorted(path.stat().st_size for path in shared.glob("??/??/*")) == [70_000, 90_000]
    assert data_refs(git, remote) == 0
    pulled = gitexp(bob, "pull", "--artifacts")
    assert (pulled.returncode, kept(bob)) == (0, 2), pulled.stderr


def test_a_disk_that_is_not_mounted(gitexp: Gitexp, clones: tuple[Path, Path, Path]) -> None:
    """A folder whose parent is not there is an error, not a new folder."""
    _, ann, _ = clones
    settings(ann, "artifacts:\n  store: /nonexistent/disk/artifacts\n")
    done = gitexp(ann, "push")
    assert done.returncode == 8
    assert "There is no folder '/nonexistent/disk' for artifacts." in done.stderr
    assert "Is the disk mounted?" in done.stderr


def test_a_copy_into_a_folder_goes_on(ann: Machine, bob: Machine, tmp_path: Path) -> None:
    """What an earlier push brought of a file is not written again; a damaged file there or here is not kept."""
    pointer, store = ann.put(DATA), FolderStore(str(tmp_path / "shared"))
    part = tmp_path / "shared" / "tmp" / f"{pointer.sha256}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA[:1_000_000])
    before = part.stat().st_ino
    store.upload([pointer], ann.content, ann.told.append)
    there = tmp_path / "shared" / pointer.sha256[:2] / pointer.sha256[2:4] / pointer.sha256
    assert (there.read_bytes(), there.stat().st_ino) == (DATA, before)
    assert store.lacking([pointer]) == set()
    there.chmod(0o644)
    there.write_bytes(b"?" + DATA[1:])
    with pytest.raises(CorruptData):
        store.download([pointer], bob.content, bob.told.append)
    there.write_bytes(DATA[1:])
    with pytest.raises(NotFound):
        store.download([pointer], bob.content, bob.told.append)
    assert store.lacking([pointer]) == {pointer}
    store.upload([pointer], ann.content, ann.told.append)
    with bob.content.arriving(pointer) as arriving:
        arriving.write(DATA[:2_000_000])
    store.download([pointer], bob.content, bob.told.append)
    assert bob.has(pointer, DATA)
    assert sum(bob.told) == len(DATA) + 2_500_000
    shutil.rmtree(tmp_path / "shared")
    with pytest.raises(RemoteFailed, match="There is no folder"):
        store.download([pointer], bob.content, bob.told.append)


def test_the_order_of_choice(host: LfsHost, clones: tuple[Path, Path, Path], git: Git) -> None:
    """The settings first, then an LFS server where one answers, then the remote itself."""
    _, ann, _ = clones
    git("remote", "set-url", "origin", host.url, cwd=ann)
    found = discover(ann, os.environ)
    remote = find_remote(found, "origin")
    pointer = Pointer(sha256="0" * 64, size_bytes=1)

    def name(said: str) -> str | None:
        store = chosen_store(found, remote, said, [pointer], push=True)
        return store.name if store else None

    assert name("auto") == "Git LFS of origin"
    assert len(host.requests) == 1
    assert name("git") is None
    assert name("../shared") == str(ann.parent / "shared")
    assert name("lfs") == "Git LFS of origin"
    assert len(host.requests) == 1
    host.odd = lambda _: Reply(status=404)
    assert name("auto") is None
    assert len(host.requests) == 2
    host.odd = lambda _: in_json({"message": "LFS only for paying customers"}, 403)
    with pytest.raises(RemoteFailed, match="only for paying customers"):
        name("auto")
    with pytest.raises(UsageError, match="Artifacts cannot be kept at 'ftp://x'"):
        name("ftp://x")


def test_a_path_has_no_lfs_server(clones: tuple[Path, Path, Path]) -> None:
    """Asking for one there is an error that says where one can be named."""
    _, ann, _ = clones
    found = discover(ann, os.environ)
    with pytest.raises(UsageError, match="where no Git LFS server can be") as failed:
        chosen_store(found, find_remote(found, "origin"), "lfs", [], push=True)
    assert "git config lfs.url URL" in failed.value.hint


def test_an_lfs_server_beside_a_remote(
    gitexp: Gitexp, host: LfsHost, clones: tuple[Path, Path, Path], git: Git
) -> None:
    """`.lfsconfig` sends the artifacts there, of two runs in one batch request; a push of nothing asks nobody."""
    remote, ann, bob = clones
    for folder in (ann, bob):
        (folder / ".lfsconfig").write_text(f"[lfs]\n\turl = {host.base}/lfs\n")
    assert gitexp(ann, "push").returncode == 0
    assert len(host.objects) == 2
    assert data_refs(git, remote) == 0
    assert len(host.seen("POST", "/batch")) == 1
    assert gitexp(ann, "push").stdout == "Everything is there already: origin.\n"
    assert len(host.seen("POST", "/batch")) == 1
    assert gitexp(bob, "pull", "--artifacts").returncode == 0
    assert kept(bob) == 2
    assert len(host.seen("POST", "/batch")) == 2


@pytest.mark.slow
def test_an_artifact_that_the_server_lost(gitexp: Gitexp, host: LfsHost, clones: tuple[Path, Path, Path]) -> None:
    """The pull brings the others, says how many are missing, and fails; pushing the run by its name repairs that."""
    _, ann, bob = clones
    for folder in (ann, bob):
        (folder / ".lfsconfig").write_text(f"[lfs]\n\turl = {host.base}/lfs\n")
    gitexp(ann, "push")
    lost = next(sha256 for sha256, data in host.objects.items() if len(data) == 70_000)
    del host.objects[lost]
    done = gitexp(bob, "pull", "--artifacts")
    assert done.returncode == 8
    assert "1 artifact is not at origin:" in done.stderr
    assert kept(bob) == 1
    repaired = gitexp(ann, "push", "origin", "large")
    assert "1 artifact (70.0 kB)" in repaired.stdout, repaired.stderr
    assert gitexp(bob, "pull", "--artifacts").returncode == 0


@pytest.mark.slow
def test_wrong_content_from_a_server(gitexp: Gitexp, host: LfsHost, clones: tuple[Path, Path, Path]) -> None:
    """It is named and not kept, and the command fails; the run is there all the same."""
    _, ann, bob = clones
    for folder in (ann, bob):
        (folder / ".lfsconfig").write_text(f"[lfs]\n\turl = {host.base}/lfs\n")
    gitexp(ann, "push")
    host.objects = {sha256: b"z" * len(data) for sha256, data in host.objects.items()}
    done = gitexp(bob, "pull", "--artifacts")
    assert done.returncode == 5
    assert "has another SHA-256; it is not kept." in done.stderr
    assert kept(bob) == 0
    assert "large" in gitexp(bob, "ls").stdout


@pytest.mark.slow
def test_ctrl_c_ends_a_push_into_the_remote_itself(clones: tuple[Path, Path, Path]) -> None:
    """While the remote is at work on what came, the command ends within 3 seconds and can be given again."""
    remote, ann, _ = clones
    hook = remote / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\n: > {remote}/asked\nexec sleep 30\n")
    hook.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp", "push"], cwd=ann, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (remote / "asked").exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
