"""What a run ran on is read from plain files, exactly and quickly."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from conftest import Git
from gitexp.domain.environment import Environment
from gitexp.domain.requirements import parse_requirement
from gitexp.domain.run import Status
from gitexp.recording import Recorder, RunRequest
from gitexp.repo import Repository
from gitexp.running.environment import (
    capture_environment,
    conda_packages,
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
    exact = {name: version for name, version in found.items() if "://" not in version and "-e" not in version}
    assert exact.items() <= distributions.items()


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
        f"-e file://{first}  # developed",
        "distutils-made==3.0",
        "-e file:///home/ann/edited  # edited",
        "pinned @ git+https://ann:***@host/x.git@abc#subdirectory=py",
        "scikit-learn==1.5.0",
        "six==1.16.0",
        "torch==2.13.0+cpu",
        "zope-interface==7.0",
    )


def test_archives_have_the_digest_that_was_installed(tmp_path: Path) -> None:
    """As pip has written it since 2022, as it did before, and beside a subdirectory; uv leaves it out."""
    digest = "ab" * 32
    for name, info, subdirectory in (
        ("new", {"hashes": {"sha256": digest}, "hash": f"sha256={digest}"}, None),
        ("old", {"hash": f"sha256={digest}"}, "py"),
        ("other", {"hash": "md5=1"}, None),
        ("uv", {}, None),
    ):
        url = {"url": f"https://host/{name}-1.tar.gz", "archive_info": info}
        install(tmp_path, f"{name}-1.dist-info", url | ({"subdirectory": subdirectory} if subdirectory else {}))
    assert freeze((str(tmp_path),)) == (
        f"new @ https://host/new-1.tar.gz#sha256={digest}",
        f"old @ https://host/old-1.tar.gz#sha256={digest}&subdirectory=py",
        "other @ https://host/other-1.tar.gz",
        "uv @ https://host/uv-1.tar.gz",
    )


def test_what_is_installed_from_the_work_tree_is_relative_to_it(tmp_path: Path, repo_dir: Path, git: Git) -> None:
    """Wherever the work tree lies, the line is the same; a repository inside it is another one."""
    (repo_dir / "libs/sub").mkdir(parents=True)
    (repo_dir / "vendor").mkdir()
    git("init", "-q", cwd=repo_dir / "vendor")
    for name, folder, editable in (
        ("top", repo_dir, True),
        ("sub", repo_dir / "libs/sub", True),
        ("copied", repo_dir / "libs/sub", False),
        ("vendor", repo_dir / "vendor", True),
    ):
        info = {"editable": True} if editable else {}
        install(tmp_path / "site", f"{name}-1.dist-info", {"url": folder.as_uri(), "dir_info": info})
    assert freeze((str(tmp_path / "site"),), root=str(repo_dir)) == (
        "./libs/sub  # copied",
        "-e ./libs/sub  # sub",
        "-e .  # top",
        f"-e file://{repo_dir}/vendor  # vendor",
    )


def test_an_editable_install_of_another_repository_has_its_commit(repo_dir: Path, tmp_path: Path, git: Git) -> None:
    """With the address it was cloned from, or its folder; read when it is asked for, not when it was installed."""
    (repo_dir / "py").mkdir()
    install(tmp_path, "edited-1.dist-info", {"url": f"{repo_dir.as_uri()}/py", "dir_info": {"editable": True}})
    path, first = (str(tmp_path),), git("rev-parse", "HEAD", cwd=repo_dir).strip()
    expected = "edited @ git+{}@{}#subdirectory=py  # editable in " + f"{repo_dir}/py"
    assert freeze(path) == (expected.format(repo_dir.as_uri(), first),)
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=repo_dir)
    second = git("rev-parse", "HEAD", cwd=repo_dir).strip()
    for address, recorded in (
        ("git@host:team/x.git", "ssh://git@host/team/x.git"),
        ("https://ann:pw@host/x.git", "https://ann:***@host/x.git"),
    ):
        git("config", "remote.origin.url", address, cwd=repo_dir)
        assert freeze(path) == (expected.format(recorded, second),)
    requirement = parse_requirement(freeze(path)[0])
    assert requirement is not None
    assert (requirement.name, requirement.subdirectory) == ("edited", "py")


def test_conda_packages_are_an_explicit_list(tmp_path: Path) -> None:
    """Each with its address and digest, from the ends of files that are long; pip's share of them is no address."""
    meta, site = tmp_path / "conda-meta", tmp_path / "lib/python3.11/site-packages"
    meta.mkdir()
    site.mkdir(parents=True)
    for name, version, build in (("python", "3.11.7", "hab_0"), ("libfoo-dev", "1.2", "h1_1")):
        url = f"https://host/conda-forge/linux-64/{name}-{version}-{build}.conda"
        record = {"files": ["x" * 50] * 1000, "name": name, "sha256": "ab" * 32, "size": 1, "url": url, "version": "1"}
        (meta / f"{name}-{version}-{build}.json").write_text(json.dumps(record, indent=2, sort_keys=True))
    (meta / "history").write_text("==> <==\n")
    install(site, "six-1.16.0.dist-info", {"url": "file:///croot/six_1644/work", "dir_info": {}})
    (site / "six-1.16.0.dist-info/INSTALLER").write_text("conda\n")
    lines = (
        "@EXPLICIT",
        f"https://host/conda-forge/linux-64/libfoo-dev-1.2-h1_1.conda#sha256:{'ab' * 32}",
        f"https://host/conda-forge/linux-64/python-3.11.7-hab_0.conda#sha256:{'ab' * 32}",
    )
    assert conda_packages(str(tmp_path)) == lines
    assert conda_packages(str(site)) == ()
    assert freeze((str(site),)) == ("six==1.16.0",)
    packages = Environment(requirements=("six==1.16.0",), conda=lines).packages()
    assert packages == {"six": "1.16.0", "libfoo-dev": "1.2 h1_1", "python": "3.11.7 hab_0"}


def test_what_conda_installed_survives_journal_and_commit(repo_dir: Path) -> None:
    """A live run and its commit give the environment that was recorded."""
    repository = Repository.open(repo_dir)
    environment = Environment(
        python={"version": "3.11.7"},
        requirements=("-e .  # project", "six==1.16.0"),
        conda=("@EXPLICIT", "https://host/linux-64/six-1.16.0-0.conda"),
    )
    recorder = Recorder.begin(repository, RunRequest(), on_trouble=pytest.fail)
    recorder.set_environment(environment)
    assert repository.live_run(recorder.run_id).environment == environment
    commit = recorder.end(Status.FINISHED)
    assert commit is not None
    assert repository.runs.environment(commit) == environment


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
    assert facts["cpu"].keys() - {"usable"} == {"count"}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no such limit")
def test_processors_that_it_may_not_use_are_not_counted_as_usable() -> None:
    """What batch systems and `taskset` leave to a process is told where it is fewer than there are."""
    one = min(os.sched_getaffinity(0))
    script = (
        f"import os; os.sched_setaffinity(0, {{{one}}})\n"
        "from gitexp.running.environment import machine_facts\n"
        "print(machine_facts()['cpu'].get('usable'))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ("1" if os.cpu_count() != 1 else "None")


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
