"""Autologging of Keras 3, with the real one and its torch backend."""

from __future__ import annotations

import pytest

from framework_runs import Project, needs_frameworks, points, warnings_of, without
from gitexp.domain.run import Status

pytestmark = [pytest.mark.frameworks, needs_frameworks]

MODEL = """
import keras, numpy as np
keras.utils.set_random_seed(0)
x = np.random.randn(64, 2)
y = x.sum(1)

def make(optimizer=None):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
    model.compile(optimizer=optimizer or keras.optimizers.Adam(0.05), loss="mse", metrics=["mae"])
    return model
"""

TRAINING = (
    MODEL
    + """
class Mine(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print("epoch", epoch, sorted(logs))

callbacks = [Mine(), keras.callbacks.EarlyStopping(patience=1, min_delta=10.0),
             keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)]
model = make(keras.optimizers.Adam(0.05, clipnorm=1.0))
history = model.fit(x, y, epochs=5, batch_size=16, validation_split=0.25, verbose=2, callbacks=callbacks)
print({key: len(values) for key, values in history.history.items()}, len(callbacks))
print(model.evaluate(x, y, verbose=0))
model.predict(x, verbose=0)
"""
)

SAME = without([r"\d+m?s/step", r"\d+s(?= )"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("trained"), TRAINING)
    bare = SAME(project.bare())
    assert SAME(project.launched()) == bare, "the script behaves as without gitexp"
    assert bare.code == 0
    return project


def test_params_are_what_a_person_would_write_down(trained: Project) -> None:
    """What `fit` and `compile` were given, and the rule of early stopping, are params."""
    assert dict(trained.only_run().params) == {
        "batch_size": 16,
        "early_stopping.min_delta": 10.0,
        "early_stopping.mode": "auto",
        "early_stopping.monitor": "val_loss",
        "early_stopping.patience": 1,
        "early_stopping.restore_best_weights": False,
        "epochs": 5,
        "loss": "mse",
        "model_class": "Sequential",
        "optimizer_clipnorm": 1.0,
        "optimizer_learning_rate": 0.05,
        "optimizer_name": "Adam",
        "validation_split": 0.25,
    }


def test_each_epoch_is_a_point(trained: Project) -> None:
    """What Keras logs after an epoch, and what callbacks add to it, has the epoch's number as its step."""
    run = trained.only_run()
    for key in ("loss", "mae", "val_loss", "val_mae", "learning_rate"):
        assert [step for step, _ in points(run, key)] == [0, 1], key
    assert [value for _, value in points(run, "learning_rate")] == pytest.approx([0.025, 0.0125])
    assert run.metrics["stopped_epoch"] == 1
    assert run.metrics["best_epoch"] == 0
    assert run.metrics["best_score"] == points(run, "val_loss")[0][1]


def test_evaluate_and_the_summary_are_recorded(trained: Project) -> None:
    """What `evaluate` finds has names of its own, and the model's summary is an artifact."""
    run = trained.only_run()
    printed = (run.output or b"").decode().splitlines()[-1]
    assert [run.metrics["test_loss"], run.metrics["test_mae"]] == pytest.approx(
        [float(text) for text in printed.strip("[]").split(",")]
    )
    assert "dense (Dense)" in run.artifacts["model_summary.txt"].read().decode()
    assert not warnings_of(run)


def test_autolog_records_the_same(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`gitexp.autolog()` prints and records, in runs of its own, what `gitexp run` does."""
    project = Project(tmp_path_factory.mktemp("autologged"), TRAINING)
    assert SAME(project.autologged()) == SAME(project.bare())
    fit, evaluated = project.runs()
    assert dict(fit.params) == dict(trained.only_run().params)
    assert points(fit, "val_loss") == points(trained.only_run(), "val_loss")
    assert evaluated.metrics.keys() == {"test_loss", "test_mae"}


@pytest.mark.slow
def test_a_second_fit_goes_on_in_the_same_curves(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A second `fit` continues the epochs of the first, one with an `initial_epoch` beyond them keeps its own."""
    script = """
model = make()
model.fit(x, y, epochs=2, verbose=0)
model.fit(x, y, epochs=1, verbose=0)
model.fit(x, y, epochs=7, initial_epoch=5, verbose=0)
"""
    project = Project(tmp_path_factory.mktemp("again"), MODEL + script)
    assert project.launched().code == 0
    run = project.only_run()
    assert [step for step, _ in points(run, "loss")] == [0, 1, 2, 5, 6]
    assert run.params["batch_size"] == 32, "what Keras takes where nothing is said"


def test_an_exception_keeps_its_traceback(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a callback raises ends the script with the same traceback, and the epochs until then are kept."""
    script = """
class Broken(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise ZeroDivisionError("in epoch 1")

make().fit(x, y, epochs=3, verbose=0, callbacks=[Broken()])
"""
    project = Project(tmp_path_factory.mktemp("broken"), MODEL + script)
    bare = project.bare()
    assert "in epoch 1" in bare.err
    assert project.launched() == bare
    run = project.only_run()
    assert run.status is Status.FAILED
    assert [step for step, _ in points(run, "loss")] == [0]


@pytest.mark.slow
def test_ctrl_c_ends_as_ever(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A KeyboardInterrupt inside a training ends the script as without gitexp; with autolog its run is killed."""
    script = """
class Stopped(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

make().fit(x, y, epochs=3, verbose=0, callbacks=[Stopped()])
"""
    project = Project(tmp_path_factory.mktemp("stopped"), MODEL + script)
    bare = project.bare()
    assert project.launched() == bare
    assert [step for step, _ in points(project.only_run(), "loss")] == [0]
    project.autologged()
    assert project.runs()[-1].status is Status.KILLED


@pytest.mark.slow
def test_data_that_knows_its_batches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The batch size is that of a DataLoader where it is one, and a schedule of learning rates is params."""
    script = """
import torch
data = torch.utils.data.TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32))
rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
make(keras.optimizers.SGD(rate)).fit(torch.utils.data.DataLoader(data, batch_size=8), epochs=1, verbose=0)
"""
    project = Project(tmp_path_factory.mktemp("loader"), MODEL + script)
    ended = project.launched()
    assert ended.code == 0, ended.err
    params = project.only_run().params
    assert params["batch_size"] == 8
    assert params["optimizer_learning_rate.name"] == "ExponentialDecay"
    assert params["optimizer_learning_rate.decay_steps"] == 10


def test_a_keras_that_changed_is_a_warning(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a part of Keras that is watched is gone, the training runs as ever and the record says what is missed."""
    project = Project(tmp_path_factory.mktemp("changed"), "import keras\nkeras.Model().fit()\n")
    (project.folder / "keras.py").write_text(
        "__version__ = '9.0'\nclass Model:\n    def fit(self):\n        print('trained')\n"
    )
    ended = project.launched()
    assert (ended.code, ended.out, ended.err) == (0, "trained\n", "")
    warnings = warnings_of(project.only_run())
    assert warnings
    assert all("Autologging of keras missed something" in warning for warning in warnings)


def test_an_old_keras_is_left_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keras 2 is not autologged, and the record says so."""
    project = Project(tmp_path_factory.mktemp("old"), "import keras\nkeras.Model().fit()\n")
    (project.folder / "keras.py").write_text(
        "__version__ = '2.15.0'\nclass Model:\n    def fit(self):\n        print('trained')\n"
    )
    assert project.launched().out == "trained\n"
    assert warnings_of(project.only_run()) == ("keras 2.15.0 is not autologged: that begins with 3.0.",)
