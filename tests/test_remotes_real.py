"""Push and pull with real servers: OpenSSH's, git's http-backend, git daemon, dulwich's, and a folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import servers
from conftest import Git
from gitexp import Repository
from gitexp.errors import AccessDenied, RemoteFailed
from gitexp.sharing.exchange import Exchange, Sharing
from gitexp.sharing.selection import Selection
from sealed_runs import seal
from servers import PASSWORD, USER, Server

pytestmark = pytest.mark.servers

ALL = Selection()
WITH_GIT = ("path", "ssh", "http", "daemon")


class Place:
    """A server, the bare repository that it serves, and the clones of two people."""

    def __init__(self, server: Server, folder: Path, git: Git, engine: str) -> None:
        self.server = server
        self.engine = engine
        self.git = git
        self.remote = folder / "srv" / "remote.git"
        self.ann, self.bob = (self.clone(name) for name in ("ann", "bob"))

    def clone(self, name: str) -> Path:
        folder = self.remote.parent.parent / name
        self.git("clone", "-q", str(self.remote), str(folder), cwd=self.remote)
        self.git("remote", "set-url", "origin", self.server.url("remote.git"), cwd=folder)
        return folder

    def sharing(self, folder: Path, **environ: str) -> Sharing:
        known = {**os.environ, **self.server.environ, **environ}
        return Sharing(Repository.open(folder, environ=known), "origin", engine=self.engine)

    def push(self, folder: Path, selection: Selection = ALL, **environ: str) -> Exchange:
        return self.sharing(folder, **environ).push(selection)

    def pull(self, folder: Path, *, artifacts: bool = False, **environ: str) -> Exchange:
        return self.sharing(folder, **environ).pull(ALL, artifacts=artifacts)

    def gitexp(self, folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gitexp", *words],
            check=False,
            cwd=folder,
            env={**os.environ, **self.server.environ, "GITEXP_TRANSPORT": self.engine, **environ},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def refs(self, folder: Path) -> str:
        return self.git("for-each-ref", "refs/gitexp/runs", "refs/gitexp/experiments", cwd=folder)

    def require_sound(self, *folders: Path) -> None:
        for folder in folders or (self.remote, self.ann, self.bob):
            said = self.git("fsck", "--full", "--strict", cwd=folder)
            assert "missing" not in said and "error" not in said, said


@pytest.fixture(scope="module", params=list(servers.SERVERS))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "srv").mkdir()
    start: Callable[[Path], AbstractContextManager[Server]] = servers.SERVERS[request.param]
    with start(folder / "srv") as server:
        yield server, folder


@pytest.fixture(params=["dulwich", "git"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(served: tuple[Server, Path], engine: str, repo_dir: Path, git: Git, tmp_path: Path) -> Place:
    """Fresh repositories for each test, below the folder that the server serves."""
    server, folder = served
    below = folder / "srv" / tmp_path.name
    (below / "srv").mkdir(parents=True)
    git("clone", "-q", "--bare", str(repo_dir), str(below / "srv" / "remote.git"), cwd=repo_dir)
    inner = Server(base=server.url(f"{tmp_path.name}/srv"), port=server.port, environ=server.environ)
    return Place(inner, below, git, engine)


def only(names: tuple[str, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("served", names, indirect=True)


def pointer_to(folder: Path, size: int) -> object:
    return Repository.open(folder).content.add_bytes(os.urandom(size))


def names(folder: Path) -> set[str]:
    return {run.record.name for run in Repository.open(folder).search()}


def test_push_and_pull(place: Place) -> None:
    """Runs arrive to the same commits; what is there already does not travel; all repositories stay sound."""
    for name in ("one", "two"):
        seal(place.ann, name, metrics={"loss": 0.5})
    assert len(place.push(place.ann).records.created) == 2
    again = place.push(place.ann).records
    assert (again.created, again.updated, again.same) == ([], [], 2)
    assert len(place.pull(place.bob).records.created) == 2
    assert place.pull(place.bob).records.created == []
    assert names(place.bob) == {"one", "two"}
    assert place.refs(place.remote) == place.refs(place.ann) == place.refs(place.bob)
    place.require_sound()


def test_the_command_line(place: Place) -> None:
    """A whole exchange as people have it, code that no branch has included."""
    (place.ann / "new.py").write_text("x = 1\n")
    place.git("add", "-A", cwd=place.ann)
    place.git("commit", "-q", "-m", "mine", cwd=place.ann)
    script = "import gitexp\nwith gitexp.start_run('mine', params={'lr': 0.1}) as run: run.log_metric('loss', 0.5)\n"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=place.ann)
    done = place.gitexp(place.ann, "push")
    assert (done.returncode, done.stdout) == (0, "Pushed 1 new run to origin.\n"), done.stderr
    done = place.gitexp(place.bob, "pull")
    assert (done.returncode, done.stdout) == (0, "Pulled 1 new run from origin.\n"), done.stderr
    assert json.loads(place.gitexp(place.bob, "ls", "--json").stdout)["runs"][0]["name"] == "mine"
    place.require_sound()


@only(("ssh", "http"))
def test_every_command_between_two_people(place: Place) -> None:
    """What one records and pushes, the other clones, lists, gets, applies, branches off and removes for both."""

    def said(folder: Path, *words: str) -> str:
        done = place.gitexp(folder, *words)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout + done.stderr

    def state(folder: Path) -> dict[str, object]:
        return json.loads(place.gitexp(folder, "remote", "--json").stdout)[0]

    refs = "heads" if place.engine == "git" else "hidden"
    url = place.server.url("remote.git")
    (place.ann / "train.py").write_text("print('changed, and in no commit')\n")
    script = "import gitexp, pathlib\nwith gitexp.start_run('mine', params={'lr': 0.1}) as run:\n"
    script += "    run.log_metric('loss', 0.5)\n    pathlib.Path('m.bin').write_bytes(bytes(range(256)) * 4000)\n"
    script += "    run.log_artifact('m.bin')\n"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=place.ann)
    if refs == "heads":
        said(place.ann, "remote", "set", "origin", "--refs", "heads")
    assert (state(place.ann)["not_shared"], state(place.ann)["unsent"]) == (1, 1)
    assert "Pushed 1 new run, 1 artifact (1.0 MB) to origin" in said(place.ann, "push")
    assert (state(place.ann)["runs"], state(place.ann)["not_shared"], state(place.ann)["unsent"]) == (1, 0, 0)
    assert place.refs(place.remote) == ("" if refs == "heads" else place.refs(place.ann))
    eve = place.ann.parent / "eve"
    said(place.ann, "clone", url, str(eve))
    if refs == "heads":
        said(eve, "remote", "set", "origin", "--refs", "heads")
        said(eve, "pull")
    assert "mine" in said(eve, "ls")
    assert "fetched from origin" in said(eve, "get", "mine:m.bin", "-o", "m.bin")
    assert (eve / "m.bin").read_bytes() == bytes(range(256)) * 4000
    said(eve, "apply", "mine")
    assert (eve / "train.py").read_text() == "print('changed, and in no commit')\n"
    said(eve, "branch", "mine", "try")
    assert "changed, and in no commit" in place.git("show", "try:train.py", cwd=eve)
    said(eve, "rm", "mine", "--remote")
    said(place.ann, "pull")
    assert "mine" not in said(place.ann, "ls")
    said(eve, "restore", "mine", "--remote")
    said(place.ann, "pull")
    assert "mine" in said(place.ann, "ls")
    assert place.refs(place.ann) == place.refs(eve)
    place.require_sound(place.remote, place.ann, eve)


def test_a_push_that_stands_on_pushed_code_sends_little(place: Place) -> None:
    """Code that is on no branch of the remote travels with its first run and not again, and is not pulled again."""
    (place.ann / "large.bin").write_bytes(os.urandom(300_000))
    place.git("add", "-A", cwd=place.ann)
    place.git("commit", "-q", "-m", "large", cwd=place.ann)
    sizes = []
    for name in ("one", "two"):
        seal(place.ann, name)
        before = size_of(place.remote), size_of(place.bob)
        place.push(place.ann)
        place.pull(place.bob)
        sizes.append((size_of(place.remote) - before[0], size_of(place.bob) - before[1]))
    assert min(sizes[0]) > 300_000
    assert max(sizes[1]) < 50_000


def size_of(folder: Path) -> int:
    root = folder / ".git" if (folder / ".git").exists() else folder
    return sum(path.stat().st_size for path in (root / "objects").rglob("*") if path.is_file())


def test_what_both_changed_is_merged(place: Place) -> None:
    """Tags and notes that two people set at once are all there in the end, in every repository."""
    seal(place.ann, "shared")
    place.push(place.ann)
    place.pull(place.bob)
    for folder, tags in ((place.ann, {"stage": "dev"}), (place.bob, {"data": "v2"})):
        repository = Repository.open(folder)
        repository.tag(repository.resolve("shared"), tags)
    place.push(place.ann)
    assert len(place.push(place.bob).records.merged) == 1
    assert len(place.pull(place.ann).records.updated) == 1
    assert place.refs(place.remote) == place.refs(place.ann) == place.refs(place.bob)
    assert Repository.open(place.ann).resolve("shared").tags == {"stage": "dev", "data": "v2"}
    place.require_sound()


@only(WITH_GIT)
def test_two_pushes_at_once(place: Place) -> None:
    """People who change the same run and push at the same moment all succeed, and nothing of theirs is lost."""
    seal(place.ann, "shared")
    place.push(place.ann)
    folders = [place.ann, place.bob, place.clone("eve")]
    for number, folder in enumerate(folders):
        if number:
            place.pull(folder)
        seal(folder, f"own {number}")
        repository = Repository.open(folder)
        repository.tag(repository.resolve("shared"), {f"tag{number}": "set"})
    start = threading.Barrier(len(folders))
    failures: list[BaseException] = []

    def push(folder: Path) -> None:
        sharing = place.sharing(folder)
        start.wait()
        try:
            assert not sharing.push(ALL).records.refused
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=push, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    place.pull(place.ann)
    assert names(place.ann) == {"shared", "own 0", "own 1", "own 2"}
    assert set(Repository.open(place.ann).resolve("shared").tags) == {"tag0", "tag1", "tag2"}
    place.require_sound(place.remote, *folders)


@only(WITH_GIT)
def test_a_hook_that_refuses(place: Place) -> None:
    """One ref is refused and said with the hook's words; the others arrive, and the next push brings what is left."""
    for name in ("good", "bad"):
        seal(place.ann, name)
    bad = Repository.open(place.ann).resolve("bad").ref
    hook = place.remote / "hooks" / "update"
    hook.write_text(f"#!/bin/sh\n[ $1 != {bad} ] || {{ echo 'only on Mondays' >&2; exit 1; }}\n")
    hook.chmod(0o755)
    done = place.push(place.ann)
    assert list(done.records.refused) == [bad]
    assert "hook declined" in done.records.refused[bad]
    assert "only on Mondays" in done.records.said
    assert len(done.records.created) == 1
    said = place.gitexp(place.ann, "push")
    assert said.returncode == 8
    assert bad in said.stderr and "only on Mondays" in said.stderr and "Traceback" not in said.stderr
    hook.unlink()
    assert place.push(place.ann).records.created == [bad]


@only(WITH_GIT)
def test_a_host_that_accepts_only_branches_and_tags(place: Place) -> None:
    """With `refs: heads` runs are branches there and hidden refs here; without it the push says what the host says."""
    hook = place.remote / "hooks" / "update"
    hook.write_text("#!/bin/sh\ncase $1 in refs/heads/*|refs/tags/*) ;; *) echo 'branches only' >&2; exit 1;; esac\n")
    hook.chmod(0o755)
    seal(place.ann, "one", artifacts={"model.bin": pointer_to(place.ann, 100_000)})
    with pytest.raises(RemoteFailed, match="refs/gitexp/data"):
        place.push(place.ann)
    for folder in (place.ann, place.bob):
        (folder / ".gitexp").mkdir()
        (folder / ".gitexp" / "config.yaml").write_text("remotes:\n  origin:\n    refs: heads\n")
    assert len(place.push(place.ann).records.created) == 1
    assert place.pull(place.bob, artifacts=True).artifacts.count == 1
    assert place.refs(place.ann) == place.refs(place.bob)
    assert place.refs(place.remote) == ""
    place.require_sound()


def test_artifacts_in_the_remote_itself(place: Place) -> None:
    """Large files of several sizes go there and come back the same, into the object store and not into git's."""
    sizes = (70_000, 3_000_000, 20_000_000)
    pointers = {f"{size}.bin": pointer_to(place.ann, size) for size in sizes}
    seal(place.ann, "large", artifacts=pointers)
    sent = place.push(place.ann).artifacts
    assert (sent.count, sent.size_bytes) == (3, sum(sizes))
    assert place.push(place.ann).artifacts.count == 0
    assert place.pull(place.bob).artifacts.count == 0
    came = place.pull(place.bob, artifacts=True).artifacts
    assert (came.count, came.missing) == (3, ())
    theirs = Repository.open(place.bob).content
    assert all(theirs.verify(pointer.sha256) for pointer in pointers.values())  # type: ignore[attr-defined]
    assert size_of(place.bob) < 200_000
    place.require_sound()


@only(WITH_GIT)
def test_plain_git_sees_runs_when_it_asks_for_them(place: Place, tmp_path: Path) -> None:
    """`git clone` brings neither runs nor artifacts; `git fetch` of the refs brings the runs, and gitexp lists them."""
    seal(place.ann, "one", artifacts={"model.bin": pointer_to(place.ann, 5_000_000)})
    place.push(place.ann)
    url = place.server.url("remote.git")
    place.git("clone", "-q", "--no-local", url, str(tmp_path / "plain"), cwd=tmp_path, **place.server.environ)
    plain = tmp_path / "plain"
    assert size_of(plain) < 100_000
    assert place.refs(plain) == ""
    runs = "refs/gitexp/runs/*:refs/gitexp/runs/*"
    place.git("fetch", "-q", "origin", runs, cwd=plain, **place.server.environ)
    assert names(plain) == {"one"}
    assert size_of(plain) < 200_000
    place.git("fetch", "-q", "origin", "refs/gitexp/*:refs/gitexp/*", cwd=plain, **place.server.environ)
    place.require_sound(plain)


@only(WITH_GIT)
def test_a_shallow_clone_pushes_and_pulls(place: Place, git: Git) -> None:
    """A clone without its history shares runs like any other, and its repository stays sound."""
    for number in range(3):
        (place.bob / "f").write_text(f"{number}\n")
        git("add", "-A", cwd=place.bob)
        git("commit", "-q", "-m", str(number), cwd=place.bob)
    git("push", "-q", str(place.remote), "main", cwd=place.bob)
    shallow = place.ann.parent / "shallow"
    git("clone", "-q", "--depth=1", f"file://{place.remote}", str(shallow), cwd=place.remote)
    git("remote", "set-url", "origin", place.server.url("remote.git"), cwd=shallow)
    seal(shallow, "of the shallow one")
    place.push(shallow)
    seal(place.bob, "of the whole one")
    place.push(place.bob)
    place.pull(shallow)
    place.pull(place.bob)
    assert names(shallow) == names(place.bob) == {"of the shallow one", "of the whole one"}
    place.require_sound(place.remote, shallow, place.bob)


@only(("path", "ssh", "http"))
def test_alternates_and_worktrees(place: Place, git: Git) -> None:
    """A clone that borrows objects, and a second worktree of it, share runs like any other."""
    shared = place.ann.parent / "shared"
    git("clone", "-q", "--shared", str(place.bob), str(shared), cwd=place.bob)
    git("remote", "set-url", "origin", place.server.url("remote.git"), cwd=shared)
    tree = place.ann.parent / "tree"
    git("worktree", "add", "-q", str(tree), cwd=shared)
    seal(tree, "of the worktree")
    seal(place.ann, "of ann")
    place.push(place.ann)
    assert len(place.push(tree).records.created) == 1
    assert len(place.pull(tree).records.created) == 1
    assert names(shared) == {"of the worktree", "of ann"}
    place.require_sound(place.remote, shared)


@only(("ssh", "http"))
def test_a_partial_clone(place: Place, git: Git) -> None:
    """A clone that left blobs with its remote pushes and pulls without fetching all of them."""
    git("config", "uploadpack.allowFilter", "true", cwd=place.remote)
    partial = place.ann.parent / "partial"
    url = place.server.url("remote.git")
    git(
        "clone",
        "-q",
        "--filter=blob:none",
        "--no-checkout",
        url,
        str(partial),
        cwd=place.remote,
        **place.server.environ,
    )
    seal(place.ann, "of ann")
    place.push(place.ann)
    seal(partial, "of the partial one")
    place.push(partial)
    place.pull(partial)
    place.pull(place.bob)
    assert names(partial) == names(place.bob) == {"of ann", "of the partial one"}
    place.require_sound(place.remote, place.bob)


@only(("path", "ssh", "http"))
def test_many_runs(place: Place) -> None:
    """More than a hundred, from which on git keeps packs, travel in one conversation, and leave few files."""
    for number in range(120):
        seal(place.ann, f"run {number}")
    assert len(place.push(place.ann).records.created) == 120
    assert len(place.pull(place.bob).records.created) == 120
    assert place.refs(place.remote) == place.refs(place.bob)
    assert sum(1 for _ in (place.bob / ".git" / "objects" / "pack").iterdir()) < 20
    place.require_sound()


# Who we are.


@pytest.fixture
def guarded(engine: str, repo_dir: Path, git: Git, tmp_path: Path) -> Iterator[Place]:
    """A web server that wants a password, which the address does not have."""
    root = tmp_path / "g" / "srv"
    root.mkdir(parents=True)
    git("clone", "-q", "--bare", str(repo_dir), str(root / "remote.git"), cwd=repo_dir)
    with servers.serve_http(root) as server:
        bare = Server(base=f"http://127.0.0.1:{server.port}", port=server.port, environ={"GIT_TERMINAL_PROMPT": "0"})
        place = Place(bare, root.parent, git, engine)
        seal(place.ann, "one", artifacts={"a.bin": pointer_to(place.ann, 200_000)})
        yield place


def test_without_credentials(guarded: Place) -> None:
    """Nobody is asked where nobody can answer: the error says what is missing, and nothing has changed."""
    with pytest.raises(AccessDenied, match="wants to know who we are"):
        guarded.push(guarded.ann)
    done = guarded.gitexp(guarded.ann, "pull")
    assert done.returncode == 8
    assert "Traceback" not in done.stderr and "git fetch" in done.stderr
    assert guarded.refs(guarded.remote) == ""


def test_wrong_credentials(guarded: Place, git: Git) -> None:
    """A wrong password in the address is refused, and is not shown."""
    wrong = f"http://{USER}:not-it-at-all@127.0.0.1:{guarded.server.port}/remote.git"
    git("remote", "set-url", "origin", wrong, cwd=guarded.ann)
    done = guarded.gitexp(guarded.ann, "push")
    assert done.returncode == 8
    assert "not-it-at-all" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def credential_line(place: Place) -> str:
    from urllib.parse import quote

    return f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{place.server.port}"


def test_credentials_in_the_address(guarded: Place, git: Git) -> None:
    """They are used, and never shown."""
    git("remote", "set-url", "origin", f"{credential_line(guarded)}/remote.git", cwd=guarded.ann)
    done = guarded.gitexp(guarded.ann, "push", credential_line(guarded) + "/remote.git")
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout and "p%40ss" not in done.stdout
    assert guarded.refs(guarded.remote) == guarded.refs(guarded.ann)


def test_credentials_of_a_helper(guarded: Place, git: Git) -> None:
    """git's helper `store` answers; wrong ones that it has are taken out, as git does."""
    kept = Path(os.environ["HOME"]) / ".git-credentials"
    kept.write_text(credential_line(guarded) + "\n")
    git("config", "--global", "credential.helper", "store", cwd=guarded.ann)
    assert len(guarded.push(guarded.ann).records.created) == 1
    assert guarded.pull(guarded.bob, artifacts=True).artifacts.count == 1
    assert len(kept.read_text().splitlines()) == 1
    kept.write_text(f"http://{USER}:wrong@127.0.0.1:{guarded.server.port}\n")
    with pytest.raises(AccessDenied):
        guarded.pull(guarded.clone("eve"))
    assert "wrong" not in kept.read_text()


def test_credentials_of_netrc(guarded: Place) -> None:
    netrc = Path(os.environ["HOME"]) / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    netrc.chmod(0o600)
    assert len(guarded.push(guarded.ann).records.created) == 1


def test_credentials_of_askpass(guarded: Place, tmp_path: Path) -> None:
    """Whoever is asked is asked once for each word, however many connections there are."""
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(
        f"#!/bin/sh\necho \"$1\" >> {asked}\ncase $1 in User*) echo {USER};; *) echo '{PASSWORD}';; esac\n"
    )
    program.chmod(0o755)
    assert len(guarded.push(guarded.ann, GIT_ASKPASS=str(program)).records.created) == 1
    if guarded.engine == "dulwich":
        assert len(asked.read_text().splitlines()) == 2


def test_a_header_for_all_requests(guarded: Place, git: Git) -> None:
    """`http.extraHeader`, as CI services set it for one address, lets us in."""
    import base64

    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    place = f"http.http://127.0.0.1:{guarded.server.port}/.extraHeader"
    git("config", "--add", "http.extraHeader", "X-First: 1", cwd=guarded.ann)
    git("config", "--add", "http.extraHeader", "X-Second: 2", cwd=guarded.ann)
    git("config", place, f"AUTHORIZATION: basic {token}", cwd=guarded.ann)
    assert len(guarded.push(guarded.ann).records.created) == 1


@only(("ssh",))
@pytest.mark.parametrize("where", ["GIT_SSH_COMMAND", "core.sshCommand", "config"])
def test_how_ssh_is_found(place: Place, git: Git, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment, git's configuration and ssh's own file of hosts are honoured."""
    seal(place.ann, "one")
    command = place.server.environ["GIT_SSH_COMMAND"]
    environ = {"GIT_SSH_COMMAND": command}
    if where == "core.sshCommand":
        git("config", "core.sshCommand", command, cwd=place.ann)
        monkeypatch.delitem(place.server.environ, "GIT_SSH_COMMAND")
        environ = {}
    if where == "config":
        words = shlex.split(command)
        options = dict(word.split("=", 1) for word in words if "=" in word)
        key = words[words.index("-i") + 1]
        lines = [f"  {name} {value}" for name, value in options.items()]
        said = ["Host lab", "  HostName 127.0.0.1", f"  Port {place.server.port}", f"  IdentityFile {key}", *lines]
        (tmp_path / "hosts").write_text("\n".join(said) + "\n")
        url = place.server.url("remote.git")
        git("remote", "set-url", "origin", f"lab:{url.partition(str(place.server.port))[2]}", cwd=place.ann)
        environ = {"GIT_SSH_COMMAND": f"ssh -F {tmp_path / 'hosts'}"}
    assert len(place.push(place.ann, **environ).records.created) == 1


@only(("ssh",))
def test_ssh_that_does_not_let_us_in(place: Place) -> None:
    """What ssh says is said, with a hint; the exit code is 8."""
    seal(place.ann, "one")
    done = place.gitexp(place.ann, "push", GIT_SSH_COMMAND="ssh -F /dev/null -o BatchMode=yes -i /nonexistent")
    assert done.returncode == 8
    assert "does not let us in" in done.stderr
    assert "Host key verification failed" in done.stderr or "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


@only(WITH_GIT)
def test_a_repository_that_is_not_there(place: Place, git: Git) -> None:
    """The address is named, and how to see which there are."""
    git("remote", "set-url", "origin", place.server.url("nothing.git"), cwd=place.ann)
    done = place.gitexp(place.ann, "pull")
    assert done.returncode == 8
    assert "nothing.git" in done.stderr and "Traceback" not in done.stderr
    assert re.search("hint: Type: git (remote -v|fetch), to see", done.stderr), done.stderr


@only(("path", "http"))
def test_addresses_that_git_rewrites(place: Place, git: Git) -> None:
    """`url.<base>.insteadOf` and a `pushurl` of its own are honoured."""
    seal(place.ann, "one")
    base = place.server.url("")
    git("config", f"url.{base}.insteadOf", "lab:", cwd=place.ann)
    git("remote", "set-url", "origin", "lab:remote.git", cwd=place.ann)
    assert len(place.push(place.ann).records.created) == 1
    git("remote", "set-url", "origin", "/nonexistent/nothing.git", cwd=place.bob)
    git("remote", "set-url", "--push", "origin", place.server.url("remote.git"), cwd=place.bob)
    seal(place.bob, "two")
    assert len(place.push(place.bob).records.created) == 1
    assert len(place.refs(place.remote).splitlines()) == 2


def test_without_a_git_executable(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """Three hundred runs, their artifacts and merges travel to a folder where no git is installed."""
    root = tmp_path / "g" / "srv"
    root.mkdir(parents=True)
    git("clone", "-q", "--bare", str(repo_dir), str(root / "remote.git"), cwd=repo_dir)
    place = Place(Server(base=str(root)), root.parent, git, "auto")
    environ = {"PATH": "/nonexistent"}
    for number in range(300):
        seal(place.ann, f"run {number}")
    pointer = pointer_to(place.ann, 3_000_000)
    seal(place.ann, "large", artifacts={"model.bin": pointer})
    assert len(place.push(place.ann, **environ).records.created) == 301
    assert place.pull(place.bob, artifacts=True, **environ).artifacts.count == 1
    for folder, tags in ((place.ann, {"a": "1"}), (place.bob, {"b": "2"})):
        repository = Repository.open(folder)
        repository.tag(repository.resolve("large"), tags)
    place.push(place.ann, **environ)
    assert len(place.push(place.bob, **environ).records.merged) == 1
    place.pull(place.ann, **environ)
    assert place.refs(place.remote) == place.refs(place.ann) == place.refs(place.bob)
    place.require_sound()
