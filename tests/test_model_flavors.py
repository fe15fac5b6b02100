"""Each kind of model, really trained: kept, loaded as a function and as what it is, and asked the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework_runs import Project, needs_frameworks
from gitexp.models.loading import find_model
from gitexp.registry import Registry
from gitexp.repo import Repository

pytestmark = [pytest.mark.frameworks, needs_frameworks]

BEGIN = """import sys, warnings
warnings.simplefilter("ignore")
import gitexp
import numpy as np
import pandas as pd

def same(one, other):
    return np.allclose(np.asarray(one).ravel(), np.asarray(other).ravel())

random = np.random.default_rng(0)
X = pd.DataFrame(random.normal(size=(80, 3)), columns=["a", "b", "c"])
y = X["a"] * 2 - X["b"] + random.normal(size=80) / 10
"""
END = """
with gitexp.start_run("trained"):
    infos = [door.log_model(model, f"model{n}", input_example=X[:3]) for n, (door, model, _) in enumerate(models)]
for info, (door, model, answer) in zip(infos, models):
    function = gitexp.pyfunc.load_model(info.model_uri)
    assert [column.name for column in function.signature.inputs] == ["a", "b", "c"]
    assert same(function.predict(X), answer), door
    assert same(function.predict(X[["c", "b", "a"]].assign(d=1)), answer), door
    assert type(door.load_model(info.model_uri)) is type(model)
    try:
        function.predict(X.drop(columns="b"))
    except gitexp.GitexpError as error:
        assert "'b'" in str(error)
    else:
        raise AssertionError("a missing column was taken")
print("all the same")
"""
KINDS = {
    "scikit-learn": """
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
model = make_pipeline(StandardScaler(), RandomForestRegressor(5, random_state=0)).fit(X, y)
models = [(gitexp.sklearn, model, model.predict(X))]
""",
    "XGBoost": """
import xgboost
booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, y), 5)
model = xgboost.XGBRegressor(n_estimators=5).fit(X, y)
models = [(gitexp.xgboost, booster, booster.predict(xgboost.DMatrix(X))), (gitexp.xgboost, model, model.predict(X))]
""",
    "LightGBM": """
import lightgbm
model = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=5, verbose=-1).fit(X, y)
answer = model.predict(X)
models = [(gitexp.lightgbm, model, answer), (gitexp.lightgbm, model.booster_, answer)]
""",
    "CatBoost": """
import catboost
model = catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False).fit(X, y)
models = [(gitexp.catboost, model, model.predict(X))]
""",
    "statsmodels": """
import statsmodels.api
model = statsmodels.api.OLS(y, X).fit()
models = [(gitexp.statsmodels, model, model.predict(X))]
""",
    "PyTorch": """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.drop = torch.nn.Linear(3, 1), torch.nn.Dropout(0.5)
    def forward(self, x):
        return self.drop(self.layer(x))
net = Net().train()
values = torch.tensor(X.to_numpy(), dtype=torch.float32)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(5):
    loss = ((net(values)[:, 0] - torch.tensor(y.to_numpy())) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
script = torch.jit.script(torch.nn.Linear(3, 1))
models = [(gitexp.pytorch, net, net.layer(values).detach()), (gitexp.pytorch, script, script(values).detach())]
exported = gitexp.pytorch.save_model(
    net, "exported", serialization_format="pt2", export_inputs=[values[:4]],
    dynamic_shapes=({0: torch.export.Dim("rows", min=2)},), input_example=X[:3],
)
assert same(gitexp.pyfunc.load_model("exported").predict(X), models[0][2])
assert net.training and net.drop.training, "as it was"
""",
    "Keras": """
import keras
model = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(X.to_numpy(), y.to_numpy(), epochs=2, verbose=0)
models = [(gitexp.keras, model, model.predict(X.to_numpy(), verbose=0))]
""",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_answers_as_before_it_was_kept(kind: str, tmp_path: Path) -> None:
    """Loaded as a function and as what it is, from its run, by a process of its own."""
    project = Project(tmp_path, BEGIN + KINDS[kind] + END)
    environ = {**project.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent / "src")}
    done = project.bare_with(environ)
    assert (done.code, done.out) == (0, "all the same\n"), done.err
    repository = Repository.open(project.folder, environ=project.environ)
    registered = Registry(repository).register("trained:model0", "model")
    found = find_model("models:/model/1", repository)
    assert found.file.signature is not None
    assert found.file.run_id == registered.version.run
    requirements = (Path(found.folder) / "requirements.txt").read_text().splitlines()
    wanted = {"scikit-learn": "scikit-learn", "XGBoost": "xgboost", "LightGBM": "lightgbm", "PyTorch": "torch"}.get(
        kind, kind.lower()
    )
    assert any(line.startswith(wanted) for line in requirements), requirements
