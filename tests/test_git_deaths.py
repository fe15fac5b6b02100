"""A process that dies at any step of writing objects or refs, or whose disk fails there, leaves what git likes."""

from __future__ import annotations

import errno
import os
import random
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Git
from gitexp.errors import StorageFailed
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import encode_commit, object_id
from gitexp.store.git.refs import STALE_S, RefStore

pytestmark = pytest.mark.slow

RUNS = "refs/gitexp/runs/default/"
DEAD = 9
FAILED = 2
MOST_STEPS = 60
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

Action = Callable[[Path], None]


def objects_of(repo: Path) -> ObjectDatabase:
    return ObjectDatabase(f"{repo}/.git/objects")


def refs_of(repo: Path) -> RefStore:
    return RefStore(f"{repo}/.git", f"{repo}/.git")


def commit(number: int) -> tuple[str, bytes]:
    author = "A <a@b>"
    return ("commit", encode_commit(tree=EMPTY_TREE, parents=[], author=author, time=10**9 + number, message="m"))


COMMITS = [object_id(*commit(number)).hex() for number in range(100)]
HELD = {f"{RUNS}r{number}": COMMITS[number] for number in range(20)}


@pytest.fixture
def template(repo_dir: Path) -> Path:
    """Twenty runs: twenty packs of ours, five loose refs and fifteen packed ones."""
    objects, refs = objects_of(repo_dir), refs_of(repo_dir)
    for number, (name, tip) in enumerate(HELD.items()):
        objects.write([commit(number), ("tree", b""), ("blob", b"%d" % number)], durable=False)
        assert refs.create(name, tip)
        if number == 14:
            refs.pack(RUNS)
    objects.write([commit(number) for number in range(20, 100)], durable=False)
    return repo_dir


def run(action: Action, repo: Path, step: int, fail: Callable[[], None], calls: tuple[str, ...]) -> tuple[int, int]:
    """Runs `action` in a child in which `fail` comes before system call number `step`.

    Returns:
        The exit status, and how many calls were made.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        with open(reading, "rb") as pipe:
            said = pipe.read()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), int(said or 0)
    status = 1
    plain_open, plain_write = os.open, os.write
    made = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal made
            if call is plain_open and not arguments[1] & os.O_CREAT:
                return call(*arguments, **options)
            made += 1
            if made == step:
                fail()
            return call(*arguments, **options)

        return wrapped

    try:
        for name in calls:
            setattr(os, name, counted(getattr(os, name)))
        action(repo)
        status = 0
    except StorageFailed:
        status = FAILED
    except BaseException:
        traceback.print_exc()
    plain_write(writing, b"%d" % made)
    os._exit(status)


def every_step(
    template: Path, action: Action, fail: Callable[[], None], calls: tuple[str, ...]
) -> Iterator[tuple[Path, int]]:
    """A repository and the exit status of `action` in it, for the steps at which it can fail; long ones are sampled."""
    repo = template.parent / "copy"
    shutil.copytree(template, repo)
    status, steps = run(action, repo, 0, fail, calls)
    assert status == 0
    assert steps > 3
    stride = steps // MOST_STEPS + 1
    for step in range(random.randint(1, stride), steps + 1, stride):
        shutil.rmtree(repo)
        shutil.copytree(template, repo)
        yield repo, run(action, repo, step, fail, calls)[0]


def die() -> None:
    os._exit(DEAD)


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def leftovers(repo: Path) -> list[Path]:
    names = [path for path in (repo / ".git").rglob("*") if path.name.endswith(".lock") or "tmp_" in path.name]
    return [path for path in names if path.name not in ("refs.lock", "gitexp.lock")]


def check(repo: Path, git: Git) -> dict[str, str]:
    """Git and we see the same refs, and every object is there. Gives the refs."""
    git("fsck", "--full", "--strict", cwd=repo)
    lines = git("for-each-ref", "--format=%(refname) %(objectname)", RUNS, cwd=repo).splitlines()
    listed = dict(line.split(" ") for line in lines)
    assert listed == refs_of(repo).list(RUNS)
    objects = objects_of(repo)
    for tip in COMMITS:
        objects.read(bytes.fromhex(tip), verify=True)
    return listed


def write(repo: Path) -> None:
    objects_of(repo).write([("blob", b"new"), ("blob", b"x" * 10000)])


def consolidate(repo: Path) -> None:
    objects_of(repo).consolidate()


def release(repo: Path) -> None:
    objects_of(repo).rewrite_kept({bytes.fromhex(tip) for tip in COMMITS[5:50]})


def create(repo: Path) -> None:
    refs_of(repo).create(f"{RUNS}sub/r20", COMMITS[20])


def update_loose(repo: Path) -> None:
    refs_of(repo).update(f"{RUNS}r17", COMMITS[17], COMMITS[20])


def update_packed(repo: Path) -> None:
    refs_of(repo).update(f"{RUNS}r3", COMMITS[3], COMMITS[20])


def delete(repo: Path) -> None:
    refs_of(repo).delete_all({f"{RUNS}r3": COMMITS[3], f"{RUNS}r17": COMMITS[17]})


def pack(repo: Path) -> None:
    refs_of(repo).pack(RUNS)


HELD_WITHOUT = {name: tip for name, tip in HELD.items() if name not in (f"{RUNS}r3", f"{RUNS}r17")}
OUTCOMES: dict[Action, list[dict[str, str]]] = {
    write: [HELD],
    consolidate: [HELD],
    release: [HELD],
    create: [HELD, {**HELD, f"{RUNS}sub/r20": COMMITS[20]}],
    update_loose: [HELD, {**HELD, f"{RUNS}r17": COMMITS[20]}],
    update_packed: [HELD, {**HELD, f"{RUNS}r3": COMMITS[20]}],
    pack: [HELD],
}
CASES = pytest.mark.parametrize("action", OUTCOMES, ids=lambda action: action.__name__)


@CASES
def test_a_death_at_any_step_is_as_if_before_or_after(template: Path, git: Git, action: Action) -> None:
    """Refs are as before the operation or as after it, no object is lost, and the next try succeeds and cleans up."""
    calls = ("open", "write", "fsync", "rename", "link", "unlink", "mkdir")
    for repo, status in every_step(template, action, die, calls):
        assert status == DEAD
        assert check(repo, git) in OUTCOMES[action]
        past = time.time() - 2 * STALE_S
        for path in leftovers(repo):
            os.utime(path, (past, past))
        action(repo)
        assert check(repo, git) == OUTCOMES[action][-1]
        objects_of(repo).sweep_temporary(-1)
        refs_of(repo).sweep_stale(RUNS)
        assert not [path for path in leftovers(repo) if "gitexp/tmp" not in str(path)]
        assert "garbage: 0" in git("count-objects", "-v", cwd=repo)


def test_a_death_while_deleting_leaves_each_ref_or_not(template: Path, git: Git) -> None:
    """Of several refs that are deleted some may be left, each as it was; trying again removes them."""
    calls = ("open", "write", "fsync", "rename", "link", "unlink", "mkdir")
    for repo, _ in every_step(template, delete, die, calls):
        listed = check(repo, git)
        assert HELD_WITHOUT.items() <= listed.items() <= HELD.items()
        past = time.time() - 2 * STALE_S
        for path in leftovers(repo):
            os.utime(path, (past, past))
        delete(repo)
        assert check(repo, git) == HELD_WITHOUT


@CASES
def test_a_full_disk_at_any_step_changes_nothing_by_halves(template: Path, git: Git, action: Action) -> None:
    """It ends in StorageFailed or in success, refs are as before or after, and no lock or temporary file stays."""
    calls = ("open", "write", "fsync", "rename", "link", "mkdir")
    for repo, status in every_step(template, action, disk_full, calls):
        assert status in (0, FAILED)
        assert check(repo, git) in OUTCOMES[action]
        assert not leftovers(repo)
