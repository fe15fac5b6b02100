"""The seeds that a script sets are part of its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gitexp.repo import Repository
from launching import PATIENCE_S, SOURCES

pytestmark = pytest.mark.slow

PYTHON = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", "")


def facts(
    folder: Path, script: str, *options: str, python: str = sys.executable, **variables: str
) -> Mapping[str, Any]:
    """What `environment/python.yaml` of a run of the script says."""
    environ = {**os.environ, **variables, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-m", "gitexp", "run", *options, "--", python, "-c", script],
        check=False,
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE_S,  # torch takes its time
    )
    assert done.returncode == 0, done.stderr
    environment = Repository.open(folder).get_run("@").environment
    assert environment is not None
    return environment.python


def test_seeds_of_the_script_are_recorded(repo_dir: Path) -> None:
    """Of random and numpy, generators too, imported in whatever way, and the seed of hashing."""
    script = """
from random import seed
import numpy
seed(7); numpy.random.seed(numpy.int64(3)); numpy.random.default_rng(seed=11)
"""
    expected = {"PYTHONHASHSEED": 4, "numpy": 3, "numpy.default_rng": 11, "random": 7}
    assert facts(repo_dir, script, PYTHONHASHSEED="4")["seeds"] == expected


def test_the_first_seed_that_the_script_sets_counts(repo_dir: Path) -> None:
    """What it sets later, as in each epoch, is not how it began; no seed at all is none; a text is one."""
    assert facts(repo_dir, "import random; random.seed(1); random.seed(2)")["seeds"] == {"random": 1}
    assert facts(repo_dir, "import random; random.seed('text')")["seeds"] == {"random": "text"}
    assert "seeds" not in facts(repo_dir, "import random; random.seed()")


def test_given_seeds_are_recorded_and_the_scripts_own_count_more(repo_dir: Path) -> None:
    """`--seed` seeds and records what is imported; what the script sets itself takes its place."""
    script = "import random, numpy; numpy.random.seed(3)"
    assert facts(repo_dir, script, "--seed", "5")["seeds"] == {"PYTHONHASHSEED": 5, "random": 5, "numpy": 3}


def test_numbers_are_those_of_the_bare_script(repo_dir: Path) -> None:
    """To look on does not use the generators, and functions look as they did."""
    script = (
        "import random, numpy, pickle, inspect\nrandom.seed(1); numpy.random.seed(2)\n"
        "assert (random.random(), numpy.random.rand()) == (0.13436424411240122, 0.43599490214200376)\n"
        "assert pickle.loads(pickle.dumps(random.seed)) is random.seed\n"
        "assert 'version' in str(inspect.signature(random.seed))"
    )
    assert facts(repo_dir, script)["seeds"] == {"numpy": 2, "random": 1}


@pytest.mark.frameworks
@pytest.mark.skipif(not PYTHON, reason="GITEXP_FRAMEWORKS_PYTHON is not set")
def test_torch_tells_its_seed_and_whether_it_is_deterministic(repo_dir: Path) -> None:
    """Its settings are those at the script's end; the seed of the GPUs that follows from the other is not told."""
    script = "import torch; torch.manual_seed(9); torch.use_deterministic_algorithms(True)"
    found = facts(repo_dir, script, python=PYTHON)
    assert found["seeds"] == {"torch": 9}
    assert found["determinism"] == {
        "torch.backends.cudnn.benchmark": False,
        "torch.backends.cudnn.deterministic": False,
        "torch.use_deterministic_algorithms": True,
    }


@pytest.mark.frameworks
@pytest.mark.skipif(not PYTHON, reason="GITEXP_FRAMEWORKS_PYTHON is not set")
def test_a_library_that_seeds_for_the_script_is_seen(repo_dir: Path) -> None:
    """Keras seeds random and numpy, besides its backend."""
    found = facts(repo_dir, "import keras; keras.utils.set_random_seed(8)", python=PYTHON)
    assert found["seeds"].items() >= {"numpy": 8, "random": 8}.items()
