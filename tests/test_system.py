"""What a run does to its machine is sampled, cheaply, and not where it would be noise."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitexp
from gitexp import session
from gitexp.cli import execute
from gitexp.domain.metrics import SYSTEM
from gitexp.reading import RunView
from gitexp.system import Machine
from sealed_runs import seal

PERCENT = ("cpu", "memory", "disk.used")


@pytest.fixture(autouse=True)
def in_repository(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(repo_dir)
    yield
    while run := gitexp.active_run():
        run.end()
    session._repositories.clear()


@pytest.fixture
def often(repo_dir: Path) -> None:
    """Sampling each twentieth of a second."""
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text("system:\n  interval: 0.05s\n")


def only_run() -> RunView:
    [found] = gitexp.search_runs()
    return gitexp.get_run(found.record.id)


def system_of(run: RunView) -> dict[str, float]:
    return {key.removeprefix(SYSTEM): value for key, value in run.metrics.items() if key.startswith(SYSTEM)}


def wait_for_samples(count: int) -> None:
    """Work until the active run has so many samples, as another process would see them."""
    active = gitexp.active_run()
    assert active is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        view = gitexp.get_run(active.id)
        if "system/process.cpu" in view.metrics and len(view.history("system/process.cpu")) >= count:
            return
    raise AssertionError("no samples came")


def test_a_short_run_has_none() -> None:
    """Before the first interval of ten seconds is over nothing is sampled, nor is psutil imported."""
    program = "import gitexp, sys\nwith gitexp.start_run(): pass\nprint('psutil' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert only_run().metrics == {}


@pytest.mark.usefixtures("often")
def test_a_longer_run_is_sampled() -> None:
    """Processor, memory, disk and network of the machine, and the run's own share, with steps that count up."""
    with gitexp.start_run():
        wait_for_samples(3)
    found = system_of(only_run())
    assert {"cpu", "memory", "memory.used", "process.cpu", "process.memory", "disk.used"} <= found.keys()
    assert all(0 <= found[key] <= 100 for key in PERCENT)
    assert found["process.cpu"] > 1  # it did nothing but work
    assert 10 << 20 < found["process.memory"] < found["memory.used"]
    history = only_run().history("system/process.cpu")
    assert history.steps.tolist() == list(range(len(history)))
    assert not [thread for thread in threading.enumerate() if thread.name == "gitexp-system"]


@pytest.mark.usefixtures("often")
def test_a_resumed_run_counts_its_samples_on() -> None:
    """The steps of the samples of a run that goes on follow those before."""
    with gitexp.start_run("a"):
        wait_for_samples(2)
    before = len(only_run().history("system/memory"))
    with gitexp.start_run(run_id="a"):
        wait_for_samples(before + 2)
    steps = only_run().history("system/memory").steps.tolist()
    assert steps == list(range(len(steps))) and len(steps) > before


@pytest.mark.usefixtures("often")
def test_what_the_script_logs_itself_counts() -> None:
    """A script's own metric of that name is not mixed with the samples."""
    with gitexp.start_run():
        for step in range(2):
            gitexp.log_metric("system/cpu", 1000.0, step=step)
        wait_for_samples(2)
    assert only_run().history("system/cpu").values.tolist() == [1000.0, 1000.0]


@pytest.mark.usefixtures("often")
def test_only_the_outermost_run_is_sampled() -> None:
    """Nested runs are not, unless they ask for it; a run that asks not to be is not."""
    with (
        gitexp.start_run("outer"),
        gitexp.start_run("inner", nested=True),
        gitexp.start_run("asked", nested=True, system_metrics=True),
    ):
        wait_for_samples(1)
    with gitexp.start_run("off", system_metrics=False):
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass
    found = {run.record.name: bool(system_of(gitexp.get_run(run.record.id))) for run in gitexp.search_runs()}
    assert found == {"outer": True, "inner": False, "asked": True, "off": False}


@pytest.mark.slow
def test_the_setting_turns_it_off(repo_dir: Path) -> None:
    """`system.metrics: false` samples nothing, in scripts and in launches."""
    (repo_dir / ".gitexp").mkdir()
    (repo_dir / ".gitexp" / "config.yaml").write_text("system:\n  metrics: false\n  interval: 0.02s\n")
    work = "end = time.time() + 0.3\nwhile time.time() < end: pass\n"
    (repo_dir / "work.py").write_text(f"import gitexp, time\ngitexp.start_run()\n{work}")
    subprocess.run([sys.executable, "work.py"], check=True)
    subprocess.run([sys.executable, "-m", "gitexp", "run", "work.py"], check=True)
    assert [dict(run.metrics) for run in gitexp.search_runs()] == [{}, {}]


@pytest.mark.slow
@pytest.mark.usefixtures("often")
def test_a_launch_is_sampled_from_outside(repo_dir: Path) -> None:
    """Under `gitexp run` the launcher samples all that the command started, once, and the script does not."""
    (repo_dir / "work.py").write_text(
        textwrap.dedent("""
        import gitexp, subprocess, sys, threading
        busy = "import time; x = bytearray(50 << 20); end = time.time() + 1.5\\nwhile time.time() < end: pass"
        with gitexp.start_run():
            child = subprocess.Popen([sys.executable, "-c", busy])
            assert "gitexp-system" not in [thread.name for thread in threading.enumerate()]
            child.wait()
        """)
    )
    subprocess.run([sys.executable, "-m", "gitexp", "run", "work.py"], check=True)
    run = only_run()
    assert max(run.history("system/process.cpu").values) > 20
    assert max(run.history("system/process.memory").values) > 50 << 20
    assert [name for name in os.listdir(repo_dir) if "gitexp" in name] == [".gitexp"]


def test_the_machine_does_not_clutter_what_is_shown(repo_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists and comparisons leave these metrics out, `show` counts them; who asks for them sees them."""
    machine = {f"system/{name}": 0.5 for name in ("cpu", "memory")}
    seal(repo_dir, "one", metrics={"loss": 0.25, **machine})
    seal(repo_dir, "two", metrics={"loss": 0.5, **dict.fromkeys(machine, 0.75)})
    seal(repo_dir, "idle", metrics=machine)

    def cli(*words: str) -> str:
        assert execute(list(words)) == 0
        return capsys.readouterr().out

    assert "loss" in cli("ls") and "system" not in cli("ls")
    assert "system/cpu" in cli("ls", "--sort", "metrics.system/cpu")
    assert "0.75" in cli("ls", "--columns", "name,metrics.system/cpu")
    assert "and 2 of the machine; --all shows them" in cli("show", "one") and "system" not in cli("show", "one")
    assert "Metrics  2 of the machine; --all shows them" in cli("show", "idle")
    assert cli("show", "--all", "one").index("loss") < cli("show", "--all", "one").index("system/cpu")
    assert "loss" in cli("diff", "one", "two") and "system" not in cli("diff", "one", "two")
    assert "system/memory" in cli("diff", "--all", "one", "two")
    assert '"system/cpu": 0.5' in cli("show", "--json", "one")


def test_gpus_are_sampled_through_nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each GPU that NVIDIA's library tells of is sampled: percent, bytes, watts, degrees; what it refuses is not."""
    (tmp_path / "pynvml.py").write_text(
        textwrap.dedent("""
        from types import SimpleNamespace as Answer
        NVML_TEMPERATURE_GPU = 0
        def nvmlInit(): pass
        def nvmlDeviceGetCount(): return 2
        def nvmlDeviceGetHandleByIndex(number): return number
        def nvmlDeviceGetUtilizationRates(handle): return Answer(gpu=80 + handle)
        def nvmlDeviceGetMemoryInfo(handle): return Answer(used=3 << 30)
        def nvmlDeviceGetTemperature(handle, sensor): return 65
        def nvmlDeviceGetPowerUsage(handle):
            if handle: raise RuntimeError("not supported")
            return 250_500
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    machine = Machine(os.getpid(), ".", with_self=True)
    found = {key: value for key, value in machine.sample() if key.startswith("system/gpu.")}
    assert found == {
        "system/gpu.0.utilization": 80,
        "system/gpu.0.memory": 3 << 30,
        "system/gpu.0.power": 250.5,
        "system/gpu.0.temperature": 65,
        "system/gpu.1.utilization": 81,
        "system/gpu.1.memory": 3 << 30,
        "system/gpu.1.temperature": 65,
    }


def test_the_work_of_processes_is_theirs() -> None:
    """Busy processes are counted each with what it worked since the last sample, in percent of one processor."""
    machine = Machine(os.getpid(), ".", with_self=False)
    busy = subprocess.Popen(
        [sys.executable, "-c", "import time\nend = time.time() + 30\nwhile time.time() < end: pass"]
    )
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            os.sched_yield() if hasattr(os, "sched_yield") else None
        list(machine.sample())
        before = time.process_time(), time.monotonic()
        while time.monotonic() < before[1] + 0.5:
            pass
        found = dict(machine.sample())
    finally:
        busy.kill()
        busy.wait()
    assert 5 < found["system/process.cpu"] < 130
    assert all(math.isfinite(value) for value in found.values())
