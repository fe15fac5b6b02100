"""Artifacts on real servers: Git LFS over http and ssh, read and written by the real git-lfs too, and S3."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Git
from gitexp.errors import AccessDenied, CorruptData, NotFound, RemoteFailed, UsageError
from places import Machine, make_machine, serve_lfs, serve_s3
from servers import Proxy, Server, absent, need, serve_ssh

pytestmark = pytest.mark.servers

RUN = """
import os, sys, gitexp
with gitexp.start_run(sys.argv[1]) as run:
    for size in (70_000, 3_000_000):
        with open("model.bin", "wb") as file:
            file.write(os.urandom(size))
        run.log_artifact("model.bin", f"it's {size}")
    os.unlink("model.bin")
"""

WITHOUT_OBSTORE = """
import sys
sys.modules["obstore"] = None
from gitexp.errors import UsageError
from gitexp.store.artifacts.objectstore import ObjectStore
try:
    ObjectStore("s3://x")
except UsageError as error:
    print(error, error.hint)
"""

Gitexp = Callable[..., str]


@pytest.fixture
def gitexp() -> Gitexp:
    def run(folder: Path, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gitexp", *words],
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run


def record(folder: Path, name: str) -> None:
    subprocess.run([sys.executable, "-c", RUN, name], check=True, cwd=folder)


@pytest.fixture(scope="module", params=["open", "asks"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    root = tmp_path_factory.mktemp("host") / "srv"
    root.mkdir()
    with serve_lfs(root, asks=request.param == "asks") as server:
        yield server, root


@pytest.fixture
def clones(
    host: tuple[Server, Path], repo_dir: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path, Path]:
    """A remote on the host, and two clones that have the password from git's `store` helper, where there is one."""
    server, root = host
    remote = root / f"{tmp_path.name}.git"
    git("clone", "-q", "--bare", str(repo_dir), str(remote), cwd=repo_dir)
    git("config", "http.receivepack", "true", cwd=remote)
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    user, at, place = server.base.removeprefix("http://").rpartition("@")
    if at:
        home = Path(os.environ["HOME"])
        (home / ".git-credentials").write_text(f"http://{user}@{place}\n")
        with (home / ".gitconfig").open("a") as settings:
            settings.write("[credential]\n\thelper = store\n")
    folders = [tmp_path / "ann", tmp_path / "bob"]
    for folder in folders:
        git("clone", "-q", f"http://{place}/{remote.name}", str(folder), cwd=tmp_path)
    return remote, folders[0], folders[1]


@pytest.fixture
def git_lfs(git: Git, tmp_path: Path) -> None:
    """The real client, with its filters for everybody."""
    need("git-lfs", "git-lfs")
    git("lfs", "install", "--skip-repo", cwd=tmp_path)


def run_ref(git: Git, folder: Path) -> str:
    return git("for-each-ref", "--format=%(refname)", "refs/gitexp/runs", cwd=folder).split()[-1]


def held(folder: Path) -> set[str]:
    return {path.name for path in (folder / ".git" / "gitexp").glob("objects/*/*/*")}


def test_through_a_real_server(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """A run travels with its artifacts, none of them through git, and nothing is sent twice."""
    remote, ann, bob = clones
    record(ann, "one")
    assert "2 artifacts (3.1 MB) to Git LFS of origin" in gitexp(ann, "push")
    assert git("for-each-ref", "refs/gitexp/data", cwd=remote) == ""
    assert "Everything is there already" in gitexp(ann, "push")
    assert "2 artifacts (3.1 MB) from Git LFS of origin" in gitexp(bob, "pull", "--artifacts")
    assert held(ann) == held(bob) != set()
    assert "Everything is whole" in gitexp(bob, "fsck", "--full")


def test_a_real_server_that_is_cut(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """A push or pull whose artifacts are cut leaves with 8 and a sentence; no run is there without its artifacts."""
    remote, ann, bob = clones
    record(ann, "one")
    url = git("config", "remote.origin.url", cwd=ann).strip()
    port = url.split("/")[2].rpartition(":")[2]

    def cut(folder: Path, *words: str, **limits: int) -> str:
        with Proxy(int(port), **limits) as proxy:
            lfs = f"{url.replace(port, str(proxy.port))}/info/lfs"
            credentials = Path(os.environ["HOME"]) / ".git-credentials"
            if credentials.exists():
                lines = credentials.read_text()
                credentials.write_text(lines + lines.replace(port, str(proxy.port)))
            git("config", "lfs.url", lfs, cwd=folder)
            said = gitexp(folder, *words, code=8)
            assert proxy.has_broken
        git("config", "--unset", "lfs.url", cwd=folder)
        assert said.startswith("error: ") and "Traceback" not in said
        return said

    cut(ann, "push", up=1_500_000)
    assert git("for-each-ref", "refs/gitexp", cwd=remote) == ""
    assert " to Git LFS of origin" in gitexp(ann, "push")
    gitexp(bob, "pull")
    cut(bob, "pull", "--artifacts", down=1_500_000)
    assert len(held(bob)) < 2
    assert " from Git LFS of origin" in gitexp(bob, "pull", "--artifacts")
    assert held(ann) == held(bob)


@pytest.mark.usefixtures("git_lfs")
def test_git_lfs_reads_what_was_pushed(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """`git lfs fetch` of a run, and a worktree of its commit, which has the artifacts in place of pointers."""
    _, ann, bob = clones
    record(ann, "one")
    gitexp(ann, "push")
    git("fetch", "-q", "origin", "refs/gitexp/*:refs/gitexp/*", cwd=bob)
    ref = run_ref(git, bob)
    git("worktree", "add", "-q", "../shown", ref, cwd=bob)
    for size in (70_000, 3_000_000):
        shown = (bob.parent / "shown" / "artifacts" / f"it's {size}" / "model.bin").read_bytes()
        assert hashlib.sha256(shown).hexdigest() in held(ann)
        assert len(shown) == size
    git("clone", "-q", git("config", "remote.origin.url", cwd=bob).strip(), "carl", cwd=bob.parent)
    carl = bob.parent / "carl"
    git("fetch", "-q", "origin", "refs/gitexp/*:refs/gitexp/*", cwd=carl)
    git("lfs", "fetch", "origin", ref, cwd=carl)
    assert {path.name for path in (carl / ".git" / "lfs" / "objects").glob("*/*/*")} == held(ann)


@pytest.mark.usefixtures("git_lfs")
def test_git_lfs_finds_what_is_here(clones: tuple[Path, Path, Path], git: Git) -> None:
    """gitexp keeps content as git-lfs does: with `lfs.storage` it is shown without a network."""
    _, ann, _ = clones
    record(ann, "one")
    nowhere = ("-c", "lfs.storage=gitexp", "-c", "lfs.url=http://127.0.0.1:9/")
    git(*nowhere, "worktree", "add", "-q", "../shown", run_ref(git, ann), cwd=ann)
    assert (ann.parent / "shown" / "artifacts" / "it's 3000000" / "model.bin").stat().st_size == 3_000_000


@pytest.mark.usefixtures("git_lfs")
def test_what_git_lfs_pushed_is_read(gitexp: Gitexp, clones: tuple[Path, Path, Path], git: Git) -> None:
    """`git push` of the refs and `git lfs push` of what they point at is a push that `gitexp pull` understands."""
    _, ann, bob = clones
    record(ann, "one")
    git("push", "-q", "origin", "refs/gitexp/*:refs/gitexp/*", cwd=ann)
    git("-c", "lfs.storage=gitexp", "lfs", "push", "origin", run_ref(git, ann), cwd=ann)
    assert "2 artifacts (3.1 MB) from Git LFS of origin" in gitexp(bob, "pull", "--artifacts")
    assert held(ann) == held(bob)


def test_by_ssh(repo_dir: Path, git: Git, gitexp: Gitexp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSH's server runs `git-lfs-authenticate`, and the artifacts go to the address that it names."""
    programs, root = tmp_path / "bin", tmp_path / "srv"
    programs.mkdir()
    root.mkdir()
    git("clone", "-q", "--bare", str(repo_dir), str(root / "team.git"), cwd=repo_dir)
    with serve_lfs(root, asks=False) as lfs:
        said = {"href": lfs.url("team.git/info/lfs"), "header": {"X-Token": "1"}, "expires_in": 600}
        script = programs / "git-lfs-authenticate"
        script.write_text(
            f'#!/bin/sh\n[ -d "$1" ] || exit 1\necho "$2" >> {tmp_path}/asked\necho \'{json.dumps(said)}\'\n'
        )
        script.chmod(0o755)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
            server = serve_ssh(root)
            ssh = server.__enter__()
        try:
            for name, value in ssh.environ.items():
                monkeypatch.setenv(name, value)
            for name in ("ann", "bob"):
                git("clone", "-q", ssh.url("team.git"), name, cwd=tmp_path)
            record(tmp_path / "ann", "one")
            assert "to Git LFS of origin" in gitexp(tmp_path / "ann", "push")
            assert "from Git LFS of origin" in gitexp(tmp_path / "bob", "pull", "--artifacts")
            assert (tmp_path / "asked").read_text().split() == ["upload", "download"]
            assert held(tmp_path / "ann") == held(tmp_path / "bob")
            script.unlink()
            record(tmp_path / "ann", "two")
            assert " itself" not in gitexp(tmp_path / "ann", "push")
            assert git("for-each-ref", "refs/gitexp/data", cwd=root / "team.git").count("\n") == 2
        finally:
            server.__exit__(None, None, None)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], Path]]:
    root = tmp_path_factory.mktemp("s3") / "buckets"
    (root / "lab").mkdir(parents=True)
    with serve_s3(root) as environ:
        yield environ, root


@pytest.fixture
def bucket(s3: tuple[dict[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bucket that the environment lets us into."""
    try:
        import obstore  # noqa: F401 (an extra)
    except ImportError:
        absent("obstore is not installed; type: pip install obstore")
    for name, value in s3[0].items():
        monkeypatch.setenv(name, value)
    return s3[1] / "lab"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make_machine(tmp_path / "machine")


def object_store(url: str) -> object:
    from gitexp.store.artifacts.objectstore import ObjectStore

    return ObjectStore(url)


def test_through_s3(gitexp: Gitexp, bucket: Path, repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """`artifacts.store: s3://...` takes the artifacts of every remote."""
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text("artifacts:\n  store: s3://lab/team\n")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "settings", cwd=repo_dir)
    git("clone", "-q", "--bare", str(repo_dir), "remote.git", cwd=tmp_path)
    for name in ("ann", "bob"):
        git("clone", "-q", "remote.git", name, cwd=tmp_path)
    record(tmp_path / "ann", "one")
    assert "2 artifacts (3.1 MB) to s3://lab/team" in gitexp(tmp_path / "ann", "push")
    there = {path.name: path for path in (bucket / "team").glob("??/??/*")}
    assert set(there) == held(tmp_path / "ann")
    assert "2 artifacts (3.1 MB) from s3://lab/team" in gitexp(tmp_path / "bob", "pull", "--artifacts")
    assert held(tmp_path / "bob") == set(there)


@pytest.mark.usefixtures("bucket")
def test_s3_in_parts(machine: Machine) -> None:
    """A large object is sent in parts; what had come of it is used, or fetched again where a store cannot go on."""
    data = os.urandom(20_000_000)
    pointer, store = machine.put(data), object_store("s3://lab/parts")
    assert store.lacking([pointer]) == {pointer}
    store.upload([pointer], machine.content, machine.told.append)
    assert sum(machine.told) == len(data)
    assert store.lacking([pointer]) == set()
    store.upload([pointer], machine.content, machine.told.append)
    assert sum(machine.told) == len(data)
    machine.content.remove(pointer.sha256)
    with machine.content.arriving(pointer) as arriving:
        arriving.write(data[:7_000_000])
    del machine.told[:]
    store.download([pointer], machine.content, machine.told.append)
    assert machine.has(pointer, data)
    assert sum(machine.told) == len(data)


@pytest.mark.usefixtures("bucket")
def test_s3_that_lacks_or_lies(machine: Machine) -> None:
    """What is missing is told after the others have come; what is wrong there or damaged here is not kept."""
    pointers = [machine.put(os.urandom(size)) for size in (100_000, 200_000, 300_000)]
    store = object_store("s3://lab/lies")
    store.upload(pointers[:2], machine.content, machine.told.append)
    for pointer in pointers:
        machine.content.remove(pointer.sha256)
    with pytest.raises(NotFound, match="1 artifacts are not at 's3://lab/lies'"):
        store.download(pointers, machine.content, machine.told.append)
    assert [machine.content.contains(pointer) for pointer in pointers] == [True, True, False]
    other = object_store("s3://lab/other")
    path = Path(machine.content.folder, pointers[0].sha256[:2], pointers[0].sha256[2:4], pointers[0].sha256)
    path.chmod(0o644)
    path.write_bytes(b"?" * 100_000)
    with pytest.raises(Exception, match="damaged, and is not sent"):
        other.upload(pointers[:1], machine.content, machine.told.append)
    large = machine.put(os.urandom(20_000_000))
    path = Path(machine.content.folder, large.sha256[:2], large.sha256[2:4], large.sha256)
    path.chmod(0o644)
    path.write_bytes(b"?" * 20_000_000)
    with pytest.raises(Exception, match="damaged, and is not sent"):
        other.upload([large], machine.content, machine.told.append)
    assert other.lacking([pointers[0], large]) == {pointers[0], large}


@pytest.mark.usefixtures("bucket")
def test_s3_that_is_cut(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence says so; the same again sends only what had not arrived, and what came is gone on with or anew."""
    contents = [os.urandom(size) for size in (1_000_000, 1_100_000, 1_200_000, 30_000_000)]
    pointers = [machine.put(data) for data in contents]
    address = os.environ["AWS_ENDPOINT_URL"]
    port = int(address.rpartition(":")[2])

    def cut(act: Callable[[], None], **limits: int) -> None:
        with Proxy(port, **limits) as proxy, monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
            with pytest.raises(RemoteFailed, match=r"'s3://lab/cut' (cannot be reached|fails)") as failed:
                act()
            assert proxy.has_broken and "\n" not in str(failed.value)

    url = "s3://lab/cut"
    cut(lambda: object_store(url).upload(pointers, machine.content, machine.told.append), up=15_000_000)
    left = object_store(url).lacking(pointers)
    assert pointers[3] in left
    del machine.told[:]
    object_store(url).upload(pointers, machine.content, machine.told.append)
    assert sum(machine.told) == sum(pointer.size_bytes for pointer in left) < sum(map(len, contents))
    assert object_store(url).lacking(pointers) == set()
    for pointer in pointers:
        machine.content.remove(pointer.sha256)
    cut(lambda: object_store(url).download(pointers, machine.content, machine.told.append), down=15_000_000)
    assert not machine.content.contains(pointers[3])
    object_store(url).download(pointers, machine.content, machine.told.append)
    assert all(machine.has(pointer, data) for pointer, data in zip(pointers, contents, strict=True))


def test_s3_with_other_content(bucket: Path, machine: Machine) -> None:
    """What has another SHA-256 there is not kept, the others come; once it is right there, so does it."""
    data = os.urandom(100_001)
    good, wrong = machine.put(os.urandom(100_000)), machine.put(data)
    store = object_store("s3://lab/wrong")
    store.upload([good, wrong], machine.content, machine.told.append)
    for pointer in (good, wrong):
        machine.content.remove(pointer.sha256)
    there = bucket / "wrong" / wrong.sha256[:2] / wrong.sha256[2:4] / wrong.sha256
    there.write_bytes(b"?" * 100_001)
    with pytest.raises(CorruptData, match="another SHA-256; it is not kept"):
        store.download([good, wrong], machine.content, machine.told.append)
    assert [machine.content.contains(pointer) for pointer in (good, wrong)] == [True, False]
    there.write_bytes(data)
    store.download([good, wrong], machine.content, machine.told.append)
    assert machine.has(wrong, data)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("operation", ["lacking", "upload", "download"])
def test_s3_that_does_not_let_us(machine: Machine, monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    """Wrong keys, a bucket that is not there, and a server that is not there: a sentence each."""
    pointer = machine.put(os.urandom(100_000))

    def act(url: str) -> None:
        store = object_store(url)
        if operation == "lacking":
            store.lacking([pointer])
        else:
            getattr(store, operation)([pointer], machine.content, machine.told.append)

    if operation == "download":
        machine.content.remove(pointer.sha256)
    if operation != "lacking":  # asked about single objects, S3 says only that they are not there
        with pytest.raises(RemoteFailed, match="'s3://nobucket/x' cannot be used: there is no such bucket"):
            act("s3://nobucket/x")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "wrong")
        with pytest.raises(AccessDenied, match="'s3://lab/x' does not let us") as failed:
            act("s3://lab/x")
        assert "AWS_ACCESS_KEY_ID" in failed.value.hint
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(RemoteFailed, match="'s3://lab/x' cannot be reached: Connection refused") as broken:
        act("s3://lab/x")
    assert "Debug source" not in str(broken.value)


def test_keys_of_a_profile(bucket: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/.aws` is read as Amazon's tools do: keys, region and endpoint of the profile in AWS_PROFILE."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    folder = Path(os.environ["HOME"]) / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = other\naws_secret_access_key = other\n"
        "[lab]\naws_access_key_id = key\naws_secret_access_key = secret\n"
    )
    (folder / "config").write_text(f"[profile lab]\nregion = eu-central-1\nendpoint_url = {endpoint}\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    pointer = machine.put(b"data")
    object_store("s3://lab/profile").upload([pointer], machine.content, machine.told.append)
    assert (bucket / "profile" / pointer.sha256[:2] / pointer.sha256[2:4] / pointer.sha256).read_bytes() == b"data"


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("url", "kind", "said", "hint"),
    [
        ("az://container/x", UsageError, "Account must be specified", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("s3://", UsageError, "Unable to recognise URL", "AWS_ACCESS_KEY_ID"),
        ("https://example.org/x", UsageError, "Artifacts cannot be kept", "s3://, gs://, az://"),
    ],
)
def test_an_address_that_makes_no_place(url: str, kind: type[Exception], said: str, hint: str) -> None:
    """The error says what is wrong with it, and what to set."""
    with pytest.raises(kind, match=said) as failed:
        object_store(url)
    assert hint in failed.value.hint  # type: ignore[attr-defined]


@pytest.mark.usefixtures("bucket")
def test_clouds_that_nobody_introduced_us_to(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key that is none, each cloud's store is made, and using it says in a sentence what to set."""
    pointer = machine.put(b"data")
    key = Path(os.environ["HOME"]) / "key.json"
    key.write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    with pytest.raises((UsageError, AccessDenied)) as failed:
        object_store("gs://bucket/x").lacking([pointer])
    assert "GOOGLE_APPLICATION_CREDENTIALS" in failed.value.hint
    assert "\n" not in str(failed.value)


def test_without_the_extra() -> None:
    """Where obstore is not installed the error says what to type."""
    said = subprocess.run([sys.executable, "-c", WITHOUT_OBSTORE], check=True, capture_output=True, text=True).stdout
    assert said == "Artifacts at 's3://x' need obstore, which is not installed. pip install 'gitexp[cloud]'\n"
