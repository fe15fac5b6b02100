"""How a person names a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.identity import run_id
from gitexp.domain.selector import Best, ByText, Latest, parse_selector, suggest
from gitexp.errors import UsageError


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("@", Latest()),
        ("@~", Latest(1)),
        ("@~1", Latest(1)),
        ("@~0", Latest(0)),
        ("@~20", Latest(20)),
        ("nyc-taxi/@", Latest(0, "nyc-taxi")),
        ("team/nyc/@~2", Latest(2, "team/nyc")),
        ("best:metrics.rmse", Best("rmse")),
        ("best:-metrics.auc", Best("auc", maximize=True)),
        ("best:rmse", Best("rmse")),
        ("best:-auc", Best("auc", maximize=True)),
        ("best:metrics.val/loss", Best("val/loss")),
        ("best:metrics.`a b`", Best("a b")),
        ("best:metrics.metrics.x", Best("metrics.x")),
        ("nyc-taxi/best:rmse", Best("rmse", experiment="nyc-taxi")),
        ("team/nyc/best:-metrics.val/auc", Best("val/auc", True, "team/nyc")),
        ("baseline", ByText("baseline")),
        ("a/b", ByText("a/b")),
        ("bestial", ByText("bestial")),
        ("me@home", ByText("me@home")),
    ],
)
def test_a_selector_is_read_without_looking_anything_up(text: str, selector: object) -> None:
    """`@` counts back from the newest run, `best:` asks for a metric, an experiment may stand before either."""
    assert parse_selector(text) == selector


@pytest.mark.parametrize("text", ["", "@1", "@~x", "@~1~1", "@{1}", "best:", "best:-", "best:metrics.", "x/best:"])
def test_what_names_no_run_is_refused_with_a_hint(text: str) -> None:
    """A text that begins as a selector does is never taken for a name."""
    with pytest.raises(UsageError) as caught:
        parse_selector(text)
    assert caught.value.hint


@given(st.binary(min_size=8, max_size=8), st.integers(2, 12))
def test_the_beginning_of_an_id_may_be_an_id(random: bytes, length: int) -> None:
    """Two characters or more of any run id are taken for one; what no id holds is not."""
    prefix = run_id(random)[:length]
    assert ByText(prefix).may_be_id
    assert not ByText(prefix[:1]).may_be_id
    assert not ByText(prefix[:-1] + "u").may_be_id
    assert not ByText("0" + prefix[1:]).may_be_id


def test_six_hex_digits_may_be_a_commit() -> None:
    """Shorter ones are left to names and ids."""
    assert ByText("a93c5d").may_be_commit
    assert ByText("A93C5D" + "0" * 34).may_be_commit
    assert not ByText("a93c5").may_be_commit
    assert not ByText("a93c5g").may_be_commit


def test_a_text_with_slashes_may_name_an_experiment_first() -> None:
    """Both parts of such a name may hold slashes themselves, so each place to cut is offered."""
    assert ByText("a/b/c").in_experiments == (("a", ByText("b/c")), ("a/b", ByText("c")))
    assert ByText("/a/").in_experiments == ()
    assert ByText("a").in_experiments == ()


def test_near_names_are_suggested() -> None:
    """What holds the text comes first, then what is spelt nearly so; case does not count."""
    names = ["Baseline", "baseline-2", "resnet", "baselien", "x"]
    assert suggest("baselin", names) == ["Baseline", "baseline-2", "baselien"]
    assert suggest("RESNT", names) == ["resnet"]
    assert suggest("zzz", names) == []
    assert suggest("baselin", names, most=1) == ["Baseline"]
    assert suggest("", names) == []
