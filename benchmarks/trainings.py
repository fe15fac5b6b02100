"""The trainings that autologging is measured with: whole scripts of ten seconds and more of CPU, on one thread.

Each prepares its data, then calls `train`; the end of the script says how long that took.
"""

from __future__ import annotations

BEGIN = """
import logging, os, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np
rng = np.random.default_rng(0)
"""

END = """
began = time.process_time()
train()
print("training_s", time.process_time() - began)
"""

TORCH = """
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(20_000, 64); y = x.sum(1, keepdim=True)
def net():
    return torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1))
"""

TRAININGS = {
    "sklearn": (
        "scikit-learn: a forest of 60 trees on 40,000 x 20",
        """
from sklearn.ensemble import RandomForestClassifier
X = rng.normal(size=(40_000, 20)); y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)
def train():
    RandomForestClassifier(60, n_jobs=1, random_state=0).fit(X, y)
""",
    ),
    "sklearn-search": (
        "scikit-learn: a search over 12 candidates, 5 folds each",
        """
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
X = rng.normal(size=(40_000, 60)); y = (X @ rng.normal(size=60) + rng.normal(size=40_000) > 0).astype(int)
def train():
    model = LogisticRegression(solver="newton-cholesky")
    GridSearchCV(model, {"C": np.logspace(-3, 3, 12)}, cv=5).fit(X, y)
""",
    ),
    "xgboost": (
        "XGBoost: 500 rounds on 40,000 x 30, evaluated each round",
        """
import xgboost
X = rng.normal(size=(40_000, 30)); y = (X[:, 0] * X[:, 1] > 0).astype(int)
data, test = xgboost.DMatrix(X[:30_000], y[:30_000]), xgboost.DMatrix(X[30_000:], y[30_000:])
def train():
    params = {"objective": "binary:logistic", "nthread": 1}
    xgboost.train(params, data, 500, evals=[(test, "eval")], verbose_eval=False)
""",
    ),
    "lightgbm": (
        "LightGBM: 1,500 rounds on 60,000 x 30, evaluated each round",
        """
import lightgbm
X = rng.normal(size=(60_000, 30)); y = (X[:, 0] * X[:, 1] > 0).astype(int)
params = {"objective": "binary", "num_threads": 1, "verbose": -1}
data = lightgbm.Dataset(X[:45_000], y[:45_000], free_raw_data=False).construct()
test = lightgbm.Dataset(X[45_000:], y[45_000:], reference=data, free_raw_data=False).construct()
def train():
    lightgbm.train(params, data, 1500, valid_sets=[test])
""",
    ),
    "catboost": (
        "CatBoost: 1,000 rounds on 40,000 x 30, evaluated each round",
        """
import catboost
X = rng.normal(size=(40_000, 30)); y = (X[:, 0] * X[:, 1] > 0).astype(int)
data, test = catboost.Pool(X[:30_000], y[:30_000]), catboost.Pool(X[30_000:], y[30_000:])
def train():
    settings = dict(iterations=1000, thread_count=1, verbose=False, allow_writing_files=False)
    catboost.CatBoostClassifier(**settings).fit(data, eval_set=test)
""",
    ),
    "statsmodels": (
        "statsmodels: a logistic regression on 400,000 x 40",
        """
import statsmodels.api as sm
X = sm.add_constant(rng.normal(size=(400_000, 40))); y = (X[:, 1] + rng.normal(size=400_000) > 0).astype(int)
def train():
    sm.GLM(y, X, family=sm.families.Binomial()).fit()
""",
    ),
    "lightning": (
        "Lightning: 6 epochs of 313 steps, a network of 17,000 parameters, logged each 10 steps",
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
    pl.Trainer(max_epochs=6, accelerator="cpu", log_every_n_steps=10, **quiet).fit(Net(), data, data)
""",
    ),
    "keras": (
        "Keras with torch: 20 epochs of 141 steps, a network of 17,000 parameters",
        'import os\nos.environ["KERAS_BACKEND"] = "torch"\n'
        + TORCH
        + """
import keras
x, y = x.numpy(), y.numpy()
def train():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, y, epochs=20, batch_size=128, validation_split=0.1, verbose=0)
""",
    ),
    "transformers": (
        "transformers: 500 steps of a small BERT, logged each 10",
        TORCH
        + """
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, logging as quiet
quiet.set_verbosity_error()
ids = torch.randint(0, 500, (4000, 32))
rows = [{"input_ids": row, "labels": row[0] % 2} for row in ids]
config = BertConfig(vocab_size=500, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)
def train():
    arguments = TrainingArguments(output_dir="out", per_device_train_batch_size=8, num_train_epochs=1, logging_steps=10,
        report_to="none", use_cpu=True, disable_tqdm=True, save_strategy="no", eval_strategy="no")
    Trainer(model=BertForSequenceClassification(config), args=arguments, train_dataset=rows).train()
""",
    ),
    "optuna": (
        "Optuna: 20 trials of a fixed work, with 20 intermediate values",
        """
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
a = rng.normal(size=(500, 500))
def objective(trial):
    rate = trial.suggest_float("rate", 0.1, 1)
    for step in range(20):
        for _ in range(4):
            np.linalg.norm(a @ a)
        trial.report(rate * step, step)
    return rate
def train():
    optuna.create_study().optimize(objective, n_trials=20)
""",
    ),
    "hyperopt": (
        "hyperopt: 20 trials of a fixed work",
        """
from hyperopt import fmin, hp, rand
a = rng.normal(size=(500, 500))
def objective(x):
    for _ in range(80):
        np.linalg.norm(a @ a)
    return x
def train():
    fmin(objective, hp.uniform("x", 0, 1), algo=rand.suggest, max_evals=20, show_progressbar=False)
""",
    ),
}
