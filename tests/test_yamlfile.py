"""YAML that people write is read with YAML 1.2's scalars, and nothing in it can do harm."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gitexp.domain import yamltext
from gitexp.errors import CorruptData
from gitexp.store.yamlfile import load_yaml

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
WORDS = st.text("aefnoyNOY0123456789._-+~ #'", min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | KEYS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def read(text: str) -> object:
    return load_yaml(text, what="params.yaml")


def refused(text: str) -> str:
    with pytest.raises(CorruptData) as caught:
        read(text)
    return str(caught.value)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_gitexp_writes_is_read_back(mapping: dict[str, object]) -> None:
    """The quick reader and the general one agree on everything gitexp writes."""
    text = yamltext.dump(mapping)
    assert read(text) == mapping
    assert read(f"# a comment\n{text}...\n") == mapping


@given(st.dictionaries(WORDS, WORDS | SCALARS.filter(lambda value: type(value) is not str), max_size=5))
def test_what_a_yaml_1_2_library_writes_is_read(mapping: dict[str, object]) -> None:
    """ruamel.yaml, which follows YAML 1.2, and our reader understand each other."""
    written = io.StringIO()
    library = YAML(typ="safe", pure=True)
    library.default_flow_style = False
    library.dump(mapping, written)
    assert read(written.getvalue()) == mapping


def test_scalars_are_those_of_yaml_1_2() -> None:
    """1e-3 is a number; yes, a time, a date and a version are text."""
    text = "a: 1e-3;b: yes;c: 12:30;d: 2026-01-01;e: 010;f: 0xff;g: ~;h: -.inf;i: 1_000;j: .5;k: 1.2.3;l: +3;m:"
    assert read(text.replace(";", "\n")) == {
        "a": 0.001,
        "b": "yes",
        "c": "12:30",
        "d": "2026-01-01",
        "e": 10,
        "f": 255,
        "g": None,
        "h": -math.inf,
        "i": "1_000",
        "j": 0.5,
        "k": "1.2.3",
        "l": 3,
        "m": None,
    }
    assert read("a: !!str 3\nb: !!float 3\nc: '3'\nd: \"4\"\n") == {"a": "3", "b": 3.0, "c": "3", "d": "4"}


def test_anchors_and_merge_keys_work() -> None:
    """What a mapping says itself goes before what it merges."""
    text = "base: &base {lr: 0.1, depth: 3}\nrun:\n  <<: *base\n  depth: 4\nboth:\n  <<: [*base, {x: 1}]\nsame: *base\n"
    assert read(text) == {
        "base": {"lr": 0.1, "depth": 3},
        "run": {"lr": 0.1, "depth": 4},
        "both": {"lr": 0.1, "depth": 3, "x": 1},
        "same": {"lr": 0.1, "depth": 3},
    }


def test_an_ordinary_file_with_comments_needs_no_parser() -> None:
    """Comments, empty lines and blanks at line ends do not cost the import of PyYAML."""
    text = "# don't\\nlr: 0.1  # rate\\n\\noptim:\\n  name: adam # it is fine \\r\\n  betas: [0.9, 0.99]\\n"
    program = (
        "import sys\n"
        "from gitexp.store.yamlfile import load_yaml\n"
        f"print(load_yaml('''{text}''', what='x'), 'yaml' in sys.modules)"
    )
    source = Path(__file__).parent.parent / "src"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={"PYTHONPATH": str(source)}
    )
    assert done.stdout == "{'lr': 0.1, 'optim': {'name': 'adam', 'betas': [0.9, 0.99]}} False\n"


def test_empty_documents_are_none() -> None:
    """A file without a value is no error."""
    assert read("") is None
    assert read("# nothing yet\n") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1\nb: 2", "params.yaml: line 2: did not find expected ',' or ']'."),
        ("a: 1\n\tb: 2", "params.yaml: line 2: found a tab character that violates indentation."),
        ("a: 1\nb: 2\na: 3\n", "params.yaml: line 3: the key 'a' stands twice."),
        ("a: *x", "params.yaml: line 1: the alias 'x' has no anchor before it, or holds itself."),
        ("a: &a [*a]", "params.yaml: line 1: the alias 'a' has no anchor before it, or holds itself."),
        ("x: 1\na: !custom 3", "params.yaml: line 2: the tag '!custom' is not read."),
        ("? [a]\n: b", "params.yaml: line 1: a list or mapping is used as a key."),
        ("a: 1\n---\nb: 2\n", "params.yaml: line 2: a second document starts; one is expected."),
        ("a: !!int x", "params.yaml: line 1: 'x' is not what its tag says."),
        ("<<: 3\n", "params.yaml: line 1: '<<' expects a mapping or a list of mappings."),
    ],
)
def test_mistakes_are_named_with_their_line(text: str, problem: str) -> None:
    """The message says which file, which line and what is wrong."""
    assert refused(text) == problem


def test_objects_are_never_built() -> None:
    """A tag that names a Python object is refused."""
    assert "is not read" in refused("a: !!python/object/apply:os.system ['true']")


def test_exploding_aliases_are_refused() -> None:
    """A few lines that expand to a thousand million nodes are stopped while they are read."""
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for one, other in zip("abcdefghi", "bcdefghij", strict=True):
        lines.append(f"{other}: &{other} [{','.join([f'*{one}'] * 9)}]")
    assert "aliases expand to more than 100,000 nodes" in refused("\n".join(lines))


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "{a: " * 100_000], ids=["lists", "dashes", "mappings"])
def test_deep_nesting_is_refused(text: str) -> None:
    """PyYAML's own composer overflows the C stack here."""
    assert "nested deeper than 100 levels" in refused(text)


def test_many_params_are_no_bomb() -> None:
    """The bound is on what aliases add, not on honest size."""
    assert len(read("\n".join(f"k{i}: {i}e-3" for i in range(60_000)))) == 60_000  # type: ignore[arg-type]


def test_a_duplicate_key_may_be_a_warning() -> None:
    """For the user's own files: the last value counts, as in PyYAML, and it is told."""
    told: list[str] = []
    assert load_yaml("a: 1\na: 2\n", what="params.yaml", on_duplicate=told.append) == {"a": 2}
    assert told == ["params.yaml: line 2: the key 'a' stands twice; the last counts."]


def test_numbers_beyond_python_s_limit_stay_text() -> None:
    """An integer of five thousand digits is not turned into infinity."""
    assert read("a: " + "9" * 5000) == {"a": "9" * 5000}
