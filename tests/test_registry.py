"""Registered models: versions that never change, aliases and stages whose every change is a commit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Git
from gitexp.domain.identity import MODELS
from gitexp.domain.registry import (
    ModelVersion,
    RegisteredModel,
    Stage,
    dump_model,
    model_from_dicts,
    parse_address,
    parse_alias,
    parse_model_name,
)
from gitexp.domain.registry_merging import merge_models
from gitexp.errors import CorruptData, GitexpError, InvalidName, NotFound, UsageError
from gitexp.registry import Registry
from gitexp.repo import Repository
from gitexp.store.converging import merge_states
from gitexp.store.modelstore import read_model
from gitexp.store.yamlfile import load_yaml
from gitexp.tracking import start_run
from gitexp.upkeep import fsck, gc


@pytest.fixture
def registry(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry of a repository with the runs `first` and `second`, each with a model of two files."""
    monkeypatch.chdir(repo_dir)
    for number, name in enumerate(("first", "second"), 1):
        with start_run(name) as run:
            run.log_metric("rmse", 1 / number)
            run.log_text("a" * 70_000 * number, "model/weights.txt")
            run.log_text(f"layers: {number}", "model/MLmodel")
    return Registry(Repository.open(repo_dir))


def repository_of(registry: Registry) -> Repository:
    return registry._repository


def settings(repo_dir: Path, *lines: str) -> Registry:
    (repo_dir / ".gitexp").mkdir(exist_ok=True)
    (repo_dir / ".gitexp" / "config.yaml").write_text("\n".join(lines) + "\n")
    return Registry(Repository.open(repo_dir))


def test_versions_count_up_and_know_where_they_came_from(registry: Registry, git: Git, repo_dir: Path) -> None:
    """Each registration is the next number, names the run's commit and the digest of its files, and git likes it."""
    one = registry.register("first:model", "taxi", description="small", tags={"team": "a"}, reason="why not")
    two = registry.register("runs:/second/model", "taxi")
    assert (str(one), str(two)) == ("taxi/1", "taxi/2")
    assert one.version.commit == repository_of(registry).resolve("first").commit
    assert one.version.digest != two.version.digest
    assert sorted(registry.files_of(two.version)) == ["MLmodel", "weights.txt"]
    assert [event.kind for event in registry.events("taxi")] == ["register", "register", "create"]
    assert registry.events("taxi")[1].reason == "why not"
    git("fsck", "--full", "--strict", cwd=repo_dir)
    [tip] = repository_of(registry).refs.list(MODELS).values()
    assert one.version.commit in git("rev-list", tip, cwd=repo_dir).split()


def test_a_version_answers_to_number_alias_and_stage(registry: Registry) -> None:
    """`taxi/1`, `taxi@champion`, `taxi/production`, `models:/taxi/latest` and `taxi` find what they say."""
    registry.register("first:model", "taxi")
    registry.register("second:model", "taxi")
    registry.set_alias("taxi/1", "champion")
    registry.set_stage("taxi/2", Stage.PRODUCTION)
    addresses = ("taxi/1", "taxi@champion", "taxi/production", "models:/taxi/latest", "taxi", "models:/taxi@champion")
    assert [registry.find(address).version.number for address in addresses] == [1, 1, 2, 2, 2, 1]
    for missing in ("taxi/9", "taxi@nobody", "taxi/staging", "taxi/nonsense", "tax"):
        with pytest.raises(NotFound):
            registry.find(missing)


def test_a_stage_can_archive_what_was_there(registry: Registry) -> None:
    """`archive_others` leaves one version in the stage; without it, both stay, and the newest is meant."""
    for name in ("first", "second"):
        registry.register(f"{name}:model", "taxi")
    registry.set_stage("taxi/1", Stage.PRODUCTION)
    registry.set_stage("taxi/2", Stage.PRODUCTION)
    assert registry.find("taxi/production").version.number == 2
    registry.set_stage("taxi/2", Stage.STAGING)
    registry.set_stage("taxi/2", Stage.PRODUCTION, archive_others=True)
    assert [version.stage for version in registry.model("taxi").versions] == [Stage.ARCHIVED, Stage.PRODUCTION]


def test_what_is_removed_can_be_restored_and_its_number_is_not_given_again(registry: Registry) -> None:
    """A removed version loses its aliases and answers no more; the next one gets a new number."""
    registry.register("first:model", "taxi")
    registry.set_alias("taxi/1", "champion")
    registry.remove("taxi/1", reason="wrong data")
    with pytest.raises(NotFound, match="was removed"):
        registry.find("taxi/1")
    assert not registry.model("taxi").aliases
    assert registry.register("first:model", "taxi").version.number == 2
    registry.restore("taxi/1")
    assert registry.find("taxi/1").version.deleted is None
    registry.set_stage("taxi/1", Stage.PRODUCTION)
    with pytest.raises(UsageError, match="in production"):
        registry.remove("taxi/1")


def test_a_model_in_production_is_not_removed(registry: Registry) -> None:
    """Removing a model whose version is in production is refused like removing that version."""
    registry.register("first:model", "taxi")
    registry.set_stage("taxi/1", Stage.PRODUCTION)
    with pytest.raises(UsageError, match="in production"):
        registry.remove("taxi")
    registry.set_stage("taxi/1", Stage.NONE)
    assert registry.events("taxi")[0].subject == "version 1 is in no stage, was production"
    assert registry.remove("taxi").deleted is not None


def test_others_are_archived_only_where_a_version_takes_their_place(registry: Registry) -> None:
    """`archive_others` with 'none' would archive every version that is nowhere: it is refused."""
    for name in ("first", "second"):
        registry.register(f"{name}:model", "taxi")
    for stage in (Stage.NONE, Stage.ARCHIVED):
        with pytest.raises(UsageError, match="not archived"):
            registry.set_stage("taxi/1", stage, archive_others=True)
    assert [version.stage for version in registry.model("taxi").versions] == [Stage.NONE, Stage.NONE]


def test_the_present_state_and_former_ones_have_a_commit(registry: Registry) -> None:
    """A commit of a model's history shows it as it was; that of something else is refused."""
    registry.register("first:model", "taxi")
    then = registry.commit_of("taxi")
    registry.set_alias("taxi/1", "champion", reason="the only one")
    assert registry.commit_of("taxi") == registry.events("taxi")[0].commit
    assert (registry.model_at("taxi", then).aliases, registry.model("taxi").aliases) == ({}, {"champion": 1})
    registry.register("first:model", "other")
    for commit in (registry.commit_of("other"), registry.find("taxi").version.commit, "0" * 40, "nothing"):
        with pytest.raises(NotFound, match="no commit of the model"):
            registry.model_at("taxi", commit)


def test_an_alias_of_a_removed_version_can_be_taken_away(registry: Registry, git: Git, repo_dir: Path) -> None:
    """One sets an alias while another removes the version: the merge has both, and the alias can go."""
    registry.register("first:model", "taxi")
    other_dir = repo_dir.parent / "other"
    shutil.copytree(repo_dir, other_dir)
    Registry(Repository.open(other_dir)).set_alias("taxi/1", "champion")
    registry.remove("taxi/1")
    here = repository_of(registry)
    [ref] = here.refs.list(MODELS)
    git("fetch", "-q", str(other_dir), ref, cwd=repo_dir)
    tip, theirs = str(here.refs.read(ref)), git("rev-parse", ref, cwd=other_dir).strip()
    merged = merge_states(here.objects, tip, theirs)
    here.objects.write(merged.objects)
    assert here.refs.update(ref, tip, merged.commit)
    assert registry.model("taxi").aliases == {"champion": 1}
    assert registry.remove_alias("models:/taxi", "champion").aliases == {}


def test_a_removed_model_is_gone_until_it_is_restored(registry: Registry) -> None:
    """It is listed only when asked for; registering under its name brings it back."""
    registry.register("first:model", "taxi")
    registry.remove("taxi")
    assert not registry.models() and len(registry.models(deleted=True)) == 1
    with pytest.raises(NotFound, match="was removed"):
        registry.find("taxi/1")
    assert registry.register("second:model", "taxi").version.number == 2
    assert [model.name for model in registry.models()] == ["taxi"]


def test_descriptions_and_tags_are_of_models_and_of_versions(registry: Registry) -> None:
    """Each goes where its address points; saying what is so already makes no commit."""
    registry.register("first:model", "taxi")
    registry.describe("taxi", "fares")
    registry.describe("taxi/1", "the first")
    registry.tag("taxi/1", {"stage": "x", "n": 3}, remove=("none",))
    registry.tag("taxi", {"team": "a"})
    model = registry.model("taxi")
    assert (model.description, model.versions[0].description) == ("fares", "the first")
    assert (model.tags, model.versions[0].tags) == ({"team": "a"}, {"stage": "x", "n": "3"})
    count = len(registry.events("taxi"))
    registry.tag("taxi", {"team": "a"})
    assert len(registry.events("taxi")) == count


def test_bad_names_sources_and_aliases_are_refused(registry: Registry) -> None:
    """A name that would be read as an address, an alias like a version, a run or path that is not there."""
    for name in ("a/b", "a:b", "a@b", "", " a", "x" * 300):
        with pytest.raises(InvalidName):
            parse_model_name(name)
    for alias in ("latest", "v7", "7", "a b", ""):
        with pytest.raises(InvalidName):
            parse_alias(alias)
    for source in ("first:nothing", "nobody:model", "runs:/nobody/model"):
        with pytest.raises(NotFound):
            registry.register(source, "taxi")
    with pytest.raises(UsageError):
        registry.register("first", "taxi")
    with pytest.raises(InvalidName, match="too long"):
        registry.find("taxi/" + "9" * 5000)
    assert not registry.models()


def test_gates_name_every_condition_that_fails(registry: Registry, repo_dir: Path) -> None:
    """A promotion that a gate refuses changes nothing and says why; one that meets them all is made."""
    registry.register("first:model", "taxi")
    registry.register("second:model", "taxi")
    gated = settings(
        repo_dir,
        "registry:",
        "  gates:",
        '    production: ["metrics.rmse < 0.9", better metrics.rmse, reproduced, committed, other approver]',
        '    champion: ["metrics.rmse < 0.9", better metrics.rmse]',
    )
    with pytest.raises(UsageError) as refused:
        gated.set_stage("taxi/1", Stage.PRODUCTION)
    text = str(refused.value)
    assert all(part in text for part in ("metrics.rmse < 0.9", "rmse is 1", "reproduced:", "other approver:"))
    assert "better" not in text and "committed" not in text
    assert gated.model("taxi").versions[0].stage is Stage.NONE
    gated.set_alias("taxi/2", "champion")
    with pytest.raises(UsageError, match=r"the present version 0\.5"):
        gated.set_alias("taxi/1", "champion")
    assert gated.model("taxi").aliases == {"champion": 2}


def test_whatever_is_better_than_nothing(registry: Registry, repo_dir: Path) -> None:
    """A present version whose metric is NaN keeps no other one out."""
    registry.register("first:model", "other")
    with start_run("diverged") as run:
        run.log_metric("rmse", float("nan"))
        run.log_text("x", "model/MLmodel")
    gated = settings(repo_dir, "registry:", "  gates:", "    champion: [committed, better metrics.rmse]")
    gated.register("diverged:model", "taxi")
    gated.register("first:model", "taxi")
    model = replace(gated.model("taxi"), aliases={"champion": 1})
    found = gated.conditions(model, model.version(2), "champion")
    assert [(each.text, each.failure) for each in found][1] == ("better metrics.rmse", None)
    with pytest.raises(UsageError, match="no metric 'rmse'"):
        gated.set_alias("taxi/1", "champion")


def test_gates_that_make_no_sense_are_named(registry: Registry, repo_dir: Path) -> None:
    """A condition that cannot be read is an error that quotes it."""
    registry.register("first:model", "taxi")
    for condition in ("metrics.rmse <", "better metrics.unknown_way", "nonsense here"):
        gated = settings(repo_dir, "registry:", "  gates:", f'    champion: ["{condition}"]')
        with pytest.raises(UsageError, match="makes no sense"):
            gated.set_alias("taxi/1", "champion")


def test_gc_and_fsck_know_registered_models(registry: Registry, repo_dir: Path) -> None:
    """Files of a version outlive their run; files that are not what was registered are found."""
    registry.register("first:model", "taxi")
    repository = repository_of(registry)
    repository.remove(repository.resolve("first"))
    gc(repository, keep_s=0)
    again = Registry(Repository.open(repo_dir))
    version = again.find("taxi/1").version
    assert again.run_of(version).metrics == {"rmse": 1.0}
    assert again.files_of(version)["weights.txt"].read() == b"a" * 70_000
    assert not [finding for finding in fsck(Repository.open(repo_dir)) if finding.severity == "error"]
    with pytest.raises(CorruptData, match="not those that were registered"):
        again.files_of(_with_other_digest(version))


def _with_other_digest(version: ModelVersion) -> ModelVersion:
    return replace(version, digest="sha256:" + "0" * 64)


def test_two_who_register_at_once_get_two_numbers(registry: Registry, repo_dir: Path, git: Git) -> None:
    """Both clones merge to the same commit; the later one's version moves up, and its alias with it."""
    registry.register("first:model", "taxi")
    other_dir = repo_dir.parent / "other"
    shutil.copytree(repo_dir, other_dir)
    other = Registry(Repository.open(other_dir))
    registry.register("first:model", "taxi", description="here")
    registry.set_alias("taxi/2", "here")
    other.register("second:model", "taxi", description="there")
    other.set_alias("taxi/2", "there")
    here, there = (repository_of(side) for side in (registry, other))
    [ref] = here.refs.list(MODELS)
    tips = [str(side.refs.read(ref)) for side in (here, there)]
    for side, source in ((repo_dir, other_dir), (other_dir, repo_dir)):
        git("fetch", "-q", str(source), ref, cwd=side)
    merged = merge_states(here.objects, *tips)
    assert merged == merge_states(there.objects, *reversed(tips))
    here.objects.write(merged.objects)
    assert here.refs.update(ref, tips[0], merged.commit)
    model = registry.model("taxi")
    assert sorted(str(version.description) for version in model.versions) == ["None", "here", "there"]
    assert [version.number for version in model.versions] == [1, 2, 3]
    said = {alias: model.version(number).description for alias, number in model.aliases.items()}
    assert said == {"here": "here", "there": "there"}
    assert "became version 3" in registry.events("taxi")[0].reason


@pytest.mark.slow
def test_many_processes_register_at_once(registry: Registry, repo_dir: Path) -> None:
    """Twelve registrations by four processes give twelve numbers, and every one is in the history."""
    program = (
        "from gitexp.registry import Registry\nfrom gitexp.repo import Repository\n"
        "for _ in range(3): Registry(Repository.open('.')).register('first:model', 'taxi')\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program], cwd=repo_dir) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert [version.number for version in registry.model("taxi").versions] == list(range(1, 13))
    assert sum(event.kind == "register" for event in registry.events("taxi")) == 12


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
def test_changes_are_signed_where_git_signs_commits(registry: Registry, repo_dir: Path, git: Git) -> None:
    """`git verify-commit` accepts a change made with `commit.gpgSign` and a key of ssh."""
    key = repo_dir.parent / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    email = git("config", "user.email", cwd=repo_dir).strip()
    (repo_dir.parent / "signers").write_text(f"{email} {key.with_suffix('.pub').read_text()}")
    for name, value in (
        ("commit.gpgsign", "true"),
        ("gpg.format", "ssh"),
        ("user.signingkey", f"{key}.pub"),
        ("gpg.ssh.allowedSignersFile", str(repo_dir.parent / "signers")),
    ):
        git("config", name, value, cwd=repo_dir)
    Registry(Repository.open(repo_dir)).register("first:model", "taxi", reason="signed")
    [tip] = repository_of(registry).refs.list(MODELS).values()
    git("verify-commit", tip, cwd=repo_dir)
    git("config", "user.signingkey", f"{key}.nowhere", cwd=repo_dir)
    with pytest.raises(GitexpError, match="cannot be signed"):
        Registry(Repository.open(repo_dir)).register("first:model", "taxi")


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)
times = st.integers(0, 2_000_000_000).map(float)
versions = st.builds(
    ModelVersion,
    number=st.integers(1, 6),
    run=st.just("a" * 12),
    commit=st.text("0123456789abcdef", min_size=40, max_size=40),
    path=texts,
    digest=st.just("sha256:00"),
    size_bytes=st.integers(0, 10**12),
    created=times,
    author=texts,
    stage=st.sampled_from(Stage),
    description=st.none() | texts,
    tags=st.dictionaries(texts, texts, max_size=2),
    deleted=st.none() | times,
)


@st.composite
def models(draw: st.DrawFn) -> RegisteredModel:
    found = {version.number: version for version in draw(st.lists(versions, max_size=4))}
    aliases = draw(st.dictionaries(st.sampled_from("abc"), st.sampled_from(sorted(found) or [1]), max_size=2))
    return RegisteredModel(
        name="taxi",
        created=draw(times),
        description=draw(st.none() | texts),
        tags=draw(st.dictionaries(texts, texts, max_size=2)),
        aliases=aliases if found else {},
        versions=tuple(found[number] for number in sorted(found)),
    )


@given(models())
def test_a_model_survives_its_text(model: RegisteredModel) -> None:
    """What is written is read back to the same value."""
    files = {path: load_yaml(text, what=path) for path, text in dump_model(model).items()}
    assert model_from_dicts(files.pop("model.yaml"), files.values()) == model


@given(models(), models(), models())
def test_no_version_is_lost_by_a_merge(base: RegisteredModel, one: RegisteredModel, other: RegisteredModel) -> None:
    """Every version of either side is in the merge once, under its number or the one it was moved to."""
    old = {version.number: version for version in base.versions}
    sides = [
        RegisteredModel(
            name="taxi",
            created=side.created,
            aliases=side.aliases,
            versions=tuple(sorted({**{v.number: v for v in side.versions}, **old}.values(), key=lambda v: v.number)),
        )
        for side in (one, other)
    ]
    done = merge_models(base, *sides)
    numbers = [version.number for version in done.model.versions]
    assert numbers == sorted(set(numbers))
    for moved, side in (({}, sides[0]), (done.renumbered, sides[1])):
        for version in side.versions:
            there = done.model.version(moved.get(version.number, version.number))
            assert (there.commit, there.path, there.created) == (version.commit, version.path, version.created)


def test_a_version_that_a_merge_moved_is_still_the_same() -> None:
    """Three who register at once lose nothing, though two merges gave one version different numbers before they met."""
    author = {"run": "a" * 12, "path": "m", "digest": "sha256:00", "size_bytes": 1, "author": "ann"}
    ann, bob, eve = (
        RegisteredModel(
            name="taxi",
            created=time,
            aliases={name: 1},
            versions=(ModelVersion(number=1, commit=name[0] * 40, created=time, **author),),
        )
        for time, name in ((1.0, "ann"), (2.0, "bob"), (3.0, "eve"))
    )
    eve = replace(eve, aliases={**eve.aliases, "champion": 1})
    one, other = merge_models(None, ann, bob), merge_models(None, bob, eve)
    assert one.renumbered == other.renumbered == {1: 2}
    done = merge_models(bob, one.model, other.model)
    assert done.renumbered == {1: 2, 2: 3}
    assert {version.commit[0]: version.number for version in done.model.versions} == {"a": 1, "b": 2, "e": 3}
    assert done.model.aliases == {"ann": 1, "bob": 2, "eve": 3, "champion": 3}


@pytest.mark.parametrize("seed", range(4))
def test_clones_that_merge_in_any_order_end_with_every_version_once(registry: Registry, seed: int) -> None:
    """Clones that register and pull from one another at random come to one state, with all that was registered."""
    random, repository = Random(seed), repository_of(registry)
    registered = [registry.register("first:model", "taxi").version.created]
    ref, start = repository.refs.list(MODELS).popitem()
    clones = [start] * 3

    def pull(one: int, other: int) -> None:
        merged = merge_states(repository.objects, clones[one], clones[other])
        repository.objects.write(merged.objects)
        clones[one] = merged.commit

    for _ in range(10):
        clone = random.randrange(3)
        assert repository.refs.update(ref, repository.refs.read(ref), clones[clone])
        registered.append(registry.register("second:model", "taxi").version.created)
        clones[clone] = repository.refs.read(ref)
        for _ in range(random.randrange(3)):
            pull(*random.sample(range(3), 2))
    for one, other in ((0, 1), (0, 2), (1, 0), (2, 0)):
        pull(one, other)
    assert len(set(clones)) == 1
    found = [version.created for version in read_model(repository.objects, clones[0]).versions]
    assert sorted(found) == sorted(round(time, 3) for time in registered)


def test_addresses() -> None:
    """An address is what it was written as, with or without its scheme."""
    for text in ("taxi", "taxi/7", "taxi@champion", "taxi/production"):
        assert str(parse_address(f"models:/{text}")) == str(parse_address(text)) == text
