"""What a launched Python reports of itself, and how little it notices."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain import masking
from gitexp.running.capture import INJECT, LARGEST_REPORT, Captured, read_reports, watched
from launching import PATIENCE_S

PYENV = Path.home() / ".pyenv" / "versions"

Launch = Callable[..., Captured]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    return folder


def environ(reports: Path | None, **more: str) -> dict[str, str]:
    plain = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **more}
    return watched(plain, str(reports)) if reports else plain


def python(
    project: Path, text: str, *arguments: str, reports: Path | None, options: tuple[str, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    (project / "script.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, *options, "script.py", *arguments],
        check=False,
        cwd=project,
        env=environ(reports, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def arguments_of(project: Path, reports: Path, text: str, *arguments: str) -> dict[str, Any]:
    """What is reported of a script that must end well."""
    done = python(project, text, *arguments, reports=reports)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(read_reports(str(reports)).arguments)


PARSER = """
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--layers", type=int, nargs="*", default=[8, 8])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--note")
"""


def test_arguments_are_reported_as_parsed_with_defaults(project: Path, reports: Path) -> None:
    """Types as the parser made them, and what was not given on the command line too."""
    found = arguments_of(project, reports, PARSER + "    parser.parse_args()", "--lr", "1e-3", "--quick")
    assert found == {"lr": 0.001, "layers": [8, 8], "quick": True, "note": None}


def test_every_kind_of_value_is_readable(project: Path, reports: Path) -> None:
    """Paths, enums, files, sets and nested namespaces become what a person would write; functions are left out."""
    text = """
        import argparse, decimal, enum, pathlib, sys
        class Colour(enum.Enum): RED = 1
        class Mode(str, enum.Enum): FAST = "fast"
        class Thing: pass
        class Odd:
            def __str__(self): raise RuntimeError
        parser = argparse.ArgumentParser()
        parser.set_defaults(
            path=pathlib.Path("a/b"), colour=Colour.RED, mode=Mode.FAST, out=sys.stdout, chosen={3, 1}, func=print,
            kind=Thing, thing=Thing(), odd=Odd(), big=2**70, nan=float("nan"), inf=float("-inf"), _private=1,
            raw=b"\\xff", text='quo"te\\n\\u00e9\\udc80', inner=argparse.Namespace(a=1, password="x"),
            pair=(1, "x"), mapping={1: 2.5}, price=decimal.Decimal("1.50"), wide=range(3),
        )
        parser.parse_args()
    """
    found = arguments_of(project, reports, text)
    assert repr(found.pop("nan")) == "nan"
    assert found == {
        "path": "a/b",
        "colour": "RED",
        "mode": "fast",
        "out": "<stdout>",
        "chosen": [1, 3],
        "thing": "<Thing>",
        "odd": "<Odd>",
        "big": 2**70,
        "inf": -float("inf"),
        "raw": "\\xff",
        "text": 'quo"te\né\udc80',
        "inner": {"a": 1, "password": "***"},
        "pair": [1, "x"],
        "mapping": {"1": 2.5},
        "price": "1.50",
        "wide": [0, 1, 2],
    }


def test_secrets_never_reach_the_disk(project: Path, reports: Path) -> None:
    """The value of a secret-looking argument is masked in the process that parsed it."""
    text = PARSER + "    parser.add_argument('--hf-token')\n    parser.parse_args()"
    assert arguments_of(project, reports, text, "--hf-token", "s3cr3t")["hf_token"] == "***"
    assert not any(b"s3cr3t" in file.read_bytes() for file in reports.iterdir())


@given(
    st.from_regex(
        r"(?:[a-z]{0,5}|api|key|token|password|secret|eos|auth|file)([_.-](?:key|token|passwd|id|env|[A-Z0-9]{1,3})){0,3}",
        fullmatch=True,
    )
)
def test_the_process_and_the_record_mask_by_one_rule(name: str) -> None:
    """The launched Python has no gitexp to ask, so it carries a copy of the rule."""
    assert INJECTED["is_secret_name"](name) == masking.is_secret_name(name)


INJECTED = runpy.run_path(os.path.join(INJECT, "gitexp_capture", "values.py"))


def test_subparsers_count_once_and_whole(project: Path, reports: Path) -> None:
    """A subcommand's arguments are part of the outer parser's result."""
    text = (
        PARSER
        + """
    commands = parser.add_subparsers(dest="command")
    train = commands.add_parser("train")
    train.add_argument("--epochs", type=int, default=3)
    parser.parse_args()
    """
    )
    found = arguments_of(project, reports, text, "--lr", "1", "train", "--epochs", "7")
    assert found == {"lr": 1.0, "layers": [8, 8], "quick": False, "note": None, "command": "train", "epochs": 7}


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("parser.parse_args(sys.argv[1:])", ["--lr", "2"]),
        ("parser.parse_args(['--lr', '2'])", ["first", "--lr", "2"]),
        ("parser.parse_known_args()", ["--lr", "2", "--unknown"]),
        ("parser.parse_intermixed_args()", ["--lr", "2"]),
        ("parser.parse_args(['--layers', '1'] + sys.argv[1:])", ["--lr", "2"]),
        ("parser.parse_args(namespace=argparse.Namespace(lr=2.0))", []),
        ("line = sys.argv[1:]; del sys.argv[1:]; parser.parse_args(line)", ["--lr", "2"]),
        ("parser.set_defaults(lr=2.0); parser.parse_args([])", ["first"]),
        ("parser.set_defaults(lr=2.0); parser.parse_args('')", ["first"]),
    ],
)
def test_every_way_to_parse_the_command_line_is_seen(call: str, given: list[str], project: Path, reports: Path) -> None:
    """The whole line, a part of it, more than it, or nothing at all."""
    assert arguments_of(project, reports, f"{PARSER}    import sys; {call}", *given)["lr"] == 2.0


LIBRARY = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--inner', type=int, default=1)\n"


@pytest.mark.parametrize("call", ["p.parse_args([])", "p.parse_args(['--inner', '2'])"])
def test_a_library_s_own_parsers_are_not_the_script_s(call: str, project: Path, reports: Path) -> None:
    """Lists that are not the command line's and empty ones, inside installed packages, are left alone."""
    package = project / "site-packages"
    package.mkdir()
    (package / "library.py").write_text(f"{LIBRARY}{call}\n")
    text = "import sys; sys.path.append('site-packages'); import library"
    assert arguments_of(project, reports, text, "something") == {}
    assert read_reports(str(reports)).parsers == ()


def test_a_line_that_the_script_wrote_counts_where_no_other_is_parsed(project: Path, reports: Path) -> None:
    """`parse_args(["--lr", "9"])` is what the script runs with, unless it also parses its command line."""
    fixed = PARSER + "    parser.parse_args(['--lr', '9'])\n"
    assert arguments_of(project, reports, fixed, "something")["lr"] == 9.0
    assert arguments_of(project, reports, fixed + "    parser.parse_args()\n", "--lr", "8")["lr"] == 8.0


@pytest.mark.parametrize("tool", ["unittest", "trace", "accelerate.commands", "ipykernel.app"])
def test_tools_that_start_scripts_have_no_params(tool: str, project: Path, reports: Path) -> None:
    """Not even those that parse the whole command line; but which tool it was is known."""
    name = tool.partition(".")[0]
    if name in ("unittest", "trace"):
        text = {
            "unittest": "import unittest; unittest.main(exit=False, argv=['x', '-q'])",
            "trace": "import trace, sys; sys.argv = ['trace', '--count', 'other.py']; trace.main()",
        }[name]
        (project / "other.py").write_text("")
        python(project, text, "-q", reports=reports)
    else:
        module = project.joinpath(*tool.split(".")).with_suffix(".py")
        module.parent.mkdir(exist_ok=True)
        (module.parent / "__init__.py").touch()  # else an installed package of the name would be found first
        module.write_text(f"{LIBRARY}p.parse_args()\n")
        arguments_of(project, reports, f"import {tool}", "--inner", "3")
    found = read_reports(str(reports))
    assert (found.arguments, found.parsers, found.tools) == ({}, (), (name,))


def test_two_parsers_are_one_report(project: Path, reports: Path) -> None:
    """`parse_known_args` for a first look and a second parser for the rest: what was given wins, else the later one."""
    text = (
        PARSER
        + """
    first, rest = parser.parse_known_args()
    second = argparse.ArgumentParser()
    second.add_argument("--lr", type=float, default=7.0)
    second.add_argument("--depth", type=int)
    second.add_argument("--note", default="none")
    second.parse_args(rest)
    """
    )
    found = arguments_of(project, reports, text, "--quick", "--depth", "4", "--note", "mine")
    assert found == {"lr": 7.0, "layers": [8, 8], "quick": True, "note": "mine", "depth": 4}
    assert read_reports(str(reports)).parsers == ("argparse",)


def test_arguments_survive_a_sudden_end(project: Path, reports: Path) -> None:
    """They are on disk before the first line after `parse_args` runs."""
    done = python(project, PARSER + "    parser.parse_args(); import os; os._exit(9)", reports=reports)
    assert done.returncode == 9
    assert read_reports(str(reports)).arguments["lr"] == 0.5


BEHAVIOURS = {
    "usage error": PARSER + "    parser.parse_args(['--lr', 'x'])",
    "help": PARSER + "    parser.parse_args(['--help'])",
    "unknown argument": PARSER + "    parser.parse_args()",
    "signature": """
        import argparse, inspect, pickle
        method = argparse.ArgumentParser.parse_known_args
        print(inspect.signature(method), method.__qualname__, method.__module__, method.__doc__)
        print(pickle.loads(pickle.dumps(method)) is method, inspect.getsource(method)[:60])
        try: argparse.ArgumentParser().parse_known_args(nonsense=1)
        except TypeError as error: print(error)
    """,
    "patched by the script": """
        import argparse
        original = argparse.ArgumentParser.parse_known_args
        def mine(self, args=None, namespace=None):
            print("mine")
            return original(self, args, namespace)
        argparse.ArgumentParser.parse_known_args = mine
        print(argparse.ArgumentParser().parse_known_args())
    """,
    "subclass": """
        import argparse
        class Mine(argparse.ArgumentParser):
            def parse_known_args(self, args=None, namespace=None):
                found, rest = super().parse_known_args(args, namespace)
                found.added = len(rest)
                return found, rest
        print(Mine().parse_known_args())
    """,
    "own argparse": """
        import sys
        sys.path.insert(0, "own")
        import argparse
        print(argparse.x, argparse.__spec__.loader.name)
    """,
    "path and modules": """
        import sys
        print(sys.path, sys.argv, sys.flags, sys.warnoptions)
        print("sitecustomize" in sys.modules, [name for name in sys.path_importer_cache if "inject" in name])
        import argparse
        print(argparse.__loader__ is argparse.__spec__.loader, type(argparse.__loader__).__name__, sys.meta_path)
    """,
    "environment": """
        import os
        print(sorted(os.environ), os.environ.get("PYTHONPATH"), flush=True)
        os.system("env | sort | grep PYTHON")
    """,
    "__main__": "import __main__; print(sorted(vars(__main__)), __main__.__spec__, __name__)",
    "spawn": """
        import multiprocessing, argparse
        def work(x): return x + 1
        if __name__ == "__main__":
            argparse.ArgumentParser().parse_known_args()
            with multiprocessing.get_context("spawn").Pool(1) as pool: print(pool.map(work, [1, 2]))
    """,
    "fork": """
        import argparse, os, sys
        if os.fork() == 0:
            argparse.ArgumentParser().parse_known_args(); os._exit(0)
        os.wait()
    """,
    "grandchild": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import sys; print(sys.path)'])",
    "import hook": """
        import sys, importlib.util
        class Finder:
            def find_spec(self, name, path=None, target=None): print("asked for", name) if name == "argparse" else None
        sys.meta_path.insert(0, Finder())
        print(importlib.util.find_spec("argparse").name)
        import argparse, importlib
        print(importlib.reload(argparse).ArgumentParser().parse_known_args())
    """,
    "error inside": PARSER
    + """
    def broken(text): raise RuntimeError("cannot")
    parser.add_argument("--odd", type=broken)
    parser.parse_args(["--odd", "1"])
    """,
    "error shown inside": PARSER
    + """
    import traceback
    def broken(text): raise RuntimeError("cannot") from ValueError("why")
    parser.add_argument("--odd", type=broken)
    try: parser.parse_args(["--odd", "1"])
    except RuntimeError: traceback.print_exc()
    """,
    "broken argparse": """
        import sys
        sys.path.insert(0, "broken")
        import argparse
    """,
    "absent in argparse": """
        import sys
        sys.path.insert(0, "absent")
        import argparse
    """,
    "zip file": """
        import importlib.util, sys, zipfile
        with zipfile.ZipFile("modules.zip", "w") as file:
            for name in ("argparse", "click/__init__", "click/core", "other"):
                file.writestr(name + ".py", f"print({name!r}, __loader__.get_filename(__name__), dir(__spec__.loader))")
        sys.path.insert(0, "modules.zip")
        print(importlib.util.find_spec("argparse").origin, importlib.util.find_spec("click.core").origin)
        import other, argparse, click.core
    """,
    "traceback": PARSER + "    parser.parse_known_args()\n    raise ValueError('later')",
}


@pytest.mark.parametrize("pythonpath", ["", "lib", "lib:", ":lib"])
@pytest.mark.parametrize("behaviour", ["path and modules", "environment", "grandchild"])
def test_paths_and_environment_are_those_of_the_bare_script(
    behaviour: str, pythonpath: str, project: Path, reports: Path
) -> None:
    """PYTHONPATH, sys.path and sys.modules show no trace, for the script and for what it starts."""
    more = {"PYTHONPATH": pythonpath} if pythonpath else {}
    compare(project, reports, BEHAVIOURS[behaviour], **more)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_scripts_behave_as_without_us(behaviour: str, project: Path, reports: Path) -> None:
    """Output, errors and exit code of scripts that look closely, or that do unusual things to argparse."""
    (project / "own").mkdir()
    (project / "own" / "argparse.py").write_text("x = 'own'\n")
    for name, content in (("broken", "def f(): raise OSError\nf()\n"), ("absent", "import not_there\n")):
        (project / name).mkdir()
        (project / name / "argparse.py").write_text(content)
    compare(project, reports, BEHAVIOURS[behaviour])


@pytest.mark.parametrize("options", [("-I",), ("-S",), ("-E",), ("-O",), ("-X", "dev"), ("-W", "error")])
def test_interpreter_options_are_honoured(options: tuple[str, ...], project: Path, reports: Path) -> None:
    """Even those under which nothing can be captured."""
    compare(project, reports, "import sys; print(sys.flags)", options=options)


def compare(project: Path, reports: Path, text: str, *, options: tuple[str, ...] = (), **more: str) -> None:
    bare = python(project, text, "--odd", reports=None, options=options, **more)
    seen = python(project, text, "--odd", reports=reports, options=options, **more)
    assert [seen.returncode, *map(anonymous, (seen.stdout, seen.stderr))] == [
        bare.returncode,
        *map(anonymous, (bare.stdout, bare.stderr)),
    ]


def anonymous(text: str) -> str:
    """Addresses differ from process to process."""
    return re.sub(r"0x[0-9a-f]+", "0x", text)


@pytest.mark.parametrize(
    "body", ["print('mine')", "raise RuntimeError('mine')", "import sys; sys.path.append('/mine')"]
)
def test_the_user_s_own_sitecustomize_still_runs(body: str, project: Path, reports: Path) -> None:
    """It runs once, in its place, and fails as it would without us."""
    (project / "lib").mkdir()
    (project / "lib" / "sitecustomize.py").write_text(body + "\n")
    text = "import sys; print(sys.path, getattr(sys.modules.get('sitecustomize'), '__file__', None))"
    compare(project, reports, text, PYTHONPATH=str(project / "lib"))
    assert read_reports(str(reports)).python is not None


def test_a_capture_folder_that_is_gone_harms_nobody(project: Path, reports: Path) -> None:
    """The script runs on, silently, when there is nowhere to report to."""
    done = python(project, PARSER + "    print(parser.parse_args().lr)", reports=reports / "gone")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.5\n", "")


def test_the_interpreter_tells_what_it_is(project: Path, reports: Path) -> None:
    """Implementation, version, executable, and the path without the script's folder and without ours."""
    python(project, "pass", reports=reports)
    found = read_reports(str(reports)).python
    assert found is not None
    assert (found.implementation, found.executable) == (sys.implementation.name, sys.executable)
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert str(project) not in found.path
    assert INJECT not in found.path


def test_a_python_behind_a_shell_reports_too(project: Path, reports: Path) -> None:
    """`sh -c "python prepare.py && python train.py"`: each reports, the later one wins."""
    (project / "script.py").write_text(textwrap.dedent(PARSER) + "parser.parse_args()\n")
    line = f"{sys.executable} script.py --lr 1 --note a && {sys.executable} script.py --lr 2"
    subprocess.run(["sh", "-c", line], check=True, cwd=project, env=environ(reports))
    assert read_reports(str(reports)).arguments == {"lr": 2.0, "layers": [8, 8], "quick": False, "note": None}


def test_the_processes_of_a_distributed_launcher_report(project: Path, reports: Path) -> None:
    """`torchrun train.py`: the arguments are those of the script in each process, not the launcher's own."""
    (project / "script.py").write_text(textwrap.dedent(PARSER) + "parser.parse_args()\n")
    launcher = """
        import argparse, subprocess, sys
        parser = argparse.ArgumentParser()
        parser.add_argument("--nproc", type=int)
        parser.add_argument("rest", nargs=argparse.REMAINDER)
        args = parser.parse_args()
        for _ in range(args.nproc):
            subprocess.run([sys.executable, *args.rest], check=True)
    """
    (project / "torchrun").write_text(textwrap.dedent(launcher))
    command = [sys.executable, "torchrun", "--nproc", "2", "script.py", "--lr", "3"]
    subprocess.run(command, check=True, cwd=project, env=environ(reports))
    assert read_reports(str(reports)).arguments == {"lr": 3.0, "layers": [8, 8], "quick": False, "note": None}
    assert len(list(reports.glob("arguments-*"))) == 2


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13", "3.14"])
def test_other_pythons_report_as_well(version: str, project: Path, reports: Path) -> None:
    """Every Python from 3.8 on, with no gitexp installed."""
    found = sorted(PYENV.glob(f"{version}.*/bin/python"))
    if not found:
        pytest.skip(f"no Python {version} here")
    text = PARSER + "    parser.add_argument('words', nargs='*')\n    print(parser.parse_intermixed_args())"
    (project / "script.py").write_text(textwrap.dedent(text))
    bare, seen = (
        subprocess.run(
            [str(found[-1]), "script.py", "a", "--lr", "3", "b"],
            check=True,
            cwd=project,
            env={**variables, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
        )
        for variables in (environ(None), environ(reports))
    )
    assert (seen.stdout, seen.stderr) == (bare.stdout, bare.stderr)
    captured = read_reports(str(reports))
    assert captured.arguments == {"lr": 3.0, "layers": [8, 8], "quick": False, "note": None, "words": ["a", "b"]}
    assert captured.python is not None
    assert captured.python.version.startswith(version)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"a":' * 100_000, b"x" * (LARGEST_REPORT + 1)], ids=range(6)
)
def test_a_damaged_report_is_told_and_left_out(content: bytes, reports: Path) -> None:
    """What other reports say is kept."""
    (reports / "arguments-1-1.json").write_text(json.dumps({"parsers": ["argparse"], "tools": [], "values": {"lr": 1}}))
    (reports / "arguments-2-1.json").write_bytes(content)
    (reports / "python-3-1.json").write_text("{}")
    (reports / "arguments-4-1.json.tmp").write_bytes(b"{")
    captured = read_reports(str(reports))
    assert (captured.arguments, captured.parsers) == ({"lr": 1}, ("argparse",))
    assert [problem[:62] for problem in captured.problems] == [
        "What the script reported in 'arguments-2-1.json' cannot be rea",
        "What the script reported in 'python-3-1.json' cannot be read: ",
    ]


def test_nothing_reported_is_nothing_known(tmp_path: Path) -> None:
    """A command that is not Python, or a folder that never was."""
    assert read_reports(str(tmp_path / "none")) == Captured(arguments={}, python=None)
