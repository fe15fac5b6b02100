"""What the domain writes as text is read back as it was: params, YAML, and the file names that keys become."""

from __future__ import annotations

import io
import math
import subprocess
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gitexp.domain import yamltext
from gitexp.domain.keys import file_names, is_git_folder, key_of_file, parse_artifact_path, parse_key
from gitexp.domain.values import Value, flatten, nest, plain_value, same_value
from gitexp.errors import InvalidName

pytestmark = pytest.mark.slow

AWKWARD = (
    "",
    " ",
    "no",
    "Yes",
    "~",
    "null",
    "1e3",
    "1_000",
    "0o17",
    "12:30:45",
    "2026-11-21",
    "0x1f",
    ".inf",
    ".NaN",
    "- a",
    "-",
    "---",
    "...",
    "? a",
    "key: value",
    "a #b",
    "a:",
    "#",
    "&a",
    "*a",
    "!tag",
    "|",
    ">",
    "%TAG",
    "@a",
    "`a",
    "{a}",
    "[a]",
    "'a'",
    '"a"',
    "a\nb",
    "a\r\nb\t",
    "\ufeff",
    "\x85\u2028\u2029",
    "\x00\x1f\x7f\x9f",
    "😀",
    "=",
    "<<",
    "--lr",
    "C:\\x",
    "+1",
    "1.",
    ".5",
    "1e5",
    "a, b",
    "é",
    "x" * 600,
)
texts = st.one_of(st.sampled_from(AWKWARD), st.text(max_size=30), st.text("-+.:0123456789eExo_ #", max_size=8))
scalars = st.one_of(texts, st.integers(), st.floats(), st.booleans(), st.none(), st.just(10**4000), st.just(-(10**30)))


def is_key(text: str) -> bool:
    try:
        return bool(parse_key(text, what="param"))
    except InvalidName:
        return False


keys = st.one_of(texts, st.text("ab.", min_size=1, max_size=6)).filter(is_key)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
mappings = st.dictionaries(keys, values, max_size=6)


def same(one: object, other: object) -> bool:
    """Equal with equal types and order, NaN being itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.copysign(1, one) == math.copysign(1, other) if one == other else one != one and other != other
    return one == other


@given(mappings)
@example({text: text for text in AWKWARD if is_key(text)})
@example({"a": [[], {}, [[1]], {"b": [{"c": {}}]}], "b": {"c": []}})
def test_yaml_is_read_alike_by_all(mapping: dict[str, Any]) -> None:
    """What `dump` writes, gitexp, PyYAML (YAML 1.1) and ruamel (YAML 1.2) read as the very same values."""
    text = yamltext.dump(mapping)
    assert same(yamltext.load(text), mapping)
    assert same(yaml.load(text, yaml.SafeLoader), mapping)
    ruamel = YAML(typ="safe", pure=True)
    assert same(ruamel.load(io.StringIO(text)), mapping)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
@given(mappings)
def test_yaml_is_read_alike_by_libyaml(mapping: dict[str, Any]) -> None:
    """The C parser behind PyYAML, which is what people use for speed, agrees."""
    assert same(yaml.load(yamltext.dump(mapping), yaml.CSafeLoader), mapping)


@given(mappings)
def test_yaml_is_lines_of_text(mapping: dict[str, Any]) -> None:
    """The text has no control character but newlines and no trailing space, and ends in a newline."""
    text = yamltext.dump(mapping)
    assert text.endswith("\n") and all(character >= " " or character == "\n" for character in text)
    assert text.splitlines() == text[:-1].split("\n")
    assert all(line == line.rstrip(" ") for line in text.split("\n"))


def test_integers_of_any_size_are_written() -> None:
    """Integers of more digits than Python writes in decimal are hexadecimal, which all readers take."""
    mapping = {"huge": 10**6000, "less": [-(10**6000)]}
    text = yamltext.dump(mapping)
    for read in (yamltext.load(text), yaml.load(text, yaml.SafeLoader), YAML(typ="safe", pure=True).load(text)):
        assert same(read, mapping)


@given(st.one_of(st.text(), st.text("ab:- \n[]{},\"'#01.", max_size=40)))
def test_the_quick_reader_never_guesses(text: str) -> None:
    """Given any text, the quick reader gives what PyYAML gives, or says that it is not its own writing."""
    try:
        found = yamltext.load(text)
    except yamltext.NotCanonical:
        return
    assert same(yaml.load(text, yaml.SafeLoader), found)


@given(st.dictionaries(keys, values.filter(lambda value: not isinstance(value, dict) or not value), max_size=10))
@example({"a": 1, "a.b": 2, "a.b.c": 3})
@example({"a.": 1, ".a": 2, "a..b": 3, ".": 4, "a": {}})
@example({"a.b": {}, "a.b.c": 1, "a.c": 2})
def test_nesting_loses_no_param(flat: dict[str, Value]) -> None:
    """Flat params nest and flatten to the same params, whatever dots are in their keys."""
    again = flatten(nest(flat))
    assert same({key: again[key] for key in flat}, flat) and again.keys() == flat.keys()


@given(mappings)
def test_flat_params_have_good_keys(params: dict[str, Any]) -> None:
    """Flattening gives good keys and values that are no mappings unless empty, or refuses with InvalidName."""
    try:
        flat = flatten(params)
    except InvalidName:
        return
    assert all(is_key(key) and not (isinstance(value, dict) and value) for key, value in flat.items())
    assert all(same_value(value, plain_value(value)) for value in flat.values())


def composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def plainly_safe(name: str) -> bool:
    """Whether git and every common file system take the name as a relative path of a file."""
    return all(
        part and part not in (".", "..") and not is_git_folder(part) and part[-1] not in ". " and part[0] not in ". "
        for part in name.split("/")
    ) and not any(character in '\\:*?"<>|' or character < " " for character in name)


TRICKY = (
    "a A a/b A/b a/B / // a/ /a .. ../.. .git .GIT/x .gi\u200ct a.csv/b a.csv a.CSV/b % %41 a% con git~1 "
    "é É e\u0301 İ i ı ß ẞ ſ s S ǆ ǅ ǈ \u212a k K a.cſv/b a.ＣSV/c a．csv/d"
).split(" ")
metric_keys = st.one_of(
    keys, st.text("aA/.% ", min_size=1, max_size=8), st.sampled_from([*TRICKY, "a b ", " ", "x" * 250])
)


@given(st.lists(metric_keys, max_size=8, unique=True))
def test_file_names_are_distinct_and_tell_their_key(found: list[str]) -> None:
    """Keys give file names that differ even where case does not count, that are safe, and that decode to the keys."""
    names = file_names(found)
    assert list(names) == found
    assert [key_of_file(name) for name in names.values()] == found
    for fold in (str.lower, str.upper, str.casefold, composed, lambda name: composed(composed(name).casefold())):
        assert len({fold(f"{name}.csv") for name in names.values()}) == len(found)
    assert all(plainly_safe(name) for name in names.values())


@given(st.lists(metric_keys, max_size=8, unique=True))
def test_no_file_name_is_another_ones_folder(found: list[str]) -> None:
    """No metric's file stands where another metric needs a folder, also where case does not count."""
    files = {composed(f"{name}.csv").casefold() for name in file_names(found).values()}
    folders = {file[:end] for file in files for end, character in enumerate(file) if character == "/"}
    assert files.isdisjoint(folders)


REFUSED = "/ /etc/passwd .. a/../b C:/x c:x .git/config a/.GIT/x git~1/x a\\b a\0b a\nb \ud800 . ./.".split(" ")
REFUSED += ["", ".git. ", "a" * 256, "ab/" * 1400]


@pytest.mark.parametrize("path", REFUSED)
def test_artifact_paths_that_are_refused(path: str) -> None:
    """Paths that are absolute, climb, touch git's own folder or cannot be written everywhere are refused."""
    with pytest.raises(InvalidName):
        parse_artifact_path(path)


PARTS = (
    *(
        ".git",
        ".GIT",
        ".git ",
        ".git...",
        ".git:x",
        ".git ::$DATA",
        ".gi\u200ct",
        ".g\u200eit",
        "\ufeff.git",
        ".g\u206fit",
    ),
    *(
        "git~1",
        "GIT~1",
        "git~1.",
        "git~1:x",
        ".gitx",
        "x.git",
        "git",
        "git~",
        ".gitignore",
        "con",
        "a:b",
        "a*",
        " a ",
        "...",
    ),
)


def test_git_takes_every_path_that_is_taken(repo_dir: Path, git: Callable[..., str]) -> None:
    """A tree with any artifact path or metric file name that gitexp takes passes `git fsck --strict`."""
    blob = git("hash-object", "-w", "params.yaml", cwd=repo_dir).strip()
    names = {name.split("/")[0] for name in file_names([*PARTS, *TRICKY, " ", "a b "]).values()}
    for part in PARTS:
        with suppress(InvalidName):
            names.add(parse_artifact_path(part))
    entries = "".join(f"100644 blob {blob}\t{name}\0" for name in sorted(names))
    made = subprocess.run(
        ["git", "mktree", "-z"], cwd=repo_dir, input=entries.encode(), capture_output=True, check=True
    )
    git(
        "update-ref",
        "refs/test",
        git("commit-tree", "-m", "all", made.stdout.decode().strip(), cwd=repo_dir).strip(),
        cwd=repo_dir,
    )
    git("fsck", "--full", "--strict", cwd=repo_dir)


@given(st.text("ab./ é", max_size=12))
def test_artifact_paths_are_plain(path: str) -> None:
    """A path that is taken is relative, without empty parts, and parsing it again changes nothing."""
    try:
        parsed = parse_artifact_path(path)
    except InvalidName:
        return
    assert parse_artifact_path(parsed) == parsed
    assert all(part not in ("", ".", "..") for part in parsed.split("/"))


@pytest.mark.parametrize("key", ["", "a\nb", "a\0", "\x7f", "\x85", "\ud800", "x" * 251, "é" * 126, 5, None, b"a"])
def test_keys_that_are_refused(key: object) -> None:
    """Keys that are empty, too long, no text, or hold control characters are refused."""
    with pytest.raises(InvalidName, match="metric key"):
        parse_key(key, what="metric")
