"""Changing one value of a file that a person wrote: nothing else moves, and what cannot be done is said."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.spans import find, split_key
from gitexp.errors import GitexpError, UsageError
from gitexp.store.paramfile import ParamFile, same

YAML = """\
%YAML 1.2
---
# learning
optim: &o
  lr: 1e-3   # the rate
  name: 'adam'
  "betas": [0.9, 0.999]
model:
    depth: 3
    layers:
    - 64
    - {size: 32, drop: }   # the last
empty:
text: |
  one
  two

when: 2026-01-01
other:
  <<: *o
  weight: 0.5
...
"""

TOML = '''\
# top
title = "a # b"   # title
ratio = 1e-3
when = 2026-01-01
[optim]   # here
lr = 0.1
"odd key" = """
two lines"""
point = { x = 1, y = [1, 2,] }  # inline
[[layers]]
size = 64
[[layers]]
size = 32
[deep.er]
x = 1
'''

JSON = '{\r\n  "optim": {"lr": 0.1, "betas": [0.9, 0.999]},\r\n  "name": "\\u00e9 \U0001f600",\r\n  "layers": [ ]\r\n}'

PYTHON = """\
import os
LR = 0.1  # rate
NAME, ÜBER = "é😀", 3; DEPTH: int = -4
BETAS = (0.9, 0.999)
CONFIG = {
    "optim": {"lr": 1e-3},  # inner
}
STEPS = 2 ** 10
"""


def edit(name: str, text: str, key: str, value: Any, *, is_new: bool = False) -> str:
    file = ParamFile(name, text.encode())
    path = tuple(key.split(".")) if is_new else find(file.values(), key)
    assert path is not None
    return file.with_edit(path, value, is_new=is_new)[0].content.decode()


@pytest.mark.parametrize(
    ("name", "text", "key", "value", "old", "new"),
    [
        ("p.yaml", YAML, "optim.lr", 0.5, "lr: 1e-3   #", "lr: 0.5   #"),
        ("p.yaml", YAML, "optim.name", "sgd", "'adam'", "'sgd'"),
        ("p.yaml", YAML, "optim.betas.1", 1e-08, "0.999]", "1.0e-08]"),
        ("p.yaml", YAML, "optim.betas", [1, 2], "[0.9, 0.999]", "[1, 2]"),
        ("p.yaml", YAML, "model.layers.0", "a, b", "- 64", '- "a, b"'),
        ("p.yaml", YAML, "model.layers.1.drop", True, "drop: }", "drop: true}"),
        ("p.yaml", YAML, "model.layers", [], "    - 64\n    - {size: 32, drop: }   #", "      []   #"),
        ("p.yaml", YAML, "model", None, "    depth: 3\n    layers:\n    - 64\n    - {size: 32, drop: }", "      null"),
        ("p.yaml", YAML, "empty", 1, "empty:", "empty: 1"),
        ("p.yaml", YAML, "text", "yes", "|\n  one\n  two\n\n", '"yes"\n\n'),
        ("p.yaml", YAML, "when", "2027-02-03", "2026-01-01", "2027-02-03"),
        ("p.yaml", YAML, "other.lr", 0.25, "  weight: 0.5\n", "  weight: 0.5\n  lr: 0.25\n"),
        ("p.yaml", "a: &x 0.1\nb: *x\n", "b", 3, "*x", "3"),
        ("p.yaml", "a: &x 0.1\nb: *x\n", "a", 3, "0.1", "3"),
        ("p.py", "A = B = 1", "A", 2, "1", "2"),
        ("p.yaml", "a: !!float 1\n", "a", "x", "!!float 1", "x"),
        ("p.yaml", "flag: yes  # a boolean to PyYAML\n", "flag", "no", "yes ", "no "),
        ("p.yaml", "flag: yes\n", "flag", "maybe", "yes", "maybe"),
        ("p.yaml", "flag: 'yes'\n", "flag", "no", "'yes'", "'no'"),
        ("p.yaml", "on: true\n", "on", "no", "true", "false"),
        ("p.toml", TOML, "title", "x", '"a # b"', '"x"'),
        ("p.toml", TOML, "ratio", 2, "1e-3", "2"),
        ("p.toml", TOML, "when", "2027-02-03", "2026-01-01", "2027-02-03"),
        ("p.toml", TOML, "optim.odd key", "s", '"""\ntwo lines"""', '"s"'),
        ("p.toml", TOML, "optim.point.y.1", False, "[1, 2,]", "[1, false,]"),
        ("p.toml", TOML, "layers.1.size", {"a": [1]}, "size = 32", "size = {a = [1]}"),
        ("p.toml", TOML, "deep.er.x", 7, "[deep.er]\nx = 1", "[deep.er]\nx = 7"),
        ("p.json", JSON, "optim.lr", 1e-05, "0.1", "1e-05"),
        ("p.json", JSON, "name", None, '"\\u00e9 \U0001f600"', "null"),
        ("p.json", JSON, "layers", [1, "x"], "[ ]", '[1, "x"]'),
        ("p.py", PYTHON, "LR", 0.5, "LR = 0.1", "LR = 0.5"),
        ("p.py", PYTHON, "NAME", 'a"b', '"é😀"', "'a\"b'"),
        ("p.py", PYTHON, "NAME", "it's", '"é😀"', '"it\'s"'),
        ("p.py", PYTHON, "ÜBER", "x", "3;", "'x';"),
        ("p.py", PYTHON, "DEPTH", 5, "-4", "5"),
        ("p.py", PYTHON, "BETAS", [0.5, 1], "(0.9, 0.999)", "(0.5, 1)"),
        ("p.py", PYTHON, "BETAS.0", 1, "(0.9,", "(1,"),
        ("p.py", PYTHON, "CONFIG.optim.lr", 2, "1e-3", "2"),
        ("p.py", PYTHON, "STEPS", 8, "2 ** 10", "8"),
    ],
)
def test_only_the_value_changes(name: str, text: str, key: str, value: Any, old: str, new: str) -> None:
    """Comments, quotes, indentation, anchors and all other characters stay as they are."""
    assert text.count(old) == 1
    assert edit(name, text, key, value) == text.replace(old, new)


@pytest.mark.parametrize(
    ("name", "text", "key", "value", "new"),
    [
        ("p.yaml", "a:\n  b: 1  # c\nd: 2\n", "a.x", 3, "a:\n  b: 1  # c\n  x: 3\nd: 2\n"),
        ("p.yaml", "a: {b: 1}", "a.x", "p, q", 'a: {b: 1, x: "p, q"}'),
        ("p.yaml", "a: 1\r\n", "x.y", None, 'a: 1\r\nx: {"y": null}\r\n'),
        ("p.yaml", "# nothing\n", "x", 1, "# nothing\nx: 1\n"),
        ("p.yaml", "---\n...\n", "x", 1, "---\nx: 1\n...\n"),
        ("p.toml", "a = 1\n[t]\nb = 1 # c\n\n[u]\n", "t.x", 2, "a = 1\n[t]\nb = 1 # c\nx = 2\n\n[u]\n"),
        ("p.toml", "[a.b]\nc = 1\n", "a.x", 2, "a.x = 2\n[a.b]\nc = 1\n"),
        ("p.toml", "t = {}", "t.x.y", 2, "t = {x = {y = 2}}"),
        ("p.toml", "t = { a = 1 }", "t.'x.y'", 2, 't = { a = 1, "x.y" = 2 }'),
        ("p.yaml", "a: 1\n", '"x.y"', 2, "a: 1\nx.y: 2\n"),
        ("p.json", '{\n  "a": 1\n}\n', "x", "é", '{\n  "a": 1,\n  "x": "é"\n}\n'),
        ("p.json", "{}", "x.y", [1], '{"x": {"y": [1]}}'),
        ("p.py", "C = {'a': 1}\n", "C.x", 2, "C = {'a': 1, 'x': 2}\n"),
    ],
)
def test_a_new_key_stands_after_its_siblings(name: str, text: str, key: str, value: Any, new: str) -> None:
    """A key that was not there is written as its neighbours are, and taking it back gives the text from before."""
    file = ParamFile(name, text.encode())
    changed, made = file.with_edit(split_key(key), value, is_new=True)
    assert changed.content.decode() == new
    assert made.is_new
    back = changed.without_edit(made, file)
    assert back is not None
    assert same(back.values(), file.values())


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a.b", ("a", "b")),
        ('"a.b"', ("a.b",)),
        ("'a.b'", ("a.b",)),
        ('data."train.csv".size', ("data", "train.csv", "size")),
        ("data.train.csv.size", ("data", "train.csv", "size")),
        ('points.0."x.y"', ("points", "0", "x.y")),
        ('"data.train.csv"', None),
        ('points."0"', None),
        ('"it\'s"', ('"it\'s"',)),
    ],
)
def test_a_part_of_a_key_in_quotes_is_one_key(key: str, path: tuple[str, ...] | None) -> None:
    """So that of `a.b` and `"a.b"` each can be named; quotes that a key itself has count first."""
    values = {
        "a": {"b": 1},
        "a.b": 2,
        "data": {"train.csv": {"size": 3}},
        "points": [{"x.y": 4}],
        "it's": 5,
        '"it\'s"': 6,
    }
    assert find(values, key) == path


@pytest.mark.parametrize(
    ("name", "text", "key", "value", "reason"),
    [
        ("p.toml", "a = 1\n", "a", None, "TOML has no null"),
        ("p.yaml", "d: &d {a: 1}\ne: *d\n", "e.a", 2, "not written there by itself"),
        ("p.yaml", "a: [1]\n", "a.x", 2, "not written there by itself"),
        ("p.py", "A = 1\n", "A", float("inf"), "without changing something else"),
        ("p.py", "A = 1\n", "C", 1, "not written there by itself"),
    ],
)
def test_what_cannot_be_set_alone_is_refused(name: str, text: str, key: str, value: Any, reason: str) -> None:
    """Where the file cannot hold the value, or something else would change with it, the error names file and key."""
    file = ParamFile(name, text.encode())
    path = find(file.values(), key)
    with pytest.raises(UsageError, match=reason) as raised:
        file.with_edit(path or tuple(key.split(".")), value, is_new=path is None)
    assert name in str(raised.value)
    assert key in str(raised.value)


def test_byte_order_marks_and_encodings_stay() -> None:
    """A BOM, CRLF line ends and the encoding that a script declares are the same afterwards."""
    for name in ("p.yaml", "p.toml"):
        sign = ":" if name == "p.yaml" else " ="
        before = b"\xef\xbb\xbf" + f"a{sign} 1\r\nb{sign} 2\r\n".encode()
        assert ParamFile(name, before).with_edit(("b",), 3)[0].content == before.replace(b"2", b"3")
    script = "# coding: latin-1\nNAME = 'é'; LR = 1\n".encode("latin-1")
    assert ParamFile("p.py", script).with_edit(("LR",), 2)[0].content == script.replace(b"= 1", b"= 2")


@pytest.mark.parametrize("content", [b"a: [1\n", b"\xff\xfe", b"- 1\n", b"a: 1\n---\nb: 2\n"])
def test_a_file_that_makes_no_sense_is_named(content: bytes) -> None:
    """The error of an unreadable file begins with its name."""
    with pytest.raises(GitexpError, match=r"\Aconf/p\.yaml: "):
        ParamFile("conf/p.yaml", content).values()


KEYS = st.text("abcXYZ-_ .é#:'\"\\", min_size=1, max_size=6)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=True),
    st.text(st.characters(blacklist_categories=["Cs"], max_codepoint=0x1FFFF), max_size=12),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=4)


def leaves(values: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    below = [leaf for key, value in items for leaf in leaves(value, (*path, str(key)))]
    return [*([path] if path else []), *below]


@given(MAPPINGS, VALUES, st.data(), st.booleans())
def test_whatever_is_set_is_read_again(values: dict[str, Any], new: Any, data: st.DataObject, is_block: bool) -> None:
    """In any YAML or JSON, any value at any place becomes any other, and other readers agree on it."""
    path = data.draw(st.sampled_from(leaves(values)))
    pretty = json.dumps(values, indent=2 if is_block else None, ensure_ascii=is_block)
    changed = json.loads(ParamFile("p.json", pretty.encode()).with_edit(path, new)[0].content)
    assert same(changed, ParamFile("p.json", json.dumps(changed).encode()).values())
    text = yaml.safe_dump(values, default_flow_style=not is_block, allow_unicode=True)
    file = ParamFile("p.yaml", text.encode())
    try:
        before = file.values()
    except GitexpError:
        return
    if same(before, values):
        again, made = file.with_edit(path, new)
        back = again.without_edit(made, file)
        assert back is not None
        assert same(back.values(), before)


@given(st.dictionaries(KEYS, SCALARS, min_size=1, max_size=4), SCALARS, st.data())
def test_toml_is_read_again_by_tomllib(values: dict[str, Any], new: Any, data: st.DataObject) -> None:
    """In TOML, whatever its keys and texts hold, one value changes and the others do not."""
    file = ParamFile("p.toml", b"[table]  # x\n")
    for key, value in values.items():
        file = file.with_edit(("table", key), value, is_new=True)[0]
    key = data.draw(st.sampled_from(sorted(values)))
    changed = file.with_edit(("table", key), new)[0]
    assert same(tomllib.loads(changed.content.decode()), {"table": {**values, key: new}})
