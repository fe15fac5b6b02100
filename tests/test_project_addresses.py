"""Where a project is: addresses, and which words are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.errors import UsageError
from gitexp.projects.address import ProjectAddress, looks_like_address, parse_address
from gitexp.projects.trust import KnownProjects

ADDRESSES = {
    "https://host/team/project.git#subfolder@v1.2": ("https://host/team/project.git", "subfolder", "v1.2"),
    "https://host/team/project.git": ("https://host/team/project.git", "", None),
    "https://host/team/project@main": ("https://host/team/project", "", "main"),
    "https://host/team/project.git@feature/x": ("https://host/team/project.git", "", "feature/x"),
    "https://ann@host/team/project": ("https://ann@host/team/project", "", None),
    "https://ann:p%40w@host/team/project#a/b@feature/x": ("https://ann:p%40w@host/team/project", "a/b", "feature/x"),
    "https://host:8080/project#sub/": ("https://host:8080/project", "sub", None),
    "https://host/project#@v1": ("https://host/project", "", "v1"),
    "https://host/project.git@v1#sub": ("https://host/project.git", "sub", "v1"),
    "git+https://host/project.git@v1": ("https://host/project.git", "", "v1"),
    "ssh://git@host:22/~ann/project.git@1a2b3c4": ("ssh://git@host:22/~ann/project.git", "", "1a2b3c4"),
    "git@host:team/project.git": ("git@host:team/project.git", "", None),
    "git@host:team/project.git#sub@v1": ("git@host:team/project.git", "sub", "v1"),
    "git@host:team/project@v1": ("git@host:team/project", "", "v1"),
    "git@[::1]:project.git@v1": ("git@[::1]:project.git", "", "v1"),
    "file:///srv/project.git#sub@v1": ("file:///srv/project.git", "sub", "v1"),
    "../project@v1": ("../project", "", "v1"),
    "#sub": (".", "sub", None),
    ".@v1": (".", "", "v1"),
    "https://host": ("https://host", "", None),
}


@pytest.mark.parametrize(("text", "parts"), ADDRESSES.items())
def test_address_parts(text: str, parts: tuple[str, str, str | None]) -> None:
    """An address is a repository, after '#' a folder, and after '@' a version; a login's '@' is none."""
    found = parse_address(text)
    assert (found.repository, found.folder, found.version) == parts


@pytest.mark.parametrize(
    "text",
    ["", "https://h/p#../x", "https://h/p#/etc", "https://h/p#a/../../b", "https://h/p@", "https://h/p#s@-x", "p@a..b"],
)
def test_impossible_addresses(text: str) -> None:
    """A folder outside of the repository, or a version that git could not have, is refused."""
    with pytest.raises(UsageError):
        parse_address(text)


NAMES = st.text(alphabet="abcz019-_.", min_size=1, max_size=8).filter(lambda name: set(name) - set(".-"))
FOLDERS = st.lists(NAMES.filter(lambda name: name[0] not in ".-"), max_size=3).map("/".join)
VERSIONS = st.none() | st.lists(NAMES.filter(lambda name: name.isalnum()), min_size=1, max_size=2).map("/".join)
REPOSITORIES = st.sampled_from(["https://host/", "https://u:p@host:8/", "ssh://git@host/", "git@host:", "file:///srv/"])


@given(before=REPOSITORIES, name=NAMES, folder=FOLDERS, version=VERSIONS)
def test_what_is_shown_means_the_same(before: str, name: str, folder: str, version: str | None) -> None:
    """The text of an address, but for its password, is read as the same address."""
    address = ProjectAddress(repository=f"{before}{name.strip('.')}x.git", folder=folder, version=version)
    again = parse_address(str(address))
    assert (again.folder, again.version) == (folder, version)
    assert again.repository == address.repository.replace(":p@", ":***@")
    assert ":p@" not in str(address)


@given(text=st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """No text makes the parser fail, and no folder it finds leaves the repository."""
    try:
        found = parse_address(text)
    except UsageError:
        return
    assert ".." not in found.folder.split("/") and not found.folder.startswith("/")


def test_scripts_are_no_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's path, one that is there under an odd name, and what git has no way to are no projects."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a@b:c#d.py").touch()
    (tmp_path / "other").mkdir()
    assert not any(map(looks_like_address, ["train.py", "a@b:c#d.py", "missing@v1", "s3://bucket/x", "a/b.py"]))
    assert all(map(looks_like_address, ["other@v1", "#sub", ".@v1", "other#x", "git@h:p", "https://h/p", "ssh://h/p"]))


def test_known_addresses(tmp_path: Path) -> None:
    """An address is known by its repository, whatever version or folder, and remembered without password."""
    known = KnownProjects({"XDG_CONFIG_HOME": str(tmp_path)})
    address = parse_address("https://ann:secret@host/p.git#sub@v1")
    assert not known.knows(address)
    known.add(address)
    known.add(parse_address("https://host/other"))
    assert known.knows(parse_address("https://ann:secret@host/p@v2"))
    assert not known.knows(parse_address("https://host/p2"))
    assert "secret" not in Path(known.path).read_text()
    assert len(Path(known.path).read_text().splitlines()) == 2
