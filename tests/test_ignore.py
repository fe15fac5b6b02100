"""What counts as ignored, compared with `git ls-files --others --exclude-standard`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Git
from gitexp.store.git.ignore import IgnoreRules, IgnoreSources
from gitexp.store.git.wildmatch import compile_pattern

FILES = (
    "a", "b", "A", "ab", "a b", "a*", "a\\b", "[a", "]", "-a", "!a", "#a", "trail ", "x.log", "d/a", "d/b", "d/x.log",
    "d/e/a", "d/e/f/b", "foo/bar", "foo/x/bar", "foo/x/y/bar", "fooz/bar", "build/a", "d/build/b", "é", "tab\ta",
)  # fmt: skip

PATTERNS = (
    "a", "/a", "a/", "d/", "/d/e", "d/*", "d/**", "**/a", "**/e/a", "d/**/b", "foo**/bar", "foo/**/bar", "a**/b", "**",
    "*", "/*", "*/", "**/", "/**", "***", "*.log", "*\n!x.log", "*\n!*/\n!a", "d/*\n!d/e", "d\n!d/a", "!a\na", "a\n!a",
    "\\!a", "\\#a", "#a", "!a", "trail\\ ", "trail ", "trail  ", "trail", "a\\ b", "a b", "a\\*", "a\\\\b", "\\", "a\\",
    "[ab]", "[!a]", "[^a]", "[a-b]", "[]]", "[!]]", "\\[a", "[[]a", "[a", "[", "[]", "[a-", "[-a]", "[a-]", "[\\]]",
    "[[:alpha:]]", "[[:upper:]]", "[![:upper:]]", "[[:nope:]]", "[[:alpha:]", "[[:]", "[:alpha:]", "[--z]", "[b-a]",
    "?", "??", "d?e", "d[/]e", "foo/?/bar", "\\a", "a\r", "a\r\n!b\r", "\ufeffa", " a", "a\t", "tab\t*", "//a", "a//",
    "d//a", "./a", "d/../a", "/", "!", "!/", "  ", "é", "?é", "[é]", "build", "/build", "build/*", "foo/bar\n!foo/",
)  # fmt: skip

ATOMS = (
    "a", "b", "d", "e", "A", "foo", "bar", ".log", "/", "/", "/", "*", "**", "**/", "/**", "?", "[", "]", "!", "^", "-",
    "[ab]", "[!a]", "[a-", "[[:alpha:]]", "[[:x:]]", "\\", " ", "#", "\r", ".",
)  # fmt: skip


class Tree:
    """A repository with many names, asked again and again with other rules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in FILES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")
        subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)

    def agrees(self, rules: dict[str, str], *, fold: bool = False) -> None:
        """Whether git and we see the same files with these texts of rule files, by path."""
        for path, text in rules.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(text.encode("utf-8", "surrogateescape"))
        command = ["git", "-c", f"core.ignoreCase={fold}".lower(), "-c", "core.excludesFile=.git/global"]
        command += ["ls-files", "-z", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=self.folder, check=True, capture_output=True).stdout
        root = os.fsencode(self.folder)
        shared = (root + b"/.git/info/exclude", root + b"/.git/global")
        ignores = IgnoreRules(root, IgnoreSources(b".gitignore", shared, fold))
        assert sorted(_walk(ignores, root, b"")) == sorted(name for name in listed.split(b"\0") if name)


def _walk(rules: IgnoreRules, root: bytes, folder: bytes) -> Iterator[bytes]:
    with os.scandir(root + b"/" + folder) as entries:
        for entry in entries:
            path = folder + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name == b".git" or rules.ignores(path, is_folder=is_folder):
                continue
            if is_folder:
                yield from _walk(rules, root, path + b"/")
            else:
                yield path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("ignored"))


@pytest.mark.parametrize("text", PATTERNS)
def test_each_kind_of_pattern_means_what_git_takes_it_for(tree: Tree, text: str) -> None:
    """Anchored, negated, escaped, broken: one text in .gitignore hides the same files from git and from us."""
    tree.agrees({".gitignore": text, "d/.gitignore": "", ".git/info/exclude": "", ".git/global": ""})


def test_the_deeper_file_wins_and_then_info_exclude_and_then_the_users_file(tree: Tree) -> None:
    """A folder's rule overrides those above it, those override info/exclude, and that overrides core.excludesFile."""
    rules = {".gitignore": "!b\n*.log\n", "d/.gitignore": "!x.log\n/a\n", ".git/info/exclude": "b\n!ab\na b\n"}
    tree.agrees({**rules, ".git/global": "ab\n!a b\nfoo\n"})


def test_nothing_below_an_ignored_folder_comes_back(tree: Tree) -> None:
    """Rules inside an ignored folder are not read."""
    tree.agrees({".gitignore": "d/e\n", "d/e/.gitignore": "!*\n", "d/.gitignore": "", ".git/info/exclude": ""})


def test_case_does_not_matter_where_git_ignores_case(tree: Tree) -> None:
    """With core.ignoreCase, patterns match as git makes them match, odd classes included."""
    for text in ("A\nX.LOG", "[A]", "[[:upper:]]", "[[:lower:]]", "\\A", "FOO/B?R", "[A-B]", "D/E/*"):
        tree.agrees({".gitignore": text, "d/.gitignore": "", ".git/info/exclude": "", ".git/global": ""}, fold=True)


def test_a_rule_file_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    """Git does not follow a .gitignore that is a symlink, nor read one that is a folder."""
    tree = Tree(tmp_path)
    (tmp_path / "rules").write_text("a\n")
    (tmp_path / ".gitignore").symlink_to("rules")
    (tmp_path / "d" / ".gitignore").mkdir()
    tree.agrees({"foo/.gitignore": "bar\n", ".git/info/exclude": "", ".git/global": ""})


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    root=st.lists(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=5).map("".join), max_size=4),
    inner=st.lists(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=4).map("".join), max_size=3),
    fold=st.booleans(),
)
def test_any_rules_hide_the_same_files_from_git_and_from_us(
    tree: Tree, root: list[str], inner: list[str], fold: bool
) -> None:
    """Random rules in two folders, negations among them, with and without regard to case."""
    texts = {".gitignore": "\n".join(root), "d/.gitignore": "\n".join(inner)}
    tree.agrees({**texts, ".git/info/exclude": "", ".git/global": ""}, fold=fold)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        (b"**/a", b"a", True),
        (b"x/**/a", b"x/a", True),
        (b"x/**", b"x/y/z", True),
        (b"x**a", b"x/a", False),
        (b"[[:digit:]-z]", b"-", True),
        (b"\xff?", b"\xff\xfe", True),
        (b"[^\xff]", b"\xff", False),
        (b"a\nb", b"a\nb", True),
    ],
)
def test_names_are_bytes(pattern: bytes, name: bytes, matches: bool) -> None:
    """Wildcards match bytes that are no text, and line ends, like any other."""
    assert bool(compile_pattern(pattern, path=True)(name)) is matches


def test_git_and_we_agree_where_dulwich_does_not(tmp_path: Path, git: Git) -> None:
    """`a**/b` ignores `ab` in git; this is one reason for a matcher of our own."""
    from dulwich.ignore import IgnoreFilter

    git("init", "-q", ".", cwd=tmp_path)
    (tmp_path / "ab").write_text("")
    (tmp_path / ".gitignore").write_text("a**/b\n")
    assert "ab" not in git("ls-files", "--others", "--exclude-standard", cwd=tmp_path).split("\n")
    assert IgnoreRules(os.fsencode(tmp_path), IgnoreSources(b".gitignore")).ignores(b"ab", is_folder=False)
    assert not IgnoreFilter([b"a**/b"]).is_ignored(b"ab")
