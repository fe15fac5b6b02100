"""`gitexp run --set`: files hold other values while a run goes on, and their own again whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Git
from gitexp.domain.run import Status
from gitexp.errors import Conflict, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.running.overrides import Places, parse_override, parse_value
from gitexp.store.overridden import OverriddenFiles
from gitexp.store.paramfile import ParamFile
from launching import PATIENCE_S, SOURCES

pytestmark = pytest.mark.slow

PARAMS = "# mine\nlr: 0.1  # rate\nmodel: {depth: 3, names: ['a', b]}\n"


def write(folder: Path, text: str, name: str = "train.py") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(textwrap.dedent(text))


def gitexp(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gitexp", *words],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gitexp", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def newest(folder: Path) -> RunView:
    return Repository.open(folder).get_run("@")


@pytest.fixture
def project(repo_dir: Path, git: Git) -> Path:
    """A repository whose script prints its files, and waits for a line if told to."""
    (repo_dir / "params.yaml").write_text(PARAMS)
    os.utime(repo_dir / "params.yaml", ns=(1_500_000_000_123_456_789, 1_500_000_000_123_456_789))
    write(
        repo_dir,
        """
        import sys
        BATCH = 32
        print(open("params.yaml").read(), BATCH, flush=True)
        if "wait" in sys.argv:
            input()
        """,
    )
    git("add", "-A", cwd=repo_dir)
    git("commit", "-q", "-m", "second", cwd=repo_dir)
    return repo_dir


def test_a_script_sees_the_values_and_the_file_is_put_back(project: Path, git: Git) -> None:
    """The child and the run's code have them, comments and all; then bytes, mode and time are those from before."""
    (project / "params.yaml").chmod(0o640)
    before = (project / "params.yaml").stat()
    done = gitexp(project, "run", "--set", "lr=1e-5", "--set", "model.names.1=x", "--set", "BATCH=64", "train.py")
    seen = PARAMS.replace("0.1", "1.0e-05").replace(", b]", ", x]")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{seen} 64\n", "")
    after = (project / "params.yaml").stat()
    assert (project / "params.yaml").read_text() == PARAMS
    assert (after.st_mtime_ns, after.st_mode, after.st_ino) == (before.st_mtime_ns, before.st_mode, before.st_ino)
    assert git("status", "--short", cwd=project) == ""
    run = newest(project)
    assert run.code.read("params.yaml").decode() == seen
    assert b"BATCH = 64" in run.code.read("train.py")
    assert run.params == {"lr": 1e-05, "model.depth": 3, "model.names": ["a", "x"], "BATCH": 64}
    assert run.record.warnings == ()
    assert not (project / ".git/gitexp/overrides").exists()


@pytest.mark.parametrize("ending", ["sys.exit(3)", "1 / 0", "import os; os.kill(os.getpid(), 9)"])
def test_the_file_is_put_back_however_the_command_ends(project: Path, ending: str) -> None:
    """A non-zero exit, an exception and a deadly signal change nothing about it."""
    write(project, f"import sys; {ending}")
    assert gitexp(project, "run", "--set", "lr=2", "train.py").returncode != 0
    assert (project / "params.yaml").read_text() == PARAMS


def test_each_kind_of_file_is_found_by_its_keys(project: Path) -> None:
    """config.yaml, the files of the setting params.files, and with FILE: any file; what they say is recorded."""
    write(project, "params: {files: ['conf/**/*.toml', '*.json', settings.py]}\n", ".gitexp/config.yaml")
    write(project, "[optim]\nname = 'sgd'\n", "conf/deep/a.toml")
    write(project, '{"data": {"seed": 1}}', "d.json")
    write(project, "WIDTH = 4\nlr = 7\n", "settings.py")
    write(project, "epochs: 3\n", "config.yaml")
    write(project, "other: 3\n", "else/where.yml")
    write(
        project,
        """
        import settings
        for name in ("conf/deep/a.toml", "d.json", "config.yaml", "else/where.yml"):
            print(open(name).read().strip())
        print(settings.WIDTH)
        """,
    )
    sets = [
        "optim.name=adam",
        "data.seed=2",
        "WIDTH=5",
        "epochs=4",
        "else/where.yml:other=5",
        "else/where.yml:new.k=null",
    ]
    done = gitexp(project, "run", *(word for text in sets for word in ("--set", text)), "train.py")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[optim]",
        "name = 'adam'",
        '{"data": {"seed": 2}}',
        "epochs: 4",
        "other: 5",
        'new: {"k": null}',
        "5",
    ]
    assert newest(project).params == {
        "lr": 0.1,
        "model.depth": 3,
        "model.names": ["a", "b"],
        "settings.py:lr": 7,
        "optim.name": "adam",
        "data.seed": 2,
        "WIDTH": 5,
        "epochs": 4,
        "other": 5,
        "new.k": None,
    }
    assert (project / "else/where.yml").read_text() == "other: 3\n"


def test_the_nearest_params_yaml_is_meant(project: Path) -> None:
    """As a run records it: in the working directory, or the first one above it."""
    write(project, "lr: 7\n", "sub/params.yaml")
    write(project, "print(open('params.yaml').read())", "sub/train.py")
    assert gitexp(project / "sub", "run", "--set", "lr=8", "train.py").stdout == "lr: 8\n\n"
    assert (project / "params.yaml").read_text() == PARAMS


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (["lr"], 2, "'lr' sets no value.", "optim.lr=0.1"),
        (["=1"], 2, "'=1' sets no value.", "optim.lr=0.1"),
        (["params.yaml:=1"], 2, "names no key", "params.yaml:KEY=VALUE"),
        (["lr=[1"], 2, "is no value", "write '\"...\"' around it"),
        (
            ["lrr=1"],
            3,
            "There is no 'lrr' in params.yaml, config.yaml or the constants of train.py.",
            "Did you mean lr?",
        ),
        (["zzz=1"], 3, "There is no 'zzz'", "gitexp run train.py --zzz VALUE"),
        (["x.yaml:zzz=1"], 3, "There is no file 'x.yaml'.", "params.yaml, config.yaml, train.py"),
        (["both=1"], 3, "2 files have a 'both'.", "config.yaml:both, train.py:both"),
        (["lr=1", "lr=2"], 2, "'lr' is set twice.", "once"),
        (["model.depth=1", "model={}"], 2, "together with 'model.depth'", "once"),
        (["train.py:new=1"], 2, "cannot be set", "by hand"),
    ],
)
def test_what_cannot_be_found_is_said_with_what_to_do(
    project: Path, words: list[str], code: int, message: str, hint: str
) -> None:
    """Nothing runs, nothing changes, nothing is recorded; message and hint say how to go on."""
    write(project, "both: 1\n", "config.yaml")
    write(project, "both = 2\nprint('ran')", "train.py")
    done = gitexp(project, "run", *(word for text in words for word in ("--set", text)), "train.py")
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert hint in done.stderr
    assert (project / "params.yaml").read_text() == PARAMS
    assert Repository.open(project).search() == []


@pytest.mark.slow
def test_two_runs_cannot_set_values_in_one_file_at_once(project: Path) -> None:
    """The second is refused and told of the first; another file is free, and one that sets nothing is warned."""
    write(project, "width: 1\n", "config.yaml")
    first = start(project, "run", "--set", "lr=0.2", "train.py", "wait")
    assert first.stdout is not None
    assert first.stdout.readline() == "# mine\n"
    second = gitexp(project, "run", "--set", "lr=0.3", "train.py")
    assert second.returncode == Conflict.exit_code
    assert f"'params.yaml' holds values that were set for 'python train.py wait' (process {first.pid})" in second.stderr
    third = gitexp(project, "run", "--set", "width=2", "train.py")
    assert third.returncode == 0
    assert "lr: 0.2" in third.stdout
    assert f"'params.yaml' holds values that were set for another run, process {first.pid}" in third.stderr
    first.communicate("\n", timeout=PATIENCE_S)
    assert (project / "params.yaml").read_text() == PARAMS
    assert gitexp(project, "run", "--set", "lr=0.3", "train.py").returncode == 0


def test_a_killed_launcher_leaves_the_way_back(project: Path) -> None:
    """While the command lives the file stays as it needs it; then the next gitexp command puts it back, and says so."""
    process = start(project, "run", "--set", "lr=0.2", "train.py", "wait")
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "# mine\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    listed = gitexp(project, "ls")
    assert "lr: 0.2" in (project / "params.yaml").read_text()
    assert "Put back" not in listed.stderr
    process.stdin.close()
    process.stdout.read()  # ends when the command does
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.read()
    process.stderr.close()
    said = gitexp(project, "ls")
    assert "Put back 'params.yaml'" in said.stderr
    assert (project / "params.yaml").read_text() == PARAMS
    assert gitexp(project, "ls").stderr == ""


@pytest.mark.parametrize(
    ("change", "left", "said"),
    [
        ("text.replace('# mine', '# theirs')", PARAMS.replace("mine", "theirs"), "taken back"),
        ("text.replace('0.2', '0.9')", PARAMS.replace("0.1", "0.9"), "taken back"),
        ("text + 'more: 1\\n'", PARAMS + "more: 1\n", "taken back"),
        ("'lr: [0.2'", "lr: [0.2", "params.yaml.orig"),
        ("'- 1\\n'", "- 1\n", "params.yaml.orig"),
        (repr(PARAMS), PARAMS, ""),
        ("text", PARAMS, ""),
    ],
)
def test_what_the_script_wrote_into_the_file_stays(project: Path, change: str, left: str, said: str) -> None:
    """Only our own values go, if the file still has them; else it is left, and the original kept beside."""
    write(
        project,
        f"""
        text = open("params.yaml").read()
        open("params.yaml", "w").write({change})
        """,
    )
    done = gitexp(project, "run", "--set", "lr=0.2", "--set", "params.yaml:added=1", "train.py")
    assert done.returncode == 0
    assert (project / "params.yaml").read_text() == left
    assert (said in done.stderr) if said else (done.stderr == "")
    assert (project / "params.yaml.orig").exists() == ("orig" in said)
    if "orig" in said:
        assert (project / "params.yaml.orig").read_text() == PARAMS


def test_a_removed_file_stays_removed(project: Path) -> None:
    """Its content from before lies beside."""
    write(project, "import os; os.unlink('params.yaml')")
    done = gitexp(project, "run", "--set", "lr=0.2", "train.py")
    assert "was removed while the run went on" in done.stderr
    assert not (project / "params.yaml").exists()
    assert (project / "params.yaml.orig").read_text() == PARAMS


def test_a_link_is_followed(project: Path) -> None:
    """The file behind a symlink changes, not the link."""
    (project / "real.yaml").write_text("lr: 1\n")
    (project / "params.yaml").unlink()
    (project / "params.yaml").symlink_to("real.yaml")
    assert "lr: 2" in gitexp(project, "run", "--set", "lr=2", "train.py").stdout
    assert (project / "params.yaml").is_symlink()
    assert (project / "real.yaml").read_text() == "lr: 1\n"


@pytest.mark.slow
def test_compiled_modules_do_not_survive_a_value(project: Path) -> None:
    """Python tells a stale cache by second and size: runs right after each other still see their own values."""
    write(project, "params: {files: [settings.py]}\n", ".gitexp/config.yaml")
    write(project, "WIDTH = 1\n", "settings.py")
    write(project, "import settings; print(settings.WIDTH)")
    for width in "1", "2", "3":
        assert gitexp(project, "run", "--set", f"WIDTH={width}", "train.py").stdout == f"{width}\n"
    assert gitexp(project, "run", "train.py").stdout == "1\n"


def test_secrets_are_set_but_not_recorded(project: Path) -> None:
    """A value with a secret's name reaches the script, and the record has '***'."""
    write(project, 'API_KEY = "x"\nprint(API_KEY)')
    assert gitexp(project, "run", "--set", "API_KEY=s3cr3t", "train.py").stdout == "s3cr3t\n"
    assert newest(project).params["API_KEY"] == "***"


@pytest.mark.slow
def test_constants_are_params_of_a_script_without_a_parser(project: Path) -> None:
    """Where a parser speaks, it says what the params are; the setting params.constants turns constants off."""
    assert gitexp(project, "run", "train.py").returncode == 0
    assert newest(project).params["BATCH"] == 32
    write(project, "WIDTH = 3\nif __name__ == '__main__': print(WIDTH)", "package/train.py")
    assert gitexp(project, "run", "--set", "WIDTH=4", "-m", "package.train").stdout == "4\n"
    assert newest(project).params["WIDTH"] == 4
    write(project, "import argparse; SIZE = 1; argparse.ArgumentParser().parse_args(); print(SIZE)", "parsed.py")
    assert gitexp(project, "run", "parsed.py").returncode == 0
    assert "SIZE" not in newest(project).params
    assert gitexp(project, "run", "--set", "SIZE=2", "parsed.py").stdout == "2\n"
    assert newest(project).params["SIZE"] == 2
    write(project, "params: {constants: false}\n", ".gitexp/config.yaml")
    assert gitexp(project, "run", "train.py").returncode == 0
    assert "BATCH" not in newest(project).params


def test_a_constant_gives_way_to_every_other_word(project: Path) -> None:
    """params.yaml and the script itself count more than what stands at its top."""
    write(
        project,
        """
        import gitexp
        lr = 5
        depth = 6
        gitexp.log_param("depth", 7)
        """,
    )
    assert gitexp(project, "run", "train.py").returncode == 0
    run = newest(project)
    assert (run.params["lr"], run.params["depth"], run.status) == (0.1, 7, Status.FINISHED)
    assert run.record.warnings == ()


@given(st.binary(max_size=30), st.binary(max_size=30), st.data())
def test_a_write_cut_short_is_recognised(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes, data: st.DataObject
) -> None:
    """Wherever the machine went down while the file was written or put back, the original comes back."""
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "params.yaml"
    path.write_bytes(old)
    files = OverriddenFiles(str(folder / "overrides"))
    held = files.hold(str(path), "params.yaml")
    held.change(ParamFile("params.yaml", old), ParamFile("params.yaml", new), [], "train.py")
    begun, before = data.draw(st.sampled_from([(new, old), (old, new)]))
    cut = data.draw(st.integers(0, len(begun)))
    path.write_bytes(begun[:cut] + before[cut:])
    os.close(held.lock_fd)  # as a death does
    assert [back.remark for back in files.recover()] == [""]
    assert path.read_bytes() == old


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("1e-3", 1e-3),
        (" 7 ", 7),
        ("true", True),
        ("null", None),
        ("", ""),
        ("yes", "yes"),
        ("adam", "adam"),
        ("[1, a, {b: null}]", [1, "a", {"b": None}]),
        ("{a: [1]}", {"a": [1]}),
        ('{lr = 0.5, "a.b" = [1, {x = "y"}]}', {"lr": 0.5, "a.b": [1, {"x": "y"}]}),
        ('{a: "x=1"}', {"a": "x=1"}),
        ("[a=1]", ["a=1"]),
        ("'1'", "1"),
        ('"a\\n"', "a\n"),
        ("a: b", "a: b"),
        ("a #b", "a #b"),
        ("#fff", "#fff"),
        ("- a", "- a"),
        ("-1", -1),
        ("*.csv", "*.csv"),
        ("s3://bucket/x=y", "s3://bucket/x=y"),
        ("a,b", "a,b"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("!x", "!x"),
        ("key:", "key:"),
        ("a 'b", "a 'b"),
    ],
)
def test_a_value_is_what_a_person_means(text: str, value: object) -> None:
    """Scalars and brackets as in YAML 1.2 or TOML; text stays text, whatever YAML would make of its signs."""
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_a_file_before_a_colon() -> None:
    """A name that ends as such files do is a file; any other colon belongs to the key."""
    here = Places(directory="/nowhere", root=None)
    assert parse_override("conf/a.yaml:b.c=1:2", here).file == "conf/a.yaml"
    assert parse_override("a:b=1", here).key == "a:b"
    with pytest.raises(UsageError, match="names no key"):
        parse_override("a.yaml:=1", here)
