"""Git's objects as bytes: the same as the real git makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from dulwich.objects import Blob
from hypothesis import given
from hypothesis import strategies as st

from gitexp.errors import CorruptData, InvalidName
from gitexp.store.git.objects import (
    BLOB,
    COMMIT,
    MODE_EXECUTABLE,
    MODE_FILE,
    MODE_SYMLINK,
    MODE_TREE,
    TREE,
    TreeEntry,
    decode_commit,
    decode_tree,
    encode_commit,
    encode_tree,
    identity,
    object_id,
)

OID = bytes(range(20))
NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: not {0, 0x2F} & set(name) and name.lower() not in (b".", b"..", b".git")
)
ENTRIES = st.lists(
    st.builds(
        TreeEntry,
        NAMES,
        st.sampled_from([MODE_FILE, MODE_EXECUTABLE, MODE_SYMLINK, MODE_TREE]),
        st.binary(min_size=20, max_size=20),
    ),
    unique_by=lambda entry: entry.name,
    max_size=20,
)


def store(repo: Path, kind: str, data: bytes) -> str:
    """Has git store an object, which it only does after checking it, and gives its id."""
    command = ["git", "hash-object", "-t", kind, "-w", "--stdin"]
    return subprocess.run(command, cwd=repo, input=data, check=True, capture_output=True).stdout.decode().strip()


@given(st.binary(max_size=300))
def test_an_id_is_the_one_git_gives(data: bytes) -> None:
    """A blob's id equals dulwich's."""
    assert object_id(BLOB, data).hex() == Blob.from_string(data).id.decode()


@given(ENTRIES)
def test_a_tree_reads_back(entries: list[TreeEntry]) -> None:
    """Decoding an encoded tree gives the same entries."""
    assert sorted(decode_tree(encode_tree(entries))) == sorted(entries)


def test_a_tree_has_git_s_order(repo_dir: Path) -> None:
    """Folders sort as if their names ended in a slash, exactly as `git mktree` has it."""
    blob = object_id(BLOB, b"")
    empty = object_id(TREE, b"")
    names = [(b"a", MODE_TREE), (b"a.b", MODE_FILE), (b"a0", MODE_FILE), (b"a-", MODE_TREE), (b"A", MODE_FILE)]
    names += [(b"\xff", MODE_FILE), (b"\xc3\xa9", MODE_EXECUTABLE), (b"new\nline", MODE_SYMLINK), (b"b c", MODE_FILE)]
    entries = [TreeEntry(name, mode, empty if mode == MODE_TREE else blob) for name, mode in names]
    lines = b"".join(
        b"%06o %s %s\t%s\0" % (mode, b"tree" if mode == MODE_TREE else b"blob", oid.hex().encode(), name)
        for name, mode, oid in entries
    )
    done = subprocess.run(
        ["git", "mktree", "-z", "--missing"], cwd=repo_dir, input=lines, check=True, capture_output=True
    )
    assert object_id(TREE, encode_tree(entries)).hex() == done.stdout.decode().strip()


@pytest.mark.parametrize("name", [b"", b".", b"..", b".git", b".GIT", b"a/b", b"a\0b"])
def test_a_name_that_git_refuses_is_refused(name: bytes) -> None:
    """No tree is made with a name that climbs out or hides a repository."""
    with pytest.raises(InvalidName):
        encode_tree([TreeEntry(name, MODE_FILE, OID)])


def test_a_name_occurs_once_in_a_tree() -> None:
    """A file and a folder of one name do not fit into one tree."""
    with pytest.raises(InvalidName, match="twice"):
        encode_tree([TreeEntry(b"a", MODE_FILE, OID), TreeEntry(b"a", MODE_TREE, OID)])


@given(ENTRIES.filter(bool), st.integers(min_value=1, max_value=19))
def test_a_tree_that_is_cut_short_is_refused(entries: list[TreeEntry], cut: int) -> None:
    """A tree without its last bytes is damage, not a shorter tree."""
    with pytest.raises(CorruptData):
        decode_tree(encode_tree(entries)[:-cut])


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("Ann Lee", "ann@example.org"),
        ("Zoë 李 <x>", "zoë@例.org"),
        ("evil\nauthor x <y> 1 +0000", "a\nb@c>"),
        ("", ""),
        ("<>", "<>"),
        (" . ", "\t"),
        ("a\x00b", "c\x00d"),
        ('J. R. "Bob" O\'Neil', "o'neil@example.org"),
    ],
)
def test_any_author_makes_a_commit_that_git_takes(repo_dir: Path, name: str, email: str) -> None:
    """`git hash-object`, which checks as strictly as fsck, takes a commit by an author with any name; it reads back."""
    tree = store(repo_dir, TREE, b"")
    author = identity(name, email)
    data = encode_commit(tree=tree, parents=[], author=author, time=1_700_000_000, message="subject\n\nbody")
    assert store(repo_dir, COMMIT, data) == object_id(COMMIT, data).hex()
    commit = decode_commit(data)
    assert (commit.author, commit.committer) == (author, author)
    assert (commit.author_time, commit.time) == (1_700_000_000, 1_700_000_000)
    assert commit.message == "subject\n\nbody\n"


@given(st.text(), st.integers(min_value=-(2**40), max_value=2**40))
def test_a_message_reads_back(message: str, time: int) -> None:
    """Any text without NUL and lone surrogates survives, with one line end at its end; no time is before 1970."""
    message = message.encode("utf-8", "ignore").decode().replace("\0", "")
    data = encode_commit(tree="0" * 40, parents=["1" * 40, "2" * 40], author="A <a@b>", time=time, message=message)
    commit = decode_commit(data)
    assert commit.message == (message if message.endswith("\n") else message + "\n")
    assert commit.parents == ("1" * 40, "2" * 40)
    assert commit.time == max(time, 0)


def test_a_commit_of_the_real_git_reads(repo_dir: Path) -> None:
    """A merge in Latin-1 with a time zone, another committer and an extra header says what git says."""
    environ = ["GIT_AUTHOR_NAME=Zoë", "GIT_AUTHOR_EMAIL=z@x", "GIT_AUTHOR_DATE=1600000000 +0530"]
    environ += ["GIT_COMMITTER_NAME=Bot", "GIT_COMMITTER_EMAIL=b@x", "GIT_COMMITTER_DATE=1600000060 -0800"]
    command = ["env", *environ, "git", "-c", "i18n.commitEncoding=ISO-8859-1", "commit-tree", "HEAD^{tree}"]
    message = "größer\n".encode("latin-1")
    command += ["-p", "HEAD"]
    made = subprocess.run(command, cwd=repo_dir, input=message, check=True, capture_output=True).stdout.decode().strip()
    data = subprocess.run(["git", "cat-file", "commit", made], cwd=repo_dir, check=True, capture_output=True).stdout
    commit = decode_commit(data.replace(b"\nencoding ", b"\nmergetag x\n y\nencoding ", 1))
    assert (commit.author_time, commit.committer, commit.time) == (1600000000, "Bot <b@x>", 1600000060)
    assert commit.message == "größer\n"


@pytest.mark.parametrize(
    "data",
    [b"", b"tree zzz\n\n", b"parent " + b"0" * 40 + b"\n\n", b"tree " + b"0" * 40 + b"\nauthor x\ncommitter y\n\n"],
)
def test_what_is_no_commit_is_refused(data: bytes) -> None:
    """Damage is told, not guessed around."""
    with pytest.raises(CorruptData):
        decode_commit(data)
