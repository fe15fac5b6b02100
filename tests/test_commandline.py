"""Params read off the command line of a program that no parser tells of, and seeds."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.values import Value
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.running.commandline import parse_scalar, read_pairs
from launching import PATIENCE_S, SOURCES

FRAMEWORKS = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", "")


def gitexp(folder: Path, *words: str, python: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    virtual = {"VIRTUAL_ENV": str(Path(python).parent.parent)} if python else {}
    return subprocess.run(
        [sys.executable, "-m", "gitexp", *words],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCES), **virtual, **more},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * (10 if python else 1),
    )


def newest(folder: Path) -> RunView:
    return Repository.open(folder).get_run("@")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--lr 0.1 --n=3 --quick", {"lr": 0.1, "n": 3, "quick": True}),
        ("--quick --no-cuda --lr -1e-3", {"quick": True, "no_cuda": True, "lr": -0.001}),
        ("--layer 1 --layer 2 --text x=1", {"layer": [1, 2], "text": "x=1"}),
        ("optim.lr=0.1 +model/depth=4 ++a-b=true db/my-sql=x", {
            "optim.lr": 0.1, "model/depth": 4, "a_b": True, "db/my_sql": "x",
        }),
        ("lr=1,2,3 name= flag=False id=007 big=1_000", {
            "lr": "1,2,3", "name": "", "flag": False, "id": "007", "big": "1_000",
        }),
        ("-v -n 5 in.csv -lr 3 http://host/?a=1 ./a=b =c 1a=2", {}),
        ("--a 1 -- --b 2 c=3", {"a": 1}),
        ("sh -c lr=1 --x", {"x": True}),
        ("--out - --max inf --", {"out": "-", "max": float("inf")}),
    ],
)  # fmt: skip
def test_pairs_are_read_as_a_person_would(words: str, expected: dict[str, Value]) -> None:
    """Options with and without values, repeated ones, and key=value; neither short options nor other words."""
    found = read_pairs(words.split())
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


@given(st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.booleans())
def test_values_keep_their_types(value: float) -> None:
    """What Python prints of a number or a truth is read as that."""
    read = parse_scalar(str(value))
    assert (read, type(read)) == (value, type(value))


@given(st.lists(st.text(min_size=1)))
def test_any_command_line_can_be_read(words: list[str]) -> None:
    """Never fails, and never makes a value of a name that no word begins with."""
    for name in read_pairs(words):
        assert any(word.lstrip("-+").replace("-", "_").startswith(name) for word in words)


def test_a_command_that_is_no_python_has_its_command_line_s_params(repo_dir: Path) -> None:
    """With types, secrets masked, before params.yaml; where Python runs inside, its parser says them instead."""
    script = repo_dir / "train.sh"
    script.write_text("#!/bin/sh\necho trained\n")
    script.chmod(0o755)
    done = gitexp(repo_dir, "run", "--", "./train.sh", "--lr", "0.5", "--hf-token", "s3cr3t", "depth=4", "in.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "trained\n", "")
    assert newest(repo_dir).params == {"lr": 0.5, "hf_token": "***", "depth": 4}
    script.write_text(f"#!/bin/sh\n{sys.executable} train.py --lr $2\n")
    parser = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float)\np.parse_args()\n"
    (repo_dir / "train.py").write_text(parser)
    assert gitexp(repo_dir, "run", "--", "./train.sh", "--lr", "7", "--unused", "1").returncode == 0
    assert newest(repo_dir).params == {"lr": 7.0}


def test_a_script_that_reads_its_arguments_itself_has_them_as_params(repo_dir: Path) -> None:
    """Nothing that could be asked has parsed them; tools' own options are left out."""
    (repo_dir / "params.yaml").unlink()
    (repo_dir / "train.py").write_text("import sys; print(sys.argv[1:])")
    assert gitexp(repo_dir, "run", "train.py", "--batch_size=32", "compile=False").returncode == 0
    assert newest(repo_dir).params == {"batch_size": 32, "compile": False}
    (repo_dir / "test_it.py").write_text("import unittest\nclass T(unittest.TestCase): pass\n")
    gitexp(repo_dir, "run", "-m", "unittest", "--locals", "test_it")
    assert newest(repo_dir).params == {}


DRAWS = """
    import argparse, os, random, subprocess, sys
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    print(random.random(), hash("text"), "GITEXP_SEED" in os.environ, args.seed)
"""


@pytest.mark.slow
def test_a_seed_makes_draws_and_hashes_the_same_each_time(repo_dir: Path) -> None:
    """It is a param; the script's own option is untouched, and named where it differs."""
    (repo_dir / "train.py").write_text(textwrap.dedent(DRAWS))
    seven, again, eight = (gitexp(repo_dir, "run", "--seed", seed, "train.py", "--seed", "7") for seed in "778")
    assert (seven.stdout, seven.stderr) == (again.stdout, "")
    drawn = subprocess.run([sys.executable, "-c", "import random; random.seed(7); print(random.random())"],
                           check=True, capture_output=True, text=True)  # fmt: skip
    assert seven.stdout.split()[0] == drawn.stdout.strip()
    assert seven.stdout.split()[2:] == ["False", "7"]
    assert [one != other for one, other in zip(seven.stdout.split(), eight.stdout.split(), strict=True)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert newest(repo_dir).params["seed"] == 8
    assert "The script has a seed of its own, 7;" in eight.stderr
    assert newest(repo_dir).params["lr"] == 0.1


def test_without_a_seed_nothing_is_seeded(repo_dir: Path) -> None:
    """Draws differ, and PYTHONHASHSEED is not set."""
    (repo_dir / "train.py").write_text("import os, random\nprint(random.random(), os.environ.get('PYTHONHASHSEED'))\n")
    one, other = (gitexp(repo_dir, "run", "train.py").stdout.split() for _ in range(2))
    assert one[0] != other[0]
    assert one[1] == other[1] == "None"
    assert "seed" not in newest(repo_dir).params


def test_numpy_is_seeded_when_it_is_imported(repo_dir: Path) -> None:
    """Its global generator, which scikit-learn draws from too."""
    pytest.importorskip("numpy")
    (repo_dir / "train.py").write_text(
        "import numpy\nfrom numpy.random import randint\nprint(numpy.random.rand(), randint(1000))\n"
    )
    one, other = (gitexp(repo_dir, "run", "--seed", "5", "train.py").stdout for _ in range(2))
    assert one == other
    import numpy

    generator = numpy.random.RandomState(5)
    assert one == f"{generator.rand()} {generator.randint(1000)}\n"


@pytest.mark.frameworks
@pytest.mark.slow
@pytest.mark.skipif(not FRAMEWORKS, reason="GITEXP_FRAMEWORKS_PYTHON names no interpreter")
def test_torch_is_seeded_when_it_is_imported(repo_dir: Path) -> None:
    """As `torch.manual_seed` does it, GPUs included."""
    (repo_dir / "train.py").write_text("import torch\nprint(torch.initial_seed(), torch.rand(2).tolist())\n")
    one, other = (gitexp(repo_dir, "run", "--seed", "5", "train.py", python=FRAMEWORKS).stdout for _ in range(2))
    assert one == other
    assert one.startswith("5 ")


TRANSFORMERS = """
    import dataclasses, sys
    from transformers import HfArgumentParser, TrainingArguments

    @dataclasses.dataclass
    class ModelArguments:
        model: str = "bert"
        layers: list[int] = dataclasses.field(default_factory=lambda: [1, 2])
        hub_secret: str = "none"
        size: int = 0
        def __post_init__(self):
            self.size = len(self.layers)

    parser = HfArgumentParser((ModelArguments, TrainingArguments))
    if sys.argv[1].endswith(".json"):
        model, training = parser.parse_json_file(sys.argv[1])
    else:
        model, training = parser.parse_args_into_dataclasses()
    print(model, training.learning_rate)
"""


@pytest.mark.frameworks
@pytest.mark.slow
@pytest.mark.skipif(not FRAMEWORKS, reason="GITEXP_FRAMEWORKS_PYTHON names no interpreter")
def test_the_dataclasses_of_transformers_are_recorded(repo_dir: Path) -> None:
    """As `HfArgumentParser` returns them, from the command line and from a file."""
    (repo_dir / "train.py").write_text(textwrap.dedent(TRANSFORMERS))
    line = ["--output_dir", "out", "--learning_rate", "1e-3", "--layers", "4", "5", "6", "--hub_secret", "s3cr3t"]
    bare = subprocess.run([FRAMEWORKS, "train.py", *line], check=True, cwd=repo_dir, capture_output=True, text=True)
    done = gitexp(repo_dir, "run", "train.py", *line, python=FRAMEWORKS)
    assert (done.returncode, done.stdout, done.stderr) == (0, bare.stdout, bare.stderr)
    params = newest(repo_dir).params
    assert (params["layers"], params["size"], params["model"]) == ([4, 5, 6], 3, "bert")
    assert (params["learning_rate"], params["output_dir"], params["hub_secret"]) == (0.001, "out", "***")
    (repo_dir / "args.json").write_text('{"output_dir": "out", "layers": [7], "learning_rate": 0.5}')
    assert gitexp(repo_dir, "run", "train.py", "args.json", python=FRAMEWORKS).returncode == 0
    params = newest(repo_dir).params
    assert (params["layers"], params["size"], params["learning_rate"]) == ([7], 1, 0.5)
