"""The command line: what each command prints, where, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pty
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import gitexp
from gitexp.cli import COMMANDS, execute
from gitexp.cli.init import install_template
from gitexp.cli.table import width
from gitexp.domain.config import Config, parse_config
from gitexp.domain.metrics import History
from gitexp.domain.pointer import Pointer
from gitexp.domain.run import Status
from gitexp.errors import UsageError
from gitexp.store.yamlfile import load_yaml
from sealed_runs import seal

TOP = Path(__file__).parent.parent
Git = Callable[..., str]


@dataclass(frozen=True)
class Done:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture
def cli(repo_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("ls", "--json")` runs a command line in `repo_dir`."""
    monkeypatch.chdir(repo_dir)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = execute(list(arguments))
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def gitexp_process(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The installed command as a process of its own."""
    command = [sys.executable, "-m", "gitexp", *arguments]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False, **options)


def three_runs(folder: Path) -> None:
    seal(folder, "slow", params={"lr": 0.1, "epochs": 5}, metrics={"loss": 0.5, "size": 3}, age_s=300)
    seal(folder, "quick", params={"lr": 0.2, "epochs": 5}, metrics={"loss": 0.25, "size": 3}, age_s=200)
    seal(folder, "odd", params={"lr": 0.3}, metrics={"loss": math.nan}, status=Status.FAILED, exit_code=1, age_s=100)


# The group


def test_every_command_says_what_it_does(cli: Cli) -> None:
    """The help lists each command with a line about it, and each command has a help of its own."""
    listed = cli("--help").out
    for name in [name for names in COMMANDS.values() for name in names]:
        assert re.search(rf"^  {name}\s+\w", listed, re.MULTILINE), name
        assert cli(name, "--help").out.startswith(f"Usage: gitexp {name} ")


def test_without_a_command_the_help_is_printed(cli: Cli) -> None:
    """`gitexp` alone is a question, not a mistake."""
    assert cli() == cli("--help")


def test_the_version_is_printed(cli: Cli) -> None:
    """`--version` prints the package's version."""
    assert cli("--version") == Done(0, f"gitexp {gitexp.__version__}\n", "")


def test_the_version_loads_no_command() -> None:
    """Neither a command nor the store is imported to print the version."""
    program = (
        "import sys, gitexp.cli as c; c.execute(['--version']); print([m for m in sys.modules if m[:7] == 'gitexp.'])"
    )
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[1] == "['gitexp.errors', 'gitexp.cli']"


def test_a_mistyped_command_is_answered_with_the_near_ones(cli: Cli) -> None:
    """The error names the command that was probably meant."""
    done = cli("hsow")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: There is no command 'hsow'. Did you mean 'show'?\nhint: ")


def test_wrong_usage_is_told_without_a_traceback(cli: Cli) -> None:
    """Unknown options and missing arguments end with exit code 2 and a hint at the help."""
    for arguments in (["ls", "--nope"], ["log"], ["ls", "--limit", "x"]):
        done = cli(*arguments)
        assert done.code == 2
        assert done.err.startswith("error: ")
        assert f"hint: 'gitexp {arguments[0]} --help'" in done.err


def test_outside_a_repository_the_hint_says_what_to_type(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4, and a hint."""
    monkeypatch.chdir(tmp_path)
    done = cli("ls")
    assert done.code == 4
    assert "gitexp init" in done.err


def test_a_mistake_in_a_search_is_pointed_at(repo_dir: Path, cli: Cli) -> None:
    """The expression is repeated with a caret under the mistake."""
    three_runs(repo_dir)
    done = cli("ls", "--where", "metrics.loss < < 3")
    assert (done.code, done.out) == (2, "")
    error, expression, caret = done.err.splitlines()[:3]
    assert error.startswith("error: ")
    assert expression == "  metrics.loss < < 3"
    assert caret.index("^") == expression.rindex("<")


def test_a_bug_of_ours_asks_for_a_report(repo_dir: Path) -> None:
    """What no error class explains ends with 70, a traceback and a request."""
    program = (
        "import gitexp.cli.ls as ls, gitexp.cli as c, sys\n"
        "def bug(**_): raise ZeroDivisionError('by a bug')\n"
        "ls.command.callback = bug\n"
        "sys.exit(c.execute(['ls']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repo_dir, text=True, capture_output=True, check=False)
    assert done.returncode == 70
    assert "ZeroDivisionError: by a bug" in done.stderr and "Please report it" in done.stderr


def test_a_reader_that_goes_away_is_no_error(repo_dir: Path) -> None:
    """A closed pipe ends the command silently, with the code a shell expects."""
    three_runs(repo_dir)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gitexp", "ls", "--json"]
    done = subprocess.run(command, cwd=repo_dir, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


# ls


def test_runs_are_listed_newest_first_and_the_best_is_marked(repo_dir: Path, cli: Cli) -> None:
    """Names, states, metrics and the params that differ; a star at the lowest loss; constants are left out."""
    three_runs(repo_dir)
    head, *rows = cli("ls").out.splitlines()
    assert head.split() == ["name", "id", "age", "took", "loss", "size", "lr", "epochs"]
    assert [row.split()[1] for row in rows] == ["odd", "quick", "slow"]
    assert [row.split()[0] for row in rows] == ["✗", "✓", "✓"]
    assert [("★ 0.25" in row) for row in rows] == [False, True, False]


def test_no_line_of_a_list_is_wider_than_the_terminal(
    repo_dir: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any width, with long names, many columns and wide characters, each line fits."""
    params = {f"param.number.{n}": f"{n} 値" * n for n in range(12)}
    metrics = {f"metric_{n}": 1.5 * n for n in range(12)}
    seal(repo_dir, "名前" * 20, params=dict(params), metrics=metrics, experiment="e" * 60)
    seal(repo_dir, "b", params={"batch": 1}, metrics={"metric_1": 3e-9}, tags={"stage": "x" * 80})
    for columns in (60, 80, 120, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        for arguments in (["ls"], ["show", "b"], ["diff", "b", "@~1"], ["log", "b"]):
            assert max(map(width, cli(*arguments).out.splitlines())) <= columns, (columns, arguments)


def test_the_wider_the_terminal_the_more_columns(repo_dir: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is counted on stderr; what the search mentions is shown first."""
    for run in range(2):
        seal(repo_dir, f"r{run}", metrics={f"metric_{n}": float(n + run) for n in range(20)})
    narrow = cli("ls", "--sort", "metrics.metric_17")
    assert "metric_17" in narrow.out
    assert "columns more" in narrow.err
    monkeypatch.setenv("COLUMNS", "400")
    wide = cli("ls")
    assert (wide.out.count("metric_"), wide.err) == (20, "")


def test_a_limit_says_how_many_there_are(repo_dir: Path, cli: Cli) -> None:
    """The count goes to stderr; --all lifts the limit."""
    three_runs(repo_dir)
    done = cli("ls", "--limit", "1")
    assert len(done.out.splitlines()) == 2
    assert done.err.startswith("1 of 3 runs; --all shows them")
    assert len(cli("ls", "--limit", "1", "--all").out.splitlines()) == 4


def test_an_empty_repository_says_what_to_type(cli: Cli) -> None:
    """No runs is no error."""
    assert cli("ls") == Done(0, "", "No runs yet. Record the first: gitexp run train.py\n")
    assert cli("ls", "--json").json == {"total": 0, "runs": []}
    assert cli("ls", "--where", "metrics.a > 1").err == "No run matches.\nNo run has metrics.a.\n"


def test_a_misspelt_key_is_told(repo_dir: Path, cli: Cli) -> None:
    """Where nothing matches because no run has such a key, the nearest one is named."""
    three_runs(repo_dir)
    assert "No run has metrics.losss. Did you mean metrics.loss?" in cli("ls", "--where", "metrics.losss < 9").err


def test_columns_can_be_named(repo_dir: Path, cli: Cli) -> None:
    """Fields, keys with and without their family; one that no run has is an error."""
    three_runs(repo_dir)
    assert cli("ls", "--columns", "name,params.lr,loss").out.splitlines()[2].split() == ["quick", "0.2", "★", "0.25"]
    done = cli("ls", "--columns", "nope")
    assert (done.code, done.out) == (2, "")


def test_lists_for_programs_hold_everything(repo_dir: Path, cli: Cli) -> None:
    """JSON has typed values with NaN as a string, CSV a column for every key, Markdown a row for every run."""
    three_runs(repo_dir)
    document = cli("ls", "--json", "--sort", "run.start").json
    assert document["total"] == 3
    assert [run["name"] for run in document["runs"]] == ["slow", "quick", "odd"]
    assert document["runs"][2]["metrics"] == {"loss": "NaN"}
    assert document["runs"][0]["params"] == {"epochs": 5, "lr": 0.1}
    rows = list(csv.DictReader(io.StringIO(cli("ls", "--csv").out)))
    assert [(row["name"], row["params.lr"], row["metrics.size"]) for row in rows] == [
        ("odd", "0.3", ""),
        ("quick", "0.2", "3"),
        ("slow", "0.1", "3"),
    ]
    table = cli("ls", "--markdown").out.splitlines()
    assert len(table) == 5
    assert all(line.startswith("|") for line in table)


def test_names_cannot_steer_the_terminal(repo_dir: Path, cli: Cli) -> None:
    """Escape sequences in params, tags, notes and output are shown, not obeyed."""
    evil = "\x1b]0;owned\x07\u202e"
    seal(
        repo_dir,
        "evil",
        params={"p": evil},
        tags={"t": evil},
        note=f"{evil}\n{evil}",
        output=evil.encode(),
        status=Status.FAILED,
        command=("python", evil),
        warnings=(evil,),
    )
    seal(repo_dir, "tame", params={"p": 1})
    for line in ("ls", "ls --json", "ls --markdown", "show evil", "diff evil tame", "log evil"):
        out = cli(*line.split()).out
        assert out and not set(out) & set("\x1b\x07\u202e"), line


# show


def test_a_run_is_shown_whole(repo_dir: Path, cli: Cli, git: Git) -> None:
    """Header, params, metrics with their course, artifacts, code, environment, and a git command that works."""
    history = History.of([(step, 1_700_000_000.0 + step, 1.0 / (step + 1)) for step in range(50)])
    seal(
        repo_dir,
        "baseline",
        params={"lr": 0.1},
        metrics={"loss": 0.02},
        histories={"loss": history},
        artifacts={"a.txt": b"hi", "big.bin": Pointer(sha256="ab" * 32, size_bytes=12_300_000)},
        tags={"stage": "prod"},
        note="the first\n\nthat works",
    )
    text = cli("show", "baseline").out
    for expected in (
        r"^baseline  \w{12}  ✓ finished$",
        r"^default · .* \(1 min ago\) · took 12.3 s · Ann Lee on node-3$",
        r"^\$ python train.py$",
        r"^tags stage=prod$",
        r"^  that works$",
        r"^  lr  0.1$",
        r"^  loss +0.02 +0.02 +1 +50  █[▁▂▃▄▅▆▇█]+$",
        r"^Artifacts  2 files, 12.3 MB; 1 of them here: gitexp get \w{12} fetches the others$",
        r"^  big.bin  12.3 MB  not here$",
        r"^Code +[0-9a-f]{12} on main",
        r"^Environment  Python 3.11.7, 1 package$",
    ):
        assert re.search(expected, text, re.MULTILINE), expected
    [command] = re.findall(r"In plain git: git (.*)", text)
    assert git(*command.split(), cwd=repo_dir) == "lr: 0.1\n"


def test_a_failed_run_shows_the_end_of_its_output(repo_dir: Path, cli: Cli) -> None:
    """The traceback is what one wants to see first."""
    output = b"".join(b"line %d\n" % n for n in range(99)) + b"ValueError: bad\n"
    seal(repo_dir, "bad", status=Status.FAILED, exit_code=3, output=output, warnings=("The disk was full.",))
    text = cli("show", "bad").out
    assert "✗ failed (exit code 3)" in text
    assert "ValueError: bad" in text and "line 89\n" not in text
    assert "The disk was full." in text


def test_a_run_as_json_has_stable_keys(repo_dir: Path, cli: Cli) -> None:
    """Every key is there, null where nothing is known."""
    seal(repo_dir, "one", metrics={"loss": math.inf}, artifacts={"a": b"x"})
    document = cli("show", "@", "--json").json
    assert document["metrics"] == {"loss": "Infinity"}
    assert document["history"]["loss"] == {"points": 1, "first_step": 0, "last_step": 0, "min": None, "max": None}
    assert document["artifacts"][0]["size"] == 1
    assert document["parent"] is None and document["signal"] is None


def test_many_params_are_cut_and_all_shows_them(repo_dir: Path, cli: Cli) -> None:
    """A run with very many params stays readable."""
    seal(repo_dir, "many", params={f"p{n:04}": n for n in range(1000)})
    assert "and 960 more; --all shows them" in cli("show", "many").out
    assert "p0999" in cli("show", "many", "--all").out


def test_an_unknown_run_is_answered_with_near_names(repo_dir: Path, cli: Cli) -> None:
    """Exit code 3, and the names that are close."""
    seal(repo_dir, "baseline")
    done = cli("show", "baselin")
    assert done.code == 3
    assert "baseline" in done.err


# diff


def test_two_runs_side_by_side(repo_dir: Path, cli: Cli) -> None:
    """Each section shows its differences and counts the rest; better and worse are said."""
    seal(repo_dir, "one", params={"lr": 0.1, "n": 1}, metrics={"loss": 0.5, "acc": 0.9}, packages=("a==1", "b==1"))
    seal(repo_dir, "two", params={"lr": 0.2, "n": 1}, metrics={"loss": 0.4, "acc": 0.8}, packages=("a==2", "b==1"))
    text = cli("diff", "one", "two").out
    for expected in (
        r"^-  one .*✓ finished",
        r"^\+  two ",
        r"^~ lr +0.1 +0.2$",
        r"^  1 other is the same$",
        r"^~ acc +0.9 +0.8 +−0.1 \(−11.1 %\) worse$",
        r"^~ loss +0.5 +0.4 +−0.1 \(−20.0 %\) better$",
        r"^~ a +1 +2$",
        r"^Code  not captured$",
        r"^Artifacts  none$",
    ):
        assert re.search(expected, text, re.MULTILINE), expected
    assert "  n " not in text
    assert "  n " in cli("diff", "one", "two", "--all").out


def test_the_exit_code_tells_a_difference_only_when_asked(repo_dir: Path, cli: Cli) -> None:
    """As with `git diff`, --exit-code is needed."""
    seal(repo_dir, "one", params={"lr": 0.1})
    seal(repo_dir, "two", params={"lr": 0.2})
    assert cli("diff", "one", "two").code == 0
    assert cli("diff", "one", "two", "--exit-code").code == 1
    assert cli("diff", "one", "one", "--exit-code").code == 0


def test_the_codes_diff_is_one_that_git_applies(repo_dir: Path, cli: Cli, git: Git) -> None:
    """Piped, `diff --code` is bytes for `git apply`; in Markdown it stands in a fence."""
    before = git("rev-parse", "HEAD^{tree}", cwd=repo_dir).strip()
    (repo_dir / "train.py").write_bytes(b"print('\xff')\n")
    git("add", "-A", cwd=repo_dir)
    after = git("write-tree", cwd=repo_dir).strip()
    seal(repo_dir, "one", code_tree=before)
    seal(repo_dir, "two", code_tree=after)
    git("reset", "-q", "--hard", cwd=repo_dir)
    command = [sys.executable, "-m", "gitexp", "diff", "one", "two", "--code"]
    patch = subprocess.run(command, cwd=repo_dir, capture_output=True, check=True).stdout
    subprocess.run(["git", "apply", "--index", "-"], cwd=repo_dir, input=patch, check=True)
    assert git("write-tree", cwd=repo_dir).strip() == after
    assert "```diff\ndiff --git a/train.py b/train.py\n" in cli("diff", "one", "two", "--code", "--markdown").out


def test_a_comparison_as_json_and_markdown(repo_dir: Path, cli: Cli) -> None:
    """Programs get every key with what became of it, a pull request a table for each section."""
    seal(repo_dir, "one", params={"lr": 0.1}, metrics={"loss": 0.5})
    seal(repo_dir, "two", params={"lr": 0.2}, metrics={"loss": 0.25})
    document = cli("diff", "one", "--json").json
    assert document["params"] == [{"key": "lr", "kind": "changed", "before": 0.1, "after": 0.2}]
    assert document["metrics"][0]["delta"] == -0.25 and document["metrics"][0]["better"] is True
    assert document["same"] is False
    table = cli("diff", "one", "two", "--markdown").out
    assert "| lr" in table and "better" in table and "`git diff " in table


# Changing


def test_a_run_is_tagged_noted_renamed_removed_and_restored(repo_dir: Path, cli: Cli) -> None:
    """Each change is confirmed on stderr, seen by the next command, and listed by `log` with its author."""
    seal(repo_dir, "one")
    for arguments in (
        ["tag", "one", "stage=prod", "best"],
        ["tag", "one", "--remove", "best"],
        ["note", "one", "as good as it gets"],
        ["rename", "one", "uno"],
        ["rm", "uno"],
        ["restore", "uno"],
    ):
        done = cli(*arguments)
        assert (done.code, done.out) == (0, ""), done
        assert done.err
    run = cli("show", "uno", "--json").json
    assert (run["tags"], run["note"], run["deleted"]) == ({"stage": "prod"}, "as good as it gets", None)
    events = cli("log", "uno", "--json").json["events"]
    assert [event["event"] for event in events] == ["restore", "rm", "rename", "note", "tag", "tag", "seal"]
    text = cli("log", "uno").out
    assert "name: one → uno" in text and "+ stage = prod" in text and "- best" in text and "Ann Lee" in text


def test_removed_runs_are_listed_only_when_asked(repo_dir: Path, cli: Cli) -> None:
    """`rm` says how to take it back."""
    identity = seal(repo_dir, "one")
    assert f"gitexp restore {identity}" in cli("rm", "one").err
    assert cli("ls").out == ""
    assert "one" in cli("ls", "--deleted").out


def test_removing_several_needs_a_yes(repo_dir: Path, cli: Cli) -> None:
    """Where nobody can be asked, --yes is needed, and nothing is removed without it."""
    seal(repo_dir, "one")
    seal(repo_dir, "two")
    assert cli("rm", "one", "two").code == 2
    assert cli("ls", "--json").json["total"] == 2
    assert cli("rm", "one", "two", "--yes").code == 0
    assert cli("ls", "--json").json["total"] == 0


def test_a_note_can_be_piped_in(repo_dir: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a text and without a terminal, stdin is the note; an empty one removes it."""
    seal(repo_dir, "one")
    monkeypatch.setattr("sys.stdin", io.StringIO("piped\nin\n"))
    assert cli("note", "one").code == 0
    assert cli("show", "one", "--json").json["note"] == "piped\nin"
    assert cli("note", "one", "").code == 0
    assert cli("show", "one", "--json").json["note"] is None


def test_names_and_keys_that_cannot_be_stored_are_refused(repo_dir: Path, cli: Cli) -> None:
    """Exit code 2 and a sentence, and the run stays as it was."""
    seal(repo_dir, "one")
    for arguments in (["rename", "one", ""], ["rename", "one", "a\nb"], ["tag", "one", "=x"], ["tag", "one"]):
        done = cli(*arguments)
        assert done.code == 2 and done.err.startswith("error: "), arguments
    assert len(cli("log", "one", "--json").json["events"]) == 1


# Upkeep


def test_a_whole_repository_passes_and_a_damaged_one_does_not(repo_dir: Path, cli: Cli) -> None:
    """`fsck` leaves with 5 where something is damaged, and says what to do."""
    seal(repo_dir, "one")
    assert cli("fsck", "--full").code == 0
    ref = repo_dir / ".git" / "refs" / "gitexp" / "runs" / "default" / "zzzzzzzzzzzz"
    ref.write_text("not an object id\n")
    done = cli("fsck")
    assert done.code == 5
    assert "zzzzzzzzzzzz" in done.out
    assert cli("fsck", "--json").json[0]["severity"] == "error"


def test_gc_frees_what_was_removed_and_says_so(repo_dir: Path, cli: Cli) -> None:
    """A dry run names the runs and frees nothing; `--keep 0s` frees at once."""
    seal(repo_dir, "one")
    cli("rm", "one")
    assert "would forget one" in cli("gc", "--dry-run", "--keep", "0s").out
    assert cli("ls", "--deleted", "--json").json["total"] == 1
    assert "forgot one" in cli("gc", "--keep", "0s").out
    assert cli("ls", "--deleted", "--json").json["total"] == 0
    assert cli("gc", "--keep", "soon").code == 2


# init, completion, docs


def test_init_writes_settings_and_overwrites_nothing(repo_dir: Path, cli: Cli) -> None:
    """The settings folder is made at the top of the repository, once; what a person wrote stays."""
    done = cli("init")
    assert done.code == 0 and "gitexp run train.py" in done.err
    settings = repo_dir / ".gitexp" / "config.yaml"
    settings.write_text("experiment: mine\n")
    assert cli("init").code == 0
    assert settings.read_text() == "experiment: mine\n"


def test_init_makes_a_repository_only_when_told(
    tmp_path: Path, cli: Cli, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a person to ask, --yes is needed."""
    folder = tmp_path / "new"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert cli("init").code == 4
    assert list(folder.iterdir()) == []
    assert cli("init", "--yes").code == 0
    assert git("rev-parse", "--show-toplevel", cwd=folder).strip() == str(folder.resolve())


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"autolog": False}, "'autolog' is a group of settings", "They are autolog.enabled, autolog.exclude."),
        ({"hooks": {"after": "x"}}, "'hooks.after': expected a list of texts", ""),
        ({"autologs": False}, "there is no setting 'autologs'", "The settings are experiment, "),
    ],
)
def test_a_wrong_setting_is_said_with_what_is_right(settings: dict[str, object], message: str, hint: str) -> None:
    """A group without its settings is told from a name that does not exist."""
    with pytest.raises(UsageError, match=message) as raised:
        parse_config(settings, file="config.yaml")
    assert hint in raised.value.hint


def test_the_template_shows_the_true_defaults(tmp_path: Path) -> None:
    """With every comment mark removed the settings are what they are without the file."""
    [path] = install_template(tmp_path)
    prose, _, settings = path.read_text().partition("\n\n")
    assert prose.startswith("#")
    uncommented = re.sub(r"^# ?", "", settings, flags=re.MULTILINE)
    assert parse_config(load_yaml(uncommented, what="template"), file="template") == Config()
    assert load_yaml(path.read_text(), what="template") is None


def test_shells_complete_commands_runs_and_keys(repo_dir: Path) -> None:
    """bash gets commands, names of runs, and keys inside a search expression."""
    seal(repo_dir, "baseline", params={"lr": 0.1}, metrics={"loss": 1.0})

    def complete(line: str) -> list[str]:
        words = line.split(" ")
        environ = {
            **os.environ,
            "_GITEXP_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        return [item.partition(",")[2] for item in gitexp_process(cwd=repo_dir, env=environ).stdout.splitlines()]

    assert complete("gitexp sh") == ["show"]
    assert complete("gitexp show ba") == ["baseline"]
    assert complete("gitexp ls --sort metrics.l") == ["metrics.loss"]
    assert "complete" in gitexp_process("completion", "bash", cwd=repo_dir).stdout


def test_the_reference_is_current() -> None:
    """docs/cli.md is what docs/generate_cli.py writes."""
    document = runpy.run_path(str(TOP / "docs" / "generate_cli.py"))["document"]()
    assert (TOP / "docs" / "cli.md").read_text(encoding="utf-8") == document, "run: python docs/generate_cli.py"


# run, and real terminals


def test_options_after_the_script_are_the_scripts(repo_dir: Path) -> None:
    """Everything behind the script reaches it untouched, options that gitexp has too; its exit code is ours."""
    (repo_dir / "args.py").write_text("import sys; print(sys.argv[1:]); sys.exit(7)\n")
    done = gitexp_process("run", "-n", "first", "args.py", "-n", "x", "--name=y", "--", "--json", cwd=repo_dir)
    assert (done.returncode, done.stdout) == (7, "['-n', 'x', '--name=y', '--', '--json']\n"), done.stderr
    shown = json.loads(gitexp_process("show", "first", "--json", cwd=repo_dir).stdout)
    assert (shown["status"], shown["exit_code"], shown["entry_point"]) == ("failed", 7, "args.py")


def test_modules_and_any_command_can_be_run(repo_dir: Path) -> None:
    """`-m` runs a module, `--` any command."""
    (repo_dir / "tool.py").write_text("print(__name__)\n")
    assert gitexp_process("run", "-t", "a=b", "-m", "tool", "-x", cwd=repo_dir).stdout == "__main__\n"
    assert gitexp_process("run", "--", "sh", "-c", "echo $0 $1", "x", "-y", cwd=repo_dir).stdout == "x -y\n"
    assert gitexp_process("run", "nothing.py", cwd=repo_dir).returncode == 3
    assert gitexp_process("run", cwd=repo_dir).returncode == 2


def test_a_run_adds_nothing_to_what_programs_read(repo_dir: Path) -> None:
    """Piped, stdout and stderr hold what the script wrote and nothing else."""
    (repo_dir / "speak.py").write_text("import sys; print('out'); print('err', file=sys.stderr)\n")
    done = gitexp_process("run", "speak.py", cwd=repo_dir)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_colours_on_a_terminal_and_a_question_that_is_asked(repo_dir: Path) -> None:
    """On a terminal the list has colours, and removing several asks: the answer no keeps them."""
    three_runs(repo_dir)
    shown = in_terminal(["ls"], repo_dir)
    assert b"\x1b[1;32m" in shown and "✓".encode() in shown
    assert b"Remove slow, quick?" in in_terminal(["rm", "slow", "quick"], repo_dir, answer=b"n\n")
    assert len(json.loads(gitexp_process("ls", "--json", cwd=repo_dir).stdout)["runs"]) == 3


def in_terminal(arguments: list[str], folder: Path, answer: bytes = b"") -> bytes:
    """What a person sees who runs a command in a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "100", "TERM": "xterm", "PYTHONUTF8": "1"}
    environ.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "gitexp", *arguments]
    child = subprocess.Popen(command, cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    if answer:
        os.write(ours, answer)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    os.close(ours)
    child.wait()
    return seen
