"""What a run ran on is read from plain files, exactly and quickly."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

from gitexp.running.environment import (
    capture_environment,
    environment_of,
    freeze,
    machine_facts,
    this_python,
)


def install(folder: Path, name: str, direct_url: object = None) -> None:
    (folder / name).mkdir(parents=True)
    if direct_url is not None:
        (folder / name / "direct_url.json").write_text(json.dumps(direct_url))


def test_the_freeze_is_what_the_standard_library_finds() -> None:
    """Every distribution that importlib.metadata reads is there with its version; ours only looks at names."""
    distributions = {re.sub(r"[-_.]+", "-", one.name).lower(): one.version for one in metadata.distributions()}
    found = capture_environment().packages()
    assert found.keys() == distributions.keys()
    assert {name: version for name, version in found.items() if "://" not in version}.items() <= distributions.items()


def test_each_kind_of_installation_has_its_line(tmp_path: Path) -> None:
    """Wheels give name and version, direct installs their URL, and the first on the path wins."""
    first, second = tmp_path / "first", tmp_path / "second"
    install(first, "scikit_learn-1.5.0.dist-info")
    install(first, "torch-2.13.0+cpu.dist-info")
    install(first, "zope.interface-7.0.dist-info")
    install(first, "edited-0.1.dist-info", {"url": "file:///home/ann/edited", "dir_info": {"editable": True}})
    install(
        first,
        "pinned-2.0.dist-info",
        {"url": "https://ann:pw@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}, "subdirectory": "py"},
    )
    install(first, "broken-1.0.dist-info", {"no": "url"})
    install(first, "distutils_made-3.0-py3.11.egg-info")
    install(first, "developed.egg-info")
    install(first, "~eftover-1.0.dist-info")
    install(second, "torch-1.0.dist-info")
    install(second, "six-1.16.0.dist-info")
    assert freeze((str(first), str(second), str(tmp_path / "gone.zip"))) == (
        "broken==1.0",
        f"developed @ file://{first}",
        "distutils-made==3.0",
        "edited @ file:///home/ann/edited",
        "pinned @ git+https://ann:***@host/x.git@abc#subdirectory=py",
        "scikit-learn==1.5.0",
        "six==1.16.0",
        "torch==2.13.0+cpu",
        "zope-interface==7.0",
    )


def test_a_package_installed_later_is_seen(tmp_path: Path) -> None:
    """The freeze is kept only as long as nothing is installed."""
    install(tmp_path, "one-1.dist-info")
    os.utime(tmp_path, (1, 1))
    assert freeze((str(tmp_path),)) == ("one==1",)
    install(tmp_path, "two-2.dist-info")
    assert freeze((str(tmp_path),)) == ("one==1", "two==2")


def test_machine_facts_are_those_of_the_platform() -> None:
    """Platform, processors and memory agree with what the standard library says."""
    facts = machine_facts()
    assert facts["platform"] == platform.platform()
    assert facts["machine"] == platform.machine()
    assert facts["cpu"]["count"] == os.cpu_count()
    assert facts["memory_bytes"] > 2**20


def test_processor_gpus_and_driver_are_read_from_proc(tmp_path: Path) -> None:
    """A machine with two GPUs, as the driver describes it."""
    nvidia = tmp_path / "proc/driver/nvidia"
    for slot, model in (("0000:01:00.0", "NVIDIA A100-SXM4-80GB"), ("0000:02:00.0", "NVIDIA H100 PCIe")):
        (nvidia / "gpus" / slot).mkdir(parents=True)
        (nvidia / "gpus" / slot / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 211\n")
    (nvidia / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12\n"
    )
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: AMD EPYC 7763 64-Core Processor\n" * 64)
    facts = machine_facts(str(tmp_path))
    assert facts["gpus"] == ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 PCIe"]
    assert facts["driver"] == "535.104.05"
    assert facts["cpu"]["model"] == "AMD EPYC 7763 64-Core Processor"


def test_where_proc_is_missing_its_facts_are_absent(tmp_path: Path) -> None:
    """No GPU, no processor name: no error, and no empty entries."""
    facts = machine_facts(str(tmp_path))
    assert facts.keys() == {"platform", "machine", "cpu", "memory_bytes"}
    assert facts["cpu"].keys() == {"count"}


def test_only_the_listed_variables_are_recorded() -> None:
    """What steers a training is kept; everything else in the environment is nobody's business."""
    environ = {"OMP_NUM_THREADS": "4", "PYTHONHASHSEED": "0", "AWS_SECRET_ACCESS_KEY": "x", "HOME": "/home/ann"}
    captured = capture_environment(environ)
    assert captured.python["variables"] == {"OMP_NUM_THREADS": "4", "PYTHONHASHSEED": "0"}
    assert "/home/ann" not in repr(captured)
    assert "variables" not in capture_environment({}).python


def test_the_interpreter_is_described_where_there_is_one() -> None:
    """A Python process has a version and packages, any other only a machine."""
    ours = environment_of(this_python(), {})
    assert ours.python["implementation"] == sys.implementation.name
    assert ours.python["version"] == platform.python_version()
    assert ours.python["executable"] == sys.executable
    other = environment_of(None, {})
    assert other.requirements == ()
    assert "version" not in other.python
    assert other.python["machine"] == ours.python["machine"]
