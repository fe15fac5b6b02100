"""What a script is told, and what becomes of it, when recording fails."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitexp
from gitexp import session
from gitexp.errors import StorageFailed

FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""


@pytest.fixture(autouse=True)
def in_repository(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test works in a repository of its own and leaves no run active."""
    monkeypatch.chdir(repo_dir)
    yield
    while run := gitexp.active_run():
        run.end()
    session._repositories.clear()


@pytest.fixture
def refusing(repo_dir: Path) -> None:
    """Nothing can be stored in the repository."""
    (repo_dir / ".git" / "gitexp").write_text("a file where a folder has to be")


def here() -> tuple[str, int]:
    """The file and line that this is called from."""
    frame = sys._getframe(1)
    return frame.f_code.co_filename, frame.f_lineno


@pytest.mark.usefixtures("refusing")
def test_a_script_goes_on_where_nothing_can_be_stored() -> None:
    """All functions for logging do nothing, and each start of a run is one warning."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gitexp.log_metric("loss", 0.5)
        gitexp.log_metrics({"loss": 0.25})
        gitexp.log_batch({"loss": [1.0, 2.0]})
        gitexp.log_params({"lr": 0.1})
        gitexp.set_tag("a", "b")
        gitexp.set_note("c")
        gitexp.log_artifact(__file__)
        gitexp.log_text("d", "d.txt")
        gitexp.end_run()
        with gitexp.start_run("named", nested=True, params={"lr": 1}) as run:
            gitexp.log_metric("loss", 0.5, step=3)
            with gitexp.start_run(nested=True):
                gitexp.log_table({"a": [1]}, "table.csv")
    assert run.commit is None
    assert [str(warning.message)[:24] for warning in told] == ["The run is not recorded."] * 3


@pytest.mark.usefixtures("refusing")
def test_a_strict_run_does_not_begin_where_nothing_can_be_stored() -> None:
    """Whoever asks for it gets the error."""
    with pytest.raises(StorageFailed):
        gitexp.start_run(strict=True)


def test_a_nested_run_is_recorded_when_the_disk_takes_it_again(repo_dir: Path) -> None:
    """It has no parent then, for there is none."""
    place = repo_dir / ".git" / "gitexp"
    place.write_text("")
    with pytest.warns(gitexp.GitexpWarning, match="is not recorded"):
        outer = gitexp.start_run("outer")
    place.unlink()
    with outer, gitexp.start_run("inner", nested=True):
        gitexp.log_metric("loss", 0.5)
    [found] = gitexp.search_runs()
    assert (found.record.name, found.record.parent, found.metrics) == ("inner", None, {"loss": 0.5})


@pytest.mark.parametrize(("size", "fate"), [(0, "The run 'full' is lost"), (8192, "What could be written of the run")])
def test_a_full_disk_promises_only_what_is_kept(repo_dir: Path, size: int, fate: str) -> None:
    """A run of which something was written is there later, as promised; of another it is said that it is lost."""
    packs = repo_dir / ".git" / "objects" / "pack"
    packs.rename(repo_dir / "packs")
    packs.write_text("the run cannot be sealed")
    program = FULL_DISK.format(size=size) + (
        "import gitexp\nwith gitexp.start_run('full'):\n"
        "    for step in range(1000):\n        gitexp.log_metric('loss', 0.5, step=step)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repo_dir, capture_output=True, text=True, check=True)
    assert fate in done.stderr
    packs.unlink()
    (repo_dir / "packs").rename(packs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gitexp.GitexpWarning)
        found = gitexp.search_runs()
    if size:
        assert 0 < len(gitexp.get_run("full").history("loss")) < 1000
    else:
        assert found == []


def test_a_warning_points_at_the_line_of_the_script() -> None:
    """Not into gitexp, whichever function it was, and however deep the trouble."""
    with warnings.catch_warnings(record=True) as told, gitexp.start_run() as run:
        warnings.simplefilter("always")
        lines = [here()]
        gitexp.log_metric("loss", "none")
        run.log_metric("acc", "none")
        gitexp.log_artifact("missing.txt")
        gitexp.log_table(3, "table.csv")
    assert [(warning.filename, warning.lineno) for warning in told] == [
        (file, line + below) for file, line in lines for below in (1, 2, 3, 4)
    ]
