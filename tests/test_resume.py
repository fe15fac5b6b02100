"""Runs that go on: sealed ones, live ones, and what a death in the middle leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gitexp
from conftest import Git
from gitexp import session
from gitexp.errors import Conflict, NotFound, StorageFailed, UsageError
from gitexp.reading import RunView
from gitexp.recording import Recorder, RunRequest
from gitexp.repo import Repository
from gitexp.running.launch import Kind, LaunchRequest, launch
from gitexp.store.live import LiveRuns
from gitexp.upkeep import fsck, gc
from test_git_deaths import DEAD, FAILED, die, disk_full, every_step


@pytest.fixture(autouse=True)
def in_repository(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(repo_dir)
    monkeypatch.setattr(session, "_experiment", None)
    yield
    while run := gitexp.active_run():
        run.end()
    session._repositories.clear()


@pytest.fixture
def sealed() -> str:
    """The id of a run with two points, a param, an artifact and a tag."""
    with gitexp.start_run(name="base", params={"lr": 0.1, "seed": 7}, tags={"team": "a"}, note="first") as run:
        gitexp.log_metric("loss", 0.5)
        gitexp.log_metric("loss", 0.25)
        gitexp.log_text("one", "a.txt")
        gitexp.log_text("one", "b.txt")
    return run.id


def only_run() -> RunView:
    [found] = gitexp.search_runs()
    return gitexp.get_run(found.record.id)


def kinds(view: RunView) -> list[str]:
    return [event.kind for event in view.events()]


def python(program: str, cwd: Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=cwd,
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_sealed_run_goes_on(sealed: str, repo_dir: Path, git: Git) -> None:
    """The same id, steps that count on, both states in the run's own history, and a repository that git likes."""
    before = only_run()
    (repo_dir / "train.py").write_text("print('better')\n")
    with gitexp.start_run(run_id="base", params={"lr": 0.2}, tags={"stage": "late"}) as run:
        assert (run.id, run.name, run.experiment) == (sealed, "base", "default")
        gitexp.log_metric("loss", 0.125)
        gitexp.log_metric("other", 1.0)
        gitexp.log_text("two", "a.txt")
    after = only_run()
    assert after.commit == run.commit != before.commit
    assert [(point.step, point.value) for point in after.history("loss")] == [(0, 0.5), (1, 0.25), (2, 0.125)]
    assert after.params == {"lr": 0.2, "seed": 7} and after.tags == {"team": "a", "stage": "late"}
    assert {path: item.read() for path, item in after.artifacts.items()} == {"a.txt": b"two", "b.txt": b"one"}
    assert (after.record.start, after.record.note) == (before.record.start, "first")
    assert after.record.duration_s and before.record.duration_s
    assert after.record.duration_s > before.record.duration_s
    assert after.code.read("train.py") == b"print('better')\n"
    assert after.record.warnings == ("The param 'lr' was 0.1 and became 0.2 when the run was resumed.",)
    assert kinds(after) == ["resume", "seal"]
    assert git("show", f"{before.commit}:code/train.py", cwd=repo_dir) == "print('training')\n"
    assert git("fsck", "--full", "--strict", cwd=repo_dir) == ""
    assert list(fsck(Repository.open(repo_dir))) == []
    assert os.listdir(repo_dir / ".git/gitexp/live") == []
    assert git("for-each-ref", "refs/gitexp/live", cwd=repo_dir) == ""


def test_new_lineage_is_in_the_parents(sealed: str, repo_dir: Path, git: Git) -> None:
    """A resumption from another commit has that as a further parent, and the run came from both."""
    first = git("rev-parse", "HEAD", cwd=repo_dir).strip()
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=repo_dir)
    second = git("rev-parse", "HEAD", cwd=repo_dir).strip()
    before = only_run().commit
    with gitexp.start_run(run_id=sealed) as run:
        pass
    assert git("log", "-1", "--format=%P", str(run.commit), cwd=repo_dir).split() == [before, second]
    assert only_run().parents() == (first, second)


@pytest.mark.parametrize("selector", ["base", "@", "best:metrics.loss"])
def test_any_selector_names_the_run(sealed: str, selector: str) -> None:
    """What `get_run` finds can go on."""
    with gitexp.start_run(run_id=selector) as run:
        assert run.id == sealed


def test_what_makes_no_sense_is_refused(sealed: str) -> None:
    """A run that is not there, is removed, or is to go to another experiment: nothing begins, and nothing changes."""
    with pytest.raises(NotFound, match="'nowhere'"):
        gitexp.start_run(run_id="nowhere")
    with pytest.raises(UsageError, match="stays in it"):
        gitexp.start_run(run_id=sealed, experiment="other")
    with pytest.raises(UsageError, match="not int"):
        gitexp.start_run(run_id=7)  # type: ignore[arg-type]
    repository = Repository.open()
    repository.remove(repository.resolve(sealed))
    with pytest.raises(UsageError, match="is removed") as error:
        gitexp.start_run(run_id=sealed)
    assert "gitexp restore" in error.value.hint
    assert gitexp.active_run() is None and repository.live.list() == []


def test_a_resumed_run_can_be_renamed_and_noted(sealed: str) -> None:
    """A name and a note given with the resumption count; an experiment set for new runs does not move it."""
    gitexp.set_experiment("elsewhere")
    with gitexp.start_run("better", run_id=sealed, note="second"):
        pass
    run = only_run()
    assert (run.name, run.record.note, run.experiment) == ("better", "second", "default")


def test_while_it_goes_on_it_is_listed_once_and_whole(sealed: str) -> None:
    """A resumed run is shown live, with what was there and what came, in lists, searches and by every name."""
    with gitexp.start_run(name="worse"):
        gitexp.log_metric("loss", 0.3)
    with gitexp.start_run(run_id=sealed, params={"epochs": 3}):
        gitexp.log_metric("loss", 0.4)
        found = gitexp.search_runs()
        assert sorted((run.record.name, run.record.status.value) for run in found) == [
            ("base", "running"),
            ("worse", "finished"),
        ]
        assert found.total == 2
        [run] = gitexp.search_runs("params.seed = 7 and params.epochs = 3")
        assert (run.metrics, run.commit) == ({"loss": 0.4}, None)
        assert gitexp.search_runs("metrics.loss < 0.3") == []
        assert gitexp.get_run("best:metrics.loss").name == "worse"
        view = gitexp.get_run(sealed[:6])
        assert view.history("loss").values.tolist() == [0.5, 0.25, 0.4]
        assert sorted(view.artifacts) == ["a.txt", "b.txt"] and kinds(view) == ["seal"]
        assert list(fsck(Repository.open())) == []
    assert gitexp.search_runs().total == 2


def test_a_tag_given_meanwhile_stays(sealed: str, repo_dir: Path) -> None:
    """Another process, as a clone would, tags and notes the sealed run while it goes on: both are in the new state."""
    store = Repository.open(repo_dir)
    found = store.resolve(sealed)
    with gitexp.start_run(run_id=sealed):
        store.tag(found, {"best": "yes"})
        store.note(found, "theirs")
        gitexp.set_tag("mine", "1")
    run = only_run()
    assert run.tags == {"team": "a", "best": "yes", "mine": "1"}
    assert run.record.note == "theirs"
    assert kinds(run) == ["resume", "note", "tag", "seal"]


def test_a_run_that_another_process_records_is_joined(repo_dir: Path) -> None:
    """Going on with a live run adds to it, and ends nothing."""
    owner = python(
        "import gitexp, sys\n"
        "with gitexp.start_run(name='live'):\n"
        "    gitexp.log_metric('mine', 1)\n"
        "    print('ready', flush=True); sys.stdin.read()",
        repo_dir,
    )
    assert owner.stdout and owner.stdout.readline() == "ready\n"
    with gitexp.start_run(run_id="live", params={"joined": True}) as run:
        gitexp.log_metric("theirs", 2)
    assert run.commit is None
    assert gitexp.get_run("live").status == "running"
    owner.communicate()
    run_ = only_run()
    assert (run_.metrics, run_.params, run_.status) == ({"mine": 1, "theirs": 2}, {"joined": True}, "finished")
    assert kinds(run_) == ["seal"]


def test_two_that_go_on_with_one_run_record_one_resumption(sealed: str, repo_dir: Path) -> None:
    """The second of two processes joins the first: one folder, one new commit, the points of both."""
    program = (
        "import gitexp, sys\n"
        "with gitexp.start_run(run_id='base'):\n"
        "    gitexp.log_metric('m{0}', 1)\n"
        "    print('ready', flush=True); sys.stdin.read()"
    )
    both = [python(program.format(number), repo_dir) for number in range(2)]
    for process in both:
        assert process.stdout and process.stdout.readline() == "ready\n"
    assert os.listdir(repo_dir / ".git/gitexp/live") == [sealed]
    for process in reversed(both):
        process.communicate()
        assert process.returncode == 0
    run = only_run()
    assert set(run.metrics) == {"loss", "m0", "m1"}
    assert kinds(run) == ["resume", "seal"]


def test_a_resumed_run_that_is_killed_is_the_next_state(sealed: str, repo_dir: Path) -> None:
    """After SIGKILL nothing of the sealed state and no value is lost; the state says crashed; it can go on again."""
    child = python(
        "import gitexp, os, signal\n"
        "gitexp.start_run(run_id='base', tags={'stage': 'late'})\n"
        "for step in range(100): gitexp.log_metric('loss', 1.0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        repo_dir,
    )
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    with pytest.warns(gitexp.GitexpWarning, match="sealed as crashed"):
        session._repositories.clear()
        run = only_run()
    assert (run.status, len(run.history("loss")), run.history("loss")[101].step) == ("crashed", 102, 101)
    assert run.tags == {"team": "a", "stage": "late"} and len(run.artifacts) == 2
    with gitexp.start_run(run_id=sealed):
        gitexp.log_metric("loss", 0.0)
    again = only_run()
    assert (again.status, again.history("loss")[102].step) == ("finished", 102)
    assert kinds(again) == ["resume", "resume", "seal"]
    assert list(fsck(Repository.open(repo_dir))) == []


def test_a_run_whose_process_died_is_sealed_and_goes_on(repo_dir: Path) -> None:
    """A run that crashed a moment ago, while this process had the repository open already, goes on."""
    gitexp.search_runs()
    python(
        "import gitexp, os; gitexp.start_run('dead'); gitexp.log_metric('x', 1); os._exit(1)", repo_dir
    ).communicate()
    with gitexp.start_run(run_id="dead"):
        gitexp.log_metric("x", 2)
    assert only_run().history("x").values.tolist() == [1, 2]
    assert kinds(only_run()) == ["resume", "seal"]


def test_a_damaged_beginning_costs_nothing(sealed: str, repo_dir: Path) -> None:
    """When the first event of a resumption is damaged, what follows it is still put into its run, under its name."""
    repository = Repository.open(repo_dir)
    recorder = Recorder.begin(repository, RunRequest(resume=sealed), on_trouble=pytest.fail)
    recorder.point("loss", 2, None, 0.125)
    [events] = Path(recorder.folder).glob("*.events")
    data = bytearray(events.read_bytes())
    data[40] ^= 4
    events.write_bytes(data)
    recorder._journal.close()
    assert recorder._owner is not None
    recorder._owner.release()
    repository.recover()
    run = only_run()
    assert (run.name, run.status, len(run.history("loss"))) == ("base", "crashed", 3)
    assert kinds(run) == ["resume", "seal"]


def test_a_launch_can_go_on_with_a_run(sealed: str, repo_dir: Path) -> None:
    """`gitexp run` adds params, output and exit code of the new process; while the run is recorded it is refused."""
    (repo_dir / "more.py").write_text(
        "import gitexp\ngitexp.log_metric('loss', 0.1)\nprint('more')\nraise SystemExit(3)\n"
    )
    repository = Repository.open(repo_dir)
    request = LaunchRequest(
        kind=Kind.FILE, words=["more.py"], environ=dict(os.environ), run=RunRequest(resume="base", params={"seed": 8})
    )
    result = launch(request, repository, on_trouble=pytest.fail)
    assert result.run_id == sealed and result.child.exit_code == 3
    run = only_run()
    assert (run.status, run.record.exit_code, run.output) == ("failed", 3, b"more\n")
    assert run.record.entry_point == "more.py" and run.params["seed"] == 8
    with gitexp.start_run(run_id=sealed), pytest.raises(Conflict, match="is being recorded"):
        launch(request, repository, on_trouble=pytest.fail)
    result = launch(request, repository, on_trouble=pytest.fail)
    lines = only_run().output
    assert lines is not None
    first, resumed, last = lines.decode().splitlines()
    assert (first, last) == ("more", "more") and resumed.startswith("... resumed 20")


def test_gc_frees_no_run_that_goes_on(sealed: str, repo_dir: Path) -> None:
    """A run that somebody removes while it goes on is kept by gc, and ends as a removed run."""
    repository = Repository.open(repo_dir)
    found = repository.resolve(sealed)
    with gitexp.start_run(run_id=sealed):
        repository.remove(found)
        assert gc(repository, keep_s=0).runs == ()
    assert Repository.open(repo_dir).search(deleted="only")[0].record.id == sealed


def going_on(repo: Path) -> None:
    """Seal the resumption that the template left behind."""
    repository = Repository.open(repo)
    problems = [run.problem for run in repository.recovered if run.problem]
    if problems:
        raise StorageFailed(problems[0])


@pytest.fixture
def left_behind(sealed: str, repo_dir: Path) -> Path:
    """A repository with a sealed run, and a resumption of it that a dead process left."""
    repository = Repository.open(repo_dir)
    recorder = Recorder.begin(repository, RunRequest(resume=sealed, params={"lr": 0.2}), on_trouble=pytest.fail)
    for step in range(2, 10):
        recorder.point("loss", step, None, 1.0 / step)
    recorder.add_bytes(b"two", "a.txt")
    recorder._journal.close()
    assert recorder._owner is not None
    recorder._owner.release()
    return repo_dir


@pytest.mark.slow
@pytest.mark.parametrize("fail", [die, disk_full])
def test_a_death_or_a_full_disk_at_any_step_loses_nothing(
    left_behind: Path, sealed: str, git: Git, fail: Callable[[], None]
) -> None:
    """Whichever file-changing call fails while a resumption is sealed, the next try ends with both states, once."""
    calls = ("open", "write", "fsync", "rename", "link", "unlink", "mkdir")
    for repo, status in every_step(left_behind, going_on, fail, calls):
        assert status in (0, DEAD, FAILED)
        git("fsck", "--full", "--strict", cwd=repo)
        repository = Repository.open(repo)
        assert not [run.problem for run in repository.recovered if run.problem]
        view = repository.get_run(sealed)
        assert view.history("loss").steps.tolist() == list(range(10))
        assert view.params == {"lr": 0.2, "seed": 7}
        assert {path: item.read() for path, item in view.artifacts.items()} == {"a.txt": b"two", "b.txt": b"one"}
        assert kinds(view) == ["resume", "seal"]
        assert repository.live.list() == [] and list(fsck(repository)) == []


@pytest.mark.slow
def test_a_death_at_any_step_of_beginning_leaves_the_sealed_state(sealed: str, repo_dir: Path) -> None:
    """Whichever call is the last of a process that begins to go on, the run is as it was, or is its next state."""

    def begin(repo: Path) -> None:
        recorder = Recorder.begin(Repository.open(repo), RunRequest(resume=sealed), on_trouble=lambda _: None)
        recorder.point("loss", 2, None, 0.125)

    calls = ("open", "write", "fsync", "rename", "link", "unlink", "mkdir")
    for repo, _ in every_step(repo_dir, begin, die, calls):
        repository = Repository.open(repo)
        assert not [run.problem for run in repository.recovered if run.problem]
        view = repository.get_run(sealed)
        assert kinds(view) in (["seal"], ["resume", "seal"])
        assert view.history("loss").values.tolist()[:2] == [0.5, 0.25]
        assert view.status == ("finished" if kinds(view) == ["seal"] else "crashed")
        assert view.tags == {"team": "a"} and LiveRuns(f"{repo}/.git/gitexp").list() == []
