"""The files that a command makes or changes become artifacts, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conftest import Git
from gitexp.errors import UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.running.globs import Glob, Globs
from gitexp.running.launch import Kind, LaunchRequest, launch
from gitexp.store.git.ignore import PathPattern
from launching import PATIENCE_S, SOURCES

pytestmark = pytest.mark.slow


def run(folder: Path, script: str, *options: str, cwd: Path | None = None, fails: bool = False) -> RunView:
    """Record a script that is fed to Python on a command line of its own, so that it is no file of the repository."""
    command = [sys.executable, "-m", "gitexp", "run", *options, "--", sys.executable, "-c", textwrap.dedent(script)]
    environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        command, check=False, cwd=cwd or folder, env=environ, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert fails or done.returncode == 0, done.stderr
    return Repository.open(folder).get_run("@")


def kept(run: RunView) -> dict[str, int]:
    sizes = {True: len, False: lambda pointer: pointer.size_bytes}
    return {path: sizes[isinstance(content, bytes)](content) for path, content in run.artifacts.items()}


def test_new_and_changed_untracked_files_are_kept(repo_dir: Path) -> None:
    """A new file, one in a new folder, one that was empty and one rewritten; a failing run keeps them, too."""
    (repo_dir / "log.txt").write_text("old")
    (repo_dir / "empty.txt").touch()
    script = """
        import os, pathlib
        pathlib.Path("new.txt").write_text("12")
        os.makedirs("plots/deep"), pathlib.Path("plots/deep/roc.png").write_bytes(b"x" * 70_000)
        pathlib.Path("log.txt").write_text("new")
        open("empty.txt", "a").write("1234")
        raise SystemExit(3)
    """
    found = run(repo_dir, script, fails=True)
    assert kept(found) == {"new.txt": 2, "plots/deep/roc.png": 70_000, "log.txt": 3, "empty.txt": 4}
    assert found.record.exit_code == 3


def test_what_was_there_before_is_not_kept(repo_dir: Path) -> None:
    """Untracked files that stay or get the same content again, ignored ones, and tracked ones, changed or not."""
    (repo_dir / ".gitignore").write_text("cache/\n")
    (repo_dir / "data").mkdir()
    (repo_dir / "data" / "there.csv").write_text("1")
    (repo_dir / "big.bin").write_bytes(b"a" * 11_000_000)
    (repo_dir / "cache").mkdir()
    script = """
        import os, pathlib
        there = pathlib.Path("data/there.csv")
        there.unlink(), there.write_text("1")
        pathlib.Path("big.bin").write_bytes(b"a" * 11_000_000)
        pathlib.Path("cache/new").write_text("ignored")
        pathlib.Path("params.yaml").write_text("lr: 0.2")
    """
    assert kept(run(repo_dir, script)) == {}


def test_a_large_file_with_another_content_of_the_same_size_is_kept(repo_dir: Path) -> None:
    """The snapshot knows a large file by its SHA-256, and that decides."""
    (repo_dir / "big.bin").write_bytes(b"a" * 11_000_000)
    found = run(repo_dir, 'open("big.bin", "r+b").write(b"b")')
    assert kept(found) == {"big.bin": 11_000_000}


def test_what_nobody_means_to_keep_is_not_kept(repo_dir: Path) -> None:
    """Secrets, caches, what a new .gitignore says, other repositories and gitexp's own folder."""
    script = """
        import os, pathlib, subprocess
        for path in (".env", "keys/id_rsa", "__pycache__/a.pyc", "b.pyc", ".ipynb_checkpoints/n.ipynb", "p/.DS_Store",
                     ".gitexp/x.yaml", "cache/CACHEDIR.TAG"):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            pathlib.Path(path).write_text("x")
        pathlib.Path("cache/.gitignore").write_text("*")
        subprocess.run(["git", "clone", "-q", ".", "cloned"], check=True)
        os.mkfifo("fifo")
    """
    assert kept(run(repo_dir, script)) == {}
    assert kept(run(repo_dir, 'open("cert.pem", "w")', "--output", "*.pem")) == {}
    assert "cert.pem" in "".join(Repository.open(repo_dir).get_run("@").record.warnings)


def test_a_file_in_which_a_value_was_set_is_not_kept(repo_dir: Path) -> None:
    """gitexp itself changed it, and put it back."""
    (repo_dir / "config.yaml").write_text("depth: 3\n")
    found = run(repo_dir, 'assert "depth: 4" in open("config.yaml").read()', "--set", "depth=4")
    assert found.params["depth"] == 4
    assert kept(found) == {}


def test_a_file_that_is_committed_meanwhile_is_code(repo_dir: Path) -> None:
    """Somebody goes on working while a run lasts: what they commit or check out is no artifact."""
    script = """
        import pathlib, subprocess
        pathlib.Path("feature.py").write_text("x")
        subprocess.run(["git", "add", "feature.py"], check=True)
        pathlib.Path("result.txt").write_text("x")
    """
    assert set(kept(run(repo_dir, script))) == {"result.txt"}


def test_declared_outputs_are_kept_although_git_ignores_them(repo_dir: Path) -> None:
    """Whether declared by option or setting: those that the run wrote, not those that lay there."""
    (repo_dir / ".gitignore").write_text("models/\nlogs/\n*.pt\n")
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text("outputs:\n  paths: ['models/**', '!models/tmp/**', '*.pt']\n")
    (repo_dir / "models").mkdir()
    (repo_dir / "models" / "old").write_text("x")
    (repo_dir / "models" / "again").write_text("same")
    script = """
        import os, pathlib
        for path in ("models/new", "models/a/b/deep", "models/tmp/t", "logs/run.log", "logs/other", "sub/x.pt"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            pathlib.Path(path).write_text("x")
        pathlib.Path("models/again").write_text("same")
    """
    found = run(repo_dir, script, "--output", "logs/run.log")
    assert set(kept(found)) == {"models/new", "models/a/b/deep", "models/again", "logs/run.log", "sub/x.pt"}


def test_patterns_are_seen_from_where_the_command_runs_and_from_the_root(repo_dir: Path) -> None:
    """In a subfolder both `out` there and `out` at the top are meant; a script may change directory as it likes."""
    (repo_dir / ".gitignore").write_text("out/\n")
    (repo_dir / "sub").mkdir()
    (repo_dir / "sub" / "file").touch()
    script = """
        import os, pathlib
        os.makedirs("out"), pathlib.Path("out/here").write_text("x")
        os.chdir(".."), os.makedirs("out"), pathlib.Path("out/top").write_text("x")
    """
    assert set(kept(run(repo_dir, script, "--output", "out", cwd=repo_dir / "sub"))) == {"sub/out/here", "out/top"}


def test_outputs_elsewhere_are_kept_by_their_whole_path(repo_dir: Path, tmp_path: Path) -> None:
    """A declared folder may lie outside the repository, or be a link that leads out of it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (repo_dir / "models").symlink_to(scratch)
    script = f"open({str(scratch / 'm.pt')!r}, 'w').write('x')"
    assert set(kept(run(repo_dir, script, "--output", f"{scratch}/*.pt"))) == {str(scratch / "m.pt").lstrip("/")}
    assert set(kept(run(repo_dir, script, "--output", "models/**"))) == {"models/m.pt"}


def test_links_are_kept_where_they_lead_to_what_is_kept(repo_dir: Path, tmp_path: Path) -> None:
    """`last.ckpt` is the file that it leads to; links to older files and out of the repository are nothing."""
    (tmp_path / "outside").write_text("x")
    script = f"""
        import os, pathlib
        pathlib.Path("epoch=3.ckpt").write_text("123")
        os.symlink("epoch=3.ckpt", "last.ckpt")
        os.symlink("train.py", "code"), os.symlink({str(tmp_path / "outside")!r}, "out"), os.symlink("no", "broken")
        os.symlink({str(tmp_path)!r}, "folder")
    """
    assert kept(run(repo_dir, script)) == {"epoch=3.ckpt": 3, "last.ckpt": 3}


def test_what_the_script_logged_is_not_kept_twice(repo_dir: Path) -> None:
    """The same content under another name is one artifact; a logged name is not overwritten."""
    script = """
        import gitexp, pathlib
        with gitexp.start_run() as run:
            pathlib.Path("model.txt").write_text("weights"), run.log_artifact("model.txt", "model")
            pathlib.Path("notes.txt").write_text("early"), run.log_artifact("notes.txt")
            pathlib.Path("notes.txt").write_text("later")
    """
    found = run(repo_dir, script)
    assert kept(found) == {"model/model.txt": 7, "notes.txt": 5}
    assert any("notes.txt" in warning for warning in found.record.warnings)


def test_too_much_is_told_and_not_kept(repo_dir: Path) -> None:
    """Of undeclared files that pass snapshot.max_total the largest are left out, declared ones never."""
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text("snapshot:\n  max_total: 100k\n")
    script = """
        import pathlib
        for name, size in (("small", 10), ("large", 200_000), ("larger", 300_000), ("model.pt", 500_000)):
            pathlib.Path(name).write_bytes(b"x" * size)
    """
    found = run(repo_dir, script, "--output", "model.pt")
    assert kept(found) == {"small": 10, "model.pt": 500_000}
    assert [warning for warning in found.record.warnings if "2 of 3 new files" in warning and "'larger'" in warning]


def test_an_output_that_leads_to_nothing_is_told(repo_dir: Path) -> None:
    """A pattern of an option that no file matches, or none that was written; not where the command failed."""
    (repo_dir / "old.bin").write_text("x")
    script = 'open("new.txt", "w").write("1")'
    options = [f"--output={pattern}" for pattern in ("modles/**", "*.bin", "new.txt", "*.txt", "!*.tmp")]
    found = run(repo_dir, script, *options)
    assert list(found.record.warnings) == [
        "No file matches --output 'modles/**'.",
        "The command wrote no file that matches --output '*.bin'; one was there before.",
    ]
    assert run(repo_dir, "raise SystemExit(1)", *options, fails=True).record.warnings == ()


@pytest.mark.parametrize("pattern", ["", "!", "models/[", "*.[ch", "a\\"])
def test_an_output_that_no_file_can_match_is_refused(repo_dir: Path, pattern: str) -> None:
    """Before anything is run, whether an option or a setting says it."""
    with pytest.raises(UsageError, match=r"which no file can match|is empty"):
        launch_nothing(repo_dir, outputs=(pattern,))
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text(f"outputs:\n  paths: ['{pattern}']\n")
    with pytest.raises(UsageError, match=r"outputs\.paths"):
        launch_nothing(repo_dir)
    assert Repository.open(repo_dir).search() == []


def launch_nothing(folder: Path, **said: Any) -> None:
    """Launch a command that must not begin."""
    request = LaunchRequest(kind=Kind.COMMAND, words=["false"], environ=os.environ, **said)
    launch(request, Repository.open(folder), on_trouble=pytest.fail)


def test_untracked_files_can_be_left_alone(repo_dir: Path) -> None:
    """`outputs.untracked: false` leaves only what is declared."""
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text("outputs:\n  untracked: false\n")
    found = run(repo_dir, 'open("a", "w"), open("b", "w")', "--output", "b")
    assert set(kept(found)) == {"b"}


def test_odd_names_are_kept_or_told(repo_dir: Path) -> None:
    """Umlauts and spaces are names like any other; a newline in one is a warning."""
    found = run(repo_dir, 'open("möbel 1.txt", "w"), open("a\\nb", "w")')
    assert set(kept(found)) == {"möbel 1.txt"}
    assert any("a\nb" in warning or "a\\nb" in warning for warning in found.record.warnings)


PARTS = (st.text("ab*?.", min_size=1, max_size=3) | st.just("**")).filter(lambda part: part not in (".", ".."))
NAMES = st.text("ab.", min_size=1, max_size=2).filter(lambda name: name not in (".", ".."))


@given(st.lists(PARTS, min_size=2, max_size=3), st.lists(NAMES, min_size=1, max_size=3))
def test_a_pattern_matches_what_git_ignores_by_it(parts: list[str], names: list[str]) -> None:
    """Patterns with a `/` mean what they mean in a .gitignore, for every path below a folder."""
    pattern = "/".join(parts)
    assume(os.path.normpath(pattern) == pattern and not any(1 < part.count("*") != 2 for part in parts))
    assume(not any("**" in part and part != "**" for part in parts))
    ignored = PathPattern(f"/{pattern}".encode())
    above = ["/".join(names[:count]).encode() for count in range(1, len(names) + 1)]
    expected = any(ignored.matches(path, path.rpartition(b"/")[2]) for path in above)
    assert Glob(pattern, "/top").matches("/top/" + "/".join(names)) == expected


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.pt", {"a.pt", "m/b.pt", "m/n/c.pt", "x.pt/inner"}),
        ("m/*.pt", {"m/b.pt"}),
        ("m/**", {"m/b.pt", "m/d", "m/n/c.pt"}),
        ("m/**/c.pt", {"m/n/c.pt"}),
        ("m/", {"m/b.pt", "m/d", "m/n/c.pt"}),
        ("m", {"m/b.pt", "m/d", "m/n/c.pt"}),
        ("./m/d", {"m/d"}),
        ("n", set()),
        ("**/n", {"m/n/c.pt"}),
        ("[am]*/d", {"m/d"}),
        ("../*/m/nothing", set()),
    ],
)
def test_patterns_find_files(tmp_path: Path, pattern: str, found: set[str]) -> None:
    """A listing and the question about a single path agree."""
    for path in ("a.pt", "m/b.pt", "m/d", "m/n/c.pt", "x.pt/inner", "__pycache__/z.pt", "env/pyvenv.cfg", "env/q.pt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    globs = Globs((pattern,), (str(tmp_path),))
    assert {os.path.relpath(path, tmp_path) for path in globs.files()} == found
    assert all(globs.matches(str(tmp_path / path)) for path in found)
    assert not globs.matches(str(tmp_path / "m" / "zz" / "e")) or pattern in ("m", "m/", "m/**")


def test_git_is_asked_nothing(repo_dir: Path, git: Git) -> None:
    """The index and the work tree are as the command left them."""
    before = git("status", "--porcelain", cwd=repo_dir)
    index = (repo_dir / ".git" / "index").read_bytes()
    run(repo_dir, 'open("a", "w")')
    assert (repo_dir / ".git" / "index").read_bytes() == index
    assert git("status", "--porcelain", cwd=repo_dir) == before + "?? a\n"
