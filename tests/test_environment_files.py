"""What a project's own files say of its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitexp.domain.environment import Environment
from gitexp.environments.files import specification_from_files
from gitexp.environments.specification import EnvironmentSpec, specification_of
from gitexp.errors import CorruptData, NotFound, UsageError


def read(folder: Path, file: str | None = None, **files: str) -> EnvironmentSpec:
    for name, text in files.items():
        path = folder / name.replace("__", ".").replace("_in_", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found = specification_from_files(str(folder), file)
    assert found is not None
    return found


def test_a_python_env_names_python_and_packages(tmp_path: Path) -> None:
    """As MLflow writes it: build dependencies, dependencies, a requirements file among them."""
    spec = read(
        tmp_path,
        python_env__yaml='python: "3.10.4"\nbuild_dependencies:\n- pip==22.0\n- wheel\ndependencies:\n'
        "- -r requirements.txt\n- six==1.16.0\n- gitexp\n",
        requirements__txt="numpy>=1.2\n# comment\nidna \\\n  >=3\n-c constraints.txt\n--pre\n",
        constraints__txt="numpy<2\n",
    )
    assert spec.python == "3.10.4"
    assert spec.requirements == ("pip==22.0", "wheel", "numpy>=1.2", "idna    >=3", "--pre", "six==1.16.0")
    assert spec.constraints == ("numpy<2",)
    assert spec.gitexp is not None
    assert not spec.is_complete
    assert spec.conda is None


def test_a_version_that_yaml_takes_for_a_number_is_refused(tmp_path: Path) -> None:
    """3.10 without quotes would be Python 3.1."""
    with pytest.raises(CorruptData, match="needs quotes"):
        read(tmp_path, python_env__yaml="python: 3.10\n")


def test_a_conda_file_with_packages_for_pip_alone_needs_no_conda(tmp_path: Path) -> None:
    """Python and pip's own list are what a virtual environment has too."""
    spec = read(
        tmp_path,
        conda__yaml="name: x\nchannels:\n- conda-forge\ndependencies:\n- python=3.8.15\n- pip<=22.3\n"
        "- pip:\n  - mlflow\n  - cloudpickle==2.1.0\n",
    )
    assert spec == EnvironmentSpec(
        python="3.8.15", requirements=("pip<=22.3", "mlflow", "cloudpickle==2.1.0"), is_complete=False
    )


def test_a_conda_file_with_packages_of_its_own_stays_condas(tmp_path: Path) -> None:
    """Without pip's list, which is installed afterwards."""
    spec = read(
        tmp_path,
        conda__yaml="name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.8\n- scikit-learn=1.2\n"
        "- pip:\n  - -r more.txt\n",
        more__txt="six\n",
    )
    assert spec.conda == "channels:\n- conda-forge\ndependencies:\n- python=3.8\n- scikit-learn=1.2\n"
    assert spec.requirements == ("six",)


def test_requirements_with_a_hash_each_are_whole(tmp_path: Path) -> None:
    """Others may need packages that nobody named."""
    assert not read(tmp_path, requirements__txt="a==1\n").is_complete
    hashed = read(tmp_path, requirements__txt="a==1 --hash=sha256:aa\nb==2 \\\n  --hash=sha256:bb\n")
    assert hashed.is_complete
    assert hashed.python is None


def test_the_file_that_pyenv_reads_says_which_python(tmp_path: Path) -> None:
    """Where no other one does."""
    (tmp_path / ".python-version").write_text("3.12.1\n")
    assert read(tmp_path, requirements__txt="a\n").python == "3.12.1"


def test_a_lock_file_gives_exact_packages_and_hashes(tmp_path: Path) -> None:
    """Every source that PEP 751 knows, and markers without what only lock files have."""
    spec = read(
        tmp_path,
        pylock__toml="""
lock-version = "1.0"
created-by = "x"
default-groups = ["main"]
[[packages]]
name = "six"
version = "1.16.0"
marker = "'dev' in extras or 'main' in dependency_groups and os_name == 'posix'"
wheels = [{url = "https://host/six-1.16.0-py2.py3-none-any.whl", hashes = {sha256 = "aa"}}]
sdist = {url = "https://host/six-1.16.0.tar.gz", hashes = {sha256 = "bb"}}
[[packages]]
name = "tool"
vcs = {type = "git", url = "https://host/tool.git", commit-id = "abc", subdirectory = "py"}
[[packages]]
name = "own"
directory = {path = "libs/own", editable = true}
[[packages]]
name = "far"
archive = {url = "https://host/far-1.tar.gz", hashes = {sha256 = "cc"}}
""",
    )
    assert spec.is_complete
    assert spec.requirements == (
        "six==1.16.0 ; python_version < '0' or python_version >= '0' and os_name == 'posix'"
        " --hash=sha256:aa --hash=sha256:bb",
        "tool @ git+https://host/tool.git@abc#subdirectory=py",
        "-e ./libs/own  # own",
        "far @ https://host/far-1.tar.gz --hash=sha256:cc",
    )


def test_a_named_file_counts_and_has_its_own_folder(tmp_path: Path) -> None:
    """What it includes lies beside it."""
    spec = read(
        tmp_path,
        "env/python_env.yaml",
        env_in_python_env__yaml="dependencies: [-r more.txt]\n",
        env_in_more__txt="six\n",
        requirements__txt="other\n",
    )
    assert spec.requirements == ("six",)


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    """No file at all is no specification; a missing one, a circle or nonsense is an error."""
    assert specification_from_files(str(tmp_path)) is None
    with pytest.raises(NotFound, match=r"nothing\.yaml"):
        read(tmp_path, "nothing.yaml")
    with pytest.raises(NotFound, match=r"gone\.txt"):
        read(tmp_path, requirements__txt="-r gone.txt\n")
    with pytest.raises(UsageError, match="includes itself"):
        read(tmp_path, requirements__txt="-r requirements.txt\n")
    with pytest.raises(CorruptData, match="PEP 751"):
        read(tmp_path, pylock__toml="packages = 3\n")
    (tmp_path / "pylock.toml").unlink()
    with pytest.raises(CorruptData, match="not a list"):
        read(tmp_path, python_env__yaml="dependencies: six\n")


def test_a_recorded_run_gives_its_exact_packages_without_gitexp() -> None:
    """gitexp is never fetched, and what lay in the work tree is relative to it."""
    environment = Environment(
        python={"implementation": "cpython", "version": "3.11.7"},
        requirements=("gitexp==0.0.9", "six==1.16.0", "own @ file:///home/ann/project/libs/own", "-e .  # top"),
    )
    spec = specification_of(environment, root="/home/ann/project")
    assert spec.python == "3.11.7"
    assert spec.gitexp == "0.0.9"
    assert spec.requirements == ("six==1.16.0", "./libs/own  # own", "-e .  # top")
    assert spec.is_complete


def test_the_digest_follows_what_is_said_not_how() -> None:
    """Order, comments and gitexp's version do not count; versions and hashes do."""
    one = EnvironmentSpec(python="3.11.7", requirements=("b==2", "A==1  # x"), gitexp="0.1.0")
    same = EnvironmentSpec(python="3.11.7", requirements=("a==1", "b==2"), gitexp="0.2.0")
    assert one.digest == same.digest
    others = [
        EnvironmentSpec(python="3.11.8", requirements=("a==1", "b==2"), gitexp="0.1.0"),
        EnvironmentSpec(python="3.11.7", requirements=("a==1", "b==3"), gitexp="0.1.0"),
        EnvironmentSpec(python="3.11.7", requirements=("a==1", "b==2 --hash=sha256:aa"), gitexp="0.1.0"),
        EnvironmentSpec(python="3.11.7", requirements=("a==1", "b==2", "--pre"), gitexp="0.1.0"),
        EnvironmentSpec(python="3.11.7", requirements=("a==1", "b==2")),
        EnvironmentSpec(python="3.11.7", requirements=("a==1", "b==2"), gitexp="0.1.0", conda="@EXPLICIT\n"),
        EnvironmentSpec(python="3.11.7", requirements=("a==1", "b==2"), gitexp="0.1.0", is_complete=False),
    ]
    assert len({spec.digest for spec in [one, *others]}) == 1 + len(others)
