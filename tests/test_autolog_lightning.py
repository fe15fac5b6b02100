"""Autologging of PyTorch Lightning, with the real one."""

from __future__ import annotations

import pytest

from framework_runs import Project, needs_frameworks, points, warnings_of, without
from gitexp.domain.run import Status

pytestmark = [pytest.mark.frameworks, needs_frameworks]

MODULE = """
import sys, warnings
warnings.filterwarnings("ignore")
import torch
import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

class Net(pl.LightningModule):
    def __init__(self, lr=0.05, hidden=4, api_token="hunter2"):
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(torch.nn.Linear(2, hidden), torch.nn.Dropout(0.1), torch.nn.Linear(hidden, 1))

    def training_step(self, batch, index):
        x, y = batch
        loss = ((self.net(x) - y) ** 2).mean()
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        x, y = batch
        self.log("val_loss", ((self.net(x) - y) ** 2).mean())

    def test_step(self, batch, index):
        x, y = batch
        self.log("test_loss", ((self.net(x) - y) ** 2).mean())

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr, nesterov=True, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

torch.manual_seed(0)
x = torch.randn(64, 2)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), batch_size=8)
quiet = dict(accelerator="cpu", enable_progress_bar=False)
"""

TRAINING = (
    MODULE
    + """
seen = []
class Mine(Callback):
    def on_train_epoch_end(self, trainer, module):
        seen.append(sorted(trainer.callback_metrics))

callbacks = [EarlyStopping("val_loss", patience=3), ModelCheckpoint(dirpath="out", monitor="val_loss"), Mine()]
trainer = pl.Trainer(max_epochs=3, callbacks=callbacks, logger=CSVLogger("out_csv"), log_every_n_steps=4,
                     gradient_clip_val=0.5, **quiet)
trainer.fit(Net(), data, data)
trainer.test(dataloaders=data, ckpt_path=None)
print(seen, [type(callback).__name__ for callback in trainer.callbacks], trainer.loggers[0].log_dir)
print("%.9f" % torch.rand(1).item())
"""
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("trained"), TRAINING)
    bare = project.bare()
    project.clean()
    assert project.launched() == bare, "the script behaves as without gitexp"
    assert bare.code == 0
    return project


def test_params_are_what_a_person_would_write_down(trained: Project) -> None:
    """Hyperparameters, optimizer, changed trainer arguments and early stopping are params; a token is masked."""
    params = trained.only_run().params
    assert dict(params) == {
        "api_token": "***",
        "batch_size": 8,
        "early_stopping.min_delta": 0.0,
        "early_stopping.mode": "min",
        "early_stopping.monitor": "val_loss",
        "early_stopping.patience": 3,
        "epochs": 3,
        "hidden": 4,
        "lr": 0.05,
        "model_class": "Net",
        "momentum": 0.9,
        "nesterov": True,
        "optimizer_name": "SGD",
        "trainer.accelerator": "cpu",
        "trainer.gradient_clip_val": 0.5,
        "trainer.log_every_n_steps": 4,
    }


def test_metrics_have_the_steps_of_lightnings_own_loggers(trained: Project) -> None:
    """Every metric has the points that Lightning's CSV logger wrote, none of them twice."""
    run = trained.only_run()
    [path] = trained.folder.glob("out_csv/**/metrics.csv")
    header, *lines = [line.split(",") for line in path.read_text().splitlines()]
    for key in ("train_loss_step", "train_loss_epoch", "val_loss", "test_loss"):
        column, step = header.index(key), header.index("step")
        written = [(int(line[step]), float(line[column])) for line in lines if line[column]]
        assert [at for at, _ in points(run, key)] == [at for at, _ in written]
        assert [value for _, value in points(run, key)] == pytest.approx([value for _, value in written])
    assert "train_loss" not in run.metrics, "the epoch's value goes by one name only"


def test_learning_rate_epoch_and_the_best_are_metrics(trained: Project) -> None:
    """What a scheduler makes of the learning rate, the epoch of each step, and the best scores are recorded."""
    run = trained.only_run()
    assert run.metrics["lr-SGD"] == pytest.approx(0.05 / 8)
    assert [value for _, value in points(run, "epoch")] == [0, 0, 1, 1, 2, 2]
    assert run.metrics["best_score"] == run.metrics["best_model_score"] == min(v for _, v in points(run, "val_loss"))
    assert run.tags["best_model_path"].startswith("out/epoch=")
    assert "Linear" in run.artifacts["model_summary.txt"].read().decode()
    assert not warnings_of(run)


def test_autolog_records_the_same(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`gitexp.autolog()` prints and records, in runs of its own, what `gitexp run` does."""
    project = Project(tmp_path_factory.mktemp("autologged"), TRAINING)
    bare = project.bare()
    project.clean()
    assert project.autologged() == bare
    fit, test = project.runs()
    assert dict(fit.params) == dict(trained.only_run().params)
    assert points(fit, "val_loss") == points(trained.only_run(), "val_loss")
    assert test.metrics.keys() == {"test_loss"}
    assert fit.status is test.status is Status.FINISHED


@pytest.mark.slow
def test_without_loggers_nothing_is_missed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`logger=False` keeps Lightning's loggers away, not the record; a validation alone is recorded too."""
    script = """
import lightning.pytorch as pl
trainer = pl.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, log_every_n_steps=3, **quiet)
trainer.validate(Net(), data)
trainer.fit(Net(), data, data)
"""
    project = Project(tmp_path_factory.mktemp("project"), MODULE + script)
    bare = project.bare()
    assert project.launched() == bare
    run = project.only_run()
    assert [step for step, _ in points(run, "val_loss")] == [0, 7]
    assert [step for step, _ in points(run, "train_loss_step")] == [2, 5]


@pytest.mark.slow
def test_a_second_training_goes_on_in_the_same_curves(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A second `fit` continues the steps of the first, and one that resumes from a checkpoint keeps its own."""
    script = """
def train(epochs, **resumed):
    trainer = pl.Trainer(max_epochs=epochs, logger=False, log_every_n_steps=4, default_root_dir="out", **quiet)
    trainer.fit(Net(), data, **resumed)
    trainer.save_checkpoint("out/last.ckpt")

train(1)
if "resume" in sys.argv:
    train(2, ckpt_path="out/last.ckpt")
else:
    train(1)
"""
    project = Project(tmp_path_factory.mktemp("again"), MODULE + script)
    assert project.launched().code == 0
    assert [step for step, _ in points(project.only_run(), "train_loss_step")] == [3, 7, 11, 15]
    resumed = MODULE + script.replace('"resume" in sys.argv', "True").replace("**quiet)", "**quiet)")
    project = Project(tmp_path_factory.mktemp("resumed"), resumed)
    ended = project.launched()
    assert ended.code == 0, ended.err
    assert [step for step, _ in points(project.only_run(), "train_loss_step")] == [3, 7, 11, 15]


def test_an_exception_keeps_its_traceback(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a training raises ends the script with the same traceback, and what was logged until then is kept."""
    script = """
class Broken(Net):
    def validation_step(self, batch, index):
        if self.current_epoch == 1 and not self.trainer.sanity_checking:
            raise ZeroDivisionError("in validation")
        return super().validation_step(batch, index)

trainer = pl.Trainer(max_epochs=3, logger=False, enable_checkpointing=False, log_every_n_steps=2, **quiet)
trainer.fit(Broken(), data, data)
"""
    project = Project(tmp_path_factory.mktemp("broken"), MODULE + script)
    bare = project.bare()
    assert "in validation" in bare.err
    assert project.launched() == bare
    run = project.only_run()
    assert run.status is Status.FAILED
    assert len(points(run, "val_loss")) == 1
    assert project.autologged().err.replace("autologged.py", "train.py") == bare.err
    assert project.runs()[-1].status is Status.FAILED


@pytest.mark.slow
def test_ctrl_c_ends_as_ever(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A KeyboardInterrupt inside a training is Lightning's business; the values until then are kept."""
    script = """
class Stopped(Net):
    def on_train_epoch_end(self):
        if self.current_epoch == 1:
            raise KeyboardInterrupt

pl.Trainer(max_epochs=3, logger=False, enable_checkpointing=False, log_every_n_steps=2, **quiet).fit(Stopped(), data)
"""
    project = Project(tmp_path_factory.mktemp("stopped"), MODULE + script)
    bare = project.bare()
    assert project.launched() == bare
    assert len(points(project.only_run(), "train_loss_step")) == 8


@pytest.mark.slow
def test_looking_for_a_learning_rate_is_no_training(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What `Tuner` tries out is not recorded; the training after it is."""
    script = """
trainer = pl.Trainer(max_epochs=1, logger=False, default_root_dir="out", log_every_n_steps=4, **quiet)
net = Net()
pl.tuner.Tuner(trainer).lr_find(net, data, num_training=12)
trainer.fit(net, data)
"""
    project = Project(tmp_path_factory.mktemp("tuned"), MODULE + script)
    same = without([r"\d+\.\d+it/s", r"[0-9:?]+[<,][^|]*\]", r"Finding best initial lr:[^\n]*", r"\.lr_find_\S+"])
    bare = same(project.bare())
    project.clean()
    launched = same(project.launched())
    assert launched.code == bare.code == 0, launched.err
    assert launched.out == bare.out
    assert [step for step, _ in points(project.only_run(), "train_loss_step")] == [3, 7]


@pytest.mark.slow
def test_the_old_name_is_watched_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`pytorch_lightning`, the package by its first name, is recorded alike."""
    script = MODULE.replace("lightning.pytorch", "pytorch_lightning") + (
        'pl.Trainer(max_epochs=1, logger=False, default_root_dir="out", log_every_n_steps=4, **quiet).fit(Net(), data)'
    )
    project = Project(tmp_path_factory.mktemp("old"), script)
    bare = project.bare()
    project.clean()
    assert project.launched() == bare
    run = project.only_run()
    assert run.params["optimizer_name"] == "SGD"
    assert [step for step, _ in points(run, "train_loss_step")] == [3, 7]


def test_a_lightning_that_changed_is_a_warning(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a watched part of Lightning is gone, the training runs as ever and the record says what is missed."""
    project = Project(tmp_path_factory.mktemp("changed"), "import lightning.pytorch as pl\npl.Trainer().fit(None)\n")
    package = project.folder / "lightning"
    (package / "pytorch").mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "9.0"\n')
    (package / "pytorch" / "__init__.py").write_text(
        "class Trainer:\n    def fit(self, model):\n        print('trained')\n"
    )
    ended = project.launched()
    assert (ended.code, ended.out, ended.err) == (0, "trained\n", "")
    warnings = warnings_of(project.only_run())
    assert warnings
    assert all("Autologging of lightning missed something" in warning for warning in warnings)


@pytest.mark.slow
def test_several_processes_are_one_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of data-parallel processes only the first records."""
    script = """
if __name__ == "__main__":
    pl.Trainer(max_epochs=1, logger=False, default_root_dir="out", log_every_n_steps=2, devices=2, strategy="ddp",
               **quiet).fit(Net(), data)
"""
    project = Project(tmp_path_factory.mktemp("ddp"), MODULE + script)
    ended = project.launched()
    assert ended.code == 0, ended.err
    run = project.only_run()
    assert [step for step, _ in points(run, "train_loss_step")] == [1, 3]
    assert run.params["trainer.devices"] == 2
