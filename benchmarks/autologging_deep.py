"""What autologging adds to a training in a deep-learning framework or to a search, in per cent of it.

Both kinds are measured in processes of their own, in turn: what is watched in these frameworks lies deep inside them,
so that a process cannot do without it any more. They are those of the interpreter that `GITEXP_FRAMEWORKS_PYTHON`
names, or of the one that measures.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import gitexp
from benchmarks.measure import Bench, Figure
from benchmarks.table import Row

ROUNDS = 5
PROCESSES = 5

PROGRAM = """
import logging, os, warnings
warnings.filterwarnings("ignore")
os.environ["KERAS_BACKEND"] = "torch"
import gitexp
if {watched}:
    gitexp.autolog()
import numpy as np
{training}
took = []
with gitexp.start_run() as run:
    train()
    for _ in range({rounds}):
        began = time.process_time()
        train()
        took.append(time.process_time() - began)
if {watched}:
    found = gitexp.get_run(run.id)
    assert found.params and found.metrics, "nothing was recorded"
print(json.dumps({{"took": took}}))
"""

TORCH = """
import torch
torch.set_num_threads(1)
x = torch.randn(20_000, 64); y = x.sum(1, keepdim=True)
def net():
    return torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1))
"""

TRAININGS = {
    "lightning": (
        "Lightning: 3 epochs of 313 steps, a network of 17,000 parameters, logged each 10 steps",
        TORCH
        + """
import lightning.pytorch as pl
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = net()
    def training_step(self, batch, index):
        loss = ((self.net(batch[0]) - batch[1]) ** 2).mean()
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss
    def validation_step(self, batch, index):
        self.log("val_loss", ((self.net(batch[0]) - batch[1]) ** 2).mean())
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-3)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=64)
def train():
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    pl.Trainer(max_epochs=3, accelerator="cpu", log_every_n_steps=10, **quiet).fit(Net(), data, data)
""",
    ),
    "keras": (
        "Keras with torch: 5 epochs of 157 steps, a network of 17,000 parameters",
        TORCH
        + """
import keras
x, y = x.numpy(), y.numpy()
def train():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, y, epochs=5, batch_size=128, validation_split=0.1, verbose=0)
""",
    ),
    "transformers": (
        "transformers: 150 steps of a small BERT, logged each 10",
        TORCH
        + """
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, logging as quiet
quiet.set_verbosity_error()
ids = torch.randint(0, 500, (1200, 32))
rows = [{"input_ids": row, "labels": row[0] % 2} for row in ids]
config = BertConfig(vocab_size=500, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)
def train():
    arguments = TrainingArguments(output_dir="out", per_device_train_batch_size=8, num_train_epochs=1, logging_steps=10,
        report_to="none", use_cpu=True, disable_tqdm=True, save_strategy="no", eval_strategy="no")
    trainer = Trainer(model=BertForSequenceClassification(config), args=arguments, train_dataset=rows)
    trainer.log = lambda logs, *more, log=trainer.log: log(dict(logs), *more)
    from transformers import PrinterCallback
    trainer.remove_callback(PrinterCallback)
    trainer.train()
""",
    ),
    "optuna": (
        "Optuna: 6 trials of 0.5 s each, with 20 intermediate values",
        """
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
a = np.random.default_rng(0).normal(size=(500, 500))
def objective(trial):
    rate = trial.suggest_float("rate", 0.1, 1)
    began = time.process_time()
    for step in range(20):
        while time.process_time() - began < 0.025 * (step + 1):
            np.linalg.norm(a @ a)
        trial.report(rate * step, step)
    return rate
def train():
    optuna.create_study().optimize(objective, n_trials=6)
""",
    ),
    "hyperopt": (
        "hyperopt: 6 trials of 0.5 s each",
        """
from hyperopt import fmin, hp, rand
a = np.random.default_rng(0).normal(size=(500, 500))
def objective(x):
    began = time.process_time()
    while time.process_time() - began < 0.5:
        np.linalg.norm(a @ a)
    return x
def train():
    fmin(objective, hp.uniform("x", 0, 1), algo=rand.suggest, max_evals=6, show_progressbar=False)
""",
    ),
}

QUICK = """
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
def train():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials={trials})
"""


def overhead(bench: Bench, training: str) -> Figure:
    bare, watched = _both(bench, TRAININGS[training][1], rounds=ROUNDS, processes=PROCESSES)
    added = min(watched) - min(bare)  # what else the machine does only ever adds
    note = f"{added * 1000:+.1f} ms on {min(bare) * 1000:,.0f} ms, the quickest of {len(bare)} each"
    return Figure(value=max(0.0, 100 * added / min(bare)), note=note)


def per_trial(bench: Bench, trials: int) -> Figure:
    """What a trial that takes no time costs in milliseconds."""
    bare, watched = _both(bench, QUICK.format(trials=trials), rounds=3, processes=3)
    added = (min(watched) - min(bare)) / trials
    return Figure(value=added * 1000, note=f"a bare one: {1000 * min(bare) / trials:.2f} ms")


def _both(bench: Bench, training: str, *, rounds: int, processes: int) -> tuple[list[float], list[float]]:
    """CPU seconds of the trainings, bare and watched."""
    python = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", bench.python)
    watching = bench.with_variables(PYTHONPATH=str(Path(gitexp.__file__).parent.parent), OMP_NUM_THREADS="1")
    folder = bench.repository()
    (folder / ".gitignore").write_text("out\n")
    took: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * processes):
        watched = turn % 2 == 1
        program = PROGRAM.format(watched=watched, training=training, rounds=rounds)
        took[watched] += watching.program(program, python=python, cwd=folder)["took"]
    bench.gone(folder)
    return took[False], took[True]


ROWS = [
    *(
        Row(
            key=f"autolog-{name}",
            work=f"autologging, above the bare training; {work}",
            unit="% CPU",
            bar=2.0,
            measure=partial(overhead, training=name),
        )
        for name, (work, _) in TRAININGS.items()
    ),
    *(
        Row(
            key=f"autolog-trial-{trials}",
            work=f"autologging of {trials:,} Optuna trials that take no time, for each",
            unit="ms CPU",
            bar=bar,
            measure=partial(per_trial, trials=trials),
        )
        for trials, bar in ((100, 15.0), (2_000, 2.0))
    ),
]
