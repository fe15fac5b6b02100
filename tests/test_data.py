"""Data that runs read: kept with them, told where it is, and brought back as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Git
from gitexp.data.adding import add, remove
from gitexp.data.restoring import Place, check, kept_inputs, restore
from gitexp.domain.run import Input
from gitexp.errors import NotFound, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.sharing.exchange import Sharing
from gitexp.sharing.selection import Selection
from gitexp.upkeep import YOUNG_S, gc
from launching import PATIENCE_S, SOURCES

pytestmark = pytest.mark.slow


@pytest.fixture
def data(repo_dir: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's folder `data`, which git ignores, with a file and a folder; the repository is where we are."""
    folder = repo_dir / "data"
    (folder / "images" / "deep").mkdir(parents=True)
    (folder / "train.csv").write_text("first")
    (folder / "images" / "1.png").write_text("one")
    (folder / "images" / "deep" / "2 ü.png").write_text("two")
    (repo_dir / ".gitignore").write_text("data/\n")
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "ignore", cwd=repo_dir)
    monkeypatch.chdir(repo_dir)
    return folder


def run(folder: Path, name: str, *inputs: str, script: str = "pass") -> RunView:
    options = [option for path in inputs for option in ("--input", path)]
    command = [sys.executable, "-m", "gitexp", "run", "--name", name, *options, "--", sys.executable, "-c", script]
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        command, check=False, cwd=folder, env=environ, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return Repository.open(folder).get_run(name)


def kept(repository: Repository, view: RunView) -> dict[str, object]:
    assert view.commit is not None
    return dict(kept_inputs(repository, view.commit))


def test_what_was_added_is_kept_with_the_runs_that_read_it(data: Path) -> None:
    """As each run read it, also where it changed since it was added; what was not added is not."""
    repository = Repository.open(data.parent)
    [done] = add(repository, ["data/train.csv"])
    assert (done.name, done.files, done.new) == ("data/train.csv", 1, 1)
    first = run(data.parent, "first", "data/train.csv", "data/images")
    (data / "train.csv").write_text("second")
    second = run(data.parent, "second", "data/train.csv")
    assert set(kept(repository, first)) == {"data/train.csv"}
    assert kept(repository, first) != kept(repository, second)
    assert remove(repository, ["data/train.csv"]) == ["data/train.csv"]
    (data / "train.csv").write_text("third")
    assert kept(repository, run(data.parent, "third", "data/train.csv")) == {}


def test_what_was_added_is_an_artifact_of_the_run_that_makes_it(data: Path) -> None:
    """Though git ignores it: so what reads it next is traced to that run; what is only read is no artifact."""
    repository = Repository.open(data.parent)
    add(repository, ["data/train.csv", "data/images"])
    texts = {"data/train.csv": "made by a run, long enough", "data/images/new.png": "another that is made by a run"}
    script = f"[open(path, 'w').write(text) for path, text in {texts!r}.items()]"
    maker = run(data.parent, "prepare", script=script)
    assert set(maker.artifacts) == set(texts)
    reader = run(data.parent, "train", "data/train.csv", "data/images/new.png")
    assert {item.name: item.run for item in reader.record.inputs} == dict.fromkeys(texts, maker.id)
    assert not reader.artifacts
    remove(repository, ["data/train.csv", "data/images"])
    assert not run(data.parent, "again", script=script).artifacts


def test_gc_leaves_what_was_added_and_what_runs_keep(data: Path) -> None:
    """Old content goes only when neither names it."""
    repository = Repository.open(data.parent)
    add(repository, ["data"])
    run(data.parent, "reader", "data/train.csv")
    remove(repository, ["data"])
    add(repository, ["data/images/1.png"])
    for found in repository.content.list():
        path = Path(repository.content.folder) / found.sha256[:2] / found.sha256[2:4] / found.sha256
        os.utime(path, (found.mtime - 2 * YOUNG_S,) * 2)
    assert gc(repository).content == 1
    assert {repository.content.find(item.sha256) is not None for item in repository.content.list()} == {True}
    assert [found.size_bytes for found in repository.content.list()].count(5) == 1


def test_added_data_travels_with_the_run(data: Path, git: Git, tmp_path: Path) -> None:
    """Pushed, pulled into a clone without its content, and brought back there from the remote, folder and file."""
    repository = Repository.open(data.parent)
    add(repository, ["data"])
    view = run(data.parent, "reader", "data/train.csv", "data/images")
    git("init", "-q", "--bare", str(tmp_path / "remote.git"), cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "remote.git"), cwd=data.parent)
    git("push", "-q", "origin", "HEAD:refs/heads/main", cwd=data.parent)
    Sharing(repository, "origin").push(Selection())
    git("clone", "-q", "-b", "main", str(tmp_path / "remote.git"), str(tmp_path / "clone"), cwd=tmp_path)
    clone = Repository.open(tmp_path / "clone")
    Sharing(clone, "origin").pull(Selection())
    there = clone.get_run("reader")
    assert there.commit is not None
    pointers = kept_inputs(clone, there.commit)
    root = str(tmp_path / "clone")
    states = check(clone, there.record.inputs, root, kept=pointers)
    assert {state.place for state in states} == {Place.REMOTE}
    states = restore(clone, there.record.inputs, str(tmp_path / "fresh"), root, kept=pointers)
    assert {state.place for state in states} == {Place.REMOTE}
    assert (tmp_path / "fresh" / "data" / "train.csv").read_text() == "first"
    assert (tmp_path / "fresh" / "data" / "images" / "deep" / "2 ü.png").read_text() == "two"
    assert {state.place for state in check(clone, view.record.inputs, str(tmp_path / "fresh"))} == {Place.PRESENT}
    git("fsck", "--full", "--strict", cwd=tmp_path / "clone")


def test_each_state_of_an_input_is_told(data: Path) -> None:
    """There, kept, changed without a copy, gone, too large for a digest, a run, and data in memory has none."""
    repository = Repository.open(data.parent)
    run(data.parent, "other", script="open('other.txt', 'w').write('made by an earlier run')")
    other = run(data.parent, "reader", "data/train.csv", "data/images", "other.txt")
    train, images, made = other.record.inputs
    root = str(data.parent)

    def place(item: Input) -> Place:
        [state] = check(repository, [item], root)
        return state.place

    assert [place(item) for item in (train, images, made)] == [Place.PRESENT] * 3
    (data / "images" / "1.png").write_text("ONE")
    (data / "train.csv").unlink()
    (data.parent / "other.txt").unlink()
    assert [place(item) for item in (train, images, made)] == [Place.MISSING, Place.CHANGED, Place.ARTIFACT]
    [state] = check(repository, [images], root)
    assert state.sha256_now is not None and f"sha256:{state.sha256_now}" != images.digest
    assert place(Input(kind="run", name="x", run=other.id)) is Place.ARTIFACT
    assert place(Input(kind="file", name="data/images/1.png", size_bytes=3)) is Place.PRESENT
    assert place(Input(kind="file", name="data/images/1.png", size_bytes=4)) is Place.CHANGED
    assert check(repository, [Input(kind="dataset", name="x", digest="sha256:00")], root) == ()


def test_inputs_come_back_without_touching_where_they_were(data: Path, tmp_path: Path) -> None:
    """Copies of what is there, of artifacts, and of kept content; changing them changes nothing else."""
    repository = Repository.open(data.parent)
    add(repository, ["data/train.csv"])
    run(data.parent, "other", script="open('other.txt', 'w').write('made by an earlier run')")
    view = run(data.parent, "reader", "data/train.csv", "data/images", "other.txt")
    assert view.commit is not None
    (data / "train.csv").write_text("later")
    (data.parent / "other.txt").unlink()
    target = tmp_path / "target"
    pointers = kept_inputs(repository, view.commit)
    states = restore(repository, view.record.inputs, str(target), str(data.parent), kept=pointers)
    assert [state.place for state in states] == [Place.CONTENT, Place.PRESENT, Place.ARTIFACT]
    assert (target / "data" / "train.csv").read_text() == "first"
    assert (target / "other.txt").read_text() == "made by an earlier run"
    (target / "data" / "images" / "1.png").write_text("changed in the copy")
    (target / "data" / "train.csv").write_text("changed in the copy")
    assert (data / "images" / "1.png").read_text() == "one"
    assert (data / "train.csv").read_text() == "later"
    states = restore(repository, view.record.inputs, str(target), str(data.parent), kept=pointers)
    assert (target / "data" / "train.csv").read_text() == "first"


def test_files_of_a_pattern_come_back(data: Path, tmp_path: Path) -> None:
    """Where they are more than are recorded one by one."""
    for number in range(101):
        (data / "images" / f"{number}.txt").write_text(f"number {number}")
    view = run(data.parent, "reader", "data/images/*.txt")
    repository = Repository.open(data.parent)
    [state] = restore(repository, view.record.inputs, str(tmp_path / "target"), str(data.parent))
    assert state.place is Place.PRESENT
    assert len(list((tmp_path / "target" / "data" / "images").iterdir())) == 101


@pytest.mark.parametrize("name", ["../outside", "data/../../outside", ".git/hooks/pre-commit", "link/x"])
def test_a_record_cannot_write_outside(data: Path, tmp_path: Path, name: str) -> None:
    """What somebody else's run calls its input is only a name: no path leads out of the folder."""
    repository = Repository.open(data.parent)
    content = repository.content.add_bytes(b"evil")
    target = tmp_path / "target"
    target.mkdir()
    (target / "link").symlink_to(tmp_path)
    item = Input(kind="file", name=name, digest=f"sha256:{content.sha256}")
    [state] = restore(repository, [item], str(target), str(data.parent))
    assert state.place in (Place.MISSING, Place.CHANGED)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "x").exists()
    assert not (target / ".git").exists()


def test_damaged_content_is_not_handed_out(data: Path, tmp_path: Path) -> None:
    """What is stored under a digest and is something else."""
    repository = Repository.open(data.parent)
    content = repository.content.add_bytes(b"right")
    path = Path(repository.content.folder) / content.sha256[:2] / content.sha256[2:4] / content.sha256
    path.chmod(0o644)
    path.write_bytes(b"wrong")
    item = Input(kind="file", name="x", digest=f"sha256:{content.sha256}")
    [state] = restore(repository, [item], str(tmp_path / "target"), str(data.parent))
    assert state.place is Place.CHANGED
    assert not (tmp_path / "target" / "x").exists()


def test_gc_forgets_digests_that_nobody_asked_about_for_long(data: Path) -> None:
    """A cache: the file is only read again."""
    repository = Repository.open(data.parent)
    run(data.parent, "reader", "data/train.csv", "data/images")
    hashes = Path(repository.git.gitexp_dir) / "hashes"
    old, *_ = hashes.iterdir()
    count = len(list(hashes.iterdir()))
    os.utime(old, (1_000_000_000, 1_000_000_000))
    gc(repository)
    assert len(list(hashes.iterdir())) == count - 1
    assert not old.exists()


def test_what_cannot_be_added_is_refused(data: Path) -> None:
    """What is not there, and what lies outside of the repository."""
    repository = Repository.open(data.parent)
    with pytest.raises(NotFound):
        add(repository, ["data/none"])
    with pytest.raises(UsageError):
        add(repository, [".."])
    with pytest.raises(NotFound):
        remove(repository, ["data"])
