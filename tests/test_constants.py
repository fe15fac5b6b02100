"""What of a script's own text is a param: what a person who reads it would write down."""

from __future__ import annotations

import ast
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.constants import PythonText, find_constants


def constants(text: str) -> dict[str, Any]:
    return PythonText().load(textwrap.dedent(text))


def test_literals_at_the_top_are_params() -> None:
    """Numbers, texts, flags, None, lists, mappings, and arithmetic of numbers, before, among and after imports."""
    found = constants(
        '''
        """Trains a model."""
        SEED = 42
        from __future__ import annotations
        import numpy as np
        lr, momentum = 1e-3, 0.9
        batch_size: int = 2 ** 10
        WINDOW = 3 * 60
        offset = -1.5
        name = "baseline"
        use_amp = True
        resume = None
        betas = (0.9, 0.999)
        layers = [64, 32]
        MODEL = {"depth": 4, "head": {"dropout": -0.1}}

        def train(): ...

        epochs = 3
        model = train()
        patience = 5
        for epoch in range(epochs):
            pass
        late = 7
        '''
    )
    assert found == {
        "SEED": 42,
        "lr": 1e-3,
        "momentum": 0.9,
        "batch_size": 1024,
        "WINDOW": 180,
        "offset": -1.5,
        "name": "baseline",
        "use_amp": True,
        "resume": None,
        "betas": (0.9, 0.999),
        "layers": [64, 32],
        "MODEL": {"depth": 4, "head": {"dropout": -0.1}},
        "epochs": 3,
        "patience": 5,
    }


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\nx = 2",
        "x = 0\nx += 1",
        "x = 0\nfor x in range(3): pass",
        "x = 0\nfor i in range(3):\n    x = i",
        "x = 0\ndef f():\n    global x\n    x = 1",
        "x = 0\nclass C:\n    global x\n    x = 1",
        "x = 0\nimport x",
        "x = 0\nimport x.y",
        "x = 0\nfrom y import z as x",
        "x = 0\ndef x(): ...",
        "x = 0\nclass x: ...",
        "x = 0\nwith open('f') as x: pass",
        "x = 0\ntry: pass\nexcept E as x: pass",
        "x = 0\nprint(x := 3)",
        "x = 0\n[x := i for i in ()]",
        "x = 0\ndel x",
        "x = 0\nif y:\n    x = 1",
        "x = 0\nmatch y:\n    case [x]: pass",
        "x = 0\nmatch y:\n    case {**x}: pass",
        "x = [1]\nx.append(2)",
        "x = {'a': 1}\ndef f():\n    x['a'] = 2",
        "x = {'a': {'b': 1}}\nx['a']['b'] += 2",
        "x = []",
        "x = {}",
        "x = ()",
        "_x = 1",
        "__version__ = '1'",
        "__all__ = ['f']",
        "TYPE_CHECKING = False",
        "x = '''two\nlines'''",
        f"x = '{'x' * 201}'",
        f"x = {list(range(101))}",
        "x = f()",
        "x = f'{y}'",
        "x = y",
        "x = 1 + y",
        "x = b'1'",
        "x = 1j",
        "x = 10 ** 10 ** 10",
        "x = 1 / 0",
        "x = (-8) ** 0.5",
        "x = not 1",
        "x = {1: 2}",
        "x: int",
        "x, y = 1",
        "for i in (): pass\nx = 1",
        "while f(): pass\nx = 1",
        "if __name__ == '__main__':\n    x = 1",
        "def f():\n    x = 1",
        "class C:\n    x = 1",
    ],
)
def test_what_varies_or_says_little_is_none(text: str) -> None:
    """Accumulators, names bound twice, containers that are changed, long or computed values, private names."""
    assert "x" not in constants(text)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\ndef f(x): x += 1",
        "x = 1\ndef f():\n    x = 2",
        "x = 1\nclass C:\n    x = 2",
        "x = 1\ny = [x for x in ()]",
        "x = 1\nf = lambda: (x := 2)",
        "x = 1\nobject.x = 2",
        "x = 1\nf(x=3)",
        "x = [1]\nx.index(1)",
        "if TYPE_CHECKING:\n    import y\nx = 1",
        "try:\n    import y\nexcept ImportError:\n    y = None\nx = 1",
        "seed(3)\nx = 1",
    ],
)
def test_another_scope_is_another_variable(text: str) -> None:
    """A name of a function, class or comprehension is not the module's; imports and calls do not end the top."""
    assert "x" in constants(text)


def test_what_runs_beside_counts() -> None:
    """A name that other cells of a notebook assign is not constant in the first."""
    assert [constant.name for constant in find_constants("x = 1\ny = 2", ["y = 3"])] == ["x"]


def test_what_is_no_python_says_where() -> None:
    """The error names the line."""
    with pytest.raises(ValueError, match="line 2: "):
        find_constants("x = 1\nx ==\n")


@given(
    st.recursive(
        st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9)
        | st.booleans()
        | st.none(),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3)
        ),
        max_leaves=9,
    )
)
def test_a_constant_has_the_value_that_python_gives_it(value: Any) -> None:
    """What is found is what the script would see."""
    text = f"name = {value!r}"
    found = constants(text)
    if found:
        assert repr(found["name"]) == repr(ast.literal_eval(repr(value)))
