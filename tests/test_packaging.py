"""What `pip install gitexp` brings."""

from __future__ import annotations

import email
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gitexp

PROJECT = Path(__file__).parent.parent
MOST_PACKAGES = 12
MOST_BYTES = 25_000_000


def test_the_wheel_ships_types_template_and_licence(wheel: Path) -> None:
    """The wheel holds `py.typed`, the template of `gitexp init` and the licence, and nothing beside the package."""
    names = zipfile.ZipFile(wheel).namelist()
    version = gitexp.__version__
    assert {"gitexp/py.typed", "gitexp/template/config.yaml"} <= set(names)
    assert f"gitexp-{version}.dist-info/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"gitexp", f"gitexp-{version}.dist-info"}


def test_the_metadata_says_what_the_project_says(wheel: Path) -> None:
    """Version, Python and the five core dependencies are as the package and pyproject.toml have them."""
    archive = zipfile.ZipFile(wheel)
    metadata = email.message_from_bytes(archive.read(f"gitexp-{gitexp.__version__}.dist-info/METADATA"))
    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert metadata["Version"] == gitexp.__version__ == project["version"]
    assert metadata["Requires-Python"] == ">=3.11"
    names = ["click", "dulwich", "psutil", "pyyaml", "ruamel-yaml", "tabulate"]
    assert [line.split(">=")[0] for line in sorted(core)] == names


def test_all_takes_every_extra() -> None:
    """`gitexp[all]` asks for each extra but the one that is for working on gitexp itself."""
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["all"] == [f"gitexp[{','.join(sorted(extras.keys() - {'all', 'test'}))}]"]


@pytest.mark.slow
def test_an_installation_is_small_and_works(wheel: Path, tmp_path: Path) -> None:
    """In a new environment the wheel brings at most 12 packages and 25 MB, and `gitexp init` finds its template."""
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    python = tmp_path / "venv/bin/python"
    packages, size = installed(python), size_of(tmp_path / "venv")
    run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel))
    assert installed(python) - packages <= MOST_PACKAGES
    assert size_of(tmp_path / "venv") - size <= MOST_BYTES

    command = str(tmp_path / "venv/bin/gitexp")
    assert run(command, "--version").split()[-1] == gitexp.__version__
    run(command, "init", "--yes", cwd=tmp_path)
    assert (tmp_path / ".gitexp/config.yaml").read_text() == (PROJECT / ".gitexp-template/config.yaml").read_text()


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def installed(python: Path) -> int:
    return int(run(str(python), "-c", "import importlib.metadata as m; print(len(list(m.distributions())))"))


def size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
