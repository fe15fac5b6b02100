"""Live runs: who holds them, what their journals say, and what their output was."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitexp.domain.environment import Environment
from gitexp.domain.identity import RunId, readable_name
from gitexp.domain.pointer import Pointer
from gitexp.domain.run import CodeState, Input, RunRecord, Status, run_to_dict
from gitexp.domain.source import Source
from gitexp.errors import Conflict, NotFound, StorageFailed, UnknownFormat
from gitexp.store.journal import JournalWriter
from gitexp.store.live import LiveFolder, LiveRuns
from gitexp.store.output import OutputLog, read_output

RUN = RunId("k7m29x4qh3vd")
START = 1_790_000_000.125
COMMIT = "a" * 40


@pytest.fixture
def live(tmp_path: Path) -> LiveRuns:
    return LiveRuns(str(tmp_path / "gitexp"))


@pytest.fixture
def held(live: LiveRuns) -> Iterator[LiveFolder]:
    with live.create(RUN) as folder:
        yield folder


def writer_of(folder: LiveFolder) -> JournalWriter:
    return JournalWriter(folder.folder, on_trouble=pytest.fail)


def begin(writer: JournalWriter, **fields: Any) -> RunRecord:
    record = RunRecord(
        id=RUN, name="baseline", experiment="taxi", status=Status.RUNNING, start=START, author="Ann", **fields
    )
    writer.event(
        "start",
        time=START,
        record=run_to_dict(record),
        code_tree="b" * 40,
        code_pointers=["big.bin"],
        consumed=[COMMIT],
    )
    return record


def test_a_run_is_read_as_it_was_logged(live: LiveRuns, held: LiveFolder) -> None:
    """Everything a process logs about a run is in the run that its journal is read back as."""
    writer = writer_of(held)
    record = begin(writer, code=CodeState(commit=COMMIT, branch="main", dirty=True))
    writer.event("params", values={"lr": 0.1, "optim.name": "adam"})
    writer.event("tags", values={"stage": "dev"})
    writer.event("tags", values={"stage": "prod"})
    writer.event("environment", python={"version": "3.11.7"}, requirements=["numpy==2.0"])
    writer.event("inputs", inputs=[{"kind": "run", "name": "base", "run": "a" * 12}], consumed=["c" * 40, COMMIT])
    writer.point("loss", 0, START, 0.5)
    writer.point("loss", 1, START + 1, 0.25)
    writer.point("count", 0, START, 7)
    writer.file("notes.txt", b"small")
    writer.event("artifact", path="model.bin", sha256="d" * 64, size=100_000)
    writer.event("note", text="the first one")
    writer.event("name", text="renamed")
    writer.event("experiment", text="moved")
    writer.event("warning", text="careful")
    writer.event("warning", text="careful")
    writer.close()
    run = live.read(RUN)
    assert run.record == RunRecord(
        **{
            **{name: getattr(record, name) for name in RunRecord.__dataclass_fields__},
            "name": "renamed",
            "experiment": "moved",
            "note": "the first one",
            "warnings": ("careful",),
            "inputs": (Input(kind="run", name="base", run=RunId("a" * 12)),),
        }
    )
    assert run.params == {"lr": 0.1, "optim.name": "adam"} and run.tags == {"stage": "prod"}
    assert run.metrics == {"loss": 0.25, "count": 7} and list(run.histories["loss"].values) == [0.5, 0.25]
    assert run.artifacts == {"notes.txt": b"small", "model.bin": Pointer(sha256="d" * 64, size_bytes=100_000)}
    assert run.environment == Environment(python={"version": "3.11.7"}, requirements=("numpy==2.0",))
    assert (run.code_tree, run.code_pointers) == ("b" * 40, ("big.bin",))
    assert run.consumed == (COMMIT, "c" * 40)


def test_the_summary_is_the_run_without_its_bulk(live: LiveRuns, held: LiveFolder) -> None:
    """A summary says the same of record, params, tags and last values, and holds no histories."""
    writer = writer_of(held)
    begin(writer)
    writer.event("params", values={"lr": 0.1})
    for step in range(100):
        writer.point("loss", step, None, step * 0.5)
    writer.close()
    run, summary = live.read(RUN), live.summary(RUN)
    assert (summary.record, summary.params, summary.metrics) == (run.record, run.params, run.metrics)
    assert summary.histories == {}


def test_the_end_event_tells_how_it_ended(live: LiveRuns, held: LiveFolder) -> None:
    """Status, time, duration, exit code and signal are those of the last end event that names them."""
    writer = writer_of(held)
    begin(writer)
    writer.event("end", status="finished", time=START + 9, duration_s=8.5, exit_code=None, signal=None)
    writer.event("end", status="failed", time=START + 10, exit_code=3)
    writer.close()
    record = live.read(RUN, is_over=True).record
    assert (record.status, record.end, record.duration_s, record.exit_code) == (Status.FAILED, START + 10, 8.5, 3)


def test_without_an_end_it_runs_or_has_crashed(live: LiveRuns, held: LiveFolder) -> None:
    """A run without an end event is running; for whoever seals it, it crashed when its last value was logged."""
    writer = writer_of(held)
    begin(writer)
    writer.point("loss", 0, START + 1e9, 0.5)
    writer.close()
    assert live.read(RUN).record.status is Status.RUNNING
    assert live.summary(RUN).record.end is None
    record = live.read(RUN, is_over=True).record
    assert (record.status, record.end, record.duration_s) == (Status.CRASHED, START + 1e9, 1e9)


def test_a_param_that_changes_takes_the_new_value_and_says_so(live: LiveRuns, held: LiveFolder) -> None:
    """A param logged again with another value becomes that, with a warning naming both; the same value is silent."""
    writer = writer_of(held)
    begin(writer)
    for value in (0.1, 0.1, 0.2):
        writer.event("params", values={"lr": value, "nan": float("nan")})
    writer.close()
    run = live.read(RUN)
    assert run.params["lr"] == 0.2
    assert run.record.warnings == ("The param 'lr' was 0.1 and became 0.2.",)


def test_all_processes_of_a_run_are_read(live: LiveRuns, held: LiveFolder) -> None:
    """What a second process logs, later in time, is part of the run."""
    for number in range(2):
        writer = writer_of(held)
        if number == 0:
            begin(writer)
        writer.event("params", values={f"rank{number}": number})
        writer.point("loss", number, START + number, number * 0.5)
        writer.close()
    run = live.read(RUN)
    assert run.params == {"rank0": 0, "rank1": 1} and list(run.histories["loss"].steps) == [0, 1]


def test_the_word_of_the_surest_source_counts(live: LiveRuns, held: LiveFolder) -> None:
    """What the script logs stands against what was parsed, watched or printed, whoever came first."""
    printed = JournalWriter(held.folder, on_trouble=pytest.fail, source=Source.OUTPUT)
    parsed = JournalWriter(held.folder, on_trouble=pytest.fail, source=Source.PARSER)
    script = writer_of(held)
    begin(script)
    for step in range(3):
        printed.point("loss", step, START + step, 0.9)
        printed.point("acc", step, START + step, 0.5)
    script.point("loss", 0, START, 0.5)
    script.point("loss", 1, START + 1, 0.25)
    script.event("params", values={"lr": 0.1})
    parsed.event("params", values={"lr": 0.3, "epochs": 3})
    for writer in (printed, parsed, script):
        writer.close()
    run = live.read(RUN)
    assert run.histories["loss"].values.tolist() == [0.5, 0.25]
    assert len(run.histories["acc"]) == 3
    assert run.params == {"lr": 0.1, "epochs": 3}
    assert run.metrics == live.summary(RUN).metrics == {"loss": 0.25, "acc": 0.5}
    assert not run.record.warnings


def test_what_another_name_says_already_is_left_out(live: LiveRuns, held: LiveFolder) -> None:
    """Of the source that repeated it; what a surer one said under the same name stays."""
    printed = JournalWriter(held.folder, on_trouble=pytest.fail, source=Source.OUTPUT)
    watched = JournalWriter(held.folder, on_trouble=pytest.fail, source=Source.AUTOLOG)
    script = writer_of(held)
    begin(script)
    for key in ("Loss", "acc"):
        printed.point(key, 0, START, 0.5)
    script.point("acc", 0, START, 0.25)
    watched.event("params", values={"width": 4, "lr": 0.1})
    script.event("params", values={"lr": 0.2})
    output, autolog = int(Source.OUTPUT), int(Source.AUTOLOG)
    script.event("repeated", metrics=[["Loss", output], ["acc", output]], params=[["width", autolog], ["lr", autolog]])
    for writer in (printed, watched, script):
        writer.close()
    run = live.read(RUN)
    assert run.metrics == live.summary(RUN).metrics == {"acc": 0.25}
    assert list(run.histories) == ["acc"]
    assert run.params == live.summary(RUN).params == {"lr": 0.2}


def test_a_final_value_ends_a_history_of_another_source(live: LiveRuns, held: LiveFolder) -> None:
    """A script that prints its loss at each step and writes the last one to a file has a history that ends with it."""
    printed = JournalWriter(held.folder, on_trouble=pytest.fail, source=Source.OUTPUT)
    file = JournalWriter(held.folder, on_trouble=pytest.fail, source=Source.FILE)
    begin(writer_of(held))
    for step in range(3):
        printed.point("loss", step, START + step, 0.9 - step / 10)
    file.point("loss", 0, START + 9, 0.7123)
    printed.close()
    file.close()
    run = live.read(RUN)
    assert run.histories["loss"].values.tolist() == [0.9, 0.8, 0.7, 0.7123]
    assert run.histories["loss"].steps.tolist() == [0, 1, 2, 2]
    assert run.metrics == live.summary(RUN).metrics == {"loss": 0.7123}


def test_artifacts_that_cannot_lie_side_by_side(live: LiveRuns, held: LiveFolder) -> None:
    """A file and a folder of one name cannot both be: the first stays, the other is a warning."""
    writer = writer_of(held)
    begin(writer)
    for path in ("plots/roc.png", "plots", "a", "a/b/c", "a/b", "plots/roc.png"):
        writer.file(path, path.encode())
    writer.file("a", b"again")
    writer.close()
    run = live.read(RUN)
    assert run.artifacts == {"plots/roc.png": b"plots/roc.png", "a": b"again"}
    assert len(run.record.warnings) == 3 and "'plots'" in run.record.warnings[0]


def test_a_path_that_climbs_out_is_not_taken_from_a_journal(live: LiveRuns, held: LiveFolder) -> None:
    """A journal whose artifact would lie outside the run is read without it, with a warning."""
    writer = writer_of(held)
    begin(writer)
    writer.file("../../.git/hooks/post-commit", b"evil")
    writer.event("artifact", path="x")
    writer.close()
    run = live.read(RUN)
    assert run.artifacts == {} and len(run.record.warnings) == 2


def test_a_damaged_first_event_costs_no_values(live: LiveRuns, held: LiveFolder) -> None:
    """When the event that began the run is damaged, the run is kept under a made-up name, with a warning."""
    writer = writer_of(held)
    begin(writer)
    writer.event("params", values={"lr": 0.1})
    writer.point("loss", 0, START, 0.5)
    writer.close()
    (path,) = Path(held.folder).glob("*.events")
    data = bytearray(path.read_bytes())
    data[40] ^= 4
    path.write_bytes(data)
    run = live.read(RUN, is_over=True)
    assert (run.record.name, run.record.status) == (readable_name(RUN), Status.CRASHED)
    assert run.params == {"lr": 0.1} and run.metrics == {"loss": 0.5}
    assert "could not be read" in run.record.warnings[0] and "made up" in run.record.warnings[1]


def test_a_run_that_never_began_is_not_found(live: LiveRuns, held: LiveFolder) -> None:
    """A folder whose process died before its first event holds no run; nor does one that is not there."""
    with pytest.raises(NotFound):
        live.read(RUN)
    with pytest.raises(NotFound):
        live.summary(RunId("a" * 12))
    JournalWriter(held.folder, on_trouble=pytest.fail).event("warning", text="The code could not be captured.")
    with pytest.raises(NotFound):
        live.read(RUN)


def test_a_newer_record_is_refused(live: LiveRuns, held: LiveFolder) -> None:
    """A run that a newer gitexp began is an error that names its format version, never a guess."""
    writer = writer_of(held)
    record = RunRecord(id=RUN, name="new", experiment="taxi", status=Status.RUNNING, start=START)
    writer.event("start", record={**run_to_dict(record), "format": 2})
    writer.close()
    with pytest.raises(UnknownFormat, match="version 2"):
        live.read(RUN)


def test_a_created_run_is_held_until_it_is_released(live: LiveRuns) -> None:
    """Others see that a run is held, and cannot adopt it; once released exactly one of them can."""
    folder = live.create(RUN)
    assert [(entry.run_id, entry.held) for entry in live.list()] == [(RUN, True)]
    assert live.adopt(RUN) is None
    with pytest.raises(Conflict):
        live.create(RUN)
    folder.release()
    folder.release()
    assert [entry.held for entry in live.list()] == [False]
    adopted = live.adopt(RUN)
    assert adopted is not None and live.adopt(RUN) is None
    adopted.release()


def test_the_lock_ends_with_its_process(live: LiveRuns) -> None:
    """A run whose process was killed is not held any more, and its folder is whole."""
    pid = os.fork()
    if pid == 0:
        live.create(RUN)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert [(entry.run_id, entry.held) for entry in live.list()] == [(RUN, False)]


def test_a_child_that_inherits_the_lock_holds_the_run(live: LiveRuns) -> None:
    """When the launcher's descriptor goes, a child it was passed to still holds the run, to its end."""
    folder = live.create(RUN)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[folder.lock_fd],
    )
    assert child.stdin and child.stdout
    os.close(folder.lock_fd)  # as the kernel does for a killed launcher
    folder.lock_fd = -1
    child.stdout.read(1)
    assert live.adopt(RUN) is None
    child.communicate()
    adopted = live.adopt(RUN)
    assert adopted
    adopted.release()


def test_a_fork_that_releases_leaves_the_owner_its_lock(live: LiveRuns, held: LiveFolder) -> None:
    """A forked child that cleans up after itself does not let go of its parent's run."""
    pid = os.fork()
    if pid == 0:
        held.release()
        os._exit(0)
    os.waitpid(pid, 0)
    assert [entry.held for entry in live.list()] == [True]


def test_one_of_many_processes_adopts(live: LiveRuns) -> None:
    """Of eight processes that recover at once, while a ninth lists, exactly one gets the run."""
    for _ in range(5):
        live.create(RUN).release()
        reading, writing = os.pipe()
        go_reading, go_writing = os.pipe()
        pids = []
        for _ in range(8):
            pid = os.fork()
            if pid == 0:
                os.close(go_writing)
                os.read(go_reading, 1)
                lock = live.adopt(RUN)
                if lock:
                    os.write(writing, b"x")
                    live.remove(RUN)
                os._exit(0)
            pids.append(pid)
        os.close(go_reading)
        os.close(go_writing)
        for _ in range(20):
            live.list()
        for pid in pids:
            os.waitpid(pid, 0)
        os.close(writing)
        assert os.read(reading, 99) == b"x"
        os.close(reading)
        assert live.list() == []


def test_a_folder_that_is_gone_cannot_be_adopted(live: LiveRuns) -> None:
    """A run that somebody else has sealed and removed is adopted by nobody, and removing it again is fine."""
    live.create(RUN).release()
    live.remove(RUN)
    live.remove(RUN)
    assert live.adopt(RUN) is None and live.list() == []
    assert os.listdir(os.path.join(os.path.dirname(live.folder), "tmp")) == []


def test_a_folder_without_a_lock_is_nobodys(live: LiveRuns) -> None:
    """A folder that lost its lock file is listed as not held and can be adopted; other names are no runs."""
    os.makedirs(os.path.join(live.folder, RUN))
    os.makedirs(os.path.join(live.folder, "not-a-run"))
    assert [(entry.run_id, entry.held) for entry in live.list()] == [(RUN, False)]
    adopted = live.adopt(RUN)
    assert adopted
    adopted.release()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Where no folder can be made, creating a run says where and why."""
    (tmp_path / "gitexp").write_text("a file")
    with pytest.raises(StorageFailed, match="gitexp"):
        LiveRuns(str(tmp_path / "gitexp")).create(RUN)
    assert LiveRuns(str(tmp_path / "nowhere")).list() == []


@given(pieces=st.lists(st.binary(max_size=60), max_size=40), limit=st.integers(0, 120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_output_is_kept_at_both_ends(pieces: list[bytes], limit: int, tmp_path: Path) -> None:
    """However it is written, the first and last half of the limit are kept, and the line between counts the rest."""
    for path in tmp_path.glob("output.*"):
        path.unlink()
    log = OutputLog(str(tmp_path), limit)
    for piece in pieces:
        log.write(piece)
    log.close()
    whole, half = b"".join(pieces), limit // 2
    if not whole or not half:
        assert read_output(str(tmp_path)) is None
    elif len(whole) <= 2 * half:
        assert read_output(str(tmp_path)) == whole
    else:
        line = f"\n... {len(whole) - 2 * half:,} bytes left out ...\n".encode()
        assert read_output(str(tmp_path)) == whole[:half] + line + whole[-half:]
    assert sum(path.stat().st_size for path in tmp_path.glob("output.*")) <= 3 * half + 32


def test_output_that_was_never_closed_is_read(live: LiveRuns, held: LiveFolder) -> None:
    """The output of a live or killed run is what had been written when it is looked at."""
    begin(writer_of(held))
    log = OutputLog(held.folder, 1000)
    log.write(b"epoch 1\n")
    assert live.read(RUN).output == b"epoch 1\n"
    log.write(b"epoch 2\n")
    assert live.read(RUN).output == b"epoch 1\nepoch 2\n"
    log.close()


def test_output_on_a_disk_that_refuses(tmp_path: Path) -> None:
    """Output that the disk refuses counts as left out; what comes after it is kept, and nothing raises."""
    folder = tmp_path / "live"
    folder.mkdir()
    log = OutputLog(str(folder), 100)
    log.write(b"a" * 50)
    folder.rename(tmp_path / "away")
    log.write(b"b" * 30)
    (tmp_path / "away").rename(folder)
    log.write(b"c" * 10)
    log.close()
    assert read_output(str(folder)) == b"a" * 50 + b"\n... 30 bytes left out ...\n" + b"c" * 10
    assert log.trouble
