"""Recording from Python, as a script does it."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gitexp
from gitexp import session
from gitexp.errors import Ambiguous, NotARepository, NotFound, QueryError, UsageError
from gitexp.reading import RunView


@pytest.fixture(autouse=True)
def in_repository(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test works in a repository of its own and leaves no run active."""
    monkeypatch.chdir(repo_dir)
    monkeypatch.setattr(session, "_experiment", None)
    yield
    while run := gitexp.active_run():
        run.end()
    session._repositories.clear()


@pytest.fixture
def python(repo_dir: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a Python program in the repository."""

    def start(program: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=repo_dir,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def only_run() -> RunView:
    [found] = gitexp.search_runs()
    return gitexp.get_run(found.record.id)


def test_everything_logged_reads_back(repo_dir: Path) -> None:
    """Params, metrics, tags, artifacts and code of a finished run are what was logged."""
    (repo_dir / "model.pkl").write_bytes(b"\x00" * 100_000)
    gitexp.set_experiment("nyc-taxi")
    with gitexp.start_run(name="baseline", params={"lr": 0.1, "optim": {"name": "adam"}}, tags={"team": "a"}) as run:
        for step in range(100):
            gitexp.log_metric("loss", 1 / (step + 1), step=step)
        gitexp.log_metrics({"accuracy": 0.9, "epoch": 3})
        gitexp.log_param("seed", 7)
        gitexp.set_tag("stage", "dev")
        gitexp.set_note("first try")
        gitexp.log_artifact("model.pkl", "models")
        gitexp.log_text("hello", "notes/hello.txt")
        gitexp.log_dict({"a": [1, 2]}, "a.json")
    assert run.commit is not None
    found = gitexp.get_run("baseline")
    assert (found.status, found.experiment, found.commit) == ("finished", "nyc-taxi", run.commit)
    assert found.params == {"lr": 0.1, "optim.name": "adam", "seed": 7}
    assert found.metrics == {"loss": 0.01, "accuracy": 0.9, "epoch": 3}
    assert found.tags == {"team": "a", "stage": "dev"}
    assert found.record.note == "first try"
    history = found.history("loss")
    assert (len(history), history[0].value, history[99].step) == (100, 1.0, 99)
    assert {path: item.size_bytes for path, item in found.artifacts.items()} == {
        "a.json": 30,
        "models/model.pkl": 100_000,
        "notes/hello.txt": 5,
    }
    assert found.artifacts["models/model.pkl"].read() == b"\x00" * 100_000
    assert found.code.read("train.py") == b"print('training')\n"
    assert found.environment is not None
    assert found.environment.python["version"].startswith("3.")


def test_uncommitted_and_untracked_code_is_in_the_run(repo_dir: Path) -> None:
    """The code is what was on the disk when the run began, committed or not."""
    (repo_dir / "train.py").write_text("print('changed')\n")
    (repo_dir / "helper.py").write_text("x = 1\n")
    with gitexp.start_run():
        (repo_dir / "helper.py").write_text("x = 2\n")
    run = only_run()
    assert run.code.read("train.py") == b"print('changed')\n"
    assert run.code.read("helper.py") == b"x = 1\n"
    assert run.record.code is not None
    assert run.record.code.dirty
    assert run.record.code.branch == "main"


def test_steps_count_themselves() -> None:
    """Without a step, a metric's points count up from the last one."""
    with gitexp.start_run():
        for value in (3.0, 2.0):
            gitexp.log_metric("loss", value)
        gitexp.log_metric("loss", 1.0, step=10)
        gitexp.log_metric("loss", 0.5)
    assert [(point.step, point.value) for point in only_run().history("loss")] == [
        (0, 3.0),
        (1, 2.0),
        (10, 1.0),
        (11, 0.5),
    ]


def test_odd_numbers_stay_exact() -> None:
    """NaN, infinities, huge integers and booleans read back as logged."""
    values = {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "huge": 2**90, "zero": -0.0, "yes": True, "int": 3}
    with gitexp.start_run():
        gitexp.log_metrics(values)
    found = only_run().metrics
    assert math.isnan(found["nan"])
    assert (found["inf"], found["minus"], found["huge"], found["yes"], found["int"]) == (
        math.inf,
        -math.inf,
        2**90,
        1,
        3,
    )
    assert math.copysign(1, found["zero"]) == -1
    assert isinstance(found["int"], int)


class Scalar:
    """What numpy's scalars and torch's 0-d tensors look like."""

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


def test_array_scalars_are_numbers() -> None:
    """Whatever has an item that is a number is that number."""
    with gitexp.start_run():
        gitexp.log_metric("a", Scalar(0.5))
        gitexp.log_param("b", Scalar(7))
    assert (only_run().metrics["a"], only_run().params["b"]) == (0.5, 7)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("", 1.0, "key is empty"),
        ("a\nb", 1.0, "control character"),
        ("a\0b", 1.0, "control character"),
        ("x" * 251, 1.0, "longer than 250 bytes"),
        (7, 1.0, "must be text"),
        ("loss", "0.5", "not a number"),
        ("loss", None, "not a number"),
        ("loss", [1, 2], "not a number"),
        pytest.param("loss", 10**5000, "too large", id="huge"),
    ],
)
def test_a_bad_metric_is_one_warning_and_in_the_record(key: object, value: object, message: str) -> None:
    """The training goes on; the user is told once and the record says it; a strict run raises."""
    with gitexp.start_run():
        with pytest.warns(gitexp.GitexpWarning, match=message):
            gitexp.log_metric(key, value)  # type: ignore[arg-type]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gitexp.log_metric(key, value)  # type: ignore[arg-type]
        gitexp.log_metric("good", 1.0)
    run = only_run()
    assert run.metrics == {"good": 1.0}
    assert any(message in warning for warning in run.record.warnings)
    with pytest.raises(UsageError, match=message), gitexp.start_run(strict=True):
        gitexp.log_metric(key, value)  # type: ignore[arg-type]


@pytest.mark.parametrize("moment", [math.nan, math.inf, -math.inf, 1e300, 1_700_000_000_000, "noon", BaseException])
def test_a_time_that_is_none_is_a_warning(moment: object) -> None:
    """What is no number of seconds since 1970 is not recorded as the time of a point, alone or in a batch."""
    with gitexp.start_run():
        with pytest.warns(gitexp.GitexpWarning, match="The time of the metric 'loss' must be a number of seconds"):
            gitexp.log_metric("loss", 1.0, time=moment)  # type: ignore[arg-type]
        with pytest.warns(gitexp.GitexpWarning, match="The time of the metric 'error' must be a number of seconds"):
            gitexp.log_batch({"error": [1.0, 2.0]}, times=[0.0, moment])
        gitexp.log_metric("good", 1.0, time=-5)
        gitexp.log_batch({"batch": []}, times=[])
    assert only_run().metrics == {"good": 1.0}


def test_found_runs_are_listed_by_name() -> None:
    """In a plain interpreter a table of runs is one short line."""
    assert repr(gitexp.search_runs()) == "<Runs: none>"
    for number in range(11):
        gitexp.start_run(f"r{number}").end()
    shown = repr(gitexp.search_runs(sort="run.start"))
    assert shown.startswith("<Runs 11 of 11: 'r0', 'r1', ") and shown.endswith("'r9', ...>")


@pytest.mark.parametrize(
    "key", ["val/loss", "../up", "/abs", "😀", "a b", "loss.csv/x", "A", "a", ".git/config", "con"]
)
def test_odd_keys_are_data(key: str) -> None:
    """A key is never a path: odd ones are stored and read back as they are."""
    with gitexp.start_run(params={key: 1}):
        gitexp.log_metric(key, 0.5)
        gitexp.log_metric(key.upper() + "x", 0.25)
        gitexp.log_metric(key.lower() + "X", 0.75)
    run = only_run()
    assert run.history(key)[0].value == 0.5
    assert run.params == {key: 1}
    assert run.history(key.upper() + "x")[0].value == 0.25


def test_large_params_are_kept() -> None:
    """A text of a megabyte and ten thousand params are stored whole."""
    many = {f"p{number}": number for number in range(10_000)}
    with gitexp.start_run(params=many):
        gitexp.log_param("text", "x" * 1_000_000)
    found = only_run().params
    assert found["text"] == "x" * 1_000_000
    assert {key: found[key] for key in many} == many


def test_a_param_that_changes_is_told() -> None:
    """The last value of a param counts, and the record says that there was another."""
    with gitexp.start_run(params={"lr": 0.1}):
        gitexp.log_param("lr", 0.1)
        gitexp.log_param("lr", 0.2)
    run = only_run()
    assert run.params == {"lr": 0.2}
    assert run.record.warnings == ("The param 'lr' was 0.1 and became 0.2.",)


@pytest.mark.parametrize("path", ["/etc/passwd", "../up.txt", "a/../../up", "", "a\0b", ".git/hooks/x", "C:\\x"])
def test_an_artifact_stays_in_its_run(path: str) -> None:
    """An artifact path that is absolute, climbs out or names nothing is refused, and the run goes on."""
    with gitexp.start_run(), pytest.warns(gitexp.GitexpWarning, match="artifact path"):
        gitexp.log_text("x", path)
    assert only_run().artifacts == {}


def test_a_folder_of_artifacts(repo_dir: Path) -> None:
    """Every file of a folder is kept by its path in it; links that leave it are not."""
    folder = repo_dir / "plots"
    (folder / "deep").mkdir(parents=True)
    (folder / "roc.txt").write_text("roc")
    (folder / "deep" / "pr.txt").write_text("pr")
    (folder / "inside").symlink_to("roc.txt")
    (folder / "outside").symlink_to("/etc/passwd")
    with gitexp.start_run(), pytest.warns(gitexp.GitexpWarning, match="outside' leaves the folder"):
        gitexp.log_artifacts("plots", "all")
    assert {path: item.read() for path, item in only_run().artifacts.items()} == {
        "all/deep/pr.txt": b"pr",
        "all/inside": b"roc",
        "all/roc.txt": b"roc",
    }


def test_a_folder_that_is_a_repository_is_kept_without_what_is_gits(repo_dir: Path) -> None:
    """One warning says so, instead of one for each file."""
    (repo_dir / "result.txt").write_text("1")
    with pytest.warns(gitexp.GitexpWarning) as told, gitexp.start_run():
        gitexp.log_artifact(".")
    assert [str(warning.message) for warning in told] == ["'./.git' is git's, and left out of the artifacts."]
    kept = set(only_run().artifacts)
    assert f"{repo_dir.name}/result.txt" in kept
    assert not any("/.git/" in path for path in kept)


def test_a_missing_artifact_does_not_end_the_training() -> None:
    """Logging a file that is not there is a warning that names it."""
    with gitexp.start_run(), pytest.warns(gitexp.GitexpWarning, match=r"No such file or directory: 'nowhere\.pkl'"):
        gitexp.log_artifact("nowhere.pkl")
    assert only_run().status == "finished"


def test_tables_in_the_format_of_their_name() -> None:
    """A table is CSV or JSON as its name says, from columns or from rows."""
    with gitexp.start_run():
        gitexp.log_table({"a": [1, 2], "b": ["x", "y"]}, "t.csv")
        gitexp.log_table([{"a": 1}, {"b": 2}], "t.json")
    artifacts = only_run().artifacts
    assert artifacts["t.csv"].read() == b"a,b\n1,x\n2,y\n"
    assert json.loads(artifacts["t.json"].read()) == {"columns": ["a", "b"], "data": [[1, None], [None, 2]]}


class Figure:
    """What matplotlib's figures look like."""

    def savefig(self, stream: object, *, format: str) -> None:  # noqa: A002 (matplotlib's name)
        stream.write(format.encode())  # type: ignore[attr-defined]


def test_a_figure_is_saved_in_the_format_of_its_name() -> None:
    """`log_figure` asks the figure itself for the format."""
    with gitexp.start_run():
        gitexp.log_figure(Figure(), "loss.svg")
    assert only_run().artifacts["loss.svg"].read() == b"svg"


def test_an_exception_is_a_failed_run() -> None:
    """What a `with` sees pass through decides the status."""
    with pytest.raises(ZeroDivisionError), gitexp.start_run(name="a"):
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), gitexp.start_run(name="b"):
        raise KeyboardInterrupt
    with pytest.raises(SystemExit), gitexp.start_run(name="c"):
        raise SystemExit(3)
    assert [gitexp.get_run(name).status for name in "abc"] == ["failed", "killed", "failed"]


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", "finished"),
        ("import sys; sys.exit(0)", "finished"),
        ("import sys; sys.exit(3)", "failed"),
        ("import sys; sys.exit('no')", "failed"),
        ("1 / 0", "failed"),
        ("raise KeyboardInterrupt", "killed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "killed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed"),
        ("import os; os._exit(0)", "crashed"),
    ],
)
def test_a_bare_run_tells_how_the_process_ended(
    python: Callable[..., subprocess.Popen[str]], ending: str, status: str
) -> None:
    """Without `with` and without `end_run` the status is the truth, and the values are there."""
    child = python(f"import gitexp; gitexp.start_run(name='bare'); gitexp.log_metric('x', 1.5); {ending}")
    child.communicate()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run = gitexp.get_run("bare")
    assert (run.status, run.metrics) == (status, {"x": 1.5})
    assert len(told) == (status == "crashed")
    if ending.startswith("import sys; sys.exit(3)"):
        assert child.returncode == 3
    if "SIGTERM" in ending:
        assert child.returncode == -signal.SIGTERM


def test_two_hundred_points_survive_kill_9(python: Callable[..., subprocess.Popen[str]]) -> None:
    """Every value whose call returned is there after SIGKILL."""
    program = """
import gitexp, os, signal
gitexp.start_run(name="killed")
for step in range(200):
    gitexp.log_metric("loss", 1 / (step + 1), step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""
    python(program).communicate()
    with pytest.warns(gitexp.GitexpWarning, match="sealed as crashed"):
        run = gitexp.get_run("killed")
    assert len(run.history("loss")) == 200


def test_logging_starts_a_run() -> None:
    """Without an active run, the first value logged starts one."""
    gitexp.log_metric("loss", 0.5)
    active = gitexp.active_run()
    assert active is not None
    gitexp.end_run()
    assert gitexp.active_run() is None
    assert only_run().metrics == {"loss": 0.5}


def test_a_second_run_must_be_nested() -> None:
    """Starting a run inside another is an error that says how; nested ones know their parent."""
    with gitexp.start_run(name="outer") as outer:
        with pytest.raises(UsageError, match="still active"):
            gitexp.start_run()
        with gitexp.start_run(name="inner", nested=True):
            gitexp.log_metric("x", 1)
        gitexp.log_metric("y", 2)
    assert gitexp.get_run("inner").record.parent == outer.id
    assert (gitexp.get_run("inner").metrics, gitexp.get_run("outer").metrics) == ({"x": 1}, {"y": 2})


def test_threads_share_the_run() -> None:
    """Threads without a run of their own log to the one that was started; nothing is lost."""
    with gitexp.start_run():

        def work(name: str) -> None:
            for step in range(500):
                gitexp.log_metric(name, step, step=step)

        threads = [threading.Thread(target=work, args=(f"m{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    run = only_run()
    assert {key: len(run.history(key)) for key in run.metrics} == {f"m{number}": 500 for number in range(8)}


def test_runs_in_threads_are_apart() -> None:
    """A run started in a thread belongs to that thread."""

    def work(number: int) -> None:
        with gitexp.start_run(name=f"run-{number}"):
            for _ in range(50):
                gitexp.log_metric("x", number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.record.name: run.metrics for run in gitexp.search_runs()} == {f"run-{n}": {"x": n} for n in range(4)}


def test_runs_in_asyncio_tasks_are_apart() -> None:
    """A run started in a task belongs to that task."""

    async def work(number: int) -> None:
        with gitexp.start_run(name=f"run-{number}"):
            await asyncio.sleep(0)
            gitexp.log_metric("x", number)
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(work(1), work(2))

    asyncio.run(both())
    assert {run.record.name: run.metrics for run in gitexp.search_runs()} == {"run-1": {"x": 1}, "run-2": {"x": 2}}


def test_a_fork_logs_to_its_parents_run() -> None:
    """A forked worker's values are in the run, and its end does not end the run."""
    with gitexp.start_run():
        gitexp.log_metric("parent", 1)
        pid = os.fork()
        if pid == 0:
            gitexp.log_metric("child", 2)
            os._exit(0)
        os.waitpid(pid, 0)
        gitexp.log_metric("parent", 3)
    assert only_run().metrics == {"parent": 3, "child": 2}


def test_a_live_run_is_visible() -> None:
    """A run is listed, searched and read while it is recorded."""
    with gitexp.start_run(name="now", params={"lr": 0.1}):
        gitexp.log_metric("loss", 0.5)
        [found] = gitexp.search_runs(where="metrics.loss < 1 and run.status = 'running'")
        assert (found.record.name, found.commit) == ("now", None)
        view = gitexp.get_run("@")
        assert (view.params, view.history("loss")[0].value) == ({"lr": 0.1}, 0.5)
    assert gitexp.get_run("@").commit is not None


def test_runs_are_found_by_what_names_them() -> None:
    """Name, id, beginning of an id, commit, @, @~1 and best: all name a run; others get near names."""
    ids = []
    for number, loss in enumerate((0.3, 0.1, 0.2)):
        with gitexp.start_run(name=f"run-{number}") as run:
            gitexp.log_metric("loss", loss)
        ids.append(run.id)
    assert gitexp.get_run("run-1").id == ids[1]
    assert gitexp.get_run(ids[0]).id == ids[0]
    assert gitexp.get_run(ids[0][:8]).id == ids[0]
    assert gitexp.get_run(gitexp.get_run("run-2").commit or "").id == ids[2]
    assert gitexp.get_run("@").id == ids[2]
    assert gitexp.get_run("@~1").id == ids[1]
    assert gitexp.get_run("best:metrics.loss").id == ids[1]
    assert gitexp.get_run("best:-metrics.loss").id == ids[0]
    with pytest.raises(NotFound) as error:
        gitexp.get_run("run-9")
    assert "run-1" in error.value.hint
    with gitexp.start_run(name="run-1"):
        pass
    with pytest.raises(Ambiguous) as both:
        gitexp.get_run("run-1")
    assert ids[1] in both.value.hint


def test_a_search_that_cannot_be_read_says_where() -> None:
    """A mistake in an expression is shown at its position."""
    with pytest.raises(QueryError) as error:
        gitexp.search_runs(where="metrics.loss < ")
    assert error.value.position == 15


def test_outside_a_repository_starting_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no repository, the error says how to make one, before any training."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotARepository) as error:
        gitexp.start_run()
    assert "git init" in error.value.hint


def test_the_users_side_is_untouched(repo_dir: Path, git: Callable[..., str]) -> None:
    """A run changes no byte of index, HEAD, branches, reflogs and working tree."""
    (repo_dir / "new.py").write_text("x\n")
    git("add", "-N", "new.py", cwd=repo_dir)

    def state() -> dict[str, bytes]:
        own = repo_dir / ".git"
        watched = [own / "index", own / "HEAD", *(own / "refs" / "heads").rglob("*"), *(own / "logs").rglob("*")]
        files = [*watched, *(path for path in repo_dir.rglob("*") if own not in path.parents)]
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    before, status = state(), git("status", "--porcelain", cwd=repo_dir)
    with gitexp.start_run():
        gitexp.log_metric("x", 1)
    assert (state(), git("status", "--porcelain", cwd=repo_dir)) == (before, status)
    assert git("for-each-ref", "--format=%(refname)", "refs/gitexp/live", cwd=repo_dir) == ""


def test_a_bare_repository_records_without_code(
    tmp_path: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a bare repository there is no code to capture; everything else is recorded."""
    git("init", "-q", "--bare", "bare.git", cwd=tmp_path)
    monkeypatch.chdir(tmp_path / "bare.git")
    with gitexp.start_run():
        gitexp.log_metric("x", 1)
    assert (only_run().metrics, only_run().code.files()) == ({"x": 1}, {})


def test_an_unborn_branch_has_no_code_commit(
    tmp_path: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first commit, the run's code is kept, and its seal has no parents."""
    git("init", "-q", "new", cwd=tmp_path)
    (tmp_path / "new" / "train.py").write_text("1\n")
    monkeypatch.chdir(tmp_path / "new")
    with gitexp.start_run():
        pass
    assert (only_run().parents(), list(only_run().code.files())) == ((), ["train.py"])


def test_importing_is_lazy() -> None:
    """`import gitexp` loads nothing but itself."""
    program = "import sys; before = set(sys.modules); import gitexp; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__future__', 'gitexp']"


def test_a_run_that_logging_began_is_taken_over() -> None:
    """Logging before `start_run` begins a run, and `start_run` gives that run its name and params."""
    gitexp.log_metric("early", 1)
    with gitexp.start_run(name="late", params={"lr": 0.1}):
        gitexp.log_metric("loss", 2)
    run = only_run()
    assert (run.name, run.params, run.metrics) == ("late", {"lr": 0.1}, {"early": 1, "loss": 2})


def test_one_run_that_cannot_be_sealed_holds_up_no_other(repo_dir: Path) -> None:
    """A live run whose journal makes no sense is told of, and everything else goes on."""
    with gitexp.start_run(name="good"):
        pass
    folder = repo_dir / ".git" / "gitexp" / "live" / "zzzzzzzzzzzz"
    folder.mkdir(parents=True)
    (folder / "1-0.events").write_bytes(b"gitexpevents\0\0" + (99).to_bytes(2, "little"))
    session._repositories.clear()
    with pytest.warns(gitexp.GitexpWarning):
        assert gitexp.get_run("good").name == "good"


def test_what_is_no_mapping_or_no_step_ends_no_training() -> None:
    """Metrics, params and tags that are no mappings, and steps that are no 64-bit integers, are warnings."""
    with gitexp.start_run():
        gitexp.log_metric("loss", 1.0, step=0)
        for log in (gitexp.log_metrics, gitexp.log_params, gitexp.set_tags):
            with pytest.warns(gitexp.GitexpWarning, match="mapping"):
                log(["x"])  # type: ignore[operator]
        for step in (2**63, math.inf, 0.5, "x"):
            with pytest.warns(gitexp.GitexpWarning):
                gitexp.log_metric("loss", 1.0, step=step)  # type: ignore[arg-type]
    assert only_run().metrics == {"loss": 1.0}
