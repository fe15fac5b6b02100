"""Lines of requirements.txt are read and written back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.environment import Environment
from gitexp.domain.requirements import named_by_file, parse_requirement
from gitexp.errors import UsageError


@pytest.mark.parametrize(
    ("line", "name", "origin"),
    [
        ("numpy==1.26.4", "numpy", "1.26.4"),
        ("Torch==2.13.0+cpu  # from a wheel", "torch", "2.13.0+cpu"),
        ("zope.interface >= 5, < 7", "zope-interface", ">=5,<7"),
        ("scikit_learn (==1.5)", "scikit-learn", "1.5"),
        ("tool==2.*", "tool", "==2.*"),
        ("x @ https://host/x-1.0-py3-none-any.whl#sha256=ab", "x", "https://host/x-1.0-py3-none-any.whl#sha256=ab"),
        ("x@https://host/a;b", "x", "https://host/a;b"),
        ("https://host/My_Tool-1.0-py3-none-any.whl", "my-tool", "https://host/My_Tool-1.0-py3-none-any.whl"),
        ("git+https://host/x.git@abc#egg=x&subdirectory=py", "x", "git+https://host/x.git@abc#egg=x&subdirectory=py"),
        ("-e git+https://host/x.git@abc#egg=x", "x", "-e git+https://host/x.git@abc#egg=x"),
        ("-e .  # my-project", "my-project", "-e ."),
        ("--editable=./libs/sub[dev]", "", "-e ./libs/sub"),
        ("./wheels/x-1.0-py3-none-any.whl", "x", "./wheels/x-1.0-py3-none-any.whl"),
        ("file:./x", "", "./x"),
    ],
)
def test_each_form_says_which_package_it_is(line: str, name: str, origin: str) -> None:
    """Names are normalised, and the origin is a version, a URL or a path."""
    requirement = parse_requirement(line)
    assert requirement is not None
    assert (requirement.name, requirement.origin) == (name, origin)
    again = parse_requirement(f"{requirement.line()}  # {requirement.comment}")
    assert again == requirement


def test_hashes_extras_markers_and_comments_are_kept_apart() -> None:
    """Everything that a line may have besides, in one line."""
    requirement = parse_requirement(
        "X[b, A]==1.0 ; python_version < '3.12' --hash=sha256:BB --hash=sha256:aa  # editable in /home/ann/my x"
    )
    assert requirement is not None
    assert requirement.extras == ("a", "b")
    assert requirement.marker == "python_version < '3.12'"
    assert requirement.hashes == ("sha256:aa", "sha256:bb")
    assert requirement.comment == "editable in /home/ann/my x"
    assert requirement.version == "1.0"
    assert requirement.line() == "x[a,b]==1.0 ; python_version < '3.12' --hash=sha256:aa --hash=sha256:bb"


@pytest.mark.parametrize("line", ["", "   ", "# comment", "--index-url https://host/simple", "-r other.txt"])
def test_what_is_no_requirement_is_none(line: str) -> None:
    """Comments and options name no package."""
    assert parse_requirement(line) is None


@pytest.mark.parametrize("line", ["two words", "==1.0", "x=1.0", "x==", "@@"])
def test_what_is_neither_is_refused(line: str) -> None:
    """A line that pip would refuse is not guessed at."""
    with pytest.raises(UsageError, match="not a requirement"):
        parse_requirement(line)


NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)


@given(NAMES, st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(\+[a-z0-9]{1,5})?", fullmatch=True))
def test_exact_versions_survive_a_round_trip(name: str, version: str) -> None:
    """Reading what was written gives the same value."""
    requirement = parse_requirement(f"{name}=={version}")
    assert requirement is not None
    assert requirement.version == version
    assert parse_requirement(requirement.line()) == requirement


def test_a_file_name_says_package_and_version() -> None:
    """Wheels and source archives do, folders do not."""
    assert named_by_file("https://host/a/My_Tool-1.2-cp311-none-any.whl#sha256=1") == ("my-tool", "1.2")
    assert named_by_file("/x/tool-3.0.tar.gz") == ("tool", "3.0")
    assert named_by_file("/x/tool") is None


def test_packages_of_an_environment_are_compared_by_where_they_are_from() -> None:
    """A version, a URL or a path, whatever the comment says."""
    lines = (
        "numpy==1.26.4",
        "pinned @ git+https://host/x.git@abc  # editable in /home/ann/x",
        "-e .  # project",
        "hashed @ https://host/h-1-py3-none-any.whl#sha256=ab",
    )
    assert Environment(requirements=lines).packages() == {
        "numpy": "1.26.4",
        "pinned": "git+https://host/x.git@abc",
        "project": "-e .",
        "hashed": "https://host/h-1-py3-none-any.whl#sha256=ab",
    }
