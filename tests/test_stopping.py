"""Ending a command early: what a condition means, and what becomes of the run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gitexp.domain.config import parse_seconds, parse_span
from gitexp.domain.identity import RunId
from gitexp.domain.run import RunRecord, Status
from gitexp.domain.stopping import StopWatch, parse_stop_rule
from gitexp.errors import GitexpError

pytestmark = pytest.mark.slow

RECORD = RunRecord(id=RunId("k7m29x4qh3vd"), name="a", experiment="e", status=Status.RUNNING, start=0.0)


def watch(*texts: str) -> StopWatch:
    return StopWatch([parse_stop_rule(text) for text in texts], RECORD)


def gitexp(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gitexp", *words]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)


def shown(folder: Path, run: str = "@") -> dict[str, object]:
    found: dict[str, object] = json.loads(gitexp(folder, "show", run, "--json").stdout)
    return found


def test_a_condition_without_patience_stops_at_once() -> None:
    """The first value for which it holds is enough."""
    rules = watch("metrics.loss > 10")
    assert not rules.see("loss", 0, 0.0, 10)
    assert "metrics.loss > 10 (loss = 10.5 at step 1)" in rules.see("loss", 1, 1.0, 10.5)


def test_it_must_hold_for_as_many_steps_in_a_row() -> None:
    """A value for which it does not hold begins the count anew; two values at one step are one step."""
    rules = watch("metrics.loss > 10 for 3 steps")
    for step, value in enumerate([11, 12, 5, 11, 12]):
        assert not rules.see("loss", step, float(step), value)
    assert not rules.see("loss", 4, 4.5, 12)
    assert rules.see("loss", 5, 5.0, 12)


def test_it_must_hold_for_so_long() -> None:
    """Patience in time runs on while nothing is logged."""
    rules = watch("metrics.loss = nan for 2 min")
    assert not rules.see("loss", 0, 100.0, float("nan"))
    assert not rules.look(219.0)
    assert rules.look(221.0)


def test_several_metrics_in_one_condition() -> None:
    """It looks at the last value of each, and holds only once all are there."""
    rules = watch("metrics.a > 1 and metrics.b < 0")
    assert not rules.see("a", 0, 0.0, 5)
    assert rules.see("b", 0, 0.0, -1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), (1.5, 1.5), ("90s", 90), ("1h30m", 5400), ("1 h 30 min", 5400), ("2d12h", 216_000)],
)
def test_a_time_limit_is_seconds_or_any_units_in_a_row(text: object, seconds: float) -> None:
    """Only in limits a plain number is one: elsewhere, as in `gc.keep`, nobody means seconds."""
    assert parse_seconds(text) == seconds
    if str(text)[-1].isdigit():
        with pytest.raises(ValueError, match="1h30m"):
            parse_span(text)
    else:
        assert parse_span(text) == seconds
        assert parse_stop_rule(f"metrics.loss > 1 for {text}").seconds == seconds


@pytest.mark.parametrize("text", ["", "h", "1h30", "-5", "1e3", "1 month", True, None, [1]])
def test_what_is_no_time_limit_is_refused(text: object) -> None:
    """With the forms that are."""
    with pytest.raises(ValueError, match="expected seconds or a time like '12h' or '1h30m'"):
        parse_seconds(text)


@pytest.mark.parametrize(
    "text",
    [
        "params.lr > 1",
        "metrics.loss >",
        "",
        "metrics.loss > 1 for 0 steps",
        "metrics.loss > 1 for 5 parsecs",
        "run.duration > 5",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    """A rule that could never be watched is an error before anything runs."""
    with pytest.raises(GitexpError):
        parse_stop_rule(text)


def test_a_refused_condition_records_nothing(repo_dir: Path) -> None:
    """A typing error on the command line is told before the command begins."""
    done = gitexp(repo_dir, "run", "--stop-when", "metrics.loss >>> 1", "train.py")
    assert done.returncode == 2
    assert not done.stdout
    assert json.loads(gitexp(repo_dir, "ls", "--json").stdout)["total"] == 0


def test_a_refused_condition_of_the_settings_is_said_to_be_one(repo_dir: Path) -> None:
    """The message names the setting, not only the text that nobody typed."""
    (repo_dir / ".gitexp").mkdir(exist_ok=True)
    (repo_dir / ".gitexp" / "config.yaml").write_text("stop_when: ['metrics.loss >']\n")
    done = gitexp(repo_dir, "run", "--", "true")
    assert done.returncode == 2
    assert "The setting 'stop_when' holds 'metrics.loss >': Expected a value" in done.stderr


def test_a_rule_ends_the_command_and_says_why(repo_dir: Path) -> None:
    """A script that logs a loss that explodes gets SIGTERM, may still save, and its run tells the reason."""
    (repo_dir / "explode.py").write_text(
        "import gitexp, itertools, signal, sys, time\n"
        "def save(*_):\n"
        "    gitexp.log_metric('saved', 1)\n"
        "    sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "for step in itertools.count():\n"
        "    gitexp.log_metric('loss', 2.0 ** step, step)\n"
        "    time.sleep(0.01)\n"
    )
    done = gitexp(repo_dir, "run", "--stop-when", "metrics.loss > 1000 for 5 steps", "explode.py")
    assert done.returncode == 7
    assert "Stopped because metrics.loss > 1000 for 5 steps" in done.stderr
    run = shown(repo_dir)
    assert run["status"] == "killed"
    assert run["metrics"]["saved"] == 1  # type: ignore[index]
    assert "Stopped because metrics.loss > 1000" in run["warnings"][0]  # type: ignore[index]


def test_a_command_that_takes_too_long_ends_with_all_that_it_started(repo_dir: Path) -> None:
    """A shell dies of the signal at once; what it started must not live on without it."""
    (repo_dir / "child.py").write_text("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)\n")
    began = time.monotonic()
    done = gitexp(repo_dir, "run", "--timeout", "1s", "--", "sh", "-c", f"{sys.executable} child.py; echo never")
    assert time.monotonic() - began < 30
    assert done.returncode == -signal.SIGTERM
    assert "longer than 1 s" in done.stderr
    assert shown(repo_dir)["status"] == "killed"
    child = int((repo_dir / "pid").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_a_command_that_ignores_the_signal_is_killed(repo_dir: Path) -> None:
    """After ten seconds of grace there is no way to refuse."""
    (repo_dir / "deaf.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)\n"
    )
    done = gitexp(repo_dir, "run", "--timeout", "0.5s", "deaf.py")
    assert done.returncode == -signal.SIGKILL
    assert shown(repo_dir)["status"] == "killed"


def test_hooks_are_told_when_a_run_has_ended(repo_dir: Path) -> None:
    """Each gets the sealed run as JSON on stdin; one that fails is a warning and changes nothing."""
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text(
        "hooks:\n  after:\n  - cat > told.json; echo printed\n  - exit 3\n  - echo $GITEXP_HOOK_STATUS > status\n"
    )
    done = gitexp(repo_dir, "run", "-n", "hooked", "train.py")
    assert (done.returncode, done.stdout) == (0, "training\n")
    assert "printed" in done.stderr
    assert "The hook 'exit 3' failed with exit code 3." in done.stderr
    told = json.loads((repo_dir / "told.json").read_text())
    assert told == {key: value for key, value in shown(repo_dir).items() if key in told}
    assert (told["name"], told["status"]) == ("hooked", "finished")
    assert (repo_dir / "status").read_text() == "finished\n"


def test_hooks_are_told_of_runs_in_process(repo_dir: Path) -> None:
    """A run that a script starts by itself is one like any other."""
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text("hooks:\n  after: ['cat > told.json']\n")
    (repo_dir / "own.py").write_text("import gitexp\nwith gitexp.start_run('own'):\n    gitexp.log_metric('a', 1)\n")
    subprocess.run([sys.executable, "own.py"], check=True, cwd=repo_dir)
    assert json.loads((repo_dir / "told.json").read_text())["metrics"] == {"a": 1}
