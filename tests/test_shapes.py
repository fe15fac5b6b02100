"""Runs of all shapes: workers of every kind, ranks, tasks, whole histories."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import textwrap
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitexp
from gitexp import session
from gitexp.errors import InvalidName, UsageError
from gitexp.ranks import launch_key, rank_of
from gitexp.reading import RunView
from gitexp.recording import JOIN

pytestmark = pytest.mark.slow

SLOW = pytest.mark.slow
METHODS = pytest.mark.parametrize(
    "method", ["fork", pytest.param("spawn", marks=SLOW), pytest.param("forkserver", marks=SLOW)]
)


@pytest.fixture(autouse=True)
def in_repository(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(repo_dir)
    monkeypatch.setattr(session, "_experiment", None)
    yield
    while run := gitexp.active_run():
        run.end()
    session._repositories.clear()


def run_script(text: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A script as a file, as workers that import the main module need it, to its successful end."""
    Path("script.py").write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "script.py", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def only_run() -> RunView:
    [found] = gitexp.search_runs()
    return gitexp.get_run(found.record.id)


def runs() -> dict[str, RunView]:
    return {run.record.name: gitexp.get_run(run.record.id) for run in gitexp.search_runs()}


WORK = """
    import multiprocessing, os, sys, gitexp
    from concurrent.futures import ProcessPoolExecutor

    def work(number):
        gitexp.log_metric(f"m{number}", number * 0.5)
        gitexp.log_param(f"p{number}", number)
        return os.getpid()
"""


@METHODS
def test_workers_log_to_the_run_of_the_process_that_made_them(method: str) -> None:
    """Values of pool workers and processes are in the run, whichever way the workers begin; they end nothing."""
    done = run_script(
        WORK
        + """
    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        with gitexp.start_run("main"):
            with context.Pool(2) as pool:
                pids = set(pool.map(work, range(4)))
            process = context.Process(target=work, args=(4,))
            process.start(); process.join()
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                pids |= set(pool.map(work, [5]))
            gitexp.log_metric("after", 1)
        assert os.getpid() not in pids and os.environ.get("GITEXP_RUN") is None
    """,
        method,
    )
    run = only_run()
    assert run.metrics == {"after": 1, **{f"m{number}": number * 0.5 for number in range(6)}}
    assert run.params == {f"p{number}": number for number in range(6)}
    assert run.status == "finished" and "Warning" not in done.stderr, done.stderr


@SLOW
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_that_lives_longer_logs_to_the_run_of_the_moment(method: str) -> None:
    """Workers made in one run, or before any, log to the run that their maker records when they log."""
    run_script(
        WORK
        + """
    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        with context.Pool(1) as early:
            early.map(len, ["x"])
            with gitexp.start_run("one"), context.Pool(1) as pool:
                pool.map(work, [1]); early.map(work, [10])
            pool = context.Pool(1)
            with gitexp.start_run("two"):
                late = context.Pool(1)
                late.map(work, [2])
            with gitexp.start_run("three"):
                late.map(work, [3]); early.map(work, [30])
            late.close(); late.join(); pool.close(); pool.join()
    """,
        method,
    )
    assert {name: sorted(run.metrics) for name, run in runs().items()} == {
        "one": ["m1", "m10"],
        "two": ["m2"],
        "three": ["m3", "m30"],
    }


def test_what_a_worker_logs_too_late_is_told() -> None:
    """A worker that logs when the run is over is told so once and begins no stray run; its earlier values stay."""
    done = run_script("""
    import multiprocessing, gitexp

    def work(logged, ended):
        gitexp.log_metric("early", 1)
        logged.set(); ended.wait()
        gitexp.log_metric("late", 2)
        gitexp.log_metric("late", 3)

    if __name__ == "__main__":
        context = multiprocessing.get_context("spawn")
        logged, ended = context.Event(), context.Event()
        with gitexp.start_run("main"):
            process = context.Process(target=work, args=(logged, ended))
            process.start(); logged.wait()
        ended.set(); process.join()
    """)
    assert only_run().metrics == {"early": 1}
    assert done.stderr.count("GitexpWarning") == 1 and "has ended" in done.stderr, done.stderr


def test_a_worker_that_only_leaves_late_is_silent() -> None:
    """A worker whose values all came in time is not warned for ending after the run."""
    done = run_script("""
    import multiprocessing, gitexp

    def work(logged, ended):
        gitexp.log_metric("early", 1)
        logged.set(); ended.wait()

    if __name__ == "__main__":
        context = multiprocessing.get_context("fork")
        logged, ended = context.Event(), context.Event()
        with gitexp.start_run("main"):
            process = context.Process(target=work, args=(logged, ended))
            process.start(); logged.wait()
        ended.set(); process.join()
    """)
    assert only_run().metrics == {"early": 1}
    assert "GitexpWarning" not in done.stderr, done.stderr


def test_a_script_started_by_a_script_takes_part() -> None:
    """What it logs is in the run; what it starts, or is launched with `gitexp run`, is a run of its own below that."""
    Path("other.py").write_text("import gitexp\ngitexp.log_metric('other', 1)\n")
    Path("third.py").write_text("import gitexp\nwith gitexp.start_run('own'): gitexp.log_metric('third', 1)\n")
    run_script("""
    import subprocess, sys, gitexp
    with gitexp.start_run("main"):
        subprocess.run([sys.executable, "other.py"], check=True)
        subprocess.run([sys.executable, "third.py"], check=True)
        subprocess.run([sys.executable, "-m", "gitexp", "run", "-n", "launched", "other.py"], check=True)
    subprocess.run([sys.executable, "third.py"], check=True)
    """)
    found = gitexp.search_runs(sort="run.start")
    assert [(run.record.name, run.metrics) for run in found] == [
        ("main", {"other": 1}),
        ("own", {"third": 1}),
        ("launched", {"other": 1}),
        ("own", {"third": 1}),
    ]
    main = found[0].record.id
    assert [run.record.parent for run in found] == [None, main, main, None]


def test_only_the_first_script_of_a_launch_takes_it() -> None:
    """Under `gitexp run`, the first `start_run` is the launched run; those of further processes are its children."""
    Path("worker.py").write_text("import gitexp, sys\nwith gitexp.start_run(sys.argv[1]): gitexp.log_metric('x', 1)\n")
    Path("driver.py").write_text(
        "import subprocess, sys\nfor name in 'ab': subprocess.run([sys.executable, 'worker.py', name], check=True)\n"
    )
    subprocess.run([sys.executable, "-m", "gitexp", "run", "driver.py"], check=True)
    found = runs()
    assert set(found) == {"a", "b"}
    assert found["a"].record.entry_point == "driver.py" and found["a"].record.parent is None
    assert found["b"].record.parent == found["a"].id
    assert found["a"].metrics == found["b"].metrics == {"x": 1}


def test_after_its_block_a_launched_run_is_not_active_until_something_is_logged() -> None:
    """Code that ends runs while one is active comes to its end; what is logged later is in the launched run."""
    Path("train.py").write_text(
        "import gitexp\n"
        "with gitexp.start_run('a'): gitexp.log_metric('x', 1)\n"
        "while gitexp.active_run(): gitexp.end_run()\n"
        "gitexp.log_metric('y', 2)\n"
        "while gitexp.active_run(): gitexp.end_run()\n"
    )
    subprocess.run([sys.executable, "-m", "gitexp", "run", "train.py"], check=True, timeout=60)
    assert (only_run().name, only_run().metrics) == ("a", {"x": 1, "y": 2})


def test_a_fork_that_starts_a_run_nests_it() -> None:
    """In a forked worker, too, `start_run` is a run of its own below that of its parent, which goes on."""
    with gitexp.start_run("outer") as outer:
        pid = os.fork()
        if pid == 0:
            with gitexp.start_run("inner"):
                gitexp.log_metric("x", 1)
            gitexp.log_metric("y", 2)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        gitexp.log_metric("z", 3)
    found = runs()
    assert (found["inner"].metrics, found["outer"].metrics) == ({"x": 1}, {"y": 2, "z": 3})
    assert found["inner"].record.parent == outer.id


def test_a_fork_that_leaves_the_block_does_not_end_the_run() -> None:
    """A child that runs off the end of `with` seals nothing."""
    run = gitexp.start_run("outer")
    pid = os.fork()
    if pid == 0:
        with run:
            run.log_metric("child", 1)
        os._exit(0 if run.commit is None else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert gitexp.get_run("outer").status == "running"
    run.log_metric("parent", 2)
    run.end()
    assert only_run().metrics == {"child": 1, "parent": 2}


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that tells children of the run is there while it lasts, follows nested runs, and goes again."""
    with gitexp.start_run() as outer:
        assert os.environ[JOIN].endswith(outer.id)
        with gitexp.start_run(nested=True) as inner:
            assert os.environ[JOIN].endswith(inner.id)
        assert os.environ[JOIN].endswith(outer.id)
    assert JOIN not in os.environ
    monkeypatch.setenv(JOIN, "/nowhere/else")
    with gitexp.start_run() as run:
        assert os.environ[JOIN].endswith(run.id)
    assert os.environ[JOIN] == "/nowhere/else"


@SLOW
def test_joblib_workers_take_part() -> None:
    """Loky's workers, which stay for later calls, log to the run of the moment."""
    pytest.importorskip("joblib")
    run_script("""
    import gitexp
    from joblib import Parallel, delayed

    def work(number):
        gitexp.log_metric(f"m{number}", number)

    if __name__ == "__main__":
        for name in ("one", "two"):
            with gitexp.start_run(name):
                Parallel(n_jobs=2)(delayed(work)(number) for number in range(4))
    """)
    every = {f"m{number}": number for number in range(4)}
    assert {name: run.metrics for name, run in runs().items()} == {"one": every, "two": every}


def test_tasks_each_have_a_nested_run() -> None:
    """Tasks of one gather each start a run below the outer one, and log to their own across awaits."""

    async def work(number: int) -> None:
        with gitexp.start_run(f"task-{number}", nested=True):
            for step in range(5):
                gitexp.log_metric("x", number + step)
                await asyncio.sleep(0)
            await asyncio.to_thread(gitexp.log_metric, "thread", number)

    async def every() -> None:
        await asyncio.gather(*(work(number) for number in range(4)))

    with gitexp.start_run("outer") as outer:
        asyncio.run(every())
        gitexp.log_metric("y", 1)
    found = runs()
    for number in range(4):
        run = found[f"task-{number}"]
        assert run.metrics == {"x": number + 4, "thread": number} and run.record.parent == outer.id
    assert found["outer"].metrics == {"y": 1}


RANKED = """
    import gitexp, os, sys
    rank = int(os.environ["RANK"])
    with gitexp.start_run("ddp", params={"lr": 0.1}, ranks=sys.argv[1]) as run:
        for step in range(3):
            gitexp.log_metric("loss", rank + step, step=step)
        gitexp.log_params({"rank": rank})
        gitexp.log_text(str(rank), "rank.txt")
        gitexp.log_batch({"batch": [1.0, 2.0]})
        run.set_note(f"rank {rank}")
        open(f"../done-{rank}", "w").close()
        while rank == 0 and len([name for name in os.listdir("..") if name.startswith("done-")]) < 3:
            os.sched_yield()
    print(run.commit)
"""

LAUNCHER = """
import os, subprocess, sys
ranks = [
    subprocess.Popen(
        [sys.executable, *sys.argv[1:]],
        env={**os.environ, "RANK": str(n), "LOCAL_RANK": str(n), "WORLD_SIZE": "3", "MASTER_PORT": "29511"},
    )
    for n in (2, 1, 0)
]
sys.exit(max(rank.wait() for rank in ranks))
"""


@pytest.fixture
def launcher() -> list[str]:
    """A command that starts three ranks of a script, as torchrun does."""
    Path("launcher.py").write_text(LAUNCHER)
    Path("ranked.py").write_text(textwrap.dedent(RANKED))
    return [sys.executable, "launcher.py", "ranked.py"]


@pytest.mark.parametrize("launched", [False, True])
def test_the_first_rank_records_and_the_others_are_silent(launcher: list[str], launched: bool) -> None:
    """Ranks beyond the first have the same functions, record nothing and say nothing; in a launch as well."""
    command = [sys.executable, "-m", "gitexp", "run", "--", *launcher] if launched else launcher
    done = subprocess.run([*command, "first"], capture_output=True, text=True, check=True)
    run = only_run()
    assert (run.name, run.params["rank"], run.record.note) == ("ddp", 0, "rank 0")
    assert run.metrics == {"loss": 2, "batch": 2.0} and run.artifacts["rank.txt"].read() == b"0"
    assert run.record.warnings == () and done.stderr == ""
    assert done.stdout.count("None") == (3 if launched else 2)


@pytest.mark.parametrize("launched", [False, True])
def test_all_ranks_record_on_request(launcher: list[str], launched: bool) -> None:
    """With `ranks="all"` the others add metrics and artifacts below their number; params and note are the first's."""
    command = [sys.executable, "-m", "gitexp", "run", "--", *launcher] if launched else launcher
    subprocess.run([*command, "all"], capture_output=True, text=True, check=True)
    run = only_run()
    losses = {"loss": 2, "rank1/loss": 3, "rank2/loss": 4}
    assert run.metrics == losses | {"batch": 2.0, "rank1/batch": 2.0, "rank2/batch": 2.0}
    assert sorted(run.artifacts) == ["rank.txt", "rank1/rank.txt", "rank2/rank.txt"]
    assert run.history("rank2/loss").steps.tolist() == [0, 1, 2]
    assert (run.params["rank"], run.record.note, run.record.warnings) == (0, "rank 0", ())


def test_a_rank_is_found_whatever_launched_it() -> None:
    """torchrun, Open MPI, PMI, Slurm with several tasks and a bare LOCAL_RANK; nonsense and one task are no rank."""
    assert rank_of({"RANK": "3", "LOCAL_RANK": "1"}) == 3
    assert rank_of({"RANK": "0", "LOCAL_RANK": "1"}) == 0
    assert rank_of({"OMPI_COMM_WORLD_RANK": "2"}) == 2
    assert rank_of({"PMI_RANK": "4"}) == 4
    assert rank_of({"SLURM_PROCID": "5", "SLURM_NTASKS": "8"}) == 5
    assert rank_of({"SLURM_PROCID": "5", "SLURM_NTASKS": "1"}) == 0
    assert rank_of({"SLURM_PROCID": "5"}) == 0
    assert rank_of({"LOCAL_RANK": "1"}) == 1
    assert rank_of({"RANK": "x"}) == rank_of({}) == 0


def test_launches_are_told_apart() -> None:
    """Ranks of one launch agree on a key; another port, another restart or the next run of the launch is another."""
    one = {"MASTER_ADDR": "node", "MASTER_PORT": "1", "TORCHELASTIC_RESTART_COUNT": "0"}
    keys = [launch_key({**one, "RANK": rank}, 0) for rank in "01"]
    keys += [launch_key({**one, "MASTER_PORT": "2"}, 0), launch_key({**one, "TORCHELASTIC_RESTART_COUNT": "1"}, 0)]
    keys += [launch_key(one, 1), launch_key({}, 0)]
    assert keys[0] == keys[1] and len(set(keys)) == 5


def test_a_rank_whose_first_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first rank never starts a run, the others wait for a while, say so, and train on."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(session, "find", lambda *_arguments: None)
    with pytest.warns(gitexp.GitexpWarning, match="rank 1 records nothing"):
        run = gitexp.start_run(ranks="all")
    run.log_metric("x", 1)
    run.end()
    assert gitexp.search_runs() == []


def test_logging_without_a_run_on_another_rank_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank beyond the first that only logs begins no run."""
    monkeypatch.setenv("LOCAL_RANK", "2")
    gitexp.log_metric("x", 1)
    gitexp.log_artifact("nowhere.bin")
    gitexp.log_metric("x", "no number")
    assert gitexp.end_run() is None and gitexp.search_runs() == []


def test_a_batch_is_what_single_values_are() -> None:
    """Arrays of floats, integers, both, odd ones, tuples and iterators read back point by point."""
    values = {
        "floats": array("d", [0.5, math.nan, -math.inf]),
        "integers": [1, 2, 2**60],
        "mixed": [1, 0.5, True],
        "huge": [2**80, 1, 0.5],
        "tuple": (1.0, 2.0, 3.0),
        "range": range(3),
    }
    times = [1_790_000_000.0, 1_790_000_001.5, 1_790_000_003.0]
    with gitexp.start_run():
        gitexp.log_batch(values, steps=[10, 20, 30], times=times, params={"lr": 0.1}, tags={"a": "b"})
    run = only_run()
    for key, column in values.items():
        history = run.history(key)
        assert history.steps.tolist() == [10, 20, 30] and history.times.tolist() == times
        assert list(map(repr, history.numbers())) == [repr(int(v) if v is True else v) for v in column], key
    assert (run.params, run.tags) == ({"lr": 0.1}, {"a": "b"})


def test_the_steps_of_batches_go_on() -> None:
    """A batch goes on from the metric's last point, and single points from the batch; also when resumed."""
    with gitexp.start_run("a"):
        gitexp.log_metric("x", 0)
        gitexp.log_batch({"x": [1, 2], "y": [1.0]})
        gitexp.log_metric("x", 3)
    with gitexp.start_run(run_id="a"):
        gitexp.log_batch({"x": [4, 5]})
    run = only_run()
    assert [(point.step, point.value) for point in run.history("x")] == [(number, number) for number in range(6)]
    assert run.history("y").steps.tolist() == [0]


def test_arrays_of_numpy_are_columns() -> None:
    """float32, int64 and boolean arrays, 0 long ones, and steps as an array."""
    numpy = pytest.importorskip("numpy")
    with gitexp.start_run():
        gitexp.log_batch(
            {
                "f": numpy.linspace(0, 1, 10_000),
                "f32": numpy.full(10_000, 0.5, numpy.float32),
                "i": numpy.arange(10_000),
                "b": numpy.ones(10_000, bool),
            },
            steps=numpy.arange(0, 20_000, 2),
        )
        gitexp.log_batch({"none": numpy.array([])})
    run = only_run()
    assert run.metrics == {"f": 1.0, "f32": 0.5, "i": 9_999, "b": 1}
    assert run.history("f").values.tolist() == numpy.linspace(0, 1, 10_000).tolist()
    assert run.history("i").steps.tolist() == list(range(0, 20_000, 2))


@pytest.mark.parametrize(
    ("metrics", "options", "message"),
    [
        ({"x": [1, "2"]}, {}, "not a number"),
        ({"x": [[1, 2], [3, 4]]}, {}, "one dimension"),
        ({"x": 1.0}, {}, "array of numbers, not float"),
        ({"x": "12"}, {}, "array of numbers, not str"),
        ({"x": [1, 2]}, {"steps": [1]}, "2 values, but there are 1 steps"),
        ({"x": [1, 2]}, {"times": [1.0, 2.0, 3.0]}, "2 values, but there are 3 times"),
        ({"x": [1]}, {"steps": [0.5]}, "whole number"),
        ({"x": [1]}, {"steps": [2**63]}, "below 2"),
        ({"": [1]}, {}, "key is empty"),
        ([("x", [1])], {}, "mapping of keys to arrays"),
    ],
)
def test_a_bad_batch_is_a_warning(metrics: object, options: dict[str, object], message: str) -> None:
    """Nothing of a metric that cannot be recorded is, the others are, and the training goes on."""
    with gitexp.start_run(), pytest.warns(gitexp.GitexpWarning, match=message):
        gitexp.log_batch(metrics, **options)  # type: ignore[arg-type]
    assert "x" not in only_run().metrics
    with pytest.raises(UsageError, match=message), gitexp.start_run(strict=True):
        gitexp.log_batch(metrics, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"name": 123}, "run name must be text, not int"),
        ({"experiment": 1.5}, "experiment name must be text, not float"),
        ({"params": ["lr"]}, "mapping of keys to values, not list"),
        ({"params": []}, "mapping of keys to values, not list"),
        ({"tags": ["a"]}, "mapping of keys to texts, not list"),
        ({"tags": {7: "x"}}, "must be text, not int"),
        ({"note": b"x"}, "note is text, not bytes"),
        ({"ranks": "some"}, "expected 'first' or 'all'"),
    ],
)
def test_a_run_that_cannot_be_described_does_not_begin(request_: dict[str, object], message: str) -> None:
    """What `start_run` cannot record is an error that says what is wrong, and leaves nothing behind."""
    with pytest.raises((UsageError, InvalidName), match=message):
        gitexp.start_run(**request_)  # type: ignore[arg-type]
    assert gitexp.active_run() is None
    assert gitexp.search_runs() == []


def test_a_tag_without_a_value_is_a_mark() -> None:
    """None is the empty text, as for a tag given without a value on the command line."""
    with gitexp.start_run(tags={"good": None, "yes": True, "n": 3}):
        pass
    assert only_run().tags == {"good": "", "yes": "true", "n": "3"}
