"""What goes wrong between two repositories: an error says so, nothing is lost, the same again finishes the work."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

import servers
from conftest import Git
from gitexp import Repository
from gitexp.domain.identity import run_id, run_ref
from gitexp.domain.pointer import Pointer
from gitexp.errors import CorruptData, GitexpError, RemoteFailed
from gitexp.sharing.exchange import Exchange, Sharing
from gitexp.sharing.selection import Selection
from gitexp.store.git.objects import encode_commit, object_id
from gitexp.store.git.packs import encode_entry
from sealed_runs import seal
from servers import FakeGit, Proxy, Server

pytestmark = pytest.mark.slow

ALL = Selection()
ENGINES = ("dulwich", "git")
CUTS, CUTS_BY_SSH = 10, 4
"""Each connection by ssh takes a third of a second."""


class Pair:
    """A remote behind a server, a clone that pushes and one that pulls."""

    def __init__(self, server: Server, folder: Path, git: Git, engine: str) -> None:
        self.server, self.engine, self.git = server, engine, git
        self.remote, self.ann, self.bob = folder / "srv" / "remote.git", folder / "ann", folder / "bob"
        for clone in (self.ann, self.bob):
            git("clone", "-q", str(self.remote), str(clone), cwd=folder)

    def sharing(self, folder: Path, server: Server) -> Sharing:
        self.git("remote", "set-url", "origin", server.url("remote.git"), cwd=folder)
        return Sharing(Repository.open(folder, environ={**os.environ, **server.environ}), "origin", engine=self.engine)

    def push(self, server: Server | None = None) -> Exchange:
        return self.sharing(self.ann, server or self.server).push(ALL)

    def pull(self, server: Server | None = None, *, artifacts: bool = False) -> Exchange:
        return self.sharing(self.bob, server or self.server).pull(ALL, artifacts=artifacts)

    def refs(self, folder: Path) -> str:
        return self.git("for-each-ref", "refs/gitexp/runs", "refs/gitexp/experiments", cwd=folder)

    def require_sound(self) -> None:
        for folder in (self.remote, self.ann, self.bob):
            said = self.git("fsck", "--full", "--strict", cwd=folder)
            assert "missing" not in said and "broken" not in said, said

    def require_nothing_left(self) -> None:
        for folder in (self.ann, self.bob):
            left = [path.name for path in (folder / ".git").rglob("tmp_*")]
            assert not [name for name in left if not name.startswith("tmp_pack_")], (
                left
            )  # git's own; `git gc` takes them
            assert not [path for path in (folder / ".git" / "gitexp" / "tmp").glob("*") if path.suffix != ".part"]


@pytest.fixture(scope="module", params=["daemon", "http", "ssh"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "srv").mkdir()
    start: Callable[[Path], AbstractContextManager[Server]] = servers.SERVERS[request.param]
    with start(folder / "srv") as server:
        yield server, folder


@pytest.fixture(params=ENGINES)
def pair(request: pytest.FixtureRequest, served: tuple[Server, Path], repo_dir: Path, git: Git, tmp_path: Path) -> Pair:
    server, folder = served
    below = folder / "srv" / tmp_path.name
    (below / "srv").mkdir(parents=True)
    git("clone", "-q", "--bare", str(repo_dir), str(below / "srv" / "remote.git"), cwd=repo_dir)
    inner = Server(base=server.url(f"{tmp_path.name}/srv"), port=server.port, environ=server.environ)
    return Pair(inner, below, git, request.param)


def port_of(server: Server) -> int:
    assert server.port is not None
    return server.port


def cuts_of(pair: Pair) -> int:
    return CUTS_BY_SSH if pair.server.base.startswith("ssh:") else CUTS


def points(total: int, cuts: int) -> list[int]:
    """Where to cut: at the start, all the way, and just before the end."""
    return sorted({0, *(total * step // cuts for step in range(1, cuts)), max(total - 1, 0)})


def interrupt(
    pair: Pair, act: Callable[[Server], object], way: str, prepare: Callable[[int], None], how: str, cuts_wanted: int
) -> int:
    """Do something through a proxy that breaks after more and more bytes; gives how often it was cut."""
    prepare(0)
    with Proxy(port_of(pair.server)) as open_proxy:
        act(pair.server.through(open_proxy.port))
        total = open_proxy.passed_up if way == "up" else open_proxy.passed_down
    cuts = 0
    for number, after in enumerate(points(total, cuts_wanted), 1):
        prepare(number)
        with Proxy(port_of(pair.server), **{way: after}, how=how) as proxy:
            with suppress(GitexpError):  # where the last bytes are only a farewell, all may be well without them
                act(pair.server.through(proxy.port))
            cuts += proxy.has_broken
        pair.require_sound()
        act(pair.server)
        assert pair.refs(pair.remote) == pair.refs(pair.ann)
    pair.require_nothing_left()
    return cuts


@pytest.mark.servers
@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_push_that_is_cut(pair: Pair, way: str, how: str) -> None:
    """After a cut at any place both sides are sound, and the same push finishes the work."""

    def prepare(number: int) -> None:
        seal(pair.ann, f"run {number}", output=os.urandom(50_000))

    wanted = cuts_of(pair)
    assert interrupt(pair, pair.push, way, prepare, how, wanted) > wanted // 2


@pytest.mark.servers
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_pull_that_is_cut(pair: Pair, way: str) -> None:
    """After a cut at any place both sides are sound, and the same pull brings everything."""

    def prepare(number: int) -> None:
        seal(pair.ann, f"run {number}", output=os.urandom(50_000))
        pair.push()

    def pull(server: Server) -> None:
        pair.pull(server)
        assert pair.refs(pair.bob) == pair.refs(pair.remote)

    wanted = cuts_of(pair)
    assert interrupt(pair, pull, way, prepare, "cut", wanted) > wanted // 2


@pytest.mark.servers
def test_artifacts_that_are_cut(pair: Pair) -> None:
    """Content that was cut on its way there or back comes whole in the end, and nothing else is ever kept."""

    def prepare(number: int) -> None:
        content = Repository.open(pair.ann).content
        seal(pair.ann, f"run {number}", artifacts={"a.bin": content.add_bytes(os.urandom(400_000))})

    def exchange(server: Server) -> None:
        pair.push(server)
        pair.pull(server, artifacts=True)
        assert contents(pair.bob) == contents(pair.ann)

    wanted = cuts_of(pair) // 2 + 1
    for way in ("up",) if pair.server.base.startswith("ssh:") else ("up", "down"):
        assert interrupt(pair, exchange, way, prepare, "cut", wanted) > wanted // 2
    theirs = Repository.open(pair.bob).content
    assert all(theirs.verify(sha256) for sha256 in contents(pair.bob))


def contents(folder: Path) -> set[str]:
    return {stored.sha256 for stored in Repository.open(folder).content.list()}


@pytest.mark.servers
def test_what_people_see_of_a_cut(pair: Pair) -> None:
    """Each command that is cut half-way leaves with 8 and a sentence; the same command again finishes the work."""
    content = Repository.open(pair.ann).content
    artifact = content.add_bytes(os.urandom(300_000))
    seal(pair.ann, "one", output=os.urandom(200_000), artifacts={"a.bin": artifact})
    for folder, words, way in (
        (pair.ann, ("push", "--no-artifacts"), "up"),
        (pair.ann, ("push",), "up"),
        (pair.bob, ("pull",), "down"),
        (pair.bob, ("get", "one:a.bin"), "down"),
    ):
        with Proxy(port_of(pair.server), **{way: 100_000}) as proxy:
            pair.sharing(folder, pair.server.through(proxy.port))
            done = gitexp(pair, folder, *words)
            assert proxy.has_broken
        assert done.returncode == 8, (words, done.stderr)
        assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
        pair.sharing(folder, pair.server)
        done = gitexp(pair, folder, *words)
        assert done.returncode == 0, (words, done.stderr)
    assert (pair.bob / "a.bin").stat().st_size == 300_000
    assert pair.refs(pair.bob) == pair.refs(pair.remote) == pair.refs(pair.ann)
    pair.require_sound()
    pair.require_nothing_left()


@pytest.mark.servers
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_server_that_falls_silent(pair: Pair, way: str) -> None:
    """It is given up after `gitexp.timeout`, with a message that says how to wait longer."""
    if pair.engine == "git" and pair.server.base.startswith("git:"):
        pytest.skip("the git executable waits for ever for a server that it reaches by git://")
    pair.git("config", "gitexp.timeout", "1", cwd=pair.ann)
    for number, after in enumerate((0, 300, 3000)):
        seal(pair.ann, f"run {number}", output=os.urandom(50_000))
        with Proxy(port_of(pair.server), **{way: after}, how="stall") as proxy:
            try:
                pair.push(pair.server.through(proxy.port))
            except RemoteFailed as error:
                assert "silent" in str(error) or pair.engine == "git" or "ssh" in pair.server.base, str(error)
            else:
                assert not proxy.has_broken
    pair.git("config", "--unset", "gitexp.timeout", cwd=pair.ann)
    pair.push()
    pair.require_sound()
    assert pair.refs(pair.remote) == pair.refs(pair.ann)


# Disks that are full.


@pytest.fixture(params=ENGINES)
def folders(request: pytest.FixtureRequest, repo_dir: Path, git: Git, tmp_path: Path) -> Pair:
    """A remote by path."""
    root = tmp_path / "pair" / "srv"
    root.mkdir(parents=True)
    git("clone", "-q", "--bare", str(repo_dir), str(root / "remote.git"), cwd=repo_dir)
    return Pair(Server(base=str(root)), root.parent, git, request.param)


def gitexp(pair: Pair, folder: Path, *words: str, most_kb: int | None = None) -> subprocess.CompletedProcess[str]:
    """A gitexp command, and all that it starts, which may write no file larger than so much."""
    command = [sys.executable, "-m", "gitexp", *words]
    if most_kb is not None:
        command = ["/bin/sh", "-c", f'ulimit -f {most_kb * 2}; exec "$@"', "sh", *command]
    environ = {**os.environ, **pair.server.environ, "GITEXP_TRANSPORT": pair.engine}
    return subprocess.run(command, check=False, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_full_disk_on_the_other_side(folders: Pair) -> None:
    """The push says so and ends with 8; with room, the same push finishes the work."""
    seal(folders.ann, "large", output=os.urandom(1_500_000))
    done = gitexp(folders, folders.ann, "push", most_kb=800)
    assert done.returncode == 8, done.stderr
    assert done.stderr.startswith("error:") or "Refused:" in done.stderr
    assert "Traceback" not in done.stderr
    assert folders.refs(folders.remote) == ""
    folders.require_sound()
    assert gitexp(folders, folders.ann, "push").returncode == 0
    assert folders.refs(folders.remote) == folders.refs(folders.ann)


@pytest.mark.slow
@pytest.mark.parametrize("size", [700_000, 3_000_000])
def test_a_full_disk_on_our_side(folders: Pair, size: int) -> None:
    """The pull says so; nothing half written stays; with room, the same pull finishes the work."""
    content = Repository.open(folders.ann).content
    artifact = content.add_bytes(os.urandom(size))
    seal(folders.ann, "large", output=os.urandom(size), artifacts={"a.bin": artifact})
    folders.push()
    done = gitexp(folders, folders.bob, "pull", "--artifacts", most_kb=size // 2000)
    assert done.returncode in (7, 8), done.stderr
    assert "error:" in done.stderr and "Traceback" not in done.stderr
    assert folders.refs(folders.bob) == ""
    folders.require_sound()
    assert gitexp(folders, folders.bob, "pull", "--artifacts").returncode == 0
    assert contents(folders.bob) == {artifact.sha256}
    folders.require_sound()


@pytest.mark.slow
def test_a_full_file_system_on_the_other_side(folders: Pair, tmp_path: Path) -> None:
    """With no room at all where the remote is, nothing there changes; with room the push goes through."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(small)]
    if os.getuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    try:
        shutil.copytree(folders.remote, small / "remote.git")
        folders.server = Server(base=str(small))
        folders.remote = small / "remote.git"
        seal(folders.ann, "large", output=os.urandom(3_000_000))
        with pytest.raises(RemoteFailed):
            done = folders.push()
            raise RemoteFailed("; ".join(done.records.refused.values()))
        assert folders.refs(folders.remote) == ""
        folders.require_sound()
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        assert len(folders.push().records.created) == 1
        folders.require_sound()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


# Hooks.


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_hook_that_refuses_everything(folders: Pair, hook: str) -> None:
    """Nothing there changes, the host's words are told, and once it relents the same push brings all."""
    for name in ("one", "two"):
        seal(folders.ann, name)
    program = folders.remote / "hooks" / hook
    program.write_text("#!/bin/sh\necho 'closed for the weekend' >&2\nexit 1\n")
    program.chmod(0o755)
    done = gitexp(folders, folders.ann, "push")
    assert done.returncode == 8
    assert "closed for the weekend" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("Refused: refs/gitexp/") >= 2
    assert folders.refs(folders.remote) == ""
    program.unlink()
    assert gitexp(folders, folders.ann, "push").returncode == 0
    assert folders.refs(folders.remote) == folders.refs(folders.ann)


# Others who are faster.


def test_a_remote_that_gains_the_same_run_meanwhile(folders: Pair) -> None:
    """Between our look and our push somebody else brings the run, changed: both changes are there in the end."""
    identity = seal(folders.ann, "shared")
    folders.git("fetch", "-q", str(folders.ann), "refs/gitexp/*:refs/gitexp/*", cwd=folders.bob)
    for folder, tag in ((folders.ann, "ours"), (folders.bob, "theirs")):
        repository = Repository.open(folder)
        repository.tag(repository.resolve(identity), {tag: "1"})
    hook = folders.remote / "hooks" / "pre-receive"  # runs when the other side has looked already
    fetch = f"git fetch -q {folders.bob} 'refs/gitexp/*:refs/gitexp/*'"
    quiet = "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES"
    hook.write_text(f"#!/bin/sh\nrm $0\n{quiet}\n{fetch}\n")
    hook.chmod(0o755)
    done = gitexp(folders, folders.ann, "push")
    assert done.returncode == 0, done.stderr
    assert not hook.exists()
    assert gitexp(folders, folders.bob, "pull").returncode == 0
    assert set(Repository.open(folders.bob).resolve(identity).tags) == {"ours", "theirs"}
    assert folders.refs(folders.remote) == folders.refs(folders.ann) == folders.refs(folders.bob)
    folders.require_sound()


# Artifacts that are not what they should be.


def shared_artifact(pair: Pair, size: int = 300_000) -> tuple[Pointer, str]:
    """A run with an artifact at the remote; gives its pointer and the ref that has it there."""
    pointer = Repository.open(pair.ann).content.add_bytes(os.urandom(size))
    seal(pair.ann, "one", artifacts={"a.bin": pointer})
    pair.push()
    return pointer, f"refs/gitexp/data/{pointer.sha256}/0"


def test_an_artifact_that_is_missing_there(folders: Pair) -> None:
    """The record comes, the artifact is said to be missing, and who has it can push it again."""
    pointer, ref = shared_artifact(folders)
    folders.git("update-ref", "-d", ref, cwd=folders.remote)
    done = gitexp(folders, folders.bob, "pull", "--artifacts")
    assert done.returncode == 8
    assert "1 artifact" in done.stderr
    shutil.rmtree(folders.ann / ".git" / "gitexp" / "sent")
    assert folders.push().artifacts.count == 1
    assert folders.pull(artifacts=True).artifacts.count == 1
    assert contents(folders.bob) == {pointer.sha256}


@pytest.mark.parametrize("change", ["other bytes", "more bytes", "fewer bytes", "huge", "no tree of blobs"])
def test_an_artifact_that_is_another(folders: Pair, change: str) -> None:
    """Content with another SHA-256 or size than the pointer says is not kept, however it lies."""
    pointer, ref = shared_artifact(folders)
    data = {
        "other bytes": os.urandom(300_000),
        "more bytes": os.urandom(300_001),
        "fewer bytes": os.urandom(299_999),
        "huge": os.urandom(5_000_000),
        "no tree of blobs": b"",
    }[change]
    replace_data(folders, ref, data, nested=change == "no tree of blobs")
    with pytest.raises((CorruptData, RemoteFailed)):
        folders.pull(artifacts=True)
    assert contents(folders.bob) == set()
    assert len(folders.refs(folders.bob).splitlines()) == 1
    folders.git("update-ref", "-d", ref, cwd=folders.remote)
    shutil.rmtree(folders.ann / ".git" / "gitexp" / "sent")
    folders.push()
    folders.pull(artifacts=True)
    assert contents(folders.bob) == {pointer.sha256}


@pytest.mark.parametrize("size", [10**18, 200_000_000, 1])
def test_a_pointer_that_lies_about_its_size(folders: Pair, size: int) -> None:
    """However much or little it says there is, the pull ends soon, keeps nothing wrong and leaves with 8 or 5."""
    content = Repository.open(folders.ann).content
    pointer, _ = shared_artifact(folders)
    liar = Pointer(sha256=pointer.sha256, size_bytes=size)
    seal(folders.ann, "liar", artifacts={"a.bin": liar})
    content.remove(pointer.sha256)
    gitexp(folders, folders.ann, "push", "--no-artifacts")
    done = gitexp(folders, folders.bob, "pull", "--artifacts")
    assert done.returncode in (5, 8), done.stderr
    assert "Traceback" not in done.stderr
    assert contents(folders.bob) in (set(), {pointer.sha256})
    assert gitexp(folders, folders.bob, "get", "one:a.bin", "-o", "a.bin").returncode == 0
    assert (folders.bob / "a.bin").stat().st_size == 300_000
    folders.require_nothing_left()


def test_links_that_leave(folders: Pair) -> None:
    """A run whose artifacts and code hold links to elsewhere writes nothing there, nor shows what is there."""
    secret = folders.bob.parent / "secret"
    secret.write_text("nobody may see this\n")
    code = folders.git("rev-parse", "HEAD^{tree}", cwd=folders.ann).strip()
    identity = seal(folders.ann, "honest", artifacts={"model/w.txt": b"w" * 10}, code_tree=code)
    assert gitexp(folders, folders.ann, "push").returncode == 0
    ref = run_ref("default", identity)

    def git(*words: str, data: str = "") -> str:
        done = subprocess.run(
            ["git", *words], cwd=folders.remote, input=data, capture_output=True, check=True, text=True
        )
        return done.stdout.strip()

    link, up = (git("hash-object", "-w", "--stdin", data=target) for target in (str(secret), ".."))
    artifacts = git("mktree", data=f"120000 blob {link}\tlink\n120000 blob {up}\tmodel\n")
    code = git("mktree", data=f"120000 blob {up}\tout\n120000 blob {link}\ttrain.py\n")
    kept = [line for line in git("ls-tree", ref).splitlines() if line.split("\t")[1] not in ("artifacts", "code")]
    lines = [*kept, f"040000 tree {artifacts}\tartifacts", f"040000 tree {code}\tcode"]
    tree = git("mktree", data="\n".join(lines) + "\n")
    git("update-ref", ref, git("commit-tree", tree, "-p", ref, "-m", git("log", "-1", "--format=%B", ref)))
    before = sorted(path.name for path in folders.bob.parent.iterdir())
    assert gitexp(folders, folders.bob, "pull").returncode == 0
    assert gitexp(folders, folders.bob, "get", "honest", "-o", "got").returncode == 0
    assert sorted(path.name for path in (folders.bob / "got").iterdir()) == ["link", "model"]
    assert (folders.bob / "got" / "link").read_text() == str(secret)  # a file with the text, and no link
    assert not (folders.bob / "got" / "model").is_symlink()
    assert gitexp(folders, folders.bob, "apply", "honest").returncode == 0
    assert os.readlink(folders.bob / "out") == ".."  # as git checks it out
    assert sorted(path.name for path in folders.bob.parent.iterdir()) == before
    assert secret.read_text() == "nobody may see this\n"


def replace_data(pair: Pair, ref: str, data: bytes, *, nested: bool) -> None:
    def git(*words: str, data: bytes = b"") -> str:
        done = subprocess.run(["git", *words], cwd=pair.remote, input=data, capture_output=True, check=True)
        return done.stdout.decode().strip()

    blob = git("hash-object", "-w", "--stdin", data=data)
    tree = git("mktree", data=f"100644 blob {blob}\t000\n".encode())
    if nested:
        tree = git("mktree", data=f"040000 tree {tree}\t000\n".encode())
    git("update-ref", ref, git("commit-tree", tree, "-m", "x"))


# Remotes that lie.

ONE = run_id(b"12345678")
REF = run_ref("default", ONE)


def record_of(identity: str, *, tree: bytes | None = None) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A commit that looks like a run's, and its objects."""
    text = f"format: 1\nid: {identity}\nname: liar\n".encode()
    tree = b"100644 run.yaml\0" + object_id("blob", text) if tree is None else tree
    message = f"liar: finished\n\nGitexp-Run: {identity}\nGitexp-Event: seal\n"
    commit = encode_commit(
        tree=object_id("tree", tree).hex(), parents=[], author="A <a@example.org>", time=0, message=message
    )
    return object_id("commit", commit), [("commit", commit), ("tree", tree), ("blob", text)]


def pack_of(objects: list[tuple[str, bytes]]) -> bytes:
    body = b"PACK\0\0\0\2" + len(objects).to_bytes(4, "big") + b"".join(encode_entry(*one) for one in objects)
    return body + hashlib.sha1(body).digest()


def pull_from(folder: Path, fake: FakeGit) -> Exchange:
    return Sharing(Repository.open(folder), fake.url, engine="dulwich").pull(ALL)


def hidden(folder: Path, git: Git) -> str:
    said = git("fsck", "--full", "--strict", cwd=folder)
    assert "missing" not in said and "broken" not in said, said
    return git("for-each-ref", "refs/gitexp", cwd=folder)


ODD_NAMES = [
    b"refs/gitexp/runs/../../heads/main",
    b"refs/gitexp/runs/default/../../../config",
    b"refs/gitexp/runs/default/" + ONE.encode() + b".lock",
    b"refs/gitexp/runs/default/" + ONE.encode() + b"/below",
    b"refs/gitexp/runs/--upload-pack=x/" + ONE.encode(),
    b"refs/gitexp/runs/\xff\xfe/" + ONE.encode(),
    b"refs/gitexp/runs/\x1b[31mred/" + ONE.encode(),
    b"refs/gitexp/runs//" + ONE.encode(),
    b"refs/gitexp/experiments/" + b"a" * 5000,
    b"refs/gitexp/live/" + ONE.encode(),
    b"refs/heads/main",
    b"HEAD",
]


def test_refs_with_odd_names(repo_dir: Path, git: Git) -> None:
    """What is no name of a run or an experiment is never taken, whatever it says."""
    tip, objects = record_of(ONE)
    before = git("for-each-ref", cwd=repo_dir)
    with FakeGit([(tip.hex().encode(), name) for name in ODD_NAMES], pack_of(objects)) as fake:
        done = pull_from(repo_dir, fake).records
    assert (done.created, done.updated) == ([], [])
    assert git("for-each-ref", cwd=repo_dir) == before


@pytest.mark.parametrize("oid", [b"zz" * 20, b"..", b"0" * 40, b"a" * 39, b"A" * 40, b"\xff" * 40])
def test_ids_that_are_none(repo_dir: Path, git: Git, oid: bytes) -> None:
    """An id that is no id is an error or is passed over; nothing comes of it."""
    with FakeGit([(oid, REF.encode())]) as fake, suppress(RemoteFailed):
        assert pull_from(repo_dir, fake).records.created == []
    assert hidden(repo_dir, git) == ""


@pytest.mark.parametrize("paths", [os.environ["PATH"], "/nonexistent"], ids=["git", "no git"])
@pytest.mark.parametrize("filler", [0, 1_500_000])
@pytest.mark.parametrize("left_out", ["commit", "tree", "blob"])
def test_a_pack_that_lacks_objects(
    repo_dir: Path, git: Git, left_out: str, filler: int, paths: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No ref is ever made to something that is not whole; an honest remote can still bring it."""
    monkeypatch.setenv("PATH", paths)
    tip, objects = record_of(ONE)
    more = [("blob", os.urandom(filler))] if filler else []
    some = [one for one in objects if one[0] != left_out] + more
    refs = [(tip.hex().encode(), REF.encode())]
    with FakeGit(refs, pack_of(some)) as fake:
        try:
            done = pull_from(repo_dir, fake)
            assert done.records.refused and not done.records.created
        except RemoteFailed as error:
            assert "cannot be taken in" in str(error)
    with FakeGit(refs, pack_of(objects + more)) as fake:
        assert pull_from(repo_dir, fake).records.created == [REF]
    monkeypatch.undo()
    assert len(hidden(repo_dir, git).splitlines()) == 1


@pytest.mark.parametrize("paths", [os.environ["PATH"], "/nonexistent"], ids=["git", "no git"])
@pytest.mark.parametrize("filler", [0, 1_500_000])
@pytest.mark.parametrize(
    "damage", ["cut short", "other bytes", "no pack", "wrong count", "larger than it says", "two packs"]
)
def test_a_pack_that_is_damaged(
    repo_dir: Path, git: Git, damage: str, filler: int, paths: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused as a whole, in one sentence."""
    monkeypatch.setenv("PATH", paths)
    tip, objects = record_of(ONE)
    objects += [("blob", os.urandom(filler))] if filler else []
    pack = pack_of(objects)
    if damage == "larger than it says":
        entry = bytearray(encode_entry("blob", b"x" * 2_000_000))
        body = b"PACK\0\0\0\2\0\0\0\1" + bytes([0x35]) + bytes(entry[4:])
        pack = body + hashlib.sha1(body).digest()
    damaged = {
        "cut short": pack[:-30],
        "other bytes": pack[:40] + bytes([pack[40] ^ 1]) + pack[41:],
        "no pack": b"HTTP/1.1 200 OK\r\n\r\n" + os.urandom(filler + 50),
        "wrong count": pack[:8] + b"\0\0\0\x09" + pack[12:],
        "larger than it says": pack,
        "two packs": pack[:-20] + pack,
    }[damage]
    with FakeGit([(tip.hex().encode(), REF.encode())], damaged) as fake:
        with pytest.raises(RemoteFailed) as caught:
            pull_from(repo_dir, fake)
        assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert hidden(repo_dir, git) == ""


DANGEROUS = [b"..", b".", b".git", b".GIT", b".git ", b"git~1", b".g\xe2\x80\x8cit", b"/etc", b"a/../../b", b"..\0"[:2]]


@pytest.mark.parametrize("paths", [os.environ["PATH"], "/nonexistent"], ids=["git", "no git"])
@pytest.mark.parametrize("name", DANGEROUS)
@pytest.mark.parametrize("filler", [0, 1_500_000])
def test_trees_with_names_that_leave(
    repo_dir: Path, git: Git, name: bytes, filler: int, paths: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree that could write outside of its folder, or into `.git`, does not come in."""
    monkeypatch.setenv("PATH", paths)
    evil = b"evil"
    tree = b"100644 %s\0%s" % (name, object_id("blob", evil))
    text = f"format: 1\nid: {ONE}\nname: liar\n".encode()
    root = b"40000 code\0" + object_id("tree", tree) + b"100644 run.yaml\0" + object_id("blob", text)
    tip, objects = record_of(ONE, tree=root)
    more = [("tree", tree), ("blob", evil), *([("blob", os.urandom(filler))] if filler else [])]
    fake = FakeGit([(tip.hex().encode(), REF.encode())], pack_of(objects + more))
    with fake, pytest.raises(RemoteFailed, match="cannot be taken in"):
        pull_from(repo_dir, fake)
    monkeypatch.undo()
    assert hidden(repo_dir, git) == ""


def test_a_ref_that_leads_elsewhere(repo_dir: Path, git: Git) -> None:
    """Blobs, trees, other people's commits and runs with another id are refused by name; honest runs come."""
    other = run_id(b"87654321")
    named = [run_ref("default", run_id(bytes([number] * 8))) for number in range(1, 6)]
    good, objects = record_of(ONE)
    wrong, more = record_of(other)
    text = f"format: 1\nid: {other}\n".encode()
    inside_tree = b"100644 run.yaml\0" + object_id("blob", text)
    inside, third = record_of(named[4].rpartition("/")[2], tree=inside_tree)
    plain = encode_commit(tree=object_id("tree", b"").hex(), parents=[], author="A <a@b>", time=0, message="x\n")
    extra = [("blob", b"some"), ("tree", b""), ("commit", plain), ("blob", text)]
    tips = {
        REF: good,
        named[0]: object_id("blob", b"some"),
        named[1]: object_id("tree", b""),
        named[2]: object_id("commit", plain),
        named[3]: wrong,
        named[4]: inside,
    }
    refs = [(oid.hex().encode(), name.encode()) for name, oid in tips.items()]
    with FakeGit(refs, pack_of(objects + more + third + extra)) as fake:
        done = pull_from(repo_dir, fake).records
    assert done.created == [REF]
    assert set(done.refused) == set(named)
    assert len(hidden(repo_dir, git).splitlines()) == 1


def test_an_enormous_tree(repo_dir: Path, git: Git) -> None:
    """A hundred thousand names in one folder are only that many names."""
    empty = object_id("blob", b"")
    text = f"format: 1\nid: {ONE}\nname: liar\n".encode()
    tree = b"".join(b"100644 f%06d\0%s" % (number, empty) for number in range(100_000))
    tree += b"100644 run.yaml\0" + object_id("blob", text)
    tip, objects = record_of(ONE, tree=tree)
    with FakeGit([(tip.hex().encode(), REF.encode())], pack_of([*objects, ("blob", b"")])) as fake:
        assert pull_from(repo_dir, fake).records.created == [REF]
    assert len(hidden(repo_dir, git).splitlines()) == 1


def test_a_hundred_thousand_refs(repo_dir: Path, git: Git) -> None:
    """They are read, and the one run among them comes."""
    tip, objects = record_of(ONE)
    oid = tip.hex().encode()
    refs = [(oid, b"refs/pull/%d/head" % number) for number in range(100_000)]
    with FakeGit([*refs, (oid, REF.encode())], pack_of(objects)) as fake:
        assert pull_from(repo_dir, fake).records.created == [REF]
    assert len(hidden(repo_dir, git).splitlines()) == 1


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"0003", b"ffff", b"001dERR access denied to you\n"]
)
def test_what_is_no_git_server(repo_dir: Path, said: bytes) -> None:
    """Whatever answers, an error says that it is not what was expected, in one sentence and with a hint."""

    class Other(FakeGit):
        def _answer(self, stream: object) -> None:
            stream.write(said)  # type: ignore[attr-defined]

    with Other([]) as fake, pytest.raises(RemoteFailed) as caught:
        pull_from(repo_dir, fake)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert ("access denied to you" in str(caught.value)) == (b"ERR" in said)
