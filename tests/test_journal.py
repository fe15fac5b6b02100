"""The journal: what is logged is read back, whatever dies, refuses or flips in between."""

from __future__ import annotations

import math
import mmap
import multiprocessing
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitexp.domain.metrics import History
from gitexp.errors import UnknownFormat, UsageError
from gitexp.store.journal import HEADER_SIZE, POINT_SIZE, JournalWriter
from gitexp.store.playback import Journals, JournalTail, read_journals, read_summary

Point = tuple[int, float, int | float]


def open_journal(folder: Path, on_trouble: Callable[[str], None] = pytest.fail) -> JournalWriter:
    return JournalWriter(str(folder), on_trouble=on_trouble)


def new_folder(inside: Path) -> Path:
    """For tests that run many times in one temporary folder."""
    return Path(tempfile.mkdtemp(dir=inside))


def written(folder: Path, suffix: str) -> Path:
    """The only file of the folder with that suffix."""
    (path,) = folder.glob(f"*{suffix}")
    return path


def in_child(act: Callable[[], None]) -> None:
    """Run in a fork of this process that ends without clean-up; its failure fails the test."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def same(one: History, points: list[Point]) -> bool:
    return repr(list(map(tuple, one))) == repr(points)


steps = st.integers(-(2**63), 2**63 - 1)
times = st.floats(0, 1e11)
numbers = st.one_of(st.floats(), st.integers(-(2**60), 2**60), st.just(2**53), st.just(2**53 + 1), st.just(-(2**200)))


@given(points=st.lists(st.tuples(st.sampled_from(["loss", "val/loss", "β"]), steps, times, numbers), max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_points_come_back_exactly(points: list[tuple[str, int, float, Any]], tmp_path: Path) -> None:
    """Every step, time and value comes back as it was logged, each metric in its order, integers of any size too."""
    folder = new_folder(tmp_path)
    writer = open_journal(folder)
    for key, step, moment, value in points[::2]:
        writer.point(key, step, moment, value)
    writer.points(points[1::2])
    writer.close()
    read = read_journals(str(folder))
    logged = [*points[::2], *points[1::2]]
    assert read.lost == {}
    assert read.histories.keys() == {key for key, *_ in points}
    for key, history in read.histories.items():
        assert same(history, [(step, moment, value) for name, step, moment, value in logged if name == key])


def test_time_is_now_where_it_is_left_out(tmp_path: Path) -> None:
    """A point without a time gets the present one."""
    writer = open_journal(tmp_path)
    before = time.time()
    writer.point("loss", 0, None, 1.0)
    writer.points([("loss", 1, None, 1.0)])
    writer.close()
    first, second = read_journals(str(tmp_path)).histories["loss"].times
    assert before <= first <= second <= time.time()


def test_events_come_back_in_order(tmp_path: Path) -> None:
    """Events keep order, payload and raw content; NaN, lone surrogates and integers of 5,000 digits among them."""
    writer = open_journal(tmp_path)
    values = {"nan": math.nan, "huge": 10**5000, "nested": [{"deep": -(10**5000)}], "text": "\ud800 β\0"}
    writer.event("params", values=values)
    writer.file("plots/roc.png", b"\0\xff" * 1000)
    writer.event("end", status="finished", time=5.0)
    writer.close()
    params, file, end = read_journals(str(tmp_path)).events
    assert repr_huge(params.payload["values"]) == repr_huge(values)
    assert (file.payload["path"], file.data) == ("plots/roc.png", b"\0\xff" * 1000)
    assert (end.kind, end.time, end.payload["status"]) == ("end", 5.0, "finished")


def repr_huge(values: dict[str, Any]) -> str:
    return repr({**values, "huge": hex(values["huge"]), "nested": hex(values["nested"][0]["deep"])})


def test_a_step_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    """A step that no history can hold is an error that names the metric, and costs nothing else."""
    writer = open_journal(tmp_path)
    writer.point("loss", 1, None, 1.0)
    with pytest.raises(UsageError, match="'loss'"):
        writer.point("loss", 2**63, None, 1.0)
    writer.point("loss", 2, None, 2.0)
    writer.close()
    assert list(read_journals(str(tmp_path)).histories["loss"].steps) == [1, 2]


def test_a_closed_journal_says_so_once(tmp_path: Path) -> None:
    """What is logged after `close` raises nothing into the training: it is told once."""
    told: list[str] = []
    writer = open_journal(tmp_path, told.append)
    writer.point("loss", 0, 0.0, 1.0)
    writer.close()
    writer.close()
    writer.point("loss", 1, 0.0, 1.0)
    writer.event("note", text="late")
    assert len(told) == 1 and "after the run had ended" in told[0]
    assert len(read_journals(str(tmp_path)).histories["loss"]) == 1


def test_a_late_thread_writes_to_no_other_file(tmp_path: Path) -> None:
    """A journal's descriptor is not used for the next file that is opened: a thread may be about to write to it."""
    writer = open_journal(tmp_path)
    writer.point("loss", 0, None, 1.0)
    links = {int(fd): os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if is_open(fd)}
    (descriptor,) = (fd for fd, path in links.items() if path.endswith(".points"))
    writer.close()
    with (tmp_path / "next").open("wb"), (tmp_path / "another").open("wb"):
        assert os.readlink(f"/proc/self/fd/{descriptor}") == os.devnull


def is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def test_many_runs_hold_few_descriptors(tmp_path: Path) -> None:
    """A process that records a hundred runs, one after the other, ends with no more than a few descriptors open."""
    before = len(os.listdir("/proc/self/fd"))
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        writer = open_journal(folder)
        writer.point("loss", 0, None, 1.0)
        writer.close(durable=False)
    assert len(os.listdir("/proc/self/fd")) <= before + 20


def test_threads_share_a_writer(tmp_path: Path) -> None:
    """Eight threads at once lose no point and no event, and each one's points stay in its order."""
    writer = open_journal(tmp_path)

    def log(thread: int) -> None:
        for step in range(500):
            writer.point(f"loss/{thread}", step, None, step * 0.5)
            writer.point("shared", step, None, float(thread))
            if step % 50 == 0:
                writer.event("note", text=f"{thread} {step}")

    threads = [threading.Thread(target=log, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    read = read_journals(str(tmp_path))
    assert read.lost == {}
    assert all(list(read.histories[f"loss/{number}"].steps) == list(range(500)) for number in range(8))
    assert len(read.histories["shared"]) == 4000
    assert sum(event.kind == "note" for event in read.events) == 80


def test_a_signal_handler_may_log(tmp_path: Path) -> None:
    """A handler that logs in the middle of another call, as one that ends the run does, loses and doubles nothing."""
    writer = open_journal(tmp_path)
    logged = [0]

    def handle(*_: object) -> None:
        logged[0] += 1
        writer.points([("signal", logged[0], None, 1.0)])
        writer.event("note", text=str(logged[0]))
        signal.setitimer(signal.ITIMER_REAL, 0.0002)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0002)
    try:
        step = 0
        while logged[0] < 300:
            writer.point("loss", step, None, 0.5)
            writer.points([("a", step, None, 1), ("b", step, None, 2**60)])
            step += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    writer.close()
    read = read_journals(str(tmp_path))
    assert read.lost == {}
    assert all(list(read.histories[key].steps) == list(range(step)) for key in ("loss", "a", "b"))
    assert list(read.histories["signal"].steps) == list(range(1, logged[0] + 1))
    assert sum(event.kind == "note" for event in read.events) == logged[0]


def test_a_process_ends_without_closing(tmp_path: Path) -> None:
    """A script that just ends, its journal open and the sync thread alive, ends silently and loses nothing."""
    script = (
        "import sys\n"
        "from gitexp.store.journal import JournalWriter\n"
        "writer = JournalWriter(sys.argv[1], on_trouble=print)\n"
        "for step in range(1000): writer.point('loss', step, None, 0.5)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert len(read_journals(str(tmp_path)).histories["loss"]) == 1000


def test_a_fork_writes_files_of_its_own(tmp_path: Path) -> None:
    """A forked child logs through the same writer, also when it dies at once; nothing is doubled or mixed."""
    writer = open_journal(tmp_path)
    writer.point("loss", 0, 1.0, 0.0)
    for step in (1, 2):
        in_child(lambda step=step: writer.point("loss", step, 1.0 + step, float(step)))  # type: ignore[misc]
    writer.point("loss", 3, 4.0, 3.0)
    writer.close()
    assert len(list(tmp_path.glob("*.points"))) == 3
    assert same(read_journals(str(tmp_path)).histories["loss"], [(step, 1.0 + step, float(step)) for step in range(4)])


def test_a_worker_pool_logs(tmp_path: Path) -> None:
    """Multiprocessing workers, forked while the parent logs in a thread, all get their points through."""
    writer = open_journal(tmp_path)
    stop = threading.Event()

    def log_on() -> None:
        for step in range(10**9):
            writer.point("parent", step, None, 0.5)
            if stop.is_set():
                return

    thread = threading.Thread(target=log_on)
    thread.start()
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=log_from_worker, args=(writer, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    thread.join()
    writer.close()
    read = read_journals(str(tmp_path))
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert read.lost == {} and len(read.histories["worker"]) == 400
    assert list(read.histories["parent"].steps) == list(range(len(read.histories["parent"])))


def log_from_worker(writer: JournalWriter, number: int) -> None:
    for step in range(100):
        writer.point("worker", step, None, float(number))


def test_processes_merge_by_time(tmp_path: Path) -> None:
    """A metric of several processes is merged by time; each one's own order survives a clock that jumps back."""
    one, two = open_journal(tmp_path), open_journal(tmp_path)
    for step, moment in ((0, 1.0), (1, 9.0), (2, 3.0), (3, 10.0)):
        one.point("loss", step, moment, 1.0)
    for step, moment in ((0, 2.0), (1, 9.5)):
        two.point("loss", step, moment, 2**60)
    one.close()
    two.close()
    history = read_journals(str(tmp_path)).histories["loss"]
    assert [(step, moment) for step, moment, value in history if value == 1.0] == [
        (0, 1.0),
        (1, 9.0),
        (2, 3.0),
        (3, 10.0),
    ]
    assert list(history.times) == [1.0, 2.0, 9.0, 3.0, 9.5, 10.0]
    assert [value for *_, value in history][1] == 2**60


def test_a_process_id_used_twice_gets_new_files(tmp_path: Path) -> None:
    """Two writers of one process, as in two containers that share a folder, never append to each other's files."""
    writers = [open_journal(tmp_path) for _ in range(3)]
    for writer in writers:
        writer.point("loss", 0, 1.0, 1.0)
        writer.close()
    assert sorted(path.name for path in tmp_path.glob("*.points")) == [f"{os.getpid()}-{n}.points" for n in range(3)]


def log_without_end(folder: Path, acknowledged: mmap.mmap) -> None:
    writer = open_journal(folder)
    for step in range(10**9):
        writer.point("loss", step, None, step * 0.5)
        struct.pack_into("<q", acknowledged, 0, step + 1)


@pytest.mark.slow
def test_kill_9_loses_no_acknowledged_value(tmp_path: Path) -> None:
    """Thirty times a process is killed while it logs as fast as it can: each value whose call returned is read back."""
    acknowledged = mmap.mmap(-1, 8)
    for number in range(30):
        folder = tmp_path / str(number)
        folder.mkdir()
        struct.pack_into("<q", acknowledged, 0, 0)
        pid = os.fork()
        if pid == 0:
            log_without_end(folder, acknowledged)
        while struct.unpack_from("<q", acknowledged)[0] < 100 + 977 * number:
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        (count,) = struct.unpack_from("<q", acknowledged)
        read = read_journals(str(folder))
        history = read.histories["loss"]
        assert read.lost == {}
        assert count <= len(history) <= count + 1
        assert list(history.steps) == list(range(len(history)))
        assert history.last == (len(history) - 1) * 0.5
        assert read_summary(str(folder)).metrics == read.metrics


def with_file_limit(size: int, act: Callable[[], None]) -> None:
    """Run in a child whose files may not grow beyond `size`: what a full disk does, short writes included."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        act()

    in_child(limited)


def lift_file_limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize("limit", [0, 10, HEADER_SIZE, 1000, 1000 + POINT_SIZE // 2])
def test_a_full_disk_keeps_values_in_memory(limit: int, tmp_path: Path) -> None:
    """Values that the disk refuses wait in their order and are written when it takes them again; it is told once."""

    def act() -> None:
        told: list[str] = []
        writer = open_journal(tmp_path, told.append)
        for step in range(100):
            writer.point("loss", step, float(step), step * 0.5)
            writer.points([("a", step, float(step), 1.0), ("b", step, float(step), 2**60 + step)])
            writer.event("note", text=f"{step}")
        assert len(told) == 1 and "wait in memory" in told[0]
        lift_file_limit()
        writer.point("loss", 100, 100.0, 50.0)
        writer.close()
        assert len(told) == 1

    with_file_limit(limit, act)
    read = read_journals(str(tmp_path))
    assert read.lost == {}
    assert same(read.histories["loss"], [(step, float(step), step * 0.5) for step in range(101)])
    assert [value for *_, value in read.histories["b"]] == [2**60 + step for step in range(100)]
    assert [event.payload["text"] for event in read.events if event.kind == "note"] == [str(n) for n in range(100)]


def test_a_disk_that_stays_full_counts_what_is_lost(tmp_path: Path) -> None:
    """At the end the number of records that never reached the disk is told; what did reach it is read."""

    def act() -> None:
        told: list[str] = []
        writer = open_journal(tmp_path, told.append)
        for step in range(100):
            writer.point("loss", step, float(step), 1.0)
        writer.close()
        assert "80 records" in told[-1], told

    with_file_limit(HEADER_SIZE + 20 * POINT_SIZE + 5, act)
    read = read_journals(str(tmp_path))
    assert len(read.histories["loss"]) == 20
    assert list(read.lost.values()) == [5]


def test_a_fork_leaves_waiting_records_to_its_parent(tmp_path: Path) -> None:
    """Records that wait when a process forks are written once, by the parent; the child writes its own."""

    def act() -> None:
        writer = open_journal(tmp_path, lambda _: None)
        for step in range(10):
            writer.point("loss", step, float(step), 1.0)
        lift_file_limit()
        in_child(lambda: writer.point("loss", 10, 10.0, 1.0))
        writer.close()

    with_file_limit(1, act)
    read = read_journals(str(tmp_path))
    assert list(read.histories["loss"].steps) == list(range(11)) and read.lost == {}


def test_memory_for_waiting_records_is_bounded(tmp_path: Path) -> None:
    """Beyond 64 MiB of waiting records the newest are dropped, told and counted; the oldest are kept."""
    told: list[str] = []
    writer = open_journal(tmp_path / "missing", told.append)
    content = bytes(1 << 20)
    for number in range(70):
        writer.file(f"{number}.bin", content)
    assert len(told) == 2 and "is full" in told[1]
    (tmp_path / "missing").mkdir()
    writer.close()
    files = [event.payload["path"] for event in read_journals(str(tmp_path / "missing")).events]
    assert files == [f"{number}.bin" for number in range(len(files))] and 62 <= len(files) <= 64
    assert f"{70 - len(files)} records" in told[-1]


def test_a_deleted_folder_is_told_once(tmp_path: Path) -> None:
    """When the repository is deleted under a run, its training goes on and hears of it once."""
    told: list[str] = []
    folder = tmp_path / "live"
    folder.mkdir()
    writer = open_journal(folder, told.append)
    writer.point("loss", 0, None, 1.0)
    shutil.rmtree(folder)
    writer.point("loss", 1, None, 1.0)
    writer.sync()
    writer.point("loss", 2, None, 1.0)
    writer.close()
    assert len(told) == 1 and "deleted" in told[0]


STEPS = 6


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A journal of two metrics, three events and a small file."""
    writer = open_journal(tmp_path)
    writer.event("params", values={"lr": 0.1})
    writer.file("a.txt", b"content")
    for step in range(STEPS):
        writer.point("loss", step, 1000.0 + step, step * 0.25)
        writer.point("n", step, 1000.0 + step, step)
    writer.event("note", text="the end")
    writer.close()
    return tmp_path


def read_with(folder: Path, suffix: str, data: bytes) -> tuple[Journals, Journals]:
    """The journal and its summary where the file with that suffix holds `data` instead."""
    path = written(folder, suffix)
    kept = path.read_bytes()
    path.write_bytes(data)
    try:
        return read_journals(str(folder)), read_summary(str(folder))
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize("tail", [b"", bytes(100), b"\xff" * 37], ids=["cut", "zeros", "ones"])
def test_a_torn_tail_costs_only_itself(tail: bytes, whole: Path) -> None:
    """Cut at any byte, with or without rubbish behind, a journal gives its whole records and counts the lost bytes."""
    data = written(whole, ".points").read_bytes()
    for length in range(HEADER_SIZE, len(data)):
        read, summary = read_with(whole, ".points", data[:length] + tail)
        points, cut = divmod(length - HEADER_SIZE, POINT_SIZE)
        assert len(read.histories.get("loss", ())) == (points + 1) // 2
        assert len(read.histories.get("n", ())) == points // 2
        assert sum(read.lost.values()) == cut + len(tail)
        assert summary.metrics == read.metrics


@pytest.mark.parametrize("tail", [b"", bytes(100), b"\xff" * 37], ids=["cut", "zeros", "ones"])
def test_a_torn_tail_of_events_costs_only_itself(tail: bytes, whole: Path) -> None:
    """The same for events, whose lengths differ; the points of a metric whose name is cut off count as lost."""
    data = written(whole, ".events").read_bytes()
    events = read_journals(str(whole)).events
    for length in range(HEADER_SIZE, len(data)):
        read, _ = read_with(whole, ".events", data[:length] + tail)
        frames = [end for _, end in event_frames(data) if end <= length]
        assert read.events == events[: len(frames)]
        nameless = 2 - len(read.histories)
        torn = length - max(frames, default=HEADER_SIZE) + len(tail)
        assert sum(read.lost.values()) == torn + nameless * STEPS * POINT_SIZE


@given(position=st.integers(0, 2 * STEPS * POINT_SIZE - 1), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_a_flipped_bit_costs_one_record(position: int, bit: int, whole: Path) -> None:
    """One bit flipped anywhere costs the record it is in, which is counted; no wrong value is read."""
    data = bytearray(written(whole, ".points").read_bytes())
    data[HEADER_SIZE + position] ^= 1 << bit
    read, summary = read_with(whole, ".points", bytes(data))
    kept = {(key, step, value) for key, history in read.histories.items() for step, _, value in history}
    assert len(kept) == 2 * STEPS - 1 and sum(read.lost.values()) == POINT_SIZE
    assert all(value == (step if key == "n" else step * 0.25) for key, step, value in kept)
    assert summary.metrics == read.metrics


@given(position=st.integers(0, 10**6), rubbish=st.binary(min_size=1, max_size=80), replaced=st.integers(0, 80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_rubbish_never_stops_the_reader(position: int, rubbish: bytes, replaced: int, whole: Path) -> None:
    """Rubbish in either file, at any place and of any length, shifts nothing: the records beyond it are read."""
    good = read_journals(str(whole))
    known = {(key, tuple(point)) for key, history in good.histories.items() for point in history}
    for suffix in (".points", ".events"):
        data = written(whole, suffix).read_bytes()
        at = HEADER_SIZE + position % (len(data) - HEADER_SIZE)
        read, summary = read_with(whole, suffix, data[:at] + rubbish + data[at + replaced :])
        found = [(key, tuple(point)) for key, history in read.histories.items() for point in history]
        frames = event_frames(data) if suffix == ".events" else point_frames(data)
        touched = sum(begin < at + max(replaced, 1) and at < end for begin, end in frames)
        assert set(found) <= known and all(event in good.events for event in read.events)
        assert len(found if suffix == ".points" else read.events) >= len(frames) - touched
        assert summary.metrics == read.metrics


def point_frames(data: bytes) -> list[tuple[int, int]]:
    return [(begin, begin + POINT_SIZE) for begin in range(HEADER_SIZE, len(data), POINT_SIZE)]


def event_frames(data: bytes) -> list[tuple[int, int]]:
    frames, position = [], HEADER_SIZE
    while position < len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "little")
        frames.append((position, end))
        position = end
    return frames


def test_a_newer_journal_is_refused_by_its_version(whole: Path) -> None:
    """A file of a format version that is not known yet is an error that names the file and the version."""
    for suffix in (".points", ".events"):
        data = written(whole, suffix).read_bytes()
        with pytest.raises(UnknownFormat, match=rf"{suffix}: journal version 7"):
            read_with(whole, suffix, data[:14] + b"\x07\0" + data[16:])


@given(
    logged=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.floats(allow_nan=False)), max_size=30),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_summary_has_the_same_last_values(logged: list[tuple[str, int, float]], tmp_path: Path) -> None:
    """The summary of a short journal gives the last values that its histories have."""
    folder = new_folder(tmp_path)
    writer = open_journal(folder)
    for key, step, value in logged:
        writer.point(key, step, 1.0, value)
    writer.close()
    assert read_summary(str(folder)).metrics == read_journals(str(folder)).metrics


def test_a_summary_finds_a_metric_logged_long_ago(tmp_path: Path) -> None:
    """A metric whose only value lies far from the end of a long journal is in the summary all the same."""
    writer = open_journal(tmp_path)
    writer.point("early", 7, 1.0, 0.25)
    for _ in range(100):
        writer.points([("loss", step, 2.0, 1.0) for step in range(1000)])
    writer.point("late", 8, 3.0, 5)
    writer.close()
    read = read_summary(str(tmp_path))
    assert read.metrics == {"early": 0.25, "loss": 1.0, "late": 5} and read.histories == {}


def test_the_sync_thread_writes_what_waits(tmp_path: Path) -> None:
    """Records that wait go out by themselves once the disk takes them, though nothing more is logged."""

    def act() -> None:
        told: list[str] = []
        writer = open_journal(tmp_path, told.append)
        writer.point("loss", 0, 1.0, 1.0)
        assert len(told) == 1 and "wait in memory" in told[0]
        lift_file_limit()
        deadline = time.monotonic() + 20
        while "loss" not in read_journals(str(tmp_path)).histories and time.monotonic() < deadline:
            os.sched_yield()

    with_file_limit(HEADER_SIZE, act)
    assert same(read_journals(str(tmp_path)).histories["loss"], [(0, 1.0, 1.0)])


def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    """Reading what is not there raises FileNotFoundError, for the caller to say what was meant."""
    with pytest.raises(FileNotFoundError):
        read_journals(str(tmp_path / "gone"))


def test_a_tail_reads_what_was_appended(tmp_path: Path) -> None:
    """Following a journal gives each point once, whoever logged it, and none that is only half written."""
    tail = JournalTail(str(tmp_path))
    assert tail.read_new() == {}
    first, second = open_journal(tmp_path), open_journal(tmp_path)
    first.point("loss", 0, 1.0, 0.5)
    second.point("loss", 0, 2.0, 0.4)
    second.point("acc", 0, 2.0, 7)
    found = tail.read_new()
    assert [tuple(point) for point in found["loss", 0]] == [(0, 1.0, 0.5), (0, 2.0, 0.4)]
    assert [tuple(point) for point in found["acc", 0]] == [(0, 2.0, 7)]
    assert tail.read_new() == {}
    first.point("loss", 1, 3.0, 0.25)
    path = min(tmp_path.glob("*.points"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert tail.read_new() == {}
    path.write_bytes(whole)
    assert [tuple(point) for point in tail.read_new()["loss", 0]] == [(1, 3.0, 0.25)]
    for writer in (first, second):
        writer.close()
