"""Models across to MLflow and back, and both servers asked the same; with the real MLflow: `sh tests/peers.sh`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gitexp.pyfunc import load_model

PYTHON = os.environ.get("GITEXP_PEERS_PYTHON", "")
SOURCES = Path(__file__).resolve().parent.parent / "src"
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not PYTHON, reason="GITEXP_PEERS_PYTHON names no interpreter"),
]

BEGIN = """
import warnings
warnings.simplefilter("ignore")
import asyncio, json, logging
from pathlib import Path
import numpy as np, pandas as pd
import gitexp, gitexp.pyfunc, gitexp.sklearn, gitexp.xgboost
import mlflow, mlflow.sklearn, mlflow.xgboost
logging.disable(logging.CRITICAL)

X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
y = 2 * X["a"] - X["b"]

class Ours(gitexp.pyfunc.PythonModel):
    def load_context(self, context):
        self.factor = float(Path(context.artifacts["factor"]).read_text())
    def predict(self, context, model_input, params=None):
        return model_input["a"] * self.factor

class Theirs(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.factor = float(Path(context.artifacts["factor"]).read_text())
    def predict(self, context, model_input, params=None):
        return model_input["a"] * self.factor

def upper(model_input: list[str]) -> list[str]:
    return [text.upper() for text in model_input]

open("factor.txt", "w").write("3")
open("code.py", "w").write(
    "from mlflow.models import set_model\\nfrom mlflow.pyfunc import PythonModel\\n"
    "class Seven(PythonModel):\\n    def predict(self, context, model_input, params=None):\\n"
    "        return model_input['a'] * 7\\nset_model(Seven())\\n"
)
same = lambda one, other: bool(np.allclose(np.asarray(one).ravel(), np.asarray(other).ravel(), atol=1e-6))
result = {}
"""
TRAIN = """
from sklearn.linear_model import Ridge
import xgboost
models = {"sklearn": Ridge().fit(X, y), "xgboost": xgboost.XGBRegressor(n_estimators=5).fit(X, y)}
for name, model in models.items():
    getattr(gitexp, name).save_model(model, f"ours_{name}", input_example=X[:3])
    getattr(mlflow, name).save_model(model, f"theirs_{name}", input_example=X[:3], pip_requirements=[])
    result[f"ours_{name}"] = same(mlflow.pyfunc.load_model(f"ours_{name}").predict(X), model.predict(X))
    result[f"theirs_{name}"] = same(gitexp.pyfunc.load_model(f"theirs_{name}").predict(X), model.predict(X))
"""
FUNCTIONS = """
artifacts = {"factor": "factor.txt"}
gitexp.pyfunc.save_model("ours_class", python_model=Ours(), artifacts=artifacts, input_example=X[:3])
gitexp.pyfunc.save_model("ours_code", python_model="code.py", input_example=X[:3])
result["ours_class"] = same(mlflow.pyfunc.load_model("ours_class").predict(X), X["a"] * 3)
result["ours_code"] = same(mlflow.pyfunc.load_model("ours_code").predict(X), X["a"] * 7)
mlflow.pyfunc.save_model("theirs_class", python_model=Theirs(), artifacts=artifacts, pip_requirements=[])
mlflow.pyfunc.save_model("theirs_function", python_model=upper, input_example=["a"], pip_requirements=[])
mlflow.pyfunc.save_model("theirs_code", python_model="code.py", pip_requirements=[])
"""
ASK = """
from mlflow.pyfunc.scoring_server import init
from gitexp.models.server import application

def ask(app, kind, body):
    sent = []
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
             "path": "/invocations", "raw_path": b"/invocations", "query_string": b"", "root_path": "",
             "headers": [(b"content-type", kind.encode())], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
    asyncio.run(app(scope, receive, send))
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return sent[0]["status"], json.loads(text) if text.startswith("{") else text

ours = application(gitexp.pyfunc.load_model("ours_sklearn"))
theirs = init(mlflow.pyfunc.load_model("ours_sklearn"))
for kind, body in json.load(open("questions.json")):
    result.setdefault("answers", []).append([ask(app, kind, body.encode()) for app in (ours, theirs)])
"""

JSON = "application/json"
RECORDS = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.5}]
GOOD: list[tuple[str, Any]] = [
    (JSON, {"dataframe_split": {"columns": ["b", "a"], "data": [[2.0, 1.0], [4.5, 3.0]]}}),
    (JSON, {"dataframe_records": RECORDS}),
    (JSON, {"instances": RECORDS}),
    (JSON, {"inputs": {"a": [1.0, 3.0], "b": [2.0, 4.5]}}),
    (JSON, {"dataframe_records": [{**RECORDS[0], "more": 1}]}),
    ("application/json; charset=utf-8", {"dataframe_records": RECORDS}),
    ("text/csv", "a,b\n1.0,2.0\n3.0,4.5\n"),
]
BAD: list[tuple[str, Any]] = [
    (JSON, "{"),
    (JSON, "[]"),
    (JSON, {}),
    (JSON, {"dataframe_records": [{"a": 1.0}]}),
    (JSON, {"dataframe_records": [{"a": "x", "b": 1.0}]}),
    (JSON, {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}),
    (JSON, {"inputs": {"a": [1.0], "b": [1.0, 2.0]}}),
    (JSON, {"data": [1]}),
    ("text/plain", "a"),
    ("text/csv", ""),
]


def peers(folder: Path, script: str) -> dict[str, Any]:
    """What a script says with MLflow and gitexp side by side."""
    (folder / "peers.py").write_text(BEGIN + script + "\nprint()\nprint(json.dumps(result))\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GITEXP")}
    quiet = {"PYTHONPATH": str(SOURCES), "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [PYTHON, "peers.py"], cwd=folder, env={**kept, **quiet}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_models_answer_the_same_on_both_sides(tmp_path: Path) -> None:
    """Saved by one and loaded by the other as a function, scikit-learn's and XGBoost's answer as before."""
    result = peers(tmp_path, TRAIN)
    assert result == dict.fromkeys(("ours_sklearn", "theirs_sklearn", "ours_xgboost", "theirs_xgboost"), True)


def test_python_models_answer_the_same_on_both_sides(tmp_path: Path) -> None:
    """Ours load in MLflow; MLflow's class, function and file of code load here, where there is no MLflow."""
    assert peers(tmp_path, FUNCTIONS) == {"ours_class": True, "ours_code": True}
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    assert list(load_model(str(tmp_path / "theirs_class")).predict(frame)) == [3.0, 6.0]
    assert list(load_model(str(tmp_path / "theirs_code")).predict(frame)) == [7.0, 14.0]
    assert load_model(str(tmp_path / "theirs_function")).predict(["a", "b"]) == ["A", "B"]


def test_both_servers_answer_the_same(tmp_path: Path) -> None:
    """The same requests get the same predictions, and what one refuses as the asker's mistake the other does, too."""
    questions = [(kind, body if isinstance(body, str) else json.dumps(body)) for kind, body in GOOD + BAD]
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    answers = peers(tmp_path, TRAIN + ASK)["answers"]
    for question, (ours, theirs) in zip(questions[: len(GOOD)], answers, strict=False):
        assert (ours[0], theirs[0]) == (200, 200), (question, ours, theirs)
        assert ours[1]["predictions"] == pytest.approx(theirs[1]["predictions"]), question
    for question, (ours, theirs) in zip(questions[len(GOOD) :], answers[len(GOOD) :], strict=True):
        assert 400 <= ours[0] < 500, (question, ours)
        assert 400 <= theirs[0] < 500, (question, theirs)
        assert ours[1]["message"]
