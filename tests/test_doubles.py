"""What is said twice under two names is recorded once; what only looks alike stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.doubles import find_double_metrics, find_double_params
from gitexp.domain.metrics import History
from gitexp.domain.source import Source

CURVE = [0.69314, 0.52149, 0.41268, 0.40127]


def doubles(*metrics: tuple[str, Source, list[float]]) -> list[str]:
    histories = {
        (key, int(source)): History.of((step, 0.0, value) for step, value in enumerate(values))
        for key, source, values in metrics
    }
    return [key for key, _ in find_double_metrics(histories)]


def rounded(values: list[float], digits: int) -> list[float]:
    return [round(value, digits) for value in values]


@pytest.mark.parametrize(
    ("printed", "logged"),
    [
        ("Train_Loss", "Loss/train"),
        ("loss", "train_loss"),
        ("Test_Average_loss", "Loss/test"),
        ("val_acc", "val_accuracy"),
        ("valid-rmse", "validation_root_mean_squared_error"),
    ],
)
def test_a_curve_that_is_printed_and_logged_is_one(printed: str, logged: str) -> None:
    """Where the names speak of the same, and the values are those, rounded."""
    assert doubles((logged, Source.AUTOLOG, CURVE), (printed, Source.OUTPUT, rounded(CURVE, 4))) == [printed]
    assert doubles((logged, Source.SCRIPT, CURVE), (printed, Source.OUTPUT, rounded(CURVE[::2], 3))) == [printed]


@pytest.mark.parametrize(
    ("printed", "values"),
    [("learn", CURVE), ("test", rounded(CURVE, 4)), ("best", [0.69314, 0.52149, 0.52149, 0.40127])],
)
def test_a_name_that_says_nothing_repeats_what_has_its_values(printed: str, values: list[float]) -> None:
    """As CatBoost prints them: three different values of four digits at least."""
    assert doubles(("learn-RMSE", Source.AUTOLOG, CURVE), (printed, Source.OUTPUT, values)) == [printed]
    assert doubles(("learn-RMSE", Source.AUTOLOG, CURVE), (printed, Source.OUTPUT, rounded(values, 2))) == []


@pytest.mark.parametrize(
    ("printed", "logged", "value", "exact"),
    [
        ("Accuracy", "test_accuracy_score", 0.97, 0.9736842),
        ("Accuracy", "test_accuracy_score", 97.37, 0.9736842),
        ("Test_accuracy", "test_accuracy", 0.8203125, 0.8203125),
        ("F1", "test_f1_score", 0.972, 0.9717034),
        ("Adj_R-squared", "rsquared_adj", 0.981, 0.98117797),
        ("Log-Likelihood", "llf", -162.75, -162.7515608),
        ("AIC", "aic", 331.5, 331.5031217),
    ],
)
def test_a_result_that_is_printed_and_logged_is_one(printed: str, logged: str, value: float, exact: float) -> None:
    """Rounded, or in percent."""
    assert doubles((logged, Source.AUTOLOG, [exact]), (printed, Source.OUTPUT, [value])) == [printed]


@pytest.mark.parametrize(
    ("printed", "values", "logged", "others"),
    [
        ("train_loss", CURVE, "val_loss", CURVE),
        ("accuracy", [1.0, 1.0, 1.0], "val_accuracy", [1.0, 1.0, 1.0]),
        ("precision", CURVE, "recall", CURVE),
        ("train_loss", CURVE[::-1], "loss", CURVE),
        ("train_loss", CURVE, "loss", CURVE[::2]),
        ("Accuracy", [0.97], "training_accuracy_score", [0.97]),
        ("Accuracy", [1.0], "test_accuracy", [0.96]),
        ("best_accuracy", [0.93], "val_accuracy", [0.91, 0.93, 0.92]),
        ("RMSE", [0.40127], "valid-rmse", CURVE),
        ("best", [0.5, 0.4], "val_loss", [0.5, 0.4]),
        ("loss", [float("nan")] * 3, "train_loss", [float("nan")] * 3),
    ],
)
def test_what_only_looks_alike_stays(printed: str, values: list[float], logged: str, others: list[float]) -> None:
    """Other data, another measurement, other values, or too few to tell."""
    assert doubles((logged, Source.AUTOLOG, others), (printed, Source.OUTPUT, values)) == []


def test_files_repeat_what_a_framework_did() -> None:
    """In 32 bits; CatBoost calls its validation a test there. Two files, or two frameworks, repeat nothing."""
    narrow = [0.6931399703025818, 0.5214899778366089, 0.4126800000667572, 0.40127000212669373]
    assert doubles(("validation-RMSE", Source.AUTOLOG, CURVE), ("test/RMSE", Source.FILE, narrow)) == ["test/RMSE"]
    assert doubles(("a/loss", Source.FILE, CURVE), ("loss", Source.FILE, CURVE)) == []
    assert doubles(("train_loss", Source.AUTOLOG, CURVE), ("loss", Source.AUTOLOG, CURVE)) == []


def test_what_has_a_surer_word_under_its_own_name_is_no_double() -> None:
    """It is left out for that already."""
    assert (
        doubles(("loss", Source.AUTOLOG, CURVE), ("train_loss", Source.AUTOLOG, CURVE), ("loss", Source.OUTPUT, CURVE))
        == []
    )


@given(st.dictionaries(st.text(max_size=20), st.lists(st.floats(), max_size=8), max_size=5))
def test_no_name_and_no_value_is_trouble(metrics: dict[str, list[float]]) -> None:
    """Whatever it is called, and whatever it is."""
    both = [(key, Source.OUTPUT, values) for key, values in metrics.items()]
    assert set(doubles(*both, ("loss", Source.AUTOLOG, CURVE))) <= metrics.keys()


def test_params_that_were_passed_on_are_said_once() -> None:
    """A framework's by the option that gave it, an item of a constant by the framework that got it; others stay."""
    params = [
        (("model.width", Source.PARSER), 4),
        (("width", Source.AUTOLOG), 4),
        (("data.batch_size", Source.PARSER), 16),
        (("batch_size", Source.AUTOLOG), 32),
        (("learning_rate", Source.AUTOLOG), 0.1),
        (("params.learning_rate", Source.CONSTANT), 0.1),
        (("params.depth", Source.CONSTANT), 3),
        (("BATCH_SIZE", Source.CONSTANT), 32),
    ]
    found = find_double_params([((key, int(source)), value) for (key, source), value in params])
    assert found == [("width", Source.AUTOLOG), ("params.learning_rate", Source.CONSTANT)]
