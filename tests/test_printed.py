"""Metrics from printed lines: what real logs hold is found, what is none is not, and the program is not disturbed."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gitexp.domain.printed import LONGEST_LINE, MOST_IN_A_DUMP, MOST_KEYS, PrintedMetrics
from gitexp.domain.printed_patterns import PrintedPattern
from gitexp.reading import RunView
from gitexp.repo import Repository
from launching import PATIENCE_S, SOURCES

LOGS = Path(__file__).parent / "logs"
NAMES = sorted(path.stem for path in LOGS.glob("*.log"))
FRAMEWORKS = [name for name in NAMES if not name.startswith("no-metrics-")]
OTHERS = [name for name in NAMES if name.startswith("no-metrics-")]

Found = list[tuple[str, int, float]]


def read(
    *pieces: str | bytes, patterns: Iterable[str] = (), ignore: Iterable[str] = (), trouble: list[str] | None = None
) -> Found:
    """The points in output that comes in pieces."""
    reader = PrintedMetrics(patterns=list(map(PrintedPattern, patterns)), ignore=ignore)
    points = [
        point for piece in pieces for point in reader.feed(piece if isinstance(piece, bytes) else piece.encode(), 1.0)
    ]
    points += reader.finish(1.0)
    if trouble is not None:
        trouble += reader.trouble
    return [(key, step, value) for key, step, _, value in points]


def by_key(found: Found) -> dict[str, list[tuple[int, float]]]:
    grouped: dict[str, list[tuple[int, float]]] = {}
    for key, step, value in found:
        grouped.setdefault(key, []).append((step, value))
    return grouped


def expected(name: str) -> dict[str, list[tuple[int, float]]]:
    with (LOGS / f"{name}.expected.csv").open(newline="") as file:
        return by_key([(row["metric"], int(row["step"]), float(row["value"])) for row in csv.DictReader(file)])


def test_lines_that_come_among_those_of_a_traceback_are_read() -> None:
    """As stdout and stderr come through pipes of their own, in any order; the error's own line is none."""
    pieces = (
        'Traceback (most recent call last):\n  File "train.py", line 3\n',
        "step=1 loss=0.5\nstep=2 loss=0.25\n",
        "    raise Diverged(loss)\n__main__.Diverged: loss: 1000.0 at step 3\n",
        "step=3 loss=0.125\n",
    )
    assert read(*pieces) == [("loss", 1, 0.5), ("loss", 2, 0.25), ("loss", 3, 0.125)]


def test_a_round_in_brackets_is_a_step() -> None:
    """As simulations of many clients print it, whose number is no metric; in a sentence it is none."""
    assert read("[round 1] mean loss: 0.5, clients: 4\n[round 2] mean loss: 0.25, clients: 4\n") == [
        ("mean_loss", 1, 0.5),
        ("mean_loss", 2, 0.25),
    ]
    assert read("round 3, loss: 0.5\n") == [("loss", 0, 0.5)]


@pytest.mark.parametrize(
    ("line", "metrics"),
    [
        ("Accuracy of the network on the 10000 test images: 54 %", {"test_Accuracy": 54}),
        ("Accuracy of the model on all 1,000 validation samples: 97.5 %", {"val_Accuracy": 97.5}),
        ("Score: 3 vs 4", {"Score": 3}),
        ("Dice Coefficient: 0.85", {"Dice_Coefficient": 0.85}),
        ("loss: 0.5 - dice_coef: 0.75", {"loss": 0.5, "dice_coef": 0.75}),
        ("Matthews correlation coefficient: 0.7", {"Matthews_correlation_coefficient": 0.7}),
        ("Test error rate: 4.5%", {"Test_error_rate": 4.5}),
        ("OOB score: 0.875", {"OOB_score": 0.875}),
        ("Homogeneity: 0.953", {"Homogeneity": 0.953}),
        ("loss: tensor(0.31, device='cuda:0', grad_fn=<NllLossBackward0>)", {"loss": 0.31}),
        ("Loss: tensor(0.25, dtype=torch.float64) acc: 0.5", {"Loss": 0.25, "acc": 0.5}),
        ("Evaluated on the 10000 test images", {}),
        ("entropy_coef: 0.01", {}),
        ("diffusion coefficient: 0.3", {}),
        ("dropout rate: 0.5", {}),
        ("sample rate: 16000.5", {}),
        ("growth rate: 0.3", {}),
    ],
)
def test_a_line_as_people_write_it(line: str, metrics: dict[str, float]) -> None:
    """What a tutorial or a script prints at its end, and settings that look alike."""
    assert {key: value for key, _, value in read(f"{line}\n")} == metrics


def test_a_summary_does_not_mix_with_the_values_at_steps() -> None:
    """Marked as such it has a key of its own; where there are no values at steps it has the plain one."""
    lines = "Epoch: [{0}][1/2] Loss 1.5 (1.5) Acc@1 50.0 (50.0)\n * Acc@1 60.0 Acc@5 90.0\n"
    assert by_key(read("".join(map(lines.format, (0, 1))))) == {
        "Loss": [(1, 1.5), (3, 1.5)],
        "Acc@1": [(1, 50.0), (3, 50.0)],
        "summary_Acc@1": [(0, 60.0), (1, 60.0)],
        "Acc@5": [(0, 90.0), (1, 90.0)],
    }
    assert by_key(read("epoch 1\n * loss: 0.5\nepoch 2\n * loss: 0.25\n")) == {"loss": [(1, 0.5), (2, 0.25)]}


def test_source_code_ends_where_it_ends() -> None:
    """What is printed below it counts; what sets names above it does not, and without code it does."""
    code = "def f(loss):\n    acc = 0.5\n    return acc\n\nloss = 0.25\n"
    assert read("auc = 0.5\nn = 3\n\n" + code + "Results\nloss = 0.125\n") == [("loss", 0, 0.125)]
    assert read("auc: 0.5\n" + code) == [("auc", 0, 0.5)]
    assert read("auc = 0.5\nn = 3\n\n    loss = 0.25\n") == [("auc", 0, 0.5), ("loss", 0, 0.25)]
    again = (code + "Results\n") * 2 + "acc = 0.5\n"
    assert read(again) == [("acc", 0, 0.5)]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_log_of_a_framework_holds_exactly_what_is_expected(name: str) -> None:
    """Each metric with each of its steps and values, and nothing else; the logs are real ones."""
    assert by_key(read((LOGS / f"{name}.log").read_bytes())) == expected(name)


def test_the_corpus_is_large_and_has_no_false_metric() -> None:
    """At least twenty real logs of frameworks with 600 points, and ten texts of other kinds without a single one."""
    sizes = {name: len(read((LOGS / f"{name}.log").read_bytes())) for name in NAMES}
    assert len(FRAMEWORKS) >= 20
    assert sum(sizes[name] for name in FRAMEWORKS) >= 600
    assert len(OTHERS) >= 10
    assert {name: sizes[name] for name in OTHERS if sizes[name]} == {}
    assert all(not expected(name) for name in OTHERS)
    assert all((LOGS / f"{name}.log").stat().st_size < 20_000 for name in NAMES)


@pytest.mark.parametrize(
    ("line", "points"),
    [
        ("loss: 0.31", {"loss": (0, 0.31)}),
        ("epoch=3 val_loss=0.2", {"val_loss": (3, 0.2)}),
        ("Epoch 3/10 ... loss 0.31 - acc 0.9", {"loss": (3, 0.31), "acc": (3, 0.9)}),
        ("[100]\ttrain-rmse:1.2\tvalid-rmse:1.4", {"train-rmse": (100, 1.2), "valid-rmse": (100, 1.4)}),
        ("[10]\tvalid_0's auc: 0.9\tvalid_0's l2: 0.5", {"valid_0-auc": (10, 0.9), "valid_0-l2": (10, 0.5)}),
        ('{"step": 5, "loss": 0.3, "my_measure": 2}', {"loss": (5, 0.3), "my_measure": (5, 2)}),
        ("{'eval_loss': '0.4', 'epoch': 2.0}", {"eval_loss": (2, 0.4)}),
        ("Train Epoch: 2 [640/60000 (1%)]\tLoss: 2.29", {"Train_Loss": (640, 2.29)}),
        ("Epoch [2/5], Step [100/600], Loss: 0.12", {"Loss": (100, 0.12)}),
        ("[1,  2000] loss: 2.184", {"loss": (2000, 2.184)}),
        (
            "| epoch   1 |   200/ 2983 batches | lr 20.0 | ms/batch 11.2 | loss  7.0",
            {"lr": (200, 20), "loss": (200, 7)},
        ),
        ("iter 100: loss 2.301, time 123.4ms, mfu 3.2%", {"loss": (100, 2.301), "mfu": (100, 3.2)}),
        (
            "train loss 0.3 acc 0.9 | val loss 0.4 acc 0.8",
            {"train_loss": 0.3, "train_acc": 0.9, "val_loss": 0.4, "val_acc": 0.8},
        ),
        ("Test set: Average loss: 0.05, Accuracy: 97/100 (97%)", {"Test_Average_loss": 0.05, "Test_Accuracy": 0.97}),
        ("2026-01-01 12:00:00,123 - train - INFO - Epoch 1: loss=0.3", {"loss": (1, 0.3)}),
        ("INFO:root:final accuracy: 93.5%", {"final_accuracy": 93.5}),
        ("Cost after iteration 100: 0.648", {"Cost": (100, 0.648)}),
        (
            "Episode 10\tLast reward: 23.00\tAverage reward: 11.3",
            {"Last_reward": (10, 23), "Average_reward": (10, 11.3)},
        ),
        ("Loss 6.94 (7.01)", {"Loss": 6.94}),
        (" Accuracy: 63.8%, Avg loss: 1.078 ", {"Accuracy": 63.8, "Avg_loss": 1.078}),
        ("loss: 2.303494  [   64/60000]", {"loss": (64, 2.303494)}),
        ("acc: 0.93 ± 0.02", {"acc": 0.93}),
        ("RMSE = 1,234.5", {"RMSE": 1234.5}),
        ("[1/5][50/1583]\tLoss_D: 0.53", {"Loss_D": (50, 0.53)}),
        ("epoch 001:    100 / 1000 loss=9.31, ppl=478", {"loss": (100, 9.31), "ppl": (100, 478)}),
        ("Epoch 1/5 - 100/600 - loss: 0.4", {"loss": (100, 0.4)}),
        ("PSNR: 30.1 dB", {"PSNR": 30.1}),
        ("loss: nan", {"loss": math.nan}),
        ("loss: -inf, step: 4", {"loss": (4, -math.inf)}),
        ("loss: 1e-3", {"loss": 0.001}),
        ("Acc@1: 71.2 Acc@5: 90.1", {"Acc@1": 71.2, "Acc@5": 90.1}),
        ("R^2 score: 0.9", {"R2_score": 0.9}),
        ("\x1b[32mval/loss\x1b[0m: \x1b[1m0.5\x1b[0m", {"val/loss": 0.5}),
        ("perte moyenne, loss: 0.5 ✓", {"loss": 0.5}),
    ],
)
def test_a_line_on_its_own(line: str, points: dict[str, float | tuple[int, float]]) -> None:
    """The forms that the documentation names, with the step that stands in the line, else 0."""
    wanted = {key: point if isinstance(point, tuple) else (0, point) for key, point in points.items()}
    assert repr({key: (step, float(value)) for key, step, value in read(line + "\n")}) == repr(
        {key: (step, float(value)) for key, (step, value) in wanted.items()}
    )


@pytest.mark.parametrize(
    "text",
    [
        "It took 3.5 s, version 1.2, found 3 files at 12:30:01 on 192.168.0.1:8080",
        "lr: 0.1",
        "lr: 0.1\nbatch_size: 32\nepochs: 10\nloss_weight: 0.5",
        "Namespace(lr=0.1, loss=0.5, seed=42)",
        "Config: loss=0.5, lr=0.1, batch_size=32",
        "XGBClassifier(base_score=0.5, booster=None, gamma=None)",
        "task=detect, mode=train, model=yolo.yaml, epochs=3, batch=16, iou=0.7, device=None",
        "loss.py:42: UserWarning: something",
        "WARNING: loss: 0.5",
        "2026-01-01 12:00:00,123 ERROR loss: 0.5",
        "ValueError: loss: nan",
        'Traceback (most recent call last):\n  File "train.py", line 3\n    loss: 0.5\nSomething: loss: 0.5',
        "    loss = 0.5 * x",
        "python train.py --loss 0.5 --score=0.5",
        "checkpoints/epoch=3-val_loss=0.31.ckpt",
        "`loss: 0.31` is what it prints",
        "I think the loss: 0.31 would be lower",
        "The paper reports accuracy: 0.95 on this",
        "error: 404",
        "errors: 0",
        "Packet loss: 0%",
        "precision: 16",
        "Total params: 1,234",
        "Accuracy: 0,93\nloss: 1.234,5",
        "E       assert loss == 0.5\nE        +  where loss = 0.7",
        "@@ -1,3 +1,3 @@\n+    loss = 0.3\n-    loss = 0.5",
        'train.py:3: UserWarning: low\n  warnings.warn("score=0.5")',
        "GPU memory: 12.5 GB, throughput: 123.4 samples/s, eta: 0:01:02, time: 0.3",
        "100%|█████| 100/100 [00:10<00:00, 9.5it/s]",
        "[1] 12345\n[2]   0.5\n[3] Paris: 0.5",
        "{'name': 'x', 'score': 0.5, 'age': 3, 'height': 1.8}",
        "loss went from 0.5 to 0.3\nVal loss decreased (0.5 --> 0.3)",
        "\n".join(f"metric_{chr(97 + i // 26)}{chr(97 + i % 26)}_loss: 0.{i}" for i in range(MOST_IN_A_DUMP + 20)),
    ],
)
def test_what_is_no_metric(text: str) -> None:
    """Prose, settings, warnings, tracebacks, code, paths, times, sizes, speeds, and dumps of many names."""
    assert read(text + "\n") == []


def test_a_counter_on_its_own_line_holds_for_those_below() -> None:
    """Until the next one; names that nobody knows count directly below it, and nowhere else."""
    text = "Epoch 1/2\n-----\n  loss: 0.5\n  my_measure: 0.25\nepoch 2\n  loss: 0.4\n\n\n  my_measure: 0.125\n"
    assert read(text) == [("loss", 1, 0.5), ("my_measure", 1, 0.25), ("loss", 2, 0.4)]


def test_a_counter_that_begins_again_goes_on() -> None:
    """Batches of each epoch, folds, and a second training: the steps of a metric never go back."""
    assert read("Epoch 1 [0/100] loss: 4.0\nEpoch 1 [50/100] loss: 3.0\nEpoch 2 [0/100] loss: 2.0\n") == [
        ("loss", 0, 4.0),
        ("loss", 50, 3.0),
        ("loss", 100, 2.0),
    ]
    assert [step for _, step, _ in read("".join(f"[{n}]\ttest-rmse:1.5\n" for n in (0, 1, 2, 0, 1, 2)))] == list(
        range(6)
    )
    lines = "".join(f"fold {fold} epoch {epoch} auc: 0.5\n" for fold in (1, 2) for epoch in (1, 2))
    assert [step for _, step, _ in read(lines)] == [1, 2, 3, 4]


def test_without_any_counter_values_are_numbered() -> None:
    """From 0, each metric for itself."""
    assert read("loss: 3.0\nloss: 2.0\nacc: 0.1\nloss: 1.0\n") == [
        ("loss", 0, 3.0),
        ("loss", 1, 2.0),
        ("acc", 0, 0.1),
        ("loss", 2, 1.0),
    ]


def test_a_fraction_of_an_epoch_is_no_step() -> None:
    """Such values are numbered from 1, and what comes at whole epochs keeps them."""
    lines = (
        "{'loss': 3.0, 'epoch': 0.5}\n{'loss': 2.0, 'epoch': 1.0}\n"
        "{'eval_loss': 2.5, 'epoch': 1.0}\n{'loss': 1.0, 'epoch': 1.5}\n"
    )
    assert by_key(read(lines)) == {"loss": [(1, 3.0), (2, 2.0), (3, 1.0)], "eval_loss": [(1, 2.5)]}


def test_a_line_that_is_printed_over_counts_as_it_stood_last() -> None:
    """A bar of an epoch when it is full, another at each of its numbers, and plain text when the line ends."""
    epoch = "\r".join(["Epoch 1: 0%|    | 0/2 [00:00<?, loss=9.0]", "Epoch 1: 100%|████| 2/2 [00:01<00:00, loss=1.5]"])
    assert read(epoch + "\n") == [("loss", 1, 1.5)]
    steps = [
        f"{n * 50}%|████| {n}/2 [00:01<00:00, loss={loss}]" for n, loss in ((0, 4.0), (1, 4.0), (1, 3.0), (2, 2.0))
    ]
    assert read("\r".join(steps) + "\n") == [("loss", 0, 4.0), ("loss", 1, 3.0), ("loss", 2, 2.0)]
    assert read("loss: 9.0\rloss: 8.0\rloss: 7.0\n") == [("loss", 0, 7.0)]


def test_patterns_come_first_and_ignored_keys_are_left_out() -> None:
    """A group's name is the metric's; `key` and `value` name any; what no pattern takes is read as ever."""
    text = "speed 12.5 at 7\nbleu -> 30\nloss: 0.5\nval_loss: 0.6\n"
    patterns = [r"^speed (?P<speed>\S+) at (?P<step>\d+)", r"^(?P<key>\w+) -> (?P<value>\S+)"]
    assert read(text, patterns=patterns, ignore=["val_*"]) == [("speed", 7, 12.5), ("bleu", 7, 30), ("loss", 7, 0.5)]
    for bad in ("(", "loss", "(?P<key>x)"):
        with pytest.raises(ValueError, match="it "):
            PrintedPattern(bad)


def test_the_number_of_metrics_is_bounded() -> None:
    """Beyond a thousand names the others are left out, which is said once."""
    trouble: list[str] = []
    found = read("".join(f"step 1 layer{n}_loss: 0.5\n" for n in range(MOST_KEYS + 100)), trouble=trouble)
    assert len(by_key(found)) == MOST_KEYS
    assert len(trouble) == 1


def test_long_lines_are_not_read() -> None:
    """However they come; what follows is."""
    line = "loss: 0.5 " + "x" * LONGEST_LINE
    assert read(line + "\nacc: 0.5\n") == read(line[:5000], line[5000:], "\nacc: 0.5\n") == [("acc", 0, 0.5)]
    assert read(*["loss: 0.5 "] * 20_000, "\nacc: 0.5\n") == [("acc", 0, 0.5)]


TEXTS = st.text(
    st.one_of(
        st.sampled_from(list("0123456789.:=,-+%/|[](){}'\" \t\r\n\x1b\x08\0")),
        st.characters(codec="utf-8"),
    ),
    max_size=300,
)
PARTS = (
    *(
        "loss",
        "val acc",
        "Epoch",
        "step",
        "epoch",
        "[3]\t",
        "1/2",
        "0.5",
        "nan",
        "-1e-3",
        "1,234",
        ": ",
        "=",
        "\n",
        "\r",
    ),
    *(
        "\r\n",
        "{'",
        "': ",
        "}",
        "|",
        "100%|██| 3/3 [00:01<00:00, ",
        "12:30",
        "\x1b[1m",
        "lr",
        "foo",
        " ",
        "]",
        "(",
        ")",
    ),
    *(
        "epoch  loss  acc\n",
        "1  0.5  0.5\n",
        "| loss | 0.5 |\n",
        "Traceback (most recent call last):\n",
        "INFO",
        "/",
        "@",
    ),
)
WORDS = st.lists(st.one_of(st.sampled_from(PARTS), st.floats().map(str), st.integers().map(str)), max_size=60).map(
    "".join
)


@given(st.one_of(st.binary(max_size=400), TEXTS.map(str.encode), WORDS.map(str.encode)))
@example(b"loss: " + b"9" * 5000 + b"\n")
@example(b"step " + b"9" * 40 + b" loss: 0.5\n")
@example(b"[1]\tx:1e999\ty:-.5e-5\n")
def test_whatever_is_printed_is_read_without_an_error(data: bytes) -> None:
    """Bytes of all kinds; what is found can be recorded."""
    for key, step, value in read(data):
        assert 0 < len(key.encode()) <= 250
        assert -(2**63) <= step < 2**63
        assert isinstance(value, (int, float))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["9", " ", "a", "a b ", "a_b", "x@", "./", "1,234,", *PARTS])
def test_no_line_takes_long(part: str) -> None:
    """However it is made: the time that a line of the longest kind takes grows no faster than its length."""
    for before in ("", "loss: ", "step [", "[I ", "INFO "):
        line = (before + part.replace("\n", " ").replace("\r", " ") * LONGEST_LINE).encode()[:LONGEST_LINE]
        began = time.process_time()
        read(line + b"\n")
        assert time.process_time() - began < 2.0


@given(WORDS, st.lists(st.integers(0, 400), max_size=8))
def test_how_output_is_cut_into_pieces_changes_nothing(text: str, places: list[int]) -> None:
    """A pipe may be read at any byte."""
    data = text.encode()
    cuts = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    pieces = [data[first:end] for first, end in pairwise(cuts)]
    assert repr(read(*pieces)) == repr(read(data))


@settings(max_examples=30)
@given(st.sampled_from(FRAMEWORKS), st.integers(1, 3000))
def test_real_logs_come_in_pieces_too(name: str, size: int) -> None:
    """The same metrics whatever the size of the pieces."""
    data = (LOGS / f"{name}.log").read_bytes()
    assert by_key(read(*(data[at : at + size] for at in range(0, len(data), size)))) == expected(name)


FORMS = [
    "epoch {step}: {key}: {value}",
    "Epoch {step}/9999999 - {key}: {value}",
    "step={step} {key}={value}",
    "[step {step}] {key} = {value}",
    "{{'{key}': {value}, 'epoch': {step}}}",
    '{{"step": {step}, "{key}": {value}}}',
    "[{step}]\t{key}:{value}",
    "INFO:trainer:iteration {step} | {key}: {value}",
    "{key}: {value} (step {step})",
]


@given(
    st.sampled_from(FORMS),
    st.sampled_from(["loss", "val_loss", "train/accuracy", "test-rmse", "Acc@1", "mAP50", "f1_macro", "eval.auc"]),
    st.integers(0, 9_999_999),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: "e+" not in repr(value)),
)
def test_a_line_gives_back_what_it_was_made_of(form: str, key: str, step: int, value: float) -> None:
    """Key, step and value of the usual forms, alone and after a line of the same shape."""
    line = form.format(key=key, step=step, value=value) + "\n"
    assert read(line) == [(key, step, value)]
    assume(step < 9_999_999)
    more = form.format(key=key, step=step + 1, value=value / 2) + "\n"
    assert read(line, more) == [(key, step, value), (key, step + 1, value / 2)]


def gitexp(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "gitexp", "run", *words],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        timeout=PATIENCE_S,
    )


def newest(folder: Path) -> RunView:
    return Repository.open(folder).get_run("@")


TRAIN = """
import sys
for epoch in (1, 2):
    print(f"Epoch {epoch}: loss: {1 / epoch} val_acc: 9{epoch}%", flush=True)
print("Test accuracy: 0.75", file=sys.stderr)
"""


def test_a_run_records_what_its_command_prints(repo_dir: Path) -> None:
    """From stdout and stderr, with steps and times, and the output is the command's to the byte."""
    (repo_dir / "train.py").write_text(TRAIN)
    began = time.time()
    done = gitexp(repo_dir, "train.py")
    assert done.stdout == b"Epoch 1: loss: 1.0 val_acc: 91%\nEpoch 2: loss: 0.5 val_acc: 92%\n"
    assert done.stderr == b"Test accuracy: 0.75\n"
    run = newest(repo_dir)
    assert run.metrics == {"loss": 0.5, "val_acc": 92, "Test_accuracy": 0.75}
    history = run.history("loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5)]
    assert all(began <= point.time <= time.time() for point in history)
    assert run.record.warnings == ()


@pytest.mark.slow
def test_it_can_be_turned_off_and_told_more(repo_dir: Path) -> None:
    """By a flag and in the settings; a pattern that is none is a warning."""
    (repo_dir / "train.py").write_text(TRAIN + "print('speed 3 m/s')")
    gitexp(repo_dir, "--no-output-metrics", "train.py")
    assert newest(repo_dir).metrics == {}
    (repo_dir / ".gitexp").mkdir(exist_ok=True)
    config = repo_dir / ".gitexp" / "config.yaml"
    config.write_text("metrics:\n  output: false\n")
    gitexp(repo_dir, "train.py")
    assert newest(repo_dir).metrics == {}
    config.write_text("metrics:\n  patterns: ['speed (?P<speed>[0-9]+)', '(']\n  ignore: ['Test_*', val_acc]\n")
    told = gitexp(repo_dir, "--", sys.executable, "-c", "import sys; sys.stderr.write('begun\\n')").stderr
    assert told.index(b"'('") < told.index(b"begun")
    assert b"'('" in gitexp(repo_dir, "train.py").stderr
    assert newest(repo_dir).metrics == {"loss": 0.5, "speed": 3}


def test_what_the_script_logs_counts_more_than_what_it_prints(repo_dir: Path) -> None:
    """One metric from both is the logged one."""
    (repo_dir / "train.py").write_text(
        "import gitexp\nfor step in (1, 2):\n    gitexp.log_metric('loss', step / 8, step=step)\n"
        "    print(f'epoch {step} loss: 9.5 acc: 0.5')\n"
    )
    gitexp(repo_dir, "train.py")
    assert newest(repo_dir).metrics == {"loss": 0.25, "acc": 0.5}


@pytest.mark.slow
def test_a_flood_of_output_is_read_in_the_end(repo_dir: Path) -> None:
    """100 MB of words at once and 100,000 lines of metrics: nothing is lost, and the command is not held up."""
    (repo_dir / "train.py").write_text(
        "import sys, time\nbegan = time.perf_counter()\n"
        "sys.stdout.write('the quick brown fox jumps over the lazy dog\\n' * 1_200_000)\n"
        "for step in range(100_000):\n    sys.stdout.write(f'step {step} loss: {1 / (step + 1)}\\n')\n"
        "print('final accuracy: 0.5', flush=True)\n"
    )
    done = gitexp(repo_dir, "train.py")
    assert done.returncode == 0
    run = newest(repo_dir)
    assert run.metrics["final_accuracy"] == 0.5
    assert len(run.history("loss")) == 100_000
    assert json.loads(json.dumps(run.record.warnings)) == []
