"""Metrics that a command writes to files: event files, DVCLive's folders, declared tables, summaries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import event_files
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.running.naming import Prefixes
from gitexp.running.tables import Row, Table
from launching import PATIENCE_S, SOURCES

pytestmark = pytest.mark.slow

PYTHON = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", "")

needs_frameworks = pytest.mark.skipif(not PYTHON, reason="GITEXP_FRAMEWORKS_PYTHON names no interpreter")


def run(
    folder: Path,
    script: str,
    *options: str,
    python: str = sys.executable,
    settings: str = "",
    command: str = "train.py",
) -> RunView:
    (folder / ".gitexp").mkdir(exist_ok=True)
    (folder / ".gitexp" / "config.yaml").write_text(f"system:\n  metrics: false\n{settings}")
    (folder / "train.py").write_text(textwrap.dedent(script))
    environ = {**os.environ, "PYTHONPATH": str(SOURCES), "VIRTUAL_ENV": str(Path(python).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "gitexp", "run", *options, command],
        check=False,
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return Repository.open(folder).get_run("@")


def points(run: RunView) -> dict[str, list[tuple[int, float]]]:
    return {key: [(point.step, point.value) for point in run.history(key)] for key in run.metrics}


def declared(*patterns: str) -> str:
    return f"metrics:\n  files: {json.dumps(patterns)}\n"


# Event files.


def test_scalars_keep_their_steps_and_times(repo_dir: Path) -> None:
    """Found in a git-ignored folder of a usual name, without any writer telling of itself."""
    (repo_dir / ".gitignore").write_text("runs/\n")
    script = event_files.WRITER + "print(time.time()); write('runs/now', ['loss', 'val/acc'])"
    found = run(repo_dir, script)
    assert points(found) == {key: [(0, 1.0), (1, 0.5), (2, 0.33333334)] for key in ("loss", "val/acc")}
    printed = float((found.output or b"").decode())
    assert all(0 <= point.time - printed < 10 for point in found.history("loss"))
    assert list(found.artifacts) == []


def test_new_event_files_are_found_wherever_git_would_see_them(repo_dir: Path) -> None:
    """They are artifacts then, as any new file."""
    found = run(repo_dir, event_files.WRITER + "write('my/own/place', ['loss'])")
    assert set(points(found)) == {"loss"}
    assert [os.path.dirname(path) for path in found.artifacts] == ["my/own/place"]


def test_declared_event_files_are_found_anywhere(repo_dir: Path, tmp_path: Path) -> None:
    """An ignored folder of an unusual name, and one outside."""
    (repo_dir / ".gitignore").write_text("out/\n")
    script = event_files.WRITER + f"write('out', ['a']), write({str(tmp_path / 'else')!r}, ['b'])"
    found = run(repo_dir, script, settings=declared("out/**", f"{tmp_path}/else/*"))
    assert {key.rpartition("/")[2] for key in points(found)} == {"a", "b"}


def test_files_of_other_runs_are_not_read(repo_dir: Path) -> None:
    """Older ones, also where something was appended to them or their date is new."""
    (repo_dir / "runs").mkdir()
    old = repo_dir / "runs" / "events.out.tfevents.1.host"
    old.write_bytes(event_files.begin(1_700_000_000) + event_files.scalar("old", 0, 1))
    script = (
        event_files.WRITER
        + f"""
os.utime({str(old)!r}), open({str(old)!r}, "ab").write(event_files.scalar("old", 1, 1))
write("runs/new", ["new"])
"""
    )
    assert set(points(run(repo_dir, script))) == {"new"}


def test_several_folders_give_their_names(repo_dir: Path) -> None:
    """As TensorBoard shows them; a folder named by the time, where hparams lie, gives none."""
    script = (
        event_files.WRITER
        + """
write("runs/a", ["loss"]), write("runs/a/val", ["loss"]), write("runs/a/1700000000.25", ["score"])
"""
    )
    assert set(points(run(repo_dir, script))) == {"loss", "val/loss", "score"}
    assert set(points(run(repo_dir, event_files.WRITER + "write('runs/b/train', ['loss'])"))) == {"train/loss"}


def test_ignored_metrics_are_left_out(repo_dir: Path) -> None:
    """`metrics.ignore` counts for files, too."""
    script = event_files.WRITER + "write('runs/a', ['loss', 'time/epoch'])"
    assert set(points(run(repo_dir, script, settings="metrics:\n  ignore: ['time/*']\n"))) == {"loss"}


def test_a_damaged_event_file_is_a_warning(repo_dir: Path) -> None:
    """What can be read of it is kept."""
    script = event_files.WRITER + "open(write('runs/a', ['loss']), 'ab').write(b'junk' * 10)"
    found = run(repo_dir, script)
    assert len(found.history("loss")) == 3
    assert any("runs/a/events" in warning for warning in found.record.warnings)


@pytest.mark.slow
def test_a_live_run_shows_its_metrics(repo_dir: Path) -> None:
    """The script waits until its own event file is read; it would wait for ever if that were done in the end."""
    script = (
        event_files.WRITER
        + f"""
from gitexp.repo import Repository
write("runs/a", ["loss"])
run = Repository.open({str(repo_dir)!r}).get_run("@")
deadline = time.time() + {PATIENCE_S}
while "loss" not in run.metrics:
    assert time.time() < deadline
    run = Repository.open({str(repo_dir)!r}).get_run("@")
"""
    )
    assert points(run(repo_dir, script))["loss"] == [(0, 1.0), (1, 0.5), (2, 0.33333334)]


def test_a_writer_tells_where_it_writes(repo_dir: Path, tmp_path: Path) -> None:
    """A class of that name in that module, here a made-up one, whose file lies where nobody would look."""
    (repo_dir / "tensorboardX").mkdir()
    (repo_dir / "tensorboardX" / "__init__.py").touch()
    (repo_dir / "tensorboardX" / "event_file_writer.py").write_text(
        event_files.WRITER
        + f"""
class EventsWriter:
    def __init__(self, folder):
        self._file_name = write(folder, ["loss"])
writer = EventsWriter({str(tmp_path / "far")!r})
assert vars(writer) == {{"_file_name": writer._file_name}} and os.path.isfile(writer._file_name)
try:
    EventsWriter.__new__(EventsWriter)._file_name
except AttributeError as error:
    assert "_file_name" in str(error)
else:
    raise AssertionError
"""
    )
    script = f"""
    from tensorboardX.event_file_writer import EventsWriter
    writer = EventsWriter({str(tmp_path / "away")!r})
    assert list(vars(writer)) == ["_file_name"]
    """
    assert set(points(run(repo_dir, script))) == {"loss"}


# DVCLive.


DVCLIVE = """
import json, os
def live(folder, steps):
    os.makedirs(f"{folder}/plots/metrics/train", exist_ok=True), os.makedirs(f"{folder}/plots/images", exist_ok=True)
    for step in steps:
        for name, value in (("train/loss", 1 / (step + 1)), ("acc", step)):
            path = f"{folder}/plots/metrics/{name}.tsv"
            new = not os.path.exists(path)
            with open(path, "a") as file:
                if new:
                    file.write(f"timestamp\\tstep\\t{os.path.basename(name)}\\n")
                file.write(f"1700000000500\\t{step}\\t{value}\\n")
    open(f"{folder}/plots/images/a.png", "w").write(str(step))
    open(f"{folder}/params.yaml", "w").write("lr: 0.1\\nmodel:\\n  depth: 4\\n")
    summary = {"train": {"loss": 1 / (step + 1)}, "acc": step, "best": 3, "step": step}
    json.dump(summary, open(f"{folder}/metrics.json", "w"))
"""


def test_a_folder_of_dvclive_is_read(repo_dir: Path) -> None:
    """Histories with steps and times, what only the summary has, params and plots; nothing twice."""
    (repo_dir / ".gitignore").write_text("dvclive/\n")
    found = run(repo_dir, DVCLIVE + "live('dvclive', range(3))")
    assert points(found) == {
        "train/loss": [(0, 1.0), (1, 0.5), (2, 1 / 3)],
        "acc": [(0, 0), (1, 1), (2, 2)],
        "best": [(2, 3)],
    }
    assert {point.time for point in found.history("acc")} == {1_700_000_000.5}
    assert found.params == {"lr": 0.1, "model.depth": 4}
    assert list(found.artifacts) == ["dvclive/plots/images/a.png"]


def test_what_stood_in_dvclives_folder_is_another_runs(repo_dir: Path) -> None:
    """A resumed training adds rows to the histories."""
    script = DVCLIVE + "live('dvclive', range(2) if not os.path.exists('dvclive') else range(2, 4))"
    run(repo_dir, script)
    assert points(run(repo_dir, script))["acc"] == [(2, 2), (3, 3)]


def test_a_declared_folder_of_dvclive_is_read(repo_dir: Path) -> None:
    """Where it has another name."""
    found = run(repo_dir, DVCLIVE + "live('results/live', range(2))", settings=declared("results/live/**"))
    assert set(points(found)) == {"train/loss", "acc", "best"}


# Tables.


def test_declared_tables_are_read(repo_dir: Path) -> None:
    """With the steps and times that they say; what is no number is left out, and so are empty cells."""
    script = """
    import os
    os.makedirs("logs")
    open("logs/metrics.csv", "w").write(
        "epoch,step,loss,val_loss,note,timestamp\\n"
        "0,10,0.5,,good,1700000000\\n0,20,,0.25,bad,1700000001\\n1,30,nan,inf,,\\n"
    )
    open("log.jsonl", "w").write(
        '{"step": 1, "lr": 0.1, "nested": {"a": 2}, "flag": true}\\nnonsense\\n{"step": 2, "lr": 0.2}\\n'
    )
    """
    found = run(
        repo_dir, script + "open('logs/model.ckpt', 'w').write('a,b\\n1,2')", settings=declared("logs/", "log.jsonl")
    )
    assert {key: repr(value) for key, value in points(found).items()} == {
        "log/lr": "[(1, 0.1), (2, 0.2)]",
        "log/nested.a": "[(1, 2)]",
        "logs/metrics/loss": "[(10, 0.5), (30, nan)]",
        "logs/metrics/val_loss": "[(20, 0.25), (30, inf)]",
    }
    assert [point.time for point in found.history("logs/metrics/loss")][:1] == [1_700_000_000.0]


def test_rows_that_stood_there_are_another_runs(repo_dir: Path) -> None:
    """A logger that appends, and one that begins anew with the very same numbers."""
    append = "open('log.csv', 'a').write('1,0.5\\n')"
    (repo_dir / "log.csv").write_text("epoch,loss\n0,1.0\n")
    assert points(run(repo_dir, append, settings=declared("log.csv"))) == {"loss": [(1, 0.5)]}
    anew = "open('log.csv', 'w').write('epoch,loss\\n0,1.0\\n1,0.5\\n')"
    assert points(run(repo_dir, anew, settings=declared("log.csv"))) == {"loss": [(0, 1.0), (1, 0.5)]}


def test_a_summary_does_not_say_again_what_a_history_ends_with(repo_dir: Path) -> None:
    """metrics.json, beside a table with the same numbers and one that differs: the best, not the last."""
    script = """
    import json
    open("log.csv", "w").write("step,val/loss,acc\\n0,0.5,0.9\\n1,0.4,0.8\\n")
    json.dump({"val": {"loss": 0.4}, "acc": 0.9, "other": 1}, open("metrics.json", "w"))
    json.dump({"late": 2}, open("final.json", "w"))
    """
    assert points(run(repo_dir, script, settings=declared("*.csv", "final.json"))) == {
        "val/loss": [(0, 0.5), (1, 0.4)],
        "acc": [(0, 0.9), (1, 0.8), (1, 0.9)],
        "other": [(0, 1)],
        "late": [(0, 2)],
    }


def rows(table: Table, *, is_over: bool = False) -> list[Row]:
    return list(table.read(is_over=is_over))


CELLS = st.lists(st.tuples(st.integers(0, 99), st.one_of(st.none(), st.integers(-9, 9))), min_size=1, max_size=8)


@given(CELLS, st.lists(st.integers(0, 200), max_size=6))
def test_however_a_table_grows_each_row_comes_once(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[int, int | None]], cuts: list[int]
) -> None:
    """Written in any pieces, and in the middle anew with one column more."""
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.unlink(missing_ok=True)
    lines = ["step,loss", *(f"{step},{'' if loss is None else loss}" for step, loss in cells)]
    text = "\n".join(lines) + "\n"
    path.touch()
    table = Table(str(path))
    seen = []
    for cut in sorted({min(cut, len(text)) for cut in cuts}):
        path.write_text(text[:cut])
        seen += rows(table)
    path.write_text("\n".join([lines[0] + ",more", *(f"{line}," for line in lines[1:]), "100,7,8"]) + "\n")
    os.utime(path, (time.time() + 5, time.time() + 5))
    seen += rows(table, is_over=True)
    expected: list[tuple[int, dict[str, Any]]] = [(step, {"loss": loss}) for step, loss in cells if loss is not None]
    assert [(row.step, row.values) for row in seen] == [*expected, (100, {"loss": 7, "more": 8})]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("  epoch,  train/loss \n 1, 0.5\n", [(1, {"train/loss": 0.5})]),
        ("loss\n1\n2\n", [(0, {"loss": 1}), (1, {"loss": 2})]),
        ("a;b\n1;2\n", [(0, {"a": 1, "b": 2})]),
        ("step\tloss\n5.0\t1\n\t2\n", [(5, {"loss": 1}), (5, {"loss": 2})]),
        ('step,"the, loss"\n1,2\n', [(1, {"the, loss": 2})]),
        (",loss\n0,1\n", [(0, {"loss": 1})]),
        ("\ufeffstep,loss\r\n1,2\r\n", [(1, {"loss": 2})]),
        ("step,loss\n1,2\nstep,loss\n2,3\n", [(1, {"loss": 2}), (2, {"loss": 3})]),
        ("step,time,loss\n1,0.25,2\n", [(1, {"time": 0.25, "loss": 2})]),
        ("step,loss\n1,2", [(1, {"loss": 2})]),
        ("", []),
        ("\0\xff\n\n\n,,,\n", []),
    ],
)
def test_tables_of_all_kinds(tmp_path: Path, text: str, found: list[tuple[int, dict[str, Any]]]) -> None:
    """Spaces, other separators, an index without a name, marks and line ends of Windows, two headers, elapsed time."""
    path = tmp_path / "log.csv"
    path.write_text(text, newline="")
    assert [(row.step, row.values) for row in rows(Table(str(path)), is_over=True)] == found


def test_prefixes_stay_as_they_were_given() -> None:
    """A place that appears later does not rename the first."""
    prefixes = Prefixes()
    prefixes.add({"/w/runs/a"})
    prefixes.add({"/w/runs/a", "/w/runs/a/hp", "/w/runs/b"})
    assert [prefixes[place] for place in ("/w/runs/a", "/w/runs/a/hp", "/w/runs/b")] == ["", "hp/", "b/"]


# The real writers.


@pytest.mark.frameworks
@pytest.mark.slow
@needs_frameworks
@pytest.mark.parametrize("module", ["torch.utils.tensorboard", "tensorboardX"])
def test_summary_writers_are_followed(repo_dir: Path, tmp_path: Path, module: str) -> None:
    """Into a folder that lies elsewhere."""
    script = f"""
    from {module} import SummaryWriter
    writer = SummaryWriter({str(tmp_path / "far")!r})
    for step in range(3):
        writer.add_scalar("loss", 1 / (step + 1), step)
        writer.add_scalars("both", {{"train": 1, "val": 2}}, step)
    writer.add_hparams({{"lr": 0.1}}, {{"score": 1}})
    writer.close()
    """
    found = run(repo_dir, script, python=PYTHON, settings="autolog:\n  enabled: false\n")
    assert points(found)["loss"] == [(0, 1.0), (1, 0.5), (2, 0.33333334)]
    assert set(found.metrics) >= {"loss", "score"}
    assert sum(key.endswith("both") for key in found.metrics) == 2
    assert found.params == {"lr": 0.1}


@pytest.mark.frameworks
@pytest.mark.slow
@needs_frameworks
def test_tensorflows_writers_are_followed(repo_dir: Path, tmp_path: Path) -> None:
    """As Keras' callback uses them: one for training, one for validation."""
    script = f"""
    import tensorflow as tf
    for part in ("train", "validation"):
        with tf.summary.create_file_writer({str(tmp_path / "far")!r} + "/" + part).as_default():
            tf.summary.scalar("epoch_loss", 0.5, step=1)
    """
    found = run(repo_dir, script, python=PYTHON, settings="autolog:\n  enabled: false\n")
    assert points(found) == {"train/epoch_loss": [(1, 0.5)], "validation/epoch_loss": [(1, 0.5)]}


@pytest.mark.frameworks
@pytest.mark.slow
@needs_frameworks
def test_dvclive_is_followed(repo_dir: Path, tmp_path: Path) -> None:
    """Into a folder of another name, twice: the second run begins anew, with the same numbers."""
    script = f"""
    from dvclive import Live
    with Live({str(tmp_path / "live")!r}, save_dvc_exp=False, report=None, dvcyaml=None) as live:
        live.log_param("lr", 0.1)
        for step in range(3):
            live.log_metric("train/loss", 1 / (step + 1), timestamp=True), live.log_metric("acc", step)
            live.next_step()
        live.log_metric("final", 7, plot=False)
    """
    for _ in range(2):
        found = run(repo_dir, script, python=PYTHON, settings="autolog:\n  enabled: false\n")
        assert points(found) == {
            "train/loss": [(0, 1.0), (1, 0.5), (2, 1 / 3)],
            "acc": [(0, 0), (1, 1), (2, 2)],
            "final": [(2, 7)],
        }
        assert found.params == {"lr": 0.1}
