"""`gitexp reproduce` and `gitexp verify`, as a user types them, in real repositories and environments."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conftest import Git
from gitexp.domain.run import Status
from gitexp.environments.building import build
from gitexp.environments.specification import EnvironmentSpec
from gitexp.errors import EnvironmentFailed
from gitexp.reading import RunView
from gitexp.recording import Recorder, RunRequest
from gitexp.repo import Repository
from launching import SOURCES

pytestmark = pytest.mark.slow

Environ = dict[str, str]

TRAIN = """
    import random, sys
    import gitexp
    random.seed(7)
    rate = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    for step in range(5):
        loss = rate / (step + 1) + random.random()
        gitexp.log_metric("loss", loss, step=step)
        print(f"step {step} loss {loss}")
    with open("model.txt", "w") as file:
        file.write(repr(loss))
"""
UNSEEDED = TRAIN.replace("    random.seed(7)\n", "")


@pytest.fixture
def environ(tmp_path: Path) -> Environ:
    """Nothing of it is shared with other tests; what is left behind in its temporary folder is seen."""
    (tmp_path / "tmp").mkdir()
    own = {"TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(SOURCES)}
    return {**{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}, **own}


@pytest.fixture
def gitexp(environ: Environ) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(folder: Path, *words: str, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "gitexp", *words],
            check=False,
            cwd=folder,
            env={**environ, **more},
            capture_output=True,
            text=True,
        )
        if code is not None:
            assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


Gitexp = Callable[..., subprocess.CompletedProcess[str]]


def write(folder: Path, text: str, name: str = "train.py") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(textwrap.dedent(text))


def newest(folder: Path) -> RunView:
    return Repository.open(folder).get_run("@")


def files(folder: Path) -> dict[str, bytes]:
    """All that is in a work tree, but for what git keeps and Python compiles."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    inner = [path for path in found if not {".git", "__pycache__"} & set(path.relative_to(folder).parts)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in inner}


def left(folder: Path, environ: Environ) -> list[str]:
    """What there is of worktrees."""
    places = (folder / ".git/worktrees", folder / ".git/gitexp/worktrees", Path(environ["TMPDIR"]))
    return [str(path) for place in places if place.exists() for path in place.iterdir()]


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# Identical, different, and why


def test_a_run_is_identical_to_itself(repo_dir: Path, gitexp: Gitexp, environ: Environ, git: Git) -> None:
    """Uncommitted code runs again in a folder of its own; the new run is linked, the user's files stay as they are."""
    write(repo_dir, TRAIN)
    gitexp(repo_dir, "run", "-n", "base", "-e", "trials", "train.py", "0.5")
    (repo_dir / "train.py").write_text("raise SystemExit('changed since')\n")
    (repo_dir / "model.txt").write_text("mine")
    before, status = files(repo_dir), git("status", "--porcelain", cwd=repo_dir)
    old = newest(repo_dir)

    done = gitexp(repo_dir, "reproduce", "base", "--env", "current")
    assert "Verdict: identical" in done.stdout
    assert "step 4 loss" in done.stdout, "the command prints as ever"
    assert "Running: python train.py 0.5" in done.stderr

    new = newest(repo_dir)
    assert (new.name, new.experiment, new.record.reproduces) == ("base-again", "trials", old.id)
    assert new.tags == {"reproduction": "identical"}
    assert new.record.command == ("python", "train.py", "0.5")
    assert new.code.tree == old.code.tree
    assert old.commit in new.parents()
    assert new.metrics == old.metrics
    assert f"Reproduces   {old.id}" in gitexp(repo_dir, "show", "base-again").stdout
    assert files(repo_dir) == before
    assert git("status", "--porcelain", cwd=repo_dir) == status
    assert not left(repo_dir, environ)
    git("fsck", "--strict", cwd=repo_dir)


def test_a_run_without_a_seed_is_different_and_the_cause_is_named(repo_dir: Path, gitexp: Gitexp) -> None:
    """The exit code is 1; metric, artifact and output say where they differ; the missing seed is told."""
    write(repo_dir, UNSEEDED)
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    found = document(gitexp(repo_dir, "reproduce", "base", "--env", "current", "--json", code=1))
    assert found["verdict"] == "different"
    [metric] = found["metrics"]
    assert (metric["key"], metric["judgement"], metric["first_step"]) == ("loss", "different", 0)
    assert metric["largest_absolute"] > 0
    assert [part["path"] for part in found["artifacts"] if part["judgement"] == "different"] == ["model.txt"]
    assert found["output"]["line"] == 1
    assert [cause["kind"] for cause in found["causes"]] == ["seed"]
    assert newest(repo_dir).tags == {"reproduction": "different"}


def test_its_own_noise_explains_a_difference(repo_dir: Path, gitexp: Gitexp) -> None:
    """Done several times, a run without a seed is within what its repetitions differ by among themselves."""
    text = 'import random, gitexp\ngitexp.log_metric("loss", 1 + random.random() / 1e3, step=0)\n'
    write(repo_dir, text)
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    found = document(gitexp(repo_dir, "reproduce", "base", "--env", "current", "--times", "4", "--json", code=None))
    [metric] = found["metrics"]
    assert metric["noise"]["count"] == 4
    assert metric["noise"]["deviation"] > 0
    assert [run["name"] for run in found["after"]] == ["base-again", "base-again-2", "base-again-3", "base-again-4"]
    spread = metric["noise"]["high"] - metric["noise"]["low"]
    is_near = abs(metric["before"] - metric["noise"]["mean"]) < spread
    assert not is_near or found["judgement"] == "within its own noise"


def test_a_tolerance_and_a_value_that_is_set(repo_dir: Path, gitexp: Gitexp) -> None:
    """`--set` changes a value as `gitexp run` does, and is told as the cause; within a tolerance it is the same."""
    write(repo_dir, "lr: 0.1\n", "params.yaml")
    write(
        repo_dir,
        """
        import gitexp, yaml
        gitexp.log_metric("loss", 1 + yaml.safe_load(open("params.yaml"))["lr"] / 1e4, step=0)
        """,
    )
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    command = ("reproduce", "base", "--env", "current", "--set", "lr=0.2", "--json")
    found = document(gitexp(repo_dir, *command, code=1))
    assert "The param 'lr' was 0.1, now 0.2." in [cause["text"] for cause in found["causes"]]
    assert newest(repo_dir).params["lr"] == 0.2
    assert document(gitexp(repo_dir, *command, "--tolerance", "1e-3"))["verdict"] == "same"
    assert (repo_dir / "params.yaml").read_text() == "lr: 0.1\n"
    gitexp(repo_dir, *command, "--tolerance", "-1", code=2)


OPTIONS = """
    import argparse, gitexp
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="*", default=[])
    said = parser.parse_args()
    gitexp.log_metric("loss", said.learning_rate * said.depth, step=0)
"""


@pytest.mark.parametrize(
    ("words", "value", "becomes"),
    [
        ("--learning-rate 0.5", "learning_rate=0.25", "--learning-rate 0.25"),
        ("--learning-rate=0.5 --depth 3", "learning-rate=0.25", "--learning-rate=0.25 --depth 3"),
        ("--depth 3", "learning_rate=0.25", "--depth 3 --learning-rate 0.25"),
        ("", "learning_rate=0.25", "--learning-rate 0.25"),
        ("--fast --depth 3", "fast=false", "--depth 3"),
        ("--depth 3", "fast=true", "--depth 3 --fast"),
    ],
)
def test_a_value_that_is_set_may_be_an_option_of_the_command(
    repo_dir: Path, gitexp: Gitexp, words: str, value: str, becomes: str
) -> None:
    """`--set` replaces what the command says, adds what it leaves to the script's default, and turns switches."""
    write(repo_dir, OPTIONS)
    gitexp(repo_dir, "run", "-n", "base", "train.py", *words.split())
    gitexp(repo_dir, "reproduce", "base", "--env", "current", "--set", value, code=None)
    assert newest(repo_dir).record.command == ("python", "train.py", *becomes.split())
    assert newest(repo_dir).params[value.partition("=")[0].replace("-", "_")] == json.loads(value.partition("=")[2])


def test_an_option_of_several_words_is_typed_whole(repo_dir: Path, gitexp: Gitexp) -> None:
    """It cannot be told which of them `--set` would replace; what is neither an option nor in a file is refused."""
    write(repo_dir, OPTIONS)
    gitexp(repo_dir, "run", "-n", "base", "train.py", "--sizes", "1", "2")
    done = gitexp(repo_dir, "reproduce", "base", "--env", "current", "--set", "sizes=3", code=2)
    assert "no single value" in done.stderr
    assert "-- COMMAND" in done.stderr
    gitexp(repo_dir, "reproduce", "base", "--env", "current", "--set", "nothing=3", code=3)


def test_seeds_and_variables_are_those_of_the_run(repo_dir: Path, gitexp: Gitexp) -> None:
    """What `--seed` and PYTHONHASHSEED began with, they begin with again, whatever is set now."""
    write(
        repo_dir,
        """
        import os, random
        print(random.random(), hash("text"), os.environ.get("OMP_NUM_THREADS"), os.environ.get("RANK"))
        """,
    )
    gitexp(repo_dir, "run", "-n", "seeded", "--seed", "3", "train.py")
    found = document(gitexp(repo_dir, "reproduce", "seeded", "--env", "current", "--json", PYTHONHASHSEED="9"))
    assert found["output"]["judgement"] == "identical"
    gitexp(repo_dir, "run", "-n", "hashed", "--seed", "4", "train.py", OMP_NUM_THREADS="2")
    done = gitexp(repo_dir, "reproduce", "hashed", "--env", "current", code=1, OMP_NUM_THREADS="8", RANK="0")
    assert "The variable RANK was not set, now 0." in done.stdout
    assert done.stdout.splitlines()[0].endswith(" 2 0"), "what is bound to the machine stays as it is"


def test_it_runs_where_it_ran(repo_dir: Path, gitexp: Gitexp) -> None:
    """In the same folder, as a module or by another program, with the artifacts that were declared."""
    write(repo_dir, "", "work/pack/__init__.py")
    write(
        repo_dir, "import os; print(os.path.basename(os.getcwd())); open('out.bin', 'w').write('1')", "work/pack/go.py"
    )
    write(repo_dir, "*.bin\n", ".gitignore")
    gitexp(repo_dir / "work", "run", "-n", "module", "--output", "*.bin", "-m", "pack.go")
    gitexp(repo_dir / "work", "run", "-n", "shell", "--", "sh", "-c", "echo $(basename $PWD)")
    assert [*Repository.open(repo_dir).get_run("module").artifacts] == ["work/out.bin"]
    for name in ("module", "shell"):
        done = gitexp(repo_dir, "reproduce", name, "--env", "current")
        assert done.stdout.startswith("work\n")
        assert "Verdict: identical" in done.stdout, done.stdout


def test_paths_of_the_work_tree_become_those_of_the_worktree(repo_dir: Path, gitexp: Gitexp) -> None:
    """A script and a file that were named whole are those of the recorded code; a folder of a like name is another."""
    write(repo_dir, "import sys; print(open(sys.argv[1]).read().strip(), sys.argv[2])")
    beside = f"{repo_dir}-data/x"
    words = (str(repo_dir / "train.py"), str(repo_dir / "params.yaml"), beside)
    gitexp(repo_dir, "run", "-n", "base", *words)
    write(repo_dir, "lr: 7\n", "params.yaml")
    done = gitexp(repo_dir, "reproduce", "base", "--env", "current")
    assert done.stdout.splitlines()[0] == f"lr: 0.1 {beside}"
    assert "Verdict: identical" in done.stdout


def test_a_run_that_a_script_began_by_itself_is_done_again(repo_dir: Path, gitexp: Gitexp, environ: Environ) -> None:
    """Without `gitexp run` the record has the command of the process all the same."""
    write(
        repo_dir,
        """
        import gitexp
        with gitexp.start_run(name="own", experiment="mine"):
            gitexp.log_metric("loss", 0.5, step=0)
        """,
    )
    subprocess.run([sys.executable, "train.py"], cwd=repo_dir, env=environ, check=True)
    found = document(gitexp(repo_dir, "reproduce", "own", "--env", "current", "--json"))
    assert found["verdict"] == "identical"
    assert newest(repo_dir).experiment == "mine"


def test_one_of_several_runs_of_a_script_is_compared_with_its_own_like(
    repo_dir: Path, gitexp: Gitexp, environ: Environ
) -> None:
    """A script that tries several values records them all again; the one with the same params is judged."""
    write(
        repo_dir,
        """
        import gitexp
        for rate in (0.1, 0.2, 0.3):
            with gitexp.start_run(name=f"rate {rate}", params={"rate": rate}):
                gitexp.log_metric("loss", rate * 2, step=0)
        """,
    )
    subprocess.run([sys.executable, "train.py"], cwd=repo_dir, env=environ, check=True)
    done = gitexp(repo_dir, "reproduce", "rate 0.2", "--env", "current")
    assert "Verdict: identical" in done.stdout
    assert "The command recorded 3 runs; 'rate 0.2' has the params of 'rate 0.2'." in done.stderr
    tagged = Repository.open(repo_dir).search("tags.reproduction = 'identical'")
    assert [run.params for run in tagged] == [{"rate": 0.2}]


def test_a_notebook_is_done_again(repo_dir: Path, gitexp: Gitexp) -> None:
    """With the values that were set; when each cell was executed does not count."""
    pytest.importorskip("nbclient")
    told = {"parameters": "rate = 0.1", "work": "print('rate', rate)"}
    cells = [
        {"cell_type": "code", "metadata": {"tags": [tag]}, "source": text, "outputs": [], "execution_count": None}
        for tag, text in told.items()
    ]
    book = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}
    (repo_dir / "book.ipynb").write_text(json.dumps(book))
    gitexp(repo_dir, "run", "-n", "book", "--set", "rate=0.7", "book.ipynb")
    done = gitexp(repo_dir, "reproduce", "book", "--env", "current")
    assert "rate 0.7" in done.stdout
    assert newest(repo_dir).params["rate"] == 0.7


# What cannot be done again, and what fails


def test_secrets_in_the_command_are_typed_again(repo_dir: Path, gitexp: Gitexp) -> None:
    """A masked command is refused with what to type, which is executed in its place."""
    write(repo_dir, "import sys; print(len(sys.argv[2]))")
    gitexp(repo_dir, "run", "-n", "base", "train.py", "--token", "hunter22")
    done = gitexp(repo_dir, "reproduce", "base", "--env", "current", code=2)
    assert "secrets that are not recorded" in done.stderr
    assert "hunter22" not in done.stderr
    done = gitexp(repo_dir, "reproduce", "base", "--env", "current", "--", "python", "train.py", "--token", "hunter22")
    assert done.stdout.startswith("8\n")
    assert "***" in newest(repo_dir).record.command


def test_a_run_from_a_prompt_has_no_command(repo_dir: Path, gitexp: Gitexp) -> None:
    """It says so, and what to type."""
    recorder = Repository.open(repo_dir)
    made = Recorder.begin(recorder, RunRequest(name="typed", directory=str(repo_dir)), on_trouble=pytest.fail)
    live = gitexp(repo_dir, "reproduce", "typed", code=2)
    assert "still being recorded" in live.stderr
    made.end(Status.FINISHED)
    done = gitexp(repo_dir, "reproduce", "typed", code=2)
    assert "has no command" in done.stderr
    assert "-- COMMAND" in done.stderr


def test_a_program_from_standard_input_is_not_waited_for(repo_dir: Path, gitexp: Gitexp, environ: Environ) -> None:
    """What Python read from a pipe is not recorded: `reproduce` and `verify` say so, and -- COMMAND takes its place."""
    text = "import gitexp\ngitexp.start_run(name='piped')\ngitexp.log_metric('loss', 1, step=0)\n"
    write(repo_dir, text)
    for words in ((), ("-",), ("-u", "-W", "ignore", "-", "7")):
        command = [sys.executable, *words]
        subprocess.run(command, cwd=repo_dir, env=environ, input=text, text=True, check=True, capture_output=True)
        run = newest(repo_dir).id
        assert "standard input" in gitexp(repo_dir, "reproduce", run, "--env", "current", code=2).stderr
        assert "standard input" in gitexp(repo_dir, "verify", run, code=1).stdout
    gitexp(repo_dir, "reproduce", run, "--env", "current", "--", "python", "train.py")


def test_a_failing_command_is_told_as_such(repo_dir: Path, gitexp: Gitexp, environ: Environ) -> None:
    """Its exit code is 10, not that of a verdict, and the failed repetition is recorded."""
    write(repo_dir, "import os; raise SystemExit(3 if 'BREAK' in os.environ else 0)")
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    done = gitexp(repo_dir, "reproduce", "base", "--env", "current", code=10, BREAK="1")
    assert "failed when it was done again: exit code 3" in done.stderr
    assert newest(repo_dir).status is Status.FAILED
    assert not left(repo_dir, environ)


def test_a_failure_that_happens_again_is_reproduced(repo_dir: Path, gitexp: Gitexp) -> None:
    """A run that failed is identical where it fails in the same way."""
    write(repo_dir, "print('so far'); raise SystemExit(3)")
    gitexp(repo_dir, "run", "-n", "base", "train.py", code=3)
    assert "Verdict: identical" in gitexp(repo_dir, "reproduce", "base", "--env", "current").stdout


def test_a_death_that_happens_again_is_reproduced(repo_dir: Path, gitexp: Gitexp) -> None:
    """A run that died by a signal is identical where it dies by the same, and fails where it dies by another."""
    write(repo_dir, "import os; print('so far', flush=True); os.kill(os.getpid(), int(os.environ.get('BY', 6)))")
    gitexp(repo_dir, "run", "-n", "base", "train.py", code=-6)
    assert "Verdict: identical" in gitexp(repo_dir, "reproduce", "base", "--env", "current").stdout
    done = gitexp(repo_dir, "reproduce", "base", "--env", "current", code=10, BY="11")
    assert "signal 11" in done.stderr


def test_what_somebody_else_recorded_runs_only_when_that_is_wanted(repo_dir: Path, gitexp: Gitexp, git: Git) -> None:
    """Without a terminal to ask on it says whose code it is, and needs --yes."""
    write(repo_dir, "print('ran')")
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    git("config", "user.name", "Bob", cwd=repo_dir)
    git("config", "user.email", "bob@example.org", cwd=repo_dir)
    done = gitexp(repo_dir, "reproduce", "base", "--env", "current", code=2)
    assert "Ann Lee <ann@example.org>" in done.stderr
    assert "python train.py" in done.stderr
    assert "ran" not in done.stdout
    assert "ran" in gitexp(repo_dir, "reproduce", "base", "--env", "current", "--yes").stdout


# Here


def test_here_runs_in_the_users_own_work_tree(repo_dir: Path, gitexp: Gitexp, environ: Environ, git: Git) -> None:
    """The run's code is applied first; what is kept nowhere else is in the way of that, and stays."""
    write(repo_dir, TRAIN)
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    assert "Verdict: identical" in gitexp(repo_dir, "reproduce", "base", "--here").stdout

    (repo_dir / "train.py").write_text("precious = True\n")
    done = gitexp(repo_dir, "reproduce", "base", "--here", code=2)
    assert "'train.py'" in done.stderr
    assert "or leave --here out" in done.stderr
    assert (repo_dir / "train.py").read_text() == "precious = True\n"
    git("commit", "-qam", "kept", cwd=repo_dir)
    done = gitexp(repo_dir, "reproduce", "base", "--here")
    assert "Verdict: identical" in done.stdout
    assert "has the code of run 'base' now" in done.stderr
    assert not left(repo_dir, environ)


def test_here_each_repetition_begins_with_what_the_run_began_with(repo_dir: Path, gitexp: Gitexp) -> None:
    """A file that the run read and wrote anew is put back first; what it holds now is kept as an artifact."""
    write(
        repo_dir,
        """
        import gitexp, os
        count = int(open("count.txt").read()) if os.path.exists("count.txt") else 0
        gitexp.log_metric("count", count, step=0)
        with open("count.txt", "w") as file:
            file.write(str(count + 1))
        """,
    )
    gitexp(repo_dir, "run", "-n", "first", "train.py")
    gitexp(repo_dir, "run", "-n", "second", "train.py")
    found = document(gitexp(repo_dir, "reproduce", "second", "--here", "--times", "2", "--json"))
    assert [run["metrics"] for run in found["after"]] == [{"count": 1}] * 2
    (repo_dir / "count.txt").write_text("77")
    assert "'count.txt'" in gitexp(repo_dir, "reproduce", "second", "--here", code=2).stderr


# Inputs


READING = """
    import gitexp
    total = sum(map(float, open("data/numbers.txt")))
    gitexp.log_metric("total", total, step=0)
"""


def test_a_changed_input_is_the_cause(repo_dir: Path, gitexp: Gitexp) -> None:
    """Whose old content nobody kept, it is used as it is now, and the verdict names it."""
    write(repo_dir, READING)
    write(repo_dir, "data/\n", ".gitignore")
    write(repo_dir, "1\n2\n", "data/numbers.txt")
    gitexp(repo_dir, "run", "-n", "base", "--input", "data/numbers.txt", "train.py")
    assert document(gitexp(repo_dir, "reproduce", "base", "--env", "current", "--json"))["verdict"] == "identical"

    write(repo_dir, "1\n5\n", "data/numbers.txt")
    found = document(gitexp(repo_dir, "reproduce", "base", "--env", "current", "--json", code=1))
    [cause] = [cause for cause in found["causes"] if cause["kind"] == "input"]
    assert "'data/numbers.txt'" in cause["text"]
    assert found["metrics"][0]["after"] == 6.0
    done = gitexp(repo_dir, "verify", "base", code=1)
    assert "data/numbers.txt" in done.stdout
    assert "last seen on" in done.stdout
    assert (repo_dir / "data/numbers.txt").read_text() == "1\n5\n"


def test_an_input_that_is_kept_comes_back(repo_dir: Path, gitexp: Gitexp) -> None:
    """Whatever its file holds now, and without touching that."""
    write(repo_dir, READING)
    write(repo_dir, "data/\n", ".gitignore")
    write(repo_dir, "1\n2\n", "data/numbers.txt")
    gitexp(repo_dir, "add", "data/numbers.txt")
    gitexp(repo_dir, "run", "-n", "base", "--input", "data/numbers.txt", "train.py")
    write(repo_dir, "1\n5\n", "data/numbers.txt")
    found = document(gitexp(repo_dir, "reproduce", "base", "--env", "current", "--json"))
    assert (found["verdict"], found["inputs"][0]["place"]) == ("identical", "content")
    assert (repo_dir / "data/numbers.txt").read_text() == "1\n5\n"


def test_an_input_that_another_run_made_comes_from_there(repo_dir: Path, gitexp: Gitexp) -> None:
    """Though its file is gone, the artifact is put where it was read."""
    write(repo_dir, READING)
    write(repo_dir, "data/\n", ".gitignore")
    write(repo_dir, "open('data/numbers.txt', 'w').write('12.5\\n' * 20)", "make.py")
    (repo_dir / "data").mkdir()
    gitexp(repo_dir, "run", "-n", "made", "--output", "data/*", "make.py")
    gitexp(repo_dir, "run", "-n", "base", "--input", "data/numbers.txt", "train.py")
    shutil.rmtree(repo_dir / "data")
    gitexp(repo_dir, "verify", "base")
    found = document(gitexp(repo_dir, "reproduce", "base", "--env", "current", "--json"))
    assert found["verdict"] == "identical"
    assert found["inputs"][0]["place"] == "artifact"
    assert not (repo_dir / "data").exists()


# Environments


def make_wheel(folder: Path, version: str) -> None:
    """A package that says its version."""
    folder.mkdir(exist_ok=True)
    info = f"dicey_of_tests-{version}.dist-info"
    with zipfile.ZipFile(folder / f"dicey_of_tests-{version}-py3-none-any.whl", "w") as file:
        file.writestr("dicey.py", f"SIDES = {version.partition('.')[0]}\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: dicey-of-tests\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


def make_environment(environ: Environ, *requirements: str, complete: bool = True) -> Environ:
    """The variables of an environment that holds these packages and gitexp."""
    spec = EnvironmentSpec(requirements=requirements, gitexp="0.1.0", is_complete=complete)
    variables = {name: value for name, value in environ.items() if name != "PYTHONPATH"}
    try:
        built = build(spec, folder=f"{environ['XDG_CACHE_HOME']}/given-{'-'.join(requirements)}", environ=variables)
    except EnvironmentFailed as error:
        pytest.skip(f"no index of packages: {error}")
    return {name: value for name, value in built.environ.items() if value is not None}


DICEY = """
    import dicey, gitexp
    gitexp.log_metric("sides", dicey.SIDES, step=0)
"""


@pytest.fixture
def wheels(tmp_path: Path, environ: Environ) -> Path:
    folder = tmp_path / "wheels"
    for version in ("1.0", "2.0"):
        make_wheel(folder, version)
    environ["PIP_FIND_LINKS"] = environ["UV_FIND_LINKS"] = str(folder)
    return folder


def test_the_recorded_environment_is_built_and_another_package_is_the_cause(
    repo_dir: Path, gitexp: Gitexp, environ: Environ, wheels: Path
) -> None:
    """With the recorded version it is identical; in the present environment the other version is named."""
    write(repo_dir, DICEY)
    old, new = (make_environment(environ, f"dicey-of-tests=={version}") for version in ("1.0", "2.0"))
    gitexp(repo_dir, "run", "-n", "base", "train.py", **old)
    assert newest(repo_dir).metrics == {"sides": 1}

    first = gitexp(repo_dir, "reproduce", "base", **new)
    assert "Verdict: identical" in first.stdout, first.stderr
    again = gitexp(repo_dir, "reproduce", "base", **new)
    assert "from the cache" in again.stderr

    found = document(gitexp(repo_dir, "reproduce", "base", "--env", "current", "--json", code=1, **new))
    assert found["causes"][0]["text"] == "The package dicey-of-tests was 1.0, now 2.0."
    assert "environment" in [cause["kind"] for cause in found["causes"]]

    shutil.rmtree(environ["XDG_CACHE_HOME"] + "/gitexp")
    (wheels / "dicey_of_tests-1.0-py3-none-any.whl").unlink()
    failed = gitexp(repo_dir, "reproduce", "base", code=9, **new)
    assert "dicey-of-tests 1.0" in failed.stderr
    assert not left(repo_dir, environ)
    verified = gitexp(repo_dir, "verify", "base", "--packages", code=1)
    assert "✗ dicey-of-tests 1.0: available: 2.0" in verified.stdout


SKLEARN = """
    import argparse, pickle
    import gitexp
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split
    parser = argparse.ArgumentParser()
    parser.add_argument("--trees", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = load_breast_cancer(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(*data, random_state=arguments.seed)
    model = RandomForestClassifier(arguments.trees, random_state=arguments.seed).fit(train_x, train_y)
    for count in range(1, arguments.trees + 1):
        part = RandomForestClassifier(count, random_state=arguments.seed).fit(train_x, train_y)
        gitexp.log_metric("accuracy", part.score(test_x, test_y), step=count)
    with open("model.pkl", "wb") as file:
        pickle.dump(model, file)
"""


def test_a_scikit_learn_run_is_identical_on_a_fresh_clone(
    repo_dir: Path, gitexp: Gitexp, environ: Environ, git: Git, tmp_path: Path
) -> None:
    """Bit for bit, model file included, in an environment that was not there before, far from where it was recorded."""
    variables = make_environment(environ, "scikit-learn>=1.5", complete=False)
    write(repo_dir, SKLEARN)
    gitexp(repo_dir, "run", "-n", "forest", "train.py", "--trees", "5", **variables)
    old = newest(repo_dir)
    assert old.artifacts["model.pkl"].size_bytes > 1000
    git("init", "-q", "--bare", str(tmp_path / "origin"), cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "origin"), cwd=repo_dir)
    git("push", "-q", "origin", "main", cwd=repo_dir)
    gitexp(repo_dir, "push")
    gitexp(tmp_path, "clone", str(tmp_path / "origin"), "copy")
    shutil.rmtree(repo_dir)
    copy = tmp_path / "copy"

    gitexp(copy, "verify", "forest")
    gitexp(copy, "get", "forest", "-o", str(tmp_path / "got"))
    done = gitexp(copy, "reproduce", "forest")
    assert "Verdict: identical" in done.stdout, done.stdout + done.stderr
    new = newest(copy)
    assert new.artifacts["model.pkl"].sha256 == old.artifacts["model.pkl"].sha256
    assert list(new.history("accuracy").values) == list(old.history("accuracy").values)
    assert new.environment and old.environment
    assert "sklearn" not in str(new.environment.python["executable"])
    assert files(copy) == {name: (copy / name).read_bytes() for name in ("params.yaml", "train.py")}


# Deaths


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_reproduction_leaves_nothing(
    repo_dir: Path, environ: Environ, gitexp: Gitexp, number: signal.Signals, git: Git, tmp_path: Path
) -> None:
    """Whatever it dies of, at the latest the next command removes the worktree; the user's files are as they were."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    write(
        repo_dir,
        f"""
        import os
        if "WAIT" in os.environ:
            with open({str(ready)!r}, "w") as file:
                file.write(os.getcwd())
            import signal
            signal.pause()
        """,
    )
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    before = files(repo_dir)
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp", "reproduce", "base", "--env", "current"],
        cwd=repo_dir,
        env={**environ, "WAIT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    where = Path(ready.read_text())
    assert str(where) in git("worktree", "list", cwd=repo_dir)
    os.killpg(process.pid, number)
    process.wait()
    if number is signal.SIGKILL:
        assert where.is_dir()
        gitexp(repo_dir, "ls")
    else:
        assert process.returncode in (-number, 128 + number)
    assert not where.exists()
    assert not left(repo_dir, environ)
    assert files(repo_dir) == before
    assert newest(repo_dir).status is (Status.CRASHED if number is signal.SIGKILL else Status.KILLED)
    assert git("worktree", "list", cwd=repo_dir).count("\n") == 1
    git("fsck", "--strict", cwd=repo_dir)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells when another's process is gone")
def test_a_worktree_whose_program_lives_on_stays(
    repo_dir: Path, environ: Environ, gitexp: Gitexp, tmp_path: Path
) -> None:
    """Where only gitexp was killed, the program that it started still has the files that it works with."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    write(
        repo_dir,
        f"""
        import os, signal
        if "WAIT" in os.environ:
            with open({str(ready)!r}, "w") as file:
                file.write(f"{{os.getpid()}} {{os.getcwd()}}")
            signal.pause()
        """,
    )
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp", "reproduce", "base", "--env", "current"],
        cwd=repo_dir,
        env={**environ, "WAIT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pid, where = ready.read_text().split(maxsplit=1)
    process.kill()
    process.wait()
    gitexp(repo_dir, "ls")
    assert (Path(where) / "train.py").is_file()
    os.kill(int(pid), signal.SIGKILL)
    wait_for_death(int(pid))
    gitexp(repo_dir, "ls")
    assert not Path(where).exists()
    assert not left(repo_dir, environ)


def wait_for_death(pid: int) -> None:
    """Not our child: the kernel says when it is gone."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [])
        os.close(descriptor)


def test_a_stopped_command_stops_gitexp(repo_dir: Path, environ: Environ, gitexp: Gitexp, tmp_path: Path) -> None:
    """Also where the command ends by itself when it is asked to; no verdict is given, and no exit code is made up."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    write(
        repo_dir,
        f"""
        import os, signal, sys
        if "WAIT" in os.environ:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
            with open({str(ready)!r}, "w") as file:
                file.write("ready")
            while True:
                signal.pause()
        """,
    )
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp", "reproduce", "base", "--env", "current"],
        cwd=repo_dir,
        env={**environ, "WAIT": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ready.read_text() == "ready"
    process.terminate()
    printed, _ = process.communicate()
    assert process.returncode == -signal.SIGTERM
    assert "Verdict" not in printed
    assert not left(repo_dir, environ)


# Dockerfile


def steps(folder: Path) -> list[tuple[str, list[str]]]:
    """The instructions of a Dockerfile and their words; what it copies is there."""
    found = []
    for line in (folder / "Dockerfile").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        words = json.loads(rest) if word == "CMD" else shlex.split(rest)
        assert word in {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "CMD"}, line
        if word == "COPY":
            for source in words[:-1]:
                assert (folder / source).exists(), source
                assert (folder / source).is_dir() is source.endswith("/")
        found.append((word, words))
    return found


def perform(folder: Path, root: Path, python: str, environ: Environ) -> Sequence[str]:
    """What docker would do, below `root` instead of `/`; gives the lines that the command printed."""
    bin_folder = os.path.dirname(python)
    environ = {**environ, "PATH": f"{bin_folder}:{environ['PATH']}"}
    environ.pop("PYTHONPATH", None)
    place = root

    def inside(word: str) -> str:
        return word.replace("/opt/gitexp-run", f"{root}/opt/gitexp-run").replace("/run-again", f"{root}/run-again")

    for word, words in steps(folder):
        words = [inside(one) for one in words]
        if word == "COPY":
            source, target = folder / words[0], Path(words[1])
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True)
            else:
                shutil.copy(source, target)
        elif word == "WORKDIR":
            place = Path(words[0])
            place.mkdir(parents=True, exist_ok=True)
        elif word == "ENV":
            name, _, value = words[0].partition("=")
            environ[name] = value
        elif word in ("RUN", "CMD"):
            done = subprocess.run(words, cwd=place, env=environ, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.splitlines()


@pytest.mark.usefixtures("wheels")
@pytest.mark.parametrize("words", ["--set lr=1", "--times 2", "--here", "--tolerance 1e-3", "--env venv", "--name x"])
def test_what_only_a_reproduction_takes_is_refused_with_a_dockerfile(
    repo_dir: Path, gitexp: Gitexp, words: str
) -> None:
    """No option is taken and then left out of what is written."""
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    done = gitexp(repo_dir, "reproduce", "base", "--emit-dockerfile", "-o", "image", *words.split(), code=2)
    assert "only -o" in done.stderr
    assert not (repo_dir / "image").exists()


def test_a_dockerfile_rebuilds_the_run(repo_dir: Path, gitexp: Gitexp, environ: Environ, tmp_path: Path) -> None:
    """Code, packages, seeds, variables, inputs and the command: its steps, done by hand, print what the run printed."""
    write(repo_dir, "data/\n", ".gitignore")
    write(repo_dir, "4\n", "data/numbers.txt")
    write(
        repo_dir,
        """
        import os, random, sys
        import dicey, gitexp
        gitexp.log_metric("loss", 0.5)
        data = open("../data/numbers.txt").read().strip()
        print(dicey.SIDES, random.random(), hash("x"), os.environ["OMP_NUM_THREADS"], data, *sys.argv[1:])
        """,
        "work/train.py",
    )
    variables = make_environment(environ, "dicey-of-tests==1.0")
    gitexp(
        repo_dir / "work",
        *("run", "-n", "my run", "--seed", "5", "--input", "../data/numbers.txt", "train.py", "a b"),
        **variables,
        OMP_NUM_THREADS="2",
    )
    done = gitexp(repo_dir, "reproduce", "my run", "--emit-dockerfile", "-o", str(tmp_path / "image"))
    assert "docker build -t my-run" in done.stderr
    found = steps(tmp_path / "image")
    assert found[0] == ("FROM", [f"python:{'.'.join(map(str, sys.version_info[:3]))}-slim"])
    assert found[-1] == ("CMD", ["python", "train.py", "a b"])
    assert "dicey-of-tests==1.0" in (tmp_path / "image/requirements.txt").read_text()

    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv/bin/python")
    (tmp_path / "root").mkdir()
    subprocess.run(
        [python, "-m", "pip", "install", "-q", *packages_of_gitexp()], check=True, env={**environ, "PYTHONPATH": ""}
    )
    printed = perform(tmp_path / "image", tmp_path / "root", python, environ)
    output = Repository.open(repo_dir).get_run("my run").output
    assert output
    assert printed[-1] == output.decode().splitlines()[-1]
    assert (tmp_path / "root/run-again/.git/gitexp").is_dir()
    assert gitexp(repo_dir, "reproduce", "my run", "--emit-dockerfile", "-o", str(tmp_path / "image"), code=2)


def packages_of_gitexp() -> list[str]:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


# Verify


def test_verify_names_what_is_missing(repo_dir: Path, gitexp: Gitexp, git: Git, tmp_path: Path) -> None:
    """A large file of the code and an artifact that are nowhere, and those that only a remote has."""
    write(repo_dir, "snapshot:\n  max_file: 100KiB\n", ".gitexp/config.yaml")
    write(repo_dir, "import os; open('big.out', 'wb').write(os.urandom(200_000))")
    (repo_dir / "weights.bin").write_bytes(os.urandom(200_000))
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    done = gitexp(repo_dir, "verify", "base")
    assert "Everything is there" in done.stdout

    git("init", "-q", "--bare", str(tmp_path / "origin"), cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "origin"), cwd=repo_dir)
    gitexp(repo_dir, "push")
    shutil.rmtree(repo_dir / ".git/gitexp/objects")
    found = document(gitexp(repo_dir, "verify", "base", "--json"))
    away = {part["name"]: part["detail"] for part in found["parts"] if part["detail"].startswith("not on this machine")}
    assert sorted(away) == ["big.out", "weights.bin"]
    assert "origin" in away["weights.bin"]

    git("remote", "remove", "origin", cwd=repo_dir)
    found = document(gitexp(repo_dir, "verify", "base", "--json", code=1))
    missing = [(part["section"], part["name"]) for part in found["parts"] if not part["is_there"]]
    assert missing == [("code", "weights.bin"), ("artifacts", "big.out")]
    assert all("last seen on" in part["detail"] for part in found["parts"] if not part["is_there"])
    failed = gitexp(repo_dir, "reproduce", "base", "--env", "current", code=3)
    assert "there is no remote" in failed.stderr


# From Python


def test_python_does_a_run_again(repo_dir: Path, gitexp: Gitexp, environ: Environ) -> None:
    """`gitexp.reproduce` and `gitexp.verify` give values, and their names are loaded when they are used."""
    write(repo_dir, TRAIN)
    gitexp(repo_dir, "run", "-n", "base", "train.py")
    program = """
        import sys, gitexp
        assert "gitexp.reproducing" not in sys.modules
        assert not gitexp.verify("base").missing
        done = gitexp.reproduce("base", env="current", times=2)
        assert done.verdict.judgement.word == "identical"
        assert [run.name for run in done.runs] == ["base-again", "base-again-2"]
        assert [run.record.reproduces for run in done.runs] == [done.before.id] * 2
        try:
            gitexp.reproduce("base", tolerance=-1)
        except gitexp.GitexpError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        check=False,
        cwd=repo_dir,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "A run is done again at least once, and a tolerance is not negative."
