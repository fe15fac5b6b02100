"""The verdict over a run and its repetition: numbers, artifacts, what was printed, and what may be why."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.domain.environment import Environment
from gitexp.domain.metrics import History
from gitexp.domain.values import Number
from gitexp.domain.verdict import (
    ArtifactVerdict,
    Judgement,
    MetricVerdict,
    Verdict,
    close,
    combine,
    is_judged,
    judge,
    judge_metric,
    measure_noise,
)
from gitexp.domain.verdict_causes import Circumstances, has_seed, likely_causes
from gitexp.domain.verdict_output import judge_output

NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats())


def history(*values: Number, time: float = 0.0, first: int = 0) -> History:
    return History.of((first + step, time + step, value) for step, value in enumerate(values))


# Metrics


@given(st.lists(st.tuples(st.integers(-5, 5), NUMBERS)))
def test_a_history_is_identical_to_itself_at_other_times(points: list[tuple[int, Number]]) -> None:
    """When something was logged does not count; NaN equals NaN; any steps in any order."""
    before = History.of((step, 1.0 + at, value) for at, (step, value) in enumerate(points))
    after = History.of((step, 9.0 + at, value) for at, (step, value) in enumerate(points))
    found = judge_metric("loss", before, after)
    assert found.judgement is Judgement.IDENTICAL
    assert (found.first_step, found.largest_absolute) == (None, 0.0)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.data())
def test_one_other_value_is_found_at_its_step(values: list[float], data: st.DataObject) -> None:
    """Whatever value of a history changes, it is different, and the step is told."""
    at = data.draw(st.integers(0, len(values) - 1))
    other = data.draw(st.floats().filter(lambda value: value != values[at]))
    changed = [*values[:at], other, *values[at + 1 :]]
    found = judge_metric("loss", history(*values), history(*changed))
    assert found.judgement is Judgement.DIFFERENT
    assert found.first_step == at
    assert found.first_before == values[at]


@given(NUMBERS, NUMBERS, st.floats(0, 10))
def test_closeness_has_no_direction(one: Number, other: Number, tolerance: float) -> None:
    """Which of the two is the repetition does not matter."""
    assert close(one, other, tolerance) is close(other, one, tolerance)


def test_a_tolerance_makes_near_values_the_same() -> None:
    """Relative to the larger for large values, absolute for small ones; how far they are apart is told."""
    before, after = history(1000.0, 1e-9), history(1000.5, 2e-9)
    assert judge_metric("loss", before, after).judgement is Judgement.DIFFERENT
    found = judge_metric("loss", before, after, tolerance=1e-3)
    assert found.judgement is Judgement.SAME
    assert found.largest_absolute == 0.5
    assert found.largest_relative == 0.5
    assert found.first_step is None


def test_a_missing_point_is_a_difference() -> None:
    """A history that ends early differs where it ends, however near its values are."""
    found = judge_metric("loss", history(3.0, 2.0, 1.0), history(3.0, 2.0), tolerance=1.0)
    assert found.judgement is Judgement.DIFFERENT
    assert (found.first_step, found.first_before, found.first_after) == (2, 1.0, None)
    assert (found.points_before, found.points_after) == (3, 2)


def test_an_integer_that_no_float_holds_is_told_from_its_neighbour() -> None:
    """Exact values are compared exactly."""
    found = judge_metric("tokens", history(2**60), history(2**60 + 1))
    assert found.judgement is Judgement.DIFFERENT
    assert found.largest_absolute == 1.0
    assert judge_metric("tokens", history(1), history(1.0)).judgement is Judgement.IDENTICAL


def test_a_number_and_nan_are_infinitely_far_apart() -> None:
    """No tolerance makes a NaN of a number."""
    found = judge_metric("loss", history(1.0, math.nan), history(1.0, 2.0), tolerance=1e300)
    assert found.judgement is Judgement.DIFFERENT
    assert (found.first_step, found.largest_absolute) == (1, math.inf)


@pytest.mark.parametrize(
    "key",
    [
        "time",
        "epoch_time",
        "train/duration",
        "elapsed_s",
        "train_samples_per_second",
        "system/cpu",
        "fit.time_s",
        "fps",
    ],
)
def test_measurements_of_time_and_machine_are_not_judged(key: str) -> None:
    """They are other ones each time, and no results."""
    assert not is_judged(key)


@pytest.mark.parametrize("key", ["loss", "accuracy", "timesteps", "val/rmse", "sentiment", "overtime_pay_error", "lr"])
def test_results_are_judged(key: str) -> None:
    """Words that only look like those of time are results."""
    assert is_judged(key)


# Together


def verdict(after: float, before: float = 1.0, sha256: str = "a") -> Verdict:
    artifact = Judgement.IDENTICAL if sha256 == "a" else Judgement.DIFFERENT
    return judge(
        [judge_metric("loss", history(before), history(after))],
        [ArtifactVerdict(path="model.bin", judgement=artifact, before="a", after=sha256)],
        judge_output(f"loss {before}\n", f"loss {after}\n"),
        tolerance=0.0,
    )


def test_a_verdict_is_as_bad_as_its_worst_part() -> None:
    """One artifact with other bytes makes all of it different."""
    assert verdict(1.0).judgement is Judgement.IDENTICAL
    assert verdict(1.0, sha256="b").judgement is Judgement.DIFFERENT
    assert verdict(1.1).judgement is Judgement.DIFFERENT
    assert judge([], [], None, tolerance=0.0).judgement is Judgement.IDENTICAL


def test_a_difference_within_the_runs_own_noise_is_none() -> None:
    """Repetitions that differ among themselves as much as from the run explain its value, its files and its lines."""
    values = [0.9, 1.1, 1.05]
    found = combine([verdict(value, sha256=str(value)) for value in values], {"loss": values})
    assert found.judgement is Judgement.NOISE
    assert found.judgement.word == "same"
    [metric] = found.metrics
    assert metric.noise
    assert (metric.noise.low, metric.noise.high, metric.noise.count) == (0.9, 1.1, 3)


def test_a_difference_beyond_the_noise_stays_one() -> None:
    """Repetitions close to each other do not explain a value far off."""
    values = [0.500, 0.501, 0.499]
    found = combine([verdict(value) for value in values], {"loss": values})
    assert found.judgement is Judgement.DIFFERENT
    assert [metric.judgement for metric in found.metrics] == [Judgement.DIFFERENT]


def test_repetitions_that_agree_have_no_noise() -> None:
    """The same other value each time is a difference, not noise."""
    found = combine([verdict(0.5, sha256="b")] * 3, {"loss": [0.5] * 3})
    assert found.judgement is Judgement.DIFFERENT
    assert measure_noise([1.0]) is None
    assert measure_noise([1.0, math.nan]) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_noise_explains_its_own_middle(values: list[float]) -> None:
    """The mean of the repetitions is never beyond them."""
    noise = measure_noise(values)
    assert noise
    assert noise.low <= noise.high
    assert noise.explains(noise.mean)


def test_the_worst_repetition_counts() -> None:
    """Where one of two repetitions is identical and the other is not, the metric says how far off the other is."""
    found = combine([verdict(1.0), verdict(7.0)], {"loss": [1.0, 1.0]})
    [metric] = found.metrics
    assert isinstance(metric, MetricVerdict)
    assert (metric.judgement, metric.first_step, metric.largest_absolute) == (Judgement.DIFFERENT, 0, 6.0)


# Output


@pytest.mark.parametrize(
    ("before", "after", "ignored"),
    [
        ("2026-11-21 09:00:01,123 INFO start", "2026-11-22 10:30:59,999 INFO start", "times"),
        ("[Sat Nov 21 09:12:03 2026] start", "[Sun Nov 22 10:12:03 2026] start", "times"),
        ("saved /home/ann/p/models/a.pt", "saved /tmp/gitexp-1/p/models/a.pt", "paths"),
        ("epoch 1 took 12.3s", "epoch 1 took 14.9s", "durations"),
        ("epoch 1 - 3s 12ms/step - loss: 0.5", "epoch 1 - 4s 15ms/step - loss: 0.5", "durations"),
        ('{"train_runtime": 12.5, "loss": 1}', '{"train_runtime": 13.5, "loss": 1}', "durations"),
        ("100%|##| 10/10 [00:03<00:00,  3.1it/s]", "100%|##| 10/10 [00:02<00:00,  4.5it/s]", "durations"),
        ("<Model at 0x7f12a4b3c2d0>", "<Model at 0x7f99a4b3c2d0>", "addresses"),
        ("worker pid=123 ready", "worker pid=4567 ready", "processes"),
        ("\x1b[31mred\x1b[0m", "red", "colours"),
        ("run k7m29x4qh3vd", "run aaaaaaaaaaaa", "run ids"),
    ],
)
def test_what_is_other_each_time_does_not_count(before: str, after: str, ignored: str) -> None:
    """Times, paths and the like alone make no output different, and it is told that they were left aside."""
    names = {"k7m29x4qh3vd": "run ids", "aaaaaaaaaaaa": "run ids"}
    found = judge_output(f"a\n{before}\n", f"a\n{after}\n", names=names)
    assert found.judgement is Judgement.IDENTICAL
    assert ignored in found.ignored


def test_where_it_ran_does_not_count() -> None:
    """The folder itself, what is below it, and one whose name has spaces."""
    names = {"/my tmp/gitexp-1": "paths"}
    for path in ("", "/src/pack/__init__.py", "/a b/c.txt"):
        found = judge_output(f"at /home/ann/project{path}", f"at /my tmp/gitexp-1/project{path}", names=names)
        assert (found.judgement, found.ignored) == (Judgement.IDENTICAL, ("paths",)), path
    assert judge_output("at /home/a.py", "at /my tmp/gitexp-1/b.py", names=names).judgement is Judgement.DIFFERENT


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("loss 0.5", "loss 0.6"),
        ("saved /a/b/x.pt", "saved /a/b/y.pt"),
        ("epoch 3 took 3s", "epoch 4 took 3s"),
        ("step 10 loss 1.25 time 3s", "step 10 loss 1.26 time 4s"),
        ("accuracy 3/4", "accuracy 1/4"),
        ("[1, 2]", "[1, 3]"),
    ],
)
def test_results_that_are_printed_count(before: str, after: str) -> None:
    """Another number, name or count is a difference, told with its line."""
    found = judge_output(f"same\n{before}\n", f"same\n{after}\n")
    assert found.judgement is Judgement.DIFFERENT
    assert (found.line, found.before, found.after) == (2, before, after)


def test_numbers_within_the_tolerance_are_the_same_in_lines_too() -> None:
    """But only where all else of the line is the same."""
    assert judge_output("loss 0.50001", "loss 0.50002", tolerance=1e-3).judgement is Judgement.SAME
    assert judge_output("loss 0.5 ok", "loss 0.5 bad", tolerance=1e-3).judgement is Judgement.DIFFERENT


def test_lines_in_another_order_are_the_same_lines() -> None:
    """stdout and stderr come in one order or the other."""
    found = judge_output("a\nb\nc\n", "a\nc\nb\n")
    assert (found.judgement, found.ignored) == (Judgement.IDENTICAL, ("the order of lines",))
    assert judge_output("a\nb\n", "a\nb\nb\n").line == 3


def test_a_bar_that_is_drawn_over_counts_as_it_ends() -> None:
    """How often it was drawn says nothing."""
    assert judge_output("10%\r50%\r100%\ndone\n", "30%\r100%\ndone\n").judgement is Judgement.IDENTICAL


@given(st.text(), st.text())
def test_any_output_can_be_judged(before: str, after: str) -> None:
    """Whatever was printed there is a verdict, and what is equal is identical."""
    assert judge_output(before, before).judgement is Judgement.IDENTICAL
    found = judge_output(before, after)
    assert (found.line is None) is (found.judgement is not Judgement.DIFFERENT)


# Causes


def environment(*requirements: str, **python: object) -> Environment:
    return Environment(python={"version": "3.11.7", **python}, requirements=requirements)


def texts(before: Circumstances, after: Circumstances) -> list[str]:
    return [cause.text for cause in likely_causes(before, after)]


SEEDED = {"seed": 1}


def test_the_same_circumstances_explain_nothing() -> None:
    """Where nothing differs and a seed is recorded, no cause is made up."""
    same = Circumstances(environment=environment("numpy==2.1", cpu={"model": "A", "count": 2}), params=SEEDED, code="c")
    assert texts(same, same) == []


def test_packages_python_and_machine_are_causes() -> None:
    """Each that differs is named with what it was and is; what computes nothing is left out."""
    before = environment("numpy==1.26", "pip==23", "scipy==1.1", cpu={"model": "A", "count": 2}, gpus=["H100"])
    after = environment("numpy==2.1", "pip==24", "uv==1", version="3.12.1", cpu={"model": "B", "count": 8})
    assert texts(Circumstances(environment=before, params=SEEDED), Circumstances(environment=after, params=SEEDED)) == [
        "The package numpy was 1.26, now 2.1.",
        "The package scipy was 1.1, and is not installed.",
        "Python was 3.11.7, now 3.12.1.",
        "The GPUs were H100, now none.",
        "The CPU was A, now B.",
        "The number of processors was 2, now 8.",
        "The run used a GPU without asking its libraries for deterministic algorithms.",
    ]


def test_fewer_usable_processors_are_a_cause() -> None:
    """Of the same machine one run had a part; a run that had all does not say how many it could use."""
    whole, part = (environment(cpu={"model": "A", "count": 8, **more}) for more in ({}, {"usable": 2}))
    before, after = Circumstances(environment=whole, params=SEEDED), Circumstances(environment=part, params=SEEDED)
    assert texts(before, after) == ["The number of processors that it could use was 8, now 2."]
    assert texts(after, after) == []


def test_inputs_params_and_variables_are_causes() -> None:
    """Another content, a missing file, a value that was set, a number of threads."""
    before = Circumstances(
        environment=environment(variables={"OMP_NUM_THREADS": "4"}),
        params={**SEEDED, "lr": 0.1},
        inputs={"a.csv": "sha256:1111", "b.csv": "sha256:2222"},
        not_captured=[".env"],
    )
    after = Circumstances(
        environment=environment(),
        params={**SEEDED, "lr": 0.2},
        inputs={"a.csv": "sha256:3333"},
        missing={"b.csv": "it is not there."},
    )
    assert texts(before, after) == [
        "The param 'lr' was 0.1, now 0.2.",
        "Files that were left out of the run's code: '.env'.",
        "The input 'b.csv': it is not there.",
        "The input 'a.csv' has another content: 1111, now 3333.",
        "The variable OMP_NUM_THREADS was 4, now not set.",
    ]


def test_a_missing_seed_is_a_cause() -> None:
    """A seed counts as a param, flat or nested, or as what the script was seen to set."""
    assert "No seed is recorded" in texts(Circumstances(), Circumstances())[0]
    assert has_seed(None, {"model.random_state": 0})
    assert has_seed(environment(seeds={"numpy": 3}), {})
    assert not has_seed(environment(), {"model.random_state": None, "seedling": 3})
    one, other = (Circumstances(environment=environment(seeds={"numpy": seed})) for seed in (3, 4))
    assert texts(one, other) == ["The seed of numpy was 3, now 4."]
