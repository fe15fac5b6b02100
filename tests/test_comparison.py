"""What differs between two runs: as values, and as a diff of the code that git itself accepts."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gitexp
from gitexp.comparing import (
    changed_since_commit,
    code_diff,
    compare,
    git_diff_command,
    history,
    origins,
)
from gitexp.domain.comparison import Change, Kind, changes, code_totals, differing, metric_changes
from gitexp.domain.direction import Direction, best, direction
from gitexp.domain.identity import run_id
from gitexp.domain.run import CodeState, Run, RunRecord, Status
from gitexp.domain.summary import RunSummary
from gitexp.lineup import line_up
from gitexp.reading import LiveSource, RunView
from gitexp.repo import Repository
from sealed_runs import seal

pytestmark = pytest.mark.slow

Git = Callable[..., str]

keys = st.text("abc.", min_size=1, max_size=3)
values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers()))
numbers = st.one_of(st.integers(), st.floats())


def tree_of(git: Git, folder: Path) -> str:
    """The tree of everything in the working folder."""
    git("add", "-A", cwd=folder)
    return git("write-tree", cwd=folder).strip()


def two_trees(git: Git, folder: Path, before: dict[str, bytes], after: dict[str, bytes]) -> tuple[str, str]:
    trees = []
    for files in (before, after):
        git("rm", "-rfq", "--ignore-unmatch", ".", cwd=folder)
        for name, data in files.items():
            path = os.path.join(os.fsencode(folder), os.fsencode(name))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        trees.append(tree_of(git, folder))
    return trees[0], trees[1]


def live_run(repository: Repository, code_tree: str) -> RunView:
    """A run that is still recorded, of which only the code matters."""
    record = RunRecord(id=run_id(bytes(8)), name="live", experiment="default", status=Status.RUNNING, start=0.0)
    run = Run(record=record, code_tree=code_tree)
    return RunView(
        RunSummary(ref="", commit=None, record=record), LiveSource(run), repository.objects, repository.content
    )


@given(st.dictionaries(keys, values), st.dictionaries(keys, values))
def test_every_key_of_either_run_is_listed_once_and_in_order(
    before: dict[str, object], after: dict[str, object]
) -> None:
    """Each key of either mapping gives exactly one change, sorted by key."""
    assert [change.key for change in changes(before, after)] == sorted(before.keys() | after.keys())


@given(st.dictionaries(keys, values))
def test_a_run_is_the_same_as_itself(mapping: dict[str, object]) -> None:
    """Comparing a mapping with itself finds no difference, NaN included."""
    assert differing(changes(mapping, dict(mapping))) == []


@given(st.dictionaries(keys, values), st.dictionaries(keys, values))
def test_the_way_back_exchanges_added_and_removed(before: dict[str, object], after: dict[str, object]) -> None:
    """Comparing in the other direction says the opposite of each key."""
    opposite = {Kind.ADDED: Kind.REMOVED, Kind.REMOVED: Kind.ADDED}
    there, back = changes(before, after), changes(after, before)
    assert [opposite.get(change.kind, change.kind) for change in there] == [change.kind for change in back]


def test_null_differs_from_absent() -> None:
    """A param that is null on one side and missing on the other was removed."""
    assert changes({"a": None}, {}) == (Change(key="a", kind=Kind.REMOVED),)


def test_true_differs_from_one_but_an_integer_equals_its_float() -> None:
    """1 and True are different params, 1 and 1.0 the same."""
    assert [change.kind for change in changes({"a": 1, "b": 1}, {"a": True, "b": 1.0})] == [Kind.CHANGED, Kind.SAME]


@given(st.dictionaries(keys, numbers), st.dictionaries(keys, numbers))
def test_deltas_are_finite_or_absent(before: dict[str, int | float], after: dict[str, int | float]) -> None:
    """NaN, infinities and huge integers never give a delta or ratio that is not a finite number."""
    for change in metric_changes(before, after):
        assert change.delta is None or change.delta - change.delta == 0
        assert change.ratio is None or math.isfinite(change.ratio)


def test_a_lower_loss_is_better_and_a_lower_accuracy_worse() -> None:
    """The verdict follows the direction of the metric, and there is none where the direction is not known."""
    found = metric_changes({"loss": 2.0, "accuracy": 0.5, "samples": 1}, {"loss": 1.0, "accuracy": 0.4, "samples": 2})
    assert {change.key: change.better for change in found} == {"accuracy": False, "loss": True, "samples": None}
    assert [change.ratio for change in found] == [pytest.approx(-0.2), -0.5, 1.0]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("loss val/logLoss RMSE train_mae error_rate perplexity brier_score f1_loss test.mse5", Direction.LOWER),
        ("acc top5acc val_accuracy roc_auc F1 r2 precision@5 recall score neg_mean_squared_error", Direction.HIGHER),
        ("lr macro layer2 time epoch pace weight_norm traced", None),
    ],
)
def test_a_name_tells_which_way_is_better(names: str, expected: Direction | None) -> None:
    """Whole words of a metric's name decide; words that merely contain one (macro, layer2) do not."""
    assert {name: direction(name) for name in names.split()} == dict.fromkeys(names.split(), expected)


def test_the_best_value_ignores_nan_and_needs_a_choice() -> None:
    """NaN never wins, and nothing is best where all values are alike or the direction is unknown."""
    assert best("loss", [math.nan, 3.0, None, 2]) == 2
    assert best("accuracy", [0.1, 0.9]) == 0.9
    assert best("loss", [1.0, 1.0]) is None
    assert best("loss", [1.0, math.nan]) is None
    assert best("samples", [1, 2]) is None


def test_two_runs_are_compared_in_every_section(repo_dir: Path, git: Git) -> None:
    """Params, metrics, code, packages and artifacts each show what was added, removed and changed."""
    before_tree, after_tree = two_trees(git, repo_dir, {"a.py": b"1\n2\n", "b.py": b"x\n"}, {"a.py": b"1\n3\n4\n"})
    seal(
        repo_dir,
        "one",
        params={"lr": 0.1, "old": 1},
        metrics={"loss": 1.0},
        artifacts={"m": b"1"},
        code_tree=before_tree,
    )
    seal(
        repo_dir,
        "two",
        params={"lr": 0.2, "new": 1},
        metrics={"loss": 0.5},
        artifacts={"m": b"12"},
        packages=("torch==2.2.0",),
        code_tree=after_tree,
    )
    repository = Repository.open(repo_dir)
    found = compare(repository, repository.get_run("one"), repository.get_run("two"))
    assert {c.key: c.kind.value for c in found.params} == {"lr": "changed", "new": "added", "old": "removed"}
    assert found.metrics[0].delta == -0.5
    assert found.code is not None
    assert [(f.path, f.kind.value, f.added, f.removed) for f in found.code] == [
        ("a.py", "changed", 2, 1),
        ("b.py", "removed", 0, 1),
    ]
    assert code_totals(found.code) == (2, 2)
    assert {c.key: c.kind.value for c in found.packages} == {"numpy": "removed", "torch": "added"}
    assert [(c.before.size_bytes, c.after.size_bytes) for c in found.artifacts] == [(1, 2)]
    assert not found.same
    assert compare(repository, repository.get_run("one"), repository.get_run("one")).same


def test_the_printed_git_command_works_and_sees_the_same_files(repo_dir: Path, git: Git) -> None:
    """The plain git command runs, from a folder below the top too, and names the files that the comparison names."""
    before_tree, after_tree = two_trees(git, repo_dir, {"d/a.py": b"1\n"}, {"d/a.py": b"2\n", "new.py": b""})
    seal(repo_dir, "one", code_tree=before_tree)
    seal(repo_dir, "two", code_tree=after_tree)
    repository = Repository.open(repo_dir)
    one, two = repository.get_run("one"), repository.get_run("two")
    command = git_diff_command(one, two, code=True)
    assert command is not None
    _, *arguments = command.split()
    (repo_dir / "d").mkdir(exist_ok=True)
    names = git(*arguments[:1], "--name-only", *arguments[1:], cwd=repo_dir / "d").split()
    code = compare(repository, one, two).code
    assert names == [f"code/{file.path}" for file in code or ()]


LINES = st.lists(st.sampled_from([b"a", b"b", b"c", b"", b"\xff\xfe", "é".encode(), b"x\r"]), max_size=30)
CONTENT = st.builds(lambda lines, end: b"\n".join(lines) + end, LINES, st.sampled_from([b"", b"\n"]))
NAMES = st.sampled_from(["a.py", "b c.py", "d/e.py", "naïve.py", 'q"uote', "tab\tname", os.fsdecode(b"bad\xff")])


@settings(max_examples=15, deadline=None)
@given(before=st.dictionaries(NAMES, CONTENT, max_size=4), after=st.dictionaries(NAMES, CONTENT, max_size=4))
def test_git_applies_the_diff_of_the_code(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    """`git apply` takes the diff of any two trees, and gives exactly the second."""
    folder = tmp_path_factory.mktemp("apply")

    def git(*arguments: str, cwd: Path, given: bytes | None = None) -> str:
        done = subprocess.run(["git", *arguments], cwd=cwd, input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    git("init", "-q", cwd=folder)
    git("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x", cwd=folder)
    before_tree, after_tree = two_trees(git, folder, before, after)
    repository = Repository.open(folder)
    lines = code_diff(repository, live_run(repository, before_tree), live_run(repository, after_tree))
    patch = "".join(lines).encode("utf-8", "surrogateescape")
    git("read-tree", before_tree, cwd=folder)
    if patch:
        git("apply", "--cached", "--whitespace=nowarn", "-", cwd=folder, given=patch)
    assert git("write-tree", cwd=folder).strip() == after_tree


def test_what_earlier_runs_made_is_no_difference_in_code(
    repo_dir: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Untracked files that are as an earlier run left them; edited, tracked, and merely logged ones do differ."""
    monkeypatch.chdir(repo_dir)
    (repo_dir / "tracked.txt").write_text("0")
    git("add", "tracked.txt", cwd=repo_dir)
    git("commit", "-qm", "tracked", cwd=repo_dir)

    def train(name: str, number: int) -> RunView:
        (repo_dir / "logged.py").write_text(f"print({number})")
        with gitexp.start_run(name):
            for path, text in (("out.txt", f"{number}"), ("big.bin", f"{number}" * 70_000), ("edited.txt", "1")):
                (repo_dir / path).write_text(text)
                gitexp.log_artifact(path)
            (repo_dir / "tracked.txt").write_text(f"{number}")
            gitexp.log_artifact("tracked.txt")
            gitexp.log_artifact("logged.py")
        return gitexp.get_run(name)

    first, second = train("first", 1), train("second", 2)
    (repo_dir / "edited.txt").write_text("by hand")
    third = train("third", 3)
    repository = Repository.open(repo_dir)
    for before, after, changed, outputs in (
        (first, second, ["logged.py", "tracked.txt"], ["big.bin", "edited.txt", "out.txt"]),
        (second, third, ["edited.txt", "logged.py", "tracked.txt"], ["big.bin", "out.txt"]),
        (third, first, ["edited.txt", "logged.py", "tracked.txt"], ["big.bin", "out.txt"]),
    ):
        found = compare(repository, before, after)
        assert [file.path for file in found.code or ()] == changed
        assert list(found.outputs) == outputs
        assert all(f"b/{path}" in "".join(code_diff(repository, before, after)) for path in (*changed, *outputs))
    again = [gitexp.get_run(gitexp.start_run(name).end() or "") for name in ("fourth", "fifth")]
    assert compare(repository, *again).same
    lineup = line_up(repository, [first, second, *again])
    assert [code and (code.group, code.files) for code in lineup.code] == [(0, 0), (1, 2), (2, 2), (2, 2)]


def test_modes_links_and_binary_files_are_told_apart(repo_dir: Path, git: Git) -> None:
    """A changed exec bit changes no line; a file that became a link is removed and added; bytes are not text."""
    (repo_dir / "tool").write_text("same\n")
    (repo_dir / "link").write_text("was a file\n")
    (repo_dir / "data").write_bytes(b"\0\1")
    before_tree = tree_of(git, repo_dir)
    (repo_dir / "tool").chmod(0o755)
    (repo_dir / "link").unlink()
    (repo_dir / "link").symlink_to("tool")
    (repo_dir / "data").write_bytes(b"\0\2")
    seal(repo_dir, "one", code_tree=before_tree)
    seal(repo_dir, "two", code_tree=tree_of(git, repo_dir))
    repository = Repository.open(repo_dir)
    one, two = repository.get_run("one"), repository.get_run("two")
    text = "".join(code_diff(repository, one, two))
    assert "old mode 100644\nnew mode 100755\n" in text
    assert "deleted file mode 100644" in text and "new file mode 120000" in text
    assert "Binary files a/data and b/data differ\n" in text
    counted = {file.path: (file.added, file.removed) for file in compare(repository, one, two).code or ()}
    assert counted == {"data": (None, None), "link": (1, 1), "tool": (0, 0)}


def test_files_of_the_same_line_over_and_over_are_compared_quickly(repo_dir: Path, git: Git) -> None:
    """A file whose lines repeat thousands of times is shown as replaced instead of being matched for minutes."""
    lines = [b"%d\n" % (i % 120) for i in range(30_000)]
    before_tree, after_tree = two_trees(git, repo_dir, {"a": b"".join(lines)}, {"a": b"".join(reversed(lines))})
    repository = Repository.open(repo_dir)
    [change] = compare(repository, live_run(repository, before_tree), live_run(repository, after_tree)).code or ()
    assert change.added == change.removed == 30_000


def test_changes_since_the_commit_are_counted(repo_dir: Path, git: Git) -> None:
    """What the working tree had beyond its commit is found; a run without a commit has no such answer."""
    (repo_dir / "train.py").write_text("print('more')\nprint('training')\n")
    seal(repo_dir, "dirty", code_tree=tree_of(git, repo_dir))
    seal(repo_dir, "unborn", code=CodeState(), code_tree=tree_of(git, repo_dir))
    repository = Repository.open(repo_dir)
    [change] = changed_since_commit(repository, repository.get_run("dirty")) or []
    assert (change.path, change.added, change.removed) == ("train.py", 1, 0)
    assert changed_since_commit(repository, repository.get_run("unborn")) is None


def test_a_runs_own_history_says_what_each_event_changed(repo_dir: Path) -> None:
    """Tags, names, notes and removals are listed with before and after, newest first."""
    seal(repo_dir, "one")
    repository = Repository.open(repo_dir)
    run = repository.resolve("one")
    repository.tag(run, {"stage": "prod"})
    repository.rename(run, "uno")
    repository.note(run, "good")
    repository.remove(run)
    repository = Repository.open(repo_dir)
    found = history(repository, repository.get_run("uno"))
    assert [entry.event.kind for entry in found] == ["rm", "note", "rename", "tag", "seal"]
    told = [[(c.key, c.before, c.after) for c in entry.changes if c.key != "deleted"] for entry in found]
    assert told == [[], [("note", None, "good")], [("name", "one", "uno")], [("tags.stage", None, "prod")], []]


def test_lineage_names_the_codes_commit_by_its_subject(repo_dir: Path, git: Git) -> None:
    """A run came from the commit its code was based on."""
    seal(repo_dir, "one")
    repository = Repository.open(repo_dir)
    [origin] = origins(repository, repository.get_run("one"))
    assert (origin.kind, origin.commit, origin.text) == (
        "code",
        git("rev-parse", "HEAD", cwd=repo_dir).strip(),
        "first (main)",
    )


@given(st.dictionaries(keys, numbers))
def test_metrics_are_the_same_as_themselves(metrics: dict[str, int | float]) -> None:
    """Metrics compared with themselves are the same, whatever the numbers."""
    assert differing(metric_changes(metrics, dict(metrics))) == []
