"""Refs: what the real git sees, and who wins where several write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from conftest import Git
from gitexp.errors import Conflict, CorruptData, InvalidName
from gitexp.store.git.refs import STALE_S, RefStore, check_name

RUNS = "refs/gitexp/runs/"
NAME = RUNS + "default/k7m29x4qh3vd"


def store_of(repo: Path) -> RefStore:
    return RefStore(f"{repo}/.git", f"{repo}/.git")


def listed_by_git(repo: Path, git: Git, prefix: str = "refs/") -> dict[str, str]:
    lines = git("for-each-ref", "--format=%(refname) %(objectname)", prefix, cwd=repo).splitlines()
    return dict(line.split(" ") for line in lines)


def leftovers(repo: Path) -> list[Path]:
    """Locks and temporary files."""
    found = [path for path in (repo / ".git").rglob("*") if path.name.endswith(".lock") or "tmp_" in path.name]
    return [path for path in found if path != repo / ".git/gitexp/refs.lock"]


@pytest.fixture
def commits(repo_dir: Path, git: Git) -> list[str]:
    """Hex ids of five commits."""
    return [git("commit-tree", "-m", str(number), "HEAD^{tree}", cwd=repo_dir).strip() for number in range(5)]


def test_a_ref_is_made_moved_and_removed(repo_dir: Path, git: Git, commits: list[str]) -> None:
    """Each step is what the real git sees, loose or packed."""
    refs = store_of(repo_dir)
    for packed in (False, True):
        assert refs.read(NAME) is None
        assert refs.create(NAME, commits[0])
        assert not refs.create(NAME, commits[1])
        if packed:
            git("pack-refs", "--all", cwd=repo_dir)
            assert not (repo_dir / ".git" / NAME).exists()
            assert not refs.create(NAME, commits[1])
        assert git("rev-parse", NAME, cwd=repo_dir).strip() == refs.read(NAME) == commits[0]
        assert not refs.update(NAME, commits[1], commits[2])
        assert refs.update(NAME, commits[0], commits[1])
        assert git("rev-parse", NAME, cwd=repo_dir).strip() == refs.read(NAME) == commits[1]
        assert not refs.delete(NAME, commits[0])
        assert refs.delete(NAME, commits[1])
        assert not refs.delete(NAME, None)
        assert NAME not in listed_by_git(repo_dir, git)
        assert refs.read(NAME) is None
    assert not leftovers(repo_dir)


def test_what_git_does_is_seen(repo_dir: Path, git: Git, commits: list[str]) -> None:
    """Refs that git makes, packs, moves and deletes read as git says, annotated tags and symbolic refs included."""
    refs = store_of(repo_dir)
    git("tag", "-a", "-m", "annotated", "v1", cwd=repo_dir)
    git("tag", "light", cwd=repo_dir)
    git("update-ref", NAME, commits[0], cwd=repo_dir)
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/heads/main", cwd=repo_dir)
    assert refs.list("refs/") == listed_by_git(repo_dir, git)
    git("pack-refs", "--all", cwd=repo_dir)
    assert refs.list("refs/") == listed_by_git(repo_dir, git)
    assert refs.read("refs/tags/v1") == git("rev-parse", "v1", cwd=repo_dir).strip()
    assert refs.read("HEAD") == refs.read("refs/remotes/origin/HEAD") == git("rev-parse", "HEAD", cwd=repo_dir).strip()
    git("update-ref", NAME, commits[1], cwd=repo_dir)
    assert refs.list(RUNS) == {NAME: commits[1]}
    git("update-ref", "-d", NAME, cwd=repo_dir)
    assert refs.list(RUNS) == {}
    assert refs.broken("refs/") == []


def test_a_prefix_need_not_be_a_folder(repo_dir: Path, commits: list[str]) -> None:
    """Listing goes by the beginning of names, in loose refs as in packed ones."""
    refs = store_of(repo_dir)
    names = [RUNS + name for name in ("a/k1", "a/k12", "a/k2", "ab/k1", "a-b/k1")]
    for name in names:
        assert refs.create(name, commits[0])
    for _ in range(2):
        assert set(refs.list(RUNS + "a/k1")) == set(names[:2])
        assert set(refs.list(RUNS + "a/")) == set(names[:3])
        assert set(refs.list(RUNS + "a")) == set(names)
        assert refs.list(RUNS + "zzz/") == {}
        refs.pack(RUNS)


class RefMachine(RuleBasedStateMachine):
    """Random writes by us and by the real git, against a dictionary."""

    NAMES = tuple(f"{RUNS}{experiment}/r{number}" for experiment in ("a", "a-b", "b") for number in range(4))
    name = st.sampled_from(NAMES)
    commit = st.integers(0, 4)

    folder: Path
    commits: list[str]
    root: Path

    @initialize()
    def start(self) -> None:
        number = len(list(self.root.iterdir()))
        self.repo = self.root / str(number)
        subprocess.run(["cp", "-r", str(self.folder), str(self.repo)], check=True)
        self.refs = store_of(self.repo)
        self.model: dict[str, str] = {}

    @rule(name=name, commit=commit)
    def create(self, name: str, commit: int) -> None:
        assert self.refs.create(name, self.commits[commit]) == (name not in self.model)
        self.model.setdefault(name, self.commits[commit])

    @rule(name=name, old=commit, new=commit)
    def update(self, name: str, old: int, new: int) -> None:
        fits = self.model.get(name) == self.commits[old]
        assert self.refs.update(name, self.commits[old], self.commits[new]) == fits
        if fits:
            self.model[name] = self.commits[new]

    @rule(name=name, commit=st.none() | commit)
    def delete(self, name: str, commit: int | None) -> None:
        old = None if commit is None else self.commits[commit]
        fits = name in self.model and old in (None, self.model[name])
        assert self.refs.delete(name, old) == fits
        if fits:
            del self.model[name]

    @rule(names=st.sets(name))
    def delete_all(self, names: set[str]) -> None:
        assert self.refs.delete_all(dict.fromkeys(names)) == names & self.model.keys()
        self.model = {name: value for name, value in self.model.items() if name not in names}

    @rule(experiment=st.sampled_from(["", "a/", "a", "b/"]))
    def pack(self, experiment: str) -> None:
        self.refs.pack(RUNS + experiment)

    @rule(name=name, commit=commit)
    def git_writes(self, name: str, commit: int) -> None:
        subprocess.run(["git", "update-ref", name, self.commits[commit]], cwd=self.repo, check=True)
        self.model[name] = self.commits[commit]

    @rule()
    def git_packs(self) -> None:
        subprocess.run(["git", "pack-refs", "--all"], cwd=self.repo, check=True)

    @invariant()
    def all_are_as_known(self) -> None:
        assert self.refs.list(RUNS) == self.model
        assert {name: value for name in self.NAMES if (value := self.refs.read(name))} == self.model

    def teardown(self) -> None:
        command = ["git", "for-each-ref", "--format=%(refname) %(objectname)", RUNS]
        out = subprocess.run(command, cwd=self.repo, check=True, capture_output=True, text=True).stdout
        assert dict(line.split(" ") for line in out.splitlines()) == self.model
        assert not leftovers(self.repo)


def test_random_writes_by_us_and_git_agree_with_a_dictionary(
    repo_dir: Path, commits: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is created, moved, deleted and packed in any order, by either, refs are what a dictionary says."""
    machine = type(
        "Machine", (RefMachine,), {"folder": repo_dir, "commits": commits, "root": tmp_path_factory.mktemp("repos")}
    )
    run_state_machine_as_test(machine, settings=settings(max_examples=12, stateful_step_count=25, deadline=None))


@pytest.mark.parametrize(
    "name",
    ["refs/a", "refs/heads/feature/x-1", "refs/gitexp/runs/default/k7m29x4qh3vd", "refs/é", "refs/a.b", "refs/a@b"],
)
def test_names_that_git_takes_are_taken(name: str, repo_dir: Path, git: Git) -> None:
    """check_name agrees with `git check-ref-format`."""
    git("check-ref-format", name, cwd=repo_dir)
    assert check_name(name) == name


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("a/.@{-~^:?*[\\ \n\x7flock"), max_size=9))
def test_names_are_judged_as_git_does(text: str) -> None:
    """Any name is taken or refused as `git check-ref-format` does."""
    name = f"refs/{text}"
    taken = subprocess.run(["git", "check-ref-format", name], check=False).returncode == 0
    if taken:
        assert check_name(name) == name
    else:
        with pytest.raises(InvalidName):
            check_name(name)


@pytest.mark.parametrize("name", ["HEAD", "config", "../x", "refs/../config", "refs/a\0b", "refs//a", "", "refs/"])
def test_no_name_reaches_outside_refs(repo_dir: Path, commits: list[str], name: str) -> None:
    """Writing anything but a ref below `refs/` is refused; reading may also ask for HEAD."""
    refs = store_of(repo_dir)
    before = sorted((path, path.read_bytes()) for path in (repo_dir / ".git").rglob("*") if path.is_file())
    for write in (
        lambda: refs.create(name, commits[0]),
        lambda: refs.update(name, commits[0], commits[1]),
        lambda: refs.delete(name, None),
        lambda: refs.read(name) if name != "HEAD" else check_name(name),
    ):
        with pytest.raises(InvalidName):
            write()
    assert sorted((path, path.read_bytes()) for path in (repo_dir / ".git").rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("commit", ["", "HEAD", "f" * 39, "F" * 40, "f" * 41, "f" * 40 + "\n"])
def test_only_object_ids_are_written(repo_dir: Path, commit: str) -> None:
    """What is not 40 hex digits is refused before anything is written."""
    with pytest.raises(InvalidName):
        store_of(repo_dir).create(NAME, commit)
    assert store_of(repo_dir).read(NAME) is None


@pytest.mark.parametrize("packed", [False, True])
def test_a_ref_cannot_be_beside_one_below_it(repo_dir: Path, git: Git, commits: list[str], packed: bool) -> None:
    """`a` and `a/b` exclude each other, as in git; folders that stayed empty are in nobody's way."""
    refs = store_of(repo_dir)
    assert refs.create(f"{RUNS}a/b", commits[0])
    if packed:
        git("pack-refs", "--all", cwd=repo_dir)
    for name in (f"{RUNS}a", f"{RUNS}a/b/c"):
        with pytest.raises(Conflict, match="beside"):
            refs.create(name, commits[1])
    assert refs.list(RUNS) == {f"{RUNS}a/b": commits[0]}
    assert refs.delete(f"{RUNS}a/b", None)
    assert refs.create(f"{RUNS}a", commits[1])
    git("pack-refs", "--all", cwd=repo_dir)
    (repo_dir / ".git" / RUNS / "a/empty").mkdir(parents=True)
    assert refs.update(f"{RUNS}a", commits[1], commits[2])
    assert listed_by_git(repo_dir, git, RUNS) == {f"{RUNS}a": commits[2]}


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"garbage\n", b"f" * 39 + b"\n", b"\0" * 41, b"ref: \n", b"ref: nowhere\n"]
)
def test_a_damaged_ref_hides_no_other(repo_dir: Path, git: Git, commits: list[str], content: bytes) -> None:
    """Its name is told, the others are listed, reading it says what is wrong, and it can be deleted."""
    refs = store_of(repo_dir)
    for name in ("a", "b", "c"):
        assert refs.create(RUNS + name, commits[0])
    git("pack-refs", "--all", cwd=repo_dir)
    (repo_dir / ".git" / RUNS).mkdir(exist_ok=True)
    (repo_dir / ".git" / RUNS / "b").write_bytes(content)
    assert refs.list(RUNS) == {RUNS + "a": commits[0], RUNS + "c": commits[0]}
    assert refs.broken(RUNS) == [RUNS + "b"]
    with pytest.raises(CorruptData, match="'refs/gitexp/runs/b'"):
        refs.read(RUNS + "b")
    assert not refs.create(RUNS + "b", commits[1])
    assert not refs.delete(RUNS + "b", commits[0])
    assert refs.delete(RUNS + "b", None)
    assert listed_by_git(repo_dir, git, RUNS) == refs.list(RUNS)


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "zz" * 20 + " refs/gitexp/runs/b",
        "0" * 40 + "  refs/gitexp/runs/b",
        "0" * 40 + " refs/gitexp/runs/../b",
    ],
)
def test_a_damaged_line_of_packed_refs_hides_no_other(repo_dir: Path, commits: list[str], line: str) -> None:
    """Lines around it are read, and it is told."""
    refs = store_of(repo_dir)
    (repo_dir / ".git/packed-refs").write_text(
        f"# pack-refs with: peeled fully-peeled \n{commits[0]} {RUNS}a\n{line}\n{commits[1]} {RUNS}c\n"
    )
    assert refs.list(RUNS) == {RUNS + "a": commits[0], RUNS + "c": commits[1]}
    assert refs.read(RUNS + "c") == commits[1]


@pytest.mark.parametrize(
    "header", ["", "# pack-refs with: peeled \n", "# pack-refs with: peeled fully-peeled sorted \n", "# odd\n"]
)
def test_packed_refs_of_every_age_are_read_and_kept(repo_dir: Path, git: Git, commits: list[str], header: str) -> None:
    """Files without order or header read the same, and changing them keeps other lines, peeled ones too."""
    git("tag", "-a", "-m", "annotated", "v1", cwd=repo_dir)
    tag, peeled = git("rev-parse", "v1", "v1^{}", cwd=repo_dir).split()
    lines = [f"{commits[number]} {RUNS}r{number}\n" for number in range(5)]
    lines.insert(5, f"{tag} refs/tags/v1\n^{peeled}\n")
    if "sorted" not in header:
        random.Random(5).shuffle(lines)
    (repo_dir / ".git/packed-refs").write_text(header + "".join(lines).rstrip("\n"))
    (repo_dir / ".git/refs/tags/v1").unlink()
    refs = store_of(repo_dir)
    expected = {f"{RUNS}r{number}": commits[number] for number in range(5)}
    assert refs.list(RUNS) == expected
    assert refs.read("refs/tags/v1") == tag
    assert refs.delete(f"{RUNS}r2", commits[2])
    assert refs.create(f"{RUNS}r22", commits[0])
    assert refs.pack(RUNS) == 1
    assert refs.list("refs/") == listed_by_git(repo_dir, git)
    assert git("rev-parse", "v1^{}", cwd=repo_dir).strip() == peeled
    assert f"{tag} refs/tags/v1\n^{peeled}\n" in (repo_dir / ".git/packed-refs").read_text()


def test_packing_waits_until_it_pays(repo_dir: Path, git: Git, commits: list[str]) -> None:
    """Nothing happens up to `keep_loose` refs; then all of ours are packed and none of the user's."""
    refs = store_of(repo_dir)
    for number in range(10):
        assert refs.create(f"{RUNS}e{number % 2}/r{number}", commits[number % 5])
    before = listed_by_git(repo_dir, git)
    assert refs.pack(RUNS, keep_loose=10) == 0
    assert refs.pack(RUNS, keep_loose=9) == 10
    assert refs.pack(RUNS) == 0
    assert listed_by_git(repo_dir, git) == refs.list("refs/") == before
    assert (repo_dir / ".git/refs/heads/main").exists()
    with pytest.raises(InvalidName):
        refs.pack("refs/heads/")


def test_the_fingerprint_tells_every_change(repo_dir: Path, git: Git, commits: list[str]) -> None:
    """It differs after each write, by us or git, loose or packed, and is steady while nothing happens."""
    refs = store_of(repo_dir)
    name = RUNS + "a/r1"
    seen = {refs.fingerprint(RUNS)}
    for change in (
        lambda: refs.create(name, commits[0]),
        lambda: refs.create(RUNS + "b/r2", commits[0]),
        lambda: refs.update(name, commits[0], commits[1]),
        lambda: refs.pack(RUNS),
        lambda: refs.update(name, commits[1], commits[2]),
        lambda: git("pack-refs", "--all", cwd=repo_dir),
        lambda: git("update-ref", name, commits[3], cwd=repo_dir),
        lambda: refs.delete(name, None),
    ):
        change()
        now = refs.fingerprint(RUNS)
        assert now not in seen
        seen.add(now)
    past = time.time() - 10
    for folder, _, _ in os.walk(repo_dir / ".git/refs/gitexp"):
        os.utime(folder, (past, past))
    os.utime(repo_dir / ".git/packed-refs", (past, past))
    assert refs.fingerprint(RUNS) == refs.fingerprint(RUNS)
    git("tag", "other", cwd=repo_dir)
    assert refs.fingerprint(RUNS) == refs.fingerprint(RUNS)


def test_a_fingerprint_of_the_last_moment_equals_no_other(repo_dir: Path, commits: list[str]) -> None:
    """Right after a change the clock tick could hide the next one, so the fingerprint is never the same twice."""
    refs = store_of(repo_dir)
    assert refs.create(NAME, commits[0])
    assert refs.fingerprint(RUNS) != refs.fingerprint(RUNS)


def test_refs_of_a_linked_worktree(repo_dir: Path, git: Git, tmp_path: Path, commits: list[str]) -> None:
    """HEAD and bisect refs are the worktree's own, everything else is shared."""
    tree = tmp_path / "tree"
    git("worktree", "add", "-q", "-b", "side", str(tree), commits[1], cwd=repo_dir)
    git("update-ref", "refs/bisect/bad", commits[2], cwd=tree)
    refs = RefStore(git("rev-parse", "--absolute-git-dir", cwd=tree).strip(), f"{repo_dir}/.git")
    assert refs.read("HEAD") == commits[1]
    assert refs.read("refs/bisect/bad") == commits[2]
    assert store_of(repo_dir).read("refs/bisect/bad") is None
    assert refs.create(NAME, commits[0])
    assert store_of(repo_dir).read(NAME) == commits[0]


def test_a_lock_of_the_living_is_waited_for(repo_dir: Path, git: Git, commits: list[str]) -> None:
    """A fresh lock below refs/gitexp, or any lock elsewhere, ends in Conflict that names it; nothing is changed."""
    refs = store_of(repo_dir)
    impatient = RefStore(f"{repo_dir}/.git", f"{repo_dir}/.git", patience_s=0.05)
    git("branch", "side", commits[0], cwd=repo_dir)
    assert refs.create(NAME, commits[0])
    for name in (NAME, "refs/heads/side"):
        lock = repo_dir / ".git" / f"{name}.lock"
        lock.write_text("")
        if name != NAME:
            os.utime(lock, (1, 1))
        with pytest.raises(Conflict, match=rf"{name}\.lock"):
            impatient.update(name, commits[0], commits[1])
        assert lock.exists()
        assert refs.read(name) == commits[0]


def test_a_lock_of_the_dead_is_broken(repo_dir: Path, git: Git, commits: list[str]) -> None:
    """Locks that a killed process left below refs/gitexp, and our own on packed-refs, hold nobody up after a minute."""
    refs = store_of(repo_dir)
    assert refs.create(NAME, commits[0])
    past = time.time() - STALE_S - 1
    for lock in (repo_dir / ".git" / f"{NAME}.lock", repo_dir / ".git/packed-refs.lock"):
        lock.write_text("gitexp\n")
        os.utime(lock, (past, past))
    assert refs.update(NAME, commits[0], commits[1])
    assert refs.pack(RUNS) == 1
    assert not leftovers(repo_dir)
    assert listed_by_git(repo_dir, git, RUNS) == {NAME: commits[1]}


def test_git_s_lock_on_packed_refs_is_respected(repo_dir: Path, commits: list[str]) -> None:
    """However old it is: packing then does nothing, deleting says what holds it up, and the ref is still there."""
    refs = RefStore(f"{repo_dir}/.git", f"{repo_dir}/.git", patience_s=0.05)
    assert refs.create(NAME, commits[0])
    lock = repo_dir / ".git/packed-refs.lock"
    lock.write_text("")
    os.utime(lock, (1, 1))
    assert refs.pack(RUNS) == 0
    with pytest.raises(Conflict, match=r"packed-refs\.lock"):
        refs.delete(NAME, commits[0])
    assert refs.list(RUNS) == {NAME: commits[0]}
    assert leftovers(repo_dir) == [lock]


def together(script: str, repo: Path, count: int = 8, *arguments: str) -> list[list[str]]:
    """Runs a script in several processes that start at one moment; gives the words each printed."""
    start = "import sys\nfrom gitexp.store.git.refs import RefStore\n"
    start += "refs = RefStore(sys.argv[1], sys.argv[1], patience_s=60)\n"
    start += "number = int(sys.argv[2])\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", start + script, f"{repo}/.git", str(number), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    words = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return words


def test_of_eight_who_create_one_wins(repo_dir: Path) -> None:
    """Eight processes create the same hundred refs, and two of them pack all the time: a hundred winners."""
    script = (
        "for n in range(100):\n"
        "    if refs.create(f'refs/gitexp/runs/e{n % 3}/r{n}', f'{number + 1:040x}'): print(n)\n"
        "    if number < 2: refs.pack('refs/gitexp/')\n"
    )
    words = together(script, repo_dir)
    winners = {int(word): number for number, won in enumerate(words) for word in won}
    assert sum(map(len, words)) == len(winners) == 100
    expected = {f"{RUNS}e{n % 3}/r{n}": f"{number + 1:040x}" for n, number in winners.items()}
    assert store_of(repo_dir).list(RUNS) == expected
    assert not leftovers(repo_dir)


def test_no_compare_and_swap_is_lost(repo_dir: Path) -> None:
    """Eight processes count in one ref, while one of them packs: the sum is right."""
    refs = store_of(repo_dir)
    assert refs.create(NAME, f"{0:040x}")
    script = (
        f"name = {NAME!r}\n"
        "for n in range(25):\n"
        "    while not refs.update(name, old := refs.read(name), f'{int(old, 16) + 1:040x}'): pass\n"
        "    if number == 0: refs.pack('refs/gitexp/')\n"
    )
    together(script, repo_dir)
    assert refs.read(NAME) == f"{8 * 25:040x}"
    assert not leftovers(repo_dir)


def test_what_is_deleted_stays_deleted(repo_dir: Path) -> None:
    """Eight processes create and delete refs of their own, while two pack all the time: nothing comes back."""
    script = (
        "for n in range(25):\n"
        "    name = f'refs/gitexp/runs/e/r{number}-{n}'\n"
        "    assert refs.create(name, f'{1:040x}')\n"
        "    if number < 2: refs.pack('refs/gitexp/')\n"
        "    assert refs.delete(name, f'{1:040x}')\n"
        "    assert refs.read(name) is None\n"
    )
    together(script, repo_dir)
    assert store_of(repo_dir).list(RUNS) == {}
    assert not leftovers(repo_dir)


def test_git_and_gitexp_write_at_once(repo_dir: Path, git: Git, commits: list[str]) -> None:
    """While git packs, makes and deletes refs, ours are all made, moved and packed, and git's are all there."""
    script = (
        "import sys\n"
        "a, b = sys.argv[3:]\n"
        "for n in range(30):\n"
        "    name = f'refs/gitexp/runs/e{number}/r{n}'\n"
        "    assert refs.create(name, a)\n"
        "    if n % 5 == 0: refs.pack('refs/gitexp/')\n"
        "    assert refs.update(name, a, b)\n"
        "    assert refs.delete(name, b) if n % 3 == 0 else True\n"
    )
    loop = "for i in $(seq 40); do git tag t$i; git tag d$i; git pack-refs --all; git tag -d d$i >/dev/null; done"
    users = subprocess.Popen(["bash", "-c", f"set -e; {loop}"], cwd=repo_dir)
    together(script, repo_dir, 3, commits[0], commits[1])
    assert users.wait() == 0
    expected = {f"{RUNS}e{number}/r{n}": commits[1] for number in range(3) for n in range(30) if n % 3}
    assert listed_by_git(repo_dir, git, RUNS) == store_of(repo_dir).list(RUNS) == expected
    assert len(listed_by_git(repo_dir, git, "refs/tags/")) == 40
    assert not leftovers(repo_dir)


@pytest.mark.slow
def test_kill_9_while_packing_loses_no_ref(repo_dir: Path, git: Git, commits: list[str]) -> None:
    """A process that packs and unpacks 300 refs is killed forty times: none is ever missing, and no lock stays."""
    refs = store_of(repo_dir)
    names = [f"{RUNS}e{number % 3}/r{number}" for number in range(300)]
    for name in names:
        assert refs.create(name, commits[0])
    script = (
        "import sys\n"
        "from gitexp.store.git.refs import RefStore\n"
        "refs = RefStore(sys.argv[1], sys.argv[1])\n"
        "old, new = sys.argv[2:]\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    refs.pack('refs/gitexp/')\n"
        "    for name in list(refs.list('refs/gitexp/'))[::4]:\n"
        "        refs.update(name, old, new) or refs.update(name, new, old)\n"
    )
    dice = random.Random()
    for _ in range(40):
        command = [sys.executable, "-c", script, f"{repo_dir}/.git", commits[0], commits[1]]
        packer = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert packer.stdout is not None
        packer.stdout.readline()
        time.sleep(dice.uniform(0, 0.1))
        packer.send_signal(signal.SIGKILL)
        packer.communicate()
        assert set(refs.list(RUNS)) == set(names) == set(listed_by_git(repo_dir, git, RUNS))
        past = time.time() - STALE_S - 1
        for path in leftovers(repo_dir):
            os.utime(path, (past, past))
    refs.pack(RUNS)
    assert refs.delete_all(dict.fromkeys(names)) == set(names)
    git("pack-refs", "--all", cwd=repo_dir)
    assert listed_by_git(repo_dir, git, RUNS) == {}
    git("fsck", "--strict", cwd=repo_dir)
