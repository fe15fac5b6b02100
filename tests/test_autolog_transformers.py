"""Autologging of transformers' Trainer, with the real one and a model of a few hundred parameters."""

from __future__ import annotations

import pytest

from framework_runs import Project, needs_frameworks, points, warnings_of, without
from gitexp.domain.run import Status

pytestmark = [pytest.mark.frameworks, needs_frameworks]

MODEL = """
import torch
from transformers import BertConfig, BertForSequenceClassification, EarlyStoppingCallback, Trainer, TrainerCallback
from transformers import TrainingArguments, set_seed
set_seed(0)

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 32

    def __getitem__(self, index):
        ids = torch.tensor([1 + index % 7, 2, 3])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor(index % 2)}

def make():
    return BertForSequenceClassification(BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16, max_position_embeddings=8))

usual = dict(output_dir="out", per_device_train_batch_size=8, logging_steps=2, report_to="none", use_cpu=True,
             disable_tqdm=True, save_strategy="no", num_train_epochs=2)
"""

TRAINING = (
    MODEL
    + """
class Mine(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        print("log", state.global_step, sorted(logs))

arguments = dict(usual, learning_rate=1e-3, eval_strategy="epoch", save_strategy="epoch", warmup_steps=1,
                 load_best_model_at_end=True, label_smoothing_factor=0.1, hub_token="hunter2")
trainer = Trainer(model=make(), args=TrainingArguments(**arguments), train_dataset=Data(), eval_dataset=Data(),
                  callbacks=[Mine(), EarlyStoppingCallback(early_stopping_patience=3)])
print(trainer.callback_handler.callback_list)
trainer.train()
print(trainer.evaluate())
trainer.predict(Data())
print([sorted(entry) for entry in trainer.state.log_history])
"""
)

SAME = without(
    [
        r"'?(\w+_)?(runtime|per_second)'?: '?[\d.e+]+'?",
        r"\d+(\.\d+)?it/s|\d+%\|.*",
        r"\[transformers\] mtime may not[^\n]*\n",
    ]
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("trained"), TRAINING)
    bare = SAME(project.bare())
    project.clean()
    assert SAME(project.launched()) == bare, "the script behaves as without gitexp"
    assert bare.code == 0, bare.err
    return project


def test_params_are_what_a_person_would_write_down(trained: Project) -> None:
    """The essential arguments, those that were changed, and what is particular of the model; no token, no noise."""
    params = trained.only_run().params
    expected = {
        "early_stopping.monitor": "loss",
        "early_stopping.patience": 3,
        "early_stopping.threshold": 0.0,
        "gradient_accumulation_steps": 1,
        "label_smoothing_factor": 0.1,
        "learning_rate": 0.001,
        "load_best_model_at_end": True,
        "lr_scheduler_type": "linear",
        "max_grad_norm": 1.0,
        "metric_for_best_model": "loss",
        "model.hidden_size": 8,
        "model.intermediate_size": 16,
        "model.max_position_embeddings": 8,
        "model.num_attention_heads": 2,
        "model.num_hidden_layers": 1,
        "model.vocab_size": 20,
        "model_class": "BertForSequenceClassification",
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "seed": 42,
        "warmup_steps": 1,
    }
    assert {**dict(params), "optim": "?"} == {**expected, "optim": "?"}
    assert str(params["optim"]).startswith("adamw")


def test_everything_logged_is_a_point_at_its_global_step(trained: Project) -> None:
    """Losses, rates and evaluations have the steps and values of the trainer's own log, the summary at its end too."""
    run = trained.only_run()
    assert [step for step, _ in points(run, "loss")] == [2, 4, 6, 8]
    assert [step for step, _ in points(run, "eval_loss")] == [4, 8, 8]
    assert [step for step, _ in points(run, "train_loss")] == [8]
    assert run.metrics.keys() >= {"grad_norm", "learning_rate", "epoch", "train_runtime", "total_flos", "test_loss"}
    assert [value for _, value in points(run, "epoch")][-1] == 2.0


def test_the_best_and_the_summary_are_recorded(trained: Project) -> None:
    """The best evaluation, where its checkpoint is, and a table of the model's modules."""
    run = trained.only_run()
    assert run.metrics["best_metric"] == min(value for _, value in points(run, "eval_loss"))
    assert run.tags["best_model_checkpoint"].startswith("out/checkpoint-")
    assert "BertEncoder" in run.artifacts["model_summary.txt"].read().decode()
    assert not warnings_of(run)


def test_autolog_records_the_same(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`gitexp.autolog()` prints and records, in runs of its own, what `gitexp run` does."""
    project = Project(tmp_path_factory.mktemp("autologged"), TRAINING)
    bare = SAME(project.bare())
    project.clean()
    assert SAME(project.autologged()).out == bare.out
    train, evaluated, predicted = project.runs()
    assert dict(train.params) == dict(trained.only_run().params)
    assert points(train, "loss") == points(trained.only_run(), "loss")
    assert evaluated.metrics.keys() >= {"eval_loss"}
    assert predicted.metrics.keys() >= {"test_loss"}


@pytest.mark.slow
def test_a_training_that_resumes_keeps_its_steps(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What goes on from a checkpoint counts on from it; a training from the start goes on after what there is."""
    script = """
def train(epochs, **resumed):
    arguments = TrainingArguments(**dict(usual, save_strategy="epoch", num_train_epochs=epochs))
    Trainer(model=make(), args=arguments, train_dataset=Data()).train(**resumed)

train(1)
train(2, resume_from_checkpoint=True)
train(1)
"""
    project = Project(tmp_path_factory.mktemp("resumed"), MODEL + script)
    ended = project.launched()
    assert ended.code == 0, ended.err
    assert [step for step, _ in points(project.only_run(), "loss")] == [2, 4, 6, 8, 11, 13]


@pytest.mark.slow
def test_an_evaluation_alone_is_recorded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without a training, `evaluate` is a point at step 0."""
    script = "Trainer(model=make(), args=TrainingArguments(**usual), eval_dataset=Data()).evaluate()"
    project = Project(tmp_path_factory.mktemp("evaluated"), MODEL + script)
    assert project.launched().code == 0
    assert [step for step, _ in points(project.only_run(), "eval_loss")] == [0]


@pytest.mark.parametrize("error", ["ZeroDivisionError('in step 3')", "KeyboardInterrupt()"])
def test_an_exception_keeps_its_traceback(tmp_path_factory: pytest.TempPathFactory, error: str) -> None:
    """What a callback raises ends the script with the same traceback, and what was logged until then is kept."""
    script = f"""
class Broken(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise {error}

Trainer(model=make(), args=TrainingArguments(**usual), train_dataset=Data(), callbacks=[Broken()]).train()
"""
    project = Project(tmp_path_factory.mktemp("broken"), MODEL + script)
    bare = project.bare()
    assert error.partition("(")[0] in bare.err
    assert project.launched() == bare
    run = project.only_run()
    assert run.status in (Status.FAILED, Status.KILLED)
    assert [step for step, _ in points(run, "loss")] == [2]


def test_a_transformers_that_changed_is_a_warning(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a part of it that is watched is gone, the training runs as ever and the record says what is missed."""
    script = "from transformers.trainer import Trainer\nTrainer().train()\n"
    project = Project(tmp_path_factory.mktemp("changed"), script)
    package = project.folder / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '9.0'\n")
    (package / "trainer.py").write_text("class Trainer:\n    def train(self):\n        print('trained')\n")
    ended = project.launched()
    assert (ended.code, ended.out, ended.err) == (0, "trained\n", "")
    warnings = warnings_of(project.only_run())
    assert warnings
    assert all("Autologging of transformers missed something" in warning for warning in warnings)
