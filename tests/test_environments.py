"""Environments are built from what a run recorded: once, exactly, and never half."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import gitexp
from conftest import Git
from gitexp.cli import command_line
from gitexp.environments.building import Built, build
from gitexp.environments.cache import PREFIX, EnvironmentCache
from gitexp.environments.files import specification_from_files
from gitexp.environments.specification import EnvironmentSpec, Tool
from gitexp.environments.tools import find_uv
from gitexp.errors import EnvironmentFailed
from wheels import make_archive, make_source, make_wheel

pytestmark = pytest.mark.slow

HERE = ".".join(map(str, sys.version_info[:3]))
UV = find_uv(os.environ)

both_tools = pytest.mark.parametrize(
    "tool", ["pip", pytest.param("uv", marks=pytest.mark.skipif(UV is None, reason="uv is not here"))]
)


class Builds:
    """Builds environments from a folder of wheels, without any index."""

    def __init__(self, folder: Path) -> None:
        self.wheels, self.cache = folder / "wheels", folder / "cache"
        self.wheels.mkdir()
        self.said: list[str] = []
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))} | {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "XDG_CACHE_HOME": str(self.cache),
        }

    def __call__(self, *requirements: str, python: str = HERE, **options: Any) -> Built:
        spec = {name: options.pop(name) for name in ("gitexp", "is_complete", "conda") if name in options}
        self.said.clear()
        return build(
            EnvironmentSpec(python=python, requirements=requirements, **spec),
            say=self.said.append,
            environ=self.environ,
            **options,
        )

    def start(self, spec: EnvironmentSpec, tool: Tool) -> subprocess.Popen[str]:
        """Build in another process, whose output is what was said and then whether it was cached."""
        code = (
            "import sys; from gitexp.environments.building import build\n"
            "from gitexp.environments.specification import EnvironmentSpec\n"
            f"spec = EnvironmentSpec(python={spec.python!r}, requirements={spec.requirements!r})\n"
            f"built = build(spec, tool={tool!r}, say=lambda text: print(text, flush=True))\n"
            "print('cached' if built.was_cached else 'built')"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code], env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    """Builds environments below a folder of this test."""
    return Builds(tmp_path)


def ask(built: Built, code: str, environ: Mapping[str, str] = os.environ) -> str:
    """What a program prints in an environment."""
    done = subprocess.run([built.python, "-c", code], capture_output=True, text=True, check=True, env=dict(environ))
    return done.stdout.strip()


@both_tools
def test_an_environment_has_the_recorded_versions_and_is_built_once(builds: Builds, tool: Tool) -> None:
    """Not the newest ones; the second time it is there at once."""
    for version in ("1.0", "1.1", "2.0"):
        make_wheel(builds.wheels, "alpha", version)
    make_wheel(builds.wheels, "beta", "3.0")
    built = builds("alpha==1.1", "beta==3.0", tool=tool)
    assert (built.was_cached, built.built_with, built.kind) == (False, tool, "venv")
    assert ask(built, "import alpha, beta, sys; print(alpha.version, beta.version, sys.prefix)") == (
        f"1.1 3.0 {built.prefix}"
    )
    started = time.monotonic()
    again = builds("beta==3.0  # order and comments say nothing", "alpha==1.1", tool=tool)
    assert time.monotonic() - started < 0.5
    assert again.was_cached
    assert again.prefix == built.prefix
    assert not builds.said
    assert builds("alpha==2.0", tool=tool).prefix != built.prefix


@both_tools
def test_a_process_that_gets_its_variables_uses_the_environment(builds: Builds, tool: Tool) -> None:
    """Whatever environment was active before."""
    make_wheel(builds.wheels, "alpha", "1.0", greet="#!/bin/sh\necho hello\n")
    built = builds("alpha==1.0", tool=tool)
    before = {**os.environ, "CONDA_PREFIX": "/opt/conda", "PYTHONHOME": "/nowhere", "VIRTUAL_ENV": "/other"}
    changed = {**before, **built.environ}
    environ = {name: value for name, value in changed.items() if value is not None}
    shell = subprocess.run(
        ["sh", "-c", "python -c 'import alpha; print(alpha.version)'; greet; echo $VIRTUAL_ENV $CONDA_PREFIX"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == f"1.0\nhello\n{built.prefix}\n"


@both_tools
def test_every_package_that_cannot_be_had_is_named_at_once(builds: Builds, tool: Tool) -> None:
    """With the version that was recorded and those that there are; nothing is left behind."""
    for version in ("1.0", "1.1", "1.2", "1.10", "2.0"):
        make_wheel(builds.wheels, "alpha", version)
    make_wheel(builds.wheels, "beta", "3.0")
    gone = builds.wheels / "delta-1.0-py3-none-any.whl"
    with pytest.raises(EnvironmentFailed) as failed:
        builds("alpha==1.3", "beta==3.0", "gamma==1.0", tool=tool)
    assert failed.value.exit_code == 9
    assert failed.value.packages == (("alpha", "1.3", ("1.0", "1.1", "1.2", "1.10", "2.0")), ("gamma", "1.0", ()))
    assert str(failed.value) == (
        "These 2 packages cannot be had: alpha 1.3, available: 1.1, 1.2, 1.10, 2.0 (5 in all);"
        " gamma 1.0, no version of it was found."
    )
    with pytest.raises(EnvironmentFailed, match=r"delta .*delta-1\.0-py3-none-any\.whl' is gone"):
        builds("beta==3.0", f"delta @ {gone.as_uri()}#sha256={'ab' * 32}", tool=tool)
    assert list(EnvironmentCache(str(builds.cache / "gitexp")).entries()) == []


@both_tools
def test_an_index_that_cannot_be_reached_is_no_missing_package(builds: Builds, tool: Tool) -> None:
    """What the network lacks is said, and no package is blamed."""
    builds.environ |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "UV_HTTP_RETRIES": "0"}
    del builds.environ["PIP_NO_INDEX"]
    with pytest.raises(EnvironmentFailed, match="without the network") as failed:
        builds("alpha==1.0", tool=tool)
    assert failed.value.packages == ()


@both_tools
def test_an_archive_that_does_not_build_is_named(builds: Builds, tmp_path: Path, tool: Tool) -> None:
    """With the versions that might be taken instead."""
    source = make_source(tmp_path / "broken", "broken")
    text = (source / "making.py").read_text()
    (source / "making.py").write_text(text + "\n\ndef build_wheel(*_):\n    raise OSError('no compiler')\n")
    make_archive(builds.wheels, source, "broken")
    make_wheel(builds.wheels, "broken", "2.0")
    with pytest.raises(EnvironmentFailed, match=r"broken 1\.0 .*building it fails") as failed:
        builds("broken==1.0", tool=tool)
    assert failed.value.packages == (("broken", "1.0", ("1.0", "2.0")),)


@both_tools
def test_a_known_digest_is_checked_and_others_need_none(builds: Builds, tool: Tool) -> None:
    """Line by line, for archives too."""
    alpha, beta = make_wheel(builds.wheels, "alpha", "1.0"), make_wheel(builds.wheels, "beta", "1.0")
    digest = hashlib.sha256(alpha.read_bytes()).hexdigest()
    built = builds(f"alpha==1.0 --hash=sha256:{digest}", "beta==1.0", tool=tool)
    assert ask(built, "import alpha, beta; print(alpha.version)") == "1.0"
    for line in (f"alpha==1.0 --hash=sha256:{'0' * 64}", f"alpha @ {alpha.as_uri()}#sha256={'0' * 64}"):
        with pytest.raises(EnvironmentFailed, match=r"alpha .*another digest"):
            builds(line, "beta==1.0", tool=tool)
    other = hashlib.sha256(beta.read_bytes()).hexdigest()
    assert ask(builds(f"beta @ {beta.as_uri()}#sha256={other}", tool=tool), "import beta") == ""


@both_tools
def test_an_index_of_the_users_is_asked(builds: Builds, tmp_path: Path, tool: Tool) -> None:
    """What pip's configuration says counts for uv too; the best of all indexes is taken."""
    for folder, version in (("one", "1.0"), ("two", "2.0")):
        make_wheel(tmp_path / folder / "alpha", "alpha", version)
    with serving(tmp_path) as address:
        (tmp_path / "pip.conf").write_text(
            f"[global]\nindex-url = {address}/one\n[install]\nextra-index-url =\n    {address}/two\n"
        )
        del builds.environ["PIP_NO_INDEX"], builds.environ["PIP_FIND_LINKS"]
        builds.environ["PIP_CONFIG_FILE"] = str(tmp_path / "pip.conf")
        assert ask(builds("alpha==2.0", tool=tool), "import alpha; print(alpha.version)") == "2.0"
        with pytest.raises(EnvironmentFailed) as failed:
            builds("alpha==3.0", tool=tool)
    assert failed.value.packages == (("alpha", "3.0", ("1.0", "2.0")),)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The folder over http, each of its folders as a page of links; gives the address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@both_tools
def test_the_gitexp_that_runs_is_in_it(builds: Builds, tool: Tool) -> None:
    """Whatever version was recorded, and with what it needs; it is not fetched, so the index need not have it."""
    for name in ("click", "dulwich", "psutil", "pyyaml", "tabulate"):
        make_wheel(builds.wheels, name, "99.0")
    make_wheel(builds.wheels, "ruamel.yaml", "99.0")
    built = builds("click==99.0", gitexp="0.0.1", tool=tool)
    code = (
        "import gitexp, os; from importlib.metadata import version\n"
        "print(os.path.realpath(gitexp.__file__), version('gitexp'), version('dulwich'))"
    )
    assert ask(built, code) == f"{os.path.realpath(gitexp.__file__)} {gitexp.__version__} 99.0"
    link = Path(ask(built, "import gitexp; print(gitexp.__path__[0])"))
    link.unlink()
    link.symlink_to("/nowhere")
    again = builds("click==99.0", gitexp="0.0.2", tool=tool)
    assert again.was_cached
    assert ask(again, code) == f"{os.path.realpath(gitexp.__file__)} {gitexp.__version__} 99.0"


@both_tools
def test_an_editable_project_is_that_of_the_work_tree(builds: Builds, tmp_path: Path, tool: Tool) -> None:
    """Over the kept environment, so that the same packages serve another work tree; gone with its own."""
    make_wheel(builds.wheels, "alpha", "1.0", greet="#!/bin/sh\necho hello\n")
    first, second = (make_source(tmp_path / name, "project") for name in ("first", "second"))
    lines = ("alpha==1.0", "-e .  # project")
    code = "import alpha, project; print(alpha.version, project.__file__)"
    built = builds(*lines, root=str(first), tool=tool)
    assert ask(built, code) == f"1.0 {first}/src/project.py"
    assert builds(*lines, root=str(first), tool=tool).was_cached
    other = builds(*lines, root=str(second), tool=tool)
    assert ask(other, code) == f"1.0 {second}/src/project.py"
    assert not any("package" in line for line in builds.said)
    path = other.environ["PATH"]
    assert path is not None
    greeting = subprocess.run(["sh", "-c", "greet"], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert greeting.stdout == "hello\n"
    (second / "pyproject.toml").write_text((second / "pyproject.toml").read_text() + "# changed\n")
    assert not builds(*lines, root=str(second), tool=tool).was_cached
    first.rename(tmp_path / "gone")
    make_source(tmp_path / "third", "project")
    builds(*lines, root=str(tmp_path / "third"), tool=tool)
    assert not os.path.exists(built.prefix)
    with pytest.raises(EnvironmentFailed, match="no work tree"):
        builds(*lines, tool=tool)


@both_tools
def test_another_repository_is_installed_at_its_commit(builds: Builds, tmp_path: Path, git: Git, tool: Tool) -> None:
    """From the folder where it was edited if its commit is still there, and named where it is nowhere."""
    folder = make_source(tmp_path / "edited", "other")
    git("init", "-q", cwd=folder)
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "first", cwd=folder)
    commit = git("rev-parse", "HEAD", cwd=folder).strip()
    (folder / "src/other.py").write_text("version = 'later'\n")
    git("commit", "-q", "-a", "-m", "second", cwd=folder)
    nowhere = (tmp_path / "nowhere").as_uri()
    built = builds(f"other @ git+{nowhere}@{commit}  # editable in {folder}", tool=tool)
    assert ask(built, "import other; print(other.version)") == "1.0"
    folder.rename(tmp_path / "gone")
    with pytest.raises(EnvironmentFailed, match=rf"other git\+{nowhere}@{commit} \(.*\)\.") as failed:
        builds(f"other @ git+{nowhere}@{commit}  # editable in {folder}", "alpha==1.0", tool=tool)
    assert [name for name, _, _ in failed.value.packages] == ["alpha", "other"]


@both_tools
def test_a_projects_files_are_followed(builds: Builds, tmp_path: Path, tool: Tool) -> None:
    """Its own folder of wheels, a constraint, what its packages need, and a wheel beside it."""
    folder = tmp_path / "project"
    for version in ("1.0", "2.0", "3.0"):
        make_wheel(folder / "wheels", "alpha", version)
    make_wheel(folder / "wheels", "beta", "1.0", requires="alpha")
    make_wheel(folder, "gamma", "1.0", requires="delta")
    make_wheel(folder / "wheels", "delta", "1.0")
    (folder / "requirements.txt").write_text(
        "--find-links ./wheels\n-c constraints.txt\nbeta\n./gamma-1.0-py3-none-any.whl\n"
    )
    (folder / "constraints.txt").write_text("alpha<3\n")
    spec = specification_from_files(str(folder))
    assert spec is not None
    del builds.environ["PIP_FIND_LINKS"]
    built = build(spec, root=str(folder), tool=tool, environ=builds.environ)
    code = "import alpha, beta, gamma, delta; print(alpha.version, beta.version, gamma.version)"
    assert ask(built, code) == "2.0 1.0 1.0"


@both_tools
def test_a_project_that_was_copied_is_copied_again(builds: Builds, tmp_path: Path, tool: Tool) -> None:
    """Its source may have changed, so it is installed each time."""
    folder = make_source(tmp_path / "work", "project")
    built = builds("./  # project", root=str(folder), tool=tool)
    assert ask(built, "import project; print(project.version)") == "1.0"
    (folder / "src/project.py").write_text("version = 'changed'\n")
    assert ask(builds("./  # project", root=str(folder), tool=tool), "import project; print(project.version)") == (
        "changed"
    )


def wait_for(what: Callable[[], bool]) -> None:
    """Until something is so."""
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Held:
    """A package whose build waits until it is let go."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        make_archive(wheels, make_source(folder / "held", "held", waits=self.fifo), "held")

    def builder(self) -> int:
        """The process id of the build, once it waits."""
        file = Path(f"{self.fifo}.pid")
        wait_for(lambda: file.exists() and file.read_text() != "")
        return int(file.read_text())

    def let_go(self) -> None:
        """Let whoever waits, or comes later, go on."""
        self.fifo.unlink()
        self.fifo.write_bytes(b"")

    def wake(self) -> None:
        """Let the one that waits go on, and later ones not wait."""
        with open(self.fifo, "wb"):
            self.let_go()


def parents(pid: int) -> list[int]:
    """A process and those above it."""
    found = [pid]
    while found[-1] > 1:
        fields = Path(f"/proc/{found[-1]}/stat").read_text().rpartition(")")[2].split()
        found.append(int(fields[1]))
    return found


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")


@needs_proc
@both_tools
def test_a_killed_installer_leaves_nothing_that_is_used(builds: Builds, tmp_path: Path, tool: Tool) -> None:
    """Its build fails, and the next one begins anew and is whole."""
    held = Held(tmp_path, builds.wheels)
    spec = EnvironmentSpec(python=HERE, requirements=("held==1.0",))
    process = builds.start(spec, tool)
    chain = parents(held.builder())
    installer = chain[chain.index(process.pid) - 1]
    os.kill(installer, signal.SIGKILL)
    os.kill(chain[0], signal.SIGKILL)
    held.let_go()
    _, errors = process.communicate(timeout=60)
    assert "EnvironmentFailed" in errors
    assert ask(builds("held==1.0", tool=tool), "import held; print(held.version)") == "1.0"


@needs_proc
@both_tools
def test_after_a_killed_gitexp_the_next_one_waits_for_its_installer(builds: Builds, tmp_path: Path, tool: Tool) -> None:
    """The installer lives on and writes; what it leaves has no marker, and is built anew."""
    held = Held(tmp_path, builds.wheels)
    spec = EnvironmentSpec(python=HERE, requirements=("held==1.0",))
    process = builds.start(spec, tool)
    held.builder()
    process.kill()
    process.communicate()
    second = builds.start(spec, tool)
    assert second.stdout is not None
    assert "waiting" in second.stdout.readline()
    held.wake()
    output, errors = second.communicate(timeout=60)
    assert output.split()[-1] == "built", errors
    assert builds("held==1.0", tool=tool).was_cached


@needs_proc
@both_tools
def test_two_processes_that_need_the_same_build_it_once(builds: Builds, tmp_path: Path, tool: Tool) -> None:
    """The second one waits and takes what the first one made."""
    held = Held(tmp_path, builds.wheels)
    spec = EnvironmentSpec(python=HERE, requirements=("held==1.0",))
    first = builds.start(spec, tool)
    held.builder()
    second = builds.start(spec, tool)
    assert second.stdout is not None
    assert "waiting" in second.stdout.readline()
    held.wake()
    outputs = [process.communicate(timeout=60)[0].split()[-1] for process in (first, second)]
    assert outputs == ["built", "cached"]


def test_an_environment_whose_interpreter_is_another_is_built_anew(builds: Builds) -> None:
    """As after an update of the Python that it was made from; and so is one without marker."""
    built = builds(tool="pip")
    marker = Path(built.prefix).parent / "built.json"
    stored = json.loads(marker.read_text())
    marker.write_text(json.dumps({**stored, "base": [stored["base"][0], stored["base"][1], 1]}))
    assert not builds(tool="pip").was_cached
    assert builds(tool="pip").was_cached
    marker.write_text("{")
    assert not builds(tool="pip").was_cached


def test_unused_environments_go_and_others_stay(builds: Builds) -> None:
    """30 days, measured from the last use; one that is being built stays."""
    make_wheel(builds.wheels, "alpha", "1.0")
    old, new, busy = (Path(builds(*lines, tool="pip").prefix).parent for lines in ((), ("alpha==1.0",), ("alpha<2",)))
    cache = EnvironmentCache(str(builds.cache / "gitexp"))
    long_ago = time.time() - 31 * 86400
    for place in (old, new, busy):
        os.utime(place / "used", (long_ago, long_ago))
    assert builds("alpha==1.0", tool="pip").was_cached
    with cache.locked(busy.name, lambda: None):
        assert {kept.key for kept in cache.entries() if kept.is_unused()} == {old.name, busy.name}
        [gone] = cache.sweep()
    assert gone.key == old.name
    assert gone.size_bytes > 0
    assert not old.exists()
    assert new.exists()
    assert busy.exists()


def test_gc_tells_of_environments_and_removes_unused_ones_on_request(builds: Builds, repo_dir: Path) -> None:
    """They belong to no repository, so the usual gc leaves them alone."""
    place = Path(builds(tool="pip").prefix).parent
    environ = {**os.environ, "XDG_CACHE_HOME": str(builds.cache)}
    run = CliRunner(env=environ)
    with contextlib.chdir(repo_dir):
        assert "In the cache: 1 environment" in run.invoke(command_line, ["gc"], catch_exceptions=False).output
        long_ago = time.time() - 31 * 86400
        os.utime(place / "used", (long_ago, long_ago))
        told = json.loads(run.invoke(command_line, ["gc", "--environments", "-n", "--json"]).output)["environments"]
        assert (told["kept"], told["unused"], told["removed"]) == (1, 1, 0)
        assert told["unused_bytes"] == told["kept_bytes"] > 0
        assert place.exists()
        done = run.invoke(command_line, ["gc", "--environments"], catch_exceptions=False).output
    assert "Removed 1 environment (" in done
    assert not place.exists()


def test_without_uv_one_is_installed_once(builds: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said once; where it cannot be, pip is used and it is not tried again the same day."""
    builds.environ["PATH"] = str(tmp_path)
    monkeypatch.setitem(sys.modules, "uv", None)  # as if its package were not installed
    assert builds().built_with == "pip"
    assert any("uv cannot be installed" in line for line in builds.said)
    make_wheel(builds.wheels, "alpha", "1.0")
    assert builds("alpha==1.0").built_with == "pip"
    assert not any("uv" in line for line in builds.said)
    with pytest.raises(EnvironmentFailed, match="uv is not here"):
        builds("alpha<1.1", tool="uv")
    (builds.cache / "gitexp/no-uv").unlink()
    make_wheel(builds.wheels, "uv", "99.0", uv="#!/bin/sh\necho uv 99.0 >&2\nexit 3\n")
    with pytest.raises(EnvironmentFailed, match=r"uv 99\.0"):
        builds("alpha<1.2")
    assert "Installing uv, once, for building environments quickly." in builds.said
    with pytest.raises(EnvironmentFailed, match=r"uv 99\.0"):
        builds("alpha<1.2")
    assert not any("Installing" in line for line in builds.said)


def test_a_conda_environment_is_condas_and_pip_adds_the_rest(builds: Builds, tmp_path: Path) -> None:
    """Packages that conda has installed are not installed again, whatever address they were recorded with."""
    log, program = tmp_path / "log", tmp_path / "bin" / "micromamba"
    program.parent.mkdir()
    make_wheel(tmp_path / "channel", "alpha", "1.0")
    make_wheel(builds.wheels, "beta", "2.0")
    program.write_text(
        f"#!{sys.executable}\n"
        "import subprocess, sys\n"
        f"open({str(log)!r}, 'w').write(' '.join(sys.argv[1:]) + '\\n' + open(sys.argv[-1]).read())\n"
        "prefix = sys.argv[sys.argv.index('--prefix') + 1]\n"
        f"subprocess.run([{sys.executable!r}, '-m', 'venv', '--without-pip', prefix], check=True)\n"
        f"subprocess.run([{sys.executable!r}, '-m', 'pip', '--python', prefix + '/bin/python', 'install', '-q',"
        f" '--no-index', '--no-deps', {str(tmp_path / 'channel' / 'alpha-1.0-py3-none-any.whl')!r}], check=True)\n"
    )
    program.chmod(0o755)
    explicit = "@EXPLICIT\nhttps://host/linux-64/alpha-1.0-0.conda\n"
    lines = ("alpha @ file:///croot/alpha_1/work", "beta==2.0")
    builds.environ["PATH"] = f"{tmp_path / 'empty'}"
    with pytest.raises(EnvironmentFailed, match="micromamba") as failed:
        builds(*lines, conda=explicit, tool="pip")
    assert "--env venv" in failed.value.hint
    builds.environ["PATH"] = str(program.parent)
    built = builds(*lines, conda=explicit, tool="pip")
    assert (built.kind, built.built_with) == ("conda", "conda")
    assert built.environ["CONDA_PREFIX"] == built.prefix
    assert built.environ["VIRTUAL_ENV"] is None
    assert ask(built, "import alpha, beta; print(alpha.version, beta.version)") == "1.0 2.0"
    command, text = log.read_text().split("\n", 1)
    assert command.startswith(f"create --yes --quiet --prefix {Path(built.prefix)}")
    assert text == explicit
    assert Path(built.prefix).name == PREFIX
    assert builds(*lines, conda=explicit, tool="pip").was_cached


def test_an_environment_of_the_other_kind_is_refused(builds: Builds) -> None:
    """Where the specification does not say enough for it."""
    with pytest.raises(EnvironmentFailed, match="not made by conda"):
        builds("alpha==1.0", kind="conda")
    with pytest.raises(EnvironmentFailed, match="only conda has"):
        builds("alpha", conda="dependencies: [scikit-learn]", is_complete=False, kind="venv")


def test_the_recorded_python_is_found_or_one_near_it(builds: Builds, tmp_path: Path) -> None:
    """With a note each time; where none will do, those that there are are named."""
    minor = ".".join(HERE.split(".")[:2])
    near = builds(python=f"{minor}.99", tool="pip")
    assert f"Python {minor}.99 is not here: Python {HERE} is used instead." in builds.said[-1]
    assert ask(near, "import sys; print('.'.join(map(str, sys.version_info[:3])))").startswith(minor)
    builds(python=f"{minor}.99", tool="pip")
    assert len(builds.said) == 1
    with pytest.raises(EnvironmentFailed, match=rf"Python 3\.2\.1 is not here; there is .*{HERE}"):
        builds(python="3.2.1", tool="pip")
    other = tmp_path / "pyenv/versions/3.2.1/bin"
    other.mkdir(parents=True)
    (other / "python3").write_text(
        f'#!/bin/sh\n[ "$2" = -S ] && echo \'["cpython", "3.2.1", "{other}/python3"]\' || exec {sys.executable} "$@"\n'
    )
    (other / "python3").chmod(0o755)
    builds.environ["PYENV_ROOT"] = str(tmp_path / "pyenv")
    builds(python="3.2.1", tool="pip")
    assert not any("is not here" in line for line in builds.said)
