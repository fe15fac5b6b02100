"""fsck finds each kind of damage and says what to do; gc frees what was removed, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitexp.domain.run import Status
from gitexp.recording import Recorder, RunRequest
from gitexp.repo import Repository
from gitexp.upkeep import Finding, Severity, fsck, gc

pytestmark = pytest.mark.slow

LARGE = b"x" * 100_000
LONG_AGO = time.time() - 3 * 24 * 3600


@pytest.fixture
def repository(repo_dir: Path) -> Repository:
    return Repository.open(repo_dir, environ=os.environ)


def add_run(repository: Repository, name: str, content: bytes = LARGE) -> str:
    recorder = Recorder.begin(repository, RunRequest(name=name), on_trouble=pytest.fail)
    recorder.point("loss", 0, 1_790_000_000.0, 0.5)
    recorder.add_bytes(content, "model.bin")
    commit = recorder.end(Status.FINISHED)
    assert commit is not None
    return commit


def content_files(repository: Repository) -> list[Path]:
    return [path for path in Path(repository.content.folder).rglob("*") if path.is_file()]


def grow_old(repository: Repository) -> None:
    """Make stored content old enough to be freed."""
    for path in content_files(repository):
        os.utime(path, (LONG_AGO, LONG_AGO))


def the_finding(repository: Repository, *, full: bool = False) -> Finding:
    [found] = list(fsck(repository, full=full))
    assert found.what.endswith(".")
    return found


def test_a_healthy_repository_has_no_findings(repository: Repository) -> None:
    """Sealed, tagged and live runs are all fine."""
    add_run(repository, "a")
    repository.tag(repository.resolve("a"), {"x": "y"})
    live = Recorder.begin(repository, RunRequest(name="live"), on_trouble=pytest.fail)
    assert list(fsck(repository, full=True)) == []
    live.end(Status.FINISHED)


def test_a_broken_ref_is_found(repository: Repository) -> None:
    """A ref that holds garbage is named; the other runs are still listed."""
    add_run(repository, "a")
    path = Path(repository.git.common_dir, "refs/gitexp/runs/default/zzzzzzzzzzzz")
    path.write_text("garbage")
    found = the_finding(repository)
    assert (found.severity, found.where) == (Severity.ERROR, "refs/gitexp/runs/default/zzzzzzzzzzzz")
    assert [run.record.name for run in repository.search()] == ["a"]


def test_a_missing_object_is_found(repository: Repository) -> None:
    """A run whose objects are gone is named; the others are still listed and read."""
    add_run(repository, "a")
    ref = Path(repository.git.common_dir, "refs/gitexp/runs/default/zzzzzzzzzzzz")
    ref.write_text("1" * 40 + "\n")
    found = the_finding(repository)
    assert "1111111" in found.what
    assert [run.record.name for run in repository.search()] == ["a"]


def test_missing_content_is_found(repository: Repository) -> None:
    """A pointer whose content is not here names the artifact and the run."""
    add_run(repository, "a")
    [path] = content_files(repository)
    path.unlink()
    found = the_finding(repository)
    assert found.severity == Severity.WARNING
    assert "'artifacts/model.bin' of run 'a'" in found.where


def test_damaged_content_is_found_by_a_full_check(repository: Repository) -> None:
    """Content that is not what its digest says is found, and only reading it all can tell."""
    add_run(repository, "a")
    [path] = content_files(repository)
    path.chmod(0o644)
    path.write_bytes(b"y" * len(LARGE))
    assert list(fsck(repository)) == []
    assert "not what its digest says" in the_finding(repository, full=True).what


def test_a_record_of_the_future_is_named(repository: Repository, git: Callable[..., str]) -> None:
    """A run written by a newer gitexp is an error that names the version, and no guess."""
    commit = add_run(repository, "a")
    folder = Path(repository.git.work_tree or "")
    environ = {"GIT_INDEX_FILE": str(folder.parent / "index")}
    text = git("show", f"{commit}:run.yaml", cwd=folder).replace("format: 1\n", "format: 9\n")
    (folder.parent / "run.yaml").write_text(text)
    blob = git("hash-object", "-w", str(folder.parent / "run.yaml"), cwd=folder).strip()
    git("read-tree", commit, cwd=folder, **environ)
    git("update-index", "--cacheinfo", f"100644,{blob},run.yaml", cwd=folder, **environ)
    tree = git("write-tree", cwd=folder, **environ).strip()
    newer = git("commit-tree", "-m", "x", tree, cwd=folder).strip()
    git("update-ref", repository.resolve("a").ref, newer, cwd=folder)
    assert "format version 9 is newer" in the_finding(repository).what


def test_gc_keeps_what_is_not_long_removed(repository: Repository) -> None:
    """Present runs, runs removed lately, live runs and young content all stay."""
    add_run(repository, "present")
    add_run(repository, "removed", b"r" * 100_000)
    live = Recorder.begin(repository, RunRequest(name="live"), on_trouble=pytest.fail)
    live.add_bytes(b"l" * 100_000, "model.bin")
    repository.remove(repository.resolve("removed"))
    grow_old(repository)
    repository.content.add_bytes(b"young" * 50_000)
    report = gc(repository)
    assert (report.runs, report.content) == ((), 0)
    assert len(content_files(repository)) == 4
    repository.restore(repository.resolve("removed"))
    live.end(Status.FINISHED)
    assert list(fsck(repository, full=True)) == []
    assert {run.record.name for run in repository.search()} == {"present", "removed", "live"}


def test_gc_frees_what_was_removed(repository: Repository, git: Callable[..., str]) -> None:
    """The ref, the content and, once git agrees, the objects of a removed run go; a dry run only tells."""
    folder = Path(repository.git.work_tree or "")
    add_run(repository, "stays")
    gone = add_run(repository, "goes", b"g" * 100_000)
    repository.remove(repository.resolve("goes"))
    grow_old(repository)
    told = gc(repository, keep_s=0, dry_run=True)
    assert ([run.record.name for run in told.runs], told.content, told.content_bytes) == (["goes"], 1, 100_000)
    assert len(content_files(repository)) == 2
    done = gc(repository, keep_s=0)
    assert [run.record.name for run in done.runs] == ["goes"]
    assert done.objects > 0
    assert len(content_files(repository)) == 1
    assert [run.record.name for run in repository.search(deleted="yes")] == ["stays"]
    assert list(fsck(repository, full=True)) == []
    git("gc", "--prune=now", "-q", cwd=folder)
    with pytest.raises(AssertionError):
        git("cat-file", "-e", gone, cwd=folder)
    assert list(fsck(Repository.open(folder, environ=os.environ), full=True)) == []


def test_gc_takes_nothing_of_the_users(repository: Repository, git: Callable[..., str]) -> None:
    """A file that only a removed run's snapshot wrote, and that the user staged since, survives both collections."""
    folder = Path(repository.git.work_tree or "")
    (folder / "new.py").write_text("only here\n" * 100)
    add_run(repository, "goes")
    git("add", "new.py", cwd=folder)
    staged = git("rev-parse", ":new.py", cwd=folder).strip()
    repository.remove(repository.resolve("goes"))
    grow_old(repository)
    assert len(gc(repository, keep_s=0).runs) == 1
    git("gc", "--prune=now", "-q", cwd=folder)
    assert git("cat-file", "-p", staged, cwd=folder) == "only here\n" * 100


def test_a_users_gc_takes_nothing_of_ours(repository: Repository, git: Callable[..., str]) -> None:
    """`git gc --prune=now`, `fetch --prune`, `stash` and an amended commit during a run lose nothing."""
    folder = Path(repository.git.work_tree or "")
    git("init", "-q", "--bare", "../remote.git", cwd=folder)
    git("remote", "add", "origin", "../remote.git", cwd=folder)
    add_run(repository, "before")
    (folder / "train.py").write_text("print('dirty')\n")
    (folder / "extra.py").write_text("1\n")
    live = Recorder.begin(repository, RunRequest(name="during"), on_trouble=pytest.fail)
    git("stash", "-u", "-q", cwd=folder)
    git("stash", "drop", "-q", cwd=folder)
    git("commit", "-q", "--amend", "-m", "other", cwd=folder)
    git("fetch", "-q", "--prune", "origin", cwd=folder)
    git("reflog", "expire", "--expire=now", "--all", cwd=folder)
    git("gc", "--prune=now", "-q", cwd=folder)
    live.point("loss", 0, 1_790_000_000.0, 0.5)
    assert live.end(Status.FINISHED) is not None
    git("gc", "--prune=now", "-q", cwd=folder)
    fresh = Repository.open(folder, environ=os.environ)
    run = fresh.get_run("during")
    assert run.record.warnings == ()
    assert (run.code.read("train.py"), run.code.read("extra.py")) == (b"print('dirty')\n", b"1\n")
    assert list(fsck(fresh, full=True)) == []
    assert git("fsck", "--full", "--strict", cwd=folder) == ""


def test_many_runs_leave_few_files(repository: Repository) -> None:
    """A hundred runs leave a handful of packs and no loose objects of ours; gc leaves no loose refs."""
    own = Path(repository.git.common_dir)
    loose = sum(1 for path in (own / "objects").glob("??/*"))
    for number in range(100):
        add_run(repository, f"run-{number}")
    assert sum(1 for path in (own / "objects").glob("??/*")) == loose
    assert len(list((own / "objects" / "pack").glob("*.pack"))) < 40
    gc(repository)
    assert not list((own / "refs" / "gitexp" / "runs").rglob("*/*"))
    assert len(repository.search()) == 100


def test_a_locked_live_ref_does_not_hold_up_a_seal(repository: Repository, git: Callable[..., str]) -> None:
    """Where another program locks the ref that kept its code, the run is sealed, and gc removes the ref later."""
    recorder = Recorder.begin(repository, RunRequest(name="a"), on_trouble=pytest.fail)
    ref = f"refs/gitexp/live/{recorder.run_id}"
    lock = Path(repository.git.common_dir, f"{ref}.lock")
    lock.touch()
    assert recorder.end(Status.FINISHED) is not None
    assert [run.record.name for run in repository.search()] == ["a"]
    lock.unlink()
    gc(repository)
    assert git("for-each-ref", ref, cwd=Path(repository.git.work_tree or "")) == ""
