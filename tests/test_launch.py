"""`gitexp run`: the command runs as ever, and its run is recorded whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from conftest import Git
from gitexp.domain.run import Status
from gitexp.errors import InvalidName
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.running.child import ChildResult
from gitexp.running.launch import status_of
from launching import PATIENCE_S, SOURCES, Terminal

PARSER = """
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--api-key")
    args, _ = parser.parse_known_args()
"""


def write(folder: Path, text: str, name: str = "train.py") -> None:
    (folder / name).write_text(textwrap.dedent(text))


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCES)}


def gitexp(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gitexp", *words],
        check=False,
        cwd=folder,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gitexp", *words],
        cwd=folder,
        env=environ(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def newest(folder: Path) -> RunView:
    return Repository.open(folder).get_run("@")


def test_a_run_holds_all_that_can_be_known(repo_dir: Path) -> None:
    """Command, params of argparse before those of params.yaml, metrics, output, environment, code, end."""
    (repo_dir / "params.yaml").write_text("lr: 0.1  # overridden\nmodel:\n  depth: 1e1\nurl: http://u:pw@host\n")
    write(
        repo_dir,
        PARSER
        + """
    import json, sys
    print("to stdout", flush=True)
    print("to stderr", file=sys.stderr)
    json.dump({"rmse": 0.25, "val": {"auc": float("nan"), "n": 3}, "ok": True, "name": "x"}, open("metrics.json", "w"))
    """,
    )
    done = gitexp(repo_dir, "run", "-n", "first", "-e", "taxi", "train.py", "--lr", "0.2", "--api-key", "s3cr3t")
    assert (done.returncode, done.stdout, done.stderr) == (0, "to stdout\n", "to stderr\n")
    run = newest(repo_dir)
    assert (run.name, run.experiment, run.status) == ("first", "taxi", Status.FINISHED)
    assert run.params == {
        "lr": 0.2,
        "epochs": 3,
        "api_key": "***",
        "model.depth": 10.0,
        "url": "http://u:***@host",
    }
    assert json.dumps(run.metrics, sort_keys=True) == '{"rmse": 0.25, "val.auc": NaN, "val.n": 3}'
    assert run.record.command == ("python", "train.py", "--lr", "0.2", "--api-key", "***")
    assert (run.record.entry_point, run.record.directory, run.record.exit_code) == ("train.py", ".", 0)
    assert run.record.code is not None
    assert run.record.code.dirty
    assert sorted((run.output or b"").splitlines()) == [b"to stderr", b"to stdout"]
    assert run.environment is not None
    assert run.environment.python["executable"] == sys.executable
    assert any(line.startswith("click==") for line in run.environment.requirements)
    assert run.record.warnings == ()


def test_a_module_and_a_command_are_recorded_too(repo_dir: Path) -> None:
    """`-m module` and anything after `--`; what is not Python has no interpreter in its environment."""
    (repo_dir / "package").mkdir()
    write(repo_dir, PARSER, "package/__init__.py")
    write(repo_dir, "import package; print(package.args.lr)", "package/train.py")
    assert gitexp(repo_dir, "run", "-m", "package.train", "--lr", "4").stdout == "4.0\n"
    run = newest(repo_dir)
    assert (run.record.command, run.record.entry_point) == (
        ("python", "-m", "package.train", "--lr", "4"),
        "package.train",
    )
    assert run.params["lr"] == 4.0
    (repo_dir / "sub").mkdir()
    done = gitexp(repo_dir / "sub", "run", "--", "sh", "-c", "pwd; exit 3")
    assert (done.returncode, done.stdout) == (3, f"{repo_dir}/sub\n")
    run = newest(repo_dir)
    assert (run.status, run.record.exit_code, run.record.directory) == (Status.FAILED, 3, "sub")
    assert run.environment is not None
    assert "version" not in run.environment.python
    assert "machine" in run.environment.python


@pytest.mark.parametrize(
    ("exit_code", "number", "stopped_by", "status"),
    [
        (0, None, None, Status.FINISHED),
        (0, None, signal.SIGTERM, Status.FINISHED),
        (1, None, None, Status.FAILED),
        (255, None, None, Status.FAILED),
        (1, None, signal.SIGINT, Status.KILLED),
        (130, None, None, Status.KILLED),
        (143, None, None, Status.KILLED),
        (None, signal.SIGINT, signal.SIGINT, Status.KILLED),
        (None, signal.SIGHUP, None, Status.KILLED),
        (None, signal.SIGKILL, None, Status.CRASHED),
        (None, signal.SIGSEGV, None, Status.CRASHED),
    ],
)
def test_the_status_is_the_truth(
    exit_code: int | None, number: int | None, stopped_by: int | None, status: Status
) -> None:
    """A clean end is finished, a signal that asks is killed, one that does not is a crash, all else failed."""
    child = ChildResult(exit_code=exit_code, signal=number, stopped_by=stopped_by, duration_s=1.0)
    assert status_of(child) is status


def test_how_it_died_is_recorded_and_passed_on(repo_dir: Path) -> None:
    """Death by a signal: the same for whoever called gitexp, and in the record."""
    write(repo_dir, "import os, signal; print('before', flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    assert gitexp(repo_dir, "run", "train.py").returncode == -signal.SIGKILL
    run = newest(repo_dir)
    assert (run.status, run.record.signal, run.record.exit_code) == (Status.CRASHED, "SIGKILL", None)
    assert run.output == b"before\n"


def test_sigterm_ends_the_script_and_the_run_is_killed(repo_dir: Path) -> None:
    """The script may still clean up; the run is sealed."""
    write(
        repo_dir,
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("checkpoint saved", flush=True) or 1))
        print("ready", flush=True)
        time.sleep(20)
        """,
    )
    with start(repo_dir, "run", "train.py") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.terminate()
        assert running.stdout.read() == "checkpoint saved\n"
        assert running.wait(PATIENCE_S) == 1
    run = newest(repo_dir)
    assert (run.status, run.record.exit_code) == (Status.KILLED, 1)
    assert run.output == b"ready\ncheckpoint saved\n"


def test_ctrl_c_is_the_script_s_and_the_run_is_killed(repo_dir: Path) -> None:
    """Typed in a terminal: one traceback, the run sealed, and death by SIGINT for whoever called us."""
    write(repo_dir, "import time\nprint('ready', flush=True)\ntime.sleep(20)")
    terminal = Terminal([sys.executable, "-m", "gitexp", "run", "train.py"], cwd=repo_dir, environ=environ())
    terminal.wait_for(b"ready")
    terminal.type(b"\x03")
    assert terminal.wait() == -signal.SIGINT
    assert terminal.shown.count(b"KeyboardInterrupt") == 1
    run = newest(repo_dir)
    assert (run.status, run.record.signal) == (Status.KILLED, "SIGINT")
    assert (run.output or b"").count(b"KeyboardInterrupt") == 1


def test_a_strict_run_ends_with_the_error_and_is_sealed(repo_dir: Path) -> None:
    """What cannot be recorded is gitexp's exit code, and what could be is kept."""
    write(repo_dir, """open("metrics.json", "w").write('{"good": 1, "": 2}')""")
    done = gitexp(repo_dir, "run", "--strict", "train.py")
    assert done.returncode == InvalidName.exit_code
    assert "The metric key is empty." in done.stderr
    assert (newest(repo_dir).status, newest(repo_dir).metrics) == (Status.FINISHED, {"good": 1})


def test_what_the_script_records_itself_goes_first(repo_dir: Path) -> None:
    """start_run joins the run; a param or metric the script recorded is not overwritten by what was captured."""
    write(
        repo_dir,
        PARSER
        + """
    import gitexp, json
    with gitexp.start_run(params={"lr": 0.7}) as run:
        for step in range(3):
            gitexp.log_metric("loss", 1.0 / (step + 1), step=step)
    json.dump({"loss": 9, "extra": 1}, open("metrics.json", "w"))
    """,
    )
    done = gitexp(repo_dir, "run", "train.py", "--epochs", "5")
    assert (done.returncode, done.stderr) == (0, "")
    run = newest(repo_dir)
    assert run.params == {"lr": 0.7, "epochs": 5, "api_key": None}
    assert run.metrics == {"loss": 1.0 / 3, "extra": 1}
    assert len(run.history("loss")) == 3
    assert run.record.warnings == ()


def test_a_metrics_file_counts_only_where_the_run_wrote_it(repo_dir: Path) -> None:
    """An old file is nobody's; the same content written again is."""
    (repo_dir / "metrics.json").write_text('{"rmse": 1}')
    write(repo_dir, "pass")
    gitexp(repo_dir, "run", "train.py")
    assert newest(repo_dir).metrics == {}
    write(repo_dir, "open('metrics.json', 'w').write('{\"rmse\": 1}')")
    gitexp(repo_dir, "run", "train.py")
    assert newest(repo_dir).metrics == {"rmse": 1}


@pytest.mark.parametrize(
    ("name", "content", "warning"),
    [
        ("params.yaml", "lr: [1\n", "The params of params.yaml are not recorded. params.yaml: line 2: did not find"),
        ("params.yaml", "- a\n", "The params of params.yaml are not recorded. params.yaml: expected a mapping."),
        ("params.yaml", "a: 1\na: 2\n", "params.yaml: line 2: the key 'a' stands twice; the last counts."),
        ("params.yaml", b"\xff\xfe", "The params of params.yaml are not recorded."),
        ("metrics.json", "{", "The metrics of metrics.json are not recorded. metrics.json: Expecting property name"),
        ("metrics.json", "[1]", "The metrics of metrics.json are not recorded. metrics.json: expected an object."),
        ("metrics.json", '{"' + "x" * 300 + '": 1}', "The metric key 'xxxx"),
    ],
)
def test_a_broken_file_is_one_warning(repo_dir: Path, name: str, content: str | bytes, warning: str) -> None:
    """The script runs, the warning is shown once and stands in the record."""
    data = content if isinstance(content, bytes) else content.encode()
    (repo_dir / "params.yaml").unlink()
    if name == "params.yaml":
        (repo_dir / name).write_bytes(data)
    write(repo_dir, f"open({name!r}, 'wb').write({data!r})")
    done = gitexp(repo_dir, "run", "train.py")
    assert done.returncode == 0
    assert done.stderr.count("warning") == 1
    run = newest(repo_dir)
    assert len(run.record.warnings) == 1
    assert run.record.warnings[0].startswith(warning)


def test_nothing_is_recorded_of_what_cannot_start(repo_dir: Path) -> None:
    """A script that is not there is an error of its own, and leaves no run."""
    done = gitexp(repo_dir, "run", "trian.py")
    assert done.returncode == 3
    assert "There is no script 'trian.py' here." in done.stderr
    assert Repository.open(repo_dir).search() == []


def test_without_a_place_to_record_the_command_still_runs(repo_dir: Path) -> None:
    """One warning, the same output and exit code; in a strict run an error, and the command is not started."""
    (repo_dir / ".git" / "gitexp").mkdir()
    (repo_dir / ".git" / "gitexp" / "tmp").write_text("in the way")
    write(repo_dir, "print('trained'); raise SystemExit(4)")
    done = gitexp(repo_dir, "run", "train.py")
    assert (done.returncode, done.stdout) == (4, "trained\n")
    assert done.stderr.count("warning") == 1
    strict = gitexp(repo_dir, "run", "--strict", "train.py")
    assert strict.returncode != 4
    assert strict.stdout == ""


def test_a_run_inside_a_run_knows_its_parent(repo_dir: Path) -> None:
    """A script that launches another through gitexp: the inner run names the outer one."""
    write(repo_dir, "print('inner')", "inner.py")
    write(
        repo_dir,
        """
        import subprocess, sys
        subprocess.run([sys.executable, "-m", "gitexp", "run", "-n", "in", "inner.py"], check=True)
        """,
    )
    assert gitexp(repo_dir, "run", "-n", "out", "train.py").stdout == "inner\n"
    repository = Repository.open(repo_dir)
    assert repository.get_run("in").record.parent == repository.get_run("out").id
    assert repository.get_run("out").record.parent is None


def test_a_live_run_shows_its_params_and_outlives_its_recorder(repo_dir: Path) -> None:
    """After `kill -9` of gitexp alone: the run is live while the script is, then recovered with all it had."""
    os.mkfifo(repo_dir / ".git" / "go")
    write(repo_dir, PARSER + "    print('waiting', flush=True); open('.git/go').read()")
    with start(repo_dir, "run", "-n", "orphan", "train.py", "--lr", "8") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "waiting\n"
        repository = Repository.open(repo_dir)
        while not (live := repository.get_run("orphan")).params:
            assert live.status is Status.RUNNING
        running.kill()
        running.wait(PATIENCE_S)
    assert Repository.open(repo_dir).get_run("orphan").status is Status.RUNNING
    with open(repo_dir / ".git" / "go", "w"):
        pass
    while (orphan := Repository.open(repo_dir).get_run("orphan")).status is Status.RUNNING:
        pass
    assert orphan.status is Status.CRASHED
    assert orphan.params == {"lr": 8.0, "epochs": 3, "api_key": None}
    assert orphan.environment is not None
    assert orphan.environment.python["executable"] == sys.executable
    assert orphan.output == b"waiting\n"


def test_the_user_s_repository_is_untouched(repo_dir: Path, git: Git) -> None:
    """Index, HEAD, branches and working tree are the same after a run."""
    write(repo_dir, "print('training')")
    index = repo_dir / ".git" / "index"
    before = (git("status", "--porcelain", cwd=repo_dir), git("branch", "-avv", cwd=repo_dir), index.read_bytes())
    assert gitexp(repo_dir, "run", "train.py").returncode == 0
    assert index.read_bytes() == before[2]
    assert (git("status", "--porcelain", cwd=repo_dir), git("branch", "-avv", cwd=repo_dir)) == before[:2]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_trouble(repo_dir: Path, closed: str) -> None:
    """Started with standard streams closed, the command runs, is recorded, and leaves with its exit code."""
    line = f"{sys.executable} -m gitexp run -- sh -c 'exit 3' {closed}"
    assert subprocess.run(line, shell=True, check=False, cwd=repo_dir, env=environ()).returncode == 3
    assert newest(repo_dir).record.exit_code == 3


def test_a_store_that_cannot_be_made_does_not_stop_the_command(repo_dir: Path) -> None:
    """Where gitexp's own folder is a file, the command runs, and the user is told that nothing is recorded."""
    (repo_dir / ".git" / "gitexp").write_text("in the way")
    done = gitexp(repo_dir, "run", "--", "sh", "-c", "echo hi; exit 3")
    assert (done.returncode, done.stdout) == (3, "hi\n")
    assert "without being recorded" in done.stderr


def test_what_is_not_utf8_is_recorded_escaped(repo_dir: Path) -> None:
    """Bytes that are not UTF-8, in the command or the folder's name, hold up neither the run nor those after it."""
    write(repo_dir, "print(1)")
    folder = os.fsencode(repo_dir) + b"/sub\xff"
    os.mkdir(folder)
    for cwd, script in ((os.fsencode(repo_dir), "train.py"), (folder, "../train.py")):
        words = [sys.executable, "-m", "gitexp", "run", script, b"\xff"]
        done = subprocess.run(words, check=False, cwd=cwd, env=environ(), capture_output=True, timeout=PATIENCE_S)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n", b"")
    assert newest(repo_dir).record.directory == "sub\\udcff"
    assert newest(repo_dir).record.command[-1] == "\\udcff"


def test_a_metrics_file_that_is_no_file_is_left_alone(repo_dir: Path) -> None:
    """A fifo in its place does not hang the end of the run."""
    write(repo_dir, "import os; os.mkfifo('metrics.json')")
    assert gitexp(repo_dir, "run", "train.py").returncode == 0
    assert newest(repo_dir).status == Status.FINISHED


def test_secrets_in_lists_are_masked(repo_dir: Path) -> None:
    """What is secret is masked inside a param's list or mapping too."""
    write(repo_dir, "import argparse; p = argparse.ArgumentParser(); p.add_argument('urls', nargs='*'); p.parse_args()")
    (repo_dir / "params.yaml").write_text("hosts: [{url: 'https://u:pw@h', password: pw}]\n")
    gitexp(repo_dir, "run", "train.py", "https://u:pw@h/p")
    assert newest(repo_dir).params == {
        "urls": ["https://u:***@h/p"],
        "hosts": [{"url": "https://u:***@h", "password": "***"}],
    }


def test_runs_started_inside_belong_to_the_launched_one(repo_dir: Path) -> None:
    """The first joins it, the others are its children, and what is logged between them goes to it."""
    write(
        repo_dir,
        """
        import gitexp
        for number in range(2):
            with gitexp.start_run(name=f"fold-{number}"):
                gitexp.log_metric("acc", number)
        gitexp.log_param("after", 1)
        """,
    )
    gitexp(repo_dir, "run", "-n", "sweep", "train.py")
    repository = Repository.open(repo_dir)
    sweep, fold = repository.get_run("sweep"), repository.get_run("fold-1")
    assert (sweep.metrics, sweep.params) == ({"acc": 0}, {"after": 1, "lr": 0.1})
    assert (fold.metrics, fold.record.parent) == ({"acc": 1}, sweep.id)


def test_output_that_cannot_be_written_is_told(repo_dir: Path) -> None:
    """On a full disk the user is warned, and the record says it."""
    write(repo_dir, "print('x' * 100_000)")
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "gitexp", "run", "train.py"]
        done = subprocess.run(words, check=False, cwd=repo_dir, env=environ(), stdout=full, stderr=subprocess.PIPE)
    assert b"No space left on device" in done.stderr
    assert any("No space left" in warning for warning in newest(repo_dir).record.warnings)
