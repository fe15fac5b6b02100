"""Projects that run: their steps, their runs, and what is asked before somebody else's code is run."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gitexp
from gitexp.projects.launching import Listeners, ProjectRequest, empty_launch, run_project
from wheels import make_wheel

pytestmark = pytest.mark.slow

Git = Callable[..., str]

PROJECT = """\
name: taxi
help: Fares of taxis.
entry_points:
  prepare:
    script: prepare.py
    parameters:
      rows: {type: int, default: 2, min: 1}
    inputs: [raw.csv]
    outputs: [build/table.csv]
  train:
    command: python train.py --lr {lr}
    help: Train the model.
    after: [prepare]
    parameters:
      lr: {type: float, default: 0.1, max: 1, help: Learning rate.}
    inputs: [build/table.csv]
    outputs: [build/model.txt]
  main:
    script: report.py
    after: [train]
"""
PREPARE = """\
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int)
rows = parser.parse_args().rows
os.makedirs("build", exist_ok=True)
open("build/table.csv", "w").write(open("raw.csv").read() * rows)
print("prepared", rows)
"""
TRAIN = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
lr = parser.parse_args().lr
size = len(open("build/table.csv").read())
open("build/model.txt", "w").write(f"{lr} {size}")
print("loss:", lr * size)
"""
REPORT = 'print("model", open("build/model.txt").read())\n'


class Gitexp:
    """The command line in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-m", "gitexp", *words], cwd=self.folder, text=True, **options)

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        process = self.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        out, err = process.communicate()
        assert process.returncode == code, f"{out}\n{err}"
        return out, err

    def runs(self) -> list[dict[str, Any]]:
        """As JSON, the oldest first."""
        out, _ = self("ls", "--json")
        return list(reversed(json.loads(out)["runs"]))

    def show(self, run: str = "@") -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self("show", run, "--json")[0])
        return shown


@pytest.fixture
def project_dir(tmp_path: Path, git: Git) -> Path:
    """A repository with a project of three steps."""
    folder = tmp_path / "taxi"
    (folder / ".gitexp").mkdir(parents=True)
    (folder / ".gitexp" / "project.yaml").write_text(PROJECT)
    (folder / "prepare.py").write_text(PREPARE)
    (folder / "train.py").write_text(TRAIN)
    (folder / "report.py").write_text(REPORT)
    (folder / "raw.csv").write_text("1,2\n")
    git("init", "-q", cwd=folder)
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "a project", cwd=folder)
    return folder


@pytest.fixture
def inside(project_dir: Path) -> Gitexp:
    return Gitexp(project_dir)


@pytest.fixture
def elsewhere(tmp_path: Path, git: Git) -> Gitexp:
    """In another repository, with one commit."""
    folder = tmp_path / "mine"
    folder.mkdir()
    git("init", "-q", cwd=folder)
    git("commit", "-q", "--allow-empty", "-m", "mine", cwd=folder)
    return Gitexp(folder)


def test_steps_are_runs_of_their_own(inside: Gitexp) -> None:
    """Each step is a run, with typed params; the next one names it as an input, and its commit is a parent."""
    out, err = inside("run", ".")
    assert out == "prepared 2\nloss: 0.8\nmodel 0.1 8\n"
    prepare, train, main = inside.runs()
    assert [run["project"] for run in (prepare, train, main)] == [
        {"folder": ".", "entry": name} for name in ("prepare", "train", "main")
    ]
    assert prepare["params"] == {"rows": 2} and train["params"] == {"lr": 0.1}
    assert [item["run"] for item in main["inputs"] if item["kind"] == "run"] == [train["id"]]
    parents = subprocess.check_output(["git", "log", "-1", "--format=%P", main["commit"]], cwd=inside.folder, text=True)
    assert train["commit"] in parents.split()
    assert train["command"] == ["python", "train.py", "--lr", "0.1"]
    assert f"ran prepare: {prepare['id']}" in err


def test_steps_are_not_run_twice(inside: Gitexp) -> None:
    """A step whose code, values, inputs and environment are those of an earlier run is linked, its outputs restored."""
    inside("run", ".")
    (inside.folder / "build" / "table.csv").unlink()
    (inside.folder / "build" / "model.txt").write_text("spoilt")
    out, err = inside("run", ".")
    prepare, train, _, again = inside.runs()
    assert out == "model 0.1 8\n"
    assert f"reused prepare: {prepare['id']}, " in err and f"reused train: {train['id']}, " in err
    assert [item["run"] for item in again["inputs"] if item["kind"] == "run"] == [train["id"]]
    assert (inside.folder / "build" / "table.csv").read_text() == "1,2\n1,2\n"


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (("train.py", TRAIN + "\n"), ["prepare", "train", "main"]),
        (("raw.csv", "3,4\n"), ["prepare", "train", "main"]),
        (("build/other.txt", "x"), ["prepare", "train", "main"]),
    ],
)
def test_what_makes_a_step_run_again(inside: Gitexp, change: tuple[str, str], again: list[str]) -> None:
    """Another input or other code does; a step after it is run again as well."""
    inside("run", ".")
    name, text = change
    (inside.folder / name).write_text(text)
    inside("run", ".")
    assert [run["project"]["entry"] for run in inside.runs()[3:]] == again


def test_values_reach_the_steps_that_know_them(inside: Gitexp) -> None:
    """A parameter goes to each step that declares it; where its value is another, that step and those after it run."""
    inside("run", ".")
    inside("run", ".", "-P", "lr=0.5")
    assert [run["project"]["entry"] for run in inside.runs()[3:]] == ["train", "main"]
    inside("run", ".", "-P", "rows=3", "-P", "lr=0.5")
    assert [run["params"] for run in inside.runs()[5:]] == [{"rows": 3}, {"lr": 0.5}, {}]
    _, err = inside("run", ".", "-P", "rows=0", code=2)
    assert "a whole number of at least 1, not 0" in err
    assert len(inside.runs()) == 8


def test_declared_code(inside: Gitexp) -> None:
    """A step that says which files are its code is not run again for others."""
    text = PROJECT.replace("    inputs: [raw.csv]\n", "    inputs: [raw.csv]\n    code: [prepare.py]\n")
    (inside.folder / ".gitexp" / "project.yaml").write_text(text)
    inside("run", ".", "-e", "train")
    (inside.folder / "train.py").write_text(TRAIN + "\n")
    _, err = inside("run", ".", "-e", "train")
    assert "reused prepare" in err


def test_what_programs_leave_behind_is_no_code(inside: Gitexp) -> None:
    """Compiled modules and their like do not make a step run again."""
    inside("run", ".", "-e", "train")
    (inside.folder / "__pycache__").mkdir()
    (inside.folder / "__pycache__" / "prepare.cpython-311.pyc").write_text("x")
    _, err = inside("run", ".", "-e", "train")
    assert "reused prepare" in err


def test_overridden_values_make_no_step(inside: Gitexp) -> None:
    """A run with values set for this once does not stand for the step with its own ones."""
    (inside.folder / "params.yaml").write_text("x: 1\n")
    inside("run", "--set", "x=2", ".", "-e", "prepare")
    assert "project.key" not in inside.runs()[0]["tags"]
    _, err = inside("run", ".", "-e", "train")
    assert "ran prepare" in err


def test_reproducing(inside: Gitexp, elsewhere: Gitexp) -> None:
    """The run of a project, of its own repository or a foreign one, can be reproduced like any other."""
    inside("run", ".", "-e", "train")
    assert "identical" in inside("reproduce", "@", "--env", "current")[0]
    elsewhere("run", "../taxi", "-e", "train", "--yes")
    assert "identical" in elsewhere("reproduce", "@", "--env", "current")[0]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of which there are two versions, and no index beside."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(folder, "alpha", version)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    for name, value in {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("wheels")
def test_the_projects_environment(inside: Gitexp, elsewhere: Gitexp, git: Git) -> None:
    """A project runs in the environment that it declares, a foreign one also in that of its `requirements.txt`."""
    prepare = "import alpha\nprint('alpha', alpha.version)\n" + PREPARE
    (inside.folder / "prepare.py").write_text(prepare)
    (inside.folder / "requirements.txt").write_text("alpha==1.0\n")
    git("add", "-A", cwd=inside.folder)
    git("commit", "-qm", "needs", cwd=inside.folder)
    assert "No module named 'alpha'" in inside("run", ".", "-e", "prepare", code=1)[1]
    out, err = elsewhere("run", "../taxi", "-e", "prepare", "--yes")
    assert out == "alpha 1.0\nprepared 2\n" and "1 requirement" in err
    assert "alpha==1.0" in elsewhere.show()["environment"]["requirements"]
    assert "No module named" in elsewhere("run", "../taxi", "-e", "prepare", "--env", "current", code=1)[1]


@pytest.mark.usefixtures("wheels")
def test_another_environment_runs_steps_again(inside: Gitexp) -> None:
    """A step is only found again where the packages are the same."""
    file = inside.folder / ".gitexp" / "project.yaml"
    for version, expected in (("1.0", "ran"), ("1.0", "reused"), ("2.0", "ran"), ("1.0", "reused")):
        file.write_text(f"{PROJECT}environment: {{requirements: [alpha=={version}]}}\n")
        _, err = inside("run", ".", "-e", "train")
        assert f"{expected} prepare" in err
    _, err = inside("run", ".", "-e", "train", "--env", "conda", code=2)
    assert "of the kind venv, not conda" in err


def test_force(inside: Gitexp) -> None:
    """--force runs every step."""
    inside("run", ".")
    out, _ = inside("run", "--force", ".")
    assert out == "prepared 2\nloss: 0.8\nmodel 0.1 8\n"


def test_removed_runs_and_failed_ones_are_not_reused(inside: Gitexp) -> None:
    """Only a finished run that was not removed stands for a step."""
    inside("run", ".", "-e", "train")
    inside("rm", inside.runs()[0]["id"])
    _, err = inside("run", ".", "-e", "train")
    assert "ran prepare" in err
    (inside.folder / "prepare.py").write_text("raise SystemExit(3)\n")
    _, err = inside("run", ".", "-e", "train", code=3)
    assert "The step 'prepare' failed, so what comes after it was not run." in err
    inside("run", ".", "-e", "train", code=3)


def test_undeclared_outputs_are_told(inside: Gitexp) -> None:
    """A step that makes files that its outputs do not name says so, as it would never be found again."""
    (inside.folder / "prepare.py").write_text(PREPARE + "open('extra.txt', 'w').write('x')\n")
    _, err = inside("run", ".", "-e", "train")
    assert "'prepare' made 'extra.txt', which its 'outputs' do not name" in err


def test_help(inside: Gitexp) -> None:
    """--help after the project shows its entry points and parameters, and runs nothing."""
    out, _ = inside("run", ".", "--help")
    for text in ("taxi: Fares of taxis.", "main  (default)", "after prepare", "at most 1. Learning rate.", "default 2"):
        assert text in out
    only, _ = inside("run", ".", "-e", "train", "--help")
    assert "Learning rate." in only and "report.py" not in only
    assert inside.runs() == []


def test_options_before_and_after(inside: Gitexp) -> None:
    """Before the address -e is the experiment, after it the entry point; the other options mean the same in both."""
    inside("run", "-e", "fares", "-n", "one", ".", "-e", "prepare", "-P", "rows=1", "-t", "a=b", "--note", "-e")
    [run] = inside.runs()
    assert (run["experiment"], run["name"], run["params"], run["note"]) == ("fares", "one", {"rows": 1}, "-e")
    assert run["tags"]["a"] == "b"
    _, err = inside("run", ".", "more", code=2)
    assert "'more' no option" in err
    _, err = inside("run", "train.py", code=1)
    _, err = inside("run", "-P", "a=1", "train.py", code=2)
    assert "are for projects" in err


def test_folders_without_a_project_run_as_scripts(inside: Gitexp) -> None:
    """A folder with a `__main__.py` and no project file is a script, and what follows is its own."""
    (inside.folder / "tool").mkdir()
    (inside.folder / "tool" / "__main__.py").write_text("import sys; print(sys.argv[1:])")
    assert inside("run", "tool", "-e", "x", "--help")[0] == "['-e', 'x', '--help']\n"
    (inside.folder / "empty").mkdir()
    assert "no '.gitexp/project.yaml', 'MLproject' or '__main__.py'" in inside("run", "empty", code=3)[1]


def test_mlproject(inside: Gitexp) -> None:
    """An MLproject's parameters become typed params of a run whose command is the script's own."""
    (inside.folder / ".gitexp" / "project.yaml").unlink()
    (inside.folder / "MLproject").write_text(
        "name: t\nentry_points:\n  main:\n    parameters:\n      lr: {type: float, default: 0.5}\n      data: path\n"
        '    command: "python show.py {lr} {data}"\n  shell:\n    command: "echo a | tr a b"\n'
    )
    (inside.folder / "show.py").write_text("import sys; print(sys.argv[1:])")
    out, _ = inside("run", ".", "-P", "data=raw.csv", "-P", "extra=1")
    assert out == "['0.5', 'raw.csv', '--extra', '1']\n"
    run = inside.show()
    assert run["params"] == {"lr": 0.5, "data": "raw.csv", "extra": 1}
    assert run["command"] == ["python", "show.py", "0.5", "raw.csv", "--extra", "1"]
    assert [item["name"] for item in run["inputs"]] == ["raw.csv"]
    assert inside("run", ".", "-e", "shell")[0] == "b\n"


def test_another_repository(inside: Gitexp, elsewhere: Gitexp, git: Git) -> None:
    """A project of another repository runs in a worktree at its commit, and is recorded here with its address."""
    git("tag", "v1", cwd=inside.folder)
    (inside.folder / "raw.csv").write_text("9,9,9,9\n")
    out, err = elsewhere("run", "../taxi@v1", "--yes")
    assert out == "prepared 2\nloss: 0.8\nmodel 0.1 8\n"
    commit = git("rev-parse", "v1", cwd=inside.folder).strip()
    run = elsewhere.show()
    assert run["project"] == {
        "address": f"{inside.folder}@v1", "commit": commit, "folder": ".", "entry": "main"
    }  # fmt: skip
    assert run["code"]["commit"] == commit and run["directory"] == "."
    assert git("worktree", "list", cwd=elsewhere.folder).count("\n") == 1
    assert os.listdir(elsewhere.folder) == [".git"]
    assert not (inside.folder / "build").exists()
    assert f"at {commit[:12]}" in elsewhere("show", "@")[0]
    _, err = elsewhere("run", "../taxi@v1")
    assert "reused train" in err
    elsewhere("fsck")


def test_versions(inside: Gitexp, elsewhere: Gitexp, git: Git) -> None:
    """A version is a branch, a tag, a commit or the beginning of one; a branch is asked for its tip each time."""
    git("checkout", "-q", "-b", "feature/x", cwd=inside.folder)
    (inside.folder / "prepare.py").write_text("print('feature')")
    git("commit", "-qam", "other", cwd=inside.folder)
    git("tag", "-a", "-m", "annotated", "v2", cwd=inside.folder)
    second = git("rev-parse", "HEAD", cwd=inside.folder).strip()
    first = git("rev-parse", "HEAD~", cwd=inside.folder).strip()
    git("checkout", "-q", "main", cwd=inside.folder)
    url = f"file://{inside.folder}"
    expected = {
        "": "prepared 2",
        "@feature/x": "feature",
        "@v2": "feature",
        f"@{second[:8]}": "feature",
        f"@{second}": "feature",
        f"@{first[:7]}": "prepared 2",
    }
    for version, said in expected.items():
        assert elsewhere("run", f"{url}{version}", "-e", "prepare", "--yes")[0] == f"{said}\n"
    git("checkout", "-q", "feature/x", cwd=inside.folder)
    (inside.folder / "prepare.py").write_text("print('later')")
    git("commit", "-qam", "later", cwd=inside.folder)
    assert elsewhere("run", f"{url}@feature/x", "-e", "prepare")[0] == "later\n"
    _, err = elsewhere("run", f"{url}@nothing", code=3)
    assert "has no version 'nothing'" in err and "feature/x, main, v2" in err
    inside.folder.rename(inside.folder.parent / "gone")
    assert elsewhere("run", f"{url}@{second}", "-e", "prepare")[0] == "feature\n"
    assert inside.folder.exists() is False


def test_without_git(
    inside: Gitexp, elsewhere: Gitexp, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where git is not installed, a project of another folder is fetched and cloned all the same."""
    git("branch", "side", cwd=inside.folder)
    (tmp_path / "bin").mkdir()
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for version in ("", "@side"):
        assert elsewhere("run", f"../taxi{version}", "-e", "prepare", "--yes")[0] == "prepared 2\n"
        outside = Gitexp(tmp_path / "empty")
        assert outside("run", f"file://{inside.folder}{version}", "-e", "prepare", "--yes")[0] == "prepared 2\n"


def test_own_versions(inside: Gitexp, git: Git) -> None:
    """A version of the repository itself runs in a worktree of it, without a question."""
    first = git("rev-parse", "HEAD", cwd=inside.folder).strip()
    (inside.folder / "prepare.py").write_text("print('changed')")
    assert inside("run", f".@{first[:8]}", "-e", "prepare")[0] == "prepared 2\n"
    assert inside.show()["code"]["commit"] == first
    assert inside("run", ".", "-e", "prepare")[0] == "changed\n"


def test_a_project_in_a_folder(inside: Gitexp, elsewhere: Gitexp, git: Git) -> None:
    """'#' names a folder of the repository, in which the command then works."""
    (inside.folder / "sub" / "deep").mkdir(parents=True)
    (inside.folder / "sub" / "deep" / "go.py").write_text("import os; print(os.path.basename(os.getcwd()))")
    git("add", "-A", cwd=inside.folder)
    git("commit", "-qm", "sub", cwd=inside.folder)
    assert elsewhere("run", "../taxi#sub/deep", "-e", "go.py", "--yes")[0] == "deep\n"
    assert elsewhere.show()["project"]["folder"] == "sub/deep"
    assert elsewhere("run", "../taxi/sub#deep", "-e", "go.py")[0] == "deep\n"
    assert inside("run", "#sub/deep", "-e", "go.py")[0] == "deep\n"
    _, err = elsewhere("run", "../taxi#nowhere", "-e", "go.py", code=3)
    assert "no folder 'nowhere'" in err


def test_outside_of_a_repository(inside: Gitexp, tmp_path: Path) -> None:
    """Without a repository the project's own is cloned, as git would, and its runs are recorded there."""
    (tmp_path / "empty").mkdir()
    outside = Gitexp(tmp_path / "empty")
    url = f"file://{inside.folder}"
    _, err = outside("run", url, "--yes")
    assert "Cloned" in err and "./taxi" in err
    assert len(Gitexp(tmp_path / "empty" / "taxi").runs()) == 3
    _, err = outside("run", url)
    assert "Cloned" not in err and "reused train" in err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "taxi").mkdir()
    _, err = Gitexp(tmp_path / "other")("run", url, code=2)
    assert "is there already" in err


def test_a_new_address_is_asked_about(inside: Gitexp, elsewhere: Gitexp, git: Git) -> None:
    """The first run from an address needs --yes where nobody can be asked, and says whose code it would be."""
    _, err = elsewhere("run", "../taxi", code=2)
    for text in ("a project", "Ann Lee <ann@example.org>", "python prepare.py --rows 2", "python train.py --lr 0.1"):
        assert text in err
    assert "--yes" in err and elsewhere.runs() == []
    elsewhere("run", "../taxi", "--yes", "-e", "prepare")
    (inside.folder / "prepare.py").write_text("print('new')")
    git("commit", "-qam", "new", cwd=inside.folder)
    assert elsewhere("run", "../taxi", "-e", "prepare")[0] == "new\n"


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2), ("", 2)])
@pytest.mark.usefixtures("inside")
def test_a_person_is_asked(elsewhere: Gitexp, answer: str, code: int) -> None:
    """On a terminal the question is asked, and nothing runs without a yes."""
    controller, terminal = pty.openpty()
    process = elsewhere.start(
        "run", "../taxi", "-e", "prepare", stdin=terminal, stderr=terminal, stdout=subprocess.PIPE
    )
    os.close(terminal)
    os.write(controller, f"{answer}\n".encode())
    asked = b""
    while process.poll() is None or b"Run it?" not in asked:
        try:
            asked += os.read(controller, 4096)
        except OSError:
            break
    out, _ = process.communicate()
    os.close(controller)
    assert b"Run it? [y/N]" in asked
    assert (process.returncode, out) == (code, "prepared 2\n" if not code else "")


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM])
def test_killed(inside: Gitexp, elsewhere: Gitexp, git: Git, deadly: signal.Signals) -> None:
    """One that is killed leaves no worktree behind, or none that the next command does not remove; the run is kept."""
    (inside.folder / "prepare.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    git("commit", "-qam", "slow", cwd=inside.folder)
    process = elsewhere.start(
        "run", "../taxi", "-e", "prepare", "--yes", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    _, worktree = git("worktree", "list", cwd=elsewhere.folder).splitlines()
    process.send_signal(deadly)
    process.wait()
    process.stdout.close()
    if deadly is signal.SIGKILL:
        left = subprocess.run(["pgrep", "-f", "-x", f"{sys.executable} prepare.py --rows 2"], check=False, text=True,
                              capture_output=True)  # fmt: skip
        for pid in left.stdout.split():
            if os.readlink(f"/proc/{pid}/cwd").startswith(worktree.split()[0]):
                os.kill(int(pid), signal.SIGKILL)
                while os.path.exists(f"/proc/{pid}"):
                    time.sleep(0.01)
    (inside.folder / "prepare.py").write_text("print('quick')\n")
    git("commit", "-qam", "quick", cwd=inside.folder)
    assert elsewhere("run", "../taxi", "-e", "prepare")[0] == "quick\n"
    assert git("worktree", "list", cwd=elsewhere.folder).count("\n") == 1
    assert not os.path.exists(worktree.split()[0])
    assert [run["status"] for run in elsewhere.runs()] == [
        "crashed" if deadly is signal.SIGKILL else "killed",
        "finished",
    ]


def test_settings_of_a_foreign_project(inside: Gitexp, elsewhere: Gitexp, git: Git) -> None:
    """Where runs are recorded, and which programs are told of them, is not up to a foreign project."""
    (inside.folder / ".gitexp" / "config.yaml").write_text(
        "experiment: theirs\nhooks:\n  after: ['touch hooked']\nmetrics:\n  output: false\n"
    )
    git("add", "-A", cwd=inside.folder)
    git("commit", "-qm", "settings", cwd=inside.folder)
    (elsewhere.folder / ".gitexp").mkdir()
    (elsewhere.folder / ".gitexp" / "config.yaml").write_text("experiment: ours\n")
    elsewhere("run", "../taxi", "--yes")
    runs = elsewhere.runs()
    assert {run["experiment"] for run in runs} == {"ours"}
    assert runs[1]["metrics"] == {}


def test_the_documents_example(inside: Gitexp) -> None:
    """The project file in docs/projects.md is one that works, and so is the program."""
    text = (Path(__file__).parent.parent / "docs" / "projects.md").read_text()
    example, program = (text.split(f"```{language}\n")[1].split("```")[0] for language in ("yaml", "python"))
    (inside.folder / ".gitexp" / "project.yaml").write_text(example)
    (inside.folder / "train.py").write_text(
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "[parser.add_argument(name) for name in ('--lr', '--optimizer', '--table')]\n"
        "print(parser.parse_args(), len(open(parser.parse_args().table).read()))\n"
    )
    assert inside("run", ".")[0].endswith("Namespace(lr='0.1', optimizer='sgd', table='build/table.csv') 400\n")
    assert inside("run", ".", "-P", "optimizer=x", code=2)[1].count("one of sgd, adam") == 1
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=inside.folder, text=True, capture_output=True, check=True
    )
    assert "[('prepare', True)]" in done.stdout and "lr='0.5'" in done.stdout


def test_from_python(project_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python program runs a project through one function, which says how each step went."""
    monkeypatch.chdir(project_dir)
    request = ProjectRequest(address=".", entry="train", params={"lr": "0.25"}, launch=empty_launch(dict(os.environ)))
    first, second = run_project(request), run_project(request)
    assert [(step.entry, step.reused) for step in (*first.steps, *second.steps)] == [
        ("prepare", False), ("prepare", True)
    ]  # fmt: skip
    run = gitexp.get_run(str(second.result.run_id))
    assert run.params == {"lr": 0.25}
    assert Listeners().confirm is not None
