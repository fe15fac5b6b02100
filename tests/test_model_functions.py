"""Models that are Python code: functions, classes with `predict`, and files of code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gitexp.pyfunc
from gitexp.domain.mlmodel import model_from_dict
from gitexp.errors import CorruptData, UsageError
from gitexp.models.requirements import read_requirements
from gitexp.pyfunc import PythonModel, PythonModelContext, load_model, save_model
from gitexp.store.yamlfile import load_yaml

X = pd.DataFrame({"a": [1.0, 2.0]})
CODE = """
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Seven(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["a"] * 7

set_model(Seven())
"""


class Times(PythonModel):
    """Multiplies by what a file says."""

    def load_context(self, context: PythonModelContext) -> None:
        self.factor = int(Path(context.artifacts["factor"]).read_text())

    def predict(self, context: PythonModelContext, model_input: Any) -> Any:  # type: ignore[override]
        return model_input["a"] * self.factor + context.model_config.get("plus", 0)


class Plain:
    """No relative of anything of gitexp's, as the models of libraries are."""

    def predict(self, frame: Any) -> Any:
        return frame["a"] * 5


def double(model_input: Any) -> Any:
    return model_input["a"] * 2


def test_a_class_is_asked_with_its_artifacts_and_settings(tmp_path: Path) -> None:
    """`load_context` and `predict` see the paths of copies of the artifacts, not of the files that were given."""
    factor = tmp_path / "factor.txt"
    factor.write_text("3")
    save_model(
        str(tmp_path / "model"),
        python_model=Times(),
        artifacts={"factor": factor},
        model_config={"plus": 1},
        input_example=X,
    )
    factor.unlink()
    model = load_model(str(tmp_path / "model"))
    assert list(model.predict(X)) == [4.0, 7.0]
    assert isinstance(model.unwrap(), Times)
    assert [column.name for column in model.signature.inputs] == ["a"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("model", "answer"), [(double, [2.0, 4.0]), (Plain(), [5.0, 10.0])])
def test_functions_and_whatever_predicts_are_models(tmp_path: Path, model: Any, answer: list[float]) -> None:
    """Neither need know gitexp; what they are comes back from `unwrap`."""
    save_model(str(tmp_path / "model"), python_model=model, input_example=X)
    loaded = load_model(str(tmp_path / "model"))
    assert list(loaded.predict(X)) == answer
    assert type(loaded.unwrap()) is type(model)


def test_a_function_needs_what_it_imports_when_called(tmp_path: Path) -> None:
    """Requirements are found in its code, without calling it, and name nothing that it does not touch."""
    script: dict[str, Any] = {"__name__": "__main__"}
    exec("def read(text):\n    import yaml\n    return yaml.safe_load(text)", script)
    save_model(str(tmp_path / "model"), python_model=script["read"])
    names = {line.partition("==")[0].lower() for line in read_requirements(str(tmp_path / "model"))}
    assert names == {"cloudpickle", "pyyaml"}


def test_a_model_is_loaded_where_there_is_no_gitexp(tmp_path: Path) -> None:
    """The pickle of a script's class brings all along: plain `pickle` loads it in an interpreter without gitexp."""
    script = tmp_path / "make.py"
    script.write_text(
        "import gitexp.pyfunc\n"
        "class Add(gitexp.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return model_input + params['by']\n"
        "gitexp.pyfunc.save_model('model', python_model=Add())\n"
    )
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True)
    ask = (
        "import pickle, sys; sys.modules['gitexp'] = None; model = pickle.load(open('model/python_model.pkl', 'rb'));"
        " model.load_context(None); assert model.predict_type_hints.input is None;"
        " assert model.predict(None, 1, params={'by': 2}) == 3"
    )
    subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, check=True)


def test_a_file_of_code_is_a_model_without_a_pickle(tmp_path: Path) -> None:
    """A file that MLflow takes is run by gitexp without MLflow, whose modules are not there afterwards."""
    (tmp_path / "seven.py").write_text(CODE)
    save_model(str(tmp_path / "model"), python_model=str(tmp_path / "seven.py"), input_example=X)
    assert not (tmp_path / "model" / "python_model.pkl").exists()
    assert list(load_model(str(tmp_path / "model")).predict(X)) == [7.0, 14.0]
    assert not [name for name in sys.modules if name.partition(".")[0] == "mlflow"]


def test_a_file_of_code_must_name_its_model(tmp_path: Path) -> None:
    """One that calls no `set_model` is refused when it is saved, not when it is served."""
    (tmp_path / "none.py").write_text("x = 1\n")
    with pytest.raises(UsageError, match="names no model"):
        save_model(str(tmp_path / "model"), python_model=tmp_path / "none.py")


@pytest.mark.parametrize("given", [Times, 3, "no such file.py"])
def test_what_cannot_be_asked_is_no_model(tmp_path: Path, given: Any) -> None:
    """A class in place of an object of it, a number, and a file that is not there."""
    with pytest.raises(UsageError):
        save_model(str(tmp_path / "model"), python_model=given)


def test_options_and_artifacts_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """A misspelt option is not ignored; an artifact must be a file, and its name no path."""
    for said in ({"artefacts": {}}, {"artifacts": {"a": "gone"}}, {"artifacts": {"../a": __file__}}):
        with pytest.raises(UsageError):
            save_model(str(tmp_path / "model"), python_model=double, **said)


def test_an_artifact_outside_of_the_model_is_refused(tmp_path: Path) -> None:
    """An `MLmodel` file cannot lead a model to files of the machine that loads it."""
    factor = tmp_path / "factor.txt"
    factor.write_text("3")
    save_model(str(tmp_path / "model"), python_model=Times(), artifacts={"factor": factor})
    said = tmp_path / "model" / "MLmodel"
    assert model_from_dict(load_yaml(said.read_text(), what="MLmodel")).pyfunc is not None
    said.write_text(said.read_text().replace("artifacts/factor/factor.txt", "../factor.txt"))
    with pytest.raises(CorruptData, match="outside"):
        load_model(str(tmp_path / "model"))


def test_a_function_is_kept_by_a_run(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`log_model` takes it, and `runs:/` finds it by the run's name."""
    monkeypatch.chdir(repo_dir)
    with gitexp.start_run("base"):
        info = gitexp.pyfunc.log_model("model", python_model=double, input_example=X)
    assert list(load_model(info.model_uri).predict(X)) == [2.0, 4.0]
    assert list(load_model("runs:/base/model").predict(X)) == [2.0, 4.0]


@pytest.mark.slow
def test_versions_are_compared_by_how_long_they_take(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gitexp models diff --latency` asks both about their examples; one without an example is named."""
    monkeypatch.chdir(repo_dir)
    for number, example in enumerate((X, X, None), 1):
        with gitexp.start_run(f"run{number}"):
            gitexp.pyfunc.log_model(python_model=double, input_example=example, registered_model_name="two")
    diff = [sys.executable, "-m", "gitexp", "models", "diff"]
    environ = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    done = subprocess.run(
        [*diff, "two/1", "two/2", "--latency", "--json"], env=environ, capture_output=True, check=True
    )
    for measured in json.loads(done.stdout)["latency"]:
        assert 0 < measured["median_ms"] <= measured["p99_ms"]
        assert measured["rows"] == 2
    shown = subprocess.run(
        [*diff, "two/1", "two/2", "--latency"], env=environ, capture_output=True, text=True, check=True
    )
    assert shown.stdout.count(" ms for 2 rows, ") == 2
    refused = subprocess.run(
        [*diff, "two/1", "two/3", "--latency"], env=environ, capture_output=True, text=True, check=False
    )
    assert refused.returncode
    assert "without an example" in refused.stderr
