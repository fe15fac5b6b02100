"""Two states of one run become one that holds what both changed, the same on every machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import Git
from gitexp.domain.merging import merge_values
from gitexp.repo import Repository
from gitexp.store.converging import merge_states
from gitexp.store.states import states
from gitexp.tracking import start_run


@pytest.fixture
def two(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Repository, Repository]:
    """Two copies of a repository with one run, `base`."""
    monkeypatch.chdir(repo_dir)
    with start_run("base", params={"lr": 0.1}) as run:
        run.log_metric("loss", 0.5)
    other = repo_dir.parent / "other"
    shutil.copytree(repo_dir, other)
    return Repository.open(repo_dir), Repository.open(other)


def bring(source: Repository, target: Repository, git: Git) -> str:
    """The tip of the run in `source`, whose objects `target` has afterwards."""
    [(ref, commit)] = source.tips().items()
    git("fetch", "-q", source.git.git_dir, ref, cwd=Path(target.git.git_dir))
    return commit


def test_values_merge_key_by_key() -> None:
    """A change on one side is kept, and where both changed one key the later one is."""
    base = {"a": 1, "b": 1, "c": 1, "d": 1}
    earlier = {"a": 2, "b": 2, "c": 1, "e": 5}
    later = {"a": 1, "b": 3, "c": 1, "d": 1, "f": 6}
    assert merge_values(base, earlier, later) == {"a": 2, "b": 3, "c": 1, "e": 5, "f": 6}


def test_both_sides_make_the_same_commit(two: tuple[Repository, Repository], git: Git) -> None:
    """Tags and notes of both survive; the two machines agree to the byte, and `git fsck` likes it."""
    one, other = two
    one.tag(one.resolve("base"), {"stage": "dev", "who": "ann"})
    one.note(one.resolve("base"), "from one")
    other.tag(other.resolve("base"), {"who": "bob", "data": "v2"})
    other.rename(other.resolve("base"), "better")
    tips = bring(one, other, git), bring(other, one, git)
    here, there = merge_states(one.objects, *tips), merge_states(other.objects, tips[1], tips[0])
    assert here == there
    one.objects.write(here.objects)
    [(ref, tip)] = one.tips().items()
    assert one.refs.update(ref, tip, here.commit)
    run = one.get_run("better")
    assert run.tags == {"stage": "dev", "who": run.tags["who"], "data": "v2"}
    assert run.record.note == "from one"
    assert (run.params, run.metrics) == ({"lr": 0.1}, {"loss": 0.5})
    assert [event.kind for event in run.events()].count("seal") == 1
    assert sorted(event.kind for event in run.events()) == ["merge", "note", "rename", "seal", "tag", "tag"]
    assert len(run.parents()) == 1
    git("fsck", "--full", "--strict", cwd=Path(one.git.git_dir))


def test_a_state_that_holds_the_other_is_the_answer(two: tuple[Repository, Repository]) -> None:
    """Where one side only lags behind there is nothing to merge."""
    one, _ = two
    seal = one.resolve("base").commit
    assert seal
    tip = one.tag(one.resolve("base"), {"a": "b"})
    assert merge_states(one.objects, seal, tip).commit == tip
    assert merge_states(one.objects, tip, seal).commit == tip
    assert merge_states(one.objects, tip, tip).objects == []


def test_a_removal_and_a_tag_both_count(two: tuple[Repository, Repository], git: Git) -> None:
    """One removes the run, the other tags it: it is removed, and has the tag."""
    one, other = two
    one.remove(one.resolve("base"))
    other.tag(other.resolve("base"), {"a": "b"})
    merged = merge_states(one.objects, bring(other, one, git), next(iter(one.tips().values())))
    one.objects.write(merged.objects)
    [(ref, tip)] = one.tips().items()
    one.refs.update(ref, tip, merged.commit)
    [run] = one.search(deleted="only")
    assert run.tags == {"a": "b"}


def test_experiments_that_two_created_become_one(two: tuple[Repository, Repository], git: Git) -> None:
    """Two machines that create one experiment by themselves have no state in common; the earlier creation counts."""
    one, other = two
    name = "refs/gitexp/experiments/default"
    tip = other.refs.read(name)
    assert tip
    found = dict(states(other.objects, tip))
    assert [trailer.message.split()[0] for trailer in found.values()] == ["experiment"]
    from gitexp.store.runs import Signature

    other.refs.delete(name, tip)
    other.experiments.ensure("default", Signature(author="Bob <bob@example.org>", time=1_900_000_000.0))
    git("fetch", "-q", other.git.git_dir, name, cwd=Path(one.git.git_dir))
    merged = merge_states(one.objects, tip, str(other.refs.read(name)))
    one.objects.write(merged.objects)
    assert len(list(states(one.objects, merged.commit))) == 3
    one.refs.update(name, tip, merged.commit)
    assert one.experiments.names() == ["default"]
