"""clone, remote, get, rm --remote and restore --remote: with each way of talking to a remote, over paths."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import gitexp
from conftest import Git
from gitexp.cli import execute
from gitexp.cli.completion import BashWithColons
from gitexp.cli.progress import Progress
from gitexp.domain.config import parse_config
from gitexp.domain.pointer import Pointer
from gitexp.domain.run import Status
from gitexp.errors import CorruptData, UsageError
from gitexp.recording import Recorder, RunRequest
from gitexp.repo import Repository
from gitexp.sharing.artifacts import choose, choose_from, get
from gitexp.sharing.remotesettings import set_remote
from gitexp.store.git.cloning import folder_for
from gitexp.store.userfolder import UserFolder
from gitexp.store.yamlfile import load_yaml
from gitexp.upkeep import gc

pytestmark = pytest.mark.slow

LARGE = 200_000


@dataclass(frozen=True)
class Done:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture(params=["dulwich", "git"])
def cli(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """`cli(folder, "push")` runs a command line there, with each engine in its turn."""
    monkeypatch.setenv("GITEXP_TRANSPORT", request.param)
    return command_line(monkeypatch, capfd)


@pytest.fixture
def plain_cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """The same with the engine that is chosen by itself."""
    return command_line(monkeypatch, capfd)


def command_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("COLUMNS", "200")

    def run(folder: Path, *words: str) -> Done:
        monkeypatch.chdir(folder)
        capfd.readouterr()
        code = execute(list(words))
        captured = capfd.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def ann(repo_dir: Path, git: Git) -> Path:
    """A clone of a bare remote, `../remote.git`."""
    git("clone", "-q", "--bare", str(repo_dir), "../remote.git", cwd=repo_dir)
    git("clone", "-q", "../remote.git", "../ann", cwd=repo_dir)
    return repo_dir.parent / "ann"


def record(folder: Path, name: str, files: dict[str, bytes] | None = None) -> str:
    """Seal a run; gives its id."""
    repository = Repository.open(folder)
    recorder = Recorder.begin(repository, RunRequest(name=name, params={"lr": 0.1}), on_trouble=pytest.fail)
    for path, data in (files or {}).items():
        recorder.add_bytes(data, path)
    assert recorder.end(Status.FINISHED)
    return recorder.run_id


def content_files(folder: Path) -> list[Path]:
    return [path for path in (folder / ".git/gitexp/objects").rglob("*") if path.is_file()]


# clone


def test_a_clone_has_the_runs_and_the_files(cli: Cli, ann: Path, git: Git) -> None:
    """`gitexp clone` leaves what `git clone` does, with every run listed, and large artifacts only when asked for."""
    record(ann, "baseline", {"model.bin": os.urandom(LARGE)})
    git("push", "-q", "origin", "main:dev", cwd=ann)
    git("tag", "v1", cwd=ann)
    git("push", "-q", "origin", "v1", cwd=ann)
    assert cli(ann, "push").code == 0
    done = cli(ann.parent, "clone", "remote.git")
    assert (done.code, done.out) == (0, "Cloned into remote: 1 run.\n"), done.err
    clone = ann.parent / "remote"
    assert git("status", "--porcelain", "-b", cwd=clone) == "## main...origin/main\n"
    assert (clone / "train.py").read_text() == "print('training')\n"
    branches = git("for-each-ref", "--format=%(refname)", "refs/remotes", "refs/tags", cwd=clone).split()
    assert {"refs/remotes/origin/main", "refs/remotes/origin/dev", "refs/tags/v1"} <= set(branches)
    assert [run["name"] for run in cli(clone, "ls", "--json").json["runs"]] == ["baseline"]
    assert not content_files(clone)
    assert git("fsck", "--full", "--strict", "--no-dangling", cwd=clone) == ""
    done = cli(ann.parent, "clone", "remote.git", "full", "--artifacts", "-b", "dev")
    assert (done.code, done.out) == (0, "Cloned into full: 1 run, 1 artifact (200 kB).\n"), done.err
    assert git("branch", "--show-current", cwd=ann.parent / "full") == "dev\n"
    assert len(content_files(ann.parent / "full")) == 1


def test_a_clone_without_a_git_executable(plain_cli: Cli, ann: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, files, the branch that is the remote's HEAD, and every command that brings a run back work alone."""
    (ann / "train.py").write_text("print('run')\n")
    record(ann, "run", {"model.bin": b"m" * LARGE})
    git("push", "-q", "origin", "main:another", "main:zzz", cwd=ann)
    git("symbolic-ref", "HEAD", "refs/heads/zzz", cwd=ann.parent / "remote.git")
    assert plain_cli(ann, "push").code == 0
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", "/nonexistent")
    done = plain_cli(ann.parent, "clone", "remote.git", "bob")
    assert (done.code, done.out) == (0, "Cloned into bob: 1 run.\n"), done.err
    bob = ann.parent / "bob"
    assert plain_cli(bob, "apply", "run").code == 0
    assert (bob / "train.py").read_text() == "print('run')\n"
    assert plain_cli(bob, "get", "run:model.bin").code == 0
    assert plain_cli(bob, "branch", "run", "review").code == 0
    assert plain_cli(bob, "remote").code == 0
    monkeypatch.setenv("PATH", path)
    assert git("branch", "--show-current", cwd=bob) == "zzz\n"
    assert git("status", "--porcelain", cwd=bob) == " M train.py\n?? model.bin\n"
    assert git("fsck", "--full", "--strict", cwd=bob) == ""


@pytest.mark.parametrize("has_git", [True, False], ids=["with git", "without git"])
def test_a_state_that_comes_back_travels_whole(
    plain_cli: Cli, ann: Path, git: Git, monkeypatch: pytest.MonkeyPatch, has_git: bool
) -> None:
    """A run that was removed and restored before it was pushed has its first state again; none of it is left out."""
    record(ann, "run", {"small.txt": b"small\n"})
    for words in (["rm", "run"], ["restore", "run"], ["tag", "run", "a=b"], ["tag", "run", "--remove", "a"]):
        assert plain_cli(ann, *words).code == 0
    with monkeypatch.context() as patch:
        if not has_git:
            patch.setenv("PATH", "/nonexistent")
        assert plain_cli(ann, "push").code == 0
        assert plain_cli(ann.parent, "clone", "remote.git", "bob").code == 0
    for folder in ("remote.git", "bob"):
        assert git("fsck", "--full", "--strict", cwd=ann.parent / folder) == ""
    assert plain_cli(ann.parent / "bob", "fsck").out == ""


def test_a_clone_that_fails_leaves_no_folder(cli: Cli, ann: Path) -> None:
    """Neither a missing remote nor a missing branch leaves anything, and an empty folder stays empty."""
    top = ann.parent
    assert cli(top, "clone", "nowhere.git", "a/b/c").code in (3, 8)
    assert cli(top, "clone", "remote.git", "a/b/c", "-b", "nothing").code in (3, 8)
    assert not (top / "a").exists()
    (top / "empty").mkdir()
    assert cli(top, "clone", "nowhere.git", "empty").code in (3, 8)
    assert list((top / "empty").iterdir()) == []
    (top / "full").mkdir()
    (top / "full" / "mine.txt").write_text("mine")
    assert cli(top, "clone", "remote.git", "full").code in (2, 8)
    assert [path.name for path in (top / "full").iterdir()] == ["mine.txt"]


def test_runs_that_do_not_come_whole_leave_no_clone(cli: Cli, ann: Path, git: Git) -> None:
    """Where the code arrives and the runs do not, the clone goes again."""
    record(ann, "baseline")
    assert cli(ann, "push").code == 0
    remote = ann.parent / "remote.git"
    [ref] = git("for-each-ref", "--format=%(refname)", "refs/gitexp/runs", cwd=remote).split()
    for packed in (remote / "packed-refs", remote / ref):
        packed.unlink(missing_ok=True)
    (remote / "refs/heads/main").parent.mkdir(parents=True, exist_ok=True)
    (remote / "refs/heads/main").write_text(git("rev-parse", "HEAD", cwd=ann))
    (remote / ref).parent.mkdir(parents=True, exist_ok=True)
    (remote / ref).write_text("1" * 40 + "\n")
    assert cli(ann.parent, "clone", "remote.git", "copy").code == 8
    assert not (ann.parent / "copy").exists()


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("https://example.org/team/taxi.git", "taxi"),
        ("https://ann:pw@example.org/team/taxi/", "taxi"),
        ("git@example.org:taxi.git", "taxi"),
        ("git@example.org:team/taxi", "taxi"),
        ("ssh://git@example.org:2222/~/taxi.git/", "taxi"),
        ("/srv/git/taxi/.git", "taxi"),
        ("../taxi.git", "taxi"),
        ("file:///srv/my taxi.git", "my taxi"),
    ],
)
def test_the_folder_is_named_as_git_names_it(url: str, folder: str) -> None:
    """The last part of the address, without `.git`."""
    assert folder_for(url) == folder


def test_an_address_without_a_name_needs_a_folder() -> None:
    """Nothing is guessed from `/` or `..`."""
    for url in ("/", ".."):
        with pytest.raises(UsageError):
            folder_for(url)


# remote


def test_remotes_tell_what_each_side_lacks(cli: Cli, ann: Path, git: Git) -> None:
    """Counts of runs and artifacts follow pushes, changes on both sides and removals; nothing is downloaded."""
    cli(ann.parent, "clone", "remote.git", "bob")
    bob = ann.parent / "bob"

    def state(folder: Path) -> tuple[int, int, int, int]:
        done = cli(folder, "remote", "--json")
        assert done.code == 0, done.err
        [remote] = done.json
        assert (remote["name"], remote["refs"], remote["artifacts"]) == ("origin", "hidden", "origin itself")
        return remote["runs"], remote["not_shared"], remote["new_there"], remote["unsent"]

    record(ann, "one", {"model.bin": os.urandom(LARGE)})
    record(ann, "two")
    assert state(ann) == (0, 2, 0, 1)
    assert cli(ann, "push", "--no-artifacts").code == 0
    assert state(ann) == (2, 0, 0, 1)
    assert cli(ann, "push").code == 0
    assert (state(ann), state(bob)) == ((2, 0, 0, 0), (2, 0, 2, 0))
    assert git("for-each-ref", "refs/gitexp", cwd=bob) == ""
    assert cli(bob, "pull").code == 0
    cli(ann, "tag", "one", "stage=dev")
    cli(bob, "tag", "one", "data=v2")
    assert cli(ann, "push").code == 0
    assert state(bob) == (2, 1, 1, 0) or state(bob) == (2, 0, 1, 0)  # what it has is unknown to bob until he pulls
    assert cli(bob, "pull").code == 0
    assert state(bob) == (2, 1, 0, 0)
    shown = cli(bob, "remote")
    assert (
        shown.out.splitlines()[0].split() == "remote runs not shared new there refs artifacts at unsent address".split()
    )
    assert "gitexp push" in shown.err


def test_a_remote_that_cannot_be_asked_is_told_in_its_line(cli: Cli, ann: Path, git: Git) -> None:
    """The others are shown all the same, no password is, and the exit code says that one failed."""
    git("remote", "add", "gone", str(ann.parent / "gone.git"), cwd=ann)
    git("remote", "add", "far", "http://ann:secret@127.0.0.1:1/x.git", cwd=ann)
    done = cli(ann, "remote")
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert done.code == 8
    assert " 0 " in lines["origin"]
    assert "?" in lines["gone"] and "?" in lines["far"]
    assert "gone.git" in done.err
    assert "secret" not in done.out + done.err
    told = {remote["name"]: remote["error"] for remote in cli(ann, "remote", "--json").json}
    assert told["origin"] is None and told["gone"] and told["far"]


def test_without_remotes_it_says_how_to_add_one(plain_cli: Cli, repo_dir: Path) -> None:
    """No remote is no error."""
    done = plain_cli(repo_dir, "remote")
    assert (done.code, done.out) == (0, "")
    assert "git remote add origin URL" in done.err


def test_a_host_that_accepts_only_branches(cli: Cli, ann: Path, git: Git) -> None:
    """With `remote set --refs heads` runs and their artifacts are branches there, and clones don't get them as such."""
    data = os.urandom(LARGE)
    record(ann, "baseline", {"model.bin": data})
    assert cli(ann, "remote", "set", "origin", "--refs", "heads").code == 0
    git("add", ".gitexp", cwd=ann)
    git("commit", "-q", "-m", "settings", cwd=ann)
    git("push", "-q", cwd=ann)
    assert cli(ann, "push").code == 0
    remote = ann.parent / "remote.git"
    assert git("for-each-ref", "refs/gitexp", cwd=remote) == ""
    assert len(git("for-each-ref", "refs/heads/gitexp", cwd=remote).splitlines()) == 3
    done = cli(ann.parent, "clone", "remote.git", "bob")
    bob = ann.parent / "bob"
    assert done.out == "Cloned into bob: 1 run.\n", done.err
    assert "gitexp" not in git("for-each-ref", "refs/remotes", cwd=bob)
    git("fetch", "-q", cwd=bob)
    assert "gitexp" not in git("for-each-ref", "refs/remotes", cwd=bob)
    assert cli(bob, "get", "baseline:model.bin").code == 0
    assert (bob / "model.bin").read_bytes() == data


def test_a_clone_tells_that_runs_are_branches_there(cli: Cli, ann: Path) -> None:
    """Where the settings that say so were not committed, the way to the runs is named."""
    record(ann, "baseline")
    cli(ann, "remote", "set", "origin", "--refs", "heads")
    assert cli(ann, "push").code == 0
    done = cli(ann.parent, "clone", "remote.git", "bob")
    assert "gitexp remote set origin --refs heads" in done.err
    bob = ann.parent / "bob"
    assert cli(bob, "remote", "set", "origin", "--refs", "heads").code == 0
    assert cli(bob, "pull").out == "Pulled 1 new run from origin.\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "remotes:\n  origin:\n    refs: heads\n"),
        ("# mine\nstrict: true  # yes\n", "# mine\nstrict: true  # yes\nremotes:\n  origin:\n    refs: heads\n"),
        (
            "remotes:  # ours\n  other:\n    refs: hidden  # as it was\n",
            "remotes:  # ours\n  other:\n    refs: hidden  # as it was\n",
        ),
        ("remotes:\n  origin: {refs: hidden}  # x\n", "remotes:\n  origin: {refs: heads}  # x\n"),
        ("remotes:\n  origin:\n    artifacts: git # y\n", "remotes:\n  origin:\n    artifacts: git # y\n"),
    ],
    ids=["no file", "no remotes", "another remote", "another value", "another setting"],
)
def test_settings_of_a_remote_leave_the_rest_of_the_file(ann: Path, before: str | None, after: str) -> None:
    """Comments and all other settings stay as they were written, byte for byte."""
    path = ann / ".gitexp/config.yaml"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
    set_remote(Repository.open(ann), "origin", {"refs": "heads"})
    text = path.read_text()
    assert text.startswith(after)
    assert parse_config(load_yaml(text, what="settings"), file="settings").remotes["origin"].refs == "heads"
    set_remote(Repository.open(ann), "origin", {"refs": "heads", "artifacts": "s3://bucket/runs"})
    found = Repository.open(ann).config.remotes["origin"]
    assert (found.refs, found.artifacts) == ("heads", "s3://bucket/runs")


def test_settings_that_make_no_sense_are_refused(plain_cli: Cli, ann: Path) -> None:
    """An unknown remote, an unknown value, or nothing to set: an error, and no file."""
    assert plain_cli(ann, "remote", "set", "nobody", "--refs", "heads").code == 3
    assert plain_cli(ann, "remote", "set", "origin", "--refs", "elsewhere").code == 2
    assert plain_cli(ann, "remote", "set", "origin").code == 2
    assert not (ann / ".gitexp").exists()


def test_another_place_for_artifacts_is_filled_anew(plain_cli: Cli, ann: Path) -> None:
    """What one place is known to have says nothing of another: after `remote set --artifacts` all is sent again."""
    record(ann, "baseline", {"model.bin": os.urandom(LARGE)})
    assert plain_cli(ann, "push").code == 0
    store = ann.parent / "store"
    assert plain_cli(ann, "remote", "set", "origin", "--artifacts", str(store)).code == 0
    assert plain_cli(ann, "remote", "--json").json[0]["unsent"] == 1
    assert "1 artifact (200 kB)" in plain_cli(ann, "push").out
    assert plain_cli(ann, "remote", "--json").json[0]["unsent"] == 0


# get


@pytest.fixture
def bob(ann: Path, plain_cli: Cli) -> Path:
    """A clone with the records of a run of three artifacts, whose large ones are not here."""
    record(
        ann,
        "my run",
        {"model/weights.bin": b"w" * LARGE, "model/small.txt": b"small\n", "plots/roc.bin": b"r" * LARGE},
    )
    assert plain_cli(ann, "push").code == 0
    assert plain_cli(ann.parent, "clone", "remote.git", "bob").code == 0
    return ann.parent / "bob"


def files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["my run"], {"my-run/model/weights.bin", "my-run/model/small.txt", "my-run/plots/roc.bin"}),
        (["my run:"], {"my-run/model/weights.bin", "my-run/model/small.txt", "my-run/plots/roc.bin"}),
        (["my run", "-o", "out"], {"out/model/weights.bin", "out/model/small.txt", "out/plots/roc.bin"}),
        (["my run:model/weights.bin"], {"weights.bin"}),
        (["my run:model/weights.bin", "-o", "other.bin"], {"other.bin"}),
        (["my run:model/weights.bin", "-o", "new/"], {"new/weights.bin"}),
        (["@:model"], {"model/weights.bin", "model/small.txt"}),
        (["my run:model/", "-o", "m"], {"m/weights.bin", "m/small.txt"}),
        (["my run:*/*.bin"], {"model/weights.bin", "plots/roc.bin"}),
        (["my run:model/*.bin", "-o", "m"], {"m/weights.bin"}),
        (["my run:**/*.txt"], {"model/small.txt"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_artifacts_become_files(plain_cli: Cli, bob: Path, words: list[str], written: set[str]) -> None:
    """A run, a file, a folder or a pattern, here or where -o says; what is not here is fetched."""
    before = files(bob)
    done = plain_cli(bob, "get", *words)
    assert done.code == 0, done.err
    assert files(bob).keys() - before.keys() == written
    for path in written:
        assert files(bob)[path] == (6 if path.endswith(".txt") else LARGE)
    assert (bob / done.out.strip()).exists()


def test_only_what_is_asked_for_is_fetched(cli: Cli, ann: Path) -> None:
    """One artifact comes, the others stay away, and what is here is not fetched again."""
    record(ann, "run", {"a.bin": b"a" * LARGE, "b.bin": b"b" * LARGE})
    assert cli(ann, "push").code == 0
    assert cli(ann.parent, "clone", "remote.git", "bob").code == 0
    bob = ann.parent / "bob"
    done = cli(bob, "get", "run:a.bin")
    assert (done.code, done.out) == (0, "a.bin\n"), done.err
    assert "1 fetched from origin itself" in done.err
    assert len(content_files(bob)) == 1
    (ann.parent / "remote.git").rename(ann.parent / "away.git")
    assert cli(bob, "get", "run:a.bin", "-o", "again.bin").code == 0
    missing = cli(bob, "get", "run")
    assert missing.code == 8
    assert not (bob / "run").exists()


def test_a_remote_that_lacks_it_is_no_obstacle(cli: Cli, ann: Path, git: Git) -> None:
    """The branch's remote is asked first, then every other, whatever is wrong with one."""
    record(ann, "run", {"a.bin": b"a" * LARGE})
    git("init", "-q", "--bare", "../second.git", cwd=ann)
    git("remote", "add", "second", "../second.git", cwd=ann)
    git("remote", "add", "broken", "../nowhere.git", cwd=ann)
    assert cli(ann, "push", "origin", "--no-artifacts").code == 0
    assert cli(ann, "push", "second").code == 0
    for path in content_files(ann):
        path.unlink()
    assert cli(ann, "get", "run:a.bin").code == 0
    assert (ann / "a.bin").read_bytes() == b"a" * LARGE


def test_content_that_is_nowhere(cli: Cli, ann: Path) -> None:
    """The message says that no remote has it; no file is left."""
    record(ann, "run", {"a.bin": b"a" * LARGE})
    assert cli(ann, "push", "--no-artifacts").code == 0
    [path] = content_files(ann)
    path.unlink()
    done = cli(ann, "get", "run:a.bin")
    assert done.code == 3
    assert "neither here nor on a remote" in done.err
    assert not (ann / "a.bin").exists()


def test_a_different_file_stays(plain_cli: Cli, bob: Path) -> None:
    """Nothing is written over but with --force, and then all of it; what is as it should be is left alone."""
    (bob / "model").mkdir()
    (bob / "model/weights.bin").write_text("mine")
    refused = plain_cli(bob, "get", "my run:model")
    assert refused.code == 2
    assert "'model/weights.bin' is there already, and different." in refused.err
    assert files(bob / "model") == {"weights.bin": 4}
    assert plain_cli(bob, "get", "my run:model", "--force").code == 0
    assert files(bob / "model") == {"small.txt": 6, "weights.bin": LARGE}
    again = plain_cli(bob, "get", "my run:model")
    assert (again.code, "2 files were there already" in again.err) == (0, True)


def test_stdout_takes_one_artifact(plain_cli: Cli, bob: Path) -> None:
    """`-o -` prints the bytes and nothing else; several files are refused."""
    assert plain_cli(bob, "get", "my run:model/small.txt", "-o", "-") == Done(0, "small\n", "")
    assert plain_cli(bob, "get", "my run:model", "-o", "-").code == 2


def test_names_that_nothing_answers_to(plain_cli: Cli, bob: Path) -> None:
    """The message names the run or the artifact, with what is near."""
    assert "Did you mean model" in plain_cli(bob, "get", "my run:modl").err
    assert "There is no run 'nobody'." in plain_cli(bob, "get", "nobody:model").err
    assert plain_cli(bob, "get", "my run:*.nothing").code == 3


def test_colons_in_names_and_selectors(repo_dir: Path) -> None:
    """`best:metrics.x:path` and names with colons are taken apart where a run answers."""
    repository = Repository.open(repo_dir)
    for name, files_ in (("a", {"plots:c.txt": b"1"}), ("a:b", {"c.txt": b"22"})):
        recorder = Recorder.begin(repository, RunRequest(name=name), on_trouble=pytest.fail)
        recorder.point("loss", 0, 1_790_000_000.0, float(len(name)))
        for path, data in files_.items():
            recorder.add_bytes(data, path)
        recorder.end(Status.FINISHED)
    assert [found.size_bytes for _, found in choose(repository, "a:b").artifacts] == [2]
    assert [found.size_bytes for _, found in choose(repository, "a:plots:c.txt").artifacts] == [1]
    assert [found.size_bytes for _, found in choose(repository, "best:metrics.loss:plots:c.txt").artifacts] == [1]


def test_no_link_leads_out_of_the_folder(bob: Path) -> None:
    """A link in the place of a folder is not followed, and one in the place of a file is not written through."""
    repository = Repository.open(bob)
    outside = bob.parent / "outside"
    outside.mkdir()
    (outside / "small.txt").write_text("mine")
    target = bob / "out"
    target.mkdir()
    (target / "model").symlink_to(outside)
    chosen = choose_from(repository.get_run("my run"), "")
    with pytest.raises(UsageError, match="a file or a link, where a folder has to be"):
        get(repository, chosen, str(target), force=True)
    (target / "model").unlink()
    (target / "model").mkdir()
    (target / "model/small.txt").symlink_to(outside / "small.txt")
    get(repository, chosen, str(target), force=True)
    assert (outside / "small.txt").read_text() == "mine"
    assert (target / "model/small.txt").read_text() == "small\n"
    assert not (target / "model/small.txt").is_symlink()


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", ".git/hooks/x", "a//b", "."])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    """Names that nothing sound has are refused before anything is opened."""
    with pytest.raises(CorruptData):
        UserFolder(str(tmp_path / "folder")).write(path.encode(), lambda add: add(b"x"))
    assert not (tmp_path / "x").exists()


def test_damaged_content_is_not_handed_out(bob: Path) -> None:
    """A file whose content is not what its digest says is not written."""
    repository = Repository.open(bob)
    chosen = choose_from(repository.get_run("my run"), "model/weights.bin")
    get(repository, chosen, str(bob / "good.bin"))
    [path] = content_files(bob)
    path.chmod(0o644)
    path.write_bytes(b"x" * LARGE)
    with pytest.raises(CorruptData):
        get(repository, chosen, str(bob / "bad.bin"))
    assert {"good.bin"} == {name for name in os.listdir(bob) if name.endswith(".bin") or name.startswith("gitexp")}


def test_python_gets_artifacts_as_files(bob: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gitexp.download_artifacts` gives the path of the file or the folder."""
    monkeypatch.chdir(bob)
    file = gitexp.download_artifacts("my run", "model/weights.bin")
    assert (file, file.stat().st_size) == (Path("weights.bin"), LARGE)
    folder = gitexp.download_artifacts("my run", to=bob / "all")
    assert (folder / "plots/roc.bin").stat().st_size == LARGE
    (bob / "weights.bin").write_text("mine")
    with pytest.raises(gitexp.GitexpError):
        gitexp.download_artifacts("my run", "model/weights.bin")
    gitexp.download_artifacts("my run", "model/weights.bin", overwrite=True)


def test_listings_tell_what_is_not_here(plain_cli: Cli, bob: Path) -> None:
    """`show` and `ls` say that artifacts are elsewhere and how to get them, and no more once they are here."""
    assert "3 files, 400 kB; 1 of them here: gitexp get" in plain_cli(bob, "show", "my run").out
    assert "not here: gitexp get RUN" in plain_cli(bob, "ls").err
    checked = plain_cli(bob, "fsck")
    assert (checked.code, checked.out.count("note:"), "2 large files" in checked.out) == (0, 1, True)
    plain_cli(bob, "pull", "--artifacts")
    assert "of them here" not in plain_cli(bob, "show", "my run").out
    assert "not here" not in plain_cli(bob, "ls").err
    assert plain_cli(bob, "fsck").out == ""


# rm and restore


def test_everybody_sees_that_a_run_is_removed(cli: Cli, ann: Path) -> None:
    """`rm --remote` marks it there too, whoever pulls sees it, and `restore --remote` takes it back for all."""
    record(ann, "run")
    assert cli(ann, "push").code == 0
    assert cli(ann.parent, "clone", "remote.git", "bob").code == 0
    bob = ann.parent / "bob"
    done = cli(ann, "rm", "run", "--remote")
    assert (done.code, "Whoever pulls from origin sees it." in done.err) == (0, True)
    assert cli(bob, "pull").out == "Pulled 1 changed run from origin.\n"
    assert cli(bob, "ls", "--json").json["runs"] == []
    assert cli(bob, "restore", "run", "--remote").code == 0
    assert cli(ann, "pull").out == "Pulled 1 changed run from origin.\n"
    assert len(cli(ann, "ls", "--json").json["runs"]) == 1
    assert "origin has it so already." in cli(ann, "restore", "run", "--remote").err


def test_a_run_that_was_never_shared_stays_private(cli: Cli, ann: Path, git: Git) -> None:
    """`rm --remote` brings nothing there that was not there."""
    record(ann, "shared")
    assert cli(ann, "push").code == 0
    record(ann, "private")
    before = git("for-each-ref", cwd=ann.parent / "remote.git")
    done = cli(ann, "rm", "private", "--remote")
    assert (done.code, "Never shared with origin" in done.err) == (0, True)
    assert git("for-each-ref", cwd=ann.parent / "remote.git") == before


def test_a_removal_that_is_refused_there(cli: Cli, ann: Path) -> None:
    """The run is removed here, the remote's words are shown, and the exit code says that it was not there."""
    record(ann, "run")
    assert cli(ann, "push").code == 0
    hook = ann.parent / "remote.git/hooks/update"
    hook.write_text("#!/bin/sh\necho 'only on Mondays' >&2\nexit 1\n")
    hook.chmod(0o755)
    done = cli(ann, "rm", "run", "--remote")
    assert (done.code, "only on Mondays" in done.err) == (8, True)
    assert cli(ann, "ls", "--json").json["runs"] == []


# push, completion, upkeep


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_with_bytes_rate_and_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fits the terminal, counts each stage anew, takes bytes back, and leaves nothing; a pipe gets nothing."""
    moments = iter(range(1000))
    whole = "Pushing artifacts  ━━━━━━━━━────  75%  30.0 MB of 40.0 MB, 7.5 MB/s, 1.3 s left"
    for columns, drawn in ((80, whole), (46, "Pushing artifacts  75%  30.0 MB of 40.0 MB, …")):
        monkeypatch.setenv("COLUMNS", str(columns))
        screen = Screen()
        monkeypatch.setattr(sys, "stderr", screen)
        with Progress("Pushing", lambda: float(next(moments))) as listener:
            listener.on_stage("artifacts")
            listener.on_bytes(0)
            listener.on_total(40_000_000)
            for _ in range(4):
                listener.on_bytes(10_000_000)
            listener.on_bytes(-10_000_000)
            listener.on_stage("records")
            listener.on_bytes(2_000)
        *lines, last = screen.getvalue().split("\r\x1b[K")
        assert last == ""
        assert all(len(line) < columns for line in lines)
        assert lines[4] == drawn
        assert lines[-1].startswith("Pushing records  2.0 kB, ")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress("Pushing", lambda: float(next(moments))) as listener:
        listener.on_bytes(5)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_push_and_pull_take_a_run_without_a_remote(cli: Cli, ann: Path) -> None:
    """A first word that is no remote but a run's name is a run; a folder of that name changes nothing."""
    record(ann, "one")
    record(ann, "two")
    (ann / "two").mkdir()
    assert cli(ann, "push", "two").out == "Pushed 1 new run to origin.\n"
    done = cli(ann, "push", "nobody")
    assert (done.code, "There is no remote 'nobody'." in done.err) == (3, True)


def test_shells_complete_remotes_and_artifacts(bob: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bash takes a colon for a word of its own: what it asks is put together, and only the end is offered."""
    from gitexp.cli import command_line as commands

    monkeypatch.chdir(bob)

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        return BashWithColons(commands, {}, "gitexp", "_GITEXP_COMPLETE").complete().splitlines()

    assert complete("gitexp", "push", "or") == ["plain,origin"]
    assert complete("gitexp", "remote", "set", "or") == ["plain,origin"]
    assert complete("gitexp", "get", "@", ":", "mod") == ["plain,model/small.txt", "plain,model/weights.bin"]
    assert complete("gitexp", "get", "@", ":") == [
        "plain,model/small.txt",
        "plain,model/weights.bin",
        "plain,plots/roc.bin",
    ]
    assert complete("gitexp", "apply", "my") == ["plain,my run"]


def test_gc_sweeps_what_transfers_left(plain_cli: Cli, ann: Path) -> None:
    """Parts of content that came long ago go, young ones stay, and what is known of remotes is asked anew."""
    record(ann, "run", {"a.bin": b"a" * LARGE})
    assert plain_cli(ann, "push").code == 0
    repository = Repository.open(ann)
    folder = Path(repository.git.gitexp_dir)
    old, young = (folder / "tmp" / f"{digit * 64}.part" for digit in "ab")
    apart = folder / "tmp/gitexp_tmp_apart"
    (apart / "pack").mkdir(parents=True)
    for path in (old, young):
        path.write_bytes(b"x")
    for path in (old, apart):
        os.utime(path, (1e9, 1e9))
    assert list((folder / "sent").iterdir())
    assert gc(repository).temporary == 2
    assert (old.exists(), young.exists(), apart.exists(), (folder / "sent").exists()) == (False, True, False, False)
    pointer = Pointer(sha256=repository.get_run("run").artifacts["a.bin"].sha256, size_bytes=LARGE)
    assert repository.content.contains(pointer)
    assert plain_cli(ann, "push").out == "Everything is there already: origin.\n"
